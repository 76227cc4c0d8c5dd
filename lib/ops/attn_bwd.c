/* attn_bwd.c -- the backward: what every engine shares, and one call from end to end. (L4)
 *
 * In turn: [recompute: the forward] -> [block mask] -> rows (LSE, delta) -> the engine's kernels
 * -> [dsink] -> [dbias]. Nothing is allocated on the way. */
#include "lib/ops/enqueue.h"
#include "lib/ops/plan.h"

#include <stdio.h>
#include <string.h>

#define SOURCE "attn_bwd_rows.cl"
#define ALIGN 64 /* floats: the parts of the workspace start at multiples of 256 bytes */

/* ---- the plan ---- */

static bool has_pairs(const clfi_attn *p) { return p->b > 0 && p->sq > 0 && p->sk > 0; }

static clflash_status rows_kernel(clfi_kernel **kernel, const clflash_plan *plan, const char *entry,
                                  clflash_dtype dtype, bool grad_f32, clfi_err *err)
{
    char options[128];
    snprintf(options, sizeof options,
             "-DP_DTYPE=%d -DP_DV=%d -DP_GRAD_F32=%d -DP_DET=1 -DT_WG=%d -DT_LANES=%d", (int)dtype,
             plan->p.dv, grad_f32, (int)plan->bwd.rows_group, (int)plan->bwd.rows_lanes);
    return clfi_kernel_get(kernel, plan->ctx, SOURCE, entry, options, err);
}

static clflash_status make_shared(clflash_plan *plan, clfi_err *err)
{
    const clfi_attn *p = &plan->p;
    clfi_bwd *bwd = &plan->bwd;
    const clfi_profile *dev = clfi_context_profile(plan->ctx);
    bwd->rows_group = dev->cpu ? 1 : 64;
    bwd->rows_lanes = dev->cpu ? 1 : 8;
    if (!has_pairs(p)) {
        CLF_TRY(rows_kernel(&bwd->none, plan, "clf_attn_bwd_none", p->dtype, p->grad_f32, err));
        /* dsink is f32, dbias either: the call takes one of the two programs. */
        return rows_kernel(&bwd->none_f32, plan, "clf_attn_bwd_none", p->dtype, true, err);
    }
    CLF_TRY(rows_kernel(&bwd->rows, plan, "clf_attn_bwd_rows", p->dtype, p->grad_f32, err));
    if (p->sink)
        CLF_TRY(rows_kernel(&bwd->sink, plan, "clf_attn_bwd_sink", p->dtype, p->grad_f32, err));
    return p->bias ? clfi_bwd_bias_make(plan, err) : CLFLASH_OK;
}

/* The forward that makes o and lse again: automatic in all but the kind of algorithm. */
static clflash_status make_forward(clflash_plan *plan, int64_t max_workspace_bytes, clfi_err *err)
{
    clflash_attn_desc desc = plan->p.desc;
    const clflash_plan_params params = {.max_workspace_bytes = max_workspace_bytes};
    desc.op = CLFLASH_OP_FWD;
    desc.grad_f32 = desc.recompute = false;
    desc.choice = (clflash_attn_choice){.algo = desc.choice.algo};
    const clflash_status status =
        clflash_attn_fwd_plan(&plan->bwd.forward, plan->ctx, &desc, &params);
    char text[512];
    return status == CLFLASH_OK
               ? status
               : clfi_fail(err, status, "recompute: %s",
                           clflash_context_last_error(plan->ctx, text, sizeof text));
}

static int64_t place(int64_t *end, int64_t bytes)
{
    const int64_t at = *end, floats = (bytes + 3) / 4;
    *end = (at + floats + ALIGN - 1) / ALIGN * ALIGN;
    return at;
}

/* All but the last part, at scratch_off: the forward's workspace, then the engine's own. */
static int64_t lay_out(clflash_plan *plan)
{
    const clfi_attn *p = &plan->p;
    clfi_bwd *bwd = &plan->bwd;
    const int64_t rows = (int64_t)p->b * p->hq * p->sq;
    int64_t end = 0;
    bwd->rows_off = place(&end, 2 * 4 * rows);
    if (p->blocks && plan->block_q)
        bwd->blocks_off = place(&end, clfi_blocks_bytes(p, plan->nqb, plan->nkb));
    if (p->recompute) {
        bwd->o_off = place(&end, rows * p->dv * (int64_t)clflash_dtype_bytes(p->dtype));
        bwd->lse_off = place(&end, 4 * rows);
    }
    bwd->scratch_off = end;
    return 4 * end;
}

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

