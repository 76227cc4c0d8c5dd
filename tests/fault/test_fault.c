/* test_fault.c -- the nth OpenCL call fails, then the nth allocation, for every n there is:
 * each gives a status with a text or is handled, leaks nothing, and the same context then
 * gives the right result. */
#include "wraps.h"

#include <check.h>
#include <clflash/clflash.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a context may keep that the first good run did not need: eight scratch buffers with
 * their events, the programs of an engine that took over. Each n that leaked would add to it;
 * and in the end nothing at all is left. */
#define CACHED 24
#define MAX_N 4000 /* far more calls than any scene makes: a loop that does not end is a bug */

enum { HQ = 2, HK = 1, SQ = 33, SK = 40, D = 16 };

/* Tensors of every scene, and the reference's result. */
static float q[SQ * HQ * D], k[SK * HK * D], v[SK * HK * D], o[SQ * HQ * D], want[SQ * HQ * D];
static int32_t q_segments[SQ], kv_segments[SK];

/* What one scene works on. */
typedef struct world {
    clflash_context *ctx;
    clflash_attn_desc desc;
    clflash_plan *plan;
    cl_command_queue queue;
    cl_mem q, k, v, o, q_segments, kv_segments;
} world;

enum {
    FRESH = 1,        /* a new context for each n: programs are built again */
    OUT_OF_ORDER = 2, /* the queue */
    NO_RESULT = 4     /* nothing to compare */
};

typedef struct scene {
    const char *name, *problem;
    clflash_status (*run)(world *w); /* library calls, then fault_disarm */
    int flags;
    int64_t last_n; /* 0 = until no call fails; else every fifth up to here */
    cl_int code;
} scene;

static void fill(float *x, int n, uint32_t seed)
{
    for (int i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = (float)(seed >> 8) / (float)(1 << 23) - 1.0f;
    }
}

static clflash_attn_host_args host_args(const clflash_attn_desc *desc, float *out)
{
    clflash_attn_host_args args = {.q = q, .k = k, .v = v, .o = out};
    if (desc->mask.segments) {
        args.q_segments = q_segments;
        args.kv_segments = kv_segments;
    }
    return args;
}

static void make_data(const clflash_attn_desc *desc)
{
    fill(q, SQ * HQ * D, 1);
    fill(k, SK * HK * D, 2);
    fill(v, SK * HK * D, 3);
    for (int i = 0; i < SQ; i++)
        q_segments[i] = i / 12;
    for (int j = 0; j < SK; j++)
        kv_segments[j] = j / 14;
    const clflash_attn_host_args args = host_args(desc, want);
    ck_assert_int_eq(clflash_ref_attn_fwd(desc, &args), CLFLASH_OK);
}

/* ---- the scenes: each leaves its result in o ---- */

static clflash_status run_create(world *w)
{
    clflash_context *ctx;
    (void)w;
    const clflash_context_params params = {.allocator = fault_allocator(), .cache_dir = ""};
    const clflash_status status = clflash_context_create(&ctx, &params);
    fault_disarm();
    ck_assert((status == CLFLASH_OK) == (ctx != NULL));
    clflash_context_destroy(&ctx);
    ck_assert_ptr_null(ctx);
    return status;
}

static clflash_status run_borrow(world *w)
{
    clflash_context *ctx;
    const clflash_context_params params = {
        .allocator = fault_allocator(), .cache_dir = "", .context = clflash_context_cl(w->ctx)};
    const clflash_status status = clflash_context_create(&ctx, &params);
    fault_disarm();
    clflash_context_destroy(&ctx);
    return status;
}

static clflash_status run_host(world *w)
{
    const clflash_attn_host_args args = host_args(&w->desc, o);
    const clflash_status status = clflash_attn_fwd_host(w->ctx, &w->desc, &args);
    fault_disarm();
    return status;
}

