/* check_rows.h -- chosen query rows of one (batch, head) pair. (bench) */
#ifndef BENCH_CHECK_ROWS_H
#define BENCH_CHECK_ROWS_H

#include "bench/common/data.h"

/* Queries i[0..rows) of batch b and query head h: the reference's o [rows, Dv] and lse
 * [rows] in double, and the largest error that standard attention makes in the
 * problem's dtype (scores and weights rounded to it, sums in f32). */
clflash_status check_rows(const data *d, int32_t b, int32_t h, const int32_t *i, int32_t rows,
                          double *o, double *lse, double *standard_error);

/* Gradients of the same rows alone, packed: of the reference, and of standard attention in the
 * problem's dtype. dk and dv are added to, so that the heads of a group can be summed. */
typedef struct check_gradients {
    double *dq, *dk, *dv;   /* [rows, D], [Sk, D], [Sk, Dv] */
    float *bdq, *bdk, *bdv; /* the same of standard attention, before the last rounding */
    double dsink;           /* 0 without a sink */
    float terms;            /* largest sum of magnitudes behind an element of dq */
} check_gradients;
clflash_status check_rows_bwd(const data *d, int32_t b, int32_t h, const int32_t *i, int32_t rows,
                              check_gradients *g);

#endif
