/* attn_case.c -- data for one attention problem. */
#include "tests/support/attn_case.h"

#include "lib/base/half.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MARGIN_ELEMENTS 512

double test_uniform(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (*state >> 8) / 16777216.0;
}

float test_normal(uint32_t *state)
{
    double sum = -6;
    for (int i = 0; i < 12; i++)
        sum += test_uniform(state);
    return (float)sum;
}

static void *must(void *memory)
{
    if (!memory)
        abort();
    return memory;
}

static unsigned char *element(const tensor *t, int64_t b, int64_t s, int64_t h, int64_t d)
{
    return t->bytes + t->margin_bytes + b * t->stride[0] + s * t->stride[1] + h * t->stride[2] +
           d * (int64_t)clflash_dtype_bytes(t->dtype);
}

float tensor_get(const tensor *t, int64_t b, int64_t s, int64_t h, int64_t d)
{
    return clfi_load(element(t, b, s, h, d), t->dtype, 0);
}

void tensor_set(tensor *t, int64_t b, int64_t s, int64_t h, int64_t d, float value)
{
    clfi_store(element(t, b, s, h, d), t->dtype, 0, value);
}

/* All bytes 0xff: a NaN in every dtype. */
static tensor make_tensor(const clfi_attn *p, int32_t len, int32_t heads, int32_t width,
                          bool strided)
{
    tensor t = {
        .dtype = p->dtype, .n = {p->b, len, heads},
             .width = width
    };
    const int64_t e = (int64_t)clflash_dtype_bytes(p->dtype);
    const int64_t row = (width + (strided ? 3 : 0)) * e, gap = strided ? 5 * e : 0;
    const bool bhsd = p->layout == CLFLASH_LAYOUT_BHSD;
    t.stride[bhsd ? 1 : 2] = row;
    t.stride[bhsd ? 2 : 1] = row * (bhsd ? len : heads) + gap;
    t.stride[0] = t.stride[bhsd ? 2 : 1] * (bhsd ? heads : len) + gap;
    t.margin_bytes = (size_t)((MARGIN_ELEMENTS + (strided ? 1 : 0)) * e);
    t.total_bytes = 2 * t.margin_bytes + (size_t)(t.stride[0] * p->b);
    t.bytes = must(malloc(t.total_bytes));
    memset(t.bytes, 0xff, t.total_bytes);
    return t;
}

static void fill(tensor *t, uint32_t *state)
{
    for (int32_t b = 0; b < t->n[0]; b++)
        for (int32_t s = 0; s < t->n[1]; s++)
            for (int32_t h = 0; h < t->n[2]; h++)
                for (int32_t d = 0; d < t->width; d++)
                    tensor_set(t, b, s, h, d, test_normal(state));
}

static int32_t *integers(int64_t n) { return must(calloc((size_t)(n > 0 ? n : 1), 4)); }

/* Documents of uneven length, then padding; or any order. */
static void fill_segments(int32_t *seg, int32_t b, int32_t len, bool sorted, uint32_t *state)
{
    for (int32_t n = 0; n < b; n++) {
        int32_t id = 7;
        const int32_t live = len - (int32_t)(test_uniform(state) * len * 0.2);
        for (int32_t i = 0; i < len; i++) {
            if (sorted) {
                id += test_uniform(state) < 3.0 / (len + 1);
                seg[(int64_t)n * len + i] = i < live ? id : CLFLASH_PADDING_SEGMENT;
            } else {
                seg[(int64_t)n * len + i] = (int32_t)(test_uniform(state) * 4) - 1;
            }
        }
    }
}

/* Documents of equal length, as the programs make them. */
static void fill_documents(int32_t *seg, int32_t b, int32_t len, int32_t docs)
{
    for (int32_t n = 0; n < b; n++)
        for (int32_t i = 0; i < len; i++)
            seg[(int64_t)n * len + i] = (int32_t)((int64_t)i * docs / (len > 0 ? len : 1));
}

static void fill_arrays(attn_case *c, uint32_t *s)
{
    const clfi_attn *p = &c->p;
    const bool sorted = c->seed % 2 == 0;
    const clflash_mask *m = &c->desc.mask;
    if (p->seg) {
        c->q_seg = integers((int64_t)p->b * p->sq);
        c->kv_seg = integers((int64_t)p->b * p->sk);
        uint32_t copy = *s; /* equal lengths get equal documents */
        if (p->docs > 0) {
            fill_documents(c->q_seg, p->b, p->sq, p->docs);
            fill_documents(c->kv_seg, p->b, p->sk, p->docs);
        } else {
            fill_segments(c->q_seg, p->b, p->sq, sorted, s);
            fill_segments(c->kv_seg, p->b, p->sk, sorted, &copy);
        }
    }
    if (m->positions) {
        c->q_pos = integers((int64_t)p->b * p->sq);
        c->kv_pos = integers((int64_t)p->b * p->sk);
        for (int64_t i = 0; i < (int64_t)p->b * p->sq; i++)
            c->q_pos[i] = (int32_t)(test_uniform(s) * (p->sk + 3)) - 1;
        for (int64_t i = 0; i < (int64_t)p->b * p->sk; i++)
            c->kv_pos[i] = sorted ? (int32_t)(i % (p->sk > 0 ? p->sk : 1))
                                  : (int32_t)(test_uniform(s) * (p->sk + 3)) - 1;
    }
    if (p->kvlen) {
        c->kv_len = integers(p->b);
        for (int32_t b = 0; b < p->b; b++)
            c->kv_len[b] = b == 0 ? p->sk * 2 / 3 : b == 1 ? 0 : p->sk + 5; /* clamped to Sk */
    }
    c->alibi = must(calloc((size_t)p->hq, sizeof(float)));
    c->sink = must(calloc((size_t)p->hq, sizeof(float)));
    for (int32_t h = 0; h < p->hq; h++) {
        c->alibi[h] = 0.3f / (float)(h + 1);
        c->sink[h] = test_normal(s);
    }
}

