/* context.c -- the context: device, errors, log, paths, slots of upper layers. (L1) */
#include "host/cl_check.h"
#include "host/context_internal.h"
#include "host/profile.h"
#include "lib/base/fs.h"
#include "lib/base/hash.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* GPUs before others, then more compute units, then the first. */
static int64_t merit(cl_device_id device)
{
    cl_device_type type = 0;
    cl_uint units = 0;
    clGetDeviceInfo(device, CL_DEVICE_TYPE, sizeof type, &type, NULL);
    clGetDeviceInfo(device, CL_DEVICE_MAX_COMPUTE_UNITS, sizeof units, &units, NULL);
    return (type & CL_DEVICE_TYPE_GPU ? (int64_t)1 << 40 : 0) + units;
}

/* The index that the caller or $CLFLASH_DEVICE names, -1 for "the best". */
static clflash_status wanted_index(int32_t device_number, int32_t *index, clfi_err *err)
{
    *index = device_number - 1;
    if (device_number > 0)
        return CLFLASH_OK;
    CLF_REQUIRE(err, device_number == 0, CLFLASH_NO_DEVICE, "device_number = %d is negative",
                device_number);
    const char *text = getenv("CLFLASH_DEVICE");
    if (!text || !*text)
        return CLFLASH_OK;
    char *end;
    const long value = strtol(text, &end, 10);
    CLF_REQUIRE(err, *end == '\0' && value >= 0 && value < CLFI_MAX_DEVICES, CLFLASH_NO_DEVICE,
                "CLFLASH_DEVICE = \"%s\" is not a device index", text);
    *index = (int32_t)value;
    return CLFLASH_OK;
}

static clflash_status pick_device(int32_t device_number, cl_device_id *out, clfi_err *err)
{
    cl_device_id devices[CLFI_MAX_DEVICES];
    int32_t n = 0, index = -1;
    CLF_TRY(wanted_index(device_number, &index, err));
    CLF_TRY(clfi_devices_list(devices, &n, err));
    CLF_REQUIRE(err, n > 0, CLFLASH_NO_DEVICE, "no OpenCL device: is a driver (ICD) installed?");
    CLF_REQUIRE(err, index < n, CLFLASH_NO_DEVICE, "device %d: there are %d, counted from 0", index,
                n);
    if (index < 0) {
        index = 0;
        for (int32_t i = 1; i < n; i++)
            if (merit(devices[i]) > merit(devices[index]))
                index = i;
    }
    *out = devices[index];
    return CLFLASH_OK;
}

/* The device of a borrowed context: the one named, which must be in it, or the only one. */
static clflash_status device_of(cl_context cl, cl_device_id named, cl_device_id *out, clfi_err *err)
{
    cl_device_id devices[CLFI_MAX_DEVICES];
    size_t bytes = 0;
    CL_TRY(err, clGetContextInfo(cl, CL_CONTEXT_DEVICES, sizeof devices, devices, &bytes));
    const size_t n = bytes / sizeof devices[0];
    for (size_t i = 0; named && i < n; i++) {
        if (devices[i] == named) {
            *out = named;
            return CLFLASH_OK;
        }
    }
    CLF_REQUIRE(err, !named, CLFLASH_INVALID_ARGUMENT, "the device is not in the OpenCL context");
    CLF_REQUIRE(err, n == 1, CLFLASH_INVALID_ARGUMENT,
                "the OpenCL context has %zu devices: name one", n);
    *out = devices[0];
    return CLFLASH_OK;
}

static clflash_status open_device(clflash_context *ctx, const clflash_context_params *params,
                                  clfi_err *err)
{
    cl_int code = CL_SUCCESS;
    if (params->context) {
        CLF_TRY(device_of(params->context, params->device, &ctx->device, err));
        CL_TRY(err, clRetainContext(params->context));
        ctx->cl = params->context;
    } else {
        ctx->device = params->device;
        if (!ctx->device)
            CLF_TRY(pick_device(params->device_number, &ctx->device, err));
        ctx->cl = clCreateContext(NULL, 1, &ctx->device, NULL, NULL, &code);
        CL_TRY(err, code);
    }
    CLF_TRY(clfi_profile_read(&ctx->profile, ctx->device, err));
    /* The 1.2 call: every driver has it. */
    ctx->queue = clCreateCommandQueue(ctx->cl, ctx->device, 0, &code);
    CL_TRY(err, code);
    return CLFLASH_OK;
}

