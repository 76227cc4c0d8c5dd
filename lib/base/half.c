/* half.c -- 16-bit floats, round to nearest even. (L0)
 * IEEE 754 binary16; bfloat16 = the upper half of a binary32. */
#include "lib/base/half.h"

#include <clflash/ref.h>
#include <string.h>

static uint32_t bits_of(float value)
{
    uint32_t u;
    memcpy(&u, &value, sizeof u);
    return u;
}

static float float_of(uint32_t u)
{
    float value;
    memcpy(&value, &u, sizeof value);
    return value;
}

float clflash_f32_from_bf16(uint16_t bits) { return float_of((uint32_t)bits << 16); }

uint16_t clflash_bf16_from_f32(float value)
{
    const uint32_t u = bits_of(value);
    if ((u & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)((u >> 16) | 0x40); /* keep a NaN a NaN */
    return (uint16_t)((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}

float clflash_f32_from_f16(uint16_t bits)
{
    const uint32_t sign = (uint32_t)(bits & 0x8000u) << 16, rest = bits & 0x7fffu;
    if (rest >= 0x7c00u) /* infinity or NaN */
        return float_of(sign | 0x7f800000u | (rest & 0x3ffu) << 13);
    if (rest >= 0x0400u) /* normal */
        return float_of(sign | ((rest << 13) + (112u << 23)));
    const float magnitude = (float)rest * 0x1p-24f; /* subnormal: exact */
    return float_of(sign | bits_of(magnitude));
}

uint16_t clflash_f16_from_f32(float value)
{
    const uint32_t u = bits_of(value), sign = u >> 16 & 0x8000u, rest = u & 0x7fffffffu;
    if (rest > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00u);
    if (rest >= 0x477ff000u) /* 65520 and above round to infinity */
        return (uint16_t)(sign | 0x7c00u);
    if (rest >= 0x38800000u) { /* normal: 2^-14 and above */
        const uint32_t r = rest - (112u << 23);
        return (uint16_t)(sign | (r + 0xfffu + (r >> 13 & 1u)) >> 13);
    }
    /* Subnormal: adding 0.5 leaves the rounded multiple of 2^-24 in the low bits. */
    return (uint16_t)(sign | (bits_of(float_of(rest) + 0.5f) - bits_of(0.5f)));
}

size_t clflash_dtype_bytes(clflash_dtype dtype)
{
    switch (dtype) {
    case CLFLASH_F32: return 4;
    case CLFLASH_F16:
    case CLFLASH_BF16: return 2;
    }
    return 0;
}

float clfi_load(const void *data, clflash_dtype dtype, int64_t i)
{
    if (dtype == CLFLASH_F32)
        return ((const float *)data)[i];
    const uint16_t bits = ((const uint16_t *)data)[i];
    return dtype == CLFLASH_F16 ? clflash_f32_from_f16(bits) : clflash_f32_from_bf16(bits);
}

void clfi_store(void *data, clflash_dtype dtype, int64_t i, float value)
{
    if (dtype == CLFLASH_F32)
        ((float *)data)[i] = value;
    else
        ((uint16_t *)data)[i] =
            dtype == CLFLASH_F16 ? clflash_f16_from_f32(value) : clflash_bf16_from_f32(value);
}

double clfi_unit_roundoff(clflash_dtype dtype)
{
    return dtype == CLFLASH_F32 ? 0x1p-24 : dtype == CLFLASH_F16 ? 0x1p-11 : 0x1p-8;
}

const char *clfi_dtype_name(clflash_dtype dtype)
{
    return dtype == CLFLASH_F32 ? "f32" : dtype == CLFLASH_F16 ? "f16" : "bf16";
}
