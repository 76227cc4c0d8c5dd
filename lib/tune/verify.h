/* verify.h -- whether a row's result is right: data, reference, tolerance. (L3, no OpenCL) */
#ifndef CLFI_VERIFY_H
#define CLFI_VERIFY_H

#include "lib/plan/attn.h"

/* A problem with data for everything it reads, packed in the descriptor's layout. */
typedef struct clfi_case {
    const clflash_allocator *allocator;
    clfi_attn p;
    clflash_attn_host_args args; /* o and lse are NULL */
} clfi_case;

/* A small form of p for blocks of block_q x block_kv: the same P_ macros, a tail in every
 * dimension, more than one block of keys. */
clflash_status clfi_case_shrink(const clfi_attn *p, int32_t block_q, int32_t block_kv,
                                clfi_attn *small, clfi_err *err);
/* Draws the data; equal seeds give equal data. Small additive and boolean masks vary by
 * query, those past 256 MiB are broadcast over queries. */
clflash_status clfi_case_make(clfi_case *c, const clfi_attn *p, const clflash_allocator *a,
                              uint32_t seed, clfi_err *err);
void clfi_case_free(clfi_case *c);

int64_t clfi_case_o_elements(const clfi_attn *p);   /* B Sq Hq Dv */
int64_t clfi_case_lse_elements(const clfi_attn *p); /* B Hq Sq */

/* How far a right result may be from the reference, for such data: docs/tuning.md#checks. */
double clfi_verify_tolerance(const clfi_attn *p);

/* Largest difference of o (packed in p's layout) from the double reference [B,Sq,Hq,Dv], or
 * from another result in the same dtype and layout; INFINITY where one is NaN. */
double clfi_verify_o(const clfi_attn *p, const void *o, const double *want);
double clfi_verify_same(const clfi_attn *p, const void *o, const void *other);
/* The same of two LSE arrays; equal infinities are equal. */
double clfi_verify_lse(const clfi_attn *p, const float *lse, const double *want);

#endif
