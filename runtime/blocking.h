/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pool of threads for blocking calls. Each runtime has two: the program's (sinew/blocking.h), and a small one for
 * looking up names, so that a slow name server does not use up the other. Its lock is an ordinary mutex: a call costs
 * two switches of threads anyway, and it is held for moments (or while a thread is created).
 *
 * Invariants, under the lock: there are threads whenever a call is queued; a call that found no idle thread has had one
 * started, unless all are there or the system refused it.
 */
#ifndef SN_BLOCKING_H
#define SN_BLOCKING_H

#include "runtime/fiber.h"

#include <pthread.h>

/* A thread that has had nothing to do for so long ends. */
#define SN_BLOCKING_IDLE_NS SINEW_S(10)

/* Threads for looking up names, of each runtime. */
#define SN_LOOKUP_THREADS_MAX 8

typedef struct sn_blocking {
    sn_runtime *runtime;
    uint32_t threads_max;
    pthread_mutex_t lock;
    /* under the lock; `queued` and `threads` may be read by anyone */
    struct sn_blocking_call *first, *last;
    _Atomic uint32_t queued;  /* calls no thread has taken yet */
    _Atomic uint32_t threads; /* that have not yet decided to end */
    uint32_t idle;            /* of those: in line for a call, woken or not */
    bool ending, refusal_told;
    bool any_ended;
    pthread_t ended; /* the last that did, if any_ended; it has joined the one before it, and the next one joins it */
    sinew_time idle_ns;
    pthread_cond_t wanted, all_ended;
    /* Calls queued or running, also those whose caller has left. Goes up by the caller before it waits, and down after
     * the wake has been queued: see deadlock.c. */
    _Atomic uint64_t pending;
} sn_blocking;

/* A thread that takes no signals. 0 or an errno. */
int sn_thread_start(pthread_t *thread, void *(*fn)(void *), void *arg);

/* Whose pool the calling thread belongs to; NULL: none. */
sn_runtime *sn_blocking_runtime(void);

typedef struct sn_blocking_request {
    sinew_fn fn;
    void *arg;
    /* The caller does not wait for what has begun: it leaves at once when it is asked to, and `abandoned` is called
     * with `arg`, once, by whoever knows that fn will not use it any more. */
    void (*abandoned)(void *arg);
    bool may_leave;
    /* What the caller is asked is not taken but left for its next checkpoint; the result is -ECANCELED then. */
    bool keep;
    bool deaf; /* waits whatever it is asked, which stays pending */
} sn_blocking_request;

/* Runs fn(arg) in the pool and returns its result. Suspends; tasks only. As sinew_blocking. */
intptr_t sn_blocking_run(sn_blocking *b, const sn_blocking_request *r);

int sn_blocking_init(sn_blocking *b, sn_runtime *rt, unsigned threads_max); /* 0 or -errno; no thread yet */
void sn_blocking_destroy(sn_blocking *b);

/* When no task is left: waits for what still runs, and joins all threads. */
void sn_blocking_end(sn_blocking *b);

#endif
