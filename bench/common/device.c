/* device.c -- opening a device, buffers, copies. (bench) */
#include "bench/common/device.h"

#include <string.h>

/* An open context keeps its errors for app_status, which says what was being done. */
static void on_log(void *user, clflash_log_level level, const char *line)
{
    const device *dev = user;
    if (level == CLFLASH_LOG_WARNING || !dev->ctx)
        app_message(dev->app, "%s: %s", level == CLFLASH_LOG_ERROR ? "error" : "warning", line);
}

/* The description of the device that the context runs on. */
static bool find_info(device *dev)
{
    int32_t count = 0;
    const cl_device_id id = clflash_context_device(dev->ctx);
    clflash_device_count(&count);
    for (int32_t i = 0; i < count; i++)
        if (clflash_device_get(i, &dev->info) == CLFLASH_OK && dev->info.device_id == id)
            return true;
    return false;
}

static cl_int make_queue(device *dev)
{
    const cl_context context = clflash_context_cl(dev->ctx);
    const cl_device_id id = clflash_context_device(dev->ctx);
    cl_int code = CL_SUCCESS;
    dev->queue = clCreateCommandQueue(context, id, CL_QUEUE_PROFILING_ENABLE, &code);
    return code;
}

bool device_open(device *dev, const app *a, const char *tuning_file, int *exit_code)
{
    *dev = (device){.app = a};
    *exit_code = APP_FAILED;
    int32_t count = 0;
    clflash_status status = clflash_device_count(&count);
    if (status != CLFLASH_OK || count == 0) {
        app_message(a, "no OpenCL device: %s",
                    status ? clflash_status_string(status) : "install a driver (PoCL for CPUs)");
        return false;
    }
    if (a->device >= count) {
        app_message(a, "--device %lld: there are devices 0 to %d; see clflash_info",
                    (long long)a->device, count - 1);
        *exit_code = APP_USAGE;
        return false;
    }
    const clflash_context_params params = {.device_number = (int32_t)(a->device + 1),
                                           .log = on_log,
                                           .log_user = dev,
                                           .log_level = CLFLASH_LOG_WARNING,
                                           .tuning_file = tuning_file};
    status = clflash_context_create(&dev->ctx, &params);
    if (status != CLFLASH_OK) {
        app_status(a, NULL, status, "the device cannot be opened");
        return false;
    }
    const cl_int code = find_info(dev) ? make_queue(dev) : CL_DEVICE_NOT_FOUND;
    if (code != CL_SUCCESS) {
        app_status(a, NULL, code, "no queue with profiling");
        device_close(dev);
        return false;
    }
    return true;
}

void device_close(device *dev)
{
    if (dev->queue)
        clReleaseCommandQueue(dev->queue);
    clflash_context_destroy(&dev->ctx);
    dev->queue = NULL;
}

/* A buffer of at least one byte; `from` may be NULL. */
static clflash_status make_buffer(cl_mem *buffer, const device *dev, int64_t bytes,
                                  const void *from)
{
    cl_int code = CL_SUCCESS;
    *buffer = clCreateBuffer(clflash_context_cl(dev->ctx), CL_MEM_READ_WRITE,
                             (size_t)(bytes ? bytes : 1), NULL, &code);
    if (code == CL_SUCCESS && from && bytes)
        code = clEnqueueWriteBuffer(dev->queue, *buffer, CL_TRUE, 0, (size_t)bytes, from, 0, NULL,
                                    NULL);
    return code;
}

static clflash_mask_view mask_view(const data *d, data_id id, cl_mem buffer)
{
    const clflash_attn_host_args host = data_host_args(d);
    const clflash_host_mask *mask = id == DATA_BIAS ? &host.bias : &host.boolean;
    clflash_mask_view view = {.buffer = buffer, .dtype = mask->dtype};
    memcpy(view.extent, mask->extent, sizeof view.extent);
    return view;
}

