/* data.c -- the arrays of one problem. (bench) */
#include "bench/common/data.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

size_t data_type_bytes(data_type type)
{
    return type == DATA_F32 || type == DATA_I32 ? 4 : type == DATA_U8 ? 1 : 2;
}

data_type data_type_of(clflash_dtype dtype)
{
    return dtype == CLFLASH_F32 ? DATA_F32 : dtype == CLFLASH_F16 ? DATA_F16 : DATA_BF16;
}

clflash_dtype data_dtype_of(data_type type)
{
    return type == DATA_F16 ? CLFLASH_F16 : type == DATA_BF16 ? CLFLASH_BF16 : CLFLASH_F32;
}

int64_t data_count(const data_spec *spec)
{
    int64_t n = 1;
    for (int i = 0; i < spec->n_dims; i++)
        n *= spec->dim[i];
    return n;
}

/* [B,S,H,width], or [B,H,S,width] in the layout with heads outside. */
static data_spec tensor_spec(const clflash_attn_desc *desc, const char *name, int32_t s, int32_t h,
                             int32_t width)
{
    const bool bhsd = desc->layout == CLFLASH_LAYOUT_BHSD;
    const int32_t b = sizes_of(desc).b;
    return (data_spec){
        name, true, false, data_type_of(desc->dtype), 4, {b, bhsd ? h : s, bhsd ? s : h, width}
    };
}

data_spec data_spec_of(const clflash_attn_desc *desc, data_id id)
{
    const sizes n = sizes_of(desc);
    const clflash_mask *m = &desc->mask;
    const bool seg = m->segments || desc->docs > 0, pos = m->positions;
    switch (id) {
    case DATA_Q: return tensor_spec(desc, "q", n.sq, n.hq, n.d);
    case DATA_K: return tensor_spec(desc, "k", n.sk, n.hk, n.d);
    case DATA_V: return tensor_spec(desc, "v", n.sk, n.hk, n.dv);
    case DATA_Q_SEG:
        return (data_spec){
            "q-seg", seg, false, DATA_I32, 2, {n.b, n.sq}
        };
    case DATA_K_SEG:
        return (data_spec){
            "k-seg", seg, false, DATA_I32, 2, {n.b, n.sk}
        };
    case DATA_Q_POS:
        return (data_spec){
            "q-pos", pos, false, DATA_I32, 2, {n.b, n.sq}
        };
    case DATA_K_POS:
        return (data_spec){
            "k-pos", pos, false, DATA_I32, 2, {n.b, n.sk}
        };
    case DATA_KV_LEN: return (data_spec){"kv-len", m->kv_lengths, false, DATA_I32, 1, {n.b}};
    case DATA_ALIBI: return (data_spec){"alibi", desc->alibi, false, DATA_F32, 1, {n.hq}};
    case DATA_SINK: return (data_spec){"sink", desc->sink, false, DATA_F32, 1, {n.hq}};
    case DATA_BIAS:
        return (data_spec){
            "bias", desc->bias, true, data_type_of(desc->dtype), 4, {n.b, n.hq, n.sq, n.sk}
        };
    case DATA_BOOL:
        return (data_spec){
            "bool", m->boolean, true, DATA_U8, 4, {n.b, n.hq, n.sq, n.sk}
        };
    case DATA_DOUT: {
        data_spec dout = tensor_spec(desc, "do", n.sq, n.hq, n.dv);
        dout.used = desc->op == CLFLASH_OP_BWD;
        return dout;
    }
    case N_DATA: break;
    }
    return (data_spec){.name = ""};
}

data_spec data_output_spec(const clflash_attn_desc *desc)
{
    const sizes n = sizes_of(desc);
    return tensor_spec(desc, "o", n.sq, n.hq, n.dv);
}

