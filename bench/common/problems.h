/* problems.h -- the problems that a program was asked for. (bench) */
#ifndef BENCH_PROBLEMS_H
#define BENCH_PROBLEMS_H

#include "bench/common/app.h"

#define PROBLEMS_MAX 256

typedef struct problems {
    clflash_attn_desc desc[PROBLEMS_MAX];
    int n;
} problems;

/* Problem strings from arguments. Each may be one argument in quotes or several: a new
 * problem starts at the word of an operation. False after a message. */
bool problems_from_args(problems *p, const app *a, char **argv, int argc);

/* Adds the problems of a suite. False after a message that lists the suites. */
bool problems_from_suite(problems *p, const app *a, const char *name);

/* Adds one string. */
bool problems_add(problems *p, const app *a, const char *text);

/* Whether every problem is of an operation up to `last`; a message names one that is not. */
bool problems_have_op(const problems *p, const app *a, clflash_op last);

/* Every suite with its problems, to stdout. */
void problems_list_suites(void);

/* Sizes with the descriptor's defaults filled in. */
typedef struct sizes {
    int32_t b, hq, hk, sq, sk, d, dv;
} sizes;
sizes sizes_of(const clflash_attn_desc *desc);

#endif
