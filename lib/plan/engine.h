/* engine.h -- an engine: one way of computing an operation, as data. (L2, pure C)
 * "Can" is decided here and by the probe, "should" by the tuner. To add one:
 * docs/add-a-kernel.md. */
#ifndef CLFI_ENGINE_H
#define CLFI_ENGINE_H

#include "lib/base/profile.h"
#include "lib/base/strbuf.h"
#include "lib/plan/attn.h"

#define CLFI_MAX_TUNABLES 12
#define CLFI_MAX_CANDIDATES 12

/* One tunable: made from the family's X-macro, see CLFI_TUNABLE. */
typedef struct clfi_tunable {
    const char *name; /* "T_BQ": the macro, the file's word, the option */
    int32_t safe;     /* fits every supported device */
    int32_t n_candidates;
    int32_t candidates[CLFI_MAX_CANDIDATES];
    const char *meaning;
} clfi_tunable;

/* One value per tunable, in the order of the engine's list. */
typedef struct clfi_row {
    int32_t v[CLFI_MAX_TUNABLES];
} clfi_row;

typedef struct clfi_launch {
    uint32_t dims;
    size_t global[3], local[3];
} clfi_launch;

/* A further kernel of the same call: it follows the ones before it. A launch of 0 dimensions
 * leaves it out. */
typedef struct clfi_part {
    const char *source, *kernel;
    void (*launch)(const clfi_attn *p, const clfi_profile *dev, const clfi_row *row,
                   clfi_launch *launch);
} clfi_part;

#define CLFI_MAX_PARTS 3 /* after the first */

typedef struct clfi_engine {
    const char *name;    /* "vector" */
    const char *source;  /* "attn_fwd_vector.cl"; NULL for standard attention */
    const char *kernel;  /* "clf_attn_fwd" */
    const char *meaning; /* one line for clflash_info and docs */
    bool flash;          /* false: standard attention */
    bool retarget;       /* its PTX becomes sm_90a's: host/retarget.h */
    const clfi_tunable *tunables;
    int32_t n_tunables;

    /* Whether device and problem suit at all (no probe here); err says why not. */
    clflash_status (*can)(const clfi_attn *p, const clfi_profile *dev, clfi_err *err);
    /* Whether a row fits problem and device: divisibility, local memory, work-group. */
    clflash_status (*fits)(const clfi_attn *p, const clfi_profile *dev, const clfi_row *row,
                           clfi_err *err);
    /* The row to fall back on: safe values, shrunk until they fit. */
    void (*safe)(const clfi_attn *p, const clfi_profile *dev, clfi_row *row);
    /* T_ and D_ options (P_ come from clfi_attn_options). NULL = "-DT_X=v" for each. */
    void (*options)(const clfi_attn *p, const clfi_profile *dev, const clfi_row *row,
                    clfi_strbuf *options);
    void (*launch)(const clfi_attn *p, const clfi_profile *dev, const clfi_row *row,
                   clfi_launch *launch);
    /* Into how many parts the grid divides the keys (CLF_SPLIT_FLOATS). NULL = 1. */
    int32_t (*splits)(const clfi_attn *p, const clfi_row *row);
    /* Kernels after the first, with the same options and arguments; n_more may be 0. */
    const clfi_part *more;
    int32_t n_more;
    /* Bytes of workspace that are the engine's own: clf_attn_bwd_args.scratch_off. NULL = 0. */
    int64_t (*scratch_bytes)(const clfi_attn *p, const clfi_profile *dev, const clfi_row *row);
    /* Granularity of block skipping and of the block mask. */
    int32_t (*block_q)(const clfi_row *row);
    int32_t (*block_kv)(const clfi_row *row);
} clfi_engine;

/* All engines of an operation in the order of preference; "standard" is last. */
extern const clfi_engine *const clfi_attn_fwd_engines[];
extern const int32_t clfi_n_attn_fwd_engines;
extern const clfi_engine *const clfi_attn_bwd_engines[];
extern const int32_t clfi_n_attn_bwd_engines;

/* The same by operation. */
const clfi_engine *const *clfi_engines(clflash_op op, int32_t *n);
const clfi_engine *clfi_engine_find(clflash_op op, const char *name); /* NULL: there is none */

/* engine.c: helpers over the tunables of any engine. */
int32_t clfi_engine_tunable(const clfi_engine *e, const char *name); /* index or -1 */
void clfi_row_print(const clfi_engine *e, const clfi_row *row, char *text, size_t bytes);
/* "T_BQ=96 T_BKV=128": every tunable exactly once, values among the candidates. */
clflash_status clfi_row_parse(const clfi_engine *e, const char *text, clfi_row *row, clfi_err *err);
/* Full option string: P_, T_, D_. */
void clfi_engine_options(const clfi_engine *e, const clfi_attn *p, const clfi_profile *dev,
                         const clfi_row *row, clfi_strbuf *options);

/* What several engines ask alike; the message names the engine. */
clflash_status clfi_require_local(const char *engine, int64_t bytes, const clfi_profile *dev,
                                  clfi_err *err);
/* Problems and devices of "nv_mma", forward and backward. */
clflash_status clfi_nv_mma_can(const clfi_attn *p, const clfi_profile *dev, clfi_err *err);
/* One dimension: the others stop at 65535 groups on some devices. */
clfi_launch clfi_launch_line(size_t groups, size_t items);

/* Table rows from a family's X-macro:
 *   #define VECTOR_TUNABLES(X) X(T_BQ, 96, "query rows per work-group", 24, 48, 96) ... */
#define CLFI_TUNABLE(name, safe, meaning, ...)                                                     \
    {#name,                                                                                        \
     safe,                                                                                         \
     (int32_t)(sizeof((int32_t[]){__VA_ARGS__}) / sizeof(int32_t)),                                \
     {__VA_ARGS__},                                                                                \
     meaning},
#define CLFI_TUNABLE_INDEX(name, safe, meaning, ...) name,

#endif
