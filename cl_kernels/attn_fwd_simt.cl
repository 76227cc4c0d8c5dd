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
 * Two passes over the keys: blocks that need no test, then the mixed ones; so the first,
 * which takes nearly all of the time, carries no code for masks, tails and odd addresses.
 *
 * x - x / n * n where n is no power of two: x % n beside x / n becomes LLVM's `freeze`, which
 * Oclgrind 21.10 does not know.
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
#define SIMT_ROWS T_BM
#define SIMT_COLS T_BN
#define SIMT_WX T_WX
#define SIMT_WY T_WY
#include "simt.clh"

#define SIMT_TD SIMT_SHARE(SIMT_DV4)    /* float4 of O per query of an item */
#define SIMT_QS (SIMT_D4 | 1)           /* row stride of Q and K: odd, different banks */
#define SIMT_VS (SIMT_TD * T_WX)        /* of V; past SIMT_DV4: zeros */
#define SIMT_K_FETCH SIMT_FETCH_COUNT(SIMT_D4) /* float4 per item and block */
#define SIMT_V_FETCH SIMT_FETCH_COUNT(SIMT_VS)

/* What a work-group and an item work on. */
typedef struct simt_work {
    __local float4 *q_tile, *k_tile, *v_tile, *p_tile, *by_row;
    __local int *rose, *not_finite; /* of this turn and of the next */
    __local int *q_position, *q_segment, *bounds; /* where they come as arrays */
    __global const clf_t *k, *v;
    int b, h, qb, len, end, tx, ty;
    uint tid;
    int row;      /* the item's first query */
    bool by_four; /* K and V may be read by four */
    float slope;
} simt_work;

#define SIMT_Q_ARRAYS (P_SEG || P_POS)
#define SIMT_BOUNDS 5 /* ints per row of items: CLF_BLOCK_SEG_MIN to CLF_BLOCK_LIVE */
#if SIMT_Q_ARRAYS
#define SIMT_Q_POS(w, i) (w).q_position[(w).ty * SIMT_TM + (i)]
#define SIMT_Q_SEG(w, i) (w).q_segment[(w).ty * SIMT_TM + (i)]
#else
#define SIMT_Q_POS(w, i) ((w).row + (i) + a.q_pos0)
#define SIMT_Q_SEG(w, i) 0
#endif

/* Softcap, ALiBi and bias on an item's scores; keys from col on. */
#if CLF_HAS_TERMS
CLF_INLINE void simt_terms(float s[SIMT_TM][SIMT_TN], simt_work w, clf_attn_args a, int col,
                           CLF_MASK_PARAMS int unused)
{
    CLF_UNROLL for (int j = 0; j < SIMT_TN; j++) {
        const int n = min(col + j, a.sk - 1);
        const int kv_position = CLF_KV_POS(w.b, n);
        CLF_UNROLL for (int i = 0; i < SIMT_TM; i++) {
            float x = 0.0f;
#if P_BIAS
            x = clf_bias(a, bias,
                         a.bias_off + w.b * a.bias_sb + w.h * a.bias_sh +
                             min(w.row + i, a.sq - 1) * a.bias_ss + n);
#endif
            s[i][j] = clf_score(a, s[i][j], SIMT_Q_POS(w, i), kv_position, w.slope, x);
        }
    }
}
#endif

/* -INFINITY where a key is masked. */
CLF_INLINE void simt_mask(float s[SIMT_TM][SIMT_TN], simt_work w, clf_attn_args a, int col,
                          CLF_MASK_PARAMS int unused)
{
    CLF_UNROLL for (int j = 0; j < SIMT_TN; j++) {
        const int n = min(col + j, a.sk - 1);
        const int kv_position = CLF_KV_POS(w.b, n), kv_segment = CLF_KV_SEG(w.b, n);
        CLF_UNROLL for (int i = 0; i < SIMT_TM; i++) {
            int ok = col + j < w.len;
            ok &= clf_visible(a, SIMT_Q_POS(w, i), SIMT_Q_SEG(w, i), kv_position, kv_segment);
#if P_BOOL
            ok &= boolean[a.bool_off + w.b * a.bool_sb + w.h * a.bool_sh +
                          min(w.row + i, a.sq - 1) * a.bool_ss + n] != 0;
#endif
            s[i][j] = ok ? s[i][j] : -INFINITY;
        }
    }
}

