/* pairwise.c -- greedy covering array (the idea of AETG: Cohen et al. 1997): of many random
 * candidate rows, keep the one that covers most pairs that are still missing. */
#include "tests/support/pairwise.h"

#include <stdbool.h>
#include <string.h>

#define CANDIDATES 60

typedef struct cover {
    bool done[PAIRWISE_MAX_FACTORS][PAIRWISE_MAX_FACTORS][PAIRWISE_MAX_LEVELS][PAIRWISE_MAX_LEVELS];
    int missing;
} cover;

static int gain(const cover *c, const int *row, int n)
{
    int new_pairs = 0;
    for (int f = 0; f < n; f++)
        for (int g = f + 1; g < n; g++)
            new_pairs += !c->done[f][g][row[f]][row[g]];
    return new_pairs;
}

static uint32_t next(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* A row that starts with some missing pair, its other factors random. */
static void draw(const cover *c, const int *levels, int n, uint32_t *state, int *row)
{
    for (int f = 0; f < n; f++)
        row[f] = (int)(next(state) % (uint32_t)levels[f]);
    const int start = (int)(next(state) % (uint32_t)n);
    for (int i = 0; i < n; i++) {
        const int f = (start + i) % n;
        for (int g = f + 1; g < n; g++)
            for (int a = 0; a < levels[f]; a++)
                for (int b = 0; b < levels[g]; b++)
                    if (!c->done[f][g][a][b]) {
                        row[f] = a;
                        row[g] = b;
                        return;
                    }
    }
}

int pairwise_rows(const int *levels, int n, uint32_t seed, int *rows, int max_rows)
{
    static cover c; /* large; the generator is called once per program */
    memset(&c, 0, sizeof c);
    for (int f = 0; f < n; f++)
        for (int g = f + 1; g < n; g++)
            c.missing += levels[f] * levels[g];
    int n_rows = 0;
    while (c.missing > 0) {
        if (n_rows == max_rows)
            return -1;
        int best[PAIRWISE_MAX_FACTORS] = {0}, best_gain = -1;
        for (int k = 0; k < CANDIDATES; k++) {
            int row[PAIRWISE_MAX_FACTORS];
            draw(&c, levels, n, &seed, row);
            const int g = gain(&c, row, n);
            if (g > best_gain) {
                best_gain = g;
                memcpy(best, row, sizeof best);
            }
        }
        for (int f = 0; f < n; f++)
            for (int g = f + 1; g < n; g++)
                if (!c.done[f][g][best[f]][best[g]]) {
                    c.done[f][g][best[f]][best[g]] = true;
                    c.missing--;
                }
        memcpy(rows + n_rows * n, best, (size_t)n * sizeof *best);
        n_rows++;
    }
    return n_rows;
}
