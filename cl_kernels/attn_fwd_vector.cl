/* attn_fwd_vector.cl -- attention forward for CPU drivers: queries in lanes.
 *
 * A work-group is one work-item. It owns T_G groups of T_NV * T_W queries of one head.
 * Q^T and O^T lie in local memory as panels [d][query], so S^T = K Q^T and O^T += V^T P^T
 * are both acc[T_BR][T_NV] += broadcast(one scalar of K or V) * panel row: no transpose of
 * K or V, and row maximum, exponential and row sum run lane by lane.
 *
 * P_D P_DV  head dimensions                                               (problem)
 * T_W       lanes: 8 (AVX2) or 16 (AVX-512)                                 (tuned)
 * T_NV      vectors of queries in the register tile
 * T_BR      rows of the register tile: keys in K Q^T, columns of V in V^T P^T
 * T_G       groups of queries that share a pass over K and V
 * T_BKV     keys per block: multiple of T_BR
 * T_PACK    1: K and V blocks are copied to local memory as f32 (needed for 16-bit
 *           storage), 0: read where they lie
 * T_UD T_UJ unrolling of the loops over d and over keys
 * Needs     local memory: attn_fwd_vector.c, local_bytes().
 * Grid      global (query blocks, Hq, B), local (1, 1, 1).
 * Math      docs/math.md; the same as lib/ref. */
#include "vector.clh"

#if !defined(P_D) || !defined(P_DV) || !defined(T_NV) || !defined(T_BR) || !defined(T_G) ||        \
    !defined(T_BKV) || !defined(T_PACK) || !defined(T_UD) || !defined(T_UJ)
#error "attn_fwd_vector.cl: a macro is missing"
#endif
#if T_BKV % T_BR != 0 || (P_DTYPE != 0 && !T_PACK)
#error "attn_fwd_vector.cl: T_BKV must be a multiple of T_BR; 16-bit storage needs T_PACK"
#endif

#define VEC_GROUP (T_NV * T_W)                      /* queries of a group */
#define VEC_BQ (T_G * VEC_GROUP)                    /* queries of a work-group */
#define VEC_DVP ((P_DV + T_BR - 1) / T_BR * T_BR)   /* rows of the O^T panel */
/* Rows of local K and V: one cache line more where the length is a multiple of 128 bytes,
 * so that a column walk does not fall into a few cache sets. */
#define VEC_ROW(n) ((n) % 32 == 0 ? (n) + 16 : (n))

#define VEC_TESTS (P_BAND || P_SEG || P_BOOL)      /* elements may need a test */
#define VEC_MASKS (VEC_TESTS || P_BIAS)             /* keys may be masked: a bias of -inf masks */
#define VEC_BY_ARRAY (P_SEG || (P_BAND && P_POS))  /* visibility is known from arrays only */
#define VEC_Q_ARRAYS (P_SEG || P_POS)

#if T_PACK
typedef __local const float *vec_row;
#define VEC_AT(p) (*(p))
#else
typedef __global const clf_t *vec_row;
#define VEC_AT(p) CLF_LOAD(p)
#endif

/* What one work-group works on. */
typedef struct vec_work {
    __local clf_vf *q, *o, *p, *m, *l; /* panels, scores, running maximum and sum */
    __local clf_vi *q_pos, *q_seg;     /* per lane, where they come as arrays */
    int b, h, i0, n_groups, len;
    float slope;
} vec_work;

/* A block of keys [j0, j1), and its K and V rows from j0 on. */
typedef struct vec_block {
    vec_row k, v;
    long k_stride, v_stride;
    int j0, j1;
} vec_block;

/* Keys [x, y) matter to a group of queries, [fx, fy) of them need no test. */
typedef struct vec_range {
    int x, y, fx, fy;
} vec_range;

/* Q^T, scaled; lanes past the last query are zero. */
CLF_INLINE void load_queries(vec_work w, clf_attn_args a, __global const clf_t *q)
{
    const float scale = CLF_HAS_TERMS ? a.scale : a.scale * CLF_LOG4E;
    for (int v = 0; v < w.n_groups * T_NV; v++) {
        __local clf_vf *to = w.q + v / T_NV * P_D * T_NV + v % T_NV;
        const int i0 = w.i0 + v * T_W;
        for (int c = 0; c < (P_D + T_W - 1) / T_W; c++) {
            clf_vf x[T_W];
            CLF_UNROLL for (int i = 0; i < T_W; i++) {
                const clf_vf row = vec_read_row(q + min(i0 + i, a.sq - 1) * a.q_ss, c, P_D);
                x[i] = i0 + i < a.sq ? row * scale : (clf_vf)(0.0f);
            }
            vec_transpose(x);
            for (int i = 0; i < T_W && c * T_W + i < P_D; i++)
                to[(c * T_W + i) * T_NV] = x[i];
        }
    }
}

