/* shipped.h -- rows that come with the library, measured elsewhere. (L3) */
#ifndef CLFI_SHIPPED_H
#define CLFI_SHIPPED_H

#include "lib/tune/select.h"

/* The tables, in the order in which they are asked; each ends with engine NULL. */
extern const clfi_shipped clfi_shipped_cpu[];
extern const clfi_shipped clfi_shipped_nvidia[];
extern const clfi_shipped *const clfi_shipped_tables[]; /* ends with NULL */

/* Whether the row is meant for this problem and device. */
bool clfi_shipped_matches(const clfi_shipped *s, const clfi_engine *e, const clfi_attn *p,
                          const clfi_profile *dev);
/* The first that matches, parses and fits; NULL when there is none. */
const clfi_shipped *clfi_shipped_find(const clfi_engine *e, const clfi_attn *p,
                                      const clfi_profile *dev, clfi_row *row);

#endif
