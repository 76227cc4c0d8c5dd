/* test_base.c -- half floats, strings, allocation, files, hash, status texts. */
#define _POSIX_C_SOURCE 200809L
#include "lib/base/alloc.h"
#include "lib/base/fs.h"
#include "lib/base/half.h"
#include "lib/base/hash.h"
#include "lib/base/strbuf.h"

#include <check.h>
#include <clflash/ref.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- 16-bit floats ---- */

START_TEST(every_half_round_trips)
{
    for (uint32_t bits = 0; bits < 0x10000; bits++) {
        const float f = clflash_f32_from_f16((uint16_t)bits);
        const float b = clflash_f32_from_bf16((uint16_t)bits);
        if (isnan(f))
            ck_assert(isnan(clflash_f32_from_f16(clflash_f16_from_f32(f))));
        else
            ck_assert_uint_eq(clflash_f16_from_f32(f), bits);
        if (isnan(b))
            ck_assert(isnan(clflash_f32_from_bf16(clflash_bf16_from_f32(b))));
        else
            ck_assert_uint_eq(clflash_bf16_from_f32(b), bits);
    }
}
END_TEST

/* Between two neighbours the middle goes to the even one, a hair to either side does not. */
START_TEST(halves_round_to_nearest_even)
{
    for (uint32_t bits = 0; bits < 0x7bff; bits++) {
        const float low = clflash_f32_from_f16((uint16_t)bits);
        const float high = clflash_f32_from_f16((uint16_t)(bits + 1));
        const float middle = low + (high - low) / 2; /* exact */
        ck_assert_uint_eq(clflash_f16_from_f32(middle), bits + (bits & 1));
        ck_assert_uint_eq(clflash_f16_from_f32(nextafterf(middle, 0)), bits);
        ck_assert_uint_eq(clflash_f16_from_f32(nextafterf(middle, INFINITY)), bits + 1);
        ck_assert_uint_eq(clflash_f16_from_f32(-middle), (bits + (bits & 1)) | 0x8000);
    }
    for (uint32_t bits = 0; bits < 0x7f7f; bits++) {
        const double low = clflash_f32_from_bf16((uint16_t)bits);
        const double high = clflash_f32_from_bf16((uint16_t)(bits + 1));
        const float middle = (float)(low + (high - low) / 2);
        ck_assert_uint_eq(clflash_bf16_from_f32(middle), bits + (bits & 1));
        ck_assert_uint_eq(clflash_bf16_from_f32(nextafterf(middle, INFINITY)), bits + 1);
    }
}
END_TEST

START_TEST(halves_at_the_ends)
{
    ck_assert_uint_eq(clflash_f16_from_f32(65504), 0x7bff);
    ck_assert_uint_eq(clflash_f16_from_f32(65519.996f), 0x7bff);
    ck_assert_uint_eq(clflash_f16_from_f32(65520), 0x7c00);
    ck_assert_uint_eq(clflash_f16_from_f32(INFINITY), 0x7c00);
    ck_assert_uint_eq(clflash_f16_from_f32(-INFINITY), 0xfc00);
    ck_assert_uint_eq(clflash_f16_from_f32(0x1p-24f), 1);
    ck_assert_uint_eq(clflash_f16_from_f32(0x1p-25f), 0);
    ck_assert_uint_eq(clflash_f16_from_f32(-0.0f), 0x8000);
    ck_assert_uint_eq(clflash_bf16_from_f32(3.4e38f), 0x7f80);
    ck_assert_uint_eq(clflash_dtype_bytes(CLFLASH_F32), 4);
    ck_assert_uint_eq(clflash_dtype_bytes(CLFLASH_BF16), 2);
    ck_assert_uint_eq(clflash_dtype_bytes((clflash_dtype)3), 0);
}
END_TEST

/* ---- strings ---- */

START_TEST(strbuf_never_passes_its_end)
{
    char text[16];
    for (size_t bytes = 0; bytes < 8; bytes++) {
        memset(text, '#', sizeof text);
        clfi_strbuf s = clfi_strbuf_on(text, bytes);
        clfi_strbuf_add(&s, "%s", "ab");
        clfi_strbuf_add(&s, "%d", 123);
        ck_assert_int_eq(s.truncated, bytes < 6);
        if (bytes)
            ck_assert_uint_lt(strlen(text), bytes);
        for (size_t i = bytes; i < sizeof text; i++)
            ck_assert(text[i] == '#');
    }
}
END_TEST

