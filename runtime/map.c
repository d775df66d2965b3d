/* SPDX-License-Identifier: Apache-2.0 */
/*
 * map: n tasks without handles. Nothing is queued for an element: whoever works on the job takes the next index of its
 * own stretch and runs that element in place, as a task of its own with a descriptor from the pool.
 *
 * Others get a share lazily. The owner of a stretch gives the later half of it to the job's list and lays a token (a
 * helper task) out in one of its worker's slots; an idle worker takes it with one compare-and-swap. What nobody has
 * taken the owner takes back when it has done the rest. The outermost map of a fiber lays a token out when it begins;
 * after that it is done when an element is about to begin and no token lies out, or another worker has nothing to do:
 * for the outermost maps of the fiber that have something left, so that who comes gets much. An inner map that nobody
 * helps makes no read-modify-write. A helper that is done takes half of the longest stretch, until nothing is left.
 * What this can miss: a worker that becomes idle while the others are all inside long elements of inner maps without a
 * token; it waits for the next element to begin.
 *
 * When an element suspends it takes its whole fiber with it, the loop included. The loop has registered a split
 * (fiber.h) for that moment: the rest of its stretch goes to the job's list and a new helper is queued, so all n
 * elements run concurrently, as they would with gather.
 *
 * A stretch is claimed from the front by its owner and halved from the back by helpers (the THE protocol of Cilk-5:
 * Frigo, Leiserson, Randall 1998), one helper at a time:
 *
 *   owner of the stretch                     helper, under the job's lock
 *   o1 at = i + 1                            h1 end = e - half
 *      sn_fence_hot()                           sn_fence_rare()
 *   o2 i < end? i is ours                    h2 low = max(at, e - half); end = low; [low, e) is the helper's
 *      else under the lock: i < end?
 *
 *   impossible: o2 reads e and h2 reads at <= i: the fences order o1 before o2 and h1 before h2. After h2 no i >= low
 * can be claimed without the lock.
 *
 * Orderings: at, end relaxed, ordered by the fences and the lock. Only the owner raises `at`; ranges change hands under
 * the lock.
 *
 * `helpers` counts helper tasks not ended; the decrement (in sn_task_finish, however the helper ends) is its last use
 * of the job. The caller leaves only when it is zero, so args, results and the job itself (on the caller's stack)
 * outlive everything.
 */
#include "runtime/map.h"

#include "runtime/cancel.h"
#include "runtime/fair.h"
#include "runtime/inspect.h"
#include "runtime/local.h"
#include "runtime/lock.h"
#include "runtime/origin.h"
#include "runtime/switch.h"
#include "runtime/task_hot.h"

#include <stdlib.h>

typedef struct range {
    size_t at, end;
} range;

typedef struct job job;

enum { NOT_CANCELLED, SHUTDOWN, ASKED };

/* A loop over some indices, on the stack of the caller or of a helper. */
typedef struct stretch {
    _Atomic size_t at, end;
    sn_split split;
    sn_frame frame;
    job *job;
    sinew_task *task;            /* the element that runs */
    sinew_task *token;           /* made for this stretch; a reference */
    _Atomic(sinew_task *) *slot; /* where it was laid out */
    bool exposed;                /* there are or were helpers: the last claim needs the lock */
    int asked;                   /* what the caller was asked meanwhile */
    bool listed;                 /* under the lock, as what follows */
    struct stretch *next, *previous;
} stretch;

struct job {
    /* Read by all for each element, so on a line that is not written. */
    sinew_fn fn;
    char *args;
    size_t stride;
    intptr_t *results;
    const sinew_task *spawner;  /* NULL, unless it has task-local values, or in debug mode */
    sn_fiber *fiber;            /* the caller's */
    _Atomic uint32_t cancelled; /* by the shutdown only, or by a request */
    _Atomic uint32_t told;      /* has an element met what the caller was asked last, or not begun because of it? */

