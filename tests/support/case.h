/* case.h -- a case: a problem with data in host memory, poisoned all around, and what is
 * right for it. Tests make one, run it on a device (device.h) and have it checked (check.c).
 *
 * Every array lies in an image: a margin, the elements where the strides put them, a
 * margin. Whatever is not an element is poison (NaN, or a number that shows), so a read
 * past an end makes a wrong result and a write past an end is seen. */
#ifndef CLFT_CASE_H
#define CLFT_CASE_H

#include "lib/plan/attn.h"
#include "tests/support/rng.h"
#include <clflash/ref.h>

enum {
    CLFT_Q,
    CLFT_K,
    CLFT_V,
    CLFT_O,
    CLFT_LSE,
    CLFT_Q_SEG,
    CLFT_KV_SEG,
    CLFT_Q_POS,
    CLFT_KV_POS,
    CLFT_KV_LEN,
    CLFT_ALIBI,
    CLFT_SINK,
    CLFT_BIAS,
    CLFT_BOOL,
    CLFT_DOUT, /* from here on of the backward */
    CLFT_DQ,
    CLFT_DK,
    CLFT_DV,
    CLFT_DSINK,
    CLFT_DBIAS,
    CLFT_N_ARRAYS
};

#define CLFT_MARGIN 512 /* elements before and behind the data */

typedef struct clft_image {
    char *bytes; /* NULL: the problem has no such array */
    int64_t total, offset;
    int64_t n[4], stride[4]; /* elements: extents and strides, the fastest axis last */
    int32_t element;         /* bytes */
} clft_image;

/* What a problem string leaves open. All zero is the plainest. */
typedef struct clft_variant {
    int32_t views;     /* 0 packed at offset 0; 1 packed behind a margin; 2 gaps at every stride;
                        * 3 packed in buffers just as large as the data */
    int32_t segments;  /* 0 sorted; 1 unsorted; 2 sorted, padding behind; 3 unsorted with padding */
    int32_t positions; /* 0 in order; 1 shuffled */
    int32_t lengths;   /* 0 ragged; 1 the first is 0 */
    int32_t bias;      /* bits: 1 one batch, 2 one head, 4 one query, 8 in the problem's dtype */
    int32_t boolean;   /* bits 1, 2, 4 as in bias */
    int32_t no_lse;    /* 1: LSE not asked for */
    int32_t mask;      /* 1: block mask built beforehand and handed over */
    int32_t workspace; /* 1: the caller's own, at an offset; 2: at most 1 MiB may be used */
    int32_t queue;     /* 1: out-of-order, held back by a user event */
    int32_t beta;      /* of the gradients: 0 all 0; 1 all 1; 2 all 0.5; 3 each another */
    int32_t skip;      /* bits: gradients not asked for: 1 dq, 2 dk, 4 dv, 8 dsink, 16 dbias */
    int32_t dbias;     /* 1: in the problem's dtype */
    int32_t seed;
} clft_variant;

#define CLFT_NAME_BYTES (CLFLASH_PROBLEM_BYTES + 128)

typedef struct clft_case {
    char name[CLFT_NAME_BYTES]; /* problem string, then the variant: clft_case_parse reads it */
    clfi_attn p;
    clft_variant variant;
    clft_image image[CLFT_N_ARRAYS];
    clflash_attn_host_args args; /* into the images */
    clflash_attn_bwd_host_args bwd;
    /* Of outputs, NULL else: the image as a device left it, what is right (in the order of the
     * image's coordinates, old contents times beta included), and the errors of standard
     * attention in the tensor's precision. */
    char *got[CLFT_N_ARRAYS];
    double *gold[CLFT_N_ARRAYS];
    double base_max[CLFT_N_ARRAYS], base_mean[CLFT_N_ARRAYS];
    double terms[CLFT_N_ARRAYS]; /* the largest sum of magnitudes behind an element */
    bool solved;                 /* gold is there */
    bool may_be_zero;            /* a reference that is mostly zero is meant so */
} clft_case;

/* Whether the call writes this array. The forward's o and lse are inputs of the backward. */
bool clft_is_output(const clft_case *c, int array);
/* Elements of an image. */
int64_t clft_elements(const clft_case *c, int array);

/* "PROBLEM [| views=2 seg=1 ...]", every word of the variant optional. */
void clft_case_parse(const char *text, clflash_attn_desc *desc, clft_variant *variant);

/* Draws the data; equal descriptors and variants give equal data. Fails the test where the
 * descriptor is not valid. */
void clft_case_make(clft_case *c, const clflash_attn_desc *desc, const clft_variant *variant);
void clft_case_make_text(clft_case *c, const char *text);
void clft_case_free(clft_case *c);

/* Elements of an image by their four coordinates: tensors as batch, sequence, head, column;
 * LSE as 0, batch, head, row; masks as batch, head, query, key; others 0, 0, row, i. */
char *clft_at(const clft_case *c, int array, int64_t a, int64_t b, int64_t i, int64_t j);
float clft_get(const clft_case *c, int array, int64_t a, int64_t b, int64_t i, int64_t j);
void clft_set(clft_case *c, int array, int64_t a, int64_t b, int64_t i, int64_t j, float value);
clflash_dtype clft_dtype(const clft_case *c, int array);
/* The same within another copy of the image. */
const char *clft_inside(const clft_image *m, const char *bytes, int64_t a, int64_t b, int64_t i,
                        int64_t j);
/* An element of an output as the device left it, and of O. */
float clft_got(const clft_case *c, int array, int64_t a, int64_t b, int64_t i, int64_t j);
float clft_o(const clft_case *c, int32_t b, int32_t i, int32_t h, int32_t col);
/* beta of a gradient. */
double clft_beta(const clft_case *c, int array);

/* baseline.c: standard attention in the tensor's own precision, as anyone would write it. Every
 * element of every output, in the order of the image's coordinates, NULL else; what the output
 * would be without beta and before its last rounding. Fills c->terms. Free each. */
void clft_baseline(clft_case *c, float *out[CLFT_N_ARRAYS]);

/* check.c: the reference and the baseline's errors; again after data was changed. For the
 * backward, o and lse become the reference's. */
void clft_case_solve(clft_case *c);
/* Whether more than nine tenths of a solved output are 0. */
bool clft_mostly_zero(const clft_case *c, int array);
/* Whether the device's result is right, everything else untouched; `why` says what is not. */
bool clft_case_check(const clft_case *c, char *why, size_t why_bytes);

#endif
