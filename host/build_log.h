/* build_log.h -- what NVIDIA's verbose build log says of a program. (L1, pure C) */
#ifndef CLFI_BUILD_LOG_H
#define CLFI_BUILD_LOG_H

#include <stdint.h>

/* The largest over all kernels of the program; 0 where the log says nothing. */
typedef struct clfi_build_numbers {
    int32_t registers;   /* per work-item */
    int32_t spill_bytes; /* per work-item, stores */
} clfi_build_numbers;

clfi_build_numbers clfi_build_log_numbers(const char *log);

#endif
