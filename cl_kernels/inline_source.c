/* inline_source.c -- one self-contained kernel source from a .cl file. (L0; libc only) */
#include "cl_kernels/inline_source.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FILES 32
#define MAX_NAME 64

typedef struct builder {
    const char *dir;
    char *text;
    size_t used, capacity;
    char seen[MAX_FILES][MAX_NAME];
    int n_seen;
    char *error;
    size_t error_bytes;
} builder;

static bool fail(builder *b, const char *what, const char *name)
{
    snprintf(b->error, b->error_bytes, "%s: %s/%s", what, b->dir, name);
    return false;
}

static bool append(builder *b, const char *text, size_t bytes)
{
    if (b->used + bytes + 1 > b->capacity) {
        const size_t capacity = 2 * (b->used + bytes + 4096);
        char *grown = realloc(b->text, capacity);
        if (!grown)
            return fail(b, "out of memory", "");
        b->text = grown;
        b->capacity = capacity;
    }
    memcpy(b->text + b->used, text, bytes);
    b->used += bytes;
    b->text[b->used] = '\0';
    return true;
}

/* The name in `#include "name"`, or false when the line is something else. */
static bool include_name(const char *line, size_t bytes, char name[MAX_NAME])
{
    static const char directive[] = "#include \"";
    if (bytes < sizeof directive || memcmp(line, directive, sizeof directive - 1) != 0)
        return false;
    const char *start = line + sizeof directive - 1;
    const char *end = memchr(start, '"', bytes - (sizeof directive - 1));
    if (!end || end == start || end - start >= MAX_NAME)
        return false;
    memcpy(name, start, (size_t)(end - start));
    name[end - start] = '\0';
    return true;
}

static bool add_file(builder *b, const char *name);

static bool add_lines(builder *b, const char *name, const char *text)
{
    char mark[MAX_NAME + 32];
    bool ok = append(b, mark, (size_t)snprintf(mark, sizeof mark, "#line 1 \"%s\"\n", name));
    int number = 1;
    for (const char *line = text; ok && *line; number++) {
        const char *end = strchr(line, '\n');
        const size_t bytes = end ? (size_t)(end - line) + 1 : strlen(line);
        char other[MAX_NAME];
        if (include_name(line, bytes, other)) {
            ok = add_file(b, other);
            const int n = snprintf(mark, sizeof mark, "#line %d \"%s\"\n", number + 1, name);
            ok = ok && append(b, mark, (size_t)n);
        } else {
            ok = append(b, line, bytes);
            if (ok && !end)
                ok = append(b, "\n", 1);
        }
        line += bytes;
    }
    return ok;
}

static bool add_file(builder *b, const char *name)
{
    for (int i = 0; i < b->n_seen; i++)
        if (strcmp(b->seen[i], name) == 0)
            return true;
    if (b->n_seen == MAX_FILES || strlen(name) >= MAX_NAME)
        return fail(b, "too many files or too long a name", name);
    snprintf(b->seen[b->n_seen++], MAX_NAME, "%s", name);

    char path[1200];
    snprintf(path, sizeof path, "%s/%s", b->dir, name);
    FILE *file = fopen(path, "rb");
    if (!file)
        return fail(b, "cannot open", name);
    char *text = NULL;
    size_t used = 0, got;
    bool ok = true;
    do {
        char *grown = realloc(text, used + 65536 + 1);
        if (!grown) {
            ok = fail(b, "out of memory", name);
            break;
        }
        text = grown;
        got = fread(text + used, 1, 65536, file);
        used += got;
        text[used] = '\0';
    } while (got > 0);
    fclose(file);
    ok = ok && add_lines(b, name, text);
    free(text);
    return ok;
}

char *clfi_inline_source(const char *dir, const char *name, size_t *bytes, char *error,
                         size_t error_bytes)
{
    builder b = {.dir = dir, .error = error, .error_bytes = error_bytes};
    if (!add_file(&b, name)) {
        free(b.text);
        return NULL;
    }
    *bytes = b.used;
    return b.text;
}
