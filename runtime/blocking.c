/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocking calls: queued by tasks, run by the pool's threads.
 *
 *             a thread takes it           its function returns
 *   QUEUED ---------------------> RUNNING ---------------------> DONE    the caller frees the call
 *     | cancelled                    | cancelled, and it need not wait
 *     +---> the caller takes it      +--------------------------> LEFT   the thread frees the call
 *           out and frees it
 *
 * QUEUED changes under the pool's lock. From RUNNING caller and thread each try one compare-and-swap (acq_rel: it
 * publishes the result, and hands the memory over); who comes second frees. A call whose caller always waits lies on
 * the caller's stack, and the thread does not touch it after DONE.
 */
#include "runtime/blocking.h"

#include "runtime/cancel.h"
#include "runtime/clock.h"
#include "runtime/local.h"
#include "runtime/switch.h"

#include <signal.h>
#include <sinew/blocking.h>
#include <stdlib.h>
#include <time.h>

typedef enum { QUEUED, RUNNING, DONE, LEFT } call_state;

typedef struct sn_blocking_call {
    struct sn_blocking_call *next, *previous; /* while QUEUED */
    sinew_fn fn;
    void *arg;
    sn_context_values
        *values; /* the caller's task-local ones; a reference, given back by who has run it or takes it out */
    sn_fiber *fiber;
    void (*abandoned)(void *arg); /* may be NULL */
    intptr_t result;              /* once DONE */
    _Atomic uint32_t state;
} call;

int sn_blocking_init(sn_blocking *b, sn_runtime *rt, unsigned threads_max)
{
    *b = (sn_blocking){.runtime = rt, .threads_max = threads_max, .idle_ns = SN_BLOCKING_IDLE_NS};
    pthread_condattr_t monotonic;
    int r = pthread_condattr_init(&monotonic);
    if (r != 0)
        return -r;
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&b->lock, NULL); /* with default attributes these cannot fail */
    pthread_cond_init(&b->wanted, &monotonic);
    pthread_cond_init(&b->all_ended, NULL);
    pthread_condattr_destroy(&monotonic);
    return 0;
}

void sn_blocking_destroy(sn_blocking *b)
{
    pthread_cond_destroy(&b->all_ended);
    pthread_cond_destroy(&b->wanted);
    pthread_mutex_destroy(&b->lock);
}

/* The lock is held in these. */
static void append(sn_blocking *b, call *c)
{
    c->next = NULL;
    c->previous = b->last;
    *(b->last ? &b->last->next : &b->first) = c;
    b->last = c;
    sn_bump(&b->queued, 1);
}

static void take_out(sn_blocking *b, call *c)
{
    *(c->previous ? &c->previous->next : &b->first) = c->next;
    *(c->next ? &c->next->previous : &b->last) = c->previous;
    sn_bump(&b->queued, -1u);
}

/* Nobody will ask for the result. The call was made by malloc. */
static void give_up(call *c)
{
    if (c->abandoned)
        c->abandoned(c->arg);
    free(c);
}

static void run(sn_blocking *b, call *c)
{
    sn_fiber *f = c->fiber;
    sn_tsan_acquire(c);
    sn_context_enter(c->values);
    c->result = c->fn(c->arg);
    sn_context_enter(NULL);
    sn_context_unref(c->values);
    sn_tsan_release(c);
    uint32_t running = RUNNING;
    if (sn_cas(&c->state, &running, DONE, acq_rel))
        sn_unpark(f); /* the call may be gone by now, and the fiber another task's */
    else
        give_up(c);
    sn_sub(&b->pending, 1, release);
}

/* The lock is held. Returns false when there was nothing to do for long enough. */
static bool wait_for_a_call(sn_blocking *b)
{
    sinew_time end = sn_deadline_after(sn_clock_now(), b->idle_ns);
    struct timespec until = {.tv_sec = end / SINEW_S(1), .tv_nsec = end % SINEW_S(1)};
    int r = 0;
    b->idle++;
    while (!b->first && !b->ending && r == 0)
        r = pthread_cond_timedwait(&b->wanted, &b->lock, &until);
    b->idle--;
    return b->first || b->ending;
}

static _Thread_local sn_runtime *pool_of;

sn_runtime *sn_blocking_runtime(void)
{
    return pool_of;
}

static void *thread_main(void *arg)
{
    sn_blocking *b = arg;
    pool_of = b->runtime;
    pthread_mutex_lock(&b->lock);
    do {
        for (call *c; (c = b->first) != NULL;) {
            take_out(b, c);
            sn_store(&c->state, RUNNING, relaxed); /* read again under the lock, or after the change to DONE */
            pthread_mutex_unlock(&b->lock);
            run(b, c);
            pthread_mutex_lock(&b->lock);
        }
    } while (!b->ending && wait_for_a_call(b));
    bool join = b->any_ended;
    pthread_t before = b->ended;
    b->any_ended = true;
    b->ended = pthread_self();
    sn_bump(&b->threads, -1u);
    if (sn_load(&b->threads, relaxed) == 0)
        pthread_cond_signal(&b->all_ended);
    pthread_mutex_unlock(&b->lock);
    if (join)
        pthread_join(before, NULL);
    return NULL;
}

