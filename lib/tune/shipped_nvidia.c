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
 /* Other NVIDIA GPUs, 48 KiB of local memory: measured on an H100 only. */
    {.engine = "simt",
     .nv_arch_min = 50,
     .d_max = 64,
     .row = "T_BM=64 T_BN=32 T_WX=8 T_WY=8 T_ALIAS=1 T_PREV=0 T_PREK=0 T_UQ=4 T_UP=4",
     .measured = "H100, driver 580.159.04, f32 b4 hq32 sq4096 d64: 36.9 TFLOP/s; 2026-11-25"},
    {.engine = NULL    },
};
