/* enqueue.c -- several launches as one call. (L4) */
#include "lib/ops/enqueue.h"

/* The caller's wait list and one more event, without the heap. */
#define MAX_WAITS 16
typedef struct waits {
    cl_uint n;
    const cl_event *list;
    cl_event own[MAX_WAITS + 1];
    cl_event marker; /* released by the user of this struct */
} waits;

static clflash_status waits_join(waits *w, cl_command_queue queue, cl_uint n_wait,
                                 const cl_event *wait_list, cl_event more, clfi_err *err)
{
    w->marker = NULL;
    w->n = n_wait;
    w->list = wait_list;
    if (!more)
        return CLFLASH_OK;
    w->n = 0;
    w->list = w->own;
    if (n_wait > MAX_WAITS) { /* a marker stands for them all */
        CLF_TRY(clfi_queue_marker(queue, n_wait, wait_list, &w->marker, err));
        w->own[w->n++] = w->marker;
    } else {
        for (; w->n < n_wait; w->n++)
            w->own[w->n] = wait_list[w->n];
    }
    w->own[w->n++] = more;
    return CLFLASH_OK;
}

clflash_status clfi_enqueue_pooled(clflash_context *ctx, cl_command_queue queue, int64_t bytes,
                                   clfi_enqueue_fn fn, void *user, cl_uint n_wait,
                                   const cl_event *wait_list, cl_event *event, clfi_err *err)
{
    clfi_scratch scratch;
    waits w;
    cl_event done = NULL;
    CLF_TRY(clfi_scratch_take(ctx, bytes, &scratch, err));
    clflash_status status = waits_join(&w, queue, n_wait, wait_list, scratch.after, err);
    if (status == CLFLASH_OK)
        status = fn(user, scratch.mem, w.n, w.list, &done, err);
    clfi_event_release(w.marker);
    if (status != CLFLASH_OK) /* part of it may be enqueued and still use the scratch */
        clfi_queue_finish(queue, NULL);
    clfi_scratch_give(ctx, &scratch, done);
    if (status == CLFLASH_OK && event)
        *event = done;
    else
        clfi_event_release(done);
    return status;
}

clflash_status clfi_chain_next(clfi_chain *c, clflash_status status)
{
    clfi_event_release(c->last);
    c->last = c->made;
    c->made = NULL;
    c->n = c->last ? 1 : 0;
    c->list = c->last ? &c->last : NULL;
    return status;
}

clflash_status clfi_chain_end(clfi_chain *c, clflash_status status, cl_event *event, clfi_err *err)
{
    if (status == CLFLASH_OK && event) {
        if (c->out_of_order && c->last) {
            *event = c->last;
            c->last = NULL;
        } else {
            status = clfi_queue_marker(c->queue, c->n, c->list, event, err);
        }
    }
    clfi_event_release(c->last);
    c->last = NULL;
    return status;
}
