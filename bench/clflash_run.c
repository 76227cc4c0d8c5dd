/* clflash_run.c -- one problem on tensors from NPY files. (bench) */
#include "bench/common/check.h"
#include "bench/common/check_bwd.h"
#include "bench/common/device.h"
#include "bench/common/files.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct arguments {
    const char *file[N_DATA];
    const char *out;
    int64_t seed;
    bool check;
} arguments;

/* What goes in and what comes out. */
typedef struct run_state {
    data d;
    void *o;
    float *lse;
    void *gradient[N_GRADIENTS]; /* of bwd: dq, dk, dv, dsink, dbias */
    data_spec spec[N_GRADIENTS];
    check_gold gold;
} run_state;

static bool is_bwd(const run_state *s) { return s->d.desc.op == CLFLASH_OP_BWD; }

static bool load_files(run_state *s, const app *a, const arguments *args)
{
    for (int id = 0; id < N_DATA; id++)
        if (args->file[id] && !files_read(&s->d, a, (data_id)id, args->file[id]))
            return false;
    /* Random q, k, v are data as good as any; random masks beside files are a mistake. */
    for (int id = DATA_Q_SEG; id < DATA_DOUT; id++) {
        const bool docs = (id == DATA_Q_SEG || id == DATA_K_SEG) && s->d.desc.docs > 0;
        const bool any_file = args->file[DATA_Q] || args->file[DATA_K] || args->file[DATA_V];
        if (s->d.spec[id].used && !args->file[id] && !docs && any_file) {
            app_message(a,
                        "the problem has the array --%s; tensors come from files, so it must too",
                        s->d.spec[id].name);
            return false;
        }
    }
    return true;
}

static clflash_status compute(run_state *s, const device *dev)
{
    const data_spec o = data_output_spec(&s->d.desc);
    const sizes n = sizes_of(&s->d.desc);
    const size_t o_bytes = (size_t)data_count(&o) * data_type_bytes(o.type);
    const size_t lse_bytes = (size_t)n.b * (size_t)n.hq * (size_t)n.sq * sizeof *s->lse;
    s->o = malloc(o_bytes + 1);
    s->lse = malloc(lse_bytes + 1);
    if (!s->o || !s->lse)
        return CLFLASH_OUT_OF_MEMORY;
    memset(s->o, 0xff, o_bytes); /* NaN: what the call does not write is found by --check */
    memset(s->lse, 0xff, lse_bytes);
    clflash_attn_host_args args = data_host_args(&s->d);
    clflash_attn_desc desc = s->d.desc;
    args.o = s->o;
    args.lse = s->lse;
    desc.op = CLFLASH_OP_FWD;
    desc.grad_f32 = desc.recompute = false;
    if (is_bwd(s)) /* the engine asked for is the backward's */
        desc.choice = (clflash_attn_choice){.algo = desc.choice.algo};
    return clflash_attn_fwd_host(dev->ctx, &desc, &args);
}

static bool make_gradients(run_state *s)
{
    bool ok = true;
    for (int i = 0; i < N_GRADIENTS; i++) {
        s->spec[i] = data_gradient_spec(&s->d.desc, i);
        if (i == 4) /* the bias may be broadcast */
            memcpy(s->spec[i].dim, s->d.spec[DATA_BIAS].dim, sizeof s->spec[i].dim);
        if (!s->spec[i].used)
            continue;
        const size_t bytes = (size_t)data_count(&s->spec[i]) * data_type_bytes(s->spec[i].type);
        s->gradient[i] = malloc(bytes + 1);
        ok = ok && s->gradient[i];
        if (ok)
            memset(s->gradient[i], 0xff, bytes); /* NaN, as o */
    }
    return ok;
}

static clflash_status compute_bwd(run_state *s, const device *dev)
{
    if (!make_gradients(s))
        return CLFLASH_OUT_OF_MEMORY;
    clflash_attn_bwd_host_args args = {.fwd = data_host_args(&s->d),
                                       .dout = s->d.array[DATA_DOUT],
                                       .dq = s->gradient[0],
                                       .dk = s->gradient[1],
                                       .dv = s->gradient[2],
                                       .dsink = s->gradient[3]};
    if (s->gradient[4]) {
        args.dbias.data = s->gradient[4];
        memcpy(args.dbias.extent, args.fwd.bias.extent, sizeof args.dbias.extent);
    }
    if (!s->d.desc.recompute) {
        args.fwd.o = s->o;
        args.fwd.lse = s->lse;
    }
    return clflash_attn_bwd_host(dev->ctx, &s->d.desc, &args);
}

