/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runtimes for programs whose main thread is their own: started and stopped from plain threads.
 *
 * All of it is sinew_run in a thread of its own; its main task waits for a future that sinew_runtime_stop completes. So
 * start, shutdown and errors are the same as there.
 */
#include "runtime/inject.h"
#include "runtime/join.h"
#include "runtime/worker.h"

#include <sinew/future.h>
#include <sinew/runtime.h>
#include <sinew/task.h>

#include <semaphore.h>
#include <stdlib.h>

typedef struct sn_embedding {
    sinew_options options;
    sinew_future *stop;
    sem_t decided;       /* started, or not */
    sn_runtime *runtime; /* NULL: not */
    intptr_t result;
    pthread_t thread;
} sn_embedding;

static intptr_t wait_for_stop(void *arg)
{
    sn_embedding *e = arg;
    e->runtime = sn_worker_self()->runtime;
    e->runtime->embedding = e;
    sem_post(&e->decided);
    return sinew_future_await(e->stop);
}

static void *run(void *arg)
{
    sn_embedding *e = arg;
    e->result = sinew_run_with(&e->options, wait_for_stop, e);
    if (!e->runtime)
        sem_post(&e->decided);
    return NULL;
}

static void end(sn_embedding *e)
{
    sem_destroy(&e->decided);
    sinew_future_unref(e->stop);
    free(e);
}

int sinew_runtime_start(const sinew_options *opt, sinew_runtime **out)
{
    if (!out)
        return -EINVAL;
    *out = NULL;
    if (sn_worker_self()) {
        sn_complain("sinew_runtime_start: called inside a task; call it from a thread that is none");
        return -EDEADLK;
    }
    sn_embedding *e = calloc(1, sizeof *e);
    if (!e)
        return -ENOMEM;
    if (opt)
        e->options = *opt;
    e->options.keep_sigint = true;
    sem_init(&e->decided, 0, 0);
    e->stop = sinew_future_new();
    int r = e->stop ? -pthread_create(&e->thread, NULL, run, e) : -ENOMEM;
    if (r == 0) {
        while (sem_wait(&e->decided) != 0)
            ;
        if (e->runtime) {
            *out = (sinew_runtime *)(void *)e->runtime;
            return 0;
        }
        pthread_join(e->thread, NULL);
        r = (int)e->result;
    }
    end(e);
    return r;
}

int sinew_runtime_stop(sinew_runtime *runtime)
{
    sn_runtime *rt = (sn_runtime *)(void *)runtime;
    if (!rt || !rt->embedding)
        return -EINVAL;
    if (sn_worker_self()) {
        sn_complain("sinew_runtime_stop: called inside a task; call it from a thread that is none");
        return -EDEADLK;
    }
    if (sn_blocking_runtime() == rt) {
        sn_complain(
            "sinew_runtime_stop: called by a blocking function of this runtime, whose end waits for it; call it "
            "from a thread of your own");
        return -EDEADLK;
    }
    sn_embedding *e = rt->embedding;
    if (sinew_future_set(e->stop, 0) != 0)
        return -EALREADY;
    pthread_join(e->thread, NULL); /* the runtime is gone */
    end(e);
    return 0;
}

sinew_runtime *sinew_runtime_self(void)
{
    sn_worker *w = sn_worker_of_task();
    return w ? (sinew_runtime *)(void *)w->runtime : NULL;
}

intptr_t sinew_runtime_run(sinew_runtime *runtime, sinew_fn fn, void *arg)
{
    if (!runtime || !fn)
        return -EINVAL;
    if (sn_worker_self()) {
        sn_complain("sinew_runtime_run: called inside a task; spawn and await there");
        return -EDEADLK;
    }
    sn_runtime *rt = (sn_runtime *)(void *)runtime;
    sn_add(&rt->guests, 1, relaxed); /* the task may end, and the runtime be stopped, before we wait for it */
    sinew_task *t;
    intptr_t result = sn_inject_spawn(rt, fn, arg, __builtin_return_address(0), &t);
    if (result == 0)
        result = sn_task_join(t);
    sn_sub(&rt->guests, 1, release); /* the runtime may be gone after this; partner: see_guests_off */
    return result;
}
