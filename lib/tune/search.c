/* search.c -- looking for the fastest right row. (L3, no OpenCL) */
#include "lib/tune/search.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define CUT 1.5         /* a candidate this much slower than the best is not timed on */
#define GAIN 0.99       /* below this share of the best, a time is better and not noise */
#define MAX_SEEN 512    /* rows of one engine */
#define MAX_FAILURES 16 /* in a row: something else than the row is broken */

/* One row that was looked at. */
typedef struct seen_row {
    clfi_row row;
    double ms; /* INFINITY: it cannot win */
} seen_row;

typedef struct search {
    const clfi_search_ops *ops;
    const clfi_attn *p;
    const clfi_profile *dev;
    clfi_search_state state;
    double start_s, engine_end_s;
    /* of the engine at hand */
    clfi_candidate best;
    double best_ms; /* INFINITY: none yet */
    int32_t budget, failures;
    int32_t n_seen;
    seen_row seen[MAX_SEEN];
    clfi_err last; /* why the newest candidate could not run */
} search;

static double now(const search *s) { return s->ops->now_s(s->ops->user) - s->start_s; }

static bool same_row(const clfi_engine *e, const clfi_row *a, const clfi_row *b)
{
    return !memcmp(a->v, b->v, (size_t)e->n_tunables * sizeof a->v[0]);
}

static const seen_row *find_seen(const search *s, const clfi_row *row)
{
    for (int32_t i = 0; i < s->n_seen; i++)
        if (same_row(s->best.engine, &s->seen[i].row, row))
            return &s->seen[i];
    return NULL;
}

static void remember(search *s, const clfi_row *row, double ms)
{
    if (s->n_seen < MAX_SEEN)
        s->seen[s->n_seen++] = (seen_row){*row, ms};
}

/* Whether row may run at all, and keeps the caller's own block sizes. */
static bool allowed(const search *s, const clfi_engine *e, const clfi_row *row)
{
    const clflash_attn_choice *c = &s->p->desc.choice;
    return (!c->block_q || e->block_q(row) == c->block_q) &&
           (!c->block_kv || e->block_kv(row) == c->block_kv) &&
           e->fits(s->p, s->dev, row, NULL) == CLFLASH_OK;
}

/* Builds, checks and times c. Only WRONG_RESULT and "cannot run" are expected. */
static clfi_verdict measure(search *s, const clfi_candidate *c, double *ms, double *error)
{
    const clfi_search_ops *o = s->ops;
    const double stop = isinf(s->best_ms) ? 0 : CUT * s->best_ms;
    *ms = *error = 0;
    clflash_status status = o->make(o->user, c, &s->last);
    if (status == CLFLASH_OK)
        status = o->check(o->user, false, error, &s->last);
    if (status == CLFLASH_OK)
        status = o->run_ms(o->user, stop, ms, &s->last);
    const bool cut = stop > 0 && *ms > stop;
    if (status == CLFLASH_OK && !cut) /* costs a transfer: only for rows that may win */
        status = o->check(o->user, true, error, &s->last);
    o->drop(o->user);
    if (status == CLFLASH_WRONG_RESULT)
        return CLFI_WRONG;
    if (status != CLFLASH_OK)
        return CLFI_FAILED;
    return cut ? CLFI_CUT : CLFI_OK;
}

static clflash_status report(search *s, const clfi_candidate *c, double ms)
{
    s->state.this_ms = ms;
    s->state.best_ms = isinf(s->best_ms) ? 0 : s->best_ms;
    s->state.elapsed_s = now(s);
    if (s->ops->progress && s->ops->progress(s->ops->user, c, &s->state))
        return CLFLASH_CANCELLED;
    return CLFLASH_OK;
}

/* Looks at c, and keeps it as the best of its engine if it is. */
static clflash_status evaluate(search *s, const clfi_candidate *c)
{
    clfi_verdict verdict;
    double ms = 0, error = 0;
    if (find_seen(s, &c->row))
        return CLFLASH_OK;
    if (!allowed(s, c->engine, &c->row)) {
        s->state.pruned++;
        remember(s, &c->row, INFINITY);
        return CLFLASH_OK;
    }
    const bool known = s->ops->known(s->ops->user, c, &verdict, &ms);
    if (!known) {
        verdict = measure(s, c, &ms, &error);
        s->ops->record(s->ops->user, c, verdict, verdict <= CLFI_CUT ? ms : 0, error);
        s->state.done++;
        s->budget--;
        s->state.measured += verdict <= CLFI_CUT;
        s->state.wrong += verdict == CLFI_WRONG;
        s->state.pruned += verdict == CLFI_FAILED;
        s->failures = verdict == CLFI_FAILED ? s->failures + 1 : 0;
    }
    const bool right = verdict <= CLFI_BEST;
    remember(s, &c->row, right ? ms : INFINITY);
    if (right && ms < GAIN * s->best_ms) {
        s->best = *c;
        s->best_ms = ms;
    }
    return known ? CLFLASH_OK : report(s, c, ms);
}