static bool write_results(const run_state *s, const app *a, const char *dir)
{
    const data_spec o = data_output_spec(&s->d.desc);
    const sizes n = sizes_of(&s->d.desc);
    const data_spec lse = {
        "lse", true, false, DATA_F32, 3, {n.b, n.hq, n.sq}
    };
    if (mkdir(dir, 0777) != 0 && errno != EEXIST) {
        app_message(a, "%s: %s", dir, strerror(errno));
        return false;
    }
    if (!files_write(a, dir, "o.npy", &o, s->o) || !files_write(a, dir, "lse.npy", &lse, s->lse))
        return false;
    printf("wrote %s/o.npy and %s/lse.npy\n", dir, dir);
    for (int i = 0; i < N_GRADIENTS; i++) {
        char name[16];
        snprintf(name, sizeof name, "%s.npy", s->spec[i].name ? s->spec[i].name : "");
        if (s->gradient[i] && !files_write(a, dir, name, &s->spec[i], s->gradient[i]))
            return false;
        if (s->gradient[i])
            printf("wrote %s/%s\n", dir, name);
    }
    return true;
}

static bool check_gradients_of(const run_state *s, const app *a)
{
    const void *const gradient[3] = {s->gradient[0], s->gradient[1], s->gradient[2]};
    check_bwd_result r;
    const clflash_status status = check_bwd(&s->d, gradient, &r);
    if (status != CLFLASH_OK) {
        app_status(a, NULL, status, "the reference of the gradients");
        return false;
    }
    for (int i = 0; i < 3; i++)
        printf("%s:  max error %.3g, tolerance %.3g\n", s->spec[i].name, r.max_error[i],
               r.tolerance[i]);
    printf("checked dq, dk and dv against the reference: %s%s%s\n", r.ok ? "ok" : "FAIL",
           r.ok ? "" : ": ", r.why);
    return r.ok;
}

static bool check(run_state *s, const app *a)
{
    const clflash_status status = check_gold_make(&s->gold, &s->d);
    if (status != CLFLASH_OK) {
        app_status(a, NULL, status, "the reference");
        return false;
    }
    const check_result r = check_compare(&s->gold, &s->d, s->o, s->lse);
    printf("o:   max error %.3g, tolerance %.3g\n", r.max_error, r.tolerance);
    printf("lse: max error %.3g, tolerance %g\n", r.lse_error, CHECK_LSE_TOLERANCE);
    printf("checked %lld of %lld rows against the reference: %s%s%s\n", (long long)s->gold.n_rows,
           (long long)s->gold.all_rows, r.ok ? "ok" : "FAIL", r.ok ? "" : ": ", r.why);
    return r.ok && (!is_bwd(s) || check_gradients_of(s, a));
}

/* A first look where nothing is written: size and mean of what came out. */
static void print_summary(const run_state *s)
{
    const data_spec o = data_output_spec(&s->d.desc);
    char shape[160], problem[CLFLASH_PROBLEM_BYTES];
    const int64_t n = data_count(&o);
    double sum = 0, largest = 0;
    for (int64_t i = 0; i < n; i++) {
        const double x = data_load(s->o, s->d.desc.dtype, i);
        sum += x;
        largest = fabs(x) > largest ? fabs(x) : largest;
    }
    size_t used = 0;
    for (int i = 0; i < o.n_dims; i++)
        used += (size_t)snprintf(shape + used, sizeof shape - used, "%s%lld", i ? " x " : "",
                                 (long long)o.dim[i]);
    clflash_attn_desc_print(&s->d.desc, problem, sizeof problem);
    printf("%s\no: %s, mean %.6g, largest magnitude %.6g\n", problem, shape,
           n ? sum / (double)n : 0.0, largest);
}

static int run(app *a, const arguments *args, const clflash_attn_desc *desc)
{
    run_state s = {0};
    device dev;
    int exit_code = APP_USAGE;
    data_init(&s.d, desc);
    if (load_files(&s, a, args) && device_open(&dev, a, NULL, &exit_code)) {
        clflash_status status =
            data_fill(&s.d, (uint64_t)args->seed) ? CLFLASH_OK : CLFLASH_OUT_OF_MEMORY;
        if (status == CLFLASH_OK)
            status = compute(&s, &dev);
        const bool forward = status == CLFLASH_OK;
        if (forward && is_bwd(&s))
            status = compute_bwd(&s, &dev);
        exit_code = APP_FAILED;
        if (status != CLFLASH_OK) {
            app_status(a, dev.ctx, status, forward ? "the backward" : "the forward");
        } else {
            print_summary(&s);
            const bool written = !args->out || write_results(&s, a, args->out);
            const bool right = !args->check || check(&s, a);
            exit_code = written && right ? APP_OK : APP_FAILED;
        }
        device_close(&dev);
    }
    check_gold_free(&s.gold);
    data_free(&s.d);
    free(s.o);
    free(s.lse);
    for (int i = 0; i < N_GRADIENTS; i++)
        free(s.gradient[i]);
    return exit_code;
}

