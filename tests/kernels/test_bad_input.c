/* test_bad_input.c -- every rule of attention.h and problem.h broken once: its own status,
 * a message that names the tensor, the value and the problem; nothing enqueued, and the
 * context as good as before. */
#include "ops_fixture.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

/* Uses every buffer there is. */
#define FULL "fwd f32 b2 hq4 hk2 sq9 sk13 d8 dv12 causal seg pos kvlen alibi sink bias bool"
#define PLAIN "fwd f32 b2 hq4 hk2 sq9 sk13 d8 dv12"

static clflash_context *ctx;
static cl_context other_cl; /* foreign objects */
static cl_mem other_mem;
static cl_command_queue other_queue;

static void setup(void)
{
    ctx = ops_open(NULL);
    cl_device_id device = clflash_context_device(ctx);
    other_cl = clCreateContext(NULL, 1, &device, NULL, NULL, NULL);
    other_mem = clCreateBuffer(other_cl, CL_MEM_READ_WRITE, 1 << 20, NULL, NULL);
    other_queue = clCreateCommandQueue(other_cl, device, 0, NULL);
}

static void teardown(void)
{
    clReleaseCommandQueue(other_queue);
    clReleaseMemObject(other_mem);
    clReleaseContext(other_cl);
    clflash_context_destroy(&ctx);
}

static void expect_text(const char *word, const char *why)
{
    char text[4096];
    clflash_context_last_error(ctx, text, sizeof text);
    ck_assert_msg(strstr(text, word) != NULL, "%s: \"%s\" is not in: %s", why, word, text);
}

/* ---- buffers ---- */

typedef clflash_attn_fwd_args args;
static clflash_buffer none(void) { return (clflash_buffer){0}; }
static clflash_buffer extra(const args *a) { return (clflash_buffer){a->k.buffer, 0}; }

static void null_q(args *a) { a->q.buffer = NULL; }
static void null_k(args *a) { a->k.buffer = NULL; }
static void null_v(args *a) { a->v.buffer = NULL; }
static void null_o(args *a) { a->o.buffer = NULL; }
static void null_q_seg(args *a) { a->arrays.q_segments = none(); }
static void null_kv_seg(args *a) { a->arrays.kv_segments = none(); }
static void null_q_pos(args *a) { a->arrays.q_positions = none(); }
static void null_kv_pos(args *a) { a->arrays.kv_positions = none(); }
static void null_len(args *a) { a->arrays.kv_lengths = none(); }
static void null_alibi(args *a) { a->alibi = none(); }
static void null_sink(args *a) { a->sink = none(); }
static void null_bias(args *a) { a->bias.buffer = NULL; }
static void null_bool(args *a) { a->boolean.buffer = NULL; }

static void extra_q_seg(args *a) { a->arrays.q_segments = extra(a); }
static void extra_kv_seg(args *a) { a->arrays.kv_segments = extra(a); }
static void extra_q_pos(args *a) { a->arrays.q_positions = extra(a); }
static void extra_kv_pos(args *a) { a->arrays.kv_positions = extra(a); }
static void extra_len(args *a) { a->arrays.kv_lengths = extra(a); }
static void extra_alibi(args *a) { a->alibi = extra(a); }
static void extra_sink(args *a) { a->sink = extra(a); }
static void extra_bias(args *a) { a->bias.buffer = a->k.buffer; }
static void extra_bool(args *a) { a->boolean.buffer = a->k.buffer; }

static void small_q(args *a) { a->q.offset_bytes = 4; }
static void small_k(args *a) { a->k.offset_bytes = 4000; }
static void small_v(args *a) { a->v.offset_bytes = INT64_MAX - 3; }
static void small_o(args *a) { a->o.offset_bytes = 4; }
static void small_lse(args *a) { a->lse.offset_bytes = 4; }
static void small_seg(args *a) { a->arrays.kv_segments.offset_bytes = 8; }
static void small_pos(args *a) { a->arrays.q_positions.offset_bytes = 8; }
static void small_len(args *a) { a->arrays.kv_lengths.offset_bytes = 4; }
static void small_alibi(args *a) { a->alibi.offset_bytes = 16; }
static void small_bias(args *a) { a->bias.offset_bytes = 4; }
static void small_bool(args *a) { a->boolean.offset_bytes = 1; }

