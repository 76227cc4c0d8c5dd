/* test_problem.c -- problem strings and the rules of a descriptor. */
#include "lib/base/strbuf.h"
#include "lib/plan/attn.h"
#include "lib/plan/problem_words.h"

#include <check.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- printing and parsing ---- */

static const struct {
    const char *text, *printed; /* NULL: printed as it came */
    const char *why;
} round_trips[] = {
    {"fwd f32 hq1 sq1 d1",                                                         NULL,                                         "the shortest"                 },
    {"bwd f16 hq1 sq1 d1",                                                         NULL,                                         "another operation"            },
    {"decode bf16 hq1 sq1 sk9 d1",                                                 NULL,                                         "and another"                  },
    {"fwd bf16 b2 hq32 hk8 sq4096 sk4096 d128 causal window=1024",
     "fwd bf16 b2 hq32 hk8 sq4096 d128 causal window=1024:0",                                                                    "defaults are left out"        },
    {"fwd d64 sq7 hq4 f32 causal",                                                 "fwd f32 hq4 sq7 d64 causal",                 "order is free after the first"},
    {"  fwd   f32 hq1 sq1  d1 ",                                                   "fwd f32 hq1 sq1 d1",                         "spaces"                       },
    {"fwd f32 b1 hq3 hk3 sq5 sk5 d8 dv8",                                          "fwd f32 hq3 sq5 d8",                         "defaults written out"         },
    {"fwd f32 b0 hq1 sq0 sk0 d1",                                                  "fwd f32 b0 hq1 sq0 d1",                      "nothing at all"               },
    {"fwd f32 hq1 sq0 sk5 d1",                                                     NULL,                                         "no query"                     },
    {"fwd f32 hq1 sq5 sk0 d1",                                                     NULL,                                         "no key"                       },
    {"fwd f32 hq1 sq5 d1 causal=topleft",                                          NULL,                                         "alignment"                    },
    {"fwd f32 hq1 sq5 d1 causal=topleft align=topleft",                            "fwd f32 hq1 sq5 d1 causal=topleft",
     "said twice in two words"                                                                                                                                  },
    {"fwd f32 hq1 sq5 d1 align=topleft window=3:-1",                               NULL,                                         "alignment of a window"        },
    {"fwd f32 hq1 sq5 d1 window=3",                                                "fwd f32 hq1 sq5 d1 window=3:3",              "symmetric without causal"     },
    {"fwd f32 hq1 sq5 d1 window=3 causal",                                         "fwd f32 hq1 sq5 d1 causal window=3:0",
     "one-sided with causal, wherever that stands"                                                                                                              },
    {"fwd f32 hq1 sq5 d1 window=-1:0",                                             NULL,                                         "unbounded to the left"        },
    {"fwd f32 hq1 sq5 d1 seg pos kvlen docs=3 alibi sink bias bool",               NULL,                                         "all arrays"                   },
    {"fwd f32 hq1 sq5 d1 scale=0.1 softcap=50",                                    NULL,                                         "floats"                       },
    {"fwd f32 hq1 sq5 d1 scale=-1.5e-20",                                          NULL,                                         "a small negative one"         },
    {"fwd f32 hq1 sq5 d1 scale=1e3 softcap=30.50",                                 "fwd f32 hq1 sq5 d1 scale=1000 softcap=30.5",
     "other spellings"                                                                                                                                          },
    {"fwd f32 hq1 sq5 d1 layout=bhsd algo=flash engine=nv_mma bq=64 bkv=32 det=0", NULL,                                         "choice"                       },
    {"fwd f32 hq1 sq5 d1 algo=standard",                                           NULL,                                         "the other choice"             },
    {"fwd f32 hq1 sq5 d1 layout=bshd algo=auto bq=0 bkv=0 det=1",                  "fwd f32 hq1 sq5 d1",
     "automatic, said"                                                                                                                                          },
    {"fwd bf16 b64 hq128 hk16 sq1073741823 sk1073741822 d576 dv512",               NULL,                                         "the largest"                  },
};

