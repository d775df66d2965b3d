/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tools must be told about fibers.
 *
 * AddressSanitizer: each switch is announced with the bounds of the stack it goes to; a fiber that goes to the pool
 * gives its fake stack back. ThreadSanitizer: the runtime's own sources are not instrumented; each task gets a TSan
 * context of its own, switched to without synchronisation (flag 1), and real hand-overs are annotated by
 * release/acquire on an address that names them: spawn -> start and end -> await on the task, wake -> resume on the
 * fiber, hand-over in locks on the lock. So a race between two tasks is reported even when one worker ran both, one
 * after the other. valgrind: stacks are registered when they are mapped.
 */
#ifndef SN_SANITIZER_H
#define SN_SANITIZER_H

#include "runtime/base.h"

#ifndef SN_ASAN
#define SN_ASAN 0
#endif
#ifndef SN_TSAN
#define SN_TSAN 0
#endif

#if SN_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#include <sanitizer/lsan_interface.h>
#endif

#if SN_TSAN
#include <string.h>

void *__tsan_get_current_fiber(void);
void *__tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void *fiber);
void __tsan_switch_to_fiber(void *fiber, unsigned flags);
void __tsan_acquire(void *address);
void __tsan_release(void *address);
/* TSan holds a signal back until the context in which it arrived makes a call that it intercepts (any; this one is
 * quick). A context that is left before, perhaps for ever, would keep the signal. */
static inline void sn_tsan_switch(void *context)
{
    static size_t (*volatile const intercepted)(const char *) = strlen;
    (void)intercepted("");
    __tsan_switch_to_fiber(context, 1);
}
#define sn_tsan_acquire(p) __tsan_acquire((void *)(p))
#define sn_tsan_release(p) __tsan_release((void *)(p))
#else
#define sn_tsan_acquire(p) ((void)(p))
#define sn_tsan_release(p) ((void)(p))
#endif

#if defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/memcheck.h>
#include <valgrind/valgrind.h>
#define SN_VALGRIND 1
#endif
#endif
#ifndef SN_VALGRIND
#define SN_VALGRIND 0
#endif

#if SN_ASAN
#define SN_NO_ASAN __attribute__((no_sanitize("address")))
#else
#define SN_NO_ASAN
#endif

#endif
