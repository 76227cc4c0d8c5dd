/* fs.h -- the few file operations that the caches need. (L0) */
#ifndef CLFI_FS_H
#define CLFI_FS_H

#include "lib/base/error.h"

/* $CLFLASH_CACHE_DIR, $XDG_CACHE_HOME/clflash or $HOME/.cache/clflash; "" when none is
 * set. Reads the environment: called at context creation only. */
void clfi_fs_cache_dir(char *path, size_t path_bytes);
/* Creates path and its parents with mode 0700. */
clflash_status clfi_fs_make_dir(const char *path, clfi_err *err);
/* The whole file, plus a terminating NUL. malloc'd with a; at most max_bytes. */
clflash_status clfi_fs_read(const clflash_allocator *a, const char *path, size_t max_bytes,
                            char **data, size_t *bytes, clfi_err *err);
/* Temp file in the same folder, fsync, rename: readers see the old file or the new. */
clflash_status clfi_fs_write(const char *path, const void *data, size_t bytes, clfi_err *err);

#endif
