/* attn_standard.c -- standard attention: S = Q K^T, softmax, O = P V, in chunks. (L4)
 *
 * All heads of a group share a KV head, so their queries are rows of one matrix: one GEMM
 * per pair of batch and KV head, batched over the pairs of a chunk. CLBlast has no wait
 * lists: on an out-of-order queue a barrier stands between all steps. */
#include "lib/ops/plan.h"

#include "host/blas.h"
#include "lib/base/strbuf.h"

#define ALIGN 64 /* floats: the parts of the workspace start at multiples of 256 bytes */
#define LANES 16 /* rows of scores are padded to the widest vector of attn_softmax.cl */

/* ---- memory ---- */

/* Floats of a chunk, not rounded; double because the problem may be any size. */
static double chunk_floats(const clfi_attn *p, const clfi_standard *s, int64_t pairs, int64_t rows)
{
    const double keys = (double)pairs * p->sk, queries = (double)pairs * p->group * rows;
    return queries * ((double)p->d + p->dv + (double)s->ld + 1) + keys * (p->d + p->dv + 1.0) +
           (double)pairs + 8.0 * ALIGN;
}

/* What CLBlast's int offsets and the budget allow. */
static bool chunk_fits(const clfi_attn *p, const clfi_standard *s, int64_t pairs, int64_t rows,
                       double budget)
{
    return chunk_floats(p, s, pairs, rows) <= budget &&
           (double)pairs * p->group * rows * (double)s->ld <= INT32_MAX;
}

static int64_t place(int64_t *end, int64_t floats)
{
    const int64_t at = *end;
    *end = (at + floats + ALIGN - 1) / ALIGN * ALIGN;
    return at;
}

static clflash_status choose_chunk(clfi_standard *s, const clfi_attn *p, const clfi_profile *dev,
                                   int64_t max_bytes, clfi_err *err)
{
    int64_t bytes = dev->global_bytes / 4;
    bytes = dev->max_alloc_bytes > 0 && dev->max_alloc_bytes < bytes ? dev->max_alloc_bytes : bytes;
    bytes = max_bytes > 0 && max_bytes < bytes ? max_bytes : bytes;
    double budget = (double)bytes / 4;
    budget = budget > INT32_MAX ? INT32_MAX : budget;
    const int64_t all = (int64_t)p->b * p->hk;
    s->ld = ((int64_t)p->sk + LANES - 1) / LANES * LANES;
    int64_t low = 0, high = all; /* the largest number of pairs with all their rows */
    while (low < high) {
        const int64_t middle = low + (high - low + 1) / 2;
        if (chunk_fits(p, s, middle, p->sq, budget))
            low = middle;
        else
            high = middle - 1;
    }
    s->pairs = low > 0 ? low : 1;
    int64_t rows = 0;
    for (high = p->sq; rows < high;) {
        const int64_t middle = rows + (high - rows + 1) / 2;
        if (chunk_fits(p, s, s->pairs, middle, budget))
            rows = middle;
        else
            high = middle - 1;
    }
    s->rows = rows;
    CLF_REQUIRE(err, rows > 0 || p->sq == 0 || all == 0, CLFLASH_UNSUPPORTED,
                "standard attention needs %.0f bytes for one row of queries, at most %lld are "
                "allowed (max_workspace_bytes, the largest buffer, a quarter of the memory)",
                4 * chunk_floats(p, s, 1, 1), (long long)bytes);
    return CLFLASH_OK;
}

/* The parts of the workspace, and its bytes. */
static int64_t lay_out(clfi_standard *s, const clfi_attn *p)
{
    int64_t end = 0;
    const int64_t queries = s->pairs * p->group * s->rows, keys = s->pairs * p->sk;
    s->q = place(&end, queries * p->d);
    s->k = place(&end, keys * p->d);
    s->v = place(&end, keys * p->dv);
    s->s = place(&end, queries * s->ld);
    s->o = place(&end, queries * p->dv);
    s->scale = place(&end, queries);
    s->bad = place(&end, keys);
    s->any = place(&end, s->pairs);
    return end * 4;
}

