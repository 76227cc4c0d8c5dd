/* case.h -- data for checks and timings. (L3, no OpenCL) */
#ifndef CLFI_CASE_H
#define CLFI_CASE_H

#include "lib/plan/attn.h"

/* A problem with data for everything it reads, packed in the descriptor's layout. */
typedef struct clfi_case {
    const clflash_allocator *allocator;
    clfi_attn p;
    clflash_attn_host_args args; /* o and lse are NULL */
    void *dout;                  /* of a backward; as o */
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

#endif
