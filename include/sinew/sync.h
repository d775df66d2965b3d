/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Locks between tasks: they suspend the task, never the worker. First come, first served; no barging.
 *
 * All are plain structs that may be static or on a stack. They need no destroy, but must be inited before use, must not
 * be moved or copied after, and may end only when every call that waits on them has returned: who comes back from a
 * wait may end the object at once, also while the one who let it go is still inside of its call.
 *
 * Every call that waits is for tasks (-EPERM otherwise) unless it says "any thread"; all others are for any thread. A
 * wait that is cancelled or timed out leaves nothing behind: it has taken nothing, and what was on its way to the
 * caller goes to the next in line. NULL gives -EINVAL, or false, or is ignored by what returns nothing.
 *
 * They are for the tasks of one runtime; threads outside of it may post, unlock and set, too.
 *
 * Deadlock. When every task waits, and no timer, I/O or blocking call is under way, nothing inside can wake one. The
 * runtime then reports a deadlock (see sinew_run), unless the process has other threads than this runtime's, which
 * might wake one: as long as there is any, also the main thread while sinew_run is called in another one, or another
 * runtime's workers, it waits for them. A program's own signal handler does not count; those of sinew/signal.h do, and
 * so does a task that waits for a signal.
 */
#ifndef SINEW_SYNC_H
#define SINEW_SYNC_H

#include <sinew/base.h>

SINEW_BEGIN_DECLS

/* A counting semaphore (asyncio.Semaphore, asyncio.BoundedSemaphore). */
typedef struct sinew_sem {
    uint64_t opaque_[6];
} sinew_sem;

/* Starts with `permits` permits; there may be up to UINT_MAX. Never suspends. */
SINEW_API void sinew_sem_init(sinew_sem *s, unsigned permits);

/* The same for a semaphore that never holds more than these; one that starts with 0 can never be posted. 0, or -EINVAL
 * for NULL. Never suspends. */
SINEW_API int sinew_sem_init_bounded(sinew_sem *s, unsigned permits);

/* Takes a permit; suspends while there is none or others wait already. 0; -ECANCELED or -ETIMEDOUT: no permit was
 * taken, and one on its way to the caller goes to the next waiter; -EPERM. */
SINEW_API int sinew_sem_wait(sinew_sem *s);

/* Takes a permit without waiting: 0, or -EAGAIN. */
SINEW_API int sinew_sem_trywait(sinew_sem *s);

/* Returns a permit, to the longest waiter if there is one. 0; -EOVERFLOW: it would be one above what a bounded
 * semaphore started with, or above UINT_MAX, and nothing was done. Never suspends. */
SINEW_API int sinew_sem_post(sinew_sem *s);

/* Would sinew_sem_wait have to wait now? Never suspends. */
SINEW_API bool sinew_sem_locked(sinew_sem *s);

/* A mutual exclusion lock: not recursive, and any task may unlock it (asyncio.Lock). */
typedef struct sinew_mutex {
    sinew_sem sem_;
} sinew_mutex;

SINEW_API void sinew_mutex_init(sinew_mutex *m);
/* Locks; suspends while it is locked. 0, -ECANCELED, -ETIMEDOUT (not locked then), -EPERM. */
SINEW_API int sinew_mutex_lock(sinew_mutex *m);
/* 0, or -EBUSY. Never suspends. */
SINEW_API int sinew_mutex_trylock(sinew_mutex *m);
/* Unlocks; hands the lock to the longest waiter. 0, or -EPERM when it was not locked. Never suspends. */
SINEW_API int sinew_mutex_unlock(sinew_mutex *m);
/* Is it locked, or already on its way to a waiter? Never suspends. */
SINEW_API bool sinew_mutex_locked(const sinew_mutex *m);

/*
 * A condition of what a mutex guards (asyncio.Condition).
 *
 *     sinew_mutex_lock(&m);
 *     int r = 0;
 *     while (r == 0 && !ready)
 *         r = sinew_cond_wait(&c, &m);
 *     if (r == 0) ...                     // ready, and the mutex is held
 *     sinew_mutex_unlock(&m);             // also when r < 0
 */
