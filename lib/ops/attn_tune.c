/* attn_tune.c -- the search on the device: makes candidates, checks and times them. (L4) */
#include "lib/ops/attn_tune.h"

#include "host/memory.h"
#include "host/timer.h"
#include "lib/ops/attn_run.h"
#include "lib/ops/tune_case.h"
#include "lib/tune/search.h"
#include "lib/tune/store.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define SEED 20240229u
#define MAX_RUNS 20  /* of one timing, of which the shortest counts; */
#define MIN_RUNS 3   /* at least these, as one may be disturbed; */
#define TIMING_S 0.1 /* no more once they took this long */

/* ---- one candidate ---- */

typedef struct tuner {
    clflash_context *ctx;
    const clfi_attn *p;
    const clflash_tune_params *params;
    const clfi_candidate *candidates;
    int32_t n_candidates;
    cl_command_queue queue;
    double scale; /* stored times are those of the key's lengths */
    char key[256], problem[CLFLASH_PROBLEM_BYTES];
    clflash_status file; /* of the last write */

    clfi_device_case timed;
    void *safe[CLFI_MAX_OUTPUTS]; /* of the safe row at the timed shape */
    bool safe_made;
    void *got; /* scratch, as large as the largest output of the timed shape */

    clfi_device_case small; /* for blocks of small_q x small_kv */
    int32_t small_q, small_kv;
    double *want[CLFI_MAX_OUTPUTS]; /* the reference's; NULL: not made yet */
    void *small_got;

    clfi_candidate current;
    clflash_plan *plan; /* of the timed shape */
    clflash_block_mask *mask;
    int32_t start_private_bytes; /* of the first row; -1 = none yet */
} tuner;

static void drop(void *user)
{
    tuner *t = user;
    clflash_block_mask_destroy(&t->mask);
    clflash_plan_destroy(&t->plan);
}

/* The public calls keep their reason in the context. */
static clflash_status reason_of(const tuner *t, clflash_status status, clfi_err *err)
{
    char text[512];
    if (status == CLFLASH_OK)
        return status;
    return clfi_fail(err, status, "%s", clflash_context_last_error(t->ctx, text, sizeof text));
}

static clflash_status run_plan(const tuner *t, const clflash_plan *plan, const clfi_device_case *c,
                               const clflash_block_mask *mask, cl_event *event, clfi_err *err)
{
    CLF_TRY(reason_of(t, clfi_device_case_run(c, plan, t->queue, mask, event), err));
    return clfi_queue_finish(t->queue, err);
}

/* The driver's word on the built kernel. Rows that spill more than the row we started from
 * are slow on every GPU; CPU drivers report nothing of use. */
static clflash_status prune_by_facts(tuner *t, clfi_err *err)
{
    clflash_plan_data info;
    if (clfi_context_profile(t->ctx)->cpu)
        return CLFLASH_OK;
    CLF_TRY(reason_of(t, clflash_plan_info(t->plan, NULL, &info), err));
    if (t->start_private_bytes < 0)
        t->start_private_bytes = info.private_bytes;
    CLF_REQUIRE(err, info.private_bytes <= t->start_private_bytes + 256, CLFLASH_INVALID_TUNABLE,
                "the kernel spills %d bytes per work-item", info.private_bytes);
    CLF_REQUIRE(err, info.local_bytes <= clfi_context_profile(t->ctx)->local_bytes,
                CLFLASH_INVALID_TUNABLE, "the kernel takes %lld bytes of local memory",
                (long long)info.local_bytes);
    return CLFLASH_OK;
}

static clflash_status make(void *user, const clfi_candidate *c, clfi_err *err)
{
    tuner *t = user;
    drop(t);
    t->current = *c;
    CLF_TRY(clfi_plan_candidate(&t->plan, t->ctx, t->p, c, err));
    clflash_status status = prune_by_facts(t, err);
    if (status == CLFLASH_OK && t->p->blocks && c->engine->flash) {
        status = reason_of(t, clflash_block_mask_create(&t->mask, t->plan), err);
        if (status == CLFLASH_OK)
            status = reason_of(
                t,
                clflash_block_mask_build(t->mask, t->queue, &t->timed.args.arrays, 0, NULL, NULL),
                err);
    }
    if (status != CLFLASH_OK)
        drop(t);
    return status;
}

