/* attn.c -- the rules of an attention problem, and its defaults resolved. (L2, pure C) */
#include "lib/plan/attn.h"

#include "lib/base/strbuf.h"

#include <math.h>
#include <string.h>

#define MAX_LEN ((1 << 30) - 1) /* positions and their differences stay within int32 */
#define MAX_D 576
#define MAX_DV 512

static clflash_status check_enums(const clflash_attn_desc *d, clfi_err *err)
{
    const clflash_mask *m = &d->mask;
    CLF_REQUIRE(err, d->op >= CLFLASH_OP_FWD && d->op <= CLFLASH_OP_DECODE,
                CLFLASH_INVALID_ARGUMENT, "op %d is not one of clflash_op", (int)d->op);
    CLF_REQUIRE(err, clflash_dtype_bytes(d->dtype) != 0, CLFLASH_INVALID_DTYPE,
                "dtype %d is not f32, f16 or bf16", (int)d->dtype);
    CLF_REQUIRE(err, d->layout == CLFLASH_LAYOUT_BSHD || d->layout == CLFLASH_LAYOUT_BHSD,
                CLFLASH_INVALID_ARGUMENT, "layout %d is not one of clflash_layout", (int)d->layout);
    CLF_REQUIRE(err, m->causal >= CLFLASH_CAUSAL_NONE && m->causal <= CLFLASH_CAUSAL_TOP_LEFT,
                CLFLASH_INVALID_ARGUMENT, "causal %d is not one of clflash_causal", (int)m->causal);
    CLF_REQUIRE(err, m->align == CLFLASH_ALIGN_BOTTOM_RIGHT || m->align == CLFLASH_ALIGN_TOP_LEFT,
                CLFLASH_INVALID_ARGUMENT, "align %d is not one of clflash_align", (int)m->align);
    CLF_REQUIRE(err, d->choice.algo >= CLFLASH_ALGO_AUTO && d->choice.algo <= CLFLASH_ALGO_STANDARD,
                CLFLASH_INVALID_ARGUMENT, "algo %d is not one of clflash_algo",
                (int)d->choice.algo);
    CLF_REQUIRE(err, memchr(d->choice.engine, '\0', sizeof d->choice.engine),
                CLFLASH_INVALID_ARGUMENT, "the engine's name has no end within %d bytes",
                CLFLASH_ENGINE_NAME_BYTES);
    return CLFLASH_OK;
}

/* Sizes with their defaults; nothing is checked yet. */
static void resolve_sizes(clfi_attn *p, const clflash_attn_desc *d)
{
    p->b = d->batch == 0 ? 1 : d->batch == CLFLASH_EMPTY ? 0 : d->batch;
    p->hq = d->q_heads;
    p->hk = d->kv_heads == 0 ? d->q_heads : d->kv_heads;
    p->sq = d->q_len;
    p->sk = d->kv_len == 0 ? d->q_len : d->kv_len == CLFLASH_EMPTY ? 0 : d->kv_len;
    p->d = d->head_dim;
    p->dv = d->value_dim == 0 ? d->head_dim : d->value_dim;
}

/* Whether a tensor of f32, the largest element, keeps its byte size within int64. */
static bool size_fits(int64_t b, int64_t h, int64_t s, int64_t d)
{
    const int64_t factor[] = {b, h, s, d, 4};
    int64_t size = 1;
    for (int i = 0; i < 5; i++) {
        if (factor[i] == 0)
            return true;
        if (size > INT64_MAX / factor[i])
            return false;
        size *= factor[i];
    }
    return true;
}

