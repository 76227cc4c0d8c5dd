/* attn_bwd_nv_mma.cl -- dK and dV on NVIDIA's matrix units, sm_80 and later: f16, bf16. Without
 * P_DET also dQ, by unordered sums in global memory.
 *
 * A work-group owns T_BN keys of one KV head and walks over blocks of T_BM queries of all the
 * heads of its group, so that dK and dV stay in registers for good. The scores are made
 * transposed, keys in the rows: S^T = K Q^T, dP^T = V dO^T, and their accumulators, packed,
 * are the left operands of dV += P^T dO and dK += dS^T Q.
 *
 * Where D is so wide that a warp cannot hold dK and dV of 32 keys, T_SPLIT warps share the
 * same keys: each makes the scores of its part of the queries and sums its part of the
 * columns, and P and dS pass between them through local memory. dQ = dS K needs dS of all
 * keys of the block, so dS goes there in any case without P_DET.
 *
 * P_D P_DV   head dimensions, multiples of 8                              (problem)
 * T_BM T_BN  queries and keys of a block                                  (tuned)
 * T_WARPS    warps of a work-group
 * T_SPLIT    warps that share the same keys
 * T_STAGES   query blocks in local memory: 1 or 2
 * D_NV_RED4  sums of 16 bytes in global memory (sm_90)                    (device)
 * Needs      local memory and registers: attn_bwd_nv_mma.c.
 * Grid       global (32 * T_WARPS * key blocks * Hk * B), local (32 * T_WARPS).
 * Math       docs/math.md#backward; the same as lib/ref.
 * Source     Dao 2023, algorithm 2 (arXiv:2307.08691). */
#define CLF_LANES 1
#include "mask.clh"

#if !defined(P_D) || !defined(P_DV) || !defined(T_BM) || !defined(T_BN) || !defined(T_WARPS) ||    \
    !defined(T_SPLIT) || !defined(T_STAGES) || !defined(D_NV_RED4)
#error "attn_bwd_nv_mma.cl: a macro is missing"
#endif
#if P_DTYPE == 0 || P_D % 8 != 0 || P_DV % 8 != 0
#error "attn_bwd_nv_mma.cl: f16 or bf16, D and Dv multiples of 8"
#endif
#if T_WARPS % T_SPLIT != 0 || T_BN * T_SPLIT % (16 * T_WARPS) != 0 || T_BM % (16 * T_SPLIT) != 0
#error "attn_bwd_nv_mma.cl: T_BM, T_BN, T_WARPS and T_SPLIT do not suit each other"
#endif

#define DKV_QUERIES (T_BM / T_SPLIT)                       /* whose scores a warp makes, */
#define DKV_SLICE (DKV_QUERIES % 32 == 0 ? 32 : 16)        /* so many at a time */
#define BWD_KEYS_ARE_ROWS 1
#define BWD_MT (T_BN * T_SPLIT / (16 * T_WARPS))
#define BWD_NT (DKV_SLICE / 8)
#define NV_WARPS T_WARPS
#include "nv_bwd.clh"
#include "nv_bwd_sums.clh"

#define DKV_KEYS (16 * BWD_MT)                             /* of a warp */
#define DKV_STEPS (DKV_SLICE / 16)                         /* of 16 queries, per slice */
#define DKV_SHARE(steps) (((steps) + T_SPLIT - 1) / T_SPLIT * 2)
#define DKV_KT DKV_SHARE(BWD_D_STEPS)                      /* accumulators of dK per tile */
#define DKV_VT DKV_SHARE(BWD_DV_STEPS)
#define DKV_S_ROW NV_ROW_BYTES(T_BM)                       /* of P and dS: [key][query] */

/* Local memory: K, V, the stages, dS, P, LSE and delta. A warp's share of columns may pass
 * the end of a row, or of a tile: it lies before others then, and is not written out. */
#define DKV_HAS_S (!P_DET || T_SPLIT > 1)
#define DKV_V_AT (T_BN * BWD_D_ROW)
#define DKV_STAGES_AT (DKV_V_AT + T_BN * BWD_DV_ROW)
#define DKV_DO_AT (T_BM * BWD_D_ROW) /* in a stage */
#define DKV_STAGE_BYTES (DKV_DO_AT + T_BM * BWD_DV_ROW)
#define DKV_S_AT (DKV_STAGES_AT + T_STAGES * DKV_STAGE_BYTES)
#define DKV_P_AT (DKV_S_AT + (DKV_HAS_S ? T_BN * DKV_S_ROW : 0))
#define DKV_ROWS_AT (DKV_P_AT + (T_SPLIT > 1 ? T_BN * DKV_S_ROW : 0))
#define DKV_BYTES (DKV_ROWS_AT + T_STAGES * 2 * T_BM * 4)

