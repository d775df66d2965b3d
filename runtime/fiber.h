/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fibers: a stack and where it stands. A fiber runs tasks, one after the other, as plain calls; a task that suspends
 * keeps the fiber it is on, and whatever was nested on that fiber (tasks that awaited it in place) is suspended with
 * it.
 *
 * Waking. One atomic word: a count of wakes (by twos) and, in the lowest bit, PARKED. `seen` is the owner's: the last
 * count it has acquired.
 *
 *        get                  park, after the switch              unpark
 *  pooled ----> RUNNING -------------------------------> PARKED ---------> queued
 *   ^   put      |   ^  (fails if the count has moved:                       |
 *   +------------+   |   then it is queued at once)                          |
 *                    +------------------- resume ----------------------------+
 *
 *   RUNNING   on a worker or queued by a yield: an unpark moves the count, and nothing else
 *   PARKED    nobody runs it and nobody queued it: the one whose unpark clears the bit queues it
 *
 * A wake is only a hint: every wait is a loop that looks at its own condition, so a spurious wake is harmless, and
 * fibers are never unmapped while their runtime lives, so a late one is too.
 *
 * Orderings
 *   U  unpark: cas loop acq_rel                  releases the condition stored before it; a read-modify-write also when
 * the fiber is not parked, so that the newest condition is released too P  park: cas(seen -> seen | PARKED) acq_rel
 * after the switch, by who runs next: registers are saved by then R  resume, and a park that need not suspend: seen =
 * load acquire    acquires every U it counts The owner looks at its condition after R and parks only from the count of
 * R: a U in between makes P fail. So each U is seen by R or queues the fiber.
 */
#ifndef SN_FIBER_H
#define SN_FIBER_H

#include "runtime/atomic.h"
#include "runtime/context.h"
#include "runtime/message.h"
#include "runtime/sanitizer.h"

typedef struct sn_fiber sn_fiber;
typedef struct sn_worker sn_worker;
typedef struct sn_runtime sn_runtime;

#define SN_FIBER_PARKED 1u
#define SN_FIBER_WAKE   2u /* one */

/*
 * A task that runs in place on top of another one. `poll` passes a cancel of the outer task on to what the outer task
 * waits for; the innermost task calls it, since only it can (see cancel.c).
 */
typedef struct sn_frame sn_frame;
struct sn_frame {
    sn_frame *outer;
    sinew_task *task; /* the outer task: the one that waits */
    void (*poll)(sn_frame *frame);
    int saved_errno; /* the outer task's */
#if SN_ASAN
    void *stack; /* where this would lie on the stack, without fake stacks */
#endif
};

/* Work that a nested call would do after the task it runs in place, and that somebody else must be offered when that
 * task suspends. */
typedef struct sn_split sn_split;
struct sn_split {
    sn_split *outer;
    void (*offer)(sn_split *split);
    bool offered;
};

/* Lies at the high end of its stack, on lines of its own. The first line is what every switch and wake touches. */
struct sn_fiber {
    sn_context context;    /* while it does not run */
    sinew_task *task;      /* the innermost task; NULL between tasks */
    sn_frame *frame;       /* the innermost in-place call; NULL when none */
    sn_split *split;       /* the innermost; offered ones are all outside of those not offered */
    sn_fiber *side_caller; /* continue there when this fiber suspends or ends */
    sn_runtime *runtime;
    _Atomic uint32_t wakes;
    uint32_t seen;
    int saved_errno;
    int16_t pinned; /* worker index, or -1 */
    bool fresh;     /* a task was started here since the last park: see cancel.c */
    bool slice;     /* side_caller has only given way: see fair.h */

    bool escaped;             /* a side call returned because its fiber suspended */
    sinew_task *start;        /* what to run next, set by who switches to a pooled fiber */
    void (*entry)(void *arg); /* instead of `start`: the body of a side call */
    void *entry_arg;
    sn_fiber *next;     /* pool */
    sn_message message; /* to a worker, while it is ready there */
    char *stack_low;    /* lowest usable byte */
    size_t stack_bytes; /* address space, guard included */
#if SN_DEBUG
    struct sn_group *open_groups;
    int32_t open_inner; /* timeout scopes and as_completed iterations that have begun and not ended */
#endif
#if SN_ASAN
    void *asan_fake_stack;
#endif
#if SN_TSAN
    void *tsan_context;
#endif
};

/* Records a wake, and queues the fiber if it was parked. Any thread. `f` may be a finished task's: then nothing
 * happens. */
void sn_unpark(sn_fiber *f);
/* The same after storing 1 to *done: from then on the task may go on and end, and all of it be gone. Threads outside of
 * the runtime are its guests meanwhile (worker.h). */
void sn_unpark_done(sn_fiber *f, _Atomic uint32_t *done);

/* R: takes note of all wakes so far. The caller looks at its conditions again before it parks. */
SN_INLINE void sn_fiber_see(sn_fiber *f)
{
    f->seen = sn_load(&f->wakes, acquire); /* R */
    sn_tsan_acquire(f);
}

/* A pooled or new fiber with a stack of `stack_bytes` (0: the default); NULL: no memory. */
sn_fiber *sn_fiber_get(sn_worker *w, size_t stack_bytes);
void sn_fiber_put(sn_worker *w, sn_fiber *f);

/* Runs entry(arg) on another fiber, at once. When that fiber suspends, the call returns and entry goes on by itself
 * later. */
typedef enum sn_side { SN_SIDE_ENDED, SN_SIDE_SUSPENDED, SN_SIDE_NO_MEMORY } sn_side;
sn_side sn_side_call(sn_fiber *caller, size_t stack_bytes, void (*entry)(void *arg), void *arg);

/* On the fiber of a side call: has it suspended since, so that the caller has gone on? (A slice's giver is not that
 * caller.) */
SN_INLINE bool sn_side_left(const sn_fiber *f)
{
    return !f->side_caller || f->slice;
}

/* Debug builds: a scope or an iteration begins or ends. */
SN_INLINE void sn_count_open(sn_fiber *f, int change)
{
#if SN_DEBUG
    f->open_inner += change;
#else
    (void)f;
    (void)change;
#endif
}

/* Bytes between the current stack pointer and the low end of the fiber's stack. */
SN_INLINE size_t sn_stack_left(const sn_fiber *f)
{
    return (size_t)((char *)__builtin_frame_address(0) - f->stack_low);
}

#endif