/* ---- checks ---- */

static int64_t largest_output(const clfi_device_case *c)
{
    int64_t most = 0;
    for (int32_t i = 0; i < c->n_outputs; i++)
        most = c->output_bytes[i] > most ? c->output_bytes[i] : most;
    return most;
}

static void small_free(tuner *t)
{
    const clflash_allocator *a = clfi_context_allocator(t->ctx);
    clfi_device_case_free(&t->small);
    for (int i = 0; i < CLFI_MAX_OUTPUTS; i++) {
        clfi_free(a, t->want[i]);
        t->want[i] = NULL;
    }
    clfi_free(a, t->small_got);
    t->small_got = NULL;
}

static clflash_status small_fill(tuner *t, const clfi_case *host, clfi_err *err)
{
    const clflash_allocator *a = clfi_context_allocator(t->ctx);
    CLF_TRY(clfi_device_case_make(&t->small, t->ctx, t->queue, host, err));
    const clfi_device_case *c = &t->small;
    bool memory = (t->small_got = clfi_alloc(a, (size_t)largest_output(c), 1)) != NULL;
    for (int32_t i = 0; i < c->n_outputs; i++) {
        const int64_t n = clfi_output_elements(&c->p, &c->output[i]);
        memory = (t->want[i] = clfi_alloc(a, (size_t)n, sizeof(double))) && memory;
    }
    CLF_REQUIRE(err, memory, CLFLASH_OUT_OF_MEMORY, "no host memory for a check");
    const clflash_status status = clfi_case_reference(host, t->want);
    if (status != CLFLASH_OK)
        return clfi_fail(err, status, "the reference refuses the small case");
    return CLFLASH_OK;
}

/* The small case for the current row's blocks, kept while they stay. */
static clflash_status small_make(tuner *t, clfi_err *err)
{
    const int32_t bq = t->current.engine->block_q(&t->current.row);
    const int32_t bkv = t->current.engine->block_kv(&t->current.row);
    clfi_attn p;
    clfi_case host;
    if (t->small_got && bq == t->small_q && bkv == t->small_kv)
        return CLFLASH_OK;
    small_free(t);
    CLF_TRY(clfi_case_shrink(t->p, bq, bkv, &p, err));
    CLF_TRY(clfi_case_make(&host, &p, clfi_context_allocator(t->ctx), SEED, err));
    const clflash_status status = small_fill(t, &host, err);
    clfi_case_free(&host);
    if (status != CLFLASH_OK)
        small_free(t);
    t->small_q = bq;
    t->small_kv = bkv;
    return status;
}

static clflash_status judge(double error, double tolerance, const char *name, const char *of,
                            clfi_err *err)
{
    CLF_REQUIRE(err, error <= tolerance, CLFLASH_WRONG_RESULT,
                "%s of %s differs by %.3g, more than %.3g", name, of, error, tolerance);
    return CLFLASH_OK;
}

static clflash_status check_small(tuner *t, double *error, clfi_err *err)
{
    clflash_plan *plan = NULL;
    CLF_TRY(small_make(t, err));
    const clfi_device_case *c = &t->small;
    /* What the kernel does not write must not look right. */
    CLF_TRY(clfi_device_case_poison(c, t->queue, clfi_context_allocator(t->ctx), err));
    CLF_TRY(clfi_plan_candidate(&plan, t->ctx, &c->p, &t->current, err));
    clflash_status status = run_plan(t, plan, c, NULL, NULL, err);
    clflash_plan_destroy(&plan);
    *error = 0;
    for (int32_t i = 0; i < c->n_outputs && status == CLFLASH_OK; i++) {
        const clfi_output *out = &c->output[i];
        CLF_TRY(clfi_device_case_read(c, t->queue, i, t->small_got, err));
        const double e = clfi_output_error(&c->p, out, t->small_got, t->want[i]);
        const double largest = clfi_output_largest(&c->p, out, t->small_got);
        *error = e > *error ? e : *error;
        status =
            judge(e, clfi_output_tolerance(&c->p, out, largest), out->name, "the small case", err);
    }
    return status;
}

