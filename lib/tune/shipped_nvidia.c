/* shipped_nvidia.c -- rows for NVIDIA GPUs, by compute capability. (L3)
 * Most special first; a row says what it was measured against. */
#include "lib/tune/shipped.h"

const clfi_shipped clfi_shipped_nvidia[] = {
  /* Short documents and diagonals: smaller tiles skip more. */
    {.engine = "simt",
     .nv_arch_min = 90,
     .d_max = 64,
     .blocks = 1,
     .row = "T_BM=64 T_BN=64 T_WX=8 T_WY=16 T_ALIAS=1 T_PREV=0 T_PREK=0 T_UQ=2 T_UP=2",
     .measured =
         "H100, f32 b4 hq16 sq8192 d64 causal docs=12: 1.89 ms, 128x64 3.61 ms; 2026-11-25"},
    {.engine = "simt",
     .nv_arch_min = 90,
     .d_max = 128,
     .blocks = 1,
     .row = "T_BM=64 T_BN=64 T_WX=16 T_WY=16 T_ALIAS=1 T_PREV=0 T_PREK=0 T_UQ=4 T_UP=4",
     .measured =
         "H100, f32 b4 hq16 sq8192 d128 causal docs=12: 3.66 ms, 128x64 4.97 ms; 2026-11-25"},
    {.engine = "simt",
     .nv_arch_min = 90,
     .d_max = 64,
     .row = "T_BM=128 T_BN=64 T_WX=8 T_WY=16 T_ALIAS=1 T_PREV=0 T_PREK=0 T_UQ=4 T_UP=4",
     .measured = "H100, f32 b4 hq32 sq4096 d64: 39.4 TFLOP/s, 64x32 items 8x8 36.9; 2026-11-25"},
    {.engine = "simt",
     .nv_arch_min = 90,
     .d_max = 128,
     .row = "T_BM=128 T_BN=64 T_WX=16 T_WY=16 T_ALIAS=0 T_PREV=2 T_PREK=0 T_UQ=8 T_UP=8",
     .measured = "H100, f32 b4 hq16 sq4096 d128: 41.0 TFLOP/s, 64x32 items 8x16 33.3; 2026-11-25"},
    {.engine = NULL                                                                },
};
