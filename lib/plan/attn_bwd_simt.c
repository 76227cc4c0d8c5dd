/* attn_bwd_simt.c -- the backward engine "simt": any GPU, and the fallback of every device. (L2)
 * The kernels are in cl_kernels/simt_bwd.clh. */
#include "lib/plan/engine.h"

/*   name    safe  meaning                                           candidates */
#define SIMT_TUNABLES(X)                                                                           \
    X(T_BM, 32, "queries of a block", 4, 8, 16, 32, 64, 128)                                       \
    X(T_BN, 32, "keys of a block", 4, 8, 16, 32, 64, 128)                                          \
    X(T_QX, 8, "dQ: work-items over keys and over columns of dQ", 4, 8, 16, 32)                    \
    X(T_QY, 8, "dQ: work-items over queries", 4, 8, 16, 32)                                        \
    X(T_KX, 8, "dK, dV: work-items over queries and over columns of dK and dV", 4, 8, 16, 32)      \
    X(T_KY, 8, "dK, dV: work-items over keys", 4, 8, 16, 32)                                       \
    X(T_PARTS, 0, "0: dQ by a walk of its own; n: with dK and dV, as n parts in the workspace", 0, \
      1, 2, 4)                                                                                     \
    X(T_ALIAS, 1, "1: the two tiles of the other side share their place", 0, 1)                    \
    X(T_UQ, 2, "float4 steps unrolled in products over columns", 1, 2, 4, 8)                       \
    X(T_UP, 2, "float4 steps unrolled in products over tokens", 1, 2, 4, 8)

enum { SIMT_TUNABLES(CLFI_TUNABLE_INDEX) N_TUNABLES };
static const clfi_tunable tunables[] = {SIMT_TUNABLES(CLFI_TUNABLE)};

/* Floats of the register tiles past which every GPU spills: 255 registers at most. */
#define MAX_TILE_FLOATS 200

static int64_t ceil_div(int64_t n, int64_t m) { return (n + m - 1) / m; }
static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

/* One of the two kernels: its own block, the other side's, and the items over each. */
typedef struct side {
    bool keys;
    const char *name;
    int64_t rows, cols, wx, wy;
} side;

#define N_SIDES 2

static side make_side(const clfi_row *row, bool keys)
{
    const int32_t *t = row->v;
    return keys ? (side){true, "dK, dV", t[T_BN], t[T_BM], t[T_KX], t[T_KY]}
                : (side){false, "dQ", t[T_BM], t[T_BN], t[T_QX], t[T_QY]};
}

/* float4 of a row of n floats, as all items of a row together hold them: SIMT_COLS_D. */
static int64_t shared_quads(const side *s, int64_t n)
{
    return ceil_div(ceil_div(n, 4), s->wx) * s->wx;
}

/* Of the register tiles of products and sums. */
static int64_t tile_floats(const clfi_attn *p, const side *s)
{
    int64_t quads = shared_quads(s, p->d);
    if (s->keys)
        quads += shared_quads(s, p->dv);
    return s->rows / s->wy * (s->cols / s->wx + 4 * quads / s->wx);
}

/* What the kernel declares as __local: SIMT_START. */
static int64_t local_bytes(const clfi_attn *p, const clfi_row *row, const side *s)
{
    const int32_t *t = row->v;
    const int64_t d4 = ceil_div(p->d, 4), dv4 = ceil_div(p->dv, 4);
    const int64_t other_d = shared_quads(s, p->d) | 1;
    const int64_t other_v = (s->keys ? shared_quads(s, p->dv) : dv4) | 1;
    int64_t quads =
        s->rows * (((s->keys && t[T_PARTS] ? shared_quads(s, p->d) : d4) | 1) + (dv4 | 1));
    quads += s->cols * (t[T_ALIAS] ? larger(other_d, other_v) : other_d + other_v);
    quads += s->rows * (s->cols / 4 + s->wx / 4);
    int64_t bytes = quads * 16 + t[T_BM] * 8 + 64; /* flags, alignment */
    if (p->seg || p->pos)
        bytes += ((int64_t)t[T_BM] + t[T_BN]) * 8;
    return bytes;
}

