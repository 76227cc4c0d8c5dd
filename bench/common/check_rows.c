/* check_rows.c -- chosen query rows as a problem of their own. (bench) */
#include "bench/common/check_rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The problem [1, rows, 1, D] and what it owns. */
typedef struct slice {
    clflash_attn_desc desc;
    clflash_attn_host_args args;
    void *q, *dout, *bias, *boolean;
    int32_t *q_seg, *q_pos, *kv_pos;
} slice;

/* Byte offset of row (b, s, h) in a packed [B,S,H,w] or [B,H,S,w] tensor. */
static int64_t row_offset(const data *d, const data_spec *spec, int64_t b, int64_t s, int64_t h)
{
    const bool bhsd = d->desc.layout == CLFLASH_LAYOUT_BHSD;
    const int64_t outer = bhsd ? h : s, inner = bhsd ? s : h;
    const int64_t row = (b * spec->dim[1] + outer) * spec->dim[2] + inner;
    return row * spec->dim[3] * (int64_t)data_type_bytes(spec->type);
}

/* K or V of one head where it lies. */
static const void *view(const data *d, data_id id, int32_t b, int32_t h, int64_t stride[3])
{
    const data_spec *spec = &d->spec[id];
    const bool bhsd = d->desc.layout == CLFLASH_LAYOUT_BHSD;
    const int64_t row = spec->dim[3] * (int64_t)data_type_bytes(spec->type);
    stride[0] = stride[2] = row; /* one batch, one head: not used, but not all zero */
    stride[1] = bhsd ? row : spec->dim[2] * row;
    if (data_count(spec) == 0)
        return d->array[id];
    return (const char *)d->array[id] + row_offset(d, spec, b, 0, h);
}

/* The chosen rows of q or do, packed. */
static void *copy_rows(const data *d, data_id id, int32_t b, int32_t h, const int32_t *i,
                       int32_t rows)
{
    const data_spec *spec = &d->spec[id];
    const size_t row = (size_t)spec->dim[3] * data_type_bytes(spec->type);
    char *copy = malloc((size_t)rows * row + 1);
    for (int32_t r = 0; copy && r < rows; r++)
        memcpy(copy + (size_t)r * row, (const char *)d->array[id] + row_offset(d, spec, b, i[r], h),
               row);
    return copy;
}

/* The chosen rows of a mask [B|1, Hq|1, Sq|1, Sk]; one row where queries are broadcast. */
static void *mask_rows(const data *d, data_id id, int32_t b, int32_t h, const int32_t *i,
                       int32_t rows, clflash_host_mask *mask)
{
    const data_spec *spec = &d->spec[id];
    const int64_t *dim = spec->dim;
    const size_t bytes = (size_t)dim[3] * data_type_bytes(spec->type);
    const bool one = dim[2] == 1;
    const int32_t n = one ? 1 : rows;
    char *copy = malloc((size_t)n * bytes + 1);
    for (int32_t r = 0; copy && r < n; r++) {
        const int64_t bb = dim[0] == 1 ? 0 : b, hh = dim[1] == 1 ? 0 : h, ii = one ? 0 : i[r];
        memcpy(copy + (size_t)r * bytes,
               (const char *)d->array[id] + (size_t)((bb * dim[1] + hh) * dim[2] + ii) * bytes,
               bytes);
    }
    *mask = (clflash_host_mask){
        .data = copy,
        .dtype = spec->type == DATA_F32 ? CLFLASH_F32 : d->desc.dtype,
        .extent = {1, 1, one ? 1 : 0}
    };
    return copy;
}

static bool take_masks(slice *s, const data *d, int32_t b, int32_t h, const int32_t *i,
                       int32_t rows)
{
    bool ok = true;
    if (d->desc.bias) {
        s->bias = mask_rows(d, DATA_BIAS, b, h, i, rows, &s->args.bias);
        ok = ok && s->bias;
    }
    if (d->desc.mask.boolean) {
        s->boolean = mask_rows(d, DATA_BOOL, b, h, i, rows, &s->args.boolean);
        ok = ok && s->boolean;
    }
    return ok;
}

/* Positions are given as arrays here, made from the alignment where the problem has none:
 * the slice's own alignment would count from other lengths. */
