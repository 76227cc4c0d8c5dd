/* case.c -- making a case: images, strides, poison, random data. */
#include "tests/support/case.h"

#include "lib/base/half.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- names ---- */

static const struct {
    const char *word;
    size_t at;
} words[] = {
    {"views", offsetof(clft_variant, views)    },
    {"seg",   offsetof(clft_variant, segments) },
    {"pos",   offsetof(clft_variant, positions)},
    {"len",   offsetof(clft_variant, lengths)  },
    {"bias",  offsetof(clft_variant, bias)     },
    {"bool",  offsetof(clft_variant, boolean)  },
    {"nolse", offsetof(clft_variant, no_lse)   },
    {"mask",  offsetof(clft_variant, mask)     },
    {"ws",    offsetof(clft_variant, workspace)},
    {"queue", offsetof(clft_variant, queue)    },
    {"beta",  offsetof(clft_variant, beta)     },
    {"skip",  offsetof(clft_variant, skip)     },
    {"dbias", offsetof(clft_variant, dbias)    },
    {"seed",  offsetof(clft_variant, seed)     },
};
#define N_WORDS (sizeof words / sizeof words[0])

static int32_t *word_value(clft_variant *v, size_t i)
{
    return (int32_t *)(void *)((char *)v + words[i].at);
}

void clft_case_parse(const char *text, clflash_attn_desc *desc, clft_variant *variant)
{
    char problem[CLFT_NAME_BYTES], reason[256], *save = NULL;
    snprintf(problem, sizeof problem, "%s", text);
    char *rest = strchr(problem, '|');
    if (rest)
        *rest++ = '\0';
    ck_assert_msg(clflash_attn_desc_parse(desc, problem, reason, sizeof reason) == CLFLASH_OK,
                  "%s: %s", problem, reason);
    *variant = (clft_variant){0};
    for (char *w = rest ? strtok_r(rest, " ", &save) : NULL; w; w = strtok_r(NULL, " ", &save)) {
        const char *equal = strchr(w, '=');
        size_t i = 0;
        while (equal && i < N_WORDS &&
               (strlen(words[i].word) != (size_t)(equal - w) ||
                strncmp(words[i].word, w, (size_t)(equal - w)) != 0))
            i++;
        ck_assert_msg(equal && i < N_WORDS, "%s: unknown word", w);
        *word_value(variant, i) = atoi(equal + 1);
    }
}

static void print_name(clft_case *c)
{
    clflash_attn_desc_print(&c->p.desc, c->name, CLFLASH_PROBLEM_BYTES);
    strcat(c->name, " |");
    for (size_t i = 0; i < N_WORDS; i++) {
        const int32_t value = *word_value(&c->variant, i);
        if (value)
            snprintf(c->name + strlen(c->name), 24, " %s=%d", words[i].word, value);
    }
}

/* ---- images ---- */

clflash_dtype clft_dtype(const clft_case *c, int array)
{
    bool own = false;
    switch (array) {
    case CLFT_Q:
    case CLFT_K:
    case CLFT_V:
    case CLFT_O:
    case CLFT_DOUT: own = true; break;
    case CLFT_DQ:
    case CLFT_DK:
    case CLFT_DV: own = !c->p.grad_f32; break;
    case CLFT_BIAS: own = c->variant.bias & 8; break;
    case CLFT_DBIAS: own = c->variant.dbias; break;
    default: break;
    }
    return own ? c->p.dtype : CLFLASH_F32;
}

bool clft_is_output(const clft_case *c, int array)
{
    const bool bwd = c->p.op == CLFLASH_OP_BWD;
    return c->image[array].bytes && (bwd ? array >= CLFT_DQ : array == CLFT_O || array == CLFT_LSE);
}

int64_t clft_elements(const clft_case *c, int array)
{
    const int64_t *n = c->image[array].n;
    return n[0] * n[1] * n[2] * n[3];
}

char *clft_at(const clft_case *c, int array, int64_t a, int64_t b, int64_t i, int64_t j)
{
    const clft_image *m = &c->image[array];
    return m->bytes + m->offset +
           m->element * (a * m->stride[0] + b * m->stride[1] + i * m->stride[2] + j * m->stride[3]);
}

