/* test_work.c -- closed forms of pairs and blocks against counting with the reference. */
#include "lib/plan/attn.h"

#include <check.h>
#include <clflash/ref.h>
#include <stdlib.h>
#include <string.h>

/* N equal documents: the first len % N have one token more. */
static void fill_docs(int32_t *seg, int32_t len, int32_t docs)
{
    for (int32_t t = 0, i = 0; t < docs; t++)
        for (int32_t n = len / docs + (t < len % docs); n > 0; n--)
            seg[i++] = t;
}

static clflash_attn_desc random_desc(void)
{
    clflash_attn_desc d = {.q_heads = 1, .q_len = rand() % 12, .head_dim = 1};
    d.kv_len = rand() % 12;
    d.kv_len = d.kv_len ? d.kv_len : CLFLASH_EMPTY;
    d.mask.causal = (clflash_causal)(rand() % 3);
    d.mask.window = rand() % 2;
    d.mask.window_left = d.mask.window ? rand() % 7 - 1 : 0;
    d.mask.window_right = d.mask.window ? rand() % 7 - 1 : 0;
    d.docs = rand() % 2 ? rand() % 14 : 0;
    return d;
}

/* Blocks with a visible pair, and of these the ones with a masked pair too. */
static void count(const clflash_attn_desc *d, int32_t sk, int bq, int bkv, int64_t n[3])
{
    const clflash_attn_host_args none = {0};
    n[0] = n[1] = n[2] = 0;
    for (int i0 = 0; i0 < d->q_len; i0 += bq)
        for (int j0 = 0; j0 < sk; j0 += bkv) {
            bool some = false, hidden = false;
            for (int i = i0; i < i0 + bq && i < d->q_len; i++)
                for (int j = j0; j < j0 + bkv && j < sk; j++) {
                    const bool sees = clflash_ref_visible(d, &none, 0, 0, i, j);
                    some |= sees;
                    hidden |= !sees;
                }
            n[0]++;
            n[1] += some;
            n[2] += some && hidden;
        }
}

START_TEST(pairs_and_blocks_are_exact)
{
    srand(11);
    for (int n = 0; n < 5000; n++) {
        const clflash_attn_desc d = random_desc();
        char text[CLFLASH_PROBLEM_BYTES];
        clfi_attn p;
        int32_t q_seg[16], kv_seg[16];
        int64_t pairs = 0, want[3], got[3];
        ck_assert_int_eq(clfi_attn_resolve(&p, &d, NULL), CLFLASH_OK);
        clflash_attn_desc_print(&d, text, sizeof text);
        fill_docs(q_seg, p.sq, d.docs);
        fill_docs(kv_seg, p.sk, d.docs);
        const clflash_attn_host_args a = {.q_segments = q_seg, .kv_segments = kv_seg};
        for (int i = 0; i < p.sq; i++)
            for (int j = 0; j < p.sk; j++)
                pairs += clflash_ref_visible(&d, &a, 0, 0, i, j);
        ck_assert_msg(clfi_attn_visible_pairs(&p) == (double)pairs, "%s: %g pairs, not %lld", text,
                      clfi_attn_visible_pairs(&p), (long long)pairs);
        if (d.docs)
            continue;
        const int bq = 1 + rand() % 5, bkv = 1 + rand() % 5;
        count(&d, p.sk, bq, bkv, want);
        clfi_attn_count_blocks(&p, bq, bkv, &got[0], &got[1], &got[2]);
        for (int k = 0; k < 3; k++)
            ck_assert_msg(got[k] == want[k], "%s, blocks %dx%d: count %d is %lld, not %lld", text,
                          bq, bkv, k, (long long)got[k], (long long)want[k]);
    }
}
END_TEST

static clfi_attn resolved(const char *text)
{
    clflash_attn_desc d;
    clfi_attn p;
    ck_assert_int_eq(clflash_attn_desc_parse(&d, text, NULL, 0), CLFLASH_OK);
    ck_assert_int_eq(clfi_attn_resolve(&p, &d, NULL), CLFLASH_OK);
    return p;
}

START_TEST(large_problems_do_not_overflow)
{
    const double n = 1073741823;
    const clfi_attn full = resolved("fwd f32 hq1 sq1073741823 d1");
    ck_assert_double_eq(clfi_attn_visible_pairs(&full), n * n);
    const clfi_attn causal = resolved("fwd f32 hq1 sq1073741823 d1 causal");
    ck_assert_double_eq_tol(clfi_attn_visible_pairs(&causal), n * (n + 1) / 2, 1e3);
    const clfi_attn window = resolved("fwd f32 hq1 sq1073741823 d1 causal window=99");
    ck_assert_double_eq_tol(clfi_attn_visible_pairs(&window), 100 * n - 99 * 50, 1e3);
}
END_TEST

START_TEST(operations_and_bytes)
{
    const clfi_attn p = resolved("fwd f16 b2 hq4 hk2 sq10 sk20 d8 dv16 seg kvlen");
    ck_assert_double_eq(clfi_attn_flops(&p), 4.0 * 2 * 4 * 12 * 200);
    ck_assert_double_eq(clfi_attn_bytes(&p), 2.0 * (2 * 4 * 10 * (8 + 16) + 2 * 2 * 20 * (8 + 16)) +
                                                 4.0 * 2 * (10 + 20) + 4.0 * 2);
    const clfi_attn b = resolved("bwd f16 b2 hq4 hk2 sq10 sk20 d8 dv16");
    ck_assert_double_eq(clfi_attn_flops(&b), 2.5 * clfi_attn_flops(&p));
    const clfi_attn docs = resolved("fwd f32 hq1 sq12 d1 docs=3 causal");
    ck_assert_double_eq(clfi_attn_visible_pairs(&docs), 3 * 10);
}
END_TEST

START_TEST(array_masks_count_as_visible)
{
    int64_t total, visited, masked;
    const clfi_attn p = resolved("fwd f32 hq1 sq8 d1 pos causal");
    ck_assert_double_eq(clfi_attn_visible_pairs(&p), 64);
    clfi_attn_count_blocks(&p, 4, 2, &total, &visited, &masked);
    ck_assert(total == 8 && visited == 8 && masked == 8);
    const clfi_attn full = resolved("fwd f32 hq1 sq8 d1");
    clfi_attn_count_blocks(&full, 4, 2, &total, &visited, &masked);
    ck_assert(total == 8 && visited == 8 && masked == 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("work");
    TCase *all = tcase_create("all");
    tcase_add_test(all, pairs_and_blocks_are_exact);
    tcase_add_test(all, large_problems_do_not_overflow);
    tcase_add_test(all, operations_and_bytes);
    tcase_add_test(all, array_masks_count_as_visible);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
