/* test_ref_bwd.c -- the gradients of the reference: against finite differences of its forward,
 * whose own test is test_ref.c, and against identities. */
#include "tests/support/case.h"
#include "tests/support/main.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- finite differences ---- */

/* Each is there for one reason; sizes are as small as show it. */
static const struct {
    const char *text, *why;
} cases[] = {
    {"bwd f32 hq1 sq3 sk4 d3 dv2",                                                            "the plain sums"                },
    {"bwd f32 hq1 sq1 sk1 d1",                                                                "one of everything"             },
    {"bwd f32 b2 hq4 hk2 sq3 sk4 d3 dv2",                                                     "heads of a group are summed"   },
    {"bwd f32 b2 hq4 hk1 sq3 sk4 d2 layout=bhsd | views=2",                                   "the other layout, gaps"        },
    {"bwd f32 hq2 sq4 sk4 d3 scale=1.5",                                                      "the scale in dq and dk"        },
    {"bwd f32 hq2 sq4 sk5 d3 softcap=1.5",                                                    "the softcap's slope"           },
    {"bwd f32 hq2 sq4 sk5 d3 softcap=0.25 scale=2",                                           "where tanh is nearly flat"     },
    {"bwd f32 hq2 sq5 sk7 d3 causal",                                                         "bottom-right, longer keys"     },
    {"bwd f32 hq2 sq7 sk4 d3 causal",                                                         "rows without keys"             },
    {"bwd f32 hq2 sq4 sk7 d3 causal=topleft",                                                 "keys that nobody sees"         },
    {"bwd f32 hq2 sq6 sk6 d3 window=2:1",                                                     "both ends of a window"         },
    {"bwd f32 b2 hq2 sq6 sk6 d3 seg | seg=3",                                                 "segments with padding"         },
    {"bwd f32 b2 hq2 sq6 sk6 d3 pos causal | pos=1",                                          "shuffled positions"            },
    {"bwd f32 b2 hq2 sq4 sk6 d3 kvlen | len=1",                                               "a batch without keys"          },
    {"bwd f32 b2 hq2 sq4 sk6 d3 bool | bool=2",                                               "a boolean mask"                },
    {"bwd f32 hq2 sq4 sk6 d3 alibi causal",                                                   "ALiBi moves weights only"      },
    {"bwd f32 b2 hq4 hk2 sq4 sk6 d3 sink",                                                    "dsink over batch and queries"  },
    {"bwd f32 hq2 sq6 sk3 d3 sink causal",                                                    "rows with nothing but the sink"},
    {"bwd f32 b2 hq2 sq4 sk5 d3 bias",                                                        "dbias, full"                   },
    {"bwd f32 b2 hq2 sq4 sk5 d3 bias | bias=1",                                               "summed over the batch"         },
    {"bwd f32 b2 hq2 sq4 sk5 d3 bias | bias=2 views=2",                                       "summed over heads, gaps"       },
    {"bwd f32 b2 hq2 sq4 sk5 d3 bias | bias=4",                                               "summed over queries"           },
    {"bwd f32 b2 hq2 sq4 sk5 d3 bias sink softcap=1 | bias=7",                                "over all; before the softcap"  },
    {"bwd f32 b2 hq4 hk2 sq6 sk7 d3 dv5 causal window=4 seg kvlen alibi sink bias bool softcap=2 "
     "| bias=1 bool=4 views=2",                                                          "everything at once"            },
    {"bwd f32 b2 hq2 hk1 sq5 sk6 d4 pos window=3:2 alibi sink bias softcap=1 | pos=1 bias=6",
     "the same with positions"                                                                                                },
};
enum { N_CASES = sizeof cases / sizeof cases[0] };

