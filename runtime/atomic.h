/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The seam for atomics, fences and pauses: everything in runtime/ and io/ that two threads may touch at once goes
 * through <stdatomic.h> as included here, so that an explorer can put its own memory in its place.
 *
 * Asymmetric fences. Several protocols are "I store mine, then look at yours; you store yours, then look at mine"
 * (Dekker), with one side hot and the other rare: a worker touching its own run queue against a thief, a spawn against
 * a worker going to sleep. Such pairs need a full fence on both sides. sn_fence_hot() stands on the hot side and is a
 * compiler barrier while sn_fence_asymmetric is set; sn_fence_rare() stands on the rare side and then runs a barrier on
 * every running thread of the process (membarrier(2), private expedited: about 10 us when others run, 0.3 us when not,
 * against 2 ns for each fence it saves). Where the kernel refuses membarrier, both are ordinary seq_cst fences. The
 * flag is set once, before the first worker starts.
 */
#ifndef SN_ATOMIC_H
#define SN_ATOMIC_H

#include "runtime/base.h"

#include <stdatomic.h>

#define sn_load(p, order)        atomic_load_explicit((p), memory_order_##order)
#define sn_store(p, v, order)    atomic_store_explicit((p), (v), memory_order_##order)
#define sn_exchange(p, v, order) atomic_exchange_explicit((p), (v), memory_order_##order)
#define sn_add(p, v, order)      atomic_fetch_add_explicit((p), (v), memory_order_##order)
#define sn_sub(p, v, order)      atomic_fetch_sub_explicit((p), (v), memory_order_##order)
#define sn_or(p, v, order)       atomic_fetch_or_explicit((p), (v), memory_order_##order)
#define sn_and(p, v, order)      atomic_fetch_and_explicit((p), (v), memory_order_##order)
#define sn_cas(p, expected, v, order) \
    atomic_compare_exchange_strong_explicit((p), (expected), (v), memory_order_##order, memory_order_acquire)

/* A counter that one thread writes and others may read: no read-modify-write, so it costs as much as a plain one. */
#define sn_bump(p, v) sn_store((p), sn_load((p), relaxed) + (v), relaxed)

extern bool sn_fence_asymmetric __attribute__((visibility("hidden")));

/* Registers the process for membarrier; idempotent, called by the first runtime of a process (and of a forked child).
 */
void sn_fence_init(void);

void sn_fence_rare(void);

SN_INLINE void sn_fence_hot(void)
{
    if (SN_LIKELY(sn_fence_asymmetric))
        atomic_signal_fence(memory_order_seq_cst);
    else
        atomic_thread_fence(memory_order_seq_cst);
}

/* A pause inside a bounded spin. */
SN_INLINE void sn_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

#endif