static clflash_status read_safe(tuner *t, clfi_err *err)
{
    const clflash_allocator *a = clfi_context_allocator(t->ctx);
    const clfi_device_case *c = &t->timed;
    t->got = clfi_alloc(a, (size_t)largest_output(c), 1);
    CLF_REQUIRE(err, t->got, CLFLASH_OUT_OF_MEMORY, "no host memory for a check");
    for (int32_t i = 0; i < c->n_outputs; i++) {
        t->safe[i] = clfi_alloc(a, (size_t)c->output_bytes[i], 1);
        CLF_REQUIRE(err, t->safe[i], CLFLASH_OUT_OF_MEMORY, "no host memory for a check");
        CLF_TRY(clfi_device_case_read(c, t->queue, i, t->safe[i], err));
    }
    t->safe_made = true;
    return CLFLASH_OK;
}

static void safe_free(tuner *t)
{
    const clflash_allocator *a = clfi_context_allocator(t->ctx);
    for (int i = 0; i < CLFI_MAX_OUTPUTS; i++) {
        clfi_free(a, t->safe[i]);
        t->safe[i] = NULL;
    }
    clfi_free(a, t->got);
    t->got = NULL;
    t->safe_made = false;
}

/* The result of the first engine's safe row that runs, at the timed shape. */
static clflash_status make_safe_output(tuner *t, clfi_err *err)
{
    const clfi_profile *dev = clfi_context_profile(t->ctx);
    clflash_status status = CLFLASH_UNSUPPORTED;
    for (int32_t i = 0; i < t->n_candidates; i++) {
        clfi_candidate safe = t->candidates[i];
        clflash_plan *plan = NULL;
        safe.engine->safe(t->p, dev, &safe.row);
        status = clfi_plan_candidate(&plan, t->ctx, t->p, &safe, err);
        if (status == CLFLASH_OK)
            status = run_plan(t, plan, &t->timed, NULL, NULL, err);
        clflash_plan_destroy(&plan);
        if (status == CLFLASH_OK)
            break;
    }
    if (status == CLFLASH_OK)
        status = read_safe(t, err);
    if (status != CLFLASH_OK)
        safe_free(t);
    return status;
}

static clflash_status check_whole(tuner *t, double *error, clfi_err *err)
{
    if (!t->safe_made)
        CLF_TRY(make_safe_output(t, err));
    const clfi_device_case *c = &t->timed;
    CLF_TRY(clfi_device_case_poison(c, t->queue, clfi_context_allocator(t->ctx), err));
    clflash_status status = run_plan(t, t->plan, c, t->mask, NULL, err);
    for (int32_t i = 0; i < c->n_outputs && status == CLFLASH_OK; i++) {
        const clfi_output *out = &c->output[i];
        CLF_TRY(clfi_device_case_read(c, t->queue, i, t->got, err));
        const double e = clfi_output_same(&c->p, out, t->got, t->safe[i]);
        const double largest = clfi_output_largest(&c->p, out, t->safe[i]);
        *error = e > *error ? e : *error;
        status = judge(e, 2 * clfi_output_tolerance(&c->p, out, largest), out->name,
                       "the timed shape", err);
    }
    return status;
}

static clflash_status check(void *user, bool whole, double *error, clfi_err *err)
{
    tuner *t = user;
    return whole ? check_whole(t, error, err) : check_small(t, error, err);
}

/* ---- time ---- */

