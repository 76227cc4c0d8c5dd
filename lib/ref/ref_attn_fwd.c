/* ref_attn_fwd.c -- attention forward in double, one obvious loop nest. (L0)
 * docs/math.md#softmax. Serves no call; everything is checked against it. */
#include "lib/base/alloc.h"
#include "lib/ref/ref.h"

#include <math.h>
#include <string.h>

clflash_status clfi_ref_head_make(clfi_ref_head *w, const clflash_attn_desc *desc)
{
    const clfi_ref_sizes n = clfi_ref_get_sizes(desc);
    const size_t sk = (size_t)n.sk, d = (size_t)n.d, dv = (size_t)n.dv, e = sizeof(double);
    *w = (clfi_ref_head){
        .q = clfi_alloc(NULL, d, e),
        .kt = clfi_alloc(NULL, d * sk, e),
        .v = clfi_alloc(NULL, sk * dv, e),
        .o = clfi_alloc(NULL, dv, e),
        .s = clfi_alloc(NULL, sk, e),
        .slope = clfi_alloc(NULL, sk, e),
        .sees = clfi_alloc(NULL, sk, sizeof(bool)),
    };
    if (w->q && w->kt && w->v && w->o && w->s && w->slope && w->sees)
        return CLFLASH_OK;
    clfi_ref_head_free(w);
    return CLFLASH_OUT_OF_MEMORY;
}

void clfi_ref_head_free(clfi_ref_head *w)
{
    void *const used[] = {w->q, w->kt, w->v, w->o, w->s, w->slope, w->sees};
    for (size_t a = 0; a < sizeof used / sizeof used[0]; a++)
        clfi_free(NULL, used[a]);
    *w = (clfi_ref_head){0};
}

void clfi_ref_head_load(clfi_ref_head *w, const clflash_attn_desc *desc,
                        const clflash_attn_host_args *args, int32_t b, int32_t hk)
{
    const clfi_ref_sizes n = clfi_ref_get_sizes(desc);
    const clfi_ref_tensor k =
        clfi_ref_make_tensor(desc, desc->dtype, args->k_stride_bytes, n.sk, n.hk, n.d);
    const clfi_ref_tensor v =
        clfi_ref_make_tensor(desc, desc->dtype, args->v_stride_bytes, n.sk, n.hk, n.dv);
    for (int32_t j = 0; j < n.sk; j++) {
        clfi_ref_load(&k, args->k, b, j, hk, w->kt + j, n.sk);
        clfi_ref_load(&v, args->v, b, j, hk, w->v + (int64_t)j * n.dv, 1);
    }
}

/* s[j] = scale q.k, softcap, ALiBi, bias: docs/math.md#scores. */
static void scores(const clflash_attn_desc *desc, const clflash_attn_host_args *args, int32_t b,
                   int32_t h, int32_t i, const clfi_ref_head *w)
{
    const clfi_ref_sizes n = clfi_ref_get_sizes(desc);
    const double scale = desc->scale != 0 ? desc->scale : 1.0 / sqrt((double)n.d);
    memset(w->s, 0, (size_t)n.sk * sizeof *w->s);
    for (int32_t c = 0; c < n.d; c++)
        for (int32_t j = 0; j < n.sk; j++)
            w->s[j] += w->q[c] * w->kt[(int64_t)c * n.sk + j];
    for (int32_t j = 0; j < n.sk; j++) {
        double s = scale * w->s[j];
        w->slope[j] = 1;
        if (desc->softcap != 0) {
            const double y = tanh(s / desc->softcap);
            s = desc->softcap * y;
            w->slope[j] = 1 - y * y;
        }
        if (desc->alibi)
            s -= args->alibi[h] * fabs((double)(clfi_ref_query_position(desc, args, b, i) -
                                                clfi_ref_key_position(desc, args, b, j)));
        w->s[j] = s + clfi_ref_bias(desc, args, b, h, i, j);
        w->sees[j] = clflash_ref_visible(desc, args, b, h, i, j);
    }
}