static clflash_status fits_side(const clfi_attn *p, const clfi_profile *dev, const clfi_row *row,
                                const side *s, clfi_err *err)
{
    const clflash_status bad = CLFLASH_INVALID_TUNABLE;
    CLF_REQUIRE(err, s->rows % s->wy == 0 && s->cols % s->wx == 0, bad,
                "simt: %lld x %lld work-items do not divide a block of %lld x %lld (%s)",
                (long long)s->wy, (long long)s->wx, (long long)s->rows, (long long)s->cols,
                s->name);
    CLF_REQUIRE(err, s->wx * s->wy <= dev->max_work_group, bad,
                "simt: %lld work-items are needed, the device has %lld per work-group (%s)",
                (long long)(s->wx * s->wy), (long long)dev->max_work_group, s->name);
    const int64_t tile = tile_floats(p, s);
    CLF_REQUIRE(err, tile <= MAX_TILE_FLOATS, bad,
                "simt: %lld floats of register tile per work-item, at most %d (%s)",
                (long long)tile, MAX_TILE_FLOATS, s->name);
    const int64_t bytes = local_bytes(p, row, s);
    CLF_REQUIRE(err, bytes <= dev->local_bytes, bad,
                "simt: %lld bytes of local memory are needed, the device has %lld (%s)",
                (long long)bytes, (long long)dev->local_bytes, s->name);
    return CLFLASH_OK;
}

static clflash_status fits(const clfi_attn *p, const clfi_profile *dev, const clfi_row *row,
                           clfi_err *err)
{
    for (int i = 0; i < N_SIDES; i++) {
        const side s = make_side(row, i);
        CLF_TRY(fits_side(p, dev, row, &s, err));
    }
    return CLFLASH_OK;
}

static bool too_large(const clfi_attn *p, const clfi_profile *dev, const clfi_row *row, bool keys)
{
    const side s = make_side(row, keys);
    return tile_floats(p, &s) > MAX_TILE_FLOATS || local_bytes(p, row, &s) > dev->local_bytes;
}

/* 64 work-items, and 32 KiB up to D = Dv = 128 with blocks of 16, then smaller ones. */
static void safe(const clfi_attn *p, const clfi_profile *dev, clfi_row *row)
{
    int32_t *t = row->v;
    for (int32_t i = 0; i < N_TUNABLES; i++)
        t[i] = tunables[i].safe;
    while (too_large(p, dev, row, false) || too_large(p, dev, row, true)) {
        const int32_t most = larger(t[T_BM], t[T_BN]);
        if (most == 4)
            return;
        int32_t *block = t[T_BN] == most ? &t[T_BN] : &t[T_BM];
        *block /= 2;
        if (*block < 8) {
            const bool keys = block == &t[T_BN];
            t[keys ? T_QX : T_KX] = t[keys ? T_KY : T_QY] = *block;
        }
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
static clfi_launch grid(int64_t groups, const side *s)
{
    const size_t items = (size_t)(s->wx * s->wy);
    return clfi_launch_line((size_t)groups, items);
}

static void launch_dq(const clfi_attn *p, const clfi_profile *dev, const clfi_row *row,
                      clfi_launch *out)
{
    (void)dev;
    const side s = make_side(row, false);
    const int64_t heads = (int64_t)p->b * p->hq;
    const int64_t quads = heads * p->sq * ceil_div(p->d, 4);
    *out =
        grid(row->v[T_PARTS] ? ceil_div(quads, s.wx * s.wy) : heads * ceil_div(p->sq, s.rows), &s);
}

static void launch_dkv(const clfi_attn *p, const clfi_profile *dev, const clfi_row *row,
                       clfi_launch *out)
{
    (void)dev;
    const side s = make_side(row, true);
    const int64_t shares = row->v[T_PARTS] ? row->v[T_PARTS] : ceil_div(p->sk, s.rows);
    *out = grid((int64_t)p->b * p->hk * shares, &s);
}

/* The parts of dQ, rows of float4. */
static int64_t scratch_bytes(const clfi_attn *p, const clfi_profile *dev, const clfi_row *row)
{
    (void)dev;
    return row->v[T_PARTS] * ((int64_t)p->b * p->hq * p->sq * ceil_div(p->d, 4) * 16);
}

static const clfi_part more[] = {
    {"attn_bwd_simt_dq.cl", "clf_attn_bwd_dq", launch_dq},
};

const clfi_engine clfi_engine_attn_bwd_simt = {
    .name = "simt",
    .source = "attn_bwd_simt_dkv.cl",
    .kernel = "clf_attn_bwd_dkv",
    .meaning = "any GPU, and the fallback everywhere: OpenCL C 1.2 core, tiles in local memory",
    .flash = true,
    .tunables = tunables,
    .n_tunables = N_TUNABLES,
    .can = can,
    .fits = fits,
    .safe = safe,
    .options = options,
    .launch = launch_dkv,
    .more = more,
    .n_more = 1,
    .scratch_bytes = scratch_bytes,
    .block_q = block_q,
    .block_kv = block_kv,
};
