/* device.c -- running a case on a device, through the public interface. */
#include "tests/support/device.h"

#include "lib/plan/engine.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static clft_session session;

static void on_log(void *user, clflash_log_level level, const char *line)
{
    (void)user;
    if (level <= CLFLASH_LOG_WARNING && getenv("CLFT_LOG"))
        fprintf(stderr, "clflash: %s\n", line);
}

static void require(cl_int status, const char *what)
{
    ck_assert_msg(status == CL_SUCCESS, "%s: %s", what, clflash_status_string(status));
}

clft_session *clft_session_get(void)
{
    if (session.ctx)
        return &session;
    const clflash_context_params params = {
        .cache_dir = "", .log = on_log, .log_level = CLFLASH_LOG_WARNING};
    require(clflash_context_create(&session.ctx, &params), "clflash_context_create");
    cl_int status;
    const cl_queue_properties list[] = {CL_QUEUE_PROPERTIES, CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE,
                                        0};
    const cl_context cl = clflash_context_cl(session.ctx);
    const cl_device_id device = clflash_context_device(session.ctx);
    session.in_order = clCreateCommandQueueWithProperties(cl, device, NULL, &status);
    require(status, "an in-order queue");
    session.out_of_order = clCreateCommandQueueWithProperties(cl, device, list, &status);
    if (status != CL_SUCCESS)
        session.out_of_order = NULL;
    return &session;
}

void clft_session_end(void)
{
    if (!session.ctx)
        return;
    clReleaseCommandQueue(session.in_order);
    if (session.out_of_order)
        clReleaseCommandQueue(session.out_of_order);
    clflash_context_destroy(&session.ctx);
}

const char *clft_engine_of(clflash_op op, int index)
{
    int32_t n;
    const clfi_engine *const *engines = clfi_engines(op, &n);
    return index < n ? engines[index]->name : NULL;
}

const char *clft_engine(int index) { return clft_engine_of(CLFLASH_OP_FWD, index); }

/* ---- buffers ---- */

static void set_view(const clft_upload *u, const clft_case *c, int array, const int64_t strides[3],
                     clflash_view *view)
{
    if (!u->mem[array])
        return;
    view->buffer = u->mem[array];
    view->offset_bytes = c->image[array].offset;
    memcpy(view->stride_bytes, strides, sizeof view->stride_bytes);
}

static void set_buffer(const clft_upload *u, const clft_case *c, int array, clflash_buffer *buffer)
{
    buffer->buffer = u->mem[array];
    buffer->offset_bytes = u->mem[array] ? c->image[array].offset : 0;
}

static void set_mask(const clft_upload *u, const clft_case *c, int array,
                     const clflash_host_mask *host, clflash_mask_view *view)
{
    if (!u->mem[array])
        return;
    view->buffer = u->mem[array];
    view->offset_bytes = c->image[array].offset;
    view->dtype = host->dtype;
    memcpy(view->extent, host->extent, sizeof view->extent);
    memcpy(view->stride_bytes, host->stride_bytes, sizeof view->stride_bytes);
}

static void set_bwd(clft_upload *u, const clft_case *c)
{
    const clflash_attn_fwd_args *f = &u->args;
    const clflash_attn_bwd_host_args *host = &c->bwd;
    clflash_attn_bwd_args *a = &u->bwd;
    const clflash_host_mask dbias = {
        .dtype = host->dbias.dtype,
        .extent = {host->dbias.extent[0],       host->dbias.extent[1],       host->dbias.extent[2]},
        .stride_bytes = {host->dbias.stride_bytes[0], host->dbias.stride_bytes[1],
                   host->dbias.stride_bytes[2]                                                    }
    };
    *a = (clflash_attn_bwd_args){.q = f->q,
                                 .k = f->k,
                                 .v = f->v,
                                 .o = f->o,
                                 .lse = f->lse,
                                 .beta = host->beta,
                                 .arrays = f->arrays,
                                 .alibi = f->alibi,
                                 .sink = f->sink,
                                 .bias = f->bias,
                                 .boolean = f->boolean};
    set_view(u, c, CLFT_DOUT, host->dout_stride_bytes, &a->dout);
    set_view(u, c, CLFT_DQ, host->dq_stride_bytes, &a->dq);
    set_view(u, c, CLFT_DK, host->dk_stride_bytes, &a->dk);
    set_view(u, c, CLFT_DV, host->dv_stride_bytes, &a->dv);
    set_buffer(u, c, CLFT_DSINK, &a->dsink);
    set_mask(u, c, CLFT_DBIAS, &dbias, &a->dbias);
}