/* A block of queries under way: the query head's number in its group, the block. */
typedef struct dkv_block {
    int g, qb;
} dkv_block;

/* The first query block from qb on, before `end`, that is not empty for key block kb. */
CLF_INLINE int dkv_next(int qb, int end, clf_attn_args a, int b, int kb, CLF_MASK_PARAMS int unused)
{
#if P_BLOCKS
    __global const int *kv = clf_kv_block(a, blocks, b, kb);
    while (qb < end && clf_block_kind(a, clf_q_block(a, blocks, b, qb), kv,
                                      min(T_BM, a.sq - qb * T_BM), min(T_BN, a.sk - kb * T_BN)) ==
                           CLF_EMPTY_BLOCK)
        qb++;
#endif
    return qb;
}

/* Whether some element of the block may be masked, or does not exist. */
CLF_INLINE bool dkv_mixed(int qb, int kb, clf_attn_args a, int b, int len,
                          CLF_MASK_PARAMS int unused)
{
    const int i0 = qb * T_BM, j0 = kb * T_BN;
#if P_BLOCKS
    const int kind = clf_block_kind(a, clf_q_block(a, blocks, b, qb),
                                    clf_kv_block(a, blocks, b, kb), min(T_BM, a.sq - i0),
                                    min(T_BN, a.sk - j0));
#else
    const int kind = clf_band_kind(a, i0, i0 + T_BM, j0, j0 + T_BN, len);
#endif
    return kind != CLF_FULL_BLOCK || i0 + T_BM > a.sq || j0 + T_BN > len;
}

/* A lane's values of the queries of a slice. */
CLF_INLINE void dkv_values(float *x, uint at, float factor)
{
    CLF_UNROLL for (int t = 0; t < BWD_NT; t++) {
        const float2 y = nv_read8(at + t * 32);
        x[2 * t] = y.x * factor;
        x[2 * t + 1] = y.y * factor;
    }
}

/* A slice's operands into rows of the warp's keys. */
CLF_INLINE void dkv_write(uint to, uint x[DKV_STEPS][BWD_MT][4], uint lane)
{
    CLF_UNROLL for (int k = 0; k < DKV_STEPS; k++)
        CLF_UNROLL for (int i = 0; i < BWD_MT; i++)
            CLF_UNROLL for (int e = 0; e < 4; e++)
                nv_write4(to + (i * 16 + NV_ACC_ROW(lane, 2 * (e & 1))) * DKV_S_ROW + k * 32 +
                              (e >> 1) * 16 + NV_ACC_COL(lane, 0) * 2,
                          x[k][i][e]);
}

#if BWD_UNEVEN
/* dV of the keys that see a query whose dO holds NaN or infinities: those themselves, one
 * query of a step of 16 after the other. p: the weights, masked ones marked. Slow, and rare. */
CLF_INLINE void dkv_add_not_finite(float *dv, uint p[BWD_MT][4], uint do_at, uint lane)
{
    CLF_UNROLL_N(1) for (int j = 0; j < 16; j++) {
        const uint owner = (lane & 28) + j % 8 / 2; /* of the quad's lanes */
        bool sees[BWD_MT][2];
        CLF_UNROLL for (int i = 0; i < BWD_MT; i++)
            CLF_UNROLL for (int g = 0; g < 2; g++) {
                const uint pair = nv_from_lane(j < 8 ? p[i][g] : p[i][2 + g], owner);
                sees[i][g] = (pair >> j % 2 * 16 & 0xffffu) != BWD_MASKED;
            }
        CLF_UNROLL for (int t = 0; t < DKV_VT; t++) {
            const uint x = nv_read4(do_at + j * BWD_DV_ROW + t * 16 + NV_ACC_COL(lane, 0) * 2);
            const float low = nv_special(x & 0xffffu), high = nv_special(x >> 16);
            CLF_UNROLL for (int i = 0; i < BWD_MT; i++)
                CLF_UNROLL for (int g = 0; g < 2; g++) {
                    float *to = dv + (i * DKV_VT + t) * 4 + 2 * g;
                    to[0] += sees[i][g] ? low : 0.0f;
                    to[1] += sees[i][g] ? high : 0.0f;
                }
        }
    }
}
#endif

/* dV += P^T dO, dK += dS^T Q for one step of 16 queries. v_at, k_at: the warp's columns of
 * these rows of dO and Q. careful: they hold what is not finite, and not every key sees it. */