data_spec data_gradient_spec(const clflash_attn_desc *desc, int gradient)
{
    static const struct {
        const char *name;
        data_id like;
    } all[N_GRADIENTS] = {
        {"dq",    DATA_Q   },
        {"dk",    DATA_K   },
        {"dv",    DATA_V   },
        {"dsink", DATA_SINK},
        {"dbias", DATA_BIAS},
    };
    data_spec spec = data_spec_of(desc, all[gradient].like);
    spec.name = all[gradient].name;
    if (gradient >= 3 || desc->grad_f32)
        spec.type = DATA_F32;
    return spec;
}

void data_init(data *d, const clflash_attn_desc *desc)
{
    *d = (data){.desc = *desc};
    for (int id = 0; id < N_DATA; id++)
        d->spec[id] = data_spec_of(desc, (data_id)id);
}

/* splitmix64 (Steele, Lea & Flood 2014): one step, 64 good bits. */
static uint64_t random_bits(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* Sum of four uniforms, scaled to variance 1: near enough to normal, and cheap. */
static float random_normal(uint64_t *state)
{
    const uint64_t r = random_bits(state);
    const uint32_t sum = (uint32_t)(r & 0xffff) + (uint32_t)(r >> 16 & 0xffff) +
                         (uint32_t)(r >> 32 & 0xffff) + (uint32_t)(r >> 48);
    return ((float)sum / 65536.0f - 2.0f) * 1.7320508f;
}

static void fill_normal(void *to, data_type type, int64_t n, uint64_t *state)
{
    for (int64_t i = 0; i < n; i++) {
        const float x = random_normal(state);
        if (type == DATA_F32)
            ((float *)to)[i] = x;
        else
            ((uint16_t *)to)[i] =
                type == DATA_F16 ? clflash_f16_from_f32(x) : clflash_bf16_from_f32(x);
    }
}

/* n documents over len tokens: the first len % n have one token more. */
static void fill_docs(int32_t *to, int32_t batches, int64_t len, int64_t n)
{
    const int64_t more = len % n, size = len / n;
    for (int64_t i = 0; i < len; i++)
        to[i] = (int32_t)(i < more * (size + 1) ? i / (size + 1)
                                                : more + (i - more * (size + 1)) / size);
    for (int32_t b = 1; b < batches; b++)
        memcpy(to + b * len, to, (size_t)len * sizeof *to);
}

/* Documents of uneven length, then a tail of padding; same cuts for queries and keys. */
static void fill_segments(int32_t *to, int32_t batches, int64_t len, uint64_t seed)
{
    for (int32_t b = 0; b < batches; b++) {
        uint64_t state = seed + (uint64_t)b;
        double cut[3];
        for (int c = 0; c < 3; c++)
            cut[c] = (double)(random_bits(&state) >> 40) / (double)(1 << 24);
        for (int64_t i = 0; i < len; i++) {
            const double at = (double)i / (double)len;
            const int32_t segment = (at >= cut[0]) + (at >= cut[1]) + (at >= cut[2]);
            to[b * len + i] = at > 0.97 ? CLFLASH_PADDING_SEGMENT : segment;
        }
    }
}

static void fill_array(data *d, data_id id, uint64_t seed)
{
    const clflash_attn_desc *desc = &d->desc;
    const data_spec *spec = &d->spec[id];
    const sizes n = sizes_of(desc);
    const int64_t count = data_count(spec);
    uint64_t state = seed + UINT64_C(0x632be59bd9b4e019) * (uint64_t)(id + 1);
    int32_t *ints = d->array[id];
    float *floats = d->array[id];
    const bool top_left =
        desc->mask.causal == CLFLASH_CAUSAL_TOP_LEFT || desc->mask.align == CLFLASH_ALIGN_TOP_LEFT;
    switch (id) {
    case DATA_Q_SEG:
    case DATA_K_SEG:
        if (desc->docs > 0)
            fill_docs(ints, n.b, spec->dim[1], desc->docs);
        else
            fill_segments(ints, n.b, spec->dim[1], seed);
        break;
    case DATA_Q_POS:
    case DATA_K_POS: /* as without the array, but told by the array */
        for (int64_t i = 0; i < count; i++)
            ints[i] =
                (int32_t)(i % spec->dim[1]) + (id == DATA_Q_POS && !top_left ? n.sk - n.sq : 0);
        break;
    case DATA_KV_LEN: /* half to all of the keys */
        for (int64_t i = 0; i < count; i++)
            ints[i] = n.sk - (int32_t)(random_bits(&state) % (uint64_t)(n.sk / 2 + 1));
        break;
    case DATA_ALIBI: /* Press, Smith & Lewis 2021: 2^(-8 h / Hq) */
        for (int64_t h = 0; h < count; h++)
            floats[h] = exp2f(-8.0f * (float)(h + 1) / (float)count);
        break;
    case DATA_BOOL: /* one in eight masked */
        for (int64_t i = 0; i < count; i++)
            ((uint8_t *)d->array[id])[i] = random_bits(&state) % 8 != 0;
        break;
    default: fill_normal(d->array[id], spec->type, count, &state); break;
    }
}

bool data_fill(data *d, uint64_t seed)
{
    for (int id = 0; id < N_DATA; id++) {
        data_spec *spec = &d->spec[id];
        if (d->array[id] || !spec->used)
            continue;
        if (spec->broadcast) /* one mask for all batches and heads */
            spec->dim[0] = spec->dim[1] = 1;
        const size_t bytes = (size_t)data_count(spec) * data_type_bytes(spec->type);
        d->array[id] = malloc(bytes ? bytes : 1);
        if (!d->array[id])
            return false;
        fill_array(d, (data_id)id, seed);
    }
    return true;
}

static clflash_host_mask host_mask(const data *d, data_id id)
{
    const data_spec *spec = &d->spec[id];
    clflash_host_mask mask = {.data = d->array[id]};
    if (!mask.data)
        return mask;
    mask.dtype = spec->type == DATA_F32 ? CLFLASH_F32 : d->desc.dtype;
    const data_spec full = data_spec_of(&d->desc, id);
    for (int axis = 0; axis < 3; axis++) /* 0 = the problem's size, which may itself be 0 */
        mask.extent[axis] = spec->dim[axis] == full.dim[axis] ? 0 : 1;
    return mask;
}

clflash_attn_host_args data_host_args(const data *d)
{
    return (clflash_attn_host_args){
        .q = d->array[DATA_Q],
        .k = d->array[DATA_K],
        .v = d->array[DATA_V],
        .q_segments = d->array[DATA_Q_SEG],
        .kv_segments = d->array[DATA_K_SEG],
        .q_positions = d->array[DATA_Q_POS],
        .kv_positions = d->array[DATA_K_POS],
        .kv_lengths = d->array[DATA_KV_LEN],
        .alibi = d->array[DATA_ALIBI],
        .sink = d->array[DATA_SINK],
        .bias = host_mask(d, DATA_BIAS),
        .boolean = host_mask(d, DATA_BOOL),
    };
}

void data_free(data *d)
{
    for (int id = 0; id < N_DATA; id++)
        free(d->array[id]);
    *d = (data){0};
}

float data_load(const void *array, clflash_dtype dtype, int64_t i)
{
    if (dtype == CLFLASH_F32)
        return ((const float *)array)[i];
    const uint16_t bits = ((const uint16_t *)array)[i];
    return dtype == CLFLASH_F16 ? clflash_f32_from_f16(bits) : clflash_f32_from_bf16(bits);
}

float data_round(float value, clflash_dtype dtype)
{
    return dtype == CLFLASH_F32   ? value
           : dtype == CLFLASH_F16 ? clflash_f32_from_f16(clflash_f16_from_f32(value))
                                  : clflash_f32_from_bf16(clflash_bf16_from_f32(value));
}
