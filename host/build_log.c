/* build_log.c -- what NVIDIA's verbose build log says of a program. (L1, pure C)
 * With -cl-nv-verbose the log holds the lines of `ptxas -v`, two for each kernel:
 *   ptxas info    : Used 168 registers, used 1 barriers, 600 bytes cmem[0]
 *       0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads */
#include "host/build_log.h"

#include <stddef.h>
#include <string.h>

/* The largest number that stands between `before` and `after`; a number that passes
 * int32 counts as the largest one. */
static int32_t largest(const char *log, const char *before, const char *after)
{
    int32_t most = 0;
    for (const char *p = strstr(log, after); p; p = strstr(p + 1, after)) {
        const char *digit = p;
        while (digit > log && digit[-1] >= '0' && digit[-1] <= '9')
            digit--;
        const size_t n = strlen(before);
        if (digit == p || (size_t)(digit - log) < n || memcmp(digit - n, before, n) != 0)
            continue;
        int64_t value = 0;
        for (; digit < p && value <= INT32_MAX; digit++)
            value = 10 * value + (*digit - '0');
        if (value > most)
            most = value > INT32_MAX ? INT32_MAX : (int32_t)value;
    }
    return most;
}

clfi_build_numbers clfi_build_log_numbers(const char *log)
{
    return (clfi_build_numbers){.registers = largest(log, "Used ", " registers"),
                                .spill_bytes = largest(log, ", ", " bytes spill stores")};
}
