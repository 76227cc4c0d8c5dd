/* store.c -- the context's measurements and their file. (L3) */
#include "lib/tune/store.h"

#include "host/embedded.h"
#include "lib/base/fs.h"
#include "lib/base/hash.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define FILE_MARK "clflash-tuning "

typedef struct store {
    pthread_mutex_t lock;
    clfi_table table;
    const char *path; /* "" = no file */
    char header[CLFI_TUNE_HEADER_BYTES];
} store;

/* ---- keys ---- */

static int32_t power_of_two(int32_t n)
{
    int32_t p = 1;
    while (p < n && p < (1 << 29))
        p *= 2;
    return p < n ? n : p;
}

static int32_t bucket_size(int32_t n) { return n == 0 ? CLFLASH_EMPTY : power_of_two(n); }

clflash_status clfi_tune_bucket(const clfi_attn *p, clfi_attn *bucket)
{
    clflash_attn_desc d = p->desc;
    d.batch = bucket_size(p->b);
    d.q_len = p->sq == 0 ? 0 : power_of_two(p->sq);
    d.kv_len = bucket_size(p->sk);
    return clfi_attn_resolve(bucket, &d, NULL);
}

void clfi_tune_key(const clfi_attn *p, char *text, size_t bytes)
{
    clfi_attn bucket;
    /* A bucket may pass a limit that p keeps (2^30 tokens): p is its own then. */
    const bool ok = clfi_tune_bucket(p, &bucket) == CLFLASH_OK;
    clfi_attn_key(ok ? &bucket : p, text, bytes);
}

double clfi_tune_scale(const clfi_attn *p)
{
    clfi_attn bucket;
    const double own = clfi_attn_flops(p);
    if (own <= 0 || clfi_tune_bucket(p, &bucket) != CLFLASH_OK)
        return 1;
    const double whole = clfi_attn_flops(&bucket);
    return whole > 0 ? whole / own : 1;
}

/* ---- file ---- */

/* What the file holds; an absent file is an empty table, a bad one too. */
static void read_file(clflash_context *ctx, const store *s, clfi_table *t, bool *ours)
{
    char *text;
    size_t bytes;
    clfi_err err = {0};
    *ours = true;
    const clflash_status read =
        clfi_fs_read(t->allocator, s->path, CLFI_TUNE_MAX_BYTES, &text, &bytes, &err);
    if (read == CLFLASH_OK) {
        *ours = bytes == 0 || !strncmp(text, FILE_MARK, sizeof FILE_MARK - 1);
        if (clfi_table_parse(t, text, bytes, s->header, &err) != CLFLASH_OK)
            clfi_log(ctx, CLFLASH_LOG_WARNING, "tuning file %s ignored: %s", s->path, err.text);
    } else if (read == CLFLASH_CORRUPT) {
        *ours = false;
        clfi_log(ctx, CLFLASH_LOG_WARNING, "tuning file ignored: %s", err.text);
    } else {
        clfi_log(ctx, CLFLASH_LOG_DEBUG, "no tuning file: %s", err.text);
    }
    clfi_free(t->allocator, text);
}

static clflash_status make_folder(const char *path, clfi_err *err)
{
    char folder[1024];
    const char *slash = strrchr(path, '/');
    const size_t n = slash ? (size_t)(slash - path) : 0;
    if (n == 0)
        return CLFLASH_OK;
    CLF_REQUIRE(err, n < sizeof folder, CLFLASH_IO, "path too long: %.100s...", path);
    memcpy(folder, path, n);
    folder[n] = '\0';
    return clfi_fs_make_dir(folder, err);
}

/* Writes the table with what other processes added; key_gone (may be NULL) leaves too. */
static clflash_status write_file(clflash_context *ctx, store *s, const char *key_gone,
                                 clfi_err *err)
{
    clfi_table other = {.allocator = s->table.allocator};
    char *text = NULL;
    size_t bytes;
    bool ours;
    if (s->path[0] == '\0')
        return CLFLASH_OK;
    read_file(ctx, s, &other, &ours);
    if (key_gone)
        clfi_table_forget(&other, key_gone);
    clflash_status status = clfi_table_merge(&s->table, &other, err);
    clfi_table_clear(&other);
    if (status == CLFLASH_OK && !ours) /* a mistyped path must not cost a user's file */
        status = clfi_fail(err, CLFLASH_IO, "%s is not a tuning file and is left alone", s->path);
    if (status == CLFLASH_OK)
        status = make_folder(s->path, err);
    if (status == CLFLASH_OK)
        status = clfi_table_print(&s->table, s->header, &text, &bytes, err);
    if (status == CLFLASH_OK)
        status = clfi_fs_write(s->path, text, bytes, err);
    clfi_free(s->table.allocator, text);
    return status;
}

