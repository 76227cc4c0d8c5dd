/* embedded.h -- the kernel sources inside the library. (L1) Written by cl_kernels/embed.c. */
#ifndef CLFI_EMBEDDED_H
#define CLFI_EMBEDDED_H

#include <stddef.h>

typedef struct clfi_embedded {
    const char *name; /* "attn_fwd_vector.cl" */
    const char *text; /* terminated, includes inlined */
    size_t bytes;     /* without the terminator */
} clfi_embedded;

extern const clfi_embedded clfi_embedded_sources[];
extern const int clfi_n_embedded_sources;

#endif
