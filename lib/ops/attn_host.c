/* attn_host.c -- forward and backward on host memory: plan, wrap, run, wait. (L4) */
#include "lib/base/checked.h"
#include "lib/ops/ops_state.h"

#include <string.h>

/* A plan from the context's few remembered ones, in use until host_plan_put. Falls back
 * to a plan of its own (*entry = NULL) when all remembered ones are in use. */
static clflash_status host_plan_get(clflash_context *ctx, clfi_ops_state *s,
                                    const clflash_attn_desc *desc, const char *problem,
                                    clflash_plan **plan, clfi_host_plan **entry)
{
    *entry = NULL;
    *plan = NULL;
    pthread_mutex_lock(&s->host_lock);
    for (int i = 0; i < CLFI_HOST_PLANS && !*entry; i++)
        if (s->host_plans[i].plan && strcmp(s->host_plans[i].plan->problem, problem) == 0)
            *entry = &s->host_plans[i];
    if (*entry) {
        (*entry)->users++;
        (*entry)->last_use = ++s->clock;
        *plan = (*entry)->plan;
    }
    pthread_mutex_unlock(&s->host_lock);
    if (*plan)
        return CLFLASH_OK;
    /* Slow: not under the lock. */
    CLF_TRY(desc->op == CLFLASH_OP_BWD ? clflash_attn_bwd_plan(plan, ctx, desc, NULL)
                                       : clflash_attn_fwd_plan(plan, ctx, desc, NULL));

    clflash_plan *old = NULL;
    clfi_host_plan *place = NULL;
    pthread_mutex_lock(&s->host_lock);
    for (int i = 0; i < CLFI_HOST_PLANS; i++) {
        clfi_host_plan *e = &s->host_plans[i];
        if (e->users == 0 && (!place || !e->plan || e->last_use < place->last_use))
            place = place && !place->plan ? place : e;
    }
    if (place) {
        old = place->plan;
        *place = (clfi_host_plan){.plan = *plan, .last_use = ++s->clock, .users = 1};
    }
    *entry = place;
    pthread_mutex_unlock(&s->host_lock);
    clflash_plan_destroy(&old);
    return CLFLASH_OK;
}

static void host_plan_put(clfi_ops_state *s, clflash_plan *plan, clfi_host_plan *entry)
{
    if (!entry) {
        clflash_plan_destroy(&plan);
        return;
    }
    pthread_mutex_lock(&s->host_lock);
    entry->users--;
    pthread_mutex_unlock(&s->host_lock);
}

/* The buffers of one call, all released by free_mems. */
#define MAX_MEMS 24
typedef struct mems {
    const clflash_context *ctx;
    clfi_err *err;
    cl_mem mem[MAX_MEMS];
    int32_t n;
} mems;

static clflash_status wrap(mems *m, const void *data, int64_t bytes, cl_mem *out)
{
    if (!data)
        return CLFLASH_OK;
    CLF_TRY(clfi_mem_wrap(m->ctx, data, bytes, false, out, m->err));
    m->mem[m->n++] = *out;
    return CLFLASH_OK;
}

static void free_mems(mems *m)
{
    for (int32_t i = 0; i < m->n; i++)
        clfi_mem_release(m->mem[i]);
}

/* A host tensor [B, len, heads, width]. */
typedef struct tensor {
    const char *name;
    int32_t len, heads, width;
    clflash_dtype dtype;
} tensor;

/* Bytes that it spans. */
static clflash_status tensor_bytes(const tensor *t, const clfi_attn *p, const int64_t stride[3],
                                   int64_t *bytes, clfi_err *err)
{
    const int64_t row = t->width * (int64_t)clflash_dtype_bytes(t->dtype);
    const int64_t n[3] = {p->b, t->len, t->heads};
    const bool strided = stride[0] || stride[1] || stride[2];
    *bytes = 0;
    if (p->b == 0 || t->len == 0)
        return CLFLASH_OK;
    *bytes = strided ? row : row * p->b * t->len * t->heads;
    for (int axis = 0; strided && axis < 3; axis++)
        CLF_REQUIRE(err,
                    stride[axis] >= 0 && clfi_mul_add(n[axis] - 1, stride[axis], *bytes, bytes),
                    CLFLASH_INVALID_STRIDE, "%s: stride %lld is negative or too large", t->name,
                    (long long)stride[axis]);
    return CLFLASH_OK;
}

