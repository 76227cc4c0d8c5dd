/* blas.h -- the only door to CLBlast. (L1) Calls are serialised: CLBlast 1.5's caches
 * are not thread-safe. */
#ifndef CLFI_BLAS_H
#define CLFI_BLAS_H

#include "host/context.h"

/* Row-major, for each of `count` batches: C[m,n] = alpha op(A) op(B) + beta C, f32.
 * Offsets, leading dimensions and batch strides in elements. */
typedef struct clfi_gemm {
    int64_t m, n, k;
    bool transpose_a, transpose_b;
    float alpha, beta;
    cl_mem a, b, c;
    int64_t a_offset, a_ld, a_stride;
    int64_t b_offset, b_ld, b_stride;
    int64_t c_offset, c_ld, c_stride;
    int64_t count;
} clfi_gemm;

/* Whether CLBlast can run f32 here at all. */
clflash_status clfi_blas_supported(const clflash_context *ctx, clfi_err *err);
/* Enqueued on an in-order or out-of-order queue: on the latter the caller puts
 * barriers around it (CLBlast has no wait lists). */
clflash_status clfi_blas_sgemm(clflash_context *ctx, cl_command_queue queue, const clfi_gemm *g,
                               clfi_err *err);

#endif
