/* ops_state.c -- what lib/ops hangs on a context. (L4) */
#include "lib/ops/ops_state.h"

static clflash_status make(clflash_context *ctx, void **state, clfi_err *err)
{
    clfi_ops_state *s = clfi_alloc(clfi_context_allocator(ctx), 1, sizeof *s);
    CLF_REQUIRE(err, s, CLFLASH_OUT_OF_MEMORY, "no memory for the context's plans");
    pthread_mutex_init(&s->probe_lock, NULL);
    pthread_mutex_init(&s->host_lock, NULL);
    *state = s;
    return CLFLASH_OK;
}

static void drop(clflash_context *ctx, void *state)
{
    clfi_ops_state *s = state;
    for (int i = 0; i < CLFI_HOST_PLANS; i++)
        clflash_plan_destroy(&s->host_plans[i].plan);
    pthread_mutex_destroy(&s->probe_lock);
    pthread_mutex_destroy(&s->host_lock);
    clfi_free(clfi_context_allocator(ctx), s);
}

clflash_status clfi_ops_state_get(clflash_context *ctx, clfi_ops_state **state, clfi_err *err)
{
    void *s = NULL;
    CLF_TRY(clfi_context_slot(ctx, CLFI_SLOT_OPS, make, drop, &s, err));
    *state = s;
    return CLFLASH_OK;
}