static void strides(clflash_view *v, int64_t b, int64_t s, int64_t h)
{
    v->stride_bytes[0] = b;
    v->stride_bytes[1] = s;
    v->stride_bytes[2] = h;
}
static void stride_past_end(args *a) { strides(&a->q, (int64_t)4 << 31, 128, 32); }
static void stride_past_int64(args *a) { strides(&a->k, INT64_MAX - 7, 64, 32); }
static void stride_odd(args *a) { strides(&a->q, 1152, 128, 30); }
static void stride_negative(args *a) { strides(&a->v, 1248, -96, 48); }
static void offset_odd(args *a) { a->k.offset_bytes = 2; }
static void offset_negative(args *a) { a->arrays.q_segments.offset_bytes = -4; }
static void mask_stride_odd(args *a)
{
    a->bias.stride_bytes[0] = a->bias.stride_bytes[1] = 8;
    a->bias.stride_bytes[2] = 54;
}

static void q_is_o(args *a) { a->q.buffer = a->o.buffer; }
static void o_in_segments(args *a) { a->arrays.q_segments.buffer = a->o.buffer; }
static void lse_in_o(args *a) { a->lse = (clflash_buffer){a->o.buffer, 64}; }
static void o_on_itself(args *a) { strides(&a->o, 1728, 192, 0); }

static void foreign_q(args *a) { a->q.buffer = other_mem; }
static void foreign_sink(args *a) { a->sink.buffer = other_mem; }
static void foreign_lse(args *a) { a->lse.buffer = other_mem; }

static void bias_extent(args *a) { a->bias.extent[0] = 3; }
static void bool_extent(args *a) { a->boolean.extent[1] = -1; }
static void bias_dtype(args *a) { a->bias.dtype = CLFLASH_BF16; }
static void short_workspace(args *a) { a->workspace = (clflash_buffer){a->k.buffer, 1600}; }
static void odd_workspace(args *a) { a->workspace = (clflash_buffer){a->k.buffer, 4}; }