static clflash_status wrap_tensor(mems *m, const tensor *t, const clfi_attn *p, const void *data,
                                  const int64_t stride[3], clflash_view *view)
{
    int64_t bytes;
    CLF_TRY(tensor_bytes(t, p, stride, &bytes, m->err));
    memcpy(view->stride_bytes, stride, sizeof view->stride_bytes);
    return wrap(m, data, bytes, &view->buffer);
}

static clflash_status wrap_mask(mems *m, const char *name, const clfi_attn *p,
                                const clflash_host_mask *mask, int64_t element,
                                clflash_mask_view *view)
{
    const int64_t full[3] = {p->b, p->hq, p->sq};
    const int64_t *stride = mask->stride_bytes;
    const bool strided = stride[0] || stride[1] || stride[2];
    int64_t bytes = p->sk * element;
    if (!mask->data)
        return CLFLASH_OK;
    for (int axis = 0; axis < 3; axis++) {
        const int64_t n = mask->extent[axis] == 0 ? full[axis] : mask->extent[axis];
        CLF_REQUIRE(m->err,
                    n >= 0 && stride[axis] >= 0 &&
                        (strided ? clfi_mul_add(n > 0 ? n - 1 : 0, stride[axis], bytes, &bytes)
                                 : clfi_mul_add(bytes, n, 0, &bytes)),
                    CLFLASH_INVALID_STRIDE, "%s: extent or stride is negative or too large", name);
        view->extent[axis] = mask->extent[axis];
        view->stride_bytes[axis] = stride[axis];
    }
    view->dtype = mask->dtype;
    return wrap(m, mask->data, bytes, &view->buffer);
}

static clflash_status wrap_inputs(mems *m, const clfi_attn *p, const clflash_attn_host_args *h,
                                  clflash_attn_fwd_args *d)
{
    const int64_t nq = (int64_t)p->b * p->sq * 4, nk = (int64_t)p->b * p->sk * 4, nh = p->hq * 4;
    const tensor q = {"q", p->sq, p->hq, p->d, p->dtype}, k = {"k", p->sk, p->hk, p->d, p->dtype};
    const tensor v = {"v", p->sk, p->hk, p->dv, p->dtype};
    CLF_TRY(wrap_tensor(m, &q, p, h->q, h->q_stride_bytes, &d->q));
    CLF_TRY(wrap_tensor(m, &k, p, h->k, h->k_stride_bytes, &d->k));
    CLF_TRY(wrap_tensor(m, &v, p, h->v, h->v_stride_bytes, &d->v));
    clflash_mask_arrays *a = &d->arrays;
    CLF_TRY(wrap(m, h->q_segments, nq, &a->q_segments.buffer));
    CLF_TRY(wrap(m, h->kv_segments, nk, &a->kv_segments.buffer));
    CLF_TRY(wrap(m, h->q_positions, nq, &a->q_positions.buffer));
    CLF_TRY(wrap(m, h->kv_positions, nk, &a->kv_positions.buffer));
    CLF_TRY(wrap(m, h->kv_lengths, (int64_t)p->b * 4, &a->kv_lengths.buffer));
    CLF_TRY(wrap(m, h->alibi, nh, &d->alibi.buffer));
    CLF_TRY(wrap(m, h->sink, nh, &d->sink.buffer));
    CLF_TRY(
        wrap_mask(m, "bias", p, &h->bias, (int64_t)clflash_dtype_bytes(h->bias.dtype), &d->bias));
    return wrap_mask(m, "boolean", p, &h->boolean, 1, &d->boolean);
}

/* ---- outputs: the device's own packed buffers, so that the caller's memory is written only
 * on success ---- */

