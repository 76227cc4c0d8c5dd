/* attn_args.c -- a caller's views against the plan's rules; kernel arguments. (L4)
 * Nothing here allocates; every rule has its own status and names what broke it. */
#include "lib/base/checked.h"
#include "lib/ops/plan.h"

#include <string.h>

/* Where a tensor lies, for the overlap rule. */
typedef struct span {
    const char *name;
    cl_mem root;
    int64_t first, last;       /* bytes of the root, [first, last) */
    int64_t period, in_period; /* rows repeat every `period` bytes; [0, in_period) of it used */
} span;

/* out[0..3] of check_view and check_mask into members of the kernels' struct. */
#define SET(a, off, sb, ss, sh, out)                                                               \
    ((a)->off = (out)[0], (a)->sb = (out)[1], (a)->ss = (out)[2], (a)->sh = (out)[3])

typedef struct checker {
    const clflash_context *ctx;
    clfi_err *err;
    span inputs[24]; /* the outputs that were checked already, too */
    int32_t n_inputs;
} checker;

static clflash_status check_buffer(checker *c, const char *name, cl_mem mem, int64_t offset,
                                   int64_t bytes, int64_t element, span *s)
{
    clfi_mem_facts facts;
    CLF_REQUIRE(c->err, offset >= 0 && offset % element == 0, CLFLASH_INVALID_STRIDE,
                "%s: offset %lld is negative or no multiple of the element's %lld bytes", name,
                (long long)offset, (long long)element);
    CLF_TRY(clfi_mem_get_facts(c->ctx, mem, &facts, c->err));
    CLF_REQUIRE(c->err, facts.same_context, CLFLASH_FOREIGN_CONTEXT,
                "%s: the buffer belongs to another OpenCL context", name);
    CLF_REQUIRE(c->err, offset <= facts.bytes && bytes <= facts.bytes - offset,
                CLFLASH_BUFFER_TOO_SMALL,
                "%s: offset %lld + %lld bytes reach past the buffer's %lld", name,
                (long long)offset, (long long)bytes, (long long)facts.bytes);
    *s = (span){.name = name,
                .root = facts.root,
                .first = facts.root_offset + offset,
                .last = facts.root_offset + offset + bytes};
    return CLFLASH_OK;
}

static void add_input(checker *c, const span *s) { c->inputs[c->n_inputs++] = *s; }

/* Presence: needed and NULL, or given and unused. */
static clflash_status check_presence(checker *c, const char *name, cl_mem mem, bool used,
                                     bool needed)
{
    CLF_REQUIRE(c->err, mem || !needed, CLFLASH_NULL_BUFFER, "%s: the buffer is NULL", name);
    CLF_REQUIRE(c->err, !mem || used, CLFLASH_EXTRA_BUFFER,
                "%s: a buffer is given but the problem does not use it", name);
    return CLFLASH_OK;
}

/* One packed array of `count` elements. off gets its offset in elements. */
static clflash_status check_array(checker *c, const char *name, const clflash_buffer *b, bool used,
                                  bool needed, int64_t count, int64_t element, clf_i64 *off,
                                  span *out)
{
    span s;
    CLF_TRY(check_presence(c, name, b->buffer, used, needed));
    if (!b->buffer)
        return CLFLASH_OK;
    CLF_TRY(check_buffer(c, name, b->buffer, b->offset_bytes, count * element, element, &s));
    *off = b->offset_bytes / element;
    if (out)
        *out = s;
    else
        add_input(c, &s);
    return CLFLASH_OK;
}

