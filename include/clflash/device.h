/* device.h -- devices and contexts. */
#ifndef CLFLASH_DEVICE_H
#define CLFLASH_DEVICE_H

#include <clflash/base.h>
#include <clflash/problem.h>

#ifdef __APPLE__
#include <OpenCL/cl.h>
#else
#ifndef CL_TARGET_OPENCL_VERSION
#define CL_TARGET_OPENCL_VERSION 300
#endif
#include <CL/cl.h>
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Everything hangs off a context: device, programs, caches, tuning, errors.
 * Threads: all functions below may be called from many threads on one context,
 * except clflash_context_destroy. */
typedef struct clflash_context clflash_context;

/* One device, as the driver and the probes describe it. */
typedef struct clflash_device_info {
    int32_t index; /* what --device and clflash_context_params.device_index mean */
    char platform[128], name[128], vendor[64], driver[64], version[128];
    char kind[16];                  /* "cpu", "gpu", "accelerator" */
    int32_t compute_units;
    int64_t global_bytes;           /* device memory */
    int64_t max_alloc_bytes;        /* largest buffer */
    int64_t local_bytes;            /* local memory a work-group can use */
    int64_t max_work_group;         /* work-items */
    int32_t vector_width_float;     /* native, in floats */
    cl_platform_id platform_id;
    cl_device_id device_id;
} clflash_device_info;

/**
 * Number of OpenCL devices over all platforms, in a stable order.
 * Errors   an OpenCL code; no platform at all is OK with *count = 0
 */
CLFLASH_API clflash_status clflash_device_count(int32_t *count);

/**
 * Device `index`, 0 <= index < count.
 * Errors   INVALID_ARGUMENT  info is NULL
 *          NO_DEVICE         index is out of range
 */
CLFLASH_API clflash_status clflash_device_get(int32_t index, clflash_device_info *info);

/* Zero = default everywhere; NULL instead of the struct = all defaults. */
typedef struct clflash_context_params {
    cl_context context;     /* borrowed (retained); NULL = make one */
    cl_device_id device;    /* borrowed; NULL = device_number, or the context's only device */
    int32_t device_number;  /* index + 1; 0 = $CLFLASH_DEVICE, else the best device */
    clflash_log_fn log;     /* NULL = silent */
    void *log_user;
    clflash_log_level log_level;   /* most verbose level delivered; 0 = errors only */
    clflash_allocator allocator;
    const char *cache_dir;  /* NULL = $CLFLASH_CACHE_DIR, $XDG_CACHE_HOME/clflash, ~/.cache/clflash;
                               "" = no files at all */
    const char *tuning_file;/* NULL = one per device in cache_dir */
} clflash_context_params;

/**
 * Opens a context on one device.
 *
 * Owns     *out must be destroyed; borrowed OpenCL objects are retained until then.
 * Errors   NO_DEVICE         no such device, or no OpenCL device at all
 *          INVALID_ARGUMENT  out is NULL; device is not in context
 *          OUT_OF_MEMORY     or an OpenCL code; *out is NULL and `log` has the reason
 * Env      CLFLASH_DEVICE, CLFLASH_CACHE_DIR, CLFLASH_KERNEL_DIR (kernels read from a
 *          folder instead of the embedded ones), read here and nowhere else.
 */
CLFLASH_API clflash_status clflash_context_create(clflash_context **out,
                                                  const clflash_context_params *params);

/* Destroys *ctx after its plans and block masks; NULL-safe through the pointer's value. */
CLFLASH_API void clflash_context_destroy(clflash_context **ctx);

/* The OpenCL objects in use, borrowed; the queue is in-order and the context's own. */
CLFLASH_API cl_context clflash_context_cl(const clflash_context *ctx);
CLFLASH_API cl_device_id clflash_context_device(const clflash_context *ctx);
CLFLASH_API cl_command_queue clflash_context_queue(const clflash_context *ctx);

/**
 * Text of the newest error on this context: what failed, which rule, the problem
 * string, the driver's build log. Copied to text, always terminated; returns text.
 */
CLFLASH_API const char *clflash_context_last_error(const clflash_context *ctx, char *text,
                                                   size_t text_bytes);

/* One engine on this device. */
typedef struct clflash_engine_info {
    char name[CLFLASH_ENGINE_NAME_BYTES];
    bool backward;    /* false: the forward's, true: the backward's engine of that name */
    bool can;         /* by the device's limits; after a probe also by its result */
    bool probed;      /* a probe ran on this context */
    char reason[256]; /* why not */
} clflash_engine_info;

/**
 * Engine number `index` in the order of preference, the forward's before the backward's; probe = build it, run a small
 * ragged case and compare with the reference (cached in the context).
 * Errors   INVALID_ARGUMENT  index past the last engine: stop there
 */
CLFLASH_API clflash_status clflash_engine_get(clflash_context *ctx, int32_t index, bool probe,
                                              clflash_engine_info *info);

/* Measured ceilings of the device. */
typedef struct clflash_peak {
    double fma_gflops;  /* f32 multiply-adds in registers, two operations each */
    double copy_gbs;    /* device copy, bytes read plus written */
    double launch_us;   /* one empty kernel, enqueue to finish */
    double enqueue_us;  /* host time of one empty enqueue in a stream */
} clflash_peak;

/* Measures for about `seconds` (0 = 0.5); blocking, on the context's own queue. */
CLFLASH_API clflash_status clflash_peak_measure(clflash_context *ctx, double seconds,
                                                clflash_peak *peak);

/* Paths in use; "" where files are off. Copied, terminated. */
CLFLASH_API clflash_status clflash_context_paths(const clflash_context *ctx, char *tuning_file,
                                                 size_t tuning_bytes, char *binary_dir,
                                                 size_t binary_bytes);

#ifdef __cplusplus
}
#endif
#endif
