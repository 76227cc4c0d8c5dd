/* test_nv_mma.c -- which rows the engines on NVIDIA's matrix units take, on made-up devices. */
#include "lib/plan/engine.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The engine of the problem's operation. */
static const clfi_engine *engine_of(const clfi_attn *p) { return clfi_engine_find(p->op, "nv_mma"); }

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
    {"bwd bf16 hq1 sq64 d64",      90, true,  "Hopper, backward"    },
    {"bwd f16 hq1 sq64 d64",       80, true,  "the first, backward" },
    {"bwd bf16 hq1 sq64 d64",      75, false, "no mma, backward"    },
    {"bwd f32 hq1 sq64 d64",       90, false, "16 bits, backward"   },
    {"bwd bf16 hq1 sq64 d60",      90, false, "D, backward"         },
    {"bwd bf16 hq1 sq64 d64 dv7",  90, false, "Dv, backward"        },
    {"bwd bf16 hq1 sq64 d264",     90, false, "too wide, backward"  },
    {"bwd bf16 hq1 sq64 d8 dv256", 90, true,  "both, backward"      },
};

START_TEST(devices_and_problems)
{
    const clfi_attn p = resolved(devices[_i].problem);
    const clfi_profile dev = device(devices[_i].arch, 226);
    clfi_err err = {0};
    ck_assert_msg((engine_of(&p)->can(&p, &dev, &err) == CLFLASH_OK) == devices[_i].can, "%s (%s): %s",
                  devices[_i].problem, devices[_i].why, err.text);
    ck_assert(devices[_i].can || strstr(err.text, "nv_mma"));
}
END_TEST

START_TEST(other_vendors_cannot)
{
    static const char *const problems[] = {"fwd bf16 hq1 sq64 d64", "bwd bf16 hq1 sq64 d64"};
    clfi_profile dev = device(90, 226);
    dev.vendor = CLFI_VENDOR_AMD;
    for (int i = 0; i < 2; i++) {
        const clfi_attn p = resolved(problems[i]);
        ck_assert_int_eq(engine_of(&p)->can(&p, &dev, NULL), CLFLASH_UNSUPPORTED);
    }
}
END_TEST

/* A row of the backward: T_QN = 32, T_QSTAGES = 2. */
#define BWD(bm, bn, warps, split, stages, qm, qwarps)                                              \
    "T_BM=" bm " T_BN=" bn " T_WARPS=" warps " T_SPLIT=" split " T_STAGES=" stages " T_QM=" qm     \
    " T_QN=32 T_QWARPS=" qwarps " T_QSTAGES=2"

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
    {"bwd bf16 hq1 sq64 d128", BWD("64", "128", "8", "2", "2", "128", "4"), 226, true,
     "the fast one"       },
    {"bwd bf16 hq1 sq64 d64 det=0", BWD("64", "128", "4", "1", "2", "128", "4"), 92, true,
     "91.05 KiB"          },
    {"bwd bf16 hq1 sq64 d64 det=0", BWD("64", "128", "4", "1", "2", "128", "4"), 91, false,
     "less local memory"  },
    {"bwd bf16 hq1 sq64 d64", BWD("64", "128", "4", "1", "2", "128", "4"), 91, true,
     "no dS there"        },
    {"bwd bf16 hq1 sq64 d128", BWD("64", "128", "8", "1", "2", "128", "4"), 226, true,
     "16 keys a warp"     },
    {"bwd bf16 hq1 sq64 d128", BWD("64", "128", "4", "1", "2", "128", "4"), 226, false,
     "registers for dK, dV"},
    {"bwd bf16 hq1 sq64 d64", BWD("32", "128", "8", "4", "2", "128", "4"), 226, false,
     "a split without queries"},
    {"bwd bf16 hq1 sq64 d64", BWD("128", "128", "8", "2", "2", "64", "4"), 226, false,
     "a block of dK wider than one of dQ"},
    {"bwd bf16 hq1 sq64 d64", BWD("64", "32", "8", "2", "2", "128", "4"), 226, false,
     "warps without keys" },
};

