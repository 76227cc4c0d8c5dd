/* test_store.c -- tuning files: what was written comes back, and nothing else gets in. */
#define _POSIX_C_SOURCE 200809L
#include "fake_context.h"
#include "lib/base/fs.h"
#include "lib/tune/store.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEY "fwd f32 hq8 sq1024 d64"

static char header[CLFI_TUNE_HEADER_BYTES];

static clfi_tune_entry entry(const char *key, const char *engine, const char *row, float ms)
{
    clfi_tune_entry e = {.verdict = CLFI_OK, .ms = ms, .error = 1.5e-7f};
    snprintf(e.key, sizeof e.key, "%s", key);
    snprintf(e.engine, sizeof e.engine, "%s", engine);
    snprintf(e.row, sizeof e.row, "%s", row);
    snprintf(e.source, sizeof e.source, "test");
    return e;
}

static void put(clfi_table *t, clfi_tune_entry e)
{
    ck_assert_int_eq(clfi_table_put(t, &e, NULL), CLFLASH_OK);
}

static void fill(clfi_table *t)
{
    put(t, entry(KEY, "simt", "T_A=1 T_B=2", 3.25f));
    put(t, entry(KEY, "simt", "T_A=1 T_B=4", 0.1f));
    put(t, entry("fwd bf16 hq8 sq1 sk4096 d128 causal", "vector", "T_A=1", 1e-3f));
    clfi_tune_entry wrong = entry(KEY, "simt", "T_A=9", 0);
    wrong.verdict = CLFI_WRONG;
    wrong.error = INFINITY;
    put(t, wrong);
}

static void setup(void)
{
    const clfi_profile gpu = fake_gpu();
    clfi_tune_header(&gpu, "0.1.0", header);
}

static void same_table(const clfi_table *a, const clfi_table *b)
{
    ck_assert_int_eq(a->n, b->n);
    for (int32_t i = 0; i < a->n; i++)
        ck_assert_mem_eq(&a->entries[i], &b->entries[i], sizeof a->entries[i]);
}

static char *print(const clfi_table *t, size_t *bytes)
{
    char *text;
    ck_assert_int_eq(clfi_table_print(t, header, &text, bytes, NULL), CLFLASH_OK);
    return text;
}

START_TEST(text_and_table_are_inverse)
{
    clfi_table t = {0}, back = {0};
    size_t bytes;
    for (int n = 0; n < 2; n++) { /* an empty table too */
        char *text = print(&t, &bytes);
        ck_assert_uint_eq(strlen(text), bytes);
        ck_assert_int_eq(clfi_table_parse(&back, text, bytes, header, NULL), CLFLASH_OK);
        same_table(&t, &back);
        free(text);
        fill(&t);
    }
    clfi_table_clear(&t);
    clfi_table_clear(&back);
}
END_TEST

START_TEST(every_flipped_bit_is_noticed)
{
    clfi_table t = {0}, back = {0};
    size_t bytes;
    fill(&t);
    char *text = print(&t, &bytes);
    for (size_t i = 0; i < bytes; i++)
        for (int bit = 0; bit < 8; bit++) {
            clfi_err err = {0};
            text[i] ^= (char)(1 << bit);
            ck_assert_msg(clfi_table_parse(&back, text, bytes, header, &err) == CLFLASH_CORRUPT,
                          "byte %zu bit %d went unnoticed", i, bit);
            ck_assert_int_gt((int)strlen(err.text), 0);
            ck_assert_int_eq(back.n, 0);
            text[i] ^= (char)(1 << bit);
        }
    free(text);
    clfi_table_clear(&t);
}
END_TEST

START_TEST(every_truncation_is_noticed)
{
    clfi_table t = {0}, back = {0};
    size_t bytes;
    fill(&t);
    char *text = print(&t, &bytes);
    for (size_t n = 0; n < bytes; n++) {
        char *cut = malloc(n + 1); /* exact, for the address sanitizer */
        memcpy(cut, text, n);
        ck_assert_int_eq(clfi_table_parse(&back, cut, n, header, NULL), CLFLASH_CORRUPT);
        free(cut);
    }
    char *longer = malloc(bytes + 2);
    memcpy(longer, text, bytes);
    longer[bytes] = '\n';
    ck_assert_int_eq(clfi_table_parse(&back, longer, bytes + 1, header, NULL), CLFLASH_CORRUPT);
    free(longer);
    free(text);
    clfi_table_clear(&t);
}
END_TEST

