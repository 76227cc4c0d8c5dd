/* test_attn_fwd.c -- attention forward on every engine: every two options of the
 * descriptor, the data and the views meet in some case (a pairwise covering array). */
#include "tests/support/cover.h"
#include "tests/support/device.h"
#include "tests/support/main.h"

#define SEED 20

static const clft_factor problem[] = {
    {{"f32", "f16", "bf16"}},
    {{"b1", "b2"}},
    {{"hq3 hk3", "hq8 hk2", "hq4 hk1"}},                       /* none, GQA, MQA           */
    {{"sq1", "sq7", "sq31", "sq64", "sq65", "sq97"}},          /* one, tile -1, 0, +1, primes */
    {{"sk0", "sk1", "sk16", "sk63", "sk64", "sk65", "sk131"}}, /* shorter and longer than Sq  */
    {{"d64", "d33 dv65", "d40 dv24", "d128"}},                 /* whole tiles and tails    */
    {{"", "causal", "causal=topleft", "align=topleft"}},
    {{"", "window=9:0", "window=20:13", "window=-1:3", "window=17:-1"}},
    {{"", "seg"}},
    {{"", "pos"}},
    {{"", "kvlen"}},
    {{"", "alibi"}},
    {{"", "sink"}},
    {{"", "bias"}},
    {{"", "bool"}},
    {{"", "softcap=1.5"}},
    {{"layout=bshd", "layout=bhsd"}},
};
static const clft_factor variant[] = {
    {{"views=0", "views=1", "views=2", "views=3"}},
    {{"seg=0 pos=0", "seg=1 pos=1", "seg=2 pos=1", "seg=3 pos=0"}},
    {{"bias=0 bool=7 len=0", "bias=7 bool=0 len=1", "bias=8 bool=2 len=0", "bias=13 bool=4 len=1",
      "bias=3 bool=5 len=0"}},
    {{"nolse=0", "nolse=1"}},
    {{"mask=0", "mask=1"}},
    {{"ws=0", "ws=1", "ws=2"}},
    {{"queue=0", "queue=1"}},
};
static clft_cover cover = {.op = "fwd",
                           .problem = problem,
                           .variant = variant,
                           .n_problem = sizeof problem / sizeof problem[0],
                           .n_variant = sizeof variant / sizeof variant[0]};
static int n_weak;

/* _i: the row, whatever the engine. Masks that meet here may leave nothing visible; how
 * often is counted instead. */
START_TEST(every_two_options_meet)
{
    clft_case c;
    char text[CLFT_NAME_BYTES];
    clft_cover_text(&cover, _i, text, sizeof text);
    clft_case_make_text(&c, text);
    clft_case_solve(&c);
    c.may_be_zero = true;
    n_weak += c.p.sk > 0 && clft_mostly_zero(&c, CLFT_O);
    clft_check_engines(&c);
}
END_TEST

START_TEST(all_pairs_are_covered)
{
    ck_assert_int_eq(cover.n_left, 0);
    ck_assert_msg(n_weak * 4 <= cover.n_rows, "%d of %d references are mostly zero", n_weak,
                  cover.n_rows);
}
END_TEST

/* One case by hand: CLFT_CASE="fwd f32 ... | seed=3", the name that a failure prints. */
START_TEST(the_case_asked_for) { clft_check_text(getenv("CLFT_CASE")); }
END_TEST

int main(void)
{
    Suite *suite = suite_create("attn_fwd");
    TCase *cases = tcase_create("pairwise");
    if (getenv("CLFT_CASE")) {
        tcase_add_test(cases, the_case_asked_for);
    } else {
        clft_cover_make(&cover, SEED);
        tcase_add_loop_test(cases, every_two_options_meet, 0, cover.n_rows);
        tcase_add_test(cases, all_pairs_are_covered);
    }
    suite_add_tcase(suite, cases);
    return clft_main(suite, clft_session_end);
}
