/* attn_softmax.cl -- standard attention between its two matrix products: scores in, weights
 * out, in place; one work-group a row.
 *
 * T_WG   work-items per row: 1 on CPU drivers, a power of two
 * Grid   global (T_WG, rows, heads of the chunk), local (T_WG, 1, 1). Packed row r of head
 *        index n (over B * Hk) is query r % Sq of query head (n % Hk) * group + r / Sq.
 * Math   docs/math.md#softmax. A masked key's weight is -0.0f: it counts as 0 in the product
 *        and still tells the repair kernel that the key is not seen. */
#define CLF_LANES 1
#include "mask.clh"

#if !defined(T_WG) || (T_WG & (T_WG - 1))
#error "attn_softmax.cl: the host must pass T_WG, a power of two"
#endif

typedef struct softmax_row {
    int b, h, i;
    long at; /* of the row's first score */
} softmax_row;

CLF_INLINE softmax_row locate(clf_attn_args a, long s_off, int head0, int row0)
{
    const int r = row0 + get_group_id(1), n = head0 + get_group_id(2);
    softmax_row w;
    w.b = n / a.hk;
    w.h = (n % a.hk) * a.group + r / a.sq;
    w.i = r % a.sq;
    w.at = s_off + ((long)get_group_id(2) * get_num_groups(1) + get_group_id(1)) * a.sk;
    return w;
}

CLF_INLINE float wg_reduce(float x, __local float *s, int is_max)
{
    const int l = get_local_id(0);
    s[l] = x;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int n = T_WG / 2; n > 0; n /= 2) {
        if (l < n)
            s[l] = is_max ? fmax(s[l], s[l + n]) : s[l] + s[l + n];
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    x = s[0];
    barrier(CLK_LOCAL_MEM_FENCE);
    return x;
}

__kernel __attribute__((reqd_work_group_size(T_WG, 1, 1))) void
clf_softmax(__global float *scores, __global float *lse, long s_off, int head0, int row0,
            CLF_MASK_PARAMS const clf_attn_args a)
{
    __local float red[T_WG];
    const softmax_row w = locate(a, s_off, head0, row0);
    const int l = get_local_id(0), len = CLF_KV_LEN(w.b);
    const int q_p = CLF_Q_POS(w.b, w.i), q_s = CLF_Q_SEG(w.b, w.i);
    __global float *s = scores + w.at;
#if P_ALIBI
    const float slope = alibi[a.alibi_off + w.h];
#else
    const float slope = 0.0f;
#endif
#if P_SINK
    const float sink2 = sink[a.sink_off + w.h] * CLF_LOG2E;
#else
    const float sink2 = -INFINITY;
#endif
    float m = sink2;
    for (int j = l; j < a.sk; j += T_WG) {
        float bv = 0.0f;
        int ok = j < len;
#if P_BIAS
        bv = clf_bias(a, bias,
                      a.bias_off + w.b * a.bias_sb + w.h * a.bias_sh + w.i * a.bias_ss + j);
#endif
#if P_BOOL
        ok = ok && boolean[a.bool_off + w.b * a.bool_sb + w.h * a.bool_sh + w.i * a.bool_ss + j];
#endif
        const int kv_p = CLF_KV_POS(w.b, j);
        ok = ok && clf_visible(a, q_p, q_s, kv_p, CLF_KV_SEG(w.b, j));
        const float x = ok ? clf_score(a, s[j] * a.scale, q_p, kv_p, slope, bv) : -INFINITY;
        s[j] = x;
        m = fmax(m, x); /* a NaN is passed over here and makes the sum NaN below */
    }
    m = wg_reduce(m, red, 1);
    const float base = m == -INFINITY ? 0.0f : m;
    float sum = 0.0f;
    for (int j = l; j < a.sk; j += T_WG) {
        const float x = s[j], p = x == -INFINITY ? 0.0f : exp2(x - base);
        sum += p;
        s[j] = x == -INFINITY ? -0.0f : p;
    }
    sum = wg_reduce(sum, red, 0);
    if (P_SINK)
        sum += exp2(sink2 - base);
    const float inv = sum == 0.0f ? 0.0f : 1.0f / sum;
    for (int j = l; j < a.sk; j += T_WG)
        s[j] *= inv; /* -0 stays -0 */
    if (a.want_lse && l == 0)
        lse[a.lse_off + ((long)w.b * a.hq + w.h) * a.sq + w.i] =
            sum == 0.0f ? -INFINITY : (base + log2(sum)) * CLF_LN2;
}

/* Adds what the matrix product left out: non-finite elements of V (packed as 0) under keys
 * that the row sees. Does nothing unless the flag was raised. */
__kernel __attribute__((reqd_work_group_size(T_WG, 1, 1))) void
clf_repair(__global const float *weights, __global const clf_t *v, __global float *o,
           __global const int *flag, long s_off, long o_off, long flag_off, int head0, int row0,
           const clf_attn_args a)
{
    if (flag[flag_off] == 0)
        return;
    const softmax_row w = locate(a, s_off, head0, row0);
    __global const float *p = weights + w.at;
    v += a.v_off + w.b * a.v_sb + (w.h / a.group) * a.v_sh;
    o += o_off + ((long)get_group_id(2) * get_num_groups(1) + get_group_id(1)) * P_DV;
    for (int c = get_local_id(0); c < P_DV; c += T_WG) {
        float x = o[c];
        for (int j = 0; j < a.sk; j++) {
            const float e = CLF_LOAD(v + j * a.v_ss + c);
            if (!isfinite(e) && !signbit(p[j]))
                x += p[j] * e;
        }
        o[c] = x;
    }
}
