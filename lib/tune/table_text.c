/* table_text.c -- tuning files: the text form of a table. (L3, no OpenCL)
 * What is read here may be damaged or made to harm: every length, character and number
 * is checked before it is believed. */
#include "lib/base/alloc.h"
#include "lib/base/hash.h"
#include "lib/base/strbuf.h"
#include "lib/plan/problem_words.h"
#include "lib/tune/table.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define LINE_BYTES 768
#define N_FIELDS 8 /* key, engine, row, verdict, ms, error, source, sum */

static const char *const verdicts[] = {"ok", "best", "cut", "wrong", "failed"};

/* Driver strings may hold anything; a line may not. */
static void add_line(clfi_strbuf *s, const char *name, const char *value)
{
    const size_t start = s->used;
    clfi_strbuf_add(s, "%s %s", name, value);
    for (size_t i = start; i < s->used; i++)
        if (s->text[i] < ' ' || s->text[i] > '~')
            s->text[i] = '?';
    clfi_strbuf_add(s, "\n");
}

void clfi_tune_header(const clfi_profile *dev, const char *library,
                      char text[CLFI_TUNE_HEADER_BYTES])
{
    clfi_strbuf s = clfi_strbuf_on(text, CLFI_TUNE_HEADER_BYTES);
    clfi_strbuf_add(&s, "clflash-tuning %d\n", CLFI_TUNE_SCHEMA);
    add_line(&s, "platform", dev->platform);
    add_line(&s, "device", dev->name);
    add_line(&s, "driver", dev->driver);
    clfi_strbuf_add(&s, "compute-units %d\nlocal-bytes %lld\n", dev->compute_units,
                    (long long)dev->local_bytes);
    add_line(&s, "library", library);
}

static void sum_of(const char *text, size_t bytes, char sum[33])
{
    clfi_hash_hex(clfi_hash_add(clfi_hash_start(), text, bytes), sum);
}

/* One line without its sum and newline. */
static void print_fields(const clfi_tune_entry *e, char line[LINE_BYTES])
{
    char ms[CLFI_FLOAT_BYTES], error[CLFI_FLOAT_BYTES];
    clfi_float_print(e->ms, ms);
    clfi_float_print(e->error, error);
    snprintf(line, LINE_BYTES, "%s | %s | %s | %s | %s | %s | %s", e->key, e->engine, e->row,
             verdicts[e->verdict], ms, error, e->source);
}

clflash_status clfi_table_print(const clfi_table *t, const char *header, char **text, size_t *bytes,
                                clfi_err *err)
{
    const size_t capacity = strlen(header) + (size_t)t->n * (LINE_BYTES + 40) + 64;
    char line[LINE_BYTES], sum[33];
    *text = clfi_alloc(t->allocator, capacity, 1);
    *bytes = 0;
    CLF_REQUIRE(err, *text, CLFLASH_OUT_OF_MEMORY, "no memory for the tuning file's text");
    clfi_strbuf s = clfi_strbuf_on(*text, capacity);
    clfi_strbuf_add(&s, "%s", header);
    for (int32_t i = 0; i < t->n; i++) {
        print_fields(&t->entries[i], line);
        sum_of(line, strlen(line), sum);
        clfi_strbuf_add(&s, "%s | %.16s\n", line, sum);
    }
    sum_of(s.text, s.used, sum);
    clfi_strbuf_add(&s, "end %d %s\n", t->n, sum);
    *bytes = s.used;
    return CLFLASH_OK;
}

static bool copy_field(char *to, size_t bytes, const char *field)
{
    const size_t n = strlen(field);
    if (n >= bytes)
        return false;
    memcpy(to, field, n + 1);
    return true;
}

static bool parse_verdict(const char *text, clfi_verdict *verdict)
{
    for (int v = CLFI_OK; v <= CLFI_FAILED; v++) {
        if (!strcmp(verdicts[v], text)) {
            *verdict = (clfi_verdict)v;
            return true;
        }
    }
    return false;
}

/* Splits at " | " in place; false unless there are exactly N_FIELDS fields. */
static bool split(char *line, char *fields[N_FIELDS])
{
    for (int f = 0; f < N_FIELDS; f++) {
        fields[f] = line;
        char *bar = strstr(line, " | ");
        if ((bar != NULL) != (f < N_FIELDS - 1))
            return false;
        if (bar) {
            *bar = '\0';
            line = bar + 3;
        }
    }
    return true;
}

