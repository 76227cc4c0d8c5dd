/* plan.h -- the struct behind clflash_plan and clflash_block_mask. (L4, private) */
#ifndef CLFI_PLAN_H
#define CLFI_PLAN_H

#include "cl_kernels/attn_args.h"
#include "cl_kernels/attn_bwd_args.h"
#include "host/kernel.h"
#include "host/memory.h"
#include "lib/ops/attn_run.h"

#include <pthread.h>

/* The two kernels that fill block records (block_mask.c). */
typedef struct clfi_block_builder {
    clfi_kernel *summary, *range;
    int32_t work_group; /* work-items per record */
} clfi_block_builder;

/* Standard attention's kernels and chunking (standard.c). A chunk is `pairs` pairs of
 * batch and KV head times `rows` query positions; the workspace holds one. */
typedef struct clfi_standard {
    clfi_kernel *pack, *pack_finite, *softmax, *repair, *unpack;
    size_t pack_group, softmax_group; /* work-items per row */
    int64_t pairs, rows;
    int64_t ld;                   /* of a row of scores, in floats */
    int64_t bytes;                /* backward: its part of the workspace */
    int64_t q, k, v, s, bad, any; /* offsets in the workspace, in floats */
    int64_t o, scale;             /* forward */
    int64_t dp, dout, dk, dv;     /* backward; dq takes q's place */
    int64_t bad_q, any_q, bad_dout, any_dout;
} clfi_standard;

/* Parts of the keys, and the kernel that merges their records (attn_splits.c). */
typedef struct clfi_split {
    int32_t n;          /* 1 = the engine's kernel writes o and lse itself */
    clfi_kernel *merge; /* where n > 1 */
    size_t work_group;  /* work-items per row */
    int64_t offset;     /* of the records in the workspace, in bytes */
} clfi_split;

/* What every backward engine shares (attn_bwd.c). Offsets in floats of the workspace. */
typedef struct clfi_bwd {
    clfi_kernel *none, *none_f32; /* no pair of a query and a key: gradient = beta gradient */
    clfi_kernel *rows;            /* clf_attn_bwd_rows: LSE and delta of each row */
    clfi_kernel *sink;            /* clf_attn_bwd_sink; NULL where there is no sink */
    clfi_kernel *bias;            /* clf_attn_bwd_bias; NULL where there is no bias */
    clflash_plan *forward;        /* desc.recompute: makes o and lse; else NULL */
    size_t rows_group, rows_lanes;
    int64_t rows_off, scratch_off, blocks_off, o_off, lse_off;
} clfi_bwd;

/* Immutable once made. */
struct clflash_plan {
    clflash_context *ctx;
    clfi_attn p;
    const clfi_engine *engine;
    clfi_row row;
    char origin[64];
    char problem[CLFLASH_PROBLEM_BYTES];
    clfi_kernel *kernel; /* flash engines; NULL for standard attention and for Sk = 0 */
    clfi_kernel *more[CLFI_MAX_PARTS]; /* engine->more */
    clfi_launch more_launch[CLFI_MAX_PARTS];
    clfi_bwd bwd;       /* plans of the backward */
    clfi_kernel *empty; /* Sk = 0: no key, so every engine would write the same */
    clfi_launch launch;
    int32_t block_q, block_kv; /* 0 for standard attention */
    int32_t nqb, nkb;          /* blocks per batch */
    clfi_block_builder blocks; /* where p.blocks */
    clfi_split split;
    clfi_standard standard;
    int64_t scratch_off; /* forward: the engine's own part of the workspace, in floats */
    int64_t workspace_bytes;
};

struct clflash_block_mask {
    clflash_context *ctx;
    clfi_attn p;
    int32_t block_q, block_kv, nqb, nkb;
    clfi_block_builder builder; /* the mask's own references */
    char problem[CLFLASH_PROBLEM_BYTES];
    cl_mem records;
    pthread_mutex_t lock; /* guards built */
    cl_event built;       /* of the newest build; NULL = never built */
};

/* A call after validation: everything a kernel needs, no allocation. */
#define CLFI_MAX_ARGS 24
typedef struct clfi_attn_call {
    clf_attn_args a;
    cl_mem q, k, v, o, lse;
    cl_mem q_seg, kv_seg, q_pos, kv_pos, kv_len, alibi, sink, bias, boolean;
    cl_mem blocks; /* records: the caller's mask or workspace */
    cl_mem workspace;
    int64_t workspace_offset; /* bytes */
    cl_command_queue queue;
    bool out_of_order;
} clfi_attn_call;

/* The same of the backward: f's o and lse are inputs. */
typedef struct clfi_attn_bwd_call {
    clfi_attn_call f;
    clf_attn_bwd_args x; /* x.f is a copy of f.a, made last */
    cl_mem dout, dq, dk, dv, dsink, dbias;
} clfi_attn_bwd_call;

/* attn_args.c: checks every view of args against the plan and fills call (queue and
 * workspace memory excepted). */
clflash_status clfi_attn_call_make(clfi_attn_call *call, const clflash_plan *plan,
                                   const clflash_attn_fwd_args *args, clfi_err *err);