static clflash_status check_sizes(const clflash_attn_desc *d, const clfi_attn *p, clfi_err *err)
{
    const clflash_status bad = CLFLASH_INVALID_SIZE;
    CLF_REQUIRE(err, p->b >= 0, bad, "batch b = %d is negative", p->b);
    CLF_REQUIRE(err, p->hq >= 1, bad, "query heads hq = %d: at least 1 is required", p->hq);
    CLF_REQUIRE(err, p->hk >= 1, bad, "key heads hk = %d are negative", p->hk);
    CLF_REQUIRE(err, p->hq % p->hk == 0, CLFLASH_INVALID_HEADS,
                "key heads hk = %d do not divide query heads hq = %d", p->hk, p->hq);
    CLF_REQUIRE(err, p->sq >= 0 && p->sq <= MAX_LEN, bad, "query length sq = %d is not in 0 to %d",
                p->sq, MAX_LEN);
    CLF_REQUIRE(err, p->sk >= 0 && p->sk <= MAX_LEN, bad, "key length sk = %d is not in 0 to %d",
                p->sk, MAX_LEN);
    CLF_REQUIRE(err, p->d >= 1 && p->d <= MAX_D, bad, "head dimension d = %d is not in 1 to %d",
                p->d, MAX_D);
    CLF_REQUIRE(err, p->dv >= 1 && p->dv <= MAX_DV, bad,
                "value dimension dv = %d is not in 1 to %d", p->dv, MAX_DV);
    const int32_t wide = p->d > p->dv ? p->d : p->dv;
    CLF_REQUIRE(err, size_fits(p->b, p->hq, p->sq, wide) && size_fits(p->b, p->hk, p->sk, wide),
                bad, "a tensor of b = %d, hq = %d, sq = %d, sk = %d, d = %d passes 2^63 bytes",
                p->b, p->hq, p->sq, p->sk, wide);
    CLF_REQUIRE(err, d->docs >= 0, bad, "docs = %d is negative", d->docs);
    CLF_REQUIRE(err, d->choice.block_q >= 0, bad, "block_q = %d is negative", d->choice.block_q);
    CLF_REQUIRE(err, d->choice.block_kv >= 0, bad, "block_kv = %d is negative", d->choice.block_kv);
    return CLFLASH_OK;
}

static clflash_status check_terms(const clflash_attn_desc *d, clfi_err *err)
{
    const clflash_mask *m = &d->mask;
    CLF_REQUIRE(err, isfinite(d->scale), CLFLASH_INVALID_SCALE, "scale = %g is not finite",
                (double)d->scale);
    CLF_REQUIRE(err, isfinite(d->softcap) && d->softcap >= 0, CLFLASH_INVALID_SCALE,
                "softcap = %g is not a finite number >= 0", (double)d->softcap);
    CLF_REQUIRE(err,
                m->causal != CLFLASH_CAUSAL_BOTTOM_RIGHT || m->align == CLFLASH_ALIGN_BOTTOM_RIGHT,
                CLFLASH_INVALID_MASK,
                "causal is bottom-right but align is top-left: ask for top-left causal");
    if (m->window)
        CLF_REQUIRE(err,
                    m->window_left >= CLFLASH_UNBOUNDED && m->window_right >= CLFLASH_UNBOUNDED,
                    CLFLASH_INVALID_MASK, "window %d:%d has an end below -1 (unbounded)",
                    m->window_left, m->window_right);
    else
        CLF_REQUIRE(err, m->window_left == 0 && m->window_right == 0, CLFLASH_INVALID_MASK,
                    "window ends %d:%d are set but window is false", m->window_left,
                    m->window_right);
    CLF_REQUIRE(err, d->op == CLFLASH_OP_BWD || !(d->grad_f32 || d->recompute),
                CLFLASH_INVALID_ARGUMENT, "grad_f32 and recompute belong to the backward");
    return CLFLASH_OK;
}

static clflash_status check(const clflash_attn_desc *d, clfi_attn *p, clfi_err *err)
{
    CLF_REQUIRE(err, d, CLFLASH_INVALID_ARGUMENT, "the descriptor is NULL");
    CLF_TRY(check_enums(d, err));
    resolve_sizes(p, d);
    CLF_TRY(check_sizes(d, p, err));
    return check_terms(d, err);
}

clflash_status clflash_attn_desc_check(const clflash_attn_desc *desc, char *reason,
                                       size_t reason_bytes)
{
    clfi_err err = {0};
    clfi_attn p = {0};
    const clflash_status status = check(desc, &p, &err);
    clfi_err_copy(&err, reason, reason_bytes);
    return status;
}