/* Files with right sums and a wrong content: someone meant it. */
static const struct {
    const char *key, *engine, *row;
    float ms, error;
    const char *why;
} hostile[] = {
    {KEY,          "simt", "T_A=1", -1,       0,   "a negative time"           },
    {KEY,          "simt", "T_A=1", NAN,      0,   "a time that is no number"  },
    {KEY,          "simt", "T_A=1", INFINITY, 0,   "an infinite time"          },
    {KEY,          "simt", "T_A=1", 0,        0,   "no time at all"            },
    {KEY,          "simt", "T_A=1", 1,        NAN, "an error that is no number"},
    {"a | b",      "simt", "T_A=1", 1,        0,   "a bar in a field"          },
    {"a\nend 0 0", "simt", "T_A=1", 1,        0,   "a newline in a field"      },
    {"\x1b[31m",   "simt", "T_A=1", 1,        0,   "a terminal's escape"       },
};

START_TEST(hostile_fields_are_refused)
{
    clfi_table t = {0}, back = {0};
    size_t bytes;
    clfi_tune_entry e = entry(hostile[_i].key, hostile[_i].engine, hostile[_i].row, hostile[_i].ms);
    e.error = hostile[_i].error;
    put(&t, e);
    char *text = print(&t, &bytes);
    ck_assert_msg(clfi_table_parse(&back, text, bytes, header, NULL) == CLFLASH_CORRUPT, "%s",
                  hostile[_i].why);
    free(text);
    clfi_table_clear(&t);
}
END_TEST

START_TEST(foreign_files_are_ignored)
{
    clfi_table t = {0}, back = {0};
    size_t bytes;
    fill(&t);
    char *text = print(&t, &bytes), other[CLFI_TUNE_HEADER_BYTES];
    for (int n = 0; n < 7; n++) {
        clfi_profile dev = fake_gpu();
        snprintf(dev.platform, sizeof dev.platform, n == 0 ? "Other" : "Fake Platform");
        snprintf(dev.name, sizeof dev.name, n == 1 ? "Fake H200" : "Fake H100");
        snprintf(dev.driver, sizeof dev.driver, n == 2 ? "1.2.4" : "1.2.3");
        dev.compute_units += n == 3;
        dev.local_bytes += n == 4;
        clfi_tune_header(&dev, n == 5 ? "0.1.1" : "0.1.0", other);
        ck_assert_int_eq(clfi_table_parse(&back, text, bytes, other, NULL),
                         n == 6 ? CLFLASH_OK : CLFLASH_CORRUPT);
    }
    free(text);
    clfi_table_clear(&t);
    clfi_table_clear(&back);
}
END_TEST

START_TEST(device_names_cannot_break_the_header)
{
    clfi_profile dev = fake_gpu();
    clfi_table t = {0}, back = {0};
    size_t bytes;
    char *text;
    snprintf(dev.name, sizeof dev.name, "evil\nend 0\x01 \xff");
    clfi_tune_header(&dev, "0.1.0", header);
    ck_assert_ptr_nonnull(strstr(header, "device evil?end 0? ?\n"));
    fill(&t);
    text = print(&t, &bytes);
    ck_assert_int_eq(clfi_table_parse(&back, text, bytes, header, NULL), CLFLASH_OK);
    same_table(&t, &back);
    free(text);
    clfi_table_clear(&t);
    clfi_table_clear(&back);
}
END_TEST

START_TEST(a_full_table_forgets_the_oldest)
{
    clfi_table t = {0};
    for (int n = 0; n < CLFI_TUNE_MAX_ENTRIES + 3; n++) {
        clfi_tune_entry e = entry(KEY, "simt", "", 1);
        snprintf(e.row, sizeof e.row, "T_A=%d", n);
        if (t.n < CLFI_TUNE_MAX_ENTRIES - 1 && t.n < t.capacity)
            t.entries[t.n++] = e; /* without the search for an old one: a million compares */
        else
            put(&t, e);
    }
    ck_assert_int_eq(t.n, CLFI_TUNE_MAX_ENTRIES);
    ck_assert_str_eq(t.entries[0].row, "T_A=3");
    size_t bytes;
    char *text = print(&t, &bytes);
    ck_assert_uint_le(bytes, CLFI_TUNE_MAX_BYTES);
    free(text);
    clfi_table_clear(&t);
}
END_TEST