static const struct {
    const char *problem;
    void (*spoil)(args *a);
    clflash_status status;
    const char *word; /* in the message: the tensor's name */
    const char *value;
} buffers[] = {
    {FULL,  null_q,            CLFLASH_NULL_BUFFER,         "q:",            "NULL"    },
    {FULL,  null_k,            CLFLASH_NULL_BUFFER,         "k:",            "NULL"    },
    {FULL,  null_v,            CLFLASH_NULL_BUFFER,         "v:",            "NULL"    },
    {FULL,  null_o,            CLFLASH_NULL_BUFFER,         "o:",            "NULL"    },
    {FULL,  null_q_seg,        CLFLASH_NULL_BUFFER,         "q_segments:",   "NULL"    },
    {FULL,  null_kv_seg,       CLFLASH_NULL_BUFFER,         "kv_segments:",  "NULL"    },
    {FULL,  null_q_pos,        CLFLASH_NULL_BUFFER,         "q_positions:",  "NULL"    },
    {FULL,  null_kv_pos,       CLFLASH_NULL_BUFFER,         "kv_positions:", "NULL"    },
    {FULL,  null_len,          CLFLASH_NULL_BUFFER,         "kv_lengths:",   "NULL"    },
    {FULL,  null_alibi,        CLFLASH_NULL_BUFFER,         "alibi:",        "NULL"    },
    {FULL,  null_sink,         CLFLASH_NULL_BUFFER,         "sink:",         "NULL"    },
    {FULL,  null_bias,         CLFLASH_NULL_BUFFER,         "bias:",         "NULL"    },
    {FULL,  null_bool,         CLFLASH_NULL_BUFFER,         "boolean:",      "NULL"    },
    {PLAIN, extra_q_seg,       CLFLASH_EXTRA_BUFFER,        "q_segments:",   "not use" },
    {PLAIN, extra_kv_seg,      CLFLASH_EXTRA_BUFFER,        "kv_segments:",  "not use" },
    {PLAIN, extra_q_pos,       CLFLASH_EXTRA_BUFFER,        "q_positions:",  "not use" },
    {PLAIN, extra_kv_pos,      CLFLASH_EXTRA_BUFFER,        "kv_positions:", "not use" },
    {PLAIN, extra_len,         CLFLASH_EXTRA_BUFFER,        "kv_lengths:",   "not use" },
    {PLAIN, extra_alibi,       CLFLASH_EXTRA_BUFFER,        "alibi:",        "not use" },
    {PLAIN, extra_sink,        CLFLASH_EXTRA_BUFFER,        "sink:",         "not use" },
    {PLAIN, extra_bias,        CLFLASH_EXTRA_BUFFER,        "bias:",         "not use" },
    {PLAIN, extra_bool,        CLFLASH_EXTRA_BUFFER,        "boolean:",      "not use" },
    {FULL,  small_q,           CLFLASH_BUFFER_TOO_SMALL,    "q:",            "2304"    },
    {FULL,  small_k,           CLFLASH_BUFFER_TOO_SMALL,    "k:",            "4000"    },
    {FULL,  small_v,           CLFLASH_BUFFER_TOO_SMALL,    "v:",            "92233720"},
    {FULL,  small_o,           CLFLASH_BUFFER_TOO_SMALL,    "o:",            "3456"    },
    {FULL,  small_lse,         CLFLASH_BUFFER_TOO_SMALL,    "lse:",          "288"     },
    {FULL,  small_seg,         CLFLASH_BUFFER_TOO_SMALL,    "kv_segments:",  "104"     },
    {FULL,  small_pos,         CLFLASH_BUFFER_TOO_SMALL,    "q_positions:",  "72"      },
    {FULL,  small_len,         CLFLASH_BUFFER_TOO_SMALL,    "kv_lengths:",   "8"       },
    {FULL,  small_alibi,       CLFLASH_BUFFER_TOO_SMALL,    "alibi:",        "16"      },
    {FULL,  small_bias,        CLFLASH_BUFFER_TOO_SMALL,    "bias:",         "468"     },
    {FULL,  small_bool,        CLFLASH_BUFFER_TOO_SMALL,    "boolean:",      "117"     },
    {FULL,  stride_past_end,   CLFLASH_BUFFER_TOO_SMALL,    "q:",            "2304"    },
    {FULL,  stride_past_int64, CLFLASH_BUFFER_TOO_SMALL,    "k:",            "92233720"},
    {FULL,  stride_odd,        CLFLASH_INVALID_STRIDE,      "q:",            "30"      },
    {FULL,  stride_negative,   CLFLASH_INVALID_STRIDE,      "v:",            "-96"     },
    {FULL,  offset_odd,        CLFLASH_INVALID_STRIDE,      "k:",            "2"       },
    {FULL,  offset_negative,   CLFLASH_INVALID_STRIDE,      "q_segments:",   "-4"      },
    {FULL,  mask_stride_odd,   CLFLASH_INVALID_STRIDE,      "bias:",         "54"      },
    {FULL,  q_is_o,            CLFLASH_BUFFER_OVERLAP,      "o:",            "overlap" },
    {FULL,  o_in_segments,     CLFLASH_BUFFER_OVERLAP,      "o:",            "overlap" },
    {FULL,  lse_in_o,          CLFLASH_BUFFER_OVERLAP,      "lse:",          "overlap" },
    {FULL,  o_on_itself,       CLFLASH_BUFFER_OVERLAP,      "o:",            "overlap" },
    {FULL,  foreign_q,         CLFLASH_FOREIGN_CONTEXT,     "q:",            "context" },
    {FULL,  foreign_sink,      CLFLASH_FOREIGN_CONTEXT,     "sink:",         "context" },
    {FULL,  foreign_lse,       CLFLASH_FOREIGN_CONTEXT,     "lse:",          "context" },
    {FULL,  bias_extent,       CLFLASH_INVALID_SIZE,        "bias:",         "3"       },
    {FULL,  bool_extent,       CLFLASH_INVALID_SIZE,        "boolean:",      "-1"      },
    {FULL,  bias_dtype,        CLFLASH_INVALID_DTYPE,       "bias:",         "f32"     },
    {FULL,  short_workspace,   CLFLASH_WORKSPACE_TOO_SMALL, "workspace:",    "1600"    },
    {FULL,  odd_workspace,     CLFLASH_INVALID_STRIDE,      "workspace:",    "4"       },
};

