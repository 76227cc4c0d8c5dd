/* rng.h -- the tests' random numbers: splitmix64, the same on every machine. */
#ifndef CLFT_RNG_H
#define CLFT_RNG_H

#include <stdint.h>

typedef struct clft_rng {
    uint64_t state;
} clft_rng;

static inline uint64_t clft_next(clft_rng *r)
{
    uint64_t z = (r->state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* 0 to n - 1; n >= 1. */
static inline int32_t clft_below(clft_rng *r, int32_t n)
{
    return (int32_t)(clft_next(r) >> 33) % n;
}

static inline float clft_uniform(clft_rng *r, float low, float high)
{
    return low + (high - low) * ((float)(clft_next(r) >> 40) * 0x1p-24f);
}

#endif
