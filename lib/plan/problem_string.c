/* problem_string.c -- "fwd bf16 b2 hq32 hk8 sq4096 d128 causal" <-> descriptor. (L2, pure C)
 * The words: docs/problem.md. Their order on print is the order of `words` below. */
#include "lib/base/half.h"
#include "lib/base/strbuf.h"
#include "lib/plan/problem_words.h"

#include <stdio.h>
#include <string.h>

static const char *const op_names[] = {"fwd", "bwd", "decode"};
static const char *const algo_names[] = {"auto", "flash", "standard"};

/* Words read so far: what printing leaves out must be told from what was written. */
typedef struct parser {
    clflash_attn_desc *desc;
    uint32_t seen;      /* bit per entry of `words` */
    bool window_single; /* window=L, whose right end depends on causal */
} parser;

/* How a word's text goes on after its name. */
typedef enum word_kind {
    WORD_FLAG,  /* "seg" */
    WORD_SIZE,  /* "sq4096": digits follow at once */
    WORD_VALUE, /* "scale=0.5" */
    WORD_CAUSAL /* "causal" or "causal=topleft" */
} word_kind;

typedef enum word_id {
    W_B,
    W_HQ,
    W_HK,
    W_SQ,
    W_SK,
    W_D,
    W_DV,
    W_SCALE,
    W_SOFTCAP,
    W_CAUSAL,
    W_ALIGN,
    W_WINDOW,
    W_SEG,
    W_POS,
    W_KVLEN,
    W_DOCS,
    W_ALIBI,
    W_SINK,
    W_BIAS,
    W_BOOL,
    W_LAYOUT,
    W_ALGO,
    W_ENGINE,
    W_BQ,
    W_BKV,
    W_DET,
    W_GRAD,
    W_RECOMPUTE,
    N_WORDS
} word_id;

static const struct {
    const char *name;
    word_kind kind;
} words[N_WORDS] = {
    [W_B] = {"b",         WORD_SIZE  },
    [W_HQ] = {"hq",        WORD_SIZE  },
    [W_HK] = {"hk",        WORD_SIZE  },
    [W_SQ] = {"sq",        WORD_SIZE  },
    [W_SK] = {"sk",        WORD_SIZE  },
    [W_D] = {"d",         WORD_SIZE  },
    [W_DV] = {"dv",        WORD_SIZE  },
    [W_SCALE] = {"scale",     WORD_VALUE },
    [W_SOFTCAP] = {"softcap",   WORD_VALUE },
    [W_CAUSAL] = {"causal",    WORD_CAUSAL},
    [W_ALIGN] = {"align",     WORD_VALUE },
    [W_WINDOW] = {"window",    WORD_VALUE },
    [W_SEG] = {"seg",       WORD_FLAG  },
    [W_POS] = {"pos",       WORD_FLAG  },
    [W_KVLEN] = {"kvlen",     WORD_FLAG  },
    [W_DOCS] = {"docs",      WORD_VALUE },
    [W_ALIBI] = {"alibi",     WORD_FLAG  },
    [W_SINK] = {"sink",      WORD_FLAG  },
    [W_BIAS] = {"bias",      WORD_FLAG  },
    [W_BOOL] = {"bool",      WORD_FLAG  },
    [W_LAYOUT] = {"layout",    WORD_VALUE },
    [W_ALGO] = {"algo",      WORD_VALUE },
    [W_ENGINE] = {"engine",    WORD_VALUE },
    [W_BQ] = {"bq",        WORD_VALUE },
    [W_BKV] = {"bkv",       WORD_VALUE },
    [W_DET] = {"det",       WORD_VALUE },
    [W_GRAD] = {"grad",      WORD_VALUE },
    [W_RECOMPUTE] = {"recompute", WORD_FLAG  },
};

static int find_name(const char *const *names, int n, const char *text)
{
    for (int i = 0; i < n; i++)
        if (!strcmp(names[i], text))
            return i;
    return -1;
}

/* The entry that word belongs to, with what follows its name; N_WORDS when none does. */
static word_id find_word(const char *word, const char **rest)
{
    for (word_id id = 0; id < N_WORDS; id++) {
        const size_t n = strlen(words[id].name);
        if (strncmp(word, words[id].name, n))
            continue;
        const char next = word[n];
        const word_kind kind = words[id].kind;
        const bool value = kind == WORD_VALUE || kind == WORD_CAUSAL;
        const bool match = (kind == WORD_SIZE && next >= '0' && next <= '9') ||
                           (value && next == '=') || (kind != WORD_SIZE && next == '\0');
        if (!match)
            continue;
        *rest = word + n + (next == '=');
        return id;
    }
    return N_WORDS;
}

