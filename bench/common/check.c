/* check.c -- comparison with the reference. (bench)
 *
 * The reference costs O(B Hq Sq Sk D) on one thread, so large problems are checked on
 * rows: for some (batch, head) pairs the chosen queries become a problem of their own,
 * [1, rows, 1, D], whose positions, segments and mask rows are those of the chosen ones. */
#include "bench/common/check.h"

#include "bench/common/check_rows.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define WORK_LIMIT 1.2e8 /* multiply-adds of the reference: well under a second */
#define MAX_PAIRS 4      /* (batch, head) pairs of a sampled problem */
#define MIN_ROWS 16      /* rows of each, whatever they cost */

/* How many pairs and rows of each; all of them where that is cheap. */
static void choose_sample(const sizes *n, int64_t *pairs, int64_t *rows)
{
    const double row_work = (double)(n->sk ? n->sk : 1) * (n->d + n->dv + 16);
    *pairs = (int64_t)n->b * n->hq;
    *rows = n->sq;
    if ((double)*pairs * (double)(*rows + 2) * row_work <= WORK_LIMIT)
        return;
    *pairs = *pairs < MAX_PAIRS ? *pairs : MAX_PAIRS;
    const int64_t fit = (int64_t)(WORK_LIMIT / ((double)*pairs * row_work));
    *rows = fit > MIN_ROWS ? fit : MIN_ROWS;
    if (*rows > n->sq)
        *rows = n->sq;
}

/* Row r of `rows` out of sq: the first, the last, and one from each stretch between,
 * at a place that is not a multiple of anything. */
static int32_t choose_row(int64_t r, int64_t rows, int32_t sq)
{
    if (rows >= sq)
        return (int32_t)r;
    if (r == 0)
        return 0;
    if (r == rows - 1)
        return sq - 1;
    const int64_t low = r * sq / rows, high = (r + 1) * sq / rows;
    return (int32_t)(low + (int64_t)((uint64_t)r * UINT64_C(2654435761) % (uint64_t)(high - low)));
}

static bool gold_alloc(check_gold *gold, int64_t n, int32_t dv)
{
    const size_t rows = (size_t)(n ? n : 1);
    gold->n_rows = n;
    gold->b = calloc(rows, sizeof *gold->b);
    gold->h = calloc(rows, sizeof *gold->h);
    gold->i = calloc(rows, sizeof *gold->i);
    gold->o = calloc(rows * (size_t)dv, sizeof *gold->o);
    gold->lse = calloc(rows, sizeof *gold->lse);
    return gold->b && gold->h && gold->i && gold->o && gold->lse;
}

clflash_status check_gold_make(check_gold *gold, const data *d)
{
    const sizes n = sizes_of(&d->desc);
    const int64_t all_pairs = (int64_t)n.b * n.hq;
    int64_t pairs, rows;
    choose_sample(&n, &pairs, &rows);
    *gold = (check_gold){.all_rows = all_pairs * n.sq};
    if (!gold_alloc(gold, pairs * rows, n.dv))
        return CLFLASH_OUT_OF_MEMORY;
    for (int64_t p = 0; p < pairs && rows > 0; p++) {
        const int64_t pair = pairs == 1 ? 0 : p * (all_pairs - 1) / (pairs - 1);
        const int64_t first = p * rows;
        for (int64_t r = 0; r < rows; r++) {
            gold->b[first + r] = (int32_t)(pair / n.hq);
            gold->h[first + r] = (int32_t)(pair % n.hq);
            gold->i[first + r] = choose_row(r, rows, n.sq);
        }
        double error = 0;
        const clflash_status status =
            check_rows(d, gold->b[first], gold->h[first], gold->i + first, (int32_t)rows,
                       gold->o + first * n.dv, gold->lse + first, &error);
        if (status != CLFLASH_OK)
            return status;
        if (error > gold->standard_error)
            gold->standard_error = error;
    }
    for (int64_t e = 0; e < gold->n_rows * n.dv; e++)
        if (isfinite(gold->o[e]) && fabs(gold->o[e]) > gold->largest)
            gold->largest = fabs(gold->o[e]);
    return CLFLASH_OK;
}

