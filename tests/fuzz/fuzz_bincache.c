/* fuzz_bincache.c -- any bytes as a program file: what is accepted lies inside the input and
 * encodes back to it. The sum stops nearly all, so the input also gets a right one. */
#include "host/bincache_format.h"
#include "lib/base/hash.h"
#include "replay.h"

#include <stdlib.h>
#include <string.h>

#define KEY "key"

static void check(const uint8_t *data, size_t bytes)
{
    clfi_binfile f;
    if (clfi_binfile_decode(data, bytes, KEY, &f)) {
        FUZZ_REQUIRE(!f.key && !f.binary && f.binary_bytes == 0);
        return;
    }
    FUZZ_REQUIRE(f.key_bytes == strlen(KEY) && !memcmp(f.key, KEY, f.key_bytes));
    FUZZ_REQUIRE(f.binary >= data && f.binary + f.binary_bytes <= data + bytes);
    FUZZ_REQUIRE(clfi_binfile_bytes(&f) == bytes);
    unsigned char *again = malloc(bytes);
    if (!again)
        return;
    clfi_binfile_encode(&f, again);
    FUZZ_REQUIRE(!memcmp(again, data, bytes));
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    check(data, bytes);
    unsigned char *summed = malloc(bytes + 16);
    if (!summed)
        return 0;
    if (bytes)
        memcpy(summed, data, bytes);
    const clfi_hash h = clfi_hash_add(clfi_hash_start(), summed, bytes);
    for (int i = 0; i < 8; i++) {
        summed[bytes + i] = (unsigned char)(h.hi >> 8 * i);
        summed[bytes + 8 + i] = (unsigned char)(h.lo >> 8 * i);
    }
    check(summed, bytes + 16);
    free(summed);
    return 0;
}

static const unsigned char body[] = "CLFBIN1\n\3\0\0\0\50\0\0\0\0\0\0\0\4\0\0\0\0\0\0\0"
                                    "keyPTX";
static const fuzz_seed seeds[] = {
    {body, sizeof body    },
    {body, sizeof body - 1},
    {body, 28             },
};

const fuzz_seed *fuzz_seeds(int *n)
{
    *n = (int)(sizeof seeds / sizeof seeds[0]);
    return seeds;
}
