/* attn_bwd_vector.cl -- attention backward for CPU drivers: keys in lanes.
 *
 * clf_attn_bwd_vector: a work-group is one work-item. It owns one KV head and every n-th block
 * of keys, and passes over the queries of the group's heads: S and dP once, from them dV, dK and
 * its part of dQ (5 products; kernels of their own for dQ and for dK, dV would take 7). K^T,
 * V^T, dK^T and dV^T lie in local memory as panels [d][key], rows of Q and dO are broadcast:
 *   S = Q K^T, dP = dO V^T   acc[T_BR queries][T_NV] += broadcast(Q, dO) * panel row
 *   dV^T = dO^T P            acc[T_BR columns][T_NV] += broadcast(dO) * row of P
 *   dK^T = Q^T dS            the same with Q and dS
 *   dQ = dS K                acc[T_BR queries][columns of D] += broadcast(dS) * row of K
 * No reduction across lanes, no transpose in the loop over queries.
 * clf_attn_bwd_vector_dq: the parts of dQ are summed in their order. Nothing is added in an
 * order that depends on timing.
 *
 * P_D P_DV  head dimensions                                               (problem)
 * T_W       lanes: 8 (AVX2) or 16 (AVX-512)                                 (tuned)
 * T_NV      vectors of keys in the register tile
 * T_BR      rows of the register tile: queries, or columns of V and K
 * T_G       groups of T_NV * T_W keys in a block
 * T_BQ      queries per block: multiple of T_BR
 * T_PARTS   work-groups that share the keys of a KV head, each with its part of dQ
 * T_PACK    1: Q and dO blocks are copied to local memory as f32 (needed for 16-bit
 *           storage), 0: read where they lie
 * T_UD T_UJ unrolling of the loops over d and over queries or keys
 * Needs     local memory and workspace: attn_bwd_vector.c.
 * Grid      global (parts of dQ, Hk, B), then (query blocks, Hq, B); local (1, 1, 1).
 * Math      docs/math.md#backward; the same as lib/ref. */
#include "vector_tile.clh"

#include "attn_bwd.clh"

#if !defined(P_D) || !defined(P_DV) || !defined(T_G) || !defined(T_BQ) ||                     \
    !defined(T_PARTS)
#error "attn_bwd_vector.cl: a macro is missing"
#endif
#if T_BQ % T_BR != 0
#error "attn_bwd_vector.cl: T_BQ must be a multiple of T_BR"
#endif

#define VEC_BKV (T_G * VEC_GROUP)          /* keys of a block */
#define VEC_DP VEC_PADDED(P_D)             /* rows of dK^T */
#define VEC_DVP VEC_PADDED(P_DV)           /* rows of dV^T */
#define VEC_QW ((P_D + T_W - 1) / T_W)     /* vectors of a row of K and of dQ */
#define VEC_QT ((VEC_QW + T_NV - 1) / T_NV) /* tiles of such a row, as equal as can be */
#define VEC_QN ((VEC_QW + VEC_QT - 1) / VEC_QT)
#define VEC_KW (VEC_ROW(VEC_QW * T_W) / T_W)
#define VEC_K_ARRAYS (P_SEG || P_POS)

/* A KV head's block of keys. Panels of group g start at row g * P_D and so on. */
typedef struct vec_keys_block {
    __local clf_vf *kt, *vt, *dkt, *dvt;
    __local clf_vf *k;             /* rows of K */
    __local clf_vi *kv_pos, *kv_seg; /* per lane, where they come as arrays */
    int bad_k[T_G];                /* K of a group is not finite; -1 = not looked yet */
    int b, j0, n_groups, len;
} vec_keys_block;

/* A block of queries [i0, i1) of one head, and what it leaves in local memory. */
typedef struct vec_queries_block {
    vec_row q, dout; /* from i0 on */
    long q_stride, dout_stride;
    __global const float *lse4, *delta;
    __global float *dq;  /* this part's rows, from i0 on */
    __local clf_vf *p, *ds; /* of one group of keys, from the group's first query on */
    int i0, i1, h, bad_q, bad_dout;
    float slope;
} vec_queries_block;

