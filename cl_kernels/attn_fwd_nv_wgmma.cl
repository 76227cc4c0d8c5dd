/* attn_fwd_nv_wgmma.cl -- attention forward on sm_90a's warpgroup products: f16, bf16.
 *
 * A persistent grid: each work-group draws tiles of 64 * T_CONSUMERS queries of one head from a
 * counter, the longest first where a band makes them unequal. Its first warpgroup produces: one
 * warp has the copy engine bring Q, and K and V by blocks of T_BN keys through a ring of
 * T_STAGES, and says of each block where it lies and whether it is the last. The others consume:
 * 64 queries each, scores and output in registers, and take turns at issuing products, so that
 * one's softmax runs under the other's products (D = 128, 1024 keys: 586 -> 656 TFLOP/s; H200,
 * driver 580.159.04, 2026-11-23; the counter 372 -> 438 causal there).
 *
 * Blocks come last first. The maximum lags by up to 2^8, see attn_fwd_nv_mma.cl. A value that is
 * not finite under a masked key spoils its rows' output: such rows are done again, key by key.
 *
 * P_D P_DV      head dimensions, multiples of 8, at most 256              (problem)
 * P_D_STEPS     P_D / 16, P_DV_COLS P_DV, to the next step of 32: literals, rounded up
 * T_CONSUMERS   consumer warpgroups: 2 or 3                               (tuned)
 * T_BN          keys per block: 64 or 128
 * T_STAGES      blocks of K and V in local memory, at least 2
 * T_OWN_O       1: O leaves through a tile of its own; 0: through Q's
 * Needs         local memory and registers: attn_fwd_nv_wgmma.c; host/retarget.c.
 * Grid          clf_attn_maps one warp; clf_attn_fwd global (128 * (T_CONSUMERS + 1) * groups).
 * Math          docs/math.md; the same as lib/ref. */
#define CLF_LANES 1
#include "scores.clh"

#if !defined(P_D) || !defined(P_DV) || !defined(P_D_STEPS) || !defined(P_DV_COLS) ||               \
    !defined(T_CONSUMERS) || !defined(T_BN) || !defined(T_STAGES) || !defined(T_OWN_O)
#error "attn_fwd_nv_wgmma.cl: a macro is missing"
#endif
#if P_DTYPE == 0 || P_D % 8 != 0 || P_DV % 8 != 0 || P_D > 256 || P_DV > 256
#error "attn_fwd_nv_wgmma.cl: f16 or bf16, D and Dv multiples of 8 up to 256"
#endif
#if P_D_STEPS != (P_D + 15) / 16 || P_DV_COLS != (P_DV + 31) / 32 * 32
#error "attn_fwd_nv_wgmma.cl: P_D_STEPS or P_DV_COLS is wrong"
#endif
#if (T_BN != 64 && T_BN != 128) || T_STAGES < 2 || T_CONSUMERS < 2 || T_CONSUMERS > 3
#error "attn_fwd_nv_wgmma.cl: 64 or 128 keys, 2 or 3 consumers, 2 stages at least"
#endif
#if CLF_HAS_TERMS || P_BLOCKS || P_BOOL || P_SINK
#error "attn_fwd_nv_wgmma.cl: band and lengths only"
#endif
#define NV_WARPS 4
#include "nv_tile.clh"
#include "nv_wgmma.clh"

#define WG_ITEMS (128 * (T_CONSUMERS + 1))
#define WG_BM (64 * T_CONSUMERS)
#define WG_PANELS(n) (((n) + 63) / 64) /* of 64 columns, 128 bytes a row */
#define WG_MAX(a, b) ((a) > (b) ? (a) : (b))
#define WG_Q_PANELS (T_OWN_O ? WG_PANELS(P_D) : WG_MAX(WG_PANELS(P_D), WG_PANELS(P_DV)))
#define WG_PANEL (64 * 128) /* bytes of a panel of 64 rows */
#define WG_Q_BYTES (WG_Q_PANELS * WG_PANEL) /* per consumer */
#define WG_O_BYTES (WG_PANELS(P_DV) * WG_PANEL)
#define WG_K_BYTES (T_BN * 128 * WG_PANELS(P_D))
#define WG_V_BYTES (T_BN * 128 * WG_PANELS(P_DV))
#define WG_S (T_BN / 2)      /* registers of scores */
#define WG_O (P_DV_COLS / 2) /* of output */
#define WG_UNEVEN (P_BAND || P_KVLEN) /* rows may not see keys that are loaded */
#define WG_RISE 8.0f /* log2 of what a maximum may lag behind */

