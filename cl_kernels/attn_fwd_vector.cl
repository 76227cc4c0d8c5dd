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
#include "vector_tile.clh"

#if !defined(P_D) || !defined(P_DV) || !defined(T_G) || !defined(T_BKV)
#error "attn_fwd_vector.cl: a macro is missing"
#endif
#if T_BKV % T_BR != 0
#error "attn_fwd_vector.cl: T_BKV must be a multiple of T_BR"
#endif

#define VEC_BQ (T_G * VEC_GROUP)  /* queries of a work-group */
#define VEC_DVP VEC_PADDED(P_DV)  /* rows of the O^T panel */
#define VEC_Q_ARRAYS (P_SEG || P_POS)

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

/* Q^T, scaled; lanes past the last query are zero. */
CLF_INLINE void load_queries(vec_work w, clf_attn_args a, __global const clf_t *q)
{
    const float scale = CLF_HAS_TERMS ? a.scale : a.scale * CLF_LOG4E;
    for (int v = 0; v < w.n_groups * T_NV; v++)
        vec_load_panel(w.q + v / T_NV * P_D * T_NV + v % T_NV, q, a.q_ss, w.i0 + v * T_W, a.sq, P_D,
                       scale);
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
        vec_panel_rows(from, c, P_DV, inv, x);
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

/* S^T of keys [r.x, r.y) into w.p, -INFINITY where masked; mx gathers the maximum. */
CLF_INLINE void scores(vec_work w, vec_block k, vec_range r, clf_attn_args a, int g,
                       CLF_MASK_PARAMS clf_vf *mx)
{
    __local const clf_vf *q = w.q + g * P_D * T_NV;
    __local clf_vf *p = w.p;
    for (int j = r.x; j < r.y; j += T_BR, p += T_BR * T_NV) {
        clf_vf acc[T_BR][T_NV];
        vec_dot(acc, k.k + (j - k.j0) * k.k_stride, k.k_stride, r.y - j, q, P_D);
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
 * is marked, so that a weight that is merely tiny counts. */
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
                w.p[j * T_NV + v] = select(x, (clf_vf)(VEC_MASKED_WEIGHT),
                                           w.p[j * T_NV + v] == (clf_vf)(-INFINITY));
            else
                w.p[j * T_NV + v] = x;
        }
        w.l[g * T_NV + v] = sum;
    }
}

/* One group of queries against keys r of a block. */
CLF_INLINE void group_block(vec_work w, vec_block k, vec_range r, clf_attn_args a, int g,
                            CLF_MASK_PARAMS int *non_finite)
{
    clf_vf mx[T_NV], c[T_NV];
    const int n = r.y - r.x;
    CLF_UNROLL for (int v = 0; v < T_NV; v++) mx[v] = w.m[g * T_NV + v];
    scores(w, k, r, a, g, CLF_MASK_ARGS mx);
    __local clf_vf *o = w.o + g * VEC_DVP * T_NV;
    vec_row first = k.v + (r.x - k.j0) * k.v_stride;
#if VEC_MASKS
    if ((P_BIAS || r.x < r.fx || r.fy < r.y) &&
        vec_non_finite(k.v, k.v_stride, k.j1 - k.j0, P_DV, non_finite)) {
        weights(w, g, n, true, mx, c);
        vec_weighted_sum_careful(o, P_DV, first, k.v_stride, n, w.p, w.p, c);
        return;
    }
#endif
    weights(w, g, n, false, mx, c);
    vec_weighted_sum(o, P_DV, first, k.v_stride, n, w.p, c);
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
                const int l0 = w.i0 + g * VEC_GROUP;
                r = vec_trim(vec_queries(w.b, a, CLF_MASK_ARGS 0), l0, min(l0 + VEC_GROUP, a.sq),
                             vec_keys(w.b, a, CLF_MASK_ARGS 0), j0, kv.j1, vec_band_of(a));
            }
            if (r.x < r.y)
                group_block(w, kv, r, a, g, CLF_MASK_ARGS &non_finite);
        }
    }
    store(w, a, o, lse);
}
