/* program.h -- built programs, remembered in the context. (L1) */
#ifndef CLFI_PROGRAM_H
#define CLFI_PROGRAM_H

#include "host/context.h"

typedef struct clfi_program {
    struct clfi_program *next;
    int32_t uses; /* kernels made from it; 0 = may be dropped */
    uint64_t last_use;
    char *source, *options; /* the key */
    cl_program program;
    bool retarget;   /* a function of the source: no part of the key */
    bool from_cache; /* the binary came from disk */
    double build_ms;
    int32_t registers, spill_bytes; /* NVIDIA's build log; 0 unknown */
} clfi_program;

/* Finds or builds; the caller owns one use, given back with clfi_program_put. */
clflash_status clfi_program_get(clfi_program **out, clflash_context *ctx, const char *source,
                                const char *options, bool retarget, clfi_err *err);
void clfi_program_put(clflash_context *ctx, clfi_program *program);

/* The text of an embedded source, or from CLFLASH_KERNEL_DIR (then *owned must be freed
 * with free()). */
clflash_status clfi_source_text(const clflash_context *ctx, const char *name, const char **text,
                                size_t *bytes, char **owned, clfi_err *err);

#endif
