/* attn_bwd_nv_mma.c -- the backward of the engine "nv_mma": NVIDIA's matrix units through
 * mma.sync. (L2) Kernels: cl_kernels/attn_bwd_nv_mma.cl, dK and dV, and attn_bwd_nv_mma_dq.cl.
 *
 * In a certain order (the default) dQ is a pass of its own, before dK and dV. Without, sums in
 * the workspace are cleared, added to along with dK and dV, and rounded in the end. */
#include "lib/plan/engine.h"

/*   name    safe  meaning                                                candidates */
#define NV_MMA_BWD_TUNABLES(X)                                                                     \
    X(T_BM, 32, "query rows per block of dK, dV", 32, 64, 128)                                     \
    X(T_BN, 32, "keys per work-group of dK, dV", 32, 64, 128)                                      \
    X(T_WARPS, 4, "warps of 32 work-items per work-group of dK, dV", 4, 8)                         \
    X(T_SPLIT, 2, "warps that share the same keys", 1, 2, 4)                                       \
    X(T_STAGES, 1, "query blocks in local memory", 1, 2)                                           \
    X(T_QM, 32, "query rows per work-group of dQ", 32, 64, 128, 256)                               \
    X(T_QN, 32, "keys per block of dQ", 16, 32, 64)                                                \
    X(T_QWARPS, 2, "warps of 32 work-items per work-group of dQ", 2, 4, 8)                         \
    X(T_QSTAGES, 1, "key blocks in local memory for dQ", 1, 2)

enum { NV_MMA_BWD_TUNABLES(CLFI_TUNABLE_INDEX) N_TUNABLES };
static const clfi_tunable tunables[] = {NV_MMA_BWD_TUNABLES(CLFI_TUNABLE)};

#define SM90 90 /* mbarrier.try_wait, red.global.add.v4.f32 */

/* Fragments past which the kernels spill, as in attn_fwd_nv_mma.c. At 192 (D = 128, 64x128, 8
 * warps, split in 2) ptxas 12.8 shows 246 registers and no spill, 255 when causal. */
#define MAX_FRAGMENT_REGISTERS 192

static int32_t ceil_div(int32_t n, int32_t by) { return (n + by - 1) / by; }
static int32_t steps_of_16(int32_t n) { return ceil_div(n, 16); }
static int32_t larger(int32_t x, int32_t y) { return x > y ? x : y; }
static bool det(const clfi_attn *p) { return !p->desc.choice.nondeterministic; }

/* Bytes from row to row of a tile: NV_ROW_BYTES in nv_tile.clh. */
static int64_t row_bytes(int32_t n) { return steps_of_16(n) * 32 + 16; }

/* What the two kernels declare as __local: DKV_BYTES, DQ_BYTES. */
static int64_t dkv_bytes(const clfi_attn *p, const clfi_row *row)
{
    const int32_t *t = row->v;
    const int64_t both = row_bytes(p->d) + row_bytes(p->dv);
    const int32_t tiles = (!det(p) || t[T_SPLIT] > 1) + (t[T_SPLIT] > 1); /* dS, P */
    const int64_t barriers = 8 * (2 * t[T_STAGES] + 2);
    return t[T_BN] * (both + tiles * row_bytes(t[T_BM])) + t[T_STAGES] * t[T_BM] * (both + 8) +
           barriers;
}

static int64_t dq_bytes(const clfi_attn *p, const clfi_row *row)
{
    const int32_t *t = row->v;
    return (t[T_QM] + (int64_t)t[T_QSTAGES] * t[T_QN]) * (row_bytes(p->d) + row_bytes(p->dv));
}

/* The sums' shape: SUMS_MT, SUMS_DOWN, SUMS_NT of nv_bwd_sums.clh. */
static int32_t sums_mt(const clfi_row *row) { return row->v[T_BM] % 32 == 0 ? 2 : 1; }
static int32_t sums_down(const clfi_row *row) { return row->v[T_BM] / (16 * sums_mt(row)); }
static int32_t sums_nt(const clfi_attn *p, const clfi_row *row)
{
    return 2 * ceil_div(steps_of_16(p->d), row->v[T_WARPS] / sums_down(row));
}