/* The mask arrays alone, for block masks. Lists their byte ranges nowhere: inputs only. */
clflash_status clfi_attn_call_arrays(clfi_attn_call *call, const clflash_context *ctx,
                                     const clfi_attn *p, const clflash_mask_arrays *arrays,
                                     clfi_err *err);
/* The arguments between lse and the struct, in the order of CLF_MASK_PARAMS. */
int32_t clfi_attn_call_mask_args(const clfi_attn_call *call, const clfi_attn *p, clfi_arg *args);

/* An output's rows do not overlap each other: BUFFER_OVERLAP. */
clflash_status clfi_check_output_rows(const char *name, const int64_t n[3], const int64_t stride[3],
                                      int64_t row_bytes, clfi_err *err);

/* block_mask.c */
int64_t clfi_blocks_bytes(const clfi_attn *p, int32_t nqb, int32_t nkb);
clflash_status clfi_block_builder_make(clfi_block_builder *builder, clflash_context *ctx,
                                       const clfi_attn *p, clfi_err *err);
void clfi_block_builder_free(clfi_block_builder *builder);
/* Enqueues both kernels; call->blocks and a.blocks_off say where the records go. */
clflash_status clfi_blocks_enqueue(const clfi_block_builder *builder, const clfi_attn_call *call,
                                   const clfi_attn *p, int32_t block_q, int32_t block_kv,
                                   cl_uint n_wait, const cl_event *wait_list, cl_event *event,
                                   clfi_err *err);

/* attn_splits.c: make adds the records to the workspace that the plan has so far. */
clflash_status clfi_split_make(clflash_plan *plan, int32_t n, clfi_err *err);
/* The call of the engine's kernel: the records in place of lse. */
clfi_attn_call clfi_split_call(const clflash_plan *plan, const clfi_attn_call *call);
/* Enqueues the merge of what that call left. */
clflash_status clfi_split_merge(const clflash_plan *plan, const clfi_attn_call *call,
                                cl_uint n_wait, const cl_event *wait_list, cl_event *event,
                                clfi_err *err);

/* OK when the mask was made for plans like this one, else FOREIGN_PLAN. */
clflash_status clfi_block_mask_fits(const clflash_block_mask *mask, const clflash_plan *plan,
                                    clfi_err *err);
/* Visited and masked blocks over the batch, for one head; waits for the newest build. */
clflash_status clfi_block_mask_count(const clflash_block_mask *mask, int64_t *visited,
                                     int64_t *masked, clfi_err *err);

/* standard.c, attn_standard.c */
void clfi_standard_free(clfi_standard *s);
clflash_status clfi_standard_make(clflash_plan *plan, int64_t max_workspace_bytes, clfi_err *err);
clflash_status clfi_standard_enqueue(const clflash_plan *plan, const clfi_attn_call *call,
                                     cl_uint n_wait, const cl_event *wait_list, cl_event *event,
                                     clfi_err *err);

clflash_status clfi_attn_bwd_call_make(clfi_attn_bwd_call *call, const clflash_plan *plan,
                                       const clflash_attn_bwd_args *args, clfi_err *err);

/* attn_plan.c: the engine's kernels and, where the problem has blocks, their builder. */
clflash_status clfi_plan_make_flash(clflash_plan *plan, clfi_err *err);
clflash_status clfi_plan_check_workspace(const clflash_plan *plan, int64_t max_bytes,
                                         clfi_err *err);

/* attn_bwd.c */
clflash_status clfi_bwd_make(clflash_plan *plan, int64_t max_workspace_bytes, clfi_err *err);
void clfi_bwd_free(clfi_bwd *bwd);

/* attn_bwd_standard.c: the backward of standard attention, chunked as the forward. It reads the
 * rows of the workspace (call->x.rows_off), uses its own part from call->x.scratch_off on
 * (clfi_standard_bwd_scratch_bytes, known after _make) and writes dq, dk, dv with their beta. */
clflash_status clfi_standard_bwd_make(clflash_plan *plan, int64_t max_workspace_bytes,
                                      clfi_err *err);
int64_t clfi_standard_bwd_scratch_bytes(const clflash_plan *plan);
clflash_status clfi_standard_bwd_enqueue(const clflash_plan *plan, const clfi_attn_bwd_call *call,
                                         cl_uint n_wait, const cl_event *wait_list, cl_event *event,
                                         clfi_err *err);

/* attn_bwd_bias.c: the gradient of the additive mask, a kernel of its own for every engine. */
clflash_status clfi_bwd_bias_make(clflash_plan *plan, clfi_err *err);
clflash_status clfi_bwd_bias_enqueue(const clflash_plan *plan, const clfi_attn_bwd_call *call,
                                     cl_uint n_wait, const cl_event *wait_list, cl_event *event,
                                     clfi_err *err);

/* probe.c: whether the engine's result is right on this device; once per context. */
clflash_status clfi_probe(clflash_context *ctx, const clfi_engine *engine, clflash_dtype dtype,
                          clfi_err *err);
/* What is known without running anything. */
typedef enum clfi_probe_state {
    CLFI_PROBE_UNKNOWN = 0,
    CLFI_PROBE_OK,
    CLFI_PROBE_OFF
} clfi_probe_state;
clfi_probe_state clfi_probe_peek(clflash_context *ctx, const clfi_engine *engine,
                                 clflash_dtype dtype, char *reason, size_t reason_bytes);

#endif
