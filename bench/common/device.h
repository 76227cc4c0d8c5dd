/* device.h -- one OpenCL device, a problem's buffers on it, launches and their times.
 * With timing.c the only place of the programs that calls OpenCL. (bench) */
#ifndef BENCH_DEVICE_H
#define BENCH_DEVICE_H

#include "bench/common/data.h"

typedef struct device {
    const app *app;
    clflash_context *ctx;
    cl_command_queue queue; /* in-order, with profiling, on the context */
    clflash_device_info info;
} device;

/* Opens --device, or the default. tuning_file may be NULL. On failure *exit_code says how
 * to leave, after a message. The library's warnings go to stderr. */
bool device_open(device *dev, const app *a, const char *tuning_file, int *exit_code);
void device_close(device *dev);

/* One problem on the device. */
typedef struct tensors {
    clflash_attn_fwd_args args;
    cl_mem input[N_DATA], o, workspace;
    int64_t bytes; /* of all buffers but the workspace */
    int64_t o_bytes;
} tensors;

/* Makes the buffers, uploads the inputs. tensors_free either way. */
clflash_status tensors_make(tensors *t, const device *dev, const data *d);
/* Gives the call a workspace of its own, in place of the one before. */
clflash_status tensors_set_workspace(tensors *t, const device *dev, int64_t bytes);
/* Fills o with NaN, so that elements never written are found. */
clflash_status tensors_poison(const tensors *t, const device *dev);
/* Waits, then copies o to host memory. */
clflash_status tensors_read(const tensors *t, const device *dev, void *o);
void tensors_free(tensors *t);

#endif
