/* test_search.c -- the search against a device made up for it: known times, a fast row
 * that is wrong, rows that do not build. */
#include "lib/tune/search.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- an engine with a known landscape ---- */

#define FAKE_TUNABLES(X)                                                                           \
    X(T_A, 1, "one", 1, 2, 4, 8)                                                                   \
    X(T_B, 1, "two", 1, 2, 4, 8)                                                                   \
    X(T_C, 0, "three", 0, 1)
enum { FAKE_TUNABLES(CLFI_TUNABLE_INDEX) N_FAKE };
static const clfi_tunable fake_tunables[] = {FAKE_TUNABLES(CLFI_TUNABLE)};

static clflash_status fits(const clfi_attn *p, const clfi_profile *dev, const clfi_row *row,
                           clfi_err *err)
{
    (void)p;
    (void)dev;
    CLF_REQUIRE(err, row->v[T_A] * row->v[T_B] <= 32, CLFLASH_INVALID_TUNABLE, "A B > 32");
    return CLFLASH_OK;
}

static void safe(const clfi_attn *p, const clfi_profile *dev, clfi_row *row)
{
    (void)p;
    (void)dev;
    *row = (clfi_row){
        {1, 1, 0}
    };
}

static int32_t block_q(const clfi_row *row) { return 10 * row->v[T_A]; }
static int32_t block_kv(const clfi_row *row) { return 10 * row->v[T_B]; }

#define FAKE_ENGINE(text)                                                                          \
    {                                                                                              \
        .name = text, .flash = true, .tunables = fake_tunables, .n_tunables = N_FAKE,              \
        .fits = fits, .safe = safe, .block_q = block_q, .block_kv = block_kv                       \
    }
static const clfi_engine one = FAKE_ENGINE("one"), two = FAKE_ENGINE("two");

/* ---- a device made up ---- */

#define MAX_RECORDS 512
typedef struct record_line {
    clfi_candidate c;
    clfi_verdict verdict;
    double ms;
} record_line;

typedef struct world {
    clfi_candidate current;
    double now, limit_after; /* seconds; a run costs its ms */
    int made, timed;
    int cancel_after;                          /* measurements; 0 = never */
    clfi_row wrong_small, wrong_whole, broken; /* v[0] = 0: no such row */
    bool all_broken;
    double longest_ms;
    int32_t last_done, last_total;
    record_line records[MAX_RECORDS];
    int n_records;
} world;

static bool is(const clfi_row *a, const clfi_row *b) { return !memcmp(a->v, b->v, 12); }

/* Best at (8, 4, 1) for engine "one": 1 ms; wrong ones are made faster by the caller. */
static double true_ms(const world *w, const clfi_candidate *c)
{
    const int32_t *v = c->row.v;
    if ((w->wrong_small.v[0] && is(&c->row, &w->wrong_small)) ||
        (w->wrong_whole.v[0] && is(&c->row, &w->wrong_whole)))
        return 0.1;
    const double a = log2(v[T_A]) - 3, b = log2(v[T_B]) - 2;
    const double ms = 1 + a * a + b * b + (v[T_C] ? 0 : 0.5);
    return c->engine == &two ? 0.5 * ms : ms;
}

static clflash_status make(void *user, const clfi_candidate *c, clfi_err *err)
{
    world *w = user;
    w->current = *c;
    w->made++;
    w->now += 0.01;
    if (w->all_broken || (w->broken.v[0] && is(&c->row, &w->broken)))
        return clfi_fail(err, CLFLASH_BUILD_FAILED, "the row is broken");
    return CLFLASH_OK;
}

static clflash_status check(void *user, bool whole, double *error, clfi_err *err)
{
    world *w = user;
    const clfi_row *bad = whole ? &w->wrong_whole : &w->wrong_small;
    *error = 1e-7;
    if (bad->v[0] && is(&w->current.row, bad)) {
        *error = 0.5;
        return clfi_fail(err, CLFLASH_WRONG_RESULT, "off by a half");
    }
    return CLFLASH_OK;
}

static clflash_status run_ms(void *user, double stop_ms, double *ms, clfi_err *err)
{
    world *w = user;
    (void)err;
    *ms = true_ms(w, &w->current);
    w->timed++;
    /* Three runs, or one when the first is already too slow. */
    const double spent = stop_ms > 0 && *ms > stop_ms ? *ms : 3 * *ms;
    w->now += spent / 1000;
    w->longest_ms = fmax(w->longest_ms, spent);
    return CLFLASH_OK;
}

static void drop(void *user) { (void)user; }

static bool known(void *user, const clfi_candidate *c, clfi_verdict *verdict, double *ms)
{
    world *w = user;
    for (int i = w->n_records - 1; i >= 0; i--)
        if (w->records[i].c.engine == c->engine && is(&w->records[i].c.row, &c->row)) {
            *verdict = w->records[i].verdict;
            *ms = w->records[i].ms;
            return true;
        }
    return false;
}

