/* table.c -- measurements of one device in memory. (L3, no OpenCL) */
#include "lib/tune/table.h"

#include "lib/base/alloc.h"

#include <string.h>

void clfi_table_clear(clfi_table *t)
{
    clfi_free(t->allocator, t->entries);
    *t = (clfi_table){.allocator = t->allocator};
}

static int32_t find(const clfi_table *t, const char *key, const char *engine, const char *row)
{
    for (int32_t i = 0; i < t->n; i++) {
        const clfi_tune_entry *e = &t->entries[i];
        if (!strcmp(e->key, key) && !strcmp(e->engine, engine) && (!row || !strcmp(e->row, row)))
            return i;
    }
    return -1;
}

const clfi_tune_entry *clfi_table_find(const clfi_table *t, const char *key, const char *engine,
                                       const char *row)
{
    const int32_t i = find(t, key, engine, row);
    return i < 0 ? NULL : &t->entries[i];
}

static clflash_status grow(clfi_table *t, clfi_err *err)
{
    const int32_t capacity = t->capacity ? 2 * t->capacity : 32;
    clfi_tune_entry *entries = clfi_alloc(t->allocator, (size_t)capacity, sizeof *entries);
    CLF_REQUIRE(err, entries, CLFLASH_OUT_OF_MEMORY, "no memory for %d tuning entries", capacity);
    if (t->n)
        memcpy(entries, t->entries, (size_t)t->n * sizeof *entries);
    clfi_free(t->allocator, t->entries);
    t->entries = entries;
    t->capacity = capacity;
    return CLFLASH_OK;
}

static void remove_at(clfi_table *t, int32_t i)
{
    memmove(t->entries + i, t->entries + i + 1, (size_t)(t->n - i - 1) * sizeof *t->entries);
    t->n--;
}

static clfi_tune_entry *find_best(const clfi_table *t, const clfi_tune_entry *like)
{
    for (int32_t i = 0; i < t->n; i++) {
        clfi_tune_entry *e = &t->entries[i];
        if (e->verdict == CLFI_BEST && !strcmp(e->key, like->key) &&
            !strcmp(e->engine, like->engine))
            return e;
    }
    return NULL;
}

clflash_status clfi_table_put(clfi_table *t, const clfi_tune_entry *entry, clfi_err *err)
{
    clfi_tune_entry *best = entry->verdict == CLFI_BEST ? find_best(t, entry) : NULL;
    if (best)
        best->verdict = CLFI_OK;
    const int32_t i = find(t, entry->key, entry->engine, entry->row);
    if (i >= 0) {
        t->entries[i] = *entry;
        return CLFLASH_OK;
    }
    if (t->n == CLFI_TUNE_MAX_ENTRIES)
        remove_at(t, 0);
    if (t->n == t->capacity)
        CLF_TRY(grow(t, err));
    t->entries[t->n++] = *entry;
    return CLFLASH_OK;
}

void clfi_table_forget(clfi_table *t, const char *key)
{
    for (int32_t i = t->n - 1; i >= 0; i--)
        if (!strcmp(t->entries[i].key, key))
            remove_at(t, i);
}

clflash_status clfi_table_merge(clfi_table *t, const clfi_table *from, clfi_err *err)
{
    for (int32_t i = 0; i < from->n; i++) {
        clfi_tune_entry e = from->entries[i];
        const clfi_tune_entry *own = clfi_table_find(t, e.key, e.engine, e.row);
        const clfi_tune_entry *best = e.verdict == CLFI_BEST ? find_best(t, &e) : NULL;
        if (best && best->fresh)
            e.verdict = CLFI_OK;
        if (!own || !own->fresh)
            CLF_TRY(clfi_table_put(t, &e, err));
    }
    return CLFLASH_OK;
}
