/* SPDX-License-Identifier: Apache-2.0 */
/* Sleeping and waking workers. The columns stand in idle.h, the argument in runtime/README.md. */
#include "runtime/idle.h"

#include "runtime/clock.h"
#include "runtime/deadlock.h"
#include "runtime/kick.h"
#include "runtime/worker.h"

void sn_idle_init(sn_idle *idle)
{
    memset(idle, 0, sizeof *idle);
    ck_spinlock_init(&idle->lock);
}

static uint32_t sleeping(sn_runtime *rt)
{
    return (uint32_t)(sn_load(&rt->idle.word, seq_cst) >> 32);
}

void sn_wake_one(sn_runtime *rt)
{
    sn_idle *idle = &rt->idle;
    uint64_t word = sn_load(&idle->word, relaxed);
    do {
        if (!sn_idle_wants_wake(word))
            return;
    } while (!sn_cas(&idle->word, &word, word + SN_IDLE_SEARCHING, seq_cst)); /* one searcher at a time */
    ck_spinlock_lock(&idle->lock);
    sn_worker *w = idle->list;
    if (w) {
        idle->list = w->idle_next;
        w->idle_listed = false; /* it finds itself a searcher */
        sn_sub(&idle->word, SN_IDLE_SLEEPING, seq_cst);
    } else {
        sn_sub(&idle->word, SN_IDLE_SEARCHING, seq_cst);
    }
    ck_spinlock_unlock(&idle->lock);
    if (w) {
        sn_worker *self = sn_worker_self();
        if (self)
            sn_bump(&self->counters.wakes, 1);
        rt->driver->wake(w->driver);
    }
}

void sn_wake_all(sn_runtime *rt)
{
    for (uint32_t i = 0; i < rt->workers_count; i++)
        rt->driver->wake(rt->workers[i].driver);
}

static void enter_list(sn_worker *w)
{
    sn_idle *idle = &w->runtime->idle;
    ck_spinlock_lock(&idle->lock);
    w->idle_next = idle->list;
    idle->list = w;
    w->idle_listed = true;
    sn_add(&idle->word, SN_IDLE_SLEEPING - (w->searching ? SN_IDLE_SEARCHING : 0), seq_cst); /* s1 */
    w->searching = false;
    ck_spinlock_unlock(&idle->lock);
    sn_store(&w->asleep, 1, seq_cst);
}

/* `search`: leave as a searcher. Who was taken off the list by a waker is one in any case. */
static void leave_list(sn_worker *w, bool search)
{
    sn_idle *idle = &w->runtime->idle;
    sn_store(&w->asleep, 0, relaxed); /* a wake too many is harmless */
    ck_spinlock_lock(&idle->lock);
    if (w->idle_listed) {
        for (sn_worker **at = &idle->list; *at; at = &(*at)->idle_next)
            if (*at == w) {
                *at = w->idle_next;
                break;
            }
        w->idle_listed = false;
        sn_sub(&idle->word, SN_IDLE_SLEEPING - (search ? SN_IDLE_SEARCHING : 0), seq_cst);
        w->searching = search;
    } else {
        w->searching = true;
    }
    ck_spinlock_unlock(&idle->lock);
    /* d1; after `sleeping` has gone down: who reads the new count of departures and then `sleeping` finds this worker
     * gone, or back again with all that it has done. */
    sn_add(&idle->departures, 1, seq_cst);
}

static bool still_listed(sn_worker *w)
{
    ck_spinlock_lock(&w->runtime->idle.lock);
    bool listed = w->idle_listed;
    ck_spinlock_unlock(&w->runtime->idle.lock);
    return listed;
}

static bool any_queue_has_work(sn_runtime *rt)
{
    if (!CK_STACK_ISEMPTY(&rt->inbox))
        return true;
    for (uint32_t i = 0; i < rt->workers_count; i++)
        if (sn_worker_has_work(&rt->workers[i]))
            return true;
    return false;
}

bool sn_idle_all_quiet(sn_runtime *rt)
{
    return !any_queue_has_work(rt) && sleeping(rt) == rt->workers_count;
}

static bool own_work(sn_worker *w)
{
    return sn_worker_has_work(w) || w->pinned_first || !CK_STACK_ISEMPTY(&w->inbox) ||
           sn_load(&w->runtime->stop, acquire) || sn_load(&w->runtime->interrupted, relaxed);
}

