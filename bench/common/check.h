/* check.h -- is the result right? Rows of the output against the reference in double,
 * with a tolerance that is derived, not chosen: docs/benchmarking.md. (bench) */
#ifndef BENCH_CHECK_H
#define BENCH_CHECK_H

#include "bench/common/data.h"

/* Rows with their true values. Whole problems when they are small, else a sample. */
typedef struct check_gold {
    int64_t n_rows, all_rows;
    int32_t *b, *h, *i;    /* [n_rows] which row */
    double *o;             /* [n_rows, Dv] */
    double *lse;           /* [n_rows] */
    double standard_error; /* largest error of standard attention in the problem's dtype */
    double largest;        /* largest |o| */
} check_gold;

typedef struct check_result {
    bool ok;
    double max_error, tolerance;
    double nmse;      /* f32: squared error by squared value */
    double lse_error; /* 0 when no lse was given */
    char why[160];    /* what failed; "" when ok */
} check_result;

#define CHECK_LSE_TOLERANCE 2e-4
#define CHECK_NMSE_TOLERANCE 1e-10

/* Computes the rows. status: CLFLASH_OK or what the reference said. */
clflash_status check_gold_make(check_gold *gold, const data *d);
void check_gold_free(check_gold *gold);

/* o in the problem's dtype and layout, lse f32 [B,Hq,Sq] or NULL. */
check_result check_compare(const check_gold *gold, const data *d, const void *o, const float *lse);

#endif
