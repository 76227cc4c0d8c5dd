/* outputs.c -- a result against the reference or another result. (L3) */
#include "lib/tune/outputs.h"

#include "lib/base/half.h"

#include <clflash/ref.h>
#include <math.h>

#define LSE_TOLERANCE 2e-4 /* absolute, as in tests/kernels */

int32_t clfi_outputs(const clfi_attn *p, clfi_output out[CLFI_MAX_OUTPUTS])
{
    const clflash_dtype gradient = p->grad_f32 ? CLFLASH_F32 : p->dtype;
    if (p->op != CLFLASH_OP_BWD) {
        out[0] = (clfi_output){"o", p->dtype, p->sq, p->hq, p->dv, false};
        out[1] = (clfi_output){"LSE", CLFLASH_F32, p->sq, p->hq, 1, true};
        return 2;
    }
    out[0] = (clfi_output){"dq", gradient, p->sq, p->hq, p->d, false};
    out[1] = (clfi_output){"dk", gradient, p->sk, p->hk, p->d, false};
    out[2] = (clfi_output){"dv", gradient, p->sk, p->hk, p->dv, false};
    return 3;
}

int64_t clfi_output_elements(const clfi_attn *p, const clfi_output *out)
{
    return (int64_t)p->b * out->len * out->heads * out->width;
}

clflash_status clfi_case_reference(const clfi_case *c, double *const want[CLFI_MAX_OUTPUTS])
{
    const clflash_attn_desc *desc = &c->p.desc;
    if (c->p.op != CLFLASH_OP_BWD)
        return clflash_ref_attn_fwd_f64(desc, &c->args, want[0], want[1]);
    const clflash_attn_bwd_host_args args = {.fwd = c->args, .dout = c->dout};
    const clflash_ref_gradients out = {.dq = want[0], .dk = want[1], .dv = want[2]};
    return clflash_ref_attn_bwd_f64(desc, &args, &out);
}

static double larger(double most, double difference)
{
    return isnan(difference) ? INFINITY : difference > most ? difference : most;
}

/* Where element n of [B, len, heads, width] lies in the packed result. */
static int64_t place(const clfi_attn *p, const clfi_output *out, int64_t n)
{
    if (out->is_lse || p->layout != CLFLASH_LAYOUT_BHSD)
        return n;
    const int64_t c = n % out->width, h = n / out->width % out->heads;
    const int64_t s = n / out->width / out->heads % out->len;
    const int64_t b = n / out->width / out->heads / out->len;
    return ((b * out->heads + h) * out->len + s) * out->width + c;
}

double clfi_output_error(const clfi_attn *p, const clfi_output *out, const void *got,
                         const double *want)
{
    double most = 0;
    for (int64_t n = 0; n < clfi_output_elements(p, out); n++) {
        const double value = (double)clfi_load(got, out->dtype, place(p, out, n));
        if (value != want[n] && !(isnan(value) && isnan(want[n])))
            most = larger(most, fabs(value - want[n]));
    }
    return most;
}

double clfi_output_same(const clfi_attn *p, const clfi_output *out, const void *got,
                        const void *other)
{
    double most = 0;
    for (int64_t n = 0; n < clfi_output_elements(p, out); n++) {
        const double a = (double)clfi_load(got, out->dtype, n);
        const double b = (double)clfi_load(other, out->dtype, n);
        if (a != b)
            most = larger(most, fabs(a - b));
    }
    return most;
}

double clfi_output_largest(const clfi_attn *p, const clfi_output *out, const void *got)
{
    double most = 0;
    for (int64_t n = 0; n < clfi_output_elements(p, out); n++) {
        const double a = fabs((double)clfi_load(got, out->dtype, n));
        most = isfinite(a) && a > most ? a : most;
    }
    return most;
}

double clfi_output_tolerance(const clfi_attn *p, const clfi_output *out, double largest)
{
    /* |v| <= 1, so o moves at most by twice what a score moves. Scores are sums of D
     * products of size up to 3 * scale in f32 (random walk: sqrt(D) roundings), plus the
     * error of exp; storage in 16 bits adds roundings of o, and of the weights where matrix
     * units take them in that type. */
    const double u32 = clfi_unit_roundoff(CLFLASH_F32), u = clfi_unit_roundoff(p->dtype);
    const double score = 1 + 3 * fabs((double)p->scale) * sqrt((double)p->d);
    const double f32 = 16 * (8 + sqrt((double)p->d)) * score * u32;
    const double stored = p->dtype == CLFLASH_F32 ? 0 : 4 * u;
    if (out->is_lse)
        return LSE_TOLERANCE + f32;
    if (p->op != CLFLASH_OP_BWD)
        return f32 + stored;
    /* dp - delta cancels: both are sums of Dv products of size 1, and delta comes from a rounded
     * o, whatever size is left of them; then q or k (up to 3) and the scale. */
    const double canceled = 3 * fabs((double)p->scale) * sqrt((double)p->dv);
    return (2 * f32 + 2 * stored) * (largest + canceled);
}
