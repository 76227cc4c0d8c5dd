/* attn_standard.c -- standard attention: S = Q K^T, softmax, O = P V by CLBlast, in chunks
 * whose scores fit the memory. (L4)
 *
 * Everything is packed to f32 first (CLBlast has no bf16, and half only where the driver
 * lists it, with sums in half). Q is packed [B, Hk, group * Sq, D], so grouped heads are
 * one product per KV head. */
#include "lib/ops/plan.h"

#include "host/blas.h"
#include "lib/base/strbuf.h"

#define ALIGN_BYTES 256
#define MIN_SCORES_BYTES ((int64_t)1 << 20)

static int64_t aligned(int64_t bytes)
{
    return (bytes + ALIGN_BYTES - 1) / ALIGN_BYTES * ALIGN_BYTES;
}

static int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }

/* KV heads and packed query rows of a chunk, by what may be spent on scores. */
static void size_chunk(clfi_standard *s, const clfi_attn *p, int64_t budget_bytes)
{
    const int64_t heads = (int64_t)p->b * p->hk, rows = (int64_t)p->group * p->sq;
    const int64_t wide = p->sk > p->dv ? p->sk : p->dv > 0 ? p->dv : 1;
    int64_t fit = budget_bytes / (wide * 4); /* rows of scores, and of o */
    fit = min64(fit, INT32_MAX / wide);      /* CLBlast's offsets are ints */
    fit = fit < 1 ? 1 : fit;
    s->rows = min64(rows, fit);
    s->heads = s->rows < rows ? 1 : min64(heads, fit / rows);
    /* K and V of the chunk's heads pass through ints as well. */
    const int64_t kv = (int64_t)p->sk * (p->d > p->dv ? p->d : p->dv);
    if (kv > 0)
        s->heads = min64(s->heads, INT32_MAX / kv > 0 ? INT32_MAX / kv : 1);
    s->heads = min64(s->heads, rows * p->d > 0 ? INT32_MAX / (rows * p->d) : s->heads);
    s->heads = s->heads < 1 ? 1 : s->heads;
}

static int64_t lay_out(clfi_standard *s, const clfi_attn *p)
{
    const int64_t heads = (int64_t)p->b * p->hk, rows = (int64_t)p->group * p->sq;
    int64_t at = 0;
    s->flag_at = at;
    at += ALIGN_BYTES;
    s->q_at = at;
    at += aligned(heads * rows * p->d * 4);
    s->k_at = at;
    at += aligned(heads * p->sk * p->d * 4);
    s->v_at = at;
    at += aligned(heads * p->sk * p->dv * 4);
    s->o_at = at;
    at += aligned(s->heads * s->rows * p->dv * 4);
    s->s_at = at;
    at += aligned(s->heads * s->rows * p->sk * 4);
    return at;
}

static clflash_status make_kernels(clflash_plan *plan, clfi_err *err)
{
    clfi_standard *s = &plan->standard;
    clflash_context *ctx = plan->ctx;
    char text[1024];
    clfi_attn rules = plan->p;
    rules.blocks = false;
    clfi_strbuf options = clfi_strbuf_on(text, sizeof text);
    clfi_strbuf_add(&options, "-DP_DTYPE=%d -DT_WG=%d", (int)plan->p.dtype, s->work_group);
    CLF_TRY(clfi_kernel_get(&s->pack, ctx, "convert.cl", "clf_pack", text, err));
    CLF_TRY(clfi_kernel_get(&s->unpack, ctx, "convert.cl", "clf_unpack", text, err));
    options = clfi_strbuf_on(text, sizeof text);
    clfi_attn_options(&rules, &options);
    clfi_strbuf_add(&options, " -DT_WG=%d", s->work_group);
    CLF_TRY(clfi_kernel_get(&s->softmax, ctx, "attn_softmax.cl", "clf_softmax", text, err));
    return clfi_kernel_get(&s->repair, ctx, "attn_softmax.cl", "clf_repair", text, err);
}