START_TEST(bad_buffers_are_refused)
{
    ops_fixture full, plain;
    ops_start(&full, ctx, FULL, 1);
    ops_start(&plain, ctx, PLAIN, 1);
    for (size_t i = 0; i < sizeof buffers / sizeof buffers[0]; i++) {
        ops_fixture *f = strcmp(buffers[i].problem, FULL) ? &plain : &full;
        args a = f->dev.args;
        cl_event event = (cl_event)&a; /* must become NULL */
        buffers[i].spoil(&a);
        const clflash_status status = clflash_attn_fwd(f->plan, NULL, &a, 0, NULL, &event);
        ck_assert_msg(status == buffers[i].status, "row %zu (%s): %d, not %d", i, buffers[i].word,
                      status, buffers[i].status);
        ck_assert_msg(event == NULL, "row %zu: an event", i);
        expect_text(buffers[i].word, "name");
        expect_text(buffers[i].value, buffers[i].word);
        expect_text(f == &full ? "pos kvlen alibi" : "dv12]", "problem string");
    }
    ck_assert(ops_untouched(&full));
    ck_assert(ops_untouched(&plain));
    ck_assert_int_eq(clflash_attn_fwd(full.plan, NULL, &full.dev.args, 0, NULL, NULL), CLFLASH_OK);
    ops_check(&full, "after all the errors");
    ops_end(&full);
    ops_end(&plain);
}
END_TEST

START_TEST(bad_calls_are_refused)
{
    ops_fixture f;
    ops_start(&f, ctx, PLAIN, 2);
    const args *a = &f.dev.args;
    cl_event event = (cl_event)&f;
    ck_assert_int_eq(clflash_attn_fwd(NULL, NULL, a, 0, NULL, &event), CLFLASH_INVALID_ARGUMENT);
    ck_assert_ptr_null(event);
    ck_assert_int_eq(clflash_attn_fwd(f.plan, NULL, NULL, 0, NULL, NULL), CLFLASH_INVALID_ARGUMENT);
    expect_text("args", "NULL arguments");
    ck_assert_int_eq(clflash_attn_fwd(f.plan, NULL, a, 3, NULL, NULL), CLFLASH_INVALID_ARGUMENT);
    expect_text("3", "n_wait without a list");
    ck_assert_int_eq(clflash_attn_fwd(f.plan, other_queue, a, 0, NULL, NULL),
                     CLFLASH_FOREIGN_CONTEXT);
    expect_text("queue", "a foreign queue");
    ck_assert(ops_untouched(&f));
    ck_assert_int_eq(clflash_plan_info(f.plan, NULL, NULL), CLFLASH_INVALID_ARGUMENT);
    clflash_block_mask *mask = (clflash_block_mask *)&f;
    ck_assert_int_eq(clflash_block_mask_create(&mask, f.plan), CLFLASH_INVALID_ARGUMENT);
    ck_assert_ptr_null(mask);
    clflash_plan_destroy(NULL);
    clflash_block_mask_destroy(NULL);
    ops_end(&f);
}
END_TEST

