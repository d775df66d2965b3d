/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lowest layer: limits, checks, messages. Knows nothing of the rest.
 *
 * SN_CHECK is always on and guards transitions and slow paths; SN_DCHECK exists only in debug builds (SN_DEBUG=1) and
 * may stand on hot paths. Both say what was expected; the process stops, since a broken invariant of a scheduler has no
 * safe continuation.
 */
#ifndef SN_BASE_H
#define SN_BASE_H

#include <sinew/base.h>

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#ifndef SN_DEBUG
#define SN_DEBUG 0
#endif

#define SN_LIKELY(x)   __builtin_expect(!!(x), 1)
#define SN_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define SN_NOINLINE    __attribute__((noinline))
#define SN_COLD        __attribute__((noinline, cold))
#define SN_INLINE      static inline __attribute__((always_inline))
#define SN_CACHE_LINE  64

#define SN_CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* One line on stderr: "sinew: <message>". Used for refused options, failed starts and reports. Any thread. */
__attribute__((format(printf, 1, 2))) void sn_complain(const char *format, ...);

/* The same, then abort(): a programming error that cannot be returned. */
__attribute__((format(printf, 1, 2), noreturn)) void sn_die(const char *format, ...);

#define SN_CHECK(condition, ...)       \
    do {                               \
        if (SN_UNLIKELY(!(condition))) \
            sn_die(__VA_ARGS__);       \
    } while (0)

#if SN_DEBUG
#define SN_DCHECK(condition, ...) SN_CHECK(condition, __VA_ARGS__)
#else
#define SN_DCHECK(condition, ...) \
    do {                          \
        (void)sizeof(condition);  \
    } while (0)
#endif

#endif