/* O of the T_W queries of vector v, from columns to rows, divided by their sums. */
CLF_INLINE void store_rows(vec_work w, clf_attn_args a, __global clf_t *o, int v)
{
    __local const clf_vf *from = w.o + v / T_NV * VEC_DVP * T_NV + v % T_NV;
    const clf_vf l = w.l[v];
    const clf_vf inv = select((clf_vf)(1.0f) / l, (clf_vf)(0.0f), l == (clf_vf)(0.0f));
    const int i0 = w.i0 + v * T_W;
    for (int c = 0; c < (P_DV + T_W - 1) / T_W; c++) {
        clf_vf x[T_W];
        CLF_UNROLL for (int i = 0; i < T_W; i++)
            x[i] = from[min(c * T_W + i, P_DV - 1) * T_NV] * inv;
        vec_transpose(x);
        for (int i = 0; i < T_W && i0 + i < a.sq; i++) {
            __global clf_t *to = o + (i0 + i) * a.o_ss + c * T_W;
            if ((c + 1) * T_W <= P_DV) {
                vec_write(x[i], to);
            } else {
                float t[T_W];
                VEC_STORE(x[i], t);
                for (int d = 0; c * T_W + d < P_DV; d++)
                    CLF_STORE(t[d], to + d);
            }
        }
    }
}

CLF_INLINE void store(vec_work w, clf_attn_args a, __global clf_t *o, __global float *lse)
{
    for (int v = 0; v < w.n_groups * T_NV; v++)
        store_rows(w, a, o, v);
    if (!a.want_lse)
        return;
    const int n = min(w.n_groups * VEC_GROUP, a.sq - w.i0);
    lse += a.lse_off + ((long)w.b * a.hq + w.h) * a.sq + w.i0;
    for (int i = 0; i < n; i++) {
        const float l = ((__local const float *)w.l)[i], m = ((__local const float *)w.m)[i];
        lse[i] = l == 0.0f ? -INFINITY : (m + 0.5f * log2(l)) * CLF_LN4;
    }
}

/* Positions of the lanes of vector v of a group that starts at query i. */
#if P_POS
#define VEC_Q_POS(w, g, v) (w).q_pos[(g) * T_NV + (v)]
#else
#define VEC_Q_POS(w, g, v) (VEC_LANE_IDS + ((w).i0 + (g) * VEC_GROUP + (v) * T_W + a.q_pos0))
#endif
#if P_SEG
#define VEC_Q_SEG(w, g, v) (w).q_seg[(g) * T_NV + (v)]
#else
#define VEC_Q_SEG(w, g, v) ((clf_vi)(0))
#endif

#if P_BIAS || P_BOOL
/* Offset of element (query, key 0) in a broadcastable [B, H, Sq, Sk] array. */
CLF_INLINE long vec_mask_row(long off, long sb, long sh, long ss, vec_work w, clf_attn_args a,
                             int i)
{
    return off + w.b * sb + w.h * sh + min(i, a.sq - 1) * ss;
}
#endif

#if P_BIAS
CLF_INLINE clf_vf load_bias(vec_work w, clf_attn_args a, __global const void *bias, int i, int j)
{
    float t[T_W];
    for (int n = 0; n < T_W; n++)
        t[n] = clf_bias(a, bias,
                        vec_mask_row(a.bias_off, a.bias_sb, a.bias_sh, a.bias_ss, w, a, i + n) + j);
    return VEC_LOAD(t);
}
#endif

#if P_BOOL
CLF_INLINE clf_vi load_bool(vec_work w, clf_attn_args a, __global const uchar *boolean, int i,
                            int j)
{
    int t[T_W];
    for (int n = 0; n < T_W; n++)
        t[n] = boolean[vec_mask_row(a.bool_off, a.bool_sb, a.bool_sh, a.bool_ss, w, a, i + n) + j];
    return VEC_LOAD(t) != (clf_vi)(0);
}
#endif

/* The part of a block that a group needs, when positions or segments come as arrays:
 * bounds over the group's lanes against each key, from both ends inwards. */