static clflash_attn_fwd_args device_args(const world *w)
{
    clflash_attn_fwd_args args = {
        .q.buffer = w->q, .k.buffer = w->k, .v.buffer = w->v, .o.buffer = w->o};
    if (w->desc.mask.segments) {
        args.arrays.q_segments.buffer = w->q_segments;
        args.arrays.kv_segments.buffer = w->kv_segments;
    }
    return args;
}

static void read_o(const world *w, cl_event event)
{
    ck_assert_int_eq(clWaitForEvents(1, &event), CL_SUCCESS);
    ck_assert_int_eq(clEnqueueReadBuffer(w->queue, w->o, CL_TRUE, 0, sizeof o, o, 0, NULL, NULL),
                     CL_SUCCESS);
}

static clflash_status forward(world *w, const clflash_plan *plan, const clflash_attn_fwd_args *args)
{
    cl_event event;
    const clflash_status status = clflash_attn_fwd(plan, w->queue, args, 0, NULL, &event);
    fault_disarm();
    ck_assert_msg((status == CLFLASH_OK) == (event != NULL), "an event exactly on success");
    if (event) {
        read_o(w, event);
        clReleaseEvent(event);
    }
    clFinish(w->queue);
    return status;
}

static clflash_status run_enqueue(world *w)
{
    const clflash_attn_fwd_args args = device_args(w);
    return forward(w, w->plan, &args);
}

static clflash_status run_plan(world *w)
{
    clflash_plan *plan;
    const clflash_attn_fwd_args args = device_args(w);
    clflash_status status = clflash_attn_fwd_plan(&plan, w->ctx, &w->desc, NULL);
    ck_assert((status == CLFLASH_OK) == (plan != NULL));
    if (status == CLFLASH_OK)
        status = forward(w, plan, &args);
    fault_disarm();
    clflash_plan_destroy(&plan);
    return status;
}

static clflash_status run_block_mask(world *w)
{
    clflash_block_mask *mask;
    clflash_attn_fwd_args args = device_args(w);
    clflash_plan_data info;
    clflash_status status = clflash_block_mask_create(&mask, w->plan);
    ck_assert((status == CLFLASH_OK) == (mask != NULL));
    if (status == CLFLASH_OK)
        status = clflash_block_mask_build(mask, w->queue, &args.arrays, 0, NULL, NULL);
    if (status == CLFLASH_OK)
        status = clflash_plan_info(w->plan, mask, &info);
    args.block_mask = mask;
    if (status == CLFLASH_OK)
        status = forward(w, w->plan, &args);
    fault_disarm();
    clFinish(w->queue);
    clflash_block_mask_destroy(&mask);
    return status;
}

static clflash_status run_peak(world *w)
{
    clflash_peak peak;
    const clflash_status status = clflash_peak_measure(w->ctx, 1e-3, &peak);
    fault_disarm();
    ck_assert((status == CLFLASH_OK) == (peak.fma_gflops > 0));
    return status;
}

/* ---- the loop over n ---- */

static cl_mem buffer(const world *w, const void *data, size_t bytes)
{
    cl_int code;
    cl_mem mem = clCreateBuffer(clflash_context_cl(w->ctx), CL_MEM_COPY_HOST_PTR, bytes,
                                (void *)(uintptr_t)data, &code);
    ck_assert_int_eq(code, CL_SUCCESS);
    return mem;
}

static void open_world(world *w, const scene *s)
{
    fault_forget_live(); /* what a failed test before left */
    char reason[512];
    cl_int code;
    *w = (world){0};
    ck_assert_msg(clflash_attn_desc_parse(&w->desc, s->problem, reason, sizeof reason) == 0, "%s",
                  reason);
    const clflash_context_params params = {.allocator = fault_allocator(), .cache_dir = ""};
    ck_assert_int_eq(clflash_context_create(&w->ctx, &params), CLFLASH_OK);
    make_data(&w->desc);
    w->queue = clCreateCommandQueue(
        clflash_context_cl(w->ctx), clflash_context_device(w->ctx),
        s->flags & OUT_OF_ORDER ? CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE : 0, &code);
    ck_assert_int_eq(code, CL_SUCCESS);
    w->q = buffer(w, q, sizeof q);
    w->k = buffer(w, k, sizeof k);
    w->v = buffer(w, v, sizeof v);
    w->o = buffer(w, o, sizeof o);
    w->q_segments = buffer(w, q_segments, sizeof q_segments);
    w->kv_segments = buffer(w, kv_segments, sizeof kv_segments);
    if (!(s->flags & FRESH))
        ck_assert_int_eq(clflash_attn_fwd_plan(&w->plan, w->ctx, &w->desc, NULL), CLFLASH_OK);
}

