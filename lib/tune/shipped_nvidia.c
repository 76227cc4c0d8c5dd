/* shipped_nvidia.c -- rows for NVIDIA GPUs, by compute capability. (L3)
 * Most special first; a row says what it was measured against. */
#include "lib/tune/shipped.h"

#define H100 "H100 80GB HBM3, driver 580.159.04, 2026-11-25, bf16, 16384 tokens: "

const clfi_shipped clfi_shipped_nvidia[] = {
    {.engine = "nv_mma",
     .nv_arch_min = 80,
     .d_max = 64,
     .row = "T_BM=128 T_BN=64 T_WARPS=4 T_STAGES=2 T_QREG=1",
     .measured = H100 "D = 64, 32 heads: 6.54 ms full, 3.55 causal; 3.88 without T_QREG; "
                      "234 registers, none spilled"},
    {.engine = "nv_mma",
     .nv_arch_min = 80,
     .d_max = 128,
     .row = "T_BM=128 T_BN=64 T_WARPS=4 T_STAGES=2 T_QREG=0",
     .measured = H100 "D = 128, 16 heads: 5.82 ms against 7.95 of the safe row, best of 14; "
                      "255 registers, none spilled, 80 bytes when causal"},
 /* Where the row above does not fit into local memory. */
    {.engine = "nv_mma",
     .nv_arch_min = 80,
     .d_max = 128,
     .row = "T_BM=128 T_BN=32 T_WARPS=4 T_STAGES=2 T_QREG=0",
     .measured = H100 "D = 128, 16 heads: 5.93 ms against 7.95 of the safe row"},
    {.engine = "nv_mma",
     .nv_arch_min = 80,
     .d_max = 256,
     .row = "T_BM=128 T_BN=64 T_WARPS=8 T_STAGES=2 T_QREG=0",
     .measured = H100 "D = 256, 8 heads, 4096 keys: 1.88 ms, 293 TFLOP/s; the only row tried"},
    {.engine = NULL                                  },
};
