/* attn_bwd_nv_mma_dq.cl -- dQ on NVIDIA's matrix units, sm_80 and later: f16, bf16.
 *
 * P_DET      clf_attn_bwd_dq: a work-group owns T_QM queries of one head and walks over blocks
 *            of T_QN keys as the forward does; S and dP come again, dS packed is the left
 *            operand of dQ += dS K. A pass of its own, for sums in a certain order.
 * otherwise  clf_attn_bwd_dq clears the f32 sums that attn_bwd_nv_mma.cl adds to;
 *            clf_attn_bwd_dq_round makes dQ of them.
 *
 * P_D P_DV   head dimensions, multiples of 8                              (problem)
 * T_QM T_QN  queries and keys of a block; T_QN divides T_BN, T_BM divides T_QM  (tuned)
 * T_QWARPS   warps of a work-group; 16 * T_QWARPS divides T_QM
 * T_QSTAGES  key blocks in local memory: 1 or 2
 * T_BM T_BN  blocks of the block mask and of the sums; T_WARPS, see nv_bwd_sums.clh
 * Grid       P_DET: global (32 * T_QWARPS * query blocks * Hq * B), local (32 * T_QWARPS);
 *            else  global (256 * n), local (256), n work-groups to share the work.
 * Math       docs/math.md#backward; the same as lib/ref. */
#define CLF_LANES 1
#include "mask.clh"

#if !defined(P_D) || !defined(P_DV) || !defined(T_QM) || !defined(T_QN) || !defined(T_QWARPS) ||   \
    !defined(T_QSTAGES) || !defined(T_BM) || !defined(T_BN) || !defined(T_WARPS) ||                \
    !defined(D_NV_SM90)
#error "attn_bwd_nv_mma_dq.cl: a macro is missing"
#endif
#if P_DTYPE == 0 || P_D % 8 != 0 || P_DV % 8 != 0
#error "attn_bwd_nv_mma_dq.cl: f16 or bf16, D and Dv multiples of 8"
#endif
#if T_QM % (16 * T_QWARPS) != 0 || T_QN % 16 != 0 || T_BN % T_QN != 0 || T_QM % T_BM != 0
#error "attn_bwd_nv_mma_dq.cl: T_QM, T_QN, T_QWARPS, T_BM and T_BN do not suit each other"
#endif

#define BWD_KEYS_ARE_ROWS 0
#define BWD_MT (T_QM / (16 * T_QWARPS))
#define BWD_NT (T_QN / 8)
#define NV_WARPS T_QWARPS
#include "nv_bwd.clh"
#include "nv_bwd_sums.clh"

#if P_DET

#define DQ_ROWS (16 * BWD_MT)  /* queries of a warp */
#define DQ_CT NV_CHUNKS(P_D)   /* accumulators of dQ per tile: 8 columns each */

/* Local memory: Q, dO, the stages of K and V. */
#define DQ_DO_AT (T_QM * BWD_D_ROW)
#define DQ_STAGES_AT (DQ_DO_AT + T_QM * BWD_DV_ROW)
#define DQ_V_AT (T_QN * BWD_D_ROW) /* in a stage */
#define DQ_STAGE_BYTES (DQ_V_AT + T_QN * BWD_DV_ROW)
#define DQ_BYTES (DQ_STAGES_AT + T_QSTAGES * DQ_STAGE_BYTES)

/* How key block kb, of T_QN keys, stands to the work-group's queries; by the records where
 * there are some. */
CLF_INLINE int dq_kind(int kb, int i0, clf_attn_args a, int b, CLF_MASK_PARAMS int unused)
{
#if P_BLOCKS
    const int j0 = kb * T_QN / T_BN * T_BN;
    bool empty = true, full = true;
    for (int i = i0; i < min(i0 + T_QM, a.sq); i += T_BM) {
        const int kind = clf_block_kind(a, clf_q_block(a, blocks, b, i / T_BM),
                                        clf_kv_block(a, blocks, b, j0 / T_BN),
                                        min(T_BM, a.sq - i), min(T_BN, a.sk - j0));
        empty &= kind == CLF_EMPTY_BLOCK;
        full &= kind == CLF_FULL_BLOCK;
    }
    return empty ? CLF_EMPTY_BLOCK : full ? CLF_FULL_BLOCK : CLF_MIXED_BLOCK;
#else
    return CLF_MIXED_BLOCK;
#endif
}