/* sum of O dO, in double. */
static double loss(const clft_case *c, double *o)
{
    const clfi_attn *p = &c->p;
    double sum = 0;
    ck_assert_int_eq(clflash_ref_attn_fwd_f64(&p->desc, &c->args, o, NULL), CLFLASH_OK);
    for (int32_t b = 0; b < p->b; b++)
        for (int32_t i = 0; i < p->sq; i++)
            for (int32_t h = 0; h < p->hq; h++)
                for (int32_t col = 0; col < p->dv; col++)
                    sum += *o++ * clft_get(c, CLFT_DOUT, b, i, h, col);
    return sum;
}

/* Multiples of 2^-14, so that steps of 2^-12 are exact in f32. */
static void coarsen(clft_case *c, int array)
{
    const int64_t *n = c->image[array].n;
    for (int64_t a = 0; c->image[array].bytes && a < n[0]; a++)
        for (int64_t b = 0; b < n[1]; b++)
            for (int64_t i = 0; i < n[2]; i++)
                for (int64_t j = 0; j < n[3]; j++) {
                    const float x = clft_get(c, array, a, b, i, j);
                    clft_set(c, array, a, b, i, j, rintf(x * 0x1p14f) * 0x1p-14f);
                }
}

/* The gradient of `input` is `gold` of `output`: fourth order, so the error is about
 * 2^-48 x the fifth derivative + 2^-53 x the loss / 2^-12. */
static void differentiate(clft_case *c, int input, int output, double *o, const char *why)
{
    const int64_t *n = c->image[input].n;
    const float h = 0x1p-12f;
    const double *got = c->gold[output];
    for (int64_t a = 0; c->image[input].bytes && a < n[0]; a++)
        for (int64_t b = 0; b < n[1]; b++)
            for (int64_t i = 0; i < n[2]; i++)
                for (int64_t j = 0; j < n[3]; j++, got++) {
                    static const float step[4] = {1, -1, 2, -2};
                    const float x = clft_get(c, input, a, b, i, j);
                    double l[4];
                    for (int s = 0; s < 4; s++) {
                        clft_set(c, input, a, b, i, j, x + step[s] * h);
                        l[s] = loss(c, o);
                    }
                    clft_set(c, input, a, b, i, j, x);
                    const double want =
                        isinf(x) ? 0 : (8 * (l[0] - l[1]) - (l[2] - l[3])) / (12 * (double)h);
                    ck_assert_msg(fabs(*got - want) <= 1e-9,
                                  "\"%s\" (%s): gradient of array %d [%d %d %d %d]: %.12g, not "
                                  "%.12g",
                                  c->name, why, input, (int)a, (int)b, (int)i, (int)j, *got, want);
                }
}

START_TEST(gradients_are_finite_differences)
{
    static const int inputs[][2] = {
        {CLFT_Q,    CLFT_DQ   },
        {CLFT_K,    CLFT_DK   },
        {CLFT_V,    CLFT_DV   },
        {CLFT_SINK, CLFT_DSINK},
        {CLFT_BIAS, CLFT_DBIAS},
    };
    clft_case c;
    clft_case_make_text(&c, cases[_i].text);
    for (int n = 0; n < 5; n++)
        coarsen(&c, inputs[n][0]);
    clft_case_solve(&c);
    double *o = malloc((size_t)clft_elements(&c, CLFT_O) * sizeof *o + 1);
    for (int n = 0; n < 5; n++)
        differentiate(&c, inputs[n][0], inputs[n][1], o, cases[_i].why);
    free(o);
    clft_case_free(&c);
}
END_TEST

/* ---- identities ---- */

#define ALL "causal window=4 seg kvlen alibi bool softcap=2 bias | bool=4 seg=1"

/* Weights of a row sum to 1 whatever the scores, so their gradients sum to 0: not with a sink,
 * which takes its share (dsink is what is missing). */