#if P_POS
#define VEC_K_POS(k, g, v) (k).kv_pos[(g) * T_NV + (v)]
#else
#define VEC_K_POS(k, g, v) (VEC_LANE_IDS + ((k).j0 + (g) * VEC_GROUP + (v) * T_W))
#endif
#if P_SEG
#define VEC_K_SEG(k, g, v) (k).kv_seg[(g) * T_NV + (v)]
#else
#define VEC_K_SEG(k, g, v) ((clf_vi)(0))
#endif

/* ---- a block of keys ---- */

/* K^T scaled, V^T, the rows of K; sums to zero. Lanes past the last key are zero. */
CLF_INLINE void load_keys(vec_keys_block *k, clf_attn_args a, __global const clf_t *k_rows,
                          __global const clf_t *v_rows, CLF_MASK_PARAMS int n)
{
    const float scale = CLF_HAS_TERMS ? a.scale : a.scale * CLF_LOG4E;
    for (int v = 0; v < k->n_groups * T_NV; v++) {
        const int g = v / T_NV, at = v % T_NV, j = v * T_W;
        vec_load_panel(k->kt + g * P_D * T_NV + at, k_rows, a.k_ss, j, n, P_D, scale);
        vec_load_panel(k->vt + g * P_DV * T_NV + at, v_rows, a.v_ss, j, n, P_DV, 1.0f);
    }
    for (int j = 0; j < n; j++) {
        for (int c = 0; c < VEC_QW; c++)
            k->k[j * VEC_KW + c] = vec_read_row(k_rows + j * a.k_ss, c, P_D);
    }
    for (int i = 0; i < T_G * VEC_DP * T_NV; i++)
        k->dkt[i] = (clf_vf)(0.0f);
    for (int i = 0; i < T_G * VEC_DVP * T_NV; i++)
        k->dvt[i] = (clf_vf)(0.0f);
    for (int g = 0; g < T_G; g++)
        k->bad_k[g] = -1;
#if VEC_K_ARRAYS
    for (int j = 0; j < k->n_groups * VEC_GROUP; j++) {
        const int key = min(k->j0 + j, a.sk - 1);
        ((__local int *)k->kv_pos)[j] = CLF_KV_POS(k->b, key);
        ((__local int *)k->kv_seg)[j] = CLF_KV_SEG(k->b, key);
    }
#endif
}

/* T_W floats into a gradient's row at column c * T_W of `width`. */
CLF_INLINE void store_gradient(clf_vf x, __global clf_grad *row, int c, int width, float beta)
{
    row += c * T_W;
    if ((c + 1) * T_W <= width) {
#if P_GRAD_F32
        if (beta != 0.0f)
            x = fma((clf_vf)(beta), VEC_LOAD(row), x);
        VEC_STORE(x, row);
#else
        if (beta != 0.0f)
            x = fma((clf_vf)(beta), vec_read(row), x);
        vec_write(x, row);
#endif
        return;
    }
    float t[T_W];
    VEC_STORE(x, t);
    for (int d = 0; c * T_W + d < width; d++)
        CLF_GRAD_STORE(t[d], beta, row + d);
}

/* A panel of sums as rows of a gradient, keys j0 .. end; those past the length are zero. */
CLF_INLINE void store_keys(vec_keys_block k, __local const clf_vf *sums, int padded, int width,
                           float factor, float beta, __global clf_grad *to, long stride, int end)
{
    for (int j = 0; j < end - k.j0; j += T_W) {
        __local const clf_vf *from = sums + j / VEC_GROUP * padded * T_NV + j % VEC_GROUP / T_W;
        for (int c = 0; c < (width + T_W - 1) / T_W; c++) {
            clf_vf x[T_W];
            vec_panel_rows(from, c, width, (clf_vf)(factor), x);
            for (int i = 0; i < T_W && k.j0 + j + i < end; i++)
                store_gradient(k.j0 + j + i < k.len ? x[i] : (clf_vf)(0.0f), to + (j + i) * stride,
                               c, width, beta);
        }
    }
}

