/* attn_bwd_rows.cl -- what every backward engine needs of each row, the sink's gradient, and
 * gradients where no query meets a key.
 *
 * P_DV      columns of o and dout                                       (problem)
 * T_WG      work-items per group: 1 on CPU drivers, a power of two
 * T_LANES   work-items per row, a power of two that divides T_WG
 * Grid      rows: global (T_WG * ceil(B Hq Sq / (T_WG / T_LANES))); sink: (T_WG * Hq);
 *           none: one work-item per row of the gradient.
 * Math      docs/math.md#backward. */
#include "base.clh"

#include "attn_bwd_args.h"
#define CLF_MASK_PARAMS
#include "attn_bwd.clh"

#if !defined(P_DV) || !defined(T_WG) || !defined(T_LANES) || (T_WG & (T_WG - 1)) || T_WG % T_LANES
#error "attn_bwd_rows.cl: the host must pass P_DV, T_WG and T_LANES, powers of two"
#endif

/* Sum of s[l .. l + n) over groups of n work-items, in a fixed order; every item gets it. */
CLF_INLINE float rows_sum(float x, __local float *s, uint n)
{
    const uint l = get_local_id(0);
    s[l] = x;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (uint step = n / 2; step > 0; step /= 2) {
        if (l % n < step)
            s[l] += s[l + step];
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    x = s[l - l % n];
    barrier(CLK_LOCAL_MEM_FENCE);
    return x;
}

/* lse4 and delta of attn_bwd.clh. Rows are taken head by head within a token: neighbours
 * in [B,S,H,D]. */
__kernel __attribute__((reqd_work_group_size(T_WG, 1, 1))) void
clf_attn_bwd_rows(__global const clf_t *o, __global const clf_t *dout, __global const float *lse,
                  __global float *work, const clf_attn_bwd_args x)
{
    __local float s[T_WG];
    const uint l = get_local_id(0), lane = l % T_LANES;
    const long n = (long)x.f.b * x.f.sq * x.f.hq;
    const long token_head = (long)get_group_id(0) * (T_WG / T_LANES) + l / T_LANES;
    const long at = min(token_head, n - 1);
    const int h = (int)(at % x.f.hq), i = (int)(at / x.f.hq % x.f.sq);
    const int b = (int)(at / x.f.hq / x.f.sq);
    __global const clf_t *o_row = o + x.f.o_off + b * x.f.o_sb + i * x.f.o_ss + h * x.f.o_sh;
    __global const clf_t *do_row = dout + x.do_off + b * x.do_sb + i * x.do_ss + h * x.do_sh;
    float8 part = (float8)(0.0f);
    float sum = 0.0f;
    int c = (int)lane * 8;
    for (; c + 8 <= P_DV; c += 8 * T_LANES)
        part = mad(CLF_LOAD8(o_row + c), CLF_LOAD8(do_row + c), part);
    for (; c < P_DV; c++) /* the lane whose eight are cut short */
        sum = mad(CLF_LOAD(o_row + c), CLF_LOAD(do_row + c), sum);
    const float4 half_part = part.lo + part.hi;
    const float2 quarter = half_part.lo + half_part.hi;
    sum = rows_sum(sum + (quarter.x + quarter.y), s, T_LANES);
    if (lane == 0 && token_head < n) {
        const long row = CLF_BWD_ROW(b, h, i);
        const float natural = lse[x.f.lse_off + row];
        const bool empty = natural == -INFINITY;
        CLF_BWD_LSE4(row) = empty ? INFINITY : natural * CLF_LOG4E;
        CLF_BWD_DELTA(row) = empty ? 0.0f : sum;
    }
}

/* dsink[h] = -sum over batch and rows of exp(sink - lse) delta: the sink's weight takes what
 * the keys lose. Sums of 64 within sums, so that long sequences keep their digits. */
__kernel __attribute__((reqd_work_group_size(T_WG, 1, 1))) void
clf_attn_bwd_sink(__global const float *work, __global const float *sink, __global float *dsink,
                  const clf_attn_bwd_args x)
{
    __local float s[T_WG];
    const int h = (int)get_group_id(0);
    const float logit = sink[x.f.sink_off + h] * CLF_LOG4E;
    float sum = 0.0f;
    for (int b = 0; b < x.f.b; b++) {
        for (int i0 = (int)get_local_id(0); i0 < x.f.sq; i0 += 64 * T_WG) {
            float part = 0.0f;
            for (int u = 0; u < 64 && i0 + u * T_WG < x.f.sq; u++) {
                const long row = CLF_BWD_ROW(b, h, i0 + u * T_WG);
                part = mad(exp2(2.0f * (logit - CLF_BWD_LSE4(row))), CLF_BWD_DELTA(row), part);
            }
            sum += part;
        }
    }
    sum = rows_sum(sum, s, T_WG);
    if (get_local_id(0) == 0) {
        __global float *to = dsink + x.dsink_off + h;
        *to = x.beta_dsink == 0.0f ? -sum : mad(x.beta_dsink, *to, -sum);
    }
}

/* gradient = beta gradient: what is left where there is no pair of a query and a key. */
__kernel void clf_attn_bwd_none(__global clf_grad *gradient, const long off, const long s0,
                                const long s1, const long s2, const int width, const float beta)
{
    __global clf_grad *row =
        gradient + off + get_global_id(0) * s0 + get_global_id(1) * s1 + get_global_id(2) * s2;
    for (int c = 0; c < width; c++)
        CLF_GRAD_STORE(0.0f, beta, row + c);
}
