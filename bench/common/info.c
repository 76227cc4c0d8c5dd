/* info.c -- a device for people and as JSON. (bench) */
#include "bench/common/info.h"

#include "bench/common/report.h"

#include <stdio.h>
#include <string.h>

info_writer info_begin(bool json) { return (info_writer){.devices = json ? json_array() : NULL}; }

static void print_reason(const char *text)
{
    /* One "engine: reason" a line. */
    for (const char *at = text; *at;) {
        const size_t n = strcspn(at, "\n");
        printf("%s%.*s", at == text ? "" : "; ", (int)n, at);
        at += n + (at[n] == '\n');
    }
}

static void print_engines(const info_record *r)
{
    for (int32_t e = 0; e < r->n_engines; e++) {
        const clflash_engine_info *g = &r->engine[e];
        const bool first = e == 0 || g->backward != r->engine[e - 1].backward;
        printf("  %-10s %s: %s%s%s\n", !first ? "" : g->backward ? "backward" : "engines", g->name,
               g->can ? "yes" : "no: ", g->can ? "" : g->reason,
               g->can && g->probed ? " (probed)" : "");
    }
}

static const char *or_off(const char *path) { return path[0] ? path : "(off)"; }

static void print_record(const info_record *r)
{
    const clflash_device_info *d = &r->info;
    char a[16], b[16], c[16], rate[24];
    printf("device %d: %s\n", d->index, d->name);
    printf("  %-10s %s, %s\n", "platform", d->platform, d->version);
    printf("  %-10s %s, vendor %s\n", "driver", d->driver, d->vendor);
    printf("  %-10s %s, %d compute units, float vectors of %d\n", "kind", d->kind, d->compute_units,
           d->vector_width_float);
    printf("  %-10s %s, largest buffer %s\n", "memory", app_bytes((double)d->global_bytes, a),
           app_bytes((double)d->max_alloc_bytes, b));
    printf("  %-10s local memory %s, work-groups of %lld\n", "limits",
           app_bytes((double)d->local_bytes, c), (long long)d->max_work_group);
    if (!r->open) {
        printf("  %-10s no: the device cannot be opened\n", "flash");
        return;
    }
    printf("  %-10s %s", "flash", r->flash ? "yes" : "no: ");
    if (!r->flash)
        print_reason(r->flash_reason);
    putchar('\n');
    print_engines(r);
    printf("  %-10s %s\n", "tuning", or_off(r->tuning_file));
    printf("  %-10s %s\n", "binaries", or_off(r->binary_dir));
    if (r->has_peak) {
        printf("  %-10s %s f32 multiply-add, copy %.1f GB/s (read and written)\n", "peak",
               report_rate(r->peak.fma_gflops, rate), r->peak.copy_gbs);
        printf("  %-10s %.1f us to finish, %.1f us in a stream\n", "launch", r->peak.launch_us,
               r->peak.enqueue_us);
    }
}

static json_t *engines_json(const info_record *r)
{
    json_t *list = json_array();
    for (int32_t e = 0; e < r->n_engines; e++) {
        const clflash_engine_info *g = &r->engine[e];
        json_array_append_new(list,
                              json_pack("{s:s, s:b, s:b, s:b, s:s}", "name", g->name, "backward",
                                        g->backward, "can", g->can, "probed", g->probed, "reason", g->can ? "" : g->reason));
    }
    return list;
}

static json_t *record_json(const info_record *r)
{
    const clflash_device_info *d = &r->info;
    json_t *o = json_pack(
        "{s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:I, s:I, s:I, s:I, s:i, s:b, s:b, s:s, s:o, "
        "s:s, s:s}",
        "index", d->index, "name", d->name, "platform", d->platform, "vendor", d->vendor, "driver",
        d->driver, "version", d->version, "type", d->kind, "compute_units", d->compute_units,
        "global_bytes", (json_int_t)d->global_bytes, "max_alloc_bytes",
        (json_int_t)d->max_alloc_bytes, "local_bytes", (json_int_t)d->local_bytes, "max_work_group",
        (json_int_t)d->max_work_group, "vector_width_float", d->vector_width_float, "usable",
        r->open, "flash", r->flash, "flash_reason", r->flash ? "" : r->flash_reason, "engines",
        engines_json(r), "tuning_file", r->tuning_file, "binary_dir", r->binary_dir);
    if (r->has_peak)
        json_object_set_new(o, "peak",
                            json_pack("{s:f, s:f, s:f, s:f}", "fma_gflops", r->peak.fma_gflops,
                                      "copy_gbs", r->peak.copy_gbs, "launch_us", r->peak.launch_us,
                                      "enqueue_us", r->peak.enqueue_us));
    return o;
}

void info_add(info_writer *w, const info_record *r)
{
    if (w->devices) {
        json_array_append_new(w->devices, record_json(r));
    } else {
        if (w->n > 0)
            putchar('\n');
        print_record(r);
    }
    w->n++;
}

bool info_end(info_writer *w)
{
    if (w->devices) {
        json_t *root = json_pack("{s:s, s:o}", "version", clflash_version(), "devices", w->devices);
        const bool ok = root && json_dumpf(root, stdout, JSON_INDENT(2)) == 0;
        json_decref(root);
        putchar('\n');
        return ok && fflush(stdout) == 0;
    }
    if (w->n == 0)
        puts("no OpenCL device: install a driver (PoCL for CPUs)");
    return fflush(stdout) == 0;
}