    stretch own __attribute__((aligned(SN_CACHE_LINE))); /* the caller's; written for each element */
    sn_lock lock __attribute__((aligned(SN_CACHE_LINE)));
    _Atomic size_t helpers;
    _Atomic intptr_t first_error;
    /* Under the lock: rests of stretches that nobody works on, elements that have suspended (a reference each), and
     * the stretches of helpers. */
    range *offered;
    sinew_task **suspended;
    size_t offered_count, offered_capacity, suspended_count, suspended_capacity;
    stretch *others;
    sn_origin origin; /* in debug mode: of the call, for all elements */
};

/* Never biased: who holds it may be in a rare fence, and who waits should then give its CPU away. */
static void lock(job *j)
{
    sn_lock_take(&j->lock, NULL);
}

static void unlock(job *j)
{
    sn_lock_give(&j->lock, false);
}

static void record(job *j, size_t i, intptr_t result)
{
    if (j->results)
        j->results[i] = result;
    intptr_t none = 0;
    if (SN_UNLIKELY(result < 0))
        sn_cas(&j->first_error, &none, result, acq_rel);
}

/* `from`, who runs the stretch as the caller of the map or as a helper, was asked `code`: it is one of the whole job.
 */
static void pass_on(stretch *s, sinew_task *from, int code)
{
    job *j = s->job;
    s->asked = sn_cancel_merge(s->asked, code);
    lock(j);
    if (s == &j->own)
        sn_store(&j->told, 0, relaxed);
    bool shutdown = sn_load(&from->cancel, relaxed) & SN_CANCEL_STOPPED;
    sn_store(&j->cancelled, shutdown && sn_load(&j->cancelled, relaxed) != ASKED ? SHUTDOWN : ASKED, relaxed);
    for (size_t i = 0; i < j->suspended_count; i++)
        if (!sn_task_done(j->suspended[i]) && sn_cancel_forward(from, j->suspended[i], code))
            sn_store(&j->told, 1, relaxed);
    unlock(j);
}

