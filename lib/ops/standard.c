/* standard.c -- chunks of standard attention, packed matrices, products. (L4) */
#include "lib/ops/standard.h"

#include "host/blas.h"
#include "lib/base/strbuf.h"

#define ALIGN 64 /* floats: the parts of the workspace start at multiples of 256 bytes */
#define LANES 16 /* rows of scores are padded to the widest vector of scores.clh */

/* ---- memory ---- */

/* What CLBlast's int offsets and the budget allow. */
static bool chunk_fits(const clfi_attn *p, clfi_chunk_floats floats, int64_t ld, int64_t pairs,
                       int64_t rows, double budget)
{
    return floats(p, ld, pairs, rows) + 16.0 * ALIGN <= budget &&
           (double)pairs * p->group * rows * (double)ld <= INT32_MAX;
}

int64_t clfi_standard_place(int64_t *end, int64_t floats)
{
    const int64_t at = *end;
    *end = (at + floats + ALIGN - 1) / ALIGN * ALIGN;
    return at;
}

clflash_status clfi_standard_choose(clfi_standard *s, const clfi_attn *p, const clfi_profile *dev,
                                    int64_t max_bytes, clfi_chunk_floats floats, clfi_err *err)
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
        if (chunk_fits(p, floats, s->ld, middle, p->sq, budget))
            low = middle;
        else
            high = middle - 1;
    }
    s->pairs = low > 0 ? low : 1;
    int64_t rows = 0;
    for (high = p->sq; rows < high;) {
        const int64_t middle = rows + (high - rows + 1) / 2;
        if (chunk_fits(p, floats, s->ld, s->pairs, middle, budget))
            rows = middle;
        else
            high = middle - 1;
    }
    s->rows = rows;
    CLF_REQUIRE(err, rows > 0 || p->sq == 0 || all == 0, CLFLASH_UNSUPPORTED,
                "standard attention needs %.0f bytes for one row of queries, at most %lld are "
                "allowed (max_workspace_bytes, the largest buffer, a quarter of the memory)",
                4 * (floats(p, s->ld, 1, 1) + 16.0 * ALIGN), (long long)bytes);
    return CLFLASH_OK;
}

/* ---- kernels ---- */

clflash_status clfi_standard_converters(clfi_standard *s, clflash_context *ctx, const clfi_attn *p,
                                        bool out_f32, clfi_err *err)
{
    char text[128];
    clfi_strbuf options = clfi_strbuf_on(text, sizeof text);
    s->pack_group = clfi_context_profile(ctx)->cpu ? 1 : 64;
    clfi_strbuf_add(&options, "-DP_DTYPE=%d -DP_OUT_F32=%d -DT_WG=%d", (int)p->dtype, out_f32,
                    (int)s->pack_group);
    CLF_TRY(clfi_kernel_get(&s->pack, ctx, "convert.cl", "clf_pack", text, err));
    CLF_TRY(clfi_kernel_get(&s->pack_finite, ctx, "convert.cl", "clf_pack_finite", text, err));
    CLF_TRY(clfi_kernel_get(&s->repair, ctx, "convert.cl", "clf_repair_product", text, err));
    return clfi_kernel_get(&s->unpack, ctx, "convert.cl", "clf_unpack", text, err);
}

clflash_status clfi_standard_softmax(clfi_standard *s, clflash_context *ctx, const clfi_attn *p,
                                     const char *source, const char *kernel, clfi_err *err)
{
    const clfi_profile *dev = clfi_context_profile(ctx);
    char text[512];
    clfi_strbuf options = clfi_strbuf_on(text, sizeof text);
    clfi_attn rules = *p;
    rules.blocks = false;
    rules.d = rules.dv = 1; /* not read: one binary for all head dimensions */
    clfi_attn_options(&rules, &options);
    s->softmax_group = dev->cpu ? 1 : dev->max_work_group >= 256 ? 256 : 64;
    const int lanes = !dev->cpu ? 1 : dev->vector_width >= 16 ? 16 : 8;
    clfi_strbuf_add(&options, " -DT_WG=%d -DCLF_LANES=%d", (int)s->softmax_group, lanes);
    return clfi_kernel_get(&s->softmax, ctx, source, kernel, text, err);
}

void clfi_standard_free(clfi_standard *s)
{
    clfi_kernel *const kernels[] = {s->pack, s->pack_finite, s->softmax, s->repair, s->unpack};
    for (size_t i = 0; i < sizeof kernels / sizeof kernels[0]; i++)
        clfi_kernel_release(kernels[i]);
    *s = (clfi_standard){0};
}

