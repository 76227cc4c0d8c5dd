/* select.h -- which row an engine runs with. (L3) */
#ifndef CLFI_SELECT_H
#define CLFI_SELECT_H

#include "host/context.h"
#include "lib/plan/engine.h"

/* One way to run a problem, best first. */
typedef struct clfi_candidate {
    const clfi_engine *engine;
    clfi_row row;
    char origin[64]; /* "caller", "tuning file", "shipped: <row>", "safe" */
} clfi_candidate;

#define CLFI_MAX_ENGINES 16

/* All engines that can run p, with the row of the highest authority for each:
 * caller's block sizes > tuning file > shipped rows > safe. The order: the engine that
 * the tuning file found fastest for this key, else the list's. desc.choice (algo,
 * engine) filters. `why` collects one "engine: reason" line per engine left out.
 * INVALID_TUNABLE when the caller's own block sizes fit no engine. */
clflash_status clfi_select(clflash_context *ctx, const clfi_attn *p, bool file_only,
                           clfi_candidate *out, int32_t *n, clfi_strbuf *why, clfi_err *err);

/* A shipped row (shipped.c, rows per vendor in shipped_*.c): first match wins, from
 * special to general. Zero or NULL in a field matches anything. */
typedef struct clfi_shipped {
    clflash_op op; /* 0 = the forward */
    const char *engine;
    const char *arch;     /* device name contains, or NULL */
    int32_t vector_width; /* CPU: exact native float lanes */
    int32_t nv_arch_min;  /* NVIDIA: compute capability x 10 at least */
    int32_t d_max;        /* D and Dv at most */
    int32_t sq_max;       /* query rows at most */
    int32_t blocks;       /* 1 = only problems with a block mask */
    int32_t fill;         /* at least so many work-groups per compute unit */
    const char *row;      /* "T_BQ=96 ..." */
    const char *measured; /* device, driver, figure against the safe row, date */
} clfi_shipped;

#endif
