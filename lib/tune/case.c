/* case.c -- data for checks and timings. (L3, no OpenCL) */
#include "lib/tune/case.h"

#include "lib/base/alloc.h"
#include "lib/base/half.h"

#include <math.h>

#define MAX_MASK_BYTES (INT64_C(256) << 20)

/* ---- the small case ---- */

static int32_t smaller(int64_t a, int64_t b) { return (int32_t)(a < b ? a : b); }

clflash_status clfi_case_shrink(const clfi_attn *p, int32_t block_q, int32_t block_kv,
                                clfi_attn *small, clfi_err *err)
{
    clflash_attn_desc d = p->desc;
    const int32_t group = smaller(p->group, 3), hk = smaller(p->hk, 2);
    d.batch = smaller(p->b, 2);
    d.q_heads = hk * group;
    d.kv_heads = hk;
    /* Engines for few queries stay within their limit, so never more than p has. */
    d.q_len = smaller((int64_t)block_q + 5, p->sq);
    d.kv_len = (int32_t)(2 * (int64_t)block_kv + 7);
    if (d.mask.window && d.mask.window_left > d.kv_len / 3)
        d.mask.window_left = d.kv_len / 3;
    if (d.mask.window && d.mask.window_right > d.kv_len / 3)
        d.mask.window_right = d.kv_len / 3;
    d.docs = smaller(d.docs, 3);
    return clfi_attn_resolve(small, &d, err);
}

/* ---- data ---- */

/* Numerical Recipes' 32-bit generator; the low bits are weak, so the top 24 are used. */
static float draw(uint32_t *state, float low, float high)
{
    *state = *state * 1664525u + 1013904223u;
    return low + (high - low) * ((float)(*state >> 8) * 0x1p-24f);
}

static void *draw_floats(const clfi_case *c, clflash_dtype dtype, int64_t n, float low, float high,
                         uint32_t *state)
{
    void *data = clfi_alloc(c->allocator, (size_t)n, clflash_dtype_bytes(dtype));
    for (int64_t i = 0; data && i < n; i++)
        clfi_store(data, dtype, i, draw(state, low, high));
    return data;
}

/* N equal documents: the first len % N have one token more. The last tokens of a short
 * sequence are padding. */
static int32_t *make_segments(const clfi_case *c, int32_t len)
{
    const int32_t docs = c->p.docs ? c->p.docs : 4, b = c->p.b;
    int32_t *data = clfi_alloc(c->allocator, (size_t)b * (size_t)len, sizeof *data);
    if (!data)
        return NULL;
    const int32_t each = len / docs, more = len % docs, long_part = more * (each + 1);
    for (int64_t i = 0; i < (int64_t)b * len; i++) {
        const int32_t s = (int32_t)(i % len);
        data[i] = s < long_part ? s / (each + 1) : more + (s - long_part) / each;
        if (!c->p.docs && s >= 16 && s >= len - 2)
            data[i] = CLFLASH_PADDING_SEGMENT;
    }
    return data;
}

static int32_t *make_positions(const clfi_case *c, int32_t len, int32_t first)
{
    int32_t *data = clfi_alloc(c->allocator, (size_t)c->p.b * (size_t)len, sizeof *data);
    for (int64_t i = 0; data && i < (int64_t)c->p.b * len; i++)
        data[i] = first + (int32_t)(i % len);
    return data;
}

static int32_t *make_lengths(const clfi_case *c)
{
    int32_t *data = clfi_alloc(c->allocator, (size_t)c->p.b, sizeof *data);
    for (int32_t b = 0; data && b < c->p.b; b++)
        data[b] = c->p.sk - (b % 2 ? c->p.sk / 5 : 0);
    return data;
}

/* [1, 1, Sq|1, Sk] */
static void mask_shape(const clfi_attn *p, size_t element, clflash_host_mask *mask)
{
    const bool whole = (int64_t)p->sq * p->sk <= MAX_MASK_BYTES / (int64_t)element;
    mask->extent[0] = mask->extent[1] = 1;
    mask->extent[2] = whole ? 0 : 1;
}