/* Bytes from the first to one past the last element of a strided view. */
static clflash_status view_bytes(checker *c, const char *name, const int64_t n[3],
                                 const int64_t stride[3], int64_t row_bytes, int64_t element,
                                 int64_t *bytes)
{
    *bytes = row_bytes;
    for (int axis = 0; axis < 3; axis++) {
        static const char *const axes[] = {"batch", "sequence", "head"};
        CLF_REQUIRE(c->err, stride[axis] >= 0 && stride[axis] % element == 0,
                    CLFLASH_INVALID_STRIDE,
                    "%s: %s stride %lld is negative or no multiple of the element's %lld bytes",
                    name, axes[axis], (long long)stride[axis], (long long)element);
        CLF_REQUIRE(c->err, clfi_mul_add(n[axis] - 1, stride[axis], *bytes, bytes),
                    CLFLASH_BUFFER_TOO_SMALL, "%s: %s stride %lld reaches past 2^63 bytes", name,
                    axes[axis], (long long)stride[axis]);
    }
    return CLFLASH_OK;
}

/* An output's rows must not overlap each other: each stride, in rising order, steps over
 * all that the smaller ones cover. */
clflash_status clfi_check_output_rows(const char *name, const int64_t n[3], const int64_t stride[3],
                                      int64_t row_bytes, clfi_err *err)
{
    int order[3] = {0, 1, 2};
    for (int i = 0; i < 3; i++)
        for (int j = i + 1; j < 3; j++)
            if (stride[order[j]] < stride[order[i]]) {
                const int t = order[i];
                order[i] = order[j];
                order[j] = t;
            }
    int64_t covered = row_bytes;
    for (int i = 0; i < 3; i++) {
        const int axis = order[i];
        if (n[axis] <= 1)
            continue;
        CLF_REQUIRE(err, stride[axis] >= covered, CLFLASH_BUFFER_OVERLAP,
                    "%s: stride %lld makes rows of the output overlap (%lld bytes lie below it)",
                    name, (long long)stride[axis], (long long)covered);
        covered = stride[axis] * (n[axis] - 1) + covered;
    }
    return CLFLASH_OK;
}

/* A tensor [B, S, H, width]. */
typedef struct shape {
    const char *name;
    int32_t len, heads, width;
    int64_t element; /* bytes */
} shape;

/* out[0..3] = offset and strides in elements. */
static clflash_status check_view(checker *c, const shape *t, const clflash_view *v,
                                 const clfi_attn *p, clf_i64 out[4], span *output)
{
    const char *name = t->name;
    const int64_t element = t->element, row = t->width * element;
    const int64_t n[3] = {p->b, t->len, t->heads};
    const bool empty = p->b == 0 || t->len == 0;
    span s = {0};
    CLF_TRY(check_presence(c, name, v->buffer, true, !empty));
    if (empty)
        return CLFLASH_OK;
    int64_t stride[3], bytes;
    if (v->stride_bytes[0] || v->stride_bytes[1] || v->stride_bytes[2]) {
        memcpy(stride, v->stride_bytes, sizeof stride);
    } else {
        const bool bhsd = p->layout == CLFLASH_LAYOUT_BHSD;
        stride[0] = row * t->len * t->heads;
        stride[1] = bhsd ? row : row * t->heads;
        stride[2] = bhsd ? row * t->len : row;
    }
    CLF_TRY(view_bytes(c, name, n, stride, row, element, &bytes));
    if (output)
        CLF_TRY(clfi_check_output_rows(name, n, stride, row, c->err));
    CLF_TRY(check_buffer(c, name, v->buffer, v->offset_bytes, bytes, element, &s));
    s.period = stride[1];
    s.in_period = (n[2] - 1) * stride[2] + row;
    if (p->b > 1 && (stride[1] == 0 || stride[0] % stride[1] != 0))
        s.period = 0;
    out[0] = v->offset_bytes / element;
    for (int axis = 0; axis < 3; axis++) /* an axis of one element has no stride to speak of */
        out[1 + axis] = n[axis] > 1 ? stride[axis] / element : 0;
    if (output)
        *output = s;
    else
        add_input(c, &s);
    return CLFLASH_OK;
}

/* A mask [B|1, Hq|1, Sq|1, Sk]; out as above, stride 0 = broadcast. n gets its extents;
 * output, for a gradient, where it lies. */
