/* test_async.c -- events, queues, threads, workspaces, block masks: that a plan may be
 * executed as attention.h says. */
#include "ops_fixture.h"

#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define MASKED "fwd f32 b2 hq4 hk2 sq150 sk290 d16 causal seg kvlen sink"

static clflash_context *ctx;
static cl_command_queue in_order, out_of_order;

static void setup(void)
{
    cl_int a, b;
    ctx = ops_open(NULL);
    const cl_context cl = clflash_context_cl(ctx);
    const cl_device_id device = clflash_context_device(ctx);
    in_order = clCreateCommandQueue(cl, device, 0, &a);
    out_of_order = clCreateCommandQueue(cl, device, CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE, &b);
    ck_assert(a == CL_SUCCESS && b == CL_SUCCESS);
}

static void teardown(void)
{
    clReleaseCommandQueue(in_order);
    clReleaseCommandQueue(out_of_order);
    clflash_context_destroy(&ctx);
}

static const struct {
    const char *problem;
    const char *why;
} problems[] = {
    {"fwd f32 b2 hq4 hk2 sq33 sk47 d16 causal",                    "one launch"              },
    {MASKED,                                                       "a block mask and scratch"},
    {"fwd f16 b2 hq4 hk2 sq33 sk47 d16 causal window=9 pos alibi", "a block mask by position"},
    {"fwd bf16 b2 hq4 hk2 sq33 sk47 d16 seg algo=standard",        "many launches, CLBlast"  },
    {"fwd f32 hq2 sq33 sk0 d16 sink",                              "no key"                  },
    {"fwd f32 b0 hq2 sq5 sk5 d16 causal seg",                      "no batch"                },
    {"fwd f32 hq2 sq0 sk5 d16",                                    "no query: only an event" },
};
#define N_PROBLEMS ((int)(sizeof problems / sizeof problems[0]))
#define MAX_GATES 40

static cl_int state_of(cl_event event)
{
    cl_int state = 0;
    clGetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof state, &state, NULL);
    return state;
}

/* Two calls in a row behind user events: nothing may run before, the second takes scratch
 * that the first still uses, and each event means that its outputs are there. */
static void gated_calls(const char *problem, cl_command_queue queue, int gates)
{
    ops_fixture f;
    cl_event gate[MAX_GATES], done[2];
    ops_start(&f, ctx, problem, 11);
    for (int i = 0; i < gates; i++)
        gate[i] = clCreateUserEvent(clflash_context_cl(ctx), NULL);
    for (int call = 0; call < 2; call++) {
        ck_assert_int_eq(
            clflash_attn_fwd(f.plan, queue, &f.dev.args, (cl_uint)gates, gate, &done[call]),
            CLFLASH_OK);
        ck_assert_ptr_nonnull(done[call]);
        ck_assert_msg(state_of(done[call]) != CL_COMPLETE, "[%s] did not wait", problem);
    }
    clFlush(queue);
    for (int i = 0; i < gates; i++)
        clSetUserEventStatus(gate[i], CL_COMPLETE);
    for (int call = 0; call < 2; call++) {
        clWaitForEvents(1, &done[call]);
        ops_check(&f, "behind user events");
        clReleaseEvent(done[call]);
    }
    clFinish(queue);
    for (int i = 0; i < gates; i++)
        clReleaseEvent(gate[i]);
    ops_end(&f);
}

START_TEST(wait_lists_and_events_hold)
{
    gated_calls(problems[_i].problem, in_order, 1);
    gated_calls(problems[_i].problem, out_of_order, 2);
    gated_calls(problems[_i].problem, out_of_order, MAX_GATES); /* longer than any list inside */
}
END_TEST

START_TEST(the_contexts_own_queue_and_a_workspace_serve)
{
    ops_fixture f;
    ops_start(&f, ctx, problems[_i].problem, 12);
    const int64_t bytes = clflash_plan_workspace_bytes(f.plan);
    clflash_plan_data info;
    ck_assert_int_eq(clflash_plan_info(f.plan, NULL, &info), CLFLASH_OK);
    ck_assert_int_eq(info.workspace_bytes, bytes);
    clfi_err err = {0};
    cl_mem workspace;
    ck_assert_int_eq(clfi_mem_create(ctx, bytes + 48, &workspace, &err), CLFLASH_OK);
    clflash_attn_fwd_args args = f.dev.args;
    args.workspace = (clflash_buffer){workspace, 48};
    ck_assert_int_eq(clflash_attn_fwd(f.plan, NULL, &args, 0, NULL, NULL), CLFLASH_OK);
    ops_check(&f, "own queue, workspace at an offset");
    clfi_mem_release(workspace);
    ops_end(&f);
}
END_TEST

/* ---- threads ---- */

typedef struct worker {
    const clflash_plan *plan;
    ops_fixture f; /* its own buffers; plan NULL */
    cl_command_queue queue;
    clflash_status status;
} worker;