/* Key blocks of T_QN that the queries may see. */
CLF_INLINE int2 dq_range(int i0, clf_attn_args a, int b, int len, CLF_MASK_PARAMS int unused)
{
#if P_BLOCKS
    const int steps = T_BN / T_QN;
    int lo = a.nkb, hi = 0;
    for (int i = i0; i < min(i0 + T_QM, a.sq); i += T_BM) {
        __global const int *q = clf_q_block(a, blocks, b, i / T_BM);
        if (q[CLF_BLOCK_LO] < q[CLF_BLOCK_HI]) {
            lo = min(lo, q[CLF_BLOCK_LO]);
            hi = max(hi, q[CLF_BLOCK_HI]);
        }
    }
    return (int2)(lo * steps, min(hi * steps, (len + T_QN - 1) / T_QN));
#else
    const int2 range = clf_kv_range(a, i0, min(i0 + T_QM, a.sq), len);
    return (int2)(range.x / T_QN, (range.y + T_QN - 1) / T_QN);
#endif
}

/* The first block from kb on, before `end`, that is not empty. */
CLF_INLINE int dq_next(int kb, int end, int i0, clf_attn_args a, int b, CLF_MASK_PARAMS int unused)
{
    while (kb < end && dq_kind(kb, i0, a, b, CLF_MASK_ARGS 0) == CLF_EMPTY_BLOCK)
        kb = (kb * T_QN / T_BN + 1) * (T_BN / T_QN);
    return kb;
}

/* Whether some element of a warp's tile may be masked, or does not exist. */
CLF_INLINE bool dq_mixed(int kb, int i0, clf_attn_args a, bwd_place w, CLF_MASK_PARAMS int unused)
{
#if P_BLOCKS
    const int kind = dq_kind(kb, i0, a, w.b, CLF_MASK_ARGS 0);
#else
    const int kind = clf_band_kind(a, w.i0, w.i0 + DQ_ROWS, w.j0, w.j0 + T_QN, w.len);
#endif
    return kind != CLF_FULL_BLOCK || w.i0 + DQ_ROWS > a.sq || w.j0 + T_QN > w.len;
}

/* Whether a warp's queries may see some key of its tile. */
CLF_INLINE bool dq_sees(clf_attn_args a, bwd_place w)
{
#if P_BAND && !P_POS
    const int first = w.i0 + a.q_pos0, last = min(w.i0 + DQ_ROWS, a.sq) - 1 + a.q_pos0;
    if (w.j0 + T_QN - 1 - first < a.band_lo || w.j0 - last > a.band_hi)
        return false;
#endif
    return w.i0 < a.sq;
}

/* dq += dS K over the block's keys. */
CLF_INLINE void dq_add(float *dq, uint ds[BWD_NT / 2][BWD_MT][4], uint k_tile,
                       const bool only_finite, uint lane)
{
    CLF_UNROLL for (int k = 0; k < BWD_NT / 2; k++)
        nv_step_columns(BWD_MT, DQ_CT, false, only_finite, dq, &ds[k][0][0],
                        k_tile + k * 16 * BWD_D_ROW + nv_lane_v(lane, BWD_D_ROW));
}