/* Positions and segments of the work-group's queries into local memory. */
#if SIMT_Q_ARRAYS
CLF_INLINE void simt_load_tokens(simt_work w, clf_attn_args a, CLF_MASK_PARAMS int unused)
{
    for (uint e = w.tid; e < T_BM; e += SIMT_WG) {
        const int r = min(w.qb * T_BM + (int)e, a.sq - 1);
        w.q_position[e] = CLF_Q_POS(w.b, r);
        w.q_segment[e] = CLF_Q_SEG(w.b, r);
    }
}
#endif

/* Bounds over the live ones of the queries of each row of items, so that it can skip a mixed
 * block; by the row's first item. */
#if P_BLOCKS
CLF_INLINE void simt_bound_rows(simt_work w, clf_attn_args a)
{
    int seg0 = INT_MAX, seg1 = INT_MIN, pos0 = INT_MAX, pos1 = INT_MIN, live = 0;
    for (int i = 0; i < SIMT_TM; i++) {
        const int position = SIMT_Q_POS(w, i), segment = SIMT_Q_SEG(w, i);
        if (w.row + i >= a.sq || (P_SEG && segment == CLF_PADDING_SEGMENT))
            continue;
        seg0 = min(seg0, segment);
        seg1 = max(seg1, segment);
        pos0 = min(pos0, position);
        pos1 = max(pos1, position);
        live++;
    }
    __local int *to = w.bounds + w.ty * SIMT_BOUNDS;
    to[CLF_BLOCK_SEG_MIN] = seg0;
    to[CLF_BLOCK_SEG_MAX] = seg1;
    to[CLF_BLOCK_POS_MIN] = pos0;
    to[CLF_BLOCK_POS_MAX] = pos1;
    to[CLF_BLOCK_LIVE] = live;
}
#endif

/* How an item's queries stand to the keys of a mixed block. */
CLF_INLINE int simt_item_kind(simt_work w, clf_attn_args a, int kb, CLF_MASK_PARAMS int unused)
{
    if (w.row >= a.sq)
        return CLF_EMPTY_BLOCK;
    int full = !P_BOOL && !P_BIAS && kb * T_BN + T_BN <= w.len;
#if P_BLOCKS
    __local const int *q = w.bounds + w.ty * SIMT_BOUNDS;
    __global const int *kv = clf_kv_block(a, blocks, w.b, kb);
    if (q[CLF_BLOCK_LIVE] == 0 || kv[CLF_BLOCK_LIVE] == 0)
        return CLF_EMPTY_BLOCK;
    full = full && q[CLF_BLOCK_LIVE] == SIMT_TM && kv[CLF_BLOCK_LIVE] == T_BN;
#if P_SEG
    const int q0 = q[CLF_BLOCK_SEG_MIN], q1 = q[CLF_BLOCK_SEG_MAX];
    const int k0 = kv[CLF_BLOCK_SEG_MIN], k1 = kv[CLF_BLOCK_SEG_MAX];
    if (q1 < k0 || k1 < q0)
        return CLF_EMPTY_BLOCK;
    full = full && q0 == q1 && k0 == k1;
#endif
#endif
#if P_BAND && (P_BLOCKS || !P_POS)
#if P_BLOCKS
    const int d0 = kv[CLF_BLOCK_POS_MIN] - q[CLF_BLOCK_POS_MAX];
    const int d1 = kv[CLF_BLOCK_POS_MAX] - q[CLF_BLOCK_POS_MIN];
#else
    const int d0 = kb * T_BN - (min(w.row + SIMT_TM, a.sq) - 1 + a.q_pos0);
    const int d1 = kb * T_BN + T_BN - 1 - (w.row + a.q_pos0);
#endif
    if (d1 < a.band_lo || d0 > a.band_hi)
        return CLF_EMPTY_BLOCK;
    full = full && d0 >= a.band_lo && d1 <= a.band_hi;
#endif
    return full ? CLF_FULL_BLOCK : CLF_MIXED_BLOCK;
}

