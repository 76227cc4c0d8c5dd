/* engines.c -- the engines of each operation in the order of preference: fast and special
 * before general, standard attention last. To add one: declare it, name it. (L2) */
#include "lib/plan/engine.h"

#define ENGINES(X)                                                                                 \
    X(clfi_engine_attn_fwd_nv_wgmma)                                                               \
    X(clfi_engine_attn_fwd_nv_mma)                                                                 \
    X(clfi_engine_attn_fwd_vector_few)                                                             \
    X(clfi_engine_attn_fwd_vector)                                                                 \
    X(clfi_engine_attn_fwd_simt)                                                                   \
    X(clfi_engine_attn_fwd_standard)

#define DECLARE(engine) extern const clfi_engine engine;
#define NAME(engine) &engine,

ENGINES(DECLARE)

/* Of the backward. */
#define BWD_ENGINES(X)                                                                             \
    X(clfi_engine_attn_bwd_nv_mma)                                                                 \
    X(clfi_engine_attn_bwd_vector)                                                                 \
    X(clfi_engine_attn_bwd_simt)                                                                   \
    X(clfi_engine_attn_bwd_standard)

BWD_ENGINES(DECLARE)

const clfi_engine *const clfi_attn_bwd_engines[] = {BWD_ENGINES(NAME) NULL};
const int32_t clfi_n_attn_bwd_engines =
    (int32_t)(sizeof clfi_attn_bwd_engines / sizeof clfi_attn_bwd_engines[0]) - 1;

const clfi_engine *const clfi_attn_fwd_engines[] = {ENGINES(NAME) NULL};
const int32_t clfi_n_attn_fwd_engines =
    (int32_t)(sizeof clfi_attn_fwd_engines / sizeof clfi_attn_fwd_engines[0]) - 1;
