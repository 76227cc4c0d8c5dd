/* pairwise.h -- covering arrays: few cases in which every two values of every two factors
 * meet at least once. */
#ifndef CLFT_PAIRWISE_H
#define CLFT_PAIRWISE_H

#include <stdint.h>

#define CLFT_MAX_FACTORS 32
#define CLFT_MAX_LEVELS 12

/* A case: the level of each factor. */
typedef struct clft_row {
    int8_t level[CLFT_MAX_FACTORS];
} clft_row;

/* Fills rows until all pairs are covered or max_rows is reached; returns the number of rows.
 * Equal seeds give equal arrays. *left is the number of pairs not covered. */
int clft_pairwise(const int *levels, int n_factors, uint64_t seed, clft_row *rows, int max_rows,
                  int *left);

#endif
