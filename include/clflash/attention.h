/* attention.h -- exact attention on OpenCL buffers: descriptor, plan, execute. */
#ifndef CLFLASH_ATTENTION_H
#define CLFLASH_ATTENTION_H

#include <clflash/device.h>
#include <clflash/problem.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A buffer from a byte offset on. Offsets are multiples of the element. */
typedef struct clflash_buffer {
    cl_mem buffer;
    int64_t offset_bytes;
} clflash_buffer;

/* A tensor in a buffer. Strides are batch, sequence, head; the head dimension is
 * contiguous. All zero = packed in the descriptor's layout. Multiples of the
 * element, not negative. Packed QKV, slices of a cache and broadcasts (stride 0
 * beside a non-zero one, inputs only) are all views. */
typedef struct clflash_view {
    cl_mem buffer;
    int64_t offset_bytes;
    int64_t stride_bytes[3];
} clflash_view;

/* A mask [B|1, Hq|1, Sq|1, Sk]; keys contiguous. */
typedef struct clflash_mask_view {
    cl_mem buffer;
    int64_t offset_bytes;
    clflash_dtype dtype;     /* bias: f32 or the problem's dtype; boolean: uint8 always */
    int32_t extent[3];       /* batch, heads, queries: 1 = broadcast, 0 = the problem's size */
    int64_t stride_bytes[3]; /* of the same; all zero = packed */
} clflash_mask_view;

/* How hard to plan, as in FFTW. */
typedef enum clflash_plan_rigor {
    CLFLASH_PLAN_ESTIMATE = 0, /* tuning file, shipped rows, safe row: no measurement */
    CLFLASH_PLAN_MEASURE,      /* tune this problem now if the tuning file has no row */
    CLFLASH_PLAN_CACHED        /* only a row of the tuning file; else NOT_CACHED */
} clflash_plan_rigor;

typedef struct clflash_plan_params {
    clflash_plan_rigor rigor;
    double time_limit_s;         /* of measuring; 0 = 10 */
    int64_t max_workspace_bytes; /* 0 = no limit but the device's memory */
} clflash_plan_params;

/* An immutable plan: may be executed from many threads at once with different
 * buffers, and keeps its context's device objects alive, but not the context. */
typedef struct clflash_plan clflash_plan;

/**
 * Whether some engine of this device can run the problem (flash attention where
 * choice.algo is FLASH, any where it is AUTO). Compiles nothing.
 *
 * Returns  OK; UNSUPPORTED or a status of clflash_attn_desc_check with `reason`
 *          (may be NULL): one "engine: reason" a line
 */
CLFLASH_API clflash_status clflash_attn_supported(clflash_context *ctx,
                                                  const clflash_attn_desc *desc, char *reason,
                                                  size_t reason_bytes);

/**
 * Plans softmax(scale q k^T + terms, masked) v: validates, picks engine and
 * tunables, builds or loads the program, sizes the workspace. Executing compiles
 * and allocates nothing on the host.
 *
 * Owns     *out must be destroyed before its context.
 * Errors   a status of clflash_attn_desc_check; UNSUPPORTED no engine serves it;
 *          INVALID_TUNABLE choice.block_q / block_kv do not fit; NOT_CACHED;
 *          BUILD_FAILED; OUT_OF_MEMORY; an OpenCL code. *out is NULL.
 * Source   Dao 2023 (arXiv:2307.08691), Milakov & Gimelshein 2018 (arXiv:1805.02867).
 */
CLFLASH_API clflash_status clflash_attn_fwd_plan(clflash_plan **out, clflash_context *ctx,
                                                 const clflash_attn_desc *desc,
                                                 const clflash_plan_params *params);

CLFLASH_API void clflash_plan_destroy(clflash_plan **plan);

/* A block mask: for every query block which key blocks are empty, full or mixed.
 * Memory O(Sq / block_q + Sk / block_kv). Built once per step from the arrays, used
 * by every layer's call whose plan has the same lengths, rules and block sizes. */
typedef struct clflash_block_mask clflash_block_mask;

