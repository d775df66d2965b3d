/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workers and the runtime that owns them. What each field belongs to is said beside it; "owner" is the worker's thread.
 *
 * Hazard: a fiber may go on in another thread after any call that switches. `sn_worker_self()` must then be asked
 * again; nothing taken from thread-local storage may live across. The compilers cache thread-local addresses across
 * calls, so the accessor reads through a volatile asm, which they may not.
 */
#ifndef SN_WORKER_H
#define SN_WORKER_H

#include "runtime/blocking.h"
#include "runtime/driver.h"
#include "runtime/fiber.h"
#include "runtime/idle.h"
#include "runtime/random.h"
#include "runtime/runq.h"
#include "runtime/stack.h"
#include "runtime/timer.h"

#include <sinew/runtime.h>

#include <ck_stack.h>
#include <pthread.h>
#include <signal.h>

enum {
    SN_HELP_NS = 1000000,   /* how often workers look after timers and queues of those that compute */
    SN_STUCK_NS = 100000,   /* who has not looked around for so long is taken to compute: others see to its I/O */
    SN_HELP_IO_NS = 200000, /* how often workers look after the I/O of those that compute */
    SN_LATE_NS = 10000000,  /* timers that are so late show that the process stood still */
    SN_KICKED_NS = 30000,   /* one that was interrupted has let its completions out by then */
    SN_STEAL_MOST = 4096,   /* entries at once */
    SN_STEALS_LOST = 4,     /* to a busy queue, before a thief gives up its CPU for a moment */
    SN_BUDGET = 64,         /* switches between two visits to the scheduler */
    SN_FAIR_NS = 1000000,   /* in-place runs give way to others about this often */
    SN_FIBERS_KEEP = 64,    /* pooled fibers of a worker; twice as many overflow */
    SN_TASKS_BATCH = 256,   /* task descriptors moved between pools at once */
    SN_IN_PLACE_SHARE = 2,  /* in place only while 1/2 of a default stack is left */
    SN_TOKENS = 4,          /* shares of maps that a worker lays out at once */
};

typedef struct sn_counters {
    /* By the parity of the task's wave: see shutdown.c. in_place: finished and freed by the in-place fast path. */
    _Atomic uint64_t spawned[2], in_place[2], finished[2];
    _Atomic uint64_t freed; /* descriptors, the fast path's not counted */
    _Atomic uint64_t in_place_slow, switches, steals, steals_failed, tasks_stolen, parks, wakes, polls, kicks,
        submitted, completed;
    _Atomic int64_t fibers_live;
} sn_counters;

/* A worker's copy of what its hot paths want to know of the runtime. */
#define SN_MODE_STOPPING 1u
#define SN_MODE_WAVE     0x80u /* SN_TASK_WAVE */

struct sn_worker {
    /* owner */
    sn_fiber *fiber; /* what runs now: a fiber, or `sched` */
    sn_runtime *runtime;
    sn_fiber *switch_from; /* who was left: read by who arrives */
    int32_t budget;
    uint32_t index;
    uint32_t number;      /* from 1, never given twice in a process: see lock.h */
    uint64_t place;       /* what is fixed of a new task's */
    _Atomic uint8_t mode; /* SN_MODE_*; written by the shutdown */
    int *errno_location;
    sinew_task *free_tasks;
    uint32_t fibers_count;
    int64_t free_tasks_moved; /* descriptors that came from the runtime's pool, less what went back */
    sn_fiber *fibers;
    _Atomic sinew_time looked_at; /* when this worker last looked around; others see by it whether it computes */
    sinew_time fair_at;           /* the same, or when the running slice began */
    sinew_time helped_at, io_helped_at;
    sinew_time stall_seen_at;   /* worker.c */
    bool timers_held;           /* the same */
    uint64_t timers_held_until; /* the queue's head */
    sn_runq runq;               /* owner and thieves */
    sn_counters counters;       /* written by the owner, read by anyone */

    sn_message *pinned_first, *pinned_last;
    bool searching;
    bool looking;                       /* around: what becomes ready wakes others together, at the end */
    uint32_t spin_debt, spins_left_out; /* idle.c */
    uint32_t steals_lost;               /* worker.c */
    sn_driver *driver;
    sn_worker *opened_next; /* fork.c */
    sn_random random;
    sn_fiber sched; /* the thread's own stack */
    char *alternate_stack;
    stack_t previous_alternate;
    sigset_t mask_before;                          /* kick.c */
    _Atomic(struct sn_standing *) standing_wanted; /* the same */
    volatile sig_atomic_t kickable;                /* the same */
    int thread_result;
    pid_t thread_id;
    pthread_t thread;
    bool thread_started;

