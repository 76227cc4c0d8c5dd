/* attn_fwd_vector_few.cl -- attention forward for CPU drivers and few query rows.
 *
 * With one to sixteen queries, queries in lanes would leave most lanes idle. Here a
 * work-group is one work-item that owns T_ROWS rows (query, head) of each of T_HEADS KV
 * heads, so that all query heads of a KV head share each read of K and V, and heads that lie
 * beside each other in [B,S,H,D] are read together. Lanes run along the head dimension in q.k
 * and p.v, along keys in between (terms, masks, exponential). Keys may come in parts:
 * attn_args.h, CLF_SPLIT_FLOATS.
 *
 * P_D P_DV  head dimensions                           (problem)
 * T_W       lanes: 8 (AVX2) or 16 (AVX-512)             (tuned)
 * T_ROWS    rows per KV head of a work-group: 1, 2 or a multiple of 4
 * T_HEADS   KV heads of a work-group
 * T_BKV     keys per block: multiple of T_W
 * Needs     local memory: attn_fwd_vector_few.c, local_bytes().
 * Grid      global (row tiles of Sq * group, tiles of Hk, B * parts), local (1, 1, 1).
 * Math      docs/math.md; the same as lib/ref. */
#include "vector.clh"

#if !defined(P_D) || !defined(P_DV) || !defined(T_ROWS) || !defined(T_HEADS) ||           \
    !defined(T_BKV)
#error "attn_fwd_vector_few.cl: a macro is missing"
#endif
#if T_BKV % T_W != 0 || (T_ROWS > 2 && T_ROWS % 4 != 0)
#error "attn_fwd_vector_few.cl: T_BKV must be a multiple of T_W, T_ROWS 1, 2 or 4n"
#endif

#define FEW_RT (T_ROWS < 4 ? T_ROWS : 4)  /* rows of a register tile */
#define FEW_KT (T_W / FEW_RT)             /* its keys: T_W dot products at once */
#define FEW_DW ((P_D + T_W - 1) / T_W)    /* vectors of a row of q */
#define FEW_DVW ((P_DV + T_W - 1) / T_W)  /* vectors of a row of v */
#define FEW_DT (T_W / 4)                  /* vectors of v in a register tile */
#define FEW_TESTS (P_BAND || P_SEG || P_BOOL)
#define FEW_MASKS (FEW_TESTS || P_BIAS) /* a bias of -inf masks */

/* One KV head of what a work-group works on. */
typedef struct few_work {
    __local clf_vf *q, *o, *s; /* rows of q, rows of o, scores [row][key] */
    __local clf_vf *l;         /* running sum, one partial sum per lane */
    __local float *m;          /* running maximum */
    int b, hk, r0, n_rows;     /* rows r0 .. r0 + n_rows of Sq * group */
    int part;                  /* of the keys */
} few_work;

/* The KV head n after that of w. Scores are shared: they live for one head and block. */
CLF_INLINE few_work few_at(few_work w, int n)
{
    w.hk += n;
    w.q += n * T_ROWS * FEW_DW;
    w.o += n * T_ROWS * FEW_DVW;
    w.l += n * T_ROWS;
    w.m += n * T_ROWS;
    return w;
}

/* Row r is query r / group of query head hk * group + r % group; rows past the last
 * repeat it and are not stored. */
CLF_INLINE int few_query(few_work w, clf_attn_args a, int r)
{
    return min(w.r0 + r, w.r0 + w.n_rows - 1) / a.group;
}

CLF_INLINE int few_head(few_work w, clf_attn_args a, int r)
{
    return w.hk * a.group + min(w.r0 + r, w.r0 + w.n_rows - 1) % a.group;
}

/* Lane i of the result is the sum over the lanes of acc[i]; acc is overwritten. */
CLF_INLINE clf_vf few_reduce(clf_vf *acc)
{
    CLF_UNROLL for (int n = T_W / 2; n > 0; n /= 2) {
        CLF_UNROLL for (int i = 0; i < n; i++) {
            const clf_vf x = acc[2 * i], y = acc[2 * i + 1];
            acc[i] = (clf_vf)(x.even, y.even) + (clf_vf)(x.odd, y.odd);
        }
    }
    return acc[0];
}