#include "nv_wgmma_feed.clh"

/* Runs before clf_attn_fwd with the same arguments. */
__kernel __attribute__((reqd_work_group_size(32, 1, 1))) void
clf_attn_maps(__global const clf_t *restrict q, __global const clf_t *restrict k,
              __global const clf_t *restrict v, __global clf_t *restrict o,
              __global float *restrict lse, CLF_MASK_PARAMS __global float *restrict scratch,
              const clf_attn_args a)
{
    __local __attribute__((aligned(128))) ulong map[WG_MAP_LONGS];
    __global ulong *maps = wg_scratch(a, scratch);
    if (wg_by_box(q + a.q_off, a.q_ss, a.q_sh, a.q_sb, a.sq, a.hq, a.b))
        wg_map(map, maps, q + a.q_off, P_D, 64, a.sq, a.hq, a.b, a.q_ss, a.q_sh, a.q_sb);
    if (wg_by_box(k + a.k_off, a.k_ss, a.k_sh, a.k_sb, a.sk, a.hk, a.b))
        wg_map(map, maps + WG_MAP_LONGS, k + a.k_off, P_D, T_BN, a.sk, a.hk, a.b, a.k_ss, a.k_sh,
               a.k_sb);
    if (wg_by_box(v + a.v_off, a.v_ss, a.v_sh, a.v_sb, a.sk, a.hk, a.b))
        wg_map(map, maps + 2 * WG_MAP_LONGS, v + a.v_off, P_DV, T_BN, a.sk, a.hk, a.b, a.v_ss,
               a.v_sh, a.v_sb);
    if (get_local_id(0) == 0)
        *WG_COUNTER(maps) = 0;
}

/* ---- consumers ---- */

/* Turns: a consumer issues products between the two, then the next one may. */
#define WG_TURN_TAKE(c) nv_named_wait(1 + (c), 256)
#define WG_TURN_PASS(c) nv_named_arrive(1 + ((c) + 1) % T_CONSUMERS, 256)

/* -INFINITY where a key is masked; row: the item's first. */
CLF_INLINE void wg_mask(float *s, clf_attn_args a, int row, int j0, int len, uint lane)
{
    const int first = j0 + NV_ACC_COL(lane, 0);
    CLF_UNROLL for (int g = 0; g < 2; g++) {
        int low = 0, high = len - 1 - first;
#if P_BAND
        low = max(low, sub_sat(add_sat(row + 8 * g + a.q_pos0, a.band_lo), first));
        high = min(high, sub_sat(add_sat(row + 8 * g + a.q_pos0, a.band_hi), first));
#endif
        CLF_UNROLL for (int t = 0; t < T_BN / 8; t++)
            CLF_UNROLL for (int e = 0; e < 2; e++)
                if (t * 8 + e < low | t * 8 + e > high)
                    s[4 * t + 2 * g + e] = -INFINITY;
    }
}

/* What scores are measured from; 0 where the row has seen no key yet. */
CLF_INLINE float wg_base(float m) { return m == -INFINITY ? 0.0f : m; }

/* Scores to weights, in place; raises m where that is due and says so: then the sums are
 * rescaled, and the output must be, by factor. c: log2 units per unit of s. */
