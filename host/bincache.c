/* bincache.c -- program binaries on disk. (L1) A binary is code: the folder is made
 * 0700 and must belong to the user. */
#define _POSIX_C_SOURCE 200809L
#include "host/bincache.h"

#include "host/bincache_format.h"
#include "host/cl_check.h"
#include "host/context_internal.h"
#include "lib/base/fs.h"
#include "lib/base/hash.h"
#include "lib/base/strbuf.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_FILE_BYTES ((size_t)64 << 20)
#define MAX_CACHE_BYTES ((int64_t)256 << 20)
#define FOLDER "programs-v1"

void clfi_bincache_make_key(clfi_bincache_key *key, const clflash_context *ctx, const char *source,
                            const char *source_text, size_t source_bytes, const char *options)
{
    const clfi_profile *p = &ctx->profile;
    key->path[0] = '\0';
    if (!ctx->cache_dir[0] || p->pocl)
        return;
    cl_uint vendor_id = 0;
    clGetDeviceInfo(ctx->device, CL_DEVICE_VENDOR_ID, sizeof vendor_id, &vendor_id, NULL);
    char platform_version[256] = "", hex[33];
    cl_platform_id platform = NULL;
    if (clGetDeviceInfo(ctx->device, CL_DEVICE_PLATFORM, sizeof platform, &platform, NULL) ==
        CL_SUCCESS)
        clGetPlatformInfo(platform, CL_PLATFORM_VERSION, sizeof platform_version - 1,
                          platform_version, NULL);
    clfi_hash_hex(clfi_hash_add(clfi_hash_start(), source_text, source_bytes), hex);
    clfi_strbuf s = clfi_strbuf_on(key->text, sizeof key->text);
    clfi_strbuf_add(&s, "clflash %s\nsource %s %s %zu\noptions %s\n", clflash_version(), source,
                    hex, source_bytes, options);
    clfi_strbuf_add(&s, "platform %s | %s\ndevice %s | %u | %s\ndriver %s\npointer %zu\n",
                    p->platform, platform_version, p->name, vendor_id, p->version, p->driver,
                    8 * sizeof(void *));
    if (s.truncated)
        return;
    clfi_hash_hex(clfi_hash_add(clfi_hash_start(), key->text, s.used), hex);
    const int n =
        snprintf(key->path, sizeof key->path, "%s/" FOLDER "/%s.bin", ctx->cache_dir, hex);
    if (n < 0 || (size_t)n >= sizeof key->path)
        key->path[0] = '\0';
}

/* The folder must be ours alone: a program file is code that the driver will run. */
static bool folder_is_safe(const clflash_context *ctx)
{
    char folder[CLFI_PATH_BYTES + 32];
    struct stat info;
    snprintf(folder, sizeof folder, "%s/" FOLDER, ctx->cache_dir);
    if (lstat(folder, &info) != 0)
        return false;
    const bool safe = S_ISDIR(info.st_mode) && info.st_uid == geteuid() &&
                      (info.st_mode & (S_IWGRP | S_IWOTH)) == 0;
    if (!safe)
        clfi_log(ctx, CLFLASH_LOG_WARNING,
                 "program cache %s: not a folder that only this user can write; not used", folder);
    return safe;
}

static cl_program from_file(const clflash_context *ctx, const clfi_bincache_key *key,
                            const char *data, size_t bytes, int32_t *registers,
                            int32_t *spill_bytes, const char **wrong)
{
    clfi_binfile f;
    *wrong = clfi_binfile_decode((const unsigned char *)data, bytes, key->text, &f);
    if (*wrong)
        return NULL;
    cl_int code = CL_SUCCESS, state = CL_SUCCESS;
    cl_program program = clCreateProgramWithBinary(ctx->cl, 1, &ctx->device, &f.binary_bytes,
                                                   &f.binary, &state, &code);
    if (code == CL_SUCCESS && state == CL_SUCCESS) {
        *registers = (int32_t)f.registers;
        *spill_bytes = (int32_t)f.spill_bytes;
        return program;
    }
    if (code == CL_SUCCESS)
        clReleaseProgram(program);
    *wrong = "the driver refuses the binary";
    return NULL;
}

