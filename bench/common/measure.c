/* measure.c -- one problem: made, verified, timed. (bench) */
#include "bench/common/measure.h"

#include "bench/common/check_bwd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One problem on its way through. */
typedef struct work {
    measurer *m;
    const measure_options *options;
    measure_result *result;
    data d;
    check_gold gold;     /* of a forward */
    check_sample sample; /* of a backward */
    tensors t;
    void *output[TENSORS_MAX_OUTPUTS]; /* host copies */
} work;

/* One method: its plan and samples. */
typedef struct method {
    measure_side *side;
    clflash_plan *plan;
    bench_call args;
    cl_mem workspace; /* kept so that both methods can be timed in turns */
    timing *time;
} method;

double measure_full_flops(const clflash_attn_desc *desc)
{
    const sizes n = sizes_of(desc);
    const double forward = 2.0 * n.b * n.hq * ((double)n.d + n.dv) * n.sq * n.sk;
    return desc->op == CLFLASH_OP_BWD ? 2.5 * forward : forward;
}

/* Keeps why a side could not run. */
static bool fail(measure_side *side, clflash_status status, const char *doing)
{
    snprintf(side->note, sizeof side->note, "%s: %s (%d)", doing, clflash_status_string(status),
             (int)status);
    return false;
}

/* The same in the context's words, which name the rule: right after a failed call only. */
static bool fail_call(const work *w, measure_side *side, clflash_status status)
{
    char text[512] = "";
    clflash_context_last_error(w->m->dev->ctx, text, sizeof text);
    if (!text[0])
        return fail(side, status, "plan");
    size_t used = 0; /* "engine: reason" a line becomes one line */
    for (const char *c = text; *c && used + 3 < sizeof side->note; c++) {
        if (*c != '\n')
            side->note[used++] = *c;
        else if (c[1])
            used += (size_t)snprintf(side->note + used, 3, "; ");
    }
    side->note[used] = '\0';
    return false;
}

/* One run into poisoned outputs, copied to the host. */
static clflash_status run_once(work *w, method *me)
{
    const device *dev = w->m->dev;
    clflash_status status = tensors_poison(&w->t, dev);
    if (status == CLFLASH_OK)
        status = call_enqueue(&me->args, me->plan, dev->queue, NULL);
    for (int32_t i = 0; i < w->t.n_outputs && status == CLFLASH_OK; i++)
        status = tensors_read(&w->t, dev, i, w->output[i]);
    return status;
}

/* A forward's rows against the reference's. */
static bool verify_fwd(work *w, method *me)
{
    const clflash_status status = run_once(w, me);
    if (status != CLFLASH_OK)
        return fail(me->side, status, "run");
    me->side->check = check_compare(&w->gold, &w->d, w->output[0], NULL);
    me->side->checked = true;
    return me->side->check.ok;
}

/* A backward's gradients for a dout that is zero but in some rows; the worst of the three by
 * its tolerance is what the table shows. */
static bool verify_bwd(work *w, method *me)
{
    const device *dev = w->m->dev;
    const void *const got[3] = {w->output[0], w->output[1], w->output[2]};
    check_result *out = &me->side->check;
    check_bwd_result r;
    clflash_status status = tensors_set_dout(&w->t, dev, &w->d, w->sample.dout);
    if (status == CLFLASH_OK)
        status = run_once(w, me);
    if (status == CLFLASH_OK)
        status = tensors_set_dout(&w->t, dev, &w->d, w->d.array[DATA_DOUT]);
    if (status == CLFLASH_OK)
        status = check_bwd_sample(&w->d, &w->sample, got, &r);
    if (status != CLFLASH_OK)
        return fail(me->side, status, "run");
    int worst = 0;
    for (int i = 1; i < 3; i++)
        if (r.max_error[i] * r.tolerance[worst] > r.max_error[worst] * r.tolerance[i])
            worst = i;
    *out = (check_result){
        .ok = r.ok, .max_error = r.max_error[worst], .tolerance = r.tolerance[worst]};
    memcpy(out->why, r.why, sizeof out->why);
    me->side->checked = true;
    return out->ok;
}

/* Runs once and compares with the reference. */
static bool verify(work *w, method *me)
{
    return w->t.args.backward ? verify_bwd(w, me) : verify_fwd(w, me);
}

