/* attn.h -- an attention problem with every default resolved. (L2, pure C) */
#ifndef CLFI_ATTN_H
#define CLFI_ATTN_H

#include "lib/base/error.h"
#include <clflash/problem.h>

typedef struct clfi_attn {
    clflash_attn_desc desc; /* as the caller gave it */
    clflash_op op;
    clflash_dtype dtype;
    int32_t b, hq, hk, sq, sk, d, dv; /* sizes >= 0, defaults filled in */
    int32_t group;                    /* hq / hk */
    float scale, softcap;             /* scale resolved; softcap 0 = none */
    bool band;                        /* causal or window: band_lo <= p(j) - p(i) <= band_hi */
    int32_t band_lo, band_hi;         /* INT32_MIN / INT32_MAX = unbounded */
    int32_t q_pos0;                   /* p(i) = i + q_pos0 where no positions are given */
    bool seg, pos, kvlen;             /* arrays that the kernels read; pos only where it matters */
    bool boolean, bias, alibi, sink;
    bool blocks; /* skipping needs a block mask: seg, or pos with a band */
    int32_t docs;
    clflash_layout layout;
    bool grad_f32, recompute; /* backward */
} clfi_attn;

/* desc checked (clflash_attn_desc_check) and resolved. */
clflash_status clfi_attn_resolve(clfi_attn *p, const clflash_attn_desc *desc, clfi_err *err);

/* The tuning key: the problem string without choice, scale value, docs count, layout. */
void clfi_attn_key(const clfi_attn *p, char *text, size_t bytes);

/* The P_ macros of every attention kernel, as compiler options:
 * P_DTYPE 0 f32, 1 f16, 2 bf16; P_D; P_DV; P_BAND P_SEG P_POS P_KVLEN P_BLOCKS P_BOOL
 * P_BIAS P_SOFTCAP P_ALIBI P_SINK, each 0 or 1. Of the backward also P_GRAD_F32 and P_DET. */
struct clfi_strbuf;
void clfi_attn_options(const clfi_attn *p, struct clfi_strbuf *options);

/* work.c: what the problem costs. Masks by arrays count as all visible, docs as docs. */
double clfi_attn_visible_pairs(const clfi_attn *p); /* over one batch and head */
double clfi_attn_flops(const clfi_attn *p); /* 4 B Hq (D + Dv)/2 x visible pairs; bwd x 2.5 */
double clfi_attn_bytes(const clfi_attn *p); /* inputs once, outputs once */

/* Query blocks x key blocks of one batch and head under the band alone:
 * all, visited and mixed. */
void clfi_attn_count_blocks(const clfi_attn *p, int32_t block_q, int32_t block_kv, int64_t *total,
                            int64_t *visited, int64_t *masked);

#endif
