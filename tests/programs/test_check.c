/* test_check.c -- the programs' own check: it accepts the truth, it finds a planted error,
 * and the rows that it samples from a large problem are rows of that problem. */
#include "bench/common/check.h"
#include "bench/common/suites.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>

static const app quiet = {.name = "test_check"};

/* The whole result by the reference, in the problem's dtype and layout. */
typedef struct truth {
    data d;
    void *o;
    float *lse;
    check_gold gold;
} truth;

static void make_truth(truth *t, const char *problem)
{
    static problems list;
    list.n = 0;
    ck_assert(problems_add(&list, &quiet, problem));
    data_init(&t->d, &list.desc[0]);
    ck_assert(data_fill(&t->d, 7));
    const sizes n = sizes_of(&t->d.desc);
    const data_spec o = data_output_spec(&t->d.desc);
    t->o = malloc((size_t)data_count(&o) * data_type_bytes(o.type) + 1);
    t->lse = malloc((size_t)n.b * (size_t)n.hq * (size_t)n.sq * sizeof(float) + 1);
    clflash_attn_host_args args = data_host_args(&t->d);
    args.o = t->o;
    args.lse = t->lse;
    ck_assert_int_eq(clflash_ref_attn_fwd(&t->d.desc, &args), CLFLASH_OK);
    ck_assert_int_eq(check_gold_make(&t->gold, &t->d), CLFLASH_OK);
}

static void free_truth(truth *t)
{
    check_gold_free(&t->gold);
    data_free(&t->d);
    free(t->o);
    free(t->lse);
}

static const struct {
    const char *problem, *why;
} sampled[] = {
    {"fwd f32 hq4 hk2 sq600 sk900 d64 causal",                   "bottom-right alignment, GQA"},
    {"fwd f32 hq4 sq600 sk900 d64 dv32 causal=topleft",          "top-left, Dv != D"          },
    {"fwd f16 hq4 sq700 d64 window=50:20 alibi sink softcap=9",  "terms of a head"            },
    {"fwd f32 b2 hq4 hk2 sq600 sk500 d64 kvlen seg layout=bhsd", "arrays of a batch, layout"  },
    {"fwd bf16 hq4 sq700 d64 docs=3 causal",                     "documents"                  },
    {"fwd f32 hq4 sq700 d64 bias bool pos causal",               "rows of masks, positions"   },
};

START_TEST(sampled_rows_are_rows_of_the_problem)
{
    truth t;
    make_truth(&t, sampled[_i].problem);
    ck_assert(t.gold.n_rows < t.gold.all_rows); /* else this tests nothing */
    const check_result r = check_compare(&t.gold, &t.d, t.o, t.lse);
    ck_assert_msg(r.ok, "%s (%s): %s", sampled[_i].problem, sampled[_i].why, r.why);
    free_truth(&t);
}
END_TEST

START_TEST(the_truth_passes_and_errors_do_not)
{
    const suite *smoke = &suites[0];
    for (int p = 0; smoke->problems[p]; p++) {
        truth t;
        make_truth(&t, smoke->problems[p]);
        ck_assert_int_eq(t.gold.n_rows, t.gold.all_rows);
        check_result r = check_compare(&t.gold, &t.d, t.o, t.lse);
        ck_assert_msg(r.ok, "%s: %s", smoke->problems[p], r.why);
        ck_assert(r.max_error < r.tolerance);
        t.lse[0] += 0.01f;
        r = check_compare(&t.gold, &t.d, t.o, t.lse);
        ck_assert_msg(!r.ok, "%s: a wrong LSE passed", smoke->problems[p]);
        if (t.d.desc.dtype == CLFLASH_F32)
            ((float *)t.o)[5] += 1e-3f;
        else
            ((uint16_t *)t.o)[5] ^= 0x4000;
        r = check_compare(&t.gold, &t.d, t.o, NULL);
        ck_assert_msg(!r.ok, "%s: a wrong element passed", smoke->problems[p]);
        free_truth(&t);
    }
}
END_TEST

START_TEST(an_element_never_written_is_found)
{
    truth t;
    make_truth(&t, "fwd f32 hq4 sq700 d64");
    ck_assert(t.gold.n_rows < t.gold.all_rows);
    const data_spec o = data_output_spec(&t.d.desc);
    for (int64_t e = 0; e < data_count(&o); e += data_count(&o) / 7) {
        const float before = ((float *)t.o)[e];
        ((float *)t.o)[e] = NAN;
        ck_assert(!check_compare(&t.gold, &t.d, t.o, NULL).ok);
        ((float *)t.o)[e] = before;
    }
    free_truth(&t);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("check");
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, sampled_rows_are_rows_of_the_problem, 0,
                        sizeof sampled / sizeof sampled[0]);
    tcase_add_test(tc, the_truth_passes_and_errors_do_not);
    tcase_add_test(tc, an_element_never_written_is_found);
    Suite *s = suite_create("check");
    suite_add_tcase(s, tc);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    const int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