static void close_world(world *w)
{
    const cl_mem mems[] = {w->q, w->k, w->v, w->o, w->q_segments, w->kv_segments};
    char text[200];
    for (size_t i = 0; i < sizeof mems / sizeof mems[0]; i++)
        clReleaseMemObject(mems[i]);
    clReleaseCommandQueue(w->queue);
    clflash_plan_destroy(&w->plan);
    clflash_context_destroy(&w->ctx);
    fault_live_text(text, sizeof text);
    ck_assert_msg(fault_live_objects() == 0, "left behind: %s", text);
    ck_assert_msg(fault_live_allocs() == 0, "left behind: %d allocations",
                  (int)fault_live_allocs());
}

static void check_result(const scene *s, const char *when)
{
    for (int i = 0; i < SQ * HQ * D && !(s->flags & NO_RESULT); i++)
        ck_assert_msg(fabsf(o[i] - want[i]) <= 1e-5f, "%s, %s: o[%d] = %g, want %g", s->name, when,
                      i, (double)o[i], (double)want[i]);
}

static clflash_status run_once(const scene *s, world *w, const char *when)
{
    for (int i = 0; i < SQ * HQ * D; i++)
        o[i] = NAN;
    const clflash_status status = s->run(w);
    if (status == CLFLASH_OK)
        check_result(s, when);
    return status;
}

/* The failing run was not OK: is it a status that a caller can use? */
static void check_failure(const scene *s, const world *w, clflash_status status, const char *when)
{
    char text[4096];
    clflash_context_last_error(w->ctx, text, sizeof text);
    ck_assert_msg(status < 0 && status != CLFLASH_INTERNAL && status != CLFLASH_WRONG_RESULT,
                  "%s, %s: status %d (%s)", s->name, when, status, text);
    ck_assert_msg(text[0] || s->run == run_create || s->run == run_borrow, "%s, %s: no text for %d",
                  s->name, when, status);
}

/* Call (or allocation) n fails; false when there are fewer. */
static bool fail_nth(const scene *s, world *w, int64_t n, bool memory, int64_t live_objects,
                     int64_t live_allocs)
{
    char when[160], live[200];
    fault_arm(memory ? 0 : n, s->code);
    fault_arm_alloc(memory ? n : 0);
    snprintf(when, sizeof when, "%s %d fails", memory ? "allocation" : "call", (int)n);
    const clflash_status status = run_once(s, w, when);
    const bool reached = memory ? fault_alloc_failed() : fault_failed() != NULL;
    if (!memory && reached)
        snprintf(when, sizeof when, "call %d (%s) fails", (int)n, fault_failed());
    if (status != CLFLASH_OK) {
        ck_assert_msg(reached, "%s: status %d without a failure", s->name, status);
        ck_assert_msg(!memory || status == CLFLASH_OUT_OF_MEMORY, "%s, %s: status %d", s->name,
                      when, status);
        check_failure(s, w, status, when);
    }
    /* The same context, nothing failing. */
    fault_arm(0, CL_SUCCESS);
    fault_arm_alloc(0);
    const clflash_status again = run_once(s, w, "the run after it");
    clflash_context_last_error(w->ctx, live, sizeof live);
    ck_assert_msg(again == CLFLASH_OK, "%s, after %s: status %d %s", s->name, when, again, live);
    if (!(s->flags & FRESH)) {
        fault_live_text(live, sizeof live);
        ck_assert_msg(fault_live_objects() <= live_objects + CACHED &&
                          fault_live_allocs() <= live_allocs + CACHED,
                      "%s, %s: leaked; %d objects were live, %d are (%s); %d allocations, %d",
                      s->name, when, (int)live_objects, (int)fault_live_objects(), live,
                      (int)live_allocs, (int)fault_live_allocs());
    }
    return reached;
}