/* ---- kernels ---- */

static clflash_status get_kernels(clfi_standard *s, clflash_context *ctx, const clfi_attn *p,
                                  clfi_err *err)
{
    const clfi_profile *dev = clfi_context_profile(ctx);
    char text[512];
    clfi_strbuf options = clfi_strbuf_on(text, sizeof text);
    s->pack_group = dev->cpu ? 1 : 64;
    s->softmax_group = dev->cpu ? 1 : dev->max_work_group >= 256 ? 256 : 64;
    clfi_strbuf_add(&options, "-DP_DTYPE=%d -DT_WG=%d", (int)p->dtype, (int)s->pack_group);
    CLF_TRY(clfi_kernel_get(&s->pack, ctx, "convert.cl", "clf_pack", text, err));
    CLF_TRY(clfi_kernel_get(&s->pack_values, ctx, "convert.cl", "clf_pack_values", text, err));
    CLF_TRY(clfi_kernel_get(&s->unpack, ctx, "convert.cl", "clf_unpack", text, err));
    clfi_attn rules = *p;
    rules.blocks = false;
    rules.d = rules.dv = 1; /* not read: one binary for all head dimensions */
    options = clfi_strbuf_on(text, sizeof text);
    clfi_attn_options(&rules, &options);
    const int lanes = !dev->cpu ? 1 : dev->vector_width >= 16 ? 16 : 8;
    clfi_strbuf_add(&options, " -DT_WG=%d -DCLF_LANES=%d", (int)s->softmax_group, lanes);
    return clfi_kernel_get(&s->softmax, ctx, "attn_softmax.cl", "clf_attn_softmax", text, err);
}

clflash_status clfi_standard_make(clflash_plan *plan, int64_t max_workspace_bytes, clfi_err *err)
{
    clfi_standard *s = &plan->standard;
    const clfi_profile *dev = clfi_context_profile(plan->ctx);
    CLF_TRY(clfi_blas_supported(plan->ctx, err));
    CLF_TRY(choose_chunk(s, &plan->p, dev, max_workspace_bytes, err));
    plan->workspace_bytes = lay_out(s, &plan->p);
    return get_kernels(s, plan->ctx, &plan->p, err);
}

void clfi_standard_free(clfi_standard *s)
{
    clfi_kernel_release(s->pack);
    clfi_kernel_release(s->pack_values);
    clfi_kernel_release(s->softmax);
    clfi_kernel_release(s->unpack);
    s->pack = s->pack_values = s->softmax = s->unpack = NULL;
}

/* ---- one chunk ---- */

typedef struct chunk {
    const clfi_standard *s; /* offsets are those of the workspace that the call uses */
    clflash_context *ctx;
    const clfi_attn *p;
    const clfi_attn_call *call;
    cl_mem work;
    int32_t pair0, pairs, row0, rows;
    clfi_err *err;
} chunk;

/* Everything before it ends before everything after it starts. */
static clflash_status step(const chunk *c)
{
    if (!c->call->out_of_order)
        return CLFLASH_OK;
    return clfi_queue_barrier(c->call->queue, 0, NULL, NULL, c->err);
}

static clflash_status launch(const chunk *c, clfi_kernel *kernel, const clfi_arg *args, int32_t n,
                             size_t group_size, int32_t rows, int32_t group, cl_event *event)
{
    const size_t global[] = {group_size * (size_t)rows, (size_t)group, (size_t)c->pairs};
    const size_t local[] = {group_size, 1, 1};
    CLF_TRY(clfi_kernel_launch(kernel, c->call->queue, args, n, 3, global, local, 0, NULL, event,
                               c->err));
    return step(c);
}