/* One tuning file per device and driver; the name is a hash, the key text is inside. */
static void set_paths(clflash_context *ctx, const clflash_context_params *params)
{
    const char *kernels = getenv("CLFLASH_KERNEL_DIR");
    snprintf(ctx->kernel_dir, sizeof ctx->kernel_dir, "%s", kernels ? kernels : "");
    if (params->cache_dir)
        snprintf(ctx->cache_dir, sizeof ctx->cache_dir, "%s", params->cache_dir);
    else
        clfi_fs_cache_dir(ctx->cache_dir, sizeof ctx->cache_dir);
    if (params->tuning_file) {
        snprintf(ctx->tuning_file, sizeof ctx->tuning_file, "%s", params->tuning_file);
    } else if (ctx->cache_dir[0]) {
        const clfi_profile *p = &ctx->profile;
        clfi_hash h = clfi_hash_start();
        char hex[33];
        h = clfi_hash_add(h, p->platform, strlen(p->platform) + 1);
        h = clfi_hash_add(h, p->name, strlen(p->name) + 1);
        h = clfi_hash_add(h, p->driver, strlen(p->driver) + 1);
        clfi_hash_hex(h, hex);
        const int n = snprintf(ctx->tuning_file, sizeof ctx->tuning_file, "%s/tune-%.12s.txt",
                               ctx->cache_dir, hex);
        if (n < 0 || (size_t)n >= sizeof ctx->tuning_file)
            ctx->tuning_file[0] = '\0';
    }
}

clflash_status clflash_context_create(clflash_context **out, const clflash_context_params *params)
{
    static const clflash_context_params defaults = {0};
    if (!out)
        return CLFLASH_INVALID_ARGUMENT;
    *out = NULL;
    params = params ? params : &defaults;
    clflash_context *ctx = clfi_alloc(&params->allocator, 1, sizeof *ctx);
    if (!ctx)
        return CLFLASH_OUT_OF_MEMORY;
    ctx->allocator = params->allocator;
    ctx->log = params->log;
    ctx->log_user = params->log_user;
    ctx->log_level = params->log_level;
    pthread_mutex_init(&ctx->error_lock, NULL);
    pthread_mutex_init(&ctx->program_lock, NULL);
    pthread_mutex_init(&ctx->scratch_lock, NULL);
    pthread_mutex_init(&ctx->slot_lock, NULL);
    clfi_err err = {0};
    if (open_device(ctx, params, &err)) {
        clfi_context_fail(ctx, "context", &err, NULL);
        clflash_context_destroy(&ctx);
        return err.status;
    }
    set_paths(ctx, params);
    clfi_log(ctx, CLFLASH_LOG_INFO, "clflash %s on %s (%s, driver %s)", clflash_version(),
             ctx->profile.name, ctx->profile.platform, ctx->profile.driver);
    *out = ctx;
    return CLFLASH_OK;
}

void clflash_context_destroy(clflash_context **pointer)
{
    if (!pointer || !*pointer)
        return;
    clflash_context *ctx = *pointer;
    for (int slot = CLFI_N_SLOTS - 1; slot >= 0; slot--)
        if (ctx->slot_free[slot])
            ctx->slot_free[slot](ctx, ctx->slot_state[slot]);
    clfi_blas_forget(ctx);
    clfi_scratch_free(ctx);
    clfi_programs_free(ctx);
    if (ctx->queue)
        clReleaseCommandQueue(ctx->queue);
    if (ctx->cl)
        clReleaseContext(ctx->cl);
    pthread_mutex_destroy(&ctx->error_lock);
    pthread_mutex_destroy(&ctx->program_lock);
    pthread_mutex_destroy(&ctx->scratch_lock);
    pthread_mutex_destroy(&ctx->slot_lock);
    const clflash_allocator allocator = ctx->allocator;
    clfi_free(&allocator, ctx);
    *pointer = NULL;
}