    /* everyone */
    sn_timers timers __attribute__((aligned(SN_CACHE_LINE)));
    ck_stack_t inbox __attribute__((aligned(SN_CACHE_LINE)));
    _Atomic(sinew_task *) tokens[SN_TOKENS] __attribute__((aligned(SN_CACHE_LINE))); /* map.c; laid out by the owner */
    _Atomic uint32_t asleep;                                                         /* idle.h */
    sn_worker *idle_next;                                                            /* under the idle lock */
    bool idle_listed;
};

struct sn_runtime {
    sn_worker *workers;
    uint32_t workers_count;
    const sn_driver_ops *driver;
    bool may_fall_back; /* if the kernel refuses it, another one is used */
    bool cpu_each;      /* no more workers than CPUs */
    size_t stack_bytes, in_place_bytes;
    _Atomic uint32_t wave; /* shutdown.c */
    _Atomic uint32_t stopping, stop;
    sn_idle idle;
    sn_stacks stacks;
    struct sn_task_pool *task_pool;
    sinew_task *main_task;
    intptr_t main_result;
    _Atomic uint32_t interrupted; /* SIGINT arrived */
    bool interrupt_handled;
    /* inject.h: counts by the wave's parity, and whether more may come */
    ck_spinlock_t inject_lock;
    bool inject_closed;
    _Atomic uint64_t injected[2];
    /* callback.c */
    ck_spinlock_t callbacks_lock;
    struct sn_callback *callbacks_waiting, *callbacks_fired;
    /* report.h */
    ck_spinlock_t report_lock;
    sinew_error_handler report_handler; /* NULL: a line on stderr */
    void *report_arg;
    bool debug;                     /* sinew_options; origin.h */
    struct sn_slow *slow;           /* slow.h; NULL: nobody watches */
    struct sn_embedding *embedding; /* embed.c; NULL: a sinew_run */
    sn_runtime *next;               /* inspect.c */
    _Atomic uint32_t guests;        /* threads that are not its workers and use it still: sn_guest_enter, join.c */
    bool deadlock_reported;         /* under the next one */
    ck_spinlock_t deadlock_lock;
    _Atomic uint32_t shutdown_requests;
    pthread_barrier_t end; /* all workers have left their loops */
    /* Ready fibers and tasks from other threads: for whichever worker looks around first. */
    ck_stack_t inbox __attribute__((aligned(SN_CACHE_LINE)));
    sn_blocking blocking;
    sn_blocking lookups; /* of names */
};

extern _Thread_local sn_worker *sn_tls_worker __attribute__((tls_model("initial-exec"), visibility("hidden")));

/* The one out-of-line accessor; NULL in a thread that is no worker. */
sn_worker *sn_worker_self_slow(void);

SN_INLINE sn_worker *sn_worker_self(void)
{
#if defined(__x86_64__) && !SN_ASAN && !SN_TSAN
    sn_worker *w;
    __asm__ volatile("movq sn_tls_worker@gottpoff(%%rip), %0\n\tmovq %%fs:(%0), %0" : "=r"(w));
    return w;
#else
    return sn_worker_self_slow();
#endif
}

/* The worker, when the caller is a task; NULL otherwise. */
SN_INLINE sn_worker *sn_worker_of_task(void)
{
    sn_worker *w = sn_worker_self();
    return w && w->fiber->task ? w : NULL;
}

/* Is the caller an error handler on a worker's own stack? There is no task to suspend there, and to block the thread
 * would stop the worker. */
SN_INLINE bool sn_must_not_wait(void)
{
    const sn_worker *w = sn_worker_self();
    return SN_UNLIKELY(w && !w->fiber->task);
}

/*
 * Whoever wakes a task of a runtime, or hands one in, still touches the runtime after that task may have run and ended
 * it: to find and wake a worker. Its own workers are there until all have left their loops; others (plain threads,
 * workers of another runtime) say that they are inside, while the task cannot have gone on yet. Returns what
 * sn_guest_leave wants.
 *
 *   guest                                    the runtime's end
 *   g1 guests + 1                            e1 the last task has ended
 *   g2 grant, unpark, push                   e2 waits for guests == 0   acquire
 *   g3 guests - 1   release                  e3 closes drivers, frees memory
 *
 *   impossible: e2 misses g1 of a guest whose g2 led to e1. g1 happens before g2, and that before e1.
 */