CLF_INLINE void dkv_step(float *dv, float *dk, uint p[BWD_MT][4], uint ds[BWD_MT][4], uint v_at,
                         uint k_at, bool careful, uint lane)
{
#if BWD_UNEVEN
    if (careful) {
        nv_step_columns(BWD_MT, DKV_VT, false, true, dv, &p[0][0],
                        v_at + nv_lane_v(lane, BWD_DV_ROW));
        dkv_add_not_finite(dv, p, v_at, lane);
        nv_step_columns(BWD_MT, DKV_KT, false, true, dk, &ds[0][0],
                        k_at + nv_lane_v(lane, BWD_D_ROW));
        return;
    }
#endif
    nv_step_columns(BWD_MT, DKV_VT, false, false, dv, &p[0][0],
                    v_at + nv_lane_v(lane, BWD_DV_ROW));
    nv_step_columns(BWD_MT, DKV_KT, false, false, dk, &ds[0][0],
                    k_at + nv_lane_v(lane, BWD_D_ROW));
}

/* dQ of the block, all its queries and a warp's part of the columns, added to the sums. */
#if !P_DET
CLF_INLINE void dkv_add_dq(__global float *sums, uint s_tile, uint k_tile, const bool only_finite,
                           uint warp, uint lane)
{
    const uint row = warp / SUMS_ACROSS * 16 * SUMS_MT, column = warp % SUMS_ACROSS * SUMS_NT * 8;
    const uint s_at = s_tile + nv_lane_b(lane, DKV_S_ROW) + row * 2;
    const uint k_at = k_tile + nv_lane_v(lane, BWD_D_ROW) + column * 2;
    float dq[SUMS_MT][SUMS_NT][4];
    CLF_UNROLL for (int k = 0; k < T_BN / 16; k++) {
        uint a[SUMS_MT][4];
        CLF_UNROLL for (int i = 0; i < SUMS_MT; i++)
            nv_ldmatrix4_transposed(a[i], s_at + k * 16 * DKV_S_ROW + i * 32);
        nv_step_columns(SUMS_MT, SUMS_NT, k == 0, only_finite, &dq[0][0][0], &a[0][0],
                        k_at + k * 16 * BWD_D_ROW);
    }
    CLF_UNROLL for (int i = 0; i < SUMS_MT; i++)
        CLF_UNROLL for (int t = 0; t < SUMS_NT; t++)
            sums_add(sums + SUMS_TILE(warp, i, t), dq[i][t], lane);
}
#endif

