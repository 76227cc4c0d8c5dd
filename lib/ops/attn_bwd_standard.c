/* attn_bwd_standard.c -- the backward of standard attention, in chunks. (L4)
 *
 * S = Q K^T and dP = dO V^T, one kernel makes P and dS of them, then dV += P^T dO,
 * dK += dS^T Q, dQ = dS K. The heads of a group are rows of one matrix, so dK and dV come
 * summed over the group; over chunks of rows they are summed in f32, in order.
 *
 * The last three products sum over masked pairs too, where P and dS are 0: their other factor
 * goes in with its non-finite elements as 0, and clf_repair_product adds those that are seen.
 * The first two need it as it is, so K, Q and dO are packed twice. */
#include "lib/ops/standard.h"

#include "host/blas.h"

static double chunk_floats(const clfi_attn *p, int64_t ld, int64_t pairs, int64_t rows)
{
    const double keys = (double)pairs * p->sk, queries = (double)pairs * p->group * rows;
    return queries * ((double)p->d + p->dv + 2.0 * (double)ld + 2) +
           keys * (2.0 * p->d + 2.0 * p->dv + 1) + 3.0 * (double)pairs;
}

static int64_t lay_out(clfi_standard *s, const clfi_attn *p)
{
    int64_t end = 0;
    const int64_t queries = s->pairs * p->group * s->rows, keys = s->pairs * p->sk;
    s->q = clfi_standard_place(&end, queries * p->d);
    s->k = clfi_standard_place(&end, keys * p->d);
    s->v = clfi_standard_place(&end, keys * p->dv);
    s->s = clfi_standard_place(&end, queries * s->ld);
    s->dp = clfi_standard_place(&end, queries * s->ld);
    s->dout = clfi_standard_place(&end, queries * p->dv);
    s->dk = clfi_standard_place(&end, keys * p->d);
    s->dv = clfi_standard_place(&end, keys * p->dv);
    s->bad = clfi_standard_place(&end, keys);
    s->bad_q = clfi_standard_place(&end, queries);
    s->bad_dout = clfi_standard_place(&end, queries);
    s->any = clfi_standard_place(&end, s->pairs);
    s->any_q = clfi_standard_place(&end, s->pairs);
    s->any_dout = clfi_standard_place(&end, s->pairs);
    return end * 4;
}

clflash_status clfi_standard_bwd_make(clflash_plan *plan, int64_t max_workspace_bytes,
                                      clfi_err *err)
{
    clfi_standard *s = &plan->standard;
    const clfi_attn *p = &plan->p;
    const clfi_profile *dev = clfi_context_profile(plan->ctx);
    CLF_TRY(clfi_blas_supported(plan->ctx, err));
    CLF_TRY(clfi_standard_choose(s, p, dev, max_workspace_bytes, chunk_floats, err));
    s->bytes = lay_out(s, p);
    CLF_TRY(clfi_standard_converters(s, plan->ctx, p, p->grad_f32, err));
    return clfi_standard_softmax(s, plan->ctx, p, "attn_bwd_softmax.cl", "clf_attn_bwd_softmax",
                                 err);
}

int64_t clfi_standard_bwd_scratch_bytes(const clflash_plan *plan) { return plan->standard.bytes; }

/* ---- one chunk ---- */

typedef struct bwd_chunk {
    clfi_chunk c;
    const clfi_attn_bwd_call *call;
    bool ds; /* dq or dk is wanted */
} bwd_chunk;

/* Packed matrices of the chunk by rows and columns. */
static clfi_matrix matrix(int64_t at, int64_t rows, int64_t ld)
{
    return (clfi_matrix){.at = at, .ld = ld, .stride = rows * ld};
}

static clfi_matrix transposed(clfi_matrix a)
{
    a.transposed = true;
    return a;
}

static int64_t group_rows(const clfi_chunk *c) { return (int64_t)c->p->group * c->rows; }

static clf_packed packed_k(const clfi_chunk *c)
{
    return clfi_chunk_keys(c, CLFI_VIEW(&c->call->a, k), c->p->d, c->s->k, c->s->bad, c->s->any);
}

static clf_packed packed_q(const clfi_chunk *c)
{
    return clfi_chunk_queries(c, CLFI_VIEW(&c->call->a, q), c->p->d, c->s->q, c->s->bad_q,
                              c->s->any_q);
}