/* Causal and window are one rule to the kernels: band_lo <= p(j) - p(i) <= band_hi. */
static void resolve_band(clfi_attn *p, const clflash_mask *m)
{
    p->band_lo = INT32_MIN;
    p->band_hi = INT32_MAX;
    if (m->window && m->window_left != CLFLASH_UNBOUNDED)
        p->band_lo = -m->window_left;
    if (m->window && m->window_right != CLFLASH_UNBOUNDED)
        p->band_hi = m->window_right;
    if (m->causal && p->band_hi > 0)
        p->band_hi = 0;
    p->band = p->band_lo != INT32_MIN || p->band_hi != INT32_MAX;
}

clflash_status clfi_attn_resolve(clfi_attn *p, const clflash_attn_desc *desc, clfi_err *err)
{
    *p = (clfi_attn){0};
    CLF_TRY(check(desc, p, err));
    const clflash_mask *m = &desc->mask;
    p->desc = *desc;
    p->op = desc->op;
    p->dtype = desc->dtype;
    p->group = p->hq / p->hk;
    p->scale = desc->scale != 0 ? desc->scale : (float)(1.0 / sqrt((double)p->d));
    p->softcap = desc->softcap;
    resolve_band(p, m);
    const bool top_left =
        m->causal == CLFLASH_CAUSAL_TOP_LEFT || m->align == CLFLASH_ALIGN_TOP_LEFT;
    p->q_pos0 = top_left ? 0 : p->sk - p->sq;
    p->alibi = desc->alibi;
    p->sink = desc->sink;
    p->bias = desc->bias;
    p->boolean = m->boolean;
    p->docs = desc->docs;
    p->seg = m->segments || desc->docs > 0;
    p->pos = m->positions && (p->band || p->alibi);
    p->kvlen = m->kv_lengths;
    p->blocks = p->seg || (p->pos && p->band);
    p->layout = desc->layout;
    p->grad_f32 = desc->grad_f32 || p->dtype == CLFLASH_F32;
    p->recompute = desc->recompute;
    return CLFLASH_OK;
}

void clfi_attn_key(const clfi_attn *p, char *text, size_t bytes)
{
    /* What changes speed, and nothing else: values that a kernel gets as arguments share
     * a key, and documents are segments. */
    clflash_attn_desc d = p->desc;
    d.choice = (clflash_attn_choice){.nondeterministic = d.choice.nondeterministic};
    d.scale = 0;
    d.softcap = d.softcap != 0 ? 1 : 0;
    d.layout = CLFLASH_LAYOUT_BSHD;
    d.recompute = false;
    d.mask.segments = p->seg;
    d.mask.positions = p->pos;
    d.docs = 0;
    clflash_attn_desc_print(&d, text, bytes);
}

void clfi_attn_options(const clfi_attn *p, struct clfi_strbuf *options)
{
    const struct {
        const char *name;
        int32_t value;
    } facts[] = {
        {"P_DTYPE",   (int32_t)p->dtype},
        {"P_D",       p->d             },
        {"P_DV",      p->dv            },
        {"P_BAND",    p->band          },
        {"P_SEG",     p->seg           },
        {"P_POS",     p->pos           },
        {"P_KVLEN",   p->kvlen         },
        {"P_BLOCKS",  p->blocks        },
        {"P_BOOL",    p->boolean       },
        {"P_BIAS",    p->bias          },
        {"P_SOFTCAP", p->softcap != 0  },
        {"P_ALIBI",   p->alibi         },
        {"P_SINK",    p->sink          },
    };
    for (size_t i = 0; i < sizeof facts / sizeof facts[0]; i++)
        clfi_strbuf_add(options, "%s-D%s=%d", options->used ? " " : "", facts[i].name,
                        facts[i].value);
    if (p->op == CLFLASH_OP_BWD)
        clfi_strbuf_add(options, " -DP_GRAD_F32=%d -DP_DET=%d", p->grad_f32,
                        !p->desc.choice.nondeterministic);
}
