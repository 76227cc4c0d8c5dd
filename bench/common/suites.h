/* suites.h -- named lists of problems. (bench) */
#ifndef BENCH_SUITES_H
#define BENCH_SUITES_H

typedef struct suite {
    const char *name, *purpose;
    const char *const *problems; /* ends with NULL */
} suite;

/* Ends with a NULL name. */
extern const suite suites[];

#endif
