/* check_bwd.c -- the gradients of a whole problem against the reference, a group of heads at
 * a time. (bench) */
#include "bench/common/check_bwd.h"

#include "bench/common/check_rows.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Errors of one gradient, the device's and standard attention's. */
typedef struct error_pair {
    double device, standard, largest;
} error_pair;

static bool gradients_alloc(check_gradients *g, const sizes *n)
{
    const size_t q = (size_t)n->sq * (size_t)n->d + 1, k = (size_t)n->sk * (size_t)n->d + 1,
                 v = (size_t)n->sk * (size_t)n->dv + 1;
    *g = (check_gradients){
        .dq = calloc(q, sizeof(double)),
        .dk = calloc(k, sizeof(double)),
        .dv = calloc(v, sizeof(double)),
        .bdq = calloc(q, sizeof(float)),
        .bdk = calloc(k, sizeof(float)),
        .bdv = calloc(v, sizeof(float)),
    };
    return g->dq && g->dk && g->dv && g->bdq && g->bdk && g->bdv;
}

static void gradients_free(check_gradients *g)
{
    void *const owned[] = {g->dq, g->dk, g->dv, g->bdq, g->bdk, g->bdv};
    for (size_t i = 0; i < sizeof owned / sizeof owned[0]; i++)
        free(owned[i]);
}

/* Rows (NULL: the first n) of head h of batch b of a tensor [B,S,H,width] or [B,H,S,width] against
 * its true values. */
static void compare(const data *d, int gradient, const void *got, int64_t b, int64_t h,
                    const int32_t *row_list, int64_t n_rows, const double *want, const float *base,
                    error_pair *e)
{
    const data_spec spec = data_gradient_spec(&d->desc, gradient);
    const bool bhsd = d->desc.layout == CLFLASH_LAYOUT_BHSD;
    const clflash_dtype dtype = data_dtype_of(spec.type);
    const int64_t width = spec.dim[3];
    for (int64_t s = 0; s < n_rows; s++) {
        const int64_t at = row_list ? row_list[s] : s;
        const int64_t outer = bhsd ? h : at, inner = bhsd ? at : h;
        const int64_t row = (b * spec.dim[1] + outer) * spec.dim[2] + inner;
        for (int64_t c = 0; c < width; c++) {
            const double truth = want[s * width + c];
            const double value = data_load(got, dtype, row * width + c);
            const double error = isnan(value) && isnan(truth) ? 0 : fabs(value - truth);
            const double standard = fabs(data_round(base[s * width + c], dtype) - truth);
            e->device = error <= e->device ? e->device : isnan(error) ? INFINITY : error;
            e->standard = standard > e->standard ? standard : e->standard;
            e->largest = fabs(truth) > e->largest ? fabs(truth) : e->largest;
        }
    }
}

/* The query heads of one KV head. */
static clflash_status check_group(const data *d, int32_t b, int32_t hk, const int32_t *rows,
                                  int32_t n_rows, const void *const gradient[3], error_pair e[3],
                                  float *terms)
{
    const sizes n = sizes_of(&d->desc);
    const int32_t group = n.hq / n.hk;
    check_gradients g;
    clflash_status status = gradients_alloc(&g, &n) ? CLFLASH_OK : CLFLASH_OUT_OF_MEMORY;
    for (int32_t h = hk * group; h < (hk + 1) * group && status == CLFLASH_OK; h++) {
        if (g.bdq)
            memset(g.bdq, 0, (size_t)n_rows * (size_t)n.d * sizeof *g.bdq);
        status = check_rows_bwd(d, b, h, rows, n_rows, &g);
        if (status == CLFLASH_OK)
            compare(d, 0, gradient[0], b, h, rows, n_rows, g.dq, g.bdq, &e[0]);
    }
    if (status == CLFLASH_OK) {
        compare(d, 1, gradient[1], b, hk, NULL, n.sk, g.dk, g.bdk, &e[1]);
        compare(d, 2, gradient[2], b, hk, NULL, n.sk, g.dv, g.bdv, &e[2]);
    }
    *terms = g.terms > *terms ? g.terms : *terms;
    gradients_free(&g);
    return status;
}

static void judge(const data *d, const error_pair e[3], float terms, check_bwd_result *r)
{
    r->ok = true;
    for (int i = 0; i < 3; i++) {
        const data_spec spec = data_gradient_spec(&d->desc, i);
        const clflash_dtype dtype = data_dtype_of(spec.type);
        const double unit = dtype == CLFLASH_F32   ? 0x1p-23
                            : dtype == CLFLASH_F16 ? 0x1p-10
                                                   : 0x1p-7;
        r->max_error[i] = e[i].device;
        /* terms: what dp - delta loses to cancellation in f32 */
        r->tolerance[i] = 2 * e[i].standard + 2 * (unit * e[i].largest + 0x1p-23 * terms);
        if (!(e[i].device <= r->tolerance[i]) && r->ok) {
            r->ok = false;
            snprintf(r->why, sizeof r->why, "%s: max error %.3g is above the tolerance %.3g",
                     spec.name, e[i].device, r->tolerance[i]);
        }
    }
}