static const char *parse_fields(char *line, clfi_tune_entry *e)
{
    char *f[N_FIELDS];
    char sum[33];
    const char *last = NULL; /* the sum covers all before the last bar */
    for (const char *bar = line; (bar = strstr(bar, " | ")); bar += 3)
        last = bar;
    if (!last)
        return "has no fields";
    sum_of(line, (size_t)(last - line), sum);
    if (!split(line, f))
        return "has not 8 fields";
    if (strlen(f[7]) != 16 || memcmp(f[7], sum, 16) != 0)
        return "has a wrong sum";
    *e = (clfi_tune_entry){0};
    if (!copy_field(e->key, sizeof e->key, f[0]) ||
        !copy_field(e->engine, sizeof e->engine, f[1]) ||
        !copy_field(e->row, sizeof e->row, f[2]) || !copy_field(e->source, sizeof e->source, f[6]))
        return "has a field that is too long";
    if (!parse_verdict(f[3], &e->verdict))
        return "has an unknown verdict";
    if (!clfi_float_parse(f[4], &e->ms) || !clfi_float_parse(f[5], &e->error))
        return "has a malformed number";
    const bool timed = e->verdict <= CLFI_CUT;
    if (!isfinite(e->ms) || e->ms < 0 || (timed && e->ms == 0) || e->error < 0 ||
        (timed && !isfinite(e->error)))
        return "has a number out of range";
    return NULL;
}

/* The body's next line into `line`, terminated, printable; NULL at the end or when the
 * line is cut off, too long or holds other characters. */
static const char *next_line(const char *at, const char *end, char line[LINE_BYTES + 40])
{
    const char *newline = memchr(at, '\n', (size_t)(end - at));
    if (!newline || newline - at >= LINE_BYTES + 40)
        return NULL;
    const size_t n = (size_t)(newline - at);
    for (size_t i = 0; i < n; i++)
        if (at[i] < ' ' || at[i] > '~')
            return NULL;
    memcpy(line, at, n);
    line[n] = '\0';
    return newline + 1;
}

/* "end N SUM" as the very last line. */
static bool is_end(const char *line, int32_t n, const char *sum)
{
    char want[64];
    snprintf(want, sizeof want, "end %d %s", n, sum);
    return !strcmp(line, want);
}

static clflash_status parse(clfi_table *t, const char *text, size_t bytes, const char *header,
                            clfi_err *err)
{
    const size_t head = strlen(header);
    const clflash_status bad = CLFLASH_CORRUPT;
    CLF_REQUIRE(err, bytes <= CLFI_TUNE_MAX_BYTES, bad, "it has %zu bytes, more than %zu", bytes,
                CLFI_TUNE_MAX_BYTES);
    CLF_REQUIRE(err, bytes >= head && !memcmp(text, header, head), bad,
                "its header is of another format, device, driver or library");
    const char *end = text + bytes, *at = text + head;
    for (int32_t number = 0;; number++) {
        char line[LINE_BYTES + 40], sum[33];
        const char *start = at;
        clfi_tune_entry entry;
        at = next_line(at, end, line);
        CLF_REQUIRE(err, at, bad, "entry %d is cut off or malformed", number + 1);
        if (!strncmp(line, "end ", 4)) {
            sum_of(text, (size_t)(start - text), sum);
            CLF_REQUIRE(err, is_end(line, number, sum), bad, "the sum of the file is wrong");
            CLF_REQUIRE(err, at == end, bad, "%d bytes follow its end", (int)(end - at));
            return CLFLASH_OK;
        }
        CLF_REQUIRE(err, number < CLFI_TUNE_MAX_ENTRIES, bad, "it has more than %d entries",
                    CLFI_TUNE_MAX_ENTRIES);
        const char *reason = parse_fields(line, &entry);
        CLF_REQUIRE(err, !reason, bad, "entry %d %s", number + 1, reason);
        CLF_REQUIRE(err, !clfi_table_find(t, entry.key, entry.engine, entry.row), bad,
                    "entry %d is there twice", number + 1);
        CLF_TRY(clfi_table_put(t, &entry, err));
    }
}

clflash_status clfi_table_parse(clfi_table *t, const char *text, size_t bytes, const char *header,
                                clfi_err *err)
{
    clfi_table_clear(t);
    const clflash_status status = parse(t, text, bytes, header, err);
    if (status != CLFLASH_OK)
        clfi_table_clear(t);
    return status;
}
