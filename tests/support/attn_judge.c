/* attn_judge.c -- whether a result is right: docs/testing.md#tolerance.
 *
 * Gold is the double reference on the already rounded inputs. The baseline is standard
 * attention in the tensor's own precision: scores and weights rounded to the dtype, sums in
 * float. For every output
 *   max error  <= 2 x the baseline's max error + 2 x the rounding unit at that magnitude
 * (FlashAttention-3's rule: a factor 2 for another order of sums; the unit is what storing
 * the output costs at best), and for inputs that are more than a handful
 *   mean error <= 1.1 x (16-bit) or 10 x (f32) the baseline's + a quarter of the unit
 * (PyTorch's FlexAttention rule; f32 baselines are so good that a polynomial exponential
 * shows). f32 also NMSE <= 1e-10. LSE within 2e-4 absolute, infinities exactly. */
#include "tests/support/attn_case.h"

#include "lib/base/half.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static float rounded(float x, clflash_dtype dtype)
{
    uint32_t store;
    clfi_store(&store, dtype, 0, x);
    return clfi_load(&store, dtype, 0);
}

static float bias_of(const attn_case *c, int32_t b, int32_t h, int32_t i, int32_t j)
{
    const clflash_host_mask *m = &c->bias;
    const clfi_attn *p = &c->p;
    const int64_t nh = m->extent[1] ? 1 : p->hq, nq = m->extent[2] ? 1 : p->sq;
    const int64_t at =
        (((m->extent[0] ? 0 : b) * nh + (m->extent[1] ? 0 : h)) * nq + (m->extent[2] ? 0 : i)) *
            p->sk +
        j;
    return clfi_load(m->data, m->dtype, at);
}

static float position(const attn_case *c, int32_t b, int32_t i, bool query)
{
    const clfi_attn *p = &c->p;
    if (c->desc.mask.positions)
        return (float)(query ? c->q_pos[(int64_t)b * p->sq + i]
                             : c->kv_pos[(int64_t)b * p->sk + i]);
    return (float)(query ? i + p->q_pos0 : i);
}

/* One row of the baseline; s has Sk floats. */
static void baseline_row(const attn_case *c, int32_t b, int32_t h, int32_t i, float *s, float *o)
{
    const clfi_attn *p = &c->p;
    const int32_t hk = h / p->group;
    float max = p->sink ? c->sink[h] : -INFINITY, sum = 0;
    for (int32_t j = 0; j < p->sk; j++) {
        float x = 0;
        s[j] = -INFINITY;
        if (!clflash_ref_visible(&c->desc, &c->host, b, h, i, j))
            continue;
        for (int32_t d = 0; d < p->d; d++)
            x += tensor_get(&c->q, b, i, h, d) * tensor_get(&c->k, b, j, hk, d);
        x = rounded(x * p->scale, p->dtype);
        if (p->softcap != 0)
            x = rounded(p->softcap * tanhf(x / p->softcap), p->dtype);
        if (p->alibi)
            x = rounded(x - c->alibi[h] * fabsf(position(c, b, i, true) - position(c, b, j, false)),
                        p->dtype);
        if (p->bias)
            x = rounded(x + bias_of(c, b, h, i, j), p->dtype);
        s[j] = x;
        max = x > max ? x : max;
    }
    const float base = max == -INFINITY ? 0 : max;
    if (p->sink)
        sum = expf(c->sink[h] - base);
    for (int32_t j = 0; j < p->sk; j++)
        sum += s[j] == -INFINITY ? 0 : expf(s[j] - base);
    for (int32_t d = 0; d < p->dv; d++)
        o[d] = 0;
    for (int32_t j = 0; j < p->sk; j++) {
        if (s[j] == -INFINITY)
            continue;
        const float weight = rounded(expf(s[j] - base) / sum, p->dtype);
        for (int32_t d = 0; d < p->dv; d++)
            o[d] += weight * tensor_get(&c->v, b, j, hk, d);
    }
    for (int32_t d = 0; d < p->dv; d++)
        o[d] = rounded(o[d], p->dtype);
}

typedef struct errors {
    double max, base_max, sum, base_sum, square, gold_square, gold_max;
    int64_t n, zeros;
    int32_t at[4];
    double got, want;
} errors;

