/* strbuf.c -- bounded text builder. (L0) */
#include "lib/base/strbuf.h"

#include <stdarg.h>
#include <stdio.h>

clfi_strbuf clfi_strbuf_on(char *text, size_t bytes)
{
    if (bytes)
        text[0] = '\0';
    return (clfi_strbuf){.text = text, .bytes = bytes, .truncated = bytes == 0};
}

void clfi_strbuf_add(clfi_strbuf *s, const char *fmt, ...)
{
    if (s->truncated)
        return;
    va_list args;
    va_start(args, fmt);
    const int n = vsnprintf(s->text + s->used, s->bytes - s->used, fmt, args);
    va_end(args);
    if (n < 0 || (size_t)n >= s->bytes - s->used) {
        s->truncated = true;
        s->used = s->bytes - 1;
    } else {
        s->used += (size_t)n;
    }
}
