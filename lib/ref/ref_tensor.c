/* ref_tensor.c -- rows of the caller's tensors to and from double, and which arrays must be
 * there. (L0) */
#include "lib/base/half.h"
#include "lib/ref/ref.h"

#include <math.h>
#include <string.h>

clfi_ref_tensor clfi_ref_make_tensor(const clflash_attn_desc *desc, clflash_dtype dtype,
                                     const int64_t given[3], int64_t s, int64_t h, int32_t width)
{
    clfi_ref_tensor t = {.dtype = dtype, .width = width};
    const int64_t row = width * (int64_t)clflash_dtype_bytes(dtype);
    if (given[0] || given[1] || given[2]) {
        memcpy(t.stride, given, sizeof t.stride);
    } else {
        const bool bhsd = desc->layout == CLFLASH_LAYOUT_BHSD;
        t.stride[0] = s * h * row;
        t.stride[1] = bhsd ? row : h * row;
        t.stride[2] = bhsd ? s * row : row;
    }
    return t;
}

static int64_t row_offset(const clfi_ref_tensor *t, int32_t b, int32_t s, int32_t h)
{
    return b * t->stride[0] + s * t->stride[1] + h * t->stride[2];
}

void clfi_ref_load(const clfi_ref_tensor *t, const void *data, int32_t b, int32_t s, int32_t h,
                   double *row, int64_t step)
{
    const char *from = (const char *)data + row_offset(t, b, s, h);
    for (int32_t c = 0; c < t->width; c++)
        row[c * step] = clfi_load(from, t->dtype, c);
}

/* Rounds once: a double that passes through float on its way to 16 bits must not be
 * rounded to even twice. Rounding to odd first keeps what the second one needs to know. */
static void store_rounded(void *row, clflash_dtype dtype, int64_t c, double value)
{
    float f = (float)value;
    if (dtype != CLFLASH_F32 && isfinite(f) && (double)f != value) {
        uint32_t bits;
        memcpy(&bits, &f, sizeof bits);
        if (!(bits & 1))
            f = nextafterf(f, value > f ? INFINITY : -INFINITY);
    }
    clfi_store(row, dtype, c, f);
}

void clfi_ref_store_element(void *data, clflash_dtype dtype, int64_t c, double value, double beta)
{
    const double old = beta == 0 ? 0 : beta * clfi_load(data, dtype, c);
    store_rounded(data, dtype, c, old + value);
}

void clfi_ref_store(const clfi_ref_tensor *t, void *data, int32_t b, int32_t s, int32_t h,
                    const double *row, double beta)
{
    char *to = (char *)data + row_offset(t, b, s, h);
    for (int32_t c = 0; c < t->width; c++)
        clfi_ref_store_element(to, t->dtype, c, row[c], beta);
}

clflash_status clfi_ref_check_array(const void *data, bool used, bool read)
{
    if (read && !data)
        return CLFLASH_NULL_BUFFER;
    return data && !used ? CLFLASH_EXTRA_BUFFER : CLFLASH_OK;
}

clflash_status clfi_ref_check_inputs(const clflash_attn_desc *desc,
                                     const clflash_attn_host_args *args)
{
    const clflash_mask *m = &desc->mask;
    const clfi_ref_sizes n = clfi_ref_get_sizes(desc);
    const bool seg = m->segments || desc->docs > 0, rows = n.b > 0 && n.sq > 0;
    const bool keys = rows && n.sk > 0;
    const struct {
        const void *data;
        bool used, read;
    } arrays[] = {
        {args->q,            true,          rows                 },
        {args->k,            true,          keys                 },
        {args->v,            true,          keys                 },
        {args->q_segments,   seg,           seg && keys          },
        {args->kv_segments,  seg,           seg && keys          },
        {args->q_positions,  m->positions,  m->positions && keys },
        {args->kv_positions, m->positions,  m->positions && keys },
        {args->kv_lengths,   m->kv_lengths, m->kv_lengths && keys},
        {args->alibi,        desc->alibi,   desc->alibi && keys  },
        {args->sink,         desc->sink,    desc->sink && rows   },
        {args->bias.data,    desc->bias,    desc->bias && keys   },
        {args->boolean.data, m->boolean,    m->boolean && keys   },
    };
    for (size_t a = 0; a < sizeof arrays / sizeof arrays[0]; a++)
        CLF_TRY(clfi_ref_check_array(arrays[a].data, arrays[a].used, arrays[a].read));
    const clflash_dtype bias = args->bias.dtype;
    if (desc->bias && bias != CLFLASH_F32 && bias != desc->dtype)
        return CLFLASH_INVALID_DTYPE;
    return CLFLASH_OK;
}
