/* attn_device.c -- a case on a device: every buffer inside poisoned surroundings that are
 * checked after the run. */
#include "tests/support/attn_case.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

clflash_context *test_context(void)
{
    clflash_context *ctx = NULL;
    const clflash_context_params params = {.cache_dir = ""};
    if (clflash_context_create(&ctx, &params) != CLFLASH_OK) {
        fprintf(stderr, "no OpenCL device to test on\n");
        exit(1);
    }
    return ctx;
}

typedef struct device_run {
    clflash_context *ctx;
    cl_command_queue queue;
    cl_mem mem[24];
    int n;
    cl_mem o, lse;
    cl_event gate, done;
    clflash_plan *plan;
    clflash_block_mask *mask;
} device_run;

static cl_mem upload(device_run *r, const void *data, size_t bytes)
{
    cl_int code = CL_SUCCESS;
    cl_mem mem = clCreateBuffer(clflash_context_cl(r->ctx), CL_MEM_COPY_HOST_PTR, bytes,
                                (void *)(uintptr_t)data, &code);
    if (code != CL_SUCCESS) {
        fprintf(stderr, "clCreateBuffer of %zu bytes: %d\n", bytes, code);
        exit(1);
    }
    r->mem[r->n++] = mem;
    return mem;
}

static clflash_view view_of(device_run *r, const tensor *t)
{
    clflash_view v = {.offset_bytes = (int64_t)t->margin_bytes};
    memcpy(v.stride_bytes, t->stride, sizeof v.stride_bytes);
    v.buffer = upload(r, t->bytes, t->total_bytes);
    return v;
}

static clflash_buffer array_of(device_run *r, const void *data, int64_t count)
{
    if (!data || count <= 0)
        return (clflash_buffer){0};
    return (clflash_buffer){upload(r, data, (size_t)count * 4), 0};
}

static clflash_mask_view mask_of(device_run *r, const attn_case *c, const clflash_host_mask *m,
                                 size_t element)
{
    const int32_t full[3] = {c->p.b, c->p.hq, c->p.sq};
    clflash_mask_view v = {.dtype = m->dtype};
    size_t n = (size_t)c->p.sk;
    for (int axis = 0; axis < 3; axis++) {
        v.extent[axis] = m->extent[axis];
        n *= m->extent[axis] ? 1 : (size_t)full[axis];
    }
    if (m->data && n > 0)
        v.buffer = upload(r, m->data, n * element);
    return v;
}

#define LSE_MARGIN 64

static clflash_attn_fwd_args make_args(device_run *r, const attn_case *c, const attn_way *way)
{
    const clfi_attn *p = &c->p;
    const int64_t nq = (int64_t)p->b * p->sq, nk = (int64_t)p->b * p->sk;
    clflash_attn_fwd_args a = {.q = view_of(r, &c->q),
                               .k = view_of(r, &c->k),
                               .v = view_of(r, &c->v),
                               .o = view_of(r, &c->o)};
    r->o = a.o.buffer;
    if (!way->no_lse && nq > 0) {
        const size_t n = (size_t)nq * (size_t)p->hq + 2 * LSE_MARGIN;
        float *poison = malloc(n * sizeof *poison);
        memset(poison, 0xff, n * sizeof *poison);
        r->lse = upload(r, poison, n * sizeof *poison);
        free(poison);
        a.lse = (clflash_buffer){r->lse, LSE_MARGIN * sizeof(float)};
    }
    a.arrays = (clflash_mask_arrays){array_of(r, c->q_seg, nq), array_of(r, c->kv_seg, nk),
                                     array_of(r, c->q_pos, nq), array_of(r, c->kv_pos, nk),
                                     array_of(r, c->kv_len, p->b)};
    if (p->alibi)
        a.alibi = array_of(r, c->alibi, p->hq);
    if (p->sink)
        a.sink = array_of(r, c->sink, p->hq);
    a.bias = mask_of(r, c, &c->bias, c->bias.data ? clflash_dtype_bytes(c->bias.dtype) : 1);
    a.boolean = mask_of(r, c, &c->boolean, 1);
    return a;
}

static void make_queue(device_run *r, const attn_way *way)
{
    cl_int code = CL_SUCCESS;
    r->queue =
        clCreateCommandQueue(clflash_context_cl(r->ctx), clflash_context_device(r->ctx),
                             way->out_of_order ? CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE : 0, &code);
    if (way->out_of_order)
        r->gate = clCreateUserEvent(clflash_context_cl(r->ctx), &code);
}

