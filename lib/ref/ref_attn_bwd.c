/* ref_attn_bwd.c -- the gradients of attention in double, one obvious loop nest. (L0)
 * docs/math.md#backward. Serves no call; everything is checked against it. */
#include "lib/base/alloc.h"
#include "lib/ref/ref.h"

#include <math.h>
#include <string.h>

/* Doubles in each packed gradient. */
typedef struct counts {
    int64_t dq, dk, dv, dsink, dbias;
} counts;

static counts count(const clflash_attn_desc *desc, const clflash_attn_host_args *args)
{
    const clfi_ref_sizes n = clfi_ref_get_sizes(desc);
    const int32_t *extent = args->bias.extent;
    return (counts){
        .dq = (int64_t)n.b * n.sq * n.hq * n.d,
        .dk = (int64_t)n.b * n.sk * n.hk * n.d,
        .dv = (int64_t)n.b * n.sk * n.hk * n.dv,
        .dsink = n.hq,
        .dbias = (extent[0] ? extent[0] : n.b) * (int64_t)(extent[1] ? extent[1] : n.hq) *
                 (extent[2] ? extent[2] : n.sq) * n.sk,
    };
}

static int64_t bias_index(const clflash_attn_host_args *args, const clfi_ref_sizes *n, int32_t b,
                          int32_t h, int32_t i, int32_t j)
{
    static const int64_t packed[3] = {0, 0, 0};
    return clfi_ref_mask_offset(args->bias.extent, packed, 1, n, b, h, i, j);
}

/* Adds row i of query head h to every gradient wanted; w holds the row. dout: the row's dO. */
static void add_row(const clflash_attn_desc *desc, const clflash_attn_bwd_host_args *args,
                    const clfi_ref_head *w, const double *dout, double lse, int32_t b, int32_t h,
                    int32_t i, const clflash_ref_gradients *out)
{
    const clfi_ref_sizes n = clfi_ref_get_sizes(desc);
    const double scale = desc->scale != 0 ? desc->scale : 1.0 / sqrt((double)n.d);
    const int64_t row = ((int64_t)b * n.sq + i) * n.hq + h;
    double delta = 0;
    bool sees_any = false;
    for (int32_t c = 0; c < n.dv; c++)
        delta += w->o[c] * dout[c];
    for (int32_t j = 0; j < n.sk; j++) {
        if (!w->sees[j])
            continue;
        sees_any = true;
        const int64_t key = ((int64_t)b * n.sk + j) * n.hk + h / (n.hq / n.hk);
        /* Without any finite score all weights are 0, as in the forward. */
        const double p = lse == -INFINITY ? 0 : exp(w->s[j] - lse);
        double dp = 0;
        for (int32_t c = 0; c < n.dv; c++)
            dp += dout[c] * w->v[(int64_t)j * n.dv + c];
        const double ds = p * (dp - delta), dt = ds * w->slope[j];
        for (int32_t c = 0; out->dv && c < n.dv; c++)
            out->dv[key * n.dv + c] += p * dout[c];
        for (int32_t c = 0; out->dk && c < n.d; c++)
            out->dk[key * n.d + c] += scale * dt * w->q[c];
        for (int32_t c = 0; out->dq && c < n.d; c++)
            out->dq[row * n.d + c] += scale * dt * w->kt[(int64_t)c * n.sk + j];
        if (out->dbias)
            out->dbias[bias_index(&args->fwd, &n, b, h, i, j)] += ds;
    }
    if (out->dsink && sees_any && lse != -INFINITY)
        out->dsink[h] -= exp(args->fwd.sink[h] - lse) * delta;
}

static void clear(double *to, int64_t n)
{
    if (to)
        memset(to, 0, (size_t)n * sizeof *to);
}

