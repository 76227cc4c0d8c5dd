/* tunables_doc.c -- keeps the tunables in docs/tuning.md true: generated from the engines'
 * X-macros, between two marks.
 *
 *   tunables_doc FILE           check, print TAP
 *   tunables_doc --write FILE   rewrite the part between the marks */
#include "lib/base/fs.h"
#include "lib/plan/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BEGIN "<!-- begin: tunables (generated) -->\n"
#define END "<!-- end: tunables -->\n"
#define MAX_BYTES ((size_t)1 << 20)

static void print_engine(clfi_strbuf *s, const clfi_engine *e, const char *op)
{
    clfi_strbuf_add(s, "\n### %s%s\n\n%s.\n", e->name, op, e->meaning);
    if (e->n_tunables == 0) {
        clfi_strbuf_add(s, "\nNothing to tune.\n");
        return;
    }
    clfi_strbuf_add(s, "\n| tunable | safe | candidates | meaning |\n|---|---|---|---|\n");
    for (int32_t i = 0; i < e->n_tunables; i++) {
        const clfi_tunable *t = &e->tunables[i];
        clfi_strbuf_add(s, "| `%s` | %d |", t->name, t->safe);
        for (int32_t c = 0; c < t->n_candidates; c++)
            clfi_strbuf_add(s, "%s %d", c ? "," : "", t->candidates[c]);
        clfi_strbuf_add(s, " | %s |\n", t->meaning);
    }
}

/* The file as it must be, from its own text around the marks; NULL when they are missing. */
static char *expected(const char *text)
{
    const char *begin = strstr(text, BEGIN), *end = strstr(text, END);
    char *out = malloc(MAX_BYTES);
    if (!out || !begin || !end || end < begin) {
        free(out);
        return NULL;
    }
    clfi_strbuf s = clfi_strbuf_on(out, MAX_BYTES);
    clfi_strbuf_add(&s, "%.*s", (int)(begin - text + (long)strlen(BEGIN)), text);
    for (int32_t i = 0; i < clfi_n_attn_fwd_engines; i++)
        print_engine(&s, clfi_attn_fwd_engines[i], "");
    for (int32_t i = 0; i < clfi_n_attn_bwd_engines; i++)
        print_engine(&s, clfi_attn_bwd_engines[i], ", backward");
    clfi_strbuf_add(&s, "\n%s", end);
    return out;
}

int main(int argc, char **argv)
{
    const bool write = argc == 3 && !strcmp(argv[1], "--write");
    const char *path = argv[argc - 1];
    char *text = NULL, *want = NULL;
    size_t bytes;
    clfi_err err = {0};
    if (argc < 2 || (argc == 3 && !write) || argc > 3) {
        fprintf(stderr, "usage: tunables_doc [--write] FILE\n");
        return 2;
    }
    if (clfi_fs_read(NULL, path, MAX_BYTES / 2, &text, &bytes, &err) == CLFLASH_OK)
        want = expected(text);
    if (!want)
        fprintf(stderr, "%s\n", err.text[0] ? err.text : "the marks are missing");
    const bool same = want && !strcmp(text, want);
    bool ok = same;
    if (write && want && !same)
        ok = clfi_fs_write(path, want, strlen(want), &err) == CLFLASH_OK;
    if (!write)
        printf("1..1\n%s 1 - the tunables in %s are those of the engines\n", ok ? "ok" : "not ok",
               path);
    if (!write && !ok)
        printf("# run: tunables_doc --write %s\n", path);
    free(text);
    free(want);
    return ok ? 0 : 1;
}
