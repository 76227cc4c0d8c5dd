/* attn_fwd.c -- executing a forward plan. (L4) The flash path allocates nothing. */
#include "lib/ops/enqueue.h"
#include "lib/ops/plan.h"

/* The kernels' whole argument list. call must outlive args. */
static int32_t fwd_args(const clflash_plan *plan, const clfi_attn_call *call, clfi_arg *args)
{
    const cl_mem *const tensors[] = {&call->q, &call->k, &call->v, &call->o, &call->lse};
    int32_t n = 0;
    for (int i = 0; i < 5; i++)
        args[n++] = (clfi_arg){sizeof(cl_mem), *tensors[i] ? tensors[i] : NULL};
    n += clfi_attn_call_mask_args(call, &plan->p, args + n);
    if (plan->engine->scratch_bytes)
        args[n++] = CLFI_ARG_MEM(call->workspace);
    args[n++] = CLFI_ARG(call->a);
    return n;
}

static clflash_status launch(clfi_chain *c, clfi_kernel *kernel, const clfi_arg *args, int32_t n,
                             const clfi_launch *l, cl_event *event, clfi_err *err)
{
    return clfi_kernel_launch(kernel, c->queue, args, n, l->dims, l->global, l->local, c->n,
                              c->list, event, err);
}

/* The engine's kernels in turn; the last one's event is the caller's. */
static clflash_status enqueue_kernels(const clflash_plan *plan, const clfi_attn_call *call,
                                      clfi_chain *c, cl_event *event, clfi_err *err)
{
    clfi_arg args[CLFI_MAX_ARGS];
    const int32_t n = fwd_args(plan, call, args), n_more = plan->engine->n_more;
    clfi_kernel *kernel = plan->kernel;
    const clfi_launch *l = &plan->launch;
    for (int32_t i = 0; i < n_more; i++) {
        CLF_TRY(clfi_chain_next(c, launch(c, kernel, args, n, l, clfi_chain_event(c), err)));
        kernel = plan->more[i];
        l = &plan->more_launch[i];
    }
    return launch(c, kernel, args, n, l, event, err);
}

/* Keys in parts: the kernels write records, a merge joins them. */
static clflash_status enqueue_split(const clflash_plan *plan, const clfi_attn_call *call,
                                    clfi_chain *c, cl_event *event, clfi_err *err)
{
    const clfi_attn_call part = clfi_split_call(plan, call);
    CLF_TRY(clfi_chain_next(c, enqueue_kernels(plan, &part, c, clfi_chain_event(c), err)));
    return clfi_split_merge(plan, call, c->n, c->list, event, err);
}

static clflash_status enqueue_flash(const clflash_plan *plan, clfi_attn_call *call, cl_uint n_wait,
                                    const cl_event *wait_list, cl_event *event, clfi_err *err)
{
    clfi_chain c = clfi_chain_start(call->queue, call->out_of_order, n_wait, wait_list);
    clflash_status status = CLFLASH_OK;
    call->a.scratch_off = call->workspace_offset / 4 + plan->scratch_off;
    if (plan->p.blocks && !call->blocks) {
        call->blocks = call->workspace;
        call->a.blocks_off = call->workspace_offset / 4;
        status = clfi_chain_next(&c, clfi_blocks_enqueue(&plan->blocks, call, &plan->p,
                                                         plan->block_q, plan->block_kv, c.n, c.list,
                                                         clfi_chain_event(&c), err));
    }
    if (status == CLFLASH_OK)
        status = plan->split.n == 1 ? enqueue_kernels(plan, call, &c, event, err)
                                    : enqueue_split(plan, call, &c, event, err);
    clfi_event_release(c.last);
    return status;
}

