/* engine.c -- rows, options and lookup for any engine. (L2, pure C) */
#include "lib/plan/engine.h"

#include "lib/plan/problem_words.h"

#include <string.h>

const clfi_engine *const *clfi_engines(clflash_op op, int32_t *n)
{
    const bool bwd = op == CLFLASH_OP_BWD;
    *n = bwd ? clfi_n_attn_bwd_engines : clfi_n_attn_fwd_engines;
    return bwd ? clfi_attn_bwd_engines : clfi_attn_fwd_engines;
}

const clfi_engine *clfi_engine_find(clflash_op op, const char *name)
{
    int32_t n;
    const clfi_engine *const *engines = clfi_engines(op, &n);
    for (int32_t i = 0; i < n; i++)
        if (!strcmp(engines[i]->name, name))
            return engines[i];
    return NULL;
}

int32_t clfi_engine_tunable(const clfi_engine *e, const char *name)
{
    for (int32_t i = 0; i < e->n_tunables; i++)
        if (!strcmp(e->tunables[i].name, name))
            return i;
    return -1;
}

void clfi_row_print(const clfi_engine *e, const clfi_row *row, char *text, size_t bytes)
{
    clfi_strbuf s = clfi_strbuf_on(text, bytes);
    for (int32_t i = 0; i < e->n_tunables; i++)
        clfi_strbuf_add(&s, "%s%s=%d", i ? " " : "", e->tunables[i].name, row->v[i]);
}

static bool candidate(const clfi_tunable *t, int32_t value)
{
    for (int32_t i = 0; i < t->n_candidates; i++)
        if (t->candidates[i] == value)
            return true;
    return value == t->safe;
}

/* One "T_BQ=96" of n bytes. */
static clflash_status parse_tunable(const clfi_engine *e, const char *word, size_t n, clfi_row *row,
                                    uint32_t *seen, clfi_err *err)
{
    char copy[64], *equals;
    const clflash_status bad = CLFLASH_INVALID_TUNABLE;
    CLF_REQUIRE(err, n < sizeof copy, bad, "%s: tunable '%.40s...' is too long", e->name, word);
    memcpy(copy, word, n);
    copy[n] = '\0';
    CLF_REQUIRE(err, (equals = strchr(copy, '=')), bad, "%s: '%s' is not NAME=NUMBER", e->name,
                copy);
    *equals = '\0';
    const int32_t index = clfi_engine_tunable(e, copy);
    CLF_REQUIRE(err, index >= 0, bad, "%s has no tunable '%s'", e->name, copy);
    CLF_REQUIRE(err, !(*seen & (1u << index)), bad, "%s: '%s' is there twice", e->name, copy);
    *seen |= 1u << index;
    CLF_REQUIRE(err,
                clfi_int_parse(equals + 1, true, &row->v[index]) &&
                    candidate(&e->tunables[index], row->v[index]),
                bad, "%s: %s = '%s' is not among its candidates", e->name, copy, equals + 1);
    return CLFLASH_OK;
}

clflash_status clfi_row_parse(const clfi_engine *e, const char *text, clfi_row *row, clfi_err *err)
{
    uint32_t seen = 0;
    *row = (clfi_row){0};
    for (const char *word = text; *(word += strspn(word, " "));) {
        const size_t n = strcspn(word, " ");
        CLF_TRY(parse_tunable(e, word, n, row, &seen, err));
        word += n;
    }
    for (int32_t i = 0; i < e->n_tunables; i++)
        CLF_REQUIRE(err, seen & (1u << i), CLFLASH_INVALID_TUNABLE, "%s: %s is missing", e->name,
                    e->tunables[i].name);
    return CLFLASH_OK;
}

void clfi_engine_options(const clfi_engine *e, const clfi_attn *p, const clfi_profile *dev,
                         const clfi_row *row, clfi_strbuf *options)
{
    clfi_attn_options(p, options);
    if (e->options) {
        clfi_strbuf_add(options, " ");
        e->options(p, dev, row, options);
        return;
    }
    for (int32_t i = 0; i < e->n_tunables; i++)
        clfi_strbuf_add(options, " -D%s=%d", e->tunables[i].name, row->v[i]);
}

clflash_status clfi_require_local(const char *engine, int64_t bytes, const clfi_profile *dev,
                                  clfi_err *err)
{
    CLF_REQUIRE(err, bytes <= dev->local_bytes, CLFLASH_INVALID_TUNABLE,
                "%s: %lld bytes of local memory are needed, the device has %lld", engine,
                (long long)bytes, (long long)dev->local_bytes);
    return CLFLASH_OK;
}

#define NV_MMA_ARCH 80
#define NV_MMA_WIDTH 256

clflash_status clfi_nv_mma_can(const clfi_attn *p, const clfi_profile *dev, clfi_err *err)
{
    CLF_REQUIRE(err, dev->vendor == CLFI_VENDOR_NVIDIA && !dev->cpu, CLFLASH_UNSUPPORTED,
                "nv_mma: the device is no NVIDIA GPU");
    CLF_REQUIRE(err, dev->arch >= NV_MMA_ARCH, CLFLASH_UNSUPPORTED,
                "nv_mma: compute capability %d.%d, 8.0 or later is needed", dev->arch / 10,
                dev->arch % 10);
    CLF_REQUIRE(err, p->dtype == CLFLASH_F16 || p->dtype == CLFLASH_BF16, CLFLASH_UNSUPPORTED,
                "nv_mma: f16 and bf16 only");
    CLF_REQUIRE(err, p->d % 8 == 0 && p->dv % 8 == 0, CLFLASH_UNSUPPORTED,
                "nv_mma: D = %d, Dv = %d, multiples of 8 are needed", p->d, p->dv);
    CLF_REQUIRE(err, p->d <= NV_MMA_WIDTH && p->dv <= NV_MMA_WIDTH, CLFLASH_UNSUPPORTED,
                "nv_mma: D = %d, Dv = %d, at most %d", p->d, p->dv, NV_MMA_WIDTH);
    return CLFLASH_OK;
}

clfi_launch clfi_launch_line(size_t groups, size_t items)
{
    return (clfi_launch){
        .dims = 1, .global = {groups * items, 1, 1},
             .local = {items,          1, 1}
    };
}
