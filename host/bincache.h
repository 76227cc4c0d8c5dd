/* bincache.h -- program binaries on disk. (L1) Never on PoCL, which caches by itself;
 * off without a cache folder. Anything wrong with a file is a logged miss. */
#ifndef CLFI_BINCACHE_H
#define CLFI_BINCACHE_H

#include "host/context.h"

/* Everything that a binary depends on, as text: stored in the file and compared. */
typedef struct clfi_bincache_key {
    char text[4096];
    char path[1200]; /* "" = caching is off */
} clfi_bincache_key;

void clfi_bincache_make_key(clfi_bincache_key *key, const clflash_context *ctx, const char *source,
                            const char *source_text, size_t source_bytes, const char *options);

/* A program made from the cached binary, not yet built; NULL = miss. */
cl_program clfi_bincache_load(const clflash_context *ctx, const clfi_bincache_key *key,
                              int32_t *registers, int32_t *spill_bytes);
void clfi_bincache_store(const clflash_context *ctx, const clfi_bincache_key *key,
                         cl_program program, int32_t registers, int32_t spill_bytes);

/* What the driver makes of a built program (PTX on NVIDIA); the caller frees *binary. */
clflash_status clfi_program_binary(const clflash_context *ctx, cl_program program,
                                   unsigned char **binary, size_t *bytes, clfi_err *err);

#endif
