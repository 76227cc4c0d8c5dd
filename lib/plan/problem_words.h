/* problem_words.h -- numbers inside problem strings, free of the locale. (L2) */
#ifndef CLFI_PROBLEM_WORDS_H
#define CLFI_PROBLEM_WORDS_H

#include <stdbool.h>
#include <stdint.h>

/* Shortest decimal that parses back to the same float: "0.125", "1e-20", "inf", "nan". */
#define CLFI_FLOAT_BYTES 40
void clfi_float_print(float value, char text[CLFI_FLOAT_BYTES]);

/* All of text; false when it is no number. "inf" and "nan" are numbers here: the
 * descriptor's check refuses them with a better message. */
bool clfi_float_parse(const char *text, float *value);

/* Decimal digits, with a minus where allow_minus; false when malformed or beyond int32. */
bool clfi_int_parse(const char *text, bool allow_minus, int32_t *value);

#endif
