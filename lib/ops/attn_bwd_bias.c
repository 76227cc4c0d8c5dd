/* attn_bwd_bias.c -- the gradient of the additive mask: one kernel for every engine. (L4) */
#include "lib/base/strbuf.h"
#include "lib/ops/plan.h"

/* Work-items and what each holds: 64 x 64 pairs on GPUs, 16 sums in registers; on CPU drivers
 * one work-item, 8 vectors. */
typedef struct tile {
    int32_t x, y, rows, vectors, lanes;
} tile;

static tile choose_tile(const clfi_profile *dev)
{
    if (dev->cpu)
        return (tile){1, 1, 8, 1, dev->vector_width >= 16 ? 16 : 8};
    const int32_t side = dev->max_work_group >= 256 ? 16 : dev->max_work_group >= 64 ? 8 : 1;
    return (tile){side, side, 4, 4, 1};
}

clflash_status clfi_bwd_bias_make(clflash_plan *plan, clfi_err *err)
{
    const tile t = choose_tile(clfi_context_profile(plan->ctx));
    char text[512];
    clfi_strbuf options = clfi_strbuf_on(text, sizeof text);
    clfi_attn rules = plan->p;
    rules.blocks = false;
    clfi_attn_options(&rules, &options);
    clfi_strbuf_add(&options, " -DT_X=%d -DT_Y=%d -DT_R=%d -DT_C=%d -DCLF_LANES=%d", t.x, t.y,
                    t.rows, t.vectors, t.lanes);
    return clfi_kernel_get(&plan->bwd.bias, plan->ctx, "attn_bwd_bias.cl", "clf_attn_bwd_bias",
                           text, err);
}

static size_t tiles(int32_t n, int32_t size)
{
    return ((size_t)n + (size_t)size - 1) / (size_t)size;
}

clflash_status clfi_bwd_bias_enqueue(const clflash_plan *plan, const clfi_attn_bwd_call *call,
                                     cl_uint n_wait, const cl_event *wait_list, cl_event *event,
                                     clfi_err *err)
{
    const tile t = choose_tile(clfi_context_profile(plan->ctx));
    const clf_attn_bwd_args *x = &call->x;
    const clfi_attn_call *f = &call->f;
    clfi_attn rules = plan->p;
    rules.blocks = false;
    clfi_arg args[CLFI_MAX_ARGS] = {CLFI_ARG_MEM(f->q),         CLFI_ARG_MEM(f->k),
                                    CLFI_ARG_MEM(f->v),         CLFI_ARG_MEM(call->dout),
                                    CLFI_ARG_MEM(f->workspace), CLFI_ARG_MEM(call->dbias)};
    int32_t n = 6;
    n += clfi_attn_call_mask_args(f, &rules, args + n);
    args[n++] = CLFI_ARG(call->x);
    const size_t local[] = {(size_t)t.x, (size_t)t.y, 1};
    const size_t global[] = {local[0] * tiles(x->f.sk, t.x * t.vectors * t.lanes),
                             local[1] * tiles(x->dbias_q, t.y * t.rows),
                             (size_t)x->dbias_b * (size_t)x->dbias_h};
    return clfi_kernel_launch(plan->bwd.bias, f->queue, args, n, 3, global, local, n_wait,
                              wait_list, event, err);
}
