/* convert_args.h -- the arguments of convert.cl: a packed matrix of the workspace and the
 * strided view it comes from or goes to. Offsets and strides in elements of their own array. */
#ifndef CLF_CONVERT_ARGS_H
#define CLF_CONVERT_ARGS_H
#include "attn_args.h"

typedef struct clf_view {
    clf_i64 off, sb, ss, sh; /* offset; batch, sequence, head stride */
} clf_view;

/* [pair][head in group][row][column]; pair = batch * Hk + KV head. */
typedef struct clf_packed {
    clf_view view;
    clf_i64 packed_off;
    clf_i64 bad_off; /* per row: whether it has a non-finite element */
    clf_i64 any_off; /* per pair: whether some row has; < 0: not kept */
    clf_i32 hk, group;
    clf_i32 pair0, row0; /* what the matrix begins with */
    clf_i32 width;
    float beta; /* view = beta view + packed */
} clf_packed;

/* What a product left out: result[r] += w[r][n] x[n] over the non-finite elements of x, where
 * sees[r][n] > 0. x: `count` rows of each pair, `per_head` of each head of the group. */
typedef struct clf_repair {
    clf_packed x;
    clf_i64 w_off, sees_off;
    clf_i64 pair_stride, row_stride, step; /* of w and sees: next pair, next r, next n */
    clf_i32 count, per_head;
} clf_repair;

#endif
