/* check_bwd.h -- are the gradients right? All of them, against the reference in double, with
 * the tolerance of check.h. (bench) */
#ifndef BENCH_CHECK_BWD_H
#define BENCH_CHECK_BWD_H

#include "bench/common/data.h"

typedef struct check_bwd_result {
    bool ok;
    double max_error[3], tolerance[3]; /* of dq, dk, dv */
    char why[160];                     /* what failed; "" when ok */
} check_bwd_result;

/* The gradients in the problem's layout, in desc.dtype or f32 with grad=f32.
 * Cost     O(B Hq Sq Sk D) on one thread.
 * status   CLFLASH_OK or what the reference said. */
clflash_status check_bwd(const data *d, const void *const gradient[3], check_bwd_result *result);

#endif
