/* timing.c -- timing a stream of calls. (bench)
 *
 * A call may be several kernels (standard attention is), so its device time is taken
 * from end to end: of the call before to its own, with all of them queued ahead. Then
 * launch gaps do not count unless the device really waits for the host. Profiling
 * clocks tick in steps of up to 1 us (NVIDIA 580.159, H200), so calls shorter than a
 * few milliseconds are timed in batches. */
#include "bench/common/timing.h"

#include <stdlib.h>

#define BATCH_S 2e-3 /* length of one sample at least */
#define CHAIN_S 0.1  /* calls queued ahead of the device at a time */
#define LONG_S 20e-3 /* a call this long needs no call before it to hide the start */
#define MAX_BATCH 1000
#define MAX_CHAIN 16

static clflash_status enqueue(const timing *t, cl_event *event)
{
    return call_enqueue(t->args, t->plan, t->dev->queue, event);
}

clflash_status timing_begin(timing *t, const device *dev, const clflash_plan *plan,
                            const bench_call *args)
{
    *t = (timing){.dev = dev, .plan = plan, .args = args, .batch = 1};
    for (int round = 0; round < 3; round++) {
        const double start = app_now();
        clflash_status status = enqueue(t, NULL);
        if (status == CLFLASH_OK)
            status = clFinish(dev->queue);
        if (status != CLFLASH_OK)
            return status;
        const double took = app_now() - start;
        t->guess_s = round == 0 || took < t->guess_s ? took : t->guess_s;
        if (took > 0.5) /* long enough to be warm */
            break;
    }
    const double fit = BATCH_S / t->guess_s;
    t->batch = fit < 1 ? 1 : fit > MAX_BATCH ? MAX_BATCH : (int32_t)(fit + 0.999);
    return CLFLASH_OK;
}

/* The device's clock at the end of a finished command, in ns. */
static bool end_of(cl_event event, cl_ulong *ns)
{
    return clGetEventProfilingInfo(event, CL_PROFILING_COMMAND_END, sizeof *ns, ns, NULL) ==
               CL_SUCCESS &&
           *ns != 0;
}

/* The mark that the first sample is counted from. */
static clflash_status enqueue_mark(const timing *t, cl_event *event)
{
    if (t->guess_s > LONG_S)
        return clEnqueueMarkerWithWaitList(t->dev->queue, 0, NULL, event);
    return enqueue(t, event);
}

static void keep(timing *t, const cl_event *events, int32_t samples, double wall_s)
{
    for (int32_t s = 0; s < samples && t->n < TIMING_MAX_SAMPLES; s++) {
        cl_ulong from = 0, to = 0;
        if (end_of(events[s], &from) && end_of(events[s + 1], &to) && to >= from) {
            t->ms[t->n++] = 1e-6 * (double)(to - from) / t->batch;
        } else {
            t->wall_only = true;
            t->ms[t->n++] = 1e3 * wall_s / ((double)samples * t->batch);
        }
    }
}

static void keep_wall(timing *t, double seconds)
{
    if (t->n_wall < TIMING_MAX_SAMPLES)
        t->wall_ms[t->n_wall++] = 1e3 * seconds;
}

/* `samples` batches in one go, an event at the end of each. */
static clflash_status run_chain(timing *t, int32_t samples)
{
    cl_event events[MAX_CHAIN + 1] = {0};
    const double start = app_now();
    clflash_status status = enqueue_mark(t, &events[0]);
    for (int32_t s = 0; s < samples && status == CLFLASH_OK; s++)
        for (int32_t c = 0; c < t->batch && status == CLFLASH_OK; c++)
            status = enqueue(t, c == t->batch - 1 ? &events[s + 1] : NULL);
    const cl_int code = clFinish(t->dev->queue);
    const double wall = app_now() - start;
    if (status == CLFLASH_OK)
        status = code;
    if (status == CLFLASH_OK)
        keep(t, events, samples, wall);
    if (status == CLFLASH_OK && t->guess_s > LONG_S) /* enqueueing weighs nothing here */
        keep_wall(t, wall / ((double)samples * t->batch));
    for (int32_t s = 0; s <= samples; s++)
        if (events[s])
            clReleaseEvent(events[s]);
    return status;
}

static clflash_status run_wall(timing *t)
{
    const double start = app_now();
    clflash_status status = enqueue(t, NULL);
    const cl_int code = clFinish(t->dev->queue);
    keep_wall(t, app_now() - start);
    return status != CLFLASH_OK ? status : code;
}

clflash_status timing_run(timing *t, double seconds)
{
    const double sample_s = t->guess_s * t->batch, stop = app_now() + seconds;
    const int32_t enough = t->n + (sample_s < seconds ? 3 : 1);
    clflash_status status = CLFLASH_OK;
    do {
        const double fit = CHAIN_S / sample_s;
        status = run_chain(t, fit < 1 ? 1 : fit > MAX_CHAIN ? MAX_CHAIN : (int32_t)fit);
        if (status == CLFLASH_OK && t->guess_s <= LONG_S)
            status = run_wall(t);
    } while (status == CLFLASH_OK && t->n < TIMING_MAX_SAMPLES && !app_interrupted() &&
             (t->n < enough || app_now() + sample_s < stop));
    return status;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int32_t n)
{
    qsort(values, (size_t)n, sizeof *values, by_value);
    return n == 0 ? 0 : n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

timing_stats timing_get(timing *t)
{
    timing_stats s = {.median = median(t->ms, t->n), .wall = median(t->wall_ms, t->n_wall)};
    s.min = t->n ? t->ms[0] : 0;
    s.max = t->n ? t->ms[t->n - 1] : 0;
    if (s.median > 0) /* sorted by median() */
        s.spread = (t->ms[(int64_t)t->n * 3 / 4] - t->ms[t->n / 4]) / s.median;
    return s;
}
