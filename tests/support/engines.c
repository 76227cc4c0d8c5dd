/* engines.c -- loops over the engines of the test device. */
#include "tests/support/engines.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

int engine_names(clflash_context *ctx, char names[][CLFLASH_ENGINE_NAME_BYTES], int max)
{
    clflash_engine_info info;
    int n = 0;
    while (n < max && clflash_engine_get(ctx, n, false, &info) == CLFLASH_OK)
        memcpy(names[n++], info.name, sizeof info.name);
    return n;
}

int run_on_engines(clflash_context *ctx, const char *problem, const attn_way *way, uint32_t seed,
                   const char *only)
{
    char names[16][CLFLASH_ENGINE_NAME_BYTES], text[CLFLASH_PROBLEM_BYTES], why[4096];
    const int n = engine_names(ctx, names, 16);
    int ran = 0;
    for (int e = 0; e < n; e++) {
        if (only[0] && strcmp(only, names[e]) != 0)
            continue;
        attn_case c;
        snprintf(text, sizeof text, "%s engine=%s", problem, names[e]);
        attn_case_make(&c, text, way, seed);
        const clflash_status status = attn_case_run(&c, ctx, way, why, sizeof why);
        if (status != CLFLASH_UNSUPPORTED) {
            ck_assert_msg(status == CLFLASH_OK, "[%s] seed %u: %s: %s", text, seed,
                          clflash_status_string(status), why);
            ck_assert_msg(attn_case_judge(&c, way, why, sizeof why), "%s", why);
            ran++;
        }
        attn_case_free(&c);
    }
    return ran;
}
