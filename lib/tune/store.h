/* store.h -- the context's measurements and their file. (L3) Thread-safe. */
#ifndef CLFI_STORE_H
#define CLFI_STORE_H

#include "host/context.h"
#include "lib/plan/engine.h"
#include "lib/tune/table.h"

/* The problem whose row p uses: batch and lengths rounded up to powers of two. */
clflash_status clfi_tune_bucket(const clfi_attn *p, clfi_attn *bucket);
/* clfi_attn_key of the bucket. */
void clfi_tune_key(const clfi_attn *p, char *text, size_t bytes);
/* Work of the bucket over work of p: times measured on p are stored times this, so that
 * all rows of a key compare. */
double clfi_tune_scale(const clfi_attn *p);

/* The row of the engine that won its search, else the fastest right one, that fits p here; ms is
 * the time stored with it. NOT_CACHED when there is none. */
clflash_status clfi_store_best(clflash_context *ctx, const clfi_attn *p, const clfi_engine *e,
                               clfi_row *row, float *ms);
/* Whether this row was measured before. */
bool clfi_store_known(clflash_context *ctx, const char *key, const char *engine, const char *row,
                      clfi_tune_entry *entry);
/* Remembers a measurement and rewrites the file, with what other processes put there in
 * the meantime. IO: the file cannot be written; the context knows the entry all the same. */
clflash_status clfi_store_put(clflash_context *ctx, const clfi_tune_entry *entry, clfi_err *err);
/* Forgets all rows of a key, in the file too. */
clflash_status clfi_store_forget(clflash_context *ctx, const char *key, clfi_err *err);

#endif
