/* test_attn_rows.c -- any valid row of tunables gives the right result, and the same bits
 * each time, on every engine. */
#include "host/context.h"
#include "lib/ops/attn_run.h"
#include "lib/plan/engine.h"
#include "tests/support/device.h"
#include "tests/support/main.h"

#include <stdio.h>
#include <string.h>

#define ROWS 2 /* random rows of each engine by default */
#define LONG_ROWS 60
#define REPEATS 100

static const char *const texts[] = {
    "fwd f32 b2 hq4 hk2 sq75 sk131 d40 causal",
    "fwd f16 hq4 hk2 sq11 sk131 d40 causal seg | seg=3",
    "bwd f32 b2 hq4 hk2 sq75 sk131 d40 causal sink",
    "bwd f16 hq4 hk2 sq11 sk131 d40 causal seg | seg=3 beta=3",
};
enum { N_TEXTS = sizeof texts / sizeof texts[0] };
static int n_rows = ROWS;

/* A row drawn among the candidates until it fits; false when none of many did. */
static bool draw_row(const clfi_engine *e, const clfi_attn *p, const clfi_profile *dev,
                     clft_rng *rng, clfi_row *row)
{
    for (int attempt = 0; attempt < 2000; attempt++) {
        clfi_err err = {0};
        *row = (clfi_row){{0}};
        for (int32_t t = 0; t < e->n_tunables; t++)
            row->v[t] = e->tunables[t].candidates[clft_below(rng, e->tunables[t].n_candidates)];
        if (e->fits(p, dev, row, &err) == CLFLASH_OK)
            return true;
    }
    return false;
}

static void run_row(clft_session *s, clft_case *c, const clfi_engine *e, const clfi_row *row)
{
    clfi_err err = {0};
    clfi_candidate candidate = {.engine = e, .row = *row, .origin = "test"};
    char text[256], why[512];
    clflash_plan *plan = NULL;
    clft_upload u;
    clfi_row_print(e, row, text, sizeof text);
    const clflash_status status = clfi_plan_candidate(&plan, s->ctx, &c->p, &candidate, &err);
    if (status == CLFLASH_INVALID_TUNABLE) /* too much for the built kernel: the tuner prunes */
        return;
    ck_assert_msg(status == CLFLASH_OK, "\"%s\" %s %s: %s", c->name, e->name, text, err.text);
    clft_upload_make(&u, s, c);
    clft_execute(s, c, plan, &u);
    clft_download(&u, s, c);
    clft_upload_free(&u);
    clflash_plan_destroy(&plan);
    ck_assert_msg(clft_case_check(c, why, sizeof why), "\"%s\" engine=%s %s: %s", c->name, e->name,
                  text, why);
}

START_TEST(any_row_is_right)
{
    clft_session *s = clft_session_get();
    const clfi_profile *dev = clfi_context_profile(s->ctx);
    clft_rng rng = {(uint64_t)_i + 1};
    clft_case c;
    clft_case_make_text(&c, texts[_i]);
    clft_case_solve(&c);
    int32_t n_engines;
    const clfi_engine *const *engines = clfi_engines(c.p.op, &n_engines);
    for (int32_t i = 0; i < n_engines; i++) {
        const clfi_engine *e = engines[i];
        clfi_err err = {0};
        clfi_row row;
        if (e->n_tunables == 0 || e->can(&c.p, dev, &err) != CLFLASH_OK)
            continue;
        if (clft_left_out(e->name, i, _i))
            continue;
        const int n = c.p.op == CLFLASH_OP_BWD ? n_rows / 2 : n_rows; /* twice the builds each */
        for (int r = 0; r < n && draw_row(e, &c.p, dev, &rng, &row); r++)
            run_row(s, &c, e, &row);
    }
    clft_case_free(&c);
}
END_TEST

