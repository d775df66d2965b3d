/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stacks: address space by the slab, guard pages, pools.
 *
 * The default size comes in slabs of many stacks; other sizes are mapped one by one and pooled by size. A stack is
 * [guard page | ... grows down ... | fiber struct | colour], and the struct lies at the high end. The colour (0..31
 * cache lines, by index) spreads the hot ends of many stacks over the sets of the first-level cache, which would
 * otherwise all compete for one.
 *
 * Guards, best first, probed once: MADV_GUARD_INSTALL (no mapping of its own, so a million work; a batch of stacks in
 * one process_madvise), then mprotect up to GUARDS_MPROTECT_MAX mappings (the kernel's max_map_count is 65,530), then a
 * canary word that is checked when the stack goes back to the pool.
 *
 * Pools: each worker keeps a list; what overflows goes to the runtime's list, from which an idle worker gives pages
 * back to the kernel (the stack is then "bare": nothing of the fiber survives, not even the struct). Slabs live as long
 * as the runtime: a late unpark of a finished fiber must find memory.
 */
#ifndef SN_STACK_H
#define SN_STACK_H

#include "runtime/fiber.h"

#include <ck_spinlock.h>

typedef struct sn_slab {
    struct sn_slab *next;
    char *base;
    size_t stack_bytes;
    uint32_t count;
    _Atomic uint32_t carved; /* stacks handed out at least once: [0, carved) */
} sn_slab;

/* The runtime's part. */
typedef struct sn_stacks {
    ck_spinlock_t lock;
    size_t stack_bytes; /* the default size */
    _Atomic(sn_slab *) slabs, odd_slabs;
    sn_fiber *odd[48];             /* pooled stacks of other sizes, by the logarithm of the size */
    sn_fiber *pooled;              /* fibers whose memory is still committed */
    _Atomic uint64_t pooled_count; /* written under the lock */
    uint64_t unused;               /* the least that count was since the window began */
    uint64_t surplus;              /* still to be given back: what lay unused for a whole window */
    sinew_time window_end;
    uint64_t trimming; /* stacks being given back, for which `bare` has room */
    char **bare;       /* bases of stacks whose pages were given back */
    uint64_t bare_count, bare_capacity;
} sn_stacks;

typedef enum sn_guard { SN_GUARD_NONE, SN_GUARD_MADVISE, SN_GUARD_MPROTECT, SN_GUARD_CANARY } sn_guard;

void sn_stacks_init(sn_stacks *s, size_t stack_bytes);
void sn_stacks_destroy(sn_stacks *s);

/* Fills the worker's empty pool; false: no memory. */
bool sn_stacks_refill(sn_worker *w);
/* Takes `count` fibers off the worker's pool. */
void sn_stacks_overflow(sn_worker *w, unsigned count);
/* Called by a worker about to sleep: gives the pages of some stacks back that lay in the pool unused for a second.
 * Returns when it wants to be called again. */
sinew_time sn_stacks_trim(sn_stacks *s);

/* A fiber with a stack of another size (a power of two); NULL: no memory. */
sn_fiber *sn_stacks_get_odd(sn_runtime *rt, size_t stack_bytes);
void sn_stacks_put_odd(sn_fiber *f);

/* Calls visit for each fiber that has been made, pooled ones included. */
void sn_stacks_visit(sn_stacks *s, void (*visit)(sn_fiber *f, void *arg), void *arg);

/* Is `address` in the guard of this fiber's stack (or just below)? For the fault handler. */
bool sn_stack_in_guard(const sn_fiber *f, const void *address);

/* Gives the pages below the caller's frame back; the caller stands on this fiber's stack, or nothing happens. */
void sn_stack_trim(const sn_fiber *f);

/* Checks the canary of a stack without a guard page. */
void sn_stack_check(const sn_fiber *f);

/* In fiber.c: makes the context of a fresh stack, so that a switch to it starts the fiber's main loop. */
void sn_fiber_make(sn_fiber *f);

#endif
