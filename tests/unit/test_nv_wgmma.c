/* test_nv_wgmma.c -- which problems and rows the engine on sm_90a takes, on made-up devices. */
#include "lib/plan/engine.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static const clfi_engine *engine;

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

static clfi_profile device(int32_t arch, int64_t local_kib)
{
    return (clfi_profile){.vendor = CLFI_VENDOR_NVIDIA,
                          .arch = arch,
                          .compute_units = 132,
                          .max_work_group = 1024,
                          .local_bytes = local_kib * 1024};
}

static const struct {
    const char *problem;
    int32_t arch;
    bool can;
    const char *why;
} problems[] = {
    {"fwd bf16 hq1 sq64 d64",               90,  true,  "Hopper"                         },
    {"fwd f16 hq4 hk2 sq64 d256 causal",    90,  true,  "widest, grouped"                },
    {"fwd bf16 hq1 sq64 d40 dv24 causal",   90,  true,  "the probe's"                    },
    {"fwd bf16 hq1 sq64 d64",               89,  false, "no wgmma"                       },
    {"fwd bf16 hq1 sq64 d64",               100, false, "sm_90a's code runs nowhere else"},
    {"fwd f32 hq1 sq64 d64",                90,  false, "16 bits only"                   },
    {"fwd bf16 hq1 sq64 d60",               90,  false, "rows are not of 16 bytes"       },
    {"fwd bf16 hq1 sq64 d264",              90,  false, "too wide"                       },
    {"fwd bf16 hq1 sq64 d64 softcap=30",     90,  false, "a term"                         },
    {"fwd bf16 hq1 sq64 d64 causal docs=2", 90,  false, "segments"                       },
};

START_TEST(problems_and_devices)
{
    const clfi_attn p = resolved(problems[_i].problem);
    const clfi_profile dev = device(problems[_i].arch, 226);
    clfi_err err = {0};
    ck_assert_msg((engine->can(&p, &dev, &err) == CLFLASH_OK) == problems[_i].can, "%s (%s): %s",
                  problems[_i].problem, problems[_i].why, err.text);
    ck_assert(problems[_i].can || strstr(err.text, "nv_wgmma"));
}
END_TEST

static const struct {
    const char *problem, *row;
    bool fits;
    const char *why;
} rows[] = {
    {"fwd bf16 hq1 sq64 d128", "T_CONSUMERS=2 T_BN=128 T_STAGES=2 T_OWN_O=1", true,  "192 KiB"     },
    {"fwd bf16 hq1 sq64 d128", "T_CONSUMERS=2 T_BN=128 T_STAGES=3 T_OWN_O=1", false, "256 KiB"     },
    {"fwd bf16 hq1 sq64 d128", "T_CONSUMERS=3 T_BN=128 T_STAGES=2 T_OWN_O=0", false, "registers"   },
    {"fwd bf16 hq1 sq64 d64",  "T_CONSUMERS=3 T_BN=128 T_STAGES=4 T_OWN_O=1", true,  "the fast one"},
    {"fwd bf16 hq1 sq64 d256", "T_CONSUMERS=2 T_BN=64 T_STAGES=2 T_OWN_O=0",  true,  "192 KiB"     },
    {"fwd bf16 hq1 sq64 d256", "T_CONSUMERS=2 T_BN=64 T_STAGES=2 T_OWN_O=1",  false, "256 KiB"     },
};

START_TEST(rows_and_limits)
{
    const clfi_attn p = resolved(rows[_i].problem);
    const clfi_profile dev = device(90, 226);
    clfi_row row;
    clfi_err err = {0};
    ck_assert_int_eq(clfi_row_parse(engine, rows[_i].row, &row, NULL), CLFLASH_OK);
    ck_assert_msg((engine->fits(&p, &dev, &row, &err) == CLFLASH_OK) == rows[_i].fits,
                  "%s with %s (%s): %s", rows[_i].problem, rows[_i].row, rows[_i].why, err.text);
}
END_TEST

START_TEST(the_grid_is_one_work_group_per_unit_at_most)
{
    const clfi_profile dev = device(90, 226);
    const clfi_attn few = resolved("fwd bf16 hq2 sq129 d64"),
                    many = resolved("fwd bf16 hq16 sq4096 d64");
    clfi_row row;
    clfi_launch l;
    engine->safe(&few, &dev, &row);
    engine->more[0].launch(&few, &dev, &row, &l);
    ck_assert_uint_eq(l.global[0] / l.local[0], 4);
    engine->more[0].launch(&many, &dev, &row, &l);
    ck_assert_uint_eq(l.global[0] / l.local[0], 132);
}
END_TEST

int main(void)
{
    engine = clfi_engine_find(CLFLASH_OP_FWD, "nv_wgmma");
    Suite *suite = suite_create("nv_wgmma");
    TCase *tcase = tcase_create("nv_wgmma");
    tcase_add_loop_test(tcase, problems_and_devices, 0, sizeof problems / sizeof problems[0]);
    tcase_add_loop_test(tcase, rows_and_limits, 0, sizeof rows / sizeof rows[0]);
    tcase_add_test(tcase, the_grid_is_one_work_group_per_unit_at_most);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