static clflash_status run(const clflash_attn_desc *desc, const clflash_attn_bwd_host_args *args,
                          const clflash_ref_gradients *out)
{
    const clfi_ref_sizes n = clfi_ref_get_sizes(desc);
    const clfi_ref_tensor dout =
        clfi_ref_make_tensor(desc, desc->dtype, args->dout_stride_bytes, n.sq, n.hq, n.dv);
    const counts size = count(desc, &args->fwd);
    clear(out->dq, size.dq);
    clear(out->dk, size.dk);
    clear(out->dv, size.dv);
    clear(out->dsink, size.dsink);
    clear(out->dbias, size.dbias);
    if (n.b == 0 || n.sq == 0 || n.sk == 0)
        return CLFLASH_OK;
    clfi_ref_head w = {0};
    double *row = clfi_alloc(NULL, (size_t)n.dv, sizeof *row);
    const clflash_status status = row ? clfi_ref_head_make(&w, desc) : CLFLASH_OUT_OF_MEMORY;
    for (int32_t b = 0; status == CLFLASH_OK && b < n.b; b++) {
        for (int32_t hk = 0; hk < n.hk; hk++) {
            const int32_t group = n.hq / n.hk;
            clfi_ref_head_load(&w, desc, &args->fwd, b, hk);
            for (int32_t h = hk * group; h < (hk + 1) * group; h++) {
                for (int32_t i = 0; i < n.sq; i++) {
                    const double lse = clfi_ref_row(&w, desc, &args->fwd, b, h, i);
                    clfi_ref_load(&dout, args->dout, b, i, h, row, 1);
                    add_row(desc, args, &w, row, lse, b, h, i, out);
                }
            }
        }
    }
    clfi_ref_head_free(&w);
    clfi_free(NULL, row);
    return status;
}

static clflash_status check_inputs(const clflash_attn_desc *desc,
                                   const clflash_attn_bwd_host_args *args)
{
    CLF_TRY(clflash_attn_desc_check(desc, NULL, 0));
    if (!args)
        return CLFLASH_INVALID_ARGUMENT;
    const clfi_ref_sizes n = clfi_ref_get_sizes(desc);
    CLF_TRY(clfi_ref_check_inputs(desc, &args->fwd));
    return clfi_ref_check_array(args->dout, true, n.b > 0 && n.sq > 0);
}

/* The gradient of the bias has the bias's own extents, in words or in numbers. */
static clflash_status check_dbias(const clflash_attn_desc *desc,
                                  const clflash_attn_bwd_host_args *args)
{
    const clfi_ref_sizes n = clfi_ref_get_sizes(desc);
    const int32_t full[3] = {n.b, n.hq, n.sq};
    const clflash_host_mask_gradient *g = &args->dbias;
    if (!g->data)
        return CLFLASH_OK;
    if (g->dtype != CLFLASH_F32 && g->dtype != desc->dtype)
        return CLFLASH_INVALID_DTYPE;
    for (int axis = 0; axis < 3; axis++) {
        const int32_t bias = args->fwd.bias.extent[axis], own = g->extent[axis];
        if ((bias ? bias : full[axis]) != (own ? own : full[axis]))
            return CLFLASH_INVALID_SIZE;
    }
    return CLFLASH_OK;
}

/* One gradient from packed double into the caller's tensor. */
static void store_tensor(const clfi_ref_tensor *t, void *data, const clfi_ref_sizes *n, int32_t s,
                         int32_t h, const double *from, double beta)
{
    for (int32_t b = 0; data && b < n->b; b++)
        for (int32_t row = 0; row < s; row++)
            for (int32_t head = 0; head < h; head++, from += t->width)
                clfi_ref_store(t, data, b, row, head, from, beta);
}

static void store_dbias(const clflash_attn_desc *desc, const clflash_attn_bwd_host_args *args,
                        const double *from)
{
    const clfi_ref_sizes n = clfi_ref_get_sizes(desc);
    const clflash_host_mask_gradient *g = &args->dbias;
    const int32_t *extent = g->extent;
    const int32_t nb = extent[0] ? extent[0] : n.b, nh = extent[1] ? extent[1] : n.hq,
                  nq = extent[2] ? extent[2] : n.sq;
    const size_t element = clflash_dtype_bytes(g->dtype);
    for (int32_t b = 0; g->data && b < nb; b++)
        for (int32_t h = 0; h < nh; h++)
            for (int32_t i = 0; i < nq; i++)
                for (int32_t j = 0; j < n.sk; j++, from++) {
                    char *to = (char *)g->data + clfi_ref_mask_offset(extent, g->stride_bytes,
                                                                      element, &n, b, h, i, j);
                    clfi_ref_store_element(to, g->dtype, 0, *from, args->beta.dbias);
                }
}

