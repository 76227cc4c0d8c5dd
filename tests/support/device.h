/* device.h -- running a case on a device, through the public interface. */
#ifndef CLFT_DEVICE_H
#define CLFT_DEVICE_H

#include "tests/support/case.h"
#include <clflash/attention.h>

/* One context for a test program, made on first use. Files are off: nothing that another
 * run tuned may change what is tested. */
typedef struct clft_session {
    clflash_context *ctx;
    cl_command_queue in_order, out_of_order; /* the second is NULL where the driver has none */
} clft_session;
clft_session *clft_session_get(void);
void clft_session_end(void);

/* Engines of an operation by name, in the library's order; NULL past the last. */
const char *clft_engine_of(clflash_op op, int index);
/* Of the forward. */
const char *clft_engine(int index);

/* The case's images in buffers of their own. */
typedef struct clft_upload {
    cl_mem mem[CLFT_N_ARRAYS], workspace;
    clflash_attn_fwd_args args;
    clflash_attn_bwd_args bwd;
    clflash_block_mask *mask;
} clft_upload;
void clft_upload_make(clft_upload *u, const clft_session *s, const clft_case *c);
void clft_upload_free(clft_upload *u);
/* Copies the outputs to the case. */
void clft_download(const clft_upload *u, const clft_session *s, clft_case *c);
/* The outputs on the device as they were: poison, or what beta adds to. */
void clft_repoison(const clft_upload *u, const clft_session *s, const clft_case *c);

/* A plan with this engine, NULL where the engine says that it cannot (`why` has the text);
 * any other failure fails the test. */
clflash_plan *clft_plan(const clft_session *s, const clft_case *c, const char *engine, char *why,
                        size_t why_bytes);
/* One call, finished on return, as the variant says; fails the test on an error. */
void clft_execute(const clft_session *s, const clft_case *c, const clflash_plan *plan,
                  clft_upload *u);

/* Whether case number n_cases is left out for an engine that only falls back on this device,
 * where `ran` others ran it: the driver's compiler takes most of a test's time, and such
 * engines' programs are the largest. They run every n-th case, n = $CLFT_FALLBACKS_EVERY
 * (unset: all of them). */
bool clft_left_out(const char *engine, int ran, int n_cases);

/* All of it: upload, plan, run, download. false where the engine cannot. */
bool clft_run(clft_case *c, const char *engine);
/* ... and check; fails the test naming the case and the engine. */
bool clft_run_checked(clft_case *c, const char *engine);
/* The case (solved here) on every engine that can; at least one must. Frees the case. */
void clft_check_engines(clft_case *c);
void clft_check_text(const char *text);

#endif