static bool take_arrays(slice *s, const data *d, int32_t b, const int32_t *i, int32_t rows)
{
    const sizes n = sizes_of(&d->desc);
    const clflash_mask *m = &d->desc.mask;
    const bool top_left =
        m->causal == CLFLASH_CAUSAL_TOP_LEFT || m->align == CLFLASH_ALIGN_TOP_LEFT;
    const int32_t *q_pos = d->array[DATA_Q_POS], *kv_pos = d->array[DATA_K_POS];
    const int32_t *q_seg = d->array[DATA_Q_SEG], *kv_seg = d->array[DATA_K_SEG];
    s->q_pos = malloc((size_t)rows * sizeof(int32_t));
    s->kv_pos = malloc(((size_t)n.sk + 1) * sizeof(int32_t));
    s->q_seg = malloc((size_t)rows * sizeof(int32_t));
    if (!s->q_pos || !s->kv_pos || !s->q_seg)
        return false;
    for (int32_t r = 0; r < rows; r++) {
        const int64_t at = (int64_t)b * n.sq + i[r];
        s->q_pos[r] = q_pos ? q_pos[at] : top_left ? i[r] : i[r] + n.sk - n.sq;
        s->q_seg[r] = q_seg ? q_seg[at] : 0;
    }
    for (int32_t j = 0; j < n.sk; j++)
        s->kv_pos[j] = kv_pos ? kv_pos[(int64_t)b * n.sk + j] : j;
    s->args.q_positions = s->q_pos;
    s->args.kv_positions = s->kv_pos;
    if (q_seg) {
        s->args.q_segments = s->q_seg;
        s->args.kv_segments = kv_seg + (int64_t)b * n.sk;
    }
    return true;
}

static bool slice_make(slice *s, const data *d, int32_t b, int32_t h, const int32_t *i,
                       int32_t rows)
{
    const sizes n = sizes_of(&d->desc);
    const int32_t hk = h / (n.hq / n.hk);
    *s = (slice){.desc = d->desc};
    s->desc.batch = s->desc.q_heads = s->desc.kv_heads = 1;
    s->desc.q_len = rows;
    s->desc.kv_len = n.sk ? n.sk : CLFLASH_EMPTY;
    s->desc.layout = CLFLASH_LAYOUT_BSHD;
    s->desc.choice = (clflash_attn_choice){0};
    s->desc.docs = 0;
    s->desc.mask.segments = d->array[DATA_Q_SEG] != NULL;
    s->desc.mask.positions = true;
    s->q = copy_rows(d, DATA_Q, b, h, i, rows);
    s->dout = d->array[DATA_DOUT] ? copy_rows(d, DATA_DOUT, b, h, i, rows) : NULL;
    if (!s->q || (d->array[DATA_DOUT] && !s->dout) || !take_arrays(s, d, b, i, rows) ||
        !take_masks(s, d, b, h, i, rows))
        return false;
    s->args.q = s->q;
    s->args.k = view(d, DATA_K, b, hk, s->args.k_stride_bytes);
    s->args.v = view(d, DATA_V, b, hk, s->args.v_stride_bytes);
    if (d->array[DATA_KV_LEN])
        s->args.kv_lengths = (const int32_t *)d->array[DATA_KV_LEN] + b;
    if (d->array[DATA_ALIBI])
        s->args.alibi = (const float *)d->array[DATA_ALIBI] + h;
    if (d->array[DATA_SINK])
        s->args.sink = (const float *)d->array[DATA_SINK] + h;
    return true;
}

static void slice_free(slice *s)
{
    void *const owned[] = {s->q, s->dout, s->bias, s->boolean, s->q_seg, s->q_pos, s->kv_pos};
    for (size_t a = 0; a < sizeof owned / sizeof owned[0]; a++)
        free(owned[a]);
}

/* Score of query r and key j as standard attention has it: every step rounded to the
 * dtype, as when the scores are written out and read back. */
static float standard_score(const slice *s, const float *q, const float *k, int32_t r, int32_t j,
                            float *slope)
{
    const clflash_attn_desc *desc = &s->desc;
    const clflash_dtype t = desc->dtype;
    const float scale =
        desc->scale != 0 ? desc->scale : (float)(1.0 / sqrt((double)desc->head_dim));
    float dot = 0;
    for (int32_t c = 0; c < desc->head_dim; c++)
        dot += q[c] * k[c];
    float x = data_round(scale * dot, t);
    *slope = 1; /* d score / d(scale q.k) */
    if (desc->softcap != 0) {
        const float y = tanhf(x / desc->softcap);
        *slope = data_round(1 - y * y, t);
        x = data_round(desc->softcap * y, t);
    }
    if (desc->alibi)
        x = data_round(x - s->args.alibi[0] * fabsf((float)((int64_t)s->q_pos[r] - s->kv_pos[j])),
                       t);
    if (desc->bias) {
        const clflash_host_mask *m = &s->args.bias;
        const int32_t sk = sizes_of(desc).sk;
        const int64_t at = (int64_t)(m->extent[2] == 1 ? 0 : r) * sk + j;
        x = data_round(x + data_load(m->data, m->dtype, at), t);
    }
    return x;
}