void check_gold_free(check_gold *gold)
{
    free(gold->b);
    free(gold->h);
    free(gold->i);
    free(gold->o);
    free(gold->lse);
    *gold = (check_gold){0};
}

/* One value against the truth; infinite when one is a number and the other is not. */
static double difference(double got, double want)
{
    if (isnan(got) || isnan(want))
        return isnan(got) && isnan(want) ? 0 : INFINITY;
    if (isinf(got) || isinf(want))
        return got == want ? 0 : INFINITY;
    return fabs(got - want);
}

/* Spacing of the dtype's numbers at the largest output. */
static double rounding_unit(clflash_dtype dtype, double at)
{
    const double relative = dtype == CLFLASH_F32   ? 0x1p-23
                            : dtype == CLFLASH_F16 ? 0x1p-10
                                                   : 0x1p-7;
    return at > 0 ? relative * at : FLT_MIN;
}

/* Every element was written: the output was filled with NaN before. */
static bool all_written(const data *d, const void *o, const check_gold *gold)
{
    const data_spec spec = data_output_spec(&d->desc);
    const int64_t n = data_count(&spec);
    for (int64_t e = 0; e < gold->n_rows * sizes_of(&d->desc).dv; e++)
        if (isnan(gold->o[e]))
            return true; /* NaN belongs into this output */
    for (int64_t e = 0; e < n; e++)
        if (isnan(data_load(o, d->desc.dtype, e)))
            return false;
    return true;
}

check_result check_compare(const check_gold *gold, const data *d, const void *o, const float *lse)
{
    const sizes n = sizes_of(&d->desc);
    const bool bhsd = d->desc.layout == CLFLASH_LAYOUT_BHSD;
    check_result r = {.ok = true};
    double squares = 0, error_squares = 0;
    for (int64_t row = 0; row < gold->n_rows; row++) {
        const int64_t b = gold->b[row], h = gold->h[row], i = gold->i[row];
        const int64_t bh = (b * n.hq + h) * n.sq + i;
        const int64_t at = bhsd ? bh : (b * n.sq + i) * n.hq + h;
        for (int64_t c = 0; c < n.dv; c++) {
            const double want = gold->o[row * n.dv + c];
            const double e = difference(data_load(o, d->desc.dtype, at * n.dv + c), want);
            r.max_error = e > r.max_error ? e : r.max_error;
            if (isfinite(want)) {
                squares += want * want;
                error_squares += e * e;
            }
        }
        if (lse) {
            const double e = difference(lse[bh], gold->lse[row]);
            r.lse_error = e > r.lse_error ? e : r.lse_error;
        }
    }
    r.nmse = squares > 0 ? error_squares / squares : error_squares;
    r.tolerance = 2 * gold->standard_error + 2 * rounding_unit(d->desc.dtype, gold->largest);
    if (!(r.max_error <= r.tolerance))
        snprintf(r.why, sizeof r.why, "max error %.3g is above the tolerance %.3g", r.max_error,
                 r.tolerance);
    else if (d->desc.dtype == CLFLASH_F32 && !(r.nmse <= CHECK_NMSE_TOLERANCE))
        snprintf(r.why, sizeof r.why, "NMSE %.3g is above %g", r.nmse, CHECK_NMSE_TOLERANCE);
    else if (!(r.lse_error <= CHECK_LSE_TOLERANCE))
        snprintf(r.why, sizeof r.why, "LSE error %.3g is above %g", r.lse_error,
                 CHECK_LSE_TOLERANCE);
    else if (!all_written(d, o, gold))
        snprintf(r.why, sizeof r.why, "some elements of o are NaN or were never written");
    r.ok = r.why[0] == '\0';
    return r;
}
