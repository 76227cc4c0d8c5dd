/* tune.h -- measuring block sizes and engines for a device. */
#ifndef CLFLASH_TUNE_H
#define CLFLASH_TUNE_H

#include <clflash/attention.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct clflash_tune_progress {
    const char *problem, *engine, *tunables; /* what was just measured; valid during the call */
    int32_t done, total;   /* candidates; total is an estimate that only shrinks */
    double elapsed_s, limit_s;
    double this_ms, best_ms;
} clflash_tune_progress;

typedef struct clflash_tune_params {
    double seconds;    /* time limit; 0 = 10 */
    bool all_engines;  /* also engines after the first that can run it */
    bool fresh;        /* forget this problem's rows in the tuning file first */
    /* Called after each measurement; returning non-zero stops with CANCELLED. May be NULL. */
    int (*progress)(void *user, const clflash_tune_progress *progress);
    void *user;
} clflash_tune_params;

typedef struct clflash_tune_result {
    char engine[CLFLASH_ENGINE_NAME_BYTES];
    char tunables[256];
    double before_ms;  /* what a plan would have used */
    double after_ms;   /* the winner, measured in the same round */
    int32_t measured, pruned, wrong; /* candidates */
} clflash_tune_result;

/**
 * Searches the engines' tunables for desc and keeps the fastest correct row in the
 * context's tuning file (atomic; every measurement is kept, so a search resumes).
 * Blocking; makes its own data. Rows whose result differs from the reference lose.
 *
 * Errors   CANCELLED  what was measured is kept; UNSUPPORTED; IO the file cannot be
 *          written (the result still holds for this context).
 */
CLFLASH_API clflash_status clflash_tune(clflash_context *ctx, const clflash_attn_desc *desc,
                                        const clflash_tune_params *params,
                                        clflash_tune_result *result);

#ifdef __cplusplus
}
#endif
#endif