static clflash_status check_mask_view(checker *c, const char *name, const clflash_mask_view *v,
                                      const clfi_attn *p, int64_t element, clf_i64 out[4],
                                      int64_t n[3], span *output)
{
    static const char *const axes[] = {"batch", "head", "query"};
    const int64_t full[3] = {p->b, p->hq, p->sq};
    int64_t stride[3], bytes, packed = p->sk * element;
    const bool strided = v->stride_bytes[0] || v->stride_bytes[1] || v->stride_bytes[2];
    for (int axis = 2; axis >= 0; axis--) {
        const int64_t extent = v->extent[axis];
        CLF_REQUIRE(c->err, extent == 0 || extent == 1 || extent == full[axis],
                    CLFLASH_INVALID_SIZE, "%s: %s extent %lld is neither 1 nor the problem's %lld",
                    name, axes[axis], (long long)extent, (long long)full[axis]);
        n[axis] = extent == 0 ? full[axis] : extent;
        stride[axis] = strided ? v->stride_bytes[axis] : packed;
        CLF_REQUIRE(c->err, clfi_mul_add(packed, n[axis], 0, &packed), CLFLASH_BUFFER_TOO_SMALL,
                    "%s: it passes 2^63 bytes", name);
    }
    if (n[0] == 0 || n[1] == 0 || n[2] == 0)
        return CLFLASH_OK;
    CLF_TRY(view_bytes(c, name, n, stride, p->sk * element, element, &bytes));
    if (output)
        CLF_TRY(clfi_check_output_rows(name, n, stride, p->sk * element, c->err));
    span s;
    CLF_TRY(check_buffer(c, name, v->buffer, v->offset_bytes, bytes, element, &s));
    if (output)
        *output = s;
    else
        add_input(c, &s);
    out[0] = v->offset_bytes / element;
    for (int axis = 0; axis < 3; axis++)
        out[1 + axis] = n[axis] > 1 ? stride[axis] / element : 0;
    return CLFLASH_OK;
}

static clflash_status check_mask(checker *c, const char *name, const clflash_mask_view *v,
                                 const clfi_attn *p, bool used, int64_t element, clf_i64 out[4])
{
    const bool empty = p->b == 0 || p->sq == 0 || p->sk == 0;
    int64_t n[3];
    CLF_TRY(check_presence(c, name, v->buffer, used, used && !empty));
    return !used || empty ? CLFLASH_OK : check_mask_view(c, name, v, p, element, out, n, NULL);
}

/* Two views that share a token's period, as slices of one packed tensor do, may lie in
 * each other's range without touching. */
static bool interleaved(const span *a, const span *b)
{
    if (a->period <= 0 || a->period != b->period || a->in_period > a->period ||
        b->in_period > b->period)
        return false;
    const int64_t gap = ((b->first - a->first) % a->period + a->period) % a->period;
    return gap >= a->in_period && gap + b->in_period <= a->period;
}

static clflash_status check_overlap(const checker *c, const span *output)
{
    for (int32_t i = 0; output->root && i < c->n_inputs; i++) {
        const span *in = &c->inputs[i];
        CLF_REQUIRE(c->err,
                    in->root != output->root || in->last <= output->first ||
                        output->last <= in->first || interleaved(in, output),
                    CLFLASH_BUFFER_OVERLAP, "%s: it overlaps %s in one buffer", output->name,
                    in->name);
    }
    return CLFLASH_OK;
}

