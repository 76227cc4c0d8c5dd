/* app.h -- what the four programs share: options, messages, exit codes. (bench) */
#ifndef BENCH_APP_H
#define BENCH_APP_H

#include <clflash/clflash.h>
#include <stdbool.h>

#define APP_OK 0     /* did what was asked, and every check held */
#define APP_FAILED 1 /* a check failed, a device or file let us down */
#define APP_USAGE 2  /* wrong use: nothing was run */

typedef enum app_kind {
    APP_FLAG,   /* bool *      */
    APP_TEXT,   /* const char ** */
    APP_NUMBER, /* double *: finite, > 0 */
    APP_INDEX   /* int64_t *: >= 0 */
} app_kind;

typedef struct app_option {
    const char *name;  /* "seconds" */
    const char *value; /* "T" in --help; NULL for a flag */
    const char *help;
    app_kind kind;
    void *target;
} app_option;

/* One program. --device, --help and --version belong to all and are not listed. */
typedef struct app {
    const char *name;     /* "clflash_bench" */
    const char *synopsis; /* after the name, in the usage line */
    const char *purpose;  /* sentences for --help */
    const app_option *options;
    int n_options;
    int64_t device; /* --device N; -1 = $CLFLASH_DEVICE or the best device */
} app;

/* Parses the options. Returns true to go on, with *first at the first positional
 * argument (argv is permuted); false to leave with *exit_code. */
bool app_parse(app *a, int argc, char **argv, int *first, int *exit_code);

/* "name: text" to stderr. */
void app_message(const app *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same with the status, and with the context's last error where there is one. */
void app_status(const app *a, const clflash_context *ctx, clflash_status status, const char *doing);

/* Opens path for writing; "-" is stdout. NULL after a message. */
void *app_create(const app *a, const char *path);
/* Closes what app_create opened; false after a message when not all was written. */
bool app_close(const app *a, void *file, const char *path);

/* Seconds of a monotonic clock. */
double app_now(void);
bool app_stdout_colour(void); /* a terminal, and NO_COLOR is not set */

/* "8.2 MiB"; text must hold 16 bytes. */
const char *app_bytes(double bytes, char text[16]);

/* Ctrl-C sets a flag from here on instead of ending the program; a second one ends it. */
void app_catch_interrupt(void);
bool app_interrupted(void);

#endif
