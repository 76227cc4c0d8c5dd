/* cover.c -- a pairwise covering array over words. */
#include "tests/support/cover.h"

#include <stdio.h>
#include <string.h>

static const clft_factor *factor_of(const clft_cover *c, int f)
{
    return f < c->n_problem ? &c->problem[f] : &c->variant[f - c->n_problem];
}

void clft_cover_make(clft_cover *c, uint64_t seed)
{
    int levels[CLFT_MAX_FACTORS];
    const int n = c->n_problem + c->n_variant;
    for (int f = 0; f < n; f++)
        for (levels[f] = 0; factor_of(c, f)->level[levels[f]]; levels[f]++)
            ;
    c->n_rows = clft_pairwise(levels, n, seed, c->rows, CLFT_MAX_ROWS, &c->n_left);
}

void clft_cover_text(const clft_cover *c, int i, char *text, size_t bytes)
{
    size_t used = (size_t)snprintf(text, bytes, "%s", c->op);
    for (int f = 0; f < c->n_problem + c->n_variant; f++) {
        const char *word = factor_of(c, f)->level[c->rows[i].level[f]];
        if (*word || f == c->n_problem)
            used += (size_t)snprintf(text + used, bytes - used, "%s %s",
                                     f == c->n_problem ? " |" : "", word);
    }
    snprintf(text + used, bytes - used, " seed=%d", i + 1);
}
