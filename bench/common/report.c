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

/* Escape sequences of a terminal, or nothing. */
static const char *paint(const report *r, const char *sequence)
{
    return r->table == stdout && app_stdout_colour() ? sequence : "";
}

static const char *bold(const report *r) { return paint(r, "\033[1m"); }
static const char *red(const report *r) { return paint(r, "\033[31m"); }
static const char *green(const report *r) { return paint(r, "\033[32m"); }
static const char *plain(const report *r) { return paint(r, "\033[0m"); }

void report_header(const report *r)
{
    char rate[24], copy[24];
    fprintf(r->table, "%s %s (%s)\n", r->app->name, clflash_version(), report_commit());
    fprintf(r->table, "device %d: %s%s%s\n", r->info->index, bold(r), r->info->name, plain(r));
    fprintf(r->table, "driver: %s, %s\n", r->info->platform, r->info->driver);
    fprintf(
        r->table,
        "measured peak: %s f32 multiply-add, copy %s, one launch %.1f us (%.1f us in a stream)\n",
        report_rate(r->peak.fma_gflops, rate), bandwidth(r->peak.copy_gbs, copy), r->peak.launch_us,
        r->peak.enqueue_us);
    fprintf(r->table, "\n%s  %-21s %9s %9s %7s %9s  %-14s %6s %9s  %9s %9s%s\n", bold(r),
            "engine and blocks", "median ms", "min ms", "spread", "wall ms", "rate", "peak",
            "memory", "max error", "tolerance", plain(r));
}

static void print_side(const report *r, const measure_side *side)
{
    char name[64], blocks[32], a[24], b[24], c[24], rate[24], bytes[16], jitter[16], peak[16];
    const bool flash = strcmp(side->info.engine, "standard") != 0;
    snprintf(name, sizeof name, "%s %s", side->info.engine,
             flash ? report_blocks(&side->info, blocks) : "");
    snprintf(jitter, sizeof jitter, "%.1f %%", 100 * side->ms.spread);
    snprintf(peak, sizeof peak, "%.*f %%", side->peak_share < 0.0995 ? 1 : 0,
             100 * side->peak_share);
    fprintf(r->table, "  %-21s %9s %9s %7s %9s  %-14s %6s %9s", name,
            milliseconds(side->ms.median, a), milliseconds(side->ms.min, b), jitter,
            milliseconds(side->ms.wall, c),
            side->memory_rules ? bandwidth(side->gbs, rate) : report_rate(side->gflops, rate), peak,
            app_bytes((double)side->bytes, bytes));
    if (side->checked)
        fprintf(r->table, "  %9.2e %9.2e %s%s%s", side->check.max_error, side->check.tolerance,
                side->check.ok ? green(r) : red(r), side->check.ok ? "ok" : "FAIL", plain(r));
    fputc('\n', r->table);
}

static void print_blocks(const report *r, const measure_result *m)
{
    const clflash_plan_data *info = &m->flash.info;
    if (info->blocks_total == 0 ||
        (info->blocks_visited == info->blocks_total && !m->has_block_mask))
        return;
    fprintf(r->table, "  %lld of %lld blocks visited (%.1f %%), %lld of them with element masks",
            (long long)info->blocks_visited, (long long)info->blocks_total,
            100.0 * (double)info->blocks_visited / (double)info->blocks_total,
            (long long)info->blocks_masked);
    if (m->has_block_mask)
        fprintf(r->table, "; block mask made once: %.3f ms", m->block_mask_ms);
    fputc('\n', r->table);
}

static void print_ratio(const report *r, const measure_result *m)
{
    const double time = m->standard.ms.median / m->flash.ms.median;
    const double memory = (double)m->standard.bytes / (double)m->flash.bytes;
    fprintf(r->table, "  %s%.*fx%s the speed of standard attention, %s%.*f %%%s of its memory\n",
            bold(r), time < 10 ? 2 : 1, time, plain(r), bold(r), memory > 10 ? 1 : 0, 100 / memory,
            plain(r));
}

void report_row(const report *r, const measure_result *m)
{
    fprintf(r->table, "%s%s%s\n", bold(r), m->problem, plain(r));
    const bool wrong = m->flash.checked && !m->flash.check.ok;
    if (wrong)
        fprintf(r->table, "  %sFAIL%s %s: %s\n", red(r), plain(r), m->flash.info.engine,
                m->flash.check.why);
    else if (!m->flash.ran)
        fprintf(r->table, "  %sFAIL%s %s\n", red(r), plain(r), m->flash.note);
    else
        print_side(r, &m->flash);
    if (m->flash.ran && m->wants_standard) {
        if (m->standard.ran)
            print_side(r, &m->standard);
        else
            fprintf(r->table, "  %-21s %s\n", "standard", m->standard.note);
    }
    if (!wrong && m->flash.ran)
        print_blocks(r, m);
    if (m->standard.checked && !m->standard.check.ok)
        fprintf(r->table, "  %sFAIL%s standard: %s\n", red(r), plain(r), m->standard.check.why);
    else if (m->flash.ran && m->standard.ran)
        print_ratio(r, m);
    fflush(r->table);
}
