/* npy.c -- NumPy's array files. (bench)
 *
 * The header is a Python dictionary with the keys descr, fortran_order and shape in any
 * order. Files may come from anywhere: every read is bounded, every product checked. */
#include "bench/common/npy.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* The dictionary's text while it is read. */
typedef struct cursor {
    const char *at, *end;
    char *message;
} cursor;

static bool refuse(char *message, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool refuse(char *message, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(message, NPY_MESSAGE, format, list);
    va_end(list);
    return false;
}

static void skip_space(cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\n' || *c->at == '\t' || *c->at == '\r'))
        c->at++;
}

static bool take(cursor *c, char wanted)
{
    skip_space(c);
    if (c->at == c->end || *c->at != wanted)
        return false;
    c->at++;
    return true;
}

static bool take_word(cursor *c, const char *word)
{
    const size_t n = strlen(word);
    skip_space(c);
    if ((size_t)(c->end - c->at) < n || memcmp(c->at, word, n) != 0)
        return false;
    c->at += n;
    return true;
}

/* 'text' or "text" without escapes. */
static bool take_string(cursor *c, char *text, size_t bytes)
{
    skip_space(c);
    if (c->at == c->end || (*c->at != '\'' && *c->at != '"'))
        return false;
    const char quote = *c->at++;
    size_t n = 0;
    while (c->at < c->end && *c->at != quote && *c->at != '\\' && n + 1 < bytes)
        text[n++] = *c->at++;
    text[n] = '\0';
    return take(c, quote);
}

static bool take_integer(cursor *c, int64_t *value)
{
    skip_space(c);
    const char *start = c->at;
    *value = 0;
    for (; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++) {
        if (*value > (INT64_MAX - 9) / 10)
            return false;
        *value = *value * 10 + (*c->at - '0');
    }
    return c->at > start;
}

static bool take_shape(cursor *c, npy_header *h)
{
    if (!take(c, '('))
        return refuse(c->message, "the header's shape is not a tuple");
    h->n_dims = 0;
    while (!take(c, ')')) {
        if (h->n_dims == NPY_MAX_DIMS)
            return refuse(c->message, "more than %d dimensions", NPY_MAX_DIMS);
        if (!take_integer(c, &h->dim[h->n_dims]))
            return refuse(c->message, "dimension %d of the shape is no size", h->n_dims);
        h->n_dims++;
        if (!take(c, ',')) {
            if (!take(c, ')') || h->n_dims == 1) /* (5) is a number, not a tuple */
                return refuse(c->message, "the header's shape is not a tuple");
            break;
        }
    }
    return true;
}

static bool take_entry(cursor *c, npy_header *h, unsigned *seen)
{
    static const char *const keys[] = {"descr", "fortran_order", "shape"};
    char key[16];
    if (!take_string(c, key, sizeof key) || !take(c, ':'))
        return refuse(c->message, "the header is not a dictionary");
    unsigned k = 0;
    while (k < 3 && strcmp(key, keys[k]) != 0)
        k++;
    if (k == 3 || (*seen & 1u << k))
        return refuse(c->message, "the header's key '%s' is %s", key,
                      k == 3 ? "unknown" : "there twice");
    *seen |= 1u << k;
    if (k == 0)
        return take_string(c, h->descr, sizeof h->descr) ||
               refuse(c->message, "the dtype is not a plain one");
    if (k == 2)
        return take_shape(c, h);
    if (take_word(c, "True"))
        return refuse(c->message, "the array is in Fortran order; expected C order");
    return take_word(c, "False") || refuse(c->message, "fortran_order is neither True nor False");
}

static bool parse_dictionary(cursor *c, npy_header *h)
{
    unsigned seen = 0;
    if (!take(c, '{'))
        return refuse(c->message, "the header is not a dictionary");
    while (!take(c, '}')) {
        if (!take_entry(c, h, &seen))
            return false;
        if (!take(c, ',')) {
            if (!take(c, '}'))
                return refuse(c->message, "the header does not end");
            break;
        }
    }
    skip_space(c);
    if (c->at != c->end)
        return refuse(c->message, "there is something behind the header's dictionary");
    return seen == 7 || refuse(c->message, "the header lacks descr, fortran_order or shape");
}

static bool set_sizes(npy_header *h, char *message)
{
    const char *d = h->descr;
    const bool known = (d[0] == '<' || d[0] == '>' || d[0] == '|' || d[0] == '=') && d[1] &&
                       strchr("biufc", d[1]) && d[2] >= '1' && d[2] <= '9' && d[3] == '\0';
    if (!known)
        return refuse(message, "dtype '%s' is not a plain number", d);
    h->element_bytes = d[2] - '0';
    if (h->element_bytes > 1 && d[0] == '>')
        return refuse(message, "dtype '%s' is big-endian; expected little-endian", d);
    h->count = 1;
    bool empty = false;
    for (int i = 0; i < h->n_dims; i++)
        empty = empty || h->dim[i] == 0;
    for (int i = 0; i < h->n_dims && !empty; i++) {
        if (h->count > INT64_MAX / 16 / h->dim[i])
            return refuse(message, "the shape has too many elements");
        h->count *= h->dim[i];
    }
    if (empty)
        h->count = 0;
    return true;
}

bool npy_parse_header(const void *bytes, size_t size, npy_header *header, char message[NPY_MESSAGE])
{
    const unsigned char *b = bytes;
    *header = (npy_header){0};
    if (size < 10 || memcmp(b, "\x93NUMPY", 6) != 0)
        return refuse(message, "not an NPY file");
    if ((b[6] != 1 && b[6] != 2) || b[7] != 0)
        return refuse(message, "NPY version %d.%d; expected 1.0 or 2.0", b[6], b[7]);
    const size_t prefix = b[6] == 1 ? 10 : 12;
    if (size < prefix)
        return refuse(message, "the file ends within its header");
    size_t n = (size_t)b[8] | (size_t)b[9] << 8;
    if (b[6] == 2)
        n |= (size_t)b[10] << 16 | (size_t)b[11] << 24;
    if (n > NPY_MAX_HEADER)
        return refuse(message, "a header of %zu bytes; expected at most %d", n, NPY_MAX_HEADER);
    if (size - prefix < n)
        return refuse(message, "the file ends within its header");
    header->data_offset = (int64_t)(prefix + n);
    cursor c = {(const char *)b + prefix, (const char *)b + prefix + n, message};
    return parse_dictionary(&c, header) && set_sizes(header, message);
}

static bool read_elements(FILE *file, const npy_header *h, void **elements, char *message)
{
    const int64_t bytes = h->count * h->element_bytes;
    if (fseeko(file, 0, SEEK_END) != 0)
        return refuse(message, "%s", strerror(errno));
    const int64_t found = (int64_t)ftello(file) - h->data_offset;
    if (found != bytes) /* before any memory is taken for what the header claims */
        return refuse(message, "%lld bytes of elements; the header's shape says %lld",
                      (long long)found, (long long)bytes);
    *elements = malloc((size_t)bytes + 1);
    if (!*elements)
        return refuse(message, "no memory for %lld bytes", (long long)bytes);
    if (fseeko(file, h->data_offset, SEEK_SET) == 0 &&
        fread(*elements, 1, (size_t)bytes, file) == (size_t)bytes)
        return true;
    free(*elements);
    *elements = NULL;
    return refuse(message, "the file cannot be read to its end");
}

bool npy_read(const char *path, npy_header *header, void **elements, char message[NPY_MESSAGE])
{
    *elements = NULL;
    FILE *file = fopen(path, "rb");
    if (!file)
        return refuse(message, "%s", strerror(errno));
    unsigned char *start = malloc(NPY_MAX_HEADER + 12);
    bool ok = start != NULL || refuse(message, "no memory");
    if (ok) {
        const size_t n = fread(start, 1, NPY_MAX_HEADER + 12, file);
        ok = npy_parse_header(start, n, header, message) &&
             read_elements(file, header, elements, message);
    }
    free(start);
    fclose(file);
    return ok;
}

const char *npy_shape_text(int n_dims, const int64_t *dim, char text[160])
{
    size_t used = (size_t)snprintf(text, 160, "(");
    for (int i = 0; i < n_dims && used < 150; i++)
        used +=
            (size_t)snprintf(text + used, 160 - used, "%s%lld", i ? ", " : "", (long long)dim[i]);
    if (used < 158)
        snprintf(text + used, 160 - used, n_dims == 1 ? ",)" : ")");
    return text;
}

bool npy_write(FILE *file, const char *descr, int n_dims, const int64_t *dim, const void *elements,
               size_t element_bytes)
{
    char shape[160], header[320];
    const int n =
        snprintf(header, sizeof header, "{'descr': '%s', 'fortran_order': False, 'shape': %s, }",
                 descr, npy_shape_text(n_dims, dim, shape));
    /* Spaces and a newline, so that the elements begin at a multiple of 64 bytes. */
    const size_t total = (10 + (size_t)n + 1 + 63) / 64 * 64, length = total - 10;
    const unsigned char start[10] = {0x93,
                                     'N',
                                     'U',
                                     'M',
                                     'P',
                                     'Y',
                                     1,
                                     0,
                                     (unsigned char)(length & 0xff),
                                     (unsigned char)(length >> 8)};
    size_t count = 1;
    for (int i = 0; i < n_dims; i++)
        count *= (size_t)dim[i];
    fwrite(start, 1, sizeof start, file);
    fprintf(file, "%s%*s\n", header, (int)(length - (size_t)n - 1), "");
    fwrite(elements, element_bytes, count, file);
    return !ferror(file);
}