START_TEST(score_gradients_of_a_row_sum_to_zero)
{
    static const char *const texts[] = {"bwd f32 b2 hq2 sq5 sk6 d3 bias",
                                        "bwd f32 b2 hq2 sq5 sk6 d3 " ALL,
                                        "bwd f32 b2 hq2 sq5 sk6 d3 sink bias"};
    clft_case c;
    clft_case_make_text(&c, texts[_i]);
    clft_case_solve(&c);
    const double *ds = c.gold[CLFT_DBIAS];
    double sink[2] = {0, 0}, largest = 0;
    for (int32_t row = 0; row < 2 * 2 * 5; row++, ds += 6) {
        double sum = 0;
        for (int32_t j = 0; j < 6; j++) {
            sum += ds[j];
            largest = fmax(largest, fabs(ds[j]));
        }
        if (c.p.sink)
            sink[row / 5 % 2] += sum;
        else
            ck_assert_double_eq_tol(sum, 0, 1e-15);
    }
    ck_assert_double_gt(largest, 0.01);
    for (int32_t h = 0; c.p.sink && h < 2; h++)
        ck_assert_double_eq_tol(c.gold[CLFT_DSINK][h], -sink[h], 1e-14);
    clft_case_free(&c);
}
END_TEST

/* O is linear in V, so sum V dV = sum O dO. */
START_TEST(value_gradients_keep_the_loss)
{
    static const char *const texts[] = {"bwd f32 b2 hq4 hk2 sq5 sk6 d3 dv2 sink",
                                        "bwd f32 b2 hq2 sq5 sk6 d3 " ALL};
    clft_case c;
    double sum = 0;
    clft_case_make_text(&c, texts[_i]);
    clft_case_solve(&c);
    const double *dv = c.gold[CLFT_DV];
    double *o = malloc((size_t)clft_elements(&c, CLFT_O) * sizeof *o);
    for (int32_t b = 0; b < c.p.b; b++)
        for (int32_t j = 0; j < c.p.sk; j++)
            for (int32_t h = 0; h < c.p.hk; h++)
                for (int32_t col = 0; col < c.p.dv; col++)
                    sum += *dv++ * clft_get(&c, CLFT_V, b, j, h, col);
    ck_assert_double_eq_tol(sum, loss(&c, o), 1e-12);
    free(o);
    clft_case_free(&c);
}
END_TEST

static void copy(clft_case *to, const clft_case *from, int array, int32_t heads_per)
{
    const int64_t *n = to->image[array].n;
    for (int64_t b = 0; b < n[0]; b++)
        for (int64_t i = 0; i < n[1]; i++)
            for (int64_t h = 0; h < n[2]; h++)
                for (int64_t col = 0; col < n[3]; col++)
                    clft_set(to, array, b, i, h, col,
                             clft_get(from, array, b, i, h / heads_per, col));
}

START_TEST(shared_heads_are_repeated_heads_summed)
{
    clft_case gqa, mha;
    clft_case_make_text(&gqa, "bwd f32 b2 hq4 hk2 sq5 sk6 d3 causal");
    clft_case_make_text(&mha, "bwd f32 b2 hq4 sq5 sk6 d3 causal");
    copy(&mha, &gqa, CLFT_Q, 1);
    copy(&mha, &gqa, CLFT_K, 2);
    copy(&mha, &gqa, CLFT_V, 2);
    copy(&mha, &gqa, CLFT_DOUT, 1);
    clft_case_solve(&gqa);
    clft_case_solve(&mha);
    for (int32_t at = 0; at < 2 * 5 * 4 * 3; at++)
        ck_assert_double_eq(gqa.gold[CLFT_DQ][at], mha.gold[CLFT_DQ][at]);
    for (int array = CLFT_DK; array <= CLFT_DV; array++)
        for (int32_t row = 0; row < 2 * 6 * 2; row++) /* batch, key, key head */
            for (int32_t col = 0; col < 3; col++) {
                const double *x = mha.gold[array] + 2 * row * 3 + col;
                ck_assert_double_eq_tol(gqa.gold[array][row * 3 + col], x[0] + x[3], 1e-14);
            }
    clft_case_free(&gqa);
    clft_case_free(&mha);
}
END_TEST

