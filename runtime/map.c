/* SPDX-License-Identifier: Apache-2.0 */
/*
 * map: n tasks without handles. Nothing is queued for an element: whoever works on the job takes the next few indices from a counter and
 * runs each element as a task of its own on a side fiber, reusing the descriptor while elements end without suspending. The
 * caller works, and so does one helper task for each other worker; an element that suspends keeps its side fiber and the
 * loop goes on with the next, so all n elements run concurrently, as they would with gather.
 *
 * `remaining` counts elements not ended; the decrement is an ending element's last use of the job. The caller leaves only at zero, so
 * args, results and the job itself (on the caller's stack) outlive all elements.
 */
#include "runtime/await.h"
#include "runtime/cancel.h"
#include "runtime/task_hot.h"

#include <stdlib.h>

enum { CHUNK_MAX = 64, HELPERS_MAX = 16 };

typedef struct job {
    sinew_fn fn;
    char *args;
    size_t stride, n, chunk;
    intptr_t *results;
    sn_fiber *fiber; /* the caller's */
    _Atomic size_t next, remaining;
    _Atomic intptr_t first_error;
    _Atomic uint32_t cancelled;
    ck_spinlock_t lock;
    sinew_task **suspended; /* elements that suspended, one reference each; under the lock */
    size_t suspended_count, suspended_capacity;
} job;

/* One run of the loop on a side fiber. */
typedef struct stretch {
    job *job;
    size_t at, end;
    sinew_task *task; /* the element that suspended; its second reference is handed over */
    bool no_memory, give_way;
} stretch;

static void end_elements(job *j, size_t count)
{
    sn_fiber *f = j->fiber;
    if (sn_sub(&j->remaining, count, acq_rel) == count) /* the job may be gone after this */
        sn_unpark(f);
}

static void record(job *j, size_t i, intptr_t result)
{
    if (j->results)
        j->results[i] = result;
    intptr_t none = 0;
    if (result < 0)
        sn_cas(&j->first_error, &none, result, acq_rel);
}

/* On the side fiber. */
static void run_elements(void *arg)
{
    stretch *s = arg;
    job *j = s->job;
    sn_worker *w = sn_worker_self();
    sn_fiber *f = w->fiber;
    size_t ended = 0;
    while (s->at < s->end) {
        if (--w->budget <= 0) {
            s->give_way = true;
            break;
        }
        size_t i = s->at++;
        if (SN_UNLIKELY(sn_load(&j->cancelled, relaxed))) {
            record(j, i, -ECANCELED);
            ended++;
            continue;
        }
        sinew_task *t = sn_task_make(w, j->fn, j->args + i * j->stride);
        if (SN_UNLIKELY(!t)) {
            record(j, i, -ENOMEM);
            ended++;
            continue;
        }
        s->task = t;
        intptr_t result = sn_task_call_alone(w, f, t);
        if (sn_side_left(f)) { /* it suspended: the stretch is gone, the job is not before we say so */
            record(j, i, result);
            sn_task_finish(t, result);
            end_elements(j, 1 + ended);
            return;
        }
        record(j, i, result);
        sn_task_settle_in_place(t, result);
        s->task = NULL;
        ended++;
        w = sn_worker_self();
    }
    if (ended)
        end_elements(j, ended);
}

/* Keeps the reference of an element that suspended, for a cancel. */
static void keep(job *j, sinew_task *t)
{
    ck_spinlock_lock(&j->lock);
    if (j->suspended_count == j->suspended_capacity) {
        size_t capacity = j->suspended_capacity ? j->suspended_capacity * 2 : 16;
        sinew_task **bigger = realloc(j->suspended, capacity * sizeof *bigger);
        if (bigger) {
            j->suspended = bigger;
            j->suspended_capacity = capacity;
        }
    }
    bool kept = j->suspended_count < j->suspended_capacity;
    if (kept)
        j->suspended[j->suspended_count++] = t;
    bool cancel = sn_load(&j->cancelled, relaxed);
    ck_spinlock_unlock(&j->lock);
    if (cancel)
        sn_cancel_request(t, SN_CANCEL_PENDING, true);
    if (!kept)
        sn_task_unref(t); /* without memory this element cannot be cancelled; it still ends by itself */
}

static void work(job *j, sn_fiber *f)
{
    for (;;) {
        size_t at = sn_add(&j->next, j->chunk, relaxed);
        if (at >= j->n)
            return;
        stretch s = {.job = j, .at = at, .end = at + j->chunk < j->n ? at + j->chunk : j->n};
        while (s.at < s.end) {
            s.task = NULL;
            s.give_way = false;
            sn_side side = sn_side_call(f, 0, run_elements, &s);
            if (side == SN_SIDE_SUSPENDED)
                keep(j, s.task);
            if (SN_UNLIKELY(side == SN_SIDE_NO_MEMORY)) {
                record(j, s.at++, -ENOMEM);
                end_elements(j, 1);
            }
            if (s.give_way)
                sn_fair(sn_worker_self(), f);
        }
    }
}

static intptr_t help(void *arg)
{
    work(arg, sn_worker_self()->fiber);
    return 0;
}

static void cancel_all(job *j)
{
    ck_spinlock_lock(&j->lock);
    sn_store(&j->cancelled, 1, relaxed);
    for (size_t i = 0; i < j->suspended_count; i++)
        if (!sn_task_done(j->suspended[i]))
            sn_cancel_request(j->suspended[i], SN_CANCEL_PENDING, true);
    ck_spinlock_unlock(&j->lock);
}

int sinew_map(sinew_fn fn, void *args, size_t stride, size_t n, intptr_t *results)
{
    if (!fn)
        return -EINVAL;
    sn_worker *w = sn_worker_of_task();
    if (!w)
        return -EPERM;
    if (n == 0)
        return 0;
    sn_fiber *f = w->fiber;
    int asked = sn_interrupt(f);
    if (asked)
        return asked;
    uint32_t workers = w->runtime->workers_count;
    job j = {.fn = fn, .args = args, .stride = stride, .n = n, .results = results, .fiber = f};
    j.chunk = n / (4 * (size_t)workers);
    j.chunk = j.chunk < 1 ? 1 : j.chunk > CHUNK_MAX ? CHUNK_MAX : j.chunk;
    sn_store(&j.remaining, n, relaxed);
    ck_spinlock_init(&j.lock);

    sinew_task *helpers[HELPERS_MAX];
    unsigned helpers_count = 0;
    while (helpers_count < HELPERS_MAX && helpers_count + 1 < workers && helpers_count + 1 < n) {
        helpers[helpers_count] = sinew_spawn(help, &j);
        if (!helpers[helpers_count])
            break;
        helpers_count++;
    }
    work(&j, f);
    while (sn_load(&j.remaining, acquire) != 0) {
        w = sn_park(sn_worker_self(), f);
        int code = sn_interrupt_after_park(f);
        if (code) {
            asked = code;
            cancel_all(&j);
        }
    }
    for (unsigned i = 0; i < helpers_count; i++) {
        if (sn_task_take(sn_worker_self(), helpers[i])) /* nobody started it, and there is nothing left for it */
            sn_task_settle_in_place(helpers[i], 0);
        else
            sn_await_uncancelled(helpers[i]);
    }
    for (size_t i = 0; i < j.suspended_count; i++)
        sn_task_unref(j.suspended[i]);
    free(j.suspended);
    intptr_t error = sn_load(&j.first_error, acquire);
    if (asked && (error == 0 || error == -ECANCELED))
        return asked;
    return (int)error;
}
