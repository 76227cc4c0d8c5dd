/* attn_fwd_simt.cl -- attention forward for any GPU: OpenCL C 1.2 core, no extension.
 *
 * A work-group owns T_BM queries of one head and walks over blocks of T_BN keys. Work-item
 * (tx, ty) holds in registers the scores of queries ty*TM..+TM against keys tx*TN..+TN, then
 * the output of the same queries in the float4 columns tx + T_WX*g. Q, K, V and P lie in
 * local memory as float4 rows; query r in row (r % TM) * T_WY + r / TM and key n in row
 * (n % TN) * T_WX + n / TN, so that neighbours read neighbouring rows, while one item's (and
 * so one hardware warp's) queries follow each other and can skip blocks that they do not see.
 *
 * The running maximum is raised, and O rescaled, only in a turn in which some row of the
 * group rose by more than 2^8; sum and output share the maximum, so the result is exact.
 *
 * P_D P_DV     head dimensions                                            (problem)
 * T_BM T_BN    queries and keys of a block                                  (tuned)
 * T_WX T_WY    work-items over keys and over queries; T_WX divides T_BN, T_WY divides T_BM
 * T_ALIAS      1: P shares K's tile: less local memory, one barrier more
 * T_PREV       V's block waits in registers: 0 not, 1 during Q K^T, 2 during the softmax
 * T_PREK       1: the next block of K is fetched during P V
 * T_UQ T_UP    float4 steps unrolled in Q K^T and in P V (less where they do not divide)
 * D_NATIVE_EXP2 1: native_exp2(-INFINITY) is 0 on this device               (device)
 * Needs        local memory: attn_fwd_simt.c, local_bytes().
 * Grid         global (T_WX * T_WY * query blocks * Hq * B), local (T_WX * T_WY).
 * Math         docs/math.md; the same as lib/ref. */
#define CLF_LANES 1
#include "mask.clh"

#if !defined(P_D) || !defined(P_DV) || !defined(T_BM) || !defined(T_BN) || !defined(T_WX) ||       \
    !defined(T_WY) || !defined(T_ALIAS) || !defined(T_PREV) || !defined(T_PREK) ||                 \
    !defined(T_UQ) || !defined(T_UP) || !defined(D_NATIVE_EXP2)
#error "attn_fwd_simt.cl: a macro is missing"
#endif
#if T_BM % T_WY != 0 || T_BN % T_WX != 0 || T_BN % 4 != 0 || T_WX % 4 != 0
#error "attn_fwd_simt.cl: T_WY must divide T_BM, T_WX divide T_BN, 4 divide T_BN and T_WX"
#endif

#define SIMT_WG (T_WX * T_WY)
#define SIMT_TM (T_BM / T_WY)                      /* queries of an item */
#define SIMT_TN (T_BN / T_WX)                      /* keys of an item */
#define SIMT_D4 ((P_D + 3) / 4)                    /* float4 of a row of Q and K */
#define SIMT_DV4 ((P_DV + 3) / 4)                  /* of a row of V and O */
#define SIMT_TD ((SIMT_DV4 + T_WX - 1) / T_WX)     /* float4 of O per query of an item */
#define SIMT_QS (SIMT_D4 | 1)                      /* row strides of the tiles: odd, and */
#define SIMT_PS (T_BN / 4 + T_WX / 4)              /* T_WX floats more: different banks */
#define SIMT_VS (SIMT_TD * T_WX)                   /* past SIMT_DV4: zeros */
#define SIMT_K_FETCH ((T_BN * SIMT_D4 + SIMT_WG - 1) / SIMT_WG) /* float4 per item and block */
#define SIMT_V_FETCH ((T_BN * SIMT_VS + SIMT_WG - 1) / SIMT_WG)

/* The largest power of two up to `most` that divides n. */
#define SIMT_STEP(n, most)                                                                         \
    ((most) >= 8 && (n) % 8 == 0 ? 8                                                               \
                                 : ((most) >= 4 && (n) % 4 == 0 ? 4                                \
                                                                : ((most) >= 2 && (n) % 2 == 0 ? 2 : 1)))
