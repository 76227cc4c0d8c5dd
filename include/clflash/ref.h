/* ref.h -- the scalar reference: double sums, one obvious loop nest, no OpenCL.
 * It verifies everything and serves no call. */
#ifndef CLFLASH_REF_H
#define CLFLASH_REF_H

#include <clflash/problem.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Whether query i of batch b and head h may see key j: docs/math.md#visibility.
 * desc must pass clflash_attn_desc_check; indices in range.
 */
CLFLASH_API bool clflash_ref_visible(const clflash_attn_desc *desc,
                                     const clflash_attn_host_args *args, int32_t b, int32_t h,
                                     int32_t i, int32_t j);

/**
 * o and lse of the descriptor in double, rounded once to the dtype of o.
 * Cost     O(B Hq Sq Sk D) on one thread.
 * Errors   as clflash_attn_desc_check; NULL_BUFFER, EXTRA_BUFFER.
 */
CLFLASH_API clflash_status clflash_ref_attn_fwd(const clflash_attn_desc *desc,
                                                const clflash_attn_host_args *args);

/**
 * The same, o as double [B,Sq,Hq,Dv] packed (whatever desc.layout is) and lse as
 * double [B,Hq,Sq]; either may be NULL. args->o and args->lse are not used.
 */
CLFLASH_API clflash_status clflash_ref_attn_fwd_f64(const clflash_attn_desc *desc,
                                                    const clflash_attn_host_args *args, double *o,
                                                    double *lse);

/**
 * The exact gradients of clflash_ref_attn_fwd, from q, k, v and dout alone (o and lse are not
 * read), rounded once to their dtypes after beta was applied.
 *
 * Cost     O(B Hq Sq Sk D) on one thread.
 * Errors   as clflash_attn_desc_check; NULL_BUFFER, EXTRA_BUFFER.
 */
CLFLASH_API clflash_status clflash_ref_attn_bwd(const clflash_attn_desc *desc,
                                                const clflash_attn_bwd_host_args *args);

/* The gradients in double, packed whatever desc.layout is; what is NULL is not wanted. */
typedef struct clflash_ref_gradients {
    double *dq, *dk, *dv; /* [B,Sq,Hq,D], [B,Sk,Hk,D], [B,Sk,Hk,Dv] */
    double *dsink;        /* [Hq] */
    double *dbias;        /* of the extents of args->fwd.bias, [B|1,Hq|1,Sq|1,Sk] */
} clflash_ref_gradients;

/* The same in double, without beta: args' own gradients are not used. */
CLFLASH_API clflash_status clflash_ref_attn_bwd_f64(const clflash_attn_desc *desc,
                                                    const clflash_attn_bwd_host_args *args,
                                                    const clflash_ref_gradients *out);

/* Conversions with round to nearest even; f16 and bf16 as their bits. */
CLFLASH_API float clflash_f32_from_f16(uint16_t bits);
CLFLASH_API uint16_t clflash_f16_from_f32(float value);
CLFLASH_API float clflash_f32_from_bf16(uint16_t bits);
CLFLASH_API uint16_t clflash_bf16_from_f32(float value);

#ifdef __cplusplus
}
#endif
#endif