/* q.k of all rows with keys [j0, j1); k points at key j0. */
CLF_INLINE void few_dots(few_work w, __global const clf_t *k, long stride, int n)
{
    for (int j = 0; j < (n + T_W - 1) / T_W * T_W; j += FEW_KT) {
        __global const clf_t *row[FEW_KT];
        CLF_UNROLL for (int u = 0; u < FEW_KT; u++) row[u] = k + min(j + u, n - 1) * stride;
        for (int r = 0; r < T_ROWS; r += FEW_RT) {
            clf_vf acc[T_W];
            CLF_UNROLL for (int i = 0; i < T_W; i++) acc[i] = (clf_vf)(0.0f);
            CLF_UNROLL_N(4) for (int c = 0; c < FEW_DW; c++) {
                clf_vf x[FEW_RT];
                CLF_UNROLL for (int i = 0; i < FEW_RT; i++) x[i] = w.q[(r + i) * FEW_DW + c];
                CLF_UNROLL for (int u = 0; u < FEW_KT; u++) {
                    const clf_vf y = vec_read_row(row[u], c, P_D);
                    CLF_UNROLL for (int i = 0; i < FEW_RT; i++)
                        acc[i * FEW_KT + u] = fma(x[i], y, acc[i * FEW_KT + u]);
                }
            }
            float t[T_W];
            VEC_STORE(few_reduce(acc), t);
            CLF_UNROLL for (int i = 0; i < FEW_RT; i++) {
                __local float *s = (__local float *)w.s + (r + i) * T_BKV + j;
                CLF_UNROLL for (int u = 0; u < FEW_KT; u++) s[u] = t[i * FEW_KT + u];
            }
        }
    }
}

#if P_BIAS
/* Bias of row (query, head) and the T_W keys from j on; the last n of them count. */
CLF_INLINE clf_vf few_bias(few_work w, clf_attn_args a, __global const void *bias, int i, int h,
                           int j, int n)
{
    const long at = a.bias_off + w.b * a.bias_sb + h * a.bias_sh + i * a.bias_ss + j;
    if (n >= T_W)
        return a.bias_f32 ? VEC_LOAD((__global const float *)bias + at)
                          : vec_read((__global const clf_t *)bias + at);
    float t[T_W];
    for (int u = 0; u < T_W; u++)
        t[u] = clf_bias(a, bias, at + min(u, n - 1));
    return VEC_LOAD(t);
}
#endif

/* Terms and tests: dot products of keys [j0, j0 + n) become scores in units of log 4,
 * -INFINITY where masked or past the end. */
CLF_INLINE void few_mask(few_work w, clf_attn_args a, int j0, int n, bool tested,
                         CLF_MASK_PARAMS int unused)
{
    for (int j = 0; j < n; j += T_W) {
        int pos[T_W], seg[T_W];
        for (int u = 0; u < T_W; u++) {
            const int key = j0 + min(j + u, n - 1);
            pos[u] = CLF_KV_POS(w.b, key);
            seg[u] = CLF_KV_SEG(w.b, key);
        }
        const clf_vi k_at = VEC_LOAD(pos), k_seg = VEC_LOAD(seg);
        const clf_vi inside = VEC_LANE_IDS < (clf_vi)(n - j);
        for (int r = 0; r < T_ROWS; r++) {
            const int i = few_query(w, a, r), h = few_head(w, a, r);
            const clf_vi q_at = (clf_vi)(CLF_Q_POS(w.b, i));
            __local clf_vf *at = w.s + (r * T_BKV + j) / T_W;
            clf_vf s = *at;
#if CLF_HAS_TERMS
            clf_vf b = (clf_vf)(0.0f);
            float slope = 0.0f;
#if P_BIAS
            b = few_bias(w, a, bias, i, h, j0 + j, n - j);
#endif
#if P_ALIBI
            slope = alibi[a.alibi_off + h];
#endif
            s = clf_score(a, s, q_at, k_at, slope, b);
#endif
            clf_vi ok = inside;
            if (FEW_TESTS && tested) {
                ok &= clf_visible(a, q_at, (clf_vi)(CLF_Q_SEG(w.b, i)), k_at, k_seg);
#if P_BOOL
                const long row = a.bool_off + w.b * a.bool_sb + h * a.bool_sh + i * a.bool_ss;
                int t[T_W];
                for (int u = 0; u < T_W; u++)
                    t[u] = boolean[row + j0 + min(j + u, n - 1)];
                ok &= VEC_LOAD(t) != (clf_vi)(0);
#endif
            }
            *at = select((clf_vf)(-INFINITY), s, ok);
        }
    }
}