START_TEST(foreign_block_masks_are_refused)
{
    ops_fixture f, longer, other_rule;
    ops_start(&f, ctx, "fwd f32 hq2 sq9 sk13 d8 seg", 3);
    ops_start(&longer, ctx, "fwd f32 hq2 sq9 sk14 d8 seg", 3);
    ops_start(&other_rule, ctx, "fwd f32 hq2 sq9 sk13 d8 causal seg", 3);
    ops_fixture *const wrong[] = {&longer, &other_rule};
    for (int i = 0; i < 2; i++) {
        clflash_block_mask *mask;
        clflash_plan_data info;
        ck_assert_int_eq(clflash_block_mask_create(&mask, wrong[i]->plan), CLFLASH_OK);
        args a = f.dev.args;
        a.block_mask = mask;
        ck_assert_int_eq(clflash_attn_fwd(f.plan, NULL, &a, 0, NULL, NULL), CLFLASH_FOREIGN_PLAN);
        expect_text("block_mask", "foreign mask");
        ck_assert_int_eq(clflash_plan_info(f.plan, mask, &info), CLFLASH_FOREIGN_PLAN);
        ck_assert_int_eq(clflash_plan_info(wrong[i]->plan, mask, &info), CLFLASH_INVALID_ARGUMENT);
        expect_text("never built", "an empty mask");
        ck_assert_int_eq(clflash_block_mask_build(mask, NULL, NULL, 0, NULL, NULL),
                         CLFLASH_INVALID_ARGUMENT);
        const clflash_mask_arrays nothing = {0};
        ck_assert_int_eq(clflash_block_mask_build(mask, NULL, &nothing, 0, NULL, NULL),
                         CLFLASH_NULL_BUFFER);
        expect_text("q_segments", "a mask without its arrays");
        clflash_block_mask_destroy(&mask);
        ck_assert_ptr_null(mask);
    }
    ck_assert(ops_untouched(&f));
    ops_end(&f);
    ops_end(&longer);
    ops_end(&other_rule);
}
END_TEST

/* ---- descriptors ---- */

typedef clflash_attn_desc desc;
static void d_op(desc *d) { d->op = CLFLASH_OP_BWD; }
static void d_dtype(desc *d) { d->dtype = (clflash_dtype)7; }
static void d_batch(desc *d) { d->batch = -3; }
static void d_heads(desc *d) { d->q_heads = 0; }
static void d_divide(desc *d) { d->kv_heads = 3; }
static void d_sq(desc *d) { d->q_len = -5; }
static void d_head_dim(desc *d) { d->head_dim = 577; }
static void d_value_dim(desc *d) { d->value_dim = 513; }
static void d_scale(desc *d) { d->scale = 1.0f / 0.0f; }
static void d_softcap(desc *d) { d->softcap = -2; }
static void d_window(desc *d)
{
    d->mask.window = true;
    d->mask.window_left = -7;
}
static void d_align(desc *d)
{
    d->mask.causal = CLFLASH_CAUSAL_BOTTOM_RIGHT;
    d->mask.align = CLFLASH_ALIGN_TOP_LEFT;
}
static void d_layout(desc *d) { d->layout = (clflash_layout)9; }
static void d_engine(desc *d) { strcpy(d->choice.engine, "abacus"); }
static void d_block(desc *d) { d->choice.block_q = 7777; }

static const struct {
    void (*spoil)(desc *d);
    clflash_status status;
    const char *value;
} descs[] = {
    {d_op,        CLFLASH_INVALID_ARGUMENT, "op"    },
    {d_dtype,     CLFLASH_INVALID_DTYPE,    "7"     },
    {d_batch,     CLFLASH_INVALID_SIZE,     "-3"    },
    {d_heads,     CLFLASH_INVALID_SIZE,     "0"     },
    {d_divide,    CLFLASH_INVALID_HEADS,    "3"     },
    {d_sq,        CLFLASH_INVALID_SIZE,     "-5"    },
    {d_head_dim,  CLFLASH_INVALID_SIZE,     "577"   },
    {d_value_dim, CLFLASH_INVALID_SIZE,     "513"   },
    {d_scale,     CLFLASH_INVALID_SCALE,    "inf"   },
    {d_softcap,   CLFLASH_INVALID_SCALE,    "-2"    },
    {d_window,    CLFLASH_INVALID_MASK,     "-7"    },
    {d_align,     CLFLASH_INVALID_MASK,     "align" },
    {d_layout,    CLFLASH_INVALID_ARGUMENT, "9"     },
    {d_engine,    CLFLASH_UNSUPPORTED,      "abacus"},
    {d_block,     CLFLASH_INVALID_TUNABLE,  "7777"  },
};

