/* convert.cl -- standard attention's packing: any strided view of any dtype to contiguous
 * f32 and back.
 *
 * P_DTYPE  of the view
 * T_WG     work-items per row: 1 on CPU drivers
 * Grid     global (T_WG, rows, B * heads), local (T_WG, 1, 1): one row of `width` each. */
#include "base.clh"

#ifndef T_WG
#error "convert.cl: the host must pass T_WG"
#endif

/* to[b, h, s, :] = f32 of the view's row. Non-finite elements raise *flag and, when scrub
 * is set, become 0: 0 * NaN in a matrix product would reach rows that cannot see them
 * (attn_softmax.cl repairs those that can). */
__kernel __attribute__((reqd_work_group_size(T_WG, 1, 1))) void
clf_pack(__global const clf_t *from, __global float *to, __global int *flag, long to_off,
         long flag_off, long off, long sb, long ss, long sh, int heads, int width, int scrub)
{
    const int s = get_group_id(1), bh = get_group_id(2), b = bh / heads, h = bh % heads;
    from += off + b * sb + s * ss + h * sh;
    to += to_off + ((long)bh * get_num_groups(1) + s) * width;
    for (int c = get_local_id(0); c < width; c += T_WG) {
        float x = CLF_LOAD(from + c);
        if (scrub && !isfinite(x)) {
            flag[flag_off] = 1; /* every writer writes the same */
            x = 0.0f;
        }
        to[c] = x;
    }
}

/* The view's row = the f32 row, for the rows and heads of one chunk: packed row r of head
 * index n (over B * Hk) is query r % sq of query head (n % hk) * group + r / sq. */
__kernel __attribute__((reqd_work_group_size(T_WG, 1, 1))) void
clf_unpack(__global const float *from, __global clf_t *to, long from_off, long off, long sb,
           long ss, long sh, int hk, int group, int sq, int head0, int row0, int width)
{
    const int r = row0 + get_group_id(1), n = head0 + get_group_id(2);
    const int b = n / hk, h = (n % hk) * group + r / sq;
    from += from_off + ((long)get_group_id(2) * get_num_groups(1) + get_group_id(1)) * width;
    to += off + b * sb + (long)(r % sq) * ss + h * sh;
    for (int c = get_local_id(0); c < width; c += T_WG)
        CLF_STORE(from[c], to + c);
}
