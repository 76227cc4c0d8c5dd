/* attn_fwd_nv_mma.cl -- attention forward on NVIDIA's matrix units, sm_80 and later: f16, bf16.
 *
 * A work-group owns T_BM queries of one head, each warp MMA_MT tiles of 16 of them, and walks
 * over blocks of T_BN keys, whose K and V wait in a ring of T_STAGES pairs of tiles filled by
 * asynchronous copies; one barrier per block. Scores, weights and output stay in registers as
 * fragments (nv_ptx.clh): packed, the scores' accumulators are the left operand of P V.
 * 32 queries per warp use each fragment of K and V twice: 409 TFLOP/s against 292 with 16
 * (H200, driver 580.159.04, D = 128, 4096 keys, 2026-11-23).
 *
 * The running maximum is raised, and O rescaled, only when some row of the warp rose by more
 * than 2^8; sum and output share the maximum, so the result is exact (384 -> 409 there).
 *
 * P_D P_DV   head dimensions, multiples of 8                               (problem)
 * T_BM T_BN  queries and keys of a block; 16 * T_WARPS divides T_BM, 16 T_BN  (tuned)
 * T_WARPS    warps of a work-group
 * T_STAGES   key blocks in local memory
 * T_QREG     1: Q's fragments stay in registers; 0: read again for every block
 * Needs      local memory and registers: attn_fwd_nv_mma.c.
 * Grid       global (32 * T_WARPS * query blocks * Hq * B), local (32 * T_WARPS).
 * Math       docs/math.md; the same as lib/ref. */
#define CLF_LANES 1
#include "mask.clh"

#if !defined(P_D) || !defined(P_DV) || !defined(T_BM) || !defined(T_BN) || !defined(T_WARPS) ||    \
    !defined(T_STAGES) || !defined(T_QREG)
#error "attn_fwd_nv_mma.cl: a macro is missing"
#endif
#if P_DTYPE == 0 || P_D % 8 != 0 || P_DV % 8 != 0
#error "attn_fwd_nv_mma.cl: f16 or bf16, D and Dv multiples of 8"
#endif
#if T_BM % (16 * T_WARPS) != 0 || T_BN % 16 != 0 || T_STAGES < 2
#error "attn_fwd_nv_mma.cl: 16 * T_WARPS must divide T_BM, 16 divide T_BN; 2 stages at least"
#endif
#define NV_WARPS T_WARPS
#include "nv_tile.clh"

#define MMA_MT (T_BM / (16 * T_WARPS)) /* tiles of 16 queries of a warp */
#define MMA_ROWS (16 * MMA_MT)         /* queries of a warp */
#define MMA_NT (T_BN / 8)              /* accumulators of scores per tile: 8 keys each */
#define MMA_KD ((P_D + 15) / 16)       /* steps of 16 over D */
#define MMA_KN (T_BN / 16)             /* steps of 16 over keys */
#define MMA_OT (NV_CHUNKS(P_DV))       /* accumulators of O per tile: 8 columns each */

#define MMA_K_ROW NV_ROW_BYTES(P_D)
#define MMA_V_ROW NV_ROW_BYTES(P_DV)
#define MMA_Q_ROW (MMA_K_ROW > MMA_V_ROW ? MMA_K_ROW : MMA_V_ROW) /* O leaves through it */
#define MMA_Q_BYTES (T_BM * MMA_Q_ROW)
#define MMA_K_BYTES (T_BN * MMA_K_ROW)
#define MMA_STAGE_BYTES (MMA_K_BYTES + T_BN * MMA_V_ROW)

/* Whether rows of a block may see different keys. A bias of -INFINITY masks, in any block. */
#define MMA_UNEVEN (P_BAND || P_SEG || P_BOOL || P_BIAS)
#define MMA_RISE 8.0f                         /* log2 of what a maximum may lag behind */

/* What a warp knows of its place. */
typedef struct mma_place {
    int b, h, len; /* batch, query head, keys that exist */
    int row;       /* the warp's first query */
    uint lane;
} mma_place;

