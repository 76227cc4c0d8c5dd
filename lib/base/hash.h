/* hash.h -- 128-bit FNV-1a for file names and checksums. (L0) Not cryptographic:
 * the full key is stored in each file and compared. */
#ifndef CLFI_HASH_H
#define CLFI_HASH_H

#include <stddef.h>
#include <stdint.h>

typedef struct clfi_hash {
    uint64_t hi, lo;
} clfi_hash;

clfi_hash clfi_hash_start(void);
clfi_hash clfi_hash_add(clfi_hash h, const void *data, size_t bytes);
void clfi_hash_hex(clfi_hash h, char text[33]);

#endif