/* Documents of three tokens, each as a problem of its own. */
START_TEST(segments_are_separate_calls)
{
    clft_case all;
    clft_case_make_text(&all, "bwd f32 hq2 sq12 d3 causal seg");
    clft_case_solve(&all);
    for (int32_t part = 0; part < 4; part++) {
        static const int inputs[] = {CLFT_Q, CLFT_K, CLFT_V, CLFT_DOUT};
        clft_case one;
        clft_case_make_text(&one, "bwd f32 hq2 sq3 d3 causal");
        for (int n = 0; n < 4; n++)
            for (int32_t i = 0; i < 3 * 2 * 3; i++)
                clft_set(&one, inputs[n], 0, i / 6, i / 3 % 2, i % 3,
                         clft_get(&all, inputs[n], 0, 3 * part + i / 6, i / 3 % 2, i % 3));
        clft_case_solve(&one);
        for (int array = CLFT_DQ; array <= CLFT_DV; array++)
            for (int32_t at = 0; at < 18; at++)
                ck_assert_double_eq_tol(one.gold[array][at], all.gold[array][18 * part + at],
                                        1e-15);
        clft_case_free(&one);
    }
    clft_case_free(&all);
}
END_TEST

/* ---- nothing to see, and what lies under masks ---- */

/* Gradients of what takes no part are 0, whatever lies there. causal with 4 keys: the first 3
 * of 7 rows see nothing; top-left with 7 keys: nobody sees the last 3. */
START_TEST(what_takes_no_part_has_no_gradient)
{
    clft_case c;
    clft_case_make_text(&c, "bwd f32 hq1 sq7 sk4 d3 causal sink");
    for (int32_t i = 0; i < 9; i++) {
        clft_set(&c, CLFT_Q, 0, i / 3, 0, i % 3, i < 5 ? NAN : INFINITY);
        clft_set(&c, CLFT_DOUT, 0, i / 3, 0, i % 3, i < 5 ? INFINITY : NAN);
    }
    clft_case_solve(&c);
    for (int32_t at = 0; at < 9; at++)
        ck_assert_double_eq(c.gold[CLFT_DQ][at], 0);
    for (int32_t at = 0; at < 12; at++)
        ck_assert(isfinite(c.gold[CLFT_DK][at]) && isfinite(c.gold[CLFT_DV][at]));
    ck_assert(isfinite(c.gold[CLFT_DSINK][0]) && c.gold[CLFT_DSINK][0] != 0);
    clft_case_free(&c);

    clft_case_make_text(&c, "bwd f32 hq1 sq4 sk7 d3 causal=topleft");
    for (int32_t j = 12; j < 21; j++) {
        clft_set(&c, CLFT_K, 0, j / 3, 0, j % 3, NAN);
        clft_set(&c, CLFT_V, 0, j / 3, 0, j % 3, -INFINITY);
    }
    clft_case_solve(&c);
    for (int array = CLFT_DK; array <= CLFT_DV; array++)
        for (int32_t at = 0; at < 21; at++)
            ck_assert(at < 12 ? isfinite(c.gold[array][at]) : c.gold[array][at] == 0);
    for (int32_t at = 0; at < 12; at++)
        ck_assert(isfinite(c.gold[CLFT_DQ][at]));
    clft_case_free(&c);
}
END_TEST