cl_context clflash_context_cl(const clflash_context *ctx) { return ctx->cl; }
cl_device_id clflash_context_device(const clflash_context *ctx) { return ctx->device; }
cl_command_queue clflash_context_queue(const clflash_context *ctx) { return ctx->queue; }
const clfi_profile *clfi_context_profile(const clflash_context *ctx) { return &ctx->profile; }
const char *clfi_context_tuning_file(const clflash_context *ctx) { return ctx->tuning_file; }

const clflash_allocator *clfi_context_allocator(const clflash_context *ctx)
{
    return &ctx->allocator;
}

clflash_status clflash_context_paths(const clflash_context *ctx, char *tuning_file,
                                     size_t tuning_bytes, char *binary_dir, size_t binary_bytes)
{
    if (!ctx || (tuning_bytes && !tuning_file) || (binary_bytes && !binary_dir))
        return CLFLASH_INVALID_ARGUMENT;
    if (tuning_bytes)
        snprintf(tuning_file, tuning_bytes, "%s", ctx->tuning_file);
    if (binary_bytes) {
        if (ctx->cache_dir[0] && !ctx->profile.pocl)
            snprintf(binary_dir, binary_bytes, "%s/programs-v1", ctx->cache_dir);
        else
            binary_dir[0] = '\0';
    }
    return CLFLASH_OK;
}

/* The context is const to callers that only report: the error text and the log are not
 * part of its value. */
static clflash_context *reporter(const clflash_context *ctx)
{
    return (clflash_context *)(uintptr_t)ctx;
}

void clfi_log(const clflash_context *ctx, clflash_log_level level, const char *fmt, ...)
{
    if (!ctx->log || level > ctx->log_level)
        return;
    char line[2600];
    va_list args;
    va_start(args, fmt);
    vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    ctx->log(ctx->log_user, level, line);
}

clflash_status clfi_context_fail(const clflash_context *ctx, const char *what, const clfi_err *err,
                                 const char *problem)
{
    char text[sizeof ctx->last_error];
    snprintf(text, sizeof text, "%s: %s%s%s%s", what,
             err->text[0] ? err->text : clflash_status_string(err->status), problem ? " [" : "",
             problem ? problem : "", problem ? "]" : "");
    clflash_context *own = reporter(ctx);
    pthread_mutex_lock(&own->error_lock);
    memcpy(own->last_error, text, sizeof text);
    pthread_mutex_unlock(&own->error_lock);
    clfi_log(ctx, CLFLASH_LOG_ERROR, "%s", text);
    return err->status;
}

const char *clflash_context_last_error(const clflash_context *ctx, char *text, size_t text_bytes)
{
    if (!text || !text_bytes)
        return "";
    text[0] = '\0';
    if (ctx) {
        clflash_context *own = reporter(ctx);
        pthread_mutex_lock(&own->error_lock);
        snprintf(text, text_bytes, "%s", own->last_error);
        pthread_mutex_unlock(&own->error_lock);
    }
    return text;
}

clflash_status clfi_context_slot(clflash_context *ctx, clfi_slot slot, clfi_slot_make make,
                                 clfi_slot_free free_, void **state, clfi_err *err)
{
    clflash_status status = CLFLASH_OK;
    pthread_mutex_lock(&ctx->slot_lock);
    if (!ctx->slot_state[slot]) {
        status = make(ctx, &ctx->slot_state[slot], err);
        ctx->slot_free[slot] = status == CLFLASH_OK ? free_ : NULL;
        if (status != CLFLASH_OK)
            ctx->slot_state[slot] = NULL;
    }
    *state = ctx->slot_state[slot];
    pthread_mutex_unlock(&ctx->slot_lock);
    return status;
}
