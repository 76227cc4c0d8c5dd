/* test_attn_bwd_leak.c -- nothing leaks from under a mask into a gradient: neither from keys to
 * rows that do not see them nor from rows to keys that they do not see; and repeats of what
 * is seen. On every engine. */
#include "tests/support/device.h"
#include "tests/support/main.h"

#include <math.h>

/* One problem for each way to hide a key, and all of them at once, then what other dtypes
 * change. Lengths straddle the blocks of every engine. */
#define SIZES "b2 hq2 hk1 sq65 sk131 d40 "
static const char *const problems[] = {
    "bwd f32 " SIZES "causal",
    "bwd f32 " SIZES "causal=topleft",
    "bwd f32 " SIZES "window=9:4",
    "bwd f32 " SIZES "seg | seg=3",
    "bwd f32 " SIZES "kvlen",
    "bwd f32 " SIZES "bool | bool=3",
    "bwd f32 " SIZES "pos causal bias | pos=1 bias=3",
    "bwd f16 " SIZES "causal window=90 seg kvlen | seg=1",
    "bwd bf16 " SIZES "causal sink",
};
enum { N_PROBLEMS = sizeof problems / sizeof problems[0] };

static void fill_row(clft_case *c, int array, int32_t b, int32_t s, int32_t h, float value)
{
    for (int32_t col = 0; col < c->image[array].n[3]; col++)
        clft_set(c, array, b, s, h, col, value);
}

static bool sees(const clft_case *c, int32_t b, int32_t h, int32_t i, int32_t j)
{
    return clflash_ref_visible(&c->p.desc, &c->args, b, h, i, j);
}

/* Whether a row sees any key of [from, to). */
static bool row_sees(const clft_case *c, int32_t b, int32_t h, int32_t i, int32_t from, int32_t to)
{
    for (int32_t j = from; j < to; j++)
        if (sees(c, b, h, i, j))
            return true;
    return false;
}

/* Whether a key of KV head hk is seen by a row of [from, to) in any head of its group. */
static bool key_seen(const clft_case *c, int32_t b, int32_t hk, int32_t j, int32_t from, int32_t to)
{
    for (int32_t h = hk * c->p.group; h < (hk + 1) * c->p.group; h++)
        for (int32_t i = from; i < to; i++)
            if (sees(c, b, h, i, j))
                return true;
    return false;
}

/* ---- large values ---- */

/* Where the large value is. */
#define KEY 120
#define ROW 20

/* Every small element: the rows of dq, or the keys of dk and dv, that nothing large reaches. */
static int32_t check_small(const clft_case *c, int array, double limit, const char *engine)
{
    const clft_image *m = &c->image[array];
    const bool rows = array == CLFT_DQ;
    const double *want = c->gold[array];
    int32_t n = 0;
    for (int32_t b = 0; b < m->n[0]; b++)
        for (int32_t s = 0; s < m->n[1]; s++)
            for (int32_t h = 0; h < m->n[2]; h++) {
                const bool small = rows ? !row_sees(c, b, h, s, KEY, KEY + 1)
                                        : !key_seen(c, b, h, s, ROW, ROW + 1);
                n += small;
                for (int32_t col = 0; col < m->n[3]; col++, want++) {
                    const double got = clft_got(c, array, b, s, h, col);
                    ck_assert_msg(!small || fabs(got - *want) <= limit,
                                  "\"%s\" engine=%s: gradient %d [%d %d %d %d] = %g, not %g",
                                  c->name, engine, array, b, s, h, col, got, *want);
                }
            }
    return n;
}

static void check_large(clft_case *c, int number, const int *arrays, int n_arrays, double limit)
{
    const char *engine;
    int32_t compared = 0;
    clft_case_solve(c);
    for (int e = 0, ran = 0; (engine = clft_engine_of(CLFLASH_OP_BWD, e)); e++) {
        if (clft_left_out(engine, ran, number) || !clft_run(c, engine))
            continue;
        ran++;
        for (int n = 0; n < n_arrays; n++)
            compared += check_small(c, arrays[n], limit, engine);
    }
    ck_assert_msg(compared > 0, "\"%s\": nothing was compared", c->name);
    clft_case_free(c);
}