static void *work(void *user)
{
    worker *w = user;
    for (int i = 0; i < 6 && w->status == CLFLASH_OK; i++) {
        cl_event done = NULL;
        w->status = clflash_attn_fwd(w->plan, w->queue, &w->f.dev.args, 0, NULL, &done);
        if (w->status == CLFLASH_OK) {
            clFlush(w->queue);
            clWaitForEvents(1, &done);
            clReleaseEvent(done);
        }
    }
    return NULL;
}

START_TEST(eight_threads_share_a_plan)
{
    enum { N = 8 };
    static worker workers[N];
    pthread_t threads[N];
    for (int i = 0; i < N; i++) {
        workers[i] = (worker){.queue = i % 2 ? out_of_order : in_order};
        ops_start(&workers[i].f, ctx, problems[_i].problem, 20 + (uint32_t)i);
        workers[i].plan = workers[0].f.plan;
    }
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    for (int i = 0; i < N; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < N; i++) {
        ck_assert_int_eq(workers[i].status, CLFLASH_OK);
        ops_check(&workers[i].f, "eight threads");
    }
    for (int i = N - 1; i >= 0; i--)
        ops_end(&workers[i].f);
}
END_TEST

static void *work_on_host(void *user)
{
    ops_fixture *f = user;
    clflash_attn_host_args args = f->host.args;
    args.o = f->o;
    args.lse = f->lse;
    clflash_status status = CLFLASH_OK;
    for (int i = 0; i < 3 && status == CLFLASH_OK; i++)
        status = clflash_attn_fwd_host(ctx, &f->host.p.desc, &args);
    return (void *)(intptr_t)status;
}

/* The host call from many threads: one remembered plan, or one each. */
START_TEST(host_calls_from_threads)
{
    enum { N = 8 };
    static ops_fixture f[N];
    pthread_t threads[N];
    for (int i = 0; i < N; i++) {
        ops_start(&f[i], ctx, _i ? MASKED : problems[i % 3].problem, 40 + (uint32_t)i);
        ck_assert_int_eq(pthread_create(&threads[i], NULL, work_on_host, &f[i]), 0);
    }
    for (int i = 0; i < N; i++) {
        void *status;
        pthread_join(threads[i], &status);
        ck_assert_int_eq((intptr_t)status, CLFLASH_OK);
        ops_compare(&f[i], f[i].o, f[i].lse, "a thread's");
        ops_end(&f[i]);
    }
}
END_TEST

/* A strided o: what lies between its rows is the caller's. */
START_TEST(host_outputs_may_have_gaps)
{
    ops_fixture f;
    ops_start(&f, ctx, _i ? "fwd f16 b2 hq2 sq5 sk9 d8 layout=bhsd" : "fwd f16 b2 hq2 sq5 sk9 d8",
              50);
    enum { ROW = 8, STEP = 11, HEADS = 2 * STEP + 3 };
    static uint16_t o[2 * 5 * HEADS], packed[2 * 5 * 2 * ROW];
    memset(o, 0xaa, sizeof o);
    clflash_attn_host_args args = f.host.args;
    args.o = o;
    args.o_stride_bytes[0] = 2 * 5 * HEADS;
    args.o_stride_bytes[1] = 2 * HEADS;
    args.o_stride_bytes[2] = 2 * STEP;
    ck_assert_int_eq(clflash_attn_fwd_host(ctx, &f.host.p.desc, &args), CLFLASH_OK);
    for (int row = 0; row < 10; row++) {
        for (int c = 0; c < HEADS; c++) {
            const int h = c / STEP, inside = h < 2 && c % STEP < ROW;
            const int at = _i ? ((row / 5 * 2 + h) * 5 + row % 5) : row * 2 + h;
            if (inside)
                packed[at * ROW + c % STEP] = o[row * HEADS + c];
            else
                ck_assert_uint_eq(o[row * HEADS + c], 0xaaaa);
        }
    }
    ops_compare(&f, packed, NULL, "with gaps");
    args.o_stride_bytes[2] = 2 * ROW - 2;
    ck_assert_int_eq(clflash_attn_fwd_host(ctx, &f.host.p.desc, &args), CLFLASH_BUFFER_OVERLAP);
    args.o_stride_bytes[2] = 2 * STEP + 1;
    ck_assert_int_eq(clflash_attn_fwd_host(ctx, &f.host.p.desc, &args), CLFLASH_INVALID_STRIDE);
    ops_end(&f);
}
END_TEST

/* ---- block masks ---- */

