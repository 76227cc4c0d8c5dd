/* test_threads.c -- eight threads on one context: every function that may be called so, at
 * once. Run it under the thread sanitizer too (docs/testing.md); without, wrong results and
 * crashes are what it can see. */
#define _POSIX_C_SOURCE 200809L
#include "host/kernel.h"
#include "host/memory.h"

#include <check.h>
#include <clflash/clflash.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_THREADS 8
#define ROUNDS 6

static clflash_context *ctx;
static atomic_int log_lines;

static void count_lines(void *user, clflash_log_level level, const char *line)
{
    (void)user;
    (void)level;
    (void)line;
    atomic_fetch_add(&log_lines, 1);
}

/* Check's assertions are for one thread: threads return what went wrong. */
typedef struct job {
    int index;
    const char *wrong;
} job;
#define HOLDS(j, condition)                                                                        \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (j)->wrong = #condition;                                                               \
            return;                                                                                \
        }                                                                                          \
    } while (0)

typedef void (*work_fn)(job *j);
static work_fn work;
static pthread_barrier_t start;

static void *thread_main(void *user)
{
    pthread_barrier_wait(&start);
    work(user);
    return NULL;
}

static void open_context(void)
{
    const clflash_context_params params = {
        .cache_dir = "", .log = count_lines, .log_level = CLFLASH_LOG_DEBUG};
    ck_assert_int_eq(clflash_context_create(&ctx, &params), CLFLASH_OK);
}

static void on_all_threads(work_fn fn)
{
    pthread_t threads[N_THREADS];
    job jobs[N_THREADS] = {{0}};
    work = fn;
    pthread_barrier_init(&start, NULL, N_THREADS);
    for (int i = 0; i < N_THREADS; i++) {
        jobs[i].index = i;
        ck_assert_int_eq(pthread_create(&threads[i], NULL, thread_main, &jobs[i]), 0);
    }
    for (int i = 0; i < N_THREADS; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&start);
    for (int i = 0; i < N_THREADS; i++)
        ck_assert_msg(!jobs[i].wrong, "thread %d: %s", i, jobs[i].wrong);
}

static void run(work_fn fn)
{
    open_context();
    on_all_threads(fn);
    clflash_context_destroy(&ctx);
}

/* ---- kernels: one source and options for all threads, or one for each ---- */

static clfi_kernel *shared_kernel;

static void get_and_release(job *j)
{
    for (int round = 0; round < ROUNDS; round++) {
        char options[64];
        clfi_kernel *k;
        clfi_kernel_facts facts;
        snprintf(options, sizeof options, "-DP_DTYPE=0 -DP_OUT_F32=0 -DT_WG=%d",
                 1 + (j->index + round) % 3);
        HOLDS(j, clfi_kernel_get(&k, ctx, "convert.cl", "clf_attn_empty", options, NULL) == 0);
        clfi_kernel_get_facts(k, &facts);
        clfi_kernel_release(k);
        HOLDS(j, facts.max_work_group > 0);
    }
}

START_TEST(programs_are_built_once_and_shared) { run(get_and_release); }
END_TEST

/* Arguments of one kernel object must not mix between threads: each fills its own buffer. */
static void launch_shared(job *j)
{
    enum { N = 1024 };
    clfi_err err;
    cl_mem from, to;
    cl_float data[N * 4], got[N * 4];
    HOLDS(j, clfi_mem_create(ctx, sizeof data, &from, &err) == CLFLASH_OK);
    HOLDS(j, clfi_mem_create(ctx, sizeof data, &to, &err) == CLFLASH_OK);
    for (int i = 0; i < N * 4; i++)
        data[i] = (float)(j->index * 10000 + i);
    const cl_command_queue queue = clflash_context_queue(ctx);
    const cl_int run = 1;
    const size_t global = N, local = 1;
    HOLDS(j, clfi_mem_write(queue, from, 0, sizeof data, data, &err) == CLFLASH_OK);
    for (int round = 0; round < 20; round++) {
        const clfi_arg args[] = {CLFI_ARG_MEM(to), CLFI_ARG_MEM(from), CLFI_ARG(run)};
        cl_event event;
        HOLDS(j, clfi_mem_fill_zero(queue, to, 0, sizeof data, &err) == CLFLASH_OK);
        HOLDS(j, clfi_kernel_launch(shared_kernel, queue, args, 3, 1, &global, &local, 0, NULL,
                                    &event, &err) == CLFLASH_OK);
        HOLDS(j, clfi_event_wait(event, &err) == CLFLASH_OK);
        clfi_event_release(event);
        HOLDS(j, clfi_mem_read(queue, to, 0, sizeof got, got, &err) == CLFLASH_OK);
        HOLDS(j, memcmp(data, got, sizeof data) == 0);
    }
    clfi_mem_release(from);
    clfi_mem_release(to);
}