CLF_INLINE float few_max(clf_vf v)
{
    float t[T_W];
    VEC_STORE(v, t);
    float m = t[0];
    for (int i = 1; i < T_W; i++)
        m = m < t[i] ? t[i] : m;
    return m;
}

/* Scores to weights; running maximum and sum; returns what the old sums are scaled by.
 * Where V needs care a masked key's weight becomes -1, as in attn_fwd_vector.cl. */
CLF_INLINE float few_weights(few_work w, int r, int n, bool careful)
{
    __local clf_vf *s = w.s + r * (T_BKV / T_W);
    const int nv = (n + T_W - 1) / T_W;
    clf_vf mx = (clf_vf)(w.m[r]);
    for (int j = 0; j < nv; j++)
        mx = vec_max(mx, s[j]);
    const float m_new = few_max(mx);
    const clf_vf m = vec_guard((clf_vf)(m_new));
    const clf_vf c = vec_exp4((clf_vf)(w.m[r]) - m);
    w.m[r] = m_new;
    clf_vf sum = w.l[r] * c;
    for (int j = 0; j < nv; j++) {
        const clf_vf x = vec_exp4(s[j] - m);
        sum += x;
        if (careful)
            s[j] = select(x, (clf_vf)(-1.0f), s[j] == (clf_vf)(-INFINITY));
        else
            s[j] = x;
    }
    w.l[r] = sum;
    return c.s0;
}

/* O of all rows = O * c + P V over n keys. */
CLF_INLINE void few_weighted_sum(few_work w, __global const clf_t *v, long stride, int n,
                                 const float *c)
{
    for (int r = 0; r < T_ROWS; r += FEW_RT) {
        for (int d = 0; d < FEW_DVW; d += FEW_DT) {
            clf_vf acc[FEW_RT][FEW_DT];
            CLF_UNROLL for (int i = 0; i < FEW_RT; i++) {
                CLF_UNROLL for (int u = 0; u < FEW_DT; u++)
                    acc[i][u] = w.o[(r + i) * FEW_DVW + min(d + u, FEW_DVW - 1)] * c[r + i];
            }
            __local const float *p = (__local const float *)w.s + r * T_BKV;
            __global const clf_t *row = v;
            CLF_UNROLL_N(2) for (int j = 0; j < n; j++, row += stride) {
                clf_vf x[FEW_DT];
                CLF_UNROLL for (int u = 0; u < FEW_DT; u++)
                    x[u] = vec_read_row(row, min(d + u, FEW_DVW - 1), P_DV);
                CLF_UNROLL for (int i = 0; i < FEW_RT; i++) {
                    const clf_vf y = (clf_vf)(p[i * T_BKV + j]);
                    CLF_UNROLL for (int u = 0; u < FEW_DT; u++)
                        acc[i][u] = fma(y, x[u], acc[i][u]);
                }
            }
            CLF_UNROLL for (int i = 0; i < FEW_RT; i++) {
                CLF_UNROLL for (int u = 0; u < FEW_DT; u++)
                    if (d + u < FEW_DVW)
                        w.o[(r + i) * FEW_DVW + d + u] = acc[i][u];
            }
        }
    }
}

