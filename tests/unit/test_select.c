/* test_select.c -- which row serves: caller, tuning file, shipped, safe. No device. */
#include "fake_context.h"
#include "lib/tune/shipped.h"
#include "lib/tune/store.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

static clfi_attn resolved(const char *text)
{
    clflash_attn_desc d;
    clfi_attn p;
    char reason[256];
    ck_assert_msg(clflash_attn_desc_parse(&d, text, reason, sizeof reason) == CLFLASH_OK, "%s",
                  reason);
    ck_assert_int_eq(clfi_attn_resolve(&p, &d, NULL), CLFLASH_OK);
    return p;
}

typedef struct selection {
    clfi_candidate c[CLFI_MAX_ENGINES];
    int32_t n;
    clflash_status status;
    clfi_err err;
    char why[1024];
} selection;

static selection pick(clflash_context *ctx, const char *problem, bool file_only)
{
    selection s = {0};
    const clfi_attn p = resolved(problem);
    clfi_strbuf why = clfi_strbuf_on(s.why, sizeof s.why);
    s.status = clfi_select(ctx, &p, file_only, s.c, &s.n, &why, &s.err);
    return s;
}

static void store_row(clflash_context *ctx, const char *problem, const char *engine,
                      const char *row, clfi_verdict verdict, float ms)
{
    const clfi_attn p = resolved(problem);
    clfi_tune_entry e = {.verdict = verdict, .ms = ms};
    clfi_tune_key(&p, e.key, sizeof e.key);
    snprintf(e.engine, sizeof e.engine, "%s", engine);
    snprintf(e.row, sizeof e.row, "%s", row);
    ck_assert_int_eq(clfi_store_put(ctx, &e, NULL), CLFLASH_OK);
}

/* A row of c's engine that fits p and is not c's own; false when there is none. */
static bool other_row(const clfi_candidate *c, const clfi_attn *p, const clfi_profile *dev,
                      clfi_row *row)
{
    for (int32_t i = 0; i < c->engine->n_tunables; i++)
        for (int32_t v = 0; v < c->engine->tunables[i].n_candidates; v++) {
            *row = c->row;
            row->v[i] = c->engine->tunables[i].candidates[v];
            if (row->v[i] != c->row.v[i] && c->engine->fits(p, dev, row, NULL) == CLFLASH_OK)
                return true;
        }
    return false;
}

#define PROBLEM "fwd f32 hq8 sq1000 d64"

static clfi_profile device(int which) { return which ? fake_gpu() : fake_cpu(8); }

START_TEST(something_serves_every_device)
{
    const clfi_profile dev = device(_i);
    clflash_context *ctx = fake_open(&dev, "");
    const selection s = pick(ctx, PROBLEM, false);
    ck_assert_msg(s.status == CLFLASH_OK && s.n > 0, "%s", s.err.text);
    const clfi_attn p = resolved(PROBLEM);
    for (int32_t i = 0; i < s.n; i++) {
        ck_assert_int_eq(s.c[i].engine->fits(&p, &dev, &s.c[i].row, NULL), CLFLASH_OK);
        ck_assert(!strcmp(s.c[i].origin, "safe") || !strncmp(s.c[i].origin, "shipped: ", 9));
    }
    fake_close(ctx);
}
END_TEST