__kernel __attribute__((reqd_work_group_size(NV_THREADS, 1, 1))) void
clf_attn_bwd_dkv(CLF_BWD_PARAMS)
{
    __local __attribute__((aligned(128))) uchar tiles[DKV_BYTES];
    const clf_attn_args a = x.f;
    if (!x.want_dk && !x.want_dv && (P_DET || !x.want_dq))
        return;
    const uint warp = get_local_id(0) / 32, lane = get_local_id(0) % 32;
    const int nkb = (a.sk + T_BN - 1) / T_BN, nqb = (a.sq + T_BM - 1) / T_BM;
    const int kb = (int)(get_group_id(0) % nkb), bh = (int)(get_group_id(0) / nkb);
    const int b = bh / a.hk, hk = bh % a.hk, len = CLF_KV_LEN(b), j0 = kb * T_BN;
    const int part = warp % T_SPLIT, own_key = (int)warp / T_SPLIT * DKV_KEYS;
    __global const ushort *q_ = (__global const ushort *)q + a.q_off + b * a.q_sb;
    __global const ushort *do_ = (__global const ushort *)dout + x.do_off + b * x.do_sb;
    const bool q_by_16 = nv_by_16(q_, a.q_ss) && a.q_sh % 8 == 0;
    const bool do_by_16 = nv_by_16(do_, x.do_ss) && x.do_sh % 8 == 0;

#if P_BLOCKS
    const int end = clf_kv_block(a, blocks, b, kb)[CLF_BLOCK_HI];
    const int first = dkv_next(clf_kv_block(a, blocks, b, kb)[CLF_BLOCK_LO], end, a, b, kb,
                               CLF_MASK_ARGS 0);
#else
    const int2 range = clf_q_range(a, j0, min(j0 + T_BN, len), len);
    const int end = (range.y + T_BM - 1) / T_BM, first = range.x / T_BM;
#endif
    const uint k_tile = nv_shared(tiles), v_tile = k_tile + DKV_V_AT;
    const uint s_tile = k_tile + DKV_S_AT, p_tile = k_tile + DKV_P_AT;
#define DKV_LOAD(stage, at)                                                                        \
    {                                                                                              \
        const uint to = k_tile + DKV_STAGES_AT + (stage) * DKV_STAGE_BYTES;                        \
        const uint rows_to = k_tile + DKV_ROWS_AT + (stage) * (2 * T_BM * 4);                      \
        const int h = hk * a.group + (at).g, i0 = (at).qb * T_BM;                                  \
        nv_load_tile(T_BM, P_D, BWD_D_ROW, to, q_ + h * a.q_sh + i0 * a.q_ss, a.q_ss, a.sq - i0,   \
                     q_by_16);                                                                     \
        nv_load_tile(T_BM, P_DV, BWD_DV_ROW, to + DKV_DO_AT, do_ + h * x.do_sh + i0 * x.do_ss,     \
                     x.do_ss, a.sq - i0, do_by_16);                                                \
        for (int e = (int)get_local_id(0); e < 2 * T_BM; e += NV_THREADS) {                        \
            const int r = min(i0 + e % T_BM, a.sq - 1);                                            \
            const long row = CLF_BWD_ROW(b, h, r);                                                 \
            nv_copy4(rows_to + e * 4, e < T_BM ? &CLF_BWD_LSE4(row) : &CLF_BWD_DELTA(row));        \
        }                                                                                          \
        nv_copy_commit();                                                                          \
    }
    dkv_block at = {0, first};
    if (first < end) {
        __global const ushort *k_ =
            (__global const ushort *)k + a.k_off + b * a.k_sb + hk * a.k_sh + j0 * a.k_ss;
        __global const ushort *v_ =
            (__global const ushort *)v + a.v_off + b * a.v_sb + hk * a.v_sh + j0 * a.v_ss;
        nv_load_tile(T_BN, P_D, BWD_D_ROW, k_tile, k_, a.k_ss, len - j0, nv_by_16(k_, a.k_ss));
        nv_load_tile(T_BN, P_DV, BWD_DV_ROW, v_tile, v_, a.v_ss, len - j0, nv_by_16(v_, a.v_ss));
        DKV_LOAD(0, at);
    }

    float dk_sum[BWD_MT][DKV_KT][4], dv_sum[BWD_MT][DKV_VT][4];
    CLF_UNROLL for (int i = 0; i < BWD_MT; i++) {
        CLF_UNROLL for (int t = 0; t < DKV_KT; t++)
            CLF_UNROLL for (int e = 0; e < 4; e++) dk_sum[i][t][e] = 0.0f;
        CLF_UNROLL for (int t = 0; t < DKV_VT; t++)
            CLF_UNROLL for (int e = 0; e < 4; e++) dv_sum[i][t][e] = 0.0f;
    }
    bool k_not_finite = false;
#if BWD_UNEVEN && !P_DET
    bool k_looked_at = false;
#endif
    bwd_place w = {b, 0, len, 0, j0 + own_key, lane};
    uint stage = 0;
    while (at.g < a.group && first < end) {
        NV_COPY_WAIT(0);
        barrier(CLK_LOCAL_MEM_FENCE); /* the block is there, the other stage and dS are free */
        dkv_block next = {at.g, dkv_next(at.qb + 1, end, a, b, kb, CLF_MASK_ARGS 0)};
        if (next.qb >= end) {
            next.g++;
            next.qb = first;
        }
#if T_STAGES == 2
        if (next.g < a.group)
            DKV_LOAD(stage ^ 1, next);
#endif
        const uint q_tile = k_tile + DKV_STAGES_AT + stage * DKV_STAGE_BYTES;
        const uint do_tile = q_tile + DKV_DO_AT;
        const uint rows = k_tile + DKV_ROWS_AT + stage * (2 * T_BM * 4);
        const bool mixed = dkv_mixed(at.qb, kb, a, b, len, CLF_MASK_ARGS 0);
        bool careful = false;
#if BWD_UNEVEN
        careful = mixed && (nv_tile_not_finite(T_BM, P_D, q_tile, lane) ||
                            nv_tile_not_finite(T_BM, P_DV, do_tile, lane));
#if !P_DET
        if (!k_looked_at)
            k_not_finite = nv_tile_not_finite(T_BN, P_D, k_tile, lane);
        k_looked_at = true;
#endif
#endif
        w.h = hk * a.group + at.g;
#if P_ALIBI
        const float slope = alibi[a.alibi_off + w.h];
#else
        const float slope = 0.0f;
#endif
        CLF_UNROLL for (int slice = 0; slice < DKV_QUERIES / DKV_SLICE; slice++) {
            const int i0 = part * DKV_QUERIES + slice * DKV_SLICE;
            float s[BWD_MT][BWD_NT][4], dp[BWD_MT][BWD_NT][4], row_value[BWD_VALUES];
            uint p[DKV_STEPS][BWD_MT][4], ds[DKV_STEPS][BWD_MT][4];
            w.i0 = at.qb * T_BM + i0;
            bwd_scores(s, BWD_D_STEPS, BWD_D_ROW,
                       k_tile + own_key * BWD_D_ROW + nv_lane_a(lane, BWD_D_ROW),
                       q_tile + i0 * BWD_D_ROW + nv_lane_b(lane, BWD_D_ROW));
            dkv_values(row_value, rows + (i0 + NV_ACC_COL(lane, 0)) * 4, 2.0f);
            bwd_weights(p, s, row_value, a, w, slope, mixed, CLF_MASK_ARGS 0);
            bwd_scores(dp, BWD_DV_STEPS, BWD_DV_ROW,
                       v_tile + own_key * BWD_DV_ROW + nv_lane_a(lane, BWD_DV_ROW),
                       do_tile + i0 * BWD_DV_ROW + nv_lane_b(lane, BWD_DV_ROW));
            dkv_values(row_value, rows + (T_BM + i0 + NV_ACC_COL(lane, 0)) * 4, 1.0f);
            bwd_score_gradients(ds, dp, s, row_value, mixed);
            if (DKV_HAS_S)
                dkv_write(s_tile + own_key * DKV_S_ROW + i0 * 2, ds, lane);
#if T_SPLIT > 1
            dkv_write(p_tile + own_key * DKV_S_ROW + i0 * 2, p, lane);
#else
            CLF_UNROLL for (int n = 0; n < DKV_STEPS; n++)
                dkv_step(&dv_sum[0][0][0], &dk_sum[0][0][0], p[n], ds[n],
                         do_tile + (i0 + n * 16) * BWD_DV_ROW, q_tile + (i0 + n * 16) * BWD_D_ROW,
                         careful, lane);
#endif
        }
        if (DKV_HAS_S)
            barrier(CLK_LOCAL_MEM_FENCE); /* dS and P are there */
#if T_SPLIT > 1
        CLF_UNROLL for (int n = 0; n < T_BM / 16; n++) {
            uint p[BWD_MT][4], ds[BWD_MT][4];
            CLF_UNROLL for (int i = 0; i < BWD_MT; i++) {
                const uint from =
                    (own_key + i * 16) * DKV_S_ROW + n * 32 + nv_lane_a(lane, DKV_S_ROW);
                nv_ldmatrix4(p[i], p_tile + from);
                nv_ldmatrix4(ds[i], s_tile + from);
            }
            dkv_step(&dv_sum[0][0][0], &dk_sum[0][0][0], p, ds,
                     do_tile + n * 16 * BWD_DV_ROW + part * DKV_VT * 16,
                     q_tile + n * 16 * BWD_D_ROW + part * DKV_KT * 16, careful, lane);
        }
#endif
#if !P_DET
        if (x.want_dq) {
            __global float *sums = work + x.scratch_off +
                                   (((long)b * a.hq + w.h) * nqb + at.qb) * SUMS_BLOCK_FLOATS;
            if (mixed && k_not_finite)
                dkv_add_dq(sums, s_tile, k_tile, true, warp, lane);
            else
                dkv_add_dq(sums, s_tile, k_tile, false, warp, lane);
        }
#endif
#if T_STAGES == 1
        barrier(CLK_LOCAL_MEM_FENCE); /* the only stage is free */
        if (next.g < a.group)
            DKV_LOAD(0, next);
#else
        stage ^= 1;
#endif
        at = next;
    }

    const int j = j0 + own_key;
    if (x.want_dk)
        bwd_store(BWD_MT, DKV_KT,
                  dk + x.dk_off + b * x.dk_sb + hk * x.dk_sh + j * x.dk_ss + part * DKV_KT * 8,
                  x.dk_ss, &dk_sum[0][0][0], a.scale, x.beta_dk, a.sk - j, len - j,
                  P_D - part * DKV_KT * 8, lane);
    if (x.want_dv)
        bwd_store(BWD_MT, DKV_VT,
                  dv + x.dv_off + b * x.dv_sb + hk * x.dv_sh + j * x.dv_ss + part * DKV_VT * 8,
                  x.dv_ss, &dv_sum[0][0][0], 1.0f, x.beta_dv, a.sk - j, len - j,
                  P_DV - part * DKV_VT * 8, lane);
}