/* The arrays that say which keys are visible; what the problem does not use is NULL. */
typedef struct clflash_mask_arrays {
    clflash_buffer q_segments, kv_segments;   /* int32 [B,Sq], [B,Sk] */
    clflash_buffer q_positions, kv_positions; /* int32 [B,Sq], [B,Sk] */
    clflash_buffer kv_lengths;                /* int32 [B]; values outside [0,Sk] are clamped */
} clflash_mask_arrays;

/* Device buffers of one forward call. */
typedef struct clflash_attn_fwd_args {
    clflash_view q, k, v; /* [B,Sq,Hq,D], [B,Sk,Hk,D], [B,Sk,Hk,Dv]; desc.dtype */
    clflash_view o;       /* [B,Sq,Hq,Dv]; every element is written */
    clflash_buffer lse;   /* f32 [B,Hq,Sq] packed, natural log, sink included; NULL = not wanted */
    clflash_mask_arrays arrays;
    clflash_buffer alibi;                 /* f32 [Hq] */
    clflash_buffer sink;                  /* f32 [Hq] */
    clflash_mask_view bias;               /* f32 or desc.dtype */
    clflash_mask_view boolean;            /* uint8; non-zero = visible */
    const clflash_block_mask *block_mask; /* NULL = made inside the call when needed */
    clflash_buffer workspace; /* of clflash_plan_workspace_bytes; NULL = the context's pool */
} clflash_attn_fwd_args;

/**
 * o = attention(q, k, v), enqueued on `queue` (NULL = the context's own).
 *
 * Async    returns before the device has finished; runs after the wait list; *event
 *          (may be NULL) completes when o and lse are written. In-order and
 *          out-of-order queues alike.
 * Rules    a row that sees no key gives o = 0 and lse = -inf. NaN or Inf under a masked
 *          key does not spread. o may not overlap any input or lse.
 * Errors   NULL_BUFFER, EXTRA_BUFFER, BUFFER_TOO_SMALL, BUFFER_OVERLAP, INVALID_STRIDE,
 *          FOREIGN_CONTEXT, WORKSPACE_TOO_SMALL, FOREIGN_PLAN: nothing was enqueued.
 *          An OpenCL code: the driver refused; o is unspecified, the plan stays usable.
 */
CLFLASH_API clflash_status clflash_attn_fwd(const clflash_plan *plan, cl_command_queue queue,
                                            const clflash_attn_fwd_args *args, cl_uint n_wait,
                                            const cl_event *wait_list, cl_event *event);

/**
 * The same on host memory: plans (remembered in the context), copies, runs, waits.
 * Errors   as clflash_attn_fwd_plan and clflash_attn_fwd.
 */
CLFLASH_API clflash_status clflash_attn_fwd_host(clflash_context *ctx,
                                                 const clflash_attn_desc *desc,
                                                 const clflash_attn_host_args *args);

/* Device buffers of one backward call. */
typedef struct clflash_attn_bwd_args {
    clflash_view q, k, v;    /* as the forward had them; desc.dtype */
    clflash_view o;          /* [B,Sq,Hq,Dv] of the forward; NULL with desc.recompute */
    clflash_buffer lse;      /* f32 [B,Hq,Sq] of the forward; NULL with desc.recompute */
    clflash_view dout;       /* [B,Sq,Hq,Dv], the gradient of o; desc.dtype */
    clflash_view dq, dk, dv; /* shaped as q, k, v; desc.dtype, or f32 with desc.grad_f32.
                                A buffer that is NULL: that gradient is not wanted */
    clflash_buffer dsink;    /* f32 [Hq], summed over batch and queries; NULL = not wanted */
    clflash_mask_view dbias; /* extents of bias, summed over those that are 1; NULL = not wanted */
    clflash_attn_beta beta;  /* 0 overwrites, 1 adds */
    clflash_mask_arrays arrays;
    clflash_buffer alibi;                 /* f32 [Hq] */
    clflash_buffer sink;                  /* f32 [Hq] */
    clflash_mask_view bias;               /* f32 or desc.dtype */
    clflash_mask_view boolean;            /* uint8; non-zero = visible */
    const clflash_block_mask *block_mask; /* of this plan; NULL = made inside the call */
    clflash_buffer workspace; /* of clflash_plan_workspace_bytes; NULL = the context's pool */
} clflash_attn_bwd_args;

