/* bincache_format.c -- one cached program as bytes. (L1, pure C) */
#include "host/bincache_format.h"

#include "lib/base/hash.h"

#include <string.h>

static const char magic[8] = {'C', 'L', 'F', 'B', 'I', 'N', '1', '\n'};
#define HEADER_BYTES (8 + 4 + 4 + 4 + 8)
#define CHECK_BYTES 16

static void put(unsigned char *to, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        to[i] = (unsigned char)(value >> 8 * i);
}

static uint64_t get(const unsigned char *from, int bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++)
        value |= (uint64_t)from[i] << 8 * i;
    return value;
}

static void checksum(const unsigned char *data, size_t bytes, unsigned char out[CHECK_BYTES])
{
    const clfi_hash h = clfi_hash_add(clfi_hash_start(), data, bytes);
    put(out, h.hi, 8);
    put(out + 8, h.lo, 8);
}

size_t clfi_binfile_bytes(const clfi_binfile *f)
{
    return HEADER_BYTES + f->key_bytes + f->binary_bytes + CHECK_BYTES;
}

void clfi_binfile_encode(const clfi_binfile *f, unsigned char *out)
{
    memcpy(out, magic, sizeof magic);
    put(out + 8, f->key_bytes, 4);
    put(out + 12, f->registers, 4);
    put(out + 16, f->spill_bytes, 4);
    put(out + 20, f->binary_bytes, 8);
    memcpy(out + HEADER_BYTES, f->key, f->key_bytes);
    memcpy(out + HEADER_BYTES + f->key_bytes, f->binary, f->binary_bytes);
    const size_t body = HEADER_BYTES + f->key_bytes + f->binary_bytes;
    checksum(out, body, out + body);
}

const char *clfi_binfile_decode(const unsigned char *data, size_t bytes, const char *key,
                                clfi_binfile *f)
{
    *f = (clfi_binfile){0};
    if (bytes < HEADER_BYTES + CHECK_BYTES)
        return "too short";
    if (memcmp(data, magic, sizeof magic) != 0)
        return "not a program file of this version";
    const uint64_t key_bytes = get(data + 8, 4), binary_bytes = get(data + 20, 8);
    const uint64_t room = bytes - HEADER_BYTES - CHECK_BYTES;
    if (key_bytes > room || binary_bytes != room - key_bytes)
        return "lengths do not add up";
    unsigned char sum[CHECK_BYTES];
    checksum(data, bytes - CHECK_BYTES, sum);
    if (memcmp(sum, data + bytes - CHECK_BYTES, CHECK_BYTES) != 0)
        return "checksum differs";
    if (key_bytes != strlen(key) || memcmp(data + HEADER_BYTES, key, (size_t)key_bytes) != 0)
        return "made for another key";
    *f = (clfi_binfile){.key = (const char *)data + HEADER_BYTES,
                        .key_bytes = (size_t)key_bytes,
                        .binary = data + HEADER_BYTES + key_bytes,
                        .binary_bytes = (size_t)binary_bytes,
                        .registers = (uint32_t)get(data + 12, 4),
                        .spill_bytes = (uint32_t)get(data + 16, 4)};
    return NULL;
}