/* ---- weights and score gradients ---- */

#if P_BIAS || P_BOOL
/* Row i of a broadcastable [B, H, Sq, Sk] array. */
CLF_INLINE long mask_row(long off, long sb, long sh, long ss, int b, int h, int i)
{
    return off + b * sb + h * sh + i * ss;
}
#endif

#if P_BIAS
CLF_INLINE clf_vf load_bias(clf_attn_args a, __global const void *bias, long at, int n)
{
    if (n >= T_W)
        return a.bias_f32 ? VEC_LOAD((__global const float *)bias + at)
                          : vec_read((__global const clf_t *)bias + at);
    float t[T_W];
    for (int u = 0; u < T_W; u++)
        t[u] = u < n ? clf_bias(a, bias, at + u) : 0.0f;
    return VEC_LOAD(t);
}
#endif

#if P_BOOL
CLF_INLINE clf_vi load_bool(__global const uchar *boolean, long at, int n)
{
    if (n >= T_W)
        return VEC_CAT(convert_int)(VEC_LOAD(boolean + at)) != (clf_vi)(0);
    int t[T_W];
    for (int u = 0; u < T_W; u++)
        t[u] = u < n ? boolean[at + u] : 0;
    return VEC_LOAD(t) != (clf_vi)(0);
}
#endif

/* Which keys of vector v query i sees, of those that exist. */
CLF_INLINE clf_vi visible(vec_keys_block k, vec_queries_block q, clf_attn_args a, int g, int v,
                          CLF_MASK_PARAMS int i)
{
    const int j = k.j0 + g * VEC_GROUP + v * T_W;
    clf_vi ok = clf_visible(a, (clf_vi)(CLF_Q_POS(k.b, i)), (clf_vi)(CLF_Q_SEG(k.b, i)),
                            VEC_K_POS(k, g, v), VEC_K_SEG(k, g, v));
#if P_BOOL
    ok &= load_bool(boolean,
                    mask_row(a.bool_off, a.bool_sb, a.bool_sh, a.bool_ss, k.b, q.h, i) + j,
                    a.sk - j);
#endif
    return ok & (VEC_LANE_IDS + j < (clf_vi)(k.len));
}

/* P = 4^(S - LSE) of queries r and the keys of group g into q.p. */
CLF_INLINE void weights(vec_keys_block k, vec_queries_block q, vec_range r, clf_attn_args a, int g,
                        CLF_MASK_PARAMS int unused)
{
    __local const clf_vf *kt = k.kt + g * P_D * T_NV;
    const bool ragged = k.j0 + (g + 1) * VEC_GROUP > k.len;
    for (int i = r.x; i < r.y; i += T_BR) {
        __local clf_vf *p = q.p + (i - r.x) * T_NV;
        clf_vf acc[T_BR][T_NV];
        vec_dot(acc, q.q + (i - q.i0) * q.q_stride, q.q_stride, r.y - i, kt, P_D);
        const bool tests = ragged || (VEC_TESTS && (i < r.fx || i + T_BR > r.fy));
        CLF_UNROLL for (int u = 0; u < T_BR; u++) {
            const int n = min(i + u, r.y - 1);
            const clf_vf lse4 = (clf_vf)(q.lse4[n - q.i0]);
            CLF_UNROLL for (int v = 0; v < T_NV; v++) {
                clf_vf s = acc[u][v];
#if P_SOFTCAP /* its slope waits in dS */
                q.ds[(i - r.x + u) * T_NV + v] = clf_softcap_slope(a, s);
#endif
#if CLF_HAS_TERMS
                clf_vf bv = (clf_vf)(0.0f);
#if P_BIAS
                const int j = k.j0 + g * VEC_GROUP + v * T_W;
                bv = load_bias(a, bias,
                               mask_row(a.bias_off, a.bias_sb, a.bias_sh, a.bias_ss, k.b, q.h, n) +
                                   j,
                               a.sk - j);
#endif
                s = clf_score(a, s, (clf_vi)(CLF_Q_POS(k.b, n)), VEC_K_POS(k, g, v), q.slope, bv);
#endif
                clf_vf x = vec_exp4(s - lse4);
                if (P_BIAS)
                    x = select(x, (clf_vf)(VEC_MASKED_WEIGHT), s == (clf_vf)(-INFINITY));
                if (tests)
                    x = select((clf_vf)(VEC_MASKED_WEIGHT), x,
                               visible(k, q, a, g, v, CLF_MASK_ARGS n));
                p[u * T_NV + v] = x;
            }
        }
    }
}

