/* bincache_format.h -- one cached program as bytes. (L1, pure C: tested without a device)
 *
 * magic "CLFBIN1\n" | u32 key bytes | u32 registers | u32 spill bytes | u64 binary bytes |
 * key text | binary | 16 bytes checksum over everything before. Little endian. */
#ifndef CLFI_BINCACHE_FORMAT_H
#define CLFI_BINCACHE_FORMAT_H

#include <stddef.h>
#include <stdint.h>

typedef struct clfi_binfile {
    const char *key; /* not terminated in a decoded file */
    size_t key_bytes;
    const unsigned char *binary;
    size_t binary_bytes;
    uint32_t registers, spill_bytes;
} clfi_binfile;

size_t clfi_binfile_bytes(const clfi_binfile *f);
/* out holds clfi_binfile_bytes(f). */
void clfi_binfile_encode(const clfi_binfile *f, unsigned char *out);
/* f points into data. NULL when the file is sound and was made for exactly this key, else
 * what is wrong (and f is zero). */
const char *clfi_binfile_decode(const unsigned char *data, size_t bytes, const char *key,
                                clfi_binfile *f);

#endif
