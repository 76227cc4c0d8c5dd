/* ref_attn_fwd.c -- attention forward in double, one obvious loop nest. (L0)
 * docs/math.md#softmax. Serves no call; everything is checked against it. */
#include "lib/base/alloc.h"
#include "lib/base/half.h"
#include "lib/ref/ref.h"

#include <math.h>
#include <string.h>

/* A tensor [B, S, H, width] in host memory, strides in bytes. */
typedef struct tensor {
    const void *data;
    clflash_dtype dtype;
    int32_t width;
    int64_t stride[3]; /* batch, sequence, head */
} tensor;

static tensor make_tensor(const clflash_attn_desc *desc, const void *data, const int64_t given[3],
                          int64_t s, int64_t h, int32_t width)
{
    tensor t = {.data = data, .dtype = desc->dtype, .width = width};
    const int64_t row = width * (int64_t)clflash_dtype_bytes(desc->dtype);
    if (given[0] || given[1] || given[2]) {
        memcpy(t.stride, given, sizeof t.stride);
    } else {
        const bool bhsd = desc->layout == CLFLASH_LAYOUT_BHSD;
        t.stride[0] = s * h * row;
        t.stride[1] = bhsd ? row : h * row;
        t.stride[2] = bhsd ? s * row : row;
    }
    return t;
}

static const void *row_of(const tensor *t, int32_t b, int32_t s, int32_t h)
{
    return (const char *)t->data + b * t->stride[0] + s * t->stride[1] + h * t->stride[2];
}

static void load_row(const tensor *t, int32_t b, int32_t s, int32_t h, double *row, int64_t step)
{
    const void *from = row_of(t, b, s, h);
    for (int32_t c = 0; c < t->width; c++)
        row[c * step] = clfi_load(from, t->dtype, c);
}

/* Working memory of one KV head. */
typedef struct scratch {
    double *q;  /* [D] */
    double *kt; /* [D, Sk]: the sums over D then run over keys at once */
    double *v;  /* [Sk, Dv] */
    double *s;  /* [Sk] scores, then weights */
    bool *sees; /* [Sk] */
} scratch;

/* s[j] = scale q.k, softcap, ALiBi, bias: docs/math.md#softmax. */
static void scores(const clflash_attn_desc *desc, const clflash_attn_host_args *args, int32_t b,
                   int32_t h, int32_t i, const scratch *w)
{
    const clfi_ref_sizes n = clfi_ref_get_sizes(desc);
    const double scale = desc->scale != 0 ? desc->scale : 1.0 / sqrt((double)n.d);
    memset(w->s, 0, (size_t)n.sk * sizeof *w->s);
    for (int32_t c = 0; c < n.d; c++)
        for (int32_t j = 0; j < n.sk; j++)
            w->s[j] += w->q[c] * w->kt[(int64_t)c * n.sk + j];
    for (int32_t j = 0; j < n.sk; j++) {
        double s = scale * w->s[j];
        if (desc->softcap != 0)
            s = desc->softcap * tanh(s / desc->softcap);
        if (desc->alibi)
            s -= args->alibi[h] * fabs((double)(clfi_ref_query_position(desc, args, b, i) -
                                                clfi_ref_key_position(desc, args, b, j)));
        w->s[j] = s + clfi_ref_bias(desc, args, b, h, i, j);
        w->sees[j] = clflash_ref_visible(desc, args, b, h, i, j);
    }
}

/* One row of O and its LSE. Keys that the query does not see are never touched. */
static double attend(const clflash_attn_desc *desc, const clflash_attn_host_args *args, int32_t h,
                     const scratch *w, double *o)
{
    const clfi_ref_sizes n = clfi_ref_get_sizes(desc);
    double max = desc->sink ? args->sink[h] : -INFINITY;
    for (int32_t j = 0; j < n.sk; j++)
        if (w->sees[j] && w->s[j] > max)
            max = w->s[j];
    /* Without any finite score all weights are 0, not exp(-inf + inf). */
    const double base = max == -INFINITY ? 0 : max;
    double sum = desc->sink ? exp(args->sink[h] - base) : 0;
    memset(o, 0, (size_t)n.dv * sizeof *o);
    for (int32_t j = 0; j < n.sk; j++) {
        if (!w->sees[j])
            continue;
        const double weight = exp(w->s[j] - base);
        sum += weight;
        for (int32_t c = 0; c < n.dv; c++)
            o[c] += weight * w->v[(int64_t)j * n.dv + c];
    }
    for (int32_t c = 0; c < n.dv; c++)
        o[c] = sum == 0 ? 0 : o[c] / sum;
    return base + log(sum);
}

