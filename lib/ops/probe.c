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
#define LSE_TOLERANCE 2e-4

/* What came back, and what should have. */
typedef struct results {
    void *o;
    float *lse;
    double *want_o, *want_lse;
} results;

static clflash_status judge(const clfi_case *host, const clfi_device_case *dev,
                            cl_command_queue queue, const results *r, clfi_err *err)
{
    const clfi_attn *p = &host->p;
    const double tolerance = clfi_verify_tolerance(p);
    CLF_TRY(clfi_mem_read(queue, dev->mem[CLFI_MEM_O], 0, dev->o_bytes, r->o, err));
    CLF_TRY(clfi_mem_read(queue, dev->mem[CLFI_MEM_LSE], 0, dev->lse_bytes, r->lse, err));
    const clflash_status status =
        clflash_ref_attn_fwd_f64(&p->desc, &host->args, r->want_o, r->want_lse);
    CLF_REQUIRE(err, status == CLFLASH_OK, status, "probe: the reference failed");
    const double o = clfi_verify_o(p, r->o, r->want_o);
    const double lse = clfi_verify_lse(p, r->lse, r->want_lse);
    CLF_REQUIRE(err, o <= tolerance, CLFLASH_WRONG_RESULT,
                "probe: error %.3g > tolerance %.3g with sq%d sk%d d%d", o, tolerance, p->sq, p->sk,
                p->d);
    CLF_REQUIRE(err, lse <= LSE_TOLERANCE, CLFLASH_WRONG_RESULT,
                "probe: error of LSE %.3g > tolerance %.3g with sq%d sk%d d%d", lse, LSE_TOLERANCE,
                p->sq, p->sk, p->d);
    return CLFLASH_OK;
}

static clflash_status compare(const clfi_case *host, const clfi_device_case *dev,
                              cl_command_queue queue, clfi_err *err)
{
    const clflash_allocator *a = host->allocator;
    const size_t n_o = (size_t)clfi_case_o_elements(&host->p);
    const size_t n_lse = (size_t)clfi_case_lse_elements(&host->p);
    const results r = {clfi_alloc(a, n_o, 4), clfi_alloc(a, n_lse, sizeof(float)),
                       clfi_alloc(a, n_o, sizeof(double)), clfi_alloc(a, n_lse, sizeof(double))};
    const clflash_status status =
        r.o && r.lse && r.want_o && r.want_lse
            ? judge(host, dev, queue, &r, err)
            : clfi_fail(err, CLFLASH_OUT_OF_MEMORY, "no memory for a probe");
    clfi_free(a, r.o);
    clfi_free(a, r.lse);
    clfi_free(a, r.want_o);
    clfi_free(a, r.want_lse);
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
    if (status == CLFLASH_OK) {
        status = clflash_attn_fwd(plan, queue, &dev.args, 0, NULL, NULL);
        if (status == CLFLASH_OK)
            status = compare(host, &dev, queue, err);
        else
            clfi_fail(err, status, "probe: %s", clflash_status_string(status));
    }
    clflash_plan_destroy(&plan);
    clfi_device_case_free(&dev);
    return status;
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
    int at = 0;
    for (; at < N_PROBE_CASES; at++) {
        snprintf(text, sizeof text, "fwd %s %s", clfi_dtype_name(dtype), probe_cases[at]);
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

static int32_t index_of(const clfi_engine *engine)
{
    for (int32_t i = 0; i < clfi_n_attn_fwd_engines && i < CLFI_MAX_ENGINES; i++)
        if (clfi_attn_fwd_engines[i] == engine)
            return i;
    return -1;
}

clfi_probe_state clfi_probe_peek(clflash_context *ctx, const clfi_engine *engine,
                                 clflash_dtype dtype, char *reason, size_t reason_bytes)
{
    clfi_ops_state *s;
    const int32_t i = index_of(engine);
    if (reason_bytes)
        reason[0] = '\0';
    if (i < 0 || clfi_ops_state_get(ctx, &s, NULL) != CLFLASH_OK)
        return CLFI_PROBE_UNKNOWN;
    pthread_mutex_lock(&s->probe_lock);
    const clfi_probe_result r = s->probes[i][dtype];
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
    const int32_t i = index_of(engine);
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
        s->probes[i][dtype] = r;
        pthread_mutex_unlock(&s->probe_lock);
    }
    CLF_REQUIRE(err, r.state == CLFI_PROBE_OK, CLFLASH_UNSUPPORTED, "%s: %s", engine->name,
                r.reason);
    return CLFLASH_OK;
}
