/* report.c -- the table. (bench) */
#include "bench/common/report.h"

#include <math.h>
#include <string.h>

const char *report_rate(double gflops, char text[24])
{
    if (gflops >= 1000)
        snprintf(text, 24, "%.*f TFLOP/s", gflops < 1e4 ? 2 : gflops < 1e5 ? 1 : 0, gflops * 1e-3);
    else
        snprintf(text, 24, "%.*f GFLOP/s", gflops < 10 ? 2 : gflops < 100 ? 1 : 0, gflops);
    return text;
}

static const char *bandwidth(double gbs, char text[24])
{
    if (gbs >= 1000)
        snprintf(text, 24, "%.2f TB/s", gbs * 1e-3);
    else
        snprintf(text, 24, "%.*f GB/s", gbs < 100 ? 1 : 0, gbs);
    return text;
}

const char *report_blocks(const clflash_plan_data *info, char text[32])
{
    text[0] = '\0';
    if (info->block_q > 0)
        snprintf(text, 32, "%dx%d", info->block_q, info->block_kv);
    return text;
}

/* Four figures, no exponent. */
static const char *milliseconds(double ms, char text[24])
{
    const int digits = ms >= 1000 ? 0 : ms >= 100 ? 1 : ms >= 10 ? 2 : ms >= 1 ? 3 : 4;
    snprintf(text, 24, "%.*f", digits, ms);
    return text;
}

static const char *bold(void) { return app_stdout_colour() ? "\033[1m" : ""; }
static const char *red(void) { return app_stdout_colour() ? "\033[31m" : ""; }
static const char *green(void) { return app_stdout_colour() ? "\033[32m" : ""; }
static const char *plain(void) { return app_stdout_colour() ? "\033[0m" : ""; }

void report_header(const report *r)
{
    char rate[24], copy[24];
    printf("%s %s (%s)\n", r->app->name, clflash_version(), report_commit());
    printf("device %d: %s%s%s\n", r->info->index, bold(), r->info->name, plain());
    printf("driver: %s, %s\n", r->info->platform, r->info->driver);
    printf(
        "measured peak: %s f32 multiply-add, copy %s, one launch %.1f us (%.1f us in a stream)\n",
        report_rate(r->peak.fma_gflops, rate), bandwidth(r->peak.copy_gbs, copy), r->peak.launch_us,
        r->peak.enqueue_us);
    printf("\n%s  %-21s %9s %9s %7s %9s  %-14s %6s %9s  %9s %9s%s\n", bold(), "engine and blocks",
           "median ms", "min ms", "spread", "wall ms", "rate", "peak", "memory", "max error",
           "tolerance", plain());
}

static void print_side(const measure_side *side)
{
    char name[64], blocks[32], a[24], b[24], c[24], rate[24], bytes[16], jitter[16], peak[16];
    const bool flash = strcmp(side->info.engine, "standard") != 0;
    snprintf(name, sizeof name, "%s %s", side->info.engine,
             flash ? report_blocks(&side->info, blocks) : "");
    snprintf(jitter, sizeof jitter, "%.1f %%", 100 * side->ms.spread);
    snprintf(peak, sizeof peak, "%.*f %%", side->peak_share < 0.0995 ? 1 : 0,
             100 * side->peak_share);
    printf("  %-21s %9s %9s %7s %9s  %-14s %6s %9s", name, milliseconds(side->ms.median, a),
           milliseconds(side->ms.min, b), jitter, milliseconds(side->ms.wall, c),
           side->memory_rules ? bandwidth(side->gbs, rate) : report_rate(side->gflops, rate), peak,
           app_bytes((double)side->bytes, bytes));
    if (side->checked)
        printf("  %9.2e %9.2e %s%s%s", side->check.max_error, side->check.tolerance,
               side->check.ok ? green() : red(), side->check.ok ? "ok" : "FAIL", plain());
    putchar('\n');
}

static void print_blocks(const measure_result *r)
{
    const clflash_plan_data *info = &r->flash.info;
    if (info->blocks_total == 0 ||
        (info->blocks_visited == info->blocks_total && !r->has_block_mask))
        return;
    printf("  %lld of %lld blocks visited (%.1f %%), %lld of them with element masks",
           (long long)info->blocks_visited, (long long)info->blocks_total,
           100.0 * (double)info->blocks_visited / (double)info->blocks_total,
           (long long)info->blocks_masked);
    if (r->has_block_mask)
        printf("; block mask made once: %.3f ms", r->block_mask_ms);
    putchar('\n');
}

static void print_ratio(const measure_result *r)
{
    const double time = r->standard.ms.median / r->flash.ms.median;
    const double memory = (double)r->standard.bytes / (double)r->flash.bytes;
    printf("  %s%.*fx%s the speed of standard attention, %s%.*f %%%s of its memory\n", bold(),
           time < 10 ? 2 : 1, time, plain(), bold(), memory > 10 ? 1 : 0, 100 / memory, plain());
}

void report_row(const measure_result *r)
{
    printf("%s%s%s\n", bold(), r->problem, plain());
    const bool wrong = r->flash.checked && !r->flash.check.ok;
    if (wrong)
        printf("  %sFAIL%s %s: %s\n", red(), plain(), r->flash.info.engine, r->flash.check.why);
    else if (!r->flash.ran)
        printf("  %sFAIL%s %s\n", red(), plain(), r->flash.note);
    else
        print_side(&r->flash);
    if (r->flash.ran && r->wants_standard) {
        if (r->standard.ran)
            print_side(&r->standard);
        else
            printf("  %-21s %s\n", "standard", r->standard.note);
    }
    if (!wrong && r->flash.ran)
        print_blocks(r);
    if (r->standard.checked && !r->standard.check.ok)
        printf("  %sFAIL%s standard: %s\n", red(), plain(), r->standard.check.why);
    else if (r->flash.ran && r->standard.ran)
        print_ratio(r);
    fflush(stdout);
}