#define SIMT_UQ SIMT_STEP(SIMT_D4, T_UQ)
#define SIMT_UP SIMT_STEP(T_BN / 4, T_UP)

#define SIMT_TESTS (P_BAND || P_SEG || P_BOOL) /* elements may need a test beside the length */
#define SIMT_MASKED_BITS 0x80000000u           /* -0.0f: the weight of a masked key */

#if D_NATIVE_EXP2
#define SIMT_EXP2(x) native_exp2(x)
#else
#define SIMT_EXP2(x) exp2(x)
#endif

/* Four elements at an address that is a multiple of their size. */
#if P_DTYPE == 0
#define SIMT_READ4(p) (*(__global const float4 *)(p))
#define SIMT_WRITE4(v, p) (*(__global float4 *)(p) = (v))
#elif P_DTYPE == 1
#define SIMT_READ4(p) vloada_half4(0, p)
#define SIMT_WRITE4(v, p) vstorea_half4_rte(v, 0, p)
#else
#define SIMT_READ4(p) as_float4(convert_uint4(*(__global const ushort4 *)(p)) << 16)
#define SIMT_WRITE4(v, p) (*(__global ushort4 *)(p) = clf_bf16_4(v))
#endif

/* Whether rows from p on, `stride` apart and n long, may be read by four elements. */
CLF_INLINE bool simt_by_four(__global const clf_t *p, long stride, int n)
{
    return n % 4 == 0 && (size_t)p % (4 * sizeof(clf_t)) == 0 && stride % 4 == 0;
}

/* Elements c..c+3 of a row of n, wherever it lies; zeros past its end. */
CLF_INLINE float4 simt_read_any(__global const clf_t *row, int c, int n)
{
    float4 v = (float4)(0.0f);
    if (n % 4 == 0 ? c < n : c + 4 <= n) {
        v = (float4)(CLF_LOAD(row + c), CLF_LOAD(row + c + 1), CLF_LOAD(row + c + 2),
                     CLF_LOAD(row + c + 3));
    } else if (n % 4 != 0) {
        if (c < n)
            v.x = CLF_LOAD(row + c);
        if (c + 1 < n)
            v.y = CLF_LOAD(row + c + 1);
        if (c + 2 < n)
            v.z = CLF_LOAD(row + c + 2);
    }
    return v;
}

/* An item's share of a block of K or V, as float4 in r[count]: element e = tid + i * SIMT_WG
 * of a tile of `cols` float4 per row. Rows from `rows` on, and columns from n on, are zeros.
 * whole: every row exists and may be read by four. */
CLF_INLINE void simt_fetch(float4 *r, __global const clf_t *from, long stride, bool whole,
                           int rows, uint tid, const uint count, const uint cols, const int n)
{
    if (whole && SIMT_WG % cols == 0 && (cols * 4 == (uint)n)) {
        __global const clf_t *p = from + (int)(tid / cols) * stride + tid % cols * 4;
        const long step = stride * (SIMT_WG / cols);
        CLF_UNROLL for (uint i = 0; i < count; i++) {
            r[i] = T_BN * cols % SIMT_WG == 0 || tid + i * SIMT_WG < T_BN * cols
                       ? SIMT_READ4(p)
                       : (float4)(0.0f);
            p += step;
        }
        return;
    }
    CLF_UNROLL for (uint i = 0; i < count; i++) {
        const uint e = tid + i * SIMT_WG;
        const int row = e / cols, c = e % cols * 4;
        r[i] = (float4)(0.0f);
        if (row < rows && row < T_BN && c < n) {
            __global const clf_t *p = from + row * stride;
            if (whole)
                r[i] = SIMT_READ4(p + c);
            else
                r[i] = simt_read_any(p, c, n);
        }
    }
}

CLF_INLINE void simt_store_k(__local float4 *to, const float4 *r, uint tid)
{
    CLF_UNROLL for (uint i = 0; i < SIMT_K_FETCH; i++) {
        const uint e = tid + i * SIMT_WG, row = e / SIMT_D4;
        if (T_BN * SIMT_D4 % SIMT_WG == 0 || row < T_BN)
            to[(row % SIMT_TN * T_WX + row / SIMT_TN) * SIMT_QS + e % SIMT_D4] = r[i];
    }
}

