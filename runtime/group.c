/* SPDX-License-Identifier: Apache-2.0 */
/* Task groups; the states stand in group.h. */
#include "runtime/group.h"

#include "runtime/await.h"
#include "runtime/cancel.h"
#include "runtime/local.h"
#include "runtime/name.h"
#include "runtime/report.h"
#include "runtime/switch.h"
#include "runtime/task_hot.h"

_Static_assert(sizeof(struct sn_group) <= sizeof(sinew_group), "sinew_group is too small");

#define GROUP_MAGIC UINT64_C(0x67726f7570736e21)

enum { LOOK_AT = 16 }; /* children tried for an in-place run before the owner parks */

static struct sn_group *group_of(sinew_group *g)
{
    struct sn_group *group = (struct sn_group *)(void *)g;
    return group && group->magic == GROUP_MAGIC ? group : NULL;
}

void sinew_group_init(sinew_group *g)
{
    if (!g)
        return;
    struct sn_group *group = (struct sn_group *)(void *)g;
    sinew_task *self = sinew_self();
    *group = (struct sn_group){.magic = self ? GROUP_MAGIC : 0, .owner = self};
    ck_spinlock_init(&group->lock);
#if SN_DEBUG
    if (self) {
        sn_fiber *f = sn_worker_self()->fiber;
        group->outer_open = f->open_groups;
        f->open_groups = group;
    }
#endif
}

/* The lock is held. */
static void cancel_children(struct sn_group *g, int code)
{
    g->cancelled = true;
    for (sinew_task *t = g->first; t; t = t->ext->sibling_next)
        sn_cancel_forward(t, code);
}

static void lock_and_cancel(struct sn_group *g, int code)
{
    ck_spinlock_lock(&g->lock);
    if (!g->cancelled)
        cancel_children(g, code);
    ck_spinlock_unlock(&g->lock);
}

void sinew_group_cancel(sinew_group *g)
{
    struct sn_group *group = group_of(g);
    if (group)
        lock_and_cancel(group, -ECANCELED);
}

int sinew_group_spawn(sinew_group *g, sinew_fn fn, void *arg)
{
    sn_worker *w = sn_worker_of_task();
    if (!w)
        return -EPERM;
    struct sn_group *group = group_of(g);
    if (!group || !fn)
        return -EINVAL;
    sinew_task *t = sn_runq_reserve(&w->runq) ? sn_task_make(w, fn, arg) : NULL;
    if (!t)
        return -ENOMEM;
    bool refused = !sn_task_extend(t);
    if (!refused && sn_task_has_values(w->fiber->task))
        t->ext->values = sn_context_ref(w->fiber->task->ext->values);
    if (!refused) {
        t->flags |= SN_TASK_GROUP;
        t->ext->group = group;
        ck_spinlock_lock(&group->lock);
        refused = group->cancelled;
        if (!refused) {
            t->ext->sibling_previous = group->last;
            if (group->last)
                group->last->ext->sibling_next = t;
            else
                group->first = t;
            group->last = t;
            group->children++;
        }
        ck_spinlock_unlock(&group->lock);
    }
    if (refused) {
        int code = t->ext ? -ECANCELED : -ENOMEM;
        t->flags &= (uint8_t)~SN_TASK_GROUP;
        sn_task_end_in_place(sn_worker_self(), t, code); /* it never was queued */
        return code;
    }
    sn_sub(&t->references, 1, relaxed); /* no handle */
    sn_task_push(w, t);
    return 0;
}

void sn_group_child_done(struct sn_group *g, sinew_task *t, intptr_t result)
{
    ck_spinlock_lock(&g->lock);
    sinew_task *next = t->ext->sibling_next, *previous = t->ext->sibling_previous;
    *(previous ? &previous->ext->sibling_next : &g->first) = next;
    *(next ? &next->ext->sibling_previous : &g->last) = previous;
    g->children--;
    bool failed = result < 0 && result != -ECANCELED;
    bool late = failed && g->error != 0;
    if (failed && !late) {
        g->error = (int)result;
        if (!g->cancelled)
            cancel_children(g, -ECANCELED);
        if (!g->waiting && !g->told_owner) {
            g->told_owner = true;
            sn_cancel_request(g->owner, SN_CANCEL_GROUP, false);
        }
    }
    sn_tsan_acquire(t); /* the child's last release, passed on by whoever finishes it */
    sn_tsan_release(g);
    sn_fiber *wake = g->waiting && g->children == 0 ? g->owner_fiber : NULL;
    ck_spinlock_unlock(&g->lock); /* the group may be gone after this */
    if (wake)
        sn_unpark(wake);
    if (late)
        sn_report(sn_task_runtime(t), "a task of a group failed after another one had", sn_task_name(t), result);
}

