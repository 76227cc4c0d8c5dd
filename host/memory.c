/* memory.c -- buffers, queues and events for lib/. (L1) */
#include "host/memory.h"

#include "host/cl_check.h"
#include "host/context_internal.h"

clflash_status clfi_mem_get_facts(const clflash_context *ctx, cl_mem mem, clfi_mem_facts *facts,
                                  clfi_err *err)
{
    size_t bytes = 0, offset = 0;
    cl_mem parent = NULL;
    cl_context owner = NULL;
    CL_TRY(err, clGetMemObjectInfo(mem, CL_MEM_SIZE, sizeof bytes, &bytes, NULL));
    CL_TRY(err, clGetMemObjectInfo(mem, CL_MEM_CONTEXT, sizeof owner, &owner, NULL));
    CL_TRY(err, clGetMemObjectInfo(mem, CL_MEM_ASSOCIATED_MEMOBJECT, sizeof parent, &parent, NULL));
    if (parent)
        CL_TRY(err, clGetMemObjectInfo(mem, CL_MEM_OFFSET, sizeof offset, &offset, NULL));
    *facts = (clfi_mem_facts){.bytes = (int64_t)bytes,
                              .root = parent ? parent : mem,
                              .root_offset = (int64_t)offset,
                              .same_context = owner == ctx->cl};
    return CLFLASH_OK;
}

clflash_status clfi_queue_resolve(const clflash_context *ctx, cl_command_queue queue,
                                  cl_command_queue *out, bool *out_of_order, clfi_err *err)
{
    *out = ctx->queue;
    *out_of_order = false;
    if (!queue)
        return CLFLASH_OK;
    cl_context owner = NULL;
    cl_device_id device = NULL;
    cl_command_queue_properties properties = 0;
    CL_TRY(err, clGetCommandQueueInfo(queue, CL_QUEUE_CONTEXT, sizeof owner, &owner, NULL));
    CL_TRY(err, clGetCommandQueueInfo(queue, CL_QUEUE_DEVICE, sizeof device, &device, NULL));
    CL_TRY(err,
           clGetCommandQueueInfo(queue, CL_QUEUE_PROPERTIES, sizeof properties, &properties, NULL));
    CLF_REQUIRE(err, owner == ctx->cl, CLFLASH_FOREIGN_CONTEXT,
                "queue: it belongs to another OpenCL context");
    CLF_REQUIRE(err, device == ctx->device, CLFLASH_FOREIGN_CONTEXT,
                "queue: it belongs to another device of the OpenCL context");
    *out = queue;
    *out_of_order = (properties & CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE) != 0;
    return CLFLASH_OK;
}

clflash_status clfi_mem_create(const clflash_context *ctx, int64_t bytes, cl_mem *mem,
                               clfi_err *err)
{
    cl_int code = CL_SUCCESS;
    *mem = clCreateBuffer(ctx->cl, CL_MEM_READ_WRITE, bytes > 0 ? (size_t)bytes : 1, NULL, &code);
    if (code != CL_SUCCESS)
        *mem = NULL;
    CL_TRY(err, code);
    return CLFLASH_OK;
}

clflash_status clfi_mem_wrap(const clflash_context *ctx, const void *data, int64_t bytes,
                             bool writable, cl_mem *mem, clfi_err *err)
{
    if (bytes <= 0)
        return clfi_mem_create(ctx, 1, mem, err);
    cl_int code = CL_SUCCESS;
    const cl_mem_flags flags = (writable ? CL_MEM_READ_WRITE : CL_MEM_READ_ONLY) |
                               (ctx->profile.cpu ? CL_MEM_USE_HOST_PTR : CL_MEM_COPY_HOST_PTR);
    /* The interface takes a plain pointer; a read-only buffer never writes through it. */
    *mem = clCreateBuffer(ctx->cl, flags, (size_t)bytes, (void *)(uintptr_t)data, &code);
    if (code != CL_SUCCESS)
        *mem = NULL;
    CL_TRY(err, code);
    return CLFLASH_OK;
}

void clfi_mem_retain(cl_mem mem) { clRetainMemObject(mem); }

void clfi_mem_release(cl_mem mem)
{
    if (mem)
        clReleaseMemObject(mem);
}

clflash_status clfi_mem_write(cl_command_queue queue, cl_mem mem, int64_t offset, int64_t bytes,
                              const void *data, clfi_err *err)
{
    if (bytes > 0)
        CL_TRY(err, clEnqueueWriteBuffer(queue, mem, CL_TRUE, (size_t)offset, (size_t)bytes, data,
                                         0, NULL, NULL));
    return CLFLASH_OK;
}

clflash_status clfi_mem_read(cl_command_queue queue, cl_mem mem, int64_t offset, int64_t bytes,
                             void *data, clfi_err *err)
{
    if (bytes > 0)
        CL_TRY(err, clEnqueueReadBuffer(queue, mem, CL_TRUE, (size_t)offset, (size_t)bytes, data, 0,
                                        NULL, NULL));
    return CLFLASH_OK;
}

clflash_status clfi_mem_fill_zero(cl_command_queue queue, cl_mem mem, int64_t offset, int64_t bytes,
                                  clfi_err *err)
{
    const cl_int zero = 0;
    if (bytes > 0)
        CL_TRY(err, clEnqueueFillBuffer(queue, mem, &zero, sizeof zero, (size_t)offset,
                                        (size_t)bytes, 0, NULL, NULL));
    return CLFLASH_OK;
}

clflash_status clfi_queue_barrier(cl_command_queue queue, cl_uint n_wait, const cl_event *wait_list,
                                  cl_event *event, clfi_err *err)
{
    CL_TRY(err, clEnqueueBarrierWithWaitList(queue, n_wait, n_wait ? wait_list : NULL, event));
    return CLFLASH_OK;
}

clflash_status clfi_queue_marker(cl_command_queue queue, cl_uint n_wait, const cl_event *wait_list,
                                 cl_event *event, clfi_err *err)
{
    CL_TRY(err, clEnqueueMarkerWithWaitList(queue, n_wait, n_wait ? wait_list : NULL, event));
    return CLFLASH_OK;
}

clflash_status clfi_queue_finish(cl_command_queue queue, clfi_err *err)
{
    CL_TRY(err, clFinish(queue));
    return CLFLASH_OK;
}

clflash_status clfi_event_wait(cl_event event, clfi_err *err)
{
    CL_TRY(err, clWaitForEvents(1, &event));
    return CLFLASH_OK;
}

void clfi_event_retain(cl_event event) { clRetainEvent(event); }

void clfi_event_release(cl_event event)
{
    if (event)
        clReleaseEvent(event);
}