/* dS = P (dP - delta), times the softcap's slope, into q.ds; 0 where masked. */
CLF_INLINE void score_gradients(vec_keys_block k, vec_queries_block q, vec_range r, int g)
{
    __local const clf_vf *vt = k.vt + g * P_DV * T_NV;
    for (int i = r.x; i < r.y; i += T_BR) {
        __local const clf_vf *p = q.p + (i - r.x) * T_NV;
        __local clf_vf *ds = q.ds + (i - r.x) * T_NV;
        clf_vf acc[T_BR][T_NV];
        vec_dot(acc, q.dout + (i - q.i0) * q.dout_stride, q.dout_stride, r.y - i, vt, P_DV);
        CLF_UNROLL for (int u = 0; u < T_BR; u++) {
            const clf_vf delta = (clf_vf)(q.delta[min(i + u, r.y - 1) - q.i0]);
            CLF_UNROLL for (int v = 0; v < T_NV; v++) {
                const clf_vf w = p[u * T_NV + v];
                clf_vf x = w * (acc[u][v] - delta);
#if P_SOFTCAP
                x *= ds[u * T_NV + v];
#endif
                ds[u * T_NV + v] = select(x, (clf_vf)(0.0f), vec_masked(w));
            }
        }
    }
}

/* ---- dQ ---- */

/* Columns [c0, c0 + nv) vectors of dQ of queries r += dS K over n keys of group g. */
CLF_INLINE void add_query_columns(vec_keys_block k, vec_queries_block q, vec_range r, int g, int n,
                                  int c0, const int nv)
{
    for (int i = r.x; i < r.y; i += T_BR) {
        __global float *dq[T_BR];
        clf_vf acc[T_BR][VEC_QN];
        CLF_UNROLL for (int u = 0; u < T_BR; u++) {
            dq[u] = q.dq + (min(i + u, r.y - 1) - q.i0) * (VEC_QW * T_W) + c0 * T_W;
            CLF_UNROLL for (int v = 0; v < nv; v++) acc[u][v] = VEC_LOAD(dq[u] + v * T_W);
        }
        __local const float *ds = (__local const float *)(q.ds + (i - r.x) * T_NV);
        __local const clf_vf *row = k.k + g * VEC_GROUP * VEC_KW + c0;
        CLF_UNROLL_N(T_UJ) for (int j = 0; j < n; j++, row += VEC_KW) {
            clf_vf x[VEC_QN];
            CLF_UNROLL for (int v = 0; v < nv; v++) x[v] = row[v];
            CLF_UNROLL for (int u = 0; u < T_BR; u++) {
                const clf_vf s = (clf_vf)(ds[u * VEC_GROUP + j]);
                CLF_UNROLL for (int v = 0; v < nv; v++) acc[u][v] = fma(s, x[v], acc[u][v]);
            }
        }
        CLF_UNROLL for (int u = 0; u < T_BR; u++) {
            if (i + u < r.y) {
                CLF_UNROLL for (int v = 0; v < nv; v++) VEC_STORE(acc[u][v], dq[u] + v * T_W);
            }
        }
    }
}

CLF_INLINE void add_queries(vec_keys_block k, vec_queries_block q, vec_range r, int g, int n)
{
    int c = 0;
    for (; c + VEC_QN <= VEC_QW; c += VEC_QN)
        add_query_columns(k, q, r, g, n, c, VEC_QN);
    if (VEC_QW % VEC_QN != 0)
        add_query_columns(k, q, r, g, n, c, VEC_QW % VEC_QN);
}

