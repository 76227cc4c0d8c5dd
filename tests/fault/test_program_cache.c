/* test_program_cache.c -- program binaries on disk as a second start meets them: found,
 * damaged, foreign, in a folder that others can write. On PoCL, which caches by itself, the
 * only promise is that nothing is written; the rest runs under Oclgrind's driver. */
#define _POSIX_C_SOURCE 200809L
#include "host/kernel.h"
#include "host/memory.h"

#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[512], programs[600];
static char log_text[8192];
static bool caches; /* this driver's binaries are cached */

static void keep_line(void *user, clflash_log_level level, const char *line)
{
    (void)user;
    const size_t used = strlen(log_text);
    if (level <= CLFLASH_LOG_WARNING)
        snprintf(log_text + used, sizeof log_text - used, "%s\n", line);
}

static clflash_context *open_context(void)
{
    clflash_context *ctx;
    const clflash_context_params params = {
        .cache_dir = folder, .log = keep_line, .log_level = CLFLASH_LOG_WARNING};
    log_text[0] = '\0';
    ck_assert_int_eq(clflash_context_create(&ctx, &params), CLFLASH_OK);
    return ctx;
}

/* The first file of the cache; "" = none. */
static void first_file(char path[1200])
{
    path[0] = '\0';
    DIR *dir = opendir(programs);
    for (struct dirent *e; dir && (e = readdir(dir));)
        if (e->d_name[0] != '.')
            snprintf(path, 1200, "%s/%.256s", programs, e->d_name);
    if (dir)
        closedir(dir);
}

static void make_folder(void)
{
    snprintf(folder, sizeof folder, "%s/clflash-programs-XXXXXX",
             getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(programs, sizeof programs, "%s/programs-v1", folder);
    clflash_context *ctx = open_context();
    caches = !clfi_context_profile(ctx)->pocl;
    clflash_context_destroy(&ctx);
}

static void remove_folder(void)
{
    char path[1200];
    for (first_file(path); path[0]; first_file(path))
        ck_assert_int_eq(unlink(path), 0);
    rmdir(programs);
    rmdir(folder);
}

/* As a new process would: a context, one kernel that runs. True when it came from disk. */
static bool start(const char *options)
{
    clflash_context *ctx = open_context();
    clfi_kernel *k = NULL;
    clfi_kernel_facts facts;
    clfi_err err = {0};
    cl_mem mem = NULL;
    const size_t one = 1;
    const cl_command_queue queue = clflash_context_queue(ctx);
    ck_assert_msg(clfi_kernel_get(&k, ctx, "peak.cl", "clf_peak_fma", options, &err) == 0, "%s",
                  err.text);
    clfi_kernel_get_facts(k, &facts);
    ck_assert_int_eq(clfi_mem_create(ctx, 4, &mem, &err), CLFLASH_OK);
    const cl_float x = 1, y = 2;
    const cl_int steps = 3;
    const clfi_arg args[] = {CLFI_ARG_MEM(mem), CLFI_ARG(x), CLFI_ARG(y), CLFI_ARG(steps)};
    ck_assert_int_eq(clfi_kernel_launch(k, queue, args, 4, 1, &one, &one, 0, NULL, NULL, &err),
                     CLFLASH_OK);
    float got = 0;
    ck_assert_int_eq(clfi_mem_read(queue, mem, 0, sizeof got, &got, &err), CLFLASH_OK);
    ck_assert_float_eq(got, 6.0f); /* 0 + 3 * 2 */
    clfi_mem_release(mem);
    clfi_kernel_release(k);
    clflash_context_destroy(&ctx);
    return facts.from_cache;
}

#define OPTIONS "-DP_LANES=1 -DP_CHAINS=1 -DP_WG=1"

START_TEST(a_second_start_builds_nothing)
{
    char path[1200];
    struct stat info;
    ck_assert(!start(OPTIONS));
    ck_assert_str_eq(log_text, "");
    first_file(path);
    ck_assert_msg((path[0] != '\0') == caches, "%s", path);
    if (!caches)
        return;
    ck_assert_int_eq(stat(programs, &info), 0);
    ck_assert_uint_eq(info.st_mode & 0777, 0700);
    ck_assert_int_eq(stat(path, &info), 0);
    ck_assert_uint_eq(info.st_mode & 0777, 0600);
    ck_assert(start(OPTIONS));
    ck_assert(!start(OPTIONS " -DT_OTHER=1"));
    ck_assert(start(OPTIONS));
    ck_assert_str_eq(log_text, "");
}
END_TEST

START_TEST(a_damaged_file_is_logged_and_replaced)
{
    char path[1200];
    if (!caches)
        return;
    start(OPTIONS);
    first_file(path);
    FILE *file = fopen(path, "r+b");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fseek(file, -30, SEEK_END), 0);
    const int byte = fgetc(file);
    ck_assert_int_eq(fseek(file, -30, SEEK_END), 0);
    fputc(byte ^ 1, file);
    fclose(file);
    ck_assert(!start(OPTIONS));
    ck_assert_msg(strstr(log_text, "checksum differs") != NULL, "%s", log_text);
    ck_assert(start(OPTIONS));
    ck_assert_int_eq(truncate(path, 40), 0);
    ck_assert(!start(OPTIONS));
    ck_assert_msg(strstr(log_text, "removed") != NULL, "%s", log_text);
    ck_assert(start(OPTIONS));
}
END_TEST

/* A sound file under another program's name: the key inside tells. */
START_TEST(a_foreign_file_is_not_run)
{
    char first[1200], second[1200];
    if (!caches)
        return;
    start(OPTIONS " -DT_OTHER=1");
    first_file(first);
    char kept[1300];
    snprintf(kept, sizeof kept, "%s/kept", folder);
    ck_assert_int_eq(rename(first, kept), 0);
    start(OPTIONS);
    first_file(second);
    ck_assert_int_eq(rename(kept, second), 0);
    ck_assert(!start(OPTIONS));
    ck_assert_msg(strstr(log_text, "another key") != NULL, "%s", log_text);
}
END_TEST

START_TEST(a_folder_that_others_can_write_is_not_used)
{
    if (!caches)
        return;
    start(OPTIONS);
    ck_assert_int_eq(chmod(programs, 0777), 0);
    ck_assert(!start(OPTIONS));
    ck_assert_msg(strstr(log_text, "only this user can write") != NULL, "%s", log_text);
    ck_assert_int_eq(chmod(programs, 0700), 0);
    ck_assert(start(OPTIONS));
}
END_TEST

START_TEST(an_unwritable_folder_is_no_error)
{
    if (!caches)
        return;
    FILE *file = fopen(programs, "wb"); /* a file where the folder should be */
    ck_assert_ptr_nonnull(file);
    fclose(file);
    ck_assert(!start(OPTIONS));
    ck_assert_msg(strstr(log_text, "not stored") != NULL, "%s", log_text);
    ck_assert_int_eq(unlink(programs), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("program_cache");
    TCase *disk = tcase_create("disk");
    tcase_add_checked_fixture(disk, make_folder, remove_folder);
    tcase_add_test(disk, a_second_start_builds_nothing);
    tcase_add_test(disk, a_damaged_file_is_logged_and_replaced);
    tcase_add_test(disk, a_foreign_file_is_not_run);
    tcase_add_test(disk, a_folder_that_others_can_write_is_not_used);
    tcase_add_test(disk, an_unwritable_folder_is_no_error);
    suite_add_tcase(suite, disk);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
