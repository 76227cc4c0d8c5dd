/* attn_splits.c -- keys in parts: where the records of a part go, and their merge. (L4)
 * What a record is: cl_kernels/attn_args.h, CLF_SPLIT_FLOATS. */
#include "lib/base/checked.h"
#include "lib/base/strbuf.h"
#include "lib/ops/plan.h"

#define ALIGNMENT 64 /* bytes: a cache line */

clflash_status clfi_split_make(clflash_plan *plan, int32_t n, clfi_err *err)
{
    const clfi_attn *p = &plan->p;
    clfi_split *split = &plan->split;
    split->n = n;
    if (n == 1)
        return CLFLASH_OK;
    const int64_t rows = (int64_t)p->b * p->hq * p->sq;
    const int64_t record = CLF_SPLIT_FLOATS((int64_t)p->dv) * (int64_t)sizeof(float);
    split->offset = (plan->workspace_bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    CLF_REQUIRE(err, clfi_mul_add(rows * n, record, split->offset, &plan->workspace_bytes),
                CLFLASH_OUT_OF_MEMORY, "the records of %d parts of the keys reach past 2^63 bytes",
                n);
    char text[128];
    clfi_strbuf options = clfi_strbuf_on(text, sizeof text);
    split->work_group = clfi_context_profile(plan->ctx)->cpu ? 1 : 32;
    clfi_strbuf_add(&options, "-DP_DTYPE=%d -DP_DV=%d -DT_WG=%d", (int)p->dtype, p->dv,
                    (int)split->work_group);
    return clfi_kernel_get(&split->merge, plan->ctx, "attn_merge.cl", "clf_attn_merge", text, err);
}

static int64_t records_off(const clflash_plan *plan, const clfi_attn_call *call)
{
    return (call->workspace_offset + plan->split.offset) / (int64_t)sizeof(float);
}

clfi_attn_call clfi_split_call(const clflash_plan *plan, const clfi_attn_call *call)
{
    clfi_attn_call part = *call;
    part.lse = call->workspace;
    part.a.lse_off = records_off(plan, call);
    return part;
}

clflash_status clfi_split_merge(const clflash_plan *plan, const clfi_attn_call *call,
                                cl_uint n_wait, const cl_event *wait_list, cl_event *event,
                                clfi_err *err)
{
    const clfi_attn *p = &plan->p;
    const clfi_split *split = &plan->split;
    const cl_long off = records_off(plan, call);
    const clfi_arg args[] = {
        CLFI_ARG_MEM(call->workspace),
        CLFI_ARG(off),
        CLFI_ARG_MEM(call->o),
        {sizeof(cl_mem), call->lse ? &call->lse : NULL},
        CLFI_ARG(call->a)
    };
    const size_t global[] = {(size_t)p->sq * split->work_group, (size_t)p->hq, (size_t)p->b};
    const size_t local[] = {split->work_group, 1, 1};
    return clfi_kernel_launch(split->merge, call->queue, args, 5, 3, global, local, n_wait,
                              wait_list, event, err);
}