#if FEW_MASKS
/* The same where V holds NaN or infinity: masked keys are left out, not multiplied by 0. */
CLF_INLINE void few_weighted_sum_careful(few_work w, __global const clf_t *v, long stride, int n,
                                         const float *c)
{
    for (int r = 0; r < T_ROWS; r++) {
        __local const float *p = (__local const float *)w.s + r * T_BKV;
        for (int d = 0; d < FEW_DVW; d++) {
            clf_vf acc = w.o[r * FEW_DVW + d] * c[r];
            for (int j = 0; j < n; j++)
                if (!(p[j] < 0.0f))
                    acc = fma((clf_vf)(p[j]), vec_read_row(v + j * stride, d, P_DV), acc);
            w.o[r * FEW_DVW + d] = acc;
        }
    }
}

CLF_INLINE bool few_non_finite(__global const clf_t *v, long stride, int n)
{
    const int exponent = 0x7f800000;
    clf_vi bad = (clf_vi)(0);
    for (int j = 0; j < n; j++)
        for (int d = 0; d < FEW_DVW; d++)
            bad |= (VEC_CAT(as_int)(vec_read_row(v + j * stride, d, P_DV)) & exponent) ==
                   (clf_vi)(exponent);
    return any(bad);
}
#endif

/* Rows of q, scaled; no key seen yet. */
CLF_INLINE void few_begin(few_work w, clf_attn_args a, __global const clf_t *q,
                          CLF_MASK_PARAMS int unused)
{
    const float scale = CLF_HAS_TERMS ? a.scale : a.scale * CLF_LOG4E;
    for (int r = 0; r < T_ROWS; r++) {
        __global const clf_t *row =
            q + a.q_off + w.b * a.q_sb + few_head(w, a, r) * a.q_sh + few_query(w, a, r) * a.q_ss;
        for (int c = 0; c < FEW_DW; c++)
            w.q[r * FEW_DW + c] = vec_read_row(row, c, P_D) * scale;
        for (int c = 0; c < FEW_DVW; c++)
            w.o[r * FEW_DVW + c] = (clf_vf)(0.0f);
        w.l[r] = (clf_vf)(0.0f);
        w.m[r] = -INFINITY;
#if P_SINK /* a key without a value, in one part; one lane counts it */
        if (w.part == 0) {
            w.m[r] = sink[a.sink_off + few_head(w, a, r)] * CLF_LOG4E;
            ((__local float *)(w.l + r))[0] = 1.0f;
        }
#endif
    }
}

/* One block of n keys from j0 on; k and v point at the first row of the head. */
CLF_INLINE void few_block(few_work w, clf_attn_args a, __global const clf_t *k,
                          __global const clf_t *v, int j0, int n, bool tested,
                          CLF_MASK_PARAMS int unused)
{
    float c[T_ROWS];
    few_dots(w, k + j0 * a.k_ss, a.k_ss, n);
    if (CLF_HAS_TERMS || tested || n % T_W != 0)
        few_mask(w, a, j0, n, tested, CLF_MASK_ARGS 0);
    v += j0 * a.v_ss;
#if FEW_MASKS
    if (tested && few_non_finite(v, a.v_ss, n)) {
        for (int r = 0; r < T_ROWS; r++)
            c[r] = few_weights(w, r, n, true);
        few_weighted_sum_careful(w, v, a.v_ss, n, c);
        return;
    }
#endif
    for (int r = 0; r < T_ROWS; r++)
        c[r] = few_weights(w, r, n, false);
    few_weighted_sum(w, v, a.v_ss, n, c);
}