START_TEST(bad_descriptors_are_refused)
{
    desc d = {.q_heads = 4, .kv_heads = 2, .q_len = 9, .head_dim = 8};
    char reason[1024] = "";
    clflash_plan *plan = (clflash_plan *)&d;
    descs[_i].spoil(&d);
    ck_assert_msg(clflash_attn_fwd_plan(&plan, ctx, &d, NULL) == descs[_i].status, "%s",
                  descs[_i].value);
    ck_assert_ptr_null(plan);
    expect_text(descs[_i].value, "a bad descriptor");
    /* The question without a plan has the same answer, op apart: it asks for any. */
    if (descs[_i].spoil != d_op) {
        ck_assert_int_eq(clflash_attn_supported(ctx, &d, reason, sizeof reason), descs[_i].status);
        ck_assert_msg(strstr(reason, descs[_i].value) != NULL, "%s", reason);
    }
    /* On host memory too, before anything is read. */
    const clflash_attn_host_args nothing = {0};
    ck_assert_int_eq(clflash_attn_fwd_host(ctx, &d, &nothing), descs[_i].status);
}
END_TEST

START_TEST(bad_plan_parameters_are_refused)
{
    const desc d = {.q_heads = 4, .kv_heads = 2, .q_len = 9, .head_dim = 8};
    const clflash_plan_params rigor = {.rigor = (clflash_plan_rigor)5},
                              limit = {.time_limit_s = -1}, space = {.max_workspace_bytes = -2},
                              cached = {.rigor = CLFLASH_PLAN_CACHED};
    clflash_plan *plan = NULL;
    ck_assert_int_eq(clflash_attn_fwd_plan(NULL, ctx, &d, NULL), CLFLASH_INVALID_ARGUMENT);
    ck_assert_int_eq(clflash_attn_fwd_plan(&plan, NULL, &d, NULL), CLFLASH_INVALID_ARGUMENT);
    ck_assert_int_eq(clflash_attn_fwd_plan(&plan, ctx, NULL, NULL), CLFLASH_INVALID_ARGUMENT);
    ck_assert_int_eq(clflash_attn_fwd_plan(&plan, ctx, &d, &rigor), CLFLASH_INVALID_ARGUMENT);
    expect_text("5", "rigor");
    ck_assert_int_eq(clflash_attn_fwd_plan(&plan, ctx, &d, &limit), CLFLASH_INVALID_ARGUMENT);
    expect_text("-1", "time limit");
    ck_assert_int_eq(clflash_attn_fwd_plan(&plan, ctx, &d, &space), CLFLASH_INVALID_ARGUMENT);
    expect_text("-2", "workspace limit");
    ck_assert_int_eq(clflash_attn_fwd_plan(&plan, ctx, &d, &cached), CLFLASH_NOT_CACHED);
    ck_assert_ptr_null(plan);
    ck_assert_int_eq(clflash_attn_fwd_host(ctx, &d, NULL), CLFLASH_INVALID_ARGUMENT);
    ck_assert_int_eq(clflash_attn_fwd_host(ctx, NULL, NULL), CLFLASH_INVALID_ARGUMENT);
}
END_TEST

/* ---- memory ---- */

/* An allocator that fails at the nth request, and counts what is alive. */
typedef struct heap {
    int until_failure; /* negative: never */
    int alive;
} heap;

static void *heap_alloc(void *user, size_t bytes)
{
    heap *h = user;
    if (h->until_failure == 0)
        return NULL;
    h->until_failure -= h->until_failure > 0;
    h->alive++;
    return malloc(bytes);
}

