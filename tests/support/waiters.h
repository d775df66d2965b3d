/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A task in one wait, as data: what it waits for, in which order it came through, and what came of it.
 *
 * From a pinned body (IN_RUNTIME_PINNED) a waiter is in its wait when waiter_start returns, and once granted does not
 * go on before the body suspends: what happens between a grant and the waiter's going on is the body's to choose.
 */
#ifndef TESTS_SUPPORT_WAITERS_H
#define TESTS_SUPPORT_WAITERS_H

#include <tests/support/run.h>
#include <tests/support/tasks.h>

struct waiter {
    int (*wait)(void *object);
    int (*give)(void *object); /* called when the wait has succeeded; NULL: nothing to give back */
    void *object;
    event_log *log; /* NULL: none */
    int number;
    int result; /* of the wait; 1000 while it lasts */
    int after;  /* of a checkpoint after it: is anything left to be delivered? */
    sinew_task *task;
};

enum { STILL_WAITING = 1000 };

static inline intptr_t waiter_body(void *arg)
{
    struct waiter *w = arg;
    w->result = w->wait(w->object);
    if (w->log)
        log_event(w->log, w->number);
    if (w->result >= 0 && w->give)
        CHECK_EQ(w->give(w->object), 0);
    w->after = sinew_yield();
    return w->result;
}

/* `like` says all but the number. */
static inline void waiter_start(struct waiter *w, const struct waiter *like, int number)
{
    *w = *like;
    w->number = number;
    w->result = STILL_WAITING;
    sinew_spawn_options opt = {.pinned = true, .eager = true};
    w->task = sinew_spawn_with(&opt, waiter_body, w);
    CHECK_EQ(w->result, STILL_WAITING);
    CHECK(w->task && !sinew_done(w->task));
}

static inline void waiters_start(struct waiter *w, const struct waiter *like, int n)
{
    for (int i = 0; i < n; i++)
        waiter_start(&w[i], like, i);
}

/* Its end, and that nothing is left to be delivered to it. */
static inline int waiter_end(struct waiter *w)
{
    intptr_t r = sinew_await(w->task);
    CHECK_EQ(r, w->result);
    CHECK_EQ(w->after, 0);
    return w->result;
}

/* Lets everything run that can. */
static inline void settle(void)
{
    for (int i = 0; i < 10; i++)
        CHECK_EQ(sinew_yield(), 0);
}

static inline void log_is(event_log *log, const int *events, int n)
{
    CHECK_EQ(atomic_load(&log->n), n);
    for (int i = 0; i < n; i++)
        CHECK_EQ(log->events[i], events[i]);
}

/* Has another pinned task run since it was started? */
static inline intptr_t witness_body(void *flag)
{
    atomic_store((atomic_int *)flag, 1);
    return 0;
}

/* Does the call not suspend? From a pinned body, also with a cancel pending. */
static inline void does_not_suspend(int (*call)(void *object), void *object)
{
    atomic_int others = 0;
    sinew_task *witness = spawn_pinned(witness_body, &others);
    CHECK_EQ(call(object), 0);
    CHECK_EQ(others, 0);
    CHECK(sinew_cancel(sinew_self()));
    CHECK_EQ(call(object), 0);
    CHECK_EQ(others, 0);
    CHECK_EQ(sinew_uncancel(), 0);
    CHECK_EQ(sinew_await(witness), 0);
}

#endif