/* ---- one chunk ---- */

static clf_packed packed(const clfi_chunk *c, clf_view view, int32_t width, int64_t at, int64_t bad,
                         int64_t any)
{
    return (clf_packed){.view = view,
                        .packed_off = c->base + at,
                        .bad_off = c->base + bad,
                        .any_off = any == CLFI_NO_FLAGS ? CLFI_NO_FLAGS : c->base + any,
                        .hk = c->p->hk,
                        .group = 1,
                        .pair0 = c->pair0,
                        .width = width};
}

clf_packed clfi_chunk_queries(const clfi_chunk *c, clf_view view, int32_t width, int64_t at,
                              int64_t bad, int64_t any)
{
    clf_packed m = packed(c, view, width, at, bad, any);
    m.group = c->p->group;
    m.row0 = c->row0;
    return m;
}

clf_packed clfi_chunk_keys(const clfi_chunk *c, clf_view view, int32_t width, int64_t at,
                           int64_t bad, int64_t any)
{
    return packed(c, view, width, at, bad, any);
}

/* Everything before it ends before everything after it starts. */
static clflash_status step(const clfi_chunk *c)
{
    if (!c->call->out_of_order)
        return CLFLASH_OK;
    return clfi_queue_barrier(c->call->queue, 0, NULL, NULL, c->err);
}

clflash_status clfi_chunk_launch(const clfi_chunk *c, clfi_kernel *kernel, const clfi_arg *args,
                                 int32_t n, size_t group_size, int32_t rows, int32_t group,
                                 cl_event *event)
{
    const size_t global[] = {group_size * (size_t)rows, (size_t)group, (size_t)c->pairs};
    const size_t local[] = {group_size, 1, 1};
    CLF_TRY(clfi_kernel_launch(kernel, c->call->queue, args, n, 3, global, local, 0, NULL, event,
                               c->err));
    return step(c);
}

clflash_status clfi_chunk_pack(const clfi_chunk *c, clfi_kernel *kernel, cl_mem from,
                               const clf_packed *m, int32_t rows)
{
    const cl_mem work = c->call->workspace;
    const clfi_arg args[] = {CLFI_ARG_MEM(from), CLFI_ARG_MEM(work), CLFI_ARG_MEM(work),
                             CLFI_ARG(*m)};
    return clfi_chunk_launch(c, kernel, args, 4, c->s->pack_group, rows, m->group, NULL);
}

clflash_status clfi_chunk_softmax(const clfi_chunk *c, const clfi_arg *lead, int32_t n_lead,
                                  clfi_arg args, const clfi_arg *tail, int32_t n_tail)
{
    clfi_arg list[CLFI_MAX_ARGS + 8];
    int32_t n = 0;
    list[n++] = CLFI_ARG_MEM(c->call->workspace);
    for (int32_t i = 0; i < n_lead; i++)
        list[n++] = lead[i];
    clfi_attn rules = *c->p;
    rules.blocks = false;
    n += clfi_attn_call_mask_args(c->call, &rules, list + n);
    list[n++] = args;
    for (int32_t i = 0; i < n_tail; i++)
        list[n++] = tail[i];
    list[n++] = CLFI_ARG(c->s->ld);
    list[n++] = CLFI_ARG(c->pair0);
    list[n++] = CLFI_ARG(c->row0);
    return clfi_chunk_launch(c, c->s->softmax, list, n, c->s->softmax_group, c->rows, c->p->group,
                             NULL);
}

clflash_status clfi_chunk_product(const clfi_chunk *c, int64_t m, int64_t n, int64_t k,
                                  clfi_matrix a, clfi_matrix b, float beta, clfi_matrix out)
{
    const cl_mem work = c->call->workspace;
    const clfi_gemm g = {.m = m,
                         .n = n,
                         .k = k,
                         .transpose_a = a.transposed,
                         .transpose_b = b.transposed,
                         .alpha = 1,
                         .beta = beta,
                         .a = work,
                         .a_offset = c->base + a.at,
                         .a_ld = a.ld,
                         .a_stride = a.stride,
                         .b = work,
                         .b_offset = c->base + b.at,
                         .b_ld = b.ld,
                         .b_stride = b.stride,
                         .c = work,
                         .c_offset = c->base + out.at,
                         .c_ld = out.ld,
                         .c_stride = out.stride,
                         .count = c->pairs};
    CLF_TRY(clfi_blas_sgemm(c->ctx, c->call->queue, &g, c->err));
    return step(c);
}
