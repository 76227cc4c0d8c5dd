/* select.c -- which engines can run a problem, and with which row. (L3)
 * docs/tuning.md#lookup: caller's block sizes, tuning file, shipped row, safe row. */
#include "lib/tune/select.h"

#include "lib/tune/shipped.h"
#include "lib/tune/store.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- block sizes by hand ---- */

typedef struct by_hand {
    const clfi_engine *engine;
    const clfi_attn *p;
    const clfi_profile *dev;
    clfi_row found;
} by_hand;

static bool matches_choice(const by_hand *h, const clfi_row *row)
{
    const clflash_attn_choice *c = &h->p->desc.choice;
    return (!c->block_q || h->engine->block_q(row) == c->block_q) &&
           (!c->block_kv || h->engine->block_kv(row) == c->block_kv) &&
           h->engine->fits(h->p, h->dev, row, NULL) == CLFLASH_OK;
}

/* A row that differs from `row` in exactly `changes` tunables from number `first` on. */
static bool search_by_hand(by_hand *h, const clfi_row *row, int32_t first, int32_t changes)
{
    if (changes == 0) {
        h->found = *row;
        return matches_choice(h, row);
    }
    for (int32_t i = first; i + changes <= h->engine->n_tunables; i++) {
        const clfi_tunable *t = &h->engine->tunables[i];
        for (int32_t c = 0; c < t->n_candidates; c++) {
            clfi_row next = *row;
            next.v[i] = t->candidates[c];
            if (next.v[i] != row->v[i] && search_by_hand(h, &next, i + 1, changes - 1))
                return true;
        }
    }
    return false;
}

/* The row nearest to `row` with the block sizes that the caller asked for. */
static bool fit_by_hand(const clfi_engine *e, const clfi_attn *p, const clfi_profile *dev,
                        clfi_row *row)
{
    by_hand h = {.engine = e, .p = p, .dev = dev};
    /* Four tunables make a block size in every engine; more would only cost time. */
    for (int32_t changes = 0; changes <= 4; changes++) {
        if (search_by_hand(&h, row, 0, changes)) {
            *row = h.found;
            return true;
        }
    }
    return false;
}

/* ---- one engine ---- */

static bool wanted(const clfi_engine *e, const clflash_attn_choice *c)
{
    if (c->engine[0])
        return !strcmp(c->engine, e->name) && !(c->algo == CLFLASH_ALGO_FLASH && !e->flash) &&
               !(c->algo == CLFLASH_ALGO_STANDARD && e->flash);
    return c->algo == CLFLASH_ALGO_AUTO || (c->algo == CLFLASH_ALGO_FLASH) == e->flash;
}

/* File, shipped, safe; *ms is INFINITY unless the row comes from the file. */
static clflash_status choose_row(clflash_context *ctx, const clfi_attn *p, const clfi_engine *e,
                                 bool file_only, clfi_candidate *out, float *ms, clfi_err *err)
{
    const clfi_profile *dev = clfi_context_profile(ctx);
    *ms = INFINITY;
    if (clfi_store_best(ctx, p, e, &out->row, ms) == CLFLASH_OK) {
        snprintf(out->origin, sizeof out->origin, "tuning file");
        return CLFLASH_OK;
    }
    CLF_REQUIRE(err, !file_only, CLFLASH_NOT_CACHED, "no row in the tuning file");
    const clfi_shipped *shipped = clfi_shipped_find(e, p, dev, &out->row);
    if (shipped) {
        snprintf(out->origin, sizeof out->origin, "shipped: %.50s", shipped->row);
        return CLFLASH_OK;
    }
    e->safe(p, dev, &out->row);
    snprintf(out->origin, sizeof out->origin, "safe");
    return e->fits(p, dev, &out->row, err);
}

static clflash_status consider(clflash_context *ctx, const clfi_attn *p, const clfi_engine *e,
                               bool file_only, clfi_candidate *out, float *ms, clfi_err *err)
{
    const clfi_profile *dev = clfi_context_profile(ctx);
    const clflash_attn_choice *c = &p->desc.choice;
    *out = (clfi_candidate){.engine = e};
    CLF_TRY(e->can(p, dev, err));
    CLF_TRY(choose_row(ctx, p, e, file_only, out, ms, err));
    if (c->block_q || c->block_kv) {
        clfi_row row = out->row;
        CLF_REQUIRE(err, fit_by_hand(e, p, dev, &row), CLFLASH_INVALID_TUNABLE,
                    "no row has block_q = %d and block_kv = %d (0 = any) and fits", c->block_q,
                    c->block_kv);
        out->row = row;
        snprintf(out->origin, sizeof out->origin, "caller");
    }
    return CLFLASH_OK;
}

/* ---- all engines ---- */

static clflash_status none_left(const clfi_attn *p, bool blocks_refused, bool not_cached,
                                const clfi_strbuf *why, clfi_err *err)
{
    const clflash_attn_choice *c = &p->desc.choice;
    if (c->engine[0] && !clfi_engine_find(p->op, c->engine))
        return clfi_fail(err, CLFLASH_UNSUPPORTED, "there is no engine '%s'", c->engine);
    const clflash_status status = blocks_refused ? CLFLASH_INVALID_TUNABLE
                                  : not_cached   ? CLFLASH_NOT_CACHED
                                                 : CLFLASH_UNSUPPORTED;
    if (why->used == 0)
        return clfi_fail(err, status, "no engine is both of the kind and of the name asked for");
    return clfi_fail(err, status, "%s", why->text);
}

/* The list's order, but the fastest measured engine goes first if the first was measured
 * too: a single row for a slower engine says nothing about the others. */
static void sort_by_file(clfi_candidate *out, float *ms, int32_t n)
{
    int32_t best = 0;
    for (int32_t i = 1; i < n; i++)
        if (ms[i] < ms[best])
            best = i;
    if (best == 0 || isinf(ms[0]))
        return;
    const clfi_candidate first = out[best];
    memmove(out + 1, out, (size_t)best * sizeof *out);
    out[0] = first;
}

clflash_status clfi_select(clflash_context *ctx, const clfi_attn *p, bool file_only,
                           clfi_candidate *out, int32_t *n, clfi_strbuf *why, clfi_err *err)
{
    char text[1024];
    clfi_strbuf own = clfi_strbuf_on(text, sizeof text);
    float ms[CLFI_MAX_ENGINES];
    bool blocks_refused = false, not_cached = false;
    why = why ? why : &own;
    *n = 0;
    int32_t n_engines;
    const clfi_engine *const *engines = clfi_engines(p->op, &n_engines);
    for (int32_t i = 0; i < n_engines && *n < CLFI_MAX_ENGINES; i++) {
        const clfi_engine *e = engines[i];
        clfi_err reason = {0};
        if (!wanted(e, &p->desc.choice))
            continue;
        const clflash_status status = consider(ctx, p, e, file_only, &out[*n], &ms[*n], &reason);
        if (status == CLFLASH_OK) {
            (*n)++;
            continue;
        }
        blocks_refused |= status == CLFLASH_INVALID_TUNABLE &&
                          (p->desc.choice.block_q || p->desc.choice.block_kv);
        not_cached |= status == CLFLASH_NOT_CACHED;
        clfi_strbuf_add(why, "%s%s: %s", why->used ? "\n" : "", e->name, reason.text);
    }
    if (*n == 0)
        return none_left(p, blocks_refused, not_cached, why, err);
    sort_by_file(out, ms, *n);
    return CLFLASH_OK;
}
