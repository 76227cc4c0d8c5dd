/* probe.c -- whether an engine's result is right on this device: built, run on a small
 * ragged case and compared with the reference, once per context, engine and dtype. (L4) */
#include "lib/base/half.h"
#include "lib/ops/ops_state.h"
#include "lib/ops/tune_case.h"

#include <clflash/ref.h>
#include <math.h>
#include <stdio.h>

/* A tail in every dimension, more than one block, a diagonal, grouped heads; the second for
 * engines that are made for few queries. */
static const char *const probe_cases[] = {"b2 hq4 hk2 sq37 sk85 d40 dv24 causal",
                                          "b2 hq4 hk2 sq3 sk85 d40 dv24 causal"};
#define N_PROBE_CASES 2

static clflash_status judge(const clfi_device_case *dev, int32_t i, const void *got,
                            const double *want, clfi_err *err)
{
    const clfi_attn *p = &dev->p;
    const clfi_output *out = &dev->output[i];
    const double tolerance = clfi_output_tolerance(p, out, clfi_output_largest(p, out, got));
    const double error = clfi_output_error(p, out, got, want);
    CLF_REQUIRE(err, error <= tolerance, CLFLASH_WRONG_RESULT,
                "probe: error of %s %.3g > tolerance %.3g with sq%d sk%d d%d", out->name, error,
                tolerance, p->sq, p->sk, p->d);
    return CLFLASH_OK;
}

static clflash_status compare(const clfi_case *host, const clfi_device_case *dev,
                              cl_command_queue queue, clfi_err *err)
{
    const clflash_allocator *a = host->allocator;
    double *want[CLFI_MAX_OUTPUTS] = {NULL};
    void *got[CLFI_MAX_OUTPUTS] = {NULL};
    bool memory = true;
    for (int32_t i = 0; i < dev->n_outputs; i++) {
        want[i] =
            clfi_alloc(a, (size_t)clfi_output_elements(&dev->p, &dev->output[i]), sizeof(double));
        got[i] = clfi_alloc(a, (size_t)dev->output_bytes[i], 1);
        memory = memory && want[i] && got[i];
    }
    clflash_status status = memory ? clfi_case_reference(host, want)
                                   : clfi_fail(err, CLFLASH_OUT_OF_MEMORY, "no memory for a probe");
    for (int32_t i = 0; i < dev->n_outputs && status == CLFLASH_OK; i++) {
        status = clfi_device_case_read(dev, queue, i, got[i], err);
        if (status == CLFLASH_OK)
            status = judge(dev, i, got[i], want[i], err);
    }
    for (int32_t i = 0; i < dev->n_outputs; i++) {
        clfi_free(a, want[i]);
        clfi_free(a, got[i]);
    }
    return status;
}

static clflash_status run_case(clflash_context *ctx, const clfi_case *host,
                               const clfi_candidate *candidate, clfi_err *err)
{
    const cl_command_queue queue = clflash_context_queue(ctx);
    clfi_device_case dev;
    clflash_plan *plan = NULL;
    CLF_TRY(clfi_device_case_make(&dev, ctx, queue, host, err));
    clflash_status status = clfi_plan_candidate(&plan, ctx, &host->p, candidate, err);
    if (status == CLFLASH_OK)
        status = clfi_device_case_poison(&dev, queue, host->allocator, err);
    if (status == CLFLASH_OK) {
        status = clfi_device_case_run(&dev, plan, queue, NULL, NULL);
        if (status == CLFLASH_OK)
            status = compare(host, &dev, queue, err);
        else
            clfi_fail(err, status, "probe: %s", clflash_status_string(status));
    }
    clflash_plan_destroy(&plan);
    clfi_device_case_free(&dev);
    return status;
}

/* The engine's place among those of its operation. */
static int32_t index_of(const clfi_engine *engine, clflash_op *op)
{
    for (*op = CLFLASH_OP_FWD; *op <= CLFLASH_OP_BWD; (*op)++) {
        int32_t n;
        const clfi_engine *const *engines = clfi_engines(*op, &n);
        for (int32_t i = 0; i < n && i < CLFI_MAX_ENGINES; i++)
            if (engines[i] == engine)
                return i;
    }
    return -1;
}

