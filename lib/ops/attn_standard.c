/* attn_standard.c -- standard attention: S = Q K^T, softmax, O = P V, in chunks. (L4) */
#include "lib/ops/standard.h"

#include "host/blas.h"

static double chunk_floats(const clfi_attn *p, int64_t ld, int64_t pairs, int64_t rows)
{
    const double keys = (double)pairs * p->sk, queries = (double)pairs * p->group * rows;
    return queries * ((double)p->d + p->dv + (double)ld + 1) + keys * (p->d + p->dv + 1.0) +
           (double)pairs;
}

/* The parts of the workspace, and its bytes. */
static int64_t lay_out(clfi_standard *s, const clfi_attn *p)
{
    int64_t end = 0;
    const int64_t queries = s->pairs * p->group * s->rows, keys = s->pairs * p->sk;
    s->q = clfi_standard_place(&end, queries * p->d);
    s->k = clfi_standard_place(&end, keys * p->d);
    s->v = clfi_standard_place(&end, keys * p->dv);
    s->s = clfi_standard_place(&end, queries * s->ld);
    s->o = clfi_standard_place(&end, queries * p->dv);
    s->scale = clfi_standard_place(&end, queries);
    s->bad = clfi_standard_place(&end, keys);
    s->any = clfi_standard_place(&end, s->pairs);
    return end * 4;
}

clflash_status clfi_standard_make(clflash_plan *plan, int64_t max_workspace_bytes, clfi_err *err)
{
    clfi_standard *s = &plan->standard;
    const clfi_attn *p = &plan->p;
    const clfi_profile *dev = clfi_context_profile(plan->ctx);
    CLF_TRY(clfi_blas_supported(plan->ctx, err));
    CLF_TRY(clfi_standard_choose(s, p, dev, max_workspace_bytes, chunk_floats, err));
    plan->workspace_bytes = lay_out(s, p);
    CLF_TRY(clfi_standard_converters(s, plan->ctx, p, false, err));
    return clfi_standard_softmax(s, plan->ctx, p, "attn_softmax.cl", "clf_attn_softmax", err);
}

static clflash_status pack_keys(const clfi_chunk *c)
{
    const clf_attn_args *a = &c->call->a;
    const clfi_standard *s = c->s;
    const clfi_attn *p = c->p;
    const clf_packed k = clfi_chunk_keys(c, CLFI_VIEW(a, k), p->d, s->k, 0, s->any),
                     v = clfi_chunk_keys(c, CLFI_VIEW(a, v), p->dv, s->v, s->bad, s->any);
    CLF_TRY(clfi_chunk_pack(c, s->pack, c->call->k, &k, p->sk));
    return clfi_chunk_pack(c, s->pack_finite, c->call->v, &v, p->sk);
}

static clflash_status pack_queries(const clfi_chunk *c)
{
    const clf_packed q =
        clfi_chunk_queries(c, CLFI_VIEW(&c->call->a, q), c->p->d, c->s->q, 0, CLFI_NO_FLAGS);
    return clfi_chunk_pack(c, c->s->pack, c->call->q, &q, c->rows);
}

/* s = q k^T, its softmax, o = p v. */
static clflash_status compute(const clfi_chunk *c)
{
    const clfi_standard *s = c->s;
    const clfi_attn_call *call = c->call;
    const int64_t m = (int64_t)c->p->group * c->rows, d = c->p->d, dv = c->p->dv, sk = c->p->sk;
    const clfi_matrix scores = {.at = s->s, .ld = s->ld, .stride = m * s->ld};
    CLF_TRY(clfi_chunk_product(c, m, sk, d, (clfi_matrix){.at = s->q, .ld = d, .stride = m * d},
                               (clfi_matrix){s->k, d, sk * d, true}, 0, scores));
    const int64_t s_off = c->base + s->s, scale_off = c->base + s->scale;
    const clfi_arg lse = {sizeof(cl_mem), call->lse ? &call->lse : NULL};
    const clfi_arg tail[] = {CLFI_ARG(s_off), CLFI_ARG(scale_off)};
    CLF_TRY(clfi_chunk_softmax(c, &lse, 1, CLFI_ARG(call->a), tail, 2));
    return clfi_chunk_product(c, m, dv, sk, scores,
                              (clfi_matrix){.at = s->v, .ld = dv, .stride = sk * dv}, 0,
                              (clfi_matrix){.at = s->o, .ld = dv, .stride = m * dv});
}

static clflash_status unpack(const clfi_chunk *c, cl_event *event)
{
    const clfi_standard *s = c->s;
    const clfi_attn_call *call = c->call;
    const clf_attn_args *a = &call->a;
    const int32_t sk = c->p->sk;
    const int64_t scale_off = c->base + s->scale;
    const clf_packed o = clfi_chunk_queries(c, CLFI_VIEW(a, o), c->p->dv, s->o, 0, CLFI_NO_FLAGS);
    const clf_repair left = {
        .x = clfi_chunk_keys(c, CLFI_VIEW(a, v), c->p->dv, s->v, s->bad, s->any),
        .w_off = c->base + s->s,
        .sees_off = c->base + s->s,
        .pair_stride = (int64_t)c->p->group * c->rows * s->ld,
        .row_stride = s->ld,
        .step = 1,
        .count = sk,
        .per_head = sk};
    const clfi_arg args[] = {CLFI_ARG_MEM(call->workspace),
                             CLFI_ARG_MEM(call->v),
                             CLFI_ARG_MEM(call->workspace),
                             CLFI_ARG_MEM(call->o),
                             CLFI_ARG(o),
                             CLFI_ARG(left),
                             CLFI_ARG(scale_off)};
    return clfi_chunk_launch(c, s->unpack, args, 7, s->pack_group, c->rows, c->p->group, event);
}

static clflash_status all_chunks(clfi_chunk *c, cl_event *event)
{
    const int64_t all = (int64_t)c->p->b * c->p->hk;
    for (int64_t pair = 0; pair < all; pair += c->s->pairs) {
        c->pair0 = (int32_t)pair;
        c->pairs = clfi_least(c->s->pairs, all - pair);
        CLF_TRY(pack_keys(c));
        for (int64_t row = 0; row < c->p->sq; row += c->s->rows) {
            c->row0 = (int32_t)row;
            c->rows = clfi_least(c->s->rows, c->p->sq - row);
            const bool last = pair + c->pairs >= all && row + c->rows >= c->p->sq;
            CLF_TRY(pack_queries(c));
            CLF_TRY(compute(c));
            CLF_TRY(unpack(c, last ? event : NULL));
        }
    }
    return CLFLASH_OK;
}

clflash_status clfi_standard_enqueue(const clflash_plan *plan, const clfi_attn_call *call,
                                     cl_uint n_wait, const cl_event *wait_list, cl_event *event,
                                     clfi_err *err)
{
    clfi_chunk c = {.s = &plan->standard,
                    .ctx = plan->ctx,
                    .p = &plan->p,
                    .call = call,
                    .base = call->workspace_offset / 4,
                    .err = err};
    if (n_wait || call->out_of_order)
        CLF_TRY(clfi_queue_barrier(call->queue, n_wait, wait_list, NULL, err));
    return all_chunks(&c, event);
}
