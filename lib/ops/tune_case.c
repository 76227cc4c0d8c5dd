/* tune_case.c -- a check's data on the device. (L4) */
#include "lib/ops/tune_case.h"

#include "host/memory.h"

#include <string.h>

void clfi_device_case_free(clfi_device_case *c)
{
    for (int i = 0; i < CLFI_N_MEMS; i++)
        clfi_mem_release(c->mem[i]);
    *c = (clfi_device_case){0};
}

static clflash_mask_view mask_view(const clflash_host_mask *mask, cl_mem mem)
{
    clflash_mask_view view = {.buffer = mem, .dtype = mask->dtype};
    memcpy(view.extent, mask->extent, sizeof view.extent);
    return view;
}

static int64_t mask_bytes(const clfi_attn *p, const clflash_host_mask *mask, int64_t element)
{
    return element * p->sk * (mask->extent[2] == 1 ? 1 : p->sq);
}

static clflash_buffer buffer(cl_mem mem) { return (clflash_buffer){.buffer = mem}; }

static void set_args(clfi_device_case *c, const clfi_case *host)
{
    const cl_mem *m = c->mem;
    clflash_attn_fwd_args *a = &c->args;
    a->q.buffer = m[CLFI_MEM_Q];
    a->k.buffer = m[CLFI_MEM_K];
    a->v.buffer = m[CLFI_MEM_V];
    a->o.buffer = m[CLFI_MEM_O];
    a->lse = buffer(m[CLFI_MEM_LSE]);
    a->arrays.q_segments = buffer(m[CLFI_MEM_Q_SEG]);
    a->arrays.kv_segments = buffer(m[CLFI_MEM_KV_SEG]);
    a->arrays.q_positions = buffer(m[CLFI_MEM_Q_POS]);
    a->arrays.kv_positions = buffer(m[CLFI_MEM_KV_POS]);
    a->arrays.kv_lengths = buffer(m[CLFI_MEM_LEN]);
    a->alibi = buffer(m[CLFI_MEM_ALIBI]);
    a->sink = buffer(m[CLFI_MEM_SINK]);
    if (m[CLFI_MEM_BIAS])
        a->bias = mask_view(&host->args.bias, m[CLFI_MEM_BIAS]);
    if (m[CLFI_MEM_BOOL])
        a->boolean = mask_view(&host->args.boolean, m[CLFI_MEM_BOOL]);
}

static void set_bwd_args(clfi_device_case *c)
{
    const cl_mem *m = c->mem;
    const clflash_attn_fwd_args *f = &c->args;
    c->bwd = (clflash_attn_bwd_args){.q = f->q,
                                     .k = f->k,
                                     .v = f->v,
                                     .arrays = f->arrays,
                                     .alibi = f->alibi,
                                     .sink = f->sink,
                                     .bias = f->bias,
                                     .boolean = f->boolean};
    if (!c->p.recompute) {
        c->bwd.o = f->o;
        c->bwd.lse = f->lse;
    }
    c->bwd.dout.buffer = m[CLFI_MEM_DOUT];
    c->bwd.dq.buffer = m[CLFI_MEM_DQ];
    c->bwd.dk.buffer = m[CLFI_MEM_DK];
    c->bwd.dv.buffer = m[CLFI_MEM_DV];
}

/* o and lse that the backward reads. */
static clflash_status run_forward(clfi_device_case *c, clflash_context *ctx, cl_command_queue queue,
                                  clfi_err *err)
{
    clflash_attn_desc desc = c->p.desc;
    clflash_plan *plan = NULL;
    desc.op = CLFLASH_OP_FWD;
    desc.grad_f32 = desc.recompute = false;
    desc.choice = (clflash_attn_choice){.algo = desc.choice.algo};
    clflash_status status = clflash_attn_fwd_plan(&plan, ctx, &desc, NULL);
    if (status == CLFLASH_OK)
        status = clflash_attn_fwd(plan, queue, &c->args, 0, NULL, NULL);
    if (status == CLFLASH_OK)
        status = clfi_queue_finish(queue, err);
    else
        clfi_fail(err, status, "the forward of a backward's data: %s",
                  clflash_status_string(status));
    clflash_plan_destroy(&plan);
    return status;
}

clflash_status clfi_device_case_run(const clfi_device_case *c, const clflash_plan *plan,
                                    cl_command_queue queue, const clflash_block_mask *mask,
                                    cl_event *event)
{
    clflash_attn_fwd_args fwd = c->args;
    clflash_attn_bwd_args bwd = c->bwd;
    fwd.block_mask = bwd.block_mask = mask;
    return c->p.op == CLFLASH_OP_BWD ? clflash_attn_bwd(plan, queue, &bwd, 0, NULL, event)
                                     : clflash_attn_fwd(plan, queue, &fwd, 0, NULL, event);
}

