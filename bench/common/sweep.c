/* sweep.c -- a sweep over sequence lengths that ends in time. (bench) */
#include "bench/common/sweep.h"

#include <stdio.h>
#include <string.h>

/* CLBlast builds its kernels on its first call: 1 to 19 s on PoCL 3.1, 2 Zen 4 cores. */
#define FIRST_STANDARD_S 25

void sweep_problems(problems *list, const app *a, const clflash_device_info *info)
{
    const bool gpu = strcmp(info->kind, "gpu") == 0;
    const int last = gpu ? 16384 : 8192;
    for (int s = gpu ? 512 : 256; s <= last; s *= 2) {
        char text[CLFLASH_PROBLEM_BYTES];
        /* GPUs: 16384 tokens in all, so that every length fills the device. */
        if (gpu)
            snprintf(text, sizeof text, "fwd f16 b%d hq16 sq%d d128", 16384 / s, s);
        else
            snprintf(text, sizeof text, "fwd f32 hq8 sq%d d64", s);
        problems_add(list, a, text);
    }
}

sweep_budget sweep_start(int n)
{
    return (sweep_budget){.stop = app_now() + SWEEP_SECONDS, .n = n};
}

bool sweep_next(const sweep_budget *budget, const clflash_attn_desc *desc, int i,
                measure_options *options)
{
    const double left = budget->stop - app_now();
    const double share = left / (budget->n - i);
    const double call = budget->gflops > 0 ? 1e-9 * measure_full_flops(desc) / budget->gflops : 0;
    /* Data and reference; check, warm-up, one sample with its mark and its wall time. */
    if (1 + 5 * call > left)
        return false;
    const double most = share / 4;
    if (options->seconds > most)
        options->seconds = most;
    /* Standard attention runs about five times: check, warm-up, two rounds of both times. */
    const double reserve = budget->standard_ran ? 0 : FIRST_STANDARD_S;
    const double limit = (left - reserve - 5 * call) / 7;
    options->standard_limit_s = limit < 10 ? limit : 10;
    return true;
}

void sweep_note(sweep_budget *budget, const measure_result *result)
{
    const double s = result->flash.ms.median * 1e-3;
    if (result->standard.ran)
        budget->standard_ran = true;
    if (!result->flash.ran || s <= 0)
        return;
    const double gflops = 1e-9 * measure_full_flops(&result->desc) / s;
    if (budget->gflops == 0 || gflops < budget->gflops)
        budget->gflops = gflops;
}
