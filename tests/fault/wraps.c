/* wraps.c -- see wraps.h. Single-threaded, as the tests that use it. */
#include "wraps.h"

#include <stdio.h>
#include <stdlib.h>

typedef enum kind { CONTEXT, QUEUE, PROGRAM, KERNEL, MEM, EVENT, N_KINDS } kind;

static int64_t calls, target;
static cl_int failure;
static const char *failed;
static int64_t live[N_KINDS];
static int64_t allocs, alloc_target, live_memory;
static bool alloc_failed;

void fault_arm(int64_t nth, cl_int code)
{
    calls = 0;
    target = nth;
    failure = code;
    failed = NULL;
}

void fault_disarm(void) { target = alloc_target = 0; }
int64_t fault_calls(void) { return calls; }
const char *fault_failed(void) { return failed; }

int64_t fault_live_objects(void)
{
    int64_t sum = 0;
    for (int k = 0; k < N_KINDS; k++)
        sum += live[k];
    return sum;
}

void fault_forget_live(void)
{
    for (int k = 0; k < N_KINDS; k++)
        live[k] = 0;
    live_memory = 0;
}

void fault_live_text(char *text, size_t bytes)
{
    snprintf(text, bytes, "contexts %d, queues %d, programs %d, kernels %d, buffers %d, events %d",
             (int)live[CONTEXT], (int)live[QUEUE], (int)live[PROGRAM], (int)live[KERNEL],
             (int)live[MEM], (int)live[EVENT]);
}

static bool fails(const char *name)
{
    if (++calls != target)
        return false;
    failed = name;
    return true;
}

/* Host memory. */
static void *hooked_alloc(void *user, size_t bytes)
{
    (void)user;
    if (++allocs == alloc_target) {
        alloc_failed = true;
        return NULL;
    }
    void *memory = malloc(bytes);
    live_memory += memory != NULL;
    return memory;
}

static void hooked_free(void *user, void *memory)
{
    (void)user;
    live_memory -= memory != NULL;
    free(memory);
}

clflash_allocator fault_allocator(void)
{
    return (clflash_allocator){.alloc = hooked_alloc, .free = hooked_free};
}

void fault_arm_alloc(int64_t nth)
{
    allocs = 0;
    alloc_target = nth;
    alloc_failed = false;
}

int64_t fault_allocs(void) { return allocs; }
bool fault_alloc_failed(void) { return alloc_failed; }
int64_t fault_live_allocs(void) { return live_memory; }

/* OpenCL. Reserved names: the linker's --wrap asks for them. */
#define PROTOTYPES(type, name, params)                                                             \
    type __real_##name params;                                                                     \
    type __wrap_##name params;

/* Queries and the like: a code, nothing made. */
#define WRAP(name, params, args)                                                                   \
    PROTOTYPES(cl_int, name, params)                                                               \
    cl_int __wrap_##name params { return fails(#name) ? failure : __real_##name args; }

