/* check.c -- what is right for a case, and whether a device's result is. The one place of
 * the tests' tolerances.
 *
 * Gold is the double reference on the rounded inputs. The baseline is standard attention as
 * anyone would write it in the tensor's own precision (baseline.c). Its error is what the dtype
 * costs on this very data, so no constant has to be chosen (FlashAttention-3's rule, and
 * PyTorch's for the mean). For every output:
 *
 *   max error   <= 2 x baseline's max error + 2 (u m + u32 t)
 *   mean error  <= 1.1 x (f16, bf16) or 10 x (f32) baseline's + (u m + u32 t) / 4
 *   f32         NMSE <= 1e-10
 *   LSE         within 2e-4 + 4 u32 |LSE|; infinities equal
 *
 * u is the unit roundoff of the output's dtype and m its largest magnitude in the reference:
 * every element is rounded once on its way out. t is the largest sum of magnitudes behind an
 * element of a gradient (0 for O, where m says as much): dp - delta cancels, wholly where a row
 * has one key, and what is left of it then is rounding of f32 sums. Both terms are for small
 * tensors, where the baseline may be exact by luck. 4 u32 |LSE| is the rounding of a score that
 * large (it matters past |LSE| = 800). */
#include "tests/support/case.h"

#include "lib/base/half.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Element number n, in the order of the coordinates. */
static void coordinates(const clft_image *m, int64_t n, int64_t at[4])
{
    for (int axis = 3; axis >= 0; axis--) {
        at[axis] = n % m->n[axis];
        n /= m->n[axis];
    }
}

/* What was in the output, times beta. */
static double old_value(const clft_case *c, int array, int64_t n)
{
    const double beta = clft_beta(c, array);
    int64_t at[4];
    coordinates(&c->image[array], n, at);
    return beta == 0 ? 0 : beta * clft_get(c, array, at[0], at[1], at[2], at[3]);
}

static double store_and_load(clflash_dtype dtype, double value)
{
    uint32_t bits;
    clfi_store(&bits, dtype, 0, (float)value);
    return clfi_load(&bits, dtype, 0);
}

static void base_errors(clft_case *c)
{
    float *base[CLFT_N_ARRAYS];
    clft_baseline(c, base);
    for (int array = 0; array < CLFT_N_ARRAYS; array++) {
        const int64_t n = clft_elements(c, array);
        double most = 0, sum = 0;
        for (int64_t i = 0; base[array] && i < n; i++) {
            const double value = base[array][i] + old_value(c, array, i);
            const double error =
                fabs(store_and_load(clft_dtype(c, array), value) - c->gold[array][i]);
            if (isnan(error))
                continue;
            most = fmax(most, error);
            sum += error;
        }
        c->base_max[array] = most;
        c->base_mean[array] = n ? sum / (double)n : 0;
        free(base[array]);
    }
}

static clflash_status solve_bwd(clft_case *c)
{
    double **gold = c->gold;
    const clflash_ref_gradients out = {.dq = gold[CLFT_DQ],
                                       .dk = gold[CLFT_DK],
                                       .dv = gold[CLFT_DV],
                                       .dsink = gold[CLFT_DSINK],
                                       .dbias = gold[CLFT_DBIAS]};
    clflash_status status = clflash_ref_attn_bwd_f64(&c->p.desc, &c->bwd, &out);
    for (int array = CLFT_DQ; array <= CLFT_DBIAS; array++)
        for (int64_t n = 0; gold[array] && n < clft_elements(c, array); n++)
            gold[array][n] += old_value(c, array, n);
    if (status == CLFLASH_OK && !c->p.recompute)
        status = clflash_ref_attn_fwd(&c->p.desc, &c->args);
    return status;
}

void clft_case_solve(clft_case *c)
{
    for (int array = 0; array < CLFT_N_ARRAYS; array++) {
        free(c->gold[array]);
        c->gold[array] = NULL;
        if (!clft_is_output(c, array))
            continue;
        c->gold[array] = malloc(((size_t)clft_elements(c, array) + 1) * sizeof(double));
        ck_assert_ptr_nonnull(c->gold[array]);
    }
    const clflash_status status =
        c->p.op == CLFLASH_OP_BWD
            ? solve_bwd(c)
            : clflash_ref_attn_fwd_f64(&c->p.desc, &c->args, c->gold[CLFT_O], c->gold[CLFT_LSE]);
    ck_assert_msg(status == CLFLASH_OK, "%s: reference: %s", c->name,
                  clflash_status_string(status));
    base_errors(c);
    c->solved = true;
}

bool clft_mostly_zero(const clft_case *c, int array)
{
    const int64_t n = clft_elements(c, array);
    int64_t zeros = 0;
    for (int64_t i = 0; i < n; i++)
        zeros += c->gold[array][i] == 0;
    return zeros * 10 > n * 9;
}

/* ---- the device's result ---- */

