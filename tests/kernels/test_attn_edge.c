/* test_attn_edge.c -- the ends of the domain on every engine: head dimensions, nothing to
 * see, nothing to do, scores as large as they come. */
#include "tests/support/device.h"
#include "tests/support/main.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- head dimensions: each is a build of its own on every engine ---- */

static const struct {
    int d, dv;
    const char *why;
} dims[] = {
    {1,   1,   "the smallest"                                             },
    {3,   2,   "less than any vector"                                     },
    {7,   31,  "odd, Dv the larger"                                       },
    {59,  72,  "a prime, and a multiple of 8"                             },
    {80,  80,  "not a power of two"                                       },
    {96,  111, "Dv odd"                                                   },
    {160, 192, "past 128"                                                 },
    {256, 256, "the largest of the fast engines"                          },
    {576, 512, "the largest: where it does not fit, another engine serves"},
};
enum { N_DIMS = sizeof dims / sizeof dims[0] };

static void check_dims(int d, int dv, const char *dtype)
{
    char text[128];
    snprintf(text, sizeof text, "fwd %s hq2 hk1 sq19 sk37 d%d dv%d causal | views=2", dtype, d, dv);
    clft_check_text(text);
}

START_TEST(head_dimensions)
{
    static const char *const dtypes[] = {"f32", "f16", "bf16"};
    check_dims(dims[_i].d, dims[_i].dv, dtypes[_i % 3]);
}
END_TEST

/* The long suite: all of them. */
START_TEST(every_head_dimension) { check_dims(_i, _i, "f32"); }
END_TEST
START_TEST(every_value_dimension) { check_dims(64, _i, "f16"); }
END_TEST

/* ---- nothing to see, nothing to do ---- */

static const char *const empty[] = {
    "fwd f32 b2 hq2 sq37 sk5 d40 causal",      /* the first rows see nothing */
    "fwd f32 b2 hq2 sq37 sk5 d40 causal sink", /* nothing but the sink */
    "fwd f16 b2 hq2 sq37 sk5 d40 causal",
    "fwd f32 b2 hq2 sq5 sk70 d40 kvlen | len=1", /* a whole batch without keys */
    "fwd f32 b2 hq2 sq37 sk70 d40 kvlen sink | len=1",
    "fwd f32 hq2 sq37 sk0 d40",
    "fwd bf16 hq2 sq5 sk0 d40 sink",
    "fwd f32 b0 hq2 sq37 d40",
    "fwd f32 hq2 sq0 sk37 d40",
    "fwd f32 hq2 sq0 sk0 d40 causal",
};

START_TEST(rows_without_keys_are_zero)
{
    clft_case c;
    clft_case_make_text(&c, empty[_i]);
    clft_case_solve(&c);
    c.may_be_zero = true;
    clft_check_engines(&c);
}
END_TEST

/* ---- scores of +-5e5: one key takes all, nothing overflows, the others weigh 0 ---- */

static const char *const extreme[] = {
    "fwd f32 hq2 sq37 sk131 d40 scale=1",
    "fwd f32 hq2 sq5 sk131 d40 scale=1",
    "fwd f32 hq2 sq37 sk131 d40 scale=1 causal sink",
    "fwd bf16 hq2 sq37 sk131 d40 scale=1",
};

START_TEST(extreme_scores)
{
    clft_case c;
    clft_case_make_text(&c, extreme[_i]);
    for (int32_t h = 0; h < c.p.hq; h++) {
        for (int32_t i = 0; i < c.p.sq; i++)
            for (int32_t col = 0; col < c.p.d; col++)
                clft_set(&c, CLFT_Q, 0, i, h, col, col == 0 ? (i % 2 ? 512.0f : -512.0f) : 0);
        for (int32_t j = 0; j < c.p.sk; j++) /* distinct even in bf16: 8 bits */
            for (int32_t col = 0; col < c.p.d; col++)
                clft_set(&c, CLFT_K, 0, j, h, col, col == 0 ? (float)(8 * (j - 65)) : 0);
    }
    clft_check_engines(&c);
}
END_TEST

/* Magnitudes around where f16 ends, and tiny ones: sums are f32 whatever the storage. */
START_TEST(large_and_tiny_values)
{
    static const float sizes[] = {6e4f, 1e-7f};
    static const char *const dtypes[] = {"f32", "f16", "bf16"};
    char text[128];
    clft_case c;
    snprintf(text, sizeof text, "fwd %s hq2 hk1 sq37 sk131 d40 causal", dtypes[_i % 3]);
    clft_case_make_text(&c, text);
    for (int32_t j = 0; j < c.p.sk; j++)
        for (int32_t col = 0; col < c.p.dv; col++)
            clft_set(&c, CLFT_V, 0, j, 0, col, sizes[_i / 3] * clft_get(&c, CLFT_V, 0, j, 0, col));
    clft_check_engines(&c);
}
END_TEST

int main(int argc, char **argv)
{
    const bool all = argc > 1 && strcmp(argv[1], "--long") == 0;
    Suite *suite = suite_create("attn_edge");
    if (all) {
        TCase *cases = tcase_create("every_dimension");
        tcase_add_loop_test(cases, every_head_dimension, 1, 257);
        tcase_add_loop_test(cases, every_value_dimension, 1, 257);
        suite_add_tcase(suite, cases);
    } else {
        clft_add(suite, head_dimensions, N_DIMS);
        clft_add(suite, rows_without_keys_are_zero, (int)(sizeof empty / sizeof empty[0]));
        clft_add(suite, extreme_scores, (int)(sizeof extreme / sizeof extreme[0]));
        clft_add(suite, large_and_tiny_values, 6);
    }
    return clft_main(suite, clft_session_end);
}