/* Keys in parts that the merge kernel joins: more parts than blocks, parts that see no key. */
static const struct {
    const char *text, *row, *why;
} splits[] = {
    {"fwd f32 hq4 hk2 sq3 sk85 d40 dv24 sink",            "T_W=8 T_ROWS=4 T_HEADS=2 T_SPLITS=32 T_BKV=16",
     "the sink counts once; fewer blocks than parts"                                                                                                                    },
    {"fwd f32 b2 hq6 hk3 sq2 sk131 d33 kvlen | len=5",
     "T_W=8 T_ROWS=2 T_HEADS=2 T_SPLITS=4 T_BKV=16",                                                       "lengths that leave parts empty; a tail of KV heads"         },
    {"fwd f16 hq4 hk2 sq11 sk131 d40 causal seg | seg=3",
     "T_W=8 T_ROWS=4 T_HEADS=1 T_SPLITS=4 T_BKV=32",                                                       "block mask and records in one workspace; rows without a key"},
    {"fwd bf16 hq4 hk4 sq5 sk200 d64 causal window=20:0",
     "T_W=16 T_ROWS=8 T_HEADS=4 T_SPLITS=8 T_BKV=16",                                                      "a range that starts late"                                   },
};

START_TEST(splits_are_merged)
{
    clft_session *s = clft_session_get();
    const clfi_engine *e = clfi_engine_find(CLFLASH_OP_FWD, "vector_few");
    clfi_err err = {0};
    clfi_row row;
    clft_case c;
    clft_case_make_text(&c, splits[_i].text);
    clft_case_solve(&c);
    ck_assert_msg(clfi_row_parse(e, splits[_i].row, &row, &err) == CLFLASH_OK, "%s: %s",
                  splits[_i].why, err.text);
    if (e->can(&c.p, clfi_context_profile(s->ctx), &err) == CLFLASH_OK) {
        ck_assert_msg(e->splits(&c.p, &row) > 1, "%s: one part only", splits[_i].why);
        run_row(s, &c, e, &row);
    }
    clft_case_free(&c);
}
END_TEST

static void check_repeat(clft_case *c, char *const first[CLFT_N_ARRAYS], const char *engine,
                         int repeat)
{
    for (int array = 0; array < CLFT_N_ARRAYS; array++)
        ck_assert_msg(
            !first[array] || !memcmp(first[array], c->got[array], (size_t)c->image[array].total),
            "\"%s\" engine=%s: repeat %d differs in array %d", c->name, engine, repeat, array);
}

static void repeat(clft_session *s, clft_case *c, const clflash_plan *plan, const char *engine)
{
    char *first[CLFT_N_ARRAYS];
    clft_upload u;
    clft_upload_make(&u, s, c);
    clft_execute(s, c, plan, &u);
    clft_download(&u, s, c);
    memcpy(first, c->got, sizeof first);
    memset(c->got, 0, sizeof c->got);
    for (int n = 0; n < REPEATS; n++) {
        c->variant.queue = n % 2;
        clft_repoison(&u, s, c);
        clft_execute(s, c, plan, &u);
        clft_download(&u, s, c);
        check_repeat(c, first, engine, n);
    }
    for (int array = 0; array < CLFT_N_ARRAYS; array++)
        free(first[array]);
    clft_upload_free(&u);
}

/* The same call a hundred times, on both kinds of queue: the same bits. */
START_TEST(repeats_are_equal)
{
    clft_session *s = clft_session_get();
    clft_case c;
    char why[1024];
    const char *engine;
    clft_case_make_text(&c, texts[_i]);
    clft_case_solve(&c); /* the backward reads its o and lse */
    for (int e = 0; (engine = clft_engine_of(c.p.op, e)); e++) {
        clflash_plan *plan = clft_plan(s, &c, engine, why, sizeof why);
        if (!plan)
            continue;
        repeat(s, &c, plan, engine);
        clflash_plan_destroy(&plan);
    }
    clft_case_free(&c);
}
END_TEST

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--long") == 0)
        n_rows = LONG_ROWS;
    Suite *suite = suite_create("attn_rows");
    clft_add(suite, any_row_is_right, N_TEXTS);
    clft_add(suite, splits_are_merged, (int)(sizeof splits / sizeof splits[0]));
    clft_add(suite, repeats_are_equal, N_TEXTS);
    return clft_main(suite, clft_session_end);
}
