/* base.h -- status codes, version, logging and allocation hooks.
 * Needs no OpenCL header. C11 and C++17. */
#ifndef CLFLASH_BASE_H
#define CLFLASH_BASE_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32) && defined(CLFLASH_SHARED)
#ifdef CLFLASH_BUILDING
#define CLFLASH_API __declspec(dllexport)
#else
#define CLFLASH_API __declspec(dllimport)
#endif
#elif defined(__GNUC__)
#define CLFLASH_API __attribute__((visibility("default")))
#else
#define CLFLASH_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define CLFLASH_VERSION_MAJOR 0
#define CLFLASH_VERSION_MINOR 1
#define CLFLASH_VERSION_PATCH 0

/* Every status: name, code, text. OpenCL's own codes (-1 to -1999) pass
 * through the API unchanged; clflash's live at -3000 to -3099 and are stable. */
#define CLFLASH_STATUS_MAP(X)                                                          \
    X(OK, 0, "success")                                                                \
    X(INVALID_ARGUMENT, -3000, "an argument is null or outside its enumeration")       \
    X(INVALID_SIZE, -3001, "a size is negative, missing or too large")                 \
    X(INVALID_HEADS, -3002, "the number of key heads does not divide the query heads") \
    X(INVALID_DTYPE, -3003, "the dtype is not supported here")                         \
    X(INVALID_SCALE, -3004, "scale or softcap is not a usable finite number")          \
    X(INVALID_MASK, -3005, "the mask options contradict each other")                   \
    X(INVALID_STRIDE, -3006, "a stride or offset is not a multiple of the element")    \
    X(INVALID_PROBLEM, -3007, "the problem string has an unknown or repeated word")    \
    X(INVALID_TUNABLE, -3008, "the block sizes asked for do not fit")                  \
    X(NULL_BUFFER, -3010, "a buffer that the problem needs is null")                   \
    X(EXTRA_BUFFER, -3011, "a buffer was given that the problem does not use")         \
    X(BUFFER_TOO_SMALL, -3012, "a view reaches past the end of its buffer")            \
    X(BUFFER_OVERLAP, -3013, "an output overlaps an input or another output")          \
    X(FOREIGN_CONTEXT, -3014, "a buffer or queue belongs to another OpenCL context")   \
    X(WORKSPACE_TOO_SMALL, -3015, "the workspace is smaller than the plan asks for")   \
    X(FOREIGN_PLAN, -3016, "the plan or block mask is of another kind")         \
    X(UNSUPPORTED, -3020, "no engine of this device can run the problem")              \
    X(NO_DEVICE, -3021, "no such OpenCL device")                                       \
    X(MISSING_FEATURE, -3022, "the driver lacks a feature that was asked for")         \
    X(NOT_CACHED, -3023, "nothing is cached for this problem")                         \
    X(OUT_OF_MEMORY, -3030, "host memory is exhausted")                                \
    X(BUILD_FAILED, -3031, "the driver did not build a kernel")                        \
    X(IO, -3032, "a file could not be read or written")                                \
    X(CORRUPT, -3033, "a file is damaged or of another format")                        \
    X(BLAS, -3034, "CLBlast refused a matrix product")                                 \
    X(WRONG_RESULT, -3035, "a kernel's result differs from the reference")             \
    X(CANCELLED, -3036, "the caller's progress callback asked to stop")                \
    X(INTERNAL, -3099, "an internal rule of clflash is broken: please report it")

#define CLFLASH_STATUS_ENUM(name, code, text) CLFLASH_##name = (code),
typedef enum clflash_status_code { CLFLASH_STATUS_MAP(CLFLASH_STATUS_ENUM) CLFLASH_STATUS_LAST_ } clflash_status_code;
#undef CLFLASH_STATUS_ENUM

/* A clflash_status_code, or an OpenCL error code as the driver gave it. */
typedef int32_t clflash_status;

/**
 * The text of a status: clflash's own, or the name of an OpenCL code.
 * Owns     a static string, never NULL.   Threads  any.
 */
CLFLASH_API const char *clflash_status_string(clflash_status status);

/**
 * "MAJOR.MINOR.PATCH" of the library that runs (the macros above are those of
 * the header that was compiled).
 */
CLFLASH_API const char *clflash_version(void);

typedef enum clflash_log_level {
    CLFLASH_LOG_ERROR = 0, /* a call failed; the same text is in last_error */
    CLFLASH_LOG_WARNING,   /* a file was ignored, an engine was turned off  */
    CLFLASH_LOG_INFO,      /* one line per plan                             */
    CLFLASH_LOG_DEBUG      /* programs, caches, each tuning measurement     */
} clflash_log_level;

/* Called with one line, no newline. May be called from any thread that is
 * inside a clflash call; must not call clflash with the same context. */
typedef void (*clflash_log_fn)(void *user, clflash_log_level level, const char *line);

/* Host allocation. Both NULL = malloc and free. Called from any thread. */
typedef struct clflash_allocator {
    void *(*alloc)(void *user, size_t bytes); /* NULL on failure; aligned as malloc */
    void (*free)(void *user, void *memory);   /* memory may be NULL */
    void *user;
} clflash_allocator;

#ifdef __cplusplus
}
#endif
#endif