static void add_error(errors *e, const attn_case *c, int32_t b, int32_t h, int32_t i, int32_t d,
                      double gold, double base)
{
    const double got = tensor_get(&c->o, b, i, h, d);
    if (isnan(gold) && isnan(got))
        return;
    double err = fabs(got - gold);
    const double base_err = fabs(base - gold);
    if (isinf(gold) && got == gold)
        err = 0;
    if (!(err <= e->max)) { /* a NaN is the largest error */
        e->max = isnan(err) ? INFINITY : err;
        e->at[0] = b, e->at[1] = h, e->at[2] = i, e->at[3] = d;
        e->got = got, e->want = gold;
    }
    e->base_max = base_err > e->base_max ? base_err : e->base_max;
    e->sum += err;
    e->base_sum += base_err;
    e->square += err * err;
    e->gold_square += gold * gold;
    e->gold_max = fabs(gold) > e->gold_max ? fabs(gold) : e->gold_max;
    e->n++;
    e->zeros += gold == 0;
}

static bool judge_o(const attn_case *c, const errors *e, char *why, size_t why_bytes)
{
    const clfi_attn *p = &c->p;
    const double unit = 2 * clfi_unit_roundoff(p->dtype) * e->gold_max;
    const double limit = 2 * e->base_max + 2 * unit;
    const double factor = p->dtype == CLFLASH_F32 ? 10 : 1.1;
    if (!(e->max <= limit)) {
        snprintf(
            why, why_bytes,
            "[%s] seed %u: o[b %d, h %d, i %d, d %d] is %.9g, should be %.9g: error %.3g > %.3g",
            c->problem, c->seed, e->at[0], e->at[1], e->at[2], e->at[3], e->got, e->want, e->max,
            limit);
        return false;
    }
    if (e->n >= 256 && !(e->sum <= factor * e->base_sum + 0.25 * unit * (double)e->n)) {
        snprintf(why, why_bytes, "[%s] seed %u: mean error %.3g, the baseline's is %.3g",
                 c->problem, c->seed, e->sum / (double)e->n, e->base_sum / (double)e->n);
        return false;
    }
    if (p->dtype == CLFLASH_F32 && !(e->square <= 1e-10 * e->gold_square)) {
        snprintf(why, why_bytes, "[%s] seed %u: NMSE %.3g > 1e-10", c->problem, c->seed,
                 e->square / e->gold_square);
        return false;
    }
    return true;
}

static bool judge_lse(const attn_case *c, const double *gold, char *why, size_t why_bytes)
{
    const int64_t n = (int64_t)c->p.b * c->p.hq * c->p.sq;
    for (int64_t i = 0; i < n; i++) {
        const bool equal = isinf(gold[i])
                               ? c->lse[i] == gold[i]
                               : fabs(c->lse[i] - gold[i]) <= 2e-4 + 1e-6 * fabs(gold[i]);
        if (!equal && !(isnan(gold[i]) && isnan(c->lse[i]))) {
            snprintf(why, why_bytes, "[%s] seed %u: lse[%lld] is %.7g, should be %.7g", c->problem,
                     c->seed, (long long)i, (double)c->lse[i], gold[i]);
            return false;
        }
    }
    return true;
}

bool attn_case_judge(const attn_case *c, const attn_way *way, char *why, size_t why_bytes)
{
    const clfi_attn *p = &c->p;
    const size_t n_o = (size_t)p->b * (size_t)p->sq * (size_t)p->hq * (size_t)p->dv;
    const size_t n_lse = (size_t)p->b * (size_t)p->hq * (size_t)p->sq;
    double *gold = malloc((n_o + 1) * sizeof *gold), *lse = malloc((n_lse + 1) * sizeof *lse);
    float *s = malloc(((size_t)p->sk + 1) * sizeof *s), *row = malloc((size_t)p->dv * sizeof *row);
    bool ok = gold && lse && s && row &&
              clflash_ref_attn_fwd_f64(&c->desc, &c->host, gold, lse) == CLFLASH_OK;
    errors e = {0};
    if (!ok)
        snprintf(why, why_bytes, "[%s]: the reference failed", c->problem);
    for (int32_t b = 0; ok && b < p->b; b++)
        for (int32_t h = 0; h < p->hq; h++)
            for (int32_t i = 0; i < p->sq; i++) {
                baseline_row(c, b, h, i, s, row);
                for (int32_t d = 0; d < p->dv; d++)
                    add_error(&e, c, b, h, i, d,
                              gold[(((int64_t)b * p->sq + i) * p->hq + h) * p->dv + d], row[d]);
            }
    ok = ok && judge_o(c, &e, why, why_bytes) && (way->no_lse || judge_lse(c, lse, why, why_bytes));
    free(gold);
    free(lse);
    free(s);
    free(row);
    return ok;
}