static void record(void *user, const clfi_candidate *c, clfi_verdict verdict, double ms,
                   double error)
{
    world *w = user;
    (void)error;
    ck_assert_int_lt(w->n_records, MAX_RECORDS);
    w->records[w->n_records++] = (record_line){*c, verdict, ms};
}

static double now_s(void *user) { return ((world *)user)->now; }

static int progress(void *user, const clfi_candidate *c, const clfi_search_state *s)
{
    world *w = user;
    (void)c;
    ck_assert_int_eq(s->done, w->last_done + 1);
    ck_assert_int_le(s->done, s->total);
    ck_assert(w->last_total == 0 || s->total <= w->last_total);
    w->last_done = s->done;
    w->last_total = s->total;
    return w->cancel_after && s->done >= w->cancel_after;
}

static clflash_status search(world *w, bool all, double seconds, clfi_search_result *r,
                             const char *problem, clfi_err *err)
{
    const clfi_search_ops ops = {w, make, check, run_ms, drop, known, record, now_s, progress};
    const clfi_profile dev = {0};
    const clfi_candidate starts[] = {
        {&one, {{2, 1, 0}}, "shipped"},
        {&two, {{1, 1, 0}}, "safe"   }
    };
    clflash_attn_desc d;
    clfi_attn p;
    ck_assert_int_eq(clflash_attn_desc_parse(&d, problem, NULL, 0), CLFLASH_OK);
    ck_assert_int_eq(clfi_attn_resolve(&p, &d, NULL), CLFLASH_OK);
    w->last_done = w->last_total = 0;
    return clfi_search(&ops, &p, &dev, starts, 2, all, seconds, r, err);
}

#define PROBLEM "fwd f32 hq1 sq64 d8"

START_TEST(the_best_row_is_found)
{
    world w = {0};
    clfi_search_result r;
    ck_assert_int_eq(search(&w, false, 100, &r, PROBLEM, NULL), CLFLASH_OK);
    ck_assert_ptr_eq(r.winner.engine, &one);
    ck_assert(is(&r.winner.row, &(clfi_row){
                                    {8, 4, 1}
    }));
    ck_assert_double_eq(r.after_ms, 1);
    ck_assert_double_eq(r.before_ms, 1 + 4 + 4 + 0.5);
    ck_assert_int_eq(r.state.wrong, 0);
    ck_assert_int_gt(r.state.measured, 5);
    ck_assert_int_eq(r.state.done, r.state.total);
}
END_TEST

START_TEST(all_engines_are_compared)
{
    world w = {0};
    clfi_search_result r;
    ck_assert_int_eq(search(&w, true, 100, &r, PROBLEM, NULL), CLFLASH_OK);
    ck_assert_ptr_eq(r.winner.engine, &two);
    ck_assert_double_eq(r.after_ms, 0.5);
    ck_assert_double_eq(r.before_ms, 9.5); /* of the first engine, which serves today */
}
END_TEST

/* The planted row is ten times faster than the best right one. */
START_TEST(a_fast_but_wrong_row_loses)
{
    world w = {0};
    clfi_search_result r;
    if (_i)
        w.wrong_whole = (clfi_row){
            {8, 2, 1}
        }; /* right on small cases only */
    else
        w.wrong_small = (clfi_row){
            {8, 2, 1}
        };
    ck_assert_int_eq(search(&w, false, 100, &r, PROBLEM, NULL), CLFLASH_OK);
    ck_assert(is(&r.winner.row, &(clfi_row){
                                    {8, 4, 1}
    }));
    ck_assert_int_eq(r.state.wrong, 1);
    for (int i = 0; i < w.n_records; i++)
        if (is(&w.records[i].c.row, &(clfi_row){
                                        {8, 2, 1}
        }))
            ck_assert_int_eq(w.records[i].verdict, CLFI_WRONG);
}
END_TEST

START_TEST(a_wrong_row_in_the_file_loses)
{
    /* Someone wrote "ok, 0.01 ms" into the file: the last round checks again. */
    world w = {.wrong_whole = {{4, 4, 1}}};
    clfi_search_result r;
    record(&w, &(clfi_candidate){.engine = &one, .row = {{4, 4, 1}}}, CLFI_OK, 0.01, 0);
    ck_assert_int_eq(search(&w, false, 100, &r, PROBLEM, NULL), CLFLASH_OK);
    ck_assert(!is(&r.winner.row, &(clfi_row){
                                     {4, 4, 1}
    }));
    clfi_verdict verdict;
    double ms;
    ck_assert(known(&w, &(clfi_candidate){.engine = &one, .row = {{4, 4, 1}}}, &verdict, &ms));
    ck_assert_int_eq(verdict, CLFI_WRONG);
}
END_TEST

