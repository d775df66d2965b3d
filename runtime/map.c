/* SPDX-License-Identifier: Apache-2.0 */
/*
 * map: n tasks without handles. Nothing is queued for an element. Whoever works on the job (the caller, and a helper
 * task for each other worker) takes the next few indices from a counter and runs each element in place, as a task of
 * its own with a descriptor from the pool.
 *
 * When an element suspends it takes its whole fiber with it, the loop included. The loop has registered a split
 * (fiber.h) for that moment: the rest of its stretch goes to the job's list and a new helper is queued, so all n
 * elements run concurrently, as they would with gather. A call whose elements never suspend pays nothing for this.
 *
 * `remaining` counts elements not ended, `helpers` helper tasks not ended; each decrement is its maker's last use of
 * the job. The caller leaves only when both are zero, so args, results and the job itself (on the caller's stack)
 * outlive everything.
 */
#include "runtime/cancel.h"
#include "runtime/fair.h"
#include "runtime/task_hot.h"

#include <stdlib.h>

enum { CHUNK_MAX = 64, HELPERS_MAX = 16 };

typedef struct range {
    size_t at, end;
} range;

typedef struct job {
    sinew_fn fn;
    char *args;
    size_t stride, n, chunk;
    intptr_t *results;
    sn_fiber *fiber; /* the caller's */
    _Atomic size_t next, remaining, helpers;
    _Atomic intptr_t first_error;
    _Atomic uint32_t cancelled;
    ck_spinlock_t lock;
    /* Under the lock: rests of stretches that nobody works on, and elements that have suspended, a reference each. */
    range *offered;
    sinew_task **suspended;
    size_t suspended_count, suspended_capacity, offered_capacity;
    _Atomic size_t offered_count;
} job;

/* A loop over some indices, on the stack of the caller or of a helper. */
typedef struct stretch {
    sn_split split;
    sn_frame frame;
    job *job;
    size_t at, end;
    sinew_task *task; /* the element that runs */
    int asked;        /* what the caller was asked meanwhile */
} stretch;

static void record(job *j, size_t i, intptr_t result)
{
    if (j->results)
        j->results[i] = result;
    intptr_t none = 0;
    if (SN_UNLIKELY(result < 0))
        sn_cas(&j->first_error, &none, result, acq_rel);
}

static void cancel_all(job *j, int code)
{
    ck_spinlock_lock(&j->lock);
    sn_store(&j->cancelled, 1, relaxed);
    for (size_t i = 0; i < j->suspended_count; i++)
        if (!sn_task_done(j->suspended[i]))
            sn_cancel_forward(j->suspended[i], code);
    ck_spinlock_unlock(&j->lock);
}

/* The frame of an element: a cancel of the task below it is one of the whole job. */
static void forward(sn_frame *frame)
{
    stretch *s = SN_CONTAINER(frame, stretch, frame);
    int code = sn_cancel_take(frame->task);
    if (code) {
        s->asked = code;
        cancel_all(s->job, code);
    }
}

/* Room for one more in an array; false: no memory. */
static bool reserve(void **array, size_t item_bytes, size_t count, size_t *capacity)
{
    if (count < *capacity)
        return true;
    size_t bigger = *capacity ? *capacity * 2 : 16;
    void *moved = realloc(*array, bigger * item_bytes);
    if (!moved)
        return false;
    *array = moved;
    *capacity = bigger;
    return true;
}

static bool queue_helper(job *j);

static void offer(sn_split *split)
{
    stretch *s = SN_CONTAINER(split, stretch, split);
    job *j = s->job;
    bool rest = s->at < s->end, more = sn_load(&j->next, relaxed) < j->n;
    ck_spinlock_lock(&j->lock);
    /* For a cancel. Without memory this element cannot be cancelled; it still ends by itself. */
    if (reserve((void **)&j->suspended, sizeof *j->suspended, j->suspended_count, &j->suspended_capacity))
        j->suspended[j->suspended_count++] = sinew_ref(s->task);
    bool cancel = sn_load(&j->cancelled, relaxed);
    size_t count = sn_load(&j->offered_count, relaxed);
    /* Without memory, or a helper, the rest has to wait for this element. */
    if (rest && reserve((void **)&j->offered, sizeof *j->offered, count, &j->offered_capacity) && queue_helper(j)) {
        j->offered[count] = (range){s->at, s->end};
        sn_store(&j->offered_count, count + 1,
                 relaxed); /* under the lock; read outside as a hint by who has been offered it */
        s->at = s->end;
    } else if (!rest && more) {
        queue_helper(j);
    }
    ck_spinlock_unlock(&j->lock);
    if (cancel)
        sn_cancel_request(s->task, SN_CANCEL_PENDING, true);
}

/* args may be NULL, and then stride should be 0. */
SN_INLINE void *element(const job *j, size_t i)
{
    return (void *)((uintptr_t)j->args + i * j->stride);
}

