/* attn_blocks.cl -- the block mask: records of CLF_BLOCK_INTS ints (attn_args.h) per query
 * block, then per key block. Two kernels, so that the second sees all of the first's work.
 *
 * T_WG   work-items per record: 1 on CPU drivers, a power of two
 * Grid   both: global (T_WG, nqb + nkb, B), local (T_WG, 1, 1).
 * Math   docs/math.md#block-masks. */
#define CLF_LANES 1
#include "mask.clh"

#if !defined(T_WG) || (T_WG & (T_WG - 1))
#error "attn_blocks.cl: the host must pass T_WG, a power of two"
#endif

/* Work-group reductions of one int; s has T_WG ints and is reusable afterwards. */
#define BLOCKS_REDUCE(name, expression)                                                            \
    CLF_INLINE int name(int x, __local int *s)                                                     \
    {                                                                                              \
        const int l = get_local_id(0);                                                             \
        s[l] = x;                                                                                  \
        barrier(CLK_LOCAL_MEM_FENCE);                                                              \
        for (int n = T_WG / 2; n > 0; n /= 2) {                                                    \
            if (l < n) {                                                                           \
                const int p = s[l], q = s[l + n];                                                  \
                s[l] = (expression);                                                               \
            }                                                                                      \
            barrier(CLK_LOCAL_MEM_FENCE);                                                          \
        }                                                                                          \
        x = s[0];                                                                                  \
        barrier(CLK_LOCAL_MEM_FENCE);                                                              \
        return x;                                                                                  \
    }
BLOCKS_REDUCE(reduce_min, min(p, q))
BLOCKS_REDUCE(reduce_max, max(p, q))
BLOCKS_REDUCE(reduce_sum, p + q)

/* Segments, positions and live tokens of each block. */
__kernel __attribute__((reqd_work_group_size(T_WG, 1, 1))) void
clf_blocks_summary(__global int *records, int block_q, int block_kv,
                   CLF_MASK_PARAMS const clf_attn_args a)
{
    __local int s[T_WG];
    const int l = get_local_id(0), b = get_group_id(2), index = get_group_id(1);
    const int is_query = index < a.nqb, block = is_query ? index : index - a.nqb;
    const int step = is_query ? block_q : block_kv, first = block * step;
    const int last = min(first + step, is_query ? a.sq : CLF_KV_LEN(b));
    int seg0 = INT_MAX, seg1 = INT_MIN, pos0 = INT_MAX, pos1 = INT_MIN, live = 0;
    for (int t = first + l; t < last; t += T_WG) {
        const int seg = is_query ? CLF_Q_SEG(b, t) : CLF_KV_SEG(b, t);
        const int pos = is_query ? CLF_Q_POS(b, t) : CLF_KV_POS(b, t);
        if (P_SEG && seg == CLF_PADDING_SEGMENT)
            continue;
        seg0 = min(seg0, seg);
        seg1 = max(seg1, seg);
        pos0 = min(pos0, pos);
        pos1 = max(pos1, pos);
        live++;
    }
    seg0 = reduce_min(seg0, s);
    seg1 = reduce_max(seg1, s);
    pos0 = reduce_min(pos0, s);
    pos1 = reduce_max(pos1, s);
    live = reduce_sum(live, s);
    if (l == 0) {
        __global int *r =
            records + a.blocks_off +
            (is_query ? (long)b * a.nqb + block : (long)a.b * a.nqb + (long)b * a.nkb + block) *
                CLF_BLOCK_INTS;
        r[CLF_BLOCK_SEG_MIN] = seg0;
        r[CLF_BLOCK_SEG_MAX] = seg1;
        r[CLF_BLOCK_POS_MIN] = pos0;
        r[CLF_BLOCK_POS_MAX] = pos1;
        r[CLF_BLOCK_LIVE] = live;
    }
}

/* For each block, the interval of blocks of the other side that are not empty, and how
 * many of them are visited and mixed. */
__kernel __attribute__((reqd_work_group_size(T_WG, 1, 1))) void
clf_blocks_range(__global int *records, int block_q, int block_kv, const clf_attn_args a)
{
    __local int s[T_WG];
    const int l = get_local_id(0), b = get_group_id(2), index = get_group_id(1);
    const int is_query = index < a.nqb, block = is_query ? index : index - a.nqb;
    const int n = is_query ? a.nkb : a.nqb;
    __global const int *q_all = clf_q_block(a, records, b, 0);
    __global const int *kv_all = clf_kv_block(a, records, b, 0);
    int lo = n, hi = 0, visited = 0, masked = 0;
    for (int other = l; other < n; other += T_WG) {
        const int qb = is_query ? block : other, kb = is_query ? other : block;
        const int kind = clf_block_kind(a, q_all + qb * CLF_BLOCK_INTS,
                                        kv_all + kb * CLF_BLOCK_INTS,
                                        min(block_q, a.sq - qb * block_q),
                                        min(block_kv, a.sk - kb * block_kv));
        if (kind == CLF_EMPTY_BLOCK)
            continue;
        lo = min(lo, other);
        hi = max(hi, other + 1);
        visited++;
        masked += kind == CLF_MIXED_BLOCK;
    }
    lo = reduce_min(lo, s);
    hi = reduce_max(hi, s);
    visited = reduce_sum(visited, s);
    masked = reduce_sum(masked, s);
    if (l == 0) {
        __global int *r =
            records + ((is_query ? q_all : kv_all) - (__global const int *)records) +
            block * CLF_BLOCK_INTS;
        r[CLF_BLOCK_LO] = min(lo, hi);
        r[CLF_BLOCK_HI] = hi;
        r[CLF_BLOCK_VISITED] = visited;
        r[CLF_BLOCK_MASKED] = masked;
    }
}