static void set_args(tensors *t, const data *d)
{
    clflash_attn_fwd_args *f = &t->args.fwd;
    *f = (clflash_attn_fwd_args){
        .q.buffer = t->input[DATA_Q],
        .k.buffer = t->input[DATA_K],
        .v.buffer = t->input[DATA_V],
        .o.buffer = t->o,
        .lse.buffer = t->lse,
        .arrays = {{t->input[DATA_Q_SEG], 0},
                   {t->input[DATA_K_SEG], 0},
                   {t->input[DATA_Q_POS], 0},
                   {t->input[DATA_K_POS], 0},
                   {t->input[DATA_KV_LEN], 0}},
        .alibi.buffer = t->input[DATA_ALIBI],
        .sink.buffer = t->input[DATA_SINK],
    };
    if (t->input[DATA_BIAS])
        f->bias = mask_view(d, DATA_BIAS, t->input[DATA_BIAS]);
    if (t->input[DATA_BOOL])
        f->boolean = mask_view(d, DATA_BOOL, t->input[DATA_BOOL]);
    t->args.backward = d->desc.op == CLFLASH_OP_BWD;
    if (!t->args.backward)
        return;
    t->args.bwd = (clflash_attn_bwd_args){.q = f->q,
                                          .k = f->k,
                                          .v = f->v,
                                          .dout.buffer = t->input[DATA_DOUT],
                                          .dq.buffer = t->output[0],
                                          .dk.buffer = t->output[1],
                                          .dv.buffer = t->output[2],
                                          .arrays = f->arrays,
                                          .alibi = f->alibi,
                                          .sink = f->sink,
                                          .bias = f->bias,
                                          .boolean = f->boolean};
    if (!d->desc.recompute) {
        t->args.bwd.o = f->o;
        t->args.bwd.lse = f->lse;
    }
}

clflash_status call_enqueue(const bench_call *c, const clflash_plan *plan, cl_command_queue queue,
                            cl_event *event)
{
    return c->backward ? clflash_attn_bwd(plan, queue, &c->bwd, 0, NULL, event)
                       : clflash_attn_fwd(plan, queue, &c->fwd, 0, NULL, event);
}

void call_set_block_mask(bench_call *c, const clflash_block_mask *mask)
{
    if (c->backward)
        c->bwd.block_mask = mask;
    else
        c->fwd.block_mask = mask;
}

/* o and lse that a backward reads. */
static clflash_status run_forward(const tensors *t, const device *dev, const data *d)
{
    clflash_attn_desc desc = d->desc;
    clflash_plan *plan = NULL;
    desc.op = CLFLASH_OP_FWD;
    desc.grad_f32 = desc.recompute = false;
    desc.choice = (clflash_attn_choice){.algo = desc.choice.algo};
    clflash_status status = clflash_attn_fwd_plan(&plan, dev->ctx, &desc, NULL);
    if (status == CLFLASH_OK)
        status = clflash_attn_fwd(plan, dev->queue, &t->args.fwd, 0, NULL, NULL);
    if (status == CLFLASH_OK)
        status = clFinish(dev->queue);
    clflash_plan_destroy(&plan);
    return status;
}

/* o; of a backward lse, dq, dk and dv too. */
static clflash_status make_outputs(tensors *t, const device *dev, const data *d)
{
    const bool backward = d->desc.op == CLFLASH_OP_BWD;
    const sizes n = sizes_of(&d->desc);
    const data_spec o = data_output_spec(&d->desc);
    const int64_t o_bytes = data_count(&o) * (int64_t)data_type_bytes(o.type);
    const int64_t lse_bytes = (int64_t)n.b * n.hq * n.sq * 4;
    clflash_status status = make_buffer(&t->o, dev, o_bytes, NULL);
    t->bytes += o_bytes;
    if (!backward) {
        t->n_outputs = 1;
        t->output[0] = t->o;
        t->output_bytes[0] = o_bytes;
        return status;
    }
    if (status == CLFLASH_OK)
        status = make_buffer(&t->lse, dev, lse_bytes, NULL);
    t->bytes += lse_bytes;
    t->n_outputs = 3;
    for (int i = 0; i < 3 && status == CLFLASH_OK; i++) {
        const data_spec g = data_gradient_spec(&d->desc, i);
        t->output_bytes[i] = data_count(&g) * (int64_t)data_type_bytes(g.type);
        t->bytes += t->output_bytes[i];
        status = make_buffer(&t->output[i], dev, t->output_bytes[i], NULL);
    }
    return status;
}

