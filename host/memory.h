/* memory.h -- buffers, scratch, queues, events, as lib/ needs them. (L1) */
#ifndef CLFI_MEMORY_H
#define CLFI_MEMORY_H

#include "host/context.h"

/* What validation needs to know of a buffer. A sub-buffer is resolved to its root. */
typedef struct clfi_mem_facts {
    int64_t bytes;       /* of this object */
    cl_mem root;         /* the buffer that owns the memory */
    int64_t root_offset; /* where this object starts in it */
    bool same_context;
} clfi_mem_facts;
clflash_status clfi_mem_get_facts(const clflash_context *ctx, cl_mem mem, clfi_mem_facts *facts,
                                  clfi_err *err);

/* queue NULL = the context's own; checks context and device. */
clflash_status clfi_queue_resolve(const clflash_context *ctx, cl_command_queue queue,
                                  cl_command_queue *out, bool *out_of_order, clfi_err *err);

clflash_status clfi_mem_create(const clflash_context *ctx, int64_t bytes, cl_mem *mem,
                               clfi_err *err);
/* Over the caller's memory where the device shares it (CPU); else copied in. */
clflash_status clfi_mem_wrap(const clflash_context *ctx, const void *data, int64_t bytes,
                             bool writable, cl_mem *mem, clfi_err *err);
void clfi_mem_retain(cl_mem mem);
void clfi_mem_release(cl_mem mem); /* NULL-safe */

/* Blocking transfers on queue. */
clflash_status clfi_mem_write(cl_command_queue queue, cl_mem mem, int64_t offset, int64_t bytes,
                              const void *data, clfi_err *err);
clflash_status clfi_mem_read(cl_command_queue queue, cl_mem mem, int64_t offset, int64_t bytes,
                             void *data, clfi_err *err);

/* Enqueued zeros. */
clflash_status clfi_mem_fill_zero(cl_command_queue queue, cl_mem mem, int64_t offset, int64_t bytes,
                                  clfi_err *err);

/* Scratch from the context's pool: at least `bytes`, free to use after *after (an event
 * to put into the first wait list; NULL = at once). Give it back with the event after
 * which it is free again (the pool retains it). */
typedef struct clfi_scratch {
    cl_mem mem;
    cl_event after;
    void *entry;
} clfi_scratch;
clflash_status clfi_scratch_take(clflash_context *ctx, int64_t bytes, clfi_scratch *scratch,
                                 clfi_err *err);
void clfi_scratch_give(clflash_context *ctx, clfi_scratch *scratch, cl_event done);

/* Orders everything before it on queue against everything after it, behind a wait list. */
clflash_status clfi_queue_barrier(cl_command_queue queue, cl_uint n_wait, const cl_event *wait_list,
                                  cl_event *event, clfi_err *err);
clflash_status clfi_queue_marker(cl_command_queue queue, cl_uint n_wait, const cl_event *wait_list,
                                 cl_event *event, clfi_err *err);
clflash_status clfi_queue_finish(cl_command_queue queue, clfi_err *err);
clflash_status clfi_event_wait(cl_event event, clfi_err *err);
void clfi_event_retain(cl_event event);
void clfi_event_release(cl_event event); /* NULL-safe */

#endif
