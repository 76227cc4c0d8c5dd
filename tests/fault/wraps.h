/* wraps.h -- OpenCL as the library calls it, with the nth call failing on demand and
 * every object counted. Works by the linker's --wrap: see meson.build for the list. */
#ifndef CLF_FAULT_WRAPS_H
#define CLF_FAULT_WRAPS_H

#include <clflash/device.h>
#include <stdbool.h>

/* From now on the `nth` call that can fail (1 = the next) returns `code`; 0 = none does. */
void fault_arm(int64_t nth, cl_int code);
/* No further failure; what happened stays readable. */
void fault_disarm(void);
/* Calls that could fail since fault_arm. */
int64_t fault_calls(void);
/* The function that failed; NULL = none did. */
const char *fault_failed(void);

/* OpenCL objects of all kinds that were made or retained and not released. */
int64_t fault_live_objects(void);
/* Objects and allocations that are live now count no more. */
void fault_forget_live(void);
/* "contexts 0, queues 1, ..." */
void fault_live_text(char *text, size_t bytes);

/* Host memory: the same for the allocator hooks. */
clflash_allocator fault_allocator(void);
void fault_arm_alloc(int64_t nth);
int64_t fault_allocs(void);
bool fault_alloc_failed(void);
int64_t fault_live_allocs(void);

#endif
