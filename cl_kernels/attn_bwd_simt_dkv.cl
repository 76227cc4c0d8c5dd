/* attn_bwd_simt_dkv.cl -- attention backward for any GPU, dK and dV: OpenCL C 1.2 core. A
 * work-group owns T_BN keys of one key head and walks over the group's query heads and their
 * blocks of queries: simt_bwd.clh.
 *
 * T_KX T_KY    work-items over queries and over keys; they divide T_BM and T_BN  (tuned)
 * Others       simt_bwd.clh
 * Grid         global (T_KX * T_KY * key blocks * Hk * B), local (T_KX * T_KY).
 * Math         docs/math.md#backward; the same as lib/ref. */
#if !defined(T_KX) || !defined(T_KY)
#error "attn_bwd_simt_dkv.cl: the host must pass T_KX and T_KY"
#endif
#define SIMT_KEYS 1
#define SIMT_WX T_KX
#define SIMT_WY T_KY
#include "simt_bwd.clh"

__kernel __attribute__((reqd_work_group_size(SIMT_WG, 1, 1))) void clf_attn_bwd_dkv(CLF_BWD_PARAMS)
{
    const clf_attn_args a = x.f;
    SIMT_START(w);
    const int nkb = (a.sk + T_BN - 1) / T_BN;
    const long group = get_group_id(0);
    const int bh = (int)(group / nkb);
    w.own = (int)(group - (long)bh * nkb);
    w.b = bh / a.hk;
    const int hk = bh - w.b * a.hk;
    w.len = CLF_KV_LEN(w.b);
    w.k0 = w.own * T_BN;
    w.stride_d = a.q_ss;
    w.stride_v = x.do_ss;
    const int n = a.sk - w.k0;
    simt_load_rows(own_d, SIMT_OWN_D, k + a.k_off + w.b * a.k_sb + hk * a.k_sh + w.k0 * a.k_ss,
                   a.k_ss, n, SIMT_SCALE(a), w.tid, SIMT_D4, P_D);
    simt_load_rows(own_v, SIMT_OWN_V, v + a.v_off + w.b * a.v_sb + hk * a.v_sh + w.k0 * a.v_ss,
                   a.v_ss, n, 1.0f, w.tid, SIMT_DV4, P_DV);
    simt_load_kv(w, a, CLF_MASK_ARGS 0);

    float4 sum_d[SIMT_TM * SIMT_SHARE_D], sum_v[SIMT_TM * SIMT_SHARE_V];
    CLF_UNROLL for (int i = 0; i < SIMT_TM * SIMT_SHARE_D; i++) sum_d[i] = (float4)(0.0f);
    CLF_UNROLL for (int i = 0; i < SIMT_TM * SIMT_SHARE_V; i++) sum_v[i] = (float4)(0.0f);
#if P_BLOCKS
    const int first = clf_kv_block(a, blocks, w.b, w.own)[CLF_BLOCK_LO];
    w.end = clf_kv_block(a, blocks, w.b, w.own)[CLF_BLOCK_HI];
#else
    const int2 range = clf_q_range(a, w.k0, min(w.k0 + T_BN, a.sk), w.len);
    const int first = range.x / T_BM;
    w.end = (range.y + T_BM - 1) / T_BM;
#endif
    if (!x.want_dk && !x.want_dv) /* not a return: PoCL 3.1's compiler fails on one before a barrier */
        w.end = 0;
    int turn = 0;
    barrier(CLK_LOCAL_MEM_FENCE); /* the flags are down */
    for (w.h = hk * a.group; w.h < (hk + 1) * a.group; w.h++) {
#if P_ALIBI
        w.slope = alibi[a.alibi_off + w.h];
#endif
        w.from_d = q + a.q_off + w.b * a.q_sb + w.h * a.q_sh;
        w.from_v = dout + x.do_off + w.b * x.do_sb + w.h * x.do_sh;
        w.by_four = simt_by_four(w.from_d, a.q_ss, P_D) && simt_by_four(w.from_v, x.do_ss, P_DV);
        simt_passes(w, x, work, first, sum_d, sum_v, &turn, CLF_MASK_ARGS 0);
    }
    if (x.want_dk)
        simt_write(dk + x.dk_off + w.b * x.dk_sb + hk * x.dk_sh + w.k0 * x.dk_ss, x.dk_ss, n,
                   sum_d, SIMT_SHARE_D, a.scale, x.beta_dk, w, P_D);
    if (x.want_dv)
        simt_write(dv + x.dv_off + w.b * x.dv_sb + hk * x.dv_sh + w.k0 * x.dv_ss, x.dv_ss, n,
                   sum_v, SIMT_SHARE_V, 1.0f, x.beta_dv, w, P_DV);
}
