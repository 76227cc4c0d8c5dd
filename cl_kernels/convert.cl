/* convert.cl -- between strided views of any dtype and packed f32 matrices, for standard
 * attention (lib/ops/attn_standard.c).
 *
 * A packed matrix holds [pair][head in group][row][column]; pair = batch * Hk + KV head.
 * P_DTYPE  of the view                                                         (problem)
 * T_WG     work-items per row: 1 on CPUs, a power of two on GPUs                (device)
 * Grid     global (T_WG * rows, group, pairs), local (T_WG, 1, 1); clf_attn_empty: one
 *          work-item per row, global (Sq, Hq, B).
 * Math     0 * NaN is NaN: a product P V would spread what stands under a masked key. So V
 *          is packed with its non-finite elements as 0, and clf_unpack adds those that a
 *          row does see. */
#include "attn_args.h"
#include "base.clh"

#ifndef T_WG
#error "convert.cl: the host must pass T_WG"
#endif

/* First element of the row of a view that this work-group handles. */
CLF_INLINE long view_row(long off, long sb, long ss, long sh, int pair0, int row0, int hk,
                         int group)
{
    const int pair = pair0 + (int)get_group_id(2), g = get_group_id(1);
    return off + (pair / hk) * sb + (long)(row0 + (int)get_group_id(0)) * ss +
           (long)((pair % hk) * group + g) * sh;
}

CLF_INLINE long packed_row(void)
{
    return ((long)get_group_id(2) * get_num_groups(1) + get_group_id(1)) * get_num_groups(0) +
           get_group_id(0);
}

/* q or k. Also sets any[pair] to 0 where `any` is given: the pass over v follows. */
__kernel __attribute__((reqd_work_group_size(T_WG, 1, 1))) void
clf_pack(__global const clf_t *view, __global float *packed, const long off, const long sb,
         const long ss, const long sh, const long packed_off, const int width, const int pair0,
         const int row0, const int hk, const int group, __global int *any, const long any_off)
{
    __global const clf_t *from = view + view_row(off, sb, ss, sh, pair0, row0, hk, group);
    __global float *to = packed + packed_off + packed_row() * width;
    for (int c = get_local_id(0); c < width; c += T_WG)
        to[c] = CLF_LOAD(from + c);
    if (any_off >= 0 && get_local_id(0) == 0 && get_group_id(0) == 0)
        any[any_off + get_group_id(2)] = 0;
}

/* v: bad[row] says whether the row has a non-finite element, any[pair] whether some row of
 * the pair has. */
__kernel __attribute__((reqd_work_group_size(T_WG, 1, 1))) void
clf_pack_values(__global const clf_t *view, __global float *packed, const long off, const long sb,
                const long ss, const long sh, const long packed_off, const int width,
                const int pair0, const int hk, __global int *flags, const long bad_off,
                const long any_off)
{
    __local int found;
    if (get_local_id(0) == 0)
        found = 0;
    barrier(CLK_LOCAL_MEM_FENCE);
    __global const clf_t *from = view + view_row(off, sb, ss, sh, pair0, 0, hk, 1);
    __global float *to = packed + packed_off + packed_row() * width;
    int bad = 0;
    for (int c = get_local_id(0); c < width; c += T_WG) {
        const float x = CLF_LOAD(from + c);
        const int finite = isfinite(x);
        to[c] = finite ? x : 0.0f;
        bad |= !finite;
    }
    if (bad)
        found = 1;
    barrier(CLK_LOCAL_MEM_FENCE);
    if (get_local_id(0) == 0) {
        flags[bad_off + packed_row()] = found;
        if (found)
            flags[any_off + get_group_id(2)] = 1; /* all that write here write 1 */
    }
}

/* o = scale * packed, plus the visible non-finite elements of v. weights: the rows that
 * multiplied v, positive exactly where the key is visible. */
__kernel __attribute__((reqd_work_group_size(T_WG, 1, 1))) void
clf_unpack(__global const float *work, __global const clf_t *v, __global clf_t *o,
           const clf_attn_args a, const long packed_off, const long scale_off, const long s_off,
           const long ld, __global const int *flags, const long bad_off, const long any_off,
           const int width, const int pair0, const int row0)
{
    const long row = packed_row();
    const int pair = pair0 + (int)get_group_id(2);
    const float scale = work[scale_off + row];
    const int repair = flags[any_off + get_group_id(2)];
    __global const float *from = work + packed_off + row * width;
    __global const float *weights = work + s_off + row * ld;
    __global const int *bad = flags + bad_off + (long)get_group_id(2) * a.sk;
    __global const clf_t *values = v + a.v_off + (pair / a.hk) * a.v_sb + (pair % a.hk) * a.v_sh;
    __global clf_t *to =
        o + view_row(a.o_off, a.o_sb, a.o_ss, a.o_sh, pair0, row0, a.hk, a.group);
    for (int c = get_local_id(0); c < width; c += T_WG) {
        float x = from[c];
        for (int j = 0; repair && j < a.sk; j++) {
            if (bad[j] && weights[j] > 0.0f) {
                const float y = CLF_LOAD(values + (long)j * a.v_ss + c);
                x += isfinite(y) ? 0.0f : weights[j] * y;
            }
        }
        CLF_STORE(x * scale, to + c);
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
