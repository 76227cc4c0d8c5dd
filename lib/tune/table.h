/* table.h -- measurements of one device as text and in memory. (L3, no OpenCL)
 *
 * A tuning file (docs/tuning.md#the-file):
 *   clflash-tuning 1                     the format
 *   platform ..., device ..., driver ..., compute-units, local-bytes, library
 *   <key> | <engine> | <row> | <verdict> | <ms> | <error> | <source> | <sum of this line>
 *   end <number of lines> <sum of all above>
 * A file with any other header, a wrong sum or a field out of bounds is ignored whole. */
#ifndef CLFI_TABLE_H
#define CLFI_TABLE_H

#include "lib/base/error.h"
#include "lib/base/profile.h"
#include <stdbool.h>

#define CLFI_TUNE_SCHEMA 1
#define CLFI_TUNE_MAX_ENTRIES 4096
#define CLFI_TUNE_MAX_BYTES ((size_t)4 << 20)
#define CLFI_TUNE_HEADER_BYTES 1024

/* "ok" timed and right; "best" the winner of a search's last round, which other rows' single
 * times do not outweigh: one per key and engine; "cut" right but so slow that timing stopped early;
 * "wrong" differs from the reference; "failed" the driver did not build or run it, or it spilled.
 */
typedef enum clfi_verdict {
    CLFI_OK = 0,
    CLFI_BEST,
    CLFI_CUT,
    CLFI_WRONG,
    CLFI_FAILED
} clfi_verdict;

typedef struct clfi_tune_entry {
    char key[256]; /* clfi_tune_key */
    char engine[16];
    char row[256]; /* clfi_row_print */
    clfi_verdict verdict;
    float ms;        /* device time, scaled by work to the key's own lengths; 0 unless timed */
    float error;     /* largest difference from the reference */
    char source[32]; /* who measured: "clflash_tune 0.1.0" */
    bool fresh;      /* in memory only: measured here, so newer than the file's */
} clfi_tune_entry;

typedef struct clfi_table {
    const clflash_allocator *allocator; /* NULL = malloc */
    clfi_tune_entry *entries;
    int32_t n, capacity;
} clfi_table;

void clfi_table_clear(clfi_table *t);

/* The entry of (key, engine, row), or NULL; row NULL = the first of (key, engine). */
const clfi_tune_entry *clfi_table_find(const clfi_table *t, const char *key, const char *engine,
                                       const char *row);
/* Replaces the entry of the same key, engine and row, or appends; a full table forgets
 * its oldest entry. A new best demotes the one before. */
clflash_status clfi_table_put(clfi_table *t, const clfi_tune_entry *entry, clfi_err *err);
void clfi_table_forget(clfi_table *t, const char *key);
/* What `from` has and t has not measured itself. */
clflash_status clfi_table_merge(clfi_table *t, const clfi_table *from, clfi_err *err);

/* The lines that must match before a file's entries count. */
void clfi_tune_header(const clfi_profile *dev, const char *library,
                      char text[CLFI_TUNE_HEADER_BYTES]);

/* Text -> an empty table. CORRUPT with the reason, and t stays empty. */
clflash_status clfi_table_parse(clfi_table *t, const char *text, size_t bytes, const char *header,
                                clfi_err *err);
/* Table -> text from the table's allocator. */
clflash_status clfi_table_print(const clfi_table *t, const char *header, char **text, size_t *bytes,
                                clfi_err *err);

#endif
