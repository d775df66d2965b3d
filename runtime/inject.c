/* SPDX-License-Identifier: Apache-2.0 */
/* Tasks from outside; see inject.h. */
#include "runtime/inject.h"

#include "runtime/local.h"
#include "runtime/origin.h"

#include <sinew/runtime.h>
#include <stdlib.h>

sinew_task *sn_inject_make(sn_runtime *rt, sinew_fn fn, void *arg, uint32_t references)
{
    sinew_task *t = sn_task_pool_get(rt->task_pool);
    if (!t)
        return NULL;
    sn_store(&t->references_and_cancel, references, relaxed);
    t->fn = fn;
    t->arg = arg;
    t->place = (uint64_t)SN_TASK_FREE << SN_TASK_STATE_SHIFT; /* no task before it is injected: in no listing */
    if (!sn_task_extend(t)) {                                 /* for the message */
        sn_task_pool_put(rt->task_pool, t);
        return NULL;
    }
    return t;
}

void sn_inject_drop(sn_runtime *rt, sinew_task *t)
{
    sn_task_free_ext(t);
    sn_store(&t->references, 0, relaxed);
    sn_task_pool_put(rt->task_pool, t);
}

bool sn_inject(sn_runtime *rt, sinew_task *t)
{
    ck_spinlock_lock(&rt->inject_lock);
    bool open = !rt->inject_closed;
    unsigned parity = sn_load(&rt->wave, relaxed) & 1;
    sn_runtime *guest = NULL;
    if (open) {
        guest = sn_guest_enter(rt);
        sn_bump(&rt->injected[parity], 1); /* under the lock */
    }
    ck_spinlock_unlock(&rt->inject_lock);
    if (!open)
        return false;
    if (parity)
        t->flags |= SN_TASK_WAVE;
    __atomic_store_n(&t->state, (uint8_t)SN_TASK_NEW, __ATOMIC_RELAXED); /* listings look at it meanwhile */
    sn_tsan_release(t);
    t->ext->message.kind = SN_MESSAGE_TASK;
    t->ext->message.subject = t;
    sn_post_to_any(rt, &t->ext->message);
    sn_guest_leave(guest);
    return true;
}

void sn_inject_arrived(sn_worker *w, sinew_task *t)
{
    if (!(t->flags & SN_TASK_PINNED) && sn_runq_reserve(&w->runq))
        sn_task_push(w, t);
    else
        sn_pinned_push(w, &t->ext->message);
}

int sn_inject_spawn(sn_runtime *rt, sinew_fn fn, void *arg, const void *caller, sinew_task **out)
{
    if (sn_load(&rt->stopping, acquire))
        return -ESHUTDOWN;
    sinew_task *t = sn_inject_make(rt, fn, arg, 2);
    if (!t)
        return -ENOMEM;
    t->ext->values = sn_context_ref(sn_context_current());
    if (rt->debug)
        sn_origin_note(t, caller);
    if (!sn_inject(rt, t)) {
        sn_inject_drop(rt, t);
        return -ESHUTDOWN;
    }
    *out = t;
    return 0;
}

sinew_task *sinew_spawn_on(sinew_runtime *runtime, sinew_fn fn, void *arg)
{
    sn_runtime *rt = (sn_runtime *)(void *)runtime;
    if (!rt || !fn)
        return NULL;
    sn_worker *w = sn_worker_of_task();
    if (w && w->runtime == rt)
        return sinew_spawn(fn, arg);
    sinew_task *t = NULL;
    return sn_inject_spawn(rt, fn, arg, __builtin_return_address(0), &t) == 0 ? t : NULL;
}