START_TEST(printing_and_parsing_are_inverse)
{
    const char *text = round_trips[_i].text;
    const char *want = round_trips[_i].printed ? round_trips[_i].printed : text;
    char printed[CLFLASH_PROBLEM_BYTES], again[CLFLASH_PROBLEM_BYTES], reason[256];
    clflash_attn_desc d, e;
    ck_assert_msg(clflash_attn_desc_parse(&d, text, reason, sizeof reason) == CLFLASH_OK,
                  "'%s' (%s): %s", text, round_trips[_i].why, reason);
    ck_assert_int_eq(clflash_attn_desc_print(&d, printed, sizeof printed), CLFLASH_OK);
    ck_assert_str_eq(printed, want);
    ck_assert_int_eq(clflash_attn_desc_parse(&e, printed, reason, sizeof reason), CLFLASH_OK);
    ck_assert_int_eq(clflash_attn_desc_print(&e, again, sizeof again), CLFLASH_OK);
    ck_assert_str_eq(again, printed);
}
END_TEST

START_TEST(parsed_fields_are_right)
{
    clflash_attn_desc d;
    ck_assert_int_eq(clflash_attn_desc_parse(&d,
                                             "decode bf16 b2 hq8 hk4 sq3 sk0 d16 dv24 scale=0.25 "
                                             "softcap=8 align=topleft window=5:-1 seg kvlen "
                                             "alibi layout=bhsd algo=flash engine=simt bq=64",
                                             NULL, 0),
                     CLFLASH_OK);
    ck_assert(d.op == CLFLASH_OP_DECODE && d.dtype == CLFLASH_BF16);
    ck_assert(d.batch == 2 && d.q_heads == 8 && d.kv_heads == 4 && d.q_len == 3);
    ck_assert(d.kv_len == CLFLASH_EMPTY && d.head_dim == 16 && d.value_dim == 24);
    ck_assert(d.scale == 0.25f && d.softcap == 8);
    ck_assert(d.mask.causal == CLFLASH_CAUSAL_NONE && d.mask.align == CLFLASH_ALIGN_TOP_LEFT);
    ck_assert(d.mask.window && d.mask.window_left == 5 && d.mask.window_right == -1);
    ck_assert(d.mask.segments && d.mask.kv_lengths && !d.mask.positions && !d.mask.boolean);
    ck_assert(d.alibi && !d.sink && !d.bias && d.layout == CLFLASH_LAYOUT_BHSD);
    ck_assert(d.choice.algo == CLFLASH_ALGO_FLASH && d.choice.block_q == 64);
    ck_assert_str_eq(d.choice.engine, "simt");
}
END_TEST