START_TEST(rows_and_limits)
{
    const clfi_attn p = resolved(rows[_i].problem);
    const clfi_profile dev = device(90, rows[_i].local_kib);
    clfi_row row;
    clfi_err err = {0};
    ck_assert_int_eq(clfi_row_parse(engine_of(&p), rows[_i].row, &row, &err), CLFLASH_OK);
    const clflash_status status = engine_of(&p)->fits(&p, &dev, &row, &err);
    ck_assert_msg((status == CLFLASH_OK) == rows[_i].fits, "%s (%s): %s", rows[_i].row,
                  rows[_i].why, err.text);
    ck_assert(status == CLFLASH_OK || status == CLFLASH_INVALID_TUNABLE);
}
END_TEST

/* The safe row fits every width on the smallest card. */
START_TEST(safe_rows)
{
    static const char *const ops[] = {"fwd", "bwd", "bwd det=0"};
    char text[96];
    for (int d = 8; d <= 256; d += 8)
        for (int dv = 8; dv <= 256; dv += 8) {
            snprintf(text, sizeof text, "%s f16 b2 hq2 sq99 d%d dv%d causal seg", ops[_i], d, dv);
            const clfi_attn p = resolved(text);
            const clfi_profile dev = device(86, 99);
            clfi_err err = {0};
            ck_assert_msg(engine_of(&p)->can(&p, &dev, &err) == CLFLASH_OK, "%s: %s", text,
                          err.text);
        }
}
END_TEST

/* Sums of dQ without an order: every element of the query blocks, none with an order; the
 * columns of D = 72 are five steps of 16, shared by four warps: two each. */
static const struct {
    const char *problem;
    int64_t bytes;
} scratch[] = {
    {"bwd bf16 b2 hq3 sq100 d64 det=0", 4LL * 2 * 3 * 128 * 64 },
    {"bwd bf16 b2 hq3 sq100 d72 det=0", 4LL * 2 * 3 * 128 * 128},
    {"bwd bf16 b2 hq3 sq100 d64",       0                      },
};

START_TEST(sums_of_dq)
{
    const clfi_attn p = resolved(scratch[_i].problem);
    const clfi_profile dev = device(90, 226);
    clfi_row row;
    ck_assert_int_eq(
        clfi_row_parse(engine_of(&p), BWD("32", "32", "4", "2", "1", "64", "4"), &row, NULL),
        CLFLASH_OK);
    ck_assert_int_eq(engine_of(&p)->scratch_bytes(&p, &dev, &row), scratch[_i].bytes);
}
END_TEST

/* With an order dQ is the first of two kernels, else it is cleared before and rounded after. */
START_TEST(kernels_of_the_backward)
{
    for (int det = 0; det < 2; det++) {
        const clfi_attn p = resolved(det ? "bwd bf16 b2 hq6 hk2 sq100 sk70 d64 det=1"
                                         : "bwd bf16 b2 hq6 hk2 sq100 sk70 d64 det=0");
        const clfi_engine *e = engine_of(&p);
        const clfi_profile dev = device(90, 226);
        clfi_row row;
        clfi_launch dq, dkv, rounding;
        ck_assert_int_eq(
            clfi_row_parse(e, BWD("32", "32", "4", "2", "1", "64", "4"), &row, NULL), CLFLASH_OK);
        ck_assert_int_eq(e->n_more, 2);
        e->launch(&p, &dev, &row, &dq);
        e->more[0].launch(&p, &dev, &row, &dkv);
        e->more[1].launch(&p, &dev, &row, &rounding);
        if (det)
            ck_assert_uint_eq(dq.global[0], 2 * 6 * 2 * 128); /* blocks of 64 queries */
        ck_assert_uint_eq(dkv.global[0], 2 * 2 * 3 * 128);    /* blocks of 32 keys, KV heads */
        ck_assert_uint_eq(rounding.dims, det ? 0 : 1);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("nv_mma");
    TCase *tcase = tcase_create("nv_mma");
    tcase_add_loop_test(tcase, devices_and_problems, 0, sizeof devices / sizeof devices[0]);
    tcase_add_test(tcase, other_vendors_cannot);
    tcase_add_loop_test(tcase, rows_and_limits, 0, sizeof rows / sizeof rows[0]);
    tcase_add_loop_test(tcase, safe_rows, 0, 3);
    tcase_add_loop_test(tcase, sums_of_dq, 0, sizeof scratch / sizeof scratch[0]);
    tcase_add_test(tcase, kernels_of_the_backward);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
