/* fake_context.c -- what lib/tune needs of a context, without a device. Defines the
 * functions of host/context.h, so that the linker does not take the real ones. */
#include "fake_context.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

clfi_profile fake_gpu(void)
{
    return (clfi_profile){.platform = "Fake Platform",
                          .name = "Fake H100",
                          .driver = "1.2.3",
                          .vendor = CLFI_VENDOR_NVIDIA,
                          .arch = 90,
                          .compute_units = 132,
                          .vector_width = 1,
                          .max_work_group = 1024,
                          .local_bytes = 96 << 10,
                          .global_bytes = INT64_C(80) << 30,
                          .max_alloc_bytes = INT64_C(20) << 30,
                          .mem_align_bytes = 256};
}

clfi_profile fake_cpu(int32_t vector_width)
{
    return (clfi_profile){.platform = "Fake CPU Platform",
                          .name = "Fake CPU",
                          .driver = "3.1",
                          .cpu = true,
                          .pocl = true,
                          .compute_units = 2,
                          .vector_width = vector_width,
                          .max_work_group = 4096,
                          .local_bytes = 512 << 10,
                          .global_bytes = INT64_C(8) << 30,
                          .max_alloc_bytes = INT64_C(2) << 30,
                          .mem_align_bytes = 128};
}

clflash_context *fake_open(const clfi_profile *profile, const char *tuning_file)
{
    clflash_context *ctx = calloc(1, sizeof *ctx);
    ctx->profile = *profile;
    snprintf(ctx->tuning_file, sizeof ctx->tuning_file, "%s", tuning_file);
    return ctx;
}

void fake_close(clflash_context *ctx)
{
    if (ctx->state)
        ctx->free_(ctx, ctx->state);
    free(ctx);
}

const clfi_profile *clfi_context_profile(const clflash_context *ctx) { return &ctx->profile; }

const clflash_allocator *clfi_context_allocator(const clflash_context *ctx)
{
    (void)ctx;
    return NULL;
}

const char *clfi_context_tuning_file(const clflash_context *ctx) { return ctx->tuning_file; }

void clfi_log(const clflash_context *ctx, clflash_log_level level, const char *fmt, ...)
{
    clflash_context *own = (clflash_context *)ctx;
    va_list args;
    va_start(args, fmt);
    if (level <= CLFLASH_LOG_WARNING)
        vsnprintf(own->log, sizeof own->log, fmt, args);
    va_end(args);
}

clflash_status clfi_context_slot(clflash_context *ctx, clfi_slot slot, clfi_slot_make make,
                                 clfi_slot_free free_, void **state, clfi_err *err)
{
    (void)slot;
    if (!ctx->state) {
        const clflash_status status = make(ctx, &ctx->state, err);
        if (status != CLFLASH_OK)
            return status;
        ctx->free_ = free_;
    }
    *state = ctx->state;
    return CLFLASH_OK;
}
