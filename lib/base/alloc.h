/* alloc.h -- hookable host allocation. (L0) */
#ifndef CLFI_ALLOC_H
#define CLFI_ALLOC_H

#include <clflash/base.h>

/* Zeroed memory; NULL when exhausted or when count * bytes overflows. */
void *clfi_alloc(const clflash_allocator *a, size_t count, size_t bytes);
void clfi_free(const clflash_allocator *a, void *memory);
char *clfi_strdup(const clflash_allocator *a, const char *text);

#endif
