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
    memset(f->o, 0xff, (size_t)f->dev.o_bytes); /* a NaN in every dtype */
    memset(f->lse, 0xff, (size_t)f->dev.lse_bytes);
    ck_assert_int_eq(clfi_mem_write(queue, f->dev.mem[CLFI_MEM_O], 0, f->dev.o_bytes, f->o, &err),
                     CLFLASH_OK);
    ck_assert_int_eq(
        clfi_mem_write(queue, f->dev.mem[CLFI_MEM_LSE], 0, f->dev.lse_bytes, f->lse, &err),
        CLFLASH_OK);
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
    const size_t n_o = (size_t)clfi_case_o_elements(&p), n_lse = (size_t)clfi_case_lse_elements(&p);
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
    ck_assert_int_eq(clfi_mem_read(queue, f->dev.mem[CLFI_MEM_O], 0, f->dev.o_bytes, f->o, &err),
                     CLFLASH_OK);
    ck_assert_int_eq(
        clfi_mem_read(queue, f->dev.mem[CLFI_MEM_LSE], 0, f->dev.lse_bytes, f->lse, &err),
        CLFLASH_OK);
}

/* Equal NaN and equal infinities count as equal: the reference says where they belong. */
static double largest(const clfi_attn *p, const void *got, clflash_dtype dtype, const double *want,
                      int64_t n, bool bhsd)
{
    double most = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t at = i; /* want is [B, Sq, Hq, Dv] */
        if (bhsd) {
            const int64_t c = i % p->dv, s = i / p->dv % p->sq, h = i / p->dv / p->sq % p->hq,
                          b = i / p->dv / p->sq / p->hq;
            at = ((b * p->sq + s) * p->hq + h) * p->dv + c;
        }
        const double g = clfi_load(got, dtype, i), w = want[at];
        if ((isnan(g) && isnan(w)) || g == w)
            continue;
        const double difference = fabs(g - w);
        most = isnan(difference) ? INFINITY : difference > most ? difference : most;
    }
    return most;
}

void ops_check(ops_fixture *f, const char *what)
{
    const clfi_attn *p = &f->host.p;
    char problem[CLFLASH_PROBLEM_BYTES];
    clflash_attn_desc_print(&p->desc, problem, sizeof problem);
    read_outputs(f);
    const double o = largest(p, f->o, p->dtype, f->want_o, clfi_case_o_elements(p),
                             p->layout == CLFLASH_LAYOUT_BHSD);
    const double lse =
        largest(p, f->lse, CLFLASH_F32, f->want_lse, clfi_case_lse_elements(p), false);
    const double tolerance = clfi_verify_tolerance(p);
    ck_assert_msg(o <= tolerance, "%s [%s]: o differs by %.3g > %.3g", what, problem, o, tolerance);
    ck_assert_msg(lse <= 2e-4, "%s [%s]: lse differs by %.3g", what, problem, lse);
}

bool ops_untouched(ops_fixture *f)
{
    read_outputs(f);
    const unsigned char *o = f->o, *lse = (const unsigned char *)f->lse;
    bool same = true;
    for (int64_t i = 0; i < f->dev.o_bytes; i++)
        same &= o[i] == 0xff;
    for (int64_t i = 0; i < f->dev.lse_bytes; i++)
        same &= lse[i] == 0xff;
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
