/* profile.h -- what a device is, as plain data. (L0) host/ fills it; plan and tune read it. */
#ifndef CLFI_PROFILE_H
#define CLFI_PROFILE_H

#include <stdbool.h>
#include <stdint.h>

typedef enum clfi_vendor { CLFI_VENDOR_OTHER = 0, CLFI_VENDOR_NVIDIA, CLFI_VENDOR_AMD, CLFI_VENDOR_INTEL } clfi_vendor;

typedef struct clfi_profile {
    char platform[128], name[128], vendor_name[64], driver[64], version[128];
    clfi_vendor vendor;
    bool cpu;               /* a CPU driver (PoCL, Intel, Oclgrind's simulator says so too) */
    bool pocl;              /* keeps its own binary cache */
    int32_t arch;           /* NVIDIA compute capability x 10 (90); else 0 */
    int32_t compute_units;
    int32_t vector_width;   /* native float lanes: 8 AVX2, 16 AVX-512; 1 on GPUs */
    int64_t max_work_group; /* work-items */
    int64_t local_bytes;    /* usable static local memory; a table where NVIDIA understates */
    int64_t global_bytes, max_alloc_bytes;
    int32_t mem_align_bytes;
} clfi_profile;

#endif
