/* app.c -- options, messages, clock. (bench) */
#include "bench/common/app.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MAX_OPTIONS 32
enum { OPTION_DEVICE = 1, OPTION_HELP, OPTION_VERSION, OPTION_FIRST };

static void print_help(const app *a)
{
    printf("Usage: %s %s\n\n%s\n\nOptions:\n", a->name, a->synopsis, a->purpose);
    const app_option shared[] = {
        {"device",  "N",
         "device index as clflash_info prints it (default: $CLFLASH_DEVICE, else best)", APP_INDEX,
         NULL                                                                                           },
        {"help",    NULL, "print this text",                                             APP_FLAG,  NULL},
        {"version", NULL, "print the version",                                           APP_FLAG,  NULL},
    };
    for (int i = 0; i < a->n_options + 3; i++) {
        const app_option *o = i < a->n_options ? &a->options[i] : &shared[i - a->n_options];
        char left[64];
        snprintf(left, sizeof left, "--%s%s%s", o->name, o->value ? " " : "",
                 o->value ? o->value : "");
        printf("  %-22s %s\n", left, o->help);
    }
    printf("\nExit status: 0 success, 1 a check or the device failed, 2 wrong use.\n");
}

static bool set_option(const app *a, const app_option *o, const char *text)
{
    char *end = NULL;
    errno = 0;
    switch (o->kind) {
    case APP_FLAG: *(bool *)o->target = true; return true;
    case APP_TEXT: *(const char **)o->target = text; return true;
    case APP_NUMBER: {
        const double x = strtod(text, &end);
        if (end == text || *end || !isfinite(x) || x <= 0)
            break;
        *(double *)o->target = x;
        return true;
    }
    case APP_INDEX: {
        const long long n = strtoll(text, &end, 10);
        if (end == text || *end || errno || n < 0)
            break;
        *(int64_t *)o->target = n;
        return true;
    }
    }
    app_message(a, "--%s: '%s' is not %s", o->name, text,
                o->kind == APP_NUMBER ? "a number above 0" : "a whole number of 0 or more");
    return false;
}

bool app_parse(app *a, int argc, char **argv, int *first, int *exit_code)
{
    struct option list[MAX_OPTIONS + 4] = {
        {"device",  required_argument, NULL, OPTION_DEVICE },
        {"help",    no_argument,       NULL, OPTION_HELP   },
        {"version", no_argument,       NULL, OPTION_VERSION},
    };
    for (int i = 0; i < a->n_options && i < MAX_OPTIONS; i++)
        list[3 + i] = (struct option){a->options[i].name,
                                      a->options[i].value ? required_argument : no_argument, NULL,
                                      OPTION_FIRST + i};
    const app_option device = {"device", "N", "", APP_INDEX, &a->device};
    a->device = -1;
    *exit_code = APP_USAGE;
    opterr = 0; /* our own messages: getopt's begin with the path */
    for (int c; (c = getopt_long(argc, argv, ":", list, NULL)) != -1;) {
        if (c == OPTION_HELP || c == OPTION_VERSION) {
            if (c == OPTION_HELP)
                print_help(a);
            else
                printf("%s %s\n", a->name, clflash_version());
            *exit_code = APP_OK;
            return false;
        }
        if (c == '?' || c == ':') {
            app_message(a, c == ':' ? "%s needs a value" : "%s: no such option; try --help",
                        argv[optind - 1]);
            return false;
        }
        const app_option *o = c == OPTION_DEVICE ? &device : &a->options[c - OPTION_FIRST];
        if (!set_option(a, o, optarg))
            return false;
    }
    *first = optind;
    return true;
}

void app_message(const app *a, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    fflush(stdout); /* keep the order where both go to one place */
    fprintf(stderr, "%s: ", a->name);
    vfprintf(stderr, format, list);
    fputc('\n', stderr);
    va_end(list);
}

void app_status(const app *a, const clflash_context *ctx, clflash_status status, const char *doing)
{
    char text[2048] = "";
    if (ctx)
        clflash_context_last_error(ctx, text, sizeof text);
    app_message(a, "%s: %s (%d)%s%s", doing, clflash_status_string(status), (int)status,
                text[0] ? ": " : "", text);
}

void *app_create(const app *a, const char *path)
{
    FILE *file = strcmp(path, "-") == 0 ? stdout : fopen(path, "wb");
    if (!file)
        app_message(a, "%s: cannot be written: %s", path, strerror(errno));
    return file;
}

bool app_close(const app *a, void *file, const char *path)
{
    FILE *f = file;
    const bool bad = ferror(f) != 0;
    const bool failed = (f == stdout ? fflush(f) : fclose(f)) != 0 || bad;
    if (failed)
        app_message(a, "%s: not everything could be written: %s", path, strerror(errno));
    return !failed;
}

double app_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

bool app_stdout_colour(void)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    return isatty(STDOUT_FILENO) && !(no && no[0]) && term && strcmp(term, "dumb") != 0;
}

const char *app_bytes(double bytes, char text[16])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    int unit = 0;
    while (bytes >= 1000 && unit < 4) {
        bytes /= 1024;
        unit++;
    }
    snprintf(text, 16, unit > 0 && bytes < 99.95 ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
    return text;
}

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal_number)
{
    interrupted = 1;
    signal(signal_number, SIG_DFL);
}

void app_catch_interrupt(void)
{
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
}

bool app_interrupted(void) { return interrupted != 0; }