CLF_INLINE void simt_store_v(__local float4 *to, const float4 *r, uint tid)
{
    CLF_UNROLL for (uint i = 0; i < SIMT_V_FETCH; i++) {
        const uint e = tid + i * SIMT_WG;
        if (T_BN * SIMT_VS % SIMT_WG == 0 || e < T_BN * SIMT_VS)
            to[e] = r[i];
    }
}

CLF_INLINE bool simt_non_finite(const float4 *r)
{
    int ok = 1;
    CLF_UNROLL for (uint i = 0; i < SIMT_V_FETCH; i++) ok = ok && all(isfinite(r[i]));
    return !ok;
}

/* s = Q K^T. The pointers step, so that every read is base + constant; component by
 * component, so that neighbouring multiply-adds are independent. */
CLF_INLINE void simt_scores(float s[SIMT_TM][SIMT_TN], __local const float4 *q,
                            __local const float4 *k)
{
    CLF_UNROLL for (int i = 0; i < SIMT_TM; i++)
        CLF_UNROLL for (int j = 0; j < SIMT_TN; j++) s[i][j] = 0.0f;
    for (int d = 0; d < SIMT_D4; d += SIMT_UQ) {
        CLF_UNROLL for (int u = 0; u < SIMT_UQ; u++) {
            float4 kv[SIMT_TN], qv[SIMT_TM];
            CLF_UNROLL for (int j = 0; j < SIMT_TN; j++) kv[j] = k[j * (T_WX * SIMT_QS) + u];
            CLF_UNROLL for (int i = 0; i < SIMT_TM; i++) qv[i] = q[i * (T_WY * SIMT_QS) + u];
#define SIMT_QK(c)                                                                                 \
    CLF_UNROLL for (int i = 0; i < SIMT_TM; i++)                                                   \
        CLF_UNROLL for (int j = 0; j < SIMT_TN; j++) s[i][j] = mad(qv[i].c, kv[j].c, s[i][j]);
            SIMT_QK(x)
            SIMT_QK(y)
            SIMT_QK(z)
            SIMT_QK(w)
        }
        q += SIMT_UQ;
        k += SIMT_UQ;
    }
}

/* o += P V. */
CLF_INLINE void simt_weighted_sum(float4 o[SIMT_TM][SIMT_TD], __local const float4 *p,
                                  __local const float4 *v)
{
    for (int e = 0; e < T_BN / 4; e += SIMT_UP) {
        CLF_UNROLL for (int u = 0; u < SIMT_UP; u++) {
            float4 pv[SIMT_TM];
            CLF_UNROLL for (int i = 0; i < SIMT_TM; i++) pv[i] = p[i * (T_WY * SIMT_PS) + u];
#define SIMT_PV(c, t)                                                                              \
    {                                                                                              \
        float4 vv[SIMT_TD];                                                                        \
        CLF_UNROLL for (int g = 0; g < SIMT_TD; g++) vv[g] = v[(u * 4 + t) * SIMT_VS + T_WX * g];  \
        CLF_UNROLL for (int i = 0; i < SIMT_TM; i++)                                               \
            CLF_UNROLL for (int g = 0; g < SIMT_TD; g++)                                           \
                o[i][g] = mad((float4)(pv[i].c), vv[g], o[i][g]);                                  \
    }
            SIMT_PV(x, 0)
            SIMT_PV(y, 1)
            SIMT_PV(z, 2)
            SIMT_PV(w, 3)
        }
        p += SIMT_UP;
        v += SIMT_UP * 4 * SIMT_VS;
    }
}