#if VEC_BY_ARRAY
CLF_INLINE vec_range trim_by_array(vec_work w, clf_attn_args a, int g, int j0, int j1,
                                   CLF_MASK_PARAMS int unused)
{
    const int i0 = w.i0 + g * VEC_GROUP, i1 = min(i0 + VEC_GROUP, a.sq);
    int seg_min = INT_MAX, seg_max = INT_MIN, pos_min = INT_MAX, pos_max = INT_MIN, live = 0;
    for (int i = i0; i < i1; i++) {
        const int s = CLF_Q_SEG(w.b, i), p = CLF_Q_POS(w.b, i);
        if (s == CLF_PADDING_SEGMENT)
            continue;
        live++;
        seg_min = min(seg_min, s);
        seg_max = max(seg_max, s);
        pos_min = min(pos_min, p);
        pos_max = max(pos_max, p);
    }
    vec_range r = {j0, j0, j0, j0};
    if (live == 0)
        return r;
    /* Positions are within +-2^30 and band ends may be INT_MIN or INT_MAX: 64 bits. */
    const long lo = P_BAND ? (long)pos_min + a.band_lo : LONG_MIN;
    const long hi = P_BAND ? (long)pos_max + a.band_hi : LONG_MAX;
#define VEC_OUTSIDE(j)                                                                             \
    (CLF_KV_SEG(w.b, j) < seg_min || CLF_KV_SEG(w.b, j) > seg_max || CLF_KV_POS(w.b, j) < lo ||    \
     CLF_KV_POS(w.b, j) > hi)
    int x = j0, y = j1;
    while (x < y && VEC_OUTSIDE(x))
        x++;
    while (x < y && VEC_OUTSIDE(y - 1))
        y--;
#undef VEC_OUTSIDE
    r.x = r.fx = r.fy = x;
    r.y = y;
    if (live < i1 - i0 || seg_min != seg_max || P_BOOL)
        return r;
    /* One segment: the keys up to the first that some lane cannot see are free. */
    const long all_lo = P_BAND ? (long)pos_max + a.band_lo : LONG_MIN;
    const long all_hi = P_BAND ? (long)pos_min + a.band_hi : LONG_MAX;
    while (r.fy < y && CLF_KV_SEG(w.b, r.fy) == seg_min && CLF_KV_POS(w.b, r.fy) >= all_lo &&
           CLF_KV_POS(w.b, r.fy) <= all_hi)
        r.fy++;
    return r;
}
#endif

/* The same by arithmetic, when only the band by index counts. */
CLF_INLINE vec_range trim_by_band(vec_work w, clf_attn_args a, int g, int j0, int j1)
{
    const int i0 = w.i0 + g * VEC_GROUP, i1 = min(i0 + VEC_GROUP, a.sq);
    vec_range r = {j0, j1, j0, j1};
#if P_BAND && !P_POS
    /* 64 bits: a band may be as wide as an int. */
    const long p0 = (long)i0 + a.q_pos0, p1 = (long)i1 - 1 + a.q_pos0;
    if (a.band_lo > INT_MIN) {
        r.x = (int)clamp(p0 + a.band_lo, (long)j0, (long)j1);
        r.fx = (int)clamp(p1 + a.band_lo, (long)j0, (long)j1);
    }
    if (a.band_hi < INT_MAX) {
        r.y = (int)clamp(p1 + a.band_hi + 1, (long)j0, (long)j1);
        r.fy = (int)clamp(p0 + a.band_hi + 1, (long)j0, (long)j1);
    }
#endif
#if P_BOOL
    r.fy = r.fx;
#endif
    return r;
}

