/* attn_fwd_vector_few.c -- the engine "vector_few": CPU drivers, few query rows. (L2)
 * The kernel is cl_kernels/attn_fwd_vector_few.cl. */
#include "lib/plan/engine.h"

#define MAX_QUERIES 16 /* from here on queries in lanes (engine "vector") are faster */
#define MIN_PART 256   /* keys: below, a second launch costs more than it saves */

#define FEW_TUNABLES(X)                                                                            \
    X(T_W, 8, "lanes of a vector", 8, 16)                                                          \
    X(T_ROWS, 4, "rows (query, head) that share a pass over a KV head", 1, 2, 4, 8, 16)            \
    X(T_HEADS, 1, "KV heads of a work-group", 1, 2, 4, 8, 16)                                      \
    X(T_SPLITS, 1, "parts of the keys, at most one per block", 1, 2, 4, 8, 16, 32)                 \
    X(T_BKV, 64, "keys per block", 16, 32, 64, 128, 256, 512)

enum { FEW_TUNABLES(CLFI_TUNABLE_INDEX) N_TUNABLES };
static const clfi_tunable tunables[] = {FEW_TUNABLES(CLFI_TUNABLE)};

/* What the kernel declares as __local. */
static int64_t local_bytes(const clfi_attn *p, const clfi_row *row)
{
    const int64_t w = row->v[T_W], rows = row->v[T_ROWS];
    const int64_t d = (p->d + w - 1) / w * w, dv = (p->dv + w - 1) / w * w;
    const int64_t floats = rows * (row->v[T_HEADS] * (d + dv + w + 1) + row->v[T_BKV]);
    return floats * (int64_t)sizeof(float) + 256; /* alignment between the arrays */
}

static clflash_status can(const clfi_attn *p, const clfi_profile *dev, clfi_err *err)
{
    CLF_REQUIRE(err, dev->cpu, CLFLASH_UNSUPPORTED,
                "vector_few runs on CPU drivers only: it uses one work-item per work-group");
    CLF_REQUIRE(err, p->sq <= MAX_QUERIES, CLFLASH_UNSUPPORTED,
                "vector_few is for at most %d query rows, not %d", MAX_QUERIES, p->sq);
    return CLFLASH_OK;
}

static clflash_status fits(const clfi_attn *p, const clfi_profile *dev, const clfi_row *row,
                           clfi_err *err)
{
    const int64_t bytes = local_bytes(p, row);
    CLF_REQUIRE(err, row->v[T_BKV] % row->v[T_W] == 0, CLFLASH_INVALID_TUNABLE,
                "vector_few: T_BKV = %d is not a multiple of T_W = %d", row->v[T_BKV], row->v[T_W]);
    return clfi_require_local("vector_few", bytes, dev, err);
}

static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

static int32_t splits(const clfi_attn *p, const clfi_row *row)
{
    const int64_t blocks = ceil_div(p->sk, row->v[T_BKV]);
    return blocks < row->v[T_SPLITS] ? (int32_t)blocks : row->v[T_SPLITS];
}

/* Work-groups of one part. */
static int64_t groups(const clfi_attn *p, const clfi_row *row)
{
    return ceil_div((int64_t)p->sq * p->group, row->v[T_ROWS]) * ceil_div(p->hk, row->v[T_HEADS]) *
           p->b;
}

/* All KV heads in one work-group, as rows of [B,S,H,D] then are read whole, and as many parts
 * of the keys as give each compute unit two work-groups. f32 hq8 sk4096 on one busy Xeon core,
 * PoCL 3.1, 2026-11-25, time of a work-group per head over this row's: sq1 d64 1.21, d128
 * 1.26, sq4 d128 1.01, sq8 d128 1.28; [B,H,S,D] sq1 d128 0.98. */
static void safe(const clfi_attn *p, const clfi_profile *dev, clfi_row *row)
{
    const int64_t rows = (int64_t)p->sq * p->group;
    row->v[T_W] = dev->vector_width >= 16 ? 16 : 8;
    row->v[T_ROWS] = rows <= 1 ? 1 : rows <= 2 ? 2 : rows <= 4 ? 4 : 8;
    row->v[T_HEADS] = 1;
    while (row->v[T_HEADS] < 8 && row->v[T_HEADS] < p->hk)
        row->v[T_HEADS] *= 2;
    row->v[T_BKV] = 64;
    while (row->v[T_HEADS] > 1 && local_bytes(p, row) > dev->local_bytes)
        row->v[T_HEADS] /= 2;
    while (row->v[T_BKV] > 16 && local_bytes(p, row) > dev->local_bytes)
        row->v[T_BKV] /= 2;
    while (row->v[T_ROWS] > 1 && local_bytes(p, row) > dev->local_bytes)
        row->v[T_ROWS] /= 2;
    row->v[T_SPLITS] = 1;
    while (row->v[T_SPLITS] < 32 && groups(p, row) * row->v[T_SPLITS] < 2 * dev->compute_units &&
           p->sk >= 2 * MIN_PART * row->v[T_SPLITS])
        row->v[T_SPLITS] *= 2;
}

/* Every query is in the first block: the kernel reads one record of the block mask. */
static int32_t block_q(const clfi_row *row)
{
    (void)row;
    return MAX_QUERIES;
}

static int32_t block_kv(const clfi_row *row) { return row->v[T_BKV]; }

static void launch(const clfi_attn *p, const clfi_profile *dev, const clfi_row *row,
                   clfi_launch *out)
{
    (void)dev;
    const int64_t tiles = ceil_div((int64_t)p->sq * p->group, row->v[T_ROWS]);
    *out = (clfi_launch){
        .dims = 3,
        .global = {(size_t)tiles, (size_t)ceil_div(p->hk, row->v[T_HEADS]),
                   (size_t)p->b * (size_t)splits(p, row)},
        .local = {1,         1,                               1                                              }
    };
}

const clfi_engine clfi_engine_attn_fwd_vector_few = {
    .name = "vector_few",
    .source = "attn_fwd_vector_few.cl",
    .kernel = "clf_attn_fwd",
    .meaning = "CPU drivers, at most 16 queries: lanes along the head dimension",
    .flash = true,
    .tunables = tunables,
    .n_tunables = N_TUNABLES,
    .can = can,
    .fits = fits,
    .safe = safe,
    .options = NULL,
    .launch = launch,
    .splits = splits,
    .block_q = block_q,
    .block_kv = block_kv,
};