/* The same where V holds NaN or infinities under keys that some rows cannot see. */
CLF_INLINE void simt_weighted_sum_careful(float4 o[SIMT_TM][SIMT_TD], __local const float *p,
                                          __local const float4 *v)
{
    for (int j = 0; j < T_BN; j++) {
        CLF_UNROLL for (int i = 0; i < SIMT_TM; i++) {
            const float w = p[i * (T_WY * SIMT_PS * 4) + j];
            if (as_uint(w) != SIMT_MASKED_BITS) {
                CLF_UNROLL for (int g = 0; g < SIMT_TD; g++)
                    o[i][g] = mad((float4)(w), v[j * SIMT_VS + T_WX * g], o[i][g]);
            }
        }
    }
}

/* Softcap, ALiBi and bias on an item's scores; queries from row on, keys from col on. */
#if CLF_HAS_TERMS
CLF_INLINE void simt_terms(float s[SIMT_TM][SIMT_TN], clf_attn_args a, int b, int h, int row,
                           int col, float slope, CLF_MASK_PARAMS int unused)
{
    CLF_UNROLL for (int j = 0; j < SIMT_TN; j++) {
        const int n = min(col + j, a.sk - 1);
        const int kv_position = CLF_KV_POS(b, n);
        CLF_UNROLL for (int i = 0; i < SIMT_TM; i++) {
            const int r = min(row + i, a.sq - 1);
            float x = 0.0f;
#if P_BIAS
            x = clf_bias(a, bias,
                         a.bias_off + b * a.bias_sb + h * a.bias_sh + r * a.bias_ss + n);
#endif
            s[i][j] = clf_score(a, s[i][j], CLF_Q_POS(b, r), kv_position, slope, x);
        }
    }
}
#endif

/* -INFINITY where a key is masked. */
CLF_INLINE void simt_mask(float s[SIMT_TM][SIMT_TN], clf_attn_args a, int b, int h, int row,
                          int col, int len, CLF_MASK_PARAMS int unused)
{
#if SIMT_TESTS
    int q_position[SIMT_TM], q_segment[SIMT_TM];
    CLF_UNROLL for (int i = 0; i < SIMT_TM; i++) {
        const int r = min(row + i, a.sq - 1);
        q_position[i] = CLF_Q_POS(b, r);
        q_segment[i] = CLF_Q_SEG(b, r);
    }
#endif
    CLF_UNROLL for (int j = 0; j < SIMT_TN; j++) {
        const int n = min(col + j, a.sk - 1);
#if SIMT_TESTS
        const int kv_position = CLF_KV_POS(b, n), kv_segment = CLF_KV_SEG(b, n);
#endif
        CLF_UNROLL for (int i = 0; i < SIMT_TM; i++) {
            int ok = col + j < len;
#if SIMT_TESTS
            ok &= clf_visible(a, q_position[i], q_segment[i], kv_position, kv_segment);
#endif
#if P_BOOL
            const int r = min(row + i, a.sq - 1);
            ok &= boolean[a.bool_off + b * a.bool_sb + h * a.bool_sh + r * a.bool_ss + n] != 0;
#endif
            s[i][j] = ok ? s[i][j] : -INFINITY;
        }
    }
}

/* Bounds over the live ones of an item's queries, so that it can skip a mixed block. */
#define SIMT_BOUNDS 5
#if P_BLOCKS
CLF_INLINE void simt_row_bounds(__local int *bounds, clf_attn_args a, int b, int row,
                                CLF_MASK_PARAMS int unused)
{
    int seg0 = INT_MAX, seg1 = INT_MIN, pos0 = INT_MAX, pos1 = INT_MIN, live = 0;
    for (int r = row; r < min(row + SIMT_TM, a.sq); r++) {
        const int segment = CLF_Q_SEG(b, r), position = CLF_Q_POS(b, r);
        if (P_SEG && segment == CLF_PADDING_SEGMENT)
            continue;
        seg0 = min(seg0, segment);
        seg1 = max(seg1, segment);
        pos0 = min(pos0, position);
        pos1 = max(pos1, position);
        live++;
    }
    bounds[CLF_BLOCK_SEG_MIN] = seg0;
    bounds[CLF_BLOCK_SEG_MAX] = seg1;
    bounds[CLF_BLOCK_POS_MIN] = pos0;
    bounds[CLF_BLOCK_POS_MAX] = pos1;
    bounds[CLF_BLOCK_LIVE] = live;
}
#endif

