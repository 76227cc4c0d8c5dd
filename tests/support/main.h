/* main.h -- the end of every Check program that runs on a device. */
#ifndef CLFT_MAIN_H
#define CLFT_MAIN_H

#include <check.h>
#include <stdlib.h>

/* A test in a case of its own name, run for _i = 0 to n - 1: CK_RUN_CASE=name runs it alone. */
#define clft_add(suite, name, n)                                                                   \
    do {                                                                                           \
        TCase *name##_case = tcase_create(#name);                                                  \
        tcase_add_loop_test(name##_case, name, 0, n);                                              \
        suite_add_tcase(suite, name##_case);                                                       \
    } while (0)

/* Without forks: an OpenCL context does not survive one. CK_ environment variables choose
 * the output, suites and cases as in every Check program. */
static inline int clft_main(Suite *suite, void (*end)(void))
{
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    if (end)
        end();
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
