/* test_attn_huge.c -- tensors of more than 2^31 elements, on devices that have the memory.
 *
 * The data is one block of random values over and over, of a length that no dimension
 * divides, so that an index that lost its upper bits finds other values. A few batches on
 * both sides of element 2^31 are compared with the reference. CLFT_HUGE_BATCH=n tries the
 * test itself on a small batch. */
#include "tests/support/device.h"
#include "tests/support/main.h"

#include "host/memory.h"
#include "lib/base/half.h"
#include "lib/plan/engine.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { HEADS = 16, LEN = 64, DIM = 128, PER_BATCH = HEADS * LEN * DIM };
enum { BATCH = 16400 }; /* 2^31 is the start of batch 16384 */
#define BLOCK 16777259  /* elements: a prime */

static uint16_t *block;
static int32_t batch = BATCH;

static cl_mem make_tensor(const clft_session *s, int64_t first)
{
    clfi_err err = {0};
    const int64_t n = (int64_t)batch * PER_BATCH;
    cl_mem mem;
    ck_assert_msg(clfi_mem_create(s->ctx, 2 * n, &mem, &err) == CLFLASH_OK, "%s", err.text);
    for (int64_t at = 0; at < n;) {
        const int64_t from = (first + at) % BLOCK, left = BLOCK - from;
        const int64_t count = left < n - at ? left : n - at;
        ck_assert_int_eq(clfi_mem_write(s->in_order, mem, 2 * at, 2 * count, block + from, &err),
                         CLFLASH_OK);
        at += count;
    }
    return mem;
}

/* Where the tensors begin within the pattern. */
static const int64_t starts[] = {0, 5000011, 9000011, 13000027};

/* The part of a tensor that is batch b. */
static void copy_batch(int tensor, int32_t b, uint16_t *to)
{
    const int64_t at = starts[tensor] + (int64_t)b * PER_BATCH;
    for (int64_t e = 0; e < PER_BATCH; e++)
        to[e] = block[(at + e) % BLOCK];
}

static double worst(const uint16_t *got, const double *want)
{
    double most = 0;
    for (int64_t e = 0; e < PER_BATCH; e++) {
        const double d = fabs((double)clflash_f32_from_bf16(got[e]) - want[e]);
        most = isnan(d) ? INFINITY : d > most ? d : most;
    }
    return most;
}

static void read_batch(const clft_session *s, cl_mem mem, int32_t b, uint16_t *to)
{
    clfi_err err = {0};
    ck_assert_int_eq(
        clfi_mem_read(s->in_order, mem, 2 * (int64_t)b * PER_BATCH, 2 * PER_BATCH, to, &err),
        CLFLASH_OK);
}

static clflash_attn_desc huge(clflash_op op, int32_t b, const char *engine)
{
    clflash_attn_desc d = {.op = op,
                           .dtype = CLFLASH_BF16,
                           .batch = b,
                           .q_heads = HEADS,
                           .q_len = LEN,
                           .head_dim = DIM,
                           .mask = {.causal = CLFLASH_CAUSAL_BOTTOM_RIGHT}};
    snprintf(d.choice.engine, sizeof d.choice.engine, "%s", engine);
    return d;
}

typedef struct buffers {
    cl_mem q, k, v, o, dout, lse, dq, dk, dv;
} buffers;

/* Batches at the ends and around element 2^31. */
static void check_forward(const clft_session *s, const buffers *m, const char *engine)
{
    static uint16_t in[3][PER_BATCH], got[PER_BATCH];
    static double want[PER_BATCH];
    const int32_t at[] = {0, batch / 2, batch - 17, batch - 16, batch - 1};
    const clflash_attn_desc one = huge(CLFLASH_OP_FWD, 1, "");
    for (int i = 0; i < 5; i++) {
        for (int t = 0; t < 3; t++)
            copy_batch(t, at[i], in[t]);
        const clflash_attn_host_args args = {.q = in[0], .k = in[1], .v = in[2]};
        ck_assert_int_eq(clflash_ref_attn_fwd_f64(&one, &args, want, NULL), CLFLASH_OK);
        read_batch(s, m->o, at[i], got);
        const double error = worst(got, want);
        ck_assert_msg(error <= 0.02, "%s: o of batch %d differs by %.3g", engine, at[i], error);
    }
}

static void check_backward(const clft_session *s, const buffers *m, const char *engine)
{
    static uint16_t in[4][PER_BATCH], got[PER_BATCH];
    static double want[3][PER_BATCH];
    const int32_t at[] = {0, batch - 17, batch - 16, batch - 1};
    const clflash_attn_desc one = huge(CLFLASH_OP_BWD, 1, "");
    const cl_mem gradients[] = {m->dq, m->dk, m->dv};
    static const char *const names[] = {"dq", "dk", "dv"};
    for (int i = 0; i < 4; i++) {
        for (int t = 0; t < 4; t++)
            copy_batch(t, at[i], in[t]);
        const clflash_attn_bwd_host_args args = {
            .fwd = {.q = in[0], .k = in[1], .v = in[2]},
              .dout = in[3]
        };
        const clflash_ref_gradients out = {.dq = want[0], .dk = want[1], .dv = want[2]};
        ck_assert_int_eq(clflash_ref_attn_bwd_f64(&one, &args, &out), CLFLASH_OK);
        for (int g = 0; g < 3; g++) {
            read_batch(s, gradients[g], at[i], got);
            const double error = worst(got, want[g]);
            ck_assert_msg(error <= 0.05, "%s: %s of batch %d differs by %.3g", engine, names[g],
                          at[i], error);
        }
    }
}

