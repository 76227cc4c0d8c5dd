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
 * Barriers are of what a warp waits for (DKV_FULL ...), none of the whole work-group: 356
 * TFLOP/s against 308 with two of those per block (H100, driver 580.159.04, D = 128, 16384
 * tokens, without P_DET, 2026-11-25).
 *
 * P_D P_DV   head dimensions, multiples of 8                              (problem)
 * T_BM T_BN  queries and keys of a block                                  (tuned)
 * T_WARPS    warps of a work-group
 * T_SPLIT    warps that share the same keys
 * T_STAGES   query blocks in local memory: 1 or 2
 * D_NV_SM90  1: sm_90 or later                                            (device)
 * Needs      local memory and registers: attn_bwd_nv_mma.c.
 * Grid       global (32 * T_WARPS * key blocks * Hk * B), local (32 * T_WARPS).
 * Math       docs/math.md#backward; the same as lib/ref.
 * Source     Dao 2023, algorithm 2 (arXiv:2307.08691). */
#define CLF_LANES 1
#include "mask.clh"

#if !defined(P_D) || !defined(P_DV) || !defined(T_BM) || !defined(T_BN) || !defined(T_WARPS) ||    \
    !defined(T_SPLIT) || !defined(T_STAGES) || !defined(D_NV_SM90)
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
#define DKV_SLICES (DKV_QUERIES / DKV_SLICE)
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
#define DKV_BARS_AT (DKV_ROWS_AT + T_STAGES * 2 * T_BM * 4)
#define DKV_BYTES (DKV_BARS_AT + DKV_BARS * 8)

/* What the warps wait for, instead of for each other: where one is late, the others go on
 * with what they have. Phases count the blocks of queries.
 *   FULL(stage)   the copies into the stage are there
 *   FREE(stage)   no warp reads the stage any more
 *   S_FULL        dS (and P) of all keys are there     S_FREE  no warp reads them any more */
#define DKV_FULL(w, stage) ((w).tiles + DKV_BARS_AT + (stage) * 8)
#define DKV_FREE(w, stage) ((w).tiles + DKV_BARS_AT + (T_STAGES + (stage)) * 8)
#define DKV_S_FULL(w) ((w).tiles + DKV_BARS_AT + 2 * T_STAGES * 8)
#define DKV_S_FREE(w) ((w).tiles + DKV_BARS_AT + (2 * T_STAGES + 1) * 8)
#define DKV_BARS (2 * T_STAGES + 2)

/* What a warp knows of its place. */
typedef struct dkv_place {
    int b, hk, kb, len; /* batch, KV head, key block, keys that exist */
    int part;           /* of the queries and of the columns */
    int own_key;        /* its first key in the block */
    uint tiles;         /* local memory */
    uint warp, lane;
} dkv_place;

/* A block of queries under way: the query head's number in its group, the block, and how many
 * there were before. */
typedef struct dkv_block {
    int g, qb;
    uint n;
} dkv_block;

/* Tensors with a row per query, at the batch's first. */
typedef struct dkv_inputs {
    __global const ushort *q, *dout;
    __global const float *lse4; /* delta lies b hq sq floats behind */
    bool q_by_16, do_by_16;
    bool by_16; /* these, K and V: nothing comes by stores */
} dkv_inputs;

/* The first query block from qb on, before `end`, that is not empty for the keys. */
CLF_INLINE int dkv_next(int qb, int end, clf_attn_args a, dkv_place w, CLF_MASK_PARAMS int unused)
{
#if P_BLOCKS
    __global const int *kv = clf_kv_block(a, blocks, w.b, w.kb);
    while (qb < end && clf_block_kind(a, clf_q_block(a, blocks, w.b, qb), kv,
                                      min(T_BM, a.sq - qb * T_BM),
                                      min(T_BN, a.sk - w.kb * T_BN)) == CLF_EMPTY_BLOCK)
        qb++;
#endif
    return qb;
}

