/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tasks. A descriptor is one cache line from a pool; a task gets a fiber when it starts, or runs in place on the one
 * that awaits it.
 *
 *   FREE --spawn--> NEW --start--> STARTED --finish--> DONE --last reference--> FREE
 *                    `----cancel seen at start, no stack----^
 *
 *   NEW       in exactly one run queue (or pinned queue, inbox). Who takes it out starts it; there is no other arbiter.
 *   STARTED   fn is running or suspended on `fiber`
 *   DONE      result is valid; published by the waiters word
 *
 * References: one for each handle, and one that belongs to the execution from spawn to finish.
 *
 * waiters: the list of those who wait, with a lock in its lowest bit and DONE in the next one. DONE is set before the
 * first of them is fired, so whoever was woken finds the task done, and final; the lock goes when all were fired.
 *   W1  finish: cas(0 -> DONE) acq_rel, or lock + store DONE | LOCK release    publishes `result`
 *   W2  any reader: load acquire & DONE                                        sees `result`
 *   W3  add, remove: lock by cas acquire, unlock by store release       the list
 *   A node is fired with the lock held, so that remove (which takes the lock) never returns while its node is in use.
 *
 * cancel: a word of counts and flags; see cancel.h.
 *
 * In-place fast path: a task whose only references are the awaiter's and the execution's cannot have waiters, and
 * nobody else can make a reference any more; so it is finished and freed without any read-modify-write
 * (sn_task_run_in_place).
 */
#ifndef SN_TASK_H
#define SN_TASK_H

#include "runtime/worker.h"

#include <sinew/task.h>

enum { SN_TASK_FREE, SN_TASK_NEW, SN_TASK_STARTED, SN_TASK_DONE };

/* Flags. */
enum {
    SN_TASK_PINNED = 1,    /* never in place, never stolen */
    SN_TASK_OWN_STACK = 2, /* ext->stack_bytes asks for so much */
    SN_TASK_GROUP = 4,     /* ext->group wants to know when it ends */
    SN_TASK_HELPER = 8,    /* of a map, which wants to know the same */
    SN_TASK_FUTURE = 16,   /* no body: future.h */
    SN_TASK_ASKED = 32,    /* its result was asked for: an error need not be reported. Set late, by anyone */
    SN_TASK_CALLBACK = 64, /* runs a callback: begins also when the runtime ends, and is then cancelled like others */
    SN_TASK_WAVE = 0x80,   /* the parity of the shutdown wave it was spawned in */
};

#define SN_TASK_STATE_SHIFT 48
#define SN_TASK_FLAGS_SHIFT 56

typedef struct sn_waiter sn_waiter;
struct sn_waiter {
    sn_waiter *next, *previous;                       /* both ways: one of very many is taken out of the middle */
    void (*fire)(sn_waiter *waiter, intptr_t result); /* with the waiters lock held: touches the node last of all */
};

/* What only some tasks have. */
typedef struct sn_task_ext {
    char *name;                              /* owned; name.c */
    sinew_task *named_next, *named_previous; /* under the lock of names */
    struct sn_context_values *values;        /* task-local ones, owned; local.h */
    struct sn_origin *origin;                /* owned; origin.h */
    size_t stack_bytes;
    struct sn_group *group;
    sinew_task *sibling_next, *sibling_previous; /* under the group's lock */
    sn_message message;                          /* pinned, not started */
} sn_task_ext;

struct sinew_task {
    _Atomic uintptr_t waiters;
    union {
        struct {
            _Atomic uint32_t references;
            _Atomic uint32_t cancel;
        };
        _Atomic uint64_t references_and_cancel; /* both at once, where nobody else may change them */
    };
    union {
        sinew_fn fn;     /* until it starts */
        intptr_t result; /* once DONE */
    };
    void *arg;
    _Atomic(sn_fiber *) fiber; /* once started; stays set */
    sn_task_ext *ext;
    union {
        struct {
            uint32_t queue_position; /* where the run queue has it; judged by the queue's slot, so may be stale */
            _Atomic uint16_t queue_worker;
            uint8_t state; /* written by who starts and finishes it */
            uint8_t flags; /* fixed once it is queued */
        };
        uint64_t place; /* all four */
    };
    sinew_task *next; /* pool */
};
/* A descriptor in the pool has waiters 0 and no ext, so that spawning need not write them; `fiber` may be an old one,
 * which a cancel may wake in vain (cancel.h: as good as none). */

_Static_assert(sizeof(sinew_task) == SN_CACHE_LINE, "a task descriptor is one cache line");

#define SN_WAITERS_LOCK ((uintptr_t)1)
#define SN_WAITERS_DONE ((uintptr_t)2)

/* The pool of a runtime. */
struct sn_task_pool *sn_task_pool_new(sn_runtime *rt);
void sn_task_pool_destroy(struct sn_task_pool *pool);
sinew_task *sn_task_pool_get(struct sn_task_pool *pool); /* from any thread; NULL: no memory */
/* All descriptors that were ever in use, while they go on changing. Any thread. */
void sn_task_pool_visit(struct sn_task_pool *pool, void (*visit)(const sinew_task *t, void *arg), void *arg);
bool sn_task_pool_refill(sn_worker *w);
/* Gives what the worker has too much of back to the runtime's pool. */
void sn_task_pool_balance(sn_worker *w);
void sn_task_pool_put(struct sn_task_pool *pool, sinew_task *t); /* from any thread */

/* Making a task: sn_task_make in task_hot.h. */
sn_task_ext *sn_task_extend(sinew_task *t); /* NULL: no memory. Any thread that has a reference */
void sn_task_free_ext(sinew_task *t);

/* Queues a NEW task on the calling worker. The caller has made sure of room: sn_runq_reserve. */
void sn_task_push(sn_worker *w, sinew_task *t);
/* The same of one that is not pinned, and wakes nobody: for what is to run when the caller suspends, and costs more on
 * another worker than it gains. */
void sn_task_push_quietly(sn_worker *w, sinew_task *t);

/* A fiber that will start the task when it is switched to; NULL: no stack could be had, and the task has ended with
 * -ENOMEM. */
sn_fiber *sn_task_fiber(sn_worker *w, sinew_task *t);

/* May the task run on this fiber, which is between tasks? */
bool sn_task_fits(const sn_fiber *f, const sinew_task *t);

/* Starts the task on the running fiber and finishes it. */
void sn_task_run(sn_fiber *f, sinew_task *t);

/* Makes a task that has ended known as such, and fires its waiters. */
void sn_task_publish(sinew_task *t, intptr_t result);

/* Ends a task: settles the result with cancels that came too late to be delivered, publishes it, fires the waiters,
 * drops the execution's reference. Returns the result. */
intptr_t sn_task_finish(sinew_task *t, intptr_t result);

/* Room for an in-place run on this fiber's stack? */
SN_INLINE bool sn_task_has_room(const sn_worker *w, const sn_fiber *f)
{
    return sn_stack_left(f) >= w->runtime->in_place_bytes;
}

void sn_task_unref(sinew_task *t);

/* Whose task it is; NULL: a future, which is nobody's. */
sn_runtime *sn_task_runtime(const sinew_task *t);

/* May tasks of this worker's runtime not wait for it? */
SN_INLINE bool sn_task_is_foreign(const sn_worker *w, const sinew_task *t)
{
    const sn_runtime *rt = sn_task_runtime(t);
    return SN_UNLIKELY(rt != w->runtime && rt != NULL);
}

SN_INLINE bool sn_task_done(const sinew_task *t)
{
    return sn_load(&((sinew_task *)(uintptr_t)t)->waiters, acquire) & SN_WAITERS_DONE; /* W2 */
}

/* The list, locked; or DONE, which is final, when all who waited have been fired. */
uintptr_t sn_task_lock_waiters(sinew_task *t);
void sn_task_unlock_waiters(sinew_task *t, uintptr_t list);

/* Takes one out of a list that is locked. */
SN_INLINE void sn_waiters_unlink(sn_waiter **newest, sn_waiter *w)
{
    *(w->previous ? &w->previous->next : newest) = w->next;
    if (w->next)
        w->next->previous = w->previous;
}

/* False: the task has ended, `w` was not added. */
bool sn_task_add_waiter(sinew_task *t, sn_waiter *w);
/* Of one that was added. False: it has fired. */
bool sn_task_remove_waiter(sinew_task *t, sn_waiter *w);

/* Debug builds: stops if the handle was used up. `consumes`: the call wants a reference of its own, so that the one of
 * the execution (all that a borrowed sinew_self() may have) does not count. */
SN_INLINE void sn_task_check_handle(const char *call, const sinew_task *t, bool consumes)
{
#if SN_DEBUG
    if (t->flags & SN_TASK_FUTURE)
        return; /* those are also held by handles of their own */
    uint32_t references = sn_load(&((sinew_task *)(uintptr_t)t)->references, acquire);
    SN_CHECK(references > 1 || (references == 1 && (!consumes || sn_task_done(t))),
             "%s: this task handle was used up before (by await, gather, detach, ...); take a sinew_ref first if you "
             "need it twice",
             call);
#endif
    (void)call;
    (void)t;
    (void)consumes;
}

#endif
