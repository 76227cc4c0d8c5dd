/* attn_plan.c -- from a descriptor to a plan: check, select, probe, build, size. (L4) */
#include "lib/ops/attn_tune.h"
#include "lib/ops/plan.h"

#include "lib/base/strbuf.h"

#include <stdio.h>
#include <string.h>

#define WHY_BYTES 1400
#define MEASURE_DEFAULT_S 10

static int32_t blocks_of(int32_t len, int32_t block)
{
    return block > 0 ? (int32_t)(((int64_t)len + block - 1) / block) : 0;
}

static clflash_status check_built(const clflash_plan *plan, const clfi_kernel *kernel,
                                  const clfi_launch *l, clfi_err *err)
{
    clfi_kernel_facts facts;
    const clfi_profile *dev = clfi_context_profile(plan->ctx);
    clfi_kernel_get_facts(kernel, &facts);
    size_t items = 1;
    for (uint32_t d = 0; d < l->dims; d++)
        items *= l->local[d];
    /* setmaxnreg moves registers between warps, and the driver counts as if every item had the
     * most of them: 256 where 384 run (driver 580.159.04). ptxas has held .reqntid to be true. */
    CLF_REQUIRE(err, items <= facts.max_work_group || plan->engine->retarget,
                CLFLASH_INVALID_TUNABLE,
                "%s: a work-group of %zu, but the built kernel allows %zu", plan->engine->name,
                items, facts.max_work_group);
    CLF_REQUIRE(err, facts.local_bytes <= dev->local_bytes, CLFLASH_INVALID_TUNABLE,
                "%s: the built kernel uses %lld bytes of local memory, the device has %lld",
                plan->engine->name, (long long)facts.local_bytes, (long long)dev->local_bytes);
    return CLFLASH_OK;
}

clflash_status clfi_plan_make_flash(clflash_plan *plan, clfi_err *err)
{
    const clfi_engine *e = plan->engine;
    const clfi_attn *p = &plan->p;
    const clfi_profile *dev = clfi_context_profile(plan->ctx);
    char text[2048];
    clfi_strbuf options = clfi_strbuf_on(text, sizeof text);
    plan->block_q = e->block_q(&plan->row);
    plan->block_kv = e->block_kv(&plan->row);
    plan->nqb = blocks_of(p->sq, plan->block_q);
    plan->nkb = blocks_of(p->sk, plan->block_kv);
    clfi_engine_options(e, p, dev, &plan->row, &options);
    CLF_REQUIRE(err, !options.truncated, CLFLASH_INTERNAL, "%s: its options are too long", e->name);
    e->launch(p, dev, &plan->row, &plan->launch);
    CLF_TRY(clfi_kernel_get_for(&plan->kernel, plan->ctx, e->source, e->kernel, text, e->retarget,
                                err));
    CLF_TRY(check_built(plan, plan->kernel, &plan->launch, err));
    for (int32_t i = 0; i < e->n_more; i++) {
        const clfi_part *part = &e->more[i];
        part->launch(p, dev, &plan->row, &plan->more_launch[i]);
        if (plan->more_launch[i].dims == 0)
            continue;
        CLF_TRY(clfi_kernel_get_for(&plan->more[i], plan->ctx, part->source, part->kernel, text,
                                    e->retarget, err));
        CLF_TRY(check_built(plan, plan->more[i], &plan->more_launch[i], err));
    }
    if (p->blocks)
        CLF_TRY(clfi_block_builder_make(&plan->blocks, plan->ctx, p, err));
    return CLFLASH_OK;
}

clflash_status clfi_plan_check_workspace(const clflash_plan *plan, int64_t max_bytes, clfi_err *err)
{
    CLF_REQUIRE(err, max_bytes == 0 || plan->workspace_bytes <= max_bytes, CLFLASH_UNSUPPORTED,
                "%s: it needs %lld bytes of workspace, more than the %lld allowed",
                plan->engine->name, (long long)plan->workspace_bytes, (long long)max_bytes);
    return CLFLASH_OK;
}

/* No key at all: rows without keys, whatever the engine. */
static clflash_status make_empty(clflash_plan *plan, clfi_err *err)
{
    char options[64];
    snprintf(options, sizeof options, "-DP_DTYPE=%d -DP_OUT_F32=0 -DT_WG=1", (int)plan->p.dtype);
    return clfi_kernel_get(&plan->empty, plan->ctx, "convert.cl", "clf_attn_empty", options, err);
}

