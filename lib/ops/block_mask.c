/* block_mask.c -- block masks: records built on the device, reused by later calls. (L4) */
#include "lib/ops/plan.h"

#include "lib/base/strbuf.h"

#include <string.h>

#define SOURCE "attn_blocks.cl"

int64_t clfi_blocks_bytes(const clfi_attn *p, int32_t nqb, int32_t nkb)
{
    return ((int64_t)nqb + nkb) * p->b * CLF_BLOCK_INTS * (int64_t)sizeof(int32_t);
}

clflash_status clfi_block_builder_make(clfi_block_builder *builder, clflash_context *ctx,
                                       const clfi_attn *p, clfi_err *err)
{
    /* The records depend on the rules only: one program serves every head size and dtype. */
    clfi_attn rules = *p;
    rules.dtype = CLFLASH_F32;
    rules.d = rules.dv = 1;
    rules.softcap = 0;
    rules.alibi = rules.sink = rules.bias = false;
    char text[1024];
    clfi_strbuf options = clfi_strbuf_on(text, sizeof text);
    clfi_attn_options(&rules, &options);
    const clfi_profile *dev = clfi_context_profile(ctx);
    builder->work_group = dev->cpu ? 1 : 64;
    clfi_strbuf_add(&options, " -DT_WG=%d", builder->work_group);
    CLF_TRY(clfi_kernel_get(&builder->summary, ctx, SOURCE, "clf_blocks_summary", text, err));
    return clfi_kernel_get(&builder->range, ctx, SOURCE, "clf_blocks_range", text, err);
}

void clfi_block_builder_free(clfi_block_builder *builder)
{
    clfi_kernel_release(builder->summary);
    clfi_kernel_release(builder->range);
    *builder = (clfi_block_builder){0};
}

clflash_status clfi_blocks_enqueue(const clfi_block_builder *builder, const clfi_attn_call *call,
                                   const clfi_attn *p, int32_t block_q, int32_t block_kv,
                                   cl_uint n_wait, const cl_event *wait_list, cl_event *event,
                                   clfi_err *err)
{
    const clf_attn_args *a = &call->a;
    const size_t wg = (size_t)builder->work_group;
    const size_t global[3] = {wg, (size_t)a->nqb + (size_t)a->nkb, (size_t)p->b};
    const size_t local[3] = {wg, 1, 1};
    clfi_arg args[CLFI_MAX_ARGS];
    int32_t n = 0;
    args[n++] = CLFI_ARG_MEM(call->blocks);
    args[n++] = CLFI_ARG(block_q);
    args[n++] = CLFI_ARG(block_kv);
    /* Terms are no rules: the builder's program was made without their parameters. */
    clfi_attn rules = *p;
    rules.alibi = rules.sink = rules.bias = false;
    n += clfi_attn_call_mask_args(call, &rules, args + n);
    args[n++] = CLFI_ARG(*a);
    cl_event first = NULL;
    CLF_TRY(clfi_kernel_launch(builder->summary, call->queue, args, n, 3, global, local, n_wait,
                               wait_list, call->out_of_order ? &first : NULL, err));
    args[3] = CLFI_ARG(*a);
    const clflash_status status = clfi_kernel_launch(
        builder->range, call->queue, args, 4, 3, global, local, first ? 1 : 0, &first, event, err);
    clfi_event_release(first);
    return status;
}

static clflash_status create(clflash_block_mask *m, const clflash_plan *plan, clfi_err *err)
{
    m->p = plan->p;
    m->block_q = plan->block_q;
    m->block_kv = plan->block_kv;
    m->nqb = plan->nqb;
    m->nkb = plan->nkb;
    memcpy(m->problem, plan->problem, sizeof m->problem);
    CLF_TRY(clfi_block_builder_make(&m->builder, m->ctx, &m->p, err));
    return clfi_mem_create(m->ctx, clfi_blocks_bytes(&m->p, m->nqb, m->nkb), &m->records, err);
}

clflash_status clflash_block_mask_create(clflash_block_mask **out, const clflash_plan *plan)
{
    if (!out || !plan)
        return CLFLASH_INVALID_ARGUMENT;
    *out = NULL;
    clfi_err err = {0};
    clflash_block_mask *m = NULL;
    clflash_status status = CLFLASH_OK;
    if (!plan->p.blocks || plan->block_q == 0)
        status = clfi_fail(&err, CLFLASH_INVALID_ARGUMENT,
                           "engine %s needs no block mask for this problem", plan->engine->name);
    else if (!(m = clfi_alloc(clfi_context_allocator(plan->ctx), 1, sizeof *m)))
        status = clfi_fail(&err, CLFLASH_OUT_OF_MEMORY, "no memory for a block mask");
    if (status == CLFLASH_OK) {
        m->ctx = plan->ctx;
        status = create(m, plan, &err);
    }
    if (status != CLFLASH_OK) {
        clflash_block_mask_destroy(&m);
        return clfi_context_fail(plan->ctx, "block mask", &err, plan->problem);
    }
    *out = m;
    return CLFLASH_OK;
}

void clflash_block_mask_destroy(clflash_block_mask **mask)
{
    if (!mask || !*mask)
        return;
    clflash_block_mask *m = *mask;
    clfi_block_builder_free(&m->builder);
    clfi_mem_release(m->records);
    clfi_free(clfi_context_allocator(m->ctx), m);
    *mask = NULL;
}

static clflash_status build(clflash_block_mask *m, cl_command_queue queue,
                            const clflash_mask_arrays *arrays, cl_uint n_wait,
                            const cl_event *wait_list, cl_event *event, clfi_err *err)
{
    clfi_attn_call call = {.blocks = m->records};
    CLF_REQUIRE(err, arrays, CLFLASH_INVALID_ARGUMENT, "arrays is NULL");
    CLF_TRY(clfi_queue_resolve(m->ctx, queue, &call.queue, &call.out_of_order, err));
    CLF_TRY(clfi_attn_call_arrays(&call, m->ctx, &m->p, arrays, err));
    call.a.nqb = m->nqb;
    call.a.nkb = m->nkb;
    return clfi_blocks_enqueue(&m->builder, &call, &m->p, m->block_q, m->block_kv, n_wait,
                               wait_list, event, err);
}

clflash_status clflash_block_mask_build(clflash_block_mask *mask, cl_command_queue queue,
                                        const clflash_mask_arrays *arrays, cl_uint n_wait,
                                        const cl_event *wait_list, cl_event *event)
{
    if (!mask)
        return CLFLASH_INVALID_ARGUMENT;
    clfi_err err = {0};
    if (build(mask, queue, arrays, n_wait, wait_list, event, &err) != CLFLASH_OK)
        return clfi_context_fail(mask->ctx, "block mask", &err, mask->problem);
    return CLFLASH_OK;
}
