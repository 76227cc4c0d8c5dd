/* ops_fixture.h -- a problem with data on a device, for tests of the operations. */
#ifndef OPS_FIXTURE_H
#define OPS_FIXTURE_H

#include "host/memory.h"
#include "lib/base/half.h"
#include "lib/ops/tune_case.h"
#include "lib/tune/case.h"
#include <clflash/clflash.h>

/* The last warnings of the context's log. */
typedef struct ops_log {
    char text[4096];
} ops_log;

typedef struct ops_fixture {
    clflash_context *ctx; /* borrowed */
    clflash_plan *plan;
    clfi_case host;
    clfi_device_case dev;
    void *o; /* what the device wrote */
    float *lse;
    double *want_o, *want_lse;
} ops_fixture;

/* A context on the default device, without files. */
clflash_context *ops_open(ops_log *log);

/* A planned problem with data and the reference's result; fails the test on any error.
 * Outputs are poisoned. */
void ops_start(ops_fixture *f, clflash_context *ctx, const char *problem, uint32_t seed);
void ops_poison(ops_fixture *f);
/* The reference again, after the test changed f->host's data; uploads it too. */
void ops_refresh(ops_fixture *f);
/* Reads o and lse and compares; `what` is for the message. */
void ops_check(ops_fixture *f, const char *what);
/* Any o and lse (NULL: not compared) against the reference. */
void ops_compare(const ops_fixture *f, const void *o, const float *lse, const char *what);
/* Whether o and lse are still poison. */
bool ops_untouched(ops_fixture *f);
void ops_end(ops_fixture *f);

#endif
