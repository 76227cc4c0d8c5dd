/* npy.h -- NumPy's array files: version 1.0 and 2.0, C order, little endian. (bench)
 * Format: numpy.org/doc/stable/reference/generated/numpy.lib.format.html */
#ifndef BENCH_NPY_H
#define BENCH_NPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define NPY_MAX_DIMS 8
#define NPY_MAX_HEADER 65536 /* bytes; a plain array's header is below 128 */
#define NPY_MESSAGE 256

typedef struct npy_header {
    char descr[8]; /* "<f4" */
    int n_dims;
    int64_t dim[NPY_MAX_DIMS];
    int64_t element_bytes;
    int64_t count;       /* elements; count * element_bytes fits in int64 */
    int64_t data_offset; /* where the elements begin */
} npy_header;

/* Reads the header at the start of a file of which `size` bytes are at hand. False: what is
 * wrong is in message. Never reads past bytes + size. */
bool npy_parse_header(const void *bytes, size_t size, npy_header *header,
                      char message[NPY_MESSAGE]);

/* The whole file: header and elements (malloc'd). Its size must be what the header says. */
bool npy_read(const char *path, npy_header *header, void **elements, char message[NPY_MESSAGE]);

/* Writes version 1.0. False: not everything could be written. */
bool npy_write(FILE *file, const char *descr, int n_dims, const int64_t *dim, const void *elements,
               size_t element_bytes);

/* "(2, 64, 8, 64)"; text holds 160 bytes. */
const char *npy_shape_text(int n_dims, const int64_t *dim, char text[160]);

#endif
