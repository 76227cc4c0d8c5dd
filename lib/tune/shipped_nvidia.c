/* shipped_nvidia.c -- rows for NVIDIA GPUs, by compute capability. (L3)
 * Most special first; a row says what it was measured against. */
#include "lib/tune/shipped.h"

const clfi_shipped clfi_shipped_nvidia[] = {
    {.engine = NULL},
};