#if VEC_MASKS
/* The same where K holds NaN or infinity: masked keys are left out. */
CLF_INLINE void add_queries_careful(vec_keys_block k, vec_queries_block q, vec_range r, int g,
                                    int n)
{
    for (int i = r.x; i < r.y; i++) {
        __local const float *ds = (__local const float *)(q.ds + (i - r.x) * T_NV);
        __local const int *p = (__local const int *)(q.p + (i - r.x) * T_NV);
        for (int c = 0; c < VEC_QW; c++) {
            __global float *dq = q.dq + (i - q.i0) * (VEC_QW * T_W) + c * T_W;
            clf_vf acc = VEC_LOAD(dq);
            for (int j = 0; j < n; j++)
                if (p[j] != INT_MIN)
                    acc = fma((clf_vf)(ds[j]), k.k[(g * VEC_GROUP + j) * VEC_KW + c], acc);
            VEC_STORE(acc, dq);
        }
    }
}

CLF_INLINE bool bad_keys(vec_keys_block *k, int g, int n)
{
    if (k->bad_k[g] < 0) {
        const int exponent = 0x7f800000;
        clf_vi bad = (clf_vi)(0);
        for (int j = 0; j < n; j++) {
            for (int c = 0; c < VEC_QW; c++) {
                const clf_vf x = k->k[(g * VEC_GROUP + j) * VEC_KW + c];
                bad |= (VEC_CAT(as_int)(x) & exponent) == (clf_vi)(exponent);
            }
        }
        k->bad_k[g] = any(bad);
    }
    return k->bad_k[g];
}
#endif

/* ---- a group of keys against queries r of a block ---- */

CLF_INLINE void group_block(vec_keys_block *k, vec_queries_block *q, vec_range r,
                            clf_attn_bwd_args x, int g, CLF_MASK_PARAMS int unused)
{
    const int n = min(VEC_GROUP, k->len - k->j0 - g * VEC_GROUP), rows = r.y - r.x;
    vec_row dout = q->dout + (r.x - q->i0) * q->dout_stride;
    vec_row query = q->q + (r.x - q->i0) * q->q_stride;
    __local clf_vf *dvt = k->dvt + g * VEC_DVP * T_NV, *dkt = k->dkt + g * VEC_DP * T_NV;
    bool careful_q = false, careful_dout = false, careful_k = false;
    clf_vf one[T_NV];
    CLF_UNROLL for (int v = 0; v < T_NV; v++) one[v] = (clf_vf)(1.0f);
#if VEC_MASKS
    if (P_BIAS || r.x < r.fx || r.fy < r.y) {
        const int nq = q->i1 - q->i0;
        careful_dout = vec_non_finite(q->dout, q->dout_stride, nq, P_DV, &q->bad_dout);
        careful_q = vec_non_finite(q->q, q->q_stride, nq, P_D, &q->bad_q);
        careful_k = bad_keys(k, g, n);
    }
#endif
    weights(*k, *q, r, x.f, g, CLF_MASK_ARGS 0);
    if (x.want_dv) {
#if VEC_MASKS
        if (careful_dout)
            vec_weighted_sum_careful(dvt, P_DV, dout, q->dout_stride, rows, q->p, q->p, one);
#endif
        if (!careful_dout)
            vec_weighted_sum(dvt, P_DV, dout, q->dout_stride, rows, q->p, one);
    }
    if (!x.want_dk && !x.want_dq)
        return;
    score_gradients(*k, *q, r, g);
    if (x.want_dk) {
#if VEC_MASKS
        if (careful_q)
            vec_weighted_sum_careful(dkt, P_D, query, q->q_stride, rows, q->ds, q->p, one);
#endif
        if (!careful_q)
            vec_weighted_sum(dkt, P_D, query, q->q_stride, rows, q->ds, one);
    }
    if (x.want_dq) {
#if VEC_MASKS
        if (careful_k)
            add_queries_careful(*k, *q, r, g, n);
#endif
        if (!careful_k)
            add_queries(*k, *q, r, g, n);
    }
}