/* ---- allocation ---- */

static void *count_alloc(void *user, size_t bytes)
{
    ++*(int *)user;
    return malloc(bytes);
}

static void count_free(void *user, void *memory)
{
    *(int *)user -= memory != NULL;
    free(memory);
}

static void *no_alloc(void *user, size_t bytes)
{
    (void)user;
    (void)bytes;
    return NULL;
}

START_TEST(allocation_is_hooked_zeroed_and_checked)
{
    int live = 0;
    const clflash_allocator hooks = {count_alloc, count_free, &live};
    const clflash_allocator none = {no_alloc, count_free, &live};
    unsigned char *memory = clfi_alloc(&hooks, 10, 10);
    ck_assert_int_eq(live, 1);
    for (int i = 0; i < 100; i++)
        ck_assert_uint_eq(memory[i], 0);
    clfi_free(&hooks, memory);
    clfi_free(&hooks, NULL);
    ck_assert_int_eq(live, 0);
    ck_assert_ptr_null(clfi_alloc(NULL, SIZE_MAX / 2, 3));
    ck_assert_ptr_null(clfi_alloc(&none, 1, 1));
    ck_assert_ptr_null(clfi_strdup(&none, "text"));
    char *copy = clfi_strdup(NULL, "text");
    ck_assert_str_eq(copy, "text");
    clfi_free(NULL, copy);
}
END_TEST

/* ---- files ---- */

static char folder[256];

