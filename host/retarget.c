/* retarget.c -- PTX for sm_90 becomes PTX for sm_90a. (L1, pure C) */
#include "host/retarget.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define MARK "//SM90A "
#define WITNESS "{ .reg .b32 clf_sm90a; }"
#define VERSION ".version 8.4"
#define MIN_VERSION 804
#define MIN_CTAS ".minnctapersm 1"

typedef struct rewriter {
    char *out;
    size_t used;
    int depth;      /* of braces */
    bool witnessed; /* the line before was a witness */
    size_t marks, versions, targets, items;
    const char *wrong;
} rewriter;

static void add(rewriter *r, const char *text, size_t n)
{
    memcpy(r->out + r->used, text, n);
    r->used += n;
}

static bool begins(const char *line, size_t n, const char *with)
{
    return n >= strlen(with) && memcmp(line, with, strlen(with)) == 0;
}

/* ".version 8.3" becomes 8.4; a later one stays. */
static void add_version(rewriter *r, const char *line, size_t n)
{
    char text[32] = "";
    int major = 0, minor = 0;
    memcpy(text, line, n < sizeof text ? n : sizeof text - 1);
    if (sscanf(text, ".version %d.%d", &major, &minor) != 2)
        r->wrong = "its .version is no number";
    if (major * 100 + minor < MIN_VERSION)
        add(r, VERSION, strlen(VERSION));
    else
        add(r, line, n);
    r->versions++;
}

/* ".target sm_90, texmode_independent": only the architecture changes. */
static void add_target(rewriter *r, const char *line, size_t n)
{
    static const char target[] = ".target sm_90a";
    size_t end = strlen(".target ");
    while (end < n && line[end] != ',' && line[end] != ' ')
        end++;
    add(r, target, sizeof target - 1);
    add(r, line + end, n - end);
    r->targets++;
}

static void add_line(rewriter *r, const char *line, size_t n)
{
    const size_t indent = strspn(line, " \t") < n ? strspn(line, " \t") : n;
    const char *word = line + indent;
    const size_t rest = n - indent;
    const bool mark = begins(word, rest, MARK);
    if (mark != r->witnessed)
        r->wrong = mark ? "a mark without its witness" : "a witness without its mark";
    r->witnessed = begins(word, rest, WITNESS);
    if (mark) {
        add(r, word + strlen(MARK), rest - strlen(MARK));
        r->marks++;
    } else if (begins(word, rest, ".version ")) {
        add_version(r, word, rest);
    } else if (begins(word, rest, ".target ")) {
        add_target(r, word, rest);
    } else {
        add(r, line, n);
        if (begins(word, rest, ".reqntid ")) {
            add(r, "\n" MIN_CTAS, strlen("\n" MIN_CTAS));
            r->items++;
        }
    }
    for (size_t i = 0; i < rest && (mark || !begins(word, rest, "//")); i++)
        r->depth += (word[i] == '{') - (word[i] == '}');
}

static const char *wrong_with(const rewriter *r)
{
    if (r->wrong)
        return r->wrong;
    if (r->witnessed)
        return "a witness without its mark";
    if (r->marks == 0)
        return "it has no marks";
    if (r->versions != 1 || r->targets != 1)
        return "it has not one .version and one .target";
    if (r->items == 0)
        return "no kernel in it fixes its work-group";
    return r->depth != 0 ? "it ends inside a function" : NULL;
}

clflash_status clfi_retarget(const clflash_allocator *a, const char *ptx, size_t bytes, char **out,
                             size_t *out_bytes, clfi_err *err)
{
    const char *nul = memchr(ptx, '\0', bytes);
    const size_t n = nul ? (size_t)(nul - ptx) : bytes;
    size_t lines = 2;
    for (size_t i = 0; i < n; i++)
        lines += ptx[i] == '\n';
    *out = NULL;
    /* No line grows by more than one of these. */
    rewriter r = {.out = clfi_alloc(a, n + lines * (sizeof MIN_CTAS + sizeof VERSION), 1)};
    char *line = clfi_alloc(a, n + 1, 1);
    if (!r.out || !line) {
        clfi_free(a, r.out);
        clfi_free(a, line);
        return clfi_fail(err, CLFLASH_OUT_OF_MEMORY, "no memory for a program's text");
    }
    for (size_t at = 0; at < n;) {
        const char *end = memchr(ptx + at, '\n', n - at);
        const size_t length = end ? (size_t)(end - (ptx + at)) : n - at;
        memcpy(line, ptx + at, length);
        line[length] = '\0';
        add_line(&r, line, length);
        add(&r, "\n", 1);
        at += length + 1;
    }
    clfi_free(a, line);
    r.out[r.used] = '\0';
    const char *wrong = wrong_with(&r);
    if (wrong) {
        clfi_free(a, r.out);
        return clfi_fail(err, CLFLASH_BUILD_FAILED, "the driver's PTX cannot become sm_90a: %s",
                         wrong);
    }
    *out = r.out;
    *out_bytes = r.used;
    return CLFLASH_OK;
}