/* Rounds once: a double that passes through float on its way to 16 bits must not be
 * rounded to even twice. Rounding to odd first keeps what the second one needs to know. */
static void store_rounded(void *row, clflash_dtype dtype, int64_t c, double value)
{
    float f = (float)value;
    if (dtype != CLFLASH_F32 && isfinite(f) && (double)f != value) {
        uint32_t bits;
        memcpy(&bits, &f, sizeof bits);
        if (!(bits & 1))
            f = nextafterf(f, value > f ? INFINITY : -INFINITY);
    }
    clfi_store(row, dtype, c, f);
}

/* Where a row goes: the caller's tensor, or packed double. */
typedef struct output {
    bool rounded;
    double *o, *lse; /* [B,Sq,Hq,Dv], [B,Hq,Sq]; either may be NULL */
    double *row;     /* [Dv] */
} output;

static void store_row(const clflash_attn_desc *desc, const clflash_attn_host_args *args, int32_t b,
                      int32_t h, int32_t i, double lse, const output *out)
{
    const clfi_ref_sizes n = clfi_ref_get_sizes(desc);
    const int64_t at = ((int64_t)b * n.hq + h) * n.sq + i;
    if (out->rounded) {
        const tensor o = make_tensor(desc, args->o, args->o_stride_bytes, n.sq, n.hq, n.dv);
        void *row = (char *)args->o + ((const char *)row_of(&o, b, i, h) - (const char *)o.data);
        for (int32_t c = 0; c < n.dv; c++)
            store_rounded(row, desc->dtype, c, out->row[c]);
        if (args->lse)
            args->lse[at] = (float)lse;
    }
    if (out->o)
        memcpy(out->o + (((int64_t)b * n.sq + i) * n.hq + h) * n.dv, out->row,
               (size_t)n.dv * sizeof *out->row);
    if (out->lse)
        out->lse[at] = lse;
}

static void all_rows(const clflash_attn_desc *desc, const clflash_attn_host_args *args,
                     const scratch *w, const output *out)
{
    const clfi_ref_sizes n = clfi_ref_get_sizes(desc);
    const tensor q = make_tensor(desc, args->q, args->q_stride_bytes, n.sq, n.hq, n.d);
    const tensor k = make_tensor(desc, args->k, args->k_stride_bytes, n.sk, n.hk, n.d);
    const tensor v = make_tensor(desc, args->v, args->v_stride_bytes, n.sk, n.hk, n.dv);
    for (int32_t b = 0; b < n.b; b++) {
        for (int32_t hk = 0; hk < n.hk; hk++) {
            for (int32_t j = 0; j < n.sk; j++) {
                load_row(&k, b, j, hk, w->kt + j, n.sk);
                load_row(&v, b, j, hk, w->v + (int64_t)j * n.dv, 1);
            }
            const int32_t group = n.hq / n.hk;
            for (int32_t h = hk * group; h < (hk + 1) * group; h++) {
                for (int32_t i = 0; i < n.sq; i++) {
                    load_row(&q, b, i, h, w->q, 1);
                    scores(desc, args, b, h, i, w);
                    store_row(desc, args, b, h, i, attend(desc, args, h, w, out->row), out);
                }
            }
        }
    }
}

/* One input array: there when it is needed, not there when it is not used. */
static clflash_status check_array(const char *name, const void *data, bool used, bool read,
                                  clfi_err *err)
{
    CLF_REQUIRE(err, data || !read, CLFLASH_NULL_BUFFER, "%s is NULL", name);
    CLF_REQUIRE(err, !data || used, CLFLASH_EXTRA_BUFFER, "%s is given but not used", name);
    return CLFLASH_OK;
}