static void make_folder(void)
{
    snprintf(folder, sizeof folder, "%s/clflash-base-XXXXXX",
             getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void remove_tree(const char *path)
{
    DIR *dir = opendir(path);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        char child[1024];
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
            continue;
        snprintf(child, sizeof child, "%s/%s", path, e->d_name);
        if (remove(child))
            remove_tree(child);
    }
    if (dir)
        closedir(dir);
    remove(path);
}

static void remove_folder(void) { remove_tree(folder); }

START_TEST(files_are_written_whole_and_private)
{
    char path[400], sub[300], *data;
    size_t bytes;
    struct stat info;
    clfi_err err;
    snprintf(sub, sizeof sub, "%s/a/b", folder);
    ck_assert_int_eq(clfi_fs_make_dir(sub, &err), CLFLASH_OK);
    ck_assert_int_eq(clfi_fs_make_dir(sub, &err), CLFLASH_OK);
    ck_assert(stat(sub, &info) == 0 && (info.st_mode & 0777) == 0700);
    snprintf(path, sizeof path, "%s/file", sub);
    ck_assert_int_eq(clfi_fs_write(path, "one\0two", 7, &err), CLFLASH_OK);
    ck_assert_int_eq(clfi_fs_write(path, "three", 5, &err), CLFLASH_OK);
    ck_assert(stat(path, &info) == 0 && (info.st_mode & 0777) == 0600);
    ck_assert_int_eq(clfi_fs_read(NULL, path, 100, &data, &bytes, &err), CLFLASH_OK);
    ck_assert(bytes == 5 && !strcmp(data, "three"));
    clfi_free(NULL, data);
    ck_assert_int_eq(clfi_fs_read(NULL, path, 4, &data, &bytes, &err), CLFLASH_CORRUPT);
    ck_assert_ptr_null(data);
    ck_assert_int_eq(clfi_fs_read(NULL, sub, 100, &data, &bytes, &err), CLFLASH_IO);
    snprintf(path, sizeof path, "%s/absent", sub);
    ck_assert_int_eq(clfi_fs_read(NULL, path, 100, &data, &bytes, &err), CLFLASH_IO);
    ck_assert_ptr_nonnull(strstr(err.text, "absent"));
    snprintf(path, sizeof path, "%s/file/x", sub);
    ck_assert_int_eq(clfi_fs_make_dir(path, &err), CLFLASH_IO);
    ck_assert_int_eq(clfi_fs_write(path, "x", 1, &err), CLFLASH_IO);
}
END_TEST

START_TEST(the_cache_folder_follows_the_environment)
{
    char path[64];
    setenv("HOME", "/home/x", 1);
    unsetenv("XDG_CACHE_HOME");
    unsetenv("CLFLASH_CACHE_DIR");
    clfi_fs_cache_dir(path, sizeof path);
    ck_assert_str_eq(path, "/home/x/.cache/clflash");
    setenv("XDG_CACHE_HOME", "/xdg", 1);
    clfi_fs_cache_dir(path, sizeof path);
    ck_assert_str_eq(path, "/xdg/clflash");
    setenv("CLFLASH_CACHE_DIR", "/own", 1);
    clfi_fs_cache_dir(path, sizeof path);
    ck_assert_str_eq(path, "/own");
    clfi_fs_cache_dir(path, 3);
    ck_assert_str_eq(path, ""); /* too long is none, never cut */
    unsetenv("XDG_CACHE_HOME");
    unsetenv("CLFLASH_CACHE_DIR");
    unsetenv("HOME");
    clfi_fs_cache_dir(path, sizeof path);
    ck_assert_str_eq(path, "");
}
END_TEST

/* ---- hash and status ---- */

START_TEST(hash_is_fnv1a_128)
{
    /* draft-eastlake-fnv: the empty string is the offset basis; "a" and "foobar". */
    static const struct {
        const char *text, *hex;
    } rows[] = {
        {"",       "6c62272e07bb014262b821756295c58d"},
        {"a",      "d228cb696f1a8caf78912b704e4a8964"},
        {"foobar", "343e1662793c64bf6f0d3597ba446f18"},
    };
    for (int i = 0; i < 3; i++) {
        char hex[33];
        const clfi_hash h = clfi_hash_add(clfi_hash_start(), rows[i].text, strlen(rows[i].text));
        clfi_hash_hex(h, hex);
        ck_assert_str_eq(hex, rows[i].hex);
    }
}
END_TEST

START_TEST(every_status_has_a_text)
{
#define CHECK_STATUS(name, code, text)                                                             \
    ck_assert_str_eq(clflash_status_string(CLFLASH_##name), text);                                 \
    ck_assert(CLFLASH_##name == 0 || (CLFLASH_##name <= -3000 && CLFLASH_##name >= -3099));
    CLFLASH_STATUS_MAP(CHECK_STATUS)
    ck_assert_str_eq(clflash_status_string(-5), "CL_OUT_OF_RESOURCES");
    ck_assert_str_eq(clflash_status_string(-12345), "unknown status");
}
END_TEST

START_TEST(failures_carry_a_bounded_text)
{
    clfi_err err;
    char small[8], huge[4000];
    memset(huge, 'x', sizeof huge - 1);
    huge[sizeof huge - 1] = '\0';
    ck_assert_int_eq(clfi_fail(&err, CLFLASH_IO, "%s", huge), CLFLASH_IO);
    ck_assert_uint_lt(strlen(err.text), sizeof err.text);
    clfi_err_copy(&err, small, sizeof small);
    ck_assert_uint_eq(strlen(small), 7);
    clfi_err_copy(&err, NULL, 0);
    ck_assert_int_eq(clfi_fail(NULL, CLFLASH_IO, "nobody listens"), CLFLASH_IO);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base");
    TCase *all = tcase_create("all"), *files = tcase_create("files");
    tcase_add_test(all, every_half_round_trips);
    tcase_add_test(all, halves_round_to_nearest_even);
    tcase_add_test(all, halves_at_the_ends);
    tcase_add_test(all, strbuf_never_passes_its_end);
    tcase_add_test(all, allocation_is_hooked_zeroed_and_checked);
    tcase_add_test(all, the_cache_folder_follows_the_environment);
    tcase_add_test(all, hash_is_fnv1a_128);
    tcase_add_test(all, every_status_has_a_text);
    tcase_add_test(all, failures_carry_a_bounded_text);
    tcase_add_checked_fixture(files, make_folder, remove_folder);
    tcase_add_test(files, files_are_written_whole_and_private);
    suite_add_tcase(suite, all);
    suite_add_tcase(suite, files);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