static bool open_method(work *w, method *me, const clflash_attn_desc *desc)
{
    const device *dev = w->m->dev;
    measure_side *side = me->side;
    clflash_status status = desc->op == CLFLASH_OP_BWD
                                ? clflash_attn_bwd_plan(&me->plan, dev->ctx, desc, NULL)
                                : clflash_attn_fwd_plan(&me->plan, dev->ctx, desc, NULL);
    if (status != CLFLASH_OK)
        return fail_call(w, side, status);
    status = clflash_plan_info(me->plan, NULL, &side->info);
    if (status != CLFLASH_OK)
        return fail_call(w, side, status);
    side->bytes = w->t.bytes + side->info.workspace_bytes;
    return true;
}

static bool open_workspace(work *w, method *me)
{
    const clflash_status status =
        tensors_set_workspace(&w->t, w->m->dev, clflash_plan_workspace_bytes(me->plan));
    if (status != CLFLASH_OK)
        return fail(me->side, status, "workspace");
    me->args = w->t.args;
    me->workspace = w->t.workspace; /* the method's own from here on */
    w->t.workspace = NULL;
    return true;
}

static void close_method(method *me)
{
    clflash_plan_destroy(&me->plan);
    if (me->workspace)
        clReleaseMemObject(me->workspace);
    free(me->time);
}

/* Makes the block mask once and gives it to the calls that follow. */
static void make_block_mask(work *w, method *me, clflash_block_mask **mask)
{
    const clflash_mask *m = &w->d.desc.mask;
    if (!w->d.desc.docs && !m->segments && !m->positions)
        return;
    if (clflash_block_mask_create(mask, me->plan) != CLFLASH_OK)
        return; /* an engine without blocks */
    const device *dev = w->m->dev;
    double best = 0;
    for (int round = 0; round < 3; round++) {
        const double start = app_now();
        if (clflash_block_mask_build(*mask, dev->queue, &w->t.args.fwd.arrays, 0, NULL, NULL) !=
                CLFLASH_OK ||
            clFinish(dev->queue) != CL_SUCCESS) {
            clflash_block_mask_destroy(mask);
            return;
        }
        const double took = app_now() - start;
        best = round == 0 || took < best ? took : best;
    }
    w->result->has_block_mask = true;
    w->result->block_mask_ms = 1e3 * best;
    call_set_block_mask(&me->args, *mask);
    clflash_plan_info(me->plan, *mask, &me->side->info);
}

static void summarise(const measurer *m, measure_side *side, timing *t)
{
    side->ms = timing_get(t);
    const double s = side->ms.median * 1e-3;
    if (s <= 0)
        return;
    side->gflops = 1e-9 * side->info.flops / s;
    side->gbs = 1e-9 * side->info.bytes / s;
    const double compute = m->peak.fma_gflops > 0 ? side->gflops / m->peak.fma_gflops : 0;
    const double memory = m->peak.copy_gbs > 0 ? side->gbs / m->peak.copy_gbs : 0;
    side->memory_rules = memory > compute;
    side->peak_share = memory > compute ? memory : compute;
    side->ran = true;
}

/* Whether standard attention is worth trying; a note when not. */
static bool standard_fits(work *w, method *me)
{
    const device *dev = w->m->dev;
    measure_side *side = me->side;
    const bool gpu = strcmp(dev->info.kind, "gpu") == 0;
    /* Before anything was measured: CLBlast on PoCL does 12 to 18 GFLOP/s (2 Zen 4 cores). */
    const double rate = w->m->standard_gflops > 0 ? w->m->standard_gflops : gpu ? 500 : 10;
    const double guess = 1e-9 * measure_full_flops(&w->d.desc) / rate;
    char need[16], have[16];
    if (guess > w->options->standard_limit_s) {
        snprintf(side->note, sizeof side->note, "skipped: about %.0f s a call", guess);
        return false;
    }
    if (side->bytes > dev->info.global_bytes * 9 / 10) {
        snprintf(side->note, sizeof side->note, "skipped: needs %s of %s",
                 app_bytes((double)side->bytes, need),
                 app_bytes((double)dev->info.global_bytes, have));
        return false;
    }
    return true;
}

static bool begin_timing(work *w, method *me)
{
    me->time = malloc(sizeof *me->time);
    const clflash_status status =
        me->time ? timing_begin(me->time, w->m->dev, me->plan, &me->args) : CLFLASH_OUT_OF_MEMORY;
    return status == CLFLASH_OK || fail(me->side, status, "run");
}

