/* report.h -- results for people and for machines. (bench) */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "bench/common/measure.h"

#include <stdio.h>

/* What ran, on what; the ceilings. */
typedef struct report {
    const app *app;
    const clflash_device_info *info;
    clflash_peak peak;
    FILE *table; /* standard output, unless a file of results goes there */
    const measure_result *results;
    int n;
} report;

const char *report_commit(void); /* of the sources that were built */

/* report.c: the table; rows appear one by one. */
void report_header(const report *r);
void report_row(const report *r, const measure_result *m);

/* 36.8 GFLOP/s, 1.24 TFLOP/s; text holds 24 bytes. */
const char *report_rate(double gflops, char text[24]);
/* "48x128": the blocks of a plan. */
const char *report_blocks(const clflash_plan_data *info, char text[32]);

/* False when not everything could be written. */
bool report_json(const report *r, FILE *file); /* report_json.c: docs/benchmarking.md */
bool report_csv(const report *r, FILE *file);  /* report_csv.c */
bool report_svg(const report *r, FILE *file);  /* report_svg.c: time and memory by length */

#endif
