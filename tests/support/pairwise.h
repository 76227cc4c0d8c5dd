/* pairwise.h -- a covering array: rows of levels such that every pair of levels of any two
 * factors stands together in some row. */
#ifndef TESTS_PAIRWISE_H
#define TESTS_PAIRWISE_H

#include <stdint.h>

#define PAIRWISE_MAX_FACTORS 24
#define PAIRWISE_MAX_LEVELS 12

/* Greedy, deterministic in seed. rows holds max_rows x n_factors levels; returns the number
 * of rows, or -1 when max_rows is too few. */
int pairwise_rows(const int *levels, int n_factors, uint32_t seed, int *rows, int max_rows);

#endif