/* Whether some element of the block may be masked, or does not exist. */
CLF_INLINE bool dkv_mixed(int qb, clf_attn_args a, dkv_place w, CLF_MASK_PARAMS int unused)
{
    const int i0 = qb * T_BM, j0 = w.kb * T_BN;
#if P_BLOCKS
    const int kind = clf_block_kind(a, clf_q_block(a, blocks, w.b, qb),
                                    clf_kv_block(a, blocks, w.b, w.kb), min(T_BM, a.sq - i0),
                                    min(T_BN, a.sk - j0));
#else
    const int kind = clf_band_kind(a, i0, i0 + T_BM, j0, j0 + T_BN, w.len);
#endif
    return kind != CLF_FULL_BLOCK || i0 + T_BM > a.sq || j0 + T_BN > w.len;
}

CLF_INLINE void dkv_init_bars(dkv_place w)
{
    if (get_local_id(0) == 0) {
        for (uint i = 0; i < T_STAGES; i++) {
            nv_bar_init(DKV_FULL(w, i), NV_THREADS);
            nv_bar_init(DKV_FREE(w, i), T_WARPS);
        }
        nv_bar_init(DKV_S_FULL(w), T_WARPS);
        nv_bar_init(DKV_S_FREE(w), T_WARPS);
    }
    barrier(CLK_LOCAL_MEM_FENCE);
}

/* What the warp did before is done. */
CLF_INLINE void dkv_arrive(uint bar, uint lane)
{
    nv_warp_barrier();
    if (lane == 0)
        nv_bar_arrive(bar);
}