void sn_blocking_end(sn_blocking *b)
{
    pthread_mutex_lock(&b->lock);
    b->ending = true;
    pthread_cond_broadcast(&b->wanted);
    while (sn_load(&b->threads, relaxed) != 0)
        pthread_cond_wait(&b->all_ended, &b->lock);
    bool any = b->any_ended;
    pthread_mutex_unlock(&b->lock);
    if (any)
        pthread_join(b->ended, NULL);
}

/* Signals are for the program's own threads; but a fault must find its handler. */
int sn_thread_start(pthread_t *thread, void *(*fn)(void *), void *arg)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};
    sigset_t all, before;
    sigfillset(&all);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        sigdelset(&all, faults[i]);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int r = pthread_create(thread, NULL, fn, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return r;
}

/* 0, or -EAGAIN when nobody could ever run it. */
static int enqueue(sn_blocking *b, call *c)
{
    int r = 0;
    pthread_mutex_lock(&b->lock);
    append(b, c);
    if (sn_load(&b->queued, relaxed) <= b->idle) {
        pthread_cond_signal(&b->wanted);
    } else if (sn_load(&b->threads, relaxed) < b->threads_max) {
        /* Under the lock, so that nobody relies on a thread that does not come to be. */
        pthread_t thread;
        r = sn_thread_start(&thread, thread_main, b);
        if (r == 0) {
            sn_bump(&b->threads, 1);
        } else if (!b->refusal_told) {
            b->refusal_told = true;
            sn_complain("%s: thread %u of at most %u is refused: %s; raise the limit%s",
                        b == &b->runtime->blocking ? "sinew_blocking" : "sinew_resolve",
                        sn_load(&b->threads, relaxed) + 1, b->threads_max, strerror(r),
                        b == &b->runtime->blocking ? " or lower blocking_threads" : "");
        }
        if (r != 0 && sn_load(&b->threads, relaxed) == 0)
            take_out(b, c);
        else
            r = 0;
    }
    pthread_mutex_unlock(&b->lock);
    return r == 0 ? 0 : -EAGAIN;
}

/* The caller has been asked to end. True: it must not wait any longer, and has nothing to do with the call any more
 * (but its memory, if that is the caller's stack). */
static bool leave(sn_blocking *b, call *c, bool on_stack)
{
    pthread_mutex_lock(&b->lock);
    bool queued = sn_load(&c->state, relaxed) == QUEUED;
    if (queued)
        take_out(b, c);
    pthread_mutex_unlock(&b->lock);
    if (queued) {
        sn_context_unref(c->values);
        sn_sub(&b->pending, 1, relaxed); /* by a task that runs */
        if (!on_stack)
            give_up(c);
        return true;
    }
    uint32_t running = RUNNING;
    return !on_stack && sn_cas(&c->state, &running, LEFT, acq_rel);
}

/* Queues the call. 0, or a negative errno, and then there is no call any more. */
static int begin(sn_blocking *b, call *c, bool on_stack)
{
    sn_tsan_release(c);
    sn_add(&b->pending, 1, relaxed); /* published by the lock, and by this worker before it sleeps */
    int code = enqueue(b, c);
    if (code) {
        sn_sub(&b->pending, 1, relaxed);
        sn_context_unref(c->values);
        if (!on_stack)
            give_up(c);
    }
    return code;
}

static intptr_t run_in_pool(sn_blocking *b, const sn_blocking_request *r, sn_worker *w, call *c, bool on_stack)
{
    sn_fiber *f = w->fiber;
    *c = (call){.fn = r->fn,
                .arg = r->arg,
                .fiber = f,
                .abandoned = r->abandoned,
                .values = sn_context_ref(sn_context_current())};
    int code = begin(b, c, on_stack);
    if (code)
        return code;
    while (sn_load(&c->state, acquire) != DONE) {
        w = sn_park(w, f);
        if (r->deaf || sn_load(&c->state, acquire) == DONE)
            continue;
        sn_interrupt_poll(f);
        if (sn_cancel_pending(f->task) && leave(b, c, on_stack))
            return r->keep ? sn_leave_pending(f) : sn_cancel_take(f->task);
    }
    f->fresh = true; /* a cancel that came together with the end is looked for at the next checkpoint */
    sn_tsan_acquire(c);
    intptr_t result = c->result;
    if (!on_stack)
        free(c);
    return result;
}

static intptr_t refuse(const sn_blocking_request *r, intptr_t code)
{
    if (r->abandoned)
        r->abandoned(r->arg);
    return code;
}

intptr_t sn_blocking_run(sn_blocking *b, const sn_blocking_request *r)
{
    sn_worker *w = sn_worker_self();
    int code = r->deaf ? 0 : sn_asked_before(w->fiber, r->keep);
    if (code)
        return refuse(r, code);
    call on_stack, *c = r->may_leave ? malloc(sizeof *c) : &on_stack;
    if (!c)
        return refuse(r, -ENOMEM);
    return run_in_pool(b, r, w, c, !r->may_leave);
}

static intptr_t run_for_program(sinew_fn fn, void *arg, bool may_leave)
{
    sn_worker *w = sn_worker_of_task();
    if (!w)
        return -EPERM;
    if (!fn)
        return -EINVAL;
    sn_blocking_request r = {.fn = fn, .arg = arg, .may_leave = may_leave};
    return sn_blocking_run(&w->runtime->blocking, &r);
}

intptr_t sinew_blocking(sinew_fn fn, void *arg)
{
    return run_for_program(fn, arg, true);
}

intptr_t sinew_blocking_wait(sinew_fn fn, void *arg)
{
    return run_for_program(fn, arg, false);
}
