/* peak.c -- measured ceilings of a device: multiply-adds, copy, launch. (L1) */
#include "host/cl_check.h"
#include "host/kernel.h"
#include "host/memory.h"
#include "host/timer.h"

#include <stdio.h>

#define SOURCE "peak.cl"
/* So large that caches do not serve it and a launch (10 us) does not count. */
#define COPY_BYTES_CPU ((int64_t)256 << 20)
#define COPY_BYTES_GPU ((int64_t)1 << 30)
#define EMPTY_BATCH 200
#define MIN_ROUNDS 4 /* the first also pays for warming up */

typedef struct peak_run {
    clflash_context *ctx;
    cl_command_queue queue;
    cl_mem a, b;
    int64_t bytes; /* of each buffer */
    clfi_kernel *fma, *copy, *empty;
    int32_t lanes, chains;
    size_t work_group;
    clfi_err *err;
} peak_run;

static clflash_status make(peak_run *r)
{
    const clfi_profile *dev = clfi_context_profile(r->ctx);
    char options[96];
    /* 12 chains hide the latency of two FMA units (4 or 5 cycles); a GPU hides the rest by
     * its many work-items. */
    r->lanes = dev->cpu ? (dev->vector_width >= 16 ? 16 : 8) : 1;
    r->chains = dev->cpu ? 12 : 16;
    r->work_group = dev->cpu ? 1 : dev->max_work_group >= 256 ? 256 : 64;
    snprintf(options, sizeof options, "-DP_LANES=%d -DP_CHAINS=%d -DP_WG=%zu", r->lanes, r->chains,
             r->work_group);
    CLF_TRY(clfi_kernel_get(&r->fma, r->ctx, SOURCE, "clf_peak_fma", options, r->err));
    CLF_TRY(clfi_kernel_get(&r->copy, r->ctx, SOURCE, "clf_peak_copy", options, r->err));
    CLF_TRY(clfi_kernel_get(&r->empty, r->ctx, SOURCE, "clf_peak_empty", options, r->err));
    r->bytes = dev->cpu ? COPY_BYTES_CPU : COPY_BYTES_GPU;
    while (r->bytes > dev->max_alloc_bytes || r->bytes > dev->global_bytes / 8)
        r->bytes /= 2;
    CLF_TRY(clfi_mem_create(r->ctx, r->bytes, &r->a, r->err));
    CLF_TRY(clfi_mem_create(r->ctx, r->bytes, &r->b, r->err));
    CLF_TRY(clfi_mem_fill_zero(r->queue, r->a, 0, r->bytes, r->err));
    CLF_TRY(clfi_mem_fill_zero(r->queue, r->b, 0, r->bytes, r->err));
    return clfi_queue_finish(r->queue, r->err);
}

static void drop(peak_run *r)
{
    clfi_kernel_release(r->fma);
    clfi_kernel_release(r->copy);
    clfi_kernel_release(r->empty);
    clfi_mem_release(r->a);
    clfi_mem_release(r->b);
}

/* Wall time of one launch and its finish. */
static clflash_status timed(const peak_run *r, clfi_kernel *k, const clfi_arg *args, int32_t n,
                            size_t global, double *seconds)
{
    const double start = clfi_clock_s();
    CLF_TRY(clfi_kernel_launch(k, r->queue, args, n, 1, &global, &r->work_group, 0, NULL, NULL,
                               r->err));
    CLF_TRY(clfi_queue_finish(r->queue, r->err));
    *seconds = clfi_clock_s() - start;
    return CLFLASH_OK;
}

