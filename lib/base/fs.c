/* fs.c -- the few file operations that the caches need. (L0) POSIX. */
#define _POSIX_C_SOURCE 200809L
#include "lib/base/fs.h"

#include "lib/base/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void clfi_fs_cache_dir(char *path, size_t path_bytes)
{
    const char *own = getenv("CLFLASH_CACHE_DIR"), *xdg = getenv("XDG_CACHE_HOME"),
               *home = getenv("HOME");
    int n = 0;
    if (own && *own)
        n = snprintf(path, path_bytes, "%s", own);
    else if (xdg && *xdg)
        n = snprintf(path, path_bytes, "%s/clflash", xdg);
    else if (home && *home)
        n = snprintf(path, path_bytes, "%s/.cache/clflash", home);
    if (n <= 0 || (size_t)n >= path_bytes)
        path[0] = '\0';
}

clflash_status clfi_fs_make_dir(const char *path, clfi_err *err)
{
    char part[1024];
    CLF_REQUIRE(err, strlen(path) < sizeof part, CLFLASH_IO, "path too long: %.100s...", path);
    snprintf(part, sizeof part, "%s", path);
    for (char *slash = part + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        if (mkdir(part, 0700) && errno != EEXIST)
            return clfi_fail(err, CLFLASH_IO, "mkdir %s: %s", part, strerror(errno));
        *slash = '/';
    }
    if (mkdir(part, 0700) && errno != EEXIST)
        return clfi_fail(err, CLFLASH_IO, "mkdir %s: %s", part, strerror(errno));
    return CLFLASH_OK;
}

clflash_status clfi_fs_read(const clflash_allocator *a, const char *path, size_t max_bytes,
                            char **data, size_t *bytes, clfi_err *err)
{
    *data = NULL;
    *bytes = 0;
    FILE *file = fopen(path, "rb");
    CLF_REQUIRE(err, file, CLFLASH_IO, "open %s: %s", path, strerror(errno));
    struct stat info;
    clflash_status status = CLFLASH_OK;
    if (fstat(fileno(file), &info) || !S_ISREG(info.st_mode))
        status = clfi_fail(err, CLFLASH_IO, "%s is not a plain file", path);
    else if ((uint64_t)info.st_size > max_bytes)
        status = clfi_fail(err, CLFLASH_CORRUPT, "%s has %lld bytes, more than %zu", path,
                           (long long)info.st_size, max_bytes);
    else if (!(*data = clfi_alloc(a, (size_t)info.st_size + 1, 1)))
        status = clfi_fail(err, CLFLASH_OUT_OF_MEMORY, "%s: no memory for it", path);
    else
        *bytes = fread(*data, 1, (size_t)info.st_size, file);
    fclose(file);
    return status;
}

static int write_all(int fd, const char *data, size_t bytes)
{
    while (bytes) {
        const ssize_t n = write(fd, data, bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        data += n;
        bytes -= (size_t)n;
    }
    return fsync(fd);
}

clflash_status clfi_fs_write(const char *path, const void *data, size_t bytes, clfi_err *err)
{
    char temp[1100];
    const int n = snprintf(temp, sizeof temp, "%s.XXXXXX", path);
    CLF_REQUIRE(err, n > 0 && (size_t)n < sizeof temp, CLFLASH_IO, "path too long: %.100s...", path);
    const int fd = mkstemp(temp); /* mode 0600 */
    CLF_REQUIRE(err, fd >= 0, CLFLASH_IO, "create %s: %s", temp, strerror(errno));
    const int bad = write_all(fd, data, bytes);
    if (close(fd) || bad || rename(temp, path)) {
        const int reason = errno;
        unlink(temp);
        return clfi_fail(err, CLFLASH_IO, "write %s: %s", path, strerror(reason));
    }
    return CLFLASH_OK;
}
