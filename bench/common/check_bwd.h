/* check_bwd.h -- are the gradients right? Against the reference in double, with the tolerance
 * of check.h: all of them, or those of a gradient of o that is zero but in a few rows. (bench) */
#ifndef BENCH_CHECK_BWD_H
#define BENCH_CHECK_BWD_H

#include "bench/common/data.h"

typedef struct check_bwd_result {
    bool ok;
    double max_error[3], tolerance[3]; /* of dq, dk, dv */
    char why[160];                     /* what failed; "" when ok */
} check_bwd_result;

/* Rows whose gradient of o is not zero: those of one KV head's query heads, in one batch.
 * dk and dv then depend on these rows alone, and every other row of dq is 0. */
typedef struct check_sample {
    int32_t b, hk, n_rows;
    int32_t *rows; /* owned */
    void *dout;    /* owned: the whole tensor, zero elsewhere */
} check_sample;

/* Chooses rows so that checking takes well under a second. False: no memory. */
bool check_sample_make(check_sample *s, const data *d);
void check_sample_free(check_sample *s);

/* The gradients of sample->dout. */
clflash_status check_bwd_sample(const data *d, const check_sample *sample,
                                const void *const gradient[3], check_bwd_result *result);

/* The gradients in the problem's layout, in desc.dtype or f32 with grad=f32.
 * Cost     O(B Hq Sq Sk D) on one thread.
 * status   CLFLASH_OK or what the reference said. */
clflash_status check_bwd(const data *d, const void *const gradient[3], check_bwd_result *result);

#endif