START_TEST(launches_of_one_kernel_do_not_mix)
{
    open_context();
    ck_assert_int_eq(clfi_kernel_get(&shared_kernel, ctx, "peak.cl", "clf_peak_copy",
                                     "-DP_LANES=1 -DP_CHAINS=1 -DP_WG=1", NULL),
                     CLFLASH_OK);
    on_all_threads(launch_shared);
    clfi_kernel_release(shared_kernel);
    clflash_context_destroy(&ctx);
}
END_TEST

/* ---- scratch ---- */

static void take_and_give(job *j)
{
    const cl_command_queue queue = clflash_context_queue(ctx);
    for (int round = 0; round < 40; round++) {
        clfi_scratch s;
        clfi_err err;
        cl_event done;
        const int64_t bytes = 256 << (j->index + round) % 6;
        HOLDS(j, clfi_scratch_take(ctx, bytes, &s, &err) == CLFLASH_OK);
        HOLDS(j, clfi_queue_barrier(queue, s.after ? 1 : 0, &s.after, NULL, &err) == CLFLASH_OK);
        HOLDS(j, clfi_mem_fill_zero(queue, s.mem, 0, bytes, &err) == CLFLASH_OK);
        HOLDS(j, clfi_queue_marker(queue, 0, NULL, &done, &err) == CLFLASH_OK);
        clfi_scratch_give(ctx, &s, done);
        clfi_event_release(done);
    }
    HOLDS(j, clfi_queue_finish(queue, NULL) == CLFLASH_OK);
}

START_TEST(scratch_is_never_shared) { run(take_and_give); }
END_TEST

/* ---- the public interface ---- */

static void ask(job *j)
{
    for (int round = 0; round < ROUNDS; round++) {
        char text[4096], path[1200];
        int32_t count = 0;
        clflash_device_info device;
        clflash_engine_info engine;
        clflash_plan *plan;
        const clflash_attn_desc desc = {.q_heads = 3, .kv_heads = 2, .q_len = 4, .head_dim = 8};
        HOLDS(j, clflash_device_count(&count) == CLFLASH_OK && count > 0);
        HOLDS(j, clflash_device_get(0, &device) == CLFLASH_OK);
        HOLDS(j, clflash_context_paths(ctx, path, sizeof path, text, sizeof text) == CLFLASH_OK);
        HOLDS(j, clflash_attn_fwd_plan(&plan, ctx, &desc, NULL) == CLFLASH_INVALID_HEADS);
        clflash_context_last_error(ctx, text, sizeof text);
        HOLDS(j, strstr(text, "hq3"));
        for (int i = 0; clflash_engine_get(ctx, i, round & 1, &engine) == CLFLASH_OK; i++)
            HOLDS(j, engine.name[0]);
        HOLDS(j, clflash_context_cl(ctx) && clflash_context_device(ctx));
    }
}

START_TEST(questions_and_errors) { run(ask); }
END_TEST

enum { H = 2, S = 21, D = 8 };

static void forward(job *j)
{
    float q[S * H * D], k[S * H * D], v[S * H * D], o[S * H * D], want[S * H * D];
    for (int round = 0; round < ROUNDS; round++) {
        const clflash_attn_desc desc = {.q_heads = H,
                                        .q_len = S - (j->index + round) % 3,
                                        .head_dim = D,
                                        .mask.causal = CLFLASH_CAUSAL_TOP_LEFT};
        const int n = desc.q_len * H * D;
        for (int i = 0; i < n; i++) {
            q[i] = sinf((float)(i + j->index));
            k[i] = cosf((float)(i * 3 + round));
            v[i] = sinf((float)(i * 7 - j->index));
            o[i] = NAN;
        }
        clflash_attn_host_args args = {.q = q, .k = k, .v = v, .o = o};
        HOLDS(j, clflash_attn_fwd_host(ctx, &desc, &args) == CLFLASH_OK);
        args.o = want;
        HOLDS(j, clflash_ref_attn_fwd(&desc, &args) == CLFLASH_OK);
        for (int i = 0; i < n; i++)
            HOLDS(j, fabsf(o[i] - want[i]) <= 1e-5f);
    }
}

START_TEST(host_calls) { run(forward); }
END_TEST

int main(void)
{
    Suite *suite = suite_create("threads");
    TCase *host = tcase_create("host"), *calls = tcase_create("calls");
    tcase_add_test(host, programs_are_built_once_and_shared);
    tcase_add_test(host, launches_of_one_kernel_do_not_mix);
    tcase_add_test(host, scratch_is_never_shared);
    tcase_add_test(calls, questions_and_errors);
    tcase_add_test(calls, host_calls);
    suite_add_tcase(suite, host);
    suite_add_tcase(suite, calls);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
