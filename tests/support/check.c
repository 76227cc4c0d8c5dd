/* check.c -- what is right for a case, and whether a device's result is. The one place of
 * the tests' tolerances.
 *
 * Gold is the double reference on the rounded inputs. The baseline is standard attention as
 * anyone would write it in the tensor's own precision: scores and weights rounded to the
 * dtype, sums in f32. Its error is what the dtype costs on this very data, so no constant
 * has to be chosen (FlashAttention-3's rule, and PyTorch's for the mean):
 *
 *   max error   <= 2 x baseline's max error + 2 u m
 *   mean error  <= 1.1 x (f16, bf16) or 10 x (f32) baseline's + u m / 4
 *   f32         NMSE <= 1e-10
 *   LSE         within 2e-4 + 4 u32 |LSE|; infinities equal
 *
 * u is the dtype's unit roundoff and m the largest |O| of the reference: O is a mean of
 * values that large, rounded once on its way out. Both terms with u m are for small tensors,
 * where the baseline may be exact by luck. 4 u32 |LSE| is the rounding of a score that
 * large (it matters past |LSE| = 800). */
#include "tests/support/case.h"

#include "lib/base/half.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static float rounded(clflash_dtype dtype, float value)
{
    uint32_t bits;
    clfi_store(&bits, dtype, 0, value);
    return clfi_load(&bits, dtype, 0);
}

static int64_t position(const clft_case *c, int array, int32_t first, int32_t b, int32_t i)
{
    int32_t given;
    if (!c->image[array].bytes)
        return (int64_t)first + i;
    memcpy(&given, clft_at(c, array, 0, 0, b, i), sizeof given);
    return given;
}

static float mask_value(const clft_case *c, int array, int32_t b, int32_t h, int32_t i, int32_t j)
{
    const int64_t *n = c->image[array].n;
    return clft_get(c, array, n[0] == 1 ? 0 : b, n[1] == 1 ? 0 : h, n[2] == 1 ? 0 : i, j);
}

static float base_score(const clft_case *c, int32_t b, int32_t h, int32_t i, int32_t j)
{
    const clfi_attn *p = &c->p;
    float s = 0;
    for (int32_t col = 0; col < p->d; col++)
        s += clft_get(c, CLFT_Q, b, i, h, col) * clft_get(c, CLFT_K, b, j, h / p->group, col);
    s = rounded(p->dtype, s * p->scale);
    if (p->softcap != 0)
        s = p->softcap * tanhf(s / p->softcap);
    if (p->alibi)
        s -= clft_get(c, CLFT_ALIBI, 0, 0, 0, h) *
             (float)llabs(position(c, CLFT_Q_POS, p->q_pos0, b, i) -
                          position(c, CLFT_KV_POS, 0, b, j));
    if (p->bias)
        s += mask_value(c, CLFT_BIAS, b, h, i, j);
    return rounded(p->dtype, s);
}

/* One row of standard attention; s has room for Sk. */
static void base_row(const clft_case *c, int32_t b, int32_t h, int32_t i, float *s, float *o)
{
    const clfi_attn *p = &c->p;
    float max = p->sink ? clft_get(c, CLFT_SINK, 0, 0, 0, h) : -INFINITY, sum = 0;
    for (int32_t j = 0; j < p->sk; j++) {
        const bool sees = clflash_ref_visible(&p->desc, &c->args, b, h, i, j);
        s[j] = sees ? base_score(c, b, h, i, j) : -INFINITY;
        max = fmaxf(max, s[j]);
    }
    for (int32_t j = 0; j < p->sk; j++)
        sum += s[j] = s[j] == -INFINITY ? 0 : expf(s[j] - max);
    if (p->sink)
        sum += expf(clft_get(c, CLFT_SINK, 0, 0, 0, h) - max);
    for (int32_t col = 0; col < p->dv; col++)
        o[col] = 0;
    for (int32_t j = 0; j < p->sk; j++) {
        const float weight = rounded(p->dtype, s[j] / sum);
        for (int32_t col = 0; weight > 0 && col < p->dv; col++)
            o[col] += weight * clft_get(c, CLFT_V, b, j, h / p->group, col);
    }
}

static void base_errors(clft_case *c)
{
    const clfi_attn *p = &c->p;
    float *s = malloc(((size_t)p->sk + 1) * sizeof *s), *o = malloc((size_t)p->dv * sizeof *o);
    const double *want = c->gold_o;
    double most = 0, sum = 0;
    for (int32_t b = 0; b < p->b; b++)
        for (int32_t i = 0; i < p->sq; i++)
            for (int32_t h = 0; h < p->hq; h++) {
                base_row(c, b, h, i, s, o);
                for (int32_t col = 0; col < p->dv; col++, want++) {
                    const double error = fabs((double)rounded(p->dtype, o[col]) - *want);
                    if (isnan(error))
                        continue;
                    most = fmax(most, error);
                    sum += error;
                }
            }
    const int64_t n = want - c->gold_o;
    c->base_max = most;
    c->base_mean = n ? sum / (double)n : 0;
    free(s);
    free(o);
}

void clft_case_solve(clft_case *c)
{
    const clfi_attn *p = &c->p;
    const size_t rows = (size_t)p->b * (size_t)p->sq * (size_t)p->hq;
    free(c->gold_o);
    free(c->gold_lse);
    c->gold_o = malloc((rows * (size_t)p->dv + 1) * sizeof(double));
    c->gold_lse = malloc((rows + 1) * sizeof(double));
    ck_assert(c->gold_o && c->gold_lse);
    const clflash_status status =
        clflash_ref_attn_fwd_f64(&p->desc, &c->args, c->gold_o, c->gold_lse);
    ck_assert_msg(status == CLFLASH_OK, "%s: reference: %s", c->name,
                  clflash_status_string(status));
    base_errors(c);
}

