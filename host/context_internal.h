/* context_internal.h -- the context's struct, for host/ only. (L1) */
#ifndef CLFI_CONTEXT_INTERNAL_H
#define CLFI_CONTEXT_INTERNAL_H

#include "host/context.h"

#include <pthread.h>
#include <stdatomic.h>

#define CLFI_PATH_BYTES 1024

struct clfi_program;
struct clfi_scratch_entry;

struct clflash_context {
    cl_context cl;
    cl_device_id device;
    cl_command_queue queue; /* in-order, the context's own */
    clfi_profile profile;

    clflash_allocator allocator;
    clflash_log_fn log;
    void *log_user;
    clflash_log_level log_level;

    char cache_dir[CLFI_PATH_BYTES], tuning_file[CLFI_PATH_BYTES], kernel_dir[CLFI_PATH_BYTES];

    pthread_mutex_t error_lock; /* guards last_error */
    char last_error[4096];

    pthread_mutex_t program_lock; /* guards programs; held while one is built */
    struct clfi_program *programs;
    uint64_t program_clock; /* counts gets: least recently used */

    atomic_bool blas_used; /* CLBlast may hold programs of this context */

    pthread_mutex_t scratch_lock; /* guards scratch */
    struct clfi_scratch_entry *scratch;

    pthread_mutex_t slot_lock; /* guards slots; held while one is made */
    void *slot_state[CLFI_N_SLOTS];
    clfi_slot_free slot_free[CLFI_N_SLOTS];
};

/* program.c, scratch.c: what the context owns, freed with it. */
void clfi_programs_free(clflash_context *ctx);
void clfi_scratch_free(clflash_context *ctx);
/* blas.c: CLBlast's programs hold the OpenCL context; dropped when blas_used. */
void clfi_blas_forget(clflash_context *ctx);

#endif