static bool parse_window(parser *p, char *text)
{
    clflash_mask *m = &p->desc->mask;
    char *colon = strchr(text, ':');
    m->window = true;
    p->window_single = !colon;
    if (colon)
        *colon = '\0';
    const bool ok = clfi_int_parse(text, true, &m->window_left) &&
                    (!colon || clfi_int_parse(colon + 1, true, &m->window_right));
    if (colon)
        *colon = ':'; /* the message shows the word as it came */
    return ok && m->window_left >= CLFLASH_UNBOUNDED && m->window_right >= CLFLASH_UNBOUNDED;
}

static bool parse_engine(clflash_attn_choice *choice, const char *text)
{
    const size_t n = strlen(text);
    if (n == 0 || n >= sizeof choice->engine ||
        strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_") != n)
        return false;
    memcpy(choice->engine, text, n + 1);
    return true;
}

/* A size whose C field says "default" with 0 and "none at all" with CLFLASH_EMPTY. */
static bool parse_size(const char *text, bool may_be_empty, int32_t *size)
{
    if (!clfi_int_parse(text, false, size))
        return false;
    if (*size == 0 && may_be_empty)
        *size = CLFLASH_EMPTY;
    return true;
}

/* As above where none at all is not possible either. */
static bool parse_positive(const char *text, int32_t *value)
{
    return clfi_int_parse(text, false, value) && *value > 0;
}

static bool parse_choice(const char *text, const char *zero, const char *one, bool *value)
{
    *value = !strcmp(text, one);
    return *value || !strcmp(text, zero);
}

static bool parse_value(parser *p, word_id id, char *text)
{
    clflash_attn_desc *d = p->desc;
    bool flag = false, ok = false;
    switch (id) {
    case W_B: return parse_size(text, true, &d->batch);
    case W_HQ: return parse_size(text, false, &d->q_heads);
    case W_HK: return parse_positive(text, &d->kv_heads);
    case W_SQ: return parse_size(text, false, &d->q_len);
    case W_SK: return parse_size(text, true, &d->kv_len);
    case W_D: return parse_size(text, false, &d->head_dim);
    case W_DV: return parse_positive(text, &d->value_dim);
    /* 0 would mean the default in C: who writes it means something else. */
    case W_SCALE: return clfi_float_parse(text, &d->scale) && d->scale != 0;
    case W_SOFTCAP: return clfi_float_parse(text, &d->softcap) && d->softcap != 0;
    case W_CAUSAL:
        d->mask.causal = *text ? CLFLASH_CAUSAL_TOP_LEFT : CLFLASH_CAUSAL_BOTTOM_RIGHT;
        return !*text || !strcmp(text, "topleft");
    case W_ALIGN: d->mask.align = CLFLASH_ALIGN_TOP_LEFT; return !strcmp(text, "topleft");
    case W_WINDOW: return parse_window(p, text);
    case W_SEG: d->mask.segments = true; return true;
    case W_POS: d->mask.positions = true; return true;
    case W_KVLEN: d->mask.kv_lengths = true; return true;
    case W_DOCS: return parse_positive(text, &d->docs);
    case W_ALIBI: d->alibi = true; return true;
    case W_SINK: d->sink = true; return true;
    case W_BIAS: d->bias = true; return true;
    case W_BOOL: d->mask.boolean = true; return true;
    case W_LAYOUT:
        ok = parse_choice(text, "bshd", "bhsd", &flag);
        d->layout = flag ? CLFLASH_LAYOUT_BHSD : CLFLASH_LAYOUT_BSHD;
        return ok;
    case W_ALGO: {
        const int n = find_name(algo_names, 3, text);
        d->choice.algo = (clflash_algo)(n < 0 ? 0 : n);
        return n >= 0;
    }
    case W_ENGINE: return parse_engine(&d->choice, text);
    case W_BQ: return clfi_int_parse(text, false, &d->choice.block_q);
    case W_BKV: return clfi_int_parse(text, false, &d->choice.block_kv);
    case W_DET: return parse_choice(text, "1", "0", &d->choice.nondeterministic);
    case W_GRAD: d->grad_f32 = true; return !strcmp(text, "f32");
    case W_RECOMPUTE: d->recompute = true; return true;
    case N_WORDS: break;
    }
    return false;
}

static clflash_status parse_word(parser *p, char *word, clfi_err *err)
{
    const char *rest = NULL;
    const word_id id = find_word(word, &rest);
    CLF_REQUIRE(err, id != N_WORDS, CLFLASH_INVALID_PROBLEM, "unknown word '%.40s'", word);
    CLF_REQUIRE(err, !(p->seen & (1u << id)), CLFLASH_INVALID_PROBLEM,
                "'%.40s': the word '%s' is there twice", word, words[id].name);
    p->seen |= 1u << id;
    const bool cut = *rest == '\0' && (words[id].kind == WORD_VALUE || rest[-1] == '=');
    CLF_REQUIRE(err, !cut && parse_value(p, id, word + (rest - word)), CLFLASH_INVALID_PROBLEM,
                "'%.40s' has no value that '%s' can take", word, words[id].name);
    return CLFLASH_OK;
}

static bool parse_op(const char *word, clflash_op *op)
{
    const int n = find_name(op_names, 3, word);
    *op = (clflash_op)(n < 0 ? 0 : n);
    return n >= 0;
}

static bool parse_dtype(const char *word, clflash_dtype *dtype)
{
    for (clflash_dtype t = CLFLASH_F32; t <= CLFLASH_BF16; t++) {
        if (!strcmp(word, clfi_dtype_name(t))) {
            *dtype = t;
            return true;
        }
    }
    return false;
}

static clflash_status parse_words(parser *p, char *text, clfi_err *err)
{
    bool dtype = false;
    int n = 0;
    for (char *word = text; *(word += strspn(word, " ")); n++) {
        char *end = word + strcspn(word, " ");
        const bool last = *end == '\0';
        *end = '\0';
        clflash_dtype seen = CLFLASH_F32;
        if (n == 0) {
            CLF_REQUIRE(err, parse_op(word, &p->desc->op), CLFLASH_INVALID_PROBLEM,
                        "the first word is '%.40s', not fwd, bwd or decode", word);
        } else if (parse_dtype(word, &seen)) {
            CLF_REQUIRE(err, !dtype, CLFLASH_INVALID_PROBLEM, "'%s': the dtype is there twice",
                        word);
            dtype = true;
            p->desc->dtype = seen;
        } else {
            CLF_TRY(parse_word(p, word, err));
        }
        word = last ? end : end + 1;
    }
    CLF_REQUIRE(err, n > 0, CLFLASH_INVALID_PROBLEM, "the problem string is empty");
    CLF_REQUIRE(err, dtype, CLFLASH_INVALID_PROBLEM, "no dtype: f32, f16 or bf16");
    static const word_id required[] = {W_HQ, W_SQ, W_D};
    for (int i = 0; i < 3; i++)
        CLF_REQUIRE(err, p->seen & (1u << required[i]), CLFLASH_INVALID_SIZE,
                    "the word '%sN' is missing", words[required[i]].name);
    return CLFLASH_OK;
}

clflash_status clflash_attn_desc_parse(clflash_attn_desc *desc, const char *text, char *reason,
                                       size_t reason_bytes)
{
    clfi_err err = {0};
    char copy[CLFLASH_PROBLEM_BYTES];
    clflash_status status;
    if (reason && reason_bytes)
        reason[0] = '\0';
    if (!desc || !text)
        return CLFLASH_INVALID_ARGUMENT;
    *desc = (clflash_attn_desc){0};
    parser p = {.desc = desc};
    if (strlen(text) >= sizeof copy) {
        status = clfi_fail(&err, CLFLASH_INVALID_PROBLEM, "the problem string is longer than %d",
                           (int)sizeof copy - 1);
    } else {
        snprintf(copy, sizeof copy, "%s", text);
        status = parse_words(&p, copy, &err);
    }
    if (status == CLFLASH_OK) {
        if (p.window_single)
            desc->mask.window_right = desc->mask.causal ? 0 : desc->mask.window_left;
        status = clflash_attn_desc_check(desc, err.text, sizeof err.text);
    }
    if (status != CLFLASH_OK) {
        *desc = (clflash_attn_desc){0};
        clfi_err_copy(&err, reason, reason_bytes);
    }
    return status;
}

static void print_sizes(const clflash_attn_desc *d, clfi_strbuf *s)
{
    const int32_t sk = d->kv_len == CLFLASH_EMPTY ? 0 : d->kv_len == 0 ? d->q_len : d->kv_len;
    if (d->batch != 0 && d->batch != 1)
        clfi_strbuf_add(s, " b%d", d->batch == CLFLASH_EMPTY ? 0 : d->batch);
    clfi_strbuf_add(s, " hq%d", d->q_heads);
    if (d->kv_heads != 0 && d->kv_heads != d->q_heads)
        clfi_strbuf_add(s, " hk%d", d->kv_heads);
    clfi_strbuf_add(s, " sq%d", d->q_len);
    if (sk != d->q_len)
        clfi_strbuf_add(s, " sk%d", sk);
    clfi_strbuf_add(s, " d%d", d->head_dim);
    if (d->value_dim != 0 && d->value_dim != d->head_dim)
        clfi_strbuf_add(s, " dv%d", d->value_dim);
}

static void print_float(const char *name, float value, clfi_strbuf *s)
{
    char text[CLFI_FLOAT_BYTES];
    clfi_float_print(value, text);
    clfi_strbuf_add(s, " %s=%s", name, text);
}

static void print_mask(const clflash_attn_desc *d, clfi_strbuf *s)
{
    const clflash_mask *m = &d->mask;
    if (m->causal)
        clfi_strbuf_add(s, m->causal == CLFLASH_CAUSAL_TOP_LEFT ? " causal=topleft" : " causal");
    if (m->align == CLFLASH_ALIGN_TOP_LEFT && m->causal != CLFLASH_CAUSAL_TOP_LEFT)
        clfi_strbuf_add(s, " align=topleft");
    if (m->window)
        clfi_strbuf_add(s, " window=%d:%d", m->window_left, m->window_right);
    clfi_strbuf_add(s, "%s%s%s", m->segments ? " seg" : "", m->positions ? " pos" : "",
                    m->kv_lengths ? " kvlen" : "");
    if (d->docs)
        clfi_strbuf_add(s, " docs=%d", d->docs);
}

static void print_choice(const clflash_attn_choice *c, clfi_strbuf *s)
{
    if (c->algo > CLFLASH_ALGO_AUTO && c->algo <= CLFLASH_ALGO_STANDARD)
        clfi_strbuf_add(s, " algo=%s", algo_names[c->algo]);
    if (c->engine[0])
        clfi_strbuf_add(s, " engine=%.*s", (int)sizeof c->engine, c->engine);
    if (c->block_q)
        clfi_strbuf_add(s, " bq=%d", c->block_q);
    if (c->block_kv)
        clfi_strbuf_add(s, " bkv=%d", c->block_kv);
    if (c->nondeterministic)
        clfi_strbuf_add(s, " det=0");
}

clflash_status clflash_attn_desc_print(const clflash_attn_desc *desc, char *text, size_t text_bytes)
{
    if (!desc || !text)
        return CLFLASH_INVALID_ARGUMENT;
    const bool known = desc->op >= CLFLASH_OP_FWD && desc->op <= CLFLASH_OP_DECODE;
    const bool typed = clflash_dtype_bytes(desc->dtype) != 0;
    clfi_strbuf s = clfi_strbuf_on(text, text_bytes);
    /* A descriptor that breaks a rule prints too: error messages show it. */
    clfi_strbuf_add(&s, "%s %s", known ? op_names[desc->op] : "?",
                    typed ? clfi_dtype_name(desc->dtype) : "?");
    print_sizes(desc, &s);
    if (desc->scale != 0)
        print_float("scale", desc->scale, &s);
    if (desc->softcap != 0)
        print_float("softcap", desc->softcap, &s);
    print_mask(desc, &s);
    clfi_strbuf_add(&s, "%s%s%s%s", desc->alibi ? " alibi" : "", desc->sink ? " sink" : "",
                    desc->bias ? " bias" : "", desc->mask.boolean ? " bool" : "");
    if (desc->layout == CLFLASH_LAYOUT_BHSD)
        clfi_strbuf_add(&s, " layout=bhsd");
    print_choice(&desc->choice, &s);
    clfi_strbuf_add(&s, "%s%s", desc->grad_f32 ? " grad=f32" : "",
                    desc->recompute ? " recompute" : "");
    return s.truncated ? CLFLASH_INVALID_SIZE : CLFLASH_OK;
}