/* Makes an object; the last parameter is `code`. */
#define WRAP_CREATE(type, kind, name, params, args)                                                \
    PROTOTYPES(type, name, params)                                                                 \
    type __wrap_##name params                                                                      \
    {                                                                                              \
        if (fails(#name)) {                                                                        \
            if (code)                                                                              \
                *code = failure;                                                                   \
            return NULL;                                                                           \
        }                                                                                          \
        type object = __real_##name args;                                                          \
        live[kind] += object != NULL;                                                              \
        return object;                                                                             \
    }

/* Enqueues; the last parameter is `event`. */
#define WRAP_ENQUEUE(name, params, args)                                                           \
    PROTOTYPES(cl_int, name, params)                                                               \
    cl_int __wrap_##name params                                                                    \
    {                                                                                              \
        if (fails(#name))                                                                          \
            return failure;                                                                        \
        const cl_int code = __real_##name args;                                                    \
        live[EVENT] += code == CL_SUCCESS && event;                                                \
        return code;                                                                               \
    }

#define WRAP_RETAIN(name, type, kind)                                                              \
    PROTOTYPES(cl_int, name, (type object))                                                        \
    cl_int __wrap_##name(type object)                                                              \
    {                                                                                              \
        live[kind]++;                                                                              \
        return __real_##name(object);                                                              \
    }

/* Releasing is not made to fail: nobody could do anything about it. */
#define WRAP_RELEASE(name, type, kind)                                                             \
    PROTOTYPES(cl_int, name, (type object))                                                        \
    cl_int __wrap_##name(type object)                                                              \
    {                                                                                              \
        live[kind]--;                                                                              \
        return __real_##name(object);                                                              \
    }

WRAP(clGetPlatformIDs, (cl_uint n, cl_platform_id *ids, cl_uint *found), (n, ids, found))
WRAP(clGetDeviceIDs,
     (cl_platform_id platform, cl_device_type type, cl_uint n, cl_device_id *ids, cl_uint *found),
     (platform, type, n, ids, found))
#define WRAP_INFO(name, type, what)                                                                \
    WRAP(name, (type object, what w, size_t bytes, void *value, size_t *size),                     \
         (object, w, bytes, value, size))
WRAP_INFO(clGetPlatformInfo, cl_platform_id, cl_platform_info)
WRAP_INFO(clGetDeviceInfo, cl_device_id, cl_device_info)
WRAP_INFO(clGetContextInfo, cl_context, cl_context_info)
WRAP_INFO(clGetCommandQueueInfo, cl_command_queue, cl_command_queue_info)
WRAP_INFO(clGetMemObjectInfo, cl_mem, cl_mem_info)
WRAP_INFO(clGetProgramInfo, cl_program, cl_program_info)
WRAP_INFO(clGetEventInfo, cl_event, cl_event_info)
WRAP_INFO(clGetEventProfilingInfo, cl_event, cl_profiling_info)
WRAP(clGetProgramBuildInfo,
     (cl_program program, cl_device_id device, cl_program_build_info w, size_t bytes, void *value,
      size_t *size),
     (program, device, w, bytes, value, size))
WRAP(clGetKernelWorkGroupInfo,
     (cl_kernel kernel, cl_device_id device, cl_kernel_work_group_info w, size_t bytes, void *value,
      size_t *size),
     (kernel, device, w, bytes, value, size))
typedef void(CL_CALLBACK *notify_fn)(cl_program, void *);
WRAP(clBuildProgram,
     (cl_program program, cl_uint n, const cl_device_id *devices, const char *options,
      notify_fn notify, void *user),
     (program, n, devices, options, notify, user))
WRAP(clSetKernelArg, (cl_kernel kernel, cl_uint index, size_t bytes, const void *value),
     (kernel, index, bytes, value))
WRAP(clFinish, (cl_command_queue queue), (queue))
WRAP(clWaitForEvents, (cl_uint n, const cl_event *events), (n, events))

typedef void(CL_CALLBACK *context_notify_fn)(const char *, const void *, size_t, void *);
WRAP_CREATE(cl_context, CONTEXT, clCreateContext,
            (const cl_context_properties *properties, cl_uint n, const cl_device_id *devices,
             context_notify_fn notify, void *user, cl_int *code),
            (properties, n, devices, notify, user, code))
WRAP_CREATE(cl_command_queue, QUEUE, clCreateCommandQueue,
            (cl_context context, cl_device_id device, cl_command_queue_properties properties,
             cl_int *code),
            (context, device, properties, code))
WRAP_CREATE(cl_mem, MEM, clCreateBuffer,
            (cl_context context, cl_mem_flags flags, size_t bytes, void *host, cl_int *code),
            (context, flags, bytes, host, code))
WRAP_CREATE(cl_mem, MEM, clCreateSubBuffer,
            (cl_mem whole, cl_mem_flags flags, cl_buffer_create_type region_type,
             const void *region, cl_int *code),
            (whole, flags, region_type, region, code))
WRAP_CREATE(cl_program, PROGRAM, clCreateProgramWithSource,
            (cl_context context, cl_uint n, const char **texts, const size_t *bytes, cl_int *code),
            (context, n, texts, bytes, code))
WRAP_CREATE(cl_program, PROGRAM, clCreateProgramWithBinary,
            (cl_context context, cl_uint n, const cl_device_id *devices, const size_t *bytes,
             const unsigned char **binaries, cl_int *states, cl_int *code),
            (context, n, devices, bytes, binaries, states, code))
WRAP_CREATE(cl_kernel, KERNEL, clCreateKernel, (cl_program program, const char *name, cl_int *code),
            (program, name, code))

WRAP_ENQUEUE(clEnqueueNDRangeKernel,
             (cl_command_queue queue, cl_kernel kernel, cl_uint dims, const size_t *offset,
              const size_t *global, const size_t *local, cl_uint n, const cl_event *list,
              cl_event *event),
             (queue, kernel, dims, offset, global, local, n, list, event))
WRAP_ENQUEUE(clEnqueueReadBuffer,
             (cl_command_queue queue, cl_mem mem, cl_bool block, size_t offset, size_t bytes,
              void *data, cl_uint n, const cl_event *list, cl_event *event),
             (queue, mem, block, offset, bytes, data, n, list, event))
WRAP_ENQUEUE(clEnqueueWriteBuffer,
             (cl_command_queue queue, cl_mem mem, cl_bool block, size_t offset, size_t bytes,
              const void *data, cl_uint n, const cl_event *list, cl_event *event),
             (queue, mem, block, offset, bytes, data, n, list, event))
WRAP_ENQUEUE(clEnqueueFillBuffer,
             (cl_command_queue queue, cl_mem mem, const void *pattern, size_t pattern_bytes,
              size_t offset, size_t bytes, cl_uint n, const cl_event *list, cl_event *event),
             (queue, mem, pattern, pattern_bytes, offset, bytes, n, list, event))
WRAP_ENQUEUE(clEnqueueMarkerWithWaitList,
             (cl_command_queue queue, cl_uint n, const cl_event *list, cl_event *event),
             (queue, n, list, event))
WRAP_ENQUEUE(clEnqueueBarrierWithWaitList,
             (cl_command_queue queue, cl_uint n, const cl_event *list, cl_event *event),
             (queue, n, list, event))

PROTOTYPES(cl_int, clRetainContext, (cl_context context))
cl_int __wrap_clRetainContext(cl_context context)
{
    if (fails("clRetainContext"))
        return failure;
    live[CONTEXT]++;
    return __real_clRetainContext(context);
}
WRAP_RETAIN(clRetainMemObject, cl_mem, MEM)
WRAP_RETAIN(clRetainEvent, cl_event, EVENT)
WRAP_RELEASE(clReleaseContext, cl_context, CONTEXT)
WRAP_RELEASE(clReleaseCommandQueue, cl_command_queue, QUEUE)
WRAP_RELEASE(clReleaseMemObject, cl_mem, MEM)
WRAP_RELEASE(clReleaseProgram, cl_program, PROGRAM)
WRAP_RELEASE(clReleaseKernel, cl_kernel, KERNEL)
WRAP_RELEASE(clReleaseEvent, cl_event, EVENT)