clflash_status clfi_device_case_poison(const clfi_device_case *c, cl_command_queue queue,
                                       const clflash_allocator *a, clfi_err *err)
{
    clflash_status status = CLFLASH_OK;
    for (int32_t i = 0; i < c->n_outputs && status == CLFLASH_OK; i++) {
        void *data = clfi_alloc(a, (size_t)c->output_bytes[i], 1);
        CLF_REQUIRE(err, data, CLFLASH_OUT_OF_MEMORY, "no host memory for a check");
        memset(data, 0xff, (size_t)c->output_bytes[i]);
        status = clfi_mem_write(queue, c->mem[c->output_mem[i]], 0, c->output_bytes[i], data, err);
        clfi_free(a, data);
    }
    return status;
}

clflash_status clfi_device_case_read(const clfi_device_case *c, cl_command_queue queue, int32_t i,
                                     void *data, clfi_err *err)
{
    return clfi_mem_read(queue, c->mem[c->output_mem[i]], 0, c->output_bytes[i], data, err);
}

static void set_outputs(clfi_device_case *c)
{
    static const int fwd[] = {CLFI_MEM_O, CLFI_MEM_LSE, 0};
    static const int bwd[] = {CLFI_MEM_DQ, CLFI_MEM_DK, CLFI_MEM_DV};
    c->n_outputs = clfi_outputs(&c->p, c->output);
    for (int32_t i = 0; i < c->n_outputs; i++) {
        c->output_mem[i] = c->p.op == CLFLASH_OP_BWD ? bwd[i] : fwd[i];
        c->output_bytes[i] = clfi_output_elements(&c->p, &c->output[i]) *
                             (int64_t)clflash_dtype_bytes(c->output[i].dtype);
    }
}

clflash_status clfi_device_case_make(clfi_device_case *c, clflash_context *ctx,
                                     cl_command_queue queue, const clfi_case *host, clfi_err *err)
{
    const clfi_attn *p = &host->p;
    const clflash_attn_host_args *a = &host->args;
    const int64_t e = (int64_t)clflash_dtype_bytes(p->dtype), b = p->b, heads = p->hq;
    const int64_t q_rows = b * p->hq * p->sq, k_rows = b * p->hk * p->sk;
    const int64_t bias_bytes = mask_bytes(p, &a->bias, 4);
    const int64_t bool_bytes = mask_bytes(p, &a->boolean, 1);
    const bool bwd = p->op == CLFLASH_OP_BWD;
    *c = (clfi_device_case){.p = *p};
    set_outputs(c);
    const struct {
        const void *data; /* NULL for outputs, and for what the problem does not use */
        int64_t bytes;
        bool output;
        int mem;
    } arrays[] = {
        {a->q,            e * q_rows * p->d,  false, CLFI_MEM_Q     },
        {a->k,            e * k_rows * p->d,  false, CLFI_MEM_K     },
        {a->v,            e * k_rows * p->dv, false, CLFI_MEM_V     },
        {NULL,            e * q_rows * p->dv, true,  CLFI_MEM_O     },
        {NULL,            4 * q_rows,         true,  CLFI_MEM_LSE   },
        {a->q_segments,   4 * b * p->sq,      false, CLFI_MEM_Q_SEG },
        {a->kv_segments,  4 * b * p->sk,      false, CLFI_MEM_KV_SEG},
        {a->q_positions,  4 * b * p->sq,      false, CLFI_MEM_Q_POS },
        {a->kv_positions, 4 * b * p->sk,      false, CLFI_MEM_KV_POS},
        {a->kv_lengths,   4 * b,              false, CLFI_MEM_LEN   },
        {a->alibi,        4 * heads,          false, CLFI_MEM_ALIBI },
        {a->sink,         4 * heads,          false, CLFI_MEM_SINK  },
        {a->bias.data,    bias_bytes,         false, CLFI_MEM_BIAS  },
        {a->boolean.data, bool_bytes,         false, CLFI_MEM_BOOL  },
        {host->dout,      e * q_rows * p->dv, false, CLFI_MEM_DOUT  },
        {NULL,            c->output_bytes[0], bwd,   CLFI_MEM_DQ    },
        {NULL,            c->output_bytes[1], bwd,   CLFI_MEM_DK    },
        {NULL,            c->output_bytes[2], bwd,   CLFI_MEM_DV    },
    };
    clflash_status status = CLFLASH_OK;
    for (int i = 0; i < CLFI_N_MEMS && status == CLFLASH_OK; i++) {
        cl_mem *mem = &c->mem[arrays[i].mem];
        if (!arrays[i].data && !arrays[i].output)
            continue;
        status = clfi_mem_create(ctx, arrays[i].bytes, mem, err);
        if (status == CLFLASH_OK && arrays[i].data)
            status = clfi_mem_write(queue, *mem, 0, arrays[i].bytes, arrays[i].data, err);
    }
    if (status == CLFLASH_OK) {
        set_args(c, host);
        set_bwd_args(c);
        status = bwd ? run_forward(c, ctx, queue, err) : CLFLASH_OK;
    }
    if (status != CLFLASH_OK)
        clfi_device_case_free(c);
    return status;
}