typedef struct output {
    tensor t;
    void *host; /* NULL: not wanted */
    const int64_t *stride;
    float beta; /* not 0: what the caller has there is read */
    int64_t bytes;
    cl_mem mem;
} output;

/* The strides of a host output are ours to check: the device's is packed. */
static clflash_status check_strides(const output *o, const clfi_attn *p, clfi_err *err)
{
    const int64_t *stride = o->stride;
    const int64_t element = (int64_t)clflash_dtype_bytes(o->t.dtype);
    const int64_t n[3] = {p->b, o->t.len, o->t.heads};
    int64_t bytes;
    CLF_TRY(tensor_bytes(&o->t, p, stride, &bytes, err));
    if (!(stride[0] || stride[1] || stride[2]) || bytes == 0)
        return CLFLASH_OK;
    for (int axis = 0; axis < 3; axis++)
        CLF_REQUIRE(err, stride[axis] % element == 0, CLFLASH_INVALID_STRIDE,
                    "%s: stride %lld is no multiple of the element's %lld bytes", o->t.name,
                    (long long)stride[axis], (long long)element);
    return clfi_check_output_rows(o->t.name, n, stride, o->t.width * element, err);
}

/* Rows between the caller's strided tensor and packed ones; what lies between its rows is
 * not touched. */
static void copy_rows(const output *o, const clfi_attn *p, char *packed, bool to_host)
{
    const int64_t row = o->t.width * (int64_t)clflash_dtype_bytes(o->t.dtype);
    const int64_t len = o->t.len, heads = o->t.heads, *s = o->stride;
    const bool bhsd = p->layout == CLFLASH_LAYOUT_BHSD;
    for (int64_t b = 0; b < p->b; b++)
        for (int64_t i = 0; i < len; i++)
            for (int64_t h = 0; h < heads; h++) {
                const int64_t at = bhsd ? (b * heads + h) * len + i : (b * len + i) * heads + h;
                char *host = (char *)o->host + b * s[0] + i * s[1] + h * s[2];
                char *own = packed + at * row;
                memcpy(to_host ? host : own, to_host ? own : host, (size_t)row);
            }
}

/* Device buffer -> the caller's memory, or back. */
static clflash_status transfer(const output *o, const clfi_attn *p, clflash_context *ctx,
                               bool to_host, clfi_err *err)
{
    const cl_command_queue queue = clflash_context_queue(ctx);
    const int64_t *s = o->stride;
    if (!(s[0] || s[1] || s[2]))
        return to_host ? clfi_mem_read(queue, o->mem, 0, o->bytes, o->host, err)
                       : clfi_mem_write(queue, o->mem, 0, o->bytes, o->host, err);
    const clflash_allocator *a = clfi_context_allocator(ctx);
    char *packed = clfi_alloc(a, (size_t)o->bytes, 1);
    CLF_REQUIRE(err, packed, CLFLASH_OUT_OF_MEMORY, "no host memory for %s", o->t.name);
    clflash_status status = CLFLASH_OK;
    if (to_host) {
        status = clfi_mem_read(queue, o->mem, 0, o->bytes, packed, err);
        if (status == CLFLASH_OK)
            copy_rows(o, p, packed, true);
    } else {
        copy_rows(o, p, packed, false);
        status = clfi_mem_write(queue, o->mem, 0, o->bytes, packed, err);
    }
    clfi_free(a, packed);
    return status;
}

static clflash_status open_output(mems *m, output *o, const clfi_attn *p, clflash_context *ctx)
{
    static const int64_t packed[3] = {0};
    CLF_TRY(check_strides(o, p, m->err));
    CLF_TRY(tensor_bytes(&o->t, p, packed, &o->bytes, m->err));
    if (!o->host || o->bytes == 0)
        return CLFLASH_OK;
    CLF_TRY(clfi_mem_create(ctx, o->bytes, &o->mem, m->err));
    m->mem[m->n++] = o->mem;
    return o->beta != 0 ? transfer(o, p, ctx, false, m->err) : CLFLASH_OK;
}