static clflash_status check_args(const clflash_attn_desc *desc, const clflash_attn_host_args *args,
                                 clfi_err *err)
{
    const clflash_mask *m = &desc->mask;
    const clfi_ref_sizes n = clfi_ref_get_sizes(desc);
    const bool seg = m->segments || desc->docs > 0, rows = n.b > 0 && n.sq > 0;
    const bool keys = rows && n.sk > 0;
    const struct {
        const char *name;
        const void *data;
        bool used, read;
    } arrays[] = {
        {"q",            args->q,            true,          rows                 },
        {"k",            args->k,            true,          keys                 },
        {"v",            args->v,            true,          keys                 },
        {"q_segments",   args->q_segments,   seg,           seg && keys          },
        {"kv_segments",  args->kv_segments,  seg,           seg && keys          },
        {"q_positions",  args->q_positions,  m->positions,  m->positions && keys },
        {"kv_positions", args->kv_positions, m->positions,  m->positions && keys },
        {"kv_lengths",   args->kv_lengths,   m->kv_lengths, m->kv_lengths && keys},
        {"alibi",        args->alibi,        desc->alibi,   desc->alibi && keys  },
        {"sink",         args->sink,         desc->sink,    desc->sink && rows   },
        {"bias",         args->bias.data,    desc->bias,    desc->bias && keys   },
        {"boolean",      args->boolean.data, m->boolean,    m->boolean && keys   },
    };
    for (size_t a = 0; a < sizeof arrays / sizeof arrays[0]; a++)
        CLF_TRY(check_array(arrays[a].name, arrays[a].data, arrays[a].used, arrays[a].read, err));
    CLF_REQUIRE(err,
                !desc->bias || args->bias.dtype == CLFLASH_F32 || args->bias.dtype == desc->dtype,
                CLFLASH_INVALID_DTYPE, "bias is neither f32 nor the problem's dtype");
    return CLFLASH_OK;
}

static clflash_status run(const clflash_attn_desc *desc, const clflash_attn_host_args *args,
                          output *out)
{
    const clfi_ref_sizes n = clfi_ref_get_sizes(desc);
    const size_t sk = (size_t)n.sk, d = (size_t)n.d, dv = (size_t)n.dv;
    clflash_status status = CLFLASH_OUT_OF_MEMORY;
    if (n.b == 0 || n.sq == 0)
        return CLFLASH_OK;
    scratch w = {clfi_alloc(NULL, d, sizeof(double)), clfi_alloc(NULL, d * sk, sizeof(double)),
                 clfi_alloc(NULL, sk * dv, sizeof(double)), clfi_alloc(NULL, sk, sizeof(double)),
                 clfi_alloc(NULL, sk, sizeof(bool))};
    out->row = clfi_alloc(NULL, dv, sizeof(double));
    if (w.q && w.kt && w.v && w.s && w.sees && out->row) {
        all_rows(desc, args, &w, out);
        status = CLFLASH_OK;
    }
    void *const used[] = {w.q, w.kt, w.v, w.s, w.sees, out->row};
    for (int a = 0; a < 6; a++)
        clfi_free(NULL, used[a]);
    return status;
}

clflash_status clflash_ref_attn_fwd(const clflash_attn_desc *desc,
                                    const clflash_attn_host_args *args)
{
    output out = {.rounded = true};
    CLF_TRY(clflash_attn_desc_check(desc, NULL, 0));
    if (!args)
        return CLFLASH_INVALID_ARGUMENT;
    const clfi_ref_sizes n = clfi_ref_get_sizes(desc);
    CLF_TRY(check_args(desc, args, NULL));
    CLF_TRY(check_array("o", args->o, true, n.b > 0 && n.sq > 0, NULL));
    return run(desc, args, &out);
}

clflash_status clflash_ref_attn_fwd_f64(const clflash_attn_desc *desc,
                                        const clflash_attn_host_args *args, double *o, double *lse)
{
    output out = {.o = o, .lse = lse};
    CLF_TRY(clflash_attn_desc_check(desc, NULL, 0));
    if (!args)
        return CLFLASH_INVALID_ARGUMENT;
    CLF_TRY(check_args(desc, args, NULL));
    return run(desc, args, &out);
}
