/* checked.h -- int64 arithmetic that reports overflow. (L0) */
#ifndef CLFI_CHECKED_H
#define CLFI_CHECKED_H

#include <stdbool.h>
#include <stdint.h>

/* false when a * b + c does not fit; then *out is unspecified. */
static inline bool clfi_mul_add(int64_t a, int64_t b, int64_t c, int64_t *out)
{
#if defined(__GNUC__)
    int64_t product;
    return !__builtin_mul_overflow(a, b, &product) && !__builtin_add_overflow(product, c, out);
#else
    if (a != 0 && (b > INT64_MAX / (a < 0 ? -a : a) || b < -(INT64_MAX / (a < 0 ? -a : a))))
        return false;
    const int64_t product = a * b;
    if ((c > 0 && product > INT64_MAX - c) || (c < 0 && product < INT64_MIN - c))
        return false;
    *out = product + c;
    return true;
#endif
}

#endif
