/* half.h -- 16-bit floats and dtype helpers. (L0) The conversions themselves are
 * public: clflash/ref.h. */
#ifndef CLFI_HALF_H
#define CLFI_HALF_H

#include <clflash/problem.h>

/* Element i of an array of dtype, as float. */
float clfi_load(const void *data, clflash_dtype dtype, int64_t i);
/* value rounded to nearest even into element i. */
void clfi_store(void *data, clflash_dtype dtype, int64_t i, float value);
/* Unit roundoff of a dtype: 2^-24, 2^-11, 2^-8. */
double clfi_unit_roundoff(clflash_dtype dtype);
const char *clfi_dtype_name(clflash_dtype dtype); /* "f32" "f16" "bf16" */

#endif