static clflash_status time_once(tuner *t, double *ms, clfi_err *err)
{
    cl_event first = NULL, last = NULL;
    /* One kernel is its own span; several are it from a marker on. */
    const clfi_engine *e = t->current.engine;
    clflash_status status = CLFLASH_OK;
    if (!e->flash || e->n_more > 0 || t->p->op == CLFLASH_OP_BWD)
        status = clfi_queue_marker(t->queue, 0, NULL, &first, err);
    if (status == CLFLASH_OK)
        status = run_plan(t, t->plan, &t->timed, t->mask, &last, err);
    if (status == CLFLASH_OK)
        status = clfi_timer_span_ms(first ? first : last, last, ms, err);
    clfi_event_release(first);
    clfi_event_release(last);
    return status;
}

static clflash_status run_ms(void *user, double stop_ms, double *ms, clfi_err *err)
{
    tuner *t = user;
    const double start = clfi_clock_s();
    CLF_TRY(time_once(t, ms, err)); /* drivers finish compiling in the first launch */
    if (stop_ms > 0 && *ms > 4 * stop_ms)
        return CLFLASH_OK;
    double best = INFINITY;
    for (int i = 0; i < MAX_RUNS; i++) {
        CLF_TRY(time_once(t, ms, err));
        best = *ms < best ? *ms : best;
        const bool late = clfi_clock_s() - start > TIMING_S;
        const bool cut = stop_ms > 0 && best > stop_ms;
        if ((i + 1 >= MIN_RUNS && (cut || late)) || (cut && late))
            break;
    }
    *ms = best;
    return CLFLASH_OK;
}

/* ---- memory of the search ---- */

static bool known(void *user, const clfi_candidate *c, clfi_verdict *verdict, double *ms)
{
    tuner *t = user;
    char row[256];
    clfi_tune_entry entry;
    clfi_row_print(c->engine, &c->row, row, sizeof row);
    if (!clfi_store_known(t->ctx, t->key, c->engine->name, row, &entry))
        return false;
    *verdict = entry.verdict;
    *ms = (double)entry.ms / t->scale;
    return true;
}

static void record(void *user, const clfi_candidate *c, clfi_verdict verdict, double ms,
                   double error)
{
    tuner *t = user;
    clfi_err err = {0};
    clfi_tune_entry entry = {.verdict = verdict, .ms = (float)(ms * t->scale)};
    entry.error = (float)error;
    snprintf(entry.key, sizeof entry.key, "%s", t->key);
    snprintf(entry.engine, sizeof entry.engine, "%s", c->engine->name);
    clfi_row_print(c->engine, &c->row, entry.row, sizeof entry.row);
    snprintf(entry.source, sizeof entry.source, "clflash %s", clflash_version());
    const clflash_status status = clfi_store_put(t->ctx, &entry, &err);
    if (status != CLFLASH_OK && t->file == CLFLASH_OK)
        clfi_log(t->ctx, CLFLASH_LOG_WARNING, "tuning file not written: %s", err.text);
    t->file = status;
}

static double now_s(void *user)
{
    (void)user;
    return clfi_clock_s();
}

static int progress(void *user, const clfi_candidate *c, const clfi_search_state *s)
{
    tuner *t = user;
    char row[256];
    clfi_row_print(c->engine, &c->row, row, sizeof row);
    clfi_log(t->ctx, CLFLASH_LOG_DEBUG, "tune %s: %s %s: %.4g ms (best %.4g)", t->problem,
             c->engine->name, row, s->this_ms, s->best_ms);
    if (!t->params->progress)
        return 0;
    const clflash_tune_progress p = {t->problem,   c->engine->name, row,        s->done,   s->total,
                                     s->elapsed_s, s->limit_s,      s->this_ms, s->best_ms};
    return t->params->progress(t->params->user, &p);
}

/* ---- all together ---- */

static void tuner_free(tuner *t)
{
    drop(t);
    small_free(t);
    safe_free(t);
    clfi_device_case_free(&t->timed);
    if (t->queue)
        clfi_timer_queue_release(t->queue);
}

static clflash_status tuner_make(tuner *t, clfi_err *err)
{
    clfi_case host;
    CLF_TRY(clfi_timer_queue(t->ctx, &t->queue, err));
    CLF_TRY(clfi_case_make(&host, t->p, clfi_context_allocator(t->ctx), SEED + 1, err));
    const clflash_status status = clfi_device_case_make(&t->timed, t->ctx, t->queue, &host, err);
    clfi_case_free(&host);
    return status;
}