clflash_status check_bwd(const data *d, const void *const gradient[3], check_bwd_result *result)
{
    const sizes n = sizes_of(&d->desc);
    error_pair e[3] = {{0}};
    float terms = 0;
    clflash_status status = CLFLASH_OK;
    int32_t *rows = malloc(((size_t)n.sq + 1) * sizeof *rows);
    *result = (check_bwd_result){0};
    for (int32_t i = 0; rows && i < n.sq; i++)
        rows[i] = i;
    if (!rows)
        return CLFLASH_OUT_OF_MEMORY;
    for (int32_t b = 0; b < n.b && status == CLFLASH_OK; b++)
        for (int32_t hk = 0; hk < n.hk && status == CLFLASH_OK; hk++)
            status = check_group(d, b, hk, rows, n.sq, gradient, e, &terms);
    free(rows);
    if (status == CLFLASH_OK)
        judge(d, e, terms, result);
    return status;
}

/* ---- a sample ---- */

#define SAMPLE_WORK 4e7 /* multiply-adds of the reference's five products */
#define MIN_ROWS 8

bool check_sample_make(check_sample *s, const data *d)
{
    const sizes n = sizes_of(&d->desc);
    const data_spec *spec = &d->spec[DATA_DOUT];
    const bool bhsd = d->desc.layout == CLFLASH_LAYOUT_BHSD;
    const int32_t group = n.hq / n.hk;
    const double row_work = 1.0 + (double)group * n.sk * (3.0 * n.d + 2.0 * n.dv);
    const double fit = SAMPLE_WORK / row_work;
    const size_t row = (size_t)n.dv * data_type_bytes(spec->type);
    *s = (check_sample){.b = n.b - 1, .hk = n.hk - 1};
    s->n_rows = fit > MIN_ROWS    ? fit > n.sq ? n.sq : (int32_t)fit
                : n.sq < MIN_ROWS ? n.sq
                                  : MIN_ROWS;
    s->rows = malloc(((size_t)s->n_rows + 1) * sizeof *s->rows);
    s->dout = calloc((size_t)data_count(spec) + 1, data_type_bytes(spec->type));
    if (!s->rows || !s->dout)
        return false;
    for (int32_t r = 0; r < s->n_rows; r++) {
        const int64_t i = s->n_rows > 1 ? (int64_t)r * (n.sq - 1) / (s->n_rows - 1) : n.sq - 1;
        s->rows[r] = (int32_t)i;
        for (int32_t h = s->hk * group; h < (s->hk + 1) * group; h++) {
            const int64_t outer = bhsd ? h : i, inner = bhsd ? i : h;
            const size_t at = (size_t)((s->b * spec->dim[1] + outer) * spec->dim[2] + inner) * row;
            memcpy((char *)s->dout + at, (const char *)d->array[DATA_DOUT] + at, row);
        }
    }
    return true;
}

void check_sample_free(check_sample *s)
{
    free(s->rows);
    free(s->dout);
    *s = (check_sample){0};
}

/* Every element was written: the gradients were filled with NaN before. */
static bool all_written(const data *d, const void *const gradient[3])
{
    for (int g = 0; g < 3; g++) {
        const data_spec spec = data_gradient_spec(&d->desc, g);
        const int64_t n = data_count(&spec);
        for (int64_t e = 0; e < n; e++)
            if (isnan(data_load(gradient[g], data_dtype_of(spec.type), e)))
                return false;
    }
    return true;
}

clflash_status check_bwd_sample(const data *d, const check_sample *sample,
                                const void *const gradient[3], check_bwd_result *result)
{
    error_pair e[3] = {{0}};
    float terms = 0;
    const sizes n = sizes_of(&d->desc);
    *result = (check_bwd_result){.ok = true};
    if (n.b == 0 || n.sq == 0 || n.sk == 0) /* zeros, if anything */
        return CLFLASH_OK;
    const clflash_status status =
        check_group(d, sample->b, sample->hk, sample->rows, sample->n_rows, gradient, e, &terms);
    if (status != CLFLASH_OK)
        return status;
    judge(d, e, terms, result);
    if (result->ok && !all_written(d, gradient)) {
        result->ok = false;
        snprintf(result->why, sizeof result->why,
                 "some elements of the gradients are NaN or were never written");
    }
    return CLFLASH_OK;
}
