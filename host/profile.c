/* profile.c -- what the driver says of a device, corrected where it is known to
 * understate. (L1) */
#include "host/profile.h"
#include "host/cl_check.h"

#include <string.h>

/* cl_nv_device_attribute_query */
#define NV_COMPUTE_CAPABILITY_MAJOR 0x4000
#define NV_COMPUTE_CAPABILITY_MINOR 0x4001

static void text_of(cl_device_id device, cl_device_info what, char *text, size_t bytes)
{
    char long_text[4096] = "";
    if (clGetDeviceInfo(device, what, sizeof long_text, long_text, NULL) != CL_SUCCESS)
        long_text[0] = '\0';
    long_text[bytes - 1] = '\0';
    memcpy(text, long_text, strlen(long_text) + 1);
}

static int64_t number_of(cl_device_id device, cl_device_info what, size_t bytes)
{
    union {
        cl_uint u32;
        cl_ulong u64;
    } value = {.u64 = 0};
    if (clGetDeviceInfo(device, what, bytes, &value, NULL) != CL_SUCCESS)
        return 0;
    return bytes == 4 ? (int64_t)value.u32 : (int64_t)value.u64;
}

static clfi_vendor vendor_of(const clfi_profile *p)
{
    if (strstr(p->vendor_name, "NVIDIA"))
        return CLFI_VENDOR_NVIDIA;
    if (strstr(p->vendor_name, "Advanced Micro") || strstr(p->vendor_name, "AMD"))
        return CLFI_VENDOR_AMD;
    if (strstr(p->vendor_name, "Intel"))
        return CLFI_VENDOR_INTEL;
    return CLFI_VENDOR_OTHER;
}

/* NVIDIA's driver states 48 KiB whatever the card has; a static __local array of more
 * compiles, launches and is correct (226 KiB on an H200, 227 refused; driver 580.159.04,
 * 2026-11-23). The others are the architectures' own limits (CUDA C programming guide,
 * table of compute capabilities), less the 1 KiB that the system keeps. */
static int64_t nvidia_local_bytes(int32_t arch, int64_t stated)
{
    switch (arch) {
    case 80:
    case 87: return 163 * 1024;
    case 86:
    case 89:
    case 120: return 99 * 1024;
    case 90: return 226 * 1024;
    case 100:
    case 103: return 226 * 1024;
    default: return stated;
    }
}

clflash_status clfi_profile_read(clfi_profile *p, cl_device_id device, clfi_err *err)
{
    *p = (clfi_profile){0};
    cl_platform_id platform = NULL;
    cl_device_type type = 0;
    CL_TRY(err, clGetDeviceInfo(device, CL_DEVICE_PLATFORM, sizeof platform, &platform, NULL));
    CL_TRY(err, clGetDeviceInfo(device, CL_DEVICE_TYPE, sizeof type, &type, NULL));
    if (clGetPlatformInfo(platform, CL_PLATFORM_NAME, sizeof p->platform, p->platform, NULL))
        p->platform[0] = '\0';
    text_of(device, CL_DEVICE_NAME, p->name, sizeof p->name);
    text_of(device, CL_DEVICE_VENDOR, p->vendor_name, sizeof p->vendor_name);
    text_of(device, CL_DRIVER_VERSION, p->driver, sizeof p->driver);
    text_of(device, CL_DEVICE_VERSION, p->version, sizeof p->version);
    p->vendor = vendor_of(p);
    p->cpu = (type & CL_DEVICE_TYPE_CPU) != 0;
    p->pocl = strstr(p->platform, "Portable Computing Language") != NULL;
    p->compute_units = (int32_t)number_of(device, CL_DEVICE_MAX_COMPUTE_UNITS, 4);
    p->vector_width = (int32_t)number_of(device, CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT, 4);
    /* No driver was seen to give anything else; kernels build types of this many lanes. */
    if (p->vector_width < 1)
        p->vector_width = 1;
    if (p->vector_width > 16)
        p->vector_width = 16;
    p->max_work_group = number_of(device, CL_DEVICE_MAX_WORK_GROUP_SIZE, sizeof(size_t));
    p->local_bytes = number_of(device, CL_DEVICE_LOCAL_MEM_SIZE, 8);
    p->global_bytes = number_of(device, CL_DEVICE_GLOBAL_MEM_SIZE, 8);
    p->max_alloc_bytes = number_of(device, CL_DEVICE_MAX_MEM_ALLOC_SIZE, 8);
    p->mem_align_bytes = (int32_t)(number_of(device, CL_DEVICE_MEM_BASE_ADDR_ALIGN, 4) / 8);
    if (p->vendor == CLFI_VENDOR_NVIDIA && !p->cpu) {
        p->arch = (int32_t)(10 * number_of(device, NV_COMPUTE_CAPABILITY_MAJOR, 4) +
                            number_of(device, NV_COMPUTE_CAPABILITY_MINOR, 4));
        p->local_bytes = nvidia_local_bytes(p->arch, p->local_bytes);
    }
    return CLFLASH_OK;
}