clflash_status tensors_make(tensors *t, const device *dev, const data *d)
{
    *t = (tensors){0};
    clflash_status status = CLFLASH_OK;
    for (int id = 0; id < N_DATA && status == CLFLASH_OK; id++) {
        const data_spec *spec = &d->spec[id];
        if (!d->array[id])
            continue;
        const int64_t bytes = data_count(spec) * (int64_t)data_type_bytes(spec->type);
        status = make_buffer(&t->input[id], dev, bytes, d->array[id]);
        t->bytes += bytes;
    }
    if (status == CLFLASH_OK)
        status = make_outputs(t, dev, d);
    set_args(t, d);
    return status == CLFLASH_OK && t->args.backward ? run_forward(t, dev, d) : status;
}

clflash_status tensors_set_workspace(tensors *t, const device *dev, int64_t bytes)
{
    if (t->workspace)
        clReleaseMemObject(t->workspace);
    t->workspace = NULL;
    clflash_status status = CLFLASH_OK;
    if (bytes > 0)
        status = make_buffer(&t->workspace, dev, bytes, NULL);
    if (t->args.backward)
        t->args.bwd.workspace.buffer = t->workspace;
    else
        t->args.fwd.workspace.buffer = t->workspace;
    return status;
}

clflash_status tensors_set_dout(const tensors *t, const device *dev, const data *d,
                                const void *dout)
{
    const data_spec *spec = &d->spec[DATA_DOUT];
    const int64_t bytes = data_count(spec) * (int64_t)data_type_bytes(spec->type);
    if (bytes == 0)
        return CLFLASH_OK;
    return clEnqueueWriteBuffer(dev->queue, t->input[DATA_DOUT], CL_TRUE, 0, (size_t)bytes, dout, 0,
                                NULL, NULL);
}

clflash_status tensors_poison(const tensors *t, const device *dev)
{
    const uint8_t ones = 0xff; /* all bits set is a NaN in f32, f16 and bf16 */
    clflash_status status = CLFLASH_OK;
    for (int32_t i = 0; i < t->n_outputs && status == CLFLASH_OK; i++)
        if (t->output_bytes[i] > 0)
            status = clEnqueueFillBuffer(dev->queue, t->output[i], &ones, 1, 0,
                                         (size_t)t->output_bytes[i], 0, NULL, NULL);
    return status;
}

clflash_status tensors_read(const tensors *t, const device *dev, int32_t i, void *to)
{
    if (t->output_bytes[i] == 0)
        return CLFLASH_OK;
    return clEnqueueReadBuffer(dev->queue, t->output[i], CL_TRUE, 0, (size_t)t->output_bytes[i], to,
                               0, NULL, NULL);
}

void tensors_free(tensors *t)
{
    for (int id = 0; id < N_DATA; id++)
        if (t->input[id])
            clReleaseMemObject(t->input[id]);
    for (int i = 0; t->args.backward && i < TENSORS_MAX_OUTPUTS; i++)
        if (t->output[i])
            clReleaseMemObject(t->output[i]);
    if (t->lse)
        clReleaseMemObject(t->lse);
    if (t->o)
        clReleaseMemObject(t->o);
    if (t->workspace)
        clReleaseMemObject(t->workspace);
    *t = (tensors){0};
}
