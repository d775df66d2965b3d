/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker's loop and its queues.
 *
 * A fiber that suspends switches straight to the next ready one (fiber.c); the loop here, on the thread's own stack, is
 * visited when nothing is ready, and every SN_BUDGET switches, so that timers, I/O and messages are looked at however
 * busy the tasks are.
 *
 *     look around (messages, timers, driver) -> run what is ready -> steal -> sleep
 *
 * Rejected: a fiber of its own for the loop (one more switch for nothing); polling at every switch (a clock reading, 25
 * ns, each).
 */
#include "runtime/worker.h"

#include "runtime/cancel.h"
#include "runtime/clock.h"
#include "runtime/inject.h"
#include "runtime/kick.h"
#include "runtime/switch.h"
#include "runtime/task.h"

#include <sched.h>

_Thread_local sn_worker *sn_tls_worker __attribute__((tls_model("initial-exec"), visibility("hidden")));

SN_NOINLINE sn_worker *sn_worker_self_slow(void)
{
    sn_worker *w = sn_tls_worker;
    __asm__ volatile("" : "+r"(w)::"memory");
    return w;
}

static sn_entry pop_pinned(sn_worker *w)
{
    sn_message *m = w->pinned_first;
    if (!m)
        return 0;
    w->pinned_first = m->next;
    return m->kind == SN_MESSAGE_FIBER ? (sn_entry)m->subject | SN_ENTRY_FIBER : (sn_entry)m->subject;
}

void sn_pinned_push(sn_worker *w, sn_message *m)
{
    m->next = NULL;
    m->behind = (uint32_t)sn_load(&w->runq.tail, relaxed);
    if (w->pinned_first)
        w->pinned_last->next = m;
    else
        w->pinned_first = m;
    w->pinned_last = m;
}

sn_entry sn_next_pinned(sn_worker *w)
{
    uint32_t head = (uint32_t)sn_load(&w->runq.head, relaxed); /* too small at worst: then the next time */
    if ((int32_t)(head - w->pinned_first->behind) >= 0)
        return pop_pinned(w);
    sn_entry e = sn_runq_pop(&w->runq);
    return e ? e : pop_pinned(w);
}

void sn_post(sn_worker *to, sn_message *m)
{
    ck_stack_push_mpmc(&to->inbox, &m->link);
    atomic_thread_fence(memory_order_seq_cst); /* p1 before p2 in idle.h; partner: s1, fence, s2 */
    if (sn_load(&to->asleep, relaxed))
        to->runtime->driver->wake(to->driver);
}

void sn_ready(sn_fiber *f)
{
    sn_worker *w = sn_worker_self();
    sn_runtime *rt = f->runtime;
    if (SN_LIKELY(w != NULL && w->runtime == rt && f->pinned < 0)) {
        sn_push(w, f);
        return;
    }
    f->message.kind = SN_MESSAGE_FIBER;
    f->message.subject = f;
    if (f->pinned >= 0 && w == &rt->workers[f->pinned])
        sn_pinned_push(w, &f->message);
    else if (f->pinned >= 0)
        sn_post(&rt->workers[f->pinned], &f->message);
    else
        sn_post_to_any(rt, &f->message);
}

void sn_post_to_any(sn_runtime *rt, sn_message *m)
{
    ck_stack_push_mpmc(&rt->inbox, &m->link);
    atomic_thread_fence(memory_order_seq_cst); /* p1 before p2, as for a push; partner: s1, fence, s2 in idle.h */
    sn_wake_one(rt);
}

static void drain(sn_worker *w, ck_stack_t *inbox)
{
    if (SN_LIKELY(CK_STACK_ISEMPTY(inbox)))
        return;
    ck_stack_entry_t *newest = ck_stack_batch_pop_upmc(inbox), *oldest = NULL;
    while (newest) {
        ck_stack_entry_t *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest) {
        sn_message *m = SN_CONTAINER(oldest, sn_message, link);
        oldest = oldest->next; /* handing the message on gives it away */
        if (m->kind == SN_MESSAGE_FIBER && ((sn_fiber *)m->subject)->pinned < 0) {
            sn_push(w, m->subject);
        } else if (m->kind == SN_MESSAGE_TASK) {
            sn_inject_arrived(w, m->subject);
        } else {
            sn_pinned_push(w, m);
        }
    }
}

