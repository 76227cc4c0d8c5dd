/* attn_tune.h -- the search on the device, shared by clflash_tune and by plans in
 * measure rigor. (L4) */
#ifndef CLFI_ATTN_TUNE_H
#define CLFI_ATTN_TUNE_H

#include "lib/plan/attn.h"
#include <clflash/tune.h>

/* Searches within params->seconds and stores what it measured: clfi_select then gives the
 * winner. An unwritable tuning file is logged and no error here; *file says how it went. */
clflash_status clfi_attn_tune(clflash_context *ctx, const clfi_attn *p,
                              const clflash_tune_params *params, clflash_tune_result *result,
                              clflash_status *file, clfi_err *err);

#endif