/* Starts the copies of a block's Q, dO, LSE and delta into its stage. */
CLF_INLINE void dkv_load(dkv_inputs in, clf_attn_bwd_args x, dkv_place w, dkv_block at)
{
    const uint stage = at.n % T_STAGES;
    const uint to = w.tiles + DKV_STAGES_AT + stage * DKV_STAGE_BYTES;
    const uint values = w.tiles + DKV_ROWS_AT + stage * (2 * T_BM * 4);
    const int h = w.hk * x.f.group + at.g, i0 = at.qb * T_BM;
    nv_load_tile(T_BM, P_D, BWD_D_ROW, to, in.q + h * x.f.q_sh + i0 * x.f.q_ss, x.f.q_ss,
                 x.f.sq - i0, in.q_by_16);
    nv_load_tile(T_BM, P_DV, BWD_DV_ROW, to + DKV_DO_AT, in.dout + h * x.do_sh + i0 * x.do_ss,
                 x.do_ss, x.f.sq - i0, in.do_by_16);
    for (int e = (int)get_local_id(0); e < 2 * T_BM; e += NV_THREADS) {
        const long row = (long)h * x.f.sq + min(i0 + e % T_BM, x.f.sq - 1);
        nv_copy4(values + e * 4, in.lse4 + row + (e < T_BM ? 0 : (long)x.f.b * x.f.hq * x.f.sq));
    }
    if (in.by_16) {
        nv_bar_arrive_with_copies(DKV_FULL(w, stage));
    } else { /* some were stores */
        nv_copy_commit();
        NV_COPY_WAIT(0);
        nv_bar_arrive(DKV_FULL(w, stage));
    }
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

/* Weights and score gradients of the warp's keys and the queries of a slice, i0 in the block. */
CLF_INLINE void dkv_slice(uint p[DKV_STEPS][BWD_MT][4], uint ds[DKV_STEPS][BWD_MT][4],
                          clf_attn_args a, dkv_place w, dkv_block at, int i0, float slope,
                          bool mixed, CLF_MASK_PARAMS int unused)
{
    const uint k_tile = w.tiles, v_tile = k_tile + DKV_V_AT, stage = at.n % T_STAGES;
    const uint q_tile = w.tiles + DKV_STAGES_AT + stage * DKV_STAGE_BYTES;
    const uint do_tile = q_tile + DKV_DO_AT;
    const uint values = w.tiles + DKV_ROWS_AT + stage * (2 * T_BM * 4) +
                        (i0 + NV_ACC_COL(w.lane, 0)) * 4;
    const bwd_place tile = {w.b,   w.hk * a.group + at.g,   w.len,
                            at.qb * T_BM + i0, w.kb * T_BN + w.own_key, w.lane};
    float s[BWD_MT][BWD_NT][4], dp[BWD_MT][BWD_NT][4], row_value[BWD_VALUES];
    bwd_scores(s, BWD_D_STEPS, BWD_D_ROW,
               k_tile + w.own_key * BWD_D_ROW + nv_lane_a(w.lane, BWD_D_ROW),
               q_tile + i0 * BWD_D_ROW + nv_lane_b(w.lane, BWD_D_ROW));
    dkv_values(row_value, values, 2.0f);
    bwd_weights(p, s, row_value, a, tile, slope, mixed, CLF_MASK_ARGS 0);
    bwd_scores(dp, BWD_DV_STEPS, BWD_DV_ROW,
               v_tile + w.own_key * BWD_DV_ROW + nv_lane_a(w.lane, BWD_DV_ROW),
               do_tile + i0 * BWD_DV_ROW + nv_lane_b(w.lane, BWD_DV_ROW));
    dkv_values(row_value, values + T_BM * 4, 1.0f);
    bwd_score_gradients(ds, dp, s, row_value, mixed);
}

/* All of a block. next: the one after it, whose copies start on the way. */
CLF_INLINE void dkv_visit(float *dv, float *dk, __global float *sums, dkv_inputs in,
                          clf_attn_bwd_args x, dkv_place w, dkv_block at, dkv_block next,
                          bool k_not_finite, float slope, CLF_MASK_PARAMS int unused)
{
    const clf_attn_args a = x.f;
    const uint stage = at.n % T_STAGES;
    const uint q_tile = w.tiles + DKV_STAGES_AT + stage * DKV_STAGE_BYTES;
    const uint do_tile = q_tile + DKV_DO_AT;
    const uint s_tile = w.tiles + DKV_S_AT, p_tile = w.tiles + DKV_P_AT;
    const bool mixed = dkv_mixed(at.qb, a, w, CLF_MASK_ARGS 0);
    bool careful = false;
#if BWD_UNEVEN
    careful = mixed && (nv_tile_not_finite(T_BM, P_D, q_tile, w.lane) ||
                        nv_tile_not_finite(T_BM, P_DV, do_tile, w.lane));
#endif
    CLF_UNROLL for (int slice = 0; slice < DKV_SLICES; slice++) {
        const int i0 = w.part * DKV_QUERIES + slice * DKV_SLICE;
        uint p[DKV_STEPS][BWD_MT][4], ds[DKV_STEPS][BWD_MT][4];
        dkv_slice(p, ds, a, w, at, i0, slope, mixed, CLF_MASK_ARGS 0);
#if DKV_HAS_S
        if (slice == 0)
            nv_bar_wait(DKV_S_FREE(w), ~at.n & 1);
        dkv_write(s_tile + w.own_key * DKV_S_ROW + i0 * 2, ds, w.lane);
#if T_SPLIT > 1
        dkv_write(p_tile + w.own_key * DKV_S_ROW + i0 * 2, p, w.lane);
#endif
        if (slice == DKV_SLICES - 1)
            dkv_arrive(DKV_S_FULL(w), w.lane);
#endif
#if T_STAGES == 2
        if (slice == DKV_SLICES - 1 && next.g < a.group) {
            nv_bar_wait(DKV_FREE(w, stage ^ 1), ~(next.n / 2) & 1);
            dkv_load(in, x, w, next);
        }
#endif
#if T_SPLIT == 1
        CLF_UNROLL for (int k = 0; k < DKV_STEPS; k++)
            dkv_step(dv, dk, p[k], ds[k], do_tile + (i0 + k * 16) * BWD_DV_ROW,
                     q_tile + (i0 + k * 16) * BWD_D_ROW, careful, w.lane);
#endif
    }
#if T_SPLIT > 1
    nv_warps_barrier(1 + w.warp / T_SPLIT, T_SPLIT * 32); /* P and dS of the keys are there */
    CLF_UNROLL for (int k = 0; k < T_BM / 16; k++) {
        uint p[BWD_MT][4], ds[BWD_MT][4];
        CLF_UNROLL for (int i = 0; i < BWD_MT; i++) {
            const uint from =
                (w.own_key + i * 16) * DKV_S_ROW + k * 32 + nv_lane_a(w.lane, DKV_S_ROW);
            nv_ldmatrix4(p[i], p_tile + from);
            nv_ldmatrix4(ds[i], s_tile + from);
        }
        dkv_step(dv, dk, p, ds, do_tile + k * 16 * BWD_DV_ROW + w.part * DKV_VT * 16,
                 q_tile + k * 16 * BWD_D_ROW + w.part * DKV_KT * 16, careful, w.lane);
    }
#endif
    dkv_arrive(DKV_FREE(w, stage), w.lane);
#if !P_DET
    nv_bar_wait(DKV_S_FULL(w), at.n & 1);
    if (x.want_dq && mixed && k_not_finite)
        dkv_add_dq(sums, s_tile, w.tiles, true, w.warp, w.lane);
    else if (x.want_dq)
        dkv_add_dq(sums, s_tile, w.tiles, false, w.warp, w.lane);
#endif
#if DKV_HAS_S
    dkv_arrive(DKV_S_FREE(w), w.lane);
#endif
#if T_STAGES == 1
    if (next.g < a.group) {
        nv_bar_wait(DKV_FREE(w, 0), at.n & 1);
        dkv_load(in, x, w, next);
    }
#endif
}

__kernel __attribute__((reqd_work_group_size(NV_THREADS, 1, 1))) void
clf_attn_bwd_dkv(CLF_BWD_PARAMS)
{
    __local __attribute__((aligned(128))) uchar tiles[DKV_BYTES];
    const clf_attn_args a = x.f;
    if (!x.want_dk && !x.want_dv && (P_DET || !x.want_dq))
        return;
    const int nkb = (a.sk + T_BN - 1) / T_BN, nqb = (a.sq + T_BM - 1) / T_BM;
    const int bh = (int)(get_group_id(0) / nkb);
    dkv_place w;
    w.b = bh / a.hk;
    w.hk = bh % a.hk;
    w.kb = (int)(get_group_id(0) % nkb);
    w.len = CLF_KV_LEN(w.b);
    w.tiles = nv_shared(tiles);
    w.warp = get_local_id(0) / 32;
    w.lane = get_local_id(0) % 32;
    w.part = (int)w.warp % T_SPLIT;
    w.own_key = (int)w.warp / T_SPLIT * DKV_KEYS;
    const int j0 = w.kb * T_BN;
    __global const ushort *k_ =
        (__global const ushort *)k + a.k_off + w.b * a.k_sb + w.hk * a.k_sh + j0 * a.k_ss;
    __global const ushort *v_ =
        (__global const ushort *)v + a.v_off + w.b * a.v_sb + w.hk * a.v_sh + j0 * a.v_ss;
    const bool k_by_16 = nv_by_16(k_, a.k_ss), v_by_16 = nv_by_16(v_, a.v_ss);
    dkv_inputs in;
    in.q = (__global const ushort *)q + a.q_off + w.b * a.q_sb;
    in.dout = (__global const ushort *)dout + x.do_off + w.b * x.do_sb;
    in.lse4 = &CLF_BWD_LSE4(CLF_BWD_ROW(w.b, 0, 0));
    in.q_by_16 = nv_by_16(in.q, a.q_ss) && a.q_sh % 8 == 0;
    in.do_by_16 = nv_by_16(in.dout, x.do_ss) && x.do_sh % 8 == 0;
    in.by_16 = in.q_by_16 && in.do_by_16 && k_by_16 && v_by_16;

#if P_BLOCKS
    __global const int *record = clf_kv_block(a, blocks, w.b, w.kb);
    const int end = record[CLF_BLOCK_HI];
    const int first = dkv_next(record[CLF_BLOCK_LO], end, a, w, CLF_MASK_ARGS 0);
#else
    const int2 range = clf_q_range(a, j0, min(j0 + T_BN, w.len), w.len);
    const int end = (range.y + T_BM - 1) / T_BM, first = range.x / T_BM;
#endif
    float dk_sum[BWD_MT][DKV_KT][4], dv_sum[BWD_MT][DKV_VT][4];
    CLF_UNROLL for (int i = 0; i < BWD_MT; i++) {
        CLF_UNROLL for (int t = 0; t < DKV_KT; t++)
            CLF_UNROLL for (int e = 0; e < 4; e++) dk_sum[i][t][e] = 0.0f;
        CLF_UNROLL for (int t = 0; t < DKV_VT; t++)
            CLF_UNROLL for (int e = 0; e < 4; e++) dv_sum[i][t][e] = 0.0f;
    }
    dkv_init_bars(w);
    dkv_block at = {first < end ? 0 : a.group, first, 0};
    if (at.g < a.group) {
        nv_load_tile(T_BN, P_D, BWD_D_ROW, w.tiles, k_, a.k_ss, w.len - j0, k_by_16);
        nv_load_tile(T_BN, P_DV, BWD_DV_ROW, w.tiles + DKV_V_AT, v_, a.v_ss, w.len - j0, v_by_16);
        dkv_load(in, x, w, at);
    }
    bool k_not_finite = false;
    while (at.g < a.group) {
        dkv_block next = {at.g, dkv_next(at.qb + 1, end, a, w, CLF_MASK_ARGS 0), at.n + 1};
        if (next.qb >= end) {
            next.g++;
            next.qb = first;
        }
        nv_bar_wait(DKV_FULL(w, at.n % T_STAGES), at.n / T_STAGES & 1);
#if BWD_UNEVEN && !P_DET
        if (at.n == 0)
            k_not_finite = nv_tile_not_finite(T_BN, P_D, w.tiles, w.lane);
#endif
        const int h = w.hk * a.group + at.g;
#if P_ALIBI
        const float slope = alibi[a.alibi_off + h];
#else
        const float slope = 0.0f;
#endif
        __global float *sums =
            work + x.scratch_off + (((long)w.b * a.hq + h) * nqb + at.qb) * SUMS_BLOCK_FLOATS;
        dkv_visit(&dv_sum[0][0][0], &dk_sum[0][0][0], sums, in, x, w, at, next, k_not_finite,
                  slope, CLF_MASK_ARGS 0);
        at = next;
    }

    const int j = j0 + w.own_key, k_column = w.part * DKV_KT * 8, v_column = w.part * DKV_VT * 8;
    if (x.want_dk)
        bwd_store(BWD_MT, DKV_KT,
                  dk + x.dk_off + w.b * x.dk_sb + w.hk * x.dk_sh + j * x.dk_ss + k_column, x.dk_ss,
                  &dk_sum[0][0][0], a.scale, x.beta_dk, a.sk - j, w.len - j, P_D - k_column,
                  w.lane);
    if (x.want_dv)
        bwd_store(BWD_MT, DKV_VT,
                  dv + x.dv_off + w.b * x.dv_sb + w.hk * x.dv_sh + j * x.dv_ss + v_column, x.dv_ss,
                  &dv_sum[0][0][0], 1.0f, x.beta_dv, a.sk - j, w.len - j, P_DV - v_column,
                  w.lane);
}
