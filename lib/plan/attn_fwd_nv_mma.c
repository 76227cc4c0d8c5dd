/* attn_fwd_nv_mma.c -- the engine "nv_mma": NVIDIA's matrix units through mma.sync. (L2)
 * The kernel is cl_kernels/attn_fwd_nv_mma.cl. */
#include "lib/plan/engine.h"

/*   name    safe  meaning                                     candidates */
#define NV_MMA_TUNABLES(X)                                                                         \
    X(T_BM, 64, "query rows per work-group", 32, 64, 128, 256)                                     \
    X(T_BN, 32, "keys per block", 16, 32, 64, 128)                                                 \
    X(T_WARPS, 4, "warps of 32 work-items per work-group", 2, 4, 8)                                \
    X(T_STAGES, 2, "key blocks in local memory", 2, 3)                                             \
    X(T_QREG, 0, "1: Q stays in registers", 0, 1)

enum { NV_MMA_TUNABLES(CLFI_TUNABLE_INDEX) N_TUNABLES };
static const clfi_tunable tunables[] = {NV_MMA_TUNABLES(CLFI_TUNABLE)};


/* Fragments past which the kernel spills: of 255 registers about 60 serve for addresses, sums
 * and operands. At 192 (D = 128, 128x64, 4 warps) the driver 580.159.04 used 255 and spilled
 * none, 80 bytes when causal (H100, 2026-11-25). */
#define MAX_FRAGMENT_REGISTERS 192

static int32_t steps_of_16(int32_t n) { return (n + 15) / 16; }

/* Bytes from row to row of a tile: NV_ROW_BYTES in nv_tile.clh. */
static int64_t row_bytes(int32_t n) { return steps_of_16(n) * 32 + 16; }

/* What the kernel declares as __local. */
static int64_t local_bytes(const clfi_attn *p, const clfi_row *row)
{
    const int32_t *t = row->v;
    const int64_t k = row_bytes(p->d), v = row_bytes(p->dv);
    const int64_t bounds = p->blocks ? t[T_WARPS] * 20 : 0;
    return t[T_BM] * (k > v ? k : v) + (int64_t)t[T_STAGES] * t[T_BN] * (k + v) + bounds;
}

/* Registers of a work-item that hold scores, output and, on request, Q. */
static int32_t fragment_registers(const clfi_attn *p, const clfi_row *row)
{
    const int32_t *t = row->v;
    const int32_t tiles = t[T_BM] / (16 * t[T_WARPS]);
    const int32_t q = t[T_QREG] ? steps_of_16(p->d) * 4 : 0;
    return tiles * (t[T_BN] / 2 + steps_of_16(p->dv) * 8 + q);
}

static clflash_status fits(const clfi_attn *p, const clfi_profile *dev, const clfi_row *row,
                           clfi_err *err)
{
    const int32_t *t = row->v;
    const int32_t items = t[T_WARPS] * 32;
    CLF_REQUIRE(err, t[T_BM] % (16 * t[T_WARPS]) == 0, CLFLASH_INVALID_TUNABLE,
                "nv_mma: T_BM = %d is not a multiple of 16 * T_WARPS = %d", t[T_BM],
                16 * t[T_WARPS]);
    CLF_REQUIRE(err, items <= dev->max_work_group, CLFLASH_INVALID_TUNABLE,
                "nv_mma: %d work-items are needed, the device has %lld per work-group", items,
                (long long)dev->max_work_group);
    const int32_t registers = fragment_registers(p, row);
    CLF_REQUIRE(err, registers <= MAX_FRAGMENT_REGISTERS, CLFLASH_INVALID_TUNABLE,
                "nv_mma: %d registers of fragments per work-item, at most %d", registers,
                MAX_FRAGMENT_REGISTERS);
    return clfi_require_local("nv_mma", local_bytes(p, row), dev, err);
}

static void safe(const clfi_attn *p, const clfi_profile *dev, clfi_row *row)
{
    for (int32_t i = 0; i < N_TUNABLES; i++)
        row->v[i] = tunables[i].safe;
    if (local_bytes(p, row) > dev->local_bytes)
        row->v[T_BN] = 16;
}

static clflash_status can(const clfi_attn *p, const clfi_profile *dev, clfi_err *err)
{
    CLF_TRY(clfi_nv_mma_can(p, dev, err));
    clfi_row row;
    safe(p, dev, &row);
    return fits(p, dev, &row, err);
}

static int32_t block_q(const clfi_row *row) { return row->v[T_BM]; }

static int32_t block_kv(const clfi_row *row) { return row->v[T_BN]; }

/* One dimension: the others stop at 65535 groups. */
static void launch(const clfi_attn *p, const clfi_profile *dev, const clfi_row *row,
                   clfi_launch *out)
{
    (void)dev;
    const size_t items = (size_t)row->v[T_WARPS] * 32, rows = (size_t)row->v[T_BM];
    const size_t groups = ((size_t)p->sq + rows - 1) / rows * (size_t)p->hq * (size_t)p->b;
    *out = clfi_launch_line(groups, items);
}

const clfi_engine clfi_engine_attn_fwd_nv_mma = {
    .name = "nv_mma",
    .source = "attn_fwd_nv_mma.cl",
    .kernel = "clf_attn_fwd",
    .meaning = "NVIDIA GPUs from compute capability 8.0: matrix units by mma.sync, f16 and bf16",
    .flash = true,
    .tunables = tunables,
    .n_tunables = N_TUNABLES,
    .can = can,
    .fits = fits,
    .safe = safe,
    .launch = launch,
    .block_q = block_q,
    .block_kv = block_kv,
};
