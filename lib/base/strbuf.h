/* strbuf.h -- bounded text builder: options, problem strings, files. (L0) */
#ifndef CLFI_STRBUF_H
#define CLFI_STRBUF_H

#include "lib/base/error.h"
#include <stdbool.h>

typedef struct clfi_strbuf {
    char *text;   /* terminated whenever bytes > 0 */
    size_t bytes; /* capacity */
    size_t used;  /* without the terminator */
    bool truncated;
} clfi_strbuf;

clfi_strbuf clfi_strbuf_on(char *text, size_t bytes);
void clfi_strbuf_add(clfi_strbuf *s, const char *fmt, ...) CLF_PRINTF(2, 3);

#endif
