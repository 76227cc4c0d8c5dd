/* shipped_cpu.c -- rows for CPU drivers, by vector width, not by name. (L3)
 * Most special first; a row says what it was measured against. */
#include "lib/tune/shipped.h"

const clfi_shipped clfi_shipped_cpu[] = {
    {.engine = NULL},
};
