/* test_attn_bwd.c -- attention backward on every engine: every two options of the descriptor,
 * the data, the gradients and the views meet in some case (a pairwise covering array). */
#include "tests/support/cover.h"
#include "tests/support/device.h"
#include "tests/support/main.h"

#define SEED 20

/* Words of the problem string ("" = none), or values of the variant. Fewer sizes than the
 * forward's: a case is two or three builds. */
static const clft_factor problem[] = {
    {{"f32", "f16", "bf16"}},
    {{"b1", "b2"}},
    {{"hq3 hk3", "hq8 hk2", "hq4 hk1"}},               /* none, GQA, MQA               */
    {{"sq1", "sq31", "sq64", "sq65", "sq97"}},         /* one, tile -1, 0, +1, primes  */
    {{"sk0", "sk1", "sk63", "sk64", "sk65", "sk131"}}, /* shorter and longer than Sq   */
    {{"d64", "d33 dv65", "d40 dv24"}},                 /* whole tiles and tails        */
    {{"", "causal", "causal=topleft", "align=topleft"}},
    {{"", "window=9:0", "window=20:13", "window=17:-1"}},
    {{"", "seg"}},
    {{"", "pos"}},
    {{"", "kvlen"}},
    {{"", "alibi"}},
    {{"", "sink"}},
    {{"", "bias"}},
    {{"", "bool"}},
    {{"", "softcap=1.5"}},
    {{"layout=bshd", "layout=bhsd"}},
    {{"", "grad=f32"}},
    {{"", "recompute"}},
};
static const clft_factor variant[] = {
    {{"views=0", "views=1", "views=2", "views=3"}},
    {{"seg=0 pos=0", "seg=1 pos=1", "seg=2 pos=1", "seg=3 pos=0"}},
    {{"bias=0 bool=7 len=0", "bias=7 bool=0 len=1 dbias=1", "bias=8 bool=2 len=0",
      "bias=13 bool=4 len=1 dbias=1", "bias=3 bool=5 len=0"}},
    {{"beta=0", "beta=1", "beta=2", "beta=3"}},
    {{"skip=0", "skip=1", "skip=6", "skip=26", "skip=12"}},
    {{"mask=0", "mask=1"}},
    {{"ws=0", "ws=1"}},
    {{"queue=0", "queue=1"}},
};
static clft_cover cover = {.op = "bwd",
                           .problem = problem,
                           .variant = variant,
                           .n_problem = sizeof problem / sizeof problem[0],
                           .n_variant = sizeof variant / sizeof variant[0]};
static int n_weak;

/* _i: the row. Masks that meet here may leave nothing visible; how often is counted instead. */
START_TEST(every_two_options_meet)
{
    clft_case c;
    char text[CLFT_NAME_BYTES];
    clft_cover_text(&cover, _i, text, sizeof text);
    clft_case_make_text(&c, text);
    clft_case_solve(&c);
    c.may_be_zero = true;
    for (int array = CLFT_DQ; array <= CLFT_DV; array++)
        if (clft_is_output(&c, array) && c.p.sk > 1 && clft_beta(&c, array) == 0 &&
            clft_mostly_zero(&c, array)) {
            n_weak++;
            break;
        }
    clft_check_engines(&c);
}
END_TEST

START_TEST(all_pairs_are_covered)
{
    ck_assert_int_eq(cover.n_left, 0);
    ck_assert_msg(n_weak * 3 <= cover.n_rows, "%d of %d references are mostly zero", n_weak,
                  cover.n_rows);
}
END_TEST

/* What the array does not reach: wide heads, odd ones, limits on the workspace. */
static const struct {
    const char *text, *why;
} cases[] = {
    {"bwd f32 hq2 hk1 sq70 sk70 d128 causal",                  "whole wide tiles"               },
    {"bwd f16 hq2 hk1 sq70 sk70 d128 causal | views=2",        "the same in 16 bits"            },
    {"bwd f32 hq2 hk1 sq19 sk37 d1 causal",                    "the smallest"                   },
    {"bwd f32 hq2 sq19 sk37 d7 dv31 causal | views=2 beta=3",  "odd, Dv the larger"             },
    {"bwd bf16 hq2 hk1 sq19 sk37 d256 causal",                 "the largest of the fast engines"},
    {"bwd f32 hq1 sq9 sk13 d576 dv512 causal",                 "the largest"                    },
    {"bwd f32 b2 hq2 sq64 sk131 d64 bias | ws=2",              "a limit on the workspace"       },
    {"bwd f32 hq2 sq64 sk64 d64 scale=-0.3",                   "a negative scale"               },
    {"bwd f32 b2 hq2 sq64 sk64 d64 sink bias | skip=7 beta=2", "dsink and dbias alone"          },
    {"bwd f32 b2 hq2 sq37 sk5 d40 causal sink",                "rows with nothing but the sink" },
    {"bwd f32 b2 hq2 sq5 sk37 d40 causal=topleft | beta=3",    "keys that nobody sees"          },
    {"bwd f32 b2 hq2 sq5 sk70 d40 kvlen sink | len=1",         "a batch without keys"           },
    {"bwd f32 hq2 sq0 sk37 d40 sink bias | beta=2 bias=7",     "no query"                       },
    {"bwd f16 hq2 sq37 sk0 d40 sink bias | views=2",           "no key"                         },
    {"bwd f32 b0 hq2 sq37 d40 sink",                           "no batch"                       },
    {"bwd f32 hq2 sq0 sk0 d40 causal",                         "nothing"                        },
};

START_TEST(the_ends_of_the_domain)
{
    clft_case c;
    clft_case_make_text(&c, cases[_i].text);
    clft_case_solve(&c);
    c.may_be_zero = true;
    clft_check_engines(&c);
}
END_TEST

/* One case by hand: CLFT_CASE="bwd f32 ... | seed=3", the name that a failure prints. */
START_TEST(the_case_asked_for) { clft_check_text(getenv("CLFT_CASE")); }
END_TEST

int main(void)
{
    Suite *suite = suite_create("attn_bwd");
    if (getenv("CLFT_CASE")) {
        clft_add(suite, the_case_asked_for, 1);
    } else {
        clft_cover_make(&cover, SEED);
        clft_add(suite, every_two_options_meet, cover.n_rows);
        clft_add(suite, all_pairs_are_covered, 1);
        clft_add(suite, the_ends_of_the_domain, (int)(sizeof cases / sizeof cases[0]));
    }
    return clft_main(suite, clft_session_end);
}