START_TEST(the_tuning_file_comes_before_tables)
{
    const clfi_profile dev = device(_i);
    const clfi_attn p = resolved(PROBLEM);
    clflash_context *ctx = fake_open(&dev, "");
    const selection before = pick(ctx, PROBLEM, false);
    char row[256];
    clfi_row other;
    if (!other_row(&before.c[0], &p, &dev, &other)) {
        fake_close(ctx);
        return;
    }
    const char *engine = before.c[0].engine->name;
    ck_assert_int_eq(pick(ctx, PROBLEM, true).status, CLFLASH_NOT_CACHED);
    clfi_row_print(before.c[0].engine, &before.c[0].row, row, sizeof row);
    store_row(ctx, PROBLEM, engine, row, CLFI_OK, 2);
    clfi_row_print(before.c[0].engine, &other, row, sizeof row);
    store_row(ctx, PROBLEM, engine, row, CLFI_OK, 1);
    const selection after = pick(ctx, PROBLEM, false), cached = pick(ctx, PROBLEM, true);
    ck_assert_str_eq(after.c[0].origin, "tuning file");
    ck_assert_mem_eq(&after.c[0].row, &other, sizeof other);
    ck_assert(cached.n == 1 && !strcmp(cached.c[0].origin, "tuning file"));
    /* The winner of a search stays, whatever a single time says. */
    clfi_row_print(before.c[0].engine, &before.c[0].row, row, sizeof row);
    store_row(ctx, PROBLEM, engine, row, CLFI_BEST, 3);
    ck_assert_mem_eq(&pick(ctx, PROBLEM, false).c[0].row, &before.c[0].row, sizeof other);
    store_row(ctx, PROBLEM, engine, row, CLFI_WRONG, 0);
    ck_assert_mem_eq(&pick(ctx, PROBLEM, false).c[0].row, &other, sizeof other);
    /* 1023 queries share the row, 2000 do not. */
    ck_assert_str_eq(pick(ctx, "fwd f32 hq8 sq1023 d64", false).c[0].origin, "tuning file");
    ck_assert_str_ne(pick(ctx, "fwd f32 hq8 sq2000 d64", false).c[0].origin, "tuning file");
    fake_close(ctx);
}
END_TEST

START_TEST(rows_that_do_not_fit_do_not_serve)
{
    const clfi_profile dev = device(_i);
    clflash_context *ctx = fake_open(&dev, "");
    const selection before = pick(ctx, PROBLEM, false);
    const clfi_engine *e = before.c[0].engine;
    char row[256] = "T_NOPE=1";
    store_row(ctx, PROBLEM, e->name, row, CLFI_OK, 1e-6f);
    store_row(ctx, PROBLEM, "no_such_engine", row, CLFI_OK, 1e-6f);
    clfi_row huge = before.c[0].row; /* a value that is no candidate */
    huge.v[0] = 1 << 20;
    clfi_row_print(e, &huge, row, sizeof row);
    store_row(ctx, PROBLEM, e->name, row, CLFI_OK, 1e-6f);
    const selection after = pick(ctx, PROBLEM, false);
    ck_assert(after.n == before.n && after.c[0].engine == e);
    ck_assert_mem_eq(&after.c[0].row, &before.c[0].row, sizeof huge);
    fake_close(ctx);
}
END_TEST

START_TEST(callers_block_sizes_win)
{
    const clfi_profile dev = device(_i);
    const clfi_attn p = resolved(PROBLEM);
    clflash_context *ctx = fake_open(&dev, "");
    const selection before = pick(ctx, PROBLEM, false);
    const clfi_engine *e = before.c[0].engine;
    clfi_row other;
    if (!e->flash || !other_row(&before.c[0], &p, &dev, &other)) {
        fake_close(ctx);
        return;
    }
    char text[256];
    snprintf(text, sizeof text, PROBLEM " engine=%s bq=%d bkv=%d", e->name, e->block_q(&other),
             e->block_kv(&other));
    const selection s = pick(ctx, text, false);
    ck_assert_msg(s.status == CLFLASH_OK, "%s", s.err.text);
    ck_assert_int_eq(e->block_q(&s.c[0].row), e->block_q(&other));
    ck_assert_int_eq(e->block_kv(&s.c[0].row), e->block_kv(&other));
    ck_assert_str_eq(s.c[0].origin, "caller");
    snprintf(text, sizeof text, PROBLEM " engine=%s bq=7777", e->name);
    const selection bad = pick(ctx, text, false);
    ck_assert_int_eq(bad.status, CLFLASH_INVALID_TUNABLE);
    ck_assert_ptr_nonnull(strstr(bad.err.text, "7777"));
    fake_close(ctx);
}
END_TEST

