/* data.h -- the arrays of one problem in host memory: what they are, made from a seed
 * or read from files, and as the library's arguments. (bench) */
#ifndef BENCH_DATA_H
#define BENCH_DATA_H

#include "bench/common/problems.h"

typedef enum data_id {
    DATA_Q,
    DATA_K,
    DATA_V,
    DATA_Q_SEG,
    DATA_K_SEG,
    DATA_Q_POS,
    DATA_K_POS,
    DATA_KV_LEN,
    DATA_ALIBI,
    DATA_SINK,
    DATA_BIAS,
    DATA_BOOL,
    DATA_DOUT,
    N_DATA
} data_id;

/* What an element is in memory and in a file. */
typedef enum data_type { DATA_F32, DATA_F16, DATA_BF16, DATA_I32, DATA_U8 } data_type;

/* What an array of a problem has to look like. */
typedef struct data_spec {
    const char *name; /* as in the option --name */
    bool used;        /* the problem has this array */
    bool broadcast;   /* a mask: the first three dimensions may be 1, and a bias may be f32 */
    data_type type;
    int n_dims;
    int64_t dim[4];
} data_spec;

data_spec data_spec_of(const clflash_attn_desc *desc, data_id id);
data_spec data_output_spec(const clflash_attn_desc *desc); /* o */
/* dq, dk, dv, dsink, dbias; as the descriptor has them, a mask full size. */
enum { N_GRADIENTS = 5 };
data_spec data_gradient_spec(const clflash_attn_desc *desc, int gradient);
size_t data_type_bytes(data_type type);
clflash_dtype data_dtype_of(data_type type); /* of the three float types */
data_type data_type_of(clflash_dtype dtype);
int64_t data_count(const data_spec *spec); /* elements */

/* One problem's arrays, owned. */
typedef struct data {
    clflash_attn_desc desc;
    void *array[N_DATA];    /* NULL = not used, or not there yet */
    data_spec spec[N_DATA]; /* of what `array` holds: masks may be broadcast */
} data;

/* An empty set for desc: fill `array` (malloc) and `spec` of what comes from elsewhere. */
void data_init(data *d, const clflash_attn_desc *desc);

/* Makes every array that the problem uses and that is not there: q, k, v about N(0,1).
 * One seed, one result, whatever else is given. False: no memory. */
bool data_fill(data *d, uint64_t seed);

/* Arguments for the host and reference calls; o and lse are the caller's. */
clflash_attn_host_args data_host_args(const data *d);

void data_free(data *d);

/* Element i of an array as float. */
float data_load(const void *array, clflash_dtype dtype, int64_t i);
/* The value rounded to dtype and back. */
float data_round(float value, clflash_dtype dtype);

#endif