__kernel __attribute__((reqd_work_group_size(NV_THREADS, 1, 1))) void
clf_attn_bwd_dq(CLF_BWD_PARAMS)
{
    __local __attribute__((aligned(128))) uchar tiles[DQ_BYTES];
    const clf_attn_args a = x.f;
    if (!x.want_dq)
        return;
    const uint warp = get_local_id(0) / 32, lane = get_local_id(0) % 32;
    const int nqb = (a.sq + T_QM - 1) / T_QM;
    const int bh = (int)(get_group_id(0) / nqb);
    int qb = (int)(get_group_id(0) % nqb);
#if P_BAND
    if (a.band_hi < INT_MAX && a.band_lo == INT_MIN) /* causal: the longest first */
        qb = nqb - 1 - qb;
#endif
    const int b = bh / a.hq, h = bh % a.hq, hk = h / a.group, i0 = qb * T_QM;
    bwd_place w = {b, h, CLF_KV_LEN(b), i0 + (int)warp * DQ_ROWS, 0, lane};
    __global const ushort *k_ = (__global const ushort *)k + a.k_off + b * a.k_sb + hk * a.k_sh;
    __global const ushort *v_ = (__global const ushort *)v + a.v_off + b * a.v_sb + hk * a.v_sh;
    const bool k_by_16 = nv_by_16(k_, a.k_ss), v_by_16 = nv_by_16(v_, a.v_ss);
#if P_ALIBI
    const float slope = alibi[a.alibi_off + h];
#else
    const float slope = 0.0f;
#endif
    const int2 range = dq_range(i0, a, b, w.len, CLF_MASK_ARGS 0);
    int kb = dq_next(range.x, range.y, i0, a, b, CLF_MASK_ARGS 0);
    const uint q_tile = nv_shared(tiles), do_tile = q_tile + DQ_DO_AT;
#define DQ_LOAD(stage, kb)                                                                         \
    {                                                                                              \
        const uint to = q_tile + DQ_STAGES_AT + (stage) * DQ_STAGE_BYTES;                          \
        const int j0 = (kb) * T_QN;                                                                \
        nv_load_tile(T_QN, P_D, BWD_D_ROW, to, k_ + j0 * a.k_ss, a.k_ss, w.len - j0, k_by_16);     \
        nv_load_tile(T_QN, P_DV, BWD_DV_ROW, to + DQ_V_AT, v_ + j0 * a.v_ss, a.v_ss, w.len - j0,   \
                     v_by_16);                                                                     \
        nv_copy_commit();                                                                          \
    }
    if (kb < range.y) {
        __global const ushort *q_ =
            (__global const ushort *)q + a.q_off + b * a.q_sb + h * a.q_sh + i0 * a.q_ss;
        __global const ushort *do_ =
            (__global const ushort *)dout + x.do_off + b * x.do_sb + h * x.do_sh + i0 * x.do_ss;
        nv_load_tile(T_QM, P_D, BWD_D_ROW, q_tile, q_, a.q_ss, a.sq - i0, nv_by_16(q_, a.q_ss));
        nv_load_tile(T_QM, P_DV, BWD_DV_ROW, do_tile, do_, x.do_ss, a.sq - i0,
                     nv_by_16(do_, x.do_ss));
        DQ_LOAD(0, kb);
    }

    float sum[BWD_MT][DQ_CT][4], lse2[BWD_VALUES], delta[BWD_VALUES];
    CLF_UNROLL for (int i = 0; i < BWD_MT; i++) {
        CLF_UNROLL for (int t = 0; t < DQ_CT; t++)
            CLF_UNROLL for (int e = 0; e < 4; e++) sum[i][t][e] = 0.0f;
        CLF_UNROLL for (int g = 0; g < 2; g++) {
            const long row = CLF_BWD_ROW(b, h, min(BWD_QUERY(w, i, 0, 2 * g), a.sq - 1));
            lse2[2 * i + g] = 2.0f * CLF_BWD_LSE4(row);
            delta[2 * i + g] = CLF_BWD_DELTA(row);
        }
    }
    const uint own_rows = warp * DQ_ROWS;
    const uint q_at = q_tile + own_rows * BWD_D_ROW + nv_lane_a(lane, BWD_D_ROW);
    const uint do_at = do_tile + own_rows * BWD_DV_ROW + nv_lane_a(lane, BWD_DV_ROW);
    uint stage = 0;
    while (kb < range.y) {
        NV_COPY_WAIT(0);
        barrier(CLK_LOCAL_MEM_FENCE); /* the block is there, the other stage is free */
        const int next = dq_next(kb + 1, range.y, i0, a, b, CLF_MASK_ARGS 0);
#if T_QSTAGES == 2
        if (next < range.y)
            DQ_LOAD(stage ^ 1, next);
#endif
        w.j0 = kb * T_QN;
        if (dq_sees(a, w)) {
            const uint k_tile = q_tile + DQ_STAGES_AT + stage * DQ_STAGE_BYTES;
            const uint v_tile = k_tile + DQ_V_AT;
            const bool mixed = dq_mixed(kb, i0, a, w, CLF_MASK_ARGS 0);
            float s[BWD_MT][BWD_NT][4], dp[BWD_MT][BWD_NT][4];
            uint packed[BWD_NT / 2][BWD_MT][4];
            bwd_scores(s, BWD_D_STEPS, BWD_D_ROW, q_at, k_tile + nv_lane_b(lane, BWD_D_ROW));
            bwd_weights(packed, s, lse2, a, w, slope, mixed, CLF_MASK_ARGS 0);
            bwd_scores(dp, BWD_DV_STEPS, BWD_DV_ROW, do_at, v_tile + nv_lane_b(lane, BWD_DV_ROW));
            bwd_score_gradients(packed, dp, s, delta, mixed);
#if BWD_UNEVEN
            if (mixed && nv_tile_not_finite(T_QN, P_D, k_tile, lane))
                dq_add(&sum[0][0][0], packed, k_tile, true, lane);
            else
#endif
                dq_add(&sum[0][0][0], packed, k_tile, false, lane);
        }
#if T_QSTAGES == 1
        barrier(CLK_LOCAL_MEM_FENCE); /* the only stage is free */
        if (next < range.y)
            DQ_LOAD(0, next);
#else
        stage ^= 1;
#endif
        kb = next;
    }
    bwd_store(BWD_MT, DQ_CT, dq + x.dq_off + b * x.dq_sb + h * x.dq_sh + w.i0 * x.dq_ss, x.dq_ss,
              &sum[0][0][0], a.scale, x.beta_dq, a.sq - w.i0, a.sq - w.i0, P_D, lane);
}

