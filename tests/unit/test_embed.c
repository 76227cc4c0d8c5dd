/* test_embed.c -- includes inlined once, errors named, and the library's own copy equal to
 * what the same inliner makes of the sources now. No device. */
#define _POSIX_C_SOURCE 200809L
#include "cl_kernels/inline_source.h"
#include "host/embedded.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[512];
static char error[1400];
static char *files[8];
static int n_files;

static void make_folder(void)
{
    snprintf(folder, sizeof folder, "%s/clflash-embed-XXXXXX",
             getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    n_files = 0;
}

static void remove_folder(void)
{
    while (n_files > 0) {
        unlink(files[--n_files]);
        free(files[n_files]);
    }
    rmdir(folder);
}

static void put(const char *name, const char *text)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs(text, file), 0);
    ck_assert_int_eq(fclose(file), 0);
    files[n_files++] = strdup(path);
}

static void inlines_to(const char *name, const char *want)
{
    size_t bytes = 0;
    char *text = clfi_inline_source(folder, name, &bytes, error, sizeof error);
    ck_assert_msg(text != NULL, "%s", error);
    ck_assert_str_eq(text, want);
    ck_assert_uint_eq(bytes, strlen(want));
    free(text);
}

START_TEST(a_header_is_inlined_once_and_lines_keep_their_numbers)
{
    put("a.cl", "#include \"b.clh\"\n#include \"c.h\"\nint a;\n");
    put("b.clh", "#include \"c.h\"\nint b;\n");
    put("c.h", "int c;\n");
    inlines_to("a.cl", "#line 1 \"a.cl\"\n#line 1 \"b.clh\"\n#line 1 \"c.h\"\nint c;\n"
                       "#line 2 \"b.clh\"\nint b;\n#line 2 \"a.cl\"\n#line 3 \"a.cl\"\nint a;\n");
}
END_TEST

START_TEST(a_last_line_without_newline_gets_one)
{
    put("a.cl", "#include \"b.clh\"");
    put("b.clh", "int b;");
    inlines_to("a.cl", "#line 1 \"a.cl\"\n#line 1 \"b.clh\"\nint b;\n#line 2 \"a.cl\"\n");
}
END_TEST

START_TEST(a_file_that_includes_itself_ends)
{
    put("a.cl", "#include \"a.cl\"\nint a;\n");
    inlines_to("a.cl", "#line 1 \"a.cl\"\n#line 2 \"a.cl\"\nint a;\n");
}
END_TEST

START_TEST(what_is_no_include_stays)
{
    put("a.cl", "#include <x.h>\n#include \"\n#include \"\"\n#include\n// #include \"b\"\n");
    inlines_to("a.cl", "#line 1 \"a.cl\"\n#include <x.h>\n#include \"\n#include \"\"\n#include\n"
                       "// #include \"b\"\n");
}
END_TEST

START_TEST(a_missing_file_is_named)
{
    size_t bytes;
    put("a.cl", "#include \"none.clh\"\n");
    ck_assert_ptr_null(clfi_inline_source(folder, "a.cl", &bytes, error, sizeof error));
    ck_assert_ptr_nonnull(strstr(error, "none.clh"));
    ck_assert_ptr_null(clfi_inline_source(folder, "b.cl", &bytes, error, sizeof error));
    ck_assert_ptr_nonnull(strstr(error, "b.cl"));
}
END_TEST

START_TEST(the_library_holds_the_sources_as_they_are)
{
    ck_assert_int_gt(clfi_n_embedded_sources, 0);
    for (int i = 0; i < clfi_n_embedded_sources; i++) {
        const clfi_embedded *e = &clfi_embedded_sources[i];
        size_t bytes = 0;
        char *text = clfi_inline_source(KERNEL_DIR, e->name, &bytes, error, sizeof error);
        ck_assert_msg(text != NULL, "%s", error);
        ck_assert_uint_eq(bytes, e->bytes);
        ck_assert_str_eq(text, e->text);
        ck_assert_uint_eq(strlen(e->text), e->bytes);
        free(text);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("embed");
    TCase *folders = tcase_create("inline"), *library = tcase_create("library");
    tcase_add_checked_fixture(folders, make_folder, remove_folder);
    tcase_add_test(folders, a_header_is_inlined_once_and_lines_keep_their_numbers);
    tcase_add_test(folders, a_last_line_without_newline_gets_one);
    tcase_add_test(folders, a_file_that_includes_itself_ends);
    tcase_add_test(folders, what_is_no_include_stays);
    tcase_add_test(folders, a_missing_file_is_named);
    tcase_add_test(library, the_library_holds_the_sources_as_they_are);
    suite_add_tcase(suite, folders);
    suite_add_tcase(suite, library);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
