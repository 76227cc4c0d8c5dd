/* files.h -- a problem's arrays from NPY files, its results to them. (bench) */
#ifndef BENCH_FILES_H
#define BENCH_FILES_H

#include "bench/common/data.h"

/* Reads the array `id` of d->desc from path into d. False after a message that says what
 * was found and what was expected. */
bool files_read(data *d, const app *a, data_id id, const char *path);

/* Writes DIR/name. False after a message. */
bool files_write(const app *a, const char *dir, const char *name, const data_spec *spec,
                 const void *elements);

#endif
