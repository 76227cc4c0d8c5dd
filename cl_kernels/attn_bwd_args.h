/* attn_bwd_args.h -- the arguments that every backward kernel shares: the forward's and the
 * gradients'. Strides and offsets in elements of their own array. */
#ifndef CLF_ATTN_BWD_ARGS_H
#define CLF_ATTN_BWD_ARGS_H
#include "attn_args.h"

typedef struct clf_attn_bwd_args {
    clf_attn_args f; /* o_ is O, lse_off the forward's LSE */
    clf_i64 do_off, do_sb, do_ss, do_sh;
    clf_i64 dq_off, dq_sb, dq_ss, dq_sh;
    clf_i64 dk_off, dk_sb, dk_ss, dk_sh;
    clf_i64 dv_off, dv_sb, dv_ss, dv_sh;
    clf_i64 dbias_off, dbias_sb, dbias_sh, dbias_ss; /* 0 = summed over that axis */
    clf_i64 dsink_off;
    clf_i64 rows_off;    /* in floats of the workspace: f32 [2][B,Hq,Sq], see attn_bwd.clh */
    clf_i64 scratch_off; /* in floats: the engine's own part */
    float beta_dq, beta_dk, beta_dv, beta_dsink, beta_dbias;
    clf_i32 want_dq, want_dk, want_dv; /* 0: the buffer is NULL and must not be touched */
    clf_i32 dbias_f32;                 /* 1 = f32 elements, 0 = the problem's dtype */
    clf_i32 dbias_b, dbias_h, dbias_q; /* extents: 1, or the problem's */
} clf_attn_bwd_args;

#endif
