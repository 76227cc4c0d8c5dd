/* fuzz_tuning.c -- any bytes as a tuning file. Sums stop nearly all of them, so the input is
 * also taken as entries and given right sums, as an attacker would. What is accepted prints
 * to a file that reads back the same, and its rows go through every engine's parser. */
#include "lib/base/hash.h"
#include "lib/plan/engine.h"
#include "lib/tune/table.h"
#include "replay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char header[] = "clflash-tuning 1\nplatform P\ndevice D\n";

static void use(const clfi_table *t)
{
    const clfi_profile dev = {.cpu = true, .local_bytes = 1 << 20, .max_work_group = 1024};
    for (int32_t i = 0; i < t->n; i++) {
        const clfi_tune_entry *e = &t->entries[i];
        clflash_attn_desc d;
        clfi_attn p;
        FUZZ_REQUIRE(clfi_table_find(t, e->key, e->engine, e->row) == e);
        if (clflash_attn_desc_parse(&d, e->key, NULL, 0) != CLFLASH_OK ||
            clfi_attn_resolve(&p, &d, NULL) != CLFLASH_OK)
            continue;
        for (int32_t n = 0; n < clfi_n_attn_fwd_engines; n++) {
            clfi_row row;
            if (clfi_row_parse(clfi_attn_fwd_engines[n], e->row, &row, NULL) == CLFLASH_OK)
                clfi_attn_fwd_engines[n]->fits(&p, &dev, &row, NULL);
        }
    }
}

static void check(const char *text, size_t bytes)
{
    clfi_table t = {0}, back = {0};
    clfi_err err = {0};
    if (clfi_table_parse(&t, text, bytes, header, &err) == CLFLASH_OK) {
        char *again;
        size_t n;
        use(&t);
        FUZZ_REQUIRE(clfi_table_print(&t, header, &again, &n, NULL) == CLFLASH_OK);
        FUZZ_REQUIRE(clfi_table_parse(&back, again, n, header, &err) == CLFLASH_OK);
        FUZZ_REQUIRE(back.n == t.n);
        for (int32_t i = 0; i < t.n; i++)
            FUZZ_REQUIRE(!memcmp(&t.entries[i], &back.entries[i], sizeof t.entries[i]));
        free(again);
    } else {
        FUZZ_REQUIRE(err.text[0] != '\0' && t.n == 0);
    }
    clfi_table_clear(&t);
    clfi_table_clear(&back);
}

/* Each line of data as an entry, with its sum, under the header, with the end line. */
static char *with_sums(const uint8_t *data, size_t bytes, size_t *n)
{
    const size_t capacity = sizeof header + 40 * (bytes + 2) + bytes;
    char *text = malloc(capacity), sum[33];
    int lines = 0;
    if (!text)
        return NULL;
    size_t used = (size_t)snprintf(text, capacity, "%s", header);
    for (size_t at = 0; at < bytes;) {
        const uint8_t *newline = memchr(data + at, '\n', bytes - at);
        const size_t length = newline ? (size_t)(newline - data) - at : bytes - at;
        clfi_hash_hex(clfi_hash_add(clfi_hash_start(), data + at, length), sum);
        memcpy(text + used, data + at, length);
        used += length;
        used += (size_t)snprintf(text + used, capacity - used, " | %.16s\n", sum);
        at += length + 1;
        lines++;
    }
    clfi_hash_hex(clfi_hash_add(clfi_hash_start(), text, used), sum);
    used += (size_t)snprintf(text + used, capacity - used, "end %d %s\n", lines, sum);
    *n = used;
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    size_t n;
    check((const char *)data, bytes);
    char *text = with_sums(data, bytes, &n);
    if (text)
        check(text, n);
    free(text);
    return 0;
}

#define SEED(text)                                                                                 \
    {                                                                                              \
        text, sizeof text - 1                                                                      \
    }
static const fuzz_seed seeds[] = {
    SEED("fwd f32 hq8 sq1024 d64 | vector | T_W=8 T_NV=3 T_BR=4 T_G=4 T_BKV=128 T_PACK=0 T_UD=4 "
         "T_UJ=2 | ok | 1.5 | 1e-7 | clflash 0.1.0"),
    SEED("fwd bf16 hq8 sq1 sk4096 d128 causal | simt | T_A=1 | cut | 3 | 0.001 | x\n"
         "a | b | c | wrong | 0 | inf | d\ne | f | g | failed | 0 | 0 | h"),
    SEED("clflash-tuning 1\nplatform P\ndevice D\nend 0 4f9b3fa6f0b7a3a3a2e6d0a7e4cbb6b1\n"),
};

const fuzz_seed *fuzz_seeds(int *n)
{
    *n = (int)(sizeof seeds / sizeof seeds[0]);
    return seeds;
}