/* One row of standard attention in the dtype: o, and for the backward the weights p [Sk] and
 * the slopes of the scores [Sk]. */
static void standard_row(const slice *s, const float *q, const float *k, const float *v, int32_t r,
                         float *p, float *slope, float *o)
{
    const sizes n = sizes_of(&s->desc);
    const clflash_dtype t = s->desc.dtype;
    float max = s->desc.sink ? s->args.sink[0] : -INFINITY;
    for (int32_t j = 0; j < n.sk; j++) {
        p[j] = clflash_ref_visible(&s->desc, &s->args, 0, 0, r, j)
                   ? standard_score(s, q, k + (int64_t)j * n.d, r, j, &slope[j])
                   : -INFINITY;
        max = p[j] > max ? p[j] : max;
    }
    const float base = max == -INFINITY ? 0 : max;
    float sum = s->desc.sink ? expf(s->args.sink[0] - base) : 0;
    for (int32_t j = 0; j < n.sk; j++)
        sum += p[j] = expf(p[j] - base);
    memset(o, 0, (size_t)n.dv * sizeof *o);
    for (int32_t j = 0; j < n.sk; j++) {
        if (p[j] == 0) /* masked keys may hold anything, NaN included */
            continue;
        const float weight = p[j] = data_round(p[j] / sum, t);
        for (int32_t c = 0; c < n.dv; c++)
            o[c] += weight * v[(int64_t)j * n.dv + c];
    }
}

static float *widen(const void *rows, const int64_t stride[3], clflash_dtype dtype, int32_t n,
                    int32_t width)
{
    float *wide = malloc(((size_t)n * (size_t)width + 1) * sizeof *wide);
    const int64_t step = stride ? stride[1] : width * (int64_t)clflash_dtype_bytes(dtype);
    for (int32_t j = 0; wide && j < n; j++)
        for (int32_t c = 0; c < width; c++)
            wide[(int64_t)j * width + c] = data_load((const char *)rows + j * step, dtype, c);
    return wide;
}

static bool standard_rows(const slice *s, const double *want, double *largest)
{
    const sizes n = sizes_of(&s->desc);
    float *q = widen(s->args.q, NULL, s->desc.dtype, n.sq, n.d);
    float *k = widen(s->args.k, s->args.k_stride_bytes, s->desc.dtype, n.sk, n.d);
    float *v = widen(s->args.v, s->args.v_stride_bytes, s->desc.dtype, n.sk, n.dv);
    float *p = malloc(((size_t)n.sk + 1) * sizeof *p), *o = malloc((size_t)n.dv * sizeof *o);
    float *slope = malloc(((size_t)n.sk + 1) * sizeof *slope);
    const bool ok = q && k && v && p && slope && o;
    *largest = 0;
    for (int32_t r = 0; ok && r < n.sq; r++) {
        standard_row(s, q + (int64_t)r * n.d, k, v, r, p, slope, o);
        for (int32_t c = 0; c < n.dv; c++) {
            const double e = fabs(data_round(o[c], s->desc.dtype) - want[(int64_t)r * n.dv + c]);
            *largest = e > *largest ? e : *largest; /* NaN: not counted */
        }
    }
    float *const owned[] = {q, k, v, p, slope, o};
    for (size_t a = 0; a < sizeof owned / sizeof owned[0]; a++)
        free(owned[a]);
    return ok;
}

clflash_status check_rows(const data *d, int32_t b, int32_t h, const int32_t *i, int32_t rows,
                          double *o, double *lse, double *standard_error)
{
    slice s;
    clflash_status status = CLFLASH_OUT_OF_MEMORY;
    if (slice_make(&s, d, b, h, i, rows)) {
        status = clflash_ref_attn_fwd_f64(&s.desc, &s.args, o, lse);
        if (status == CLFLASH_OK && !standard_rows(&s, o, standard_error))
            status = CLFLASH_OUT_OF_MEMORY;
    }
    slice_free(&s);
    return status;
}

/* ---- backward ---- */

/* What standard attention adds to the gradients for one row: p and slope as standard_row left
 * them, o its output. */
