/* retarget.h -- PTX for sm_90 becomes PTX for sm_90a. (L1, pure C) */
#ifndef CLFI_RETARGET_H
#define CLFI_RETARGET_H

#include "lib/base/alloc.h"
#include "lib/base/error.h"

#include <stddef.h>

/**
 * OpenCL's compiler on NVIDIA writes PTX for sm_90, which has no wgmma, and takes what stands
 * in inline assembly for granted, comments too. So cl_kernels/nv_wgmma.clh writes such
 * instructions as comments, each behind a declaration, its witness:
 *     { .reg .b32 clf_sm90a; }
 *     //SM90A wgmma.fence.sync.aligned;
 * This uncovers the comments, raises .target to sm_90a and .version to 8.4 at least, and adds
 * .minnctapersm 1 after .reqntid, without which ptxas ignores setmaxnreg (warning C7508).
 *
 * ptx        `bytes` long; it ends there or at its first NUL
 * *out       allocated by `a`, NUL-terminated, *out_bytes without the NUL; the caller frees
 * Errors     BUILD_FAILED: a witness without its comment or the other way round, none at all,
 *            no .version, .target or .reqntid, or the text ends inside a function: such a
 *            program would compute zeros in silence. OUT_OF_MEMORY.
 * Source     "Parallel Thread Execution ISA", PTX Module Directives, Performance-Tuning
 *            Directives; driver 580.159.04 keeps the comments (H200, 2026-11-23).
 */
clflash_status clfi_retarget(const clflash_allocator *a, const char *ptx, size_t bytes, char **out,
                             size_t *out_bytes, clfi_err *err);

#endif