float clft_get(const clft_case *c, int array, int64_t a, int64_t b, int64_t i, int64_t j)
{
    return clfi_load(clft_at(c, array, a, b, i, j), clft_dtype(c, array), 0);
}

void clft_set(clft_case *c, int array, int64_t a, int64_t b, int64_t i, int64_t j, float value)
{
    clfi_store(clft_at(c, array, a, b, i, j), clft_dtype(c, array), 0, value);
}

const char *clft_inside(const clft_image *m, const char *bytes, int64_t a, int64_t b, int64_t i,
                        int64_t j)
{
    return bytes + m->offset +
           m->element * (a * m->stride[0] + b * m->stride[1] + i * m->stride[2] + j * m->stride[3]);
}

float clft_got(const clft_case *c, int array, int64_t a, int64_t b, int64_t i, int64_t j)
{
    return clfi_load(clft_inside(&c->image[array], c->got[array], a, b, i, j), clft_dtype(c, array),
                     0);
}

float clft_o(const clft_case *c, int32_t b, int32_t i, int32_t h, int32_t col)
{
    return clft_got(c, CLFT_O, b, i, h, col);
}

/* NaNs with a payload: a NaN that a kernel computes has another. */
static void poison(char *bytes, int64_t n, int array, clflash_dtype dtype)
{
    const uint16_t half = dtype == CLFLASH_F16 ? 0x7ead : 0x7fad;
    const uint32_t single = 0x7fc0dead, integer = 0x7fffdead;
    const bool ints = array >= CLFT_Q_SEG && array <= CLFT_KV_LEN;
    for (int64_t i = 0; i < n; i++) {
        if (array == CLFT_BOOL)
            bytes[i] = (char)0xff;
        else if (!ints && dtype != CLFLASH_F32)
            memcpy(bytes + 2 * i, &half, 2);
        else
            memcpy(bytes + 4 * i, ints ? &integer : &single, 4);
    }
}

/* order: memory order of the four axes, slowest first. gap: elements left free behind each
 * row, and twice as many behind each outer axis. */
static void make_image(clft_case *c, int array, int32_t element, const int64_t n[4],
                       const int order[4], int64_t gap)
{
    clft_image *m = &c->image[array];
    const int32_t views = c->variant.views;
    int64_t size = 1;
    m->element = element;
    for (int k = 3; k >= 0; k--) {
        const int axis = order[k];
        m->n[axis] = n[axis];
        m->stride[axis] = size;
        size = size * n[axis] + (views == 2 ? gap * (4 - k) : 0);
    }
    /* An odd number of elements in front: rows are then aligned to nothing but the element. */
    const int64_t front = views == 0 || views == 3 ? 0 : CLFT_MARGIN + (views == 2);
    const int64_t back = views != 3 ? CLFT_MARGIN : size == 0 ? 1 : 0;
    m->offset = front * element;
    m->total = (front + size + back) * element;
    m->bytes = malloc((size_t)m->total);
    ck_assert_ptr_nonnull(m->bytes);
    poison(m->bytes, m->total / element, array, clft_dtype(c, array));
}