/* A NaN that is seen spreads to those that see it, and no further. */
START_TEST(a_visible_nan_spreads_as_far_as_it_is_seen)
{
    clft_case c;
    clft_case_make_text(&c, "bwd f32 hq1 sq4 d2 causal");
    clft_set(&c, CLFT_V, 0, 2, 0, 0, NAN);
    clft_case_solve(&c);
    for (int32_t at = 0; at < 8; at++)
        ck_assert_msg(!isnan(c.gold[CLFT_DQ][at]) == (at < 4), "dq[%d]", at);
    clft_case_free(&c);

    clft_case_make_text(&c, "bwd f32 hq1 sq4 d2 causal");
    clft_set(&c, CLFT_DOUT, 0, 1, 0, 0, NAN);
    clft_case_solve(&c);
    for (int32_t at = 0; at < 8; at++) {
        ck_assert_msg(isnan(c.gold[CLFT_DQ][at]) == (at / 2 == 1), "dq[%d]", at);
        ck_assert_msg(isnan(c.gold[CLFT_DK][at]) == (at / 2 <= 1), "dk[%d]", at);
        ck_assert_msg(isnan(c.gold[CLFT_DV][at]) == (at == 0 || at == 2), "dv[%d]", at);
    }
    clft_case_free(&c);
}
END_TEST

/* ---- what is written ---- */

/* The rounded gradients are beta x the old contents + the double ones, rounded once; what is
 * not an element stays as it was. */
START_TEST(the_callers_arrays_get_the_rounded_sum)
{
    static const char *const texts[] = {
        "bwd f16 b2 hq4 hk2 sq5 sk6 d3 dv2 sink bias | beta=3 views=2 bias=1",
        "bwd bf16 b2 hq2 sq5 sk6 d3 sink bias | beta=2 views=1 bias=4 dbias=1",
        "bwd f32 b2 hq2 sq5 sk6 d3 layout=bhsd sink bias | beta=1 views=2 bias=3",
        "bwd f16 b2 hq2 sq5 sk6 d3 grad=f32 causal | beta=2",
        "bwd f32 b2 hq2 sq5 sk6 d3 causal | views=2",
        "bwd f32 hq2 sq0 sk6 d3 sink bias | beta=2 bias=7",
        "bwd f32 hq2 sq6 sk0 d3 sink bias | beta=1",
    };
    clft_case c;
    char why[256];
    clft_case_make_text(&c, texts[_i]);
    clft_case_solve(&c);
    clflash_attn_bwd_host_args args = c.bwd;
    void *const to[] = {args.dq, args.dk, args.dv, args.dsink, args.dbias.data};
    char *moved[5] = {0};
    for (int n = 0; n < 5; n++) {
        const clft_image *m = &c.image[CLFT_DQ + n];
        if (!to[n])
            continue;
        moved[n] = c.got[CLFT_DQ + n] = malloc((size_t)m->total);
        memcpy(moved[n], m->bytes, (size_t)m->total);
        moved[n] += m->offset;
    }
    args.dq = moved[0];
    args.dk = moved[1];
    args.dv = moved[2];
    args.dsink = (float *)(void *)moved[3];
    args.dbias.data = moved[4];
    ck_assert_int_eq(clflash_ref_attn_bwd(&c.p.desc, &args), CLFLASH_OK);
    /* One rounding: the check's tolerance without any share of the baseline's. */
    memset(c.base_max, 0, sizeof c.base_max);
    memset(c.terms, 0, sizeof c.terms);
    c.may_be_zero = true;
    ck_assert_msg(clft_case_check(&c, why, sizeof why), "\"%s\": %s", c.name, why);
    clft_case_free(&c);
}
END_TEST

/* The tests' baseline is what their tolerances grow from: it must compute the same thing. */
START_TEST(the_baseline_computes_the_same)
{
    static const char *const texts[] = {
        "bwd f32 b2 hq4 hk2 sq15 sk16 d13 dv15 sink " ALL,
        "bwd f32 b2 hq4 hk2 sq15 sk16 d13 pos window=9:2 sink bias softcap=1 | pos=1 bias=7 beta=2",
    };
    clft_case c;
    clft_case_make_text(&c, texts[_i]);
    clft_case_solve(&c);
    for (int array = CLFT_DQ; array <= CLFT_DBIAS; array++) {
        double most = 0;
        for (int64_t n = 0; n < clft_elements(&c, array); n++)
            most = fmax(most, fabs(c.gold[array][n]));
        ck_assert_msg(most > 0 && c.base_max[array] <= 2e-6 * most && c.terms[array] <= 30 * most,
                      "\"%s\": array %d: error %g of %g, terms %g", c.name, array,
                      c.base_max[array], most, c.terms[array]);
    }
    clft_case_free(&c);
}
END_TEST

