/* measure.h -- one problem: made, verified, timed, beside standard attention. (bench) */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include "bench/common/check.h"
#include "bench/common/timing.h"

typedef struct measure_options {
    double seconds;          /* of timing per problem and method */
    double standard_limit_s; /* skip standard attention when one call would take longer */
    bool check, standard;
    uint64_t seed;
} measure_options;

/* One way of computing the problem. */
typedef struct measure_side {
    bool ran;
    char note[640]; /* why not, on one line */
    clflash_plan_data info;
    timing_stats ms;
    double gflops, gbs;
    bool memory_rules; /* the copy peak is the nearer ceiling */
    double peak_share; /* of the ceiling that rules */
    int64_t bytes;     /* device memory: tensors and workspace */
    bool checked;
    check_result check;
} measure_side;

typedef struct measure_result {
    clflash_attn_desc desc;
    char problem[CLFLASH_PROBLEM_BYTES];
    measure_side flash;    /* the plan for the problem as it was asked for */
    measure_side standard; /* beside it */
    bool wants_standard;
    int64_t rows_checked, rows_all;
    bool has_block_mask;
    double block_mask_ms; /* making it once */
} measure_result;

/* What runs carry from problem to problem. */
typedef struct measurer {
    const app *app;
    const device *dev;
    clflash_peak peak;
    double standard_gflops; /* slowest so far; 0 = none */
} measurer;

/* Measures desc. false: the flash side could not run (flash.note says why) or a result is
 * wrong (check.why); the result prints either way. */
bool measure_problem(measurer *m, const clflash_attn_desc *desc, const measure_options *options,
                     measure_result *result);

/* Operations of standard attention: all pairs, visible or not. */
double measure_full_flops(const clflash_attn_desc *desc);

#endif
