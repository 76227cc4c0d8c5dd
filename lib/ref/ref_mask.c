/* ref_mask.c -- which keys a query sees: the one definition. (L0)
 * In words: docs/math.md#visibility. Mirrored once, in cl_kernels/mask.clh. */
#include "lib/base/half.h"
#include "lib/ref/ref.h"

#include <math.h>

clfi_ref_sizes clfi_ref_get_sizes(const clflash_attn_desc *desc)
{
    clfi_ref_sizes s = {
        .b = desc->batch == 0 ? 1 : desc->batch,
        .hq = desc->q_heads,
        .hk = desc->kv_heads == 0 ? desc->q_heads : desc->kv_heads,
        .sq = desc->q_len,
        .sk = desc->kv_len == 0 ? desc->q_len : desc->kv_len,
        .d = desc->head_dim,
        .dv = desc->value_dim == 0 ? desc->head_dim : desc->value_dim,
    };
    if (s.b == CLFLASH_EMPTY)
        s.b = 0;
    if (s.sk == CLFLASH_EMPTY)
        s.sk = 0;
    return s;
}

int64_t clfi_ref_query_position(const clflash_attn_desc *desc, const clflash_attn_host_args *args,
                                int32_t b, int32_t i)
{
    const clfi_ref_sizes s = clfi_ref_get_sizes(desc);
    if (desc->mask.positions)
        return args->q_positions[(int64_t)b * s.sq + i];
    const bool top_left =
        desc->mask.causal == CLFLASH_CAUSAL_TOP_LEFT || desc->mask.align == CLFLASH_ALIGN_TOP_LEFT;
    return top_left ? i : (int64_t)i + s.sk - s.sq;
}

int64_t clfi_ref_key_position(const clflash_attn_desc *desc, const clflash_attn_host_args *args,
                              int32_t b, int32_t j)
{
    const clfi_ref_sizes s = clfi_ref_get_sizes(desc);
    return desc->mask.positions ? args->kv_positions[(int64_t)b * s.sk + j] : j;
}

int64_t clfi_ref_mask_offset(const int32_t extent[3], const int64_t stride_bytes[3], size_t element,
                             const clfi_ref_sizes *s, int32_t b, int32_t h, int32_t i, int32_t j)
{
    const int32_t full[3] = {s->b, s->hq, s->sq}, index[3] = {b, h, i};
    int64_t stride[3], packed = s->sk * (int64_t)element, offset = j * (int64_t)element;
    for (int axis = 2; axis >= 0; axis--) {
        stride[axis] = packed;
        packed *= extent[axis] == 0 ? full[axis] : extent[axis];
    }
    const bool strided = stride_bytes[0] || stride_bytes[1] || stride_bytes[2];
    for (int axis = 0; axis < 3; axis++)
        if (extent[axis] != 1)
            offset += index[axis] * (strided ? stride_bytes[axis] : stride[axis]);
    return offset;
}

static const char *mask_element(const clflash_host_mask *mask, size_t element,
                                const clfi_ref_sizes *s, int32_t b, int32_t h, int32_t i, int32_t j)
{
    return (const char *)mask->data +
           clfi_ref_mask_offset(mask->extent, mask->stride_bytes, element, s, b, h, i, j);
}

double clfi_ref_bias(const clflash_attn_desc *desc, const clflash_attn_host_args *args, int32_t b,
                     int32_t h, int32_t i, int32_t j)
{
    if (!desc->bias)
        return 0;
    const clfi_ref_sizes s = clfi_ref_get_sizes(desc);
    const clflash_dtype dtype = args->bias.dtype;
    return clfi_load(mask_element(&args->bias, clflash_dtype_bytes(dtype), &s, b, h, i, j), dtype,
                     0);
}

bool clflash_ref_visible(const clflash_attn_desc *desc, const clflash_attn_host_args *args,
                         int32_t b, int32_t h, int32_t i, int32_t j)
{
    const clflash_mask *m = &desc->mask;
    const clfi_ref_sizes s = clfi_ref_get_sizes(desc);
    if (m->causal || m->window) {
        /* 64 bits: positions may be any int32. */
        const int64_t ahead =
            clfi_ref_key_position(desc, args, b, j) - clfi_ref_query_position(desc, args, b, i);
        if (m->causal && ahead > 0)
            return false;
        if (m->window && m->window_left != CLFLASH_UNBOUNDED && ahead < -(int64_t)m->window_left)
            return false;
        if (m->window && m->window_right != CLFLASH_UNBOUNDED && ahead > m->window_right)
            return false;
    }
    if (m->segments || desc->docs > 0) {
        const int32_t segment = args->q_segments[(int64_t)b * s.sq + i];
        if (segment == CLFLASH_PADDING_SEGMENT ||
            segment != args->kv_segments[(int64_t)b * s.sk + j])
            return false;
    }
    if (m->kv_lengths && j >= args->kv_lengths[b])
        return false;
    if (m->boolean && *mask_element(&args->boolean, 1, &s, b, h, i, j) == 0)
        return false;
    return clfi_ref_bias(desc, args, b, h, i, j) != -INFINITY;
}
