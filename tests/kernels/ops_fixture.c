/* ops_fixture.c -- a problem with data on a device, for tests of the operations. */
#include "ops_fixture.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void keep_line(void *user, clflash_log_level level, const char *line)
{
    ops_log *log = user;
    (void)level;
    const size_t used = strlen(log->text);
    snprintf(log->text + used, sizeof log->text - used, "%s\n", line);
}

clflash_context *ops_open(ops_log *log)
{
    clflash_context *ctx = NULL;
    if (log)
        log->text[0] = '\0';
    const clflash_context_params params = {.log = log ? keep_line : NULL,
                                           .log_user = log,
                                           .log_level = CLFLASH_LOG_WARNING,
                                           .cache_dir = ""};
    ck_assert_int_eq(clflash_context_create(&ctx, &params), CLFLASH_OK);
    return ctx;
}

static const char *last_error(const clflash_context *ctx)
{
    static char text[2048];
    return clflash_context_last_error(ctx, text, sizeof text);
}

void ops_poison(ops_fixture *f)
{
    clfi_err err = {0};
    const cl_command_queue queue = clflash_context_queue(f->ctx);
    ck_assert_int_eq(clfi_device_case_poison(&f->dev, queue, NULL, &err), CLFLASH_OK);
}

static void make_reference(ops_fixture *f)
{
    const clfi_attn *p = &f->host.p;
    ck_assert_int_eq(clflash_ref_attn_fwd_f64(&p->desc, &f->host.args, f->want_o, f->want_lse),
                     CLFLASH_OK);
}

void ops_refresh(ops_fixture *f)
{
    clfi_err err = {0};
    clfi_device_case_free(&f->dev);
    ck_assert_msg(clfi_device_case_make(&f->dev, f->ctx, clflash_context_queue(f->ctx), &f->host,
                                        &err) == CLFLASH_OK,
                  "%s", err.text);
    make_reference(f);
    ops_poison(f);
}

void ops_start(ops_fixture *f, clflash_context *ctx, const char *problem, uint32_t seed)
{
    clfi_err err = {0};
    clflash_attn_desc d;
    clfi_attn p;
    char reason[256];
    *f = (ops_fixture){.ctx = ctx};
    ck_assert_msg(clflash_attn_desc_parse(&d, problem, reason, sizeof reason) == CLFLASH_OK,
                  "%s: %s", problem, reason);
    ck_assert_int_eq(clfi_attn_resolve(&p, &d, &err), CLFLASH_OK);
    ck_assert_msg(clflash_attn_fwd_plan(&f->plan, ctx, &d, NULL) == CLFLASH_OK, "%s",
                  last_error(ctx));
    ck_assert_int_eq(clfi_case_make(&f->host, &p, NULL, seed, &err), CLFLASH_OK);
    clfi_output out[CLFI_MAX_OUTPUTS];
    clfi_outputs(&p, out);
    const size_t n_o = (size_t)clfi_output_elements(&p, &out[0]);
    const size_t n_lse = (size_t)clfi_output_elements(&p, &out[1]);
    f->o = malloc(n_o * clflash_dtype_bytes(p.dtype) + 1);
    f->lse = malloc(n_lse * sizeof *f->lse + 1);
    f->want_o = malloc(n_o * sizeof *f->want_o + 1);
    f->want_lse = malloc(n_lse * sizeof *f->want_lse + 1);
    ops_refresh(f);
}

static void read_outputs(ops_fixture *f)
{
    clfi_err err = {0};
    const cl_command_queue queue = clflash_context_queue(f->ctx);
    ck_assert_int_eq(clfi_device_case_read(&f->dev, queue, 0, f->o, &err), CLFLASH_OK);
    ck_assert_int_eq(clfi_device_case_read(&f->dev, queue, 1, f->lse, &err), CLFLASH_OK);
}

void ops_compare(const ops_fixture *f, const void *o, const float *lse, const char *what)
{
    const clfi_attn *p = &f->host.p;
    const void *const got[] = {o, lse};
    const double *const want[] = {f->want_o, f->want_lse};
    char problem[CLFLASH_PROBLEM_BYTES];
    clflash_attn_desc_print(&p->desc, problem, sizeof problem);
    for (int i = 0; i < 2; i++) {
        const clfi_output *out = &f->dev.output[i];
        if (!got[i])
            continue;
        const double error = clfi_output_error(p, out, got[i], want[i]);
        const double tolerance = clfi_output_tolerance(p, out, 1);
        ck_assert_msg(error <= tolerance, "%s [%s]: %s differs by %.3g > %.3g", what, problem,
                      out->name, error, tolerance);
    }
}

void ops_check(ops_fixture *f, const char *what)
{
    read_outputs(f);
    ops_compare(f, f->o, f->lse, what);
}

bool ops_untouched(ops_fixture *f)
{
    read_outputs(f);
    const unsigned char *const got[] = {f->o, (const unsigned char *)f->lse};
    bool same = true;
    for (int i = 0; i < 2; i++)
        for (int64_t at = 0; at < f->dev.output_bytes[i]; at++)
            same &= got[i][at] == 0xff;
    return same;
}

void ops_end(ops_fixture *f)
{
    clflash_plan_destroy(&f->plan);
    clfi_device_case_free(&f->dev);
    clfi_case_free(&f->host);
    free(f->o);
    free(f->lse);
    free(f->want_o);
    free(f->want_lse);
}
