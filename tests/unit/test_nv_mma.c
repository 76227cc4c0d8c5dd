/* test_nv_mma.c -- which rows the engine on NVIDIA's matrix units takes, on made-up devices. */
#include "lib/plan/engine.h"
#include "lib/tune/shipped.h"

#include <check.h>
#include <stdio.h>
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
                          .max_work_group = 1024,
                          .local_bytes = local_kib * 1024};
}

static const struct {
    const char *problem;
    int32_t arch;
    bool can;
    const char *why;
} devices[] = {
    {"fwd bf16 hq1 sq64 d64",      90, true,  "Hopper"              },
    {"fwd f16 hq1 sq64 d64",       80, true,  "the first that can"  },
    {"fwd bf16 hq1 sq64 d64",      75, false, "no mma of this shape"},
    {"fwd f32 hq1 sq64 d64",       90, false, "16 bits only"        },
    {"fwd bf16 hq1 sq64 d60",      90, false, "D no multiple of 8"  },
    {"fwd bf16 hq1 sq64 d64 dv7",  90, false, "Dv no multiple of 8" },
    {"fwd bf16 hq1 sq64 d264",     90, false, "too wide"            },
    {"fwd bf16 hq1 sq64 d256",     90, true,  "widest"              },
    {"fwd bf16 hq1 sq64 d8 dv256", 90, true,  "narrowest and widest"},
};

START_TEST(devices_and_problems)
{
    const clfi_attn p = resolved(devices[_i].problem);
    const clfi_profile dev = device(devices[_i].arch, 226);
    clfi_err err = {0};
    ck_assert_msg((engine->can(&p, &dev, &err) == CLFLASH_OK) == devices[_i].can, "%s (%s): %s",
                  devices[_i].problem, devices[_i].why, err.text);
    ck_assert(devices[_i].can || strstr(err.text, "nv_mma"));
}
END_TEST

START_TEST(other_vendors_cannot)
{
    const clfi_attn p = resolved("fwd bf16 hq1 sq64 d64");
    clfi_profile dev = device(90, 226);
    dev.vendor = CLFI_VENDOR_AMD;
    ck_assert_int_eq(engine->can(&p, &dev, NULL), CLFLASH_UNSUPPORTED);
}
END_TEST

static const struct {
    const char *problem, *row;
    int32_t local_kib;
    bool fits;
    const char *why;
} rows[] = {
    {"fwd bf16 hq1 sq64 d128", "T_BM=128 T_BN=64 T_WARPS=4 T_STAGES=2 T_QREG=0", 226, true,
     "the fast one"       },
    {"fwd bf16 hq1 sq64 d128", "T_BM=128 T_BN=64 T_WARPS=4 T_STAGES=2 T_QREG=0", 102, true,
     "102 KiB to the byte"},
    {"fwd bf16 hq1 sq64 d128", "T_BM=128 T_BN=64 T_WARPS=4 T_STAGES=2 T_QREG=0", 99,  false,
     "less local memory"  },
    {"fwd bf16 hq1 sq64 d128", "T_BM=128 T_BN=32 T_WARPS=4 T_STAGES=2 T_QREG=0", 99,  true,
     "half the keys"      },
    {"fwd bf16 hq1 sq64 d128", "T_BM=128 T_BN=64 T_WARPS=4 T_STAGES=2 T_QREG=1", 226, false,
     "registers for Q"    },
    {"fwd bf16 hq1 sq64 d256", "T_BM=128 T_BN=64 T_WARPS=4 T_STAGES=2 T_QREG=0", 226, false,
     "registers for O"    },
    {"fwd bf16 hq1 sq64 d64",  "T_BM=32 T_BN=64 T_WARPS=4 T_STAGES=2 T_QREG=0",  226, false,
     "warps without rows" },
};

START_TEST(rows_and_limits)
{
    const clfi_attn p = resolved(rows[_i].problem);
    const clfi_profile dev = device(90, rows[_i].local_kib);
    clfi_row row;
    clfi_err err = {0};
    ck_assert_int_eq(clfi_row_parse(engine, rows[_i].row, &row, &err), CLFLASH_OK);
    const clflash_status status = engine->fits(&p, &dev, &row, &err);
    ck_assert_msg((status == CLFLASH_OK) == rows[_i].fits, "%s (%s): %s", rows[_i].row,
                  rows[_i].why, err.text);
    ck_assert(status == CLFLASH_OK || status == CLFLASH_INVALID_TUNABLE);
}
END_TEST

/* The safe row fits every width on the smallest card; every shipped row is well formed. */
START_TEST(safe_and_shipped_rows)
{
    char text[96];
    for (int d = 8; d <= 256; d += 8)
        for (int dv = 8; dv <= 256; dv += 8) {
            snprintf(text, sizeof text, "fwd f16 b2 hq2 sq99 d%d dv%d causal seg", d, dv);
            const clfi_attn p = resolved(text);
            const clfi_profile dev = device(86, 99);
            clfi_err err = {0};
            ck_assert_msg(engine->can(&p, &dev, &err) == CLFLASH_OK, "%s: %s", text, err.text);
        }
    for (const clfi_shipped *s = clfi_shipped_nvidia; s->engine; s++) {
        clfi_row row;
        if (strcmp(s->engine, engine->name) == 0)
            ck_assert_int_eq(clfi_row_parse(engine, s->row, &row, NULL), CLFLASH_OK);
    }
}
END_TEST

int main(void)
{
    engine = clfi_engine_find(CLFLASH_OP_FWD, "nv_mma");
    Suite *suite = suite_create("nv_mma");
    TCase *tcase = tcase_create("nv_mma");
    tcase_add_loop_test(tcase, devices_and_problems, 0, sizeof devices / sizeof devices[0]);
    tcase_add_test(tcase, other_vendors_cannot);
    tcase_add_loop_test(tcase, rows_and_limits, 0, sizeof rows / sizeof rows[0]);
    tcase_add_test(tcase, safe_and_shipped_rows);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