#else

__kernel __attribute__((reqd_work_group_size(256, 1, 1))) void clf_attn_bwd_dq(CLF_BWD_PARAMS)
{
    const long nqb = (x.f.sq + T_BM - 1) / T_BM;
    const long n = x.f.b * x.f.hq * nqb * (SUMS_BLOCK_FLOATS / 4);
    __global float4 *sums = (__global float4 *)(work + x.scratch_off);
    if (!x.want_dq)
        return;
    for (long at = get_global_id(0); at < n; at += get_global_size(0))
        sums[at] = (float4)(0.0f);
}

/* A warp takes a tile of 16x8 and a quad of it two of its rows, as they were added. */
__kernel __attribute__((reqd_work_group_size(256, 1, 1))) void clf_attn_bwd_dq_round(CLF_BWD_PARAMS)
{
    const uint lane = get_local_id(0) % 32;
    const int nqb = (x.f.sq + T_BM - 1) / T_BM;
    const long n = (long)x.f.b * x.f.hq * nqb * (SUMS_BLOCK_FLOATS / 128);
    if (!x.want_dq)
        return;
    for (long at = get_global_id(0) / 32; at < n; at += get_global_size(0) / 32) {
        const int tile = (int)(at % (SUMS_BLOCK_FLOATS / 128));
        const int t = tile % SUMS_NT, i = tile / SUMS_NT % SUMS_MT;
        const int warp = tile / (SUMS_NT * SUMS_MT);
        const long block = at / (SUMS_BLOCK_FLOATS / 128);
        const int qb = (int)(block % nqb), bh = (int)(block / nqb);
        const int column = (warp % SUMS_ACROSS * SUMS_NT + t) * 8;
        const int row = qb * T_BM + (warp / SUMS_ACROSS * SUMS_MT + i) * 16;
        __global const float *from = work + x.scratch_off + at * 128;
        float sum[4];
        CLF_UNROLL for (int e = 0; e < 4; e++) sum[e] = from[SUMS_ELEMENT(lane, e)];
        bwd_store(1, 1,
                  dq + x.dq_off + bh / x.f.hq * x.dq_sb + bh % x.f.hq * x.dq_sh + row * x.dq_ss +
                      column,
                  x.dq_ss, sum, x.f.scale, x.beta_dq, x.f.sq - row, x.f.sq - row, P_D - column,
                  lane);
    }
}

#endif
