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

/* Head h of batch b of a tensor [B,S,H,width] or [B,H,S,width] against its true values. */
static void compare(const data *d, int gradient, const void *got, int64_t b, int64_t h,
                    const double *want, const float *base, error_pair *e)
{
    const data_spec spec = data_gradient_spec(&d->desc, gradient);
    const bool bhsd = d->desc.layout == CLFLASH_LAYOUT_BHSD;
    const clflash_dtype dtype = data_dtype_of(spec.type);
    const int64_t width = spec.dim[3], rows = bhsd ? spec.dim[2] : spec.dim[1];
    for (int64_t s = 0; s < rows; s++) {
        const int64_t outer = bhsd ? h : s, inner = bhsd ? s : h;
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
                                  const void *const gradient[3], error_pair e[3], float *terms)
{
    const sizes n = sizes_of(&d->desc);
    const int32_t group = n.hq / n.hk;
    check_gradients g;
    clflash_status status = gradients_alloc(&g, &n) ? CLFLASH_OK : CLFLASH_OUT_OF_MEMORY;
    for (int32_t h = hk * group; h < (hk + 1) * group && status == CLFLASH_OK; h++) {
        if (g.bdq)
            memset(g.bdq, 0, (size_t)n.sq * (size_t)n.d * sizeof *g.bdq);
        status = check_rows_bwd(d, b, h, rows, n.sq, &g);
        if (status == CLFLASH_OK)
            compare(d, 0, gradient[0], b, h, g.dq, g.bdq, &e[0]);
    }
    if (status == CLFLASH_OK) {
        compare(d, 1, gradient[1], b, hk, g.dk, g.bdk, &e[1]);
        compare(d, 2, gradient[2], b, hk, g.dv, g.bdv, &e[2]);
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
            status = check_group(d, b, hk, rows, gradient, e, &terms);
    free(rows);
    if (status == CLFLASH_OK)
        judge(d, e, terms, result);
    return status;
}
