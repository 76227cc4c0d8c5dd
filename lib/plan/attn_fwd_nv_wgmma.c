/* attn_fwd_nv_wgmma.c -- the engine "nv_wgmma": Hopper's warpgroup products and bulk copies. (L2)
 * The kernel is cl_kernels/attn_fwd_nv_wgmma.cl. */
#include "lib/plan/engine.h"

/*   name         safe  meaning                                       candidates */
#define NV_WGMMA_TUNABLES(X)                                                                       \
    X(T_CONSUMERS, 2, "warpgroups of 64 query rows per work-group", 2, 3)                          \
    X(T_BN, 64, "keys per block", 64, 128)                                                         \
    X(T_STAGES, 2, "key blocks in local memory", 2, 3, 4)                                          \
    X(T_OWN_O, 0, "1: the output has a tile of its own, 0: Q's", 0, 1)

enum { NV_WGMMA_TUNABLES(CLFI_TUNABLE_INDEX) N_TUNABLES };
static const clfi_tunable tunables[] = {NV_WGMMA_TUNABLES(CLFI_TUNABLE)};

#define ARCH 90 /* sm_90a's instructions exist on no other */
#define MAX_WIDTH 256

/* Scratch in bytes: three tensor maps and a counter, from a multiple of 128 on. */
#define SCRATCH_BYTES (3 * 128 + 16 + 128)

/* Registers of a consumer for scores, weights and output: of its 240 (160 with three
 * consumers) the rest is for addresses and sums. */
#define MAX_FRAGMENT_REGISTERS(consumers) ((consumers) == 3 ? 128 : 192)

static int64_t panels(int32_t n) { return (n + 63) / 64; }

/* What the kernel declares as __local, rounded up. */
static int64_t local_bytes(const clfi_attn *p, const clfi_row *row)
{
    const int32_t *t = row->v;
    const int64_t d = panels(p->d), dv = panels(p->dv);
    const int64_t q = t[T_OWN_O] ? d + dv : (d > dv ? d : dv);
    return 128 * (64 * t[T_CONSUMERS] * q + (int64_t)t[T_STAGES] * t[T_BN] * (d + dv)) + 2048;
}

static clflash_status fits(const clfi_attn *p, const clfi_profile *dev, const clfi_row *row,
                           clfi_err *err)
{
    const int32_t *t = row->v;
    const int32_t items = 128 * (t[T_CONSUMERS] + 1);
    CLF_REQUIRE(err, items <= dev->max_work_group, CLFLASH_INVALID_TUNABLE,
                "nv_wgmma: %d work-items are needed, the device has %lld per work-group", items,
                (long long)dev->max_work_group);
    const int32_t registers = t[T_BN] / 2 + t[T_BN] / 4 + (p->dv + 31) / 32 * 16;
    CLF_REQUIRE(err, registers <= MAX_FRAGMENT_REGISTERS(t[T_CONSUMERS]), CLFLASH_INVALID_TUNABLE,
                "nv_wgmma: %d registers of fragments per work-item, at most %d", registers,
                MAX_FRAGMENT_REGISTERS(t[T_CONSUMERS]));
    return clfi_require_local("nv_wgmma", local_bytes(p, row), dev, err);
}

static void safe(const clfi_attn *p, const clfi_profile *dev, clfi_row *row)
{
    (void)p;
    (void)dev;
    for (int32_t i = 0; i < N_TUNABLES; i++)
        row->v[i] = tunables[i].safe;
}

