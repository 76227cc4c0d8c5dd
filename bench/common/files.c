/* files.c -- a problem's arrays from NPY files. (bench)
 * f32, f16, int32 and uint8 are themselves; bf16, which NumPy does not know, is the
 * uint16 of its bits. */
#include "bench/common/files.h"

#include "bench/common/npy.h"

#include <stdlib.h>
#include <string.h>

static const char *descr_of(data_type type)
{
    static const char *const descr[] = {
        [DATA_F32] = "<f4", [DATA_F16] = "<f2", [DATA_BF16] = "<u2",
        [DATA_I32] = "<i4", [DATA_U8] = "|u1",
    };
    return descr[type];
}

/* "float32 (<f4)", as messages show it. */
static const char *type_text(data_type type)
{
    static const char *const text[] = {
        [DATA_F32] = "<f4 (float32)",
        [DATA_F16] = "<f2 (float16)",
        [DATA_BF16] = "<u2 (uint16: the bits of bf16)",
        [DATA_I32] = "<i4 (int32)",
        [DATA_U8] = "|u1 (uint8)",
    };
    return text[type];
}

static bool type_matches(const char *descr, data_type type)
{
    return strcmp(descr, descr_of(type)) == 0 || (type == DATA_U8 && strcmp(descr, "|b1") == 0);
}

static bool shape_matches(const npy_header *h, const data_spec *spec)
{
    if (h->n_dims != spec->n_dims)
        return false;
    for (int i = 0; i < h->n_dims; i++)
        if (h->dim[i] != spec->dim[i] && !(spec->broadcast && i < 3 && h->dim[i] == 1))
            return false;
    return true;
}

static void shape_expected(const data_spec *spec, char text[256])
{
    char dims[160];
    npy_shape_text(spec->n_dims, spec->dim, dims);
    snprintf(text, 256, "%s%s", dims,
             spec->broadcast ? ", where each of the first three may be 1" : "");
}

bool files_read(data *d, const app *a, data_id id, const char *path)
{
    data_spec spec = data_spec_of(&d->desc, id);
    char message[NPY_MESSAGE], found[160], expected[256], problem[CLFLASH_PROBLEM_BYTES];
    npy_header h;
    void *elements = NULL;
    clflash_attn_desc_print(&d->desc, problem, sizeof problem);
    if (!spec.used) {
        app_message(a, "--%s %s: the problem '%s' has no such array", spec.name, path, problem);
        return false;
    }
    if (!npy_read(path, &h, &elements, message)) {
        app_message(a, "--%s %s: %s", spec.name, path, message);
        return false;
    }
    if (id == DATA_BIAS && strcmp(h.descr, "<f4") == 0)
        spec.type = DATA_F32; /* a bias may be f32 whatever the problem is */
    if (!type_matches(h.descr, spec.type)) {
        app_message(a, "--%s %s: found dtype %s, expected %s%s", spec.name, path, h.descr,
                    type_text(spec.type), id == DATA_BIAS ? " or <f4 (float32)" : "");
    } else if (!shape_matches(&h, &spec)) {
        shape_expected(&spec, expected);
        app_message(a, "--%s %s: found shape %s, expected %s", spec.name, path,
                    npy_shape_text(h.n_dims, h.dim, found), expected);
    } else {
        memcpy(spec.dim, h.dim, sizeof spec.dim);
        free(d->array[id]);
        d->array[id] = elements;
        d->spec[id] = spec;
        return true;
    }
    free(elements);
    return false;
}

bool files_write(const app *a, const char *dir, const char *name, const data_spec *spec,
                 const void *elements)
{
    char path[4096];
    if (snprintf(path, sizeof path, "%s/%s", dir, name) >= (int)sizeof path) {
        app_message(a, "%s: the path is too long", dir);
        return false;
    }
    FILE *file = app_create(a, path);
    if (!file)
        return false;
    const bool ok = npy_write(file, descr_of(spec->type), spec->n_dims, spec->dim, elements,
                              data_type_bytes(spec->type));
    return app_close(a, file, path) && ok;
}
