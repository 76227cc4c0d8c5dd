/* replay.c -- runs a fuzz target without libFuzzer: on files, or on mutations of its seeds
 * for a time. With gcc and the sanitizers it finds what reads out of bounds.
 *
 *   fuzz_x [--seconds T] [--seed N] [FILE...]
 *
 * A crash leaves the input in crash-NAME. Prints TAP. */
#define _POSIX_C_SOURCE 200809L
#include "replay.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MAX_INPUT 8192

static uint8_t input[MAX_INPUT];
static size_t input_bytes;
static char crash_name[256];
static uint64_t state = 1;

/* xorshift64* (Vigna 2016, arXiv:1402.6246). */
static uint64_t draw(uint64_t below)
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return below ? (state * UINT64_C(2685821657736338717) >> 16) % below : 0;
}

static void on_crash(int signal_number)
{
    FILE *file = fopen(crash_name, "wb");
    if (file) {
        fwrite(input, 1, input_bytes, file);
        fclose(file);
    }
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

static void run(void)
{
    uint8_t *copy = malloc(input_bytes ? input_bytes : 1); /* exact: reads past it are seen */
    if (!copy)
        abort();
    memcpy(copy, input, input_bytes);
    LLVMFuzzerTestOneInput(copy, input_bytes);
    free(copy);
}

static void insert(size_t at, const uint8_t *data, size_t n)
{
    if (input_bytes + n > MAX_INPUT)
        return;
    memmove(input + at + n, input + at, input_bytes - at);
    memcpy(input + at, data, n);
    input_bytes += n;
}

static void erase(size_t at, size_t n)
{
    memmove(input + at, input + at + n, input_bytes - at - n);
    input_bytes -= n;
}

static void mutate(const fuzz_seed *seeds, int n_seeds)
{
    static const char interesting[] = "0123456789-+=:.e|\n \0\xff%{}[](),'\"nainfTrue<>";
    const size_t at = (size_t)draw(input_bytes + 1);
    const fuzz_seed *other = &seeds[draw((uint64_t)n_seeds)];
    uint8_t byte = (uint8_t)(draw(2) ? (uint64_t)interesting[draw(sizeof interesting)] : draw(256));
    switch (draw(6)) {
    case 0: insert(at, &byte, 1); break;
    case 1:
        if (at < input_bytes)
            input[at] ^= (uint8_t)(1u << draw(8));
        break;
    case 2:
        if (at < input_bytes)
            input[at] = byte;
        break;
    case 3: erase(at, (size_t)draw(input_bytes - at < 16 ? input_bytes - at + 1 : 17)); break;
    case 4: /* a piece of another seed */
        if (other->bytes) {
            const size_t from = (size_t)draw(other->bytes);
            const size_t left = other->bytes - from;
            insert(at, (const uint8_t *)other->data + from,
                   (size_t)draw(left < 64 ? left + 1 : 65));
        }
        break;
    case 5: /* the end is cut off, sometimes */
        if (draw(8) == 0)
            input_bytes = at;
        break;
    }
}

static void set_input(const void *data, size_t bytes)
{
    input_bytes = bytes < MAX_INPUT ? bytes : MAX_INPUT;
    memcpy(input, data, input_bytes);
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static long mutate_for(double seconds)
{
    int n_seeds;
    long n = 0;
    const fuzz_seed *seeds = fuzz_seeds(&n_seeds);
    const double end = now_s() + seconds;
    for (int i = 0; i < n_seeds; i++, n++) {
        set_input(seeds[i].data, seeds[i].bytes);
        run();
    }
    while (now_s() < end) {
        const fuzz_seed *seed = &seeds[draw((uint64_t)n_seeds)];
        set_input(seed->data, seed->bytes);
        for (uint64_t depth = 1 + draw(8); depth > 0; depth--) {
            mutate(seeds, n_seeds);
            run();
            n++;
        }
    }
    return n;
}

static int run_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        return 1;
    }
    input_bytes = fread(input, 1, MAX_INPUT, file);
    fclose(file);
    run();
    return 0;
}

int main(int argc, char **argv)
{
    double seconds = 1;
    long n = 0;
    int files = 0, bad = 0;
    const char *name = strrchr(argv[0], '/');
    snprintf(crash_name, sizeof crash_name, "crash-%s", name ? name + 1 : argv[0]);
    signal(SIGABRT, on_crash);
    signal(SIGSEGV, on_crash);
    signal(SIGFPE, on_crash);
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--seconds") && i + 1 < argc) {
            seconds = strtod(argv[++i], NULL);
        } else if (!strcmp(argv[i], "--seed") && i + 1 < argc) {
            state = 2 * strtoull(argv[++i], NULL, 10) + 1;
        } else {
            bad |= run_file(argv[i]);
            files++;
        }
    }
    n = files ? files : mutate_for(seconds);
    printf("1..1\n%s 1 - %ld inputs\n", bad ? "not ok" : "ok", n);
    return bad;
}
