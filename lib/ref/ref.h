/* ref.h -- what the files of the reference share. (L0) The reference reads the descriptor
 * by itself: it checks lib/plan's way of resolving one too. */
#ifndef CLFI_REF_H
#define CLFI_REF_H

#include "lib/base/error.h"
#include <clflash/ref.h>

/* Sizes with their defaults. */
typedef struct clfi_ref_sizes {
    int32_t b, hq, hk, sq, sk, d, dv;
} clfi_ref_sizes;

clfi_ref_sizes clfi_ref_get_sizes(const clflash_attn_desc *desc);

/* p(i) of a query and p(j) of a key: docs/math.md#visibility. */
int64_t clfi_ref_query_position(const clflash_attn_desc *desc, const clflash_attn_host_args *args,
                                int32_t b, int32_t i);
int64_t clfi_ref_key_position(const clflash_attn_desc *desc, const clflash_attn_host_args *args,
                              int32_t b, int32_t j);

/* What the additive mask adds to a score; 0 without one. */
double clfi_ref_bias(const clflash_attn_desc *desc, const clflash_attn_host_args *args, int32_t b,
                     int32_t h, int32_t i, int32_t j);

#endif
