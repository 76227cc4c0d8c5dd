/* test_attn_leak.c -- nothing leaks from under a mask: huge values, NaN and infinities under
 * masked keys, low scores against masked ones, on every engine. */
#include "tests/support/device.h"
#include "tests/support/main.h"

#include <math.h>
#include <stdio.h>

/* One problem for each way to hide a key, and all of them at once, then what other dtypes and
 * few queries change. Lengths straddle the blocks of every engine. */
#define SIZES "b2 hq2 hk1 sq65 sk131 d40 "
#define FEW "b2 hq2 hk1 sq5 sk131 d40 "
#define ALL "causal window=90 seg kvlen | seg=1"
static const char *const problems[] = {
    "fwd f32 " SIZES "causal",
    "fwd f32 " SIZES "causal=topleft",
    "fwd f32 " SIZES "window=9:4",
    "fwd f32 " SIZES "seg | seg=3",
    "fwd f32 " SIZES "kvlen",
    "fwd f32 " SIZES "bool | bool=3",
    "fwd f32 " SIZES "bias | bias=3",
    "fwd f32 " SIZES "pos causal | pos=1",
    "fwd f32 " SIZES ALL,
    "fwd f16 " SIZES "bias | bias=3",
    "fwd f16 " SIZES ALL,
    "fwd bf16 " SIZES "causal",
    "fwd bf16 " SIZES ALL,
    "fwd f32 " FEW "causal",
    "fwd f32 " FEW "bool bias | bool=3 bias=3",
    "fwd f16 " FEW ALL,
};
enum { N_PROBLEMS = sizeof problems / sizeof problems[0] };

static void make(clft_case *c, int i) { clft_case_make_text(c, problems[i]); }

/* Whether any query of any head that reads KV head hk may see key j. */
static bool seen(const clft_case *c, int32_t b, int32_t hk, int32_t j)
{
    for (int32_t h = hk * c->p.group; h < (hk + 1) * c->p.group; h++)
        for (int32_t i = 0; i < c->p.sq; i++)
            if (clflash_ref_visible(&c->p.desc, &c->args, b, h, i, j))
                return true;
    return false;
}

/* Fills K and V of every key that no query sees, or of single keys that some see. */
static void fill_keys(clft_case *c, bool unseen_only, float k, float v)
{
    for (int32_t b = 0; b < c->p.b; b++)
        for (int32_t h = 0; h < c->p.hk; h++)
            for (int32_t j = 0; j < c->p.sk; j++) {
                if (unseen_only ? seen(c, b, h, j) : j % 37 != 20)
                    continue;
                for (int32_t col = 0; col < c->p.d; col++)
                    clft_set(c, CLFT_K, b, j, h, col, k);
                for (int32_t col = 0; col < c->p.dv; col++)
                    clft_set(c, CLFT_V, b, j, h, col, v);
            }
}

/* V = 1e4 at keys that some rows do not see, 1e-4 elsewhere: a weight of 1e-7 would show in
 * the rows that do not see them. Where they are seen, O is as large as they are, so rows are
 * compared by themselves: against 1e-4. */
START_TEST(a_large_value_stays_under_its_mask)
{
    clft_case c;
    make(&c, _i);
    for (int32_t b = 0; b < c.p.b; b++)
        for (int32_t h = 0; h < c.p.hk; h++)
            for (int32_t j = 0; j < c.p.sk; j++)
                for (int32_t col = 0; col < c.p.dv; col++)
                    clft_set(&c, CLFT_V, b, j, h, col, j % 11 == 5 ? 1e4f : 1e-4f);
    clft_case_solve(&c);
    for (int e = 0, ran = 0; clft_engine(e); e++) {
        if (clft_left_out(clft_engine(e), ran, _i) || !clft_run(&c, clft_engine(e)))
            continue;
        ran++;
        const double *want = c.gold[CLFT_O];
        for (int32_t b = 0; b < c.p.b; b++)
            for (int32_t i = 0; i < c.p.sq; i++)
                for (int32_t h = 0; h < c.p.hq; h++)
                    for (int32_t col = 0; col < c.p.dv; col++, want++) {
                        const float got = clft_o(&c, b, i, h, col);
                        if (*want < 1e-3)
                            ck_assert_msg(fabs(got - *want) < 2e-6,
                                          "\"%s\" engine=%s: o[%d %d %d %d] = %g, not %g", c.name,
                                          clft_engine(e), b, i, h, col, (double)got, *want);
                    }
    }
    clft_case_free(&c);
}
END_TEST