typedef struct in_place {
    sn_frame frame;
    struct sn_group *group;
    uint32_t asked; /* bits of the cancel word */
} in_place;

static void forward(sn_frame *frame)
{
    in_place *p = SN_CONTAINER(frame, in_place, frame);
    uint32_t asked = sn_cancel_take_bits(frame->task);
    if (asked) {
        p->asked |= asked;
        lock_and_cancel(p->group, sn_cancel_code(asked));
    }
}

/* One of the oldest children, if it has not started and waits in this worker's queue; NULL: none of them. */
static sinew_task *take_child(struct sn_group *g, sn_worker *w)
{
    sinew_task *taken = NULL;
    ck_spinlock_lock(&g->lock);
    unsigned looked = 0;
    for (sinew_task *t = g->first; t && looked < LOOK_AT && !taken; t = t->ext->sibling_next, looked++)
        if (sn_task_take(w, t))
            taken = t;
    ck_spinlock_unlock(&g->lock);
    return taken;
}

/* Returns what the owner was asked meanwhile. */
static uint32_t run_unstarted(struct sn_group *g, sn_fiber *f)
{
    uint32_t asked = 0;
    sn_worker *w = sn_worker_self();
    while (!asked && sn_task_has_room(w, f)) {
        if (--w->budget <= 0) {
            sn_fair(w, f);
            w = sn_worker_self();
        }
        sinew_task *t = take_child(g, w);
        if (!t)
            break;
        in_place p = {.frame.poll = forward, .group = g};
        sn_task_finish(t, sn_task_call(w, f, t, &p.frame));
        asked = p.asked;
        w = sn_worker_self();
    }
    return asked;
}

int sinew_group_wait(sinew_group *group)
{
    sn_worker *w = sn_worker_of_task();
    if (!w)
        return -EPERM;
    struct sn_group *g = group_of(group);
    if (!g)
        return -EINVAL;
    sn_fiber *f = w->fiber;
    if (g->owner != f->task)
        return -EPERM;
    ck_spinlock_lock(&g->lock);
    g->waiting = true;
    g->owner_fiber = f;
    if (g->told_owner) /* a child failed and the owner has not met a checkpoint since; it has now */
        sn_and(&g->owner->cancel, ~SN_CANCEL_GROUP, acq_rel);
    ck_spinlock_unlock(&g->lock);

    uint32_t asked = run_unstarted(g, f);
    for (;;) {
        /* Once asked, later requests stay pending until the group has ended. */
        sn_interrupt_poll(f);
        uint32_t bits = asked ? 0 : sn_cancel_take_bits(f->task);
        if (bits) {
            asked = bits;
            lock_and_cancel(g, sn_cancel_code(bits));
        }
        ck_spinlock_lock(&g->lock);
        bool over = g->children == 0;
        ck_spinlock_unlock(&g->lock);
        if (over)
            break;
        sn_park(sn_worker_self(), f);
    }
    sn_tsan_acquire(g);
    g->magic = 0;
#if SN_DEBUG
    for (struct sn_group **at = &f->open_groups; *at; at = &(*at)->outer_open)
        if (*at == g) {
            *at = g->outer_open;
            break;
        }
#endif
    int error = g->error;
    if (error && asked) /* the error wins; a request from outside (or of a group around this one) stays pending */
        sn_or(&g->owner->cancel, asked & (SN_CANCEL_PENDING | SN_CANCEL_GROUP), acq_rel);
    f->fresh = true;
    return error ? error : sn_cancel_code(asked);
}
