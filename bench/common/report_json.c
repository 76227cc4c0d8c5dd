/* report_json.c -- results as JSON: docs/benchmarking.md has the schema. (bench) */
#include "bench/common/report.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* JSON has no infinity: null. */
static json_t *number(double x) { return isfinite(x) ? json_real(x) : json_null(); }

/* "T_BQ=96 T_BKV=128" as an object. */
static json_t *tunables(const char *text)
{
    json_t *object = json_object();
    char copy[256];
    snprintf(copy, sizeof copy, "%s", text);
    for (char *next, *word = copy; *word; word = next) {
        word += strspn(word, " ");
        next = word + strcspn(word, " ");
        if (*next)
            *next++ = '\0';
        char *equals = strchr(word, '=');
        if (!equals)
            continue;
        *equals = '\0';
        json_object_set_new(object, word, json_integer(strtol(equals + 1, NULL, 10)));
    }
    return object;
}

static json_t *checked(const measure_side *side, double value)
{
    return side->checked ? number(value) : json_null();
}

static json_t *standard(const measure_side *side)
{
    if (!side->ran)
        return json_null();
    return json_pack("{s:o, s:o, s:I, s:o}", "device_ms", number(side->ms.median), "gflops",
                     number(side->gflops), "bytes", (json_int_t)side->bytes, "max_error",
                     checked(side, side->check.max_error));
}

static json_t *result(const measure_result *r)
{
    const measure_side *f = &r->flash;
    const bool ok = f->ran && (!f->checked || f->check.ok);
    return json_pack(
        "{s:s, s:s, s:o, s:{s:o, s:o, s:o}, s:o, s:o, s:o, s:o, s:I, s:o, s:o, s:b, s:o, "
        "s:{s:I, s:I, s:I}}",
        "problem", r->problem, "engine", f->info.engine, "tunables", tunables(f->info.tunables),
        "device_ms", "median", number(f->ms.median), "min", number(f->ms.min), "max",
        number(f->ms.max), "wall_ms", number(f->ms.wall), "gflops", number(f->gflops), "gbs",
        number(f->gbs), "peak_share", number(f->peak_share), "bytes", (json_int_t)f->bytes,
        "max_error", checked(f, f->check.max_error), "tolerance", checked(f, f->check.tolerance),
        "ok", ok, "standard", standard(&r->standard), "blocks", "total",
        (json_int_t)f->info.blocks_total, "visited", (json_int_t)f->info.blocks_visited, "masked",
        (json_int_t)f->info.blocks_masked);
}

bool report_json(const report *r, FILE *file)
{
    json_t *results = json_array();
    for (int i = 0; i < r->n; i++)
        json_array_append_new(results, result(&r->results[i]));
    json_t *root =
        json_pack("{s:{s:s, s:s, s:s, s:s, s:o, s:o}, s:s, s:o}", "device", "name", r->info->name,
                  "driver", r->info->driver, "platform", r->info->platform, "type", r->info->kind,
                  "peak_gflops", number(r->peak.fma_gflops), "peak_gbs", number(r->peak.copy_gbs),
                  "commit", report_commit(), "results", results);
    const bool ok = root && json_dumpf(root, file, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) == 0 &&
                    fputc('\n', file) != EOF;
    json_decref(root);
    return ok;
}
