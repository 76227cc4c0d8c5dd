/* alloc.c -- hookable host allocation. (L0) */
#include "lib/base/alloc.h"

#include <stdlib.h>
#include <string.h>

void *clfi_alloc(const clflash_allocator *a, size_t count, size_t bytes)
{
    if (bytes && count > SIZE_MAX / bytes)
        return NULL;
    const size_t total = count > 0 && bytes > 0 ? count * bytes : 1;
    if (!a || !a->alloc)
        return calloc(1, total);
    void *memory = a->alloc(a->user, total);
    if (memory)
        memset(memory, 0, total);
    return memory;
}

void clfi_free(const clflash_allocator *a, void *memory)
{
    if (!a || !a->free)
        free(memory);
    else
        a->free(a->user, memory);
}

char *clfi_strdup(const clflash_allocator *a, const char *text)
{
    const size_t bytes = strlen(text) + 1;
    char *copy = clfi_alloc(a, bytes, 1);
    if (copy)
        memcpy(copy, text, bytes);
    return copy;
}