static void fail_every(const scene *s, bool memory)
{
    world w;
    open_world(&w, s);
    ck_assert_msg((s->flags & FRESH) || run_once(s, &w, "no call fails") == CLFLASH_OK, "%s",
                  s->name);
    const int64_t objects = fault_live_objects(), allocs = fault_live_allocs();
    int64_t n = 1;
    for (;; n += s->last_n ? 5 : 1) {
        const bool reached = fail_nth(s, &w, n, memory, objects, allocs);
        if (!reached || (s->last_n && n >= s->last_n))
            break;
        ck_assert_int_lt(n, MAX_N);
        if (s->flags & FRESH) {
            close_world(&w);
            open_world(&w, s);
        }
    }
    close_world(&w);
    ck_assert_msg(n > 1 || memory, "%s: no call can fail", s->name);
}

#define SMALL "fwd f32 hq2 hk1 sq33 sk40 d16 causal"
/* Any call may answer out of host memory, which does not turn an engine off; out of resources
 * is what a driver says of a kernel, so that another engine may take over. */
static const scene scenes[] = {
    {"create",                 SMALL,                      run_create,     NO_RESULT,    0,  CL_OUT_OF_HOST_MEMORY},
    {"create by another code", SMALL,                      run_create,     NO_RESULT,    0,  CL_INVALID_VALUE     },
    {"create, borrowed",       SMALL,                      run_borrow,     NO_RESULT,    0,  CL_OUT_OF_RESOURCES  },
    {"host call",              SMALL " algo=flash",        run_host,       FRESH,        0,  CL_OUT_OF_HOST_MEMORY},
    {"host call again",        SMALL,                      run_host,       0,            0,  CL_OUT_OF_RESOURCES  },
    {"plan and enqueue",       SMALL " algo=flash",        run_plan,       FRESH,        0,  CL_OUT_OF_HOST_MEMORY},
    {"plan again and enqueue", SMALL,                      run_plan,       0,            0,  CL_OUT_OF_RESOURCES  },
    {"enqueue",                SMALL,                      run_enqueue,    0,            0,  CL_OUT_OF_RESOURCES  },
    {"segments",               SMALL " seg",               run_enqueue,    0,            0,  CL_OUT_OF_RESOURCES  },
    {"segments, out of order", SMALL " seg",               run_enqueue,    OUT_OF_ORDER, 0,  CL_OUT_OF_RESOURCES  },
    {"block mask",             SMALL " seg",               run_block_mask, 0,            0,  CL_OUT_OF_RESOURCES  },
    {"standard",               SMALL " algo=standard",     run_enqueue,    0,            0,  CL_OUT_OF_RESOURCES  },
    {"standard, unordered",    SMALL " seg algo=standard", run_enqueue,    OUT_OF_ORDER, 0,
     CL_OUT_OF_RESOURCES                                                                                          },
 /* Its first calls: then the measurement itself, slow and always the same calls. */
    {"peak",                   SMALL,                      run_peak,       NO_RESULT,    36, CL_OUT_OF_RESOURCES  },
};

START_TEST(any_call_may_fail) { fail_every(&scenes[_i], false); }
END_TEST

START_TEST(any_allocation_may_fail) { fail_every(&scenes[_i], true); }
END_TEST

int main(void)
{
    const int n = sizeof scenes / sizeof scenes[0];
    Suite *suite = suite_create("fault");
    TCase *calls = tcase_create("calls"), *memory = tcase_create("memory");
    tcase_add_loop_test(calls, any_call_may_fail, 0, n);
    tcase_add_loop_test(memory, any_allocation_may_fail, 0, n);
    suite_add_tcase(suite, calls);
    suite_add_tcase(suite, memory);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK); /* a context does not survive a fork */
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
