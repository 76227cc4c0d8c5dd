/* test_tune.c -- the tuner on a real device, with a kernel that is fast and wrong planted
 * under one block size; then plans in the three rigors. No fork: a context does not
 * survive one. */
#define _POSIX_C_SOURCE 200809L
#include "cl_kernels/attn_args.h"

#include <check.h>
#include <clflash/clflash.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROBLEM "fwd f32 hq2 sq70 d16"

static char folder[256], kernels[300], tuning[300], log_text[4096];

static void keep_log(void *user, clflash_log_level level, const char *line)
{
    (void)user;
    (void)level;
    snprintf(log_text, sizeof log_text, "%s", line);
}

static void copy_file(const char *from, const char *to, const char *before, const char *after)
{
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    char buffer[4096];
    ck_assert_msg(in && out, "%s -> %s", from, to);
    fputs(before, out);
    for (size_t n; (n = fread(buffer, 1, sizeof buffer, in)) > 0;)
        ck_assert_uint_eq(fwrite(buffer, 1, n, out), n);
    fputs(after, out);
    fclose(in);
    ck_assert_int_eq(fclose(out), 0);
}

/* The kernels as they are, except that `file` computes nothing where `condition` holds. */
static void plant(const char *file, const char *condition)
{
    char before[1024];
    DIR *dir = opendir(CLFLASH_SOURCE_KERNELS);
    ck_assert_ptr_nonnull(dir);
    snprintf(
        before, sizeof before,
        "#if %s\n"
        "typedef struct planted_args { long x[%d]; } planted_args;\n"
        "__kernel void clf_attn_fwd(__global float *q, __global float *k, __global float *v,\n"
        "                           __global float *o, __global float *lse, planted_args a) {}\n"
        "#else\n",
        condition, (int)(sizeof(clf_attn_args) / 8));
    for (struct dirent *e; (e = readdir(dir));) {
        char from[600], to[600];
        const char *dot = strrchr(e->d_name, '.');
        if (!dot || (strcmp(dot, ".cl") && strcmp(dot, ".clh") && strcmp(dot, ".h")))
            continue;
        const bool target = !strcmp(e->d_name, file);
        snprintf(from, sizeof from, "%s/%s", CLFLASH_SOURCE_KERNELS, e->d_name);
        snprintf(to, sizeof to, "%s/%s", kernels, e->d_name);
        copy_file(from, to, target ? before : "", target ? "\n#endif\n" : "");
    }
    closedir(dir);
}

