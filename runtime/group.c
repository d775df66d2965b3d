/* SPDX-License-Identifier: Apache-2.0 */
/* Task groups; the states stand in group.h. */
#include "runtime/group.h"

#include "runtime/await.h"
#include "runtime/cancel.h"
#include "runtime/inspect.h"
#include "runtime/local.h"
#include "runtime/origin.h"
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
    group->begun = self ? sn_load(&self->cancel, relaxed) : 0;
    ck_spinlock_init(&group->lock);
#if SN_DEBUG
    if (self) {
        sn_fiber *f = sn_worker_self()->fiber;
        group->outer_open = f->open_groups;
        f->open_groups = group;
    }
#endif
}

/* The group stops: its children are cancelled, and the owner where it is in the group's body. The lock is held. */
static void stop(struct sn_group *g)
{
    if (!g->cancelled) {
        g->cancelled = true;
        for (sinew_task *t = g->first; t; t = t->ext->sibling_next)
            sn_cancel_request(t, SN_CANCEL_PENDING, true);
    }
    if (g->waiting || g->told_owner)
        return;
    g->told_owner = true;
    uint32_t old = sn_load(&g->owner->cancel, relaxed), changed;
    do {
        g->counted = (old & SN_CANCEL_TELLERS) != SN_CANCEL_TELLERS;
        changed = (old | SN_CANCEL_GROUP) + (g->counted ? SN_CANCEL_TELLER : 0);
    } while (!sn_cas(&g->owner->cancel, &old, changed, acq_rel));
    sn_cancel_nudge(g->owner);
}

/* The owner was asked in its wait: passes it on, once. */
static void pass_on(struct sn_group *g, int code)
{
    ck_spinlock_lock(&g->lock);
    if (!g->cancelled) {
        g->cancelled = true;
        for (sinew_task *t = g->first; t; t = t->ext->sibling_next)
            sn_cancel_forward(g->owner, t, code); /* told or not: the wait itself answers the request, or leaves it */
    }
    ck_spinlock_unlock(&g->lock);
}

/* What the group told its owner ends with the body. If a group around this one has asked meanwhile, that is (again) to
 * be delivered: one delivery in the body may have served both. */
static void take_back(struct sn_group *g)
{
    uint32_t old = sn_load(&g->owner->cancel, relaxed), changed;
    do {
        changed = g->counted ? old - SN_CANCEL_TELLER : old;
        if (sn_cancel_more(changed, g->begun, SN_CANCEL_TELLERS, SN_CANCEL_GROUP))
            changed |= SN_CANCEL_GROUP;
        else
            changed &= ~SN_CANCEL_GROUP;
    } while (!sn_cas(&g->owner->cancel, &old, changed, acq_rel));
}

void sinew_group_cancel(sinew_group *g)
{
    struct sn_group *group = group_of(g);
    if (!group)
        return;
    ck_spinlock_lock(&group->lock);
    stop(group);
    ck_spinlock_unlock(&group->lock);
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
    if (!refused && w->runtime->debug)
        sn_origin_note(t, __builtin_return_address(0));
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
    bool failed = result < 0 && result != -ECANCELED;
    ck_spinlock_lock(&g->lock);
    if (failed && g->error != 0) { /* reported before the group can end */
        ck_spinlock_unlock(&g->lock);
        sn_report_failed(sn_task_runtime(t), t, "a task of a group failed after another one had", result);
        failed = false;
        ck_spinlock_lock(&g->lock);
    }
    sinew_task *next = t->ext->sibling_next, *previous = t->ext->sibling_previous;
    *(previous ? &previous->ext->sibling_next : &g->first) = next;
    *(next ? &next->ext->sibling_previous : &g->last) = previous;
    g->children--;
    if (failed) {
        g->error = (int)result;
        stop(g);
    }
    sn_tsan_acquire(t); /* the child's last release, passed on by whoever finishes it */
    sn_tsan_release(g);
    sn_fiber *wake = g->waiting && g->children == 0 ? g->owner_fiber : NULL;
    ck_spinlock_unlock(&g->lock); /* the group may be gone after this */
    if (wake)
        sn_unpark(wake);
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
        pass_on(p->group, sn_cancel_code(asked));
    }
}

const sn_wait_kind sn_kind_group = {NULL,           forward, NULL, "sinew_group", -1, offsetof(struct sn_group, owner),
                                    SN_AWAITER_TASK};

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
    if (g->told_owner)
        take_back(g);
    ck_spinlock_unlock(&g->lock);

    uint32_t asked = run_unstarted(g, f);
    for (;;) {
        /* Once asked, later requests stay pending until the group has ended. */
        sn_interrupt_poll(f);
        uint32_t bits = asked ? 0 : sn_cancel_take_bits(f->task);
        if (bits) {
            asked = bits;
            pass_on(g, sn_cancel_code(bits));
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
    f->fresh = true;
    if (error) { /* it wins; what others than this group asked (a task, a scope, a group around) stays pending */
        sn_or(&g->owner->cancel, asked & ~SN_CANCEL_DEADLOCK, acq_rel);
        return error;
    }
    if (asked) /* this return also tells what was asked after that */
        asked |= sn_cancel_take_bits(g->owner);
    return sn_cancel_code(asked);
}