/* The frame of an element looks for the task below it. */
static void forward(sn_frame *frame)
{
    stretch *s = SN_CONTAINER(frame, stretch, frame);
    int code = sn_cancel_take(frame->task);
    if (code)
        pass_on(s, frame->task, code);
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

static size_t left(stretch *s)
{
    size_t at = sn_load(&s->at, relaxed), end = sn_load(&s->end, relaxed);
    return at < end ? end - at : 0;
}

static intptr_t help(void *arg);

/* A helper that is counted and has room in the run queue, but is not in it yet; NULL: no memory. */
static sinew_task *new_helper(job *j)
{
    sn_worker *w = sn_worker_self();
    sinew_task *t = sn_runq_reserve(&w->runq) ? sn_task_make(w, help, j) : NULL;
    if (t) {
        t->flags |= SN_TASK_HELPER;
        sn_add(&j->helpers, 1, relaxed);
    }
    return t;
}

void sn_map_helper_ended(sinew_task *t)
{
    job *j = t->arg;
    sn_fiber *caller = j->fiber;
    if (sn_sub(&j->helpers, 1, acq_rel) == 1) /* the job may be gone after this */
        sn_unpark(caller);
}

/* Not the fiber: that runs elements itself. */
const sn_wait_kind sn_kind_map = {NULL, forward, NULL, "sinew_map", -1, offsetof(job, own.frame.task), SN_AWAITER_TASK};

/* Gives the range to the job's list; the lock is held. False: no memory. */
static bool give(job *j, size_t at, size_t end)
{
    if (!reserve((void **)&j->offered, sizeof *j->offered, j->offered_count, &j->offered_capacity))
        return false;
    j->offered[j->offered_count++] = (range){at, end};
    return true;
}

/* If nobody has taken the stretch's token yet, takes it back; its range stays in the list. */
static void drop_token(stretch *s)
{
    sinew_task *t = s->token, *expected = t;
    if (!t)
        return;
    s->token = NULL;
    if (sn_cas(s->slot, &expected, NULL, acq_rel)) {
        t->flags &= (uint8_t)~SN_TASK_HELPER;
        sn_sub(&s->job->helpers, 1, relaxed); /* not the last use of the job: the caller or a helper calls this */
        sn_task_end_in_place(sn_worker_self(), t, 0);
    } else {
        sn_task_unref(t);
    }
}

static void make_token(sn_worker *w, stretch *s)
{
    job *j = s->job;
    unsigned k = 0;
    while (k < SN_TOKENS && sn_load(&w->tokens[k], relaxed))
        k++;
    if (k == SN_TOKENS)
        return;
    drop_token(s);
    s->exposed = true;
    lock(j);
    size_t end = sn_load(&s->end, relaxed), low = end - (left(s) + 1) / 2;
    sinew_task *t = low < end ? new_helper(j) : NULL;
    if (t && give(j, low, end)) /* by the owner, between two claims: no fence is needed */
        sn_store(&s->end, low, relaxed);
    unlock(j);
    if (t) {
        s->token = t;
        s->slot = &w->tokens[k];
        sn_store(s->slot, t, release);
        sn_notify(w);
    }
}

/*
 * An element is about to begin, and no token lies out or somebody has nothing to do: makes tokens for the outermost
 * stretches that have something left, outermost first. `all`: also for those that had one, which is gone.
 */
static SN_NOINLINE void invite(sn_worker *w, sn_fiber *f, bool all)
{
    stretch *wide[SN_TOKENS];
    size_t n = 0;
    for (sn_split *split = f->split; split; split = split->outer) {
        stretch *s = SN_CONTAINER(split, stretch, split);
        if (left(s) != 0 && (all || !s->token))
            wide[n++ % SN_TOKENS] = s;
    }
    for (size_t i = 0; i < SN_TOKENS && i < n; i++)
        make_token(w, wide[(n - 1 - i) % SN_TOKENS]);
}

/* The list of helpers' stretches that have something left; the lock is held. */
static void list(job *j, stretch *s)
{
    s->listed = true;
    s->previous = NULL;
    s->next = j->others;
    if (s->next)
        s->next->previous = s;
    j->others = s;
}

static void unlist(job *j, stretch *s)
{
    if (!s->listed)
        return;
    s->listed = false;
    *(s->previous ? &s->previous->next : &j->others) = s->next;
    if (s->next)
        s->next->previous = s->previous;
}

static void offer(sn_split *split)
{
    stretch *s = SN_CONTAINER(split, stretch, split);
    job *j = s->job;
    sinew_task *helper = NULL;
    s->exposed = true;
    lock(j);
    /* For a cancel. Without memory this element cannot be cancelled; it still ends by itself. */
    if (reserve((void **)&j->suspended, sizeof *j->suspended, j->suspended_count, &j->suspended_capacity))
        j->suspended[j->suspended_count++] = sinew_ref(s->task);
    uint32_t cancelled = sn_load(&j->cancelled, relaxed);
    if (cancelled)
        sn_store(&j->told, 1, relaxed);
    /* Without memory, or a helper, the rest has to wait for this element. */
    if (left(s) != 0 && (helper = new_helper(j)) && give(j, sn_load(&s->at, relaxed), sn_load(&s->end, relaxed)))
        sn_store(&s->end, sn_load(&s->at, relaxed), relaxed);
    if (left(s) == 0)
        unlist(j, s); /* very many may be suspended, and everybody who looks for work walks the list */
    unlock(j);
    if (helper) {
        sn_task_push(sn_worker_self(), helper);
        sn_task_unref(helper); /* the execution's reference is enough */
    }
    if (cancelled == ASKED)
        sn_cancel_request(s->task, SN_CANCEL_PENDING, true);
    else if (cancelled == SHUTDOWN && sn_cancel_stop(s->task))
        sn_cancel_nudge(s->task);
}

static SN_NOINLINE bool claim_last(stretch *s, size_t i)
{
    if (!s->exposed) {
        sn_store(&s->at, i, relaxed);
        return false;
    }
    lock(s->job);
    bool ours = i < sn_load(&s->end, relaxed);
    if (!ours)
        sn_store(&s->at, i, relaxed);
    unlock(s->job);
    return ours;
}

SN_INLINE bool claim(stretch *s, size_t *index)
{
    size_t i = sn_load(&s->at, relaxed);
    *index = i;
    sn_store(&s->at, i + 1, relaxed); /* o1 */
    sn_fence_hot();
    return SN_LIKELY(i < sn_load(&s->end, relaxed)) || claim_last(s, i); /* o2 */
}

/* The later half of a stretch; the lock is held. */
static bool take_half(stretch *from, range *got)
{
    size_t end = sn_load(&from->end, relaxed);
    size_t low = end - (left(from) + 1) / 2;
    if (low == end)
        return false;
    sn_store(&from->end, low, relaxed); /* h1 */
    sn_fence_rare();
    size_t at = sn_load(&from->at, relaxed); /* h2 */
    if (at > low) {
        low = at < end ? at : end;
        sn_store(&from->end, low, relaxed);
    }
    *got = (range){low, end};
    return low < end;
}

/* Something to do for a stretch that is at its end. */
static bool refill(stretch *s)
{
    job *j = s->job;
    range got = {0, 0};
    lock(j);
    if (j->offered_count) {
        got = j->offered[--j->offered_count];
    } else if (j->fiber->runtime->workers_count > 1) {
        stretch *longest = &j->own;
        for (stretch *other = j->others; other; other = other->next)
            if (left(other) > left(longest))
                longest = other;
        if (!take_half(longest, &got))
            got = (range){0, 0};
    }
    sn_store(&s->at, got.at, relaxed);
    sn_store(&s->end, got.end, relaxed);
    if (got.at == got.end)
        unlist(j, s);
    else if (s != &j->own && !s->listed)
        list(j, s);
    unlock(j);
    return got.at < got.end;
}

/* args may be NULL, and then stride should be 0. */
SN_INLINE void *element(const job *j, size_t i)
{
    return (void *)((uintptr_t)j->args + i * j->stride);
}

/* What an element has of the caller. False: no memory. */
static SN_NOINLINE bool inherit(const job *j, sinew_task *t)
{
    if (sn_task_has_values(j->spawner) && !sn_context_inherit(t, j->spawner))
        return false;
    if (j->fiber->runtime->debug)
        sn_origin_keep(t, &j->origin);
    return true;
}

/* Runs the elements of a stretch one after the other. A descriptor that nobody else has seen serves the next one. */
static void run_stretch(stretch *s, sn_fiber *f)
{
    job *j = s->job;
    sn_worker *w = sn_worker_self();
    sinew_task *t = NULL;
    bool alone = w->runtime->workers_count == 1;
    sn_frame_push(w, f, &s->frame);
    for (size_t i; claim(s, &i);) {
        if (SN_UNLIKELY(--w->budget <= 0)) {
            sn_frame_pop(f, &s->frame);
            sn_fair(w, f);
            w = sn_worker_self();
            sn_frame_push(w, f, &s->frame);
        }
        if (!alone) {
            bool none = !sn_load(&w->tokens[0], relaxed);
            if (SN_UNLIKELY(none || (!s->token && sn_load(&w->runtime->idle.word, relaxed) != 0)))
                invite(w, f, none);
        }
        if (SN_UNLIKELY(sn_load(&j->cancelled, relaxed))) {
            record(j, i, -ECANCELED);
            sn_store(&j->told, 1, relaxed);
            continue;
        }
        if (SN_LIKELY(t != NULL)) {
            sn_task_init(w, t, j->fn, element(j, i));
        } else if (SN_UNLIKELY(!(t = sn_task_make(w, j->fn, element(j, i))))) {
            record(j, i, -ENOMEM);
            continue;
        }
        if (SN_UNLIKELY(j->spawner != NULL) && !inherit(j, t)) {
            record(j, i, -ENOMEM);
            sn_task_unmake(w, t);
            t = NULL;
            continue;
        }
        s->task = t;
        sn_task_begin(f, t);
        intptr_t result = sn_task_body(f, t);
        sn_tsan_acquire(t);
        w = sn_worker_self();
        if (SN_LIKELY(!SN_DEBUG && sn_task_unshared(w, t))) {
            sn_task_count_unshared(w);
        } else {
            result = sn_task_end_in_place(sn_worker_self(), t, result);
            t = NULL;
        }
        record(j, i, result);
    }
    if (t)
        sn_task_free(sn_worker_self(), t);
    sn_frame_pop(f, &s->frame);
}

static void work(stretch *s, sn_fiber *f)
{
    s->split.offer = offer;
    s->split.outer = f->split;
    s->frame.poll = forward;
    do {
        s->split.offered = false;
        f->split = &s->split;
        run_stretch(s, f);
        f->split = s->split.outer;
        drop_token(s);
    } while (s->exposed && refill(s));
}

static intptr_t help(void *arg)
{
    job *j = arg;
    stretch s = {.job = j, .exposed = true};
    if (!refill(&s))
        return 0;
    work(&s, sn_worker_self()->fiber); /* until there is nothing, and it is off the list */
    sn_tsan_release(j);
    return 0;
}

/* Too little stack is left for elements in place: they run on a fresh one, in a helper. False: no memory. */
static bool leave_to_helper(job *j)
{
    sinew_task *helper = new_helper(j);
    if (!helper)
        return false;
    j->own.exposed = true;
    if (!give(j, 0, sn_load(&j->own.end, relaxed))) {
        sn_task_push(sn_worker_self(), helper); /* it finds nothing to do */
        sn_task_unref(helper);
        return false;
    }
    sn_store(&j->own.end, 0, relaxed);
    sn_task_push(sn_worker_self(), helper);
    sn_task_unref(helper);
    return true;
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
    int asked = sn_cancel_pending(f->task) ? sn_interrupt_slow(f) : 0;
    if (asked)
        return asked;
    job j;
    j.fn = fn;
    j.args = args;
    j.stride = stride;
    j.results = results;
    bool debug = w->runtime->debug;
    j.spawner = debug || sn_task_has_values(f->task) ? f->task : NULL;
    if (debug)
        sn_origin_take(&j.origin, __builtin_return_address(0));
    j.fiber = f;
    sn_store(&j.own.at, 0, relaxed);
    sn_store(&j.own.end, n, relaxed);
    j.own.job = &j;
    j.own.token = NULL;
    j.own.exposed = j.own.listed = false;
    j.own.asked = 0;
    sn_store(&j.helpers, 0, relaxed);
    sn_store(&j.first_error, 0, relaxed);
    sn_store(&j.cancelled, NOT_CANCELLED, relaxed);
    sn_store(&j.told, 0, relaxed);
    j.lock = (sn_lock){0};
    j.offered = NULL;
    j.suspended = NULL;
    j.offered_count = j.offered_capacity = j.suspended_count = j.suspended_capacity = 0;
    j.others = NULL;

    if (sn_task_has_room(w, f) || !leave_to_helper(&j)) {
        if (!f->split && n > 1 && w->runtime->workers_count > 1)
            make_token(w, &j.own);
        work(&j.own, f);
    }
    while (SN_UNLIKELY(j.own.exposed)) {
        for (int code = sn_interrupt(f);; code = sn_interrupt_after_park(f)) {
            if (code)
                pass_on(&j.own, f->task, code);
            if (sn_load(&j.helpers, acquire) == 0)
                break;
            sn_park(sn_worker_self(), f);
        }
        if (!refill(&j.own)) /* what a helper that could not start has left behind */
            break;
        work(&j.own, f);
    }
    sn_tsan_acquire(&j);
    for (size_t i = 0; i < j.suspended_count; i++)
        sn_task_unref(j.suspended[i]);
    free(j.suspended);
    free(j.offered);
    asked = j.own.asked;
    intptr_t error = sn_load(&j.first_error, acquire);
    /* An error answers for the elements that were told. Were none, what they would have answered is the caller's. */
    if (asked && (error == 0 || error == -ECANCELED || !sn_load(&j.told, relaxed)))
        return asked;
    return (int)error;
}