/* Blocks with a visible pair, over all heads: the count that is least. */
static int64_t blocks_with_work(const ops_fixture *f, int32_t block_q, int32_t block_kv)
{
    const clfi_attn *p = &f->host.p;
    int64_t n = 0;
    for (int32_t b = 0; b < p->b; b++)
        for (int32_t i0 = 0; i0 < p->sq; i0 += block_q)
            for (int32_t j0 = 0; j0 < p->sk; j0 += block_kv) {
                bool some = false;
                for (int32_t i = i0; i < i0 + block_q && i < p->sq; i++)
                    for (int32_t j = j0; !some && j < j0 + block_kv && j < p->sk; j++)
                        some = clflash_ref_visible(&p->desc, &f->host.args, b, 0, i, j);
                n += some;
            }
    return n * p->hq;
}

START_TEST(block_masks_are_reused)
{
    ops_fixture f;
    ops_start(&f, ctx, "fwd f32 b2 hq2 sq700 sk700 d16 causal seg kvlen", 60);
    clflash_block_mask *mask;
    clflash_plan_data before, after;
    cl_event built;
    ck_assert_int_eq(clflash_block_mask_create(&mask, f.plan), CLFLASH_OK);
    ck_assert_int_eq(clflash_plan_info(f.plan, NULL, &before), CLFLASH_OK);
    ck_assert_int_eq(before.blocks_visited, before.blocks_total);
    for (int round = 0; round < 2; round++) { /* built again: the newest counts */
        ck_assert_int_eq(
            clflash_block_mask_build(mask, out_of_order, &f.dev.args.arrays, 0, NULL, &built),
            CLFLASH_OK);
        clflash_attn_fwd_args args = f.dev.args;
        args.block_mask = mask;
        ck_assert_int_eq(clflash_attn_fwd(f.plan, out_of_order, &args, 1, &built, NULL),
                         CLFLASH_OK);
        clFinish(out_of_order);
        ops_check(&f, "with a block mask");
        clReleaseEvent(built);
    }
    ck_assert_int_eq(clflash_plan_info(f.plan, mask, &after), CLFLASH_OK);
    const int64_t least = blocks_with_work(&f, after.block_q, after.block_kv);
    ck_assert_int_ge(after.blocks_visited, least);
    /* Sorted documents: only blocks at their borders may be visited for nothing. */
    ck_assert_msg(after.blocks_visited <= least + least / 2 + 8, "%lld visited, %lld needed",
                  (long long)after.blocks_visited, (long long)least);
    ck_assert_int_lt(after.blocks_visited, after.blocks_total);
    ck_assert_int_le(after.blocks_masked, after.blocks_visited);
    clflash_block_mask_destroy(&mask);
    ops_end(&f);
}
END_TEST

/* Segments and positions in no order: blocks may not be skipped wrongly. */
START_TEST(unsorted_arrays_are_right)
{
    ops_fixture f;
    ops_start(&f, ctx,
              _i ? "fwd f32 b2 hq2 sq300 sk300 d16 causal window=40 pos kvlen"
                 : "fwd f32 b2 hq2 sq300 sk300 d16 causal seg pos",
              70);
    uint32_t state = 7;
    const clfi_attn *p = &f.host.p;
    /* The case's arrays are the test's to change. */
    int32_t *const arrays[] = {(int32_t *)(uintptr_t)f.host.args.q_segments,
                               (int32_t *)(uintptr_t)f.host.args.kv_segments,
                               (int32_t *)(uintptr_t)f.host.args.q_positions,
                               (int32_t *)(uintptr_t)f.host.args.kv_positions};
    for (int a = 0; a < 4; a++)
        for (int i = 0; arrays[a] && i < p->b * p->sq; i++) {
            state = state * 1664525u + 1013904223u;
            const int32_t x = (int32_t)(state >> 8);
            /* Large ids, the padding mark, runs that repeat; positions around zero. */
            arrays[a][i] = a < 2 ? (i / 37 % 3 == 2 ? -1 : (x % 3) * 1000000007) : x % 601 - 300;
        }
    ops_refresh(&f);
    ck_assert_int_eq(clflash_attn_fwd(f.plan, NULL, &f.dev.args, 0, NULL, NULL), CLFLASH_OK);
    ops_check(&f, "unsorted");
    ops_end(&f);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("async");
    TCase *tcase = tcase_create("async");
    tcase_add_unchecked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 300);
    tcase_add_loop_test(tcase, wait_lists_and_events_hold, 0, N_PROBLEMS);
    tcase_add_loop_test(tcase, the_contexts_own_queue_and_a_workspace_serve, 0, N_PROBLEMS);
    tcase_add_loop_test(tcase, eight_threads_share_a_plan, 0, N_PROBLEMS);
    tcase_add_loop_test(tcase, host_calls_from_threads, 0, 2);
    tcase_add_loop_test(tcase, host_outputs_may_have_gaps, 0, 2);
    tcase_add_test(tcase, block_masks_are_reused);
    tcase_add_loop_test(tcase, unsorted_arrays_are_right, 0, 2);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK); /* a context does not survive a fork */
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