static void deliver_interrupt(sn_runtime *rt)
{
    if (sn_exchange(&rt->interrupted, 0, acq_rel)) {
        rt->interrupt_handled = true;
        sinew_cancel(rt->main_task);
    }
}

static void take_stolen(void *arg, sn_entry e)
{
    sn_worker *w = arg;
    if (!(e & SN_ENTRY_FIBER)) {
        sinew_task *t = (sinew_task *)e;
        t->queue_position = (uint32_t)sn_load(&w->runq.tail, relaxed);
        sn_store(&t->queue_worker, (uint16_t)w->index, relaxed);
    }
    bool pushed = sn_runq_push(&w->runq, e);
    SN_CHECK(pushed, "a thief took more than it had room for");
    sn_bump(&w->counters.tasks_stolen, 1);
}

/* Takes the older half of the victim's queue, as far as there is room for it. */
static bool steal_from(sn_worker *w, sn_worker *victim)
{
    uint32_t length = (uint32_t)sn_runq_length(&w->runq);
    uint32_t room = w->runq.mask + 1 - length;
    while (room < SN_STEAL_MOST && sn_runq_length(&victim->runq) / 2 > room && sn_runq_widen(&w->runq))
        room = w->runq.mask + 1 - length;
    if (room == 0)
        return false;
    sn_steal result = sn_runq_steal(&victim->runq, room < SN_STEAL_MOST ? room : SN_STEAL_MOST, take_stolen, w);
    if (result != SN_STEAL_GOT) {
        sn_bump(&w->counters.steals_failed, 1);
        w->steals_lost += result == SN_STEAL_BUSY;
        return false;
    }
    w->steals_lost = 0;
    sn_bump(&w->counters.steals, 1);
    return true;
}

/* Takes a share of a map. */
static bool take_token(sn_worker *w, sn_worker *victim)
{
    for (unsigned i = 0; i < SN_TOKENS; i++) {
        sinew_task *t = sn_load(&victim->tokens[i], acquire);
        if (t && sn_runq_reserve(&w->runq) && sn_cas(&victim->tokens[i], &t, NULL, acq_rel)) {
            sn_task_push(w, t);
            sn_bump(&w->counters.tasks_stolen, 1);
            return true;
        }
    }
    return false;
}

/* Tries each other worker once, from a random one on. False: all were empty or busy. */
static bool steal(sn_worker *w)
{
    sn_runtime *rt = w->runtime;
    uint32_t n = rt->workers_count;
    if (n == 1)
        return false;
    uint32_t first = sn_random_below(&w->random, n);
    for (uint32_t i = 0; i < n; i++) {
        sn_worker *victim = &rt->workers[(first + i) % n];
        if (take_token(w, victim)) /* its own, too: the map may have moved on without it */
            return true;
        if (victim != w && sn_runq_length(&victim->runq) != 0 && steal_from(w, victim))
            return true;
    }
    return false;
}

/* A queue that is busy again and again is in the hands of a thread that has lost its CPU, perhaps to this one. */
static bool steal_or_step_aside(sn_worker *w)
{
    if (steal(w))
        return true;
    if (SN_UNLIKELY(w->steals_lost >= SN_STEALS_LOST)) {
        w->steals_lost = 0;
        sched_yield();
    }
    return false;
}

unsigned sn_help_io(sn_worker *w, sn_worker *other, sinew_time now, bool *kick)
{
    if (other == w || sn_load(&other->asleep, relaxed) || now - sn_load(&other->looked_at, relaxed) < SN_STUCK_NS ||
        sn_load(&other->counters.completed, relaxed) == sn_load(&other->counters.submitted, relaxed))
        return 0;
    return w->runtime->driver->help(other->driver, kick);
}

/* Has everything stood still (the process stopped, crowded out, its machine paused)? A timer was due long ago, and
 * after that nobody has come by. What came in meanwhile may have been in time, and who waits for it with a limit is not
 * to be told that it was not. So I/O goes before timers then, and they wait until those have run whom it made ready. */
static bool stood_still(sn_timers *timers, sinew_time since, sinew_time now)
{
    sinew_time earliest = sn_timers_earliest(timers);
    return now - earliest >= SN_LATE_NS && earliest > since;
}