START_TEST(bad_arguments_are_refused)
{
    clft_case c;
    clft_case_make_text(&c, "bwd f16 hq2 sq5 sk6 d3 sink bias | bias=1");
    const clflash_attn_desc *d = &c.p.desc;
    clflash_attn_desc plain = *d;
    clflash_attn_bwd_host_args a = c.bwd;
    clflash_ref_gradients none = {0};
    double number[2];
    ck_assert_int_eq(clflash_ref_attn_bwd(d, NULL), CLFLASH_INVALID_ARGUMENT);
    ck_assert_int_eq(clflash_ref_attn_bwd_f64(d, &a, NULL), CLFLASH_INVALID_ARGUMENT);
    ck_assert_int_eq(clflash_ref_attn_bwd_f64(d, &a, &none), CLFLASH_OK);
    a.dout = NULL;
    ck_assert_int_eq(clflash_ref_attn_bwd(d, &a), CLFLASH_NULL_BUFFER);
    a = c.bwd;
    a.fwd.v = NULL;
    ck_assert_int_eq(clflash_ref_attn_bwd(d, &a), CLFLASH_NULL_BUFFER);
    a = c.bwd;
    a.dbias.extent[0] = 0; /* the bias has one batch, so has the problem: the same */
    ck_assert_int_eq(clflash_ref_attn_bwd(d, &a), CLFLASH_OK);
    a.dbias.extent[1] = 1;
    ck_assert_int_eq(clflash_ref_attn_bwd(d, &a), CLFLASH_INVALID_SIZE);
    a = c.bwd;
    a.dbias.dtype = CLFLASH_BF16;
    ck_assert_int_eq(clflash_ref_attn_bwd(d, &a), CLFLASH_INVALID_DTYPE);
    plain.sink = plain.bias = false;
    a = c.bwd;
    a.fwd.sink = NULL;
    a.fwd.bias = (clflash_host_mask){0};
    ck_assert_int_eq(clflash_ref_attn_bwd(&plain, &a), CLFLASH_EXTRA_BUFFER);
    a.dsink = NULL;
    ck_assert_int_eq(clflash_ref_attn_bwd(&plain, &a), CLFLASH_EXTRA_BUFFER);
    a.dbias.data = NULL;
    ck_assert_int_eq(clflash_ref_attn_bwd(&plain, &a), CLFLASH_OK);
    none.dsink = number;
    ck_assert_int_eq(clflash_ref_attn_bwd_f64(&plain, &a, &none), CLFLASH_EXTRA_BUFFER);
    clft_case_free(&c);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ref_bwd");
    clft_add(suite, gradients_are_finite_differences, N_CASES);
    clft_add(suite, score_gradients_of_a_row_sum_to_zero, 3);
    clft_add(suite, value_gradients_keep_the_loss, 2);
    clft_add(suite, shared_heads_are_repeated_heads_summed, 1);
    clft_add(suite, segments_are_separate_calls, 1);
    clft_add(suite, what_takes_no_part_has_no_gradient, 1);
    clft_add(suite, a_visible_nan_spreads_as_far_as_it_is_seen, 1);
    clft_add(suite, the_callers_arrays_get_the_rounded_sum, 7);
    clft_add(suite, the_baseline_computes_the_same, 2);
    clft_add(suite, bad_arguments_are_refused, 1);
    return clft_main(suite, NULL);
}
