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

clflash_status clfi_device_case_make(clfi_device_case *c, const clflash_context *ctx,
                                     cl_command_queue queue, const clfi_case *host, clfi_err *err)
{
    const clfi_attn *p = &host->p;
    const clflash_attn_host_args *a = &host->args;
    const int64_t e = (int64_t)clflash_dtype_bytes(p->dtype), b = p->b, heads = p->hq;
    const int64_t q_rows = b * p->hq * p->sq, k_rows = b * p->hk * p->sk;
    const int64_t bias_bytes = mask_bytes(p, &a->bias, 4);
    const int64_t bool_bytes = mask_bytes(p, &a->boolean, 1);
    *c = (clfi_device_case){.p = *p, .o_bytes = e * q_rows * p->dv, .lse_bytes = 4 * q_rows};
    const struct {
        const void *data; /* NULL for outputs, and for what the problem does not use */
        int64_t bytes;
        bool output;
        int mem;
    } arrays[] = {
        {a->q,            e * q_rows * p->d,  false, CLFI_MEM_Q     },
        {a->k,            e * k_rows * p->d,  false, CLFI_MEM_K     },
        {a->v,            e * k_rows * p->dv, false, CLFI_MEM_V     },
        {NULL,            c->o_bytes,         true,  CLFI_MEM_O     },
        {NULL,            c->lse_bytes,       true,  CLFI_MEM_LSE   },
        {a->q_segments,   4 * b * p->sq,      false, CLFI_MEM_Q_SEG },
        {a->kv_segments,  4 * b * p->sk,      false, CLFI_MEM_KV_SEG},
        {a->q_positions,  4 * b * p->sq,      false, CLFI_MEM_Q_POS },
        {a->kv_positions, 4 * b * p->sk,      false, CLFI_MEM_KV_POS},
        {a->kv_lengths,   4 * b,              false, CLFI_MEM_LEN   },
        {a->alibi,        4 * heads,          false, CLFI_MEM_ALIBI },
        {a->sink,         4 * heads,          false, CLFI_MEM_SINK  },
        {a->bias.data,    bias_bytes,         false, CLFI_MEM_BIAS  },
        {a->boolean.data, bool_bytes,         false, CLFI_MEM_BOOL  },
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
    if (status != CLFLASH_OK)
        clfi_device_case_free(c);
    else
        set_args(c, host);
    return status;
}