static const char *const names[CLFT_N_ARRAYS] = {
    [CLFT_O] = "o",   [CLFT_LSE] = "lse",     [CLFT_DQ] = "dq",      [CLFT_DK] = "dk",
    [CLFT_DV] = "dv", [CLFT_DSINK] = "dsink", [CLFT_DBIAS] = "dbias"};

/* Everything that is not an element must be as it was. */
static bool untouched(const clft_case *c, int array, char *why, size_t bytes)
{
    const clft_image *m = &c->image[array];
    const char *got = c->got[array];
    char *want = malloc((size_t)m->total);
    int64_t at[4], byte = 0;
    memcpy(want, m->bytes, (size_t)m->total);
    for (int64_t n = 0; n < clft_elements(c, array); n++) {
        coordinates(m, n, at);
        const char *from = clft_inside(m, got, at[0], at[1], at[2], at[3]);
        memcpy(want + (from - got), from, (size_t)m->element);
    }
    while (byte < m->total && want[byte] == got[byte])
        byte++;
    free(want);
    if (byte == m->total)
        return true;
    snprintf(why, bytes, "%s: byte %lld of %lld (data from %lld) was overwritten", names[array],
             (long long)byte, (long long)m->total, (long long)m->offset);
    return false;
}

typedef struct error_sums {
    double most, sum, square, power, unit, limit;
} error_sums;

static bool add_error(const clft_case *c, int array, int64_t n, error_sums *e, char *why,
                      size_t bytes)
{
    int64_t at[4];
    coordinates(&c->image[array], n, at);
    const double got = clft_got(c, array, at[0], at[1], at[2], at[3]), want = c->gold[array][n];
    if (array == CLFT_LSE)
        e->limit = 2e-4 + 4 * clfi_unit_roundoff(CLFLASH_F32) * fabs(want);
    if (got == want || (isnan(want) && isnan(got)))
        return true;
    const double error = fabs(got - want);
    e->sum += error;
    e->square += error * error;
    e->power += want * want;
    e->most = fmax(e->most, error);
    if (error <= e->limit)
        return true;
    snprintf(why, bytes,
             "%s[%lld %lld %lld %lld] = %.9g, not %.9g: error %.3g > %.3g (baseline's max %.3g)",
             names[array], (long long)at[0], (long long)at[1], (long long)at[2], (long long)at[3],
             got, want, error, e->limit, c->base_max[array]);
    return false;
}

static bool check_sums(const clft_case *c, int array, const error_sums *e, char *why, size_t bytes)
{
    const bool f32 = c->p.dtype == CLFLASH_F32;
    const double n = (double)clft_elements(c, array), mean = n > 0 ? e->sum / n : 0;
    /* 2^-120: where every weight underflows, what is left of one is no error. */
    const double mean_limit = (f32 ? 10 : 1.1) * c->base_mean[array] + e->unit / 4 + 0x1p-120;
    bool ok = true;
    if (mean > mean_limit) {
        snprintf(why, bytes, "%s: mean error %.3g > %.3g (baseline's %.3g)", names[array], mean,
                 mean_limit, c->base_mean[array]);
        ok = false;
    } else if (f32 && e->square > 1e-10 * e->power + n * e->unit * e->unit + 0x1p-200) {
        snprintf(why, bytes, "%s: NMSE %.3g > 1e-10", names[array], e->square / e->power);
        ok = false;
    } else if (n > 0 && !c->may_be_zero && c->p.sk > 0 && clft_mostly_zero(c, array)) {
        snprintf(why, bytes, "%s: the reference is mostly zero: it proves nothing", names[array]);
        ok = false;
    }
    return ok;
}

static bool check_output(const clft_case *c, int array, char *why, size_t bytes)
{
    const int64_t n = clft_elements(c, array);
    const double u32 = clfi_unit_roundoff(CLFLASH_F32);
    double magnitude = 0;
    for (int64_t i = 0; i < n; i++)
        magnitude = fmax(magnitude, fabs(c->gold[array][i])); /* fmax passes over NaN */
    error_sums e = {.unit = clfi_unit_roundoff(clft_dtype(c, array)) * magnitude +
                            u32 * c->terms[array]};
    /* A weight below the smallest normal number may become 0, or that number. */
    e.limit = 2 * c->base_max[array] + 2 * e.unit + 0x1p-110;
    for (int64_t i = 0; i < n; i++)
        if (!add_error(c, array, i, &e, why, bytes))
            return false;
    return array == CLFT_LSE || check_sums(c, array, &e, why, bytes);
}

bool clft_case_check(const clft_case *c, char *why, size_t bytes)
{
    for (int array = 0; array < CLFT_N_ARRAYS; array++)
        if (clft_is_output(c, array) && !untouched(c, array, why, bytes))
            return false;
    for (int array = 0; array < CLFT_N_ARRAYS; array++)
        if (clft_is_output(c, array) && !(array == CLFT_LSE && c->variant.no_lse) &&
            !check_output(c, array, why, bytes))
            return false;
    return true;
}
