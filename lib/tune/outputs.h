/* outputs.h -- what a problem's result consists of, and how far from right it is. (L3)
 * A forward gives o and lse, a backward dq, dk and dv. */
#ifndef CLFI_OUTPUTS_H
#define CLFI_OUTPUTS_H

#include "lib/tune/case.h"

#define CLFI_MAX_OUTPUTS 3

/* A tensor [B, len, heads, width] packed in the problem's layout; lse is [B,Hq,Sq]. */
typedef struct clfi_output {
    const char *name;
    clflash_dtype dtype;
    int32_t len, heads, width;
    bool is_lse;
} clfi_output;

/* Fills out in the order above; returns how many. */
int32_t clfi_outputs(const clfi_attn *p, clfi_output out[CLFI_MAX_OUTPUTS]);
int64_t clfi_output_elements(const clfi_attn *p, const clfi_output *out);

/* The reference's results for the case's data, one array of doubles per output, tensors as
 * [B, len, heads, width] whatever the layout. */
clflash_status clfi_case_reference(const clfi_case *c, double *const want[CLFI_MAX_OUTPUTS]);

/* Largest difference from the reference, or from another result of the same kind; INFINITY
 * where one alone is NaN. Equal infinities, and two NaN, are equal. */
double clfi_output_error(const clfi_attn *p, const clfi_output *out, const void *got,
                         const double *want);
double clfi_output_same(const clfi_attn *p, const clfi_output *out, const void *got,
                        const void *other);
/* Largest finite magnitude of a result. */
double clfi_output_largest(const clfi_attn *p, const clfi_output *out, const void *got);

/* How far a right result may be from the reference, for data as clfi_case_make draws it and
 * results up to `largest`: docs/tuning.md#checks. */
double clfi_output_tolerance(const clfi_attn *p, const clfi_output *out, double largest);

#endif