static void heap_free(void *user, void *memory)
{
    heap *h = user;
    h->alive -= memory != NULL;
    free(memory);
}

/* The nth allocation fails, for every n: OUT_OF_MEMORY, no leak, and then it works. */
START_TEST(host_memory_may_run_out)
{
    heap h = {.until_failure = -1};
    const clflash_context_params params = {
        .cache_dir = "", .allocator = {heap_alloc, heap_free, &h}
    };
    const desc d = {.q_heads = 1, .q_len = 4, .head_dim = 8, .mask = {.segments = true}};
    const int32_t seg[4] = {0, 0, 1, 1};
    const float x[32] = {1};
    float o[32];
    const clflash_attn_host_args on_host = {
        .q = x, .k = x, .v = x, .o = o, .q_segments = seg, .kv_segments = seg};
    clflash_context *own;
    int n = 0;
    for (clflash_status status = CLFLASH_OUT_OF_MEMORY; status != CLFLASH_OK; n++) {
        h.until_failure = -1;
        ck_assert_int_eq(clflash_context_create(&own, &params), CLFLASH_OK);
        h.until_failure = n;
        status = clflash_attn_fwd_host(own, &d, &on_host);
        ck_assert_msg(status == CLFLASH_OK || status == CLFLASH_OUT_OF_MEMORY,
                      "allocation %d: status %d", n, status);
        h.until_failure = -1;
        ck_assert_int_eq(clflash_attn_fwd_host(own, &d, &on_host), CLFLASH_OK);
        clflash_context_destroy(&own);
        ck_assert_msg(h.alive == 0, "allocation %d: %d leaked", n, h.alive);
        ck_assert_int_lt(n, 200);
    }
    ck_assert_int_gt(n, 3);
}
END_TEST

/* ---- views that look wrong and are right ---- */

START_TEST(huge_strides_of_single_elements_are_right)
{
    ops_fixture f;
    ops_start(&f, ctx, "fwd f32 hq1 sq5 sk7 d8", 4);
    args a = f.dev.args; /* batch and head have one element: their strides are never used */
    strides(&a.q, (int64_t)4 << 40, 32, (int64_t)4 << 33);
    strides(&a.k, (int64_t)4 << 50, 32, (int64_t)4 << 31);
    strides(&a.o, INT64_MAX / 4 * 4, 32, (int64_t)4 << 32);
    ck_assert_int_eq(clflash_attn_fwd(f.plan, NULL, &a, 0, NULL, NULL), CLFLASH_OK);
    ops_check(&f, "huge strides");
    ops_end(&f);
}
END_TEST

static cl_mem part_of(cl_mem root, size_t offset, size_t bytes)
{
    const cl_buffer_region region = {offset, bytes};
    cl_int code;
    cl_mem part =
        clCreateSubBuffer(root, CL_MEM_READ_WRITE, CL_BUFFER_CREATE_TYPE_REGION, &region, &code);
    ck_assert_int_eq(code, CL_SUCCESS);
    return part;
}

