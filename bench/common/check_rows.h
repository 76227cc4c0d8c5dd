/* check_rows.h -- chosen query rows of one (batch, head) pair. (bench) */
#ifndef BENCH_CHECK_ROWS_H
#define BENCH_CHECK_ROWS_H

#include "bench/common/data.h"

/* Queries i[0..rows) of batch b and query head h: the reference's o [rows, Dv] and lse
 * [rows] in double, and the largest error that standard attention makes in the
 * problem's dtype (scores and weights rounded to it, sums in f32). */
clflash_status check_rows(const data *d, int32_t b, int32_t h, const int32_t *i, int32_t rows,
                          double *o, double *lse, double *standard_error);

#endif