/* s = Q K^T; Q's fragments from `q` where T_QREG, else from local memory. */
CLF_INLINE void mma_scores(float s[MMA_MT][MMA_NT][4], uint q_at, uint k_at,
                           uint q[MMA_MT][MMA_KD][4])
{
    CLF_UNROLL for (int k = 0; k < MMA_KD; k++) {
        uint a[MMA_MT][4];
        CLF_UNROLL for (int i = 0; i < MMA_MT; i++) {
#if T_QREG
            CLF_UNROLL for (int e = 0; e < 4; e++) a[i][e] = q[i][k][e];
#else
            nv_ldmatrix4(a[i], q_at + i * 16 * MMA_Q_ROW + k * 32);
#endif
        }
        nv_step_rows(MMA_MT, MMA_NT, MMA_K_ROW, k == 0, &s[0][0][0], &a[0][0], k_at + k * 32);
    }
}

/* Softcap, ALiBi and bias; the scores are in units of log 4 afterwards. */
#if CLF_HAS_TERMS
CLF_INLINE void mma_terms(float s[MMA_MT][MMA_NT][4], clf_attn_args a, mma_place w, int j0,
                          float slope, CLF_MASK_PARAMS int unused)
{
    CLF_UNROLL for (int t = 0; t < MMA_NT; t++) {
        CLF_UNROLL for (int e = 0; e < 4; e++) {
            const int n = min(j0 + t * 8 + NV_ACC_COL(w.lane, e), a.sk - 1);
            const int kv_position = CLF_KV_POS(w.b, n);
            CLF_UNROLL for (int i = 0; i < MMA_MT; i++) {
                const int r = min(w.row + i * 16 + NV_ACC_ROW(w.lane, e), a.sq - 1);
                float x = 0.0f;
#if P_BIAS
                x = clf_bias(a, bias,
                             a.bias_off + w.b * a.bias_sb + w.h * a.bias_sh + r * a.bias_ss + n);
#endif
                const float y =
                    clf_score(a, s[i][t][e] * a.scale, CLF_Q_POS(w.b, r), kv_position, slope, x);
                s[i][t][e] = x == -INFINITY ? x : y; /* though the key may be NaN */
            }
        }
    }
}
#endif

/* -INFINITY where a key is masked. */
CLF_INLINE void mma_mask(float s[MMA_MT][MMA_NT][4], clf_attn_args a, mma_place w, int j0,
                         CLF_MASK_PARAMS int unused)
{
    CLF_UNROLL for (int i = 0; i < MMA_MT; i++) {
        CLF_UNROLL for (int half_row = 0; half_row < 2; half_row++) {
            const int r = min(w.row + i * 16 + NV_ACC_ROW(w.lane, half_row * 2), a.sq - 1);
            const int first = j0 + NV_ACC_COL(w.lane, 0);
            /* Keys [low, high] relative to the lane's first; consecutive positions only, else
             * clf_visible() tests the band. */
            int low = 0, high = w.len - 1 - first;
#if P_BAND && !P_POS
            low = max(low, sub_sat(add_sat(r + a.q_pos0, a.band_lo), first));
            high = min(high, sub_sat(add_sat(r + a.q_pos0, a.band_hi), first));
#endif
#if P_SEG || P_POS
            const int q_position = CLF_Q_POS(w.b, r), q_segment = CLF_Q_SEG(w.b, r);
#endif
            CLF_UNROLL for (int t = 0; t < MMA_NT; t++) {
                CLF_UNROLL for (int e = 0; e < 2; e++) {
                    int ok = t * 8 + e >= low & t * 8 + e <= high;
#if P_SEG || P_POS || P_BOOL
                    const int n = min(first + t * 8 + e, a.sk - 1);
#endif
#if P_SEG || P_POS
                    ok &= clf_visible(a, q_position, q_segment, CLF_KV_POS(w.b, n),
                                      CLF_KV_SEG(w.b, n));
#endif
#if P_BOOL
                    ok &= boolean[a.bool_off + w.b * a.bool_sb + w.h * a.bool_sh +
                                  r * a.bool_ss + n] != 0;
#endif
                    if (!ok)
                        s[i][t][half_row * 2 + e] = -INFINITY;
                }
            }
        }
    }
}