typedef struct sinew_cond {
    uint64_t opaque_[3];
} sinew_cond;

/* A condition of what `m` guards; `m` is inited already and must last as long. 0, -EINVAL. Never suspends. */
SINEW_API int sinew_cond_init(sinew_cond *c, sinew_mutex *m);

/*
 * Unlocks the mutex, suspends until notified, locks it again. `m` is the one that was given to init and is locked. May
 * return 0 without a notification meant for the caller: look again.
 * 0; -ECANCELED or -ETIMEDOUT: with the mutex locked again, however long that takes, and a notification that had
 * reached the caller goes to the next waiter. Without having waited, and with the mutex as it was: -EINVAL (another
 * mutex), -EPERM (it is not locked, or the caller is no task).
 */
SINEW_API int sinew_cond_wait(sinew_cond *c, sinew_mutex *m);

/* Waits until predicate(arg), called with the mutex locked, is true; does not suspend if it is. Returns as
 * sinew_cond_wait: 0 means true. -EINVAL also for a predicate that is NULL. */
SINEW_API int sinew_cond_wait_for(sinew_cond *c, sinew_mutex *m, bool (*predicate)(void *arg), void *arg);

/* Lets up to n waiters go, the longest ones; they queue for the mutex, which the caller must have locked, and return
 * one after the other once it has unlocked. 0, or -EPERM when the mutex is not locked. Never suspends. */
SINEW_API int sinew_cond_notify(sinew_cond *c, size_t n);

/* The same for all waiters. */
SINEW_API int sinew_cond_notify_all(sinew_cond *c);

/*
 * A flag to wait for (asyncio.Event).
 *
 *     sinew_event_wait(&started);         // in some tasks
 *     sinew_event_set(&started);          // in another: all of them go on
 */
typedef struct sinew_event {
    uint64_t opaque_[7];
} sinew_event;

/* Begins not set. */
SINEW_API void sinew_event_init(sinew_event *e);

/* Sets it; all who wait now return, in the order they came, even if it is cleared before they run. 0. Never suspends.
 */
SINEW_API int sinew_event_set(sinew_event *e);

/* Makes later waits wait again. 0. Never suspends. */
SINEW_API int sinew_event_clear(sinew_event *e);

SINEW_API bool sinew_event_is_set(const sinew_event *e);

/* Waits until it is set; does not suspend when it is. 0, -ECANCELED, -ETIMEDOUT. Any thread: one that is no task is
 * blocked, and nothing cancels it; -EPERM in an error handler. */
SINEW_API int sinew_event_wait(sinew_event *e);

/*
 * A lock that many readers or one writer hold. Fair: who waits is served in the order of coming, so a waiting writer
 * keeps new readers out; readers that wait next to each other enter together. Not recursive: a second read_lock in one
 * task deadlocks when a writer came in between. Any task may unlock.
 */
typedef struct sinew_rwlock {
    uint64_t opaque_[5];
} sinew_rwlock;

SINEW_API void sinew_rwlock_init(sinew_rwlock *l);

/* Locks; suspends while a writer holds it or anybody waits already. 0, -ECANCELED, -ETIMEDOUT (not locked then),
 * -EPERM. */
SINEW_API int sinew_rwlock_read_lock(sinew_rwlock *l);

/* Locks; suspends while anybody holds it. Returns as sinew_rwlock_read_lock. */
SINEW_API int sinew_rwlock_write_lock(sinew_rwlock *l);

/* The same without waiting: 0, or -EBUSY. Never suspend. */
SINEW_API int sinew_rwlock_try_read_lock(sinew_rwlock *l);
SINEW_API int sinew_rwlock_try_write_lock(sinew_rwlock *l);

/* Unlock, and let in who is next. 0, or -EPERM when it is not locked in this way. Never suspend. */
SINEW_API int sinew_rwlock_read_unlock(sinew_rwlock *l);
SINEW_API int sinew_rwlock_write_unlock(sinew_rwlock *l);