static clflash_status check_arrays(checker *c, clfi_attn_call *call, const clfi_attn *p,
                                   const clflash_mask_arrays *m)
{
    const clflash_mask *mask = &p->desc.mask;
    const int64_t nq = (int64_t)p->b * p->sq, nk = (int64_t)p->b * p->sk;
    const bool some = nq > 0 && nk > 0, seg = p->seg, pos = mask->positions;
    clf_attn_args *a = &call->a;
    CLF_TRY(
        check_array(c, "q_segments", &m->q_segments, seg, seg && some, nq, 4, &a->q_seg_off, NULL));
    CLF_TRY(check_array(c, "kv_segments", &m->kv_segments, seg, seg && some, nk, 4, &a->kv_seg_off,
                        NULL));
    CLF_TRY(check_array(c, "q_positions", &m->q_positions, pos, pos && some, nq, 4, &a->q_pos_off,
                        NULL));
    CLF_TRY(check_array(c, "kv_positions", &m->kv_positions, pos, pos && some, nk, 4,
                        &a->kv_pos_off, NULL));
    CLF_TRY(check_array(c, "kv_lengths", &m->kv_lengths, p->kvlen, p->kvlen && some, p->b, 4,
                        &a->kv_len_off, NULL));
    call->q_seg = m->q_segments.buffer;
    call->kv_seg = m->kv_segments.buffer;
    call->q_pos = m->q_positions.buffer;
    call->kv_pos = m->kv_positions.buffer;
    call->kv_len = m->kv_lengths.buffer;
    return CLFLASH_OK;
}

static void fill_sizes(clfi_attn_call *call, const clfi_attn *p)
{
    clf_attn_args *a = &call->a;
    a->b = p->b;
    a->hq = p->hq;
    a->hk = p->hk;
    a->sq = p->sq;
    a->sk = p->sk;
    a->group = p->group;
    a->q_pos0 = p->q_pos0;
    a->band_lo = p->band_lo;
    a->band_hi = p->band_hi;
    a->scale = p->scale;
    a->softcap = p->softcap;
}

clflash_status clfi_attn_call_arrays(clfi_attn_call *call, const clflash_context *ctx,
                                     const clfi_attn *p, const clflash_mask_arrays *arrays,
                                     clfi_err *err)
{
    checker c = {.ctx = ctx, .err = err};
    fill_sizes(call, p);
    return check_arrays(&c, call, p, arrays);
}

static clflash_status check_terms(checker *c, clfi_attn_call *call, const clfi_attn *p,
                                  const clflash_attn_fwd_args *args)
{
    const bool rows = p->b > 0 && p->sq > 0, some = rows && p->sk > 0;
    clf_attn_args *a = &call->a;
    CLF_TRY(check_array(c, "alibi", &args->alibi, p->alibi, p->alibi && some, p->hq, 4,
                        &a->alibi_off, NULL));
    CLF_TRY(check_array(c, "sink", &args->sink, p->sink, p->sink && rows, p->hq, 4, &a->sink_off,
                        NULL));
    const clflash_dtype dtype = args->bias.dtype;
    CLF_REQUIRE(c->err, !p->bias || dtype == CLFLASH_F32 || dtype == p->dtype,
                CLFLASH_INVALID_DTYPE, "bias: its dtype is neither f32 nor the problem's");
    clf_i64 out[4] = {0};
    CLF_TRY(
        check_mask(c, "bias", &args->bias, p, p->bias, (int64_t)clflash_dtype_bytes(dtype), out));
    SET(a, bias_off, bias_sb, bias_sh, bias_ss, out);
    memset(out, 0, sizeof out);
    CLF_TRY(check_mask(c, "boolean", &args->boolean, p, p->boolean, 1, out));
    SET(a, bool_off, bool_sb, bool_sh, bool_ss, out);
    a->bias_f32 = dtype == CLFLASH_F32;
    call->alibi = args->alibi.buffer;
    call->sink = args->sink.buffer;
    call->bias = args->bias.buffer;
    call->boolean = args->boolean.buffer;
    return CLFLASH_OK;
}

