/* convert.cl -- between strided views of any dtype and packed f32 matrices, for standard
 * attention (lib/ops/attn_standard.c, attn_bwd_standard.c).
 *
 * P_DTYPE    of the views                                                       (problem)
 * P_OUT_F32  1: clf_unpack writes f32, 0: P_DTYPE                               (problem)
 * T_WG       work-items per row: 1 on CPUs, a power of two on GPUs               (device)
 * Grid       global (T_WG * rows, group, pairs), local (T_WG, 1, 1); clf_attn_empty: one
 *            work-item per row, global (Sq, Hq, B).
 * Math       0 * NaN is NaN: a product P V would spread what stands under a masked key. So V
 *            is packed with its non-finite elements as 0, and those that a row does see are
 *            added afterwards. The backward does so with K, q and dO as well. */
#include "convert_args.h"

#include "base.clh"

#if !defined(T_WG) || !defined(P_OUT_F32)
#error "convert.cl: the host must pass T_WG and P_OUT_F32"
#endif

#if P_OUT_F32
typedef float out_t;
#define OUT_LOAD(p) (*(p))
#define OUT_STORE(v, p) (*(p) = (v))
#else
typedef clf_t out_t;
#define OUT_LOAD(p) CLF_LOAD(p)
#define OUT_STORE(v, p) CLF_STORE(v, p)
#endif

/* Row `row` of head g of the matrix's pair number `pair`, in its view. */
CLF_INLINE long view_at(clf_packed m, int pair, int g, int row)
{
    const int at = m.pair0 + pair;
    return m.view.off + (at / m.hk) * m.view.sb + (long)(m.row0 + row) * m.view.ss +
           (long)((at % m.hk) * m.group + g) * m.view.sh;
}

/* First element of the row of a view that this work-group handles. */
CLF_INLINE long view_row(clf_packed m)
{
    return view_at(m, get_group_id(2), get_group_id(1), get_group_id(0));
}

CLF_INLINE long packed_row(void)
{
    return ((long)get_group_id(2) * get_num_groups(1) + get_group_id(1)) * get_num_groups(0) +
           get_group_id(0);
}

/* As it is. Also sets any[pair] to 0, where it is kept: clf_pack_finite follows. */
__kernel __attribute__((reqd_work_group_size(T_WG, 1, 1))) void
clf_pack(__global const clf_t *view, __global float *packed, __global int *flags,
         const clf_packed m)
{
    __global const clf_t *from = view + view_row(m);
    __global float *to = packed + m.packed_off + packed_row() * m.width;
    for (int c = get_local_id(0); c < m.width; c += T_WG)
        to[c] = CLF_LOAD(from + c);
    if (m.any_off >= 0 && get_local_id(0) == 0 && get_group_id(0) == 0)
        flags[m.any_off + get_group_id(2)] = 0;
}

/* Non-finite elements as 0, and the flags that tell of them. */
__kernel __attribute__((reqd_work_group_size(T_WG, 1, 1))) void
clf_pack_finite(__global const clf_t *view, __global float *packed, __global int *flags,
                const clf_packed m)
{
    __local int found;
    if (get_local_id(0) == 0)
        found = 0;
    barrier(CLK_LOCAL_MEM_FENCE);
    __global const clf_t *from = view + view_row(m);
    __global float *to = packed + m.packed_off + packed_row() * m.width;
    int bad = 0;
    for (int c = get_local_id(0); c < m.width; c += T_WG) {
        const float x = CLF_LOAD(from + c);
        const int finite = isfinite(x);
        to[c] = finite ? x : 0.0f;
        bad |= !finite;
    }
    if (bad)
        found = 1;
    barrier(CLK_LOCAL_MEM_FENCE);
    if (get_local_id(0) == 0) {
        flags[m.bad_off + packed_row()] = found;
        if (found)
            flags[m.any_off + get_group_id(2)] = 1; /* all that write here write 1 */
    }
}

/* Column c of what the work-group's row lacks. */
CLF_INLINE float left_out(__global const float *work, __global const clf_t *x,
                          __global const int *flags, clf_repair r, int c)
{
    const int pair = get_group_id(2);
    const long row = (long)get_group_id(1) * get_num_groups(0) + get_group_id(0);
    const long at = pair * r.pair_stride + row * r.row_stride;
    __global const int *bad = flags + r.x.bad_off + (long)pair * r.count;
    float sum = 0.0f;
    for (int n = 0; n < r.count; n++) {
        if (bad[n] && work[r.sees_off + at + n * r.step] > 0.0f) {
            const float y = CLF_LOAD(x + view_at(r.x, pair, n / r.per_head, n % r.per_head) + c);
            sum += isfinite(y) ? 0.0f : work[r.w_off + at + n * r.step] * y;
        }
    }
    return sum;
}

/* packed += what the product left out. */
__kernel __attribute__((reqd_work_group_size(T_WG, 1, 1))) void
clf_repair_product(__global float *work, __global const clf_t *x, __global const int *flags,
                   const clf_packed m, const clf_repair r)
{
    if (!flags[r.x.any_off + get_group_id(2)])
        return;
    __global float *to = work + m.packed_off + packed_row() * m.width;
    for (int c = get_local_id(0); c < m.width; c += T_WG)
        to[c] += left_out(work, x, flags, r, c);
}

/* out = beta out + scale (packed + what the product left out); scale per row, none where
 * scale_off < 0; r.x.any_off < 0 where nothing was left out. */
__kernel __attribute__((reqd_work_group_size(T_WG, 1, 1))) void
clf_unpack(__global const float *work, __global const clf_t *x, __global const int *flags,
           __global out_t *out, const clf_packed m, const clf_repair r, const long scale_off)
{
    const float scale = scale_off < 0 ? 1.0f : work[scale_off + packed_row()];
    const int repair = r.x.any_off >= 0 && flags[r.x.any_off + get_group_id(2)];
    __global const float *from = work + m.packed_off + packed_row() * m.width;
    __global out_t *to = out + view_row(m);
    for (int c = get_local_id(0); c < m.width; c += T_WG) {
        float v = from[c];
        if (repair)
            v += left_out(work, x, flags, r, c);
        v *= scale;
        OUT_STORE(m.beta == 0.0f ? v : mad(m.beta, OUT_LOAD(to + c), v), to + c);
    }
}

/* Sk = 0: o = 0 and lse = the sink or -inf. */
__kernel void clf_attn_empty(__global clf_t *o, __global float *lse, __global const float *sink,
                             const clf_attn_args a, const int width, const int has_sink)
{
    const int i = get_global_id(0), h = get_global_id(1), b = get_global_id(2);
    __global clf_t *to = o + a.o_off + b * a.o_sb + i * a.o_ss + h * a.o_sh;
    for (int c = 0; c < width; c++)
        CLF_STORE(0.0f, to + c);
    if (a.want_lse)
        lse[a.lse_off + ((long)b * a.hq + h) * a.sq + i] =
            has_sink ? sink[a.sink_off + h] : -INFINITY;
}
