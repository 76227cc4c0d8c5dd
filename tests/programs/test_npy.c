/* test_npy.c -- NPY files: what is written reads back, what is damaged is refused. */
#include "bench/common/npy.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

/* A version 1.0 file's start with this dictionary. */
static size_t make_header(unsigned char *to, const char *dictionary)
{
    const size_t n = strlen(dictionary);
    const unsigned char start[10] = {
        0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, (unsigned char)(n & 0xff), (unsigned char)(n >> 8)};
    memcpy(to, start, sizeof start);
    memcpy(to + 10, dictionary, n);
    return n + 10;
}

static const struct {
    const char *dictionary, *message; /* a part of the message; NULL = accepted */
} cases[] = {
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n",               NULL         },
    {"{\"shape\":(5,),\"fortran_order\":False,\"descr\":\"|u1\"}",                  NULL         }, /* any order */
    {"{'descr': '<f4', 'fortran_order': False, 'shape': ()}",                       NULL         },
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (0, 7)}",                   NULL         },
    {"{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3)}",                    "Fortran"    },
    {"{'descr': '>f4', 'fortran_order': False, 'shape': (2, 3)}",                   "big-endian" },
    {"{'descr': '|O', 'fortran_order': False, 'shape': (2, 3)}",                    "not a plain"},
    {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}",            "not a plain"},
    {"{'descr': '<f4', 'fortran_order': False}",                                    "lacks"      },
    {"{'descr': '<f4', 'descr': '<f4', 'shape': (1,)}",                             "twice"      },
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (5)}",                      "tuple"      },
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (-5,)}",                    "no size"    },
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1)}",      "dimensions" },
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807,)}",   "no size"    },
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296)}", "too many"   },
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} x",                   "behind"     },
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,)",                      "end"        },
    {"{'colour': 'red'}",                                                           "unknown"    },
    {"",                                                                            "dictionary" },
};

START_TEST(headers)
{
    unsigned char file[512];
    char message[NPY_MESSAGE] = "";
    npy_header h;
    const size_t n = make_header(file, cases[_i].dictionary);
    const bool ok = npy_parse_header(file, n, &h, message);
    ck_assert_msg(ok == !cases[_i].message, "%s: %s", cases[_i].dictionary,
                  ok ? "accepted" : message);
    if (!ok)
        ck_assert_msg(strstr(message, cases[_i].message), "%s: '%s' does not say '%s'",
                      cases[_i].dictionary, message, cases[_i].message);
}
END_TEST

START_TEST(truncated_headers_are_refused)
{
    unsigned char file[512];
    char message[NPY_MESSAGE];
    npy_header h;
    const size_t n = make_header(file, cases[0].dictionary);
    for (size_t size = 0; size < n; size++) {
        unsigned char *exact = malloc(size + 1); /* a sanitizer sees reads past the end */
        memcpy(exact, file, size);
        ck_assert_msg(!npy_parse_header(exact, size, &h, message), "%zu bytes accepted", size);
        free(exact);
    }
}
END_TEST

START_TEST(version_2_is_read_and_3_is_not)
{
    unsigned char file[512] = {0x93, 'N', 'U', 'M', 'P', 'Y', 2, 0};
    char message[NPY_MESSAGE];
    npy_header h;
    const size_t n = strlen(cases[0].dictionary);
    file[8] = (unsigned char)n;
    memcpy(file + 12, cases[0].dictionary, n);
    ck_assert(npy_parse_header(file, n + 12, &h, message));
    ck_assert_int_eq(h.data_offset, (int64_t)n + 12);
    ck_assert_int_eq(h.count, 6);
    file[6] = 3;
    ck_assert(!npy_parse_header(file, n + 12, &h, message));
    ck_assert(strstr(message, "3.0") != NULL);
}
END_TEST

START_TEST(what_is_written_reads_back)
{
    const char *path = "test_npy.tmp.npy";
    const int64_t dim[3] = {2, 3, 4};
    float values[24];
    for (int i = 0; i < 24; i++)
        values[i] = (float)i / 7;
    FILE *file = fopen(path, "wb");
    ck_assert(file && npy_write(file, "<f4", 3, dim, values, sizeof values[0]));
    fclose(file);
    npy_header h;
    void *back = NULL;
    char message[NPY_MESSAGE] = "";
    ck_assert_msg(npy_read(path, &h, &back, message), "%s", message);
    ck_assert_str_eq(h.descr, "<f4");
    ck_assert_int_eq(h.data_offset % 64, 0);
    ck_assert(h.n_dims == 3 && memcmp(h.dim, dim, sizeof dim) == 0);
    ck_assert(memcmp(back, values, sizeof values) == 0);
    free(back);
    remove(path);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("npy");
    tcase_add_loop_test(tc, headers, 0, sizeof cases / sizeof cases[0]);
    tcase_add_test(tc, truncated_headers_are_refused);
    tcase_add_test(tc, version_2_is_read_and_3_is_not);
    tcase_add_test(tc, what_is_written_reads_back);
    Suite *s = suite_create("npy");
    suite_add_tcase(s, tc);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    const int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
