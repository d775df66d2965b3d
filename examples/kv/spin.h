/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lock for a few instructions: ck's spinlock. Whoever holds one never suspends, and allocates only where a table
 * grows. The kernel may still stop a thread that holds one; the others then give their processors away after a while,
 * so that it comes back soon.
 *
 * ThreadSanitizer does not see what ck does in assembly, so it is told.
 */
#ifndef KV_SPIN_H
#define KV_SPIN_H

#include <ck_spinlock.h>
#include <sched.h>
#include <stdbool.h>

#if defined(SN_TSAN) && SN_TSAN
void __tsan_acquire(void *address);
void __tsan_release(void *address);
#define tsan_acquire(p) __tsan_acquire(p)
#define tsan_release(p) __tsan_release(p)
#else
#define tsan_acquire(p) ((void)(p))
#define tsan_release(p) ((void)(p))
#endif

enum { SPINS_BEFORE_YIELD = 2000 };

static inline void spin_lock(ck_spinlock_t *lock)
{
    for (unsigned spins = 0; !ck_spinlock_trylock(lock);)
        while (ck_spinlock_locked(lock)) {
            if (++spins < SPINS_BEFORE_YIELD)
                ck_pr_stall();
            else
                sched_yield();
        }
    tsan_acquire(lock);
}

static inline void spin_unlock(ck_spinlock_t *lock)
{
    tsan_release(lock);
    ck_spinlock_unlock(lock);
}

#endif
