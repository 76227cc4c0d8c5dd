/* shipped_nvidia.c -- rows for NVIDIA GPUs, by compute capability. (L3)
 * Most special first; a row says what it was measured against. */
#include "lib/tune/shipped.h"

#define H100 "H100 80GB HBM3, driver 580.159.04, 2026-11-25, bf16, 16384 tokens: "

const clfi_shipped clfi_shipped_nvidia[] = {
    {.engine = "nv_wgmma",
     .nv_arch_min = 90,
     .d_max = 64,
     .row = "T_CONSUMERS=3 T_BN=128 T_STAGES=4 T_OWN_O=1",
     .measured = H100 "D = 64, 32 heads, one sequence: 4.47 ms full, 2.28 causal; the only row "
                      "tried"},
    {.engine = "nv_wgmma",
     .nv_arch_min = 90,
     .d_max = 128,
     .row = "T_CONSUMERS=2 T_BN=128 T_STAGES=2 T_OWN_O=1",
     .measured = H100 "D = 128, 16 heads, one sequence: 3.34 ms full, 1.72 causal; the only row "
                      "tried"},
    {.engine = "nv_wgmma",
     .nv_arch_min = 90,
     .d_max = 256,
     .row = "T_CONSUMERS=2 T_BN=64 T_STAGES=2 T_OWN_O=0",
     .measured = H100 "D = 256, 8 heads, 4 of 4096: 0.763 ms full, 0.441 causal; the only row "
                      "tried"},
    {.engine = "nv_mma",
     .nv_arch_min = 80,
     .d_max = 64,
     .row = "T_BM=128 T_BN=64 T_WARPS=4 T_STAGES=2 T_QREG=1",
     .measured = H100 "D = 64, 32 heads: 6.54 ms full, 3.55 causal; 3.88 without T_QREG; "
                      "234 registers, none spilled"},
 /* Short documents: smaller tiles skip more. */
    {.engine = "nv_mma",
     .nv_arch_min = 80,
     .d_max = 128,
     .blocks = 1,
     .row = "T_BM=64 T_BN=32 T_WARPS=2 T_STAGES=2 T_QREG=0",
     .measured = "H100 80GB HBM3, driver 580.159.04, 2026-11-25, bf16 b4 hq16 sq8192 d128 causal "
                 "docs=12: 0.787 ms, 128x64 0.971; best of 10 in clflash_tune"},
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
 /* Short documents and diagonals: smaller tiles skip more. */
    {.engine = "simt",
     .nv_arch_min = 90,
     .d_max = 64,
     .blocks = 1,
     .row = "T_BM=64 T_BN=64 T_WX=8 T_WY=16 T_ALIAS=1 T_PREV=0 T_PREK=0 T_UQ=2 T_UP=2",
     .measured =
         "H100, f32 b4 hq16 sq8192 d64 causal docs=12: 1.87 ms, 128x64 2.40 ms; 2026-11-25"},
    {.engine = "simt",
     .nv_arch_min = 90,
     .d_max = 128,
     .blocks = 1,
     .row = "T_BM=64 T_BN=64 T_WX=16 T_WY=8 T_ALIAS=1 T_PREV=0 T_PREK=0 T_UQ=2 T_UP=2",
     .measured =
         "H100, f32 b4 hq16 sq8192 d128 causal docs=12: 3.49 ms, 16x16 items 3.63 ms, 128x64 "
         "3.72 ms; 2026-11-25"},
    {.engine = "simt",
     .nv_arch_min = 90,
     .d_max = 64,
     .row = "T_BM=128 T_BN=64 T_WX=8 T_WY=16 T_ALIAS=1 T_PREV=0 T_PREK=0 T_UQ=4 T_UP=4",
     .measured = "H100, f32 b4 hq32 sq4096 d64: 39.3 TFLOP/s, 64x32 items 8x8 36.9; 2026-11-25"},
    {.engine = "simt",
     .nv_arch_min = 90,
     .d_max = 128,
     .row = "T_BM=128 T_BN=64 T_WX=16 T_WY=16 T_ALIAS=0 T_PREV=2 T_PREK=0 T_UQ=8 T_UP=8",
     .measured = "H100, f32 b4 hq16 sq4096 d128: 40.8 TFLOP/s, 64x32 items 8x16 33.3; 2026-11-25"},
 /* Other NVIDIA GPUs, 48 KiB of local memory: measured on an H100 only. */
    {.engine = "simt",
     .nv_arch_min = 50,
     .d_max = 64,
     .row = "T_BM=64 T_BN=32 T_WX=8 T_WY=8 T_ALIAS=1 T_PREV=0 T_PREK=0 T_UQ=4 T_UP=4",
     .measured = "H100, f32 b4 hq32 sq4096 d64: 36.9 TFLOP/s; 2026-11-25"},
    {.op = CLFLASH_OP_BWD,
     .engine = "nv_mma",
     .nv_arch_min = 80,
     .d_max = 64,
     .row = "T_BM=64 T_BN=128 T_WARPS=4 T_SPLIT=1 T_STAGES=2 T_QM=128 T_QN=32 T_QWARPS=4 "
            "T_QSTAGES=2", .measured = H100 "D = 64, 32 heads, det=0: 15.7 ms full, 8.75 causal"},
    {.op = CLFLASH_OP_BWD,
     .engine = "nv_mma",
     .nv_arch_min = 80,
     .d_max = 128,
     .row = "T_BM=64 T_BN=128 T_WARPS=8 T_SPLIT=2 T_STAGES=2 T_QM=128 T_QN=32 T_QWARPS=4 "
            "T_QSTAGES=2", .measured = H100 "D = 128, 16 heads, det=0: 14.8 ms full, 8.00 causal"},
 /* simt's backward: dQ in parts beside dK and dV, while the parts' groups fill the device. */
    {.engine = "simt",
     .op = CLFLASH_OP_BWD,
     .nv_arch_min = 90,
     .d_max = 64,
     .fill = 1,
     .row = "T_BM=64 T_BN=64 T_QX=8 T_QY=16 T_KX=8 T_KY=16 T_PARTS=4 T_ALIAS=0 T_UQ=4 T_UP=4",
     .measured = "H100 80GB HBM3, driver 580.159.04, 2026-11-25, bwd f32 b4 hq32 sq4096 d64: 33.3 "
                 "TFLOP/s; 32.7 with 2 parts and steps of 2, 25.4 with a walk for dQ"},
    {.engine = "simt",
     .op = CLFLASH_OP_BWD,
     .nv_arch_min = 90,
     .d_max = 128,
     .fill = 1,
     .row = "T_BM=64 T_BN=64 T_QX=16 T_QY=16 T_KX=16 T_KY=16 T_PARTS=4 T_ALIAS=1 T_UQ=4 T_UP=4",
     .measured = "H100 80GB HBM3, driver 580.159.04, 2026-11-25, bwd f32 b4 hq16 sq4096 d128: 31.0 "
                 "TFLOP/s; 23.1 with a walk for dQ, 22.2 with 16x8 items"},
    {.engine = "simt",
     .op = CLFLASH_OP_BWD,
     .nv_arch_min = 90,
     .d_max = 64,
     .row = "T_BM=64 T_BN=64 T_QX=8 T_QY=16 T_KX=8 T_KY=16 T_PARTS=0 T_ALIAS=0 T_UQ=2 T_UP=2",
     .measured = "H100 80GB HBM3, driver 580.159.04, 2026-11-25, bwd f32 b4 hq32 sq4096 d64: 25.4 "
                 "TFLOP/s, 25.0 with T_ALIAS and steps of 4"},
    {.engine = "simt",
     .op = CLFLASH_OP_BWD,
     .nv_arch_min = 90,
     .d_max = 128,
     .row = "T_BM=64 T_BN=64 T_QX=16 T_QY=16 T_KX=16 T_KY=16 T_PARTS=0 T_ALIAS=1 T_UQ=4 T_UP=4",
     .measured = "H100 80GB HBM3, driver 580.159.04, 2026-11-25, bwd f32 b4 hq16 sq4096 d128: 23.1 "
                 "TFLOP/s; the only row of two walks tried"},
    {.engine = NULL                                                      },
};
