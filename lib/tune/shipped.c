/* shipped.c -- finding the shipped row of an engine. (L3) */
#include "lib/tune/shipped.h"

#include <string.h>

const clfi_shipped *const clfi_shipped_tables[] = {clfi_shipped_cpu, clfi_shipped_nvidia, NULL};

bool clfi_shipped_matches(const clfi_shipped *s, const clfi_engine *e, const clfi_attn *p,
                          const clfi_profile *dev)
{
    return s->op == p->op && !strcmp(s->engine, e->name) &&
           (!s->arch || strstr(dev->name, s->arch)) &&
           (!s->vector_width || (dev->cpu && dev->vector_width == s->vector_width)) &&
           (!s->nv_arch_min ||
            (dev->vendor == CLFI_VENDOR_NVIDIA && dev->arch >= s->nv_arch_min)) &&
           (!s->d_max || (p->d <= s->d_max && p->dv <= s->d_max)) &&
           (!s->sq_max || p->sq <= s->sq_max) && (!s->blocks || p->blocks);
}

/* Large tiles are fast only while every compute unit still gets enough of them. */
static bool fills(const clfi_shipped *s, const clfi_engine *e, const clfi_attn *p,
                  const clfi_profile *dev, const clfi_row *row)
{
    clfi_launch launch;
    if (!s->fill || !e->launch)
        return true;
    e->launch(p, dev, row, &launch);
    double groups = 1;
    for (uint32_t i = 0; i < launch.dims; i++)
        groups *= (double)launch.global[i] / (double)launch.local[i];
    return groups >= (double)s->fill * dev->compute_units;
}

const clfi_shipped *clfi_shipped_find(const clfi_engine *e, const clfi_attn *p,
                                      const clfi_profile *dev, clfi_row *row)
{
    for (const clfi_shipped *const *table = clfi_shipped_tables; *table; table++)
        for (const clfi_shipped *s = *table; s->engine; s++)
            if (clfi_shipped_matches(s, e, p, dev) &&
                clfi_row_parse(e, s->row, row, NULL) == CLFLASH_OK &&
                e->fits(p, dev, row, NULL) == CLFLASH_OK && fills(s, e, p, dev, row))
                return s;
    return NULL;
}