#define OK_HEAD "fwd f32 hq1 sq5 d8 "
static const struct {
    const char *text;
    clflash_status status;
    const char *named; /* must be in the message */
} bad_strings[] = {
    {"",                                                 CLFLASH_INVALID_PROBLEM, "empty"             },
    {"   ",                                              CLFLASH_INVALID_PROBLEM, "empty"             },
    {"forward f32 hq1 sq1 d1",                           CLFLASH_INVALID_PROBLEM, "forward"           },
    {"f32 fwd hq1 sq1 d1",                               CLFLASH_INVALID_PROBLEM, "f32"               },
    {"fwd hq1 sq1 d1",                                   CLFLASH_INVALID_PROBLEM, "dtype"             },
    {"fwd f32 f16 hq1 sq1 d1",                           CLFLASH_INVALID_PROBLEM, "f16"               },
    {"fwd f64 hq1 sq1 d1",                               CLFLASH_INVALID_PROBLEM, "f64"               },
    {"fwd f32 sq1 d1",                                   CLFLASH_INVALID_SIZE,    "hq"                },
    {"fwd f32 hq1 d1",                                   CLFLASH_INVALID_SIZE,    "sq"                },
    {"fwd f32 hq1 sq1",                                  CLFLASH_INVALID_SIZE,    "d"                 },
    {"fwd f32 hq0 sq1 d1",                               CLFLASH_INVALID_SIZE,    "hq = 0"            },
    {"fwd f32 hq1 hk0 sq1 d1",                           CLFLASH_INVALID_PROBLEM, "hk0"               },
    {"fwd f32 hq3 hk2 sq1 d1",                           CLFLASH_INVALID_HEADS,   "hk = 2"            },
    {"fwd f32 hq1 hk2 sq1 d1",                           CLFLASH_INVALID_HEADS,   "hk = 2"            },
    {"fwd f32 hq1 sq1 d0",                               CLFLASH_INVALID_SIZE,    "d = 0"             },
    {"fwd f32 hq1 sq1 d577 dv1",                         CLFLASH_INVALID_SIZE,    "d = 577"           },
    {"fwd f32 hq1 sq1 d1 dv513",                         CLFLASH_INVALID_SIZE,    "dv = 513"          },
    {"fwd f32 hq1 sq1 d576",                             CLFLASH_INVALID_SIZE,    "dv = 576"          },
    {"fwd f32 hq1 sq1073741824 d1",                      CLFLASH_INVALID_SIZE,    "sq = 1073741824"   },
    {"fwd f32 hq1 sq1 sk1073741824 d1",                  CLFLASH_INVALID_SIZE,    "sk = 1073741824"   },
    {"fwd f32 hq1 sq99999999999999999999 d1",            CLFLASH_INVALID_PROBLEM, "sq9999"            },
    {"fwd f32 b2000000000 hq2000000000 sq1000000000 d8", CLFLASH_INVALID_SIZE,    "2^63"              },
    {"fwd f32 hq1 sq-1 d1",                              CLFLASH_INVALID_PROBLEM, "sq-1"              },
    {"fwd f32 hq1 sq d1",                                CLFLASH_INVALID_PROBLEM, "sq"                },
    {"fwd f32 hq1 sq1x d1",                              CLFLASH_INVALID_PROBLEM, "sq1x"              },
    {OK_HEAD "sq5",                                      CLFLASH_INVALID_PROBLEM, "sq5"               },
    {OK_HEAD "causal causal=topleft",                    CLFLASH_INVALID_PROBLEM, "causal=topleft"    },
    {OK_HEAD "causal=bottomright",                       CLFLASH_INVALID_PROBLEM, "causal=bottomright"},
    {OK_HEAD "causal=",                                  CLFLASH_INVALID_PROBLEM, "causal="           },
    {OK_HEAD "causal1",                                  CLFLASH_INVALID_PROBLEM, "causal1"           },
    {OK_HEAD "Causal",                                   CLFLASH_INVALID_PROBLEM, "Causal"            },
    {OK_HEAD "causal align=topleft",                     CLFLASH_INVALID_MASK,    "top-left"          },
    {OK_HEAD "align",                                    CLFLASH_INVALID_PROBLEM, "align"             },
    {OK_HEAD "window",                                   CLFLASH_INVALID_PROBLEM, "window"            },
    {OK_HEAD "window=",                                  CLFLASH_INVALID_PROBLEM, "window="           },
    {OK_HEAD "window=-2",                                CLFLASH_INVALID_PROBLEM, "window=-2"         },
    {OK_HEAD "window=1:-2",                              CLFLASH_INVALID_PROBLEM, "window=1:-2"       },
    {OK_HEAD "window=1:",                                CLFLASH_INVALID_PROBLEM, "window=1:"         },
    {OK_HEAD "window=1:2:3",                             CLFLASH_INVALID_PROBLEM, "window=1:2:3"      },
    {OK_HEAD "scale",                                    CLFLASH_INVALID_PROBLEM, "scale"             },
    {OK_HEAD "scale=0",                                  CLFLASH_INVALID_PROBLEM, "scale=0"           },
    {OK_HEAD "scale=x",                                  CLFLASH_INVALID_PROBLEM, "scale=x"           },
    {OK_HEAD "scale=0,5",                                CLFLASH_INVALID_PROBLEM, "scale=0,5"         },
    {OK_HEAD "scale=1e",                                 CLFLASH_INVALID_PROBLEM, "scale=1e"          },
    {OK_HEAD "scale=nan",                                CLFLASH_INVALID_SCALE,   "nan"               },
    {OK_HEAD "scale=1e39",                               CLFLASH_INVALID_SCALE,   "inf"               },
    {OK_HEAD "softcap=-1",                               CLFLASH_INVALID_SCALE,   "-1"                },
    {OK_HEAD "softcap=inf",                              CLFLASH_INVALID_SCALE,   "inf"               },
    {OK_HEAD "seg=1",                                    CLFLASH_INVALID_PROBLEM, "seg=1"             },
    {OK_HEAD "docs=0",                                   CLFLASH_INVALID_PROBLEM, "docs=0"            },
    {OK_HEAD "layout=sbhd",                              CLFLASH_INVALID_PROBLEM, "layout=sbhd"       },
    {OK_HEAD "algo=fast",                                CLFLASH_INVALID_PROBLEM, "algo=fast"         },
    {OK_HEAD "engine=",                                  CLFLASH_INVALID_PROBLEM, "engine="           },
    {OK_HEAD "engine=a-b",                               CLFLASH_INVALID_PROBLEM, "engine=a-b"        },
    {OK_HEAD "engine=0123456789abcdef",                  CLFLASH_INVALID_PROBLEM, "engine="           },
    {OK_HEAD "bq=-1",                                    CLFLASH_INVALID_PROBLEM, "bq=-1"             },
    {OK_HEAD "det=2",                                    CLFLASH_INVALID_PROBLEM, "det=2"             },
    {OK_HEAD "\tcausal",                                 CLFLASH_INVALID_PROBLEM, "causal"            },
};

