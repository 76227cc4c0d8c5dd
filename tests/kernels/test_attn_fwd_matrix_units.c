/* test_attn_fwd_matrix_units.c -- the engines on NVIDIA's matrix units where their tiles, paddings
 * and copies have edges; on other devices there is nothing to run. */
#include "tests/support/device.h"
#include "tests/support/main.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Each is run in bf16 and f16, packed and strided, for every engine here. */
static const char *const engines[] = {"nv_mma", "nv_wgmma"};
static const struct {
    const char *problem, *why;
} cases[] = {
    {"hq2 sq1 sk1 d8",                                     "smallest"                        },
    {"hq2 sq63 sk31 d64",                                  "one less than a tile"            },
    {"hq2 sq64 sk32 d64",                                  "one tile"                        },
    {"hq2 sq129 sk129 d64",                                "one more than big tiles"         },
    {"hq2 sq300 sk520 d128",                               "the ring goes round"             },
    {"b2 hq4 hk2 sq200 sk333 d128 causal",                 "diagonal and tail"               },
    {"hq2 sq257 sk257 d64 causal",                         "square diagonal"                 },
    {"hq2 sq333 sk200 d64 causal",                         "rows without keys"               },
    {"hq2 sq200 sk333 d64 causal=topleft",                 "keys that nobody sees"           },
    {"hq2 sq400 sk400 d64 window=40:7",                    "blocks before the window"        },
    {"hq2 sq400 sk400 d96 window=0:0",                     "one key a row"                   },
    {"hq2 sq130 sk190 d40 dv24",                           "half a step of 16 in D and Dv"   },
    {"hq2 sq130 sk190 d24 dv72 causal",                    "Dv wider than D"                 },
    {"hq2 sq130 sk190 d80",                                "chunks of a row no power of two" },
    {"hq2 sq130 sk190 d112 dv104",                         "the same, Dv other"              },
    {"hq2 sq130 sk190 d256 causal",                        "widest"                          },
    {"hq2 sq130 sk190 d8 dv256",                           "narrow and widest"               },
    {"hq2 sq130 sk190 d192 dv128",                         "widths of a latent cache"        },
    {"b2 hq6 hk2 sq260 sk260 d64 causal seg | seg=1",      "unsorted blocks"                 },
    {"b2 hq2 sq260 sk515 d128 seg",                        "block mask without a band"       },
    {"b2 hq2 sq260 sk260 d64 causal pos",                  "positions"                       },
    {"b2 hq2 sq260 sk260 d64 window=50:-1 seg pos",        "all of them"                     },
    {"b3 hq2 sq150 sk290 d64 kvlen",                       "lengths, 0 among them"           },
    {"b3 hq2 sq150 sk290 d64 kvlen seg causal",            "lengths and blocks"              },
    {"b2 hq2 sq150 sk290 d64 bool",                        "every block mixed"               },
    {"b2 hq2 sq150 sk290 d64 bias softcap=2.5 alibi sink", "every term"                      },
    {"b2 hq2 sq150 sk290 d128 causal sink",                "sink"                            },
    {"b2 hq2 sq20 sk290 d128 causal seg sink kvlen",       "sink of rows without keys"       },
    {"hq2 sq150 sk290 d64 scale=-0.3",                     "a negative scale turns the order"},
    {"hq2 sq150 sk290 d64 scale=6",                        "steep: maxima rise often"        },
    {"hq2 sq150 sk290 d64 layout=bhsd causal",             "layout"                          },
    {"b3 hq8 hk2 sq600 sk1100 d64 causal kvlen",           "tiles drawn out of turn"         },
    {"b2 hq90 sq500 sk700 d128 window=150:30",             "more tiles than compute units"   },
};
#define N_CASES ((int)(sizeof cases / sizeof cases[0]))
#define N_ENGINES ((int)(sizeof engines / sizeof engines[0]))

START_TEST(edges_of_tiles)
{
    static const char *const dtypes[] = {"bf16", "f16"};
    for (int d = 0; d < 2; d++)
        for (int views = 0; views < 3; views += 2) {
            char text[CLFT_NAME_BYTES];
            clft_case c;
            const char *bar = strchr(cases[_i].problem, '|') ? "" : " |";
            snprintf(text, sizeof text, "fwd %s %s%s views=%d seed=%d", dtypes[d],
                     cases[_i].problem, bar, views, _i + 1);
            clft_case_make_text(&c, text);
            clft_case_solve(&c);
            c.may_be_zero = true;
            const char *const only = getenv("CLFT_ENGINE");
            for (int e = 0; e < N_ENGINES; e++)
                if (!only || strcmp(only, engines[e]) == 0)
                    clft_run_checked(&c, engines[e]);
            clft_case_free(&c);
        }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("attn_fwd_matrix_units");
    TCase *edges = tcase_create("edges");
    tcase_add_loop_test(edges, edges_of_tiles, 0, N_CASES);
    suite_add_tcase(suite, edges);
    return clft_main(suite, clft_session_end);
}
