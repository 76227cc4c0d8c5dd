/* kernel.h -- built kernels: get, inspect, launch. (L1) */
#ifndef CLFI_KERNEL_H
#define CLFI_KERNEL_H

#include "host/context.h"

typedef struct clfi_kernel clfi_kernel;

/* A kernel of an embedded source, built with options (plus the device's standard ones).
 * Programs are remembered in the context by (source, options) and, except on PoCL, in
 * the binary cache. The caller owns a reference. Not thread-safe per kernel object by
 * itself: launches of one clfi_kernel are serialised inside. */
clflash_status clfi_kernel_get(clfi_kernel **out, clflash_context *ctx, const char *source,
                               const char *entry, const char *options, clfi_err *err);
/* The same of a program whose PTX becomes sm_90a's where `retarget` says so (retarget.h). */
clflash_status clfi_kernel_get_for(clfi_kernel **out, clflash_context *ctx, const char *source,
                                   const char *entry, const char *options, bool retarget,
                                   clfi_err *err);
void clfi_kernel_release(clfi_kernel *kernel); /* NULL-safe */

typedef struct clfi_kernel_facts {
    size_t max_work_group;
    int64_t local_bytes;   /* per work-group */
    int32_t private_bytes; /* per work-item: spills */
    int32_t registers;     /* NVIDIA's build log; 0 unknown */
    bool from_cache;       /* binary came from disk */
    double build_ms;
} clfi_kernel_facts;
void clfi_kernel_get_facts(const clfi_kernel *kernel, clfi_kernel_facts *facts);

/* One argument. value NULL with bytes = sizeof(cl_mem): a null buffer. */
typedef struct clfi_arg {
    size_t bytes;
    const void *value;
} clfi_arg;
#define CLFI_ARG_MEM(mem) ((clfi_arg){sizeof(cl_mem), &(mem)})
#define CLFI_ARG(value) ((clfi_arg){sizeof(value), &(value)})

/* Sets all n arguments and enqueues. A global size of 0 enqueues a marker instead. */
clflash_status clfi_kernel_launch(clfi_kernel *kernel, cl_command_queue queue, const clfi_arg *args,
                                  int32_t n, uint32_t dims, const size_t *global,
                                  const size_t *local, cl_uint n_wait, const cl_event *wait_list,
                                  cl_event *event, clfi_err *err);

#endif