static clf_packed packed_dout(const bwd_chunk *b)
{
    const clfi_chunk *c = &b->c;
    return clfi_chunk_queries(c, CLFI_VIEW(&b->call->x, do), c->p->dv, c->s->dout, c->s->bad_dout,
                              c->s->any_dout);
}

/* P in place of S and, where it is wanted, scale dS slope in place of dP. */
static clflash_status weights(const bwd_chunk *b)
{
    const clfi_chunk *c = &b->c;
    const clfi_standard *s = c->s;
    const clfi_attn *p = c->p;
    const int64_t m = group_rows(c), s_off = c->base + s->s, dp_off = c->base + s->dp;
    const clf_packed q = packed_q(c), k = packed_k(c), dout = packed_dout(b);
    CLF_TRY(clfi_chunk_pack(c, s->pack, c->call->q, &q, c->rows));
    CLF_TRY(clfi_chunk_pack(c, s->pack, c->call->k, &k, p->sk));
    CLF_TRY(clfi_chunk_pack(c, s->pack, b->call->dout, &dout, c->rows));
    CLF_TRY(clfi_chunk_product(c, m, p->sk, p->d, matrix(s->q, m, p->d),
                               transposed(matrix(s->k, p->sk, p->d)), 0, matrix(s->s, m, s->ld)));
    if (b->ds)
        CLF_TRY(clfi_chunk_product(c, m, p->sk, p->dv, matrix(s->dout, m, p->dv),
                                   transposed(matrix(s->v, p->sk, p->dv)), 0,
                                   matrix(s->dp, m, s->ld)));
    const clfi_arg tail[] = {CLFI_ARG(s_off), CLFI_ARG(dp_off)};
    return clfi_chunk_softmax(c, NULL, 0, CLFI_ARG(b->call->x), tail, 2);
}

/* out[key] (+)= sum over the chunk's rows of w[row][key] x[row], x packed in place. w: at. */
static clflash_status sum_over_rows(const bwd_chunk *b, int64_t at, const clf_packed *x, cl_mem mem,
                                    int64_t x_at, int64_t out)
{
    const clfi_chunk *c = &b->c;
    const clfi_standard *s = c->s;
    const int32_t sk = c->p->sk;
    const int64_t m = group_rows(c);
    const float beta = c->row0 > 0;
    const cl_mem work = c->call->workspace;
    CLF_TRY(clfi_chunk_pack(c, s->pack_finite, mem, x, c->rows));
    CLF_TRY(clfi_chunk_product(c, sk, x->width, m, transposed(matrix(at, m, s->ld)),
                               matrix(x_at, m, x->width), beta, matrix(out, sk, x->width)));
    const clf_packed sum =
        clfi_chunk_keys(c, (clf_view){0}, x->width, out, CLFI_NO_FLAGS, CLFI_NO_FLAGS);
    const clf_repair left = {.x = *x,
                             .w_off = c->base + at,
                             .sees_off = c->base + s->s,
                             .pair_stride = m * s->ld,
                             .row_stride = 1,
                             .step = s->ld,
                             .count = (int32_t)m,
                             .per_head = c->rows};
    const clfi_arg args[] = {CLFI_ARG_MEM(work), CLFI_ARG_MEM(mem), CLFI_ARG_MEM(work),
                             CLFI_ARG(sum), CLFI_ARG(left)};
    return clfi_chunk_launch(c, s->repair, args, 5, s->pack_group, sk, 1, NULL);
}

/* Takes q's place: nothing reads q any more. */
static clflash_status query_gradients(const bwd_chunk *b)
{
    const clfi_chunk *c = &b->c;
    const clfi_standard *s = c->s;
    const clfi_attn *p = c->p;
    const clf_attn_bwd_args *x = &b->call->x;
    const int64_t m = group_rows(c), no_scale = -1;
    const cl_mem work = c->call->workspace;
    const clf_packed k = packed_k(c);
    clf_packed dq = clfi_chunk_queries(c, CLFI_VIEW(x, dq), p->d, s->q, 0, CLFI_NO_FLAGS);
    dq.beta = x->beta_dq;
    CLF_TRY(clfi_chunk_pack(c, s->pack_finite, c->call->k, &k, p->sk));
    CLF_TRY(clfi_chunk_product(c, m, p->d, p->sk, matrix(s->dp, m, s->ld),
                               matrix(s->k, p->sk, p->d), 0, matrix(s->q, m, p->d)));
    const clf_repair left = {.x = k,
                             .w_off = c->base + s->dp,
                             .sees_off = c->base + s->s,
                             .pair_stride = m * s->ld,
                             .row_stride = s->ld,
                             .step = 1,
                             .count = p->sk,
                             .per_head = p->sk};
    const clfi_arg args[] = {
        CLFI_ARG_MEM(work), CLFI_ARG_MEM(c->call->k), CLFI_ARG_MEM(work), CLFI_ARG_MEM(b->call->dq),
        CLFI_ARG(dq),       CLFI_ARG(left),           CLFI_ARG(no_scale)};
    return clfi_chunk_launch(c, s->unpack, args, 7, s->pack_group, c->rows, p->group, NULL);
}

