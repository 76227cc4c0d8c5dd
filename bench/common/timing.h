/* timing.h -- device and wall time of one planned call. (bench) */
#ifndef BENCH_TIMING_H
#define BENCH_TIMING_H

#include "bench/common/device.h"

#define TIMING_MAX_SAMPLES 2000

typedef struct timing {
    const device *dev;
    const clflash_plan *plan;
    const bench_call *args;
    double guess_s; /* one call, from the warm-up */
    int32_t batch;  /* calls per sample: short kernels are timed in batches */
    bool wall_only; /* the driver gives no profiling times */
    int32_t n, n_wall;
    double ms[TIMING_MAX_SAMPLES], wall_ms[TIMING_MAX_SAMPLES]; /* per call */
} timing;

typedef struct timing_stats {
    double median, min, max; /* ms per call, on the device */
    double spread;           /* interquartile range by median */
    double wall;             /* ms per call, enqueue to finish, median */
} timing_stats;

/* Warms up: after this, guess_s is known. */
clflash_status timing_begin(timing *t, const device *dev, const clflash_plan *plan,
                            const bench_call *args);
/* Adds samples for about `seconds`; at least one. */
clflash_status timing_run(timing *t, double seconds);
timing_stats timing_get(timing *t);

#endif
