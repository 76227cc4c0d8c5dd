/* test_attn_exact.c -- cases whose result is known without a reference, and identities
 * between calls, on every engine. */
#include "tests/support/device.h"
#include "tests/support/main.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const texts[] = {
    "fwd f32 b2 hq4 hk2 sq37 sk131 d40",           "fwd f32 b2 hq4 hk2 sq37 sk131 d40 causal",
    "fwd f16 b2 hq4 hk2 sq37 sk131 d40 causal",    "fwd f32 b2 hq4 hk2 sq5 sk131 d40",
    "fwd f32 b2 hq2 sq65 sk131 d40 bool | bool=3",
};
enum { N_TEXTS = sizeof texts / sizeof texts[0] };

static void fill(clft_case *c, int array, float value)
{
    const int64_t *n = c->image[array].n;
    for (int64_t b = 0; b < n[0]; b++)
        for (int64_t i = 0; i < n[1]; i++)
            for (int64_t h = 0; h < n[2]; h++)
                for (int64_t col = 0; col < n[3]; col++)
                    clft_set(c, array, b, i, h, col, value);
}

static int32_t visible(const clft_case *c, int32_t b, int32_t h, int32_t i)
{
    int32_t n = 0;
    for (int32_t j = 0; j < c->p.sk; j++)
        n += clflash_ref_visible(&c->p.desc, &c->args, b, h, i, j);
    return n;
}

typedef double (*want_fn)(const clft_case *c, int32_t b, int32_t i, int32_t h, int32_t col);

/* O within `units` roundings of want() on every engine. */
static void check_known(clft_case *c, want_fn want, double units)
{
    const double u = units * (c->p.dtype == CLFLASH_F32 ? 0x1p-24 : 0x1p-11);
    for (int e = 0; clft_engine(e); e++) {
        if (!clft_run(c, clft_engine(e)))
            continue;
        for (int32_t b = 0; b < c->p.b; b++)
            for (int32_t i = 0; i < c->p.sq; i++)
                for (int32_t h = 0; h < c->p.hq; h++)
                    for (int32_t col = 0; col < c->p.dv; col++) {
                        const double got = clft_o(c, b, i, h, col), w = want(c, b, i, h, col);
                        ck_assert_msg(fabs(got - w) <= u * fabs(w),
                                      "\"%s\" engine=%s: o[%d %d %d %d] = %.9g, not %.9g", c->name,
                                      clft_engine(e), b, i, h, col, got, w);
                    }
    }
    clft_case_free(c);
}

static double one(const clft_case *c, int32_t b, int32_t i, int32_t h, int32_t col)
{
    (void)col;
    return visible(c, b, h, i) > 0;
}

/* Weights sum to 1 whatever the scores. */
START_TEST(values_of_one_give_one)
{
    clft_case c;
    clft_case_make_text(&c, texts[_i]);
    fill(&c, CLFT_V, 1);
    /* Both sums have Sk terms and may be added in any order: sqrt(Sk) roundings each. */
    check_known(&c, one, 2 * sqrt((double)c.p.sk));
}
END_TEST

/* With Q = 0 every visible key weighs 1/n. V counts: column col is 1 at key col. */
static double share(const clft_case *c, int32_t b, int32_t i, int32_t h, int32_t col)
{
    return clflash_ref_visible(&c->p.desc, &c->args, b, h, i, col) ? 1.0 / visible(c, b, h, i) : 0;
}

START_TEST(zero_queries_count_their_keys)
{
    clft_case c;
    clft_case_make_text(&c, texts[_i]);
    fill(&c, CLFT_Q, 0);
    fill(&c, CLFT_V, 0);
    for (int32_t b = 0; b < c.p.b; b++)
        for (int32_t h = 0; h < c.p.hk; h++)
            for (int32_t col = 0; col < c.p.dv; col++)
                clft_set(&c, CLFT_V, b, col, h, col, 1);
    check_known(&c, share, 2);
}
END_TEST

/* Q = 0 and whole numbers: sums are exact in f32, so only the division rounds. */
static double mean_key(const clft_case *c, int32_t b, int32_t i, int32_t h, int32_t col)
{
    double sum = 0;
    for (int32_t j = 0; j < c->p.sk; j++)
        if (clflash_ref_visible(&c->p.desc, &c->args, b, h, i, j))
            sum += clft_get(c, CLFT_V, b, j, h / c->p.group, col);
    return visible(c, b, h, i) ? sum / visible(c, b, h, i) : 0;
}

START_TEST(whole_numbers_are_summed_exactly)
{
    clft_case c;
    clft_case_make_text(&c, texts[_i]);
    fill(&c, CLFT_Q, 0);
    for (int32_t b = 0; b < c.p.b; b++)
        for (int32_t j = 0; j < c.p.sk; j++)
            for (int32_t h = 0; h < c.p.hk; h++)
                for (int32_t col = 0; col < c.p.dv; col++)
                    clft_set(&c, CLFT_V, b, j, h, col, (float)(1 + (3 * j + 5 * col + h) % 9));
    check_known(&c, mean_key, 2);
}
END_TEST

/* ---- two problems, one result ---- */