void clft_upload_make(clft_upload *u, const clft_session *s, const clft_case *c)
{
    *u = (clft_upload){0};
    for (int i = 0; i < CLFT_N_ARRAYS; i++) {
        const clft_image *m = &c->image[i];
        cl_int status;
        if (!m->bytes)
            continue;
        u->mem[i] =
            clCreateBuffer(clflash_context_cl(s->ctx), CL_MEM_READ_WRITE | CL_MEM_COPY_HOST_PTR,
                           (size_t)m->total, m->bytes, &status);
        require(status, "a buffer");
    }
    clflash_attn_fwd_args *a = &u->args;
    set_view(u, c, CLFT_Q, c->args.q_stride_bytes, &a->q);
    set_view(u, c, CLFT_K, c->args.k_stride_bytes, &a->k);
    set_view(u, c, CLFT_V, c->args.v_stride_bytes, &a->v);
    set_view(u, c, CLFT_O, c->args.o_stride_bytes, &a->o);
    if (c->args.lse)
        set_buffer(u, c, CLFT_LSE, &a->lse);
    set_buffer(u, c, CLFT_Q_SEG, &a->arrays.q_segments);
    set_buffer(u, c, CLFT_KV_SEG, &a->arrays.kv_segments);
    set_buffer(u, c, CLFT_Q_POS, &a->arrays.q_positions);
    set_buffer(u, c, CLFT_KV_POS, &a->arrays.kv_positions);
    set_buffer(u, c, CLFT_KV_LEN, &a->arrays.kv_lengths);
    set_buffer(u, c, CLFT_ALIBI, &a->alibi);
    set_buffer(u, c, CLFT_SINK, &a->sink);
    set_mask(u, c, CLFT_BIAS, &c->args.bias, &a->bias);
    set_mask(u, c, CLFT_BOOL, &c->args.boolean, &a->boolean);
    set_bwd(u, c);
}

void clft_upload_free(clft_upload *u)
{
    clflash_block_mask_destroy(&u->mask);
    for (int i = 0; i < CLFT_N_ARRAYS; i++)
        if (u->mem[i])
            clReleaseMemObject(u->mem[i]);
    if (u->workspace)
        clReleaseMemObject(u->workspace);
    *u = (clft_upload){0};
}

static void read_image(const clft_session *s, cl_mem mem, const clft_image *m, char **to)
{
    free(*to);
    *to = malloc((size_t)m->total);
    require(clEnqueueReadBuffer(s->in_order, mem, CL_TRUE, 0, (size_t)m->total, *to, 0, NULL, NULL),
            "reading a result");
}

void clft_download(const clft_upload *u, const clft_session *s, clft_case *c)
{
    for (int array = 0; array < CLFT_N_ARRAYS; array++)
        if (clft_is_output(c, array))
            read_image(s, u->mem[array], &c->image[array], &c->got[array]);
}

void clft_repoison(const clft_upload *u, const clft_session *s, const clft_case *c)
{
    for (int array = 0; array < CLFT_N_ARRAYS; array++)
        if (clft_is_output(c, array))
            require(clEnqueueWriteBuffer(s->in_order, u->mem[array], CL_TRUE, 0,
                                         (size_t)c->image[array].total, c->image[array].bytes, 0,
                                         NULL, NULL),
                    "poisoning an output");
}

/* ---- plans and calls ---- */

clflash_plan *clft_plan(const clft_session *s, const clft_case *c, const char *engine, char *why,
                        size_t why_bytes)
{
    clflash_plan *plan = NULL;
    clflash_attn_desc desc = c->p.desc;
    snprintf(desc.choice.engine, sizeof desc.choice.engine, "%s", engine);
    const clflash_plan_params params = {.max_workspace_bytes =
                                            c->variant.workspace == 2 ? 1 << 20 : 0};
    const clflash_status status = desc.op == CLFLASH_OP_BWD
                                      ? clflash_attn_bwd_plan(&plan, s->ctx, &desc, &params)
                                      : clflash_attn_fwd_plan(&plan, s->ctx, &desc, &params);
    if (status == CLFLASH_OK)
        return plan;
    clflash_context_last_error(s->ctx, why, why_bytes);
    ck_assert_msg(status == CLFLASH_UNSUPPORTED, "%s engine=%s: %s: %s", c->name, engine,
                  clflash_status_string(status), why);
    return NULL;
}

static void call_failed(const clft_session *s, const clft_case *c, clflash_status status)
{
    char text[1024];
    ck_assert_msg(status == CLFLASH_OK, "%s: %s: %s", c->name, clflash_status_string(status),
                  clflash_context_last_error(s->ctx, text, sizeof text));
}

/* INVALID_ARGUMENT: the engine has no use for a block mask (standard attention). */
static void make_mask(const clft_session *s, const clft_case *c, const clflash_plan *plan,
                      clft_upload *u, cl_command_queue queue, cl_event *built)
{
    if (!c->variant.mask || !c->p.blocks || u->mask)
        return;
    const clflash_status status = clflash_block_mask_create(&u->mask, plan);
    ck_assert(status == CLFLASH_OK || status == CLFLASH_INVALID_ARGUMENT);
    if (status != CLFLASH_OK)
        return;
    call_failed(s, c, clflash_block_mask_build(u->mask, queue, &u->args.arrays, 0, NULL, built));
    u->args.block_mask = u->bwd.block_mask = u->mask;
}

