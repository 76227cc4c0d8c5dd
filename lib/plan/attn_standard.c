/* attn_standard.c -- the engines "standard" of both directions: scores materialised by
 * CLBlast, softmax in between. (L2) The fallback that runs anything; executed by
 * lib/ops/attn_standard.c and attn_bwd_standard.c. */
#include "lib/plan/engine.h"

static clflash_status can(const clfi_attn *p, const clfi_profile *dev, clfi_err *err)
{
    (void)p;
    CLF_REQUIRE(err, dev->max_work_group >= 64, CLFLASH_UNSUPPORTED,
                "standard: CLBlast needs work-groups of 64, the device has %lld",
                (long long)dev->max_work_group);
    return CLFLASH_OK;
}

static clflash_status fits(const clfi_attn *p, const clfi_profile *dev, const clfi_row *row,
                           clfi_err *err)
{
    (void)p, (void)dev, (void)row, (void)err;
    return CLFLASH_OK;
}

static void safe(const clfi_attn *p, const clfi_profile *dev, clfi_row *row)
{
    (void)p, (void)dev;
    *row = (clfi_row){{0}};
}

static int32_t no_block(const clfi_row *row)
{
    (void)row;
    return 0;
}

#define STANDARD                                                                                   \
    {                                                                                              \
        .name = "standard", .meaning = "any device: matrix products by CLBlast, scores in memory", \
        .flash = false, .can = can, .fits = fits, .safe = safe, .block_q = no_block,               \
        .block_kv = no_block,                                                                      \
    }

const clfi_engine clfi_engine_attn_fwd_standard = STANDARD;
const clfi_engine clfi_engine_attn_bwd_standard = STANDARD;
