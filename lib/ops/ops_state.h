/* ops_state.h -- what lib/ops hangs on a context: probe results, plans of the host call. (L4) */
#ifndef CLFI_OPS_STATE_H
#define CLFI_OPS_STATE_H

#include "lib/ops/plan.h"

#include <pthread.h>

#define CLFI_N_DTYPES 3
#define CLFI_HOST_PLANS 8

typedef struct clfi_probe_result {
    clfi_probe_state state;
    char reason[256];
} clfi_probe_result;

typedef struct clfi_host_plan {
    clflash_plan *plan; /* NULL = a free entry */
    uint64_t last_use;
    int32_t users; /* calls that run it now: not to be dropped */
} clfi_host_plan;

typedef struct clfi_ops_state {
    pthread_mutex_t probe_lock; /* guards probes; not held while one runs */
    clfi_probe_result probes[CLFLASH_OP_BWD + 1][CLFI_MAX_ENGINES][CLFI_N_DTYPES];
    pthread_mutex_t host_lock; /* guards host_plans and clock */
    clfi_host_plan host_plans[CLFI_HOST_PLANS];
    uint64_t clock;
} clfi_ops_state;

clflash_status clfi_ops_state_get(clflash_context *ctx, clfi_ops_state **state, clfi_err *err);

#endif
