/* pairwise.c -- a greedy generator of covering arrays: each new row is the best of some that
 * are themselves grown greedily (as AETG does, Cohen et al. 1997). */
#include "tests/support/pairwise.h"

#include "tests/support/rng.h"

#include <string.h>

#define CANDIDATES 30

typedef struct cover {
    const int *levels;
    int n;
    clft_rng rng;
    /* open[f][a][g][b] for f < g: level a of f has not met level b of g */
    uint8_t open[CLFT_MAX_FACTORS][CLFT_MAX_LEVELS][CLFT_MAX_FACTORS][CLFT_MAX_LEVELS];
} cover;

static uint8_t *pair(cover *c, int f, int a, int g, int b)
{
    return f < g ? &c->open[f][a][g][b] : &c->open[g][b][f][a];
}

/* Open pairs that level a of factor f closes with the factors already set. */
static int gain(cover *c, const clft_row *row, const uint8_t *set, int f, int a)
{
    int n = 0;
    for (int g = 0; g < c->n; g++)
        if (g != f && set[g])
            n += *pair(c, f, a, g, row->level[g]);
    return n;
}

/* Starts a row with some open pair, so that the last ones are found too. */
static int start(cover *c, clft_row *row, uint8_t *set)
{
    const int first = clft_below(&c->rng, c->n);
    for (int k = 0; k < c->n; k++)
        for (int g = 0, f = (first + k) % c->n; g < c->n; g++)
            for (int a = 0; f != g && a < c->levels[f]; a++)
                for (int b = 0; b < c->levels[g]; b++)
                    if (*pair(c, f, a, g, b)) {
                        row->level[f] = (int8_t)a;
                        row->level[g] = (int8_t)b;
                        set[f] = set[g] = 1;
                        return 1;
                    }
    return 0;
}

static int grow(cover *c, clft_row *row)
{
    int order[CLFT_MAX_FACTORS];
    uint8_t set[CLFT_MAX_FACTORS] = {0};
    int total = start(c, row, set);
    for (int f = 0; f < c->n; f++) { /* a random order */
        const int at = clft_below(&c->rng, f + 1);
        order[f] = order[at];
        order[at] = f;
    }
    for (int k = 0; k < c->n; k++) {
        const int f = order[k], first = clft_below(&c->rng, c->levels[f]);
        int best = -1;
        if (set[f])
            continue;
        for (int l = 0; l < c->levels[f]; l++) {
            const int a = (first + l) % c->levels[f], g = gain(c, row, set, f, a);
            if (g > best) {
                best = g;
                row->level[f] = (int8_t)a;
            }
        }
        total += best;
        set[f] = 1;
    }
    return total;
}

static int close_pairs(cover *c, const clft_row *row)
{
    int closed = 0;
    for (int f = 0; f < c->n; f++)
        for (int g = f + 1; g < c->n; g++) {
            uint8_t *open = pair(c, f, row->level[f], g, row->level[g]);
            closed += *open;
            *open = 0;
        }
    return closed;
}

int clft_pairwise(const int *levels, int n_factors, uint64_t seed, clft_row *rows, int max_rows,
                  int *left)
{
    static cover c; /* large; tests are single-threaded here */
    c = (cover){.levels = levels, .n = n_factors, .rng = {seed}};
    int n = 0;
    *left = 0;
    for (int f = 0; f < n_factors; f++)
        for (int g = f + 1; g < n_factors; g++)
            for (int a = 0; a < levels[f]; a++)
                for (int b = 0; b < levels[g]; b++, (*left)++)
                    *pair(&c, f, a, g, b) = 1;
    while (*left > 0 && n < max_rows) {
        int best = -1;
        for (int k = 0; k < CANDIDATES; k++) {
            clft_row row = {{0}};
            const int closes = grow(&c, &row);
            if (closes > best) {
                best = closes;
                rows[n] = row;
            }
        }
        *left -= close_pairs(&c, &rows[n++]);
    }
    return n;
}
