/* inline_source.h -- one self-contained kernel source from a .cl file: each
 * #include "x" of the same folder is replaced by its text, once. Shared by the
 * build-time embedder and by CLFLASH_KERNEL_DIR. (L0; libc only) */
#ifndef CLFI_INLINE_SOURCE_H
#define CLFI_INLINE_SOURCE_H

#include <stddef.h>

/* malloc'd, terminated text of dir/name with its includes; NULL on failure with a
 * message in error. *bytes excludes the terminator. */
char *clfi_inline_source(const char *dir, const char *name, size_t *bytes, char *error,
                         size_t error_bytes);

#endif