static void standard_row_bwd(const slice *s, const float *q, const float *k, const float *v,
                             const float *dout, const float *p, const float *slope, const float *o,
                             float *dq, check_gradients *g)
{
    const sizes n = sizes_of(&s->desc);
    const clflash_dtype t = s->desc.dtype;
    const float scale = s->desc.scale != 0 ? s->desc.scale : (float)(1.0 / sqrt((double)n.d));
    float delta = 0, delta_terms = 0, terms = 0;
    for (int32_t c = 0; c < n.dv; c++) {
        delta += data_round(o[c], t) * dout[c];
        delta_terms += fabsf(o[c] * dout[c]);
    }
    for (int32_t j = 0; j < n.sk; j++) {
        const float *const vj = v + (int64_t)j * n.dv, *const kj = k + (int64_t)j * n.d;
        float dp = 0, dp_terms = delta_terms;
        if (!(p[j] > 0))
            continue;
        for (int32_t c = 0; c < n.dv; c++) {
            dp += dout[c] * vj[c];
            dp_terms += fabsf(dout[c] * vj[c]);
            g->bdv[(int64_t)j * n.dv + c] += p[j] * dout[c];
        }
        const float ds = data_round(p[j] * (data_round(dp, t) - delta), t);
        const float dt = scale * data_round(ds * slope[j], t);
        for (int32_t c = 0; c < n.d; c++) {
            dq[c] += dt * kj[c];
            g->bdk[(int64_t)j * n.d + c] += dt * q[c];
        }
        terms += fabsf(scale * p[j]) * dp_terms * fabsf(kj[0]);
    }
    g->terms = terms > g->terms ? terms : g->terms;
}

static bool standard_bwd(const slice *s, check_gradients *g)
{
    const sizes n = sizes_of(&s->desc);
    const clflash_dtype t = s->desc.dtype;
    const size_t sk = (size_t)n.sk + 1;
    float *const a[] = {
        widen(s->args.q, NULL, t, n.sq, n.d),
        widen(s->args.k, s->args.k_stride_bytes, t, n.sk, n.d),
        widen(s->args.v, s->args.v_stride_bytes, t, n.sk, n.dv),
        widen(s->dout, NULL, t, n.sq, n.dv),
        malloc(sk * sizeof(float)),
        malloc(sk * sizeof(float)),
        malloc((size_t)n.dv * sizeof(float)),
    };
    bool ok = true;
    for (size_t i = 0; i < sizeof a / sizeof a[0]; i++)
        ok = ok && a[i];
    for (int32_t r = 0; ok && r < n.sq; r++) {
        const float *const q = a[0] + (int64_t)r * n.d;
        standard_row(s, q, a[1], a[2], r, a[4], a[5], a[6]);
        standard_row_bwd(s, q, a[1], a[2], a[3] + (int64_t)r * n.dv, a[4], a[5], a[6],
                         g->bdq + (int64_t)r * n.d, g);
    }
    for (size_t i = 0; i < sizeof a / sizeof a[0]; i++)
        free(a[i]);
    return ok;
}

static void add(double *to, const double *from, int64_t n)
{
    for (int64_t e = 0; e < n; e++)
        to[e] += from[e];
}

/* The reference on the slice; its dk and dv are added to g's. */
static clflash_status reference_bwd(const slice *s, check_gradients *g)
{
    const sizes n = sizes_of(&s->desc);
    const int64_t n_k = (int64_t)n.sk * n.d, n_v = (int64_t)n.sk * n.dv;
    double *dk = malloc(((size_t)n_k + 1) * sizeof *dk),
           *dv = malloc(((size_t)n_v + 1) * sizeof *dv);
    const clflash_attn_bwd_host_args args = {.fwd = s->args, .dout = s->dout};
    const clflash_ref_gradients out = {
        .dq = g->dq, .dk = dk, .dv = dv, .dsink = s->desc.sink ? &g->dsink : NULL};
    clflash_status status = CLFLASH_OUT_OF_MEMORY;
    if (dk && dv)
        status = clflash_ref_attn_bwd_f64(&s->desc, &args, &out);
    if (status == CLFLASH_OK) {
        add(g->dk, dk, n_k);
        add(g->dv, dv, n_v);
    }
    free(dk);
    free(dv);
    return status;
}

clflash_status check_rows_bwd(const data *d, int32_t b, int32_t h, const int32_t *i, int32_t rows,
                              check_gradients *g)
{
    slice s;
    clflash_status status = CLFLASH_OUT_OF_MEMORY;
    g->dsink = 0;
    if (slice_make(&s, d, b, h, i, rows)) {
        status = reference_bwd(&s, g);
        if (status == CLFLASH_OK && !standard_bwd(&s, g))
            status = CLFLASH_OUT_OF_MEMORY;
    }
    slice_free(&s);
    return status;
}
