/* search.h -- looking for the fastest right row. (L3, no OpenCL)
 *
 * The space is pruned by fits(), then by what the built kernel says; coordinate descent
 * starts from the best known row, in single steps first and then over all values, then pairs
 * of neighbouring steps are tried. A candidate is stopped at 1.5 times the best, and none may
 * win before its result was checked at the timed shape. Everything measured is recorded, so a
 * search that was stopped goes on. */
#ifndef CLFI_SEARCH_H
#define CLFI_SEARCH_H

#include "lib/tune/select.h"
#include "lib/tune/table.h"

typedef struct clfi_search_state {
    int32_t done, total; /* measured, and at most to be measured: total only shrinks */
    int32_t measured, pruned, wrong;
    double this_ms, best_ms;
    double elapsed_s, limit_s;
} clfi_search_state;

/* What the search needs from the world: the device (lib/ops/attn_tune.c), or a test's fake. */
typedef struct clfi_search_ops {
    void *user;
    /* Makes the candidate the current one. Not OK: it cannot run, err says why. */
    clflash_status (*make)(void *user, const clfi_candidate *c, clfi_err *err);
    /* Compares the current one: on the small case, or (whole) at the timed shape with the
     * safe row. WRONG_RESULT when it differs too much; *error is the largest difference. */
    clflash_status (*check)(void *user, bool whole, double *error, clfi_err *err);
    /* Device time of the current one; may stop early once it is sure to pass stop_ms
     * (0 = never). */
    clflash_status (*run_ms)(void *user, double stop_ms, double *ms, clfi_err *err);
    void (*drop)(void *user); /* forgets the current one */
    /* Earlier measurements; ms of this problem. */
    bool (*known)(void *user, const clfi_candidate *c, clfi_verdict *verdict, double *ms);
    void (*record)(void *user, const clfi_candidate *c, clfi_verdict verdict, double ms,
                   double error);
    double (*now_s)(void *user);
    /* Non-zero stops the search with CANCELLED. May be NULL. */
    int (*progress)(void *user, const clfi_candidate *c, const clfi_search_state *state);
} clfi_search_ops;

typedef struct clfi_search_result {
    clfi_candidate winner;
    double before_ms, after_ms; /* of candidates[0] and of the winner, in the same round */
    clfi_search_state state;
} clfi_search_result;

/* candidates: as clfi_select gives them, their rows are where the search starts; the
 * first that can be built decides what "before" is. all_engines: search all, else stop
 * after the first whose row works.
 *
 * Errors  CANCELLED (what was measured is recorded), or why no candidate works */
clflash_status clfi_search(const clfi_search_ops *ops, const clfi_attn *p, const clfi_profile *dev,
                           const clfi_candidate *candidates, int32_t n, bool all_engines,
                           double seconds, clfi_search_result *result, clfi_err *err);

#endif