/*
 * A place where tasks wait until so many have come; can be used again at once (asyncio.Barrier).
 *
 *     for (int step = 0; step < steps; step++) {
 *         compute(step, part);
 *         if (sinew_barrier_wait(&b) == 0)    // one of them
 *             report(step);
 *     }
 */
typedef struct sinew_barrier {
    uint64_t opaque_[7];
} sinew_barrier;

/* For `parties` tasks: 0, or -EINVAL when that is below 1. Never suspends. */
SINEW_API int sinew_barrier_init(sinew_barrier *b, int parties);

/*
 * Suspends until `parties` tasks are here; the last to come does not suspend and lets all go. Returns 0 to parties - 1,
 * each to one of them, in the order they came. -ECONNABORTED: the barrier is broken, or was reset meanwhile;
 * -ECANCELED, -ETIMEDOUT: the caller does not count as one who came (unless all had come: then the others go on without
 * it), and the barrier is not broken; -EPERM.
 */
SINEW_API int sinew_barrier_wait(sinew_barrier *b);

/* Who waits now returns -ECONNABORTED; the barrier begins anew, not broken. 0. Never suspends. */
SINEW_API int sinew_barrier_reset(sinew_barrier *b);

/* Breaks it: who waits now, and who comes until the next reset, returns -ECONNABORTED. 0. Never suspends. */
SINEW_API int sinew_barrier_abort(sinew_barrier *b);

/* How many it takes, how many wait now, and whether it is broken. -EINVAL, -EINVAL and false for NULL. */
SINEW_API int sinew_barrier_parties(const sinew_barrier *b);
SINEW_API int sinew_barrier_n_waiting(const sinew_barrier *b);
SINEW_API bool sinew_barrier_broken(const sinew_barrier *b);

/*
 * Something that is to be done once, by whoever comes first. Begins as SINEW_ONCE_INIT.
 *
 *     static sinew_once opened = SINEW_ONCE_INIT;
 *     intptr_t fd = sinew_once_run(&opened, open_log, path);
 */
typedef struct sinew_once {
    uint64_t opaque_[9];
} sinew_once;

/* clang-format off */
#define SINEW_ONCE_INIT {{0}}
/* clang-format on */

/*
 * The first caller runs fn(arg), in its own task; callers meanwhile wait for the end. A result >= 0 is kept, and this
 * call and all later ones return it without suspending. If it fails (a result < 0, so also when it is cancelled), that
 * caller returns the error, and the longest waiter, or the next caller, runs its own fn.
 * May suspend, and as `fn` does. -ECANCELED, -ETIMEDOUT: cancelled while waiting for another, which goes on; -EDEADLK
 * when fn calls it again; -EINVAL for fn NULL; -EPERM outside of a task while it is not done.
 */
SINEW_API intptr_t sinew_once_run(sinew_once *once, sinew_fn fn, void *arg);

/*
 * A count to wait for until it is zero; never counts up again (std::latch).
 *
 *     sinew_latch_init(&ready, 3);
 *     ...                                 // three others, tasks or threads: sinew_latch_count_down(&ready, 1)
 *     sinew_latch_wait(&ready);
 */
typedef struct sinew_latch {
    uint64_t opaque_[7];
} sinew_latch;

SINEW_API void sinew_latch_init(sinew_latch *l, unsigned count);

/* Counts down by n; at zero all who wait return. 0, or -ERANGE, and nothing is done, when n is more than is left. Never
 * suspends. */
SINEW_API int sinew_latch_count_down(sinew_latch *l, unsigned n);

/* Waits for zero; does not suspend when it is reached. 0, -ECANCELED, -ETIMEDOUT. Any thread: one that is no task is
 * blocked, and nothing cancels it; -EPERM in an error handler. */
SINEW_API int sinew_latch_wait(sinew_latch *l);

/* Is zero reached? 0, or -EAGAIN. Never suspends. */
SINEW_API int sinew_latch_try_wait(sinew_latch *l);

SINEW_END_DECLS
#endif
