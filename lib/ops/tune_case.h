/* tune_case.h -- a check's data on the device. (L4) */
#ifndef CLFI_TUNE_CASE_H
#define CLFI_TUNE_CASE_H

#include "host/context.h"
#include "lib/tune/verify.h"
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
    CLFI_N_MEMS
};

/* A clfi_case uploaded: buffers, and the arguments that name them. */
typedef struct clfi_device_case {
    clfi_attn p;
    cl_mem mem[CLFI_N_MEMS];
    clflash_attn_fwd_args args;
    int64_t o_bytes, lse_bytes;
} clfi_device_case;

clflash_status clfi_device_case_make(clfi_device_case *c, const clflash_context *ctx,
                                     cl_command_queue queue, const clfi_case *host, clfi_err *err);
void clfi_device_case_free(clfi_device_case *c);

#endif