/* V = 1e4 at a key that some rows do not see, 1e-4 elsewhere: a weight of 1e-7 would show in
 * the dq of rows that do not see them, which is otherwise below 1e-3. */
START_TEST(a_large_value_stays_under_its_mask)
{
    static const int arrays[] = {CLFT_DQ};
    clft_case c;
    clft_case_make_text(&c, problems[_i]);
    for (int32_t b = 0; b < c.p.b; b++)
        for (int32_t j = 0; j < c.p.sk; j++)
            fill_row(&c, CLFT_V, b, j, 0, j == KEY ? 1e4f : 1e-4f);
    check_large(&c, _i, arrays, 1, 1e-5);
}
END_TEST

/* The same across: dO = 1e4 in a row that does not see some keys. */
START_TEST(a_large_row_stays_with_its_keys)
{
    static const int arrays[] = {CLFT_DK, CLFT_DV};
    clft_case c;
    clft_case_make_text(&c, problems[_i]);
    for (int32_t b = 0; b < c.p.b; b++)
        for (int32_t i = 0; i < c.p.sq; i++)
            for (int32_t h = 0; h < c.p.hq; h++)
                fill_row(&c, CLFT_DOUT, b, i, h, i == ROW ? 1e4f : 1e-4f);
    check_large(&c, _i, arrays, 2, 1e-4);
}
END_TEST

/* ---- NaN and infinities ---- */

static const struct {
    float first, second;
} spoilt[] = {
    {NAN,       NAN      },
    {1,         INFINITY },
    {INFINITY,  1        },
    {-INFINITY, -INFINITY},
};

/* What no row sees, and what rows that see nothing hold, may be anything. */
START_TEST(what_takes_no_part_may_hold_anything)
{
    for (size_t n = 0; n < sizeof spoilt / sizeof spoilt[0]; n++) {
        clft_case c;
        clft_case_make_text(&c, problems[_i]);
        for (int32_t b = 0; b < c.p.b; b++) {
            for (int32_t j = 0; j < c.p.sk; j++) {
                if (key_seen(&c, b, 0, j, 0, c.p.sq))
                    continue;
                fill_row(&c, CLFT_K, b, j, 0, spoilt[n].first);
                fill_row(&c, CLFT_V, b, j, 0, spoilt[n].second);
            }
            for (int32_t i = 0; i < c.p.sq; i++)
                for (int32_t h = 0; h < c.p.hq; h++) {
                    if (row_sees(&c, b, h, i, 0, c.p.sk))
                        continue;
                    fill_row(&c, CLFT_Q, b, i, h, spoilt[n].first);
                    fill_row(&c, CLFT_DOUT, b, i, h, spoilt[n].second);
                }
        }
        c.may_be_zero = true;
        clft_check_engines(&c);
    }
}
END_TEST

/* Keys and rows that some see and others do not: NaN goes where the reference says. */
START_TEST(nan_reaches_only_what_sees_it)
{
    static const int arrays[] = {CLFT_K, CLFT_V, CLFT_Q, CLFT_DOUT};
    for (int n = 0; n < 4; n++) {
        clft_case c;
        clft_case_make_text(&c, problems[_i]);
        const clft_image *m = &c.image[arrays[n]];
        for (int32_t b = 0; b < m->n[0]; b++)
            for (int32_t s = ROW; s < m->n[1]; s += 37)
                fill_row(&c, arrays[n], b, s, 0, NAN);
        clft_check_engines(&c);
    }
}
END_TEST

/* A NaN in one column of dO is in that column of dv alone. */
START_TEST(a_nan_keeps_to_its_column)
{
    clft_case c;
    clft_case_make_text(&c, problems[_i]);
    clft_set(&c, CLFT_DOUT, 0, ROW, 1, 3, NAN);
    clft_check_engines(&c);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("attn_bwd_leak");
    clft_add(suite, a_large_value_stays_under_its_mask, N_PROBLEMS);
    clft_add(suite, a_large_row_stays_with_its_keys, N_PROBLEMS);
    clft_add(suite, what_takes_no_part_may_hold_anything, N_PROBLEMS);
    clft_add(suite, nan_reaches_only_what_sees_it, N_PROBLEMS);
    clft_add(suite, a_nan_keeps_to_its_column, 2);
    return clft_main(suite, clft_session_end);
}
