/* attn_bwd_softmax.cl -- standard attention's backward between its matrix products, in place:
 * s and dp become p and the gradient of q.k.
 *
 * In: s = q.k, dp = dO.V, the row values of attn_bwd.clh. Out: s = p, 0 exactly where the key
 * is not visible and positive where it is; dp = scale ds slope, 0 where it is not.
 *
 * CLF_LANES  keys at a time: 8 or 16 on CPUs, 1 on GPUs                          (device)
 * T_WG       work-items per row: 1 on CPUs, a power of two on GPUs
 * Needs      rows of s and dp padded to CLF_LANES.
 * Grid       global (T_WG * rows, group, pairs), local (T_WG, 1, 1).
 * Math       docs/math.md#backward; checked against lib/ref/ref_attn_bwd.c. */
#include "scores.clh"

#include "attn_bwd.clh"

#ifndef T_WG
#error "attn_bwd_softmax.cl: the host must pass T_WG"
#endif

__kernel __attribute__((reqd_work_group_size(T_WG, 1, 1))) void
clf_attn_bwd_softmax(__global float *work, CLF_MASK_PARAMS const clf_attn_bwd_args x,
                     const long s_off, const long dp_off, const long ld, const int pair0,
                     const int row0)
{
    const clf_attn_args a = x.f;
    const int pair = pair0 + (int)get_group_id(2), i = row0 + (int)get_group_id(0);
    const int b = pair / a.hk, h = (pair % a.hk) * a.group + (int)get_group_id(1);
    const long row =
        ((long)get_group_id(2) * get_num_groups(1) + get_group_id(1)) * get_num_groups(0) +
        get_group_id(0);
    __global float *s = work + s_off + row * ld, *dp = work + dp_off + row * ld;
    const clf_score_row r = clf_get_score_row(CLF_MASK_ARGS a, b, h, i);
    const float lse4 = CLF_BWD_LSE4(CLF_BWD_ROW(b, h, i));
    const float delta = CLF_BWD_DELTA(CLF_BWD_ROW(b, h, i));
    const int want_ds = x.want_dq || x.want_dk; /* else there is no dp */

    for (int j = (int)get_local_id(0) * CLF_LANES; j < a.sk; j += T_WG * CLF_LANES) {
        clf_vi sees;
        const clf_vf t = a.scale * V_LOAD(s + j);
        const clf_vf y = clf_masked_score(CLF_MASK_ARGS a, r, j, t, &sees) - lse4;
        const clf_vf p = exp2(2.0f * y);
        /* A visible weight may underflow, yet a NaN or Inf that it meets counts. */
        clf_vf kept = fmax(p, (clf_vf)(0x1p-126f));
        kept = V_SELECT(kept, p, isnan(p));
        V_STORE(V_SELECT((clf_vf)(0.0f), kept, sees), s + j);
        if (want_ds) {
            clf_vf ds = p * (V_LOAD(dp + j) - delta) * a.scale;
#if P_SOFTCAP
            ds *= clf_softcap_slope(a, t);
#endif
            V_STORE(V_SELECT((clf_vf)(0.0f), ds, sees), dp + j);
        }
    }
}