/* Raises the maxima and rescales sums and output where that is due. c: log2 units per unit of
 * s. m is -INFINITY until the row's first visible key. */
CLF_INLINE void mma_raise(float s[MMA_MT][MMA_NT][4], float o[MMA_MT][MMA_OT][4],
                          float m[MMA_MT][2], float l[MMA_MT][2], float c)
{
    float x[MMA_MT][2];
    uint rose = 0;
    CLF_UNROLL for (int i = 0; i < MMA_MT; i++) {
        CLF_UNROLL for (int g = 0; g < 2; g++) {
            float y = fmax(s[i][0][2 * g], s[i][0][2 * g + 1]);
            CLF_UNROLL for (int t = 1; t < MMA_NT; t++)
                y = fmax(y, fmax(s[i][t][2 * g], s[i][t][2 * g + 1]));
            x[i][g] = fmax(m[i][g], nv_quad_max(y));
            rose |= (x[i][g] - m[i][g]) * c > MMA_RISE; /* no: both are -INFINITY */
        }
    }
    if (!nv_any(rose))
        return;
    CLF_UNROLL for (int i = 0; i < MMA_MT; i++) {
        CLF_UNROLL for (int g = 0; g < 2; g++) {
            const float factor = m[i][g] == x[i][g] ? 1.0f : nv_exp2((m[i][g] - x[i][g]) * c);
            m[i][g] = x[i][g];
            l[i][g] *= factor;
            CLF_UNROLL for (int t = 0; t < MMA_OT; t++) {
                o[i][t][2 * g] *= factor;
                o[i][t][2 * g + 1] *= factor;
            }
        }
    }
}

/* What a row's scores are measured from; 0 where the row has seen no key yet, so that the
 * weight of a masked one is exp2(-INFINITY). */
CLF_INLINE float mma_base(float m, float c) { return m == -INFINITY ? 0.0f : m * c; }

/* The weights of keys 16k..16k+15 of a block, as left operands; adds them to l. */
CLF_INLINE void mma_weights(uint p[MMA_MT][4], float s[MMA_MT][MMA_NT][4], float m[MMA_MT][2],
                            float l[MMA_MT][2], float c, const int k)
{
    CLF_UNROLL for (int i = 0; i < MMA_MT; i++) {
        const float base0 = mma_base(m[i][0], c), base1 = mma_base(m[i][1], c);
        CLF_UNROLL for (int t = 0; t < 2; t++) {
            const float *x = s[i][2 * k + t];
            const float e0 = nv_exp2(fma(x[0], c, -base0)), e1 = nv_exp2(fma(x[1], c, -base0));
            const float e2 = nv_exp2(fma(x[2], c, -base1)), e3 = nv_exp2(fma(x[3], c, -base1));
            l[i][0] += e0 + e1;
            l[i][1] += e2 + e3;
            p[i][2 * t] = nv_pack(e0, e1);
            p[i][2 * t + 1] = nv_pack(e2, e3);
        }
    }
}

/* o += P V; the weights of a step are made right before its products. only_finite: NaN and
 * infinities in V count as 0. */
CLF_INLINE void mma_values(float o[MMA_MT][MMA_OT][4], float s[MMA_MT][MMA_NT][4],
                           float m[MMA_MT][2], float l[MMA_MT][2], float c, uint v_at,
                           const bool only_finite)
{
    CLF_UNROLL for (int k = 0; k < MMA_KN; k++) {
        uint p[MMA_MT][4];
        mma_weights(p, s, m, l, c, k);
        nv_step_columns(MMA_MT, MMA_OT, false, only_finite, &o[0][0][0], &p[0][0],
                        v_at + k * 16 * MMA_V_ROW);
    }
}

