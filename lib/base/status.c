/* status.c -- status texts, version, internal failure text. (L0) */
#include "lib/base/error.h"

#include <stdarg.h>
#include <stdio.h>

/* The codes of the OpenCL headers up to 3.0, spelled out so that L0 needs no OpenCL. */
#define OPENCL_STATUS_MAP(X)                                                                       \
    X(-1, "CL_DEVICE_NOT_FOUND")                                                                   \
    X(-2, "CL_DEVICE_NOT_AVAILABLE")                                                               \
    X(-3, "CL_COMPILER_NOT_AVAILABLE")                                                             \
    X(-4, "CL_MEM_OBJECT_ALLOCATION_FAILURE")                                                      \
    X(-5, "CL_OUT_OF_RESOURCES")                                                                   \
    X(-6, "CL_OUT_OF_HOST_MEMORY")                                                                 \
    X(-7, "CL_PROFILING_INFO_NOT_AVAILABLE")                                                       \
    X(-8, "CL_MEM_COPY_OVERLAP")                                                                   \
    X(-9, "CL_IMAGE_FORMAT_MISMATCH")                                                              \
    X(-10, "CL_IMAGE_FORMAT_NOT_SUPPORTED")                                                        \
    X(-11, "CL_BUILD_PROGRAM_FAILURE")                                                             \
    X(-12, "CL_MAP_FAILURE")                                                                       \
    X(-13, "CL_MISALIGNED_SUB_BUFFER_OFFSET")                                                      \
    X(-14, "CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST")                                         \
    X(-15, "CL_COMPILE_PROGRAM_FAILURE")                                                           \
    X(-16, "CL_LINKER_NOT_AVAILABLE")                                                              \
    X(-17, "CL_LINK_PROGRAM_FAILURE")                                                              \
    X(-18, "CL_DEVICE_PARTITION_FAILED")                                                           \
    X(-19, "CL_KERNEL_ARG_INFO_NOT_AVAILABLE")                                                     \
    X(-30, "CL_INVALID_VALUE")                                                                     \
    X(-31, "CL_INVALID_DEVICE_TYPE")                                                               \
    X(-32, "CL_INVALID_PLATFORM")                                                                  \
    X(-33, "CL_INVALID_DEVICE")                                                                    \
    X(-34, "CL_INVALID_CONTEXT")                                                                   \
    X(-35, "CL_INVALID_QUEUE_PROPERTIES")                                                          \
    X(-36, "CL_INVALID_COMMAND_QUEUE")                                                             \
    X(-37, "CL_INVALID_HOST_PTR")                                                                  \
    X(-38, "CL_INVALID_MEM_OBJECT")                                                                \
    X(-42, "CL_INVALID_BINARY")                                                                    \
    X(-43, "CL_INVALID_BUILD_OPTIONS")                                                             \
    X(-44, "CL_INVALID_PROGRAM")                                                                   \
    X(-45, "CL_INVALID_PROGRAM_EXECUTABLE")                                                        \
    X(-46, "CL_INVALID_KERNEL_NAME")                                                               \
    X(-47, "CL_INVALID_KERNEL_DEFINITION")                                                         \
    X(-48, "CL_INVALID_KERNEL")                                                                    \
    X(-49, "CL_INVALID_ARG_INDEX")                                                                 \
    X(-50, "CL_INVALID_ARG_VALUE")                                                                 \
    X(-51, "CL_INVALID_ARG_SIZE")                                                                  \
    X(-52, "CL_INVALID_KERNEL_ARGS")                                                               \
    X(-53, "CL_INVALID_WORK_DIMENSION")                                                            \
    X(-54, "CL_INVALID_WORK_GROUP_SIZE")                                                           \
    X(-55, "CL_INVALID_WORK_ITEM_SIZE")                                                            \
    X(-56, "CL_INVALID_GLOBAL_OFFSET")                                                             \
    X(-57, "CL_INVALID_EVENT_WAIT_LIST")                                                           \
    X(-58, "CL_INVALID_EVENT")                                                                     \
    X(-59, "CL_INVALID_OPERATION")                                                                 \
    X(-61, "CL_INVALID_BUFFER_SIZE")                                                               \
    X(-63, "CL_INVALID_GLOBAL_WORK_SIZE")                                                          \
    X(-64, "CL_INVALID_PROPERTY")                                                                  \
    X(-1001, "CL_PLATFORM_NOT_FOUND_KHR")

#define TEXT_STR_(x) #x
#define TEXT_STR(x) TEXT_STR_(x)

const char *clflash_status_string(clflash_status status)
{
    switch (status) {
#define OWN_CASE(name, code, text)                                                                 \
    case code:                                                                                     \
        return text;
#define OPENCL_CASE(code, text)                                                                    \
    case code:                                                                                     \
        return text;
        CLFLASH_STATUS_MAP(OWN_CASE)
        OPENCL_STATUS_MAP(OPENCL_CASE)
    default:
        return "unknown status";
    }
}

const char *clflash_version(void)
{
    return TEXT_STR(CLFLASH_VERSION_MAJOR) "." TEXT_STR(CLFLASH_VERSION_MINOR) "." TEXT_STR(
        CLFLASH_VERSION_PATCH);
}

clflash_status clfi_fail(clfi_err *err, clflash_status status, const char *fmt, ...)
{
    if (err) {
        va_list args;
        va_start(args, fmt);
        vsnprintf(err->text, sizeof err->text, fmt, args);
        va_end(args);
        err->status = status;
    }
    return status;
}

void clfi_err_copy(const clfi_err *err, char *text, size_t text_bytes)
{
    if (text && text_bytes)
        snprintf(text, text_bytes, "%s", err->text);
}
