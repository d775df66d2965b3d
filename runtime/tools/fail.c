/* SPDX-License-Identifier: Apache-2.0 */
/* Errors and memory; see fail.h. */
#include "fail.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fflush(stdout);
    fputs("sinew: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

void *take_memory(size_t count, size_t bytes)
{
    void *p = calloc(count ? count : 1, bytes);
    if (!p)
        fail("there is no memory for what the process holds; free some and try again");
    return p;
}

void *grow_memory(void *old, size_t *capacity, size_t bytes)
{
    *capacity = *capacity ? 2 * *capacity : 64;
    void *p = reallocarray(old, *capacity, bytes);
    if (!p)
        fail("there is no memory for what the process holds; free some and try again");
    return p;
}