clflash_status clfi_standard_make(clflash_plan *plan, int64_t max_workspace_bytes, clfi_err *err)
{
    clfi_standard *s = &plan->standard;
    const clfi_attn *p = &plan->p;
    const clfi_profile *dev = clfi_context_profile(plan->ctx);
    CLF_TRY(clfi_blas_supported(plan->ctx, err));
    s->work_group = dev->cpu ? 1 : dev->max_work_group >= 128 ? 128 : 64;
    /* The workspace is one buffer: what is not packed tensors is for scores. */
    *s = (clfi_standard){.work_group = s->work_group};
    s->heads = s->rows = 0;
    const int64_t fixed = lay_out(s, p);
    int64_t limit = min64(dev->max_alloc_bytes, dev->global_bytes / 4);
    if (max_workspace_bytes > 0)
        limit = min64(limit, max_workspace_bytes);
    CLF_REQUIRE(err, fixed + MIN_SCORES_BYTES <= limit || p->sk == 0 || max_workspace_bytes > 0,
                CLFLASH_UNSUPPORTED,
                "standard: packed tensors of %lld bytes do not fit a workspace of %lld",
                (long long)fixed, (long long)limit);
    /* o's chunk stands beside its scores. */
    size_chunk(s, p,
               p->sk + p->dv > 0 ? (limit - fixed > 0 ? limit - fixed : 0) / (p->sk + p->dv) *
                                       (p->sk > p->dv ? p->sk : p->dv)
                                 : 0);
    plan->workspace_bytes = lay_out(s, p);
    return make_kernels(plan, err);
}

void clfi_standard_free(clfi_standard *s)
{
    clfi_kernel_release(s->pack);
    clfi_kernel_release(s->unpack);
    clfi_kernel_release(s->softmax);
    clfi_kernel_release(s->repair);
    *s = (clfi_standard){0};
}

/* One call in flight: on an out-of-order queue a barrier stands between any two steps. */
typedef struct standard_run {
    const clflash_plan *plan;
    const clfi_attn_call *call;
    clfi_err *err;
} standard_run;

static clflash_status step(const standard_run *r)
{
    return r->call->out_of_order ? clfi_queue_barrier(r->call->queue, 0, NULL, NULL, r->err)
                                 : CLFLASH_OK;
}

/* Where part `at` of the workspace starts, in elements of 4 bytes. */
static clf_i64 place(const standard_run *r, int64_t at)
{
    return (r->call->workspace_offset + at) / 4;
}

static clflash_status launch(const standard_run *r, clfi_kernel *kernel, const clfi_arg *args,
                             int32_t n, int64_t rows, int64_t heads)
{
    const size_t wg = (size_t)r->plan->standard.work_group;
    const size_t global[3] = {wg, (size_t)rows, (size_t)heads}, local[3] = {wg, 1, 1};
    CLF_TRY(clfi_kernel_launch(kernel, r->call->queue, args, n, 3, global, local, 0, NULL, NULL,
                               r->err));
    return step(r);
}

/* A view [B, S, H, width] to packed f32 [B, H, S, width] at `to`. */
static clflash_status pack(const standard_run *r, cl_mem mem, const clf_i64 view[4], int64_t to,
                           int32_t len, int32_t heads, cl_int width, cl_int scrub)
{
    const clfi_standard *s = &r->plan->standard;
    const cl_mem workspace = r->call->workspace;
    const clf_i64 to_off = place(r, to), flag_off = place(r, s->flag_at);
    const cl_int n_heads = heads;
    if (len == 0)
        return CLFLASH_OK;
    const clfi_arg args[] = {
        CLFI_ARG_MEM(mem),  CLFI_ARG_MEM(workspace), CLFI_ARG_MEM(workspace), CLFI_ARG(to_off),
        CLFI_ARG(flag_off), CLFI_ARG(view[0]),       CLFI_ARG(view[1]),       CLFI_ARG(view[2]),
        CLFI_ARG(view[3]),  CLFI_ARG(n_heads),       CLFI_ARG(width),         CLFI_ARG(scrub),
    };
    return launch(r, s->pack, args, 12, len, (int64_t)r->plan->p.b * heads);
}