static bool out_of_time(const search *s)
{
    return s->budget <= 0 || s->failures >= MAX_FAILURES || now(s) >= s->engine_end_s;
}

/* The candidate `step` places from the row's value; false at the list's ends. */
static bool step_tunable(const clfi_engine *e, clfi_row *row, int32_t i, int32_t step)
{
    const clfi_tunable *t = &e->tunables[i];
    for (int32_t c = 0; c < t->n_candidates; c++) {
        if (t->candidates[c] != row->v[i])
            continue;
        if (c + step < 0 || c + step >= t->n_candidates)
            return false;
        row->v[i] = t->candidates[c + step];
        return true;
    }
    return false;
}

/* Along each tunable, one place after the other while it pays: cheap, and nearly there when
 * the time limit is short and a build takes seconds. */
static clflash_status climb(search *s)
{
    const clfi_engine *e = s->best.engine;
    for (int32_t i = 0; i < e->n_tunables; i++) {
        for (int32_t step = 1; step >= -1; step -= 2) {
            for (bool better = true; better;) {
                clfi_candidate next = s->best;
                const double before = s->best_ms;
                if (out_of_time(s) || !step_tunable(e, &next.row, i, step))
                    break;
                CLF_TRY(evaluate(s, &next));
                better = s->best_ms < before;
            }
        }
    }
    return CLFLASH_OK;
}

/* Every other value of one tunable after the other, until none helps. */
static clflash_status descend(search *s)
{
    const clfi_engine *e = s->best.engine;
    for (bool better = true; better;) {
        const double before = s->best_ms;
        for (int32_t i = 0; i < e->n_tunables; i++) {
            for (int32_t c = 0; c < e->tunables[i].n_candidates; c++) {
                clfi_candidate next = s->best;
                next.row.v[i] = e->tunables[i].candidates[c];
                if (out_of_time(s))
                    return CLFLASH_OK;
                CLF_TRY(evaluate(s, &next));
            }
        }
        better = s->best_ms < before;
    }
    return CLFLASH_OK;
}

/* Two tunables at once by one place each: what a single step cannot reach because only
 * both together fit or pay. */
static clflash_status try_pairs(search *s)
{
    const clfi_engine *e = s->best.engine;
    const clfi_candidate from = s->best;
    for (int32_t i = 0; i < e->n_tunables; i++) {
        for (int32_t j = i + 1; j < e->n_tunables; j++) {
            for (int32_t signs = 0; signs < 4; signs++) {
                clfi_candidate next = from;
                if (!step_tunable(e, &next.row, i, signs & 1 ? 1 : -1) ||
                    !step_tunable(e, &next.row, j, signs & 2 ? 1 : -1))
                    continue;
                if (out_of_time(s))
                    return CLFLASH_OK;
                CLF_TRY(evaluate(s, &next));
            }
        }
    }
    return CLFLASH_OK;
}

/* How many rows one engine may cost at most. */
static int32_t engine_budget(const clfi_engine *e)
{
    int32_t steps = 0;
    for (int32_t i = 0; i < e->n_tunables; i++)
        steps += e->tunables[i].n_candidates - 1;
    const int32_t pairs = 2 * e->n_tunables * (e->n_tunables - 1);
    const int32_t budget = 2 + 3 * steps + pairs;
    return budget < MAX_SEEN ? budget : MAX_SEEN;
}

static clflash_status search_engine(search *s, const clfi_candidate *start)
{
    clfi_candidate safe = *start;
    s->best = *start;
    s->best_ms = INFINITY;
    s->n_seen = s->failures = 0;
    s->budget = engine_budget(start->engine);
    CLF_TRY(evaluate(s, start));
    start->engine->safe(s->p, s->dev, &safe.row);
    CLF_TRY(evaluate(s, &safe));
    for (bool better = !isinf(s->best_ms); better && !out_of_time(s);) {
        CLF_TRY(climb(s));
        CLF_TRY(descend(s));
        const double before = s->best_ms;
        CLF_TRY(try_pairs(s));
        better = s->best_ms < before;
    }
    s->state.total -= s->budget > 0 ? s->budget : 0;
    return CLFLASH_OK;
}