void sn_help_timers(sn_worker *w, sn_worker *other, sinew_time since, sinew_time now)
{
    if (SN_UNLIKELY(stood_still(&other->timers, since, now)))
        w->stall_seen_at = now; /* the other one is on its way, perhaps */
    if (now - w->stall_seen_at >= SN_HELP_NS)
        sn_timers_expire(&other->timers, now, true);
}

static void expire_timers(sn_worker *w, sinew_time since, sinew_time now)
{
    if (w->timers_held) {
        w->timers_held = sn_runq_length(&w->runq) != 0 && sn_load(&w->runq.head, relaxed) < w->timers_held_until;
    } else if (SN_UNLIKELY(stood_still(&w->timers, since, now))) {
        while (w->runtime->driver->poll(w->driver, false) > 0)
            ; /* a ring gives out only so many at once; it ends because nobody begins another operation meanwhile */
        w->timers_held = sn_runq_length(&w->runq) != 0 || w->pinned_first;
        w->timers_held_until = sn_load(&w->runq.tail, relaxed);
    }
    if (!w->timers_held)
        sn_timers_expire(&w->timers, now, false);
}

/* A worker that always has something to do never comes to steal, so now and then it looks after those that compute for
 * long. */
static SN_NOINLINE void help_stuck(sn_worker *w, sinew_time now)
{
    sn_runtime *rt = w->runtime;
    bool kicked = false, others = now - w->helped_at > SN_HELP_NS;
    sinew_time since = w->helped_at;
    for (uint32_t i = 0; i < rt->workers_count; i++) {
        bool kick = false;
        sn_help_io(w, &rt->workers[i], now, &kick);
        if (kick)
            sn_kick(&rt->workers[i]);
        kicked |= kick;
    }
    w->io_helped_at = kicked ? now - SN_HELP_IO_NS + SN_KICKED_NS : now;
    if (!others)
        return;
    w->helped_at = now;
    for (uint32_t i = 0; i < rt->workers_count; i++) {
        sn_worker *other = &rt->workers[i];
        if (other == w || sn_load(&other->asleep, relaxed) || now - sn_load(&other->looked_at, relaxed) < SN_HELP_NS)
            continue;
        sn_help_timers(w, other, since, now);
        if (sn_runq_length(&other->runq) != 0)
            steal_from(w, other);
    }
}

void sn_look_around(sn_worker *w)
{
    sn_runtime *rt = w->runtime;
    w->budget = SN_BUDGET;
    w->looking = true;
    sn_bump(&w->counters.polls, 1);
    sn_tsan_signals(w);
    drain(w, &w->inbox);
    drain(w, &rt->inbox);
    sn_task_pool_balance(w);
    if (SN_UNLIKELY(sn_load(&rt->interrupted, relaxed)))
        deliver_interrupt(rt);
    sinew_time now = sn_clock_now(), before = sn_load(&w->looked_at, relaxed);
    w->fair_at = now;
    sn_store(&w->looked_at, now, relaxed);
    if (SN_UNLIKELY(now - w->io_helped_at > SN_HELP_IO_NS))
        help_stuck(w, now);
    if (sn_timers_earliest(&w->timers) <= now)
        expire_timers(w, before, now);
    /* With nothing else to do the next driver call is the one that waits: let it submit, too. */
    rt->driver->poll(w->driver, sn_runq_length(&w->runq) == 0);
    w->looking = false;
    if (sn_runq_length(&w->runq) + (w->pinned_first != NULL) > 1) /* the first is ours */
        sn_notify(w);
}

static void run(sn_worker *w, sn_entry e)
{
    if (w->searching)
        sn_idle_found(w);
    sn_fiber *f = e & SN_ENTRY_FIBER ? (sn_fiber *)(e & ~SN_ENTRY_FIBER) : sn_task_fiber(w, (sinew_task *)e);
    if (f)
        sn_switch(w, &w->sched, f, sn_after_nothing);
}

void sn_worker_loop(sn_worker *w)
{
    sn_runtime *rt = w->runtime;
    while (!sn_load(&rt->stop, acquire)) {
        sn_look_around(w);
        sn_entry e = sn_next(w);
        if (e)
            run(w, e);
        else if (!steal_or_step_aside(w) && !sn_idle_spin(w))
            sn_idle_sleep(
                w); /* looks at all queues again before it sleeps, so a busy victim is not taken for an empty one */
    }
}
