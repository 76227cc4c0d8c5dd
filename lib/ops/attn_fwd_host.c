/* attn_fwd_host.c -- the forward on host memory: plan, wrap, run, wait. (L4) */
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
    CLF_TRY(clflash_attn_fwd_plan(plan, ctx, desc, NULL)); /* slow: not under the lock */

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
#define MAX_MEMS 16
typedef struct mems {
    const clflash_context *ctx;
    clfi_err *err;
    cl_mem mem[MAX_MEMS];
    int32_t n;
} mems;

static clflash_status wrap(mems *m, const void *data, int64_t bytes, bool writable, cl_mem *out)
{
    if (!data)
        return CLFLASH_OK;
    CLF_TRY(clfi_mem_wrap(m->ctx, data, bytes, writable, out, m->err));
    m->mem[m->n++] = *out;
    return CLFLASH_OK;
}

static void free_mems(mems *m)
{
    for (int32_t i = 0; i < m->n; i++)
        clfi_mem_release(m->mem[i]);
}

/* Bytes that a host tensor [B, S, H, width] spans. */
static clflash_status tensor_bytes(const char *name, const clfi_attn *p, int32_t len, int32_t heads,
                                   int32_t width, const int64_t stride[3], int64_t *bytes,
                                   clfi_err *err)
{
    const int64_t row = width * (int64_t)clflash_dtype_bytes(p->dtype);
    const int64_t n[3] = {p->b, len, heads};
    const bool strided = stride[0] || stride[1] || stride[2];
    *bytes = 0;
    if (p->b == 0 || len == 0)
        return CLFLASH_OK;
    *bytes = strided ? row : row * p->b * len * heads;
    for (int axis = 0; strided && axis < 3; axis++)
        CLF_REQUIRE(err,
                    stride[axis] >= 0 && clfi_mul_add(n[axis] - 1, stride[axis], *bytes, bytes),
                    CLFLASH_INVALID_STRIDE, "%s: stride %lld is negative or too large", name,
                    (long long)stride[axis]);
    return CLFLASH_OK;
}

static clflash_status wrap_tensor(mems *m, const char *name, const clfi_attn *p, int32_t len,
                                  int32_t heads, int32_t width, const void *data,
                                  const int64_t stride[3], bool writable, clflash_view *view,
                                  int64_t *bytes)
{
    CLF_TRY(tensor_bytes(name, p, len, heads, width, stride, bytes, m->err));
    memcpy(view->stride_bytes, stride, sizeof view->stride_bytes);
    return wrap(m, data, *bytes, writable, &view->buffer);
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
    return wrap(m, mask->data, bytes, false, &view->buffer);
}

static clflash_status wrap_inputs(mems *m, const clfi_attn *p, const clflash_attn_host_args *h,
                                  clflash_attn_fwd_args *d)
{
    const int64_t nq = (int64_t)p->b * p->sq * 4, nk = (int64_t)p->b * p->sk * 4, nh = p->hq * 4;
    int64_t bytes;
    CLF_TRY(
        wrap_tensor(m, "q", p, p->sq, p->hq, p->d, h->q, h->q_stride_bytes, false, &d->q, &bytes));
    CLF_TRY(
        wrap_tensor(m, "k", p, p->sk, p->hk, p->d, h->k, h->k_stride_bytes, false, &d->k, &bytes));
    CLF_TRY(
        wrap_tensor(m, "v", p, p->sk, p->hk, p->dv, h->v, h->v_stride_bytes, false, &d->v, &bytes));
    clflash_mask_arrays *a = &d->arrays;
    CLF_TRY(wrap(m, h->q_segments, nq, false, &a->q_segments.buffer));
    CLF_TRY(wrap(m, h->kv_segments, nk, false, &a->kv_segments.buffer));
    CLF_TRY(wrap(m, h->q_positions, nq, false, &a->q_positions.buffer));
    CLF_TRY(wrap(m, h->kv_positions, nk, false, &a->kv_positions.buffer));
    CLF_TRY(wrap(m, h->kv_lengths, (int64_t)p->b * 4, false, &a->kv_lengths.buffer));
    CLF_TRY(wrap(m, h->alibi, nh, false, &d->alibi.buffer));
    CLF_TRY(wrap(m, h->sink, nh, false, &d->sink.buffer));
    CLF_TRY(
        wrap_mask(m, "bias", p, &h->bias, (int64_t)clflash_dtype_bytes(h->bias.dtype), &d->bias));
    return wrap_mask(m, "boolean", p, &h->boolean, 1, &d->boolean);
}

/* The caller's strided o from packed rows; what lies between its rows is not written. */
static void scatter(const clfi_attn *p, const char *packed, char *o, const int64_t stride[3])
{
    const int64_t row = p->dv * (int64_t)clflash_dtype_bytes(p->dtype);
    const bool bhsd = p->layout == CLFLASH_LAYOUT_BHSD;
    for (int64_t b = 0; b < p->b; b++)
        for (int64_t i = 0; i < p->sq; i++)
            for (int64_t h = 0; h < p->hq; h++) {
                const int64_t at = bhsd ? (b * p->hq + h) * p->sq + i : (b * p->sq + i) * p->hq + h;
                memcpy(o + b * stride[0] + i * stride[1] + h * stride[2], packed + at * row,
                       (size_t)row);
            }
}