/* One more time of c, the smaller of both kept; INFINITY when it is wrong after all. */
static void time_again(search *s, const clfi_candidate *c, double *ms, double *error)
{
    const clfi_search_ops *o = s->ops;
    double t = 0;
    clflash_status status = o->make(o->user, c, &s->last);
    if (status == CLFLASH_OK)
        status = o->check(o->user, false, error, &s->last);
    if (status == CLFLASH_OK)
        status = o->check(o->user, true, error, &s->last);
    if (status == CLFLASH_OK)
        status = o->run_ms(o->user, 0, &t, &s->last);
    o->drop(o->user);
    if (status == CLFLASH_OK) {
        *ms = t < *ms ? t : *ms;
        o->record(o->user, c, CLFI_OK, *ms, *error);
        return;
    }
    o->record(o->user, c, status == CLFLASH_WRONG_RESULT ? CLFI_WRONG : CLFI_FAILED, 0, *error);
    s->state.wrong += status == CLFLASH_WRONG_RESULT;
    *ms = INFINITY;
}

/* Before against winner, in turn: the figures that are reported, and the last word. */
static clflash_status final_round(search *s, const clfi_candidate *before,
                                  clfi_search_result *result, clfi_err *err)
{
    clfi_candidate *winner = &result->winner;
    const bool same =
        winner->engine == before->engine && same_row(before->engine, &winner->row, &before->row);
    double old_ms = INFINITY, new_ms = INFINITY, old_error = 0, new_error = 0;
    for (int round = 0; round < 2; round++) {
        if (round == 0 || !isinf(old_ms))
            time_again(s, before, &old_ms, &old_error);
        if (!same && (round == 0 || !isinf(new_ms)))
            time_again(s, winner, &new_ms, &new_error);
    }
    if (same || !(new_ms < old_ms)) {
        *winner = *before;
        new_ms = old_ms;
        new_error = old_error;
    }
    CLF_REQUIRE(err, !isinf(new_ms), CLFLASH_UNSUPPORTED, "no row gives right results: %s",
                s->last.text);
    s->ops->record(s->ops->user, winner, CLFI_BEST, new_ms, new_error);
    result->before_ms = isinf(old_ms) ? new_ms : old_ms;
    result->after_ms = new_ms;
    return CLFLASH_OK;
}

static clflash_status search_all(search *s, const clfi_candidate *candidates, int32_t n,
                                 bool all_engines, clfi_search_result *result, clfi_err *err)
{
    const clfi_candidate *before = NULL;
    double best_ms = INFINITY;
    for (int32_t i = 0; i < n; i++)
        s->state.total += engine_budget(candidates[i].engine);
    for (int32_t i = 0; i < n; i++) {
        const double left = s->state.limit_s - now(s);
        s->engine_end_s = now(s) + (all_engines ? left / (n - i) : left);
        CLF_TRY(search_engine(s, &candidates[i]));
        if (isinf(s->best_ms))
            continue;
        before = before ? before : &candidates[i];
        if (s->best_ms < best_ms) {
            best_ms = s->best_ms;
            result->winner = s->best;
        }
        if (!all_engines)
            break;
    }
    CLF_REQUIRE(err, before, CLFLASH_UNSUPPORTED, "no row of any engine works: %s", s->last.text);
    s->state.total = s->state.done;
    s->best_ms = best_ms;
    return final_round(s, before, result, err);
}

clflash_status clfi_search(const clfi_search_ops *ops, const clfi_attn *p, const clfi_profile *dev,
                           const clfi_candidate *candidates, int32_t n, bool all_engines,
                           double seconds, clfi_search_result *result, clfi_err *err)
{
    search s = {.ops = ops, .p = p, .dev = dev, .start_s = ops->now_s(ops->user)};
    s.state.limit_s = seconds;
    *result = (clfi_search_result){0};
    const clflash_status status = search_all(&s, candidates, n, all_engines, result, err);
    s.state.elapsed_s = now(&s);
    result->state = s.state;
    if (status == CLFLASH_CANCELLED)
        return clfi_fail(err, status, "the caller stopped the search");
    return status;
}