START_TEST(bad_words_are_named)
{
    char reason[256] = "";
    clflash_attn_desc d, zero = {0};
    memset(&d, 0x5a, sizeof d);
    const clflash_status status =
        clflash_attn_desc_parse(&d, bad_strings[_i].text, reason, sizeof reason);
    ck_assert_msg(status == bad_strings[_i].status, "'%s': %d (%s)", bad_strings[_i].text, status,
                  reason);
    ck_assert_msg(strstr(reason, bad_strings[_i].named), "'%s': the message is '%s'",
                  bad_strings[_i].text, reason);
    ck_assert_mem_eq(&d, &zero, sizeof d);
}
END_TEST

START_TEST(pointers_and_lengths_are_checked)
{
    char small[10], reason[64], longest[2 * CLFLASH_PROBLEM_BYTES];
    clflash_attn_desc d = {.q_heads = 1, .q_len = 1, .head_dim = 1};
    ck_assert_int_eq(clflash_attn_desc_print(NULL, small, 10), CLFLASH_INVALID_ARGUMENT);
    ck_assert_int_eq(clflash_attn_desc_print(&d, NULL, 10), CLFLASH_INVALID_ARGUMENT);
    ck_assert_int_eq(clflash_attn_desc_print(&d, small, 10), CLFLASH_INVALID_SIZE);
    ck_assert_uint_lt(strlen(small), 10);
    ck_assert_int_eq(clflash_attn_desc_parse(NULL, "fwd", reason, 64), CLFLASH_INVALID_ARGUMENT);
    ck_assert_int_eq(clflash_attn_desc_parse(&d, NULL, reason, 64), CLFLASH_INVALID_ARGUMENT);
    ck_assert_int_eq(clflash_attn_desc_check(NULL, reason, 64), CLFLASH_INVALID_ARGUMENT);
    memset(longest, ' ', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    ck_assert_int_eq(clflash_attn_desc_parse(&d, longest, reason, 64), CLFLASH_INVALID_PROBLEM);
    ck_assert_int_eq(clflash_attn_desc_parse(&d, "nothing", NULL, 0), CLFLASH_INVALID_PROBLEM);
}
END_TEST

/* ---- rules that no string can break ---- */

#define GOOD .q_heads = 2, .q_len = 4, .head_dim = 8
static const struct {
    clflash_attn_desc desc;
    clflash_status status;
    const char *named;
} bad_descs[] = {
    {{GOOD, .op = (clflash_op)3},                                                              CLFLASH_INVALID_ARGUMENT, "op 3"         },
    {{GOOD, .dtype = (clflash_dtype)9},                                                        CLFLASH_INVALID_DTYPE,    "dtype 9"      },
    {{GOOD, .layout = (clflash_layout)2},                                                      CLFLASH_INVALID_ARGUMENT, "layout 2"     },
    {{GOOD, .mask.causal = (clflash_causal)3},                                                 CLFLASH_INVALID_ARGUMENT, "causal 3"     },
    {{GOOD, .mask.align = (clflash_align)2},                                                   CLFLASH_INVALID_ARGUMENT, "align 2"      },
    {{GOOD, .choice.algo = (clflash_algo)3},                                                   CLFLASH_INVALID_ARGUMENT, "algo 3"       },
    {{GOOD, .choice.engine = "0123456789abcde_"},                                              CLFLASH_INVALID_ARGUMENT, "engine"       },
    {{GOOD, .batch = -2},                                                                      CLFLASH_INVALID_SIZE,     "b = -2"       },
    {{GOOD, .kv_len = -2},                                                                     CLFLASH_INVALID_SIZE,     "sk = -2"      },
    {{.q_heads = 1, .q_len = -1, .head_dim = 1},                                               CLFLASH_INVALID_SIZE,     "sq = -1"      },
    {{.q_heads = -1, .q_len = 1, .head_dim = 1},                                               CLFLASH_INVALID_SIZE,     "hq = -1"      },
    {{GOOD, .kv_heads = -1},                                                                   CLFLASH_INVALID_SIZE,     "hk = -1"      },
    {{GOOD, .value_dim = -1},                                                                  CLFLASH_INVALID_SIZE,     "dv = -1"      },
    {{GOOD, .docs = -1},                                                                       CLFLASH_INVALID_SIZE,     "docs = -1"    },
    {{GOOD, .choice.block_q = -1},                                                             CLFLASH_INVALID_SIZE,     "block_q = -1" },
    {{GOOD, .choice.block_kv = -8},                                                            CLFLASH_INVALID_SIZE,     "block_kv = -8"},
    {{GOOD, .scale = NAN},                                                                     CLFLASH_INVALID_SCALE,    "scale"        },
    {{GOOD, .softcap = -INFINITY},                                                             CLFLASH_INVALID_SCALE,    "softcap"      },
    {{GOOD, .mask = {.window = true, .window_left = -2}},                                      CLFLASH_INVALID_MASK,     "-2:0"         },
    {{GOOD, .mask = {.window_left = 7}},                                                       CLFLASH_INVALID_MASK,     "7:0"          },
    {{GOOD, .mask = {.causal = CLFLASH_CAUSAL_BOTTOM_RIGHT, .align = CLFLASH_ALIGN_TOP_LEFT}},
     CLFLASH_INVALID_MASK,                                                                                               "align"        },
};

START_TEST(broken_rules_have_their_status)
{
    char reason[256] = "", printed[CLFLASH_PROBLEM_BYTES];
    const clflash_status status =
        clflash_attn_desc_check(&bad_descs[_i].desc, reason, sizeof reason);
    ck_assert_msg(status == bad_descs[_i].status && strstr(reason, bad_descs[_i].named),
                  "row %d: %d '%s', not '%s'", _i, status, reason, bad_descs[_i].named);
    /* Messages show the problem, so a broken one must print too. */
    clflash_attn_desc_print(&bad_descs[_i].desc, printed, sizeof printed);
}
END_TEST

/* ---- numbers ---- */

START_TEST(floats_survive_in_any_locale)
{
    static const char *const locales[] = {"C", "de_DE.UTF-8", "fr_FR.UTF-8"};
    setlocale(LC_ALL, locales[_i]); /* where it is missing, the test repeats the one before */
    srand(7);
    for (int n = 0; n < 20000; n++) {
        const uint32_t bits = ((uint32_t)rand() << 16) ^ (uint32_t)rand();
        float f, back = 0;
        char text[CLFI_FLOAT_BYTES];
        memcpy(&f, &bits, sizeof f);
        if (!isfinite(f))
            continue;
        clfi_float_print(f, text);
        ck_assert_msg(clfi_float_parse(text, &back) && back == f, "%a -> '%s' -> %a", f, text,
                      back);
        ck_assert_ptr_null(strchr(text, ','));
    }
}
END_TEST

START_TEST(floats_print_short)
{
    static const struct {
        float value;
        const char *text;
    } rows[] = {
        {0.125f,        "0.125"      },
        {50,            "50"         },
        {-0.1f,         "-0.1"       },
        {1e-20f,        "1e-20"      },
        {1e10f,         "1e10"       },
        {123456.7f,     "123456.7"   },
        {0.0883883476f, "0.088388346"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[CLFI_FLOAT_BYTES];
        clfi_float_print(rows[i].value, text);
        ck_assert_str_eq(text, rows[i].text);
    }
}
END_TEST

/* ---- resolved problems ---- */

static clfi_attn resolved(const char *text)
{
    clflash_attn_desc d;
    clfi_attn p;
    char reason[256];
    ck_assert_msg(clflash_attn_desc_parse(&d, text, reason, sizeof reason) == CLFLASH_OK, "%s",
                  reason);
    ck_assert_int_eq(clfi_attn_resolve(&p, &d, NULL), CLFLASH_OK);
    return p;
}

START_TEST(defaults_are_resolved)
{
    const clfi_attn p = resolved("fwd f32 hq8 hk2 sq3 sk10 d16");
    ck_assert(p.b == 1 && p.hk == 2 && p.group == 4 && p.dv == 16 && p.q_pos0 == 7);
    ck_assert(p.scale == 0.25f && !p.band && !p.blocks);
}
END_TEST

static const struct {
    const char *words;
    bool band;
    int32_t lo, hi, q_pos0;
} bands[] = {
    {"",                         false, INT32_MIN, INT32_MAX, 7},
    {"causal",                   true,  INT32_MIN, 0,         7},
    {"causal=topleft",           true,  INT32_MIN, 0,         0},
    {"window=4:2",               true,  -4,        2,         7},
    {"window=4:2 align=topleft", true,  -4,        2,         0},
    {"window=4:2 causal",        true,  -4,        0,         7},
    {"window=4:-1 causal",       true,  -4,        0,         7},
    {"window=-1:2",              true,  INT32_MIN, 2,         7},
    {"window=-1:-1",             false, INT32_MIN, INT32_MAX, 7},
    {"window=-1:-1 causal",      true,  INT32_MIN, 0,         7},
    {"window=0",                 true,  0,         0,         7},
};

START_TEST(causal_and_window_are_one_band)
{
    char text[128];
    snprintf(text, sizeof text, "fwd f32 hq1 sq3 sk10 d16 %s", bands[_i].words);
    const clfi_attn p = resolved(text);
    ck_assert_msg(p.band == bands[_i].band && p.band_lo == bands[_i].lo &&
                      p.band_hi == bands[_i].hi && p.q_pos0 == bands[_i].q_pos0,
                  "%s: %d %d:%d from %d", bands[_i].words, p.band, p.band_lo, p.band_hi, p.q_pos0);
}
END_TEST

START_TEST(arrays_are_read_only_where_they_matter)
{
    const clfi_attn plain = resolved("fwd f32 hq1 sq3 d16 pos");
    ck_assert(!plain.pos && !plain.blocks); /* nothing depends on positions */
    const clfi_attn band = resolved("fwd f32 hq1 sq3 d16 pos causal");
    ck_assert(band.pos && band.blocks);
    const clfi_attn alibi = resolved("fwd f32 hq1 sq3 d16 pos alibi");
    ck_assert(alibi.pos && !alibi.blocks);
    const clfi_attn docs = resolved("fwd f32 hq1 sq3 d16 docs=2");
    ck_assert(docs.seg && docs.blocks);
}
END_TEST

START_TEST(keys_hold_what_changes_speed)
{
    char a[256], b[256];
    const clfi_attn p = resolved("fwd f32 hq2 sq3 d16 softcap=7 scale=3 docs=4 layout=bhsd "
                                 "algo=flash bq=8");
    clfi_attn_key(&p, a, sizeof a);
    ck_assert_str_eq(a, "fwd f32 hq2 sq3 d16 softcap=1 seg");
    const clfi_attn q = resolved(a);
    clfi_attn_key(&q, b, sizeof b);
    ck_assert_str_eq(a, b);
}
END_TEST

START_TEST(options_name_every_fact)
{
    char text[512];
    clfi_strbuf s = clfi_strbuf_on(text, sizeof text);
    const clfi_attn p = resolved("fwd bf16 hq2 sq3 d16 dv8 causal seg sink softcap=3");
    clfi_attn_options(&p, &s);
    ck_assert_str_eq(text, "-DP_DTYPE=2 -DP_D=16 -DP_DV=8 -DP_BAND=1 -DP_SEG=1 -DP_POS=0 "
                           "-DP_KVLEN=0 -DP_BLOCKS=1 -DP_BOOL=0 -DP_BIAS=0 -DP_SOFTCAP=1 "
                           "-DP_ALIBI=0 -DP_SINK=1");
}
END_TEST

#define COUNT(table) (int)(sizeof table / sizeof table[0])

int main(void)
{
    Suite *suite = suite_create("problem");
    TCase *strings = tcase_create("strings"), *plans = tcase_create("resolved");
    tcase_add_loop_test(strings, printing_and_parsing_are_inverse, 0, COUNT(round_trips));
    tcase_add_test(strings, parsed_fields_are_right);
    tcase_add_loop_test(strings, bad_words_are_named, 0, COUNT(bad_strings));
    tcase_add_test(strings, pointers_and_lengths_are_checked);
    tcase_add_loop_test(strings, broken_rules_have_their_status, 0, COUNT(bad_descs));
    tcase_add_loop_test(strings, floats_survive_in_any_locale, 0, 3);
    tcase_add_test(strings, floats_print_short);
    tcase_add_test(plans, defaults_are_resolved);
    tcase_add_loop_test(plans, causal_and_window_are_one_band, 0, COUNT(bands));
    tcase_add_test(plans, arrays_are_read_only_where_they_matter);
    tcase_add_test(plans, keys_hold_what_changes_speed);
    tcase_add_test(plans, options_name_every_fact);
    suite_add_tcase(suite, strings);
    suite_add_tcase(suite, plans);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