/* Whether some of an item's queries may see some key of a mixed block. */
CLF_INLINE bool simt_sees(clf_attn_args a, int b, int row, int kb, __local const int *bounds,
                          CLF_MASK_PARAMS int unused)
{
    if (row >= a.sq)
        return false;
#if P_BLOCKS
    __global const int *kv = clf_kv_block(a, blocks, b, kb);
    if (bounds[CLF_BLOCK_LIVE] == 0)
        return false;
#if P_SEG
    if (bounds[CLF_BLOCK_SEG_MAX] < kv[CLF_BLOCK_SEG_MIN] ||
        bounds[CLF_BLOCK_SEG_MIN] > kv[CLF_BLOCK_SEG_MAX])
        return false;
#endif
#if P_BAND
    if (kv[CLF_BLOCK_POS_MAX] - bounds[CLF_BLOCK_POS_MIN] < a.band_lo ||
        kv[CLF_BLOCK_POS_MIN] - bounds[CLF_BLOCK_POS_MAX] > a.band_hi)
        return false;
#endif
#elif P_BAND
    const int first = row + a.q_pos0, last = min(row + SIMT_TM, a.sq) - 1 + a.q_pos0;
    if (kb * T_BN + T_BN - 1 - first < a.band_lo || kb * T_BN - last > a.band_hi)
        return false;
#endif
    return true;
}

/* The first block from kb on, before `end`, that is not empty; its kind. */
CLF_INLINE int simt_next(int kb, int end, int *kind, clf_attn_args a, int b, int qb, int len,
                         CLF_MASK_PARAMS int unused)
{
    const int i0 = qb * T_BM, i1 = min(i0 + T_BM, a.sq);
    *kind = CLF_MIXED_BLOCK;
#if P_BLOCKS
    __global const int *q = clf_q_block(a, blocks, b, qb);
    for (; kb < end; kb++) {
        *kind = clf_block_kind(a, q, clf_kv_block(a, blocks, b, kb), i1 - i0,
                               min(T_BN, a.sk - kb * T_BN));
        if (*kind != CLF_EMPTY_BLOCK)
            break;
    }
    if (kb * T_BN + T_BN > len) /* the tile's rows past the last key are no keys */
        *kind = CLF_MIXED_BLOCK;
#else
    if (kb < end)
        *kind = clf_band_kind(a, i0, i1, kb * T_BN, kb * T_BN + T_BN, len);
#endif
    return kb;
}

/* One float per item of a row, T_WX in all, reduced. */
CLF_INLINE float simt_row_max(__local const float4 *r)
{
    float4 y = r[0];
    CLF_UNROLL for (int t = 1; t < T_WX / 4; t++) y = fmax(y, r[t]);
    return fmax(fmax(y.x, y.y), fmax(y.z, y.w));
}

CLF_INLINE float simt_row_sum(__local const float4 *r)
{
    float4 y = r[0];
    CLF_UNROLL for (int t = 1; t < T_WX / 4; t++) y += r[t];
    return (y.x + y.y) + (y.z + y.w);
}

CLF_INLINE void simt_write_row(__global clf_t *to, const float4 *o, float factor, bool by_four,
                               int tx)
{
    CLF_UNROLL for (int g = 0; g < SIMT_TD; g++) {
        const int c = (tx + T_WX * g) * 4;
        const float4 v = o[g] * factor;
        if (by_four) {
            if (c < P_DV)
                SIMT_WRITE4(v, to + c);
        } else {
            if (c < P_DV)
                CLF_STORE(v.x, to + c);
            if (c + 1 < P_DV)
                CLF_STORE(v.y, to + c + 1);
            if (c + 2 < P_DV)
                CLF_STORE(v.z, to + c + 2);
            if (c + 3 < P_DV)
                CLF_STORE(v.w, to + c + 3);
        }
    }
}

#define SIMT_K_TILE (T_BN * SIMT_QS)
#define SIMT_P_TILE (T_BM * SIMT_PS)