static clflash_status check_workspace(checker *c, clfi_attn_call *call, const clflash_plan *plan,
                                      const clflash_buffer *w, span *s)
{
    if (!w->buffer || plan->workspace_bytes == 0)
        return CLFLASH_OK;
    const clflash_status status =
        check_buffer(c, "workspace", w->buffer, w->offset_bytes, plan->workspace_bytes, 16, s);
    if (status == CLFLASH_BUFFER_TOO_SMALL)
        return clfi_fail(c->err, CLFLASH_WORKSPACE_TOO_SMALL,
                         "workspace: the plan asks for %lld bytes from offset %lld on",
                         (long long)plan->workspace_bytes, (long long)w->offset_bytes);
    call->workspace = w->buffer;
    call->workspace_offset = w->offset_bytes;
    return status;
}

static clflash_status check_block_mask(checker *c, clfi_attn_call *call, const clflash_plan *plan,
                                       const clflash_block_mask *m)
{
    if (!m)
        return CLFLASH_OK;
    CLF_TRY(clfi_block_mask_fits(m, plan, c->err));
    call->blocks = m->records;
    call->a.blocks_off = 0;
    return CLFLASH_OK;
}

/* q, k, v, the mask arrays and the terms: what forward and backward read alike. */
static clflash_status check_inputs(checker *c, clfi_attn_call *call, const clflash_plan *plan,
                                   const clflash_attn_fwd_args *args)
{
    const clfi_attn *p = &plan->p;
    const int64_t e = (int64_t)clflash_dtype_bytes(p->dtype);
    clf_attn_args *a = &call->a;
    clf_i64 out[4] = {0};
    fill_sizes(call, p);
    a->nqb = plan->nqb;
    a->nkb = plan->nkb;
    a->splits = plan->split.n;
    CLF_TRY(check_view(c, &(shape){"q", p->sq, p->hq, p->d, e}, &args->q, p, out, NULL));
    SET(a, q_off, q_sb, q_ss, q_sh, out);
    CLF_TRY(check_view(c, &(shape){"k", p->sk, p->hk, p->d, e}, &args->k, p, out, NULL));
    SET(a, k_off, k_sb, k_ss, k_sh, out);
    CLF_TRY(check_view(c, &(shape){"v", p->sk, p->hk, p->dv, e}, &args->v, p, out, NULL));
    SET(a, v_off, v_sb, v_ss, v_sh, out);
    CLF_TRY(check_arrays(c, call, p, &args->arrays));
    CLF_TRY(check_terms(c, call, p, args));
    call->q = args->q.buffer;
    call->k = args->k.buffer;
    call->v = args->v.buffer;
    call->o = args->o.buffer;
    call->lse = args->lse.buffer;
    return CLFLASH_OK;
}

/* An output against all inputs and the outputs before it. */
static clflash_status add_output(checker *c, const span *output)
{
    CLF_TRY(check_overlap(c, output));
    if (output->root)
        add_input(c, output);
    return CLFLASH_OK;
}

clflash_status clfi_attn_call_make(clfi_attn_call *call, const clflash_plan *plan,
                                   const clflash_attn_fwd_args *args, clfi_err *err)
{
    const clfi_attn *p = &plan->p;
    const int64_t e = (int64_t)clflash_dtype_bytes(p->dtype);
    checker c = {.ctx = plan->ctx, .err = err};
    clf_attn_args *a = &call->a;
    span o = {0}, lse = {0}, workspace = {0};
    clf_i64 out[4] = {0};
    CLF_TRY(check_inputs(&c, call, plan, args));
    CLF_TRY(check_view(&c, &(shape){"o", p->sq, p->hq, p->dv, e}, &args->o, p, out, &o));
    SET(a, o_off, o_sb, o_ss, o_sh, out);
    CLF_TRY(check_array(&c, "lse", &args->lse, true, false, (int64_t)p->b * p->hq * p->sq, 4,
                        &a->lse_off, &lse));
    CLF_TRY(check_workspace(&c, call, plan, &args->workspace, &workspace));
    CLF_TRY(add_output(&c, &o));
    CLF_TRY(add_output(&c, &lse));
    CLF_TRY(add_output(&c, &workspace));
    CLF_TRY(check_block_mask(&c, call, plan, args->block_mask));
    a->want_lse = args->lse.buffer != NULL;
    return CLFLASH_OK;
}