/* O of two cases of equal shape within a few roundings, engine by engine. */
static void check_same(clft_case *a, clft_case *b, double tolerance)
{
    for (int e = 0; clft_engine(e); e++) {
        if (!clft_run(a, clft_engine(e)) || !clft_run(b, clft_engine(e)))
            continue;
        for (int32_t n = 0; n < a->p.b; n++)
            for (int32_t i = 0; i < a->p.sq; i++)
                for (int32_t h = 0; h < a->p.hq; h++)
                    for (int32_t col = 0; col < a->p.dv; col++) {
                        const double x = clft_o(a, n, i, h, col), y = clft_o(b, n, i, h, col);
                        ck_assert_msg(fabs(x - y) <= tolerance,
                                      "engine=%s: o[%d %d %d %d]: %.9g in \"%s\", %.9g in \"%s\"",
                                      clft_engine(e), n, i, h, col, x, a->name, y, b->name);
                    }
    }
    clft_case_free(a);
    clft_case_free(b);
}

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

START_TEST(shared_heads_are_repeated_heads)
{
    clft_case gqa, mha;
    clft_case_make_text(&gqa, "fwd f32 b2 hq4 hk2 sq37 sk131 d40 causal");
    clft_case_make_text(&mha, "fwd f32 b2 hq4 sq37 sk131 d40 causal");
    copy(&mha, &gqa, CLFT_Q, 1);
    copy(&mha, &gqa, CLFT_K, 2);
    copy(&mha, &gqa, CLFT_V, 2);
    check_same(&gqa, &mha, 0);
}
END_TEST

START_TEST(a_wide_window_is_causal)
{
    clft_case causal, window;
    clft_case_make_text(&causal, "fwd f32 b2 hq4 hk2 sq37 sk131 d40 causal");
    clft_case_make_text(&window, "fwd f32 b2 hq4 hk2 sq37 sk131 d40 window=131:0");
    check_same(&causal, &window, 0);
}
END_TEST

/* The same vector on every key moves all scores of a row by the same amount. Whole and half
 * numbers, so that the inputs stay exact. */
START_TEST(a_vector_on_every_key_changes_nothing)
{
    clft_case a, b;
    clft_case_make_text(&a, texts[0]);
    for (int32_t n = 0; n < a.p.b; n++)
        for (int32_t j = 0; j < a.p.sk; j++)
            for (int32_t h = 0; h < a.p.hk; h++)
                for (int32_t col = 0; col < a.p.d; col++)
                    clft_set(&a, CLFT_K, n, j, h, col, (float)((j * 7 + col * 3) % 5 - 2) / 2);
    clft_case_make_text(&b, texts[0]);
    for (int32_t n = 0; n < a.p.b; n++)
        for (int32_t j = 0; j < a.p.sk; j++)
            for (int32_t h = 0; h < a.p.hk; h++)
                for (int32_t col = 0; col < a.p.d; col++)
                    clft_set(&b, CLFT_K, n, j, h, col,
                             clft_get(&a, CLFT_K, n, j, h, col) + (float)(col % 3));
    check_same(&a, &b, 2e-5);
}
END_TEST

/* A mask made beforehand and one made in the call are the same bits. */
START_TEST(a_given_block_mask_is_the_automatic_one)
{
    clft_case given, automatic;
    clft_case_make_text(&given, "fwd f32 b2 hq4 hk2 sq97 sk131 d40 causal seg | seg=3 mask=1");
    clft_case_make_text(&automatic, "fwd f32 b2 hq4 hk2 sq97 sk131 d40 causal seg | seg=3");
    check_same(&given, &automatic, 0);
}
END_TEST

/* Sorted documents, each as a problem of its own. */
START_TEST(segments_are_separate_calls)
{
    clft_case all;
    clft_case_make_text(&all, "fwd f32 hq2 sq120 d40 causal seg");
    for (int e = 0; clft_engine(e); e++) {
        if (!clft_run(&all, clft_engine(e)))
            continue;
        for (int32_t part = 0; part < 4; part++) {
            clft_case one_part;
            clft_case_make_text(&one_part, "fwd f32 hq2 sq30 d40 causal");
            for (int array = CLFT_Q; array <= CLFT_V; array++)
                for (int32_t i = 0; i < 30; i++)
                    for (int32_t h = 0; h < 2; h++)
                        for (int32_t col = 0; col < 40; col++)
                            clft_set(&one_part, array, 0, i, h, col,
                                     clft_get(&all, array, 0, 30 * part + i, h, col));
            ck_assert(clft_run(&one_part, clft_engine(e)));
            for (int32_t i = 0; i < 30; i++)
                for (int32_t h = 0; h < 2; h++)
                    for (int32_t col = 0; col < 40; col++)
                        ck_assert_msg(fabsf(clft_o(&all, 0, 30 * part + i, h, col) -
                                            clft_o(&one_part, 0, i, h, col)) < 2e-6f,
                                      "engine=%s: document %d, query %d, head %d, column %d",
                                      clft_engine(e), part, i, h, col);
            clft_case_free(&one_part);
        }
    }
    clft_case_free(&all);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("attn_exact");
    clft_add(suite, values_of_one_give_one, N_TEXTS);
    clft_add(suite, zero_queries_count_their_keys, N_TEXTS);
    clft_add(suite, whole_numbers_are_summed_exactly, N_TEXTS);
    clft_add(suite, shared_heads_are_repeated_heads, 1);
    clft_add(suite, a_wide_window_is_causal, 1);
    clft_add(suite, a_vector_on_every_key_changes_nothing, 1);
    clft_add(suite, a_given_block_mask_is_the_automatic_one, 1);
    clft_add(suite, segments_are_separate_calls, 1);
    return clft_main(suite, clft_session_end);
}
