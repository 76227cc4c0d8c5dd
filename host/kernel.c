/* kernel.c -- kernels: make, inspect, launch. (L1) */
#include "host/kernel.h"

#include "host/cl_check.h"
#include "host/context_internal.h"
#include "host/memory.h"
#include "host/program.h"

struct clfi_kernel {
    clflash_context *ctx;
    clfi_program *program;
    cl_kernel kernel;
    pthread_mutex_t lock; /* a cl_kernel holds its arguments: set and enqueue are one step */
    clfi_kernel_facts facts;
};

static clflash_status read_facts(clfi_kernel *k, clfi_err *err)
{
    cl_ulong local = 0, private_bytes = 0;
    cl_device_id device = k->ctx->device;
    CL_TRY(err, clGetKernelWorkGroupInfo(k->kernel, device, CL_KERNEL_WORK_GROUP_SIZE,
                                         sizeof k->facts.max_work_group, &k->facts.max_work_group,
                                         NULL));
    CL_TRY(err, clGetKernelWorkGroupInfo(k->kernel, device, CL_KERNEL_LOCAL_MEM_SIZE, sizeof local,
                                         &local, NULL));
    CL_TRY(err, clGetKernelWorkGroupInfo(k->kernel, device, CL_KERNEL_PRIVATE_MEM_SIZE,
                                         sizeof private_bytes, &private_bytes, NULL));
    k->facts.local_bytes = (int64_t)local;
    k->facts.private_bytes = (int32_t)private_bytes;
    if (k->program->spill_bytes > k->facts.private_bytes)
        k->facts.private_bytes = k->program->spill_bytes;
    k->facts.registers = k->program->registers;
    k->facts.from_cache = k->program->from_cache;
    k->facts.build_ms = k->program->build_ms;
    return CLFLASH_OK;
}

static clflash_status make(clfi_kernel *k, const char *source, const char *entry,
                           const char *options, bool retarget, clfi_err *err)
{
    cl_int code = CL_SUCCESS;
    CLF_TRY(clfi_program_get(&k->program, k->ctx, source, options, retarget, err));
    k->kernel = clCreateKernel(k->program->program, entry, &code);
    CL_TRY(err, code);
    return read_facts(k, err);
}

clflash_status clfi_kernel_get_for(clfi_kernel **out, clflash_context *ctx, const char *source,
                                   const char *entry, const char *options, bool retarget,
                                   clfi_err *err)
{
    *out = NULL;
    clfi_kernel *k = clfi_alloc(&ctx->allocator, 1, sizeof *k);
    CLF_REQUIRE(err, k, CLFLASH_OUT_OF_MEMORY, "no memory for a kernel");
    k->ctx = ctx;
    pthread_mutex_init(&k->lock, NULL);
    const clflash_status status = make(k, source, entry, options, retarget, err);
    if (status != CLFLASH_OK)
        clfi_kernel_release(k);
    else
        *out = k;
    return status;
}

clflash_status clfi_kernel_get(clfi_kernel **out, clflash_context *ctx, const char *source,
                               const char *entry, const char *options, clfi_err *err)
{
    return clfi_kernel_get_for(out, ctx, source, entry, options, false, err);
}

void clfi_kernel_release(clfi_kernel *k)
{
    if (!k)
        return;
    if (k->kernel)
        clReleaseKernel(k->kernel);
    if (k->program)
        clfi_program_put(k->ctx, k->program);
    pthread_mutex_destroy(&k->lock);
    clfi_free(&k->ctx->allocator, k);
}

void clfi_kernel_get_facts(const clfi_kernel *k, clfi_kernel_facts *facts) { *facts = k->facts; }

static clflash_status set_and_enqueue(clfi_kernel *k, cl_command_queue queue, const clfi_arg *args,
                                      int32_t n, uint32_t dims, const size_t *global,
                                      const size_t *local, cl_uint n_wait,
                                      const cl_event *wait_list, cl_event *event, clfi_err *err)
{
    for (int32_t i = 0; i < n; i++)
        CL_TRY(err, clSetKernelArg(k->kernel, (cl_uint)i, args[i].bytes, args[i].value));
    CL_TRY(err, clEnqueueNDRangeKernel(queue, k->kernel, dims, NULL, global, local, n_wait,
                                       wait_list, event));
    return CLFLASH_OK;
}

clflash_status clfi_kernel_launch(clfi_kernel *k, cl_command_queue queue, const clfi_arg *args,
                                  int32_t n, uint32_t dims, const size_t *global,
                                  const size_t *local, cl_uint n_wait, const cl_event *wait_list,
                                  cl_event *event, clfi_err *err)
{
    for (uint32_t i = 0; i < dims; i++)
        if (global[i] == 0)
            return clfi_queue_marker(queue, n_wait, wait_list, event, err);
    pthread_mutex_lock(&k->lock);
    const clflash_status status = set_and_enqueue(k, queue, args, n, dims, global, local, n_wait,
                                                  n_wait ? wait_list : NULL, event, err);
    pthread_mutex_unlock(&k->lock);
    return status;
}
