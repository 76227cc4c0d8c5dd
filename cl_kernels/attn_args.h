/* attn_args.h -- the arguments that every attention kernel shares, one struct for
 * host and device: lengths, strides and offsets, so that one binary serves every
 * length. All strides and offsets are in elements of their own array. 64-bit
 * members first, so that host and device agree on the layout. */
#ifndef CLF_ATTN_ARGS_H
#define CLF_ATTN_ARGS_H

#ifdef __OPENCL_VERSION__
typedef long clf_i64;
typedef int clf_i32;
#else
#include <stdint.h>
typedef int64_t clf_i64;
typedef int32_t clf_i32;
#endif

typedef struct clf_attn_args {
    clf_i64 q_off, q_sb, q_ss, q_sh; /* offset; batch, sequence, head stride */
    clf_i64 k_off, k_sb, k_ss, k_sh;
    clf_i64 v_off, v_sb, v_ss, v_sh;
    clf_i64 o_off, o_sb, o_ss, o_sh;
    clf_i64 bias_off, bias_sb, bias_sh, bias_ss; /* 0 = broadcast; keys contiguous */
    clf_i64 bool_off, bool_sb, bool_sh, bool_ss;
    clf_i64 lse_off, q_seg_off, kv_seg_off, q_pos_off, kv_pos_off, kv_len_off;
    clf_i64 alibi_off, sink_off, blocks_off;
    clf_i64 scratch_off; /* in floats of the workspace: the engine's own part */
    clf_i32 b, hq, hk, sq, sk;
    clf_i32 group;            /* hq / hk */
    clf_i32 q_pos0;           /* p(i) = i + q_pos0 where no positions are given; p(j) = j */
    clf_i32 band_lo, band_hi; /* P_BAND: visible needs band_lo <= p(j) - p(i) <= band_hi */
    clf_i32 want_lse;         /* write lse */
    clf_i32 bias_f32;         /* P_BIAS: 1 = f32 elements, 0 = the problem's dtype */
    clf_i32 nqb, nkb;         /* P_BLOCKS: query and key blocks per batch in the block mask */
    float scale;              /* natural units; kernels fold log2(e) themselves */
    float softcap;            /* P_SOFTCAP */
    clf_i32 splits;           /* of the keys; > 1: see CLF_SPLIT_FLOATS */
} clf_attn_args;

/* Keys in parts: a kernel whose a.splits > 1 writes neither o nor lse. Each part leaves one
 * record a row, [parts, B, Hq, Sq], in the buffer that comes as lse (from lse_off on): o not
 * yet divided [Dv], the sum, and the maximum in units of log 4. A part without a visible key
 * leaves o = 0, sum 0, maximum -INFINITY; the sink is in part 0. attn_merge.cl does the rest. */
#define CLF_SPLIT_FLOATS(dv) ((dv) + 2)

/* Block mask: one record of CLF_BLOCK_INTS ints per query block [B, nqb], then per key block
 * [B, nkb]. Made by attn_blocks.cl, read through mask.clh. */
#define CLF_BLOCK_SEG_MIN 0 /* over the block's live tokens: not padding, j < length */
#define CLF_BLOCK_SEG_MAX 1 /* min > max: no live token, the block is empty */
#define CLF_BLOCK_POS_MIN 2
#define CLF_BLOCK_POS_MAX 3
#define CLF_BLOCK_LIVE 4 /* number of live tokens */
#define CLF_BLOCK_LO 5   /* first block of the other side that is not empty for this one */
#define CLF_BLOCK_HI 6   /* one past the last */
#define CLF_BLOCK_VISITED 7 /* blocks of the other side in [LO, HI) that are not empty */
#define CLF_BLOCK_MASKED 8  /* of these, mixed: need element tests */
#define CLF_BLOCK_INTS 12   /* padded */

#endif