clflash_status clfi_bwd_make(clflash_plan *plan, int64_t max_workspace_bytes, clfi_err *err)
{
    const clfi_attn *p = &plan->p;
    const clfi_engine *e = plan->engine;
    CLF_TRY(make_shared(plan, err));
    if (!has_pairs(p))
        return CLFLASH_OK;
    if (e->source)
        CLF_TRY(clfi_plan_make_flash(plan, err));
    const int64_t fixed = lay_out(plan);
    /* What is left of the limit; at least a byte, for 0 would be none. */
    const int64_t rest = max_workspace_bytes > 0 ? larger(max_workspace_bytes - fixed, 1) : 0;
    int64_t scratch = 0;
    if (e->scratch_bytes)
        scratch = e->scratch_bytes(p, clfi_context_profile(plan->ctx), &plan->row);
    if (!e->source) {
        CLF_TRY(clfi_standard_bwd_make(plan, rest, err));
        scratch = clfi_standard_bwd_scratch_bytes(plan);
    }
    if (p->recompute) {
        CLF_TRY(make_forward(plan, rest, err));
        scratch = larger(scratch, clflash_plan_workspace_bytes(plan->bwd.forward));
    }
    plan->workspace_bytes = fixed + scratch;
    return clfi_plan_check_workspace(plan, max_workspace_bytes, err);
}

void clfi_bwd_free(clfi_bwd *bwd)
{
    clfi_kernel *const kernels[] = {bwd->none, bwd->none_f32, bwd->rows, bwd->sink, bwd->bias};
    for (size_t i = 0; i < sizeof kernels / sizeof kernels[0]; i++)
        clfi_kernel_release(kernels[i]);
    clflash_plan_destroy(&bwd->forward);
    *bwd = (clfi_bwd){0};
}

/* ---- one call ---- */

typedef struct run {
    const clflash_plan *plan;
    const clflash_attn_bwd_args *args;
    clfi_attn_bwd_call call;
    clfi_chain chain;
    clfi_err *err;
} run;

static clfi_arg mem_or_null(const cl_mem *mem)
{
    return (clfi_arg){sizeof(cl_mem), *mem ? mem : NULL};
}

static clflash_status launch(run *r, clfi_kernel *kernel, const clfi_arg *args, int32_t n,
                             const clfi_launch *l)
{
    clfi_chain *c = &r->chain;
    return clfi_chain_next(c, clfi_kernel_launch(kernel, c->queue, args, n, l->dims, l->global,
                                                 l->local, c->n, c->list, clfi_chain_event(c),
                                                 r->err));
}

static clflash_status recompute(run *r)
{
    const clflash_plan *plan = r->plan;
    const clflash_attn_bwd_args *b = r->args;
    const clfi_bwd *bwd = &plan->bwd;
    clfi_chain *c = &r->chain;
    const cl_mem work = r->call.f.workspace;
    const int64_t base = r->call.f.workspace_offset;
    const clflash_attn_fwd_args args = {
        .q = b->q,
        .k = b->k,
        .v = b->v,
        .o = {.buffer = work, .offset_bytes = base + 4 * bwd->o_off},
        .lse = {work,           base + 4 * bwd->lse_off              },
        .arrays = b->arrays,
        .alibi = b->alibi,
        .sink = b->sink,
        .bias = b->bias,
        .boolean = b->boolean,
        .workspace = {work,           base + 4 * bwd->scratch_off          }
    };
    char text[512];
    const clflash_status status = clfi_chain_next(
        c, clflash_attn_fwd(bwd->forward, c->queue, &args, c->n, c->list, clfi_chain_event(c)));
    return status == CLFLASH_OK
               ? status
               : clfi_fail(r->err, status, "recompute: %s",
                           clflash_context_last_error(plan->ctx, text, sizeof text));
}

/* o and lse of the workspace, as the forward above wrote them: packed in the layout. */
static void use_recomputed(run *r)
{
    const clfi_attn *p = &r->plan->p;
    const clfi_bwd *bwd = &r->plan->bwd;
    clf_attn_args *a = &r->call.f.a;
    const bool bhsd = p->layout == CLFLASH_LAYOUT_BHSD;
    const int64_t base = r->call.f.workspace_offset / 4;
    const int64_t per_float = 4 / (int64_t)clflash_dtype_bytes(p->dtype);
    a->o_off = (base + bwd->o_off) * per_float;
    a->o_sb = (int64_t)p->sq * p->hq * p->dv;
    a->o_ss = bhsd ? p->dv : (int64_t)p->hq * p->dv;
    a->o_sh = bhsd ? (int64_t)p->sq * p->dv : p->dv;
    a->lse_off = base + bwd->lse_off;
    r->call.f.o = r->call.f.lse = r->call.f.workspace;
}

