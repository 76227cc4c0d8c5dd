/* report_csv.c -- results as comma-separated values, one line a problem. (bench) */
#include "bench/common/report.h"

/* A field in quotes: problem strings hold no quotes, device names might. */
static void text_field(FILE *file, const char *text)
{
    fputc('"', file);
    for (; *text; text++) {
        if (*text == '"')
            fputc('"', file);
        fputc(*text, file);
    }
    fputs("\",", file);
}

static void number_field(FILE *file, bool known, double value, char end)
{
    if (known)
        fprintf(file, "%.9g", value);
    fputc(end, file);
}

static void line(const report *r, const measure_result *m, FILE *file)
{
    const measure_side *f = &m->flash, *s = &m->standard;
    text_field(file, r->info->name);
    text_field(file, r->info->driver);
    text_field(file, m->problem);
    text_field(file, f->info.engine);
    text_field(file, f->info.tunables);
    const double values[] = {f->ms.median, f->ms.min, f->ms.max,    f->ms.wall,
                             f->gflops,    f->gbs,    f->peak_share};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        number_field(file, f->ran, values[i], ',');
    number_field(file, f->ran, (double)f->bytes, ',');
    number_field(file, f->checked, f->check.max_error, ',');
    number_field(file, f->checked, f->check.tolerance, ',');
    fprintf(file, "%s,", f->ran && (!f->checked || f->check.ok) ? "yes" : "no");
    number_field(file, s->ran, s->ms.median, ',');
    number_field(file, s->ran, s->gflops, ',');
    number_field(file, s->ran, (double)s->bytes, ',');
    number_field(file, s->checked, s->check.max_error, ',');
    fprintf(file, "%lld,%lld,%lld\n", (long long)f->info.blocks_total,
            (long long)f->info.blocks_visited, (long long)f->info.blocks_masked);
}

bool report_csv(const report *r, FILE *file)
{
    fputs("device,driver,problem,engine,tunables,median_ms,min_ms,max_ms,wall_ms,gflops,gbs,"
          "peak_share,bytes,max_error,tolerance,ok,standard_ms,standard_gflops,standard_bytes,"
          "standard_max_error,blocks_total,blocks_visited,blocks_masked\n",
          file);
    for (int i = 0; i < r->n; i++)
        line(r, &r->results[i], file);
    return !ferror(file);
}
