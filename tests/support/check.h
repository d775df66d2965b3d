/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks that work everywhere: in tasks on any worker, in plain threads, in forked children.
 *
 * A cmocka assertion leaves the test by longjmp, which must not happen on a task's stack or in another thread. So
 * bodies that run inside the runtime use CHECK and CHECK_EQ: they print, count and go on. Who started the runtime
 * looks at check_failures afterwards (support/run.h does). Each test program is one translation unit, hence static.
 */
#ifndef TESTS_SUPPORT_CHECK_H
#define TESTS_SUPPORT_CHECK_H

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* After so many failures only the count goes on: a check in a loop must not bury the first message. */
#define CHECK_PRINTED_MAX 20

static atomic_int check_failures;

__attribute__((format(printf, 3, 4))) static inline void check_failed(const char *file, int line, const char *format,
                                                                      ...)
{
    if (atomic_fetch_add(&check_failures, 1) >= CHECK_PRINTED_MAX)
        return;
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fprintf(stderr, "%s:%d: check failed: %s\n", file, line, text);
}

static inline bool check_true(bool ok, const char *what, const char *file, int line)
{
    if (!ok)
        check_failed(file, line, "%s", what);
    return ok;
}

static inline bool check_eq(intmax_t actual, intmax_t expected, const char *what, const char *wanted, const char *file,
                            int line)
{
    if (actual != expected)
        check_failed(file, line, "%s is %jd, expected %s = %jd", what, actual, wanted, expected);
    return actual == expected;
}

/* Both give true when the check held, so that a body can leave early. */
#define CHECK(condition) check_true(!!(condition), #condition, __FILE__, __LINE__)
#define CHECK_EQ(actual, expected) \
    check_eq((intmax_t)(actual), (intmax_t)(expected), #actual, #expected, __FILE__, __LINE__)

#endif
