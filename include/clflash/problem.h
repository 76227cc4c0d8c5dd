/* problem.h -- what attention computes: the descriptor and its printed form.
 * Needs no OpenCL header. C11 and C++17. Shapes use the axes
 * B Hq Hk Sq Sk D Dv everywhere; the mathematics is docs/math.md. */
#ifndef CLFLASH_PROBLEM_H
#define CLFLASH_PROBLEM_H

#include <clflash/base.h>
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum clflash_dtype { CLFLASH_F32 = 0, CLFLASH_F16, CLFLASH_BF16 } clflash_dtype;

/* Bytes of one element; 0 for a value outside the enumeration. */
CLFLASH_API size_t clflash_dtype_bytes(clflash_dtype dtype);

/* Memory order of q, k, v and o where a view gives no strides of its own. */
typedef enum clflash_layout { CLFLASH_LAYOUT_BSHD = 0, CLFLASH_LAYOUT_BHSD } clflash_layout;

typedef enum clflash_op { CLFLASH_OP_FWD = 0, CLFLASH_OP_BWD, CLFLASH_OP_DECODE } clflash_op;

/* Key j is visible to query i when p(j) <= p(i). The alignment says where
 * p(i) starts when no positions are given: bottom-right p(i) = i + Sk - Sq
 * (FlashAttention's rule), top-left p(i) = i. Never inferred from shapes. */
typedef enum clflash_causal {
    CLFLASH_CAUSAL_NONE = 0,
    CLFLASH_CAUSAL_BOTTOM_RIGHT,
    CLFLASH_CAUSAL_TOP_LEFT
} clflash_causal;

typedef enum clflash_align { CLFLASH_ALIGN_BOTTOM_RIGHT = 0, CLFLASH_ALIGN_TOP_LEFT } clflash_align;

#define CLFLASH_PADDING_SEGMENT (-1) /* a token of this segment sees and is seen by nothing */
#define CLFLASH_UNBOUNDED (-1)       /* a window end without limit */
#define CLFLASH_EMPTY (-1)           /* says "size 0" where 0 means the default */

/* Which keys a query sees: all rules that are set must hold. Zero = full. */
typedef struct clflash_mask {
    clflash_causal causal; /* 0 = none */
    clflash_align align;   /* for a window or ALiBi without causal; 0 = bottom-right */
    bool window;           /* p(i) - left <= p(j) <= p(i) + right, both ends included */
    int32_t window_left;   /* >= 0 or CLFLASH_UNBOUNDED; used with window */
    int32_t window_right;  /* >= 0 or CLFLASH_UNBOUNDED; causal bounds it by 0 as well */
    bool segments;         /* segment ids come as arrays: visible only within one segment */
    bool positions;        /* p(i) and p(j) come as arrays, each within +-2^30 */
    bool kv_lengths;       /* j < length[b] comes as an array */
    bool boolean;          /* a boolean mask comes as an array: non-zero = visible */
} clflash_mask;

typedef enum clflash_algo {
    CLFLASH_ALGO_AUTO = 0,
    CLFLASH_ALGO_FLASH,
    CLFLASH_ALGO_STANDARD
} clflash_algo;

#define CLFLASH_ENGINE_NAME_BYTES 16

/* How to compute it, where the caller wants a say. Zero = automatic. */
typedef struct clflash_attn_choice {
    clflash_algo algo;
    char engine[CLFLASH_ENGINE_NAME_BYTES]; /* "" = automatic; names: clflash_info */
    int32_t block_q, block_kv;              /* rows and keys per block; 0 = automatic */
    bool nondeterministic;                  /* backward: allow unordered sums */
} clflash_attn_choice;

/* What to compute. Zero-initialise, then name the fields you need: zero
 * always means the default written beside the field. */
typedef struct clflash_attn_desc {
    clflash_op op;       /* 0 = forward */
    clflash_dtype dtype; /* of q, k, v, o; 0 = f32 */
    int32_t batch;       /* B; 0 = 1; CLFLASH_EMPTY = 0 */
    int32_t q_heads;     /* Hq >= 1; required */
    int32_t kv_heads;    /* Hk divides Hq; 0 = Hq */
    int32_t q_len;       /* Sq >= 0 */
    int32_t kv_len;      /* Sk; 0 = Sq; CLFLASH_EMPTY = 0 */
    int32_t head_dim;    /* D of q and k, 1 to 576; required */
    int32_t value_dim;   /* Dv of v and o, 1 to 512; 0 = D */
    float scale;         /* 0 = 1/sqrt(D) */
    float softcap;       /* s = c tanh(s / c) with c > 0; 0 = none */
    clflash_mask mask;
    bool alibi;            /* slopes f32 [Hq] come as an array: s -= slope |p(i) - p(j)| */
    bool sink;             /* logits f32 [Hq] come as an array: joins the denominator only */
    bool bias;             /* an additive mask comes as an array */
    int32_t docs;          /* for programs that make their own data: N equal documents as segments;
                              the segment arrays come as with mask.segments */
    clflash_layout layout; /* 0 = [B,S,H,D] */
    bool grad_f32;         /* backward: dq, dk, dv are f32 whatever dtype is (accumulators) */
    bool recompute;        /* backward: o and lse were not saved; the call makes them again */
    clflash_attn_choice choice;
} clflash_attn_desc;

