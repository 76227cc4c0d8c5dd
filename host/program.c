/* program.c -- kernel sources to built programs. (L1) */
#include "host/program.h"

#include "cl_kernels/inline_source.h"
#include "host/bincache.h"
#include "host/build_log.h"
#include "host/cl_check.h"
#include "host/context_internal.h"
#include "host/embedded.h"
#include "host/retarget.h"
#include "host/timer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_UNUSED_PROGRAMS 32 /* built programs kept although no plan uses them */
#define MAX_OPTIONS 2048

/* No fast-relaxed math anywhere: it folds (x + c) - c, and infinities must work. Signed
 * zeros too: attn_softmax.cl marks masked keys by -0. -w: PoCL 3.1 prints the count of
 * warnings to the process's stderr. */
static const char common_options[] = "-cl-std=CL1.2 -cl-mad-enable -w";

clflash_status clfi_source_text(const clflash_context *ctx, const char *name, const char **text,
                                size_t *bytes, char **owned, clfi_err *err)
{
    *owned = NULL;
    if (ctx->kernel_dir[0]) {
        char reason[1400];
        *owned = clfi_inline_source(ctx->kernel_dir, name, bytes, reason, sizeof reason);
        CLF_REQUIRE(err, *owned, CLFLASH_IO, "CLFLASH_KERNEL_DIR: %s", reason);
        *text = *owned;
        return CLFLASH_OK;
    }
    for (int i = 0; i < clfi_n_embedded_sources; i++) {
        if (strcmp(clfi_embedded_sources[i].name, name) == 0) {
            *text = clfi_embedded_sources[i].text;
            *bytes = clfi_embedded_sources[i].bytes;
            return CLFLASH_OK;
        }
    }
    return clfi_fail(err, CLFLASH_INTERNAL, "no kernel source named %s", name);
}

static char *build_log(const clflash_context *ctx, cl_program program)
{
    size_t bytes = 0;
    if (clGetProgramBuildInfo(program, ctx->device, CL_PROGRAM_BUILD_LOG, 0, NULL, &bytes) ||
        bytes == 0)
        return NULL;
    char *log = clfi_alloc(&ctx->allocator, bytes + 1, 1);
    if (log && clGetProgramBuildInfo(program, ctx->device, CL_PROGRAM_BUILD_LOG, bytes, log, NULL))
        log[0] = '\0';
    return log;
}

static clflash_status build(clflash_context *ctx, clfi_program *p, const char *options,
                            clfi_err *err)
{
    const cl_int code = clBuildProgram(p->program, 1, &ctx->device, options, NULL, NULL);
    char *log = build_log(ctx, p->program);
    if (code == CL_SUCCESS && log) {
        const clfi_build_numbers n = clfi_build_log_numbers(log);
        /* A binary that the driver need not assemble again has no log: what the cache
         * file said stays. */
        p->registers = n.registers ? n.registers : p->registers;
        p->spill_bytes = n.registers ? n.spill_bytes : p->spill_bytes;
    }
    if (code != CL_SUCCESS) {
        const clflash_status status =
            code == CL_BUILD_PROGRAM_FAILURE ? CLFLASH_BUILD_FAILED : (clflash_status)code;
        clfi_fail(err, status, "clBuildProgram of %s: %s (%d); options %s; log: %.1200s", p->source,
                  clflash_status_string(code), code, options, log ? log : "none");
    }
    clfi_free(&ctx->allocator, log);
    return code == CL_SUCCESS ? CLFLASH_OK : (err ? err->status : (clflash_status)code);
}

static clflash_status build_from_source(clflash_context *ctx, clfi_program *p, const char *options,
                                        const char *text, size_t bytes, clfi_err *err)
{
    cl_int code = CL_SUCCESS;
    p->program = clCreateProgramWithSource(ctx->cl, 1, &text, &bytes, &code);
    CL_TRY(err, code);
    return build(ctx, p, options, err);
}

/* Instead of the program, one made of its PTX for sm_90a. */
static clflash_status retarget(clflash_context *ctx, clfi_program *p, const char *options,
                               clfi_err *err)
{
    unsigned char *ptx = NULL;
    char *text = NULL;
    size_t ptx_bytes = 0, bytes = 0;
    cl_int code = CL_SUCCESS, state = CL_SUCCESS;
    CLF_TRY(clfi_program_binary(ctx, p->program, &ptx, &ptx_bytes, err));
    const clflash_status status =
        clfi_retarget(&ctx->allocator, (const char *)ptx, ptx_bytes, &text, &bytes, err);
    clfi_free(&ctx->allocator, ptx);
    CLF_TRY(status);
    const unsigned char *binary = (const unsigned char *)text;
    cl_program program =
        clCreateProgramWithBinary(ctx->cl, 1, &ctx->device, &bytes, &binary, &state, &code);
    clfi_free(&ctx->allocator, text);
    CL_TRY(err, code);
    clReleaseProgram(p->program);
    p->program = program;
    return build(ctx, p, options, err);
}

