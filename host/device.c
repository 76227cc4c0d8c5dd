/* device.c -- platforms and devices. (L1) */
#include "host/cl_check.h"
#include "host/profile.h"

#include <stdio.h>
#include <string.h>

#define MAX_PLATFORMS 16
#define PLATFORM_NOT_FOUND (-1001) /* cl_khr_icd: the loader found no driver */

clflash_status clfi_cl_fail(clfi_err *err, cl_int code, const char *call)
{
    const size_t name = strcspn(call, "(");
    return clfi_fail(err, code, "%.*s: %s (%d)", (int)name, call, clflash_status_string(code),
                     code);
}

clflash_status clfi_devices_list(cl_device_id devices[CLFI_MAX_DEVICES], int32_t *n, clfi_err *err)
{
    cl_platform_id platforms[MAX_PLATFORMS];
    cl_uint n_platforms = 0;
    *n = 0;
    const cl_int code = clGetPlatformIDs(MAX_PLATFORMS, platforms, &n_platforms);
    if (code == PLATFORM_NOT_FOUND)
        return CLFLASH_OK;
    CL_TRY(err, code);
    if (n_platforms > MAX_PLATFORMS)
        n_platforms = MAX_PLATFORMS;
    for (cl_uint p = 0; p < n_platforms; p++) {
        cl_uint found = 0;
        const cl_uint room = (cl_uint)(CLFI_MAX_DEVICES - *n);
        /* A platform without devices, or a driver whose device is gone, is no error. */
        if (room == 0 ||
            clGetDeviceIDs(platforms[p], CL_DEVICE_TYPE_ALL, room, devices + *n, &found))
            continue;
        *n += (int32_t)(found < room ? found : room);
    }
    return CLFLASH_OK;
}

clflash_status clflash_device_count(int32_t *count)
{
    cl_device_id devices[CLFI_MAX_DEVICES];
    if (!count)
        return CLFLASH_INVALID_ARGUMENT;
    return clfi_devices_list(devices, count, NULL);
}

clflash_status clflash_device_get(int32_t index, clflash_device_info *info)
{
    cl_device_id devices[CLFI_MAX_DEVICES];
    int32_t n = 0;
    if (!info)
        return CLFLASH_INVALID_ARGUMENT;
    *info = (clflash_device_info){0};
    CLF_TRY(clfi_devices_list(devices, &n, NULL));
    if (index < 0 || index >= n)
        return CLFLASH_NO_DEVICE;
    clfi_profile p;
    CLF_TRY(clfi_profile_read(&p, devices[index], NULL));
    cl_device_type type = 0;
    clGetDeviceInfo(devices[index], CL_DEVICE_TYPE, sizeof type, &type, NULL);
    clGetDeviceInfo(devices[index], CL_DEVICE_PLATFORM, sizeof info->platform_id,
                    &info->platform_id, NULL);
    info->index = index;
    info->device_id = devices[index];
    memcpy(info->platform, p.platform, sizeof info->platform);
    memcpy(info->name, p.name, sizeof info->name);
    memcpy(info->vendor, p.vendor_name, sizeof info->vendor);
    memcpy(info->driver, p.driver, sizeof info->driver);
    memcpy(info->version, p.version, sizeof info->version);
    snprintf(info->kind, sizeof info->kind, "%s",
             type & CL_DEVICE_TYPE_GPU   ? "gpu"
             : type & CL_DEVICE_TYPE_CPU ? "cpu"
                                         : "accelerator");
    info->compute_units = p.compute_units;
    info->global_bytes = p.global_bytes;
    info->max_alloc_bytes = p.max_alloc_bytes;
    info->local_bytes = p.local_bytes;
    info->max_work_group = p.max_work_group;
    info->vector_width_float = p.vector_width;
    return CLFLASH_OK;
}
