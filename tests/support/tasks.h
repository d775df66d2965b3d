/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small tasks and helpers that many tests share: gates to hold tasks at a known point, counters to wait on.
 */
#ifndef TESTS_SUPPORT_TASKS_H
#define TESTS_SUPPORT_TASKS_H

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sinew.h>

/* Longer than any test: a sleep that only a cancel or a timeout ends. */
#define VERY_LONG SINEW_S(3600)

/* Gives up the processor until *counter >= n. Requests to cancel the caller are swallowed meanwhile. */
static inline void yield_until(atomic_int *counter, int n)
{
    while (atomic_load(counter) < n)
        sinew_yield();
}

/* Gives up the processor until the task has ended. */
static inline void yield_until_done(const sinew_task *task)
{
    while (!sinew_done(task))
        sinew_yield();
}

static inline sinew_task *spawn_named(const char *name, sinew_fn fn, void *arg)
{
    sinew_spawn_options opt = {.name = name};
    return sinew_spawn_with(&opt, fn, arg);
}

static inline sinew_task *spawn_pinned(sinew_fn fn, void *arg)
{
    sinew_spawn_options opt = {.pinned = true};
    return sinew_spawn_with(&opt, fn, arg);
}

static inline sinew_task *spawn_eager(sinew_fn fn, void *arg)
{
    sinew_spawn_options opt = {.eager = true};
    return sinew_spawn_with(&opt, fn, arg);
}

/* A task that another worker has stolen and begun, if there is one: `begun` is raised by the task, and waited for
 * without a checkpoint. Should nobody come for a second, it may be unstarted. */
static inline sinew_task *spawn_elsewhere(sinew_fn fn, void *arg, atomic_int *begun)
{
    sinew_task *t = sinew_spawn(fn, arg);
    if (sinew_workers() > 1)
        for (sinew_time end = sinew_now() + SINEW_S(1); atomic_load(begun) == 0 && sinew_now() < end;)
            ;
    return t;
}

/* Ends at once with the number given. */
static inline intptr_t return_arg(void *arg)
{
    return (intptr_t)arg;
}

/* Sleeps until something ends it, and returns how. */
static inline intptr_t sleep_very_long(void *arg)
{
    (void)arg;
    return sinew_sleep(VERY_LONG);
}

/*
 * A task held at a known point. gate_pass waits there; how the wait ended, and what the task returns, are the test's
 * to choose.
 */
typedef struct gate {
    sinew_sem open;        /* posted by the test */
    atomic_int reached;    /* how many tasks began to wait */
    atomic_int passed;     /* how many came through with 0 */
    atomic_int cancelled;  /* how many waits ended with -ECANCELED */
    atomic_int ended;      /* how many tasks returned */
    intptr_t result;       /* what they return when let through */
    intptr_t when_stopped; /* what they return when cancelled; 0: the error itself */
    bool swallow;          /* after a cancel wait again, instead of returning */
} gate;

static inline void gate_init(gate *g, intptr_t result)
{
    *g = (gate){.result = result};
    sinew_sem_init(&g->open, 0);
}

static inline intptr_t gate_pass(void *arg)
{
    gate *g = arg;
    atomic_fetch_add(&g->reached, 1);
    int r = sinew_sem_wait(&g->open);
    if (r == -ECANCELED) {
        atomic_fetch_add(&g->cancelled, 1);
        if (g->swallow)
            r = sinew_sem_wait(&g->open);
    }
    intptr_t result = r == 0 ? g->result : g->when_stopped != 0 ? g->when_stopped : r;
    if (r == 0)
        atomic_fetch_add(&g->passed, 1);
    atomic_fetch_add(&g->ended, 1);
    return result;
}

static inline void gate_open(gate *g, unsigned times)
{
    for (unsigned i = 0; i < times; i++)
        sinew_sem_post(&g->open);
}

/* An order of events, written by tasks that may run at once. */
typedef struct event_log {
    atomic_int n; /* how many there are, all of them written when somebody waits for this */
    atomic_int taken;
    int events[256];
} event_log;

static inline void log_event(event_log *log, int event)
{
    int i = atomic_fetch_add(&log->taken, 1);
    if (i < (int)(sizeof log->events / sizeof log->events[0]))
        log->events[i] = event;
    atomic_fetch_add(&log->n, 1);
}

static inline void log_clear(event_log *log)
{
    atomic_store(&log->taken, 0);
    atomic_store(&log->n, 0);
}

/*
 * A thread-local address must be asked for again after every checkpoint; compilers keep it, because the C library
 * declares the functions behind it const. Both are out of line and opaque for that reason.
 */
__attribute__((noinline, unused)) static int *errno_now(void)
{
    int *address = &errno;
    __asm__ volatile("" : "+r"(address)::"memory");
    return address;
}

/*
 * The same for the value. ThreadSanitizer takes two tasks that use one thread's errno for a race: it does not know that
 * the runtime saves it for each of them.
 */
__attribute__((noinline, unused, no_sanitize("thread"))) static int errno_value(void)
{
    return *errno_now();
}

__attribute__((noinline, unused, no_sanitize("thread"))) static void errno_set(int value)
{
    *errno_now() = value;
}

__attribute__((noinline, unused)) static pthread_t thread_now(void)
{
    pthread_t self = pthread_self();
    __asm__ volatile("" : "+r"(self)::"memory");
    return self;
}

#endif