static clflash_status close_outputs(const output *o, int n, const clfi_attn *p,
                                    clflash_context *ctx, clfi_err *err)
{
    for (int i = 0; i < n; i++)
        if (o[i].mem)
            CLF_TRY(transfer(&o[i], p, ctx, true, err));
    return CLFLASH_OK;
}

static const int64_t packed_strides[3] = {0};

static clflash_status run_fwd(clflash_context *ctx, const clflash_plan *plan, const void *args,
                              mems *m, clfi_err *err)
{
    const clflash_attn_host_args *h = args;
    const clfi_attn *p = &plan->p;
    const cl_command_queue queue = clflash_context_queue(ctx);
    const int64_t rows = (int64_t)p->b * p->hq * p->sq * 4;
    clflash_attn_fwd_args d = {0};
    output o = {
        .t = {"o", p->sq, p->hq, p->dv, p->dtype},
          .host = h->o, .stride = h->o_stride_bytes
    };
    CLF_TRY(wrap_inputs(m, p, h, &d));
    CLF_TRY(open_output(m, &o, p, ctx));
    d.o.buffer = o.mem;
    if (h->lse) {
        CLF_TRY(clfi_mem_create(ctx, rows, &d.lse.buffer, err));
        m->mem[m->n++] = d.lse.buffer;
    }
    const clflash_status status = clflash_attn_fwd(plan, queue, &d, 0, NULL, NULL);
    if (status != CLFLASH_OK) {
        err->text[0] = '\0'; /* reported already */
        return status;
    }
    CLF_TRY(clfi_queue_finish(queue, err));
    CLF_TRY(close_outputs(&o, 1, p, ctx, err));
    return h->lse && rows > 0 ? clfi_mem_read(queue, d.lse.buffer, 0, rows, h->lse, err)
                              : CLFLASH_OK;
}

/* A gradient of the bias: like a tensor [batch, query, head, Sk] of its own extents. */
static clfi_attn dbias_shape(const clfi_attn *p, const clflash_host_mask_gradient *g, tensor *t)
{
    clfi_attn shape = *p;
    shape.b = g->extent[0] ? g->extent[0] : p->b;
    shape.layout = CLFLASH_LAYOUT_BHSD;
    *t = (tensor){"dbias", g->extent[2] ? g->extent[2] : p->sq, g->extent[1] ? g->extent[1] : p->hq,
                  p->sk, g->dtype};
    return shape;
}