/* Disk first, then source; what was built from source goes to disk. */
static clflash_status make_program(clflash_context *ctx, clfi_program *p, clfi_err *err)
{
    char options[MAX_OPTIONS];
    const int n =
        snprintf(options, sizeof options, "%s%s %s", common_options,
                 ctx->profile.vendor == CLFI_VENDOR_NVIDIA ? " -cl-nv-verbose" : "", p->options);
    CLF_REQUIRE(err, n > 0 && (size_t)n < sizeof options, CLFLASH_INTERNAL,
                "the build options of %s are too long", p->source);
    const char *text = NULL;
    char *owned = NULL;
    size_t bytes = 0;
    CLF_TRY(clfi_source_text(ctx, p->source, &text, &bytes, &owned, err));
    const double start = clfi_clock_s();
    clfi_bincache_key key;
    clfi_bincache_make_key(&key, ctx, p->source, text, bytes, options);
    p->program = clfi_bincache_load(ctx, &key, &p->registers, &p->spill_bytes);
    p->from_cache = p->program != NULL;
    clflash_status status = CLFLASH_OK;
    if (p->from_cache && build(ctx, p, options, NULL) != CLFLASH_OK) {
        clReleaseProgram(p->program); /* an old or foreign binary: a miss */
        p->program = NULL;
        p->from_cache = false;
    }
    if (!p->from_cache) {
        status = build_from_source(ctx, p, options, text, bytes, err);
        if (status == CLFLASH_OK && p->retarget)
            status = retarget(ctx, p, options, err);
        if (status == CLFLASH_OK)
            clfi_bincache_store(ctx, &key, p->program, p->registers, p->spill_bytes);
    }
    p->build_ms = (clfi_clock_s() - start) * 1e3;
    free(owned);
    if (status == CLFLASH_OK)
        clfi_log(ctx, CLFLASH_LOG_DEBUG, "%s %s in %.0f ms (%d registers, %d bytes spilled): %s",
                 p->from_cache ? "loaded" : "built", p->source, p->build_ms, p->registers,
                 p->spill_bytes, p->options);
    return status;
}

static void free_program(clflash_context *ctx, clfi_program *p)
{
    if (p->program)
        clReleaseProgram(p->program);
    clfi_free(&ctx->allocator, p->source);
    clfi_free(&ctx->allocator, p->options);
    clfi_free(&ctx->allocator, p);
}

static clfi_program *find(clflash_context *ctx, const char *source, const char *options)
{
    for (clfi_program *p = ctx->programs; p; p = p->next)
        if (strcmp(p->source, source) == 0 && strcmp(p->options, options) == 0)
            return p;
    return NULL;
}

static clflash_status add(clfi_program **out, clflash_context *ctx, const char *source,
                          const char *options, bool retarget_it, clfi_err *err)
{
    clfi_program *p = clfi_alloc(&ctx->allocator, 1, sizeof *p);
    CLF_REQUIRE(err, p, CLFLASH_OUT_OF_MEMORY, "no memory for a program");
    p->retarget = retarget_it;
    p->source = clfi_strdup(&ctx->allocator, source);
    p->options = clfi_strdup(&ctx->allocator, options);
    clflash_status status = p->source && p->options
                                ? make_program(ctx, p, err)
                                : clfi_fail(err, CLFLASH_OUT_OF_MEMORY, "no memory for a program");
    if (status != CLFLASH_OK) {
        free_program(ctx, p);
        return status;
    }
    p->next = ctx->programs;
    ctx->programs = p;
    *out = p;
    return CLFLASH_OK;
}

/* The least recently used of too many unused programs goes. */
static void trim(clflash_context *ctx)
{
    int32_t unused = 0;
    clfi_program **oldest = NULL;
    for (clfi_program **p = &ctx->programs; *p; p = &(*p)->next) {
        if ((*p)->uses > 0)
            continue;
        unused++;
        if (!oldest || (*p)->last_use < (*oldest)->last_use)
            oldest = p;
    }
    if (unused > MAX_UNUSED_PROGRAMS) {
        clfi_program *p = *oldest;
        *oldest = p->next;
        free_program(ctx, p);
    }
}

clflash_status clfi_program_get(clfi_program **out, clflash_context *ctx, const char *source,
                                const char *options, bool retarget_it, clfi_err *err)
{
    clflash_status status = CLFLASH_OK;
    pthread_mutex_lock(&ctx->program_lock);
    *out = find(ctx, source, options);
    if (!*out)
        status = add(out, ctx, source, options, retarget_it, err);
    if (status == CLFLASH_OK) {
        (*out)->uses++;
        (*out)->last_use = ++ctx->program_clock;
    }
    pthread_mutex_unlock(&ctx->program_lock);
    return status;
}

void clfi_program_put(clflash_context *ctx, clfi_program *program)
{
    pthread_mutex_lock(&ctx->program_lock);
    program->uses--;
    trim(ctx);
    pthread_mutex_unlock(&ctx->program_lock);
}

void clfi_programs_free(clflash_context *ctx)
{
    while (ctx->programs) {
        clfi_program *next = ctx->programs->next;
        free_program(ctx, ctx->programs);
        ctx->programs = next;
    }
}