/*
 * The monitor: while anybody works, one sleeper looks after the timers of those that compute, every SN_HELP_NS. Who
 * goes to sleep takes the post if it is free, and gives it up when nobody has left the list for a whole tick. Who
 * begins to work may be about to compute for long, so it wakes a sleeper if the post is free.
 *
 *   giving up                                beginning to work
 *   m1 monitor = 0                           d1 departures + 1
 *   m2 departures moved? -> take it again    d2 monitor == 0? -> wake a sleeper
 *
 *   impossible: m2 sees no departure and d2 sees a monitor; all four are seq_cst.
 */
static void ensure_monitor(sn_runtime *rt)
{
    if (sn_load(&rt->idle.monitor, seq_cst) == 0 && sleeping(rt) != 0) /* d2 */
        sn_wake_one(rt);
}

void sn_idle_found(sn_worker *w)
{
    sn_runtime *rt = w->runtime;
    w->searching = false;
    uint64_t before = sn_sub(&rt->idle.word, SN_IDLE_SEARCHING, seq_cst); /* f1 */
    if (before < SN_IDLE_SLEEPING)
        return; /* nobody to wake; who goes to sleep later looks at all queues after that */
    ensure_monitor(rt);
    /* Pushes that woke nobody because this worker was searching are its duty now. */
    if (!any_queue_has_work(rt)) {
        sn_fence_rare();             /* one of them may be on its way */
        if (!any_queue_has_work(rt)) /* f2 */
            return;
    }
    sn_wake_one(rt);
}

/* Fires timers of workers that are busy computing, and completes their I/O. */
static void help_others(sn_worker *w, sinew_time since)
{
    sn_runtime *rt = w->runtime;
    sinew_time now = sn_clock_now();
    bool kicked = false, ignored;
    unsigned completed = 0;
    for (uint32_t i = 0; i < rt->workers_count; i++) {
        sn_worker *other = &rt->workers[i];
        if (other != w && !sn_load(&other->asleep, relaxed))
            sn_help_timers(w, other, since, now);
        bool kick = false;
        completed += sn_help_io(w, other, now, &kick);
        if (kick)
            sn_kick(other);
        kicked |= kick;
    }
    if (!kicked || completed)
        return;
    for (sinew_time end = now + SN_KICKED_NS; !completed && sn_clock_now() < end; sn_pause())
        for (uint32_t i = 0; i < rt->workers_count; i++)
            completed += sn_help_io(w, &rt->workers[i], now, &ignored);
}

/* When the monitor looks again: soon if somebody who may compute has I/O in flight, unless there are more workers than
 * CPUs, which need them. */
static sinew_time next_tick(sn_runtime *rt)
{
    sinew_time now = sn_clock_now();
    if (sleeping(rt) == rt->workers_count)
        return now + SN_HELP_NS;
    for (uint32_t i = 0; i < rt->workers_count; i++) {
        sn_worker *o = &rt->workers[i];
        if (!sn_load(&o->asleep, relaxed) &&
            sn_load(&o->counters.completed, relaxed) != sn_load(&o->counters.submitted, relaxed))
            return now + (rt->cpu_each ? SN_STUCK_NS : SN_HELP_NS / 2);
    }
    return now + SN_HELP_NS;
}

/*
 * Spinning. To sleep and be woken takes two system calls and, on a virtual machine, an interrupt between CPUs: 20 us
 * and more until the woken worker runs. Programs whose parallel phases follow each other closely would pay that at
 * each, so a worker spins for a moment first, as a searcher, while others work. Only with a CPU for each worker,
 * without I/O of its own (which only a wait in the ring takes in), and as long as it pays: a spin in vain adds a debt,
 * one that found work takes one off; with SPIN_DEBT of them only one in SPIN_TRIAL is tried.
 */
enum { SPIN_NS = 30000, SPIN_PAUSES = 16, SPIN_DEBT = 8, SPIN_TRIAL = 32 };

static bool may_spin(sn_worker *w)
{
    return w->runtime->cpu_each && sleeping(w->runtime) + 1 < w->runtime->workers_count &&
           sn_load(&w->counters.submitted, relaxed) == sn_load(&w->counters.completed, relaxed);
}