static void make_images(clft_case *c)
{
    static const int bshd[4] = {0, 1, 2, 3}, bhsd[4] = {0, 2, 1, 3};
    const clfi_attn *p = &c->p;
    const clflash_mask *m = &p->desc.mask;
    const int32_t e = (int32_t)clflash_dtype_bytes(p->dtype);
    const int32_t bias_e = (int32_t)clflash_dtype_bytes(clft_dtype(c, CLFT_BIAS));
    const int32_t grad_e = (int32_t)clflash_dtype_bytes(clft_dtype(c, CLFT_DQ));
    const int32_t dbias_e = (int32_t)clflash_dtype_bytes(clft_dtype(c, CLFT_DBIAS));
    const bool bwd = p->op == CLFLASH_OP_BWD, saved = !p->recompute;
    const int skip = c->variant.skip;
    const int *order = p->layout == CLFLASH_LAYOUT_BHSD ? bhsd : bshd;
    const int bias = c->variant.bias, boolean = c->variant.boolean;
    const int64_t b = p->b, hq = p->hq, hk = p->hk, sq = p->sq, sk = p->sk;
#define MASK(bits)                                                                                 \
    {                                                                                              \
        (bits) & 1 ? 1 : b, (bits)&2 ? 1 : hq, (bits)&4 ? 1 : sq, sk                               \
    }
    const struct {
        bool used;
        int array;
        int32_t element;
        int64_t n[4];
        const int *order;
        int64_t gap;
    } list[] = {
        {true,                           CLFT_Q,      e,       {b, sq, hq, p->d},  order, 3 },
        {true,                           CLFT_K,      e,       {b, sk, hk, p->d},  order, 5 },
        {true,                           CLFT_V,      e,       {b, sk, hk, p->dv}, order, 7 },
        {saved,                          CLFT_O,      e,       {b, sq, hq, p->dv}, order, 9 },
        {saved,                          CLFT_LSE,    4,       {1, b, hq, sq},     bshd,  0 },
        {p->seg,                         CLFT_Q_SEG,  4,       {1, 1, b, sq},      bshd,  0 },
        {p->seg,                         CLFT_KV_SEG, 4,       {1, 1, b, sk},      bshd,  0 },
        {m->positions,                   CLFT_Q_POS,  4,       {1, 1, b, sq},      bshd,  0 },
        {m->positions,                   CLFT_KV_POS, 4,       {1, 1, b, sk},      bshd,  0 },
        {p->kvlen,                       CLFT_KV_LEN, 4,       {1, 1, 1, b},       bshd,  0 },
        {p->alibi,                       CLFT_ALIBI,  4,       {1, 1, 1, hq},      bshd,  0 },
        {p->sink,                        CLFT_SINK,   4,       {1, 1, 1, hq},      bshd,  0 },
        {p->bias,                        CLFT_BIAS,   bias_e,  MASK(bias),         bshd,  3 },
        {p->boolean,                     CLFT_BOOL,   1,       MASK(boolean),      bshd,  5 },
        {bwd,                            CLFT_DOUT,   e,       {b, sq, hq, p->dv}, order, 11},
        {bwd && !(skip & 1),             CLFT_DQ,     grad_e,  {b, sq, hq, p->d},  order, 3 },
        {bwd && !(skip & 2),             CLFT_DK,     grad_e,  {b, sk, hk, p->d},  order, 7 },
        {bwd && !(skip & 4),             CLFT_DV,     grad_e,  {b, sk, hk, p->dv}, order, 5 },
        {bwd && p->sink && !(skip & 8),  CLFT_DSINK,  4,       {1, 1, 1, hq},      bshd,  0 },
        {bwd && p->bias && !(skip & 16), CLFT_DBIAS,  dbias_e, MASK(bias),         bshd,  1 },
    };
#undef MASK
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++)
        if (list[i].used)
            make_image(c, list[i].array, list[i].element, list[i].n, list[i].order, list[i].gap);
}

/* ---- data ---- */

double clft_beta(const clft_case *c, int array)
{
    static const float each[] = {1, 0, 0.5f, 1, -2};
    const int32_t beta = c->variant.beta;
    if (!clft_is_output(c, array) || c->p.op != CLFLASH_OP_BWD)
        return 0;
    return beta == 3 ? each[array - CLFT_DQ] : beta == 2 ? 0.5 : beta;
}

static void fill_floats(clft_case *c, int array, float low, float high, float masked, clft_rng *rng)
{
    const clft_image *m = &c->image[array];
    for (int64_t a = 0; m->bytes && a < m->n[0]; a++)
        for (int64_t b = 0; b < m->n[1]; b++)
            for (int64_t i = 0; i < m->n[2]; i++)
                for (int64_t j = 0; j < m->n[3]; j++) {
                    const float value = clft_uniform(rng, low, high);
                    const bool is_masked = masked > 0 && clft_uniform(rng, 0, 1) < masked;
                    if (array == CLFT_BOOL)
                        *clft_at(c, array, a, b, i, j) = is_masked ? 0 : (char)(1 + (j & 1) * 254);
                    else
                        clft_set(c, array, a, b, i, j, is_masked ? -INFINITY : value);
                }
}

