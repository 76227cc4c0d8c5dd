/* replay.h -- what a fuzz target gives: libFuzzer's entry point, and seeds for the
 * replay program, which needs no clang. */
#ifndef CLF_FUZZ_REPLAY_H
#define CLF_FUZZ_REPLAY_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

typedef struct fuzz_seed {
    const void *data;
    size_t bytes;
} fuzz_seed;

/* At least one; made on first use by targets that must compute them. */
const fuzz_seed *fuzz_seeds(int *n);

/* A broken promise: print and abort, as fuzzers expect. */
#define FUZZ_REQUIRE(condition)                                                                    \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fuzz_fail(__FILE__, __LINE__, #condition);                                             \
    } while (0)
void fuzz_fail(const char *file, int line, const char *condition);

#endif