CLF_INLINE uint wg_softmax(float *s, float *m, float *l, float *factor, float c)
{
    float x[2];
    uint rose = 0;
    CLF_UNROLL for (int g = 0; g < 2; g++) {
        float y = fmax(s[2 * g], s[2 * g + 1]);
        CLF_UNROLL for (int i = 4; i < WG_S; i += 4)
            y = fmax(y, fmax(s[i + 2 * g], s[i + 2 * g + 1]));
        x[g] = fmax(m[g], nv_quad_max(y));
        rose |= (x[g] - m[g]) * c > WG_RISE; /* no: both are -INFINITY */
    }
    rose = nv_any(rose);
    if (rose) {
        CLF_UNROLL for (int g = 0; g < 2; g++) {
            factor[g] = nv_exp2((m[g] - wg_base(x[g])) * c);
            m[g] = x[g];
            l[g] *= factor[g];
        }
    }
    const float base0 = wg_base(m[0]) * c, base1 = wg_base(m[1]) * c;
    float sum0 = 0.0f, sum1 = 0.0f;
    CLF_UNROLL for (int i = 0; i < WG_S; i += 4) {
        s[i] = nv_exp2(fma(s[i], c, -base0));
        s[i + 1] = nv_exp2(fma(s[i + 1], c, -base0));
        s[i + 2] = nv_exp2(fma(s[i + 2], c, -base1));
        s[i + 3] = nv_exp2(fma(s[i + 3], c, -base1));
        sum0 += s[i] + s[i + 1];
        sum1 += s[i + 2] + s[i + 3];
    }
    l[0] += sum0;
    l[1] += sum1;
    return rose;
}

CLF_INLINE void wg_pack(uint *p, const float *s)
{
    CLF_UNROLL for (int i = 0; i < WG_S / 2; i++) p[i] = nv_pack(s[2 * i], s[2 * i + 1]);
}

/* Sign and mask of fresh scores. rows: the warpgroup's [row0, row1). */
#define WG_FINISH_SCORES(kb)                                                                       \
    {                                                                                              \
        const int j0 = (kb) * T_BN;                                                                \
        if (a.scale < 0.0f)                                                                        \
            CLF_UNROLL for (int i = 0; i < WG_S; i++) s[i] = -s[i];                                \
        if (clf_band_kind(a, row0, row1, j0, j0 + T_BN, w.len) == CLF_MIXED_BLOCK)                 \
            wg_mask(s, a, row, j0, w.len, lane);                                                   \
    }

#if WG_UNEVEN
/* Sum over a warp. */
CLF_INLINE float wg_warp_sum(float x)
{
    float y;
    x = nv_quad_sum(x);
    NV_SHUFFLE_XOR(y, x, 4);
    x += y;
    NV_SHUFFLE_XOR(y, x, 8);
    x += y;
    NV_SHUFFLE_XOR(y, x, 16);
    return x + y;
}

/* One row by a warp, key by key: what is not finite in V counts only where it is seen. */
CLF_INLINE void wg_careful_row(__global const clf_t *q, __global const clf_t *k,
                               __global const clf_t *v, __global clf_t *o, __global float *lse,
                               clf_attn_args a, int b, int h, int i, uint lane,
                               CLF_MASK_PARAMS int unused)
{
    const clf_score_row r = clf_get_score_row(CLF_MASK_ARGS a, b, h, i);
    float acc[(P_DV + 31) / 32], m = -INFINITY, l = 0.0f;
    CLF_UNROLL for (int t = 0; t < (P_DV + 31) / 32; t++) acc[t] = 0.0f;
    const int2 range = clf_kv_range(a, i, i + 1, r.len);
    CLF_UNROLL_N(1) for (int j = range.x; j < range.y; j++) {
        float x = 0.0f;
        int sees;
        for (int d = (int)lane; d < P_D; d += 32)
            x += CLF_LOAD(q + i * a.q_ss + d) * CLF_LOAD(k + j * a.k_ss + d);
        x = 2.0f * clf_masked_score(CLF_MASK_ARGS a, r, j, wg_warp_sum(x) * a.scale, &sees);
        if (!sees)
            continue;
        const float top = fmax(m, x);
        const float factor = m == top ? 1.0f : nv_exp2(m - top), p = nv_exp2(x - wg_base(top));
        l = l * factor + p;
        m = top;
        CLF_UNROLL for (int t = 0; t < (P_DV + 31) / 32; t++)
            if ((int)lane + 32 * t < P_DV) {
                const float y = CLF_LOAD(v + j * a.v_ss + lane + 32 * t);
                acc[t] = acc[t] * factor + (isfinite(y) ? p * y : y);
            }
    }
    CLF_UNROLL for (int t = 0; t < (P_DV + 31) / 32; t++)
        if ((int)lane + 32 * t < P_DV)
            CLF_STORE(l == 0.0f ? 0.0f : acc[t] / l, o + i * a.o_ss + lane + 32 * t);
    if (a.want_lse && lane == 0)
        lse[i] = l == 0.0f ? -INFINITY : (m + log2(l)) * CLF_LN2;
}
#endif