#if MMA_UNEVEN
/* Where V holds NaN or infinities, and not all rows see all keys, a weight of 0 must not meet
 * them: mma_values() multiplies the finite part, and this adds the rest, key by key, to the
 * rows that see the key. Slow, and rare. */
CLF_INLINE void mma_add_not_finite(float o[MMA_MT][MMA_OT][4], float s[MMA_MT][MMA_NT][4],
                                   uint v_tile, uint lane)
{
    uint seen[MMA_MT][2]; /* bit 2t + e: the row sees the lane's column e of tile t */
    CLF_UNROLL for (int i = 0; i < MMA_MT; i++)
        CLF_UNROLL for (int g = 0; g < 2; g++) {
            seen[i][g] = 0;
            CLF_UNROLL for (int t = 0; t < MMA_NT; t++)
                CLF_UNROLL for (int e = 0; e < 2; e++)
                    seen[i][g] |= s[i][t][2 * g + e] == -INFINITY ? 0u : 1u << (2 * t + e);
        }
    CLF_UNROLL_N(1) for (int j = 0; j < T_BN; j++) {
        const uint owner = (lane & 28) + j % 8 / 2; /* of the quad's lanes */
        const uint bit = 2 * (j / 8) + j % 2;
        bool sees[MMA_MT][2];
        CLF_UNROLL for (int i = 0; i < MMA_MT; i++)
            CLF_UNROLL for (int g = 0; g < 2; g++)
                sees[i][g] = nv_from_lane(seen[i][g], owner) >> bit & 1;
        CLF_UNROLL for (int t = 0; t < MMA_OT; t++) {
            const uint x = nv_read4(v_tile + j * MMA_V_ROW + t * 16 + NV_ACC_COL(lane, 0) * 2);
            const float low = nv_special(x & 0xffffu), high = nv_special(x >> 16);
            CLF_UNROLL for (int i = 0; i < MMA_MT; i++)
                CLF_UNROLL for (int g = 0; g < 2; g++) {
                    o[i][t][2 * g] += sees[i][g] ? low : 0.0f;
                    o[i][t][2 * g + 1] += sees[i][g] ? high : 0.0f;
                }
        }
    }
}
#endif

/* Bounds over the live ones of a warp's queries, so that it can skip a mixed block. */
#define MMA_BOUNDS 5
#if P_BLOCKS
CLF_INLINE void mma_row_bounds(__local int *bounds, clf_attn_args a, mma_place w,
                               CLF_MASK_PARAMS int unused)
{
    int seg0 = INT_MAX, seg1 = INT_MIN, pos0 = INT_MAX, pos1 = INT_MIN, live = 0;
    for (int r = w.row + (int)w.lane; r < min(w.row + MMA_ROWS, a.sq); r += 32) {
        const int segment = CLF_Q_SEG(w.b, r), position = CLF_Q_POS(w.b, r);
        if (P_SEG && segment == CLF_PADDING_SEGMENT)
            continue;
        seg0 = min(seg0, segment);
        seg1 = max(seg1, segment);
        pos0 = min(pos0, position);
        pos1 = max(pos1, position);
        live++;
    }
    bounds[CLF_BLOCK_SEG_MIN] = nv_warp_min(seg0); /* all lanes write the same */
    bounds[CLF_BLOCK_SEG_MAX] = nv_warp_max(seg1);
    bounds[CLF_BLOCK_POS_MIN] = nv_warp_min(pos0);
    bounds[CLF_BLOCK_POS_MAX] = nv_warp_max(pos1);
    bounds[CLF_BLOCK_LIVE] = nv_warp_sum(live);
}
#endif

/* Whether some of a warp's queries may see some key of block kb. */
CLF_INLINE bool mma_sees(clf_attn_args a, mma_place w, int kb, __local const int *bounds,
                         CLF_MASK_PARAMS int unused)
{
    if (w.row >= a.sq)
        return false;
#if P_BLOCKS
    __global const int *kv = clf_kv_block(a, blocks, w.b, kb);
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
    const int first = w.row + a.q_pos0, last = min(w.row + MMA_ROWS, a.sq) - 1 + a.q_pos0;
    if (kb * T_BN + T_BN - 1 - first < a.band_lo || kb * T_BN - last > a.band_hi)
        return false;
#endif
    return true;
}

