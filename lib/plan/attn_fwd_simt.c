/* attn_fwd_simt.c -- the engine "simt": any GPU, and the fallback of every device. (L2)
 * The kernel is cl_kernels/attn_fwd_simt.cl. */
#include "lib/plan/engine.h"

/*   name    safe  meaning                                           candidates */
#define SIMT_TUNABLES(X)                                                                           \
    X(T_BM, 32, "query rows per work-group", 8, 16, 32, 64, 128)                                   \
    X(T_BN, 32, "keys per block", 8, 16, 32, 64, 128)                                              \
    X(T_WX, 8, "work-items over keys and over columns of V", 4, 8, 16, 32)                         \
    X(T_WY, 8, "work-items over query rows", 4, 8, 16, 32)                                         \
    X(T_ALIAS, 1, "1: P shares K's tile: less local memory, one barrier more", 0, 1)               \
    X(T_PREV, 0, "V's block waits in registers: 0 not, 1 in Q K^T, 2 in softmax", 0, 1, 2)         \
    X(T_PREK, 0, "1: the next block of K is fetched during P V", 0, 1)                             \
    X(T_UQ, 2, "float4 steps unrolled in Q K^T", 1, 2, 4, 8)                                       \
    X(T_UP, 2, "float4 steps unrolled in P V", 1, 2, 4, 8)

enum { SIMT_TUNABLES(CLFI_TUNABLE_INDEX) N_TUNABLES };
static const clfi_tunable tunables[] = {SIMT_TUNABLES(CLFI_TUNABLE)};

/* Floats of the register tiles past which every GPU spills: 255 registers at most. */
#define MAX_TILE_FLOATS 160

static int64_t ceil_div(int64_t n, int64_t m) { return (n + m - 1) / m; }

/* float4 of O per query of an item: SIMT_TD. */
static int64_t columns(const clfi_attn *p, const clfi_row *row)
{
    return ceil_div(ceil_div(p->dv, 4), row->v[T_WX]);
}

/* Of the register tiles of scores and output. */
static int64_t tile_floats(const clfi_attn *p, const clfi_row *row)
{
    const int32_t *t = row->v;
    return t[T_BM] / t[T_WY] * (4 * columns(p, row) + t[T_BN] / t[T_WX]);
}

/* What the kernel declares as __local. */
static int64_t local_bytes(const clfi_attn *p, const clfi_row *row)
{
    const int32_t *t = row->v;
    const int64_t qs = ceil_div(p->d, 4) | 1, ps = t[T_BN] / 4 + t[T_WX] / 4;
    const int64_t k = t[T_BN] * qs, w = t[T_BM] * ps;
    int64_t quads = t[T_BM] * qs + t[T_BN] * columns(p, row) * t[T_WX];
    quads += t[T_ALIAS] ? (k > w ? k : w) : k + w;
    quads += t[T_BM] * t[T_WX] / 4;
    int64_t bytes = quads * 16 + 64; /* flags, alignment */
    if (p->seg || p->pos)
        bytes += (int64_t)t[T_BM] * 8;
    if (p->blocks)
        bytes += (int64_t)t[T_WY] * 20;
    return bytes;
}

static clflash_status fits(const clfi_attn *p, const clfi_profile *dev, const clfi_row *row,
                           clfi_err *err)
{
    const int32_t *t = row->v;
    const int32_t items = t[T_WX] * t[T_WY];
    CLF_REQUIRE(err, t[T_BM] % t[T_WY] == 0, CLFLASH_INVALID_TUNABLE,
                "simt: T_BM = %d is not a multiple of T_WY = %d", t[T_BM], t[T_WY]);
    CLF_REQUIRE(err, t[T_BN] % t[T_WX] == 0, CLFLASH_INVALID_TUNABLE,
                "simt: T_BN = %d is not a multiple of T_WX = %d", t[T_BN], t[T_WX]);
    CLF_REQUIRE(err, items <= dev->max_work_group, CLFLASH_INVALID_TUNABLE,
                "simt: %d work-items are needed, the device has %lld per work-group", items,
                (long long)dev->max_work_group);
    const int64_t tile = tile_floats(p, row);
    CLF_REQUIRE(err, tile <= MAX_TILE_FLOATS, CLFLASH_INVALID_TUNABLE,
                "simt: %lld floats of register tile per work-item, at most %d", (long long)tile,
                MAX_TILE_FLOATS);
    return clfi_require_local("simt", local_bytes(p, row), dev, err);
}

/* 64 work-items, and 32 KiB up to D = Dv = 256. */
static void safe(const clfi_attn *p, const clfi_profile *dev, clfi_row *row)
{
    for (int32_t i = 0; i < N_TUNABLES; i++)
        row->v[i] = tunables[i].safe;
    int32_t *t = row->v;
    while (t[T_BM] > 8 && tile_floats(p, row) > MAX_TILE_FLOATS)
        t[T_BM] /= 2;
    while (local_bytes(p, row) > dev->local_bytes && (t[T_BM] > 8 || t[T_BN] > 8)) {
        if (t[T_BM] >= t[T_BN])
            t[T_BM] /= 2;
        else
            t[T_BN] /= 2;
    }
}

static clflash_status can(const clfi_attn *p, const clfi_profile *dev, clfi_err *err)
{
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
    /* ex2.approx gives 0 for -INFINITY (PTX ISA, ex2); OpenCL leaves native_exp2 open. */
    clfi_strbuf_add(out, " -DD_NATIVE_EXP2=%d", dev->vendor == CLFI_VENDOR_NVIDIA && !dev->cpu);
}

static int32_t block_q(const clfi_row *row) { return row->v[T_BM]; }

static int32_t block_kv(const clfi_row *row) { return row->v[T_BN]; }

/* One dimension: the others stop at 65535 groups on some devices. */
static void launch(const clfi_attn *p, const clfi_profile *dev, const clfi_row *row,
                   clfi_launch *out)
{
    (void)dev;
    const size_t items = (size_t)row->v[T_WX] * (size_t)row->v[T_WY];
    const size_t groups = (size_t)ceil_div(p->sq, row->v[T_BM]) * (size_t)p->hq * (size_t)p->b;
    *out = clfi_launch_line(groups, items);
}

const clfi_engine clfi_engine_attn_fwd_simt = {
    .name = "simt",
    .source = "attn_fwd_simt.cl",
    .kernel = "clf_attn_fwd",
    .meaning = "any GPU, and the fallback everywhere: OpenCL C 1.2 core, tiles in local memory",
    .flash = true,
    .tunables = tunables,
    .n_tunables = N_TUNABLES,
    .can = can,
    .fits = fits,
    .safe = safe,
    .options = options,
    .launch = launch,
    .block_q = block_q,
    .block_kv = block_kv,
};
