/* clflash_tune.c -- measuring block sizes and engines, kept in the tuning file. (bench) */
#include "bench/common/device.h"
#include "bench/common/progress.h"

#include <stdio.h>
#include <string.h>

typedef struct arguments {
    const char *suite, *file;
    bool list_suites, all_engines;
    double seconds;
} arguments;

/* Where the search of all problems stands. */
typedef struct tuning {
    const app *app;
    int problem, n; /* the one that runs, of how many */
    double seconds; /* limit of each */
} tuning;

static int on_progress(void *user, const clflash_tune_progress *p)
{
    const tuning *t = user;
    const double limit = p->limit_s > 0 ? p->limit_s : t->seconds;
    /* By time or by candidates, whichever ends first. */
    const double by_time = p->elapsed_s / limit;
    const double by_count = p->total > 0 ? (double)p->done / p->total : 0;
    const double share = by_time > by_count ? by_time : by_count;
    double left = share > 0 ? p->elapsed_s / share - p->elapsed_s : limit;
    if (left > limit - p->elapsed_s)
        left = limit - p->elapsed_s;
    left += (t->n - t->problem - 1) * t->seconds;
    char text[256];
    snprintf(text, sizeof text, "%d/%d  %d of %d  best %.4g ms  at most %.0f s left  %s %s",
             t->problem + 1, t->n, p->done, p->total, p->best_ms, left > 0 ? left : 0, p->engine,
             p->tunables);
    progress_show(t->problem + (share < 1 ? share : 1), t->n, text);
    return app_interrupted();
}

static void print_header(void)
{
    printf("%11s %10s %7s %9s %10s %6s  %s\n", "before ms", "after ms", "gain", "measured",
           "ruled out", "wrong", "fastest right row");
}

static void print_row(const char *problem, const clflash_tune_result *r)
{
    const double gain = r->after_ms > 0 ? r->before_ms / r->after_ms : 0;
    printf("%s\n%11.4g %10.4g %6.2fx %9d %10d %6d  %s %s\n", problem, r->before_ms, r->after_ms,
           gain, r->measured, r->pruned, r->wrong, r->engine, r->tunables);
    fflush(stdout);
}

/* Returns the exit status. */
static int tune_all(const app *a, const device *dev, const problems *list, const arguments *args,
                    const char *file)
{
    tuning t = {.app = a, .n = list->n, .seconds = args->seconds};
    int exit_code = APP_OK;
    print_header();
    for (int i = 0; i < list->n; i++) {
        char problem[CLFLASH_PROBLEM_BYTES];
        clflash_tune_result result = {0};
        t.problem = i;
        clflash_attn_desc_print(&list->desc[i], problem, sizeof problem);
        progress_show(i, list->n, problem);
        const clflash_tune_params params = {.seconds = args->seconds,
                                            .all_engines = args->all_engines,
                                            .progress = on_progress,
                                            .user = &t};
        const clflash_status status =
            app_interrupted() ? CLFLASH_CANCELLED
                              : clflash_tune(dev->ctx, &list->desc[i], &params, &result);
        progress_clear();
        if (status == CLFLASH_CANCELLED) {
            app_message(a,
                        "stopped; what was measured is kept in %s: the same command goes on "
                        "from there",
                        file[0] ? file : "memory only");
            return APP_FAILED;
        }
        if (status == CLFLASH_OK) {
            print_row(problem, &result);
        } else {
            app_status(a, dev->ctx, status, problem);
            exit_code = APP_FAILED;
        }
    }
    return exit_code;
}

/* Without a problem: the suite of the device's kind. */
static bool choose_default(problems *list, const app *a, const device *dev)
{
    return list->n > 0 ||
           problems_from_suite(list, a, strcmp(dev->info.kind, "gpu") == 0 ? "gpu" : "cpu");
}

static int tune(app *a, const arguments *args, problems *list)
{
    device dev;
    int exit_code;
    if (!device_open(&dev, a, args->file, &exit_code))
        return exit_code;
    exit_code = APP_FAILED;
    char file[1024] = "", binaries[1024];
    clflash_context_paths(dev.ctx, file, sizeof file, binaries, sizeof binaries);
    if (choose_default(list, a, &dev)) {
        printf("%s %s\ndevice %d: %s\ntuning file: %s\n\n", a->name, clflash_version(),
               dev.info.index, dev.info.name, file[0] ? file : "(off: nothing will be kept)");
        fflush(stdout);
        app_catch_interrupt();
        exit_code = tune_all(a, &dev, list, args, file);
    }
    device_close(&dev);
    return exit_code;
}

int main(int argc, char **argv)
{
    arguments args = {.seconds = 10};
    const app_option options[] = {
        {"suite",       "NAME", "tune a named list of problems",                             APP_TEXT,   &args.suite      },
        {"list-suites", NULL,   "print the lists and leave",                                 APP_FLAG,   &args.list_suites},
        {"seconds",     "T",    "time limit per problem (default: 10)",                      APP_NUMBER, &args.seconds    },
        {"all-engines", NULL,   "also engines after the first that can run the problem",     APP_FLAG,
         &args.all_engines                                                                                                },
        {"file",        "F",    "the tuning file (default: the device's, see clflash_info)", APP_TEXT,
         &args.file                                                                                                       },
    };
    static problems list;
    app a = {
        .name = "clflash_tune",
        .synopsis = "[OPTION...] [PROBLEM...]",
        .purpose =
            "Searches the block sizes and engines that run each problem fastest and right, and\n"
            "keeps them in the tuning file. Ctrl-C loses nothing: the same command goes on.\n"
            "Without a problem: the suite cpu or gpu, by the kind of the device.",
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
    if (!problems_from_args(&list, &a, argv + first, argc - first) ||
        (args.suite && !problems_from_suite(&list, &a, args.suite)) ||
        !problems_have_op(&list, &a, CLFLASH_OP_BWD))
        return APP_USAGE;
    return tune(&a, &args, &list);
}