/* Registers of a work-item that hold sums, scores and dP, or dQ once those are used up. */
static int32_t dkv_registers(const clfi_attn *p, const clfi_row *row)
{
    const int32_t *t = row->v;
    const int32_t tiles = t[T_BN] * t[T_SPLIT] / (16 * t[T_WARPS]);
    const int32_t columns =
        ceil_div(steps_of_16(p->d), t[T_SPLIT]) * 2 + ceil_div(steps_of_16(p->dv), t[T_SPLIT]) * 2;
    const int32_t slice = t[T_BM] / t[T_SPLIT] % 32 == 0 ? 32 : 16;
    const int32_t dq = det(p) ? 0 : sums_mt(row) * sums_nt(p, row) * 4;
    return tiles * columns * 4 + larger(tiles * slice, dq);
}

static int32_t dq_registers(const clfi_attn *p, const clfi_row *row)
{
    const int32_t *t = row->v;
    const int32_t tiles = t[T_QM] / (16 * t[T_QWARPS]);
    return tiles * (steps_of_16(p->d) * 8 + t[T_QN]);
}

/* The rules that the kernels state as #error. */
static clflash_status suit_each_other(const clfi_row *row, clfi_err *err)
{
    const int32_t *t = row->v;
    CLF_REQUIRE(err,
                t[T_WARPS] % t[T_SPLIT] == 0 && t[T_BN] * t[T_SPLIT] % (16 * t[T_WARPS]) == 0 &&
                    t[T_BM] % (16 * t[T_SPLIT]) == 0,
                CLFLASH_INVALID_TUNABLE,
                "nv_mma: T_SPLIT = %d divides T_WARPS = %d, 16 * T_WARPS T_BN * T_SPLIT (T_BN = "
                "%d), 16 * T_SPLIT T_BM = %d",
                t[T_SPLIT], t[T_WARPS], t[T_BN], t[T_BM]);
    CLF_REQUIRE(err, t[T_WARPS] % sums_down(row) == 0, CLFLASH_INVALID_TUNABLE,
                "nv_mma: T_WARPS = %d is no multiple of T_BM / 32, T_BM = %d", t[T_WARPS], t[T_BM]);
    CLF_REQUIRE(
        err, t[T_QM] % (16 * t[T_QWARPS]) == 0 && t[T_QM] % t[T_BM] == 0 && t[T_BN] % t[T_QN] == 0,
        CLFLASH_INVALID_TUNABLE,
        "nv_mma: T_QM = %d is a multiple of 16 * T_QWARPS = %d and of T_BM = %d, T_BN = %d "
        "of T_QN = %d",
        t[T_QM], 16 * t[T_QWARPS], t[T_BM], t[T_BN], t[T_QN]);
    return CLFLASH_OK;
}

static clflash_status fits(const clfi_attn *p, const clfi_profile *dev, const clfi_row *row,
                           clfi_err *err)
{
    CLF_TRY(suit_each_other(row, err));
    const int32_t items = 32 * larger(row->v[T_WARPS], row->v[T_QWARPS]);
    CLF_REQUIRE(err, items <= dev->max_work_group, CLFLASH_INVALID_TUNABLE,
                "nv_mma: %d work-items are needed, the device has %lld per work-group", items,
                (long long)dev->max_work_group);
    const int32_t registers = larger(dkv_registers(p, row), dq_registers(p, row));
    CLF_REQUIRE(err, registers <= MAX_FRAGMENT_REGISTERS, CLFLASH_INVALID_TUNABLE,
                "nv_mma: %d registers of fragments per work-item, at most %d", registers,
                MAX_FRAGMENT_REGISTERS);
    const int64_t dkv = dkv_bytes(p, row), dq = dq_bytes(p, row), bytes = dkv > dq ? dkv : dq;
    return clfi_require_local("nv_mma", bytes, dev, err);
}

