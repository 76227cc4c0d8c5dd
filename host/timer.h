/* timer.h -- device time. (L1) */
#ifndef CLFI_TIMER_H
#define CLFI_TIMER_H

#include "host/context.h"

/* An in-order queue with profiling on the context's device, for tuner and bench-like use. */
clflash_status clfi_timer_queue(clflash_context *ctx, cl_command_queue *queue, clfi_err *err);
void clfi_timer_queue_release(cl_command_queue queue);
/* From the start of the first to the end of the last, in milliseconds; both complete. */
clflash_status clfi_timer_span_ms(cl_event first, cl_event last, double *ms, clfi_err *err);
double clfi_clock_s(void); /* monotonic wall clock */

#endif
