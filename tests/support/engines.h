/* engines.h -- loops over the engines of the test device. */
#ifndef TESTS_ENGINES_H
#define TESTS_ENGINES_H

#include "tests/support/attn_case.h"

/* Runs a problem on every engine that can (or on `only`, "" = all) and judges each. Fails
 * the Check test at the first wrong result; returns how many engines ran. Engines that say
 * UNSUPPORTED are passed over. */
int run_on_engines(clflash_context *ctx, const char *problem, const attn_way *way, uint32_t seed,
                   const char *only);

/* The names of all engines, "standard" last; returns how many. */
int engine_names(clflash_context *ctx, char names[][CLFLASH_ENGINE_NAME_BYTES], int max);

#endif