static clflash_status pack_all(const standard_run *r)
{
    const clfi_standard *s = &r->plan->standard;
    const clfi_attn *p = &r->plan->p;
    const clf_attn_args *a = &r->call->a;
    const clf_i64 q[4] = {a->q_off, a->q_sb, a->q_ss, a->q_sh};
    const clf_i64 k[4] = {a->k_off, a->k_sb, a->k_ss, a->k_sh};
    const clf_i64 v[4] = {a->v_off, a->v_sb, a->v_ss, a->v_sh};
    CLF_TRY(clfi_mem_fill_zero(r->call->queue, r->call->workspace,
                               r->call->workspace_offset + s->flag_at, 4, r->err));
    CLF_TRY(step(r));
    /* [B, Hq, Sq, D] is [B, Hk, group * Sq, D]. */
    CLF_TRY(pack(r, r->call->q, q, s->q_at, p->sq, p->hq, p->d, 0));
    CLF_TRY(pack(r, r->call->k, k, s->k_at, p->sk, p->hk, p->d, 0));
    return pack(r, r->call->v, v, s->v_at, p->sk, p->hk, p->dv, 1);
}

typedef struct chunk {
    int64_t head0, row0, heads, rows;
} chunk;

/* C[m,n] of every head of the chunk. */
static clflash_status product(const standard_run *r, const chunk *c, bool scores)
{
    const clfi_standard *s = &r->plan->standard;
    const clfi_attn *p = &r->plan->p;
    const cl_mem w = r->call->workspace;
    const int64_t rows = (int64_t)p->group * p->sq;
    const int64_t q = place(r, s->q_at) + (c->head0 * rows + c->row0) * p->d;
    const int64_t k = place(r, s->k_at) + c->head0 * p->sk * p->d;
    const int64_t v = place(r, s->v_at) + c->head0 * p->sk * p->dv;
    clfi_gemm g = {.m = c->rows, .alpha = 1, .a = w, .b = w, .c = w, .count = c->heads};
    if (scores) {
        g.n = g.c_ld = p->sk;
        g.k = g.a_ld = g.b_ld = p->d;
        g.transpose_b = true;
        g.a_offset = q;
        g.a_stride = rows * p->d;
        g.b_offset = k;
        g.b_stride = (int64_t)p->sk * p->d;
        g.c_offset = place(r, s->s_at);
        g.c_stride = c->rows * p->sk;
    } else {
        g.n = g.b_ld = g.c_ld = p->dv;
        g.k = g.a_ld = p->sk;
        g.a_offset = place(r, s->s_at);
        g.a_stride = c->rows * p->sk;
        g.b_offset = v;
        g.b_stride = (int64_t)p->sk * p->dv;
        g.c_offset = place(r, s->o_at);
        g.c_stride = c->rows * p->dv;
    }
    CLF_TRY(clfi_blas_sgemm(r->plan->ctx, r->call->queue, &g, r->err));
    return step(r);
}

static clflash_status softmax(const standard_run *r, const chunk *c)
{
    const clfi_standard *s = &r->plan->standard;
    const cl_mem w = r->call->workspace, *lse = r->call->lse ? &r->call->lse : NULL;
    const clf_i64 s_off = place(r, s->s_at);
    const cl_int head0 = (cl_int)c->head0, row0 = (cl_int)c->row0;
    clfi_attn rules = r->plan->p;
    rules.blocks = false;
    clfi_arg args[CLFI_MAX_ARGS] = {
        CLFI_ARG_MEM(w), {sizeof(cl_mem), lse},
         CLFI_ARG(s_off), CLFI_ARG(head0), CLFI_ARG(row0)
    };
    int32_t n = 5;
    n += clfi_attn_call_mask_args(r->call, &rules, args + n);
    args[n++] = CLFI_ARG(r->call->a);
    return launch(r, s->softmax, args, n, c->rows, c->heads);
}