int main(int argc, char **argv)
{
    arguments args = {.seed = 1};
    const app_option options[] = {
        {"q",      "F",   "queries [B,Sq,Hq,D] (layout=bhsd: [B,Hq,Sq,D])", APP_TEXT,  &args.file[DATA_Q]     },
        {"k",      "F",   "keys [B,Sk,Hk,D]",                               APP_TEXT,  &args.file[DATA_K]     },
        {"v",      "F",   "values [B,Sk,Hk,Dv]",                            APP_TEXT,  &args.file[DATA_V]     },
        {"do",     "F",   "gradient of o, as o: for bwd",                   APP_TEXT,  &args.file[DATA_DOUT]  },
        {"q-seg",  "F",   "segment ids of the queries, int32 [B,Sq]",       APP_TEXT,
         &args.file[DATA_Q_SEG]                                                                               },
        {"k-seg",  "F",   "segment ids of the keys, int32 [B,Sk]",          APP_TEXT,  &args.file[DATA_K_SEG] },
        {"q-pos",  "F",   "positions of the queries, int32 [B,Sq]",         APP_TEXT,  &args.file[DATA_Q_POS] },
        {"k-pos",  "F",   "positions of the keys, int32 [B,Sk]",            APP_TEXT,  &args.file[DATA_K_POS] },
        {"kv-len", "F",   "key lengths, int32 [B]",                         APP_TEXT,  &args.file[DATA_KV_LEN]},
        {"alibi",  "F",   "slopes, f32 [Hq]",                               APP_TEXT,  &args.file[DATA_ALIBI] },
        {"sink",   "F",   "sink logits, f32 [Hq]",                          APP_TEXT,  &args.file[DATA_SINK]  },
        {"bias",   "F",   "additive mask [B|1,Hq|1,Sq|1,Sk], f32 or as q",  APP_TEXT,
         &args.file[DATA_BIAS]                                                                                },
        {"bool",   "F",   "boolean mask [B|1,Hq|1,Sq|1,Sk], uint8",         APP_TEXT,  &args.file[DATA_BOOL]  },
        {"out",    "DIR", "write o.npy, lse.npy and gradients there",       APP_TEXT,  &args.out              },
        {"seed",   "N",   "draws what no file gives (default: 1)",          APP_INDEX, &args.seed             },
        {"check",  NULL,  "compare with the reference",                     APP_FLAG,  &args.check            },
    };
    static problems list;
    app a = {
        .name = "clflash_run",
        .synopsis = "PROBLEM [OPTION...]",
        .purpose =
            "Runs one problem, such as \"fwd f32 hq8 sq1024 d64 causal\", on tensors from NPY\n"
            "files: C order, f32 and f16 as themselves, bf16 as the uint16 of its bits.\n"
            "Writes o.npy and lse.npy (f32 [B,Hq,Sq], natural logarithm, sink included); bwd\n"
            "runs its own forward first and writes dq.npy, dk.npy, dv.npy, and where the problem\n"
            "has them dsink.npy and dbias.npy, too.",
        .options = options,
        .n_options = sizeof options / sizeof options[0],
    };
    int first, exit_code;
    if (!app_parse(&a, argc, argv, &first, &exit_code))
        return exit_code;
    if (!problems_from_args(&list, &a, argv + first, argc - first))
        return APP_USAGE;
    if (list.n != 1) {
        app_message(&a, "%s; try --help", list.n ? "one problem at a time" : "no problem given");
        return APP_USAGE;
    }
    if (!problems_have_op(&list, &a, CLFLASH_OP_BWD))
        return APP_USAGE;
    if (args.file[DATA_DOUT] && list.desc[0].op != CLFLASH_OP_BWD) {
        app_message(&a, "--do belongs to bwd");
        return APP_USAGE;
    }
    return run(&a, &args, &list.desc[0]);
}
