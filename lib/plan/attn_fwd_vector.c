/* attn_fwd_vector.c -- the engine "vector": CPU drivers, queries in lanes. (L2)
 * The kernel is cl_kernels/attn_fwd_vector.cl. */
#include "lib/plan/engine.h"

/*   name    safe  meaning                                        candidates */
#define VECTOR_TUNABLES(X)                                                                         \
    X(T_W, 8, "lanes of a vector", 8, 16)                                                          \
    X(T_NV, 3, "vectors of queries in the register tile", 1, 2, 3, 4)                              \
    X(T_BR, 4, "keys, and columns of V, in the register tile", 4, 6, 8, 12)                        \
    X(T_G, 4, "query groups that share a pass over K and V", 1, 2, 3, 4, 6, 8, 16)                 \
    X(T_BKV, 128, "keys per block", 16, 32, 48, 64, 96, 128, 192, 256)                             \
    X(T_PACK, 0, "1: copy K and V blocks to local memory as f32", 0, 1)                            \
    X(T_UD, 4, "unrolling over the head dimension", 1, 2, 4, 8)                                    \
    X(T_UJ, 2, "unrolling over keys", 1, 2, 4)

enum { VECTOR_TUNABLES(CLFI_TUNABLE_INDEX) N_TUNABLES };
static const clfi_tunable tunables[] = {VECTOR_TUNABLES(CLFI_TUNABLE)};

/* A row of local K or V, as VEC_ROW in the kernel. */
static int64_t row_floats(int64_t n) { return n % 32 == 0 ? n + 16 : n; }

/* What the kernel declares as __local. */
static int64_t local_bytes(const clfi_attn *p, const clfi_row *row)
{
    const int32_t *t = row->v;
    const int64_t group = (int64_t)t[T_NV] * t[T_W];
    const int64_t dvp = ((int64_t)p->dv + t[T_BR] - 1) / t[T_BR] * t[T_BR];
    int64_t floats = group * (t[T_G] * (p->d + dvp) + t[T_BKV] + t[T_BR] + 4 * (int64_t)t[T_G]);
    if (t[T_PACK])
        floats += t[T_BKV] * (row_floats(p->d) + row_floats(p->dv));
    return floats * (int64_t)sizeof(float) + 256; /* alignment between the arrays */
}

static clflash_status can(const clfi_attn *p, const clfi_profile *dev, clfi_err *err)
{
    (void)p;
    CLF_REQUIRE(err, dev->cpu, CLFLASH_UNSUPPORTED,
                "vector runs on CPU drivers only: it uses one work-item per work-group");
    return CLFLASH_OK;
}

static clflash_status fits(const clfi_attn *p, const clfi_profile *dev, const clfi_row *row,
                           clfi_err *err)
{
    const int32_t *t = row->v;
    CLF_REQUIRE(err, t[T_BKV] % t[T_BR] == 0, CLFLASH_INVALID_TUNABLE,
                "vector: T_BKV = %d is not a multiple of T_BR = %d", t[T_BKV], t[T_BR]);
    CLF_REQUIRE(err, p->dtype == CLFLASH_F32 || t[T_PACK], CLFLASH_INVALID_TUNABLE,
                "vector: 16-bit storage needs T_PACK = 1");
    return clfi_require_local("vector", local_bytes(p, row), dev, err);
}

/* Smaller steps in the order in which they cost speed. */
static bool shrink(clfi_row *row)
{
    int32_t *t = row->v;
    if (t[T_BKV] > 32)
        t[T_BKV] /= 2;
    else if (t[T_G] > 1)
        t[T_G] /= 2;
    else if (t[T_NV] > 1)
        t[T_NV]--;
    else if (t[T_BKV] > 16)
        t[T_BKV] = 16;
    else if (t[T_W] > 8)
        t[T_W] = 8;
    else
        return false;
    return true;
}

static void safe(const clfi_attn *p, const clfi_profile *dev, clfi_row *row)
{
    for (int32_t i = 0; i < N_TUNABLES; i++)
        row->v[i] = tunables[i].safe;
    if (dev->vector_width >= 16) {
        row->v[T_W] = 16;
        row->v[T_BR] = 8;
    }
    row->v[T_PACK] = p->dtype != CLFLASH_F32;
    while (local_bytes(p, row) > dev->local_bytes && shrink(row))
        ;
}

static int32_t block_q(const clfi_row *row) { return row->v[T_G] * row->v[T_NV] * row->v[T_W]; }

static int32_t block_kv(const clfi_row *row) { return row->v[T_BKV]; }

static void launch(const clfi_attn *p, const clfi_profile *dev, const clfi_row *row,
                   clfi_launch *out)
{
    (void)dev;
    const int32_t bq = block_q(row);
    *out = (clfi_launch){
        .dims = 3,
        .global = {((size_t)p->sq + (size_t)bq - 1) / (size_t)bq, (size_t)p->hq, (size_t)p->b},
        .local = {1,                                             1,             1           }
    };
}

const clfi_engine clfi_engine_attn_fwd_vector = {
    .name = "vector",
    .source = "attn_fwd_vector.cl",
    .kernel = "clf_attn_fwd",
    .meaning = "CPU drivers: a work-group of one, queries in vector lanes",
    .flash = true,
    .tunables = tunables,
    .n_tunables = N_TUNABLES,
    .can = can,
    .fits = fits,
    .safe = safe,
    .options = NULL,
    .launch = launch,
    .block_q = block_q,
    .block_kv = block_kv,
};