static clflash_status repair(const standard_run *r, const chunk *c)
{
    const clfi_standard *s = &r->plan->standard;
    const cl_mem w = r->call->workspace;
    const clf_i64 s_off = place(r, s->s_at), o_off = place(r, s->o_at),
                  flag_off = place(r, s->flag_at);
    const cl_int head0 = (cl_int)c->head0, row0 = (cl_int)c->row0;
    const clfi_arg args[] = {CLFI_ARG_MEM(w),     CLFI_ARG_MEM(r->call->v), CLFI_ARG_MEM(w),
                             CLFI_ARG_MEM(w),     CLFI_ARG(s_off),          CLFI_ARG(o_off),
                             CLFI_ARG(flag_off),  CLFI_ARG(head0),          CLFI_ARG(row0),
                             CLFI_ARG(r->call->a)};
    return launch(r, s->repair, args, 10, c->rows, c->heads);
}

static clflash_status unpack(const standard_run *r, const chunk *c)
{
    const clfi_standard *s = &r->plan->standard;
    const clfi_attn *p = &r->plan->p;
    const clf_attn_args *a = &r->call->a;
    const cl_mem w = r->call->workspace;
    const clf_i64 o_off = place(r, s->o_at);
    const cl_int head0 = (cl_int)c->head0, row0 = (cl_int)c->row0;
    const clfi_arg args[] = {CLFI_ARG_MEM(w),    CLFI_ARG_MEM(r->call->o), CLFI_ARG(o_off),
                             CLFI_ARG(a->o_off), CLFI_ARG(a->o_sb),        CLFI_ARG(a->o_ss),
                             CLFI_ARG(a->o_sh),  CLFI_ARG(p->hk),          CLFI_ARG(p->group),
                             CLFI_ARG(p->sq),    CLFI_ARG(head0),          CLFI_ARG(row0),
                             CLFI_ARG(p->dv)};
    return launch(r, s->unpack, args, 13, c->rows, c->heads);
}

static clflash_status run_chunk(const standard_run *r, const chunk *c)
{
    const clfi_attn *p = &r->plan->p;
    if (p->sk > 0) {
        CLF_TRY(product(r, c, true));
        CLF_TRY(softmax(r, c));
        CLF_TRY(product(r, c, false));
        CLF_TRY(repair(r, c));
    } else { /* no product to overwrite it */
        CLF_TRY(softmax(r, c));
        CLF_TRY(clfi_mem_fill_zero(r->call->queue, r->call->workspace,
                                   r->call->workspace_offset + r->plan->standard.o_at,
                                   c->rows * c->heads * p->dv * 4, r->err));
        CLF_TRY(step(r));
    }
    return unpack(r, c);
}

clflash_status clfi_standard_enqueue(const clflash_plan *plan, const clfi_attn_call *call,
                                     cl_uint n_wait, const cl_event *wait_list, cl_event *event,
                                     clfi_err *err)
{
    const clfi_standard *s = &plan->standard;
    const clfi_attn *p = &plan->p;
    const int64_t heads = (int64_t)p->b * p->hk, rows = (int64_t)p->group * p->sq;
    const standard_run r = {plan, call, err};
    if (n_wait > 0 || call->out_of_order)
        CLF_TRY(clfi_queue_barrier(call->queue, n_wait, wait_list, NULL, err));
    CLF_TRY(pack_all(&r));
    for (int64_t head = 0; head < heads; head += s->heads) {
        for (int64_t row = 0; row < rows; row += s->rows) {
            const chunk c = {head, row, min64(s->heads, heads - head), min64(s->rows, rows - row)};
            CLF_TRY(run_chunk(&r, &c));
        }
    }
    return event ? clfi_queue_marker(call->queue, 0, NULL, event, err) : CLFLASH_OK;
}