/* The best of launches over `seconds`; steps grow until a launch lasts 5 ms. */
static clflash_status fma_gflops(const peak_run *r, double seconds, double *gflops)
{
    const clfi_profile *dev = clfi_context_profile(r->ctx);
    const size_t groups = (size_t)dev->compute_units * (dev->cpu ? 8 : 64);
    const size_t global = groups * r->work_group;
    const cl_float x = 0.999f, y = 1e-3f;
    cl_int steps = 4096, rounds = 0;
    const double end = clfi_clock_s() + seconds;
    *gflops = 0;
    do {
        const clfi_arg args[] = {CLFI_ARG_MEM(r->a), CLFI_ARG(x), CLFI_ARG(y), CLFI_ARG(steps)};
        double s;
        CLF_TRY(timed(r, r->fma, args, 4, global, &s));
        const double flops = 2.0 * r->lanes * r->chains * (double)steps * (double)global;
        *gflops = flops / s * 1e-9 > *gflops ? flops / s * 1e-9 : *gflops;
        if (s < 5e-3 && steps < 1 << 24)
            steps *= 2;
    } while (++rounds < MIN_ROUNDS || clfi_clock_s() < end);
    return CLFLASH_OK;
}

static clflash_status copy_gbs(const peak_run *r, double seconds, double *gbs)
{
    const clfi_profile *dev = clfi_context_profile(r->ctx);
    const cl_int run = dev->cpu ? 4096 : 1;
    const size_t items = (size_t)(r->bytes / 16 / run);
    const size_t global = items / r->work_group * r->work_group;
    const clfi_arg args[] = {CLFI_ARG_MEM(r->b), CLFI_ARG_MEM(r->a), CLFI_ARG(run)};
    const double bytes = 2.0 * (double)global * run * 16, end = clfi_clock_s() + seconds;
    int rounds = 0;
    *gbs = 0;
    do {
        double s;
        CLF_TRY(timed(r, r->copy, args, 3, global, &s));
        *gbs = bytes / s * 1e-9 > *gbs ? bytes / s * 1e-9 : *gbs;
    } while (++rounds < MIN_ROUNDS || clfi_clock_s() < end);
    return CLFLASH_OK;
}

static clflash_status launch_us(const peak_run *r, double *launch, double *enqueue)
{
    const clfi_arg args[] = {CLFI_ARG_MEM(r->a)};
    double s;
    *launch = 1e9;
    for (int i = 0; i < 20; i++) {
        CLF_TRY(timed(r, r->empty, args, 1, r->work_group, &s));
        *launch = s * 1e6 < *launch ? s * 1e6 : *launch;
    }
    /* Host time of an enqueue in a stream, the driver's own work included. */
    *enqueue = 1e9;
    for (int round = 0; round < 5; round++) {
        const double start = clfi_clock_s();
        for (int i = 0; i < EMPTY_BATCH; i++)
            CLF_TRY(clfi_kernel_launch(r->empty, r->queue, args, 1, 1, &r->work_group,
                                       &r->work_group, 0, NULL, NULL, r->err));
        const double us = (clfi_clock_s() - start) * 1e6 / EMPTY_BATCH;
        *enqueue = us < *enqueue ? us : *enqueue;
        CLF_TRY(clfi_queue_finish(r->queue, r->err));
    }
    return CLFLASH_OK;
}

static clflash_status measure(peak_run *r, double seconds, clflash_peak *peak)
{
    CLF_TRY(make(r));
    CLF_TRY(fma_gflops(r, 0.6 * seconds, &peak->fma_gflops));
    CLF_TRY(copy_gbs(r, 0.3 * seconds, &peak->copy_gbs));
    return launch_us(r, &peak->launch_us, &peak->enqueue_us);
}

clflash_status clflash_peak_measure(clflash_context *ctx, double seconds, clflash_peak *peak)
{
    if (!ctx || !peak)
        return CLFLASH_INVALID_ARGUMENT;
    *peak = (clflash_peak){0};
    clfi_err err = {0};
    peak_run r = {.ctx = ctx, .queue = clflash_context_queue(ctx), .err = &err};
    const clflash_status status = measure(&r, seconds > 0 ? seconds : 0.5, peak);
    drop(&r);
    if (status != CLFLASH_OK) {
        *peak = (clflash_peak){0};
        return clfi_context_fail(ctx, "peak", &err, NULL);
    }
    return CLFLASH_OK;
}