static clflash_status copy_out(const clfi_attn *p, const clflash_attn_host_args *h,
                               const clflash_attn_fwd_args *d, int64_t o_bytes,
                               clflash_context *ctx, clfi_err *err)
{
    const cl_command_queue queue = clflash_context_queue(ctx);
    const int64_t *s = h->o_stride_bytes;
    if (s[0] || s[1] || s[2]) {
        const clflash_allocator *a = clfi_context_allocator(ctx);
        char *packed = clfi_alloc(a, (size_t)o_bytes, 1);
        CLF_REQUIRE(err, packed, CLFLASH_OUT_OF_MEMORY, "no host memory for o");
        const clflash_status status = clfi_mem_read(queue, d->o.buffer, 0, o_bytes, packed, err);
        if (status == CLFLASH_OK)
            scatter(p, packed, h->o, s);
        clfi_free(a, packed);
        CLF_TRY(status);
    } else {
        CLF_TRY(clfi_mem_read(queue, d->o.buffer, 0, o_bytes, h->o, err));
    }
    if (h->lse)
        CLF_TRY(
            clfi_mem_read(queue, d->lse.buffer, 0, (int64_t)p->b * p->hq * p->sq * 4, h->lse, err));
    return CLFLASH_OK;
}

/* The strides of a host o are ours to check: the device's is packed. */
static clflash_status check_o_strides(const clfi_attn *p, const int64_t stride[3], clfi_err *err)
{
    const int64_t element = (int64_t)clflash_dtype_bytes(p->dtype);
    const int64_t n[3] = {p->b, p->sq, p->hq};
    int64_t bytes;
    CLF_TRY(tensor_bytes("o", p, p->sq, p->hq, p->dv, stride, &bytes, err));
    if (!(stride[0] || stride[1] || stride[2]) || bytes == 0)
        return CLFLASH_OK;
    for (int axis = 0; axis < 3; axis++)
        CLF_REQUIRE(err, stride[axis] % element == 0, CLFLASH_INVALID_STRIDE,
                    "o: stride %lld is no multiple of the element's %lld bytes",
                    (long long)stride[axis], (long long)element);
    return clfi_check_output_rows("o", n, stride, p->dv * element, err);
}

static clflash_status run(clflash_context *ctx, const clflash_plan *plan,
                          const clflash_attn_host_args *h, mems *m, clfi_err *err)
{
    const clfi_attn *p = &plan->p;
    const cl_command_queue queue = clflash_context_queue(ctx);
    clflash_attn_fwd_args d = {0};
    int64_t o_bytes;
    CLF_TRY(wrap_inputs(m, p, h, &d));
    /* Outputs are the device's own packed buffers: the caller's o is written only on
     * success. */
    const int64_t packed[3] = {0};
    CLF_TRY(check_o_strides(p, h->o_stride_bytes, err));
    CLF_TRY(tensor_bytes("o", p, p->sq, p->hq, p->dv, packed, &o_bytes, err));
    if (h->o && o_bytes > 0) {
        CLF_TRY(clfi_mem_create(ctx, o_bytes, &d.o.buffer, err));
        m->mem[m->n++] = d.o.buffer;
    }
    if (h->lse) {
        CLF_TRY(clfi_mem_create(ctx, (int64_t)p->b * p->hq * p->sq * 4, &d.lse.buffer, err));
        m->mem[m->n++] = d.lse.buffer;
    }
    const clflash_status status = clflash_attn_fwd(plan, queue, &d, 0, NULL, NULL);
    if (status != CLFLASH_OK) {
        err->text[0] = '\0'; /* reported already */
        return status;
    }
    CLF_TRY(clfi_queue_finish(queue, err));
    return p->b > 0 && p->sq > 0 ? copy_out(p, h, &d, o_bytes, ctx, err) : CLFLASH_OK;
}

clflash_status clflash_attn_fwd_host(clflash_context *ctx, const clflash_attn_desc *desc,
                                     const clflash_attn_host_args *args)
{
    if (!ctx || !desc || !args)
        return CLFLASH_INVALID_ARGUMENT;
    clfi_err err = {0};
    clfi_ops_state *s;
    clfi_host_plan *entry;
    clflash_plan *plan;
    char problem[CLFLASH_PROBLEM_BYTES] = "";
    clflash_attn_desc_print(desc, problem, sizeof problem);
    if (clfi_ops_state_get(ctx, &s, &err) != CLFLASH_OK)
        return clfi_context_fail(ctx, "fwd", &err, problem);
    CLF_TRY(host_plan_get(ctx, s, desc, problem, &plan, &entry));
    mems m = {.ctx = ctx, .err = &err};
    const clflash_status status = run(ctx, plan, args, &m, &err);
    free_mems(&m);
    host_plan_put(s, plan, entry);
    if (status != CLFLASH_OK && err.text[0])
        return clfi_context_fail(ctx, "fwd", &err, problem);
    return status;
}