static void setup(void)
{
    snprintf(folder, sizeof folder, "%s/clflash-tune-XXXXXX",
             getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(kernels, sizeof kernels, "%s/kernels", folder);
    snprintf(tuning, sizeof tuning, "%s/tuning", folder);
    char command[400];
    snprintf(command, sizeof command, "mkdir '%s'", kernels);
    ck_assert_int_eq(system(command), 0);
}

static void teardown(void)
{
    char command[400];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    ck_assert_int_eq(system(command), 0);
    unsetenv("CLFLASH_KERNEL_DIR");
}

static clflash_context *open_context(void)
{
    clflash_context *ctx;
    const clflash_context_params params = {.cache_dir = folder,
                                           .tuning_file = tuning,
                                           .log = keep_log,
                                           .log_level = CLFLASH_LOG_WARNING};
    const clflash_status status = clflash_context_create(&ctx, &params);
    ck_assert_msg(status == CLFLASH_OK, "%s", clflash_status_string(status));
    return ctx;
}

static clflash_attn_desc parse(const char *text)
{
    clflash_attn_desc d;
    ck_assert_int_eq(clflash_attn_desc_parse(&d, text, NULL, 0), CLFLASH_OK);
    return d;
}

/* What serves the problem here. */
static void serving(clflash_context *ctx, clflash_plan_data *info)
{
    clflash_plan *plan;
    const clflash_attn_desc d = parse(PROBLEM);
    ck_assert_int_eq(clflash_attn_fwd_plan(&plan, ctx, &d, NULL), CLFLASH_OK);
    ck_assert_int_eq(clflash_plan_info(plan, NULL, info), CLFLASH_OK);
    clflash_plan_destroy(&plan);
}

typedef struct counter {
    int calls, stop_after, planted;
    char right[64]; /* rows without this word are planted */
} counter;

static int count(void *user, const clflash_tune_progress *p)
{
    counter *c = user;
    c->calls++;
    c->planted += strncmp(p->tunables, c->right, strlen(c->right)) != 0;
    return c->stop_after && c->calls >= c->stop_after;
}

START_TEST(a_planted_row_loses)
{
    clflash_plan_data info;
    char condition[64], file[64], name[32];
    int value;
    counter c = {0};
    clflash_tune_result result;
    clflash_context *ctx = open_context();
    serving(ctx, &info);
    clflash_context_destroy(&ctx);
    if (sscanf(info.tunables, "%31[A-Z_]=%d", name, &value) != 2)
        return; /* an engine without tunables: nothing to plant */
    /* The first tunable, because its other values are tried first. */
    snprintf(c.right, sizeof c.right, "%s=%d ", name, value);
    snprintf(condition, sizeof condition, "%s != %d", name, value);
    snprintf(file, sizeof file, "attn_fwd_%s.cl", info.engine);
    plant(file, condition);
    setenv("CLFLASH_KERNEL_DIR", kernels, 1);
    ctx = open_context();
    const clflash_attn_desc d = parse(PROBLEM);
    const clflash_tune_params params = {.seconds = 20, .progress = count, .user = &c};
    char error[512];
    const clflash_status status = clflash_tune(ctx, &d, &params, &result);
    ck_assert_msg(status == CLFLASH_OK, "%s", clflash_context_last_error(ctx, error, sizeof error));
    ck_assert_int_gt(c.planted, 0);
    ck_assert_int_gt(result.wrong, 0);
    ck_assert_msg(!strncmp(result.tunables, c.right, strlen(c.right)), "the planted row won: %s",
                  result.tunables);
    ck_assert(result.after_ms > 0 && result.after_ms <= result.before_ms);
    serving(ctx, &info); /* and the plan that follows runs the winner */
    ck_assert_str_eq(info.tunables, result.tunables);
    ck_assert_str_eq(info.origin, "tuning file");
    clflash_context_destroy(&ctx);
}
END_TEST

START_TEST(a_stopped_search_keeps_what_it_measured)
{
    counter c = {.stop_after = 2};
    clflash_tune_result result;
    clflash_context *ctx = open_context();
    const clflash_attn_desc d = parse(PROBLEM);
    clflash_tune_params params = {.seconds = 60, .progress = count, .user = &c};
    ck_assert_int_eq(clflash_tune(ctx, &d, &params, &result), CLFLASH_CANCELLED);
    ck_assert_int_eq(c.calls, 2);
    clflash_context_destroy(&ctx);
    ctx = open_context();
    c = (counter){.stop_after = 1};
    ck_assert_int_eq(clflash_tune(ctx, &d, &params, &result), CLFLASH_CANCELLED);
    clflash_context_destroy(&ctx);
    char line[1024];
    int entries = 0;
    FILE *file = fopen(tuning, "r");
    ck_assert_ptr_nonnull(file);
    while (fgets(line, sizeof line, file))
        entries += strstr(line, " | ") != NULL;
    fclose(file);
    ck_assert_int_eq(entries, 3); /* the second search went on with a new row */
}
END_TEST

START_TEST(plans_in_three_rigors)
{
    clflash_plan *plan;
    clflash_plan_data info;
    clflash_context *ctx = open_context();
    const clflash_attn_desc d = parse(PROBLEM);
    const clflash_plan_params cached = {.rigor = CLFLASH_PLAN_CACHED};
    const clflash_plan_params measure = {.rigor = CLFLASH_PLAN_MEASURE, .time_limit_s = 0.01};
    ck_assert_int_eq(clflash_attn_fwd_plan(&plan, ctx, &d, &cached), CLFLASH_NOT_CACHED);
    ck_assert_ptr_null(plan);
    ck_assert_int_eq(clflash_attn_fwd_plan(&plan, ctx, &d, &measure), CLFLASH_OK);
    clflash_plan_destroy(&plan);
    ck_assert_int_eq(clflash_attn_fwd_plan(&plan, ctx, &d, &cached), CLFLASH_OK);
    ck_assert_int_eq(clflash_plan_info(plan, NULL, &info), CLFLASH_OK);
    ck_assert_str_eq(info.origin, "tuning file");
    clflash_plan_destroy(&plan);
    clflash_context_destroy(&ctx);
}
END_TEST

START_TEST(wrong_use_is_refused)
{
    clflash_tune_result result;
    clflash_context *ctx = open_context();
    clflash_attn_desc d = parse("fwd f32 hq2 sq0 d16");
    ck_assert_int_eq(clflash_tune(ctx, &d, NULL, &result), CLFLASH_UNSUPPORTED);
    d = parse("decode f32 hq2 sq8 d16");
    ck_assert_int_eq(clflash_tune(ctx, &d, NULL, &result), CLFLASH_UNSUPPORTED);
    d.q_heads = 0;
    ck_assert_int_eq(clflash_tune(ctx, &d, NULL, &result), CLFLASH_INVALID_SIZE);
    ck_assert_int_eq(clflash_tune(ctx, NULL, NULL, &result), CLFLASH_INVALID_ARGUMENT);
    ck_assert_int_eq(clflash_tune(NULL, &d, NULL, &result), CLFLASH_INVALID_ARGUMENT);
    clflash_context_destroy(&ctx);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tune");
    TCase *all = tcase_create("all");
    tcase_add_checked_fixture(all, setup, teardown);
    tcase_set_timeout(all, 600);
    tcase_add_test(all, a_planted_row_loses);
    tcase_add_test(all, a_stopped_search_keeps_what_it_measured);
    tcase_add_test(all, plans_in_three_rigors);
    tcase_add_test(all, wrong_use_is_refused);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
