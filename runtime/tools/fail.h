/* SPDX-License-Identifier: Apache-2.0 */
/* The ends of the program that nobody wants: a line on stderr that says what was wrong and what to do. */
#ifndef TOOLS_FAIL_H
#define TOOLS_FAIL_H

#include <stddef.h>

/* Prints "sinew: ..." and exits with 1. */
__attribute__((noreturn, format(printf, 1, 2))) void fail(const char *format, ...);

/* Memory, or the end of the program. What is asked for is bounded by what the target holds. */
void *take_memory(size_t count, size_t bytes);                /* zeroed */
void *grow_memory(void *old, size_t *capacity, size_t bytes); /* to twice the capacity, which counts elements */

#endif