static const struct {
    float k, v;
} spoilt[] = {
    {NAN,       NAN      },
    {1,         INFINITY },
    {INFINITY,  1        },
    {-INFINITY, -INFINITY},
};

/* What no query of the batch sees may hold anything. */
START_TEST(unseen_keys_may_hold_anything)
{
    for (size_t s = 0; s < sizeof spoilt / sizeof spoilt[0]; s++) {
        clft_case c;
        make(&c, _i);
        fill_keys(&c, true, spoilt[s].k, spoilt[s].v);
        c.may_be_zero = true;
        clft_check_engines(&c);
    }
}
END_TEST

/* Keys that some queries see and others do not: only rows that see them become NaN. */
START_TEST(nan_reaches_only_rows_that_see_it)
{
    clft_case c;
    make(&c, _i);
    fill_keys(&c, false, 0.5f, NAN);
    clft_check_engines(&c);
    make(&c, _i);
    fill_keys(&c, false, NAN, 0.5f);
    clft_check_engines(&c);
}
END_TEST

/* A visible score of -3e38, near the end of f32, still wins against any number of masked keys:
 * in units of log 2 it would be -infinity. */
START_TEST(a_low_score_beats_a_masked_one)
{
    static const char *const texts[] = {
        "fwd f32 hq1 sq40 sk97 d16 bool scale=1 | bool=3",
        "fwd f32 hq1 sq40 sk97 d16 seg scale=1 | seg=1",
        "fwd f32 hq1 sq40 sk97 d16 causal window=3 scale=1",
        "fwd f32 hq1 sq5 sk97 d16 bool scale=1 | bool=3",
        "fwd f32 hq1 sq40 sk97 d16 bool scale=1 sink | bool=3",
    };
    clft_case c;
    clft_case_make_text(&c, texts[_i]);
    for (int32_t i = 0; i < c.p.sq; i++)
        for (int32_t col = 0; col < c.p.d; col++)
            clft_set(&c, CLFT_Q, 0, i, 0, col, col == 0 ? -1e19f : 0);
    for (int32_t j = 0; j < c.p.sk; j++)
        for (int32_t col = 0; col < c.p.d; col++)
            clft_set(&c, CLFT_K, 0, j, 0, col, col == 0 ? 3e19f : 0);
    c.may_be_zero = c.p.sink; /* there it weighs nothing beside the sink */
    clft_check_engines(&c);
}
END_TEST

/* tanh(-inf) = -1: a mask applied before the softcap leaves weight exp(-2 c). */
START_TEST(softcap_does_not_leak)
{
    static const char *const texts[] = {
        "fwd f32 b2 hq2 sq65 sk131 d40 softcap=0.25 causal window=9",
        "fwd f32 b2 hq2 sq65 sk131 d40 softcap=0.25 bool | bool=3",
        "fwd f32 b2 hq2 sq65 sk131 d40 softcap=0.25 seg kvlen bias | seg=3",
        "fwd f16 b2 hq2 sq5 sk131 d40 softcap=0.25 seg kvlen bias | seg=3",
    };
    clft_case c;
    clft_case_make_text(&c, texts[_i]);
    clft_check_engines(&c);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("attn_leak");
    clft_add(suite, a_large_value_stays_under_its_mask, N_PROBLEMS);
    clft_add(suite, unseen_keys_may_hold_anything, N_PROBLEMS);
    clft_add(suite, nan_reaches_only_rows_that_see_it, N_PROBLEMS);
    clft_add(suite, a_low_score_beats_a_masked_one, 5);
    clft_add(suite, softcap_does_not_leak, 4);
    return clft_main(suite, clft_session_end);
}
