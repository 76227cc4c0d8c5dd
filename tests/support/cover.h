/* cover.h -- a pairwise covering array over words: of the problem string, and of the variant. */
#ifndef CLFT_COVER_H
#define CLFT_COVER_H

#include "tests/support/pairwise.h"

#include <stddef.h>

#define CLFT_MAX_ROWS 160

/* The values of one factor, "" where the word is left out; NULL behind the last. */
typedef struct clft_factor {
    const char *level[CLFT_MAX_LEVELS];
} clft_factor;

typedef struct clft_cover {
    const char *op; /* "fwd" */
    const clft_factor *problem, *variant;
    int n_problem, n_variant;
    clft_row rows[CLFT_MAX_ROWS];
    int n_rows, n_left; /* n_left: pairs that no row covers */
} clft_cover;

/* Fills the rows; equal seeds give equal arrays. */
void clft_cover_make(clft_cover *cover, uint64_t seed);
/* Row i as the text of a case, with i + 1 as the seed of its data. */
void clft_cover_text(const clft_cover *cover, int i, char *text, size_t bytes);

#endif
