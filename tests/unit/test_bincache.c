/* test_bincache.c -- program files: what was written comes back, nothing else gets in;
 * and the numbers read from a build log. No device. */
#include "host/bincache_format.h"
#include "host/build_log.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

/* NVIDIA's binary is PTX text that ends in NUL bytes: sizes are exact, not strlen's. */
static const unsigned char binary[] = ".version 7.5\n\0\0";
#define KEY "clflash 0.1.0\noptions -DT_A=1\n"

static clfi_binfile example(void)
{
    return (clfi_binfile){.key = KEY,
                          .key_bytes = strlen(KEY),
                          .binary = binary,
                          .binary_bytes = sizeof binary,
                          .registers = 168,
                          .spill_bytes = 92};
}

static unsigned char *encoded(size_t *bytes)
{
    const clfi_binfile f = example();
    *bytes = clfi_binfile_bytes(&f);
    unsigned char *data = malloc(*bytes);
    ck_assert_ptr_nonnull(data);
    clfi_binfile_encode(&f, data);
    return data;
}

/* A copy of exactly `bytes`, so that a sanitizer sees a read past its end. */
static const char *decode_copy(const unsigned char *data, size_t bytes, const char *key)
{
    unsigned char *copy = malloc(bytes ? bytes : 1);
    clfi_binfile f;
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, data, bytes);
    const char *wrong = clfi_binfile_decode(copy, bytes, key, &f);
    if (wrong)
        ck_assert(!f.key && !f.binary && f.binary_bytes == 0 && f.registers == 0);
    free(copy);
    return wrong;
}

START_TEST(what_was_written_comes_back)
{
    size_t bytes;
    unsigned char *data = encoded(&bytes);
    clfi_binfile f;
    ck_assert_ptr_null(clfi_binfile_decode(data, bytes, KEY, &f));
    ck_assert_uint_eq(f.key_bytes, strlen(KEY));
    ck_assert_mem_eq(f.key, KEY, f.key_bytes);
    ck_assert_uint_eq(f.binary_bytes, sizeof binary);
    ck_assert_mem_eq(f.binary, binary, sizeof binary);
    ck_assert_uint_eq(f.registers, 168);
    ck_assert_uint_eq(f.spill_bytes, 92);
    free(data);
}
END_TEST

START_TEST(an_empty_binary_is_a_file_too)
{
    const clfi_binfile empty = {.key = "k", .key_bytes = 1, .binary = binary};
    unsigned char data[64];
    clfi_binfile f;
    ck_assert_uint_le(clfi_binfile_bytes(&empty), sizeof data);
    clfi_binfile_encode(&empty, data);
    ck_assert_ptr_null(clfi_binfile_decode(data, clfi_binfile_bytes(&empty), "k", &f));
    ck_assert_uint_eq(f.binary_bytes, 0);
}
END_TEST

/* The format of version 1 to the byte: files of older builds stay readable, or the
 * version must change. */
START_TEST(the_bytes_are_golden)
{
    static const unsigned char golden[] = {
        'C',  'L',  'F',  'B',  'I',  'N',  '1',  '\n', /* magic */
        2,    0,    0,    0,                            /* key bytes */
        40,   0,    0,    0,                            /* registers */
        8,    1,    0,    0,                            /* spilled bytes: 264 */
        3,    0,    0,    0,    0,    0,    0,    0,    /* binary bytes */
        'k',  '\n',                                     /* key */
        'P',  0,    0,                                  /* binary */
        0x30, 0x9c, 0x63, 0x36, 0x7d, 0x1f, 0xaf, 0x93, /* FNV-1a 128 */
        0x13, 0x5f, 0xa3, 0x49, 0x0f, 0xf3, 0x98, 0x91,
    };
    const clfi_binfile f = {.key = "k\n",
                            .key_bytes = 2,
                            .binary = (const unsigned char *)"P\0",
                            .binary_bytes = 3,
                            .registers = 40,
                            .spill_bytes = 264};
    unsigned char data[sizeof golden];
    ck_assert_uint_eq(clfi_binfile_bytes(&f), sizeof golden);
    clfi_binfile_encode(&f, data);
    ck_assert_mem_eq(data, golden, sizeof golden);
}
END_TEST

START_TEST(every_truncation_is_a_miss)
{
    size_t bytes;
    unsigned char *data = encoded(&bytes);
    for (size_t n = 0; n < bytes; n++)
        ck_assert_msg(decode_copy(data, n, KEY) != NULL, "cut to %zu of %zu bytes", n, bytes);
    free(data);
}
END_TEST

