/* context.h -- the context and the host services that lib/ may use. (L1)
 * lib/ sees the context through these functions only; its struct is private to
 * host/context_internal.h. */
#ifndef CLFI_CONTEXT_H
#define CLFI_CONTEXT_H

#include "lib/base/alloc.h"
#include "lib/base/error.h"
#include "lib/base/profile.h"
#include <clflash/device.h>

const clfi_profile *clfi_context_profile(const clflash_context *ctx);
const clflash_allocator *clfi_context_allocator(const clflash_context *ctx);

/* "" where files are off; borrowed, constant for the context's life. */
const char *clfi_context_tuning_file(const clflash_context *ctx);

void clfi_log(const clflash_context *ctx, clflash_log_level level, const char *fmt, ...)
    CLF_PRINTF(3, 4);

/* Keeps "<what>: <err text> [<problem>]" as the last error, logs it, returns err->status.
 * problem may be NULL. */
clflash_status clfi_context_fail(const clflash_context *ctx, const char *what, const clfi_err *err,
                                 const char *problem);

/* State that upper layers hang on the context: made on first use under the context's
 * lock, destroyed with the context in reverse order. */
typedef enum clfi_slot { CLFI_SLOT_TUNE = 0, CLFI_SLOT_OPS, CLFI_N_SLOTS } clfi_slot;
typedef clflash_status (*clfi_slot_make)(clflash_context *ctx, void **state, clfi_err *err);
typedef void (*clfi_slot_free)(clflash_context *ctx, void *state);
clflash_status clfi_context_slot(clflash_context *ctx, clfi_slot slot, clfi_slot_make make,
                                 clfi_slot_free free_, void **state, clfi_err *err);

#endif
