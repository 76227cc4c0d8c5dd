/* blas.c -- the only door to CLBlast. (L1)
 * CLBlast keeps process-wide caches of programs and binaries that are not thread-safe
 * before 1.6.1 (its changelog; Debian bookworm ships 1.5.3): one process-wide lock around
 * every call is the one exception to "no global state". A strided batched GEMM may
 * allocate temporary device buffers inside CLBlast; only standard attention, the
 * fallback, calls it.
 *
 * CLBlast's strided batched GEMM (1.5.3 to 1.7.0, xgemmstridedbatched.cpp) forgets the
 * offset of a matrix that needs no padding when the product is large enough for its
 * indirect kernel: [2048,2048] x [2048,64] read its operands from offset 0 (PoCL 3.1, found
 * by the bench, 2026-11-25). So operands go in as sub-buffers at offset 0; where an offset
 * is not aligned for that, or the buffer is itself a sub-buffer, one plain GEMM per matrix,
 * which minds its offsets. */
#include "host/blas.h"

#include "host/cl_check.h"
#include "host/context_internal.h"

#include <clblast_c.h>

static pthread_mutex_t clblast_lock = PTHREAD_MUTEX_INITIALIZER;

clflash_status clfi_blas_supported(const clflash_context *ctx, clfi_err *err)
{
    /* Its kernels use int indices and work-groups of up to 256 in two dimensions. */
    CLF_REQUIRE(err, ctx->profile.max_work_group >= 64, CLFLASH_MISSING_FEATURE,
                "CLBlast needs work-groups of 64, the device has %lld",
                (long long)ctx->profile.max_work_group);
    return CLFLASH_OK;
}

static clflash_status check_range(const clfi_gemm *g, clfi_err *err)
{
    const int64_t limit = INT32_MAX;
    CLF_REQUIRE(err,
                g->m <= limit && g->n <= limit && g->k <= limit && g->a_ld <= limit &&
                    g->b_ld <= limit && g->c_ld <= limit && g->count <= limit,
                CLFLASH_INVALID_SIZE, "a matrix of %lld x %lld x %lld passes CLBlast's int range",
                (long long)g->m, (long long)g->n, (long long)g->k);
    const int64_t a = g->a_stride * g->count, b = g->b_stride * g->count,
                  c = g->c_stride * g->count;
    CLF_REQUIRE(err, a <= limit && b <= limit && c <= limit, CLFLASH_INVALID_SIZE,
                "a batch of %lld matrices passes CLBlast's int offsets", (long long)g->count);
    return CLFLASH_OK;
}

/* The part of `whole` from `offset` on that `count` matrices of rows x ld cover. */
static cl_int part_of(cl_mem whole, int64_t offset, int64_t rows, int64_t ld, int64_t stride,
                      int64_t count, cl_mem *part)
{
    const int64_t elements = stride * (count - 1) + rows * ld;
    const cl_buffer_region region = {(size_t)offset * sizeof(float),
                                     (size_t)elements * sizeof(float)};
    cl_int code = CL_SUCCESS;
    *part = clCreateSubBuffer(whole, 0, CL_BUFFER_CREATE_TYPE_REGION, &region, &code);
    return code;
}

static CLBlastTranspose transposed(bool yes)
{
    return yes ? CLBlastTransposeYes : CLBlastTransposeNo;
}

/* A, B and C as buffers of their own; false when the driver does not give them. */
static bool make_parts(const clfi_gemm *g, cl_mem parts[3])
{
    const int64_t a_rows = g->transpose_a ? g->k : g->m, b_rows = g->transpose_b ? g->n : g->k;
    return part_of(g->a, g->a_offset, a_rows, g->a_ld, g->a_stride, g->count, &parts[0]) ==
               CL_SUCCESS &&
           part_of(g->b, g->b_offset, b_rows, g->b_ld, g->b_stride, g->count, &parts[1]) ==
               CL_SUCCESS &&
           part_of(g->c, g->c_offset, g->m, g->c_ld, g->c_stride, g->count, &parts[2]) ==
               CL_SUCCESS;
}

static cl_int sgemm_batch(const clfi_gemm *g, const cl_mem parts[3], cl_command_queue queue)
{
    return (cl_int)CLBlastSgemmStridedBatched(
        CLBlastLayoutRowMajor, transposed(g->transpose_a), transposed(g->transpose_b), (size_t)g->m,
        (size_t)g->n, (size_t)g->k, g->alpha, parts[0], 0, (size_t)g->a_ld, (size_t)g->a_stride,
        parts[1], 0, (size_t)g->b_ld, (size_t)g->b_stride, g->beta, parts[2], 0, (size_t)g->c_ld,
        (size_t)g->c_stride, (size_t)g->count, &queue, NULL);
}

static cl_int sgemm_each(const clfi_gemm *g, cl_command_queue queue)
{
    cl_int code = CL_SUCCESS;
    for (int64_t i = 0; i < g->count && code == CL_SUCCESS; i++)
        code = (cl_int)CLBlastSgemm(
            CLBlastLayoutRowMajor, transposed(g->transpose_a), transposed(g->transpose_b),
            (size_t)g->m, (size_t)g->n, (size_t)g->k, g->alpha, g->a,
            (size_t)(g->a_offset + i * g->a_stride), (size_t)g->a_ld, g->b,
            (size_t)(g->b_offset + i * g->b_stride), (size_t)g->b_ld, g->beta, g->c,
            (size_t)(g->c_offset + i * g->c_stride), (size_t)g->c_ld, &queue, NULL);
    return code;
}

clflash_status clfi_blas_sgemm(clflash_context *ctx, cl_command_queue queue, const clfi_gemm *g,
                               clfi_err *err)
{
    if (g->m == 0 || g->n == 0 || g->count == 0)
        return CLFLASH_OK;
    CLF_REQUIRE(err, g->k > 0, CLFLASH_INTERNAL, "a matrix product over k = %lld", (long long)g->k);
    CLF_TRY(check_range(g, err));
    const int64_t align = ctx->profile.mem_align_bytes / (int64_t)sizeof(float);
    const bool aligned = align <= 1 || (g->a_offset % align == 0 && g->b_offset % align == 0 &&
                                        g->c_offset % align == 0);
    cl_mem parts[3] = {NULL, NULL, NULL};
    const bool batch = aligned && make_parts(g, parts);
    atomic_store(&ctx->blas_used, true);
    pthread_mutex_lock(&clblast_lock);
    const cl_int code = batch ? sgemm_batch(g, parts, queue) : sgemm_each(g, queue);
    pthread_mutex_unlock(&clblast_lock);
    for (int i = 0; i < 3; i++) /* enqueued kernels keep what they use */
        if (parts[i])
            clReleaseMemObject(parts[i]);
    if (code == CL_SUCCESS)
        return CLFLASH_OK;
    /* Codes above -1024 are OpenCL's own. */
    if (code > -1024)
        return clfi_cl_fail(err, code, "a CLBlast matrix product");
    return clfi_fail(err, CLFLASH_BLAS, "CLBlast: code %d for %lld x %lld x %lld", (int)code,
                     (long long)g->m, (long long)g->n, (long long)g->k);
}

/* CLBlast keeps programs, and with them the OpenCL context, until the process ends: a
 * borrowed context would never be freed, and a driver that is gone by then crashes. The
 * cache is the process's: other contexts compile theirs again. */
void clfi_blas_forget(clflash_context *ctx)
{
    if (!atomic_load(&ctx->blas_used))
        return;
    pthread_mutex_lock(&clblast_lock);
    CLBlastClearCache();
    pthread_mutex_unlock(&clblast_lock);
}