static void safe(const clfi_attn *p, const clfi_profile *dev, clfi_row *row)
{
    (void)p, (void)dev;
    for (int32_t i = 0; i < N_TUNABLES; i++)
        row->v[i] = tunables[i].safe;
}

static clflash_status can(const clfi_attn *p, const clfi_profile *dev, clfi_err *err)
{
    CLF_TRY(clfi_nv_mma_can(p, dev, err));
    clfi_row row;
    safe(p, dev, &row);
    return fits(p, dev, &row, err);
}

static void options(const clfi_attn *p, const clfi_profile *dev, const clfi_row *row,
                    clfi_strbuf *out)
{
    (void)p;
    for (int32_t i = 0; i < N_TUNABLES; i++)
        clfi_strbuf_add(out, " -D%s=%d", tunables[i].name, row->v[i]);
    clfi_strbuf_add(out, " -DD_NV_SM90=%d", dev->arch >= SM90);
}

static int32_t block_q(const clfi_row *row) { return row->v[T_BM]; }

static int32_t block_kv(const clfi_row *row) { return row->v[T_BN]; }

/* One dimension: the others stop at 65535 groups. */
static clfi_launch groups_of(size_t groups, size_t items)
{
    return clfi_launch_line(groups, items);
}

/* Clearing and rounding share their work among as many groups as fill the device. */
#define GROUPS_PER_UNIT 16
#define SUMS_ITEMS 256
static clfi_launch over_sums(const clfi_profile *dev)
{
    return groups_of((size_t)larger(dev->compute_units, 1) * GROUPS_PER_UNIT, SUMS_ITEMS);
}

static void launch_dq(const clfi_attn *p, const clfi_profile *dev, const clfi_row *row,
                      clfi_launch *out)
{
    const int32_t *t = row->v;
    if (det(p))
        *out = groups_of((size_t)ceil_div(p->sq, t[T_QM]) * (size_t)p->hq * (size_t)p->b,
                         (size_t)t[T_QWARPS] * 32);
    else
        *out = over_sums(dev);
}

static void launch_dkv(const clfi_attn *p, const clfi_profile *dev, const clfi_row *row,
                       clfi_launch *out)
{
    (void)dev;
    const int32_t *t = row->v;
    *out = groups_of((size_t)ceil_div(p->sk, t[T_BN]) * (size_t)p->hk * (size_t)p->b,
                     (size_t)t[T_WARPS] * 32);
}

static void launch_round(const clfi_attn *p, const clfi_profile *dev, const clfi_row *row,
                         clfi_launch *out)
{
    (void)row;
    *out = det(p) ? (clfi_launch){.dims = 0} : over_sums(dev);
}

static const clfi_part more[] = {
    {"attn_bwd_nv_mma.cl",    "clf_attn_bwd_dkv",      launch_dkv  },
    {"attn_bwd_nv_mma_dq.cl", "clf_attn_bwd_dq_round", launch_round},
};

/* The sums of dQ: SUMS_BLOCK_FLOATS per block of queries. */
static int64_t scratch_bytes(const clfi_attn *p, const clfi_profile *dev, const clfi_row *row)
{
    (void)dev;
    const int64_t block = (int64_t)row->v[T_WARPS] * sums_mt(row) * sums_nt(p, row) * 128;
    return det(p) ? 0 : 4 * block * ceil_div(p->sq, row->v[T_BM]) * p->hq * p->b;
}

const clfi_engine clfi_engine_attn_bwd_nv_mma = {
    .name = "nv_mma",
    .source = "attn_bwd_nv_mma_dq.cl",
    .kernel = "clf_attn_bwd_dq",
    .meaning = "NVIDIA GPUs from compute capability 8.0: matrix units by mma.sync, f16 and bf16",
    .flash = true,
    .tunables = tunables,
    .n_tunables = N_TUNABLES,
    .can = can,
    .fits = fits,
    .safe = safe,
    .options = options,
    .launch = launch_dq,
    .more = more,
    .n_more = sizeof more / sizeof more[0],
    .scratch_bytes = scratch_bytes,
    .block_q = block_q,
    .block_kv = block_kv,
};
