/* problem_words.c -- numbers inside problem strings. (L2, pure C)
 *
 * printf and strtof follow the program's locale ("0,125" in a German one), and a library
 * may not change it; files written under one locale must be read under another. */
#include "lib/plan/problem_words.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* 10^e, 0 <= e <= 30: exact up to 10^22, and within a double's rounding beyond. */
static double power_of_ten(int e)
{
    double p = 1.0;
    while (e--)
        p *= 10.0;
    return p;
}

static bool digit(char c) { return c >= '0' && c <= '9'; }

bool clfi_int_parse(const char *text, bool allow_minus, int32_t *value)
{
    const bool minus = allow_minus && *text == '-';
    int64_t n = 0;
    text += minus;
    if (!digit(*text))
        return false;
    for (; digit(*text); text++) {
        n = 10 * n + (*text - '0');
        if (n > INT32_MAX)
            return false;
    }
    *value = (int32_t)(minus ? -n : n);
    return *text == '\0';
}

bool clfi_float_parse(const char *text, float *value)
{
    const bool minus = *text == '-';
    text += minus;
    if (!strcmp(text, "inf") || !strcmp(text, "nan")) {
        *value = *text == 'n' ? NAN : minus ? -INFINITY : INFINITY;
        return true;
    }
    int64_t mantissa = 0;
    int exponent = 0, digits = 0;
    for (bool point = false; digit(*text) || (*text == '.' && !point); text++) {
        if (*text == '.') {
            point = true;
            continue;
        }
        digits++;
        if (mantissa < 100000000000000000) { /* 17 digits: more than a double holds */
            mantissa = 10 * mantissa + (*text - '0');
            exponent -= point;
        } else {
            exponent += !point;
        }
    }
    if (!digits)
        return false;
    if (*text == 'e') {
        int32_t e;
        text += 1 + (text[1] == '+');
        if (!clfi_int_parse(text, true, &e))
            return false;
        exponent += e > 1000 ? 1000 : e < -1000 ? -1000 : e;
        text = "";
    }
    double v = (double)mantissa;
    while (exponent && v != 0 && v < 1e300) {
        const int step = exponent > 30 ? 30 : exponent < -30 ? -30 : exponent;
        v = step < 0 ? v / power_of_ten(-step) : v * power_of_ten(step);
        exponent -= step;
    }
    *value = (float)(minus ? -v : v);
    return *text == '\0';
}

/* "-1.2345e-06" in any locale's spelling -> its digits "12345", exponent -6. */
static int split_exponential(const char *text, char digits[24])
{
    int n = 0;
    for (; *text && *text != 'e'; text++)
        if (digit(*text) && n < 23)
            digits[n++] = *text;
    while (n > 1 && digits[n - 1] == '0')
        n--;
    digits[n] = '\0';
    int exponent = 0;
    if (*text)
        sscanf(text + 1, "%d", &exponent);
    return exponent;
}

static void join_decimal(bool minus, const char *digits, int exponent, char *text)
{
    const int n = (int)strlen(digits);
    const char *sign = minus ? "-" : "";
    if (exponent < -5 || exponent > 9)
        snprintf(text, CLFI_FLOAT_BYTES, "%s%c%s%se%d", sign, digits[0], n > 1 ? "." : "",
                 digits + 1, exponent);
    else if (exponent < 0)
        snprintf(text, CLFI_FLOAT_BYTES, "%s0.%.*s%s", sign, -exponent - 1, "00000", digits);
    else if (n <= exponent + 1)
        snprintf(text, CLFI_FLOAT_BYTES, "%s%s%.*s", sign, digits, exponent + 1 - n, "000000000");
    else
        snprintf(text, CLFI_FLOAT_BYTES, "%s%.*s.%s", sign, exponent + 1, digits,
                 digits + exponent + 1);
}

void clfi_float_print(float value, char text[CLFI_FLOAT_BYTES])
{
    if (isnan(value) || isinf(value)) {
        snprintf(text, CLFI_FLOAT_BYTES, "%s", isnan(value) ? "nan" : value < 0 ? "-inf" : "inf");
        return;
    }
    for (int precision = 0; precision <= 8; precision++) { /* 9 digits name every float */
        char exponential[64], digits[24];
        snprintf(exponential, sizeof exponential, "%.*e", precision, (double)value);
        const int exponent = split_exponential(exponential, digits);
        join_decimal(signbit(value), digits, exponent, text);
        float back;
        if (clfi_float_parse(text, &back) && back == value)
            return;
    }
}
