/* peak.cl -- ceilings to judge kernels by: multiply-adds in registers, copy, nothing.
 *
 * P_LANES  floats of a vector: 1 on GPUs, the native width on CPU drivers
 * P_CHAINS independent chains of multiply-adds per work-item
 * P_WG     work-items per work-group: 1 on CPU drivers
 * Grid     global a multiple of P_WG, local P_WG.
 * Checked on two virtual CPUs of an Intel Xeon with AVX-512 (PoCL 3.1, 2026-11-25) against the
 * same chains in C with intrinsics, both threads at once, interleaved: within 5 % in 7 of 10
 * rounds on a busy host, whose ceiling itself moved between 240 and 470 GFLOP/s: compare only
 * with a peak of the same moment. */
#if !defined(P_LANES) || !defined(P_CHAINS) || !defined(P_WG)
#error "peak.cl: the host must pass P_LANES, P_CHAINS and P_WG"
#endif

#define CAT_(a, b) a##b
#define CAT(a, b) CAT_(a, b)
#if P_LANES == 1
typedef float vf;
#define STORE(v, p) (*(p) = (v))
#else
typedef CAT(float, P_LANES) vf;
#define STORE(v, p) CAT(vstore, P_LANES)(v, 0, p)
#endif

/* 2 * P_LANES * P_CHAINS * steps operations per work-item. The factors keep the chains at
 * ordinary magnitudes; storing them keeps the compiler from dropping them. */
__kernel __attribute__((reqd_work_group_size(P_WG, 1, 1))) void
clf_peak_fma(__global float *out, float x, float y, int steps)
{
    vf a[P_CHAINS];
#pragma unroll
    for (int c = 0; c < P_CHAINS; c++)
        a[c] = (vf)(c * 1e-3f);
    for (int i = 0; i < steps; i++) {
#pragma unroll
        for (int c = 0; c < P_CHAINS; c++)
            a[c] = fma(a[c], (vf)(x), (vf)(y));
    }
    vf sum = (vf)(0.0f);
#pragma unroll
    for (int c = 0; c < P_CHAINS; c++)
        sum += a[c];
    STORE(sum, out + get_global_id(0) * P_LANES);
}

/* Each work-item copies `run` consecutive float4 groups on a CPU; on a GPU neighbours copy
 * neighbours (run = 1). */
__kernel __attribute__((reqd_work_group_size(P_WG, 1, 1))) void
clf_peak_copy(__global float4 *to, __global const float4 *from, int run)
{
    const size_t first = get_global_id(0) * run;
    for (int i = 0; i < run; i++)
        to[first + i] = from[first + i];
}

__kernel __attribute__((reqd_work_group_size(P_WG, 1, 1))) void clf_peak_empty(__global float *out)
{
}