#define CLFLASH_PROBLEM_BYTES 512 /* enough for every printed problem */

/**
 * desc -> "fwd bf16 b2 hq32 hk8 sq4096 d128 causal window=1024:0", words in the
 * order of docs/problem.md, defaults left out. Inverse of clflash_attn_desc_parse.
 *
 * Errors   INVALID_ARGUMENT  a pointer is NULL
 *          INVALID_SIZE      text_bytes is too small; text holds what fits
 */
CLFLASH_API clflash_status clflash_attn_desc_print(const clflash_attn_desc *desc, char *text,
                                                   size_t text_bytes);

/**
 * Problem string -> desc. Words may come in any order after the first.
 *
 * Errors   INVALID_PROBLEM  an unknown, repeated or malformed word: `reason`
 *                           (may be NULL) names it; *desc is all zero
 *          else             as clflash_attn_desc_check
 */
CLFLASH_API clflash_status clflash_attn_desc_parse(clflash_attn_desc *desc, const char *text,
                                                   char *reason, size_t reason_bytes);

/**
 * OK when desc keeps every rule written beside its fields.
 *
 * Errors   INVALID_SIZE, INVALID_HEADS, INVALID_DTYPE, INVALID_SCALE, INVALID_MASK,
 *          INVALID_ARGUMENT; `reason` (may be NULL) names the rule and the value
 * Threads  any.
 */
CLFLASH_API clflash_status clflash_attn_desc_check(const clflash_attn_desc *desc, char *reason,
                                                   size_t reason_bytes);

/* An additive or boolean mask [B|1, Hq|1, Sq|1, Sk] in host memory. An element of the
 * additive mask that is -infinity hides its key. */
typedef struct clflash_host_mask {
    const void *data;
    clflash_dtype dtype;     /* bias only: f32 or the problem's dtype; boolean: uint8 always */
    int32_t extent[3];       /* batch, heads, queries: 1 = broadcast, 0 = the problem's size */
    int64_t stride_bytes[3]; /* of the same; all zero = packed. Keys are contiguous */
} clflash_host_mask;

/* Host memory of one call. Shapes as in the descriptor; q, k, v, o have the
 * descriptor's dtype and layout. Strides are batch, sequence, head in bytes,
 * all zero = packed in the layout. What the problem does not use must be NULL. */
typedef struct clflash_attn_host_args {
    const void *q, *k, *v;
    void *o;
    float *lse; /* f32 [B,Hq,Sq], natural logarithm, sink included; NULL = not wanted */
    int64_t q_stride_bytes[3], k_stride_bytes[3], v_stride_bytes[3], o_stride_bytes[3];
    const int32_t *q_segments, *kv_segments;   /* [B,Sq], [B,Sk] */
    const int32_t *q_positions, *kv_positions; /* [B,Sq], [B,Sk] */
    const int32_t *kv_lengths;                 /* [B] */
    const float *alibi;                        /* [Hq] */
    const float *sink;                         /* [Hq] */
    clflash_host_mask bias;                    /* f32 or the problem's dtype */
    clflash_host_mask boolean;                 /* uint8 */
} clflash_attn_host_args;

/* What a gradient does to the array that it is written to: array = beta array + gradient.
 * 0 overwrites (what was there is not read, NaN included), 1 adds: gradient accumulation. */
typedef struct clflash_attn_beta {
    float dq, dk, dv, dsink, dbias;
} clflash_attn_beta;

/* The gradient of an additive mask: extents and strides as its clflash_host_mask. Rows may
 * not overlap; over the dimensions whose extent is 1 it is summed. */
typedef struct clflash_host_mask_gradient {
    void *data;
    clflash_dtype dtype; /* f32 or the problem's dtype */
    int32_t extent[3];
    int64_t stride_bytes[3];
} clflash_host_mask_gradient;

/* Host memory of one backward call. dq, dk, dv are shaped as q, k, v, in the descriptor's
 * dtype or f32 with desc.grad_f32; a gradient that is NULL is not wanted. */
typedef struct clflash_attn_bwd_host_args {
    clflash_attn_host_args fwd; /* as the forward had them; o and lse are read (NULL with
                                   desc.recompute, and not used by the reference) */
    const void *dout;           /* [B,Sq,Hq,Dv], the gradient of o; desc.dtype */
    void *dq, *dk, *dv;
    int64_t dout_stride_bytes[3], dq_stride_bytes[3], dk_stride_bytes[3], dv_stride_bytes[3];
    float *dsink; /* [Hq] */
    clflash_host_mask_gradient dbias;
    clflash_attn_beta beta;
} clflash_attn_bwd_host_args;

#ifdef __cplusplus
}
#endif
#endif
