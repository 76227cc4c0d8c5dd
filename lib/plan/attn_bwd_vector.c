/* attn_bwd_vector.c -- the backward engine "vector": CPU drivers, keys in lanes. (L2)
 * The kernels are in cl_kernels/attn_bwd_vector.cl. */
#include "lib/plan/engine.h"

/*   name    safe  meaning                                        candidates */
#define VECTOR_TUNABLES(X)                                                                         \
    X(T_W, 8, "lanes of a vector", 8, 16)                                                          \
    X(T_NV, 3, "vectors of keys in the register tile", 1, 2, 3, 4)                                 \
    X(T_BR, 4, "queries, and columns of K and V, in the register tile", 4, 6, 8)                   \
    X(T_G, 4, "key groups that share a pass over Q and dO", 1, 2, 3, 4, 6, 8)                      \
    X(T_BQ, 96, "queries per block", 24, 48, 64, 72, 96, 128, 144, 192, 256)                       \
    X(T_PARTS, 1, "work-groups that share a KV head's keys, each with its part of dQ", 1, 2, 4, 8, \
      16, 32)                                                                                      \
    X(T_PACK, 0, "1: copy Q and dO blocks to local memory as f32", 0, 1)                           \
    X(T_UD, 4, "unrolling over the head dimension", 1, 2, 4, 8)                                    \
    X(T_UJ, 2, "unrolling over queries and keys", 1, 2, 4)

enum { VECTOR_TUNABLES(CLFI_TUNABLE_INDEX) N_TUNABLES };
static const clfi_tunable tunables[] = {VECTOR_TUNABLES(CLFI_TUNABLE)};

static int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

/* A local row, as VEC_ROW in the kernel. */
static int64_t row_floats(int64_t n) { return n % 32 == 0 ? n + 16 : n; }

static int32_t block_q(const clfi_row *row) { return row->v[T_BQ]; }

static int32_t block_kv(const clfi_row *row) { return row->v[T_G] * row->v[T_NV] * row->v[T_W]; }

/* A part has at least one block of keys. */
static int64_t parts(const clfi_attn *p, const clfi_row *row)
{
    const int64_t blocks = round_up(p->sk, block_kv(row)) / block_kv(row);
    return blocks < row->v[T_PARTS] ? blocks : row->v[T_PARTS];
}

/* What the kernel declares as __local. */
static int64_t local_bytes(const clfi_attn *p, const clfi_row *row)
{
    const int32_t *t = row->v;
    const int64_t keys = block_kv(row), group = (int64_t)t[T_NV] * t[T_W];
    const int64_t panels = (int64_t)p->d + p->dv + round_up(p->d, t[T_BR]) +
                           round_up(p->dv, t[T_BR]) + row_floats(round_up(p->d, t[T_W]));
    int64_t floats = keys * (panels + 2) + 2 * t[T_BQ] * group;
    if (t[T_PACK])
        floats += t[T_BQ] * (row_floats(p->d) + row_floats(p->dv));
    return floats * (int64_t)sizeof(float) + 512; /* alignment between the arrays */
}

static int64_t scratch_bytes(const clfi_attn *p, const clfi_profile *dev, const clfi_row *row)
{
    (void)dev;
    return parts(p, row) * p->b * p->hq * p->sq * round_up(p->d, row->v[T_W]) *
           (int64_t)sizeof(float);
}

static clflash_status fits(const clfi_attn *p, const clfi_profile *dev, const clfi_row *row,
                           clfi_err *err)
{
    const int32_t *t = row->v;
    CLF_REQUIRE(err, t[T_BQ] % t[T_BR] == 0, CLFLASH_INVALID_TUNABLE,
                "vector: T_BQ = %d is not a multiple of T_BR = %d", t[T_BQ], t[T_BR]);
    CLF_REQUIRE(err, p->dtype == CLFLASH_F32 || t[T_PACK], CLFLASH_INVALID_TUNABLE,
                "vector: 16-bit storage needs T_PACK = 1");
    return clfi_require_local("vector", local_bytes(p, row), dev, err);
}

/* Smaller steps in the order in which they cost speed. */
static bool shrink(clfi_row *row)
{
    int32_t *t = row->v;
    if (t[T_G] > 1)
        t[T_G] /= 2;
    else if (t[T_BQ] > 48)
        t[T_BQ] = 48;
    else if (t[T_NV] > 1)
        t[T_NV]--;
    else if (t[T_BQ] > 24)
        t[T_BQ] = 24;
    else if (t[T_W] > 8)
        t[T_W] = 8;
    else
        return false;
    return true;
}

static void safe(const clfi_attn *p, const clfi_profile *dev, clfi_row *row)
{
    int32_t *t = row->v;
    for (int32_t i = 0; i < N_TUNABLES; i++)
        t[i] = tunables[i].safe;
    if (dev->vector_width >= 16) {
        t[T_W] = 16;
        t[T_NV] = 4;
    }
    t[T_PACK] = p->dtype != CLFLASH_F32;
    while (local_bytes(p, row) > dev->local_bytes && shrink(row))
        ;
    const int64_t heads = (int64_t)p->b * p->hk;
    while (t[T_PARTS] < 32 && heads * t[T_PARTS] < 2 * (int64_t)dev->compute_units)
        t[T_PARTS] *= 2;
}

static clflash_status can(const clfi_attn *p, const clfi_profile *dev, clfi_err *err)
{
    CLF_REQUIRE(err, dev->cpu, CLFLASH_UNSUPPORTED,
                "vector runs on CPU drivers only: it uses one work-item per work-group");
    clfi_row row;
    safe(p, dev, &row);
    const int64_t bytes = local_bytes(p, &row);
    CLF_REQUIRE(err, bytes <= dev->local_bytes, CLFLASH_UNSUPPORTED,
                "vector: d = %d, dv = %d take %lld bytes of local memory, the device has %lld",
                p->d, p->dv, (long long)bytes, (long long)dev->local_bytes);
    return CLFLASH_OK;
}

static void launch(const clfi_attn *p, const clfi_profile *dev, const clfi_row *row,
                   clfi_launch *out)
{
    (void)dev;
    *out = (clfi_launch){
        .dims = 3,
        .global = {(size_t)parts(p, row), (size_t)p->hk, (size_t)p->b},
        .local = {1,               1,                   1                }
    };
}

static void launch_dq(const clfi_attn *p, const clfi_profile *dev, const clfi_row *row,
                      clfi_launch *out)
{
    (void)dev;
    const size_t bq = (size_t)block_q(row);
    *out = (clfi_launch){
        .dims = 3,
        .global = {((size_t)p->sq + bq - 1) / bq, (size_t)p->hq, (size_t)p->b},
        .local = {1,                             1,             1           }
    };
}

static const clfi_part more[] = {
    {"attn_bwd_vector.cl", "clf_attn_bwd_vector_dq", launch_dq},
};

const clfi_engine clfi_engine_attn_bwd_vector = {
    .name = "vector",
    .source = "attn_bwd_vector.cl",
    .kernel = "clf_attn_bwd_vector",
    .meaning = "CPU drivers: a work-group of one, keys in vector lanes",
    .flash = true,
    .tunables = tunables,
    .n_tunables = N_TUNABLES,
    .can = can,
    .fits = fits,
    .safe = safe,
    .options = NULL,
    .launch = launch,
    .more = more,
    .n_more = 1,
    .scratch_bytes = scratch_bytes,
    .block_q = block_q,
    .block_kv = block_kv,
};