START_TEST(there_is_one_best_per_key_and_engine)
{
    clfi_table t = {0}, file = {0};
    clfi_tune_entry first = entry(KEY, "simt", "T_A=1", 3), second = entry(KEY, "simt", "T_A=2", 4);
    first.verdict = second.verdict = CLFI_BEST;
    second.fresh = true;
    put(&t, first);
    put(&t, second);
    ck_assert_int_eq(clfi_table_find(&t, KEY, "simt", "T_A=1")->verdict, CLFI_OK);
    put(&file, first); /* another process's older winner does not unseat ours */
    ck_assert_int_eq(clfi_table_merge(&t, &file, NULL), CLFLASH_OK);
    ck_assert_int_eq(clfi_table_find(&t, KEY, "simt", "T_A=1")->verdict, CLFI_OK);
    ck_assert_int_eq(clfi_table_find(&t, KEY, "simt", "T_A=2")->verdict, CLFI_BEST);
    clfi_table_clear(&t);
    clfi_table_clear(&file);
}
END_TEST

/* ---- on disk ---- */

static char folder[256], path[512];

static void disk_setup(void)
{
    setup();
    snprintf(folder, sizeof folder, "%s/clflash-store-XXXXXX",
             getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/deep/tuning", folder);
}

static void disk_teardown(void)
{
    char deep[300];
    snprintf(deep, sizeof deep, "%s/deep", folder);
    remove(path);
    remove(deep);
    remove(folder);
}

static bool knows(clflash_context *ctx, const char *row)
{
    clfi_tune_entry e;
    return clfi_store_known(ctx, KEY, "simt", row, &e);
}

START_TEST(measurements_survive_the_process)
{
    const clfi_profile gpu = fake_gpu();
    clfi_tune_entry e = entry(KEY, "simt", "T_A=1", 2.5f), back;
    clflash_context *ctx = fake_open(&gpu, path);
    ck_assert(!knows(ctx, "T_A=1"));
    ck_assert_int_eq(clfi_store_put(ctx, &e, NULL), CLFLASH_OK);
    fake_close(ctx);
    ctx = fake_open(&gpu, path);
    ck_assert(clfi_store_known(ctx, KEY, "simt", "T_A=1", &back) && back.ms == 2.5f);
    ck_assert_str_eq(ctx->log, "");
    fake_close(ctx);
}
END_TEST

START_TEST(two_processes_keep_each_others_rows)
{
    const clfi_profile gpu = fake_gpu();
    clflash_context *a = fake_open(&gpu, path), *b = fake_open(&gpu, path);
    const clfi_tune_entry one = entry(KEY, "simt", "T_A=1", 1),
                          two = entry(KEY, "simt", "T_A=2", 2),
                          newer = entry(KEY, "simt", "T_A=1", 7);
    clfi_tune_entry back;
    ck_assert(!knows(a, "T_A=1") && !knows(b, "T_A=1")); /* both have read the empty file */
    clfi_store_put(a, &one, NULL);
    clfi_store_put(b, &two, NULL);
    ck_assert(knows(b, "T_A=1"));
    clfi_store_put(b, &newer, NULL); /* measured last: wins over the file's */
    clflash_context *c = fake_open(&gpu, path);
    ck_assert(knows(c, "T_A=2"));
    ck_assert(clfi_store_known(c, KEY, "simt", "T_A=1", &back) && back.ms == 7);
    fake_close(a);
    fake_close(b);
    fake_close(c);
}
END_TEST

START_TEST(forgotten_keys_leave_the_file)
{
    const clfi_profile gpu = fake_gpu();
    clflash_context *ctx = fake_open(&gpu, path);
    const clfi_tune_entry one = entry(KEY, "simt", "T_A=1", 1),
                          other = entry("x", "simt", "T_A=1", 1);
    clfi_tune_entry back;
    clfi_store_put(ctx, &one, NULL);
    clfi_store_put(ctx, &other, NULL);
    ck_assert_int_eq(clfi_store_forget(ctx, KEY, NULL), CLFLASH_OK);
    ck_assert(!knows(ctx, "T_A=1"));
    fake_close(ctx);
    ctx = fake_open(&gpu, path);
    ck_assert(!knows(ctx, "T_A=1"));
    ck_assert(clfi_store_known(ctx, "x", "simt", "T_A=1", &back));
    fake_close(ctx);
}
END_TEST

START_TEST(damaged_files_are_logged_and_replaced)
{
    const clfi_profile gpu = fake_gpu();
    const clfi_tune_entry e = entry(KEY, "simt", "T_A=1", 1);
    clflash_context *ctx = fake_open(&gpu, path);
    clfi_store_put(ctx, &e, NULL);
    fake_close(ctx);
    ck_assert_int_eq(clfi_fs_write(path, "clflash-tuning 1\nrubbish", 24, NULL), CLFLASH_OK);
    ctx = fake_open(&gpu, path);
    ck_assert(!knows(ctx, "T_A=1"));
    ck_assert_ptr_nonnull(strstr(ctx->log, "ignored"));
    ck_assert_int_eq(clfi_store_put(ctx, &e, NULL), CLFLASH_OK);
    fake_close(ctx);
    ctx = fake_open(&gpu, path);
    ck_assert(knows(ctx, "T_A=1"));
    fake_close(ctx);
}
END_TEST

START_TEST(other_peoples_files_are_left_alone)
{
    const clfi_profile gpu = fake_gpu();
    const clfi_tune_entry e = entry(KEY, "simt", "T_A=1", 1);
    clfi_err err = {0};
    char *data;
    size_t bytes;
    clflash_context *ctx = fake_open(&gpu, path);
    clfi_store_put(ctx, &e, NULL); /* makes the folder */
    ck_assert_int_eq(clfi_fs_write(path, "my thesis", 9, NULL), CLFLASH_OK);
    ck_assert_int_eq(clfi_store_put(ctx, &e, &err), CLFLASH_IO);
    ck_assert(knows(ctx, "T_A=1")); /* but the context still knows */
    fake_close(ctx);
    ck_assert_int_eq(clfi_fs_read(NULL, path, 100, &data, &bytes, NULL), CLFLASH_OK);
    ck_assert_str_eq(data, "my thesis");
    free(data);
}
END_TEST

START_TEST(without_a_file_memory_serves)
{
    const clfi_profile gpu = fake_gpu();
    const clfi_tune_entry e = entry(KEY, "simt", "T_A=1", 1);
    clflash_context *ctx = fake_open(&gpu, "");
    ck_assert_int_eq(clfi_store_put(ctx, &e, NULL), CLFLASH_OK);
    ck_assert(knows(ctx, "T_A=1"));
    fake_close(ctx);
}
END_TEST

/* ---- keys ---- */

START_TEST(keys_round_lengths_up)
{
    static const struct {
        const char *problem, *key;
    } rows[] = {
        {"fwd f32 hq8 sq1023 d64",               "fwd f32 hq8 sq1024 d64"              },
        {"fwd f32 hq8 sq1024 d64",               "fwd f32 hq8 sq1024 d64"              },
        {"fwd f32 b3 hq8 sq1 sk1025 d64 causal", "fwd f32 b4 hq8 sq1 sk2048 d64 causal"},
        {"fwd f32 hq8 sq0 sk0 d64",              "fwd f32 hq8 sq0 d64"                 },
        {"fwd f32 hq8 sq1073741823 d64",         "fwd f32 hq8 sq1073741823 d64"        },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        clflash_attn_desc d;
        clfi_attn p;
        char key[256];
        ck_assert_int_eq(clflash_attn_desc_parse(&d, rows[i].problem, NULL, 0), CLFLASH_OK);
        ck_assert_int_eq(clfi_attn_resolve(&p, &d, NULL), CLFLASH_OK);
        clfi_tune_key(&p, key, sizeof key);
        ck_assert_str_eq(key, rows[i].key);
        ck_assert(clfi_tune_scale(&p) >= 1);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store");
    TCase *text = tcase_create("text"), *disk = tcase_create("disk");
    tcase_add_checked_fixture(text, setup, NULL);
    tcase_set_timeout(text, 60);
    tcase_add_test(text, text_and_table_are_inverse);
    tcase_add_test(text, every_flipped_bit_is_noticed);
    tcase_add_test(text, every_truncation_is_noticed);
    tcase_add_loop_test(text, hostile_fields_are_refused, 0,
                        (int)(sizeof hostile / sizeof hostile[0]));
    tcase_add_test(text, foreign_files_are_ignored);
    tcase_add_test(text, device_names_cannot_break_the_header);
    tcase_add_test(text, a_full_table_forgets_the_oldest);
    tcase_add_test(text, keys_round_lengths_up);
    tcase_add_test(text, there_is_one_best_per_key_and_engine);
    tcase_add_checked_fixture(disk, disk_setup, disk_teardown);
    tcase_add_test(disk, measurements_survive_the_process);
    tcase_add_test(disk, two_processes_keep_each_others_rows);
    tcase_add_test(disk, forgotten_keys_leave_the_file);
    tcase_add_test(disk, damaged_files_are_logged_and_replaced);
    tcase_add_test(disk, other_peoples_files_are_left_alone);
    tcase_add_test(disk, without_a_file_memory_serves);
    suite_add_tcase(suite, text);
    suite_add_tcase(suite, disk);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
