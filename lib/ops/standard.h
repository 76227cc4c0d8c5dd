/* standard.h -- what standard attention's two directions share: chunks, packed matrices,
 * products. (L4)
 *
 * All heads of a group share a KV head, so their queries are rows of one matrix: one GEMM
 * per pair of batch and KV head, batched over the pairs of a chunk. CLBlast has no wait
 * lists: on an out-of-order queue a barrier stands between all steps. */
#ifndef CLFI_STANDARD_H
#define CLFI_STANDARD_H

#include "cl_kernels/convert_args.h"
#include "lib/ops/plan.h"

/* Floats of a chunk, not rounded; double because the problem may be any size. */
typedef double (*clfi_chunk_floats)(const clfi_attn *p, int64_t ld, int64_t pairs, int64_t rows);

/* The largest chunk within max_bytes (0 = what the device suggests) into pairs, rows and ld. */
clflash_status clfi_standard_choose(clfi_standard *s, const clfi_attn *p, const clfi_profile *dev,
                                    int64_t max_bytes, clfi_chunk_floats floats, clfi_err *err);
/* Offset of a part of `floats`; *end moves on, rounded up. */
int64_t clfi_standard_place(int64_t *end, int64_t floats);
/* pack, pack_finite and unpack; out_f32: what is unpacked is f32 whatever the dtype. */
clflash_status clfi_standard_converters(clfi_standard *s, clflash_context *ctx, const clfi_attn *p,
                                        bool out_f32, clfi_err *err);
/* s->softmax, with CLF_LANES and T_WG for the device. */
clflash_status clfi_standard_softmax(clfi_standard *s, clflash_context *ctx, const clfi_attn *p,
                                     const char *source, const char *kernel, clfi_err *err);

typedef struct clfi_chunk {
    const clfi_standard *s;
    clflash_context *ctx;
    const clfi_attn *p;
    const clfi_attn_call *call;
    int64_t base; /* of s's offsets, in floats of the workspace */
    int32_t pair0, pairs, row0, rows;
    clfi_err *err;
} clfi_chunk;

#define CLFI_VIEW(a, t) ((clf_view){(a)->t##_off, (a)->t##_sb, (a)->t##_ss, (a)->t##_sh})
#define CLFI_NO_FLAGS (-1)

/* The chunk's rows of a query-side or key-side tensor, packed at s's offset `at`; bad and any
 * are offsets of s too, or CLFI_NO_FLAGS. */
clf_packed clfi_chunk_queries(const clfi_chunk *c, clf_view view, int32_t width, int64_t at,
                              int64_t bad, int64_t any);
clf_packed clfi_chunk_keys(const clfi_chunk *c, clf_view view, int32_t width, int64_t at,
                           int64_t bad, int64_t any);

/* global (group_size * rows, group, pairs); everything before it ends before it starts. */
clflash_status clfi_chunk_launch(const clfi_chunk *c, clfi_kernel *kernel, const clfi_arg *args,
                                 int32_t n, size_t group_size, int32_t rows, int32_t group,
                                 cl_event *event);
/* kernel: s->pack or s->pack_finite; rows: of each head. */
clflash_status clfi_chunk_pack(const clfi_chunk *c, clfi_kernel *kernel, cl_mem from,
                               const clf_packed *m, int32_t rows);
/* s->softmax: work, lead[n_lead], mask, args, tail[n_tail]. */
clflash_status clfi_chunk_softmax(const clfi_chunk *c, const clfi_arg *lead, int32_t n_lead,
                                  clfi_arg args, const clfi_arg *tail, int32_t n_tail);

/* One of the chunk's matrices, row-major, one per pair; at: an offset of s. */
typedef struct clfi_matrix {
    int64_t at, ld, stride;
    bool transposed;
} clfi_matrix;

/* out [m,n] = op(a) [m,k] op(b) [k,n] + beta out, for each pair. */
clflash_status clfi_chunk_product(const clfi_chunk *c, int64_t m, int64_t n, int64_t k,
                                  clfi_matrix a, clfi_matrix b, float beta, clfi_matrix out);

static inline int32_t clfi_least(int64_t a, int64_t b) { return (int32_t)(a < b ? a : b); }

#endif