static clflash_status row_chunk(const bwd_chunk *b)
{
    const clfi_standard *s = b->c.s;
    const clf_packed q = packed_q(&b->c), dout = packed_dout(b);
    CLF_TRY(weights(b));
    if (b->call->dv)
        CLF_TRY(sum_over_rows(b, s->s, &dout, b->call->dout, s->dout, s->dv));
    if (b->call->dk)
        CLF_TRY(sum_over_rows(b, s->dp, &q, b->c.call->q, s->q, s->dk));
    return b->call->dq ? query_gradients(b) : CLFLASH_OK;
}

/* dk or dv, complete, from the workspace. */
static clflash_status unpack_keys(const bwd_chunk *b, cl_mem gradient, clf_view view, int32_t width,
                                  int64_t at, float beta)
{
    const clfi_chunk *c = &b->c;
    const cl_mem work = c->call->workspace;
    const int64_t no_scale = -1;
    const clf_repair nothing = {.x = {.any_off = CLFI_NO_FLAGS}};
    clf_packed m = clfi_chunk_keys(c, view, width, at, 0, CLFI_NO_FLAGS);
    m.beta = beta;
    const clfi_arg args[] = {
        CLFI_ARG_MEM(work), CLFI_ARG_MEM(c->call->k), CLFI_ARG_MEM(work), CLFI_ARG_MEM(gradient),
        CLFI_ARG(m),        CLFI_ARG(nothing),        CLFI_ARG(no_scale)};
    return gradient
               ? clfi_chunk_launch(c, c->s->unpack, args, 7, c->s->pack_group, c->p->sk, 1, NULL)
               : CLFLASH_OK;
}

/* ---- all chunks ---- */

static clflash_status pair_chunk(bwd_chunk *b)
{
    clfi_chunk *c = &b->c;
    const clfi_standard *s = c->s;
    const clf_attn_bwd_args *x = &b->call->x;
    const clf_packed v =
        clfi_chunk_keys(c, CLFI_VIEW(&c->call->a, v), c->p->dv, s->v, 0, CLFI_NO_FLAGS);
    if (b->ds)
        CLF_TRY(clfi_chunk_pack(c, s->pack, c->call->v, &v, c->p->sk));
    for (int64_t row = 0; row < c->p->sq; row += s->rows) {
        c->row0 = (int32_t)row;
        c->rows = clfi_least(s->rows, c->p->sq - row);
        CLF_TRY(row_chunk(b));
    }
    CLF_TRY(unpack_keys(b, b->call->dk, CLFI_VIEW(x, dk), c->p->d, s->dk, x->beta_dk));
    return unpack_keys(b, b->call->dv, CLFI_VIEW(x, dv), c->p->dv, s->dv, x->beta_dv);
}

clflash_status clfi_standard_bwd_enqueue(const clflash_plan *plan, const clfi_attn_bwd_call *call,
                                         cl_uint n_wait, const cl_event *wait_list, cl_event *event,
                                         clfi_err *err)
{
    const clfi_attn_call *f = &call->f;
    const int64_t all = (int64_t)plan->p.b * plan->p.hk, pairs = plan->standard.pairs;
    bwd_chunk b = {
        .c = {.s = &plan->standard,
              .ctx = plan->ctx,
              .p = &plan->p,
              .call = f,
              .base = call->x.scratch_off,
              .err = err},
        .call = call,
        .ds = call->dq || call->dk,
    };
    if (n_wait || f->out_of_order)
        CLF_TRY(clfi_queue_barrier(f->queue, n_wait, wait_list, NULL, err));
    for (int64_t pair = 0; pair < all; pair += pairs) {
        b.c.pair0 = (int32_t)pair;
        b.c.pairs = clfi_least(pairs, all - pair);
        CLF_TRY(pair_chunk(&b));
    }
    return event ? clfi_queue_barrier(f->queue, 0, NULL, event, err) : CLFLASH_OK;
}
