/* shipped_nvidia.c -- rows for NVIDIA GPUs, by compute capability. (L3)
 * Most special first; a row says what it was measured against. */
#include "lib/tune/shipped.h"

const clfi_shipped clfi_shipped_nvidia[] = {
    {.engine = "nv_mma",
     .nv_arch_min = 80,
     .d_max = 64,
     .row = "T_BM=128 T_BN=64 T_WARPS=4 T_STAGES=2 T_QREG=1",
     .measured = ""},
    {.engine = "nv_mma",
     .nv_arch_min = 80,
     .d_max = 128,
     .row = "T_BM=128 T_BN=64 T_WARPS=4 T_STAGES=2 T_QREG=0",
     .measured = ""},
    {.engine = "nv_mma",
     .nv_arch_min = 80,
     .d_max = 128,
     .row = "T_BM=128 T_BN=32 T_WARPS=4 T_STAGES=2 T_QREG=0",
     .measured = ""},
    {.engine = "nv_mma",
     .nv_arch_min = 80,
     .d_max = 256,
     .row = "T_BM=128 T_BN=64 T_WARPS=8 T_STAGES=2 T_QREG=0",
     .measured = ""},
    {.engine = NULL},
};