static clflash_status blocks(run *r)
{
    const clflash_plan *plan = r->plan;
    clfi_chain *c = &r->chain;
    clfi_attn_call *f = &r->call.f;
    f->blocks = f->workspace;
    f->a.blocks_off = f->workspace_offset / 4 + plan->bwd.blocks_off;
    return clfi_chain_next(c, clfi_blocks_enqueue(&plan->blocks, f, &plan->p, plan->block_q,
                                                  plan->block_kv, c->n, c->list,
                                                  clfi_chain_event(c), r->err));
}

static clflash_status rows(run *r)
{
    const clfi_attn *p = &r->plan->p;
    const clfi_bwd *bwd = &r->plan->bwd;
    const clfi_attn_bwd_call *call = &r->call;
    const size_t n = (size_t)p->b * (size_t)p->hq * (size_t)p->sq;
    const size_t per_group = bwd->rows_group / bwd->rows_lanes;
    const clfi_launch l = {.dims = 1,
                           .global = {(n + per_group - 1) / per_group * bwd->rows_group},
                           .local = {bwd->rows_group}};
    const clfi_arg args[] = {CLFI_ARG_MEM(call->f.o), CLFI_ARG_MEM(call->dout),
                             CLFI_ARG_MEM(call->f.lse), CLFI_ARG_MEM(call->f.workspace),
                             CLFI_ARG(call->x)};
    return launch(r, bwd->rows, args, 5, &l);
}

static clflash_status engine_kernels(run *r)
{
    const clflash_plan *plan = r->plan;
    const clfi_attn_bwd_call *call = &r->call;
    const cl_mem *const tensors[] = {&call->f.q,         &call->f.k, &call->f.v, &call->dout,
                                     &call->f.workspace, &call->dq,  &call->dk,  &call->dv};
    clfi_arg args[CLFI_MAX_ARGS];
    int32_t n = 0;
    for (int i = 0; i < 8; i++)
        args[n++] = mem_or_null(tensors[i]);
    n += clfi_attn_call_mask_args(&call->f, &plan->p, args + n);
    args[n++] = CLFI_ARG(call->x);
    CLF_TRY(launch(r, plan->kernel, args, n, &plan->launch));
    for (int32_t i = 0; i < plan->engine->n_more; i++)
        if (plan->more_launch[i].dims)
            CLF_TRY(launch(r, plan->more[i], args, n, &plan->more_launch[i]));
    return CLFLASH_OK;
}

static clflash_status engine(run *r)
{
    clfi_chain *c = &r->chain;
    if (r->plan->kernel)
        return engine_kernels(r);
    return clfi_chain_next(c, clfi_standard_bwd_enqueue(r->plan, &r->call, c->n, c->list,
                                                        clfi_chain_event(c), r->err));
}

static clflash_status sink(run *r)
{
    const clfi_attn_bwd_call *call = &r->call;
    const size_t wg = r->plan->bwd.rows_group;
    const clfi_launch l = {.dims = 1, .global = {wg * (size_t)r->plan->p.hq}, .local = {wg}};
    const clfi_arg args[] = {CLFI_ARG_MEM(call->f.workspace), CLFI_ARG_MEM(call->f.sink),
                             CLFI_ARG_MEM(call->dsink), CLFI_ARG(call->x)};
    return launch(r, r->plan->bwd.sink, args, 4, &l);
}

static clflash_status bias(run *r)
{
    clfi_chain *c = &r->chain;
    return clfi_chain_next(
        c, clfi_bwd_bias_enqueue(r->plan, &r->call, c->n, c->list, clfi_chain_event(c), r->err));
}

static clflash_status all_steps(run *r)
{
    const clfi_attn *p = &r->plan->p;
    const clfi_bwd *bwd = &r->plan->bwd;
    clfi_attn_bwd_call *call = &r->call;
    const int64_t base = call->f.workspace_offset / 4;
    if (p->recompute) {
        CLF_TRY(recompute(r));
        use_recomputed(r);
    }
    if (p->blocks && r->plan->kernel && !call->f.blocks)
        CLF_TRY(blocks(r));
    call->x.f = call->f.a;
    call->x.rows_off = base + bwd->rows_off;
    call->x.scratch_off = base + bwd->scratch_off;
    CLF_TRY(rows(r));
    if (call->dq || call->dk || call->dv)
        CLF_TRY(engine(r));
    if (call->dsink)
        CLF_TRY(sink(r));
    return call->dbias ? bias(r) : CLFLASH_OK;
}

/* ---- no pair of a query and a key ---- */

