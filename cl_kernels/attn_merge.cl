/* attn_merge.cl -- o and lse of the records that parts of the keys left (attn_args.h,
 * CLF_SPLIT_FLOATS): with M the largest of their maxima, each weighs 4^(m - M).
 *
 * P_DTYPE P_DV  of o                                                           (problem)
 * T_WG          work-items per row: 1 on CPUs                                   (device)
 * Grid          global (T_WG * Sq, Hq, B), local (T_WG, 1, 1).
 * Math          docs/math.md#keys-in-parts. */
#include "attn_args.h"
#include "base.clh"

#if !defined(T_WG) || !defined(P_DV)
#error "attn_merge.cl: the host must pass T_WG and P_DV"
#endif

#define MERGE_COLUMNS 16 /* of o at a time, in registers: one weight serves them all */

/* What the part whose record this is weighs; m_max is the guarded maximum. */
CLF_INLINE float part_weight(__global const float *record, float m_max)
{
    return exp2(2.0f * (record[P_DV + 1] - m_max));
}

__kernel __attribute__((reqd_work_group_size(T_WG, 1, 1))) void
clf_attn_merge(__global const float *records, const long records_off, __global clf_t *o,
               __global float *lse, const clf_attn_args a)
{
    const int i = get_group_id(0), h = get_group_id(1), b = get_group_id(2);
    const long row = ((long)b * a.hq + h) * a.sq + i;
    const long step = (long)a.b * a.hq * a.sq * CLF_SPLIT_FLOATS(P_DV);
    records += records_off + row * CLF_SPLIT_FLOATS(P_DV);
    o += a.o_off + b * a.o_sb + i * a.o_ss + h * a.o_sh;
    float m = -INFINITY, l = 0.0f;
    for (int p = 0; p < a.splits; p++) {
        const float x = records[p * step + P_DV + 1];
        m = x > m ? x : m;
    }
    const float m_max = m == -INFINITY ? 0.0f : m;
    for (int p = 0; p < a.splits; p++)
        l += records[p * step + P_DV] * part_weight(records + p * step, m_max);
    const float inv = l == 0.0f ? 0.0f : 1.0f / l;
    for (int d = get_local_id(0) * MERGE_COLUMNS; d < P_DV; d += T_WG * MERGE_COLUMNS) {
        const int n = min(MERGE_COLUMNS, P_DV - d);
        float sum[MERGE_COLUMNS] = {0.0f};
        for (int p = 0; p < a.splits; p++) {
            __global const float *from = records + p * step + d;
            const float w = part_weight(records + p * step, m_max);
            for (int c = 0; c < n; c++)
                sum[c] = fma(w, from[c], sum[c]);
        }
        for (int c = 0; c < n; c++)
            CLF_STORE(sum[c] * inv, o + d + c);
    }
    if (a.want_lse && get_local_id(0) == 0)
        lse[a.lse_off + row] = l == 0.0f ? -INFINITY : (m + 0.5f * log2(l)) * CLF_LN4;
}