__kernel __attribute__((reqd_work_group_size(SIMT_WG, 1, 1))) void
clf_attn_fwd(__global const clf_t *restrict q, __global const clf_t *restrict k,
             __global const clf_t *restrict v, __global clf_t *restrict o,
             __global float *restrict lse, CLF_MASK_PARAMS const clf_attn_args a)
{
    __local float4 q_tile[T_BM * SIMT_QS], v_tile[T_BN * SIMT_VS];
#if T_ALIAS
    __local float4 k_tile[SIMT_K_TILE > SIMT_P_TILE ? SIMT_K_TILE : SIMT_P_TILE];
#define SIMT_P k_tile
#else
    __local float4 k_tile[SIMT_K_TILE], p_tile[SIMT_P_TILE];
#define SIMT_P p_tile
#endif
    __local float4 by_row[T_BM * T_WX / 4];
    __local int rose[2], not_finite[2]; /* of this turn and of the next */
#if P_BLOCKS
    __local int row_bounds[T_WY * SIMT_BOUNDS];
#endif
    const uint tid = get_local_id(0);
    const int tx = tid % T_WX, ty = tid / T_WX;
    const int nqb = (a.sq + T_BM - 1) / T_BM;
    const long group = get_group_id(0);
    const int bh = (int)(group / nqb), b = bh / a.hq, h = bh % a.hq, hk = h / a.group;
    int qb = (int)(group % nqb);
#if P_BAND
    if (a.band_hi < INT_MAX && a.band_lo == INT_MIN) /* causal: the longest first */
        qb = nqb - 1 - qb;
#endif
    const int len = CLF_KV_LEN(b), row = qb * T_BM + ty * SIMT_TM;
    q += a.q_off + b * a.q_sb + h * a.q_sh;
    k += a.k_off + b * a.k_sb + hk * a.k_sh;
    v += a.v_off + b * a.v_sb + hk * a.v_sh;
    o += a.o_off + b * a.o_sb + h * a.o_sh;
    const bool k_by_four = simt_by_four(k, a.k_ss, P_D), v_by_four = simt_by_four(v, a.v_ss, P_DV);
#if P_ALIBI
    const float slope = alibi[a.alibi_off + h];
#else
    const float slope = 0.0f;
#endif

    {
        const float scale = CLF_HAS_TERMS ? a.scale : a.scale * CLF_LOG2E;
        const bool by_four = simt_by_four(q, a.q_ss, P_D);
        for (uint e = tid; e < T_BM * SIMT_D4; e += SIMT_WG) {
            const uint r = e / SIMT_D4, c = e % SIMT_D4;
            float4 x = (float4)(0.0f);
            if (qb * T_BM + (int)r < a.sq) {
                __global const clf_t *from = q + (qb * T_BM + (int)r) * a.q_ss;
                x = by_four ? SIMT_READ4(from + c * 4) : simt_read_any(from, (int)c * 4, P_D);
            }
            q_tile[(r % SIMT_TM * T_WY + r / SIMT_TM) * SIMT_QS + c] = x * scale;
        }
    }
    if (tid < 2)
        rose[tid] = not_finite[tid] = 0;
#if P_BLOCKS
    if (tx == 0)
        simt_row_bounds(row_bounds + ty * SIMT_BOUNDS, a, b, row, CLF_MASK_ARGS 0);
#endif

    /* A maximum of -FLT_MAX before the first key: no score beats it wrongly, and the
     * weight of a masked key is exp2(-INFINITY) without a test. */
    float4 acc[SIMT_TM][SIMT_TD];
    float m[SIMT_TM], l[SIMT_TM];
    CLF_UNROLL for (int i = 0; i < SIMT_TM; i++) {
#if P_SINK /* a key without a value, counted by one item of the row */
        const float logit = sink[a.sink_off + h] * CLF_LOG2E;
        m[i] = fmax(logit, -FLT_MAX);
        l[i] = tx == 0 ? exp2(logit - m[i]) : 0.0f;
#else
        m[i] = -FLT_MAX;
        l[i] = 0.0f;
#endif
        CLF_UNROLL for (int g = 0; g < SIMT_TD; g++) acc[i][g] = (float4)(0.0f);
    }

#if P_BLOCKS
    const int end = clf_q_block(a, blocks, b, qb)[CLF_BLOCK_HI];
    int kb = clf_q_block(a, blocks, b, qb)[CLF_BLOCK_LO];
#else
    const int2 range = clf_kv_range(a, qb * T_BM, min(qb * T_BM + T_BM, a.sq), len);
    const int end = (range.y + T_BN - 1) / T_BN;
    int kb = range.x / T_BN;
#endif
#define SIMT_FETCH_K(r, kb)                                                                        \
    simt_fetch(r, k + (kb) * T_BN * a.k_ss, a.k_ss, k_by_four && (kb) * T_BN + T_BN <= len,        \
               len - (kb) * T_BN, tid, SIMT_K_FETCH, SIMT_D4, P_D)
#define SIMT_FETCH_V(r, kb)                                                                        \
    simt_fetch(r, v + (kb) * T_BN * a.v_ss, a.v_ss, v_by_four && (kb) * T_BN + T_BN <= len,        \
               len - (kb) * T_BN, tid, SIMT_V_FETCH, SIMT_VS, P_DV)
    /* V into its tile; in a mixed block, whether it needs care. */
#define SIMT_STORE_V(r)                                                                            \
    do {                                                                                           \
        simt_store_v(v_tile, r, tid);                                                              \
        if (kind == CLF_MIXED_BLOCK && simt_non_finite(r))                                         \
            not_finite[turn] = 1;                                                                  \
    } while (0)

    int kind, next_kind, turn = 0;
    float4 k_next[SIMT_K_FETCH];
    kb = simt_next(kb, end, &kind, a, b, qb, len, CLF_MASK_ARGS 0);
    if (kb < end) {
        SIMT_FETCH_K(k_next, kb);
        simt_store_k(k_tile, k_next, tid);
    }
    while (kb < end) {
        barrier(CLK_LOCAL_MEM_FENCE); /* K is there; V and P of the last turn are free */
        float4 v_now[SIMT_V_FETCH];
#if T_PREV < 2
        SIMT_FETCH_V(v_now, kb);
#endif
#if T_PREV == 0
        SIMT_STORE_V(v_now);
#endif
        float s[SIMT_TM][SIMT_TN];
        bool sees = true;
        if (kind == CLF_MIXED_BLOCK)
#if P_BLOCKS
            sees = simt_sees(a, b, row, kb, row_bounds + ty * SIMT_BOUNDS, CLF_MASK_ARGS 0);
#else
            sees = simt_sees(a, b, row, kb, 0, CLF_MASK_ARGS 0);
#endif
        if (sees) {
            simt_scores(s, q_tile + ty * SIMT_QS, k_tile + tx * SIMT_QS);
#if CLF_HAS_TERMS
            simt_terms(s, a, b, h, row, kb * T_BN + tx * SIMT_TN, slope, CLF_MASK_ARGS 0);
#endif
            if (kind == CLF_MIXED_BLOCK)
                simt_mask(s, a, b, h, row, kb * T_BN + tx * SIMT_TN, len, CLF_MASK_ARGS 0);
        } else {
            CLF_UNROLL for (int i = 0; i < SIMT_TM; i++)
                CLF_UNROLL for (int j = 0; j < SIMT_TN; j++) s[i][j] = -INFINITY;
        }
#if T_PREV == 2
        SIMT_FETCH_V(v_now, kb);
#endif
        int up = 0;
        CLF_UNROLL for (int i = 0; i < SIMT_TM; i++) {
            float x = s[i][0];
            CLF_UNROLL for (int j = 1; j < SIMT_TN; j++) x = fmax(x, s[i][j]);
            ((__local float *)by_row)[(ty + T_WY * i) * T_WX + tx] = x;
            up |= x > m[i] + 8.0f;
        }
        if (up)
            rose[turn] = 1;
#if T_PREV == 1
        SIMT_STORE_V(v_now);
#endif
        barrier(CLK_LOCAL_MEM_FENCE); /* the rows' maxima are there; K is free */
        if (tid == 0)
            rose[turn ^ 1] = not_finite[turn ^ 1] = 0;
        if (rose[turn]) {
            CLF_UNROLL for (int i = 0; i < SIMT_TM; i++) {
                const float x = fmax(m[i], simt_row_max(by_row + (ty + T_WY * i) * (T_WX / 4)));
                const float c = SIMT_EXP2(m[i] - x);
                m[i] = x;
                l[i] *= c;
                CLF_UNROLL for (int g = 0; g < SIMT_TD; g++) acc[i][g] *= c;
            }
        }
        if (sees) {
            CLF_UNROLL for (int i = 0; i < SIMT_TM; i++) {
                __local float *to =
                    (__local float *)(SIMT_P + (ty + T_WY * i) * SIMT_PS) + tx * SIMT_TN;
#if SIMT_TN % 4 == 0
                CLF_UNROLL for (int j = 0; j < SIMT_TN; j += 4) {
                    const float4 p = (float4)(
                        SIMT_EXP2(s[i][j] - m[i]), SIMT_EXP2(s[i][j + 1] - m[i]),
                        SIMT_EXP2(s[i][j + 2] - m[i]), SIMT_EXP2(s[i][j + 3] - m[i]));
                    l[i] += (p.x + p.y) + (p.z + p.w);
                    *(__local float4 *)(to + j) = p;
                }
#else
                CLF_UNROLL for (int j = 0; j < SIMT_TN; j++) {
                    const float p = SIMT_EXP2(s[i][j] - m[i]);
                    l[i] += p;
                    to[j] = p;
                }
#endif
                if (kind == CLF_MIXED_BLOCK) {
                    CLF_UNROLL for (int j = 0; j < SIMT_TN; j++)
                        if (s[i][j] == -INFINITY)
                            ((__local uint *)to)[j] = SIMT_MASKED_BITS;
                }
            }
        }
#if T_PREV == 2
        SIMT_STORE_V(v_now);
#endif
        const int next = simt_next(kb + 1, end, &next_kind, a, b, qb, len, CLF_MASK_ARGS 0);
#if T_PREK
        if (next < end)
            SIMT_FETCH_K(k_next, next);
#endif
        barrier(CLK_LOCAL_MEM_FENCE); /* P and V are there */
        if (sees) {
            __local const float4 *from = SIMT_P + ty * SIMT_PS;
            if (kind == CLF_MIXED_BLOCK && not_finite[turn])
                simt_weighted_sum_careful(acc, (__local const float *)from, v_tile + tx);
            else
                simt_weighted_sum(acc, from, v_tile + tx);
        }
#if T_ALIAS
        barrier(CLK_LOCAL_MEM_FENCE); /* P is free */
#endif
        if (next < end) {
#if !T_PREK
            SIMT_FETCH_K(k_next, next);
#endif
            simt_store_k(k_tile, k_next, tid);
        }
        kb = next;
        kind = next_kind;
        turn ^= 1;
    }

    CLF_UNROLL for (int i = 0; i < SIMT_TM; i++)
        ((__local float *)by_row)[(ty + T_WY * i) * T_WX + tx] = l[i];
    barrier(CLK_LOCAL_MEM_FENCE);
    const bool by_four = simt_by_four(o, a.o_ss, P_DV);
    CLF_UNROLL for (int i = 0; i < SIMT_TM; i++) {
        const float sum = simt_row_sum(by_row + (ty + T_WY * i) * (T_WX / 4));
        if (row + i < a.sq) {
            simt_write_row(o + (row + i) * a.o_ss, acc[i], sum == 0.0f ? 0.0f : 1.0f / sum, by_four,
                           tx);
            if (a.want_lse && tx == 0)
                lse[a.lse_off + ((long)b * a.hq + h) * a.sq + row + i] =
                    sum == 0.0f ? -INFINITY : (m[i] + log2(sum)) * CLF_LN2;
        }
    }
}
