/* attn_bwd_simt_dq.cl -- attention backward for any GPU, dQ: OpenCL C 1.2 core. A work-group
 * owns T_BM queries of one head and walks over blocks of keys: simt_bwd.clh.
 *
 * T_QX T_QY    work-items over keys and over queries; they divide T_BN and T_BM  (tuned)
 * Others       simt_bwd.clh
 * Grid         global (T_QX * T_QY * query blocks * Hq * B), local (T_QX * T_QY).
 * Math         docs/math.md#backward; the same as lib/ref. */
#if !defined(T_QX) || !defined(T_QY)
#error "attn_bwd_simt_dq.cl: the host must pass T_QX and T_QY"
#endif
#define SIMT_KEYS 0
#define SIMT_WX T_QX
#define SIMT_WY T_QY
#include "simt_bwd.clh"

__kernel __attribute__((reqd_work_group_size(SIMT_WG, 1, 1))) void clf_attn_bwd_dq(CLF_BWD_PARAMS)
{
    const clf_attn_args a = x.f;
    SIMT_START(w);
    const int nqb = (a.sq + T_BM - 1) / T_BM;
    const long group = get_group_id(0);
    const int bh = (int)(group / nqb);
    w.own = (int)(group - (long)bh * nqb);
    w.b = bh / a.hq;
    w.h = bh - w.b * a.hq;
#if P_BAND
    if (a.band_hi < INT_MAX && a.band_lo == INT_MIN) /* causal: the longest first */
        w.own = nqb - 1 - w.own;
#endif
    w.len = CLF_KV_LEN(w.b);
    w.q0 = w.own * T_BM;
#if P_ALIBI
    w.slope = alibi[a.alibi_off + w.h];
#endif
    const int hk = w.h / a.group, n = a.sq - w.q0;
    w.from_d = k + a.k_off + w.b * a.k_sb + hk * a.k_sh;
    w.from_v = v + a.v_off + w.b * a.v_sb + hk * a.v_sh;
    w.stride_d = a.k_ss;
    w.stride_v = a.v_ss;
    w.by_four = simt_by_four(w.from_d, a.k_ss, P_D) && simt_by_four(w.from_v, a.v_ss, P_DV);
    simt_load_rows(own_d, SIMT_OWN_D, q + a.q_off + w.b * a.q_sb + w.h * a.q_sh + w.q0 * a.q_ss,
                   a.q_ss, n, SIMT_SCALE(a), w.tid, SIMT_D4, P_D);
    simt_load_rows(own_v, SIMT_OWN_V,
                   dout + x.do_off + w.b * x.do_sb + w.h * x.do_sh + w.q0 * x.do_ss, x.do_ss, n,
                   1.0f, w.tid, SIMT_DV4, P_DV);
    simt_load_q(w, x, work, CLF_MASK_ARGS 0);

    float4 sum[SIMT_TM * SIMT_SHARE_D];
    CLF_UNROLL for (int i = 0; i < SIMT_TM * SIMT_SHARE_D; i++) sum[i] = (float4)(0.0f);
#if P_BLOCKS
    const int first = clf_q_block(a, blocks, w.b, w.own)[CLF_BLOCK_LO];
    w.end = clf_q_block(a, blocks, w.b, w.own)[CLF_BLOCK_HI];
#else
    const int2 range = clf_kv_range(a, w.q0, min(w.q0 + T_BM, a.sq), w.len);
    const int first = range.x / T_BN;
    w.end = (range.y + T_BN - 1) / T_BN;
#endif
    if (!x.want_dq) /* not a return: PoCL 3.1's compiler fails on one before a barrier */
        w.end = 0;
    int turn = 0;
    barrier(CLK_LOCAL_MEM_FENCE); /* the flags are down */
    simt_passes(w, x, work, first, sum, sum, &turn, CLF_MASK_ARGS 0);
    if (x.want_dq)
        simt_write(dq + x.dq_off + w.b * x.dq_sb + w.h * x.dq_sh + w.q0 * x.dq_ss, x.dq_ss, n,
                   sum, SIMT_SHARE_D, a.scale, x.beta_dq, w, P_D);
}