static int32_t *row_ints(const clft_case *c, int array, int64_t row)
{
    return (int32_t *)(void *)clft_at(c, array, 0, 0, row, 0);
}

static void fill_segments(clft_case *c, int array, clft_rng *rng)
{
    /* Ids in no order, the largest and the smallest among them: none is padding. */
    static const int32_t ids[4] = {7, INT32_MAX, 0, INT32_MIN};
    const int64_t n = c->image[array].n[3];
    const bool unsorted = c->variant.segments & 1, padding = c->variant.segments & 2;
    for (int64_t b = 0; c->image[array].bytes && b < c->p.b; b++)
        for (int64_t s = 0; s < n; s++) {
            int32_t *id = row_ints(c, array, b) + s;
            *id = ids[unsorted ? clft_below(rng, 4) : (int32_t)(s * 4 / n)];
            if (padding && (unsorted ? clft_below(rng, 6) == 0 : s >= n - n / 5))
                *id = CLFLASH_PADDING_SEGMENT;
        }
}

static void fill_positions(clft_case *c, int array, int32_t first, clft_rng *rng)
{
    const int64_t n = c->image[array].n[3];
    for (int64_t b = 0; c->image[array].bytes && b < c->p.b; b++) {
        int32_t *row = row_ints(c, array, b);
        for (int64_t s = 0; s < n; s++)
            row[s] = first + (int32_t)s;
        for (int64_t s = n - 1; c->variant.positions && s > 0; s--) {
            const int32_t other = clft_below(rng, (int32_t)s + 1), held = row[s];
            row[s] = row[other];
            row[other] = held;
        }
    }
}

static void fill(clft_case *c)
{
    clft_rng rng = {(uint64_t)c->variant.seed};
    const clfi_attn *p = &c->p;
    fill_floats(c, CLFT_Q, -3, 3, 0, &rng);
    fill_floats(c, CLFT_K, -1, 1, 0, &rng);
    fill_floats(c, CLFT_V, -1, 1, 0, &rng);
    fill_segments(c, CLFT_Q_SEG, &rng);
    fill_segments(c, CLFT_KV_SEG, &rng);
    fill_positions(c, CLFT_Q_POS, p->q_pos0, &rng);
    fill_positions(c, CLFT_KV_POS, 0, &rng);
    /* From half of Sk to past it, which means Sk; 0 beside another batch only: a case of
     * nothing but zeros proves little. */
    for (int32_t b = 0; p->kvlen && b < p->b; b++)
        row_ints(c, CLFT_KV_LEN, 0)[b] = b == 0 && c->variant.lengths && p->b > 1
                                             ? 0
                                             : (p->sk + 1) / 2 + clft_below(&rng, p->sk + 1);
    fill_floats(c, CLFT_ALIBI, 0, 0.25f, 0, &rng);
    fill_floats(c, CLFT_SINK, -1, 1, 0, &rng);
    fill_floats(c, CLFT_BIAS, -1, 1, 0.05f, &rng);
    fill_floats(c, CLFT_BOOL, 0, 1, 0.2f, &rng);
    fill_floats(c, CLFT_DOUT, -1, 1, 0, &rng);
    for (int array = CLFT_DQ; array <= CLFT_DBIAS; array++)
        if (clft_beta(c, array) != 0) /* else poison: it must not be read */
            fill_floats(c, array, -2, 2, 0, &rng);
}

/* ---- the arguments ---- */

static void set_strides(const clft_image *m, int64_t bytes[3])
{
    for (int axis = 0; axis < 3; axis++)
        bytes[axis] = m->stride[axis] * m->element;
}

static void set_mask(const clft_case *c, int array, clflash_host_mask *mask)
{
    const clft_image *m = &c->image[array];
    if (!m->bytes)
        return;
    mask->data = m->bytes + m->offset;
    mask->dtype = clft_dtype(c, array);
    for (int axis = 0; axis < 3; axis++)
        mask->extent[axis] = m->n[axis] == 1 ? 1 : 0;
    set_strides(m, mask->stride_bytes);
}

