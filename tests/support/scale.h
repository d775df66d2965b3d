/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sizes of tests under tools that make everything slower.
 *
 * SN_ASAN and SN_TSAN are set by those builds; valgrind is noticed by what it preloads. Whoever asks for a scaled size
 * gets the same test, smaller; the first time, a line says so.
 */
#ifndef TESTS_SUPPORT_SCALE_H
#define TESTS_SUPPORT_SCALE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef SN_ASAN
#define SN_ASAN 0
#endif
#ifndef SN_TSAN
#define SN_TSAN 0
#endif
#ifndef SN_DEBUG
#define SN_DEBUG 0
#endif

static inline bool under_valgrind(void)
{
    const char *preload = getenv("LD_PRELOAD");
    return preload && (strstr(preload, "valgrind") || strstr(preload, "vgpreload"));
}

static inline bool under_sanitizer(void)
{
    return SN_ASAN || SN_TSAN;
}

static inline bool slowed_down(void)
{
    return under_sanitizer() || under_valgrind();
}

/* `full` as a rule, `small` where a tool slows us down. */
static inline size_t scaled(size_t full, size_t small)
{
    if (!slowed_down())
        return full;
    static _Atomic bool told;
    if (!atomic_exchange(&told, true))
        fprintf(stderr, "note: sizes are shrunk for a sanitizer or valgrind\n");
    return small;
}

#endif