CLF_INLINE void few_store(few_work w, clf_attn_args a, __global clf_t *o, __global float *lse)
{
    for (int r = 0; r < w.n_rows; r++) {
        const int h = few_head(w, a, r), i = few_query(w, a, r);
        __global clf_t *row = o + a.o_off + w.b * a.o_sb + h * a.o_sh + i * a.o_ss;
        float t[T_W];
        VEC_STORE(w.l[r], t);
        float l = 0.0f;
        for (int u = 0; u < T_W; u++)
            l += t[u];
        __local const float *from = (__local const float *)(w.o + r * FEW_DVW);
        const long at = ((long)w.b * a.hq + h) * a.sq + i;
        if (a.splits > 1) {
            const long rows = (long)a.b * a.hq * a.sq;
            __global float *record =
                lse + a.lse_off + (w.part * rows + at) * CLF_SPLIT_FLOATS(P_DV);
            for (int d = 0; d < P_DV; d++)
                record[d] = from[d];
            record[P_DV] = l;
            record[P_DV + 1] = w.m[r];
            continue;
        }
        const float inv = l == 0.0f ? 0.0f : 1.0f / l;
        for (int d = 0; d < P_DV; d++)
            CLF_STORE(from[d] * inv, row + d);
        if (a.want_lse)
            lse[a.lse_off + at] = l == 0.0f ? -INFINITY : (w.m[r] + 0.5f * log2(l)) * CLF_LN4;
    }
}

__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void
clf_attn_fwd(__global const clf_t *q, __global const clf_t *k, __global const clf_t *v,
             __global clf_t *o, __global float *lse, CLF_MASK_PARAMS const clf_attn_args a)
{
    __local clf_vf q_rows[T_HEADS * T_ROWS * FEW_DW], o_rows[T_HEADS * T_ROWS * FEW_DVW];
    __local clf_vf weights[T_ROWS * T_BKV / T_W], sums[T_HEADS * T_ROWS];
    __local float maxima[T_HEADS * T_ROWS];
    few_work w;
    w.b = get_group_id(2) % a.b;
    w.part = get_group_id(2) / a.b;
    w.hk = get_group_id(1) * T_HEADS;
    w.r0 = get_group_id(0) * T_ROWS;
    w.n_rows = min(T_ROWS, a.sq * a.group - w.r0);
    w.q = q_rows;
    w.o = o_rows;
    w.s = weights;
    w.l = sums;
    w.m = maxima;
    const int heads = min(T_HEADS, a.hk - w.hk);
    k += a.k_off + w.b * a.k_sb + w.hk * a.k_sh;
    v += a.v_off + w.b * a.v_sb + w.hk * a.v_sh;
    for (int g = 0; g < heads; g++)
        few_begin(few_at(w, g), a, q, CLF_MASK_ARGS 0);

    const int len = CLF_KV_LEN(w.b);
    const int i0 = few_query(w, a, 0), i1 = few_query(w, a, w.n_rows - 1) + 1;
#if P_BLOCKS /* block_q() of the engine covers every query */
    __global const int *q_rec = clf_q_block(a, blocks, w.b, 0);
    const int first = q_rec[CLF_BLOCK_LO] * T_BKV;
    const int last = min(q_rec[CLF_BLOCK_HI] * T_BKV, len);
#else
    const int2 range = clf_kv_range(a, i0, i1, len);
    const int first = range.x, last = range.y;
#endif
    /* This part's share of the blocks: 64 bits, as both factors may be large. */
    const long n_blocks = (max(last - first, 0) + (long)T_BKV - 1) / T_BKV;
    const int begin = first + (int)(n_blocks * w.part / a.splits * T_BKV);
    const int end = (int)min(first + n_blocks * (w.part + 1) / a.splits * T_BKV, (long)last);
    for (int j0 = begin; j0 < end; j0 += T_BKV) {
        const int n = min(T_BKV, end - j0);
#if P_BLOCKS
        const int kind = clf_block_kind(a, q_rec, clf_kv_block(a, blocks, w.b, j0 / T_BKV), a.sq,
                                        min(T_BKV, a.sk - j0));
        if (kind == CLF_EMPTY_BLOCK)
            continue;
#elif P_POS && P_BAND
        const int kind = CLF_MIXED_BLOCK;
#else
        const int kind = clf_band_kind(a, i0, i1, j0, j0 + n, len);
#endif
        for (int g = 0; g < heads; g++)
            few_block(few_at(w, g), a, k + g * a.k_sh, v + g * a.v_sh, j0, n,
                      kind != CLF_FULL_BLOCK, CLF_MASK_ARGS 0);
    }
    for (int g = 0; g < heads; g++)
        few_store(few_at(w, g), a, o, lse);
}