/* ---- the context's slot ---- */

/* Times of other kernels say nothing about these. */
static void describe_library(char text[64])
{
    char hex[33];
    clfi_hash h = clfi_hash_start();
    for (int i = 0; i < clfi_n_embedded_sources; i++)
        h = clfi_hash_add(h, clfi_embedded_sources[i].text, clfi_embedded_sources[i].bytes);
    clfi_hash_hex(h, hex);
    snprintf(text, 64, "%s kernels %.16s", clflash_version(), hex);
}

static clflash_status make_store(clflash_context *ctx, void **state, clfi_err *err)
{
    const clflash_allocator *a = clfi_context_allocator(ctx);
    store *s = clfi_alloc(a, 1, sizeof *s);
    char library[64];
    bool ours;
    CLF_REQUIRE(err, s, CLFLASH_OUT_OF_MEMORY, "no memory for the tuning store");
    pthread_mutex_init(&s->lock, NULL);
    s->table.allocator = a;
    s->path = clfi_context_tuning_file(ctx);
    describe_library(library);
    clfi_tune_header(clfi_context_profile(ctx), library, s->header);
    if (s->path[0])
        read_file(ctx, s, &s->table, &ours);
    *state = s;
    return CLFLASH_OK;
}

static void free_store(clflash_context *ctx, void *state)
{
    store *s = state;
    clfi_table_clear(&s->table);
    pthread_mutex_destroy(&s->lock);
    clfi_free(clfi_context_allocator(ctx), s);
}

static clflash_status get_store(clflash_context *ctx, store **out, clfi_err *err)
{
    void *state = NULL;
    CLF_TRY(clfi_context_slot(ctx, CLFI_SLOT_TUNE, make_store, free_store, &state, err));
    *out = state;
    return CLFLASH_OK;
}

/* ---- use ---- */

clflash_status clfi_store_best(clflash_context *ctx, const clfi_attn *p, const clfi_engine *e,
                               clfi_row *row, float *ms)
{
    char key[256];
    store *s;
    CLF_TRY(get_store(ctx, &s, NULL));
    clfi_tune_key(p, key, sizeof key);
    clfi_verdict verdict = CLFI_OK;
    clflash_status status = CLFLASH_NOT_CACHED;
    pthread_mutex_lock(&s->lock);
    for (int32_t i = 0; i < s->table.n; i++) {
        const clfi_tune_entry *entry = &s->table.entries[i];
        clfi_row r;
        if (entry->verdict > CLFI_BEST || strcmp(entry->key, key) || strcmp(entry->engine, e->name))
            continue;
        /* A winner counts before rows that were timed once, then time does. */
        if (status == CLFLASH_OK &&
            (entry->verdict < verdict || (entry->verdict == verdict && entry->ms >= *ms)))
            continue;
        /* Rows of another build, or made up, end here. */
        if (clfi_row_parse(e, entry->row, &r, NULL) != CLFLASH_OK ||
            e->fits(p, clfi_context_profile(ctx), &r, NULL) != CLFLASH_OK)
            continue;
        *row = r;
        *ms = entry->ms;
        verdict = entry->verdict;
        status = CLFLASH_OK;
    }
    pthread_mutex_unlock(&s->lock);
    return status;
}

bool clfi_store_known(clflash_context *ctx, const char *key, const char *engine, const char *row,
                      clfi_tune_entry *entry)
{
    store *s;
    if (get_store(ctx, &s, NULL) != CLFLASH_OK)
        return false;
    pthread_mutex_lock(&s->lock);
    const clfi_tune_entry *found = clfi_table_find(&s->table, key, engine, row);
    if (found)
        *entry = *found;
    pthread_mutex_unlock(&s->lock);
    return found != NULL;
}

clflash_status clfi_store_put(clflash_context *ctx, const clfi_tune_entry *entry, clfi_err *err)
{
    store *s;
    CLF_TRY(get_store(ctx, &s, err));
    clfi_tune_entry own = *entry;
    own.fresh = true;
    pthread_mutex_lock(&s->lock);
    clflash_status status = clfi_table_put(&s->table, &own, err);
    if (status == CLFLASH_OK)
        status = write_file(ctx, s, NULL, err);
    pthread_mutex_unlock(&s->lock);
    return status;
}

clflash_status clfi_store_forget(clflash_context *ctx, const char *key, clfi_err *err)
{
    store *s;
    CLF_TRY(get_store(ctx, &s, err));
    pthread_mutex_lock(&s->lock);
    clfi_table_forget(&s->table, key);
    const clflash_status status = write_file(ctx, s, key, err);
    pthread_mutex_unlock(&s->lock);
    return status;
}