/* S^T of keys [r.x, r.y) into w.p, -INFINITY where masked; mx gathers the maximum. */
CLF_INLINE void scores(vec_work w, vec_block k, vec_range r, clf_attn_args a, int g,
                       CLF_MASK_PARAMS clf_vf *mx)
{
    __local const clf_vf *q = w.q + g * P_D * T_NV;
    __local clf_vf *p = w.p;
    for (int j = r.x; j < r.y; j += T_BR, p += T_BR * T_NV) {
        clf_vf acc[T_BR][T_NV];
        vec_row row[T_BR];
        CLF_UNROLL for (int u = 0; u < T_BR; u++) {
            row[u] = k.k + (min(j + u, r.y - 1) - k.j0) * k.k_stride;
            CLF_UNROLL for (int v = 0; v < T_NV; v++) acc[u][v] = (clf_vf)(0.0f);
        }
        CLF_UNROLL_N(T_UD) for (int d = 0; d < P_D; d++) {
            clf_vf x[T_NV];
            CLF_UNROLL for (int v = 0; v < T_NV; v++) x[v] = q[d * T_NV + v];
            CLF_UNROLL for (int u = 0; u < T_BR; u++) {
                const clf_vf s = (clf_vf)(VEC_AT(row[u] + d));
                CLF_UNROLL for (int v = 0; v < T_NV; v++) acc[u][v] = fma(s, x[v], acc[u][v]);
            }
        }
#if CLF_HAS_TERMS
        CLF_UNROLL for (int u = 0; u < T_BR; u++) {
            const int n = min(j + u, r.y - 1);
            CLF_UNROLL for (int v = 0; v < T_NV; v++) {
                clf_vf bv = (clf_vf)(0.0f);
#if P_BIAS
                bv = load_bias(w, a, bias, w.i0 + g * VEC_GROUP + v * T_W, n);
#endif
                acc[u][v] = clf_score(a, acc[u][v], VEC_Q_POS(w, g, v),
                                      (clf_vi)(CLF_KV_POS(w.b, n)), w.slope, bv);
            }
        }
#endif
        const bool tail = j + T_BR > r.y;
        if (tail || (VEC_TESTS && (j < r.fx || j + T_BR > r.fy))) {
            CLF_UNROLL for (int u = 0; u < T_BR; u++) {
                const int n = min(j + u, r.y - 1);
                CLF_UNROLL for (int v = 0; v < T_NV; v++) {
                    clf_vi ok = clf_visible(a, VEC_Q_POS(w, g, v), VEC_Q_SEG(w, g, v),
                                            (clf_vi)(CLF_KV_POS(w.b, n)),
                                            (clf_vi)(CLF_KV_SEG(w.b, n)));
#if P_BOOL
                    ok &= load_bool(w, a, boolean, w.i0 + g * VEC_GROUP + v * T_W, n);
#endif
                    ok &= (clf_vi)(j + u < r.y ? -1 : 0);
                    acc[u][v] = select((clf_vf)(-INFINITY), acc[u][v], ok);
                }
            }
        }
        CLF_UNROLL for (int u = 0; u < T_BR; u++) {
            CLF_UNROLL for (int v = 0; v < T_NV; v++) {
                mx[v] = vec_max(mx[v], acc[u][v]);
                p[u * T_NV + v] = acc[u][v];
            }
        }
    }
}

/* Scores to weights in place; the running sum. Where V needs care, a masked key's weight
 * becomes -1, so that weighted_sum() can tell it from a weight that is merely tiny. */
CLF_INLINE void weights(vec_work w, int g, int n, bool careful, clf_vf *mx, clf_vf *c)
{
    CLF_UNROLL for (int v = 0; v < T_NV; v++) {
        const clf_vf m = vec_guard(mx[v]);
        c[v] = vec_exp4(w.m[g * T_NV + v] - m);
        w.m[g * T_NV + v] = mx[v];
        clf_vf sum = w.l[g * T_NV + v] * c[v];
        CLF_UNROLL_N(4) for (int j = 0; j < n; j++) {
            const clf_vf x = vec_exp4(w.p[j * T_NV + v] - m);
            sum += x;
            if (careful)
                w.p[j * T_NV + v] = select(x, (clf_vf)(-1.0f),
                                           w.p[j * T_NV + v] == (clf_vf)(-INFINITY));
            else
                w.p[j * T_NV + v] = x;
        }
        w.l[g * T_NV + v] = sum;
    }
}

