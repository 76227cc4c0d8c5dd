/* blas.c -- the only door to CLBlast. (L1)
 * CLBlast keeps process-wide caches of programs and binaries that are not thread-safe
 * before 1.6.1 (its changelog; Debian bookworm ships 1.5.3): one process-wide lock around
 * every call is the one exception to "no global state". A strided batched GEMM may
 * allocate temporary device buffers inside CLBlast; only standard attention, the
 * fallback, calls it. */
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

clflash_status clfi_blas_sgemm(clflash_context *ctx, cl_command_queue queue, const clfi_gemm *g,
                               clfi_err *err)
{
    (void)ctx;
    if (g->m == 0 || g->n == 0 || g->count == 0)
        return CLFLASH_OK;
    CLF_TRY(check_range(g, err));
    pthread_mutex_lock(&clblast_lock);
    const CLBlastStatusCode code = CLBlastSgemmStridedBatched(
        CLBlastLayoutRowMajor, g->transpose_a ? CLBlastTransposeYes : CLBlastTransposeNo,
        g->transpose_b ? CLBlastTransposeYes : CLBlastTransposeNo, (size_t)g->m, (size_t)g->n,
        (size_t)g->k, g->alpha, g->a, (size_t)g->a_offset, (size_t)g->a_ld, (size_t)g->a_stride,
        g->b, (size_t)g->b_offset, (size_t)g->b_ld, (size_t)g->b_stride, g->beta, g->c,
        (size_t)g->c_offset, (size_t)g->c_ld, (size_t)g->c_stride, (size_t)g->count, &queue, NULL);
    pthread_mutex_unlock(&clblast_lock);
    if (code == CLBlastSuccess)
        return CLFLASH_OK;
    /* Codes above -1024 are OpenCL's own. */
    if (code > -1024)
        return clfi_cl_fail(err, (cl_int)code, "CLBlastSgemmStridedBatched");
    return clfi_fail(err, CLFLASH_BLAS,
                     "CLBlastSgemmStridedBatched: code %d for %lld x %lld x %lld", (int)code,
                     (long long)g->m, (long long)g->n, (long long)g->k);
}
