/* info.h -- what is known about a device, printed for people or as JSON. (bench) */
#ifndef BENCH_INFO_H
#define BENCH_INFO_H

#include "bench/common/app.h"

#include <jansson.h>

#define INFO_MAX_ENGINES 32

typedef struct info_record {
    clflash_device_info info;
    bool open; /* a context could be made; else only `info` counts */
    bool flash;
    char flash_reason[1024];
    clflash_engine_info engine[INFO_MAX_ENGINES];
    int32_t n_engines;
    char tuning_file[1024], binary_dir[1024];
    bool has_peak;
    clflash_status peak_status;
    clflash_peak peak;
} info_record;

typedef struct info_writer {
    json_t *devices; /* NULL = text */
    int n;
} info_writer;

info_writer info_begin(bool json);
void info_add(info_writer *w, const info_record *r);
bool info_end(info_writer *w); /* false: not everything could be written */

#endif