/* dq, dk, dv: NULL where not wanted. */
static clflash_status check_gradient(checker *c, const shape *t, const clflash_view *v,
                                     const clfi_attn *p, clf_i64 out[4], clf_i32 *want, cl_mem *mem)
{
    span s = {0};
    *want = v->buffer != NULL;
    *mem = v->buffer;
    if (!v->buffer)
        return CLFLASH_OK;
    CLF_TRY(check_view(c, t, v, p, out, &s));
    return add_output(c, &s);
}

/* Extents are the bias's: a gradient of another shape would be of another function. */
static clflash_status check_dbias(checker *c, clfi_attn_bwd_call *call, const clfi_attn *p,
                                  const clflash_attn_bwd_args *args)
{
    static const char *const axes[] = {"batch", "head", "query"};
    const clflash_mask_view *v = &args->dbias;
    const int64_t full[3] = {p->b, p->hq, p->sq};
    clf_attn_bwd_args *x = &call->x;
    clf_i64 out[4] = {0};
    int64_t n[3] = {0};
    span s = {0};
    CLF_TRY(check_presence(c, "dbias", v->buffer, p->bias, false));
    if (!v->buffer)
        return CLFLASH_OK;
    CLF_REQUIRE(c->err, v->dtype == CLFLASH_F32 || v->dtype == p->dtype, CLFLASH_INVALID_DTYPE,
                "dbias: its dtype is neither f32 nor the problem's");
    CLF_TRY(check_mask_view(c, "dbias", v, p, (int64_t)clflash_dtype_bytes(v->dtype), out, n, &s));
    for (int axis = 0; axis < 3; axis++) {
        const int64_t extent = args->bias.extent[axis] ? args->bias.extent[axis] : full[axis];
        CLF_REQUIRE(c->err, n[axis] == extent, CLFLASH_INVALID_SIZE,
                    "dbias: its %s extent is %lld, the bias's %lld", axes[axis], (long long)n[axis],
                    (long long)extent);
    }
    SET(x, dbias_off, dbias_sb, dbias_sh, dbias_ss, out);
    x->dbias_f32 = v->dtype == CLFLASH_F32;
    x->dbias_b = (clf_i32)n[0];
    x->dbias_h = (clf_i32)n[1];
    x->dbias_q = (clf_i32)n[2];
    call->dbias = v->buffer;
    return add_output(c, &s);
}

static clflash_status check_gradients(checker *c, clfi_attn_bwd_call *call, const clfi_attn *p,
                                      const clflash_attn_bwd_args *args)
{
    const int64_t e = p->grad_f32 ? 4 : (int64_t)clflash_dtype_bytes(p->dtype);
    clf_attn_bwd_args *x = &call->x;
    clf_i64 out[4] = {0};
    span s = {0};
    CLF_TRY(check_gradient(c, &(shape){"dq", p->sq, p->hq, p->d, e}, &args->dq, p, out, &x->want_dq,
                           &call->dq));
    SET(x, dq_off, dq_sb, dq_ss, dq_sh, out);
    CLF_TRY(check_gradient(c, &(shape){"dk", p->sk, p->hk, p->d, e}, &args->dk, p, out, &x->want_dk,
                           &call->dk));
    SET(x, dk_off, dk_sb, dk_ss, dk_sh, out);
    CLF_TRY(check_gradient(c, &(shape){"dv", p->sk, p->hk, p->dv, e}, &args->dv, p, out,
                           &x->want_dv, &call->dv));
    SET(x, dv_off, dv_sb, dv_ss, dv_sh, out);
    CLF_TRY(check_array(c, "dsink", &args->dsink, p->sink, false, p->hq, 4, &x->dsink_off, &s));
    call->dsink = args->dsink.buffer;
    CLF_TRY(add_output(c, &s));
    x->beta_dq = args->beta.dq;
    x->beta_dk = args->beta.dk;
    x->beta_dv = args->beta.dv;
    x->beta_dsink = args->beta.dsink;
    x->beta_dbias = args->beta.dbias;
    return check_dbias(c, call, p, args);
}