/* The first block from kb on that belongs to the pass: full and plain, or any other that is
 * not empty. */
CLF_INLINE int simt_next(simt_work w, clf_attn_args a, int kb, bool masked,
                         CLF_MASK_PARAMS int unused)
{
    const int i0 = w.qb * T_BM, i1 = min(i0 + T_BM, a.sq);
    for (; kb < w.end; kb++) {
#if P_BLOCKS
        int kind = clf_block_kind(a, clf_q_block(a, blocks, w.b, w.qb),
                                  clf_kv_block(a, blocks, w.b, kb), i1 - i0,
                                  min(T_BN, a.sk - kb * T_BN));
#else
        int kind = clf_band_kind(a, i0, i1, kb * T_BN, kb * T_BN + T_BN, w.len);
#endif
        /* A tile's rows past the last key are no keys. */
        const bool plain = kind == CLF_FULL_BLOCK && w.by_four && kb * T_BN + T_BN <= w.len;
        if (kind != CLF_EMPTY_BLOCK && masked != plain)
            break;
    }
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

#if SIMT_K_FETCH > 16 || SIMT_V_FETCH > 16
#define SIMT_FETCH_K(r, kb) (void)0
#define SIMT_FETCH_V(r, kb) (void)0
#define SIMT_STORE_K(r, kb)                                                                        \
    simt_copy(w.k_tile, SIMT_QS, SIMT_TN, w.k + (kb) * T_BN * a.k_ss, a.k_ss, w.by_four,           \
              w.len - (kb) * T_BN, w.tid, SIMT_D4, P_D)
#define SIMT_STORE_V(r, kb)                                                                        \
    do {                                                                                           \
        if (!simt_copy(w.v_tile, SIMT_VS, 1, w.v + (kb) * T_BN * a.v_ss, a.v_ss, w.by_four,        \
                       w.len - (kb) * T_BN, w.tid, SIMT_VS, P_DV))                                 \
            w.not_finite[turn] = 1;                                                                \
    } while (0)
#else
#define SIMT_FETCH_K(r, kb)                                                                        \
    simt_fetch(r, w.k + (kb) * T_BN * a.k_ss, a.k_ss, !masked || (w.by_four && (kb) * T_BN + T_BN <= w.len), w.len - (kb) * T_BN, \
               w.tid, SIMT_K_FETCH, SIMT_D4, P_D)
#define SIMT_FETCH_V(r, kb)                                                                        \
    simt_fetch(r, w.v + (kb) * T_BN * a.v_ss, a.v_ss, !masked || (w.by_four && (kb) * T_BN + T_BN <= w.len), w.len - (kb) * T_BN, \
               w.tid, SIMT_V_FETCH, SIMT_VS, P_DV)
#define SIMT_STORE_K(r, kb)                                                                        \
    simt_store(w.k_tile, SIMT_QS, SIMT_TN, r, w.tid, SIMT_K_FETCH, SIMT_D4)
/* In a mixed block, V may need care. */
#define SIMT_STORE_V(r, kb)                                                                         \
    do {                                                                                           \
        simt_store(w.v_tile, SIMT_VS, 1, r, w.tid, SIMT_V_FETCH, SIMT_VS);                         \
        if (masked && simt_non_finite(r, SIMT_V_FETCH))                                            \
            w.not_finite[turn] = 1;                                                                \
    } while (0)
#endif

/* Raises the rows' maxima when one of the group rose by more than 2^8. */
CLF_INLINE void simt_rescale(simt_work w, float4 acc[SIMT_TM][SIMT_TD], float *m, float *l)
{
    CLF_UNROLL for (int i = 0; i < SIMT_TM; i++) {
        const float x = fmax(m[i], simt_row_max(w.by_row + (w.ty + T_WY * i) * (T_WX / 4)));
        const float c = SIMT_EXP4(m[i] - x);
        m[i] = x;
        l[i] *= c;
        CLF_UNROLL for (int g = 0; g < SIMT_TD; g++) acc[i][g] *= c;
    }
}

/* Weights into the P tile, and their sums. */
CLF_INLINE void simt_weights(simt_work w, float s[SIMT_TM][SIMT_TN], const float *m, float *l,
                             bool mark)
{
    CLF_UNROLL for (int i = 0; i < SIMT_TM; i++) {
        __local float *to =
            (__local float *)(w.p_tile + (w.ty + T_WY * i) * SIMT_PS) + w.tx * SIMT_TN;
#if SIMT_TN % 4 == 0
        CLF_UNROLL for (int j = 0; j < SIMT_TN; j += 4) {
            const float4 p =
                (float4)(SIMT_EXP4(s[i][j] - m[i]), SIMT_EXP4(s[i][j + 1] - m[i]),
                         SIMT_EXP4(s[i][j + 2] - m[i]), SIMT_EXP4(s[i][j + 3] - m[i]));
            l[i] += (p.x + p.y) + (p.z + p.w);
            *(__local float4 *)(to + j) = p;
        }
#else
        CLF_UNROLL for (int j = 0; j < SIMT_TN; j++) {
            const float p = SIMT_EXP4(s[i][j] - m[i]);
            l[i] += p;
            to[j] = p;
        }
#endif
        if (mark) {
            CLF_UNROLL for (int j = 0; j < SIMT_TN; j++)
                if (s[i][j] == -INFINITY)
                    ((__local uint *)to)[j] = SIMT_MASKED_BITS;
        }
    }
}

/* One pass over the keys. masked is a constant. */
CLF_INLINE void simt_pass(simt_work w, clf_attn_args a, int kb, bool masked,
                          float4 acc[SIMT_TM][SIMT_TD], float *m, float *l, int *turns,
                          CLF_MASK_PARAMS int unused)
{
    int turn = *turns;
    float4 k_next[SIMT_K_FETCH];
    kb = simt_next(w, a, kb, masked, CLF_MASK_ARGS 0);
    if (kb < w.end) {
        SIMT_FETCH_K(k_next, kb);
        SIMT_STORE_K(k_next, kb);
    }
    while (kb < w.end) {
        barrier(CLK_LOCAL_MEM_FENCE); /* K is there; V and P of the last turn are free */
        float4 v_now[SIMT_V_FETCH];
#if T_PREV < 2
        SIMT_FETCH_V(v_now, kb);
#endif
#if T_PREV == 0
        SIMT_STORE_V(v_now, kb);
#endif
        float s[SIMT_TM][SIMT_TN];
        int kind = CLF_FULL_BLOCK;
        if (masked)
            kind = simt_item_kind(w, a, kb, CLF_MASK_ARGS 0);
        if (kind != CLF_EMPTY_BLOCK) {
            simt_scores(s, w.q_tile + w.ty * SIMT_QS, SIMT_QS, w.k_tile + w.tx * SIMT_QS, SIMT_QS,
                        SIMT_D4, SIMT_UQ(masked, SIMT_D4));
#if CLF_HAS_TERMS
            simt_terms(s, w, a, kb * T_BN + w.tx * SIMT_TN, CLF_MASK_ARGS 0);
#endif
            if (masked && kind == CLF_MIXED_BLOCK)
                simt_mask(s, w, a, kb * T_BN + w.tx * SIMT_TN, CLF_MASK_ARGS 0);
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
            ((__local float *)w.by_row)[(w.ty + T_WY * i) * T_WX + w.tx] = x;
            up |= x > m[i] + 4.0f;
        }
        if (up)
            w.rose[turn] = 1;
#if T_PREV == 1
        SIMT_STORE_V(v_now, kb);
#endif
        barrier(CLK_LOCAL_MEM_FENCE); /* the rows' maxima are there; K is free */
        if (w.tid == 0)
            w.rose[turn ^ 1] = w.not_finite[turn ^ 1] = 0;
        if (w.rose[turn])
            simt_rescale(w, acc, m, l);
        if (kind != CLF_EMPTY_BLOCK)
            simt_weights(w, s, m, l, masked && kind == CLF_MIXED_BLOCK);
#if T_PREV == 2
        SIMT_STORE_V(v_now, kb);
#endif
        kb = simt_next(w, a, kb + 1, masked, CLF_MASK_ARGS 0);
#if T_PREK
        if (kb < w.end)
            SIMT_FETCH_K(k_next, kb);
#endif
        barrier(CLK_LOCAL_MEM_FENCE); /* P and V are there */
        if (kind != CLF_EMPTY_BLOCK) {
            __local const float4 *from = w.p_tile + w.ty * SIMT_PS;
            if (masked && kind == CLF_MIXED_BLOCK && w.not_finite[turn])
                simt_weighted_sum_careful(&acc[0][0], SIMT_TD, (__local const float *)from,
                                          w.v_tile + w.tx, SIMT_VS);
            else
                simt_weighted_sum(&acc[0][0], SIMT_TD, from, w.v_tile + w.tx, SIMT_VS,
                                  SIMT_UP(masked));
        }
#if T_ALIAS
        barrier(CLK_LOCAL_MEM_FENCE); /* P is free */
#endif
        if (kb < w.end) {
#if !T_PREK
            SIMT_FETCH_K(k_next, kb);
#endif
            SIMT_STORE_K(k_next, kb);
        }
        turn ^= 1;
    }
    *turns = turn;
}

__kernel __attribute__((reqd_work_group_size(SIMT_WG, 1, 1))) void
clf_attn_fwd(__global const clf_t *restrict q, __global const clf_t *restrict k,
             __global const clf_t *restrict v, __global clf_t *restrict o,
             __global float *restrict lse, CLF_MASK_PARAMS const clf_attn_args a)
{
    __local float4 q_tile[T_BM * SIMT_QS], v_tile[T_BN * SIMT_VS];
    __local float4 by_row[T_BM * T_WX / 4];
    __local int rose[2], not_finite[2];
#if T_ALIAS
    __local float4 k_tile[SIMT_K_TILE > SIMT_P_TILE ? SIMT_K_TILE : SIMT_P_TILE];
#else
    __local float4 k_tile[SIMT_K_TILE], p_tile[SIMT_P_TILE];
#endif
#if SIMT_Q_ARRAYS
    __local int q_position[T_BM], q_segment[T_BM];
#endif
#if P_BLOCKS
    __local int bounds[T_WY * SIMT_BOUNDS];
#endif
    const int nqb = (a.sq + T_BM - 1) / T_BM;
    const long group = get_group_id(0);
    const int bh = (int)(group / nqb);
    simt_work w;
    w.qb = (int)(group - (long)bh * nqb);
    w.b = bh / a.hq;
    w.h = bh - w.b * a.hq;
#if P_BAND
    if (a.band_hi < INT_MAX && a.band_lo == INT_MIN) /* causal: the longest first */
        w.qb = nqb - 1 - w.qb;
#endif
    w.len = CLF_KV_LEN(w.b);
    w.tid = get_local_id(0);
    w.ty = w.tid / T_WX;
    w.tx = w.tid - w.ty * T_WX;
    w.row = w.qb * T_BM + w.ty * SIMT_TM;
    w.q_tile = q_tile;
    w.k_tile = k_tile;
    w.v_tile = v_tile;
#if T_ALIAS
    w.p_tile = k_tile;
#else
    w.p_tile = p_tile;
#endif
    w.by_row = by_row;
    w.rose = rose;
    w.not_finite = not_finite;
#if SIMT_Q_ARRAYS
    w.q_position = q_position;
    w.q_segment = q_segment;
#endif
#if P_BLOCKS
    w.bounds = bounds;
#endif
#if P_ALIBI
    w.slope = alibi[a.alibi_off + w.h];
#else
    w.slope = 0.0f;
#endif
    const int hk = w.h / a.group;
    w.k = k + a.k_off + w.b * a.k_sb + hk * a.k_sh;
    w.v = v + a.v_off + w.b * a.v_sb + hk * a.v_sh;
    w.by_four = simt_by_four(w.k, a.k_ss, P_D) && simt_by_four(w.v, a.v_ss, P_DV);
    simt_load_rows(q_tile, SIMT_QS,
                   q + a.q_off + w.b * a.q_sb + w.h * a.q_sh + w.qb * T_BM * a.q_ss, a.q_ss,
                   a.sq - w.qb * T_BM, CLF_HAS_TERMS ? a.scale : a.scale * CLF_LOG4E, w.tid,
                   SIMT_D4, P_D);
    if (w.tid < 2)
        rose[w.tid] = not_finite[w.tid] = 0;
#if SIMT_Q_ARRAYS
    simt_load_tokens(w, a, CLF_MASK_ARGS 0);
    barrier(CLK_LOCAL_MEM_FENCE);
#endif
#if P_BLOCKS
    if (w.tx == 0)
        simt_bound_rows(w, a);
#endif

    /* A maximum of -FLT_MAX before the first key: no score beats it wrongly, and the
     * weight of a masked key is exp2(-INFINITY) without a test. */
    float4 acc[SIMT_TM][SIMT_TD];
    float m[SIMT_TM], l[SIMT_TM];
    CLF_UNROLL for (int i = 0; i < SIMT_TM; i++) {
#if P_SINK /* a key without a value, counted by one item of the row */
        const float logit = sink[a.sink_off + w.h] * CLF_LOG4E;
        m[i] = fmax(logit, -FLT_MAX);
        l[i] = w.tx == 0 ? exp2(2.0f * (logit - m[i])) : 0.0f;
#else
        m[i] = -FLT_MAX;
        l[i] = 0.0f;
#endif
        CLF_UNROLL for (int g = 0; g < SIMT_TD; g++) acc[i][g] = (float4)(0.0f);
    }

#if P_BLOCKS
    const int first = clf_q_block(a, blocks, w.b, w.qb)[CLF_BLOCK_LO];
    w.end = clf_q_block(a, blocks, w.b, w.qb)[CLF_BLOCK_HI];
#else
    const int2 range = clf_kv_range(a, w.qb * T_BM, min(w.qb * T_BM + T_BM, a.sq), w.len);
    const int first = range.x / T_BN;
    w.end = (range.y + T_BN - 1) / T_BN;
#endif
    int turn = 0;
#if !P_BOOL && !P_BIAS && P_D % 4 == 0 && P_DV % 4 == 0
    simt_pass(w, a, first, false, acc, m, l, &turn, CLF_MASK_ARGS 0);
    barrier(CLK_LOCAL_MEM_FENCE); /* the tiles are free */
#endif
    simt_pass(w, a, first, true, acc, m, l, &turn, CLF_MASK_ARGS 0);

    CLF_UNROLL for (int i = 0; i < SIMT_TM; i++)
        ((__local float *)by_row)[(w.ty + T_WY * i) * T_WX + w.tx] = l[i];
    barrier(CLK_LOCAL_MEM_FENCE);
    o += a.o_off + w.b * a.o_sb + w.h * a.o_sh;
    const bool by_four = simt_by_four(o, a.o_ss, P_DV);
    CLF_UNROLL for (int i = 0; i < SIMT_TM; i++) {
        const float sum = simt_row_sum(by_row + (w.ty + T_WY * i) * (T_WX / 4));
        if (w.row + i < a.sq) {
            simt_write_row(o + (w.row + i) * a.o_ss, acc[i], sum == 0.0f ? 0.0f : 1.0f / sum,
                           by_four, w.tx);
            if (a.want_lse && w.tx == 0)
                lse[a.lse_off + ((long)w.b * a.hq + w.h) * a.sq + w.row + i] =
                    sum == 0.0f ? -INFINITY : (m[i] + 0.5f * log2(sum)) * CLF_LN4;
        }
    }
}
