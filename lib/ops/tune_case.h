/* tune_case.h -- a check's data on the device. (L4) */
#ifndef CLFI_TUNE_CASE_H
#define CLFI_TUNE_CASE_H

#include "host/context.h"
#include "lib/tune/outputs.h"
#include <clflash/attention.h>

enum {
    CLFI_MEM_Q,
    CLFI_MEM_K,
    CLFI_MEM_V,
    CLFI_MEM_O,
    CLFI_MEM_LSE,
    CLFI_MEM_Q_SEG,
    CLFI_MEM_KV_SEG,
    CLFI_MEM_Q_POS,
    CLFI_MEM_KV_POS,
    CLFI_MEM_LEN,
    CLFI_MEM_ALIBI,
    CLFI_MEM_SINK,
    CLFI_MEM_BIAS,
    CLFI_MEM_BOOL,
    CLFI_MEM_DOUT,
    CLFI_MEM_DQ,
    CLFI_MEM_DK,
    CLFI_MEM_DV,
    CLFI_N_MEMS
};

/* A clfi_case uploaded: buffers, and the arguments that name them. */
typedef struct clfi_device_case {
    clfi_attn p;
    cl_mem mem[CLFI_N_MEMS];
    clflash_attn_fwd_args args;
    clflash_attn_bwd_args bwd; /* of a backward */
    int32_t n_outputs;
    clfi_output output[CLFI_MAX_OUTPUTS];
    int output_mem[CLFI_MAX_OUTPUTS]; /* index into mem */
    int64_t output_bytes[CLFI_MAX_OUTPUTS];
} clfi_device_case;

/* A backward's o and lse come from a forward on the device. */
clflash_status clfi_device_case_make(clfi_device_case *c, clflash_context *ctx,
                                     cl_command_queue queue, const clfi_case *host, clfi_err *err);
void clfi_device_case_free(clfi_device_case *c);

/* One call of plan's operation, enqueued. mask may be NULL. */
clflash_status clfi_device_case_run(const clfi_device_case *c, const clflash_plan *plan,
                                    cl_command_queue queue, const clflash_block_mask *mask,
                                    cl_event *event);
/* Fills every output with NaN; reads output number i. Blocking. */
clflash_status clfi_device_case_poison(const clfi_device_case *c, cl_command_queue queue,
                                       const clflash_allocator *a, clfi_err *err);
clflash_status clfi_device_case_read(const clfi_device_case *c, cl_command_queue queue, int32_t i,
                                     void *data, clfi_err *err);

#endif
