/* baseline.c -- standard attention in the tensor's own precision, forward and backward, as
 * anyone would write it: whole rows of scores and weights rounded to the dtype, sums in f32.
 * Its errors are what the dtype costs on this very data (check.c). */
#include "tests/support/case.h"

#include "lib/base/half.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static float rounded(clflash_dtype dtype, float value)
{
    uint32_t bits;
    clfi_store(&bits, dtype, 0, value);
    return clfi_load(&bits, dtype, 0);
}

/* One KV head, and one row of one of its query heads. */
typedef struct head {
    float *k, *v;          /* [Sk, D], [Sk, Dv] */
    float *q, *o, *dout;   /* [D], [Dv], [Dv] */
    float *weight, *slope; /* [Sk]: rounded weights; d score / d(scale q.k) */
    float *sink_weight;    /* [1] */
} head;

static float *room(int64_t n)
{
    float *p = malloc(((size_t)n + 1) * sizeof *p);
    ck_assert_ptr_nonnull(p);
    return p;
}

static head head_make(const clfi_attn *p)
{
    return (head){
        .k = room((int64_t)p->sk * p->d),
        .v = room((int64_t)p->sk * p->dv),
        .q = room(p->d),
        .o = room(p->dv),
        .dout = room(p->dv),
        .weight = room(p->sk),
        .slope = room(p->sk),
        .sink_weight = room(1),
    };
}

static void head_free(head *w)
{
    float *const all[] = {w->k, w->v, w->q, w->o, w->dout, w->weight, w->slope, w->sink_weight};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        free(all[i]);
}

static void load(const clft_case *c, int array, int32_t b, int32_t s, int32_t h, float *row)
{
    for (int64_t col = 0; col < c->image[array].n[3]; col++)
        row[col] = clft_get(c, array, b, s, h, col);
}

