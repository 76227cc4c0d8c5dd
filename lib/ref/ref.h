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

/* ---- ref_mask.c ---- */

/* p(i) of a query and p(j) of a key: docs/math.md#visibility. */
int64_t clfi_ref_query_position(const clflash_attn_desc *desc, const clflash_attn_host_args *args,
                                int32_t b, int32_t i);
int64_t clfi_ref_key_position(const clflash_attn_desc *desc, const clflash_attn_host_args *args,
                              int32_t b, int32_t j);

/* Bytes from the start of a mask [B|1, Hq|1, Sq|1, Sk] to element (b, h, i, j); stride_bytes
 * all zero = packed. */
int64_t clfi_ref_mask_offset(const int32_t extent[3], const int64_t stride_bytes[3], size_t element,
                             const clfi_ref_sizes *s, int32_t b, int32_t h, int32_t i, int32_t j);

/* What the additive mask adds to a score; 0 without one. */
double clfi_ref_bias(const clflash_attn_desc *desc, const clflash_attn_host_args *args, int32_t b,
                     int32_t h, int32_t i, int32_t j);

/* ---- ref_tensor.c ---- */

/* How [B, S, H, width] lies in host memory; strides in bytes. */
typedef struct clfi_ref_tensor {
    clflash_dtype dtype;
    int32_t width;
    int64_t stride[3]; /* batch, sequence, head */
} clfi_ref_tensor;

clfi_ref_tensor clfi_ref_make_tensor(const clflash_attn_desc *desc, clflash_dtype dtype,
                                     const int64_t given[3], int64_t s, int64_t h, int32_t width);
/* row[c * step] = the row's element c. */
void clfi_ref_load(const clfi_ref_tensor *t, const void *data, int32_t b, int32_t s, int32_t h,
                   double *row, int64_t step);
/* The row = beta the row + `row`, rounded once; beta 0 does not read. */
void clfi_ref_store(const clfi_ref_tensor *t, void *data, int32_t b, int32_t s, int32_t h,
                    const double *row, double beta);
/* The same for one element. */
void clfi_ref_store_element(void *data, clflash_dtype dtype, int64_t c, double value, double beta);

/* One array: there when it is read or written, not there when it is not used. */
clflash_status clfi_ref_check_array(const void *data, bool used, bool read);
/* The forward's inputs. */
clflash_status clfi_ref_check_inputs(const clflash_attn_desc *desc,
                                     const clflash_attn_host_args *args);

/* ---- ref_attn_fwd.c ---- */

/* Working memory of one KV head, and of one row of its scores. */
typedef struct clfi_ref_head {
    double *q;     /* [D] */
    double *kt;    /* [D, Sk]: the sums over D then run over keys at once */
    double *v;     /* [Sk, Dv] */
    double *o;     /* [Dv] */
    double *s;     /* [Sk] scores */
    double *slope; /* [Sk] ds / d(scale q.k): the softcap's slope, else 1 */
    bool *sees;    /* [Sk] */
} clfi_ref_head;

clflash_status clfi_ref_head_make(clfi_ref_head *w, const clflash_attn_desc *desc);
void clfi_ref_head_free(clfi_ref_head *w);
/* Fills kt and v. */
void clfi_ref_head_load(clfi_ref_head *w, const clflash_attn_desc *desc,
                        const clflash_attn_host_args *args, int32_t b, int32_t hk);
/* Row i of query head h, which reads the head loaded: fills q, o, s, slope and sees, returns
 * the LSE. */
double clfi_ref_row(clfi_ref_head *w, const clflash_attn_desc *desc,
                    const clflash_attn_host_args *args, int32_t b, int32_t h, int32_t i);

#endif