cl_program clfi_bincache_load(const clflash_context *ctx, const clfi_bincache_key *key,
                              int32_t *registers, int32_t *spill_bytes)
{
    char *data;
    size_t bytes;
    clfi_err err = {0};
    if (!key->path[0] || access(key->path, R_OK) != 0 || !folder_is_safe(ctx))
        return NULL;
    const char *wrong = err.text;
    cl_program program = NULL;
    if (clfi_fs_read(&ctx->allocator, key->path, MAX_FILE_BYTES, &data, &bytes, &err) == CLFLASH_OK)
        program = from_file(ctx, key, data, bytes, registers, spill_bytes, &wrong);
    clfi_free(&ctx->allocator, data);
    if (program) {
        utimensat(AT_FDCWD, key->path, NULL, 0); /* used now: evicted last */
    } else if (err.status == CLFLASH_OUT_OF_MEMORY) {
        clfi_log(ctx, CLFLASH_LOG_WARNING, "program cache: %s", wrong); /* the file may be good */
    } else {
        clfi_log(ctx, CLFLASH_LOG_WARNING, "program cache: %s removed: %s", key->path, wrong);
        unlink(key->path);
    }
    return program;
}

/* While the folder is over its size: the file read or written longest ago goes. */
static void evict(const clflash_context *ctx)
{
    char folder[CLFI_PATH_BYTES + 32], path[CLFI_PATH_BYTES + 32 + 300], oldest[sizeof path];
    snprintf(folder, sizeof folder, "%s/" FOLDER, ctx->cache_dir);
    for (;;) {
        DIR *dir = opendir(folder);
        if (!dir)
            return;
        int64_t total = 0, oldest_time = INT64_MAX;
        oldest[0] = '\0';
        for (struct dirent *e; (e = readdir(dir));) {
            struct stat info;
            snprintf(path, sizeof path, "%s/%.256s", folder, e->d_name);
            if (lstat(path, &info) != 0 || !S_ISREG(info.st_mode))
                continue;
            total += (int64_t)info.st_size;
            if ((int64_t)info.st_mtime < oldest_time) {
                oldest_time = (int64_t)info.st_mtime;
                memcpy(oldest, path, sizeof path);
            }
        }
        closedir(dir);
        if (total <= MAX_CACHE_BYTES || !oldest[0] || unlink(oldest) != 0)
            return;
    }
}

clflash_status clfi_program_binary(const clflash_context *ctx, cl_program program,
                                   unsigned char **binary, size_t *bytes, clfi_err *err)
{
    cl_uint devices = 0;
    *binary = NULL;
    CL_TRY(err, clGetProgramInfo(program, CL_PROGRAM_NUM_DEVICES, sizeof devices, &devices, NULL));
    CLF_REQUIRE(err, devices == 1, CLFLASH_UNSUPPORTED,
                "the OpenCL context has %u devices: binaries are cached for one", devices);
    CL_TRY(err, clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof *bytes, bytes, NULL));
    CLF_REQUIRE(err, *bytes > 0, CLFLASH_UNSUPPORTED, "the driver gives no binary");
    *binary = clfi_alloc(&ctx->allocator, *bytes, 1);
    CLF_REQUIRE(err, *binary, CLFLASH_OUT_OF_MEMORY, "no memory for a binary");
    CL_TRY(err, clGetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof *binary, binary, NULL));
    return CLFLASH_OK;
}

static clflash_status store(const clflash_context *ctx, const clfi_bincache_key *key,
                            const clfi_binfile *f, clfi_err *err)
{
    char folder[CLFI_PATH_BYTES + 32];
    snprintf(folder, sizeof folder, "%s/" FOLDER, ctx->cache_dir);
    CLF_TRY(clfi_fs_make_dir(folder, err));
    CLF_REQUIRE(err, folder_is_safe(ctx), CLFLASH_IO, "%s is not safe", folder);
    const size_t bytes = clfi_binfile_bytes(f);
    unsigned char *data = clfi_alloc(&ctx->allocator, bytes, 1);
    CLF_REQUIRE(err, data, CLFLASH_OUT_OF_MEMORY, "no memory for a program file");
    clfi_binfile_encode(f, data);
    const clflash_status status = clfi_fs_write(key->path, data, bytes, err);
    clfi_free(&ctx->allocator, data);
    return status;
}

void clfi_bincache_store(const clflash_context *ctx, const clfi_bincache_key *key,
                         cl_program program, int32_t registers, int32_t spill_bytes)
{
    if (!key->path[0])
        return;
    clfi_err err = {0};
    clfi_binfile f = {.key = key->text,
                      .key_bytes = strlen(key->text),
                      .registers = (uint32_t)registers,
                      .spill_bytes = (uint32_t)spill_bytes};
    unsigned char *binary = NULL;
    clflash_status status = clfi_program_binary(ctx, program, &binary, &f.binary_bytes, &err);
    f.binary = binary;
    if (status == CLFLASH_OK)
        status = store(ctx, key, &f, &err);
    clfi_free(&ctx->allocator, binary);
    if (status == CLFLASH_OK)
        evict(ctx);
    else
        clfi_log(ctx, CLFLASH_LOG_WARNING, "program cache: not stored: %s", err.text);
}