static void store_all(const clflash_attn_desc *desc, const clflash_attn_bwd_host_args *args,
                      const clflash_ref_gradients *g)
{
    const clfi_ref_sizes n = clfi_ref_get_sizes(desc);
    const clflash_dtype dtype = desc->grad_f32 ? CLFLASH_F32 : desc->dtype;
    const clfi_ref_tensor dq = clfi_ref_make_tensor(desc, dtype, args->dq_stride_bytes, n.sq, n.hq,
                                                    n.d),
                          dk = clfi_ref_make_tensor(desc, dtype, args->dk_stride_bytes, n.sk, n.hk,
                                                    n.d),
                          dv = clfi_ref_make_tensor(desc, dtype, args->dv_stride_bytes, n.sk, n.hk,
                                                    n.dv);
    store_tensor(&dq, args->dq, &n, n.sq, n.hq, g->dq, args->beta.dq);
    store_tensor(&dk, args->dk, &n, n.sk, n.hk, g->dk, args->beta.dk);
    store_tensor(&dv, args->dv, &n, n.sk, n.hk, g->dv, args->beta.dv);
    for (int32_t h = 0; args->dsink && h < n.hq; h++)
        clfi_ref_store_element(args->dsink, CLFLASH_F32, h, g->dsink[h], args->beta.dsink);
    store_dbias(desc, args, g->dbias);
}

static double *alloc_wanted(const void *wanted, int64_t n, bool *failed)
{
    double *p = wanted ? clfi_alloc(NULL, (size_t)n, sizeof *p) : NULL;
    *failed |= wanted && !p;
    return p;
}

clflash_status clflash_ref_attn_bwd(const clflash_attn_desc *desc,
                                    const clflash_attn_bwd_host_args *args)
{
    CLF_TRY(check_inputs(desc, args));
    CLF_TRY(clfi_ref_check_array(args->dsink, desc->sink, false));
    CLF_TRY(clfi_ref_check_array(args->dbias.data, desc->bias, false));
    CLF_TRY(check_dbias(desc, args));
    const counts n = count(desc, &args->fwd);
    bool failed = false;
    const clflash_ref_gradients g = {
        .dq = alloc_wanted(args->dq, n.dq, &failed),
        .dk = alloc_wanted(args->dk, n.dk, &failed),
        .dv = alloc_wanted(args->dv, n.dv, &failed),
        .dsink = alloc_wanted(args->dsink, n.dsink, &failed),
        .dbias = alloc_wanted(args->dbias.data, n.dbias, &failed),
    };
    const clflash_status status = failed ? CLFLASH_OUT_OF_MEMORY : run(desc, args, &g);
    if (status == CLFLASH_OK)
        store_all(desc, args, &g);
    void *const used[] = {g.dq, g.dk, g.dv, g.dsink, g.dbias};
    for (size_t a = 0; a < sizeof used / sizeof used[0]; a++)
        clfi_free(NULL, used[a]);
    return status;
}

clflash_status clflash_ref_attn_bwd_f64(const clflash_attn_desc *desc,
                                        const clflash_attn_bwd_host_args *args,
                                        const clflash_ref_gradients *out)
{
    CLF_TRY(check_inputs(desc, args));
    if (!out)
        return CLFLASH_INVALID_ARGUMENT;
    CLF_TRY(clfi_ref_check_array(out->dsink, desc->sink, false));
    CLF_TRY(clfi_ref_check_array(out->dbias, desc->bias, false));
    return run(desc, args, out);
}