static clflash_status run(clflash_context *ctx, const clfi_engine *engine, clflash_dtype dtype,
                          clfi_err *err)
{
    char text[96];
    clflash_attn_desc desc;
    clfi_attn p;
    clfi_case host;
    clfi_candidate candidate = {.engine = engine, .origin = "safe"};
    const clfi_profile *dev = clfi_context_profile(ctx);
    clflash_op op;
    int at = 0;
    if (index_of(engine, &op) < 0)
        return clfi_fail(err, CLFLASH_INTERNAL, "%s is not in the list of engines", engine->name);
    for (; at < N_PROBE_CASES; at++) {
        snprintf(text, sizeof text, "%s %s %s", op == CLFLASH_OP_BWD ? "bwd" : "fwd",
                 clfi_dtype_name(dtype), probe_cases[at]);
        CLF_TRY(clflash_attn_desc_parse(&desc, text, err->text, sizeof err->text));
        CLF_TRY(clfi_attn_resolve(&p, &desc, err));
        if (engine->can(&p, dev, err) == CLFLASH_OK)
            break;
    }
    if (at == N_PROBE_CASES) /* made for other problems: not judged by these */
        return CLFLASH_OK;
    engine->safe(&p, dev, &candidate.row);
    CLF_TRY(engine->fits(&p, dev, &candidate.row, err));
    CLF_TRY(clfi_case_make(&host, &p, clfi_context_allocator(ctx), 1, err));
    const clflash_status status = run_case(ctx, &host, &candidate, err);
    clfi_case_free(&host);
    return status;
}

clfi_probe_state clfi_probe_peek(clflash_context *ctx, const clfi_engine *engine,
                                 clflash_dtype dtype, char *reason, size_t reason_bytes)
{
    clfi_ops_state *s;
    clflash_op op;
    const int32_t i = index_of(engine, &op);
    if (reason_bytes)
        reason[0] = '\0';
    if (i < 0 || clfi_ops_state_get(ctx, &s, NULL) != CLFLASH_OK)
        return CLFI_PROBE_UNKNOWN;
    pthread_mutex_lock(&s->probe_lock);
    const clfi_probe_result r = s->probes[op][i][dtype];
    pthread_mutex_unlock(&s->probe_lock);
    if (reason_bytes)
        snprintf(reason, reason_bytes, "%s", r.reason);
    return r.state;
}

/* What says nothing of the engine: it must not be turned off for it. */
static bool is_passing(clflash_status status)
{
    return status == CLFLASH_OUT_OF_MEMORY || status == CL_OUT_OF_HOST_MEMORY ||
           status == CL_MEM_OBJECT_ALLOCATION_FAILURE;
}

clflash_status clfi_probe(clflash_context *ctx, const clfi_engine *engine, clflash_dtype dtype,
                          clfi_err *err)
{
    clfi_ops_state *s;
    clfi_probe_result r = {0};
    CLF_TRY(clfi_ops_state_get(ctx, &s, err));
    clflash_op op;
    const int32_t i = index_of(engine, &op);
    CLF_REQUIRE(err, i >= 0, CLFLASH_INTERNAL, "%s is not in the list of engines", engine->name);
    r.state = clfi_probe_peek(ctx, engine, dtype, r.reason, sizeof r.reason);
    if (r.state == CLFI_PROBE_UNKNOWN) {
        clfi_err why = {0};
        const clflash_status status = run(ctx, engine, dtype, &why);
        if (is_passing(status))
            return clfi_fail(err, status, "probe of %s: %.1900s", engine->name, why.text);
        r.state = status == CLFLASH_OK ? CLFI_PROBE_OK : CLFI_PROBE_OFF;
        snprintf(r.reason, sizeof r.reason, "%.*s", (int)sizeof r.reason - 1,
                 status == CLFLASH_OK ? "" : why.text);
        if (r.state == CLFI_PROBE_OFF)
            clfi_log(ctx, CLFLASH_LOG_WARNING, "engine %s is off on this device: %s", engine->name,
                     why.text);
        pthread_mutex_lock(&s->probe_lock);
        s->probes[op][i][dtype] = r;
        pthread_mutex_unlock(&s->probe_lock);
    }
    CLF_REQUIRE(err, r.state == CLFI_PROBE_OK, CLFLASH_UNSUPPORTED, "%s: %s", engine->name,
                r.reason);
    return CLFLASH_OK;
}