START_TEST(rows_that_do_not_build_are_passed_over)
{
    world w = {.broken = {{8, 4, 1}}};
    clfi_search_result r;
    ck_assert_int_eq(search(&w, false, 100, &r, PROBLEM, NULL), CLFLASH_OK);
    ck_assert(!is(&r.winner.row, &w.broken));
    ck_assert_double_eq(r.after_ms, 1.5); /* the second best */
}
END_TEST

START_TEST(a_wrong_start_is_replaced_by_the_safe_row)
{
    world w = {.wrong_small = {{2, 1, 0}}};
    clfi_search_result r;
    ck_assert_int_eq(search(&w, false, 100, &r, PROBLEM, NULL), CLFLASH_OK);
    ck_assert(is(&r.winner.row, &(clfi_row){
                                    {8, 4, 1}
    }));
}
END_TEST

START_TEST(nothing_that_works_is_an_error)
{
    world w = {.all_broken = true};
    clfi_search_result r;
    clfi_err err = {0};
    ck_assert_int_eq(search(&w, true, 100, &r, PROBLEM, &err), CLFLASH_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(err.text, "broken"));
}
END_TEST

START_TEST(slow_candidates_are_cut_off)
{
    world w = {0};
    clfi_search_result r;
    int cut = 0;
    ck_assert_int_eq(search(&w, false, 100, &r, PROBLEM, NULL), CLFLASH_OK);
    for (int i = 0; i < w.n_records; i++)
        cut += w.records[i].verdict == CLFI_CUT;
    ck_assert_int_gt(cut, 0);
    for (int i = 0; i < w.n_records; i++) /* a row that was cut never counts as timed */
        if (w.records[i].verdict == CLFI_OK)
            ck_assert_double_le(w.records[i].ms, 14);
}
END_TEST

START_TEST(a_search_goes_on_where_it_was_stopped)
{
    world w = {.cancel_after = 5}, whole = {0};
    clfi_search_result r;
    clfi_err err = {0};
    ck_assert_int_eq(search(&whole, false, 100, &r, PROBLEM, NULL), CLFLASH_OK);
    ck_assert_int_eq(search(&w, false, 100, &r, PROBLEM, &err), CLFLASH_CANCELLED);
    ck_assert_int_eq(w.n_records, 5);
    ck_assert_int_eq(w.made, 5);
    w.cancel_after = 0;
    ck_assert_int_eq(search(&w, false, 100, &r, PROBLEM, NULL), CLFLASH_OK);
    ck_assert(is(&r.winner.row, &(clfi_row){
                                    {8, 4, 1}
    }));
    ck_assert_int_le(w.made, whole.made + 1); /* nothing was measured twice */
    const int made = w.made;
    ck_assert_int_eq(search(&w, false, 100, &r, PROBLEM, NULL), CLFLASH_OK);
    ck_assert_int_eq(w.made, made + 4); /* the last round only: two rows, twice */
}
END_TEST

START_TEST(the_time_limit_holds)
{
    world w = {0};
    clfi_search_result r;
    ck_assert_int_eq(search(&w, true, 0.1, &r, PROBLEM, NULL), CLFLASH_OK);
    ck_assert_double_le(w.now, 0.35); /* limit, the start rows of both, the last round */
    ck_assert(r.after_ms <= r.before_ms);
}
END_TEST

START_TEST(callers_blocks_are_kept)
{
    world w = {0};
    clfi_search_result r;
    /* The start rows do not have them: what has is found from neighbours, or nothing. */
    const clflash_status status = search(&w, false, 100, &r, PROBLEM " bq=20", NULL);
    ck_assert_int_eq(status, CLFLASH_OK);
    ck_assert_int_eq(r.winner.row.v[T_A], 2);
    ck_assert_int_eq(r.winner.row.v[T_B], 4);
    for (int i = 0; i < w.n_records; i++)
        ck_assert_int_eq(w.records[i].c.row.v[T_A], 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("search");
    TCase *all = tcase_create("all");
    tcase_add_test(all, the_best_row_is_found);
    tcase_add_test(all, all_engines_are_compared);
    tcase_add_loop_test(all, a_fast_but_wrong_row_loses, 0, 2);
    tcase_add_test(all, a_wrong_row_in_the_file_loses);
    tcase_add_test(all, rows_that_do_not_build_are_passed_over);
    tcase_add_test(all, a_wrong_start_is_replaced_by_the_safe_row);
    tcase_add_test(all, nothing_that_works_is_an_error);
    tcase_add_test(all, slow_candidates_are_cut_off);
    tcase_add_test(all, a_search_goes_on_where_it_was_stopped);
    tcase_add_test(all, the_time_limit_holds);
    tcase_add_test(all, callers_blocks_are_kept);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