/* O^T of the group += V^T P^T over n keys whose first row of V is `first`. */
CLF_INLINE void weighted_sum(vec_work w, vec_row first, long stride, int g, int n,
                             const clf_vf *c)
{
    for (int d = 0; d < VEC_DVP; d += T_BR) {
        __local clf_vf *o = w.o + (g * VEC_DVP + d) * T_NV;
        clf_vf acc[T_BR][T_NV];
        int at[T_BR]; /* columns past Dv read the last one; they are never stored */
        CLF_UNROLL for (int u = 0; u < T_BR; u++) {
            at[u] = P_DV % T_BR ? min(u, P_DV - 1 - d) : u;
            CLF_UNROLL for (int v = 0; v < T_NV; v++) acc[u][v] = o[u * T_NV + v] * c[v];
        }
        vec_row row = first + d; /* a walking pointer: an index per key spilled on AVX2 */
        CLF_UNROLL_N(T_UJ) for (int j = 0; j < n; j++, row += stride) {
            clf_vf x[T_NV];
            CLF_UNROLL for (int v = 0; v < T_NV; v++) x[v] = w.p[j * T_NV + v];
            CLF_UNROLL for (int u = 0; u < T_BR; u++) {
                const clf_vf s = (clf_vf)(VEC_AT(row + at[u]));
                CLF_UNROLL for (int v = 0; v < T_NV; v++) acc[u][v] = fma(s, x[v], acc[u][v]);
            }
        }
        CLF_UNROLL for (int u = 0; u < T_BR; u++) {
            CLF_UNROLL for (int v = 0; v < T_NV; v++) o[u * T_NV + v] = acc[u][v];
        }
    }
}

#if VEC_MASKS
/* The same where V holds NaN or infinity and some keys are masked: 0 * NaN is NaN. */
CLF_INLINE void weighted_sum_careful(vec_work w, vec_row first, long stride, int g, int n,
                                     const clf_vf *c)
{
    for (int d = 0; d < P_DV; d++) {
        for (int v = 0; v < T_NV; v++) {
            clf_vf acc = w.o[(g * VEC_DVP + d) * T_NV + v] * c[v];
            for (int j = 0; j < n; j++) {
                const clf_vf x = w.p[j * T_NV + v];
                const clf_vf s = (clf_vf)(VEC_AT(first + j * stride + d));
                acc = select(fma(s, x, acc), acc, x < (clf_vf)(0.0f));
            }
            w.o[(g * VEC_DVP + d) * T_NV + v] = acc;
        }
    }
}

/* Whether V of the block holds a NaN or an infinity: looked for once, when the first group
 * needs to know. */
CLF_INLINE bool any_non_finite(vec_block k, int *known)
{
    const int exponent = 0x7f800000;
    if (*known >= 0)
        return *known;
    clf_vi bad = (clf_vi)(0);
    int tail = 0;
    for (int j = 0; j < k.j1 - k.j0; j++) {
        vec_row row = k.v + j * k.v_stride;
        for (int d = 0; d + T_W <= P_DV; d += T_W)
            bad |= (VEC_CAT(as_int)(VEC_LOAD(row + d)) & exponent) == (clf_vi)(exponent);
        for (int d = P_DV / T_W * T_W; d < P_DV; d++)
            tail |= (as_int(VEC_AT(row + d)) & exponent) == exponent;
    }
    *known = any(bad) || tail;
    return *known;
}
#endif

/* One group of queries against keys r of a block. */
CLF_INLINE void group_block(vec_work w, vec_block k, vec_range r, clf_attn_args a, int g,
                            CLF_MASK_PARAMS int *non_finite)
{
    clf_vf mx[T_NV], c[T_NV];
    const int n = r.y - r.x;
    CLF_UNROLL for (int v = 0; v < T_NV; v++) mx[v] = w.m[g * T_NV + v];
    scores(w, k, r, a, g, CLF_MASK_ARGS mx);
    vec_row first = k.v + (r.x - k.j0) * k.v_stride;
#if VEC_MASKS
    if ((P_BIAS || r.x < r.fx || r.fy < r.y) && any_non_finite(k, non_finite)) {
        weights(w, g, n, true, mx, c);
        weighted_sum_careful(w, first, k.v_stride, g, n, c);
        return;
    }
#endif
    weights(w, g, n, false, mx, c);
    weighted_sum(w, first, k.v_stride, g, n, c);
}

