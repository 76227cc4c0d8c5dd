/* plan_info.c -- what a plan will do, what a device can do. (L4) */
#include "lib/ops/plan.h"

#include "lib/base/strbuf.h"

#include <stdio.h>
#include <string.h>

static clflash_status count_blocks(const clflash_plan *plan, const clflash_block_mask *mask,
                                   clflash_plan_data *info, clfi_err *err)
{
    const clfi_attn *p = &plan->p;
    if (plan->block_q == 0)
        return CLFLASH_OK;
    clfi_attn_count_blocks(p, plan->block_q, plan->block_kv, &info->blocks_total,
                           &info->blocks_visited, &info->blocks_masked);
    int64_t heads = (int64_t)p->b * p->hq;
    info->blocks_total *= heads;
    if (mask) {
        CLF_TRY(clfi_block_mask_fits(mask, plan, err));
        CLF_TRY(clfi_block_mask_count(mask, &info->blocks_visited, &info->blocks_masked, err));
        heads = p->hq; /* the mask's counts are sums over the batch */
    } else if (p->blocks) {
        info->blocks_visited = info->blocks_masked = info->blocks_total;
        return CLFLASH_OK;
    }
    info->blocks_visited *= heads;
    info->blocks_masked *= heads;
    return CLFLASH_OK;
}

/* What the forward leaves for the backward beside q, k and v; o is its result anyway. */
static int64_t saved_bytes(const clfi_attn *p)
{
    return p->recompute ? 0 : (int64_t)p->b * p->hq * p->sq * 4;
}

clflash_status clflash_plan_info(const clflash_plan *plan, const clflash_block_mask *mask,
                                 clflash_plan_data *info)
{
    if (!plan || !info)
        return CLFLASH_INVALID_ARGUMENT;
    const clfi_attn *p = &plan->p;
    *info = (clflash_plan_data){.block_q = plan->block_q,
                                .block_kv = plan->block_kv,
                                .flops = clfi_attn_flops(p),
                                .bytes = clfi_attn_bytes(p),
                                .workspace_bytes = plan->workspace_bytes,
                                .saved_bytes = saved_bytes(p)};
    snprintf(info->engine, sizeof info->engine, "%s", plan->engine->name);
    clfi_row_print(plan->engine, &plan->row, info->tunables, sizeof info->tunables);
    memcpy(info->origin, plan->origin, sizeof info->origin);
    /* Of several kernels, the worst. */
    const int32_t n_kernels = plan->kernel ? 1 + plan->engine->n_more : 0;
    for (int32_t i = 0; i < n_kernels; i++) {
        clfi_kernel_facts facts;
        clfi_kernel_get_facts(i == 0 ? plan->kernel : plan->more[i - 1], &facts);
        if (facts.private_bytes > info->private_bytes)
            info->private_bytes = facts.private_bytes;
        if (facts.local_bytes > info->local_bytes)
            info->local_bytes = facts.local_bytes;
    }
    clfi_err err = {0};
    if (count_blocks(plan, mask, info, &err) != CLFLASH_OK)
        return clfi_context_fail(plan->ctx, "plan info", &err, plan->problem);
    return CLFLASH_OK;
}

clflash_status clflash_engine_get(clflash_context *ctx, int32_t index, bool probe,
                                  clflash_engine_info *info)
{
    const bool backward = index >= clfi_n_attn_fwd_engines;
    const int32_t at = backward ? index - clfi_n_attn_fwd_engines : index;
    if (!ctx || !info || at < 0 || (backward && at >= clfi_n_attn_bwd_engines))
        return CLFLASH_INVALID_ARGUMENT;
    const clfi_engine *e = backward ? clfi_attn_bwd_engines[at] : clfi_attn_fwd_engines[at];
    const clfi_profile *dev = clfi_context_profile(ctx);
    *info = (clflash_engine_info){.backward = backward};
    snprintf(info->name, sizeof info->name, "%s", e->name);
    /* By the device's limits: some ordinary problem, in the first dtype that it takes. */
    clfi_err err = {0};
    clfi_attn p;
    clflash_attn_desc d = {.op = backward ? CLFLASH_OP_BWD : CLFLASH_OP_FWD,
                           .q_heads = 4,
                           .kv_heads = 1,
                           .q_len = 4,
                           .kv_len = 64,
                           .head_dim = 64};
    for (int dtype = CLFLASH_BF16; dtype >= CLFLASH_F32 && !info->can; dtype--) {
        d.dtype = (clflash_dtype)dtype;
        CLF_TRY(clfi_attn_resolve(&p, &d, &err));
        info->can = e->can(&p, dev, &err) == CLFLASH_OK;
    }
    if (info->can && probe)
        info->can = clfi_probe(ctx, e, d.dtype, &err) == CLFLASH_OK;
    if (info->can)
        err.text[0] = '\0';
    char reason[256];
    const clfi_probe_state state = clfi_probe_peek(ctx, e, d.dtype, reason, sizeof reason);
    info->probed = state != CLFI_PROBE_UNKNOWN;
    if (state == CLFI_PROBE_OFF)
        info->can = false;
    snprintf(info->reason, sizeof info->reason, "%.*s", (int)sizeof info->reason - 1,
             state == CLFI_PROBE_OFF ? reason : err.text);
    return CLFLASH_OK;
}

clflash_status clflash_attn_supported(clflash_context *ctx, const clflash_attn_desc *desc,
                                      char *reason, size_t reason_bytes)
{
    if (!ctx)
        return CLFLASH_INVALID_ARGUMENT;
    clfi_err err = {0};
    clfi_attn p;
    clfi_candidate c[CLFI_MAX_ENGINES];
    int32_t n = 0, left = 0;
    char text[1400];
    clfi_strbuf why = clfi_strbuf_on(text, sizeof text);
    clflash_status status = clfi_attn_resolve(&p, desc, &err);
    if (status == CLFLASH_OK)
        status = clfi_select(ctx, &p, false, c, &n, &why, &err);
    for (int32_t i = 0; status == CLFLASH_OK && i < n; i++) {
        char off[256];
        if (clfi_probe_peek(ctx, c[i].engine, p.dtype, off, sizeof off) == CLFI_PROBE_OFF)
            clfi_strbuf_add(&why, "%s: %s\n", c[i].engine->name, off);
        else
            left++;
    }
    if (status == CLFLASH_OK && left == 0)
        status = clfi_fail(&err, CLFLASH_UNSUPPORTED, "%s", text);
    if (reason && reason_bytes)
        snprintf(reason, reason_bytes, "%s", status == CLFLASH_OK ? text : err.text);
    return status;
}