static clflash_status run_bwd(clflash_context *ctx, const clflash_plan *plan, const void *args,
                              mems *m, clfi_err *err)
{
    const clflash_attn_bwd_host_args *h = args;
    const clfi_attn *p = &plan->p;
    const cl_command_queue queue = clflash_context_queue(ctx);
    const clflash_dtype g = p->grad_f32 ? CLFLASH_F32 : p->dtype;
    const tensor o = {"o", p->sq, p->hq, p->dv, p->dtype};
    const tensor dout = {"dout", p->sq, p->hq, p->dv, p->dtype};
    const clflash_attn_beta *beta = &h->beta;
    /* Strides of a mask are batch, head, query; of a tensor batch, sequence, head. */
    const int64_t *bs = h->dbias.stride_bytes;
    const int64_t dbias_strides[3] = {bs[0], bs[2], bs[1]};
    clfi_attn own = *p;
    own.b = 1;
    tensor dbias;
    const clfi_attn dbias_p = dbias_shape(p, &h->dbias, &dbias);
    output out[] = {
        {{"dq", p->sq, p->hq, p->d, g},       h->dq,         h->dq_stride_bytes, beta->dq,    0, NULL},
        {{"dk", p->sk, p->hk, p->d, g},       h->dk,         h->dk_stride_bytes, beta->dk,    0, NULL},
        {{"dv", p->sk, p->hk, p->dv, g},      h->dv,         h->dv_stride_bytes, beta->dv,    0, NULL},
        {{"dsink", 1, p->hq, 1, CLFLASH_F32}, h->dsink,      packed_strides,     beta->dsink, 0, NULL},
        {dbias,                               h->dbias.data, dbias_strides,      beta->dbias, 0, NULL},
    };
    const clfi_attn *const shape[] = {p, p, p, &own, &dbias_p};
    clflash_attn_fwd_args f = {0};
    clflash_attn_bwd_args d = {.beta = h->beta};
    CLF_TRY(wrap_inputs(m, p, &h->fwd, &f));
    d.q = f.q;
    d.k = f.k;
    d.v = f.v;
    d.arrays = f.arrays;
    d.alibi = f.alibi;
    d.sink = f.sink;
    d.bias = f.bias;
    d.boolean = f.boolean;
    CLF_TRY(wrap_tensor(m, &o, p, h->fwd.o, h->fwd.o_stride_bytes, &d.o));
    CLF_TRY(wrap(m, h->fwd.lse, (int64_t)p->b * p->hq * p->sq * 4, &d.lse.buffer));
    CLF_TRY(wrap_tensor(m, &dout, p, h->dout, h->dout_stride_bytes, &d.dout));
    for (int i = 0; i < 5; i++)
        CLF_TRY(open_output(m, &out[i], shape[i], ctx));
    d.dq.buffer = out[0].mem;
    d.dk.buffer = out[1].mem;
    d.dv.buffer = out[2].mem;
    d.dsink.buffer = out[3].mem;
    d.dbias.buffer = out[4].mem;
    d.dbias.dtype = h->dbias.dtype;
    memcpy(d.dbias.extent, h->dbias.extent, sizeof d.dbias.extent);
    const clflash_status status = clflash_attn_bwd(plan, queue, &d, 0, NULL, NULL);
    if (status != CLFLASH_OK) {
        err->text[0] = '\0'; /* reported already */
        return status;
    }
    CLF_TRY(clfi_queue_finish(queue, err));
    for (int i = 0; i < 5; i++)
        CLF_TRY(close_outputs(&out[i], 1, shape[i], ctx, err));
    return CLFLASH_OK;
}

typedef clflash_status (*run_fn)(clflash_context *ctx, const clflash_plan *plan, const void *args,
                                 mems *m, clfi_err *err);

static clflash_status run_host(clflash_context *ctx, const clflash_attn_desc *desc, clflash_op op,
                               const void *args, run_fn run)
{
    const char *what = op == CLFLASH_OP_BWD ? "bwd" : "fwd";
    if (!ctx || !desc || !args)
        return CLFLASH_INVALID_ARGUMENT;
    clfi_err err = {0};
    clfi_ops_state *s;
    clfi_host_plan *entry;
    clflash_plan *plan;
    char problem[CLFLASH_PROBLEM_BYTES] = "";
    clflash_attn_desc_print(desc, problem, sizeof problem);
    clflash_status status = CLFLASH_OK;
    if (desc->op != op)
        status = clfi_fail(&err, CLFLASH_INVALID_ARGUMENT, "the descriptor's op is not %s", what);
    if (status == CLFLASH_OK)
        status = clfi_ops_state_get(ctx, &s, &err);
    if (status != CLFLASH_OK)
        return clfi_context_fail(ctx, what, &err, problem);
    CLF_TRY(host_plan_get(ctx, s, desc, problem, &plan, &entry));
    mems m = {.ctx = ctx, .err = &err};
    status = run(ctx, plan, args, &m, &err);
    free_mems(&m);
    host_plan_put(s, plan, entry);
    if (status != CLFLASH_OK && err.text[0])
        return clfi_context_fail(ctx, what, &err, problem);
    return status;
}

clflash_status clflash_attn_fwd_host(clflash_context *ctx, const clflash_attn_desc *desc,
                                     const clflash_attn_host_args *args)
{
    return run_host(ctx, desc, CLFLASH_OP_FWD, args, run_fwd);
}

clflash_status clflash_attn_bwd_host(clflash_context *ctx, const clflash_attn_desc *desc,
                                     const clflash_attn_bwd_host_args *args)
{
    return run_host(ctx, desc, CLFLASH_OP_BWD, args, run_bwd);
}