SN_INLINE sn_runtime *sn_guest_enter(sn_runtime *rt)
{
    const sn_worker *w = sn_worker_self();
    if (SN_LIKELY(w && w->runtime == rt))
        return NULL;
    sn_add(&rt->guests, 1, relaxed); /* g1 */
    return rt;
}

SN_INLINE void sn_guest_leave(sn_runtime *rt)
{
    if (SN_UNLIKELY(rt != NULL))
        sn_sub(&rt->guests, 1, release); /* g3; it may be gone after this */
}

/* After a push: must somebody perhaps be woken? sn_wake_one looks more closely. */
SN_INLINE bool sn_wants_notice(sn_worker *w)
{
    sn_fence_hot();
    return sn_load(&w->runtime->idle.word, relaxed) != 0; /* p2; a stale value is covered by s2 */
}

SN_INLINE void sn_notify(sn_worker *w)
{
    if (SN_UNLIKELY(sn_wants_notice(w)))
        sn_wake_one(w->runtime);
}

/* Is there something that any worker could take? A hint, but never false after a push that was seen. */
SN_INLINE bool sn_worker_has_work(sn_worker *w)
{
    bool has = sn_runq_length(&w->runq) != 0;
    for (unsigned i = 0; i < SN_TOKENS; i++)
        has |= sn_load(&w->tokens[i], relaxed) != NULL;
    return has;
}

void sn_pinned_push(sn_worker *w, sn_message *m);

/* Queues a ready fiber on the calling worker. It cannot be refused: without memory for the ring it goes to the pinned
 * queue, whose link it has with it. */
SN_INLINE void sn_push_quietly(sn_worker *w, sn_fiber *f)
{
    if (SN_UNLIKELY(!sn_runq_push(&w->runq, (sn_entry)f | SN_ENTRY_FIBER))) {
        f->message.kind = SN_MESSAGE_FIBER;
        f->message.subject = f;
        sn_pinned_push(w, &f->message);
    }
}

/* The same, and wakes a sleeper if that helps. */
SN_INLINE void sn_push(sn_worker *w, sn_fiber *f)
{
    sn_push_quietly(w, f);
    if (SN_LIKELY(!w->looking))
        sn_notify(w);
}

/* Queues a ready fiber from any thread, on its own worker if it is pinned. */
void sn_ready(sn_fiber *f);

/* With something in the pinned queue: first come, first served between the two. What is pinned goes when all that was
 * in the run queue before it has left. */
sn_entry sn_next_pinned(sn_worker *w);

/* What to run next: from the pinned queue or the run queue; 0 when there is nothing or the budget is used up. */
SN_INLINE sn_entry sn_next(sn_worker *w)
{
    if (SN_UNLIKELY(--w->budget <= 0))
        return 0;
    return SN_UNLIKELY(w->pinned_first != NULL) ? sn_next_pinned(w) : sn_runq_pop(&w->runq);
}

/* Where to switch for an entry that was taken out of a queue. */
sn_fiber *sn_fiber_of_task(sn_worker *w, sn_entry e);
SN_INLINE sn_fiber *sn_fiber_of_entry(sn_worker *w, sn_entry e)
{
    return SN_LIKELY(e & SN_ENTRY_FIBER) ? (sn_fiber *)(e & ~SN_ENTRY_FIBER) : sn_fiber_of_task(w, e);
}

/* Completes I/O of another worker if that one computes. Returns how many, and sets *kick if there is more that only
 * that worker's thread can let out. */
unsigned sn_help_io(sn_worker *w, sn_worker *other, sinew_time now, bool *kick);

/* Fires timers of another worker, which may compute. `since`: when the caller last came to do so. */
void sn_help_timers(sn_worker *w, sn_worker *other, sinew_time since, sinew_time now);

/* Messages, timers, the driver; renews the budget. */
void sn_look_around(sn_worker *w);

/* Puts a message into a worker's inbox and wakes it if it sleeps. Any thread. */
void sn_post(sn_worker *to, sn_message *m);

/* For any worker: it must not lie with one that computes while others sleep. Any thread. */
void sn_post_to_any(sn_runtime *rt, sn_message *m);

/* The worker's loop on its thread's stack, until the runtime stops. */
void sn_worker_loop(sn_worker *w);

#endif
