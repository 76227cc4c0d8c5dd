/* test_retarget.c -- PTX as the driver writes it becomes sm_90a's, and damaged text does not. */
#include "host/retarget.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static const char whole[] = "//\n"
                            ".version 8.3\n"
                            ".target sm_90, texmode_independent\n"
                            ".address_size 64\n"
                            ".entry f()\n"
                            ".reqntid 384, 1, 1\n"
                            "{\n"
                            "\t// begin inline asm {\n"
                            "\t{ .reg .b32 clf_sm90a; }\n"
                            "//SM90A wgmma.fence.sync.aligned;\n"
                            "{ .reg .b32 clf_sm90a; }\n"
                            "//SM90A { .reg .b64 a; add.s64 a, %rd1, 2; }\n"
                            "\tret;\n"
                            "}\n";
static const char wanted[] = "//\n"
                             ".version 8.4\n"
                             ".target sm_90a, texmode_independent\n"
                             ".address_size 64\n"
                             ".entry f()\n"
                             ".reqntid 384, 1, 1\n"
                             ".minnctapersm 1\n"
                             "{\n"
                             "\t// begin inline asm {\n"
                             "\t{ .reg .b32 clf_sm90a; }\n"
                             "wgmma.fence.sync.aligned;\n"
                             "{ .reg .b32 clf_sm90a; }\n"
                             "{ .reg .b64 a; add.s64 a, %rd1, 2; }\n"
                             "\tret;\n"
                             "}\n";

/* `whole` with `from` replaced by `to`. */
static char *changed(const char *from, const char *to)
{
    const char *at = strstr(whole, from);
    ck_assert_ptr_nonnull(at);
    char *text = calloc(1, sizeof whole + strlen(to));
    memcpy(text, whole, (size_t)(at - whole));
    strcat(text, to);
    strcat(text, at + strlen(from));
    return text;
}

START_TEST(marks_become_instructions)
{
    char *out = NULL;
    size_t bytes = 0;
    /* With the NUL that the driver's binaries end in. */
    ck_assert_int_eq(clfi_retarget(NULL, whole, sizeof whole, &out, &bytes, NULL), CLFLASH_OK);
    ck_assert_str_eq(out, wanted);
    ck_assert_uint_eq(bytes, strlen(wanted));
    clfi_free(NULL, out);
}
END_TEST

START_TEST(a_later_version_stays)
{
    char *text = changed(".version 8.3", ".version 9.0"), *out = NULL;
    size_t bytes = 0;
    ck_assert_int_eq(clfi_retarget(NULL, text, strlen(text), &out, &bytes, NULL), CLFLASH_OK);
    ck_assert_ptr_nonnull(strstr(out, ".version 9.0\n"));
    clfi_free(NULL, out);
    free(text);
}
END_TEST

static const struct {
    const char *from, *to, *says;
} damaged[] = {
    {"//SM90A wgmma.fence.sync.aligned;\n",    "",                    "a witness without its mark" },
    {"//SM90A wgmma",                          "// wgmma",            "a witness without its mark" },
    {"\t{ .reg .b32 clf_sm90a; }\n",           "",                    "a mark without its witness" },
    {".target sm_90, texmode_independent\n",   "",                    "one .target"                },
    {".version 8.3\n",                         "",                    "one .version"               },
    {".version 8.3",                           ".version x",          "no number"                  },
    {".reqntid 384, 1, 1\n",                   "",                    "fixes its work-group"       },
    {"\tret;\n}\n",                            "",                    "ends inside a function"     },
    {"{ .reg .b32 clf_sm90a; }\n//SM90A { .reg .b64 a; add.s64 a, %rd1, 2; }\n\tret;\n}\n",
     "{ .reg .b32 clf_sm90a; }\n",                                    "a witness without its mark" },
};

START_TEST(damaged_text_is_refused)
{
    char *text = changed(damaged[_i].from, damaged[_i].to), *out = NULL;
    size_t bytes = 0;
    clfi_err err = {0};
    ck_assert_int_eq(clfi_retarget(NULL, text, strlen(text), &out, &bytes, &err),
                     CLFLASH_BUILD_FAILED);
    ck_assert_ptr_null(out);
    ck_assert_msg(strstr(err.text, damaged[_i].says), "'%s' does not say '%s'", err.text,
                  damaged[_i].says);
    free(text);
}
END_TEST

START_TEST(ordinary_ptx_is_refused)
{
    static const char plain[] = ".version 8.3\n.target sm_90\n.entry f()\n.reqntid 1, 1, 1\n{\n}\n";
    char *out = NULL;
    size_t bytes = 0;
    clfi_err err = {0};
    ck_assert_int_eq(clfi_retarget(NULL, plain, sizeof plain, &out, &bytes, &err),
                     CLFLASH_BUILD_FAILED);
    ck_assert_ptr_nonnull(strstr(err.text, "no marks"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("retarget");
    TCase *t = tcase_create("retarget");
    tcase_add_test(t, marks_become_instructions);
    tcase_add_test(t, a_later_version_stays);
    tcase_add_loop_test(t, damaged_text_is_refused, 0, (int)(sizeof damaged / sizeof damaged[0]));
    tcase_add_test(t, ordinary_ptx_is_refused);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    const int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