START_TEST(algo_and_engine_filter)
{
    const clfi_profile dev = device(_i);
    clflash_context *ctx = fake_open(&dev, "");
    const selection flash = pick(ctx, PROBLEM " algo=flash", false);
    for (int32_t i = 0; i < flash.n; i++)
        ck_assert(flash.c[i].engine->flash);
    const selection standard = pick(ctx, PROBLEM " algo=standard", false);
    for (int32_t i = 0; i < standard.n; i++)
        ck_assert(!standard.c[i].engine->flash);
    const selection unknown = pick(ctx, PROBLEM " engine=warp_drive", false);
    ck_assert_int_eq(unknown.status, CLFLASH_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(unknown.err.text, "warp_drive"));
    fake_close(ctx);
}
END_TEST

START_TEST(engines_that_cannot_say_why)
{
    const clfi_profile gpu = fake_gpu();
    clflash_context *ctx = fake_open(&gpu, "");
    const selection s = pick(ctx, PROBLEM " engine=vector", false);
    ck_assert_int_eq(s.status, CLFLASH_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(s.why, "vector: "));
    ck_assert_ptr_nonnull(strstr(s.err.text, "CPU"));
    fake_close(ctx);
}
END_TEST

START_TEST(the_fastest_measured_engine_goes_first)
{
    const clfi_profile dev = device(_i);
    clflash_context *ctx = fake_open(&dev, "");
    const selection before = pick(ctx, PROBLEM, false);
    char row[256];
    if (before.n < 2) {
        fake_close(ctx);
        return;
    }
    const clfi_candidate *first = &before.c[0], *second = &before.c[1];
    clfi_row_print(second->engine, &second->row, row, sizeof row);
    store_row(ctx, PROBLEM, second->engine->name, row, CLFI_OK, 5);
    /* One row of the slower engine says nothing about the first. */
    ck_assert_ptr_eq(pick(ctx, PROBLEM, false).c[0].engine, first->engine);
    clfi_row_print(first->engine, &first->row, row, sizeof row);
    store_row(ctx, PROBLEM, first->engine->name, row, CLFI_OK, 10);
    const selection after = pick(ctx, PROBLEM, false);
    ck_assert_ptr_eq(after.c[0].engine, second->engine);
    ck_assert_ptr_eq(after.c[1].engine, first->engine);
    ck_assert_int_eq(after.n, before.n);
    fake_close(ctx);
}
END_TEST

/* ---- shipped rows ---- */

/* A device that the row is meant for. */
static clfi_profile meant_for(const clfi_shipped *s)
{
    clfi_profile dev =
        s->nv_arch_min ? fake_gpu() : fake_cpu(s->vector_width ? s->vector_width : 8);
    if (s->nv_arch_min)
        dev.arch = s->nv_arch_min;
    if (s->arch)
        snprintf(dev.name, sizeof dev.name, "Device %s", s->arch);
    return dev;
}

/* Whether the row is chosen for a problem of this dtype, length, head dimension and
 * number of heads. */
static bool chosen(const clfi_shipped *s, const clfi_engine *e, clflash_dtype dtype, int32_t sq,
                   int32_t d, int32_t heads)
{
    clfi_profile dev = meant_for(s);
    clflash_attn_desc desc = {.op = s->op,
                              .dtype = dtype,
                              .q_heads = heads,
                              .q_len = s->sq_max ? s->sq_max : sq,
                              .kv_len = 4096,
                              .head_dim = d,
                              .mask = {.segments = s->blocks != 0}};
    clfi_attn p;
    clfi_row row;
    ck_assert_int_eq(clfi_attn_resolve(&p, &desc, NULL), CLFLASH_OK);
    if (clfi_shipped_find(e, &p, &dev, &row) == s)
        return true;
    dev.local_bytes *= 4; /* PoCL on a machine with large caches */
    if (clfi_shipped_find(e, &p, &dev, &row) == s)
        return true;
    dev.compute_units *= 16; /* and many cores */
    return clfi_shipped_find(e, &p, &dev, &row) == s;
}

