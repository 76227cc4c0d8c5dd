/* error.h -- how internal functions report: a status and one bounded text. (L0)
 * The public entry points hand the text to the context (last_error, log). */
#ifndef CLFI_ERROR_H
#define CLFI_ERROR_H

#include <clflash/base.h>

typedef struct clfi_err {
    clflash_status status;
    char text[2048]; /* always terminated; long build logs keep their beginning */
} clfi_err;

#if defined(__GNUC__)
#define CLF_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define CLF_PRINTF(fmt, args)
#endif

/* Stores status and text (err may be NULL) and returns status. */
clflash_status clfi_fail(clfi_err *err, clflash_status status, const char *fmt, ...)
    CLF_PRINTF(3, 4);

/* The text and status of err into a caller's buffer (may be NULL / 0). */
void clfi_err_copy(const clfi_err *err, char *text, size_t text_bytes);

#define CLF_TRY(call)                                                                              \
    do {                                                                                           \
        const clflash_status clf_try_ = (call);                                                    \
        if (clf_try_ != CLFLASH_OK)                                                                \
            return clf_try_;                                                                       \
    } while (0)

#define CLF_REQUIRE(err, condition, status, ...)                                                   \
    do {                                                                                           \
        if (!(condition))                                                                          \
            return clfi_fail((err), (status), __VA_ARGS__);                                        \
    } while (0)

#endif