static clflash_status make_kernels(clflash_plan *plan, int64_t max_workspace_bytes, clfi_err *err)
{
    const clfi_attn *p = &plan->p;
    if (p->op == CLFLASH_OP_BWD)
        return clfi_bwd_make(plan, max_workspace_bytes, err);
    if (p->b == 0 || p->sq == 0)
        return CLFLASH_OK; /* nothing is ever launched */
    if (p->sk == 0)
        return make_empty(plan, err);
    if (!plan->engine->source)
        return clfi_standard_make(plan, max_workspace_bytes, err);
    CLF_TRY(clfi_plan_make_flash(plan, err));
    if (p->blocks)
        plan->workspace_bytes = clfi_blocks_bytes(p, plan->nqb, plan->nkb);
    plan->scratch_off = (plan->workspace_bytes + 15) / 16 * 4;
    if (plan->engine->scratch_bytes)
        plan->workspace_bytes =
            4 * plan->scratch_off +
            plan->engine->scratch_bytes(p, clfi_context_profile(plan->ctx), &plan->row);
    const clfi_engine *e = plan->engine;
    CLF_TRY(clfi_split_make(plan, e->splits ? e->splits(p, &plan->row) : 1, err));
    return clfi_plan_check_workspace(plan, max_workspace_bytes, err);
}

static clflash_status make_plan(clflash_plan **out, clflash_context *ctx, const clfi_attn *p,
                                const clfi_candidate *c, int64_t max_workspace_bytes, clfi_err *err)
{
    *out = NULL;
    clflash_plan *plan = clfi_alloc(clfi_context_allocator(ctx), 1, sizeof *plan);
    CLF_REQUIRE(err, plan, CLFLASH_OUT_OF_MEMORY, "no memory for a plan");
    plan->ctx = ctx;
    plan->p = *p;
    plan->engine = c->engine;
    plan->row = c->row;
    memcpy(plan->origin, c->origin, sizeof plan->origin);
    clflash_attn_desc_print(&p->desc, plan->problem, sizeof plan->problem);
    const clflash_status status = make_kernels(plan, max_workspace_bytes, err);
    if (status != CLFLASH_OK)
        clflash_plan_destroy(&plan);
    *out = plan;
    return status;
}

clflash_status clfi_plan_candidate(clflash_plan **out, clflash_context *ctx, const clfi_attn *p,
                                   const clfi_candidate *candidate, clfi_err *err)
{
    return make_plan(out, ctx, p, candidate, 0, err);
}

void clflash_plan_destroy(clflash_plan **pointer)
{
    if (!pointer || !*pointer)
        return;
    clflash_plan *plan = *pointer;
    clfi_kernel_release(plan->kernel);
    for (int i = 0; i < CLFI_MAX_PARTS; i++)
        clfi_kernel_release(plan->more[i]);
    clfi_kernel_release(plan->empty);
    clfi_kernel_release(plan->split.merge);
    clfi_bwd_free(&plan->bwd);
    clfi_block_builder_free(&plan->blocks);
    clfi_standard_free(&plan->standard);
    clfi_free(clfi_context_allocator(plan->ctx), plan);
    *pointer = NULL;
}

/* A row of a file or a table that this driver does not take gives way to the safe row. */
static clflash_status try_candidate(clflash_plan **out, clflash_context *ctx, const clfi_attn *p,
                                    const clfi_candidate *c, int64_t max_workspace, clfi_err *err)
{
    const bool launches = p->b > 0 && p->sq > 0 && p->sk > 0;
    if (launches)
        CLF_TRY(clfi_probe(ctx, c->engine, p->dtype, err));
    const clflash_status status = make_plan(out, ctx, p, c, max_workspace, err);
    if (status != CLFLASH_INVALID_TUNABLE && status != CLFLASH_BUILD_FAILED &&
        status != CL_OUT_OF_RESOURCES)
        return status;
    if (!strcmp(c->origin, "caller") || !strcmp(c->origin, "safe"))
        return status;
    clfi_candidate safe = {.engine = c->engine, .origin = "safe"};
    clfi_err again = {0};
    c->engine->safe(p, clfi_context_profile(ctx), &safe.row);
    if (make_plan(out, ctx, p, &safe, max_workspace, &again) != CLFLASH_OK)
        return status;
    clfi_log(ctx, CLFLASH_LOG_WARNING, "%s: the row from the %s failed, the safe one serves: %s",
             c->engine->name, c->origin, err->text);
    return CLFLASH_OK;
}

/* The first candidate that its probe and its build let through. */
static clflash_status first_that_works(clflash_plan **out, clflash_context *ctx, const clfi_attn *p,
                                       const clfi_candidate *c, int32_t n, int64_t max_workspace,
                                       clfi_strbuf *why, clfi_err *err)
{
    clflash_status status = CLFLASH_UNSUPPORTED;
    for (int32_t i = 0; i < n; i++) {
        clfi_err reason = {0};
        status = try_candidate(out, ctx, p, &c[i], max_workspace, &reason);
        if (status == CLFLASH_OK)
            return CLFLASH_OK;
        if (status == CLFLASH_OUT_OF_MEMORY) /* of the host: says nothing of the engine */
            return clfi_fail(err, status, "%s", reason.text);
        clfi_strbuf_add(why, "%s: %.500s\n", c[i].engine->name, reason.text);
        if (i + 1 < n)
            clfi_log(ctx, CLFLASH_LOG_WARNING, "%s does not serve this plan, %s is next: %s",
                     c[i].engine->name, c[i + 1].engine->name, reason.text);
        if (n == 1) /* one engine was asked for, or is left: its own status says more */
            return clfi_fail(err, status, "%s", reason.text);
    }
    return clfi_fail(err, CLFLASH_UNSUPPORTED, "no engine can run it:\n%.1300s", why->text);
}

