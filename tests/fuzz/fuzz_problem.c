/* fuzz_problem.c -- any text as a problem string: a status, a terminated reason, and what
 * parses prints to something that parses to the same. */
#include "lib/plan/attn.h"
#include "replay.h"

#include <stdlib.h>
#include <string.h>

static void check(const char *text)
{
    char reason[64], printed[CLFLASH_PROBLEM_BYTES], again[CLFLASH_PROBLEM_BYTES];
    clflash_attn_desc d, e;
    clfi_attn p;
    const clflash_status status = clflash_attn_desc_parse(&d, text, reason, sizeof reason);
    if (status != CLFLASH_OK) {
        FUZZ_REQUIRE(memchr(reason, '\0', sizeof reason));
        FUZZ_REQUIRE(reason[0] != '\0');
        return;
    }
    FUZZ_REQUIRE(clflash_attn_desc_print(&d, printed, sizeof printed) == CLFLASH_OK);
    FUZZ_REQUIRE(clflash_attn_desc_parse(&e, printed, NULL, 0) == CLFLASH_OK);
    FUZZ_REQUIRE(clflash_attn_desc_print(&e, again, sizeof again) == CLFLASH_OK);
    FUZZ_REQUIRE(strcmp(printed, again) == 0);
    FUZZ_REQUIRE(clfi_attn_resolve(&p, &d, NULL) == CLFLASH_OK);
    clfi_attn_key(&p, printed, sizeof printed);
    FUZZ_REQUIRE(clflash_attn_desc_parse(&e, printed, NULL, 0) == CLFLASH_OK);
    FUZZ_REQUIRE(p.docs > 1000000 || clfi_attn_visible_pairs(&p) >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    char *text = malloc(bytes + 1);
    if (!text)
        return 0;
    memcpy(text, data, bytes);
    text[bytes] = '\0';
    check(text);
    free(text);
    return 0;
}

#define SEED(text)                                                                                 \
    {                                                                                              \
        text, sizeof text - 1                                                                      \
    }
static const fuzz_seed seeds[] = {
    SEED("fwd bf16 b2 hq32 hk8 sq4096 sk4096 d128 causal window=1024"),
    SEED("decode f16 b0 hq1 sq0 sk5 d3 dv4 scale=0.125 softcap=5e1 causal=topleft"),
    SEED("bwd f32 hq3 sq7 d16 align=topleft window=-1:3 seg pos kvlen docs=3 det=0"),
    SEED("fwd f32 hq3 sq7 d16 alibi sink bias bool layout=bhsd algo=flash engine=simt bq=64 bkv=8"),
};

const fuzz_seed *fuzz_seeds(int *n)
{
    *n = (int)(sizeof seeds / sizeof seeds[0]);
    return seeds;
}
