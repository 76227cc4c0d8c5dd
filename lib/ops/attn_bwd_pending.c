/* attn_bwd_pending.c -- goes when attn_bwd_standard.c and attn_bwd_bias.c come. */
#include "lib/ops/plan.h"

clflash_status clfi_bwd_bias_make(clflash_plan *plan, clfi_err *err)
{
    (void)plan;
    return clfi_fail(err, CLFLASH_UNSUPPORTED, "no gradient of the bias yet");
}
clflash_status clfi_bwd_bias_enqueue(const clflash_plan *plan, const clfi_attn_bwd_call *call,
                                     cl_uint n_wait, const cl_event *wait_list, cl_event *event,
                                     clfi_err *err)
{
    (void)plan, (void)call, (void)n_wait, (void)wait_list, (void)event;
    return clfi_fail(err, CLFLASH_UNSUPPORTED, "no gradient of the bias yet");
}