static float dot(const float *x, const float *y, int32_t n)
{
    float sum = 0;
    for (int32_t i = 0; i < n; i++)
        sum += x[i] * y[i];
    return sum;
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

static float score(const clft_case *c, const head *w, int32_t b, int32_t h, int32_t i, int32_t j)
{
    const clfi_attn *p = &c->p;
    float s = rounded(p->dtype, p->scale * dot(w->q, w->k + (int64_t)j * p->d, p->d));
    w->slope[j] = 1;
    if (p->softcap != 0) {
        const float y = tanhf(s / p->softcap);
        s = p->softcap * y;
        w->slope[j] = rounded(p->dtype, 1 - y * y);
    }
    if (p->alibi)
        s -= clft_get(c, CLFT_ALIBI, 0, 0, 0, h) *
             (float)llabs(position(c, CLFT_Q_POS, p->q_pos0, b, i) -
                          position(c, CLFT_KV_POS, 0, b, j));
    if (p->bias)
        s += mask_value(c, CLFT_BIAS, b, h, i, j);
    return rounded(p->dtype, s);
}

/* The row's weights, 0 where the key is not seen, and O. */
static void attend(const clft_case *c, const head *w, int32_t b, int32_t h, int32_t i)
{
    const clfi_attn *p = &c->p;
    const float sink = p->sink ? clft_get(c, CLFT_SINK, 0, 0, 0, h) : -INFINITY;
    float max = sink, sum = 0, *s = w->weight;
    for (int32_t j = 0; j < p->sk; j++) {
        const bool sees = clflash_ref_visible(&p->desc, &c->args, b, h, i, j);
        s[j] = sees ? score(c, w, b, h, i, j) : -INFINITY;
        max = fmaxf(max, s[j]);
    }
    for (int32_t j = 0; j < p->sk; j++)
        sum += s[j] = s[j] == -INFINITY ? 0 : expf(s[j] - max);
    if (p->sink)
        sum += *w->sink_weight = expf(sink - max);
    if (p->sink)
        *w->sink_weight /= sum;
    for (int32_t col = 0; col < p->dv; col++)
        w->o[col] = 0;
    for (int32_t j = 0; j < p->sk; j++) {
        s[j] = rounded(p->dtype, s[j] / sum);
        for (int32_t col = 0; s[j] > 0 && col < p->dv; col++)
            w->o[col] += s[j] * w->v[(int64_t)j * p->dv + col];
    }
}

/* ---- backward: sums in f32 of products in the dtype ---- */

/* A gradient and, beside it, the same sum over magnitudes: rounding errors of sums in f32 go
 * with those, however much the terms cancel. */
typedef struct gradient {
    float *sum, *terms;
} gradient;

static void add(gradient g, int64_t at, float value, float terms)
{
    if (!g.sum)
        return;
    g.sum[at] += value;
    g.terms[at] += fabsf(terms);
}

static void add_row(const clft_case *c, const head *w, int32_t b, int32_t h, int32_t i,
                    const gradient g[CLFT_N_ARRAYS])
{
    const clfi_attn *p = &c->p;
    const int64_t *n = c->image[CLFT_BIAS].n;
    const int64_t query = (((int64_t)b * p->sq + i) * p->hq + h) * p->d;
    const int64_t bias =
        ((n[0] == 1 ? 0 : b) * n[1] + (n[1] == 1 ? 0 : h)) * n[2] + (n[2] == 1 ? 0 : i);
    float delta = 0, delta_terms = 0;
    bool any = false;
    for (int32_t col = 0; col < p->dv; col++) {
        const float o = rounded(p->dtype, w->o[col]);
        delta += o * w->dout[col];
        delta_terms += fabsf(o * w->dout[col]);
    }
    for (int32_t j = 0; j < p->sk; j++) {
        const float weight = w->weight[j], *v = w->v + (int64_t)j * p->dv,
                    *k = w->k + (int64_t)j * p->d;
        const int64_t key = ((int64_t)b * p->sk + j) * p->hk + h / p->group;
        if (!(weight > 0))
            continue;
        any = true;
        float dp_terms = delta_terms;
        for (int32_t col = 0; col < p->dv; col++)
            dp_terms += fabsf(w->dout[col] * v[col]);
        const float dp = rounded(p->dtype, dot(w->dout, v, p->dv));
        const float ds = rounded(p->dtype, weight * (dp - delta));
        const float dt = p->scale * rounded(p->dtype, ds * w->slope[j]);
        const float dt_terms = p->scale * weight * dp_terms;
        for (int32_t col = 0; col < p->dv; col++)
            add(g[CLFT_DV], key * p->dv + col, weight * w->dout[col], weight * w->dout[col]);
        for (int32_t col = 0; col < p->d; col++) {
            add(g[CLFT_DK], key * p->d + col, dt * w->q[col], dt_terms * w->q[col]);
            add(g[CLFT_DQ], query + col, dt * k[col], dt_terms * k[col]);
        }
        add(g[CLFT_DBIAS], bias * p->sk + j, ds, weight * dp_terms);
    }
    if (any)
        add(g[CLFT_DSINK], h, -*w->sink_weight * delta, *w->sink_weight * delta_terms);
}

/* ---- all rows ---- */

static gradient start(const clft_case *c, int array, float **out)
{
    gradient g = {0};
    out[array] = NULL;
    if (!clft_is_output(c, array) || array == CLFT_LSE)
        return g;
    const size_t n = (size_t)clft_elements(c, array) + 1;
    g = (gradient){calloc(n, sizeof(float)), calloc(n, sizeof(float))};
    ck_assert(g.sum && g.terms);
    out[array] = g.sum;
    return g;
}

static double largest(const float *x, int64_t n)
{
    double most = 0;
    for (int64_t i = 0; x && i < n; i++)
        most = fmax(most, x[i]); /* fmax passes over NaN */
    return most;
}

void clft_baseline(clft_case *c, float *out[CLFT_N_ARRAYS])
{
    const clfi_attn *p = &c->p;
    const bool bwd = p->op == CLFLASH_OP_BWD;
    gradient g[CLFT_N_ARRAYS];
    head w = head_make(p);
    for (int array = 0; array < CLFT_N_ARRAYS; array++)
        g[array] = start(c, array, out);
    for (int32_t b = 0; b < p->b; b++)
        for (int32_t h = 0; h < p->hq; h++) {
            for (int32_t j = 0; h % p->group == 0 && j < p->sk; j++) {
                load(c, CLFT_K, b, j, h / p->group, w.k + (int64_t)j * p->d);
                load(c, CLFT_V, b, j, h / p->group, w.v + (int64_t)j * p->dv);
            }
            for (int32_t i = 0; i < p->sq; i++) {
                load(c, CLFT_Q, b, i, h, w.q);
                attend(c, &w, b, h, i);
                if (!bwd) {
                    memcpy(out[CLFT_O] + (((int64_t)b * p->sq + i) * p->hq + h) * p->dv, w.o,
                           (size_t)p->dv * sizeof *w.o);
                    continue;
                }
                load(c, CLFT_DOUT, b, i, h, w.dout);
                add_row(c, &w, b, h, i, g);
            }
        }
    for (int array = 0; array < CLFT_N_ARRAYS; array++) {
        c->terms[array] = largest(g[array].terms, clft_elements(c, array));
        free(g[array].terms);
    }
    head_free(&w);
}