/* Everything that is not an element must be as it was. */
static bool untouched(const clft_case *c, int array, const char *got, char *why, size_t bytes)
{
    const clft_image *m = &c->image[array];
    char *want = malloc((size_t)m->total);
    memcpy(want, m->bytes, (size_t)m->total); /* poison all over: the test never writes outputs */
    for (int64_t a = 0; a < m->n[0]; a++)
        for (int64_t b = 0; b < m->n[1]; b++)
            for (int64_t i = 0; i < m->n[2]; i++)
                for (int64_t j = 0; j < m->n[3]; j++) {
                    const char *from = clft_inside(m, got, a, b, i, j);
                    memcpy(want + (from - got), from, (size_t)m->element);
                }
    int64_t at = 0;
    while (at < m->total && want[at] == got[at])
        at++;
    free(want);
    if (at == m->total)
        return true;
    snprintf(why, bytes, "%s: byte %lld of %lld (data from %lld) was overwritten",
             array == CLFT_O ? "o" : "lse", (long long)at, (long long)m->total,
             (long long)m->offset);
    return false;
}

static bool check_lse(const clft_case *c, char *why, size_t bytes)
{
    const clfi_attn *p = &c->p;
    const double u = clfi_unit_roundoff(CLFLASH_F32);
    const double *want = c->gold_lse;
    for (int32_t b = 0; b < p->b; b++)
        for (int32_t h = 0; h < p->hq; h++)
            for (int32_t i = 0; i < p->sq; i++, want++) {
                const double got = clft_lse(c, b, h, i);
                if (got == *want || (isnan(got) && isnan(*want)) ||
                    fabs(got - *want) <= 2e-4 + 4 * u * fabs(*want))
                    continue;
                snprintf(why, bytes, "lse[b=%d h=%d i=%d] = %.9g, not %.9g", b, h, i, got, *want);
                return false;
            }
    return true;
}

typedef struct error_sums {
    double most, sum, square, power, limit;
    int64_t n, zeros;
} error_sums;

static bool add_error(const clft_case *c, error_sums *e, double want, int32_t b, int32_t i,
                      int32_t h, int32_t col, char *why, size_t bytes)
{
    const double got = clft_o(c, b, i, h, col);
    e->n++;
    e->zeros += want == 0;
    if (isnan(want) && isnan(got))
        return true;
    const double error = fabs(got - want);
    e->sum += error;
    e->square += error * error;
    e->power += want * want;
    e->most = fmax(e->most, error);
    if (error <= e->limit)
        return true;
    snprintf(why, bytes,
             "o[b=%d i=%d h=%d col=%d] = %.9g, not %.9g: error %.3g > %.3g (baseline's max %.3g)",
             b, i, h, col, got, want, error, e->limit, c->base_max);
    return false;
}

static bool check_sums(const clft_case *c, const error_sums *e, double unit, char *why,
                       size_t bytes)
{
    const bool f32 = c->p.dtype == CLFLASH_F32;
    const double mean = e->n ? e->sum / (double)e->n : 0;
    /* 2^-120: where every weight underflows, what is left of one is no error. */
    const double mean_limit = (f32 ? 10 : 1.1) * c->base_mean + unit / 4 + 0x1p-120;
    bool ok = true;
    if (mean > mean_limit) {
        snprintf(why, bytes, "o: mean error %.3g > %.3g (baseline's %.3g)", mean, mean_limit,
                 c->base_mean);
        ok = false;
    } else if (f32 && e->square > 1e-10 * e->power + 0x1p-200) { /* underflow again */
        snprintf(why, bytes, "o: NMSE %.3g > 1e-10", e->square / e->power);
        ok = false;
    } else if (e->n > 0 && !c->may_be_zero && c->p.sk > 0 && e->zeros * 10 > e->n * 9) {
        snprintf(why, bytes, "the reference is mostly zero (%lld of %lld): it proves nothing",
                 (long long)e->zeros, (long long)e->n);
        ok = false;
    }
    return ok;
}

bool clft_case_check(const clft_case *c, char *why, size_t bytes)
{
    const clfi_attn *p = &c->p;
    const int64_t n = (int64_t)p->b * p->sq * p->hq * p->dv;
    double magnitude = 0;
    for (int64_t at = 0; at < n; at++)
        magnitude = fmax(magnitude, fabs(c->gold_o[at])); /* fmax passes over NaN */
    const double unit = clfi_unit_roundoff(p->dtype) * magnitude;
    /* A weight below the smallest normal number may become 0, or that number. */
    error_sums e = {.limit = 2 * c->base_max + 2 * unit + 0x1p-110};
    if (!untouched(c, CLFT_O, c->got_o, why, bytes) ||
        !untouched(c, CLFT_LSE, c->got_lse, why, bytes))
        return false;
    const double *want = c->gold_o;
    for (int32_t b = 0; b < p->b; b++)
        for (int32_t i = 0; i < p->sq; i++)
            for (int32_t h = 0; h < p->hq; h++)
                for (int32_t col = 0; col < p->dv; col++)
                    if (!add_error(c, &e, *want++, b, i, h, col, why, bytes))
                        return false;
    if (!c->variant.no_lse && !check_lse(c, why, bytes))
        return false;
    return check_sums(c, &e, unit, why, bytes);
}
