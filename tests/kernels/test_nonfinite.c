/* test_nonfinite.c -- NaN and Inf in K and V: rows that cannot see the key never meet them,
 * rows that can give what the reference gives. And rows that see nothing at all. */
#include "ops_fixture.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static clflash_context *ctx;
static void setup(void) { ctx = ops_open(NULL); }
static void teardown(void) { clflash_context_destroy(&ctx); }

static const char *const masks[] = {
    "causal",
    "causal=topleft",
    "window=5:3",
    "seg",
    "causal seg",
    "causal pos",
    "kvlen",
    "bool",
    "bias",
    "causal bool bias sink",
    "kvlen seg softcap=3 alibi",
};
static const char *const kinds[] = {"f32 b2 hq4 hk2 sq70 sk150 d16 dv12", "f16 hq2 sq40 sk40 d8",
                                    "bf16 b2 hq2 hk1 sq33 sk90 d24 layout=bhsd",
                                    "f32 b2 hq4 hk1 sq3 sk150 d20"};
static const char *const engines[] = {"vector",   "vector_few", "simt",
                                      "standard", "nv_mma",     "nv_wgmma"};
#define FEW 1
#define NV 4 /* from here on of 16 bits: the two kinds in the middle */
#define N_MASKS ((int)(sizeof masks / sizeof masks[0]))
#define N_KINDS ((int)(sizeof kinds / sizeof kinds[0]))
#define N_ENGINES ((int)(sizeof engines / sizeof engines[0]))

/* Engines that do not suit the device or the problem are not judged. */
static bool suits(const char *problem)
{
    clflash_attn_desc d;
    return clflash_attn_desc_parse(&d, problem, NULL, 0) == CLFLASH_OK &&
           clflash_attn_supported(ctx, &d, NULL, 0) == CLFLASH_OK;
}

/* The case's data is the test's to change. */
static void *writable(const void *data) { return (void *)(uintptr_t)data; }

/* Element (b, j, h, c) of a packed tensor [B,S,H,width] or [B,H,S,width]. */
static int64_t element(const clfi_attn *p, int b, int j, int h, int c, int width)
{
    return (p->layout == CLFLASH_LAYOUT_BHSD ? (((int64_t)b * p->hk + h) * p->sk + j) * width
                                             : (((int64_t)b * p->sk + j) * p->hk + h) * width) +
           c;
}

static void plant(ops_fixture *f, int seed)
{
    const clfi_attn *p = &f->host.p;
    static const float poison[] = {NAN, INFINITY, -INFINITY};
    for (int b = 0; b < p->b; b++) {
        for (int n = 0; n < 3; n++) { /* keys late in the sequence: causal rows differ */
            const int j = p->sk - 1 - (seed * 7 + n * 11) % (p->sk / 2), h = n % p->hk;
            clfi_store(writable(f->host.args.v), p->dtype,
                       element(p, b, j, h, (seed + n) % p->dv, p->dv), poison[n]);
            if (n == 0)
                clfi_store(writable(f->host.args.k), p->dtype, element(p, b, j, h, 1, p->d), NAN);
        }
    }
    if (p->bias) { /* -inf masks like a boolean */
        float *bias = writable(f->host.args.bias.data);
        for (int i = 0; i < p->sq; i++)
            for (int j = 0; j < p->sk; j++)
                if ((i + j) % 5 == 0 || i == 3)
                    bias[(int64_t)i * p->sk + j] = -INFINITY;
    }
    if (p->boolean && p->sq > 2) { /* a row without keys */
        uint8_t *boolean = writable(f->host.args.boolean.data);
        memset(boolean + 2 * (int64_t)p->sk, 0, (size_t)p->sk);
    }
}

START_TEST(masked_poison_does_not_spread)
{
    char problem[256];
    ops_fixture f;
    const int engine = _i % N_ENGINES, mask = _i / N_ENGINES;
    /* Another kind with each mask, that of few queries always for the engine that is for them. */
    const int kind = engine == FEW  ? N_KINDS - 1
                     : engine >= NV ? 1 + mask % 2
                                    : (mask + engine) % N_KINDS;
    snprintf(problem, sizeof problem, "fwd %s %s engine=%s", kinds[kind], masks[mask],
             engines[engine]);
    if (!suits(problem))
        return;
    ops_start(&f, ctx, problem, 80 + (uint32_t)_i);
    plant(&f, _i);
    ops_refresh(&f);
    ck_assert_int_eq(clflash_attn_fwd(f.plan, NULL, &f.dev.args, 0, NULL, NULL), CLFLASH_OK);
    ops_check(&f, "poisoned");
    ops_end(&f);
}
END_TEST

/* Standard attention in small chunks gives what it gives in one. */
START_TEST(chunks_are_right)
{
    static const char *const problem = "fwd f16 b2 hq4 hk2 sq45 sk70 d16 causal seg algo=standard";
    ops_fixture f;
    ops_start(&f, ctx, problem, 90);
    plant(&f, 5);
    ops_refresh(&f);
    const int64_t whole = clflash_plan_workspace_bytes(f.plan);
    const int64_t limits[] = {whole, whole / 2, whole / 4, whole / 8, 24000};
    for (int i = 0; i < 5; i++) {
        const clflash_plan_params params = {.max_workspace_bytes = limits[i]};
        clflash_plan *plan;
        ck_assert_int_eq(clflash_attn_fwd_plan(&plan, ctx, &f.host.p.desc, &params), CLFLASH_OK);
        ck_assert_int_le(clflash_plan_workspace_bytes(plan), limits[i]);
        ops_poison(&f);
        ck_assert_int_eq(clflash_attn_fwd(plan, NULL, &f.dev.args, 0, NULL, NULL), CLFLASH_OK);
        ops_check(&f, "in chunks");
        clflash_plan_destroy(&plan);
    }
    const clflash_plan_params tiny = {.max_workspace_bytes = 1000};
    clflash_plan *plan;
    ck_assert_int_eq(clflash_attn_fwd_plan(&plan, ctx, &f.host.p.desc, &tiny), CLFLASH_UNSUPPORTED);
    ops_end(&f);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("nonfinite");
    TCase *tcase = tcase_create("nonfinite");
    tcase_add_unchecked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 300);
    tcase_add_loop_test(tcase, masked_poison_does_not_spread, 0, N_MASKS * N_ENGINES);
    tcase_add_test(tcase, chunks_are_right);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK); /* a context does not survive a fork */
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