static clflash_status pack_keys(const chunk *c)
{
    const clf_attn_args *a = &c->call->a;
    const clfi_standard *s = c->s;
    const int32_t row0 = 0, group = 1;
    const clfi_arg k[] = {CLFI_ARG_MEM(c->call->k), CLFI_ARG_MEM(c->work), CLFI_ARG(a->k_off),
                          CLFI_ARG(a->k_sb),        CLFI_ARG(a->k_ss),     CLFI_ARG(a->k_sh),
                          CLFI_ARG(s->k),           CLFI_ARG(c->p->d),     CLFI_ARG(c->pair0),
                          CLFI_ARG(row0),           CLFI_ARG(a->hk),       CLFI_ARG(group),
                          CLFI_ARG_MEM(c->work),    CLFI_ARG(s->any)};
    const clfi_arg v[] = {CLFI_ARG_MEM(c->call->v), CLFI_ARG_MEM(c->work), CLFI_ARG(a->v_off),
                          CLFI_ARG(a->v_sb),        CLFI_ARG(a->v_ss),     CLFI_ARG(a->v_sh),
                          CLFI_ARG(s->v),           CLFI_ARG(c->p->dv),    CLFI_ARG(c->pair0),
                          CLFI_ARG(a->hk),          CLFI_ARG_MEM(c->work), CLFI_ARG(s->bad),
                          CLFI_ARG(s->any)};
    CLF_TRY(launch(c, s->pack, k, 14, s->pack_group, c->p->sk, 1, NULL));
    return launch(c, s->pack_values, v, 13, s->pack_group, c->p->sk, 1, NULL);
}

static clflash_status pack_queries(const chunk *c)
{
    const clf_attn_args *a = &c->call->a;
    const clfi_standard *s = c->s;
    const int64_t none = -1;
    const clfi_arg q[] = {CLFI_ARG_MEM(c->call->q), CLFI_ARG_MEM(c->work), CLFI_ARG(a->q_off),
                          CLFI_ARG(a->q_sb),        CLFI_ARG(a->q_ss),     CLFI_ARG(a->q_sh),
                          CLFI_ARG(s->q),           CLFI_ARG(c->p->d),     CLFI_ARG(c->pair0),
                          CLFI_ARG(c->row0),        CLFI_ARG(a->hk),       CLFI_ARG(a->group),
                          CLFI_ARG_MEM(c->work),    CLFI_ARG(none)};
    return launch(c, s->pack, q, 14, s->pack_group, c->rows, c->p->group, NULL);
}

static clflash_status scores(const chunk *c)
{
    const clfi_standard *s = c->s;
    const int64_t m = (int64_t)c->p->group * c->rows;
    const clfi_gemm g = {.m = m,
                         .n = c->p->sk,
                         .k = c->p->d,
                         .transpose_b = true,
                         .alpha = 1,
                         .a = c->work,
                         .a_offset = s->q,
                         .a_ld = c->p->d,
                         .a_stride = m * c->p->d,
                         .b = c->work,
                         .b_offset = s->k,
                         .b_ld = c->p->d,
                         .b_stride = (int64_t)c->p->sk * c->p->d,
                         .c = c->work,
                         .c_offset = s->s,
                         .c_ld = s->ld,
                         .c_stride = m * s->ld,
                         .count = c->pairs};
    CLF_TRY(clfi_blas_sgemm(c->ctx, c->call->queue, &g, c->err));
    return step(c);
}

static clflash_status softmax(const chunk *c)
{
    const clfi_standard *s = c->s;
    const clfi_attn_call *call = c->call;
    clfi_arg list[CLFI_MAX_ARGS + 8];
    int32_t n = 0;
    list[n++] = CLFI_ARG_MEM(c->work);
    list[n++] = (clfi_arg){sizeof(cl_mem), call->lse ? &call->lse : NULL};
    clfi_attn rules = *c->p;
    rules.blocks = false;
    n += clfi_attn_call_mask_args(call, &rules, list + n);
    list[n++] = CLFI_ARG(call->a);
    list[n++] = CLFI_ARG(s->s);
    list[n++] = CLFI_ARG(s->scale);
    list[n++] = CLFI_ARG(s->ld);
    list[n++] = CLFI_ARG(c->pair0);
    list[n++] = CLFI_ARG(c->row0);
    return launch(c, s->softmax, list, n, s->softmax_group, c->rows, c->p->group, NULL);
}