static void fill_result(const clfi_search_result *found, clflash_tune_result *result)
{
    const clfi_candidate *w = &found->winner;
    *result = (clflash_tune_result){.before_ms = found->before_ms,
                                    .after_ms = found->after_ms,
                                    .measured = found->state.measured,
                                    .pruned = found->state.pruned,
                                    .wrong = found->state.wrong};
    if (!w->engine)
        return;
    snprintf(result->engine, sizeof result->engine, "%s", w->engine->name);
    clfi_row_print(w->engine, &w->row, result->tunables, sizeof result->tunables);
}

clflash_status clfi_attn_tune(clflash_context *ctx, const clfi_attn *p,
                              const clflash_tune_params *params, clflash_tune_result *result,
                              clflash_status *file, clfi_err *err)
{
    static const clfi_search_ops device = {.make = make,
                                           .check = check,
                                           .run_ms = run_ms,
                                           .drop = drop,
                                           .known = known,
                                           .record = record,
                                           .now_s = now_s,
                                           .progress = progress};
    const clflash_tune_params none = {0};
    clfi_candidate candidates[CLFI_MAX_ENGINES];
    clfi_search_result found = {0};
    tuner t = {.ctx = ctx,
               .p = p,
               .params = params ? params : &none,
               .candidates = candidates,
               .scale = clfi_tune_scale(p),
               .start_private_bytes = -1};
    *result = (clflash_tune_result){0};
    *file = CLFLASH_OK;
    CLF_REQUIRE(err, p->op != CLFLASH_OP_DECODE, CLFLASH_UNSUPPORTED, "there is no decode to tune");
    CLF_REQUIRE(err, p->b > 0 && p->sq > 0 && p->sk > 0, CLFLASH_UNSUPPORTED,
                "an empty problem has nothing to measure");
    CLF_TRY(clfi_select(ctx, p, false, candidates, &t.n_candidates, NULL, err));
    clfi_tune_key(p, t.key, sizeof t.key);
    clflash_attn_desc_print(&p->desc, t.problem, sizeof t.problem);
    if (t.params->fresh)
        *file = clfi_store_forget(ctx, t.key, err);
    clfi_search_ops ops = device;
    ops.user = &t;
    const double seconds = t.params->seconds > 0 ? t.params->seconds : 10;
    clflash_status status = tuner_make(&t, err);
    if (status == CLFLASH_OK)
        status = clfi_search(&ops, p, clfi_context_profile(ctx), candidates, t.n_candidates,
                             t.params->all_engines, seconds, &found, err);
    tuner_free(&t);
    fill_result(&found, result);
    if (t.file != CLFLASH_OK)
        *file = t.file;
    return status;
}

clflash_status clflash_tune(clflash_context *ctx, const clflash_attn_desc *desc,
                            const clflash_tune_params *params, clflash_tune_result *result)
{
    char problem[CLFLASH_PROBLEM_BYTES] = "";
    clfi_err err = {0};
    clfi_attn p;
    clflash_status file = CLFLASH_OK;
    clflash_tune_result own;
    result = result ? result : &own;
    *result = (clflash_tune_result){0};
    if (!ctx)
        return CLFLASH_INVALID_ARGUMENT;
    clflash_status status = clfi_attn_resolve(&p, desc, &err);
    if (status == CLFLASH_OK)
        status = clfi_attn_tune(ctx, &p, params, result, &file, &err);
    if (status == CLFLASH_OK && file != CLFLASH_OK)
        status = clfi_fail(&err, file, "the tuning file %s cannot be written",
                           clfi_context_tuning_file(ctx));
    if (status == CLFLASH_OK)
        return status;
    if (desc)
        clflash_attn_desc_print(desc, problem, sizeof problem);
    return clfi_context_fail(ctx, "clflash_tune", &err, problem);
}
