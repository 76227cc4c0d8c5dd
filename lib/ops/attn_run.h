/* attn_run.h -- running one candidate: what plans, the probe and the tuner share. (L4) */
#ifndef CLFI_ATTN_RUN_H
#define CLFI_ATTN_RUN_H

#include "lib/tune/select.h"
#include <clflash/attention.h>

/* A plan for exactly this candidate (no selection, no probe). For probe and tuner. */
clflash_status clfi_plan_candidate(clflash_plan **out, clflash_context *ctx, const clfi_attn *p,
                                   const clfi_candidate *candidate, clfi_err *err);

#endif