__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void
clf_attn_fwd(__global const clf_t *q, __global const clf_t *k, __global const clf_t *v,
             __global clf_t *o, __global float *lse, CLF_MASK_PARAMS const clf_attn_args a)
{
    __local clf_vf q_panel[T_G * P_D * T_NV], o_panel[T_G * VEC_DVP * T_NV];
    __local clf_vf p_panel[(T_BKV + T_BR) * T_NV], row_max[T_G * T_NV], row_sum[T_G * T_NV];
#if VEC_Q_ARRAYS
    __local clf_vi lane_pos[T_G * T_NV], lane_seg[T_G * T_NV];
#endif
#if T_PACK
    __local float k_block[T_BKV * VEC_ROW(P_D)], v_block[T_BKV * VEC_ROW(P_DV)];
#endif
    const int qb = get_group_id(0);
    vec_work w;
    w.b = get_group_id(2);
    w.h = get_group_id(1);
    w.i0 = qb * VEC_BQ;
    w.n_groups = (min(VEC_BQ, a.sq - w.i0) + VEC_GROUP - 1) / VEC_GROUP;
    w.len = CLF_KV_LEN(w.b);
    w.q = q_panel;
    w.o = o_panel;
    w.p = p_panel;
    w.m = row_max;
    w.l = row_sum;
#if P_ALIBI
    w.slope = alibi[a.alibi_off + w.h];
#else
    w.slope = 0.0f;
#endif
    const int hk = w.h / a.group;
    q += a.q_off + w.b * a.q_sb + w.h * a.q_sh;
    k += a.k_off + w.b * a.k_sb + hk * a.k_sh;
    v += a.v_off + w.b * a.v_sb + hk * a.v_sh;
    o += a.o_off + w.b * a.o_sb + w.h * a.o_sh;

    load_queries(w, a, q);
#if VEC_Q_ARRAYS
    w.q_pos = lane_pos;
    w.q_seg = lane_seg;
    for (int i = 0; i < w.n_groups * VEC_GROUP; i++) {
        const int row = min(w.i0 + i, a.sq - 1);
        ((__local int *)lane_pos)[i] = CLF_Q_POS(w.b, row);
        ((__local int *)lane_seg)[i] = CLF_Q_SEG(w.b, row);
    }
#endif
    for (int i = 0; i < w.n_groups * VEC_DVP * T_NV; i++)
        o_panel[i] = (clf_vf)(0.0f);
    for (int i = 0; i < w.n_groups * T_NV; i++) {
#if P_SINK /* the sink is a key without a value */
        row_max[i] = (clf_vf)(sink[a.sink_off + w.h] * CLF_LOG4E);
        row_sum[i] = (clf_vf)(1.0f);
#else
        row_max[i] = (clf_vf)(-INFINITY);
        row_sum[i] = (clf_vf)(0.0f);
#endif
    }

#if P_BLOCKS
    __global const int *q_rec = clf_q_block(a, blocks, w.b, qb);
    const int first = q_rec[CLF_BLOCK_LO] * T_BKV;
    const int last = min(q_rec[CLF_BLOCK_HI] * T_BKV, w.len);
#else
    const int2 range = clf_kv_range(a, w.i0, min(w.i0 + VEC_BQ, a.sq), w.len);
    const int first = range.x, last = range.y;
#endif
    for (int j0 = first; j0 < last; j0 += T_BKV) {
        vec_block kv;
        kv.j0 = j0;
        kv.j1 = min(j0 + T_BKV, last);
        int kind = CLF_MIXED_BLOCK, non_finite = -1;
#if P_BLOCKS
        kind = clf_block_kind(a, q_rec, clf_kv_block(a, blocks, w.b, j0 / T_BKV),
                              min(VEC_BQ, a.sq - w.i0), min(T_BKV, a.sk - j0));
        if (kind == CLF_EMPTY_BLOCK)
            continue;
#endif
#if T_PACK
        for (int j = j0; j < kv.j1; j++) {
            vec_copy_row(k_block + (j - j0) * VEC_ROW(P_D), k + j * a.k_ss, P_D);
            vec_copy_row(v_block + (j - j0) * VEC_ROW(P_DV), v + j * a.v_ss, P_DV);
        }
        kv.k = k_block;
        kv.v = v_block;
        kv.k_stride = VEC_ROW(P_D);
        kv.v_stride = VEC_ROW(P_DV);
#else
        kv.k = k + j0 * a.k_ss;
        kv.v = v + j0 * a.v_ss;
        kv.k_stride = a.k_ss;
        kv.v_stride = a.v_ss;
#endif
        for (int g = 0; g < w.n_groups; g++) {
            vec_range r = {j0, kv.j1, j0, kv.j1};
            if (kind != CLF_FULL_BLOCK) {
#if VEC_BY_ARRAY
                r = trim_by_array(w, a, g, j0, kv.j1, CLF_MASK_ARGS 0);
#else
                r = trim_by_band(w, a, g, j0, kv.j1);
#endif
            }
            if (r.x < r.y)
                group_block(w, kv, r, a, g, CLF_MASK_ARGS &non_finite);
        }
    }
    store(w, a, o, lse);
}