/* Sk = 0: o = 0, lse = the sink or -inf. */
static clflash_status enqueue_empty(const clflash_plan *plan, const clfi_attn_call *call,
                                    cl_uint n_wait, const cl_event *wait_list, cl_event *event,
                                    clfi_err *err)
{
    const clfi_attn *p = &plan->p;
    const int32_t has_sink = p->sink;
    const clfi_arg args[] = {
        CLFI_ARG_MEM(call->o),
        {sizeof(cl_mem), call->lse ? &call->lse : NULL  },
        {sizeof(cl_mem), call->sink ? &call->sink : NULL},
        CLFI_ARG(call->a),
        CLFI_ARG(p->dv),
        CLFI_ARG(has_sink)
    };
    const size_t global[] = {(size_t)p->sq, (size_t)p->hq, (size_t)p->b}, local[] = {1, 1, 1};
    return clfi_kernel_launch(plan->empty, call->queue, args, 6, 3, global, local, n_wait,
                              wait_list, event, err);
}

static clflash_status enqueue(const clflash_plan *plan, clfi_attn_call *call, cl_uint n_wait,
                              const cl_event *wait_list, cl_event *event, clfi_err *err)
{
    if (plan->empty)
        return enqueue_empty(plan, call, n_wait, wait_list, event, err);
    if (plan->kernel)
        return enqueue_flash(plan, call, n_wait, wait_list, event, err);
    return clfi_standard_enqueue(plan, call, n_wait, wait_list, event, err);
}

typedef struct user {
    const clflash_plan *plan;
    clfi_attn_call *call;
} user;

static clflash_status enqueue_with(void *u, cl_mem scratch, cl_uint n_wait,
                                   const cl_event *wait_list, cl_event *event, clfi_err *err)
{
    clfi_attn_call *call = ((user *)u)->call;
    call->workspace = scratch;
    call->workspace_offset = 0;
    return enqueue(((user *)u)->plan, call, n_wait, wait_list, event, err);
}

static clflash_status run(const clflash_plan *plan, cl_command_queue queue,
                          const clflash_attn_fwd_args *args, cl_uint n_wait,
                          const cl_event *wait_list, cl_event *event, clfi_err *err)
{
    const clfi_attn *p = &plan->p;
    clfi_attn_call call = {0};
    CLF_REQUIRE(err, args, CLFLASH_INVALID_ARGUMENT, "args is NULL");
    CLF_REQUIRE(err, p->op == CLFLASH_OP_FWD, CLFLASH_FOREIGN_PLAN, "the plan is not of a forward");
    CLF_REQUIRE(err, n_wait == 0 || wait_list, CLFLASH_INVALID_ARGUMENT,
                "n_wait is %u but wait_list is NULL", n_wait);
    CLF_TRY(clfi_queue_resolve(plan->ctx, queue, &call.queue, &call.out_of_order, err));
    CLF_TRY(clfi_attn_call_make(&call, plan, args, err));
    if (p->b == 0 || p->sq == 0)
        return event || n_wait ? clfi_queue_marker(call.queue, n_wait, wait_list, event, err)
                               : CLFLASH_OK;
    const bool unused = plan->kernel && plan->split.n == 1 && call.blocks &&
                        !plan->engine->scratch_bytes;
    const bool pooled = plan->workspace_bytes > 0 && !call.workspace && !unused;
    return pooled ? clfi_enqueue_pooled(plan->ctx, call.queue, plan->workspace_bytes, enqueue_with,
                                        &(user){plan, &call}, n_wait, wait_list, event, err)
                  : enqueue(plan, &call, n_wait, wait_list, event, err);
}

clflash_status clflash_attn_fwd(const clflash_plan *plan, cl_command_queue queue,
                                const clflash_attn_fwd_args *args, cl_uint n_wait,
                                const cl_event *wait_list, cl_event *event)
{
    if (event)
        *event = NULL;
    if (!plan)
        return CLFLASH_INVALID_ARGUMENT;
    clfi_err err;
    err.text[0] = '\0';
    const clflash_status status = run(plan, queue, args, n_wait, wait_list, event, &err);
    if (status == CLFLASH_OK)
        return status;
    err.status = status;
    return clfi_context_fail(plan->ctx, "fwd", &err, plan->problem);
}
