/* scratch.c -- the context's pool of scratch buffers. (L1)
 * A buffer that is given back is free after its last user's event. Taking one never
 * waits: it prefers a buffer whose event is complete, and hands out a busy one's event
 * only when the pool is full. */
#include "host/cl_check.h"
#include "host/context_internal.h"
#include "host/memory.h"

#define MAX_ENTRIES 8

typedef struct clfi_scratch_entry {
    struct clfi_scratch_entry *next;
    cl_mem mem;
    int64_t bytes;
    cl_event done; /* last use; NULL = free at once */
    bool taken;
} clfi_scratch_entry;

static bool is_complete(cl_event event)
{
    cl_int state = CL_QUEUED;
    return !event || (clGetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof state, &state,
                                     NULL) == CL_SUCCESS &&
                      state <= CL_COMPLETE); /* a negative state is an error: complete as well */
}

static void drop(clflash_context *ctx, clfi_scratch_entry **place)
{
    clfi_scratch_entry *e = *place;
    *place = e->next;
    clfi_mem_release(e->mem);
    clfi_event_release(e->done);
    clfi_free(&ctx->allocator, e);
}

/* The smallest fitting entry that is free now, else (when `any`) one that is busy. */
static clfi_scratch_entry *choose(clflash_context *ctx, int64_t bytes, bool any)
{
    clfi_scratch_entry *best = NULL;
    for (clfi_scratch_entry *e = ctx->scratch; e; e = e->next)
        if (!e->taken && e->bytes >= bytes && (any || is_complete(e->done)) &&
            (!best || e->bytes < best->bytes))
            best = e;
    return best;
}

static int32_t count(const clflash_context *ctx)
{
    int32_t n = 0;
    for (const clfi_scratch_entry *e = ctx->scratch; e; e = e->next)
        n++;
    return n;
}

/* Makes room: entries that are free now. */
static void drop_idle(clflash_context *ctx)
{
    for (clfi_scratch_entry **e = &ctx->scratch; *e;) {
        if (!(*e)->taken && is_complete((*e)->done))
            drop(ctx, e);
        else
            e = &(*e)->next;
    }
}

static clflash_status add(clflash_context *ctx, int64_t bytes, clfi_scratch_entry **out,
                          clfi_err *err)
{
    clfi_scratch_entry *e = clfi_alloc(&ctx->allocator, 1, sizeof *e);
    CLF_REQUIRE(err, e, CLFLASH_OUT_OF_MEMORY, "no memory for a scratch entry");
    clflash_status status = clfi_mem_create(ctx, bytes, &e->mem, NULL);
    if (status != CLFLASH_OK) { /* the memory may be in buffers that nobody uses now */
        drop_idle(ctx);
        status = clfi_mem_create(ctx, bytes, &e->mem, err);
    }
    if (status != CLFLASH_OK) {
        clfi_free(&ctx->allocator, e);
        return status;
    }
    e->bytes = bytes;
    e->next = ctx->scratch;
    ctx->scratch = e;
    *out = e;
    return CLFLASH_OK;
}

clflash_status clfi_scratch_take(clflash_context *ctx, int64_t bytes, clfi_scratch *scratch,
                                 clfi_err *err)
{
    clflash_status status = CLFLASH_OK;
    *scratch = (clfi_scratch){0};
    pthread_mutex_lock(&ctx->scratch_lock);
    clfi_scratch_entry *e = choose(ctx, bytes, false);
    if (!e && count(ctx) >= MAX_ENTRIES) {
        e = choose(ctx, bytes, true);
        if (!e)
            drop_idle(ctx);
    }
    if (!e)
        status = add(ctx, bytes, &e, err);
    if (e) {
        e->taken = true;
        *scratch = (clfi_scratch){.mem = e->mem, .after = e->done, .entry = e};
    }
    pthread_mutex_unlock(&ctx->scratch_lock);
    return status;
}

void clfi_scratch_give(clflash_context *ctx, clfi_scratch *scratch, cl_event done)
{
    clfi_scratch_entry *e = scratch->entry;
    if (!e)
        return;
    pthread_mutex_lock(&ctx->scratch_lock);
    if (done) {
        clfi_event_retain(done);
        clfi_event_release(e->done);
        e->done = done;
    }
    e->taken = false;
    pthread_mutex_unlock(&ctx->scratch_lock);
    *scratch = (clfi_scratch){0};
}

void clfi_scratch_free(clflash_context *ctx)
{
    while (ctx->scratch)
        drop(ctx, &ctx->scratch);
}
