/* profile.h -- fills a device profile from the driver. (L1) */
#ifndef CLFI_HOST_PROFILE_H
#define CLFI_HOST_PROFILE_H

#include "lib/base/error.h"
#include "lib/base/profile.h"
#include <clflash/device.h>

clflash_status clfi_profile_read(clfi_profile *profile, cl_device_id device, clfi_err *err);

/* device.c: all devices over all platforms, in a stable order. */
#define CLFI_MAX_DEVICES 64
clflash_status clfi_devices_list(cl_device_id devices[CLFI_MAX_DEVICES], int32_t *n, clfi_err *err);

#endif