START_TEST(every_changed_byte_is_a_miss)
{
    static const unsigned char flips[] = {1, 0x80, 0xff};
    size_t bytes;
    unsigned char *data = encoded(&bytes);
    for (size_t i = 0; i < bytes; i++) {
        for (size_t k = 0; k < sizeof flips; k++) {
            data[i] ^= flips[k];
            ck_assert_msg(decode_copy(data, bytes, KEY) != NULL, "byte %zu ^ %#x", i, flips[k]);
            data[i] ^= flips[k];
        }
    }
    ck_assert_ptr_null(decode_copy(data, bytes, KEY));
    free(data);
}
END_TEST

START_TEST(a_longer_file_is_a_miss)
{
    size_t bytes;
    unsigned char *data = encoded(&bytes), *longer = calloc(1, bytes + 7);
    ck_assert_ptr_nonnull(longer);
    memcpy(longer, data, bytes);
    for (size_t more = 1; more <= 7; more++)
        ck_assert_ptr_nonnull(decode_copy(longer, bytes + more, KEY));
    free(longer);
    free(data);
}
END_TEST

START_TEST(a_foreign_key_is_a_miss)
{
    static const char *const keys[] = {
        "",                                  /* nothing */
        "clflash 0.1.0\noptions -DT_A=1",    /* a part of the right one */
        "clflash 0.1.0\noptions -DT_A=1\n ", /* the right one and more */
        "clflash 0.1.0\noptions -DT_A=2\n",  /* another tunable */
        "clflash 0.1.1\noptions -DT_A=1\n",  /* another version */
    };
    size_t bytes;
    unsigned char *data = encoded(&bytes);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        ck_assert_str_eq(decode_copy(data, bytes, keys[i]), "made for another key");
    free(data);
}
END_TEST

/* Lengths that add up only when the sum overflows. */
START_TEST(hostile_lengths_are_a_miss)
{
    size_t bytes;
    unsigned char *data = encoded(&bytes);
    memset(data + 20, 0xff, 8);
    ck_assert_str_eq(decode_copy(data, bytes, KEY), "lengths do not add up");
    memset(data + 8, 0xff, 4);
    ck_assert_str_eq(decode_copy(data, bytes, KEY), "lengths do not add up");
    free(data);
}
END_TEST

START_TEST(registers_and_spills_are_the_largest_of_a_log)
{
    static const struct {
        const char *log;
        int32_t registers, spill_bytes;
        const char *why;
    } cases[] = {
        {"",                                                                                 0,         0,  "no log"                         },
        {"warning: nothing about spills",                                                    0,         0,  "another driver's log"           },
        {"ptxas info    : 0 bytes gmem\n"
         "ptxas info    : Compiling entry function 'a' for 'sm_90'\n"
         "ptxas info    : Function properties for a\n"
         "    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads\n"
         "ptxas info    : Used 40 registers, used 1 barriers, 400 bytes cmem[0]\n", 40,        0,  "one kernel"                     },
        {"    96 bytes stack frame, 92 bytes spill stores, 184 bytes spill loads\n"
         "ptxas info    : Used 168 registers, used 3 barriers, 8 bytes smem\n"
         "    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads\n"
         "ptxas info    : Used 12 registers, 360 bytes cmem[0]\n",                  168,       92, "two kernels, the second smaller"},
        {"Potential Performance Loss: 'setmaxnreg' ignored to maintain minimum registers\n"
         "ptxas info    : Used 255 registers\n",                                    255,       0,  "the word without a number"      },
        {"Used 99999999999999999999999 registers",                                           INT32_MAX, 0,  "no overflow"                    },
        {" registers",                                                                       0,         0,  "nothing in front"               },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const clfi_build_numbers n = clfi_build_log_numbers(cases[i].log);
        ck_assert_msg(n.registers == cases[i].registers && n.spill_bytes == cases[i].spill_bytes,
                      "%s: %d registers, %d spilled", cases[i].why, n.registers, n.spill_bytes);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bincache");
    TCase *file = tcase_create("file"), *log = tcase_create("log");
    tcase_add_test(file, what_was_written_comes_back);
    tcase_add_test(file, an_empty_binary_is_a_file_too);
    tcase_add_test(file, the_bytes_are_golden);
    tcase_add_test(file, every_truncation_is_a_miss);
    tcase_add_test(file, every_changed_byte_is_a_miss);
    tcase_add_test(file, a_longer_file_is_a_miss);
    tcase_add_test(file, a_foreign_key_is_a_miss);
    tcase_add_test(file, hostile_lengths_are_a_miss);
    tcase_add_test(log, registers_and_spills_are_the_largest_of_a_log);
    suite_add_tcase(suite, file);
    suite_add_tcase(suite, log);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