/* The first block from kb on, before `end`, that is not empty for the work-group. */
CLF_INLINE int mma_next(int kb, int end, int *kind, clf_attn_args a, int b, int qb, int len,
                        CLF_MASK_PARAMS int unused)
{
    *kind = CLF_MIXED_BLOCK;
#if P_BLOCKS
    __global const int *q = clf_q_block(a, blocks, b, qb);
    for (; kb < end; kb++) {
        *kind = clf_block_kind(a, q, clf_kv_block(a, blocks, b, kb),
                               min(T_BM, a.sq - qb * T_BM), min(T_BN, a.sk - kb * T_BN));
        if (*kind != CLF_EMPTY_BLOCK)
            break;
    }
    if (kb * T_BN + T_BN > len) /* the tile's rows past the last key are no keys */
        *kind = CLF_MIXED_BLOCK;
#endif
    return kb;
}

/* O through the warp's own rows of Q's tile, then by 16 bytes where the view allows it. */
CLF_INLINE void mma_write(__global ushort *o, float acc[MMA_MT][MMA_OT][4],
                          const float factor[MMA_MT][2], clf_attn_args a, mma_place w, uint tile)
{
    nv_warp_barrier();
    CLF_UNROLL for (int i = 0; i < MMA_MT; i++)
        CLF_UNROLL for (int t = 0; t < MMA_OT; t++)
            CLF_UNROLL for (int g = 0; g < 2; g++)
                nv_write4(tile + (i * 16 + NV_ACC_ROW(w.lane, 2 * g)) * MMA_Q_ROW + t * 16 +
                              NV_ACC_COL(w.lane, 0) * 2,
                          nv_pack(acc[i][t][2 * g] * factor[i][g],
                                  acc[i][t][2 * g + 1] * factor[i][g]));
    nv_warp_barrier();
    const bool by_16 = nv_by_16(o, a.o_ss);
    for (int e = (int)w.lane; e < MMA_ROWS * (P_DV / 8); e += 32) {
        const int r = e / (P_DV / 8), chunk = e % (P_DV / 8);
        if (w.row + r >= a.sq)
            break;
        const uint4 x = nv_read16(tile + r * MMA_Q_ROW + chunk * 16);
        __global ushort *to = o + (w.row + r) * a.o_ss + chunk * 8;
        if (by_16)
            *(__global uint4 *)to = x;
        else
            nv_write_chunk(to, x);
    }
}