/* Finds itself for one of the dtypes, lengths, head dimensions that it is open to. */
static bool reachable(const clfi_shipped *s, const clfi_engine *e)
{
    static const int32_t dims[] = {16, 32, 64, 80, 96, 128, 192, 256, 512};
    static const int32_t lengths[] = {48, 160, 512, 4096};
    for (int type = CLFLASH_F32; type <= CLFLASH_BF16; type++)
        for (size_t i = 0; i < sizeof dims / sizeof dims[0]; i++)
            for (size_t l = 0; l < sizeof lengths / sizeof lengths[0]; l++)
                for (int32_t heads = 1; heads <= 64; heads *= 8)
                    if ((!s->d_max || dims[i] <= s->d_max) &&
                        chosen(s, e, (clflash_dtype)type, lengths[l], dims[i], heads))
                        return true;
    return false;
}

START_TEST(every_shipped_row_fits_and_is_reached)
{
    for (const clfi_shipped *const *table = clfi_shipped_tables; *table; table++)
        for (const clfi_shipped *s = *table; s->engine; s++) {
            const clfi_engine *e = clfi_engine_find(s->op, s->engine);
            clfi_row row;
            clfi_err err = {0};
            ck_assert_msg(e != NULL, "shipped row of unknown engine '%s'", s->engine);
            ck_assert_msg(clfi_row_parse(e, s->row, &row, &err) == CLFLASH_OK, "%s", err.text);
            ck_assert_msg(s->measured && strlen(s->measured) > 20, "%s %s: no measurement",
                          s->engine, s->row);
            ck_assert_msg(reachable(s, e), "%s '%s' is never chosen", s->engine, s->row);
        }
}
END_TEST

/* ---- rows ---- */

START_TEST(rows_print_and_parse)
{
    const clfi_profile dev = fake_cpu(8);
    const clfi_attn p = resolved(PROBLEM);
    for (int32_t i = 0; i < clfi_n_attn_fwd_engines; i++) {
        const clfi_engine *e = clfi_attn_fwd_engines[i];
        clfi_row row, back;
        char text[256], worse[300];
        ck_assert_ptr_eq(clfi_engine_find(CLFLASH_OP_FWD, e->name), e);
        e->safe(&p, &dev, &row);
        clfi_row_print(e, &row, text, sizeof text);
        ck_assert_uint_lt(strlen(text), sizeof text - 1);
        ck_assert_int_eq(clfi_row_parse(e, text, &back, NULL), CLFLASH_OK);
        for (int32_t t = 0; t < e->n_tunables; t++)
            ck_assert_int_eq(back.v[t], row.v[t]);
        snprintf(worse, sizeof worse, "%s T_NONE=1", text);
        ck_assert_int_eq(clfi_row_parse(e, worse, &back, NULL), CLFLASH_INVALID_TUNABLE);
        if (e->n_tunables == 0)
            continue;
        snprintf(worse, sizeof worse, "%s %s=%d", text, e->tunables[0].name, row.v[0]);
        ck_assert_int_eq(clfi_row_parse(e, worse, &back, NULL), CLFLASH_INVALID_TUNABLE);
        ck_assert_int_eq(clfi_row_parse(e, "", &back, NULL), CLFLASH_INVALID_TUNABLE);
        snprintf(worse, sizeof worse, "%s=123456", e->tunables[0].name);
        ck_assert_int_eq(clfi_row_parse(e, worse, &back, NULL), CLFLASH_INVALID_TUNABLE);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("select");
    TCase *all = tcase_create("all");
    tcase_add_loop_test(all, something_serves_every_device, 0, 2);
    tcase_add_loop_test(all, the_tuning_file_comes_before_tables, 0, 2);
    tcase_add_loop_test(all, rows_that_do_not_fit_do_not_serve, 0, 2);
    tcase_add_loop_test(all, callers_block_sizes_win, 0, 2);
    tcase_add_loop_test(all, algo_and_engine_filter, 0, 2);
    tcase_add_test(all, engines_that_cannot_say_why);
    tcase_add_loop_test(all, the_fastest_measured_engine_goes_first, 0, 2);
    tcase_add_test(all, every_shipped_row_fits_and_is_reached);
    tcase_add_test(all, rows_print_and_parse);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