#define DATA(array) (void *)(c->image[array].bytes ? clft_at(c, array, 0, 0, 0, 0) : NULL)

static void set_args(clft_case *c)
{
    clflash_attn_host_args *a = &c->args;
    a->q = DATA(CLFT_Q);
    a->k = DATA(CLFT_K);
    a->v = DATA(CLFT_V);
    a->o = DATA(CLFT_O);
    /* The backward needs it. */
    a->lse = c->variant.no_lse && c->p.op != CLFLASH_OP_BWD ? NULL : DATA(CLFT_LSE);
    a->q_segments = DATA(CLFT_Q_SEG);
    a->kv_segments = DATA(CLFT_KV_SEG);
    a->q_positions = DATA(CLFT_Q_POS);
    a->kv_positions = DATA(CLFT_KV_POS);
    a->kv_lengths = DATA(CLFT_KV_LEN);
    a->alibi = DATA(CLFT_ALIBI);
    a->sink = DATA(CLFT_SINK);
    set_mask(c, CLFT_BIAS, &a->bias);
    set_mask(c, CLFT_BOOL, &a->boolean);
    if (c->variant.views != 2)
        return;
    set_strides(&c->image[CLFT_Q], a->q_stride_bytes);
    set_strides(&c->image[CLFT_K], a->k_stride_bytes);
    set_strides(&c->image[CLFT_V], a->v_stride_bytes);
    set_strides(&c->image[CLFT_O], a->o_stride_bytes);
}

static void set_bwd_args(clft_case *c)
{
    clflash_attn_bwd_host_args *a = &c->bwd;
    clflash_host_mask dbias = {0};
    a->fwd = c->args;
    a->dout = DATA(CLFT_DOUT);
    a->dq = DATA(CLFT_DQ);
    a->dk = DATA(CLFT_DK);
    a->dv = DATA(CLFT_DV);
    a->dsink = DATA(CLFT_DSINK);
    a->dbias.data = DATA(CLFT_DBIAS);
    set_mask(c, CLFT_DBIAS, &dbias);
    a->dbias.dtype = dbias.dtype;
    memcpy(a->dbias.extent, dbias.extent, sizeof dbias.extent);
    memcpy(a->dbias.stride_bytes, dbias.stride_bytes, sizeof dbias.stride_bytes);
    a->beta = (clflash_attn_beta){
        .dq = (float)clft_beta(c, CLFT_DQ),
        .dk = (float)clft_beta(c, CLFT_DK),
        .dv = (float)clft_beta(c, CLFT_DV),
        .dsink = (float)clft_beta(c, CLFT_DSINK),
        .dbias = (float)clft_beta(c, CLFT_DBIAS),
    };
    if (c->variant.views != 2)
        return;
    set_strides(&c->image[CLFT_DOUT], a->dout_stride_bytes);
    set_strides(&c->image[CLFT_DQ], a->dq_stride_bytes);
    set_strides(&c->image[CLFT_DK], a->dk_stride_bytes);
    set_strides(&c->image[CLFT_DV], a->dv_stride_bytes);
}
#undef DATA

void clft_case_make(clft_case *c, const clflash_attn_desc *desc, const clft_variant *variant)
{
    clfi_err err = {0};
    *c = (clft_case){.variant = *variant};
    ck_assert_msg(clfi_attn_resolve(&c->p, desc, &err) == CLFLASH_OK, "%s", err.text);
    print_name(c);
    make_images(c);
    fill(c);
    set_args(c);
    set_bwd_args(c);
}

void clft_case_make_text(clft_case *c, const char *text)
{
    clflash_attn_desc desc;
    clft_variant variant;
    clft_case_parse(text, &desc, &variant);
    clft_case_make(c, &desc, &variant);
}

void clft_case_free(clft_case *c)
{
    for (int i = 0; i < CLFT_N_ARRAYS; i++) {
        free(c->image[i].bytes);
        free(c->got[i]);
        free(c->gold[i]);
    }
    *c = (clft_case){0};
}
