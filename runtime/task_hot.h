/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hot paths of tasks, inlined where they are used: make one, take an unstarted one out of the queue, run it in
 * place, finish it. Every store here is paid for by each spawned task; task.h says which fields the pool leaves ready.
 */
#ifndef SN_TASK_HOT_H
#define SN_TASK_HOT_H

#include "runtime/cancel.h"
#include "runtime/task.h"

SN_INLINE uint8_t sn_wave_flag(const sn_worker *w)
{
    return sn_load(&((sn_worker *)(uintptr_t)w)->mode, relaxed) & SN_MODE_WAVE;
}

/* Back to the worker's pool; no read-modify-write, no count. */
SN_INLINE void sn_task_free(sn_worker *w, sinew_task *t)
{
#if SN_DEBUG
    t->state = SN_TASK_FREE;
    sn_store(&t->references, 0, relaxed);
    sn_task_pool_put(w->runtime->task_pool, t);
#else
    t->state = SN_TASK_FREE;
    t->next = w->free_tasks;
    w->free_tasks = t;
#endif
}

/* Makes a descriptor that nobody else has a NEW task with two references, not queued. */
SN_INLINE void sn_task_init(sn_worker *w, sinew_task *t, sinew_fn fn, void *arg)
{
    /* Plain: others see the descriptor through a queue, or through a handle that their caller passed on. */
    sn_store(&t->references_and_cancel, 2, relaxed);
    t->fn = fn;
    t->arg = arg;
    uint64_t place = w->place | (uint32_t)sn_load(&w->runq.tail, relaxed);
    if (SN_LIKELY(!sn_wave_flag(w))) {
        sn_bump(&w->counters.spawned[0], 1);
    } else {
        place |= (uint64_t)SN_TASK_WAVE << SN_TASK_FLAGS_SHIFT;
        sn_bump(&w->counters.spawned[1], 1);
    }
    t->place = place;
    sn_tsan_release(t);
}

/* The same with a descriptor from the pool; NULL: no memory. */
SN_INLINE sinew_task *sn_task_make(sn_worker *w, sinew_fn fn, void *arg)
{
    sinew_task *t = w->free_tasks;
    if (SN_UNLIKELY(!t)) {
        if (!sn_task_pool_refill(w))
            return NULL;
        t = w->free_tasks;
    }
    w->free_tasks = t->next;
    sn_task_init(w, t, fn, arg);
    return t;
}

/* Takes back one that nobody has seen. */
SN_INLINE void sn_task_unmake(sn_worker *w, sinew_task *t)
{
    sn_bump(&w->counters.finished[t->flags / SN_TASK_WAVE], 1);
    sn_bump(&w->counters.freed, 1);
    sn_task_free(w, t);
}

/* If the task waits unstarted in the caller's own queue, takes it out: the caller must run it. */
SN_INLINE bool sn_task_take(sn_worker *w, sinew_task *t)
{
    if (SN_UNLIKELY((t->flags & (SN_TASK_PINNED | SN_TASK_OWN_STACK)) ||
                    sn_load(&t->queue_worker, relaxed) != (uint16_t)w->index))
        return false;
    return sn_runq_take(&w->runq, (sn_entry)t, t->queue_position);
}

SN_INLINE void sn_task_begin(sn_fiber *f, sinew_task *t)
{
    SN_DCHECK(t->state == SN_TASK_NEW, "a task is started twice");
    f->task = t;
    f->fresh = true;
#if SN_DEBUG
    t->state = SN_TASK_STARTED; /* else NEW means both, which is enough for listings */
#endif
    sn_store(&t->fiber, f, relaxed); /* k1 in cancel.h */
}

/* Must the task end before it begins? */
SN_INLINE bool sn_task_stillborn(const sn_worker *w, sinew_task *t)
{
    return SN_UNLIKELY((sn_load(&t->cancel, acquire) & SN_CANCEL_CANCELS) ||
                       ((t->flags & SN_TASK_WAVE) != sn_wave_flag(w) && !(t->flags & SN_TASK_CALLBACK)));
}

#if SN_TSAN
intptr_t sn_task_body(sn_fiber *f, sinew_task *t); /* in a context of its own: see sanitizer.h */
#else
SN_INLINE intptr_t sn_task_body(sn_fiber *f, sinew_task *t)
{
#if SN_DEBUG
    struct sn_group *groups = f->open_groups;
    int32_t inner = f->open_inner;
    intptr_t result = t->fn(t->arg);
    SN_CHECK(f->open_groups == groups,
             "a task returned without waiting for its group; call sinew_group_wait before it returns");
    SN_CHECK(f->open_inner == inner,
             "a task returned inside of a timeout scope or an as_completed iteration; call sinew_timeout_end or "
             "sinew_as_completed_end before every return");
    return result;
#else
    (void)f;
    return t->fn(t->arg);
#endif
}
#endif

/* Runs a task that was taken as the only one on its fiber; the caller finishes it. */
SN_INLINE intptr_t sn_task_call_alone(const sn_worker *w, sn_fiber *f, sinew_task *t)
{
    sn_task_begin(f, t);
    intptr_t result = sn_task_stillborn(w, t) ? -ECANCELED : sn_task_body(f, t);
    f->task = NULL;
    return result;
}

/* Around tasks that run on top of the current one, which `frame` describes. */
SN_INLINE void sn_frame_push(const sn_worker *w, sn_fiber *f, sn_frame *frame)
{
    frame->outer = f->frame;
    frame->task = f->task;
    frame->saved_errno = *w->errno_location;
#if SN_ASAN
    frame->stack = __builtin_frame_address(0);
#endif
    f->frame = frame;
}

SN_INLINE void sn_frame_pop(sn_fiber *f, const sn_frame *frame)
{
    f->task = frame->task;
    f->frame = frame->outer;
    *sn_worker_self()->errno_location = frame->saved_errno;
}

/* Runs a task that was taken on top of the current one; the caller finishes it. */
SN_INLINE intptr_t sn_task_call(const sn_worker *w, sn_fiber *f, sinew_task *t, sn_frame *frame)
{
    sn_frame_push(w, f, frame);
    sn_task_begin(f, t);
    intptr_t result = sn_task_stillborn(w, t) ? -ECANCELED : sn_task_body(f, t);
    sn_frame_pop(f, frame);
    sn_tsan_acquire(t);
    return result;
}

/*
 * A task has just run within the call of somebody who holds a reference. Did nobody else get one, nor ask it anything?
 * Then it needs no end that others could see.
 */
SN_INLINE bool sn_task_unshared(sn_worker *w, sinew_task *t)
{
    return SN_LIKELY(sn_load(&t->references_and_cancel, acquire) == 2 && !t->ext && sn_load(&w->mode, relaxed) == 0);
}

SN_INLINE void sn_task_count_unshared(sn_worker *w)
{
    sn_bump(&w->counters.in_place[0], 1); /* mode is 0, so this is the wave it was spawned in */
}

intptr_t sn_task_end_shared(sinew_task *t, intptr_t result);

/* Ends such a task and uses that reference up. Returns the result. */
SN_INLINE intptr_t sn_task_end_in_place(sn_worker *w, sinew_task *t, intptr_t result)
{
    if (SN_UNLIKELY(!sn_task_unshared(w, t)))
        return sn_task_end_shared(t, result);
    sn_task_count_unshared(w);
    sn_task_free(w, t);
    return result;
}

#endif
