/* SPDX-License-Identifier: Apache-2.0 */
/* Tasks: made, queued, started, run in place, finished. States, references and orderings stand in task.h. */
#include "runtime/task.h"

#include "runtime/as_completed.h"
#include "runtime/cancel.h"
#include "runtime/clock.h"
#include "runtime/group.h"
#include "runtime/local.h"
#include "runtime/map.h"
#include "runtime/name.h"
#include "runtime/origin.h"
#include "runtime/report.h"
#include "runtime/shutdown.h"
#include "runtime/task_hot.h"

#include <stdio.h>
#include <stdlib.h>

sn_task_ext *sn_task_extend(sinew_task *t)
{
    sn_task_ext *ext = __atomic_load_n(&t->ext, __ATOMIC_ACQUIRE);
    if (ext)
        return ext;
    sn_task_ext *made = malloc(sizeof *made); /* glibc's calloc asks the arena, and not the thread's own cache */
    if (made)
        *made = (sn_task_ext){0};
    if (made && __atomic_compare_exchange_n(&t->ext, &ext, made, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return made;
    free(made); /* somebody else was first, or there is no memory */
    return ext;
}

void sn_task_free_ext(sinew_task *t)
{
    sn_task_ext *ext = t->ext;
    if (ext) {
        sn_task_forget_name(t);
        sn_context_unref(ext->values);
        if (ext->origin)
            free(ext->origin);
        free(ext);
        t->ext = NULL;
    }
}

void sn_task_push(sn_worker *w, sinew_task *t)
{
    if (SN_UNLIKELY(t->flags & SN_TASK_PINNED)) {
        t->ext->message.kind = SN_MESSAGE_TASK;
        t->ext->message.subject = t;
        sn_pinned_push(w, &t->ext->message);
        return;
    }
    sn_task_push_quietly(w, t);
    sn_notify(w);
}

void sn_task_push_quietly(sn_worker *w, sinew_task *t)
{
    sn_store(&t->queue_worker, (uint16_t)w->index, relaxed);
    t->queue_position = (uint32_t)sn_load(&w->runq.tail, relaxed);
    bool pushed = sn_runq_push(&w->runq, (sn_entry)t);
    SN_CHECK(pushed, "a task was queued without room having been made for it");
}

/* Also of every task in debug mode, as they all have an ext. */
static SN_NOINLINE sinew_task *spawn_slow(sn_worker *w, sinew_fn fn, void *arg, const void *caller)
{
    const sinew_task *self = w->fiber->task;
    sinew_task *t = sn_runq_reserve(&w->runq) ? sn_task_make(w, fn, arg) : NULL;
    if (t && sn_task_has_values(self) && !sn_context_inherit(t, self)) {
        sn_task_unmake(w, t);
        t = NULL;
    }
    if (t && w->runtime->debug)
        sn_origin_note(t, caller);
    if (t)
        sn_task_push(w, t);
    return t;
}

static SN_NOINLINE sinew_task *spawned_with_sleepers(sn_worker *w, sinew_task *t)
{
    sn_wake_one(w->runtime);
    return t;
}

/* Every path out of this function is a return or a call in its place, so that the usual one saves no registers. */
sinew_task *sinew_spawn(sinew_fn fn, void *arg)
{
    sn_worker *w = sn_worker_self();
    const sinew_task *self;
    if (SN_UNLIKELY(!w || !(self = w->fiber->task) || !fn))
        return NULL;
    sinew_task *t = w->free_tasks;
    if (SN_UNLIKELY(!t || self->ext || sn_runq_full(&w->runq)))
        return spawn_slow(w, fn, arg, __builtin_return_address(0));
    w->free_tasks = t->next;
    sn_task_init(w, t, fn, arg);
    sn_runq_put(&w->runq, (sn_entry)t); /* to the position that `place` says: nothing was pushed since */
    if (SN_UNLIKELY(sn_wants_notice(w)))
        return spawned_with_sleepers(w, t);
    return t;
}

static void side_start(void *arg)
{
    sinew_task *t = arg;
    sn_task_run(sn_worker_self()->fiber, t);
}

sinew_task *sinew_spawn_with(const sinew_spawn_options *opt, sinew_fn fn, void *arg)
{
    sn_worker *w = sn_worker_of_task();
    if (!opt)
        return sinew_spawn(fn, arg);
    if (!w || !fn || !sn_runq_reserve(&w->runq))
        return NULL;
    if (opt->stack_bytes && (opt->stack_bytes < SINEW_STACK_BYTES_MIN || opt->stack_bytes > SINEW_STACK_BYTES_MAX)) {
        sn_complain("sinew_spawn_with: stack_bytes is %zu; use %zu to %zu, or 0 for the default", opt->stack_bytes,
                    SINEW_STACK_BYTES_MIN, SINEW_STACK_BYTES_MAX);
        return NULL;
    }
    char *name = NULL;
    if (opt->name && !(name = strdup(opt->name)))
        return NULL;
    const sinew_task *self = w->fiber->task;
    sinew_task *t = sn_task_make(w, fn, arg);
    if (t && sn_task_has_values(self) && !sn_context_inherit(t, self)) {
        sn_task_unmake(w, t);
        t = NULL;
    }
    if (t && (name || opt->stack_bytes || opt->pinned)) {
        if (!sn_task_extend(t)) {
            sn_task_unmake(w, t);
            t = NULL;
        } else {
            if (name)
                sn_task_set_name(t, name);
            if (opt->stack_bytes) {
                size_t whole = SINEW_STACK_BYTES_MIN;
                while (whole < opt->stack_bytes)
                    whole *= 2;
                t->ext->stack_bytes = whole;
                t->flags |= SN_TASK_OWN_STACK;
            }
            if (opt->pinned)
                t->flags |= SN_TASK_PINNED;
        }
    }
    if (!t) {
        free(name);
        return NULL;
    }
    if (w->runtime->debug)
        sn_origin_note(t, __builtin_return_address(0));
    if (opt->eager) {
        if (sn_side_call(w->fiber, t->ext ? t->ext->stack_bytes : 0, side_start, t) == SN_SIDE_NO_MEMORY)
            sn_task_finish(t, -ENOMEM);
    } else {
        sn_task_push(w, t);
    }
    return t;
}

sn_fiber *sn_task_fiber(sn_worker *w, sinew_task *t)
{
    sn_fiber *f = sn_fiber_get(w, t->flags & SN_TASK_OWN_STACK ? t->ext->stack_bytes : 0);
    if (SN_UNLIKELY(!f)) {
        sn_task_finish(t, -ENOMEM);
        return NULL;
    }
    f->start = t;
    return f;
}

bool sn_task_fits(const sn_fiber *f, const sinew_task *t)
{
    (void)f;
    return !(t->flags & (SN_TASK_PINNED | SN_TASK_OWN_STACK));
}

#if SN_TSAN
intptr_t sn_task_body(sn_fiber *f, sinew_task *t)
{
    void *outer = f->tsan_context;
    void *own = __tsan_create_fiber(0);
    f->tsan_context = own;
    sn_tsan_switch(own);
    sn_tsan_acquire(t);
    sn_tsan_acquire(&sn_worker_self()->sched);
    sn_tsan_acquire((char *)f + 1); /* tasks that use one stack one after the other are ordered by it */
    intptr_t result = t->fn(t->arg);
    sn_tsan_release((char *)f + 1);
    sn_tsan_release(t);
    if (f->side_caller)
        sn_tsan_release(f->side_caller); /* who runs it by a side call takes the result without a handle */
    sn_tsan_release(f->runtime);         /* every task ends before sinew_run returns */
    f->tsan_context = outer;
    sn_tsan_switch(outer ? outer : sn_worker_self()->sched.tsan_context);
    __tsan_destroy_fiber(own);
    return result;
}
#endif

void sn_task_run(sn_fiber *f, sinew_task *t)
{
    sn_worker *w = sn_worker_self();
    if (SN_UNLIKELY(t->flags & SN_TASK_PINNED))
        f->pinned = (int16_t)w->index;
    sn_task_finish(t, sn_task_call_alone(w, f, t));
}

uintptr_t sn_task_lock_waiters(sinew_task *t)
{
    for (;;) {
        uintptr_t v = sn_load(&t->waiters, acquire); /* W2 */
        if (v == SN_WAITERS_DONE)
            return v;
        if (!(v & SN_WAITERS_LOCK) && sn_cas(&t->waiters, &v, v | SN_WAITERS_LOCK, acquire)) /* W3 */
            return v;
        sn_pause();
    }
}

void sn_task_unlock_waiters(sinew_task *t, uintptr_t v)
{
    sn_store(&t->waiters, v, release); /* W1, W3 */
}

bool sn_task_add_waiter(sinew_task *t, sn_waiter *w)
{
    uintptr_t v = sn_task_lock_waiters(t);
    if (v == SN_WAITERS_DONE)
        return false;
    sn_waiter *newest = (sn_waiter *)v;
    w->next = newest;
    w->previous = NULL;
    if (newest)
        newest->previous = w;
    sn_task_unlock_waiters(t, (uintptr_t)w);
    return true;
}

bool sn_task_remove_waiter(sinew_task *t, sn_waiter *w)
{
    uintptr_t v = sn_task_lock_waiters(t);
    if (v == SN_WAITERS_DONE)
        return false;
    sn_waiter *newest = (sn_waiter *)v;
    sn_waiters_unlink(&newest, w);
    sn_task_unlock_waiters(t, (uintptr_t)newest);
    return true;
}

static void fire_waiters(sinew_task *t, intptr_t result)
{
    sn_waiter *newest = (sn_waiter *)sn_task_lock_waiters(t), *oldest = NULL;
    while (newest) { /* the list is newest first; they are woken in the order in which they came */
        sn_waiter *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
        if (oldest->fire == sn_as_completed_fire)
            sn_as_completed_note(oldest);
    }
    sn_task_unlock_waiters(t, SN_WAITERS_DONE | SN_WAITERS_LOCK); /* W1; still locked */
    while (oldest) {
        sn_waiter *next = oldest->next; /* firing gives the node away */
        oldest->fire(oldest, result);
        oldest = next;
    }
    sn_task_unlock_waiters(t, SN_WAITERS_DONE);
}

void sn_task_publish(sinew_task *t, intptr_t result)
{
    t->state = SN_TASK_DONE;
    t->result = result;
    uintptr_t none = 0;
    if (SN_UNLIKELY(!sn_cas(&t->waiters, &none, SN_WAITERS_DONE, acq_rel))) /* W1 */
        fire_waiters(t, result);
}

intptr_t sn_task_finish(sinew_task *t, intptr_t result)
{
    sn_worker *w = sn_worker_self();
    sn_runtime *rt = w->runtime;
    struct sn_group *group = t->flags & SN_TASK_GROUP ? t->ext->group : NULL;
    bool is_main = t == rt->main_task;
    result = sn_cancel_end(t, result);
    /* Counted before it is published, so that who has awaited a task finds it counted. */
    sn_bump(&w->counters.finished[t->flags / SN_TASK_WAVE], 1);
    sn_tsan_release(t);
    sn_task_publish(t, result);
    if (group)
        sn_group_child_done(group, t, result);
    if (t->flags & SN_TASK_HELPER)
        sn_map_helper_ended(t);
    sn_task_unref(t);
    if (SN_UNLIKELY(is_main))
        sn_shutdown_begin(rt, result);
    else if (SN_UNLIKELY(sn_load(&rt->stopping, relaxed)))
        sn_shutdown_step(rt);
    return result;
}

intptr_t sn_task_end_shared(sinew_task *t, intptr_t result)
{
    sn_bump(&sn_worker_self()->counters.in_place_slow, 1);
    result = sn_task_finish(t, result);
    if (result < 0)
        sn_task_asked(t);
    sn_task_unref(t);
    return result;
}

void sn_task_unref(sinew_task *t)
{
    if (sn_sub(&t->references, 1, acq_rel) != 1)
        return;
    bool done = sn_load(&t->waiters, relaxed) == SN_WAITERS_DONE; /* else a future that nobody completed */
    if (SN_UNLIKELY(done && t->result < 0))
        sn_report_unasked(t);
    sn_task_free_ext(t);
    sn_store(&t->waiters, 0, relaxed);
    sn_runtime *rt = sn_task_runtime(t);
    sn_worker *w = sn_worker_self();
    if (SN_LIKELY(w && w->runtime == rt)) {
        sn_bump(&w->counters.freed, 1);
        sn_task_free(w, t);
    } else if (rt) {
        sn_task_pool_put(rt->task_pool, t);
    } else {
        free(t);
    }
}

sinew_task *sinew_ref(sinew_task *t)
{
    if (t) {
        sn_task_check_handle("sinew_ref", t, false);
        sn_add(&t->references, 1, relaxed); /* the caller's own reference keeps it alive */
    }
    return t;
}

void sinew_detach(sinew_task *t)
{
    if (t) {
        sn_task_check_handle("sinew_detach", t, true);
        sn_task_unref(t);
    }
}

sinew_task *sinew_self(void)
{
    sn_worker *w = sn_worker_self();
    return w ? w->fiber->task : NULL;
}

bool sinew_done(const sinew_task *t)
{
    if (!t)
        return true;
    sn_task_check_handle("sinew_done", t, false);
    bool done = sn_task_done(t);
    if (done)
        sn_tsan_acquire(t);
    return done;
}

intptr_t sinew_result(sinew_task *t)
{
    if (!t)
        return -EINVAL;
    sn_task_check_handle("sinew_result", t, false);
    if (!sn_task_done(t))
        return -EINPROGRESS;
    sn_tsan_acquire(t);
    return sn_task_ask(t);
}