/* O through the warp's own 16 rows of the consumer's tile, then by 16 bytes where the view
 * allows it; rows: the tile's that exist. */
CLF_INLINE void wg_write(__global ushort *o, const float *acc, const float *factor,
                         clf_attn_args a, uint tile, int warp, uint lane, int rows)
{
    const int r = warp * 16 + (int)lane / 4;
    CLF_UNROLL for (int t = 0; t < P_DV / 8; t++) {
        const uint at = tile + t / 8 * WG_PANEL + (((uint)(t ^ r) & 7) << 4) + lane % 4 * 4;
        nv_write4(at + r * 128, nv_pack(acc[4 * t] * factor[0], acc[4 * t + 1] * factor[0]));
        nv_write4(at + (r + 8) * 128,
                  nv_pack(acc[4 * t + 2] * factor[1], acc[4 * t + 3] * factor[1]));
    }
    nv_warp_barrier();
    const bool by_16 = nv_by_16(o, a.o_ss);
    CLF_UNROLL_N(4) for (int e = (int)lane; e < 16 * (P_DV / 8); e += 32) {
        const int row = warp * 16 + e / (P_DV / 8), t = e % (P_DV / 8);
        if (row >= rows)
            break;
        const uint4 x =
            nv_read16(tile + t / 8 * WG_PANEL + row * 128 + (((uint)(t ^ row) & 7) << 4));
        __global ushort *to = o + row * a.o_ss + t * 8;
        if (by_16)
            *(__global uint4 *)to = x;
        else
            nv_write_chunk(to, x);
    }
    nv_warp_barrier();
}