static clflash_status values(const chunk *c)
{
    const clfi_standard *s = c->s;
    const int64_t m = (int64_t)c->p->group * c->rows;
    const clfi_gemm g = {.m = m,
                         .n = c->p->dv,
                         .k = c->p->sk,
                         .alpha = 1,
                         .a = c->work,
                         .a_offset = s->s,
                         .a_ld = s->ld,
                         .a_stride = m * s->ld,
                         .b = c->work,
                         .b_offset = s->v,
                         .b_ld = c->p->dv,
                         .b_stride = (int64_t)c->p->sk * c->p->dv,
                         .c = c->work,
                         .c_offset = s->o,
                         .c_ld = c->p->dv,
                         .c_stride = m * c->p->dv,
                         .count = c->pairs};
    CLF_TRY(clfi_blas_sgemm(c->ctx, c->call->queue, &g, c->err));
    return step(c);
}

static clflash_status unpack(const chunk *c, cl_event *event)
{
    const clfi_standard *s = c->s;
    const clfi_attn_call *call = c->call;
    const clfi_arg args[] = {CLFI_ARG_MEM(c->work), CLFI_ARG_MEM(call->v), CLFI_ARG_MEM(call->o),
                             CLFI_ARG(call->a),     CLFI_ARG(s->o),        CLFI_ARG(s->scale),
                             CLFI_ARG(s->s),        CLFI_ARG(s->ld),       CLFI_ARG_MEM(c->work),
                             CLFI_ARG(s->bad),      CLFI_ARG(s->any),      CLFI_ARG(c->p->dv),
                             CLFI_ARG(c->pair0),    CLFI_ARG(c->row0)};
    return launch(c, s->unpack, args, 14, s->pack_group, c->rows, c->p->group, event);
}

/* ---- all chunks ---- */

static int32_t least(int64_t a, int64_t b) { return (int32_t)(a < b ? a : b); }

static clflash_status all_chunks(chunk *c, cl_event *event)
{
    const int64_t all = (int64_t)c->p->b * c->p->hk;
    for (int64_t pair = 0; pair < all; pair += c->s->pairs) {
        c->pair0 = (int32_t)pair;
        c->pairs = least(c->s->pairs, all - pair);
        CLF_TRY(pack_keys(c));
        for (int64_t row = 0; row < c->p->sq; row += c->s->rows) {
            c->row0 = (int32_t)row;
            c->rows = least(c->s->rows, c->p->sq - row);
            const bool last = pair + c->pairs >= all && row + c->rows >= c->p->sq;
            CLF_TRY(pack_queries(c));
            CLF_TRY(scores(c));
            CLF_TRY(softmax(c));
            CLF_TRY(values(c));
            CLF_TRY(unpack(c, last ? event : NULL));
        }
    }
    return CLFLASH_OK;
}

clflash_status clfi_standard_enqueue(const clflash_plan *plan, const clfi_attn_call *call,
                                     cl_uint n_wait, const cl_event *wait_list, cl_event *event,
                                     clfi_err *err)
{
    clfi_standard moved = plan->standard;
    const int64_t shift = call->workspace_offset / 4;
    int64_t *const offsets[] = {&moved.q, &moved.k,     &moved.v,   &moved.s,
                                &moved.o, &moved.scale, &moved.bad, &moved.any};
    for (int i = 0; i < 8; i++)
        *offsets[i] += shift;
    chunk c = {.s = &moved,
               .ctx = plan->ctx,
               .p = &plan->p,
               .call = call,
               .work = call->workspace,
               .err = err};
    if (n_wait || call->out_of_order)
        CLF_TRY(clfi_queue_barrier(call->queue, n_wait, wait_list, NULL, err));
    return all_chunks(&c, event);
}
