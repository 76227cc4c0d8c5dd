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
    rules.op = CLFLASH_OP_FWD;
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
    if (out)
        *out = NULL;
    if (!out || !plan)
        return CLFLASH_INVALID_ARGUMENT;
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
        pthread_mutex_init(&m->lock, NULL);
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
    clfi_event_release(m->built);
    pthread_mutex_destroy(&m->lock);
    clfi_free(clfi_context_allocator(m->ctx), m);
    *mask = NULL;
}

static clflash_status build(clflash_block_mask *m, cl_command_queue queue,
                            const clflash_mask_arrays *arrays, cl_uint n_wait,
                            const cl_event *wait_list, cl_event *event, clfi_err *err)
{
    clfi_attn_call call = {.blocks = m->records};
    cl_event built = NULL;
    CLF_REQUIRE(err, arrays, CLFLASH_INVALID_ARGUMENT, "arrays is NULL");
    CLF_REQUIRE(err, n_wait == 0 || wait_list, CLFLASH_INVALID_ARGUMENT,
                "n_wait is %u but wait_list is NULL", n_wait);
    CLF_TRY(clfi_queue_resolve(m->ctx, queue, &call.queue, &call.out_of_order, err));
    CLF_TRY(clfi_attn_call_arrays(&call, m->ctx, &m->p, arrays, err));
    call.a.nqb = m->nqb;
    call.a.nkb = m->nkb;
    CLF_TRY(clfi_blocks_enqueue(&m->builder, &call, &m->p, m->block_q, m->block_kv, n_wait,
                                wait_list, &built, err));
    if (event) {
        clfi_event_retain(built);
        *event = built;
    }
    pthread_mutex_lock(&m->lock);
    cl_event old = m->built;
    m->built = built;
    pthread_mutex_unlock(&m->lock);
    clfi_event_release(old);
    return CLFLASH_OK;
}

clflash_status clflash_block_mask_build(clflash_block_mask *mask, cl_command_queue queue,
                                        const clflash_mask_arrays *arrays, cl_uint n_wait,
                                        const cl_event *wait_list, cl_event *event)
{
    if (event)
        *event = NULL;
    if (!mask)
        return CLFLASH_INVALID_ARGUMENT;
    clfi_err err;
    err.status = CLFLASH_OK;
    err.text[0] = '\0';
    if (build(mask, queue, arrays, n_wait, wait_list, event, &err) != CLFLASH_OK)
        return clfi_context_fail(mask->ctx, "block mask", &err, mask->problem);
    return CLFLASH_OK;
}

/* ---- for plans ---- */

/* What decides the records; terms, head sizes and dtype do not. */
static bool same_rules(const clfi_attn *p, const clfi_attn *o)
{
    return p->b == o->b && p->sq == o->sq && p->sk == o->sk && p->band == o->band &&
           p->band_lo == o->band_lo && p->band_hi == o->band_hi && p->q_pos0 == o->q_pos0 &&
           p->seg == o->seg && (p->pos && p->band) == (o->pos && o->band) && p->kvlen == o->kvlen &&
           p->boolean == o->boolean;
}

clflash_status clfi_block_mask_fits(const clflash_block_mask *m, const clflash_plan *plan,
                                    clfi_err *err)
{
    CLF_REQUIRE(err, plan->p.blocks && plan->block_q > 0, CLFLASH_EXTRA_BUFFER,
                "block_mask: given but the plan does not use one");
    CLF_REQUIRE(err, m->ctx == plan->ctx, CLFLASH_FOREIGN_CONTEXT,
                "block_mask: made on another context");
    CLF_REQUIRE(err, m->block_q == plan->block_q && m->block_kv == plan->block_kv,
                CLFLASH_FOREIGN_PLAN, "block_mask: its blocks are %d x %d, the plan's %d x %d",
                m->block_q, m->block_kv, plan->block_q, plan->block_kv);
    CLF_REQUIRE(err, same_rules(&m->p, &plan->p), CLFLASH_FOREIGN_PLAN,
                "block_mask: made for other lengths or rules, those of [%s]", m->problem);
    return CLFLASH_OK;
}

/* The newest build's event, retained; NULL = never built. */
static cl_event newest_build(const clflash_block_mask *mask)
{
    clflash_block_mask *m = (clflash_block_mask *)(uintptr_t)mask; /* for its lock only */
    pthread_mutex_lock(&m->lock);
    cl_event built = m->built;
    if (built)
        clfi_event_retain(built);
    pthread_mutex_unlock(&m->lock);
    return built;
}

clflash_status clfi_block_mask_count(const clflash_block_mask *m, int64_t *visited, int64_t *masked,
                                     clfi_err *err)
{
    const clflash_allocator *a = clfi_context_allocator(m->ctx);
    const int64_t n = (int64_t)m->nqb * m->p.b, bytes = n * CLF_BLOCK_INTS * 4;
    cl_event built = newest_build(m);
    CLF_REQUIRE(err, built, CLFLASH_INVALID_ARGUMENT, "block_mask: it was never built");
    int32_t *records = clfi_alloc(a, (size_t)n * CLF_BLOCK_INTS, sizeof *records);
    clflash_status status = records ? clfi_event_wait(built, err)
                                    : clfi_fail(err, CLFLASH_OUT_OF_MEMORY,
                                                "no memory for %lld block records", (long long)n);
    if (status == CLFLASH_OK)
        status = clfi_mem_read(clflash_context_queue(m->ctx), m->records, 0, bytes, records, err);
    *visited = *masked = 0;
    for (int64_t i = 0; status == CLFLASH_OK && i < n; i++) {
        *visited += records[i * CLF_BLOCK_INTS + CLF_BLOCK_VISITED];
        *masked += records[i * CLF_BLOCK_INTS + CLF_BLOCK_MASKED];
    }
    clfi_free(a, records);
    clfi_event_release(built);
    return status;
}