/* extent: bits 0-2 broadcast an axis. */
static clflash_host_mask make_mask(const clfi_attn *p, int32_t extent, bool boolean,
                                   clflash_dtype dtype, uint32_t *s)
{
    const int32_t full[3] = {p->b, p->hq, p->sq};
    clflash_host_mask m = {.dtype = dtype};
    int64_t n = p->sk;
    for (int axis = 0; axis < 3; axis++) {
        m.extent[axis] = extent >> axis & 1 ? 1 : 0;
        n *= m.extent[axis] ? 1 : full[axis];
    }
    unsigned char *data = must(malloc((size_t)(n > 0 ? n : 1) * 4));
    for (int64_t i = 0; i < n; i++) {
        if (boolean)
            data[i] = test_uniform(s) < 0.7 ? (unsigned char)(1 + i % 255) : 0;
        else
            clfi_store(data, dtype, i, test_uniform(s) < 0.05 ? -INFINITY : test_normal(s));
    }
    m.data = data;
    return m;
}

void attn_case_make(attn_case *c, const char *problem, const attn_way *way, uint32_t seed)
{
    clfi_err err = {0};
    *c = (attn_case){.seed = seed};
    if (clflash_attn_desc_parse(&c->desc, problem, err.text, sizeof err.text) != CLFLASH_OK ||
        clfi_attn_resolve(&c->p, &c->desc, &err) != CLFLASH_OK) {
        fprintf(stderr, "bad case \"%s\": %s\n", problem, err.text);
        abort();
    }
    const clfi_attn *p = &c->p;
    uint32_t s = seed * 2654435761u + 12345u;
    snprintf(c->problem, sizeof c->problem, "%s", problem);
    c->q = make_tensor(p, p->sq, p->hq, p->d, way->strided);
    c->k = make_tensor(p, p->sk, p->hk, p->d, way->strided);
    c->v = make_tensor(p, p->sk, p->hk, p->dv, way->strided);
    c->o = make_tensor(p, p->sq, p->hq, p->dv, way->strided);
    fill(&c->q, &s);
    fill(&c->k, &s);
    fill(&c->v, &s);
    c->lse = must(calloc((size_t)p->b * (size_t)p->hq * (size_t)p->sq + 1, sizeof(float)));
    fill_arrays(c, &s);
    clflash_attn_host_args *h = &c->host;
    *h = (clflash_attn_host_args){.q = c->q.bytes + c->q.margin_bytes,
                                  .k = c->k.bytes + c->k.margin_bytes,
                                  .v = c->v.bytes + c->v.margin_bytes,
                                  .q_segments = c->q_seg,
                                  .kv_segments = c->kv_seg,
                                  .q_positions = c->q_pos,
                                  .kv_positions = c->kv_pos,
                                  .kv_lengths = c->kv_len,
                                  .alibi = p->alibi ? c->alibi : NULL,
                                  .sink = p->sink ? c->sink : NULL};
    memcpy(h->q_stride_bytes, c->q.stride, sizeof h->q_stride_bytes);
    memcpy(h->k_stride_bytes, c->k.stride, sizeof h->k_stride_bytes);
    memcpy(h->v_stride_bytes, c->v.stride, sizeof h->v_stride_bytes);
    if (p->bias)
        h->bias = c->bias =
            make_mask(p, way->bias_extent, false, way->bias_dtype ? p->dtype : CLFLASH_F32, &s);
    if (p->boolean)
        h->boolean = c->boolean = make_mask(p, way->bool_extent, true, CLFLASH_F32, &s);
}

void attn_case_free(attn_case *c)
{
    void *const owned[] = {c->q.bytes, c->k.bytes, c->v.bytes, c->o.bytes, c->lse,   c->q_seg,
                           c->kv_seg,  c->q_pos,   c->kv_pos,  c->kv_len,  c->alibi, c->sink};
    for (size_t i = 0; i < sizeof owned / sizeof owned[0]; i++)
        free(owned[i]);
    free((void *)(uintptr_t)c->bias.data);
    free((void *)(uintptr_t)c->boolean.data);
    *c = (attn_case){0};
}