bool sn_idle_spin(sn_worker *w)
{
    sn_runtime *rt = w->runtime;
    if (!may_spin(w) || (w->spin_debt == SPIN_DEBT && ++w->spins_left_out % SPIN_TRIAL != 0))
        return false;
    if (!w->searching) {
        w->searching = true;
        sn_add(&rt->idle.word, SN_IDLE_SEARCHING, seq_cst);
    }
    sinew_time end = sn_clock_now() + SPIN_NS, now;
    do {
        for (int i = 0; i < SPIN_PAUSES; i++)
            sn_pause();
        now = sn_clock_now();
        if (own_work(w) || any_queue_has_work(rt) || sn_timers_earliest(&w->timers) <= now) {
            if (w->spin_debt > 0)
                w->spin_debt--;
            return true;
        }
    } while (now < end && may_spin(w));
    if (w->spin_debt < SPIN_DEBT)
        w->spin_debt++;
    return false;
}

void sn_idle_sleep(sn_worker *w)
{
    sn_runtime *rt = w->runtime;
    enter_list(w);
    /* When all others are on the list too, none of them pushes before a read-modify-write of `word` that follows ours.
     */
    if (sleeping(rt) == rt->workers_count)
        atomic_thread_fence(memory_order_seq_cst);
    else
        sn_fence_rare();
    if (own_work(w) || any_queue_has_work(rt)) { /* s2 */
        leave_list(w, true);
        return;
    }
    sinew_time pause = SN_STANDSTILL_NS, look_again = SINEW_FOREVER;
    if (sleeping(rt) == rt->workers_count && sn_deadlock_possible(rt))
        look_again = sn_clock_now() + pause;
    sn_bump(&w->counters.parks, 1);
    bool monitor = false;
    uint64_t departures = sn_load(&rt->idle.departures, seq_cst);
    sinew_time quiet_since = sn_clock_now(); /* nobody has left the list since then */
    sinew_time ticked = quiet_since;         /* this worker has looked after others' timers */
    for (;;) {
        sinew_time deadline = sn_timers_earliest(&w->timers), trim_at = sn_stacks_trim(&rt->stacks);
        deadline = trim_at < deadline ? trim_at : deadline;
        deadline = look_again < deadline ? look_again : deadline;
        uint64_t departures_now = sn_load(&rt->idle.departures, seq_cst);
        if (departures_now != departures) {
            departures = departures_now;
            quiet_since = sn_clock_now();
        }
        if (rt->workers_count > 1 && (sleeping(rt) != rt->workers_count || sn_clock_now() - quiet_since < SN_HELP_NS)) {
            uint32_t nobody = 0;
            monitor = monitor || sn_cas(&rt->idle.monitor, &nobody, w->index + 1, seq_cst);
            if (monitor) {
                sinew_time tick = next_tick(rt);
                deadline = tick < deadline ? tick : deadline;
            }
        } else if (monitor) { /* nobody has worked for a while */
            monitor = false;
            sn_store(&rt->idle.monitor, 0, seq_cst);                      /* m1 */
            if (sn_load(&rt->idle.departures, seq_cst) != departures_now) /* m2 */
                continue;
        }
#if SN_TSAN
        sinew_time pause_end = sn_clock_now() + SN_TSAN_PAUSE_NS;
        deadline = pause_end < deadline ? pause_end : deadline;
#endif
        bool ready = rt->driver->wait(w->driver, deadline);
        sn_tsan_signals(w);
        if (monitor) {
            w->looking = true; /* this worker is still on the list; it wakes others once it has left */
            help_others(w, ticked);
            w->looking = false;
            ticked = sn_clock_now();
        }
        sinew_time now = sn_clock_now();
        if (ready || own_work(w) || sn_timers_earliest(&w->timers) <= now || !still_listed(w))
            break;
        if (look_again <= now) {
            sn_standstill found = sn_deadlock_check(w);
            if (found == SN_STANDSTILL_REPORTED)
                break;
            pause *= 2;
            look_again = found == SN_STANDSTILL_LATER ? sn_deadline_after(now, pause) : SINEW_FOREVER;
        }
    }
    if (monitor)
        sn_store(&rt->idle.monitor, 0, seq_cst);
    leave_list(w, false);
    if (!w->searching) /* a searcher sees to it when it has found work */
        ensure_monitor(rt);
}
