/* hash.c -- 128-bit FNV-1a (Fowler, Noll, Vo; draft-eastlake-fnv). (L0) */
#include "lib/base/hash.h"

#include <stdio.h>

clfi_hash clfi_hash_start(void) { return (clfi_hash){0x6c62272e07bb0142u, 0x62b821756295c58du}; }

/* h * (2^88 + 2^8 + 0x3b) modulo 2^128, by 32-bit limbs. */
static clfi_hash times_prime(clfi_hash h)
{
    const uint64_t p = 0x13b;
    const uint64_t low = (h.lo & 0xffffffffu) * p, mid = (h.lo >> 32) * p + (low >> 32);
    const uint64_t lo = (mid << 32) | (low & 0xffffffffu);
    const uint64_t hi = h.hi * p + (mid >> 32) + (h.lo << 24);
    return (clfi_hash){hi, lo};
}

clfi_hash clfi_hash_add(clfi_hash h, const void *data, size_t bytes)
{
    const unsigned char *byte = data;
    for (size_t i = 0; i < bytes; i++) {
        h.lo ^= byte[i];
        h = times_prime(h);
    }
    return h;
}

void clfi_hash_hex(clfi_hash h, char text[33])
{
    snprintf(text, 33, "%016llx%016llx", (unsigned long long)h.hi, (unsigned long long)h.lo);
}
