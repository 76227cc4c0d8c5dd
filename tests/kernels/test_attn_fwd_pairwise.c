/* test_attn_fwd_pairwise.c -- every pair of options of the forward, on every engine. The
 * covering array is fixed; each row is a problem string and a way to call it. */
#include "tests/support/engines.h"
#include "tests/support/pairwise.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_ROWS 120
#define WORDS(...) {__VA_ARGS__, NULL}

/* A factor: the words of its levels, "" = nothing. */
static const struct factor {
    const char *name;
    const char *level[PAIRWISE_MAX_LEVELS];
} factors[] = {
    {"dtype",   WORDS("f32", "f16", "bf16")                                   },
    {"batch",   WORDS("b1", "b3")                                             },
    {"heads",   WORDS("hq2 hk2", "hq4 hk1", "hq6 hk2")                        },
    {"queries", WORDS("sq1", "sq5", "sq31", "sq64", "sq97")                   },
    {"keys",    WORDS("sk1", "sk33", "sk128", "sk191", "sk0")                 },
    {"dims",    WORDS("d64", "d40 dv24", "d7 dv33", "d128")                   },
    {"causal",  WORDS("", "causal", "causal=topleft")                         },
    {"window",  WORDS("", "window=9:-1", "window=0:0", "window=40:7")         },
    {"seg",     WORDS("", "seg")                                              },
    {"pos",     WORDS("", "pos")                                              },
    {"kvlen",   WORDS("", "kvlen")                                            },
    {"alibi",   WORDS("", "alibi")                                            },
    {"sink",    WORDS("", "sink")                                             },
    {"bias",    WORDS("", "bias", "bias 2", "bias 4", "bias 7")               },
    {"bool",    WORDS("", "bool", "bool 3", "bool 4")                         },
    {"softcap", WORDS("", "softcap=2.5")                                      },
    {"layout",  WORDS("", "layout=bhsd")                                      },
    {"order",   WORDS("sorted", "unsorted")                                   },
    {"strides", WORDS("packed", "strided")                                    },
    {"queue",   WORDS("in-order", "out-of-order")                             },
    {"call",    WORDS("plain", "block mask", "own workspace", "no lse")       },
};
#define N_FACTORS ((int)(sizeof factors / sizeof factors[0]))

static int rows[MAX_ROWS * N_FACTORS], n_rows;
static clflash_context *ctx;
static const char *only = "";

static const char *level(int row, const char *name)
{
    for (int f = 0; f < N_FACTORS; f++)
        if (strcmp(factors[f].name, name) == 0)
            return factors[f].level[rows[row * N_FACTORS + f]];
    abort();
}

START_TEST(every_pair_of_options_is_right)
{
    static const char *const words[] = {"dtype", "batch", "heads", "queries", "keys",  "dims",
                                        "causal", "window", "seg",  "pos",     "kvlen", "alibi",
                                        "sink",  "softcap", "layout"};
    char problem[CLFLASH_PROBLEM_BYTES] = "fwd";
    for (size_t w = 0; w < sizeof words / sizeof words[0]; w++)
        if (level(_i, words[w])[0]) {
            strcat(problem, " ");
            strcat(problem, level(_i, words[w]));
        }
    const char *bias = level(_i, "bias"), *boolean = level(_i, "bool");
    if (bias[0])
        strcat(problem, " bias");
    if (boolean[0])
        strcat(problem, " bool");
    const char *call = level(_i, "call");
    const attn_way way = {.strided = strcmp(level(_i, "strides"), "strided") == 0,
                          .out_of_order = strcmp(level(_i, "queue"), "out-of-order") == 0,
                          .block_mask = strcmp(call, "block mask") == 0,
                          .own_workspace = strcmp(call, "own workspace") == 0,
                          .no_lse = strcmp(call, "no lse") == 0,
                          .bias_extent = bias[0] && bias[4] ? atoi(bias + 5) : 0,
                          .bool_extent = boolean[0] && boolean[4] ? atoi(boolean + 5) : 0,
                          .bias_dtype = (clflash_dtype)(_i % 2)};
    const bool sorted = strcmp(level(_i, "order"), "sorted") == 0;
    ck_assert_int_ge(run_on_engines(ctx, problem, &way, (uint32_t)(2 * _i + !sorted), only), 1);
}
END_TEST

int main(int argc, char **argv)
{
    int levels[N_FACTORS];
    only = argc > 1 ? argv[1] : "";
    for (int f = 0; f < N_FACTORS; f++)
        for (levels[f] = 0; factors[f].level[levels[f]]; levels[f]++)
            ;
    n_rows = pairwise_rows(levels, N_FACTORS, 20, rows, MAX_ROWS);
    if (n_rows < 0) {
        fprintf(stderr, "the covering array needs more than %d rows\n", MAX_ROWS);
        return 1;
    }
    ctx = test_context();
    Suite *suite = suite_create("attn_fwd_pairwise");
    TCase *all = tcase_create("all");
    tcase_add_loop_test(all, every_pair_of_options_is_right, 0, n_rows);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    clflash_context_destroy(&ctx);
    return failed != 0;
}
