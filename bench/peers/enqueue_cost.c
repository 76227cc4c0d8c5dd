/* enqueue_cost.c -- host time of one clflash_attn_fwd beside the driver's empty launch, both
 * in a stream of launches that the device keeps up with; and the time of a first plan. (bench)
 *
 * usage: enqueue_cost [DEVICE INDEX]      run twice to see the first plan cold and warm */
#define _POSIX_C_SOURCE 200809L
#include <clflash/clflash.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define BATCH 500
#define ROUNDS 9

static double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

static void check(const clflash_context *ctx, clflash_status status, const char *what)
{
    char text[2048];
    if (status == CLFLASH_OK)
        return;
    fprintf(stderr, "%s: %s: %s\n", what, clflash_status_string(status),
            clflash_context_last_error(ctx, text, sizeof text));
    exit(1);
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Median over rounds of the host time of one enqueue. */
static double enqueue_us(clflash_context *ctx, const clflash_plan *plan, cl_kernel empty,
                         const clflash_attn_fwd_args *args)
{
    const cl_command_queue queue = clflash_context_queue(ctx);
    double us[ROUNDS];
    for (int round = -1; round < ROUNDS; round++) {
        const size_t one = 1;
        const double start = now_us();
        for (int i = 0; i < BATCH; i++) {
            if (plan)
                check(ctx, clflash_attn_fwd(plan, queue, args, 0, NULL, NULL), "fwd");
            else
                check(ctx, clEnqueueNDRangeKernel(queue, empty, 1, NULL, &one, &one, 0, NULL, NULL),
                      "empty launch");
        }
        if (round >= 0)
            us[round] = (now_us() - start) / BATCH;
        clFinish(queue);
    }
    qsort(us, ROUNDS, sizeof us[0], by_value);
    return us[ROUNDS / 2];
}

int main(int argc, char **argv)
{
    const clflash_context_params params = {.device_number = argc > 1 ? atoi(argv[1]) + 1 : 0};
    const clflash_attn_desc d = {.q_heads = 2, .q_len = 32, .head_dim = 32};
    clflash_context *ctx;
    clflash_plan *plan;
    check(NULL, clflash_context_create(&ctx, &params), "context");
    const double start = now_us();
    check(ctx, clflash_attn_fwd_plan(&plan, ctx, &d, NULL), "plan");
    const double plan_ms = (now_us() - start) * 1e-3;

    const char *source = "__kernel void empty(__global float *x) {}";
    cl_device_id device = clflash_context_device(ctx);
    cl_mem mem[4];
    for (int i = 0; i < 4; i++)
        mem[i] = clCreateBuffer(clflash_context_cl(ctx), CL_MEM_READ_WRITE, 2 * 32 * 32 * 4, NULL,
                                NULL);
    cl_program program =
        clCreateProgramWithSource(clflash_context_cl(ctx), 1, &source, NULL, NULL);
    check(ctx, clBuildProgram(program, 1, &device, "", NULL, NULL), "build");
    cl_kernel empty = clCreateKernel(program, "empty", NULL);
    check(ctx, clSetKernelArg(empty, 0, sizeof mem[0], &mem[0]), "argument");

    const clflash_attn_fwd_args args = {
        .q = {mem[0]}, .k = {mem[1]}, .v = {mem[2]}, .o = {mem[3]}};
    const double ours = enqueue_us(ctx, plan, NULL, &args);
    const double theirs = enqueue_us(ctx, NULL, empty, NULL);
    printf("first plan %.1f ms; clflash_attn_fwd %.2f us, empty launch %.2f us: %.2fx\n", plan_ms,
           ours, theirs, ours / theirs);

    clReleaseKernel(empty);
    clReleaseProgram(program);
    for (int i = 0; i < 4; i++)
        clReleaseMemObject(mem[i]);
    clflash_plan_destroy(&plan);
    clflash_context_destroy(&ctx);
    return 0;
}
