/* cl_check.h -- OpenCL calls that report. (L1) */
#ifndef CLFI_CL_CHECK_H
#define CLFI_CL_CHECK_H

#include "lib/base/error.h"
#include <clflash/device.h>

/* Returns from the calling function when an OpenCL call fails. */
#define CL_TRY(err, call)                                                                          \
    do {                                                                                           \
        const cl_int cl_try_ = (call);                                                             \
        if (cl_try_ != CL_SUCCESS)                                                                 \
            return clfi_cl_fail((err), cl_try_, #call);                                            \
    } while (0)

/* Text "<call>: <code name> (<code>)"; the call's arguments are cut off. */
clflash_status clfi_cl_fail(clfi_err *err, cl_int code, const char *call);

#endif