/* o and lse of the forward; with recompute they are the workspace's. */
static clflash_status check_saved(checker *c, clfi_attn_call *call, const clfi_attn *p,
                                  const clflash_attn_bwd_args *args)
{
    const int64_t e = (int64_t)clflash_dtype_bytes(p->dtype);
    const int64_t rows = (int64_t)p->b * p->hq * p->sq;
    clf_attn_args *a = &call->a;
    clf_i64 out[4] = {0};
    CLF_REQUIRE(c->err, !p->recompute || !(args->o.buffer || args->lse.buffer),
                CLFLASH_EXTRA_BUFFER,
                "o or lse is given but the problem says recompute: they are made again");
    if (p->recompute)
        return CLFLASH_OK;
    CLF_TRY(check_view(c, &(shape){"o", p->sq, p->hq, p->dv, e}, &args->o, p, out, NULL));
    SET(a, o_off, o_sb, o_ss, o_sh, out);
    return check_array(c, "lse", &args->lse, true, rows > 0, rows, 4, &a->lse_off, NULL);
}

clflash_status clfi_attn_bwd_call_make(clfi_attn_bwd_call *call, const clflash_plan *plan,
                                       const clflash_attn_bwd_args *args, clfi_err *err)
{
    const clfi_attn *p = &plan->p;
    const int64_t e = (int64_t)clflash_dtype_bytes(p->dtype);
    checker c = {.ctx = plan->ctx, .err = err};
    clf_attn_bwd_args *x = &call->x;
    span workspace = {0};
    clf_i64 out[4] = {0};
    const clflash_attn_fwd_args fwd = {.q = args->q,
                                       .k = args->k,
                                       .v = args->v,
                                       .o = args->o,
                                       .lse = args->lse,
                                       .arrays = args->arrays,
                                       .alibi = args->alibi,
                                       .sink = args->sink,
                                       .bias = args->bias,
                                       .boolean = args->boolean};
    CLF_TRY(check_inputs(&c, &call->f, plan, &fwd));
    CLF_TRY(check_saved(&c, &call->f, p, args));
    CLF_TRY(check_view(&c, &(shape){"dout", p->sq, p->hq, p->dv, e}, &args->dout, p, out, NULL));
    SET(x, do_off, do_sb, do_ss, do_sh, out);
    call->dout = args->dout.buffer;
    CLF_TRY(check_gradients(&c, call, p, args));
    CLF_TRY(check_workspace(&c, &call->f, plan, &args->workspace, &workspace));
    CLF_TRY(add_output(&c, &workspace));
    return check_block_mask(&c, &call->f, plan, args->block_mask);
}

int32_t clfi_attn_call_mask_args(const clfi_attn_call *call, const clfi_attn *p, clfi_arg *args)
{
    const struct {
        bool used;
        const cl_mem *mem;
    } list[] = {
        {p->seg,     &call->q_seg  },
        {p->seg,     &call->kv_seg },
        {p->pos,     &call->q_pos  },
        {p->pos,     &call->kv_pos },
        {p->kvlen,   &call->kv_len },
        {p->blocks,  &call->blocks },
        {p->alibi,   &call->alibi  },
        {p->sink,    &call->sink   },
        {p->bias,    &call->bias   },
        {p->boolean, &call->boolean},
    };
    int32_t n = 0;
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++)
        if (list[i].used)
            args[n++] = (clfi_arg){sizeof(cl_mem), *list[i].mem ? list[i].mem : NULL};
    return n;
}