/* Standard attention ready to be timed beside the flash method. */
static bool open_standard(work *w, method *me)
{
    clflash_attn_desc desc = w->d.desc;
    desc.choice = (clflash_attn_choice){.algo = CLFLASH_ALGO_STANDARD};
    if (!open_method(w, me, &desc) || !standard_fits(w, me) || !open_workspace(w, me))
        return false;
    if (w->options->check && !verify(w, me) && !me->side->checked)
        return false;
    return begin_timing(w, me);
}

/* In turns, so that a change of clock or load meets both. */
static void time_both(work *w, method *flash, method *standard)
{
    const int rounds = standard ? 2 : 1;
    for (int round = 0; round < rounds; round++) {
        method *const both[] = {flash, standard};
        for (int i = 0; i < 2; i++) {
            if (!both[i] || !both[i]->time)
                continue;
            const clflash_status status = timing_run(both[i]->time, w->options->seconds / rounds);
            if (status != CLFLASH_OK) {
                fail(both[i]->side, status, "run");
                free(both[i]->time);
                both[i]->time = NULL;
            }
        }
    }
    if (flash->time)
        summarise(w->m, flash->side, flash->time);
    if (standard && standard->time) {
        summarise(w->m, standard->side, standard->time);
        const double s = standard->side->ms.median * 1e-3;
        const double rate = s > 0 ? 1e-9 * measure_full_flops(&w->d.desc) / s : 0;
        if (w->m->standard_gflops == 0 || rate < w->m->standard_gflops)
            w->m->standard_gflops = rate;
    }
}

static bool run_methods(work *w)
{
    method flash = {.side = &w->result->flash}, standard = {.side = &w->result->standard};
    clflash_block_mask *mask = NULL;
    bool ok = open_method(w, &flash, &w->d.desc) && open_workspace(w, &flash);
    if (ok) {
        make_block_mask(w, &flash, &mask);
        ok = (!w->options->check || verify(w, &flash)) && begin_timing(w, &flash);
    }
    if (ok) {
        if (w->result->wants_standard && !open_standard(w, &standard)) {
            free(standard.time);
            standard.time = NULL;
        }
        time_both(w, &flash, standard.time ? &standard : NULL);
        ok = flash.side->ran && !(standard.side->checked && !standard.side->check.ok);
    }
    clFinish(w->m->dev->queue);
    close_method(&flash);
    close_method(&standard);
    clflash_block_mask_destroy(&mask);
    return ok;
}

/* What the result is compared with. */
static clflash_status make_truth(work *w)
{
    const sizes n = sizes_of(&w->d.desc);
    measure_result *r = w->result;
    if (w->d.desc.op == CLFLASH_OP_BWD) {
        r->rows_all = (int64_t)n.b * n.hq * n.sq;
        if (!check_sample_make(&w->sample, &w->d))
            return CLFLASH_OUT_OF_MEMORY;
        r->rows_checked = (int64_t)w->sample.n_rows * (n.hq / n.hk);
        return CLFLASH_OK;
    }
    const clflash_status status = check_gold_make(&w->gold, &w->d);
    r->rows_checked = w->gold.n_rows;
    r->rows_all = w->gold.all_rows;
    return status;
}

bool measure_problem(measurer *m, const clflash_attn_desc *desc, const measure_options *options,
                     measure_result *result)
{
    *result = (measure_result){.desc = *desc};
    clflash_attn_desc_print(desc, result->problem, sizeof result->problem);
    const bool is_standard =
        desc->choice.algo == CLFLASH_ALGO_STANDARD || strcmp(desc->choice.engine, "standard") == 0;
    result->wants_standard = options->standard && !is_standard;
    work w = {.m = m, .options = options, .result = result};
    data_init(&w.d, desc);
    clflash_status status = data_fill(&w.d, options->seed) ? CLFLASH_OK : CLFLASH_OUT_OF_MEMORY;
    if (status == CLFLASH_OK && options->check)
        status = make_truth(&w);
    if (status == CLFLASH_OK)
        status = tensors_make(&w.t, m->dev, &w.d);
    for (int i = 0; i < TENSORS_MAX_OUTPUTS && status == CLFLASH_OK; i++)
        if (!(w.output[i] = malloc((size_t)w.t.output_bytes[i] + 1)))
            status = CLFLASH_OUT_OF_MEMORY;
    const bool ok = status == CLFLASH_OK ? run_methods(&w) : fail(&result->flash, status, "data");
    for (int i = 0; i < TENSORS_MAX_OUTPUTS; i++)
        free(w.output[i]);
    tensors_free(&w.t);
    check_gold_free(&w.gold);
    check_sample_free(&w.sample);
    data_free(&w.d);
    return ok;
}