/**
 * Plans the gradients of clflash_attn_fwd; desc.op is CLFLASH_OP_BWD, everything else as for
 * the forward. Repeatable bit for bit unless choice.nondeterministic is set.
 *
 * Errors   as clflash_attn_fwd_plan
 * Source   Dao 2023 (arXiv:2307.08691), section 3.1.2; docs/math.md#backward.
 */
CLFLASH_API clflash_status clflash_attn_bwd_plan(clflash_plan **out, clflash_context *ctx,
                                                 const clflash_attn_desc *desc,
                                                 const clflash_plan_params *params);

/**
 * dq, dk, dv (and dsink, dbias) from dout, enqueued on `queue` (NULL = the context's own).
 * Asynchronous as clflash_attn_fwd.
 *
 * Rules    a row that sees no key, and a key that no row sees, have zero gradients. NaN or
 *          Inf under a mask does not spread. Gradients overlap neither each other nor any
 *          input. The heads of one group are summed in f32 before dk and dv are rounded.
 * Errors   as clflash_attn_fwd
 */
CLFLASH_API clflash_status clflash_attn_bwd(const clflash_plan *plan, cl_command_queue queue,
                                            const clflash_attn_bwd_args *args, cl_uint n_wait,
                                            const cl_event *wait_list, cl_event *event);

/* The same on host memory, as clflash_attn_fwd_host. */
CLFLASH_API clflash_status clflash_attn_bwd_host(clflash_context *ctx,
                                                 const clflash_attn_desc *desc,
                                                 const clflash_attn_bwd_host_args *args);

/* A block mask for plans like this one. Owns: destroy it before its context.
 * Errors  INVALID_ARGUMENT  the plan's problem has no arrays or its engine no blocks */
CLFLASH_API clflash_status clflash_block_mask_create(clflash_block_mask **out,
                                                     const clflash_plan *plan);

/**
 * Fills the mask from the arrays; enqueued like clflash_attn_fwd. May be called again
 * each step; the caller orders it against forwards that still read the old one.
 */
CLFLASH_API clflash_status clflash_block_mask_build(clflash_block_mask *mask,
                                                    cl_command_queue queue,
                                                    const clflash_mask_arrays *arrays,
                                                    cl_uint n_wait, const cl_event *wait_list,
                                                    cl_event *event);
CLFLASH_API void clflash_block_mask_destroy(clflash_block_mask **mask);

typedef struct clflash_plan_data {
    char engine[CLFLASH_ENGINE_NAME_BYTES];
    char tunables[256]; /* "T_BQ=96 T_BKV=128 ..." */
    char origin[64];    /* where the tunables came from: "caller", "tuning file", "shipped: ...",
                           "safe" */
    int32_t block_q, block_kv;
    double flops;            /* 4 B Hq (D + Dv)/2 x visible pairs; unknown masks count as visible */
    double bytes;            /* each input read once, each output written once */
    int64_t workspace_bytes; /* scratch, free after the call */
    int64_t saved_bytes;     /* what a backward needs beside q, k, v, o: the LSE; 0 with recompute */
    int64_t blocks_total;    /* over B x Hq: query blocks x key blocks */
    int64_t blocks_visited;  /* of these, computed at all */
    int64_t blocks_masked;   /* of these, with element masks */
    int32_t private_bytes;   /* per work-item, as the driver reports: spills */
    int64_t local_bytes;     /* per work-group */
} clflash_plan_data;

/**
 * What the plan will do. With segments or positions the block counts need `mask`
 * (else all blocks count as visited and masked); reading it blocks until it is built.
 */
CLFLASH_API clflash_status clflash_plan_info(const clflash_plan *plan,
                                             const clflash_block_mask *mask,
                                             clflash_plan_data *info);

CLFLASH_API int64_t clflash_plan_workspace_bytes(const clflash_plan *plan);

#ifdef __cplusplus
}
#endif
#endif