static bool has_tuned_row(clflash_context *ctx, const clfi_attn *p)
{
    clfi_candidate c[CLFI_MAX_ENGINES];
    int32_t n = 0;
    char text[8];
    clfi_strbuf why = clfi_strbuf_on(text, sizeof text);
    return clfi_select(ctx, p, true, c, &n, &why, NULL) == CLFLASH_OK && n > 0;
}

/* That tuning failed is no reason not to plan. */
static void measure(clflash_context *ctx, const clfi_attn *p, double limit_s)
{
    clfi_err err = {0};
    const clflash_tune_params params = {.seconds = limit_s > 0 ? limit_s : MEASURE_DEFAULT_S,
                                        .all_engines = true};
    clflash_tune_result result;
    clflash_status file = CLFLASH_OK;
    if (clfi_attn_tune(ctx, p, &params, &result, &file, &err) != CLFLASH_OK)
        clfi_log(ctx, CLFLASH_LOG_WARNING, "tuning for this plan failed: %s", err.text);
}

static clflash_status plan_op(clflash_plan **out, clflash_context *ctx, const clfi_attn *p,
                              const clflash_plan_params *params, clfi_err *err)
{
    clfi_candidate c[CLFI_MAX_ENGINES];
    int32_t n = 0;
    char text[WHY_BYTES];
    clfi_strbuf why = clfi_strbuf_on(text, sizeof text);
    const bool cached = params->rigor == CLFLASH_PLAN_CACHED;
    CLF_REQUIRE(err, params->rigor >= CLFLASH_PLAN_ESTIMATE && params->rigor <= CLFLASH_PLAN_CACHED,
                CLFLASH_INVALID_ARGUMENT, "rigor %d is not one of clflash_plan_rigor",
                (int)params->rigor);
    CLF_REQUIRE(err, params->time_limit_s >= 0 && params->max_workspace_bytes >= 0,
                CLFLASH_INVALID_ARGUMENT,
                "time_limit_s = %g or max_workspace_bytes = %lld is negative", params->time_limit_s,
                (long long)params->max_workspace_bytes);
    /* Nothing to compute is nothing to measure. */
    const bool some = p->b > 0 && p->sq > 0 && p->sk > 0;
    if (params->rigor == CLFLASH_PLAN_MEASURE && some && !has_tuned_row(ctx, p))
        measure(ctx, p, params->time_limit_s);
    CLF_TRY(clfi_select(ctx, p, cached, c, &n, &why, err));
    CLF_REQUIRE(err, n > 0 || !cached, CLFLASH_NOT_CACHED, "the tuning file has no row for it");
    CLF_REQUIRE(err, n > 0, CLFLASH_UNSUPPORTED, "no engine can run it:\n%s", text);
    return first_that_works(out, ctx, p, c, n, params->max_workspace_bytes, &why, err);
}

static clflash_status plan(clflash_plan **out, clflash_context *ctx, clflash_op op,
                           const clflash_attn_desc *desc, const clflash_plan_params *params)
{
    static const clflash_plan_params defaults = {0};
    if (out)
        *out = NULL;
    if (!out || !ctx)
        return CLFLASH_INVALID_ARGUMENT;
    clfi_err err = {0};
    clfi_attn p;
    char problem[CLFLASH_PROBLEM_BYTES] = "";
    clflash_status status = clfi_attn_resolve(&p, desc, &err);
    if (desc)
        clflash_attn_desc_print(desc, problem, sizeof problem);
    if (status == CLFLASH_OK)
        status = p.op == op
                     ? plan_op(out, ctx, &p, params ? params : &defaults, &err)
                     : clfi_fail(&err, CLFLASH_INVALID_ARGUMENT, "the descriptor's op is not %s",
                                 op == CLFLASH_OP_BWD ? "bwd" : "fwd");
    if (status != CLFLASH_OK) {
        err.status = status;
        return clfi_context_fail(ctx, "plan", &err, problem[0] ? problem : NULL);
    }
    char row[256];
    clfi_row_print((*out)->engine, &(*out)->row, row, sizeof row);
    clfi_log(ctx, CLFLASH_LOG_INFO, "plan [%s]: %s %s (%s)", problem, (*out)->engine->name, row,
             (*out)->origin);
    return CLFLASH_OK;
}

clflash_status clflash_attn_fwd_plan(clflash_plan **out, clflash_context *ctx,
                                     const clflash_attn_desc *desc,
                                     const clflash_plan_params *params)
{
    return plan(out, ctx, CLFLASH_OP_FWD, desc, params);
}

clflash_status clflash_attn_bwd_plan(clflash_plan **out, clflash_context *ctx,
                                     const clflash_attn_desc *desc,
                                     const clflash_plan_params *params)
{
    return plan(out, ctx, CLFLASH_OP_BWD, desc, params);
}

int64_t clflash_plan_workspace_bytes(const clflash_plan *plan)
{
    return plan ? plan->workspace_bytes : 0;
}
