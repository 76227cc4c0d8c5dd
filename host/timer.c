/* timer.c -- device time by profiling events, wall time by the monotonic clock. (L1) */
#define _POSIX_C_SOURCE 200809L
#include "host/timer.h"

#include "host/cl_check.h"
#include "host/context_internal.h"

#include <time.h>

clflash_status clfi_timer_queue(clflash_context *ctx, cl_command_queue *queue, clfi_err *err)
{
    cl_int code = CL_SUCCESS;
    *queue = clCreateCommandQueue(ctx->cl, ctx->device, CL_QUEUE_PROFILING_ENABLE, &code);
    if (code != CL_SUCCESS)
        *queue = NULL;
    CL_TRY(err, code);
    return CLFLASH_OK;
}

void clfi_timer_queue_release(cl_command_queue queue)
{
    if (queue)
        clReleaseCommandQueue(queue);
}

clflash_status clfi_timer_span_ms(cl_event first, cl_event last, double *ms, clfi_err *err)
{
    cl_ulong start = 0, end = 0;
    *ms = 0;
    CL_TRY(err,
           clGetEventProfilingInfo(first, CL_PROFILING_COMMAND_START, sizeof start, &start, NULL));
    CL_TRY(err, clGetEventProfilingInfo(last, CL_PROFILING_COMMAND_END, sizeof end, &end, NULL));
    *ms = end > start ? (double)(end - start) * 1e-6 : 0;
    return CLFLASH_OK;
}

double clfi_clock_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}
