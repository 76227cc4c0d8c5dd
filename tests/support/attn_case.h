/* attn_case.h -- one attention problem with data, run on a device and judged. Support of
 * the kernel tests: the case is a problem string, as in the bench and the log. */
#ifndef TESTS_ATTN_CASE_H
#define TESTS_ATTN_CASE_H

#include "lib/plan/attn.h"
#include <clflash/clflash.h>

/* A tensor in host memory inside poisoned surroundings: margins of NaN on both sides and,
 * when strided, NaN in the gaps between rows. */
typedef struct tensor {
    unsigned char *bytes; /* margin, data with gaps, margin */
    size_t total_bytes, margin_bytes;
    clflash_dtype dtype;
    int32_t n[3], width; /* batch, sequence, heads */
    int64_t stride[3];   /* bytes: batch, sequence, head */
} tensor;

typedef struct attn_case {
    clflash_attn_desc desc;
    clfi_attn p;
    char problem[CLFLASH_PROBLEM_BYTES];
    uint32_t seed;
    tensor q, k, v, o;
    float *lse; /* [B,Hq,Sq] */
    int32_t *q_seg, *kv_seg, *q_pos, *kv_pos, *kv_len;
    float *alibi, *sink;
    clflash_host_mask bias, boolean; /* own their data */
    clflash_attn_host_args host;     /* all of the above, for the reference */
} attn_case;

/* How the tensors lie and how the call is made. Zero = packed, in-order, automatic. */
typedef struct attn_way {
    bool strided;      /* gaps in every axis, odd offsets */
    bool block_mask;   /* an explicit block mask, where the plan takes one */
    bool out_of_order; /* on an out-of-order queue, gated by a user event */
    bool no_lse;
    bool own_workspace;
    int32_t bias_extent, bool_extent; /* bits 0-2: broadcast batch, heads, queries */
    clflash_dtype bias_dtype;
    int64_t max_workspace_bytes;
} attn_way;

/* Parses the problem and draws data: about N(0,1), segments sorted with padding (seed
 * odd: in any order), positions, lengths with 0 and Sk among them. Aborts on bad strings. */
void attn_case_make(attn_case *c, const char *problem, const attn_way *way, uint32_t seed);
void attn_case_free(attn_case *c);

float tensor_get(const tensor *t, int64_t b, int64_t s, int64_t h, int64_t d);
void tensor_set(tensor *t, int64_t b, int64_t s, int64_t h, int64_t d, float value);

/* Runs on ctx into c->o and c->lse. Afterwards margins and gaps are checked: why says
 * what was touched or not written. UNSUPPORTED is passed through. */
clflash_status attn_case_run(attn_case *c, clflash_context *ctx, const attn_way *way, char *why,
                             size_t why_bytes);

/* c->o and c->lse against the reference by the rule of docs/testing.md#tolerance; true when
 * it holds, else why says what differs. */
bool attn_case_judge(const attn_case *c, const attn_way *way, char *why, size_t why_bytes);

/* Uniform in [0, 1), deterministic. */
double test_uniform(uint32_t *state);
float test_normal(uint32_t *state);

/* A context for tests: silent, no files. Never NULL: a machine without a device fails. */
clflash_context *test_context(void);

#endif