static bool make_masks(clfi_case *c, uint32_t *state)
{
    const clfi_attn *p = &c->p;
    clflash_host_mask *bias = &c->args.bias, *boolean = &c->args.boolean;
    if (p->bias) {
        mask_shape(p, sizeof(float), bias);
        bias->dtype = CLFLASH_F32;
        const int64_t rows = bias->extent[2] ? 1 : p->sq;
        bias->data = draw_floats(c, CLFLASH_F32, rows * p->sk, -1, 1, state);
        if (!bias->data)
            return false;
    }
    if (p->boolean) {
        mask_shape(p, 1, boolean);
        const int64_t n = (boolean->extent[2] ? 1 : p->sq) * (int64_t)p->sk;
        uint8_t *data = clfi_alloc(c->allocator, (size_t)n, 1);
        boolean->data = data;
        if (!data)
            return false;
        for (int64_t i = 0; i < n; i++)
            data[i] = draw(state, 0, 8) >= 1;
    }
    return true;
}

static bool make_tensors(clfi_case *c, uint32_t *state)
{
    const clfi_attn *p = &c->p;
    clflash_attn_host_args *a = &c->args;
    const int64_t q_rows = (int64_t)p->b * p->hq * p->sq, k_rows = (int64_t)p->b * p->hk * p->sk;
    a->q = draw_floats(c, p->dtype, q_rows * p->d, -3, 3, state);
    a->k = draw_floats(c, p->dtype, k_rows * p->d, -1, 1, state);
    a->v = draw_floats(c, p->dtype, k_rows * p->dv, -1, 1, state);
    if (p->op == CLFLASH_OP_BWD)
        c->dout = draw_floats(c, p->dtype, q_rows * p->dv, -1, 1, state);
    if (p->alibi)
        a->alibi = draw_floats(c, CLFLASH_F32, p->hq, 0, 0.25f, state);
    if (p->sink)
        a->sink = draw_floats(c, CLFLASH_F32, p->hq, -1, 1, state);
    return a->q && a->k && a->v && (c->dout || p->op != CLFLASH_OP_BWD) &&
           (!p->alibi || a->alibi) && (!p->sink || a->sink);
}

static bool make_arrays(clfi_case *c)
{
    const clfi_attn *p = &c->p;
    clflash_attn_host_args *a = &c->args;
    if (p->seg) {
        a->q_segments = make_segments(c, p->sq);
        a->kv_segments = make_segments(c, p->sk);
    }
    if (p->desc.mask.positions) {
        a->q_positions = make_positions(c, p->sq, p->q_pos0);
        a->kv_positions = make_positions(c, p->sk, 0);
    }
    if (p->kvlen)
        a->kv_lengths = make_lengths(c);
    return (!p->seg || (a->q_segments && a->kv_segments)) &&
           (!p->desc.mask.positions || (a->q_positions && a->kv_positions)) &&
           (!p->kvlen || a->kv_lengths);
}

clflash_status clfi_case_make(clfi_case *c, const clfi_attn *p, const clflash_allocator *a,
                              uint32_t seed, clfi_err *err)
{
    uint32_t state = seed;
    *c = (clfi_case){.allocator = a, .p = *p};
    if (make_tensors(c, &state) && make_arrays(c) && make_masks(c, &state))
        return CLFLASH_OK;
    clfi_case_free(c);
    return clfi_fail(err, CLFLASH_OUT_OF_MEMORY, "no host memory for the data of a check");
}

void clfi_case_free(clfi_case *c)
{
    const clflash_attn_host_args *a = &c->args;
    const void *const data[] = {a->q,           a->k,           a->v,
                                a->alibi,       a->sink,        a->q_segments,
                                a->kv_segments, a->q_positions, a->kv_positions,
                                a->kv_lengths,  a->bias.data,   a->boolean.data,
                                c->dout};
    for (size_t i = 0; i < sizeof data / sizeof data[0]; i++)
        clfi_free(c->allocator, (void *)data[i]);
    c->args = (clflash_attn_host_args){0};
    c->dout = NULL;
}