START_TEST(sub_buffers_are_resolved)
{
    ops_fixture f;
    ops_start(&f, ctx, "fwd f32 hq2 sq64 sk64 d64", 5);
    const size_t bytes = 2 * 64 * 64 * 4; /* 32 KiB: a multiple of any alignment */
    cl_mem root = clCreateBuffer(clflash_context_cl(ctx), CL_MEM_READ_WRITE, 3 * bytes, NULL, NULL);
    cl_mem first = part_of(root, 0, 2 * bytes), second = part_of(root, bytes, 2 * bytes);
    args a = f.dev.args;
    a.q.buffer = first;
    a.o.buffer = second; /* q's last byte lies before o's first */
    cl_command_queue queue = clflash_context_queue(ctx);
    /* By way of the host: NVIDIA 580.159.04 crashes in the test's own copy from one buffer to
     * another once the sub-buffers exist. */
    char *data = malloc(bytes);
    ck_assert_int_eq(clfi_mem_read(queue, f.dev.mem[CLFI_MEM_Q], 0, (int64_t)bytes, data, NULL),
                     CLFLASH_OK);
    ck_assert_int_eq(clfi_mem_write(queue, root, 0, (int64_t)bytes, data, NULL), CLFLASH_OK);
    ck_assert_int_eq(clflash_attn_fwd(f.plan, NULL, &a, 0, NULL, NULL), CLFLASH_OK);
    ck_assert_int_eq(clfi_mem_read(queue, root, (int64_t)bytes, (int64_t)bytes, data, NULL),
                     CLFLASH_OK);
    ck_assert_int_eq(clfi_mem_write(queue, f.dev.mem[CLFI_MEM_O], 0, (int64_t)bytes, data, NULL),
                     CLFLASH_OK);
    free(data);
    ops_check(&f, "sub-buffers");
    a.q.offset_bytes = 4; /* one element into o */
    ck_assert_int_eq(clflash_attn_fwd(f.plan, NULL, &a, 0, NULL, NULL), CLFLASH_BUFFER_OVERLAP);
    expect_text("q", "overlapping sub-buffers");
    clReleaseMemObject(first);
    clReleaseMemObject(second);
    clReleaseMemObject(root);
    ops_end(&f);
}
END_TEST

START_TEST(interleaved_tensors_are_right)
{
    /* q, k, v and o side by side in every token: [S][4][H][D]. */
    ops_fixture f;
    ops_start(&f, ctx, "fwd f32 hq2 sq11 sk11 d16", 6);
    const int64_t row = 2 * 16 * 4, token = 4 * row, bytes = 11 * token;
    cl_command_queue queue = clflash_context_queue(ctx);
    cl_mem all =
        clCreateBuffer(clflash_context_cl(ctx), CL_MEM_READ_WRITE, (size_t)bytes, NULL, NULL);
    args a = f.dev.args;
    clflash_view *const views[] = {&a.q, &a.k, &a.v, &a.o};
    for (int t = 0; t < 4; t++) {
        for (size_t s = 0; t < 3 && s < 11; s++)
            clEnqueueCopyBuffer(queue, f.dev.mem[CLFI_MEM_Q + t], all, s * (size_t)row,
                                s * (size_t)token + (size_t)t * (size_t)row, (size_t)row, 0, NULL,
                                NULL);
        *views[t] = (clflash_view){
            all, t * row, {bytes, token, 64}
        };
    }
    ck_assert_int_eq(clflash_attn_fwd(f.plan, NULL, &a, 0, NULL, NULL), CLFLASH_OK);
    for (size_t s = 0; s < 11; s++)
        clEnqueueCopyBuffer(queue, all, f.dev.mem[CLFI_MEM_O], s * (size_t)token + 3 * (size_t)row,
                            s * (size_t)row, (size_t)row, 0, NULL, NULL);
    ops_check(&f, "interleaved");
    a.o.offset_bytes = 2 * row; /* on top of v */
    ck_assert_int_eq(clflash_attn_fwd(f.plan, NULL, &a, 0, NULL, NULL), CLFLASH_BUFFER_OVERLAP);
    clReleaseMemObject(all);
    ops_end(&f);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bad_input");
    TCase *tcase = tcase_create("bad_input");
    tcase_add_unchecked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 300);
    tcase_add_test(tcase, bad_buffers_are_refused);
    tcase_add_test(tcase, bad_calls_are_refused);
    tcase_add_test(tcase, foreign_block_masks_are_refused);
    tcase_add_loop_test(tcase, bad_descriptors_are_refused, 0,
                        (int)(sizeof descs / sizeof descs[0]));
    tcase_add_test(tcase, bad_plan_parameters_are_refused);
    tcase_add_test(tcase, host_memory_may_run_out);
    tcase_add_test(tcase, huge_strides_of_single_elements_are_right);
    tcase_add_test(tcase, sub_buffers_are_resolved);
    tcase_add_test(tcase, interleaved_tensors_are_right);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK); /* a context does not survive a fork */
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