static void run_stretch(stretch *s, sn_fiber *f)
{
    job *j = s->job;
    sn_worker *w = sn_worker_self();
    size_t ended = 0;
    while (s->at < s->end) {
        size_t i = s->at++;
        if (SN_UNLIKELY(--w->budget <= 0)) {
            sn_fair(w, f);
            w = sn_worker_self();
        }
        sinew_task *t = SN_LIKELY(!sn_load(&j->cancelled, relaxed)) ? sn_task_make(w, j->fn, element(j, i)) : NULL;
        if (SN_LIKELY(t != NULL)) {
            s->task = t;
            intptr_t result = sn_task_call(w, f, t, &s->frame);
            record(j, i, result);
            sn_task_settle_in_place(t, result);
            w = sn_worker_self();
        } else {
            record(j, i, sn_load(&j->cancelled, relaxed) ? -ECANCELED : -ENOMEM);
        }
        ended++;
    }
    sn_fiber *caller = j->fiber;
    sn_tsan_release(j);
    if (sn_sub(&j->remaining, ended, acq_rel) == ended &&
        caller != f) /* not ours to use any more, unless we are a helper */
        sn_unpark(caller);
}

static bool take_offered(job *j, stretch *s)
{
    if (SN_LIKELY(sn_load(&j->offered_count, relaxed) == 0)) /* what comes later comes with a helper of its own */
        return false;
    ck_spinlock_lock(&j->lock);
    size_t count = sn_load(&j->offered_count, relaxed);
    if (count) {
        s->at = j->offered[count - 1].at;
        s->end = j->offered[count - 1].end;
        sn_store(&j->offered_count, count - 1, relaxed);
    }
    ck_spinlock_unlock(&j->lock);
    return count != 0;
}

static int work(job *j, sn_fiber *f)
{
    stretch s;
    s.job = j;
    s.asked = 0;
    s.frame.poll = forward;
    for (;;) {
        if (!take_offered(j, &s)) {
            if (sn_load(&j->next, relaxed) >= j->n)
                return s.asked;
            s.at = sn_add(&j->next, j->chunk, relaxed);
            if (s.at >= j->n)
                return s.asked;
            s.end = s.at + j->chunk < j->n ? s.at + j->chunk : j->n;
        }
        s.split.offer = offer;
        s.split.offered = false;
        s.split.outer = f->split;
        f->split = &s.split;
        run_stretch(&s, f);
        f->split = s.split.outer;
    }
}

static intptr_t help(void *arg)
{
    job *j = arg;
    sn_fiber *caller = j->fiber;
    work(j, sn_worker_self()->fiber);
    if (sn_sub(&j->helpers, 1, acq_rel) == 1) /* the job may be gone after this */
        sn_unpark(caller);
    return 0;
}

static sinew_task *make_helper(job *j)
{
    sn_worker *w = sn_worker_self();
    sinew_task *t = sn_runq_reserve(&w->runq) ? sn_task_make(w, help, j) : NULL;
    if (t) {
        sn_add(&j->helpers, 1, relaxed);
        sn_task_push(w, t);
    }
    return t;
}

static bool queue_helper(job *j)
{
    sinew_task *t = make_helper(j);
    if (t)
        sn_task_unref(t); /* the execution's reference is enough */
    return t != NULL;
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
    job j;
    j.fn = fn;
    j.args = args;
    j.stride = stride;
    j.n = n;
    j.results = results;
    j.fiber = f;
    j.offered = NULL;
    j.suspended = NULL;
    j.suspended_count = j.suspended_capacity = j.offered_capacity = 0;
    sn_store(&j.offered_count, 0, relaxed);
    size_t workers = w->runtime->workers_count;
    size_t chunk = workers == 1 ? CHUNK_MAX : n / (4 * workers);
    j.chunk = chunk < 1 ? 1 : chunk > CHUNK_MAX ? CHUNK_MAX : chunk;
    sn_store(&j.next, 0, relaxed);
    sn_store(&j.remaining, n, relaxed);
    sn_store(&j.helpers, 0, relaxed);
    sn_store(&j.first_error, 0, relaxed);
    sn_store(&j.cancelled, 0, relaxed);
    ck_spinlock_init(&j.lock);

    sinew_task *helpers[HELPERS_MAX];
    unsigned count = 0;
    while (count < HELPERS_MAX && count + 1 < workers && count + 1 < n && (helpers[count] = make_helper(&j)) != NULL)
        count++;
    /* Too little stack left for elements in place: they run on a fresh one, in a helper. */
    if (sn_task_has_room(w, f) || !queue_helper(&j))
        asked = work(&j, f);
    for (unsigned i = 0; i < count; i++) {
        w = sn_worker_self();
        if (sn_load(&j.next, relaxed) >= n && sn_load(&j.offered_count, relaxed) == 0 &&
            sn_task_take(w, helpers[i])) { /* nothing is left for it */
            sn_sub(&j.helpers, 1, relaxed);
            sn_task_settle_in_place(helpers[i], 0);
        } else {
            sn_task_unref(helpers[i]);
        }
    }
    while (sn_load(&j.remaining, acquire) != 0 || sn_load(&j.helpers, acquire) != 0) {
        sn_park(sn_worker_self(), f);
        int code = sn_interrupt_after_park(f);
        if (code) {
            asked = code;
            cancel_all(&j, code);
        }
    }
    sn_tsan_acquire(&j);
    for (size_t i = 0; i < j.suspended_count; i++)
        sn_task_unref(j.suspended[i]);
    free(j.suspended);
    free(j.offered);
    intptr_t error = sn_load(&j.first_error, acquire);
    if (asked && (error == 0 || error == -ECANCELED))
        return asked;
    return (int)error;
}
