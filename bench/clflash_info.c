/* clflash_info.c -- every device, and what it can run. (bench) */
#include "bench/common/device.h"
#include "bench/common/info.h"
#include "bench/common/progress.h"

#include <stdio.h>
#include <string.h>

typedef struct arguments {
    bool json, probe, peak;
} arguments;

/* Flash attention of the plainest kind. */
static void ask_support(info_record *r, clflash_context *ctx)
{
    const clflash_attn_desc desc = {
        .q_heads = 1, .q_len = 64, .head_dim = 64, .choice.algo = CLFLASH_ALGO_FLASH};
    r->flash =
        clflash_attn_supported(ctx, &desc, r->flash_reason, sizeof r->flash_reason) == CLFLASH_OK;
}

static void ask_device(info_record *r, const app *a, const arguments *args)
{
    app one = *a;
    device dev;
    int exit_code;
    one.device = r->info.index;
    r->open = device_open(&dev, &one, NULL, &exit_code);
    if (!r->open)
        return;
    ask_support(r, dev.ctx);
    if (args->probe)
        progress_show(0, 0, "probing engines");
    while (r->n_engines < INFO_MAX_ENGINES &&
           clflash_engine_get(dev.ctx, r->n_engines, args->probe, &r->engine[r->n_engines]) ==
               CLFLASH_OK)
        r->n_engines++;
    clflash_context_paths(dev.ctx, r->tuning_file, sizeof r->tuning_file, r->binary_dir,
                          sizeof r->binary_dir);
    if (args->peak) {
        progress_show(0, 0, "measuring peaks");
        r->peak_status = clflash_peak_measure(dev.ctx, 0, &r->peak);
        r->has_peak = r->peak_status == CLFLASH_OK;
    }
    progress_clear();
    if (args->peak && !r->has_peak)
        app_status(a, dev.ctx, r->peak_status, "the peak could not be measured");
    device_close(&dev);
}

int main(int argc, char **argv)
{
    arguments args = {0};
    const app_option options[] = {
        {"json",  NULL, "print JSON",                                                       APP_FLAG, &args.json },
        {"probe", NULL, "build and run every engine on a small case; compare, then report",
         APP_FLAG,                                                                                    &args.probe},
        {"peak",  NULL, "measure multiply-add, copy and launch",                            APP_FLAG, &args.peak },
    };
    app a = {
        .name = "clflash_info",
        .synopsis = "[OPTION...]",
        .purpose = "Prints every OpenCL device (or the one of --device) and what it can run.",
        .options = options,
        .n_options = sizeof options / sizeof options[0],
    };
    int first, exit_code;
    if (!app_parse(&a, argc, argv, &first, &exit_code))
        return exit_code;
    if (first < argc) {
        app_message(&a, "'%s': no argument is expected; try --help", argv[first]);
        return APP_USAGE;
    }
    int32_t count = 0;
    const clflash_status status = clflash_device_count(&count);
    if (status != CLFLASH_OK)
        app_status(&a, NULL, status, "OpenCL");
    if (a.device >= count && a.device >= 0) {
        app_message(&a, "--device %lld: there are %d devices", (long long)a.device, count);
        return APP_USAGE;
    }
    info_writer writer = info_begin(args.json);
    exit_code = status == CLFLASH_OK ? APP_OK : APP_FAILED;
    for (int32_t i = 0; i < count; i++) {
        static info_record record;
        if (a.device >= 0 && i != a.device)
            continue;
        record = (info_record){0};
        if (clflash_device_get(i, &record.info) != CLFLASH_OK)
            continue;
        ask_device(&record, &a, &args);
        info_add(&writer, &record);
        if (!record.open)
            exit_code = APP_FAILED;
    }
    return info_end(&writer) ? exit_code : APP_FAILED;
}
