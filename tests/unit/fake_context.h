/* fake_context.h -- what lib/tune needs of a context, without a device. */
#ifndef FAKE_CONTEXT_H
#define FAKE_CONTEXT_H

#include "host/context.h"

struct clflash_context {
    clfi_profile profile;
    char tuning_file[512];
    char log[2048]; /* the newest warning or error */
    void *state;    /* of CLFI_SLOT_TUNE */
    clfi_slot_free free_;
};

/* A GPU-like or CPU-like device that every engine's limits are kind to. */
clfi_profile fake_gpu(void);
clfi_profile fake_cpu(int32_t vector_width);

clflash_context *fake_open(const clfi_profile *profile, const char *tuning_file);
void fake_close(clflash_context *ctx);

#endif