static clflash_status enqueue(device_run *r, clflash_attn_fwd_args *a, const attn_way *way)
{
    cl_event built = NULL, wait[2];
    cl_uint n = 0;
    if (r->gate)
        wait[n++] = r->gate;
    if (way->block_mask && clflash_block_mask_create(&r->mask, r->plan) == CLFLASH_OK) {
        const clflash_status status =
            clflash_block_mask_build(r->mask, r->queue, &a->arrays, n, n ? wait : NULL, &built);
        if (status != CLFLASH_OK)
            return status;
        wait[n++] = built;
        a->block_mask = r->mask;
    }
    const int64_t bytes = clflash_plan_workspace_bytes(r->plan);
    if (way->own_workspace && bytes > 0) {
        unsigned char *junk = malloc((size_t)bytes);
        memset(junk, 0xff, (size_t)bytes);
        a->workspace.buffer = upload(r, junk, (size_t)bytes);
        free(junk);
    }
    const clflash_status status =
        clflash_attn_fwd(r->plan, r->queue, a, n, n ? wait : NULL, &r->done);
    if (built)
        clReleaseEvent(built);
    if (r->gate)
        clSetUserEventStatus(r->gate, CL_COMPLETE);
    return status;
}

static bool is_poison(const unsigned char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (bytes[i] != 0xff)
            return false;
    return true;
}

/* Marks the bytes that o's elements own, then looks at all others. */
static bool surroundings_ok(const attn_case *c, char *why, size_t why_bytes)
{
    const tensor *o = &c->o;
    const size_t row = (size_t)o->width * clflash_dtype_bytes(o->dtype);
    unsigned char *copy = malloc(o->total_bytes);
    bool ok = copy != NULL, written = true;
    if (!ok)
        return false;
    memcpy(copy, o->bytes, o->total_bytes);
    for (int32_t b = 0; b < o->n[0]; b++)
        for (int32_t s = 0; s < o->n[1]; s++)
            for (int32_t h = 0; h < o->n[2]; h++) {
                unsigned char *at =
                    copy + o->margin_bytes + b * o->stride[0] + s * o->stride[1] + h * o->stride[2];
                for (size_t e = 0; e < row; e += clflash_dtype_bytes(o->dtype))
                    written = written && !is_poison(at + e, clflash_dtype_bytes(o->dtype));
                memset(at, 0xff, row);
            }
    ok = is_poison(copy, o->total_bytes);
    free(copy);
    if (!ok)
        snprintf(why, why_bytes, "[%s] seed %u: bytes around o were written", c->problem, c->seed);
    else if (!written)
        snprintf(why, why_bytes, "[%s] seed %u: elements of o were not written", c->problem,
                 c->seed);
    return ok && written;
}

static clflash_status read_back(device_run *r, attn_case *c, char *why, size_t why_bytes)
{
    const size_t n = (size_t)c->p.b * (size_t)c->p.hq * (size_t)c->p.sq;
    cl_int code = clEnqueueReadBuffer(r->queue, r->o, CL_TRUE, 0, c->o.total_bytes, c->o.bytes, 1,
                                      &r->done, NULL);
    if (code == CL_SUCCESS && r->lse) {
        float *all = malloc((n + 2 * LSE_MARGIN) * sizeof *all);
        code = clEnqueueReadBuffer(r->queue, r->lse, CL_TRUE, 0, (n + 2 * LSE_MARGIN) * sizeof *all,
                                   all, 0, NULL, NULL);
        memcpy(c->lse, all + LSE_MARGIN, n * sizeof *all);
        const bool ok =
            is_poison((unsigned char *)all, LSE_MARGIN * sizeof *all) &&
            is_poison((unsigned char *)(all + LSE_MARGIN + n), LSE_MARGIN * sizeof *all);
        free(all);
        if (!ok) {
            snprintf(why, why_bytes, "[%s]: bytes around lse were written", c->problem);
            return CLFLASH_WRONG_RESULT;
        }
    }
    return code;
}

static clflash_status run(device_run *r, attn_case *c, const attn_way *way, char *why,
                          size_t why_bytes)
{
    const clflash_plan_params params = {.max_workspace_bytes = way->max_workspace_bytes};
    clflash_status status = clflash_attn_fwd_plan(&r->plan, r->ctx, &c->desc, &params);
    if (status != CLFLASH_OK) {
        clflash_context_last_error(r->ctx, why, why_bytes);
        return status;
    }
    memset(c->o.bytes, 0xff, c->o.total_bytes);
    make_queue(r, way);
    clflash_attn_fwd_args a = make_args(r, c, way);
    status = enqueue(r, &a, way);
    if (status == CLFLASH_OK)
        status = read_back(r, c, why, why_bytes);
    else
        clflash_context_last_error(r->ctx, why, why_bytes);
    if (status == CLFLASH_OK && !surroundings_ok(c, why, why_bytes))
        status = CLFLASH_WRONG_RESULT;
    return status;
}

clflash_status attn_case_run(attn_case *c, clflash_context *ctx, const attn_way *way, char *why,
                             size_t why_bytes)
{
    device_run r = {.ctx = ctx};
    why[0] = '\0';
    const clflash_status status = run(&r, c, way, why, why_bytes);
    if (r.queue)
        clFinish(r.queue);
    if (r.done)
        clReleaseEvent(r.done);
    if (r.gate)
        clReleaseEvent(r.gate);
    for (int i = 0; i < r.n; i++)
        clReleaseMemObject(r.mem[i]);
    if (r.queue)
        clReleaseCommandQueue(r.queue);
    clflash_block_mask_destroy(&r.mask);
    clflash_plan_destroy(&r.plan);
    return status;
}