/* The queries that keys [j0, j1) of a block may matter to, by the band or the block mask. */
CLF_INLINE int2 query_range(vec_keys_block k, clf_attn_args a, int j1, CLF_MASK_PARAMS int unused)
{
#if P_BLOCKS
    __global const int *record = clf_kv_block(a, blocks, k.b, k.j0 / VEC_BKV);
    return (int2)(record[CLF_BLOCK_LO] * T_BQ, min(record[CLF_BLOCK_HI] * T_BQ, a.sq));
#else
    const vec_band band = vec_band_of(a), turned = {-band.hi, -band.lo};
    const vec_range r = vec_trim(vec_keys(k.b, a, CLF_MASK_ARGS 0), k.j0, j1,
                                 vec_queries(k.b, a, CLF_MASK_ARGS 0), 0, a.sq, turned);
    return (int2)(r.x, r.y);
#endif
}

/* Row of this part of dQ. */
#define VEC_DQ_ROW(part, b, h, i)                                                                  \
    (work + x.scratch_off +                                                                        \
     ((((long)(part) * x.f.b + (b)) * x.f.hq + (h)) * x.f.sq + (i)) * (VEC_QW * T_W))

__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void clf_attn_bwd_vector(CLF_BWD_PARAMS)
{
    __local clf_vf kt[T_G * P_D * T_NV], vt[T_G * P_DV * T_NV], k_rows[VEC_BKV * VEC_KW];
    __local clf_vf dkt[T_G * VEC_DP * T_NV], dvt[T_G * VEC_DVP * T_NV];
    __local clf_vf p[T_BQ * T_NV], ds[T_BQ * T_NV];
#if VEC_K_ARRAYS
    __local clf_vi lane_pos[T_G * T_NV], lane_seg[T_G * T_NV];
#endif
#if T_PACK
    __local float q_block[T_BQ * VEC_ROW(P_D)], dout_block[T_BQ * VEC_ROW(P_DV)];
#endif
    const clf_attn_args a = x.f;
    const int part = get_group_id(0), hk = get_group_id(1), b = get_group_id(2);
    const vec_band band = vec_band_of(a), turned = {-band.hi, -band.lo};
    vec_keys_block kb;
    vec_queries_block qb;
    kb.kt = kt;
    kb.vt = vt;
    kb.dkt = dkt;
    kb.dvt = dvt;
    kb.k = k_rows;
#if VEC_K_ARRAYS
    kb.kv_pos = lane_pos;
    kb.kv_seg = lane_seg;
#endif
    kb.b = b;
    kb.len = CLF_KV_LEN(b);
    qb.p = p;
    qb.ds = ds;

    for (int h = hk * a.group; x.want_dq && h < (hk + 1) * a.group; h++) {
        __global float *dq_part = VEC_DQ_ROW(part, b, h, 0);
        for (long i = 0; i < (long)a.sq * VEC_QW; i++)
            VEC_STORE((clf_vf)(0.0f), dq_part + i * T_W);
    }
    for (int j0 = part * VEC_BKV; j0 < a.sk; j0 += get_num_groups(0) * VEC_BKV) {
        const int j1 = min(j0 + VEC_BKV, kb.len), end = min(j0 + VEC_BKV, a.sk);
        kb.j0 = j0;
        kb.n_groups = j0 < j1 ? (j1 - j0 + VEC_GROUP - 1) / VEC_GROUP : 0;
        load_keys(&kb, a, k + a.k_off + b * a.k_sb + hk * a.k_sh + j0 * a.k_ss,
                  v + a.v_off + b * a.v_sb + hk * a.v_sh + j0 * a.v_ss, CLF_MASK_ARGS j1 - j0);
        int2 range = (int2)(0, 0);
        if (j0 < j1)
            range = query_range(kb, a, j1, CLF_MASK_ARGS 0);
        for (int h = hk * a.group; h < (hk + 1) * a.group; h++) {
            qb.h = h;
#if P_ALIBI
            qb.slope = alibi[a.alibi_off + h];
#else
            qb.slope = 0.0f;
#endif
            __global const clf_t *q_head = q + a.q_off + b * a.q_sb + h * a.q_sh;
            __global const clf_t *dout_head = dout + x.do_off + b * x.do_sb + h * x.do_sh;
            for (int i0 = range.x; i0 < range.y; i0 += T_BQ) {
                qb.i0 = i0;
                qb.i1 = min(i0 + T_BQ, range.y);
                int kind = CLF_MIXED_BLOCK;
#if P_BLOCKS
                kind = clf_block_kind(a, clf_q_block(a, blocks, b, i0 / T_BQ),
                                      clf_kv_block(a, blocks, b, j0 / VEC_BKV),
                                      min(T_BQ, a.sq - i0), min(VEC_BKV, a.sk - j0));
                if (kind == CLF_EMPTY_BLOCK)
                    continue;
#endif
                qb.bad_q = qb.bad_dout = -1;
                qb.lse4 = &CLF_BWD_LSE4(CLF_BWD_ROW(b, h, i0));
                qb.delta = &CLF_BWD_DELTA(CLF_BWD_ROW(b, h, i0));
                qb.dq = VEC_DQ_ROW(part, b, h, i0);
#if T_PACK
                for (int i = i0; i < qb.i1; i++) {
                    vec_copy_row(q_block + (i - i0) * VEC_ROW(P_D), q_head + i * a.q_ss, P_D);
                    vec_copy_row(dout_block + (i - i0) * VEC_ROW(P_DV), dout_head + i * x.do_ss,
                                 P_DV);
                }
                qb.q = q_block;
                qb.dout = dout_block;
                qb.q_stride = VEC_ROW(P_D);
                qb.dout_stride = VEC_ROW(P_DV);
#else
                qb.q = q_head + i0 * a.q_ss;
                qb.dout = dout_head + i0 * x.do_ss;
                qb.q_stride = a.q_ss;
                qb.dout_stride = x.do_ss;
#endif
                for (int g = 0; g < kb.n_groups; g++) {
                    vec_range r = {i0, qb.i1, i0, qb.i1};
                    const int l0 = j0 + g * VEC_GROUP;
                    if (kind != CLF_FULL_BLOCK)
                        r = vec_trim(vec_keys(b, a, CLF_MASK_ARGS 0), l0, min(l0 + VEC_GROUP, j1),
                                     vec_queries(b, a, CLF_MASK_ARGS 0), i0, qb.i1, turned);
                    if (r.x < r.y)
                        group_block(&kb, &qb, r, x, g, CLF_MASK_ARGS 0);
                }
            }
        }
        if (x.want_dk)
            store_keys(kb, dkt, VEC_DP, P_D, a.scale, x.beta_dk,
                       dk + x.dk_off + b * x.dk_sb + hk * x.dk_sh + j0 * x.dk_ss, x.dk_ss, end);
        if (x.want_dv)
            store_keys(kb, dvt, VEC_DVP, P_DV, 1.0f, x.beta_dv,
                       dv + x.dv_off + b * x.dv_sb + hk * x.dv_sh + j0 * x.dv_ss, x.dv_ss, end);
    }
}

__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void clf_attn_bwd_vector_dq(CLF_BWD_PARAMS)
{
    const clf_attn_args a = x.f;
    const int i0 = get_group_id(0) * T_BQ, h = get_group_id(1), b = get_group_id(2);
    if (!x.want_dq)
        return;
    dq += x.dq_off + b * x.dq_sb + h * x.dq_sh;
    for (int i = i0; i < min(i0 + T_BQ, a.sq); i++) {
        for (int c = 0; c < VEC_QW; c++) {
            clf_vf sum = VEC_LOAD(VEC_DQ_ROW(0, b, h, i) + c * T_W);
            for (int part = 1; part < min(T_PARTS, (a.sk + VEC_BKV - 1) / VEC_BKV); part++)
                sum += VEC_LOAD(VEC_DQ_ROW(part, b, h, i) + c * T_W);
            store_gradient(sum * a.scale, dq + i * x.dq_ss, c, P_D, x.beta_dq);
        }
    }
}
