/* attn_softmax.cl -- standard attention's softmax over scores in memory, in place: every
 * term and every mask, sink, LSE.
 *
 * In: s = q.k. Out: weights exp(s - max), not normalised: 0 exactly where the key is not
 * visible and positive where it is; row_scale = 1 / sum, which clf_unpack applies to o.
 *
 * CLF_LANES  keys at a time: 8 or 16 on CPUs, 1 on GPUs                          (device)
 * T_WG       work-items per row: 1 on CPUs, a power of two on GPUs
 * Needs      local memory 4 * T_WG bytes; rows of s padded to CLF_LANES.
 * Grid       global (T_WG * rows, group, pairs), local (T_WG, 1, 1).
 * Math       docs/math.md#softmax; checked against lib/ref/ref_attn_fwd.c. */
#include "scores.clh"

#ifndef T_WG
#error "attn_softmax.cl: the host must pass T_WG"
#endif

CLF_INLINE float lanes_max(clf_vf v)
{
    float t[CLF_LANES];
    V_STORE(v, t);
    for (int l = 1; l < CLF_LANES; l++)
        t[0] = fmax(t[0], t[l]);
    return t[0];
}

CLF_INLINE float lanes_sum(clf_vf v)
{
    float t[CLF_LANES];
    V_STORE(v, t);
    for (int l = 1; l < CLF_LANES; l++)
        t[0] += t[l];
    return t[0];
}

/* Over the work-group; fmax lets a NaN pass by, the sum keeps it. */
CLF_INLINE float group_reduce(__local float *t, int lid, float value, int sum)
{
    barrier(CLK_LOCAL_MEM_FENCE);
    t[lid] = value;
    for (int half_wg = T_WG / 2; half_wg > 0; half_wg /= 2) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (lid < half_wg)
            t[lid] = sum ? t[lid] + t[lid + half_wg] : fmax(t[lid], t[lid + half_wg]);
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    return t[0];
}

__kernel __attribute__((reqd_work_group_size(T_WG, 1, 1))) void
clf_attn_softmax(__global float *work, __global float *lse, CLF_MASK_PARAMS const clf_attn_args a,
                 const long s_off, const long scale_off, const long ld, const int pair0,
                 const int row0)
{
    __local float reduced[T_WG];
    const int lid = get_local_id(0), pair = pair0 + (int)get_group_id(2);
    const int b = pair / a.hk, h = (pair % a.hk) * a.group + (int)get_group_id(1);
    const int i = row0 + (int)get_group_id(0);
    const long row =
        ((long)get_group_id(2) * get_num_groups(1) + get_group_id(1)) * get_num_groups(0) +
        get_group_id(0);
    __global float *s = work + s_off + row * ld;
    const clf_score_row r = clf_get_score_row(CLF_MASK_ARGS a, b, h, i);

    /* Scores in units of log 4; -inf where the key is not visible. */
    clf_vf most = (clf_vf)(-INFINITY);
    for (int j = lid * CLF_LANES; j < a.sk; j += T_WG * CLF_LANES) {
        clf_vi sees;
        const clf_vf x =
            clf_masked_score(CLF_MASK_ARGS a, r, j, a.scale * V_LOAD(s + j), &sees);
        V_STORE(x, s + j);
        most = fmax(most, x);
    }
    float top = group_reduce(reduced, lid, lanes_max(most), 0);
#if P_SINK
    const float sink_logit = sink[a.sink_off + h] * CLF_LOG4E;
    top = fmax(top, sink_logit);
#endif
    const float base = top == -INFINITY ? 0.0f : top; /* no visible key: exp2(-inf) = 0 */

    clf_vf sums = (clf_vf)(0.0f);
    for (int j = lid * CLF_LANES; j < a.sk; j += T_WG * CLF_LANES) {
        const clf_vf x = V_LOAD(s + j), y = x - base;
        /* A visible weight may underflow, yet a NaN or Inf of v that it meets counts. */
        clf_vf kept = fmax(exp2(2.0f * y), (clf_vf)(0x1p-126f));
        kept = V_SELECT(kept, (clf_vf)(0.0f), x == (clf_vf)(-INFINITY));
        kept = V_SELECT(kept, y, isnan(y)); /* a visible NaN, or inf - inf */
        V_STORE(kept, s + j);
        sums += kept;
    }
    float sum = group_reduce(reduced, lid, lanes_sum(sums), 1);
#if P_SINK
    sum += exp2(2.0f * (sink_logit - base));
#endif
    if (lid == 0) {
        work[scale_off + row] = sum == 0.0f ? 0.0f : 1.0f / sum;
        if (a.want_lse)
            lse[a.lse_off + ((long)b * a.hq + h) * a.sq + i] = (base + 0.5f * log2(sum)) * CLF_LN4;
    }
}