static clflash_status can(const clfi_attn *p, const clfi_profile *dev, clfi_err *err)
{
    const clflash_status no = CLFLASH_UNSUPPORTED;
    CLF_REQUIRE(err, dev->vendor == CLFI_VENDOR_NVIDIA && !dev->cpu, no,
                "nv_wgmma: the device is no NVIDIA GPU");
    CLF_REQUIRE(err, dev->arch == ARCH, no, "nv_wgmma: compute capability %d.%d, 9.0 is needed",
                dev->arch / 10, dev->arch % 10);
    CLF_REQUIRE(err, p->dtype == CLFLASH_F16 || p->dtype == CLFLASH_BF16, no,
                "nv_wgmma: f16 and bf16 only");
    CLF_REQUIRE(err, p->d % 8 == 0 && p->dv % 8 == 0, no,
                "nv_wgmma: D = %d, Dv = %d, multiples of 8 are needed", p->d, p->dv);
    CLF_REQUIRE(err, p->d <= MAX_WIDTH && p->dv <= MAX_WIDTH, no,
                "nv_wgmma: D = %d, Dv = %d, at most %d", p->d, p->dv, MAX_WIDTH);
    CLF_REQUIRE(err, !p->seg && !p->pos, no, "nv_wgmma: no segments and no positions");
    CLF_REQUIRE(err, !p->boolean && !p->bias && !p->alibi && !p->sink && p->softcap == 0, no,
                "nv_wgmma: no boolean mask, bias, ALiBi, sink or softcap");
    clfi_row row;
    safe(p, dev, &row);
    return fits(p, dev, &row, err);
}

static void options(const clfi_attn *p, const clfi_profile *dev, const clfi_row *row,
                    clfi_strbuf *out)
{
    (void)dev;
    for (int32_t i = 0; i < N_TUNABLES; i++)
        clfi_strbuf_add(out, " -D%s=%d", tunables[i].name, row->v[i]);
    /* Literals, for the kernel pastes them into names. */
    clfi_strbuf_add(out, " -DP_D_STEPS=%d -DP_DV_COLS=%d", (p->d + 15) / 16,
                    (p->dv + 31) / 32 * 32);
}

static int32_t block_q(const clfi_row *row) { return 64 * row->v[T_CONSUMERS]; }

static int32_t block_kv(const clfi_row *row) { return row->v[T_BN]; }

static void launch_maps(const clfi_attn *p, const clfi_profile *dev, const clfi_row *row,
                        clfi_launch *out)
{
    (void)p;
    (void)dev;
    (void)row;
    *out = (clfi_launch){
        .dims = 1, .global = {32, 1, 1},
             .local = {32, 1, 1}
    };
}

/* As many work-groups as can be resident, one on each compute unit, draw all tiles. */
static void launch(const clfi_attn *p, const clfi_profile *dev, const clfi_row *row,
                   clfi_launch *out)
{
    const size_t items = 128 * (size_t)(row->v[T_CONSUMERS] + 1), rows = (size_t)block_q(row);
    const size_t tiles = ((size_t)p->sq + rows - 1) / rows * (size_t)p->hq * (size_t)p->b;
    const size_t units = dev->compute_units > 0 ? (size_t)dev->compute_units : 1;
    *out = (clfi_launch){
        .dims = 1,
        .global = {(tiles < units ? tiles : units) * items, 1, 1},
        .local = {items,                                   1, 1}
    };
}

static int64_t scratch_bytes(const clfi_attn *p, const clfi_profile *dev, const clfi_row *row)
{
    (void)p;
    (void)dev;
    (void)row;
    return SCRATCH_BYTES;
}

static const clfi_part attend = {"attn_fwd_nv_wgmma.cl", "clf_attn_fwd", launch};

const clfi_engine clfi_engine_attn_fwd_nv_wgmma = {
    .name = "nv_wgmma",
    .source = "attn_fwd_nv_wgmma.cl",
    .kernel = "clf_attn_maps",
    .meaning =
        "NVIDIA GPUs of compute capability 9.0: warpgroup products, bulk copies; f16 and bf16",
    .flash = true,
    .retarget = true,
    .tunables = tunables,
    .n_tunables = N_TUNABLES,
    .can = can,
    .fits = fits,
    .safe = safe,
    .options = options,
    .launch = launch_maps,
    .more = &attend,
    .n_more = 1,
    .scratch_bytes = scratch_bytes,
    .block_q = block_q,
    .block_kv = block_kv,
};