static clflash_status none(run *r, bool f32, const cl_mem *mem, const clf_i64 at[4],
                           const int64_t n[3], int32_t width, const float *beta)
{
    const clfi_bwd *bwd = &r->plan->bwd;
    const clfi_launch l = {
        .dims = 3, .global = {(size_t)n[0], (size_t)n[1], (size_t)n[2]},
             .local = {1,            1,            1           }
    };
    if (!*mem || n[0] * n[1] * n[2] * width == 0)
        return CLFLASH_OK;
    const clfi_arg args[] = {CLFI_ARG_MEM(*mem), CLFI_ARG(at[0]), CLFI_ARG(at[1]), CLFI_ARG(at[2]),
                             CLFI_ARG(at[3]),    CLFI_ARG(width), CLFI_ARG(*beta)};
    return launch(r, f32 ? bwd->none_f32 : bwd->none, args, 7, &l);
}

#define AT(x, t) ((clf_i64[]){(x)->t##_off, (x)->t##_sb, (x)->t##_ss, (x)->t##_sh})
#define EXTENTS(...) ((int64_t[]){__VA_ARGS__})

static clflash_status all_none(run *r)
{
    const clfi_attn *p = &r->plan->p;
    const clfi_attn_bwd_call *c = &r->call;
    const clf_attn_bwd_args *x = &c->x;
    const bool f32 = p->grad_f32;
    const int64_t b = p->b;
    CLF_TRY(none(r, f32, &c->dq, AT(x, dq), EXTENTS(b, p->sq, p->hq), p->d, &x->beta_dq));
    CLF_TRY(none(r, f32, &c->dk, AT(x, dk), EXTENTS(b, p->sk, p->hk), p->d, &x->beta_dk));
    CLF_TRY(none(r, f32, &c->dv, AT(x, dv), EXTENTS(b, p->sk, p->hk), p->dv, &x->beta_dv));
    CLF_TRY(none(r, true, &c->dsink, (clf_i64[]){x->dsink_off, 0, 0, 0}, EXTENTS(1, 1, 1), p->hq,
                 &x->beta_dsink));
    return none(r, x->dbias_f32, &c->dbias, AT(x, dbias),
                EXTENTS(x->dbias_b, x->dbias_q, x->dbias_h), p->sk, &x->beta_dbias);
}

/* ---- the public call ---- */

static clflash_status enqueue_with(void *user, cl_mem scratch, cl_uint n_wait,
                                   const cl_event *wait_list, cl_event *event, clfi_err *err)
{
    run *r = user;
    clfi_attn_call *f = &r->call.f;
    if (scratch) {
        f->workspace = scratch;
        f->workspace_offset = 0;
    }
    r->chain = clfi_chain_start(f->queue, f->out_of_order, n_wait, wait_list);
    const clflash_status status = has_pairs(&r->plan->p) ? all_steps(r) : all_none(r);
    return clfi_chain_end(&r->chain, status, event, err);
}

static clflash_status run_call(run *r, cl_command_queue queue, cl_uint n_wait,
                               const cl_event *wait_list, cl_event *event)
{
    const clflash_plan *plan = r->plan;
    clfi_attn_call *f = &r->call.f;
    clfi_err *err = r->err;
    CLF_REQUIRE(err, r->args, CLFLASH_INVALID_ARGUMENT, "args is NULL");
    CLF_REQUIRE(err, plan->p.op == CLFLASH_OP_BWD, CLFLASH_FOREIGN_PLAN,
                "the plan is not of a backward");
    CLF_REQUIRE(err, n_wait == 0 || wait_list, CLFLASH_INVALID_ARGUMENT,
                "n_wait is %u but wait_list is NULL", n_wait);
    CLF_TRY(clfi_queue_resolve(plan->ctx, queue, &f->queue, &f->out_of_order, err));
    CLF_TRY(clfi_attn_bwd_call_make(&r->call, plan, r->args, err));
    if (plan->workspace_bytes > 0 && !f->workspace)
        return clfi_enqueue_pooled(plan->ctx, f->queue, plan->workspace_bytes, enqueue_with, r,
                                   n_wait, wait_list, event, err);
    return enqueue_with(r, NULL, n_wait, wait_list, event, err);
}

clflash_status clflash_attn_bwd(const clflash_plan *plan, cl_command_queue queue,
                                const clflash_attn_bwd_args *args, cl_uint n_wait,
                                const cl_event *wait_list, cl_event *event)
{
    if (event)
        *event = NULL;
    if (!plan)
        return CLFLASH_INVALID_ARGUMENT;
    clfi_err err;
    err.text[0] = '\0';
    run r = {.plan = plan, .args = args, .err = &err};
    const clflash_status status = run_call(&r, queue, n_wait, wait_list, event);
    if (status == CLFLASH_OK)
        return status;
    err.status = status;
    return clfi_context_fail(plan->ctx, "bwd", &err, plan->problem);
}