static void make_workspace(const clft_session *s, const clft_case *c, const clflash_plan *plan,
                           clft_upload *u)
{
    const int64_t bytes = clflash_plan_workspace_bytes(plan), offset = 4096;
    cl_int status;
    if (c->variant.workspace != 1 || bytes == 0 || u->workspace)
        return;
    u->workspace = clCreateBuffer(clflash_context_cl(s->ctx), CL_MEM_READ_WRITE,
                                  (size_t)(bytes + offset), NULL, &status);
    require(status, "a workspace");
    u->args.workspace = u->bwd.workspace = (clflash_buffer){u->workspace, offset};
}

void clft_execute(const clft_session *s, const clft_case *c, const clflash_plan *plan,
                  clft_upload *u)
{
    cl_event wait[2] = {NULL, NULL}, done = NULL;
    cl_uint n = 0;
    cl_int status = CL_SUCCESS;
    const bool out_of_order = c->variant.queue == 1 && s->out_of_order;
    const cl_command_queue queue = out_of_order ? s->out_of_order : s->in_order;
    make_workspace(s, c, plan, u);
    make_mask(s, c, plan, u, queue, &wait[0]);
    n += wait[0] != NULL;
    if (out_of_order) {
        wait[n++] = clCreateUserEvent(clflash_context_cl(s->ctx), &status);
        require(status, "a user event");
    }
    const cl_event *const list = n ? wait : NULL;
    call_failed(s, c,
                c->p.op == CLFLASH_OP_BWD
                    ? clflash_attn_bwd(plan, queue, &u->bwd, n, list, &done)
                    : clflash_attn_fwd(plan, queue, &u->args, n, list, &done));
    ck_assert_ptr_nonnull(done);
    if (out_of_order) {
        cl_int state;
        require(clFlush(queue), "flush");
        require(clGetEventInfo(done, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof state, &state, NULL),
                "an event's state");
        ck_assert_msg(state > CL_COMPLETE || c->p.b == 0 || c->p.sq == 0,
                      "%s: complete before its wait list", c->name);
        require(clSetUserEventStatus(wait[n - 1], CL_COMPLETE), "releasing the call");
    }
    require(clWaitForEvents(1, &done), "waiting for the result");
    clReleaseEvent(done);
    while (n > 0)
        clReleaseEvent(wait[--n]);
}

bool clft_run(clft_case *c, const char *engine)
{
    clft_session *s = clft_session_get();
    char why[1024];
    clft_upload u;
    clflash_plan *plan = clft_plan(s, c, engine, why, sizeof why);
    if (!plan) {
        if (getenv("CLFT_LOG"))
            fprintf(stderr, "# %s: %s cannot: %s\n", c->name, engine, why);
        return false;
    }
    clft_upload_make(&u, s, c);
    clft_execute(s, c, plan, &u);
    clft_download(&u, s, c);
    clft_upload_free(&u);
    clflash_plan_destroy(&plan);
    return true;
}

bool clft_run_checked(clft_case *c, const char *engine)
{
    char why[512];
    if (!c->solved)
        clft_case_solve(c);
    if (getenv("CLFT_LOG"))
        fprintf(stderr, "# %s engine=%s\n", c->name, engine);
    if (!clft_run(c, engine))
        return false;
    ck_assert_msg(clft_case_check(c, why, sizeof why), "\"%s\" engine=%s: %s", c->name, engine,
                  why);
    return true;
}

bool clft_left_out(const char *engine, int ran, int n_cases)
{
    const char *const every = getenv("CLFT_FALLBACKS_EVERY");
    const bool fallback = strcmp(engine, "simt") == 0 || strcmp(engine, "standard") == 0;
    return every && fallback && ran > 0 && n_cases % atoi(every) != 0;
}

void clft_check_engines(clft_case *c)
{
    static int n_cases;
    int ran = 0;
    const char *const only = getenv("CLFT_ENGINE");
    const char *engine;
    for (int i = 0; (engine = clft_engine_of(c->p.op, i)); i++)
        if (only ? strcmp(only, engine) == 0 : !clft_left_out(engine, ran, n_cases))
            ran += clft_run_checked(c, engine);
    n_cases++;
    /* A single engine may leave out what it cannot, but not the one case asked for. */
    ck_assert_msg(ran > 0 || (only && !getenv("CLFT_CASE")), "%s: no engine ran it", c->name);
    clft_case_free(c);
}

void clft_check_text(const char *text)
{
    clft_case c;
    clft_case_make_text(&c, text);
    clft_check_engines(&c);
}
