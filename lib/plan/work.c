/* work.c -- what a problem costs: visible pairs, operations, bytes, blocks. (L2, pure C) */
#include "lib/base/half.h"
#include "lib/plan/attn.h"

/* Sum over i in [0, n) of max(0, a + i), n >= 0. */
static int64_t sum_ramp(int64_t a, int64_t n)
{
    const int64_t last = a + n - 1;
    if (last <= 0)
        return 0;
    const int64_t first = a > 0 ? a : 0;
    return (first + last) * (last - first + 1) / 2;
}

/* Pairs of i in [0, nq), j in [0, nk) with j - i <= h. */
static int64_t pairs_up_to(int64_t h, int64_t nq, int64_t nk)
{
    return sum_ramp(h + 1, nq) - sum_ramp(h + 1 - nk, nq);
}

/* Pairs of queries [q0, q1) and keys [k0, k1) inside the band. */
static int64_t band_pairs(const clfi_attn *p, int64_t q0, int64_t q1, int64_t k0, int64_t k1)
{
    const int64_t nq = q1 - q0, nk = k1 - k0;
    if (!p->band || p->pos)
        return nq * nk;
    /* p(j) - p(i) = (j - k0) - (i - q0) + shift */
    const int64_t shift = k0 - q0 - p->q_pos0;
    const int64_t below =
        p->band_lo == INT32_MIN ? 0 : pairs_up_to((int64_t)p->band_lo - shift - 1, nq, nk);
    const int64_t upto =
        p->band_hi == INT32_MAX ? nq * nk : pairs_up_to((int64_t)p->band_hi - shift, nq, nk);
    return upto > below ? upto - below : 0;
}

/* The first token of document t of n over `len` tokens: the first len % n documents have
 * one more than the others. */
static int64_t doc_start(int64_t len, int64_t n, int64_t t)
{
    const int64_t more = len % n;
    return t * (len / n) + (t < more ? t : more);
}

double clfi_attn_visible_pairs(const clfi_attn *p)
{
    if (p->docs == 0)
        return (double)band_pairs(p, 0, p->sq, 0, p->sk);
    /* Documents past the longer side are empty. */
    const int64_t longest = p->sq > p->sk ? p->sq : p->sk;
    const int64_t used = p->docs < longest ? p->docs : longest;
    double pairs = 0;
    for (int64_t t = 0; t < used; t++)
        pairs +=
            (double)band_pairs(p, doc_start(p->sq, p->docs, t), doc_start(p->sq, p->docs, t + 1),
                               doc_start(p->sk, p->docs, t), doc_start(p->sk, p->docs, t + 1));
    return pairs;
}

double clfi_attn_flops(const clfi_attn *p)
{
    const double mean_dim = ((double)p->d + p->dv) / 2;
    const double forward = 4.0 * p->b * p->hq * mean_dim * clfi_attn_visible_pairs(p);
    return p->op == CLFLASH_OP_BWD ? 2.5 * forward : forward;
}

double clfi_attn_bytes(const clfi_attn *p)
{
    const double element = (double)clflash_dtype_bytes(p->dtype);
    const double q_rows = (double)p->b * p->hq * p->sq, k_rows = (double)p->b * p->hk * p->sk;
    const double q = q_rows * p->d, k = k_rows * p->d, v = k_rows * p->dv, o = q_rows * p->dv;
    double bytes = element * (q + k + v + o);
    if (p->op == CLFLASH_OP_BWD) /* reads o, do and lse as well; writes dq, dk, dv */
        bytes = element * (2 * q + 2 * k + 2 * v + 2 * o) + 4 * q_rows;
    const double tokens = (double)p->b * ((double)p->sq + p->sk);
    bytes += 4 * tokens * ((p->seg ? 1 : 0) + (p->pos ? 1 : 0));
    if (p->kvlen)
        bytes += 4.0 * p->b;
    return bytes;
}

static int64_t clamp(int64_t x, int64_t low, int64_t high)
{
    return x < low ? low : x > high ? high : x;
}

void clfi_attn_count_blocks(const clfi_attn *p, int32_t block_q, int32_t block_kv, int64_t *total,
                            int64_t *visited, int64_t *masked)
{
    const int64_t nqb = ((int64_t)p->sq + block_q - 1) / block_q;
    const int64_t nkb = ((int64_t)p->sk + block_kv - 1) / block_kv;
    const bool always = p->boolean || p->blocks; /* every visited block tests its elements */
    *total = nqb * nkb;
    *visited = *total;
    *masked = always ? *total : 0;
    if (!p->band || p->pos || nkb == 0)
        return;
    *visited = *masked = 0;
    const int64_t lo = p->band_lo == INT32_MIN ? -(INT64_C(1) << 40) : p->band_lo;
    const int64_t hi = p->band_hi == INT32_MAX ? INT64_C(1) << 40 : p->band_hi;
    for (int64_t i0 = 0; i0 < p->sq; i0 += block_q) {
        const int64_t i1 = i0 + block_q < p->sq ? i0 + block_q : p->sq;
        const int64_t first = i0 + p->q_pos0, last = i1 - 1 + p->q_pos0;
        /* Keys that some query sees, and keys that all see: half-open, and intervals
         * because lo <= 0 <= hi. */
        const int64_t some0 = clamp(first + lo, 0, p->sk), some1 = clamp(last + hi + 1, 0, p->sk);
        const int64_t all0 = clamp(last + lo, 0, p->sk), all1 = clamp(first + hi + 1, 0, p->sk);
        if (some0 >= some1)
            continue;
        const int64_t seen = (some1 + block_kv - 1) / block_kv - some0 / block_kv;
        const int64_t full0 = (all0 + block_kv - 1) / block_kv;
        const int64_t full1 = all1 == p->sk ? nkb : all1 / block_kv;
        *visited += seen;
        *masked += always || full1 <= full0 ? seen : seen - (full1 - full0);
    }
}