__kernel __attribute__((reqd_work_group_size(NV_THREADS, 1, 1))) void
clf_attn_fwd(__global const clf_t *restrict q_, __global const clf_t *restrict k_,
             __global const clf_t *restrict v_, __global clf_t *restrict o_,
             __global float *restrict lse, CLF_MASK_PARAMS const clf_attn_args a)
{
    __local __attribute__((aligned(128))) uchar
        tiles[MMA_Q_BYTES + T_STAGES * MMA_STAGE_BYTES];
#if P_BLOCKS
    __local int all_bounds[T_WARPS * MMA_BOUNDS];
    __local int *bounds = all_bounds + get_local_id(0) / 32 * MMA_BOUNDS;
#else
    __local int *bounds = 0;
#endif
    const uint warp = get_local_id(0) / 32, lane = get_local_id(0) % 32;
    const int nqb = (a.sq + T_BM - 1) / T_BM;
    const int bh = (int)(get_group_id(0) / nqb);
    int qb = (int)(get_group_id(0) % nqb);
#if P_BAND
    if (a.band_hi < INT_MAX && a.band_lo == INT_MIN) /* causal: the longest first */
        qb = nqb - 1 - qb;
#endif
    mma_place w;
    w.b = bh / a.hq;
    w.h = bh % a.hq;
    w.len = CLF_KV_LEN(w.b);
    w.row = qb * T_BM + (int)warp * MMA_ROWS;
    w.lane = lane;
    const int hk = w.h / a.group;
    __global const ushort *q = (__global const ushort *)q_ + a.q_off + w.b * a.q_sb + w.h * a.q_sh;
    __global const ushort *k = (__global const ushort *)k_ + a.k_off + w.b * a.k_sb + hk * a.k_sh;
    __global const ushort *v = (__global const ushort *)v_ + a.v_off + w.b * a.v_sb + hk * a.v_sh;
    __global ushort *o = (__global ushort *)o_ + a.o_off + w.b * a.o_sb + w.h * a.o_sh;
    const bool k_by_16 = nv_by_16(k, a.k_ss), v_by_16 = nv_by_16(v, a.v_ss);
#if P_ALIBI
    const float slope = alibi[a.alibi_off + w.h];
#else
    const float slope = 0.0f;
#endif
    /* Maxima are of s itself: a negative scale turns the scores' sign, not their order. */
    const float c = CLF_HAS_TERMS ? 2.0f : fabs(a.scale) * CLF_LOG2E;

#if P_BLOCKS
    mma_row_bounds(bounds, a, w, CLF_MASK_ARGS 0);
    const int end = clf_q_block(a, blocks, w.b, qb)[CLF_BLOCK_HI];
    int next = clf_q_block(a, blocks, w.b, qb)[CLF_BLOCK_LO];
#else
    const int2 range = clf_kv_range(a, qb * T_BM, min(qb * T_BM + T_BM, a.sq), w.len);
    const int end = (range.y + T_BN - 1) / T_BN;
    int next = range.x / T_BN;
#endif
    const uint q_tile = nv_shared(tiles), ring = q_tile + MMA_Q_BYTES;
#define MMA_LOAD(stage, kb)                                                                        \
    {                                                                                              \
        const uint to = ring + (stage) * MMA_STAGE_BYTES;                                          \
        const int j0 = (kb) * T_BN;                                                                \
        nv_load_tile(T_BN, P_D, MMA_K_ROW, to, k + j0 * a.k_ss, a.k_ss, w.len - j0, k_by_16);      \
        nv_load_tile(T_BN, P_DV, MMA_V_ROW, to + MMA_K_BYTES, v + j0 * a.v_ss, a.v_ss,             \
                     w.len - j0, v_by_16);                                                         \
    }

    /* Blocks under way, oldest first; the last place is for the one to fetch next. */
    int block[T_STAGES], kind[T_STAGES];
    CLF_UNROLL for (int i = 0; i < T_STAGES - 1; i++) {
        block[i] = next = mma_next(next, end, &kind[i], a, w.b, qb, w.len, CLF_MASK_ARGS 0);
        if (next < end) {
            if (i == 0)
                nv_load_tile(T_BM, P_D, MMA_Q_ROW, q_tile, q + qb * T_BM * a.q_ss, a.q_ss,
                             a.sq - qb * T_BM, nv_by_16(q, a.q_ss));
            MMA_LOAD(i, next);
            next++;
        }
        nv_copy_commit();
    }

    float acc[MMA_MT][MMA_OT][4], m[MMA_MT][2], l[MMA_MT][2];
    CLF_UNROLL for (int i = 0; i < MMA_MT; i++) {
        m[i][0] = m[i][1] = -INFINITY;
        l[i][0] = l[i][1] = 0.0f;
        CLF_UNROLL for (int t = 0; t < MMA_OT; t++)
            CLF_UNROLL for (int e = 0; e < 4; e++) acc[i][t][e] = 0.0f;
    }
    const uint own_rows = q_tile + warp * MMA_ROWS * MMA_Q_ROW;
    const uint q_at = own_rows + nv_lane_a(lane, MMA_Q_ROW);
    uint q_fragments[MMA_MT][MMA_KD][4];
#if T_QREG
    bool have_q = false;
#endif
    uint stage = 0, fill = T_STAGES - 1;
    while (block[0] < end) {
        NV_COPY_WAIT(T_STAGES - 2);
        barrier(CLK_LOCAL_MEM_FENCE); /* the block is there, the oldest stage is free */
        block[T_STAGES - 1] = next =
            mma_next(next, end, &kind[T_STAGES - 1], a, w.b, qb, w.len, CLF_MASK_ARGS 0);
        if (next < end) {
            MMA_LOAD(fill, next);
            next++;
        }
        nv_copy_commit();
#if T_QREG
        if (!have_q)
            CLF_UNROLL for (int i = 0; i < MMA_MT; i++)
                CLF_UNROLL for (int d = 0; d < MMA_KD; d++)
                    nv_ldmatrix4(q_fragments[i][d], q_at + i * 16 * MMA_Q_ROW + d * 32);
        have_q = true;
#endif
        if (mma_sees(a, w, block[0], bounds, CLF_MASK_ARGS 0)) {
            const uint k_tile = ring + stage * MMA_STAGE_BYTES, v_tile = k_tile + MMA_K_BYTES;
            const int j0 = block[0] * T_BN;
#if !P_BLOCKS
            kind[0] = clf_band_kind(a, w.row, min(w.row + MMA_ROWS, a.sq), j0, j0 + T_BN, w.len);
#endif
            float s[MMA_MT][MMA_NT][4];
            mma_scores(s, q_at, k_tile + nv_lane_b(lane, MMA_K_ROW), q_fragments);
#if CLF_HAS_TERMS
            mma_terms(s, a, w, j0, slope, CLF_MASK_ARGS 0);
#else
            if (a.scale < 0.0f)
                CLF_UNROLL for (int i = 0; i < MMA_MT; i++)
                    CLF_UNROLL for (int t = 0; t < MMA_NT; t++)
                        CLF_UNROLL for (int e = 0; e < 4; e++) s[i][t][e] = -s[i][t][e];
#endif
            if (kind[0] == CLF_MIXED_BLOCK)
                mma_mask(s, a, w, j0, CLF_MASK_ARGS 0);
            mma_raise(s, acc, m, l, c);
            const uint v_at = v_tile + nv_lane_v(lane, MMA_V_ROW);
#if MMA_UNEVEN
            if ((P_BIAS || kind[0] == CLF_MIXED_BLOCK) &&
                nv_tile_not_finite(T_BN, P_DV, v_tile, lane)) {
                mma_values(acc, s, m, l, c, v_at, true);
                mma_add_not_finite(acc, s, v_tile, lane);
            } else
#endif
                mma_values(acc, s, m, l, c, v_at, false);
        }
        CLF_UNROLL for (int i = 0; i + 1 < T_STAGES; i++) {
            block[i] = block[i + 1];
            kind[i] = kind[i + 1];
        }
        stage = stage + 1 == T_STAGES ? 0 : stage + 1;
        fill = fill + 1 == T_STAGES ? 0 : fill + 1;
    }

    float factor[MMA_MT][2];
    CLF_UNROLL for (int i = 0; i < MMA_MT; i++) {
        CLF_UNROLL for (int g = 0; g < 2; g++) {
            float sum = nv_quad_sum(l[i][g]), top = mma_base(m[i][g], c), scale = 1.0f;
#if P_SINK /* a key without a value; it may be the largest score, or the only one */
            const float logit = sink[a.sink_off + w.h] * CLF_LOG2E;
            const float new_top = sum == 0.0f ? logit : fmax(top, logit);
            if (logit != -INFINITY) {
                scale = sum == 0.0f ? 0.0f : exp2(top - new_top);
                sum = sum * scale + exp2(logit - new_top);
                top = new_top;
            }
#endif
            factor[i][g] = sum == 0.0f ? 0.0f : scale / sum;
            const int r = w.row + i * 16 + NV_ACC_ROW(lane, 2 * g);
            if (a.want_lse && lane % 4 == 0 && r < a.sq)
                lse[a.lse_off + (long)bh * a.sq + r] =
                    sum == 0.0f ? -INFINITY : (top + log2(sum)) * CLF_LN2;
        }
    }
    mma_write(o, acc, factor, a, w, own_rows);
}
