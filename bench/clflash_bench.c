/* clflash_bench.c -- verify, time, compare: docs/benchmarking.md. (bench) */
#include "bench/common/progress.h"
#include "bench/common/report.h"
#include "bench/common/sweep.h"

#include <stdlib.h>
#include <string.h>

typedef struct arguments {
    const char *suite, *baseline, *json, *csv, *svg;
    bool list_suites, no_check;
    double seconds;
} arguments;

static bool write_file(const report *r, const char *path, bool (*write)(const report *, FILE *))
{
    if (!path)
        return true;
    FILE *file = app_create(r->app, path);
    if (!file)
        return false;
    const bool ok = write(r, file);
    return app_close(r->app, file, path) && ok;
}

/* Rows, each printed as soon as it is measured. Returns the exit status. */
static int run(report *r, measurer *m, const problems *list, const measure_options *options,
               bool sweep)
{
    measure_result *results = calloc((size_t)list->n, sizeof *results);
    int exit_code = results ? APP_OK : APP_FAILED;
    sweep_budget budget = sweep_start(list->n);
    r->results = results;
    for (int i = 0; results && i < list->n && !app_interrupted(); i++) {
        measure_options now = *options;
        char text[CLFLASH_PROBLEM_BYTES];
        if (sweep && !sweep_next(&budget, &list->desc[i], i, &now)) {
            progress_clear();
            fprintf(r->table,
                    "The sweep ends here: longer sequences would not fit into %d seconds.\n",
                    SWEEP_SECONDS);
            break;
        }
        clflash_attn_desc_print(&list->desc[i], text, sizeof text);
        progress_show(i, list->n, text);
        const bool ok = measure_problem(m, &list->desc[i], &now, &results[i]);
        progress_clear();
        report_row(r, &results[i]);
        sweep_note(&budget, &results[i]);
        r->n = i + 1;
        if (!ok)
            exit_code = APP_FAILED;
    }
    if (app_interrupted()) {
        app_message(r->app, "stopped; the rows so far are reported");
        exit_code = APP_FAILED;
    }
    return exit_code;
}

/* Results on standard output ("--json -") must not be mixed with the table. */
static FILE *table_stream(const arguments *args)
{
    const char *const paths[] = {args->json, args->csv, args->svg};
    for (int i = 0; i < 3; i++)
        if (paths[i] && strcmp(paths[i], "-") == 0)
            return stderr;
    return stdout;
}

static int bench(app *a, const arguments *args, const problems *asked)
{
    device dev;
    int exit_code;
    if (!device_open(&dev, a, NULL, &exit_code))
        return exit_code;
    const bool sweep = asked->n == 0;
    problems list = *asked;
    if (sweep)
        sweep_problems(&list, a, &dev.info);
    measurer m = {.app = a, .dev = &dev};
    progress_show(0, 0, "measuring the device's peak");
    const clflash_status status = clflash_peak_measure(dev.ctx, 0, &m.peak);
    progress_clear();
    if (status != CLFLASH_OK)
        app_status(a, dev.ctx, status, "the peak could not be measured");
    const measure_options options = {
        .seconds = args->seconds,
        .standard_limit_s = 10,
        .check = !args->no_check,
        .standard = !args->baseline || strcmp(args->baseline, "standard") == 0,
        .seed = 1,
    };
    report r = {.app = a, .info = &dev.info, .peak = m.peak, .table = table_stream(args)};
    report_header(&r);
    app_catch_interrupt();
    exit_code = run(&r, &m, &list, &options, sweep);
    if (!write_file(&r, args->json, report_json) || !write_file(&r, args->csv, report_csv) ||
        !write_file(&r, args->svg, report_svg))
        exit_code = APP_FAILED;
    free((void *)(uintptr_t)r.results);
    device_close(&dev);
    return exit_code;
}

int main(int argc, char **argv)
{
    arguments args = {.seconds = 1};
    const app_option options[] = {
        {"suite",       "NAME",          "run a named list of problems",                     APP_TEXT,   &args.suite      },
        {"list-suites", NULL,            "print the lists and leave",                        APP_FLAG,   &args.list_suites},
        {"baseline",    "standard|none", "what to measure beside it (default: standard)",    APP_TEXT,
         &args.baseline                                                                                                   },
        {"seconds",     "T",             "timing per problem and method (default: 1)",       APP_NUMBER, &args.seconds    },
        {"json",        "F",             "write the results as JSON (-: standard output)",   APP_TEXT,   &args.json       },
        {"csv",         "F",             "write the results as CSV",                         APP_TEXT,   &args.csv        },
        {"svg",         "F",             "draw time and memory against the sequence length", APP_TEXT,   &args.svg        },
        {"no-check",    NULL,            "do not verify the results first",                  APP_FLAG,   &args.no_check   },
    };
    static problems list;
    app a = {
        .name = "clflash_bench",
        .synopsis = "[OPTION...] [PROBLEM...]",
        .purpose =
            "Verifies each problem against a reference, then times it, beside standard attention.\n"
            "A problem is a string such as \"fwd f32 b1 hq8 sq1024 d64 causal\" "
            "(docs/problem.md).\n"
            "Without any: a sweep over sequence lengths that ends within two minutes.",
        .options = options,
        .n_options = sizeof options / sizeof options[0],
    };
    int first, exit_code;
    if (!app_parse(&a, argc, argv, &first, &exit_code))
        return exit_code;
    if (args.list_suites) {
        problems_list_suites();
        return APP_OK;
    }
    if (args.baseline && strcmp(args.baseline, "standard") && strcmp(args.baseline, "none")) {
        app_message(&a, "--baseline: '%s' is neither standard nor none", args.baseline);
        return APP_USAGE;
    }
    if (!problems_from_args(&list, &a, argv + first, argc - first) ||
        (args.suite && !problems_from_suite(&list, &a, args.suite)) ||
        !problems_have_op(&list, &a, CLFLASH_OP_BWD))
        return APP_USAGE;
    return bench(&a, &args, &list);
}