__kernel __attribute__((reqd_work_group_size(WG_ITEMS, 1, 1))) void
clf_attn_fwd(__global const clf_t *restrict q_, __global const clf_t *restrict k_,
             __global const clf_t *restrict v_, __global clf_t *restrict o_,
             __global float *restrict lse, CLF_MASK_PARAMS __global float *restrict scratch,
             const clf_attn_args a)
{
    __local __attribute__((aligned(1024))) uchar
        memory[T_CONSUMERS * (WG_Q_BYTES + T_OWN_O * WG_O_BYTES) +
               T_STAGES * (WG_K_BYTES + WG_V_BYTES)];
    __local __attribute__((aligned(8))) ulong barriers[WG_BARRIERS];
    __local volatile int tiles[T_CONSUMERS]; /* the next tile, -1: none; written before Q comes */
    __local volatile int blocks[T_STAGES];   /* the key block of a stage; before K comes */
    const uint group = get_local_id(0) / 128;
    wg_memory m;
    m.q = nv_shared(memory);
    m.o = T_OWN_O ? m.q + T_CONSUMERS * WG_Q_BYTES : m.q;
    m.k = m.q + T_CONSUMERS * (WG_Q_BYTES + T_OWN_O * WG_O_BYTES);
    m.v = m.k + T_STAGES * WG_K_BYTES;
    m.bars = nv_shared(barriers);
    if (get_local_id(0) == 0) {
        for (uint s = 0; s < 2 * T_STAGES; s++) {
            nv_barrier_init(m.bars + 8 * s, 1);
            nv_barrier_init(m.bars + 8 * (2 * T_STAGES + s), T_CONSUMERS);
        }
        for (uint c = 0; c < 2 * T_CONSUMERS; c++)
            nv_barrier_init(m.bars + 8 * (4 * T_STAGES + c), 1);
        nv_barrier_init_done();
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    const int heads = wg_heads(a);
    const int n_tiles = (a.sq + WG_BM - 1) / WG_BM * a.hq * a.b;
    if (group == 0) {
#if T_CONSUMERS == 3
        NV_FEWER_REGISTERS(32);
#else
        NV_FEWER_REGISTERS(24);
#endif
        if (get_local_id(0) < 32)
            wg_produce((__global const ushort *)q_ + a.q_off, (__global const ushort *)k_ + a.k_off,
                       (__global const ushort *)v_ + a.v_off, a, m, wg_scratch(a, scratch), tiles,
                       blocks, n_tiles, heads, CLF_MASK_ARGS 0);
        return;
    }
#if T_CONSUMERS == 3
    NV_MORE_REGISTERS(160);
#else
    NV_MORE_REGISTERS(240);
#endif
    const uint c = group - 1, item = get_local_id(0) % 128, lane = item % 32;
    const int warp = (int)item / 32;
    const ulong q_at = nv_matrix(m.q + c * WG_Q_BYTES, 16);
    const uint o_tile = m.o + c * (T_OWN_O ? WG_O_BYTES : WG_Q_BYTES);
    /* Maxima are of s itself: a negative scale turns the scores' sign, not their order. */
    const float log2s = fabs(a.scale) * CLF_LOG2E;
    wg_ring kr = {0, 0}, vr = {0, 0};
    uint q_parity = 0;
/* A block that this consumer does not see. */
#define WG_SKIP()                                                                                  \
    {                                                                                              \
        WG_TURN_TAKE(c);                                                                           \
        WG_TURN_PASS(c);                                                                           \
        nv_wait(WG_V_FULL(m, kr.stage), kr.parity);                                                \
        nv_named_wait(8 + c, 128);                                                                 \
        if (item == 0) {                                                                           \
            nv_arrive(WG_K_FREE(m, kr.stage));                                                     \
            nv_arrive(WG_V_FREE(m, kr.stage));                                                     \
        }                                                                                          \
        wg_advance(&kr);                                                                           \
        wg_advance(&vr);                                                                           \
    }
    if (c == T_CONSUMERS - 1)
        WG_TURN_PASS(c);
    for (;;) {
        nv_wait(WG_Q_FULL(m, c), q_parity);
        q_parity ^= 1;
        const int t = tiles[c];
        if (t < 0)
            break;
        const wg_tile w = wg_find(a, t, heads, CLF_MASK_ARGS 0);
        const int row0 = w.row + (int)c * 64, row1 = min(row0 + 64, a.sq);
        const int row = row0 + warp * 16 + (int)lane / 4; /* the item's first; + 8 the other */
        /* This consumer's own blocks [own, end), from the last on. */
        const int2 range = clf_kv_range(a, row0, row1, w.len);
        const bool some = row0 < row1 && range.x < range.y;
        const int own = some ? range.x / T_BN : w.first;
        const int end = some ? (range.y + T_BN - 1) / T_BN : w.first;
        float acc[WG_O], s[WG_S], mx[2] = {-INFINITY, -INFINITY}, l[2] = {0.0f, 0.0f};
        float factor[2] = {0.0f, 0.0f};
        uint p[WG_S / 2], rose;
        CLF_UNROLL for (int i = 0; i < WG_O; i++) acc[i] = 0.0f;
        int kb = w.end - 1;
        CLF_UNROLL_N(1) for (; kb >= end; kb--) {
            nv_wait(WG_K_FULL(m, kr.stage), kr.parity);
            WG_SKIP();
        }
        if (some) {
            nv_wait(WG_K_FULL(m, kr.stage), kr.parity);
            WG_TURN_TAKE(c);
            NV_PRODUCT_ABT(T_BN, P_D_STEPS, s, q_at, nv_matrix(m.k + kr.stage * WG_K_BYTES, 16));
            NV_PRODUCTS_WAIT(0, T_BN, s);
            WG_TURN_PASS(c);
            if (item == 0)
                nv_arrive(WG_K_FREE(m, kr.stage));
            wg_advance(&kr);
            WG_FINISH_SCORES(kb);
            wg_softmax(s, mx, l, factor, log2s);
            wg_pack(p, s);
            CLF_UNROLL_N(1) for (kb--; kb >= own; kb--) {
                nv_wait(WG_K_FULL(m, kr.stage), kr.parity);
                WG_TURN_TAKE(c);
                NV_PRODUCT_ABT(T_BN, P_D_STEPS, s, q_at,
                               nv_matrix(m.k + kr.stage * WG_K_BYTES, 16));
                nv_wait(WG_V_FULL(m, vr.stage), vr.parity);
                NV_PRODUCT_PV(P_DV_COLS, T_BN, acc, p,
                              nv_matrix(m.v + vr.stage * WG_V_BYTES, T_BN * 128));
                WG_TURN_PASS(c);
                NV_PRODUCTS_WAIT(1, T_BN, s);
                if (item == 0)
                    nv_arrive(WG_K_FREE(m, kr.stage));
                wg_advance(&kr);
                WG_FINISH_SCORES(kb);
                rose = wg_softmax(s, mx, l, factor, log2s);
                NV_PRODUCTS_WAIT(0, P_DV_COLS, acc);
                if (item == 0)
                    nv_arrive(WG_V_FREE(m, vr.stage));
                wg_advance(&vr);
                if (rose)
                    CLF_UNROLL for (int i = 0; i < WG_O; i++) acc[i] *= factor[i / 2 % 2];
                wg_pack(p, s);
            }
            if (T_OWN_O && item == 0)
                nv_arrive(WG_Q_FREE(m, c));
            nv_wait(WG_V_FULL(m, vr.stage), vr.parity);
            WG_TURN_TAKE(c);
            NV_PRODUCT_PV(P_DV_COLS, T_BN, acc, p,
                          nv_matrix(m.v + vr.stage * WG_V_BYTES, T_BN * 128));
            WG_TURN_PASS(c);
            NV_PRODUCTS_WAIT(0, P_DV_COLS, acc);
            if (item == 0)
                nv_arrive(WG_V_FREE(m, vr.stage));
            wg_advance(&vr);
        } else if (w.first < w.end) { /* as many turns as the others take */
            WG_TURN_TAKE(c);
            WG_TURN_PASS(c);
        }
        CLF_UNROLL_N(1) for (; kb >= w.first; kb--) {
            nv_wait(WG_K_FULL(m, kr.stage), kr.parity);
            WG_SKIP();
        }
        nv_named_wait(8 + c, 128); /* all have read Q and the tile's number */
        uint spoilt = 0;
#if WG_UNEVEN
        CLF_UNROLL for (int i = 0; i < WG_O; i++) spoilt |= !isfinite(acc[i]);
        spoilt = nv_any(spoilt);
#endif
        const int bh = w.b * a.hq + w.h;
        __global float *lse_row = lse + a.lse_off + (long)bh * a.sq;
        __global clf_t *o = o_ + a.o_off + w.b * a.o_sb + w.h * a.o_sh;
        if (row0 < row1 && !spoilt) {
            CLF_UNROLL for (int g = 0; g < 2; g++) {
                const float sum = nv_quad_sum(l[g]);
                factor[g] = sum == 0.0f ? 0.0f : 1.0f / sum;
                if (a.want_lse && lane % 4 == 0 && row + 8 * g < a.sq)
                    lse_row[row + 8 * g] =
                        sum == 0.0f ? -INFINITY : (wg_base(mx[g]) * log2s + log2(sum)) * CLF_LN2;
            }
            wg_write((__global ushort *)o + row0 * a.o_ss, acc, factor, a, o_tile, warp, lane,
                     row1 - row0);
        }
#if WG_UNEVEN
        if (spoilt)
            CLF_UNROLL_N(1) for (int i = row0 + warp * 16; i < min(row0 + warp * 16 + 16, row1);
                                 i++)
                wg_careful_row(q_ + a.q_off + w.b * a.q_sb + w.h * a.q_sh,
                               k_ + a.k_off + w.b * a.k_sb + w.h / a.group * a.k_sh,
                               v_ + a.v_off + w.b * a.v_sb + w.h / a.group * a.v_sh, o, lse_row, a,
                               w.b, w.h, i, lane, CLF_MASK_ARGS 0);
#endif
        if (!T_OWN_O) { /* the copy engine writes over what was O */
            nv_fence_async();
            nv_named_wait(8 + c, 128);
        }
        if (item == 0 && (!T_OWN_O || !some))
            nv_arrive(WG_Q_FREE(m, c));
    }
    if (c == 0)
        WG_TURN_TAKE(c);
}
