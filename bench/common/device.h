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
/* One call of either direction, with its own buffers named. */
typedef struct bench_call {
    bool backward;
    clflash_attn_fwd_args fwd;
    clflash_attn_bwd_args bwd;
} bench_call;
clflash_status call_enqueue(const bench_call *c, const clflash_plan *plan, cl_command_queue queue,
                            cl_event *event);
void call_set_block_mask(bench_call *c, const clflash_block_mask *mask);

#define TENSORS_MAX_OUTPUTS 3
typedef struct tensors {
    bench_call args;
    cl_mem input[N_DATA], o, lse, workspace;
    int32_t n_outputs;                  /* o; or dq, dk, dv of a backward */
    cl_mem output[TENSORS_MAX_OUTPUTS]; /* of a forward: o */
    int64_t output_bytes[TENSORS_MAX_OUTPUTS];
    int64_t bytes; /* of all buffers but the workspace */
} tensors;

/* Makes the buffers, uploads the inputs; a backward's o and lse come from a forward on the
 * device. tensors_free either way. */
clflash_status tensors_make(tensors *t, const device *dev, const data *d);
/* Gives the call a workspace of its own, in place of the one before. */
clflash_status tensors_set_workspace(tensors *t, const device *dev, int64_t bytes);
/* Uploads dout again, or other values for it. */
clflash_status tensors_set_dout(const tensors *t, const device *dev, const data *d,
                                const void *dout);
/* Fills the outputs with NaN, so that elements never written are found. */
clflash_status tensors_poison(const tensors *t, const device *dev);
/* Waits, then copies output number i to host memory. */
clflash_status tensors_read(const tensors *t, const device *dev, int32_t i, void *to);
void tensors_free(tensors *t);

#endif