/* The row's O and LSE. Keys that the query does not see are never touched. */
static double attend(const clflash_attn_desc *desc, const clflash_attn_host_args *args, int32_t h,
                     const clfi_ref_head *w)
{
    const clfi_ref_sizes n = clfi_ref_get_sizes(desc);
    double max = desc->sink ? args->sink[h] : -INFINITY;
    for (int32_t j = 0; j < n.sk; j++)
        if (w->sees[j] && w->s[j] > max)
            max = w->s[j];
    /* Without any finite score all weights are 0, not exp(-inf + inf). */
    const double base = max == -INFINITY ? 0 : max;
    double sum = desc->sink ? exp(args->sink[h] - base) : 0;
    memset(w->o, 0, (size_t)n.dv * sizeof *w->o);
    for (int32_t j = 0; j < n.sk; j++) {
        if (!w->sees[j])
            continue;
        const double weight = exp(w->s[j] - base);
        sum += weight;
        for (int32_t c = 0; c < n.dv; c++)
            w->o[c] += weight * w->v[(int64_t)j * n.dv + c];
    }
    for (int32_t c = 0; c < n.dv; c++)
        w->o[c] = sum == 0 ? 0 : w->o[c] / sum;
    return base + log(sum);
}

double clfi_ref_row(clfi_ref_head *w, const clflash_attn_desc *desc,
                    const clflash_attn_host_args *args, int32_t b, int32_t h, int32_t i)
{
    const clfi_ref_sizes n = clfi_ref_get_sizes(desc);
    const clfi_ref_tensor q =
        clfi_ref_make_tensor(desc, desc->dtype, args->q_stride_bytes, n.sq, n.hq, n.d);
    clfi_ref_load(&q, args->q, b, i, h, w->q, 1);
    scores(desc, args, b, h, i, w);
    return attend(desc, args, h, w);
}

/* Where a row goes: the caller's tensor, or packed double. */
typedef struct output {
    bool rounded;
    double *o, *lse; /* [B,Sq,Hq,Dv], [B,Hq,Sq]; either may be NULL */
} output;

static void store_row(const clflash_attn_desc *desc, const clflash_attn_host_args *args, int32_t b,
                      int32_t h, int32_t i, const double *row, double lse, const output *out)
{
    const clfi_ref_sizes n = clfi_ref_get_sizes(desc);
    const int64_t at = ((int64_t)b * n.hq + h) * n.sq + i;
    if (out->rounded) {
        const clfi_ref_tensor o =
            clfi_ref_make_tensor(desc, desc->dtype, args->o_stride_bytes, n.sq, n.hq, n.dv);
        clfi_ref_store(&o, args->o, b, i, h, row, 0);
        if (args->lse)
            args->lse[at] = (float)lse;
    }
    if (out->o)
        memcpy(out->o + (((int64_t)b * n.sq + i) * n.hq + h) * n.dv, row,
               (size_t)n.dv * sizeof *row);
    if (out->lse)
        out->lse[at] = lse;
}

static clflash_status run(const clflash_attn_desc *desc, const clflash_attn_host_args *args,
                          const output *out)
{
    const clfi_ref_sizes n = clfi_ref_get_sizes(desc);
    clfi_ref_head w;
    if (n.b == 0 || n.sq == 0)
        return CLFLASH_OK;
    CLF_TRY(clfi_ref_head_make(&w, desc));
    for (int32_t b = 0; b < n.b; b++) {
        for (int32_t hk = 0; hk < n.hk; hk++) {
            const int32_t group = n.hq / n.hk;
            clfi_ref_head_load(&w, desc, args, b, hk);
            for (int32_t h = hk * group; h < (hk + 1) * group; h++) {
                for (int32_t i = 0; i < n.sq; i++) {
                    const double lse = clfi_ref_row(&w, desc, args, b, h, i);
                    store_row(desc, args, b, h, i, w.o, lse, out);
                }
            }
        }
    }
    clfi_ref_head_free(&w);
    return CLFLASH_OK;
}

clflash_status clflash_ref_attn_fwd(const clflash_attn_desc *desc,
                                    const clflash_attn_host_args *args)
{
    const output out = {.rounded = true};
    CLF_TRY(clflash_attn_desc_check(desc, NULL, 0));
    if (!args)
        return CLFLASH_INVALID_ARGUMENT;
    const clfi_ref_sizes n = clfi_ref_get_sizes(desc);
    CLF_TRY(clfi_ref_check_inputs(desc, args));
    CLF_TRY(clfi_ref_check_array(args->o, true, n.b > 0 && n.sq > 0));
    return run(desc, args, &out);
}

clflash_status clflash_ref_attn_fwd_f64(const clflash_attn_desc *desc,
                                        const clflash_attn_host_args *args, double *o, double *lse)
{
    const output out = {.o = o, .lse = lse};
    CLF_TRY(clflash_attn_desc_check(desc, NULL, 0));
    if (!args)
        return CLFLASH_INVALID_ARGUMENT;
    CLF_TRY(clfi_ref_check_inputs(desc, args));
    return run(desc, args, &out);
}