/* Whether the device's word and the machine allow `n` tensors. */
static bool has_memory(const clft_session *s, int n)
{
    const clfi_profile *dev = clfi_context_profile(s->ctx);
    const int64_t bytes = 2 * (int64_t)batch * PER_BATCH;
    return dev->max_alloc_bytes >= bytes && dev->global_bytes / 4 * 3 >= n * bytes;
}

static void forward(const clft_session *s, const buffers *m, clflash_plan *plan)
{
    const clflash_attn_fwd_args args = {
        .q = {m->q}, .k = {m->k}, .v = {m->v}, .o = {m->o}, .lse = {m->lse}};
    ck_assert_int_eq(clflash_attn_fwd(plan, s->in_order, &args, 0, NULL, NULL), CLFLASH_OK);
    ck_assert_int_eq(clfi_queue_finish(s->in_order, NULL), CLFLASH_OK);
}

static void backward(const clft_session *s, const buffers *m, clflash_plan *plan)
{
    const clflash_attn_bwd_args args = {.q = {m->q},
                                        .k = {m->k},
                                        .v = {m->v},
                                        .o = {m->o},
                                        .lse = {m->lse},
                                        .dout = {m->dout},
                                        .dq = {m->dq},
                                        .dk = {m->dk},
                                        .dv = {m->dv}};
    ck_assert_int_eq(clflash_attn_bwd(plan, s->in_order, &args, 0, NULL, NULL), CLFLASH_OK);
    ck_assert_int_eq(clfi_queue_finish(s->in_order, NULL), CLFLASH_OK);
}

/* Every flash engine that the device has; the buffers stay. */
static void every_engine(const clft_session *s, const buffers *m, clflash_op op)
{
    int32_t n, ran = 0;
    const clfi_engine *const *engines = clfi_engines(op, &n);
    for (int32_t e = 0; e < n; e++) {
        const clflash_attn_desc d = huge(op, batch, engines[e]->name);
        clflash_plan *plan;
        if (!engines[e]->flash)
            continue;
        const clflash_status status = op == CLFLASH_OP_BWD
                                          ? clflash_attn_bwd_plan(&plan, s->ctx, &d, NULL)
                                          : clflash_attn_fwd_plan(&plan, s->ctx, &d, NULL);
        if (status == CLFLASH_UNSUPPORTED)
            continue;
        ck_assert_msg(status == CLFLASH_OK, "%s: status %d", engines[e]->name, (int)status);
        if (op == CLFLASH_OP_BWD) {
            backward(s, m, plan);
            check_backward(s, m, engines[e]->name);
        } else {
            forward(s, m, plan);
            check_forward(s, m, engines[e]->name);
        }
        clflash_plan_destroy(&plan);
        ran++;
    }
    ck_assert_int_gt(ran, 0);
}

static cl_mem make_buffer(const clft_session *s, int64_t bytes)
{
    cl_mem mem;
    clfi_err err = {0};
    ck_assert_msg(clfi_mem_create(s->ctx, bytes, &mem, &err) == CLFLASH_OK, "%s", err.text);
    return mem;
}

START_TEST(indices_pass_2_to_31)
{
    const clft_session *s = clft_session_get();
    const int64_t bytes = 2 * (int64_t)batch * PER_BATCH;
    if (!has_memory(s, 4)) {
        fprintf(stderr, "# not run: the device has no room for 4 tensors of %lld bytes\n",
                (long long)bytes);
        return;
    }
    buffers m = {.q = make_tensor(s, starts[0]),
                 .k = make_tensor(s, starts[1]),
                 .v = make_tensor(s, starts[2]),
                 .o = make_buffer(s, bytes),
                 .lse = make_buffer(s, (int64_t)batch * HEADS * LEN * 4)};
    every_engine(s, &m, CLFLASH_OP_FWD);
    if (has_memory(s, 8)) {
        m.dout = make_tensor(s, starts[3]);
        m.dq = make_buffer(s, bytes);
        m.dk = make_buffer(s, bytes);
        m.dv = make_buffer(s, bytes);
        every_engine(s, &m, CLFLASH_OP_BWD);
    }
    const cl_mem all[] = {m.q, m.k, m.v, m.o, m.lse, m.dout, m.dq, m.dk, m.dv};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        clfi_mem_release(all[i]);
}
END_TEST

int main(void)
{
    clft_rng r = {7};
    if (getenv("CLFT_HUGE_BATCH"))
        batch = atoi(getenv("CLFT_HUGE_BATCH"));
    block = malloc(sizeof *block * BLOCK);
    if (!block || batch < 18)
        return EXIT_FAILURE;
    for (int64_t e = 0; e < BLOCK; e++)
        block[e] = clflash_bf16_from_f32(clft_uniform(&r, -1, 1));
    Suite *suite = suite_create("attn_huge");
    clft_add(suite, indices_pass_2_to_31, 1);
    const int status = clft_main(suite, clft_session_end);
    free(block);
    return status;
}
