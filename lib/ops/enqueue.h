/* enqueue.h -- several launches as one call: scratch from the pool, one after another on
 * either kind of queue. (L4) Nothing here allocates. */
#ifndef CLFI_ENQUEUE_H
#define CLFI_ENQUEUE_H

#include "host/kernel.h"
#include "host/memory.h"

/* Enqueues a call behind the wait list; *event (may be NULL) completes with it. scratch is
 * NULL where the caller's workspace serves. */
typedef clflash_status (*clfi_enqueue_fn)(void *user, cl_mem scratch, cl_uint n_wait,
                                          const cl_event *wait_list, cl_event *event,
                                          clfi_err *err);

/* The same with scratch from the context's pool: ours after its last user, given back with
 * the call's own event. */
clflash_status clfi_enqueue_pooled(clflash_context *ctx, cl_command_queue queue, int64_t bytes,
                                   clfi_enqueue_fn fn, void *user, cl_uint n_wait,
                                   const cl_event *wait_list, cl_event *event, clfi_err *err);

/* Steps in turn: the first waits for the caller's list, each further one for the one before
 * it, by events on an out-of-order queue. Use n and list as the step's wait list and
 * clfi_chain_event as its event, then clfi_chain_next with its status. */
typedef struct clfi_chain {
    cl_command_queue queue;
    bool out_of_order;
    cl_uint n;
    const cl_event *list;
    cl_event last, made;
} clfi_chain;

static inline clfi_chain clfi_chain_start(cl_command_queue queue, bool out_of_order, cl_uint n_wait,
                                          const cl_event *wait_list)
{
    return (clfi_chain){
        .queue = queue, .out_of_order = out_of_order, .n = n_wait, .list = wait_list};
}
static inline cl_event *clfi_chain_event(clfi_chain *c)
{
    return c->out_of_order ? &c->made : NULL;
}
clflash_status clfi_chain_next(clfi_chain *c, clflash_status status);
/* Gives the caller an event for the last step (event may be NULL); releases what is held. */
clflash_status clfi_chain_end(clfi_chain *c, clflash_status status, cl_event *event, clfi_err *err);

#endif
