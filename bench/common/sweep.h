/* sweep.h -- the problems of a run without arguments, and its time. (bench) */
#ifndef BENCH_SWEEP_H
#define BENCH_SWEEP_H

#include "bench/common/measure.h"

#define SWEEP_SECONDS 110 /* under two minutes, with what comes before and after */

/* Growing sequence lengths fit for the device. */
void sweep_problems(problems *list, const app *a, const clflash_device_info *info);

typedef struct sweep_budget {
    double stop;       /* when the sweep has to be over */
    double gflops;     /* of the flash method, slowest so far */
    bool standard_ran; /* CLBlast has built its kernels */
    int n;
} sweep_budget;

sweep_budget sweep_start(int n);
/* Sets how long problem i may take; false when even one run would not fit. */
bool sweep_next(const sweep_budget *budget, const clflash_attn_desc *desc, int i,
                measure_options *options);
void sweep_note(sweep_budget *budget, const measure_result *result);

#endif
