/* SPDX-License-Identifier: Apache-2.0 */
/*
 * select: of several sends, receives, ends of tasks and a time, the one that can be done first, as in Go.
 *
 * All channels are locked at once, in the order of their addresses. Is one of the cases ready, it is done there and
 * then. Otherwise each channel case gets a node in its channel's queue before any lock is given back, so that nobody
 * finds some of them only; tasks and the timer are added afterwards. From then on the cases compete for the choice:
 *
 *     one of many: a partner (its channel      the owner
 *     locked), a close, a task's end, a timer
 *     w1 choice: 0 -> 1 + index      (RMW)     o1 asked to cancel? choice: 0 -> WITHDRAWN    (RMW)
 *        failed? -> passes over this node      o2 choice is set: disarms the timer, takes its nodes off tasks and
 *     w2 pops the node; copies the element        channels, each under the lock of what it hangs on
 *     w3 unlocks; grants; unparks              o3 index is a channel's: waits for that node's grant
 *                                              o4 leaves
 *
 *   impossible: two cases happen, or one happens and the owner takes the request to cancel: the choice is one word, set
 * once. And: somebody touches the choice, a node or an element after o4. Who reads the choice through a node holds the
 * lock of what the node hangs on, and o2 takes that lock. Only the winner holds a node after its unlock, until w3, and
 * that one o3 waits for; a task and a timer are done with the node before their lock is free (task.h, timer.h).
 *
 * A request that comes after the choice was made stays for the next checkpoint: what happened is not undone.
 *
 * Channels in several cases are locked once. A select looks for partners before its own nodes are in any queue, and
 * later it only waits, so it never meets itself.
 */
#include "runtime/channel.h"
#include "runtime/clock.h"
#include "runtime/inspect.h"
#include "runtime/random.h"

#include <stdlib.h>

enum { CASES_ON_STACK = 16 };

#define WITHDRAWN UINT32_MAX /* as the choice */

typedef struct selection selection;

typedef union node {
    sn_channel_wait channel;
    struct {
        sn_waiter waiter;
        selection *selection;
        uint32_t index;
        bool listed;
    } task;
} node;

typedef struct held {
    sinew_channel *channel;
    bool biased;
} held;

struct selection {
    sn_choice choice;
    sn_fiber *fiber;
    sinew_case *cases;
    uint32_t n, distinct;
    uint32_t after;    /* the case with the shortest time; n: none */
    node *nodes;       /* one for each case */
    held *held;        /* `distinct` channels, by address */
    uint32_t *untried; /* n indexes */
    sn_timer timer;
};

static bool is_channel(const sinew_case *c)
{
    return c->kind == SINEW_CASE_SEND || c->kind == SINEW_CASE_RECV;
}

/* 0, or why it cannot be waited for. */
static int check_case(const sn_worker *w, const sinew_case *c)
{
    switch (c->kind) {
    case SINEW_CASE_SEND:
    case SINEW_CASE_RECV:
        return c->channel && (c->element || c->channel->element_bytes == 0) ? 0 : -EINVAL;
    case SINEW_CASE_TASK:
        if (!c->task)
            return -EINVAL;
        sn_task_check_handle("sinew_select", c->task, false);
        return sn_task_is_foreign(w, c->task) ? -EXDEV : 0;
    case SINEW_CASE_AFTER:
        return 0;
    }
    return -EINVAL;
}

static sn_waitq *queue_of(const sinew_case *c)
{
    return c->kind == SINEW_CASE_SEND ? &c->channel->senders : &c->channel->receivers;
}

/* The case has happened: sees what the one who made it happen did before. */
static void see(const sinew_case *c)
{
    if (is_channel(c))
        sn_channel_see(c->kind == SINEW_CASE_SEND ? &c->channel->receivers : &c->channel->senders, c->result);
    else if (c->kind == SINEW_CASE_TASK)
        sn_tsan_acquire(c->task);
}

static int by_address(const void *a, const void *b)
{
    uintptr_t x = (uintptr_t)((const held *)a)->channel, y = (uintptr_t)((const held *)b)->channel;
    return (x > y) - (x < y);
}

static void make_lists(selection *s)
{
    uint32_t channels = 0;
    sinew_time shortest = 0;
    s->after = s->n;
    for (uint32_t i = 0; i < s->n; i++) {
        const sinew_case *c = &s->cases[i];
        s->untried[i] = i;
        if (is_channel(c)) {
            s->held[channels++].channel = c->channel;
        } else if (c->kind == SINEW_CASE_AFTER) {
            sinew_time duration = c->duration > 0 ? c->duration : 0;
            if (s->after == s->n || duration < shortest) {
                s->after = i;
                shortest = duration;
            }
        }
    }
    qsort(s->held, channels, sizeof *s->held, by_address);
    for (uint32_t i = 0; i < channels; i++)
        if (i == 0 || s->held[i].channel != s->held[i - 1].channel)
            s->held[s->distinct++].channel = s->held[i].channel;
}

static void lock_all(selection *s, const sn_worker *w)
{
    for (uint32_t i = 0; i < s->distinct; i++)
        s->held[i].biased = sn_lock_take(&s->held[i].channel->lock, w);
}

static void unlock_all(selection *s)
{
    for (uint32_t i = s->distinct; i-- > 0;)
        sn_lock_give(&s->held[i].channel->lock, s->held[i].biased);
}

/* Does the case, if it can be done at once: its result, or -EAGAIN. */
static int try_case(const sinew_case *c, sn_waiting **served)
{
    switch (c->kind) {
    case SINEW_CASE_SEND:
        return sn_channel_put(c->channel, c->element, served);
    case SINEW_CASE_RECV:
        return sn_channel_take(c->channel, c->element, served);
    case SINEW_CASE_TASK:
        return sn_task_done(c->task) ? 0 : -EAGAIN;
    case SINEW_CASE_AFTER:
        break; /* only when all others have been tried */
    }
    return -EAGAIN;
}

/* In random order, with all locks held. The index of the case that was done, or n. */
static uint32_t try_all(selection *s, sn_random *random, sn_waiting **served)
{
    *served = NULL;
    for (uint32_t left = s->n; left > 0; left--) {
        uint32_t drawn = sn_random_below(random, left), i = s->untried[drawn];
        s->untried[drawn] = s->untried[left - 1];
        int r = try_case(&s->cases[i], served);
        if (r != -EAGAIN) {
            s->cases[i].result = r;
            return i;
        }
    }
    if (s->after < s->n && s->cases[s->after].duration <= 0) {
        s->cases[s->after].result = 0;
        return s->after;
    }
    return s->n;
}

/* Nothing was ready: into the queues, with all locks held. */
static void push_all(selection *s)
{
    for (uint32_t i = 0; i < s->n; i++) {
        const sinew_case *c = &s->cases[i];
        if (!is_channel(c))
            continue;
        sn_channel_wait *wait = &s->nodes[i].channel;
        sn_waiting_init(&wait->waiting, s->fiber);
        wait->waiting.choice = &s->choice;
        wait->waiting.index = i;
        sn_channel_push(queue_of(c), wait, c->element);
    }
}

static bool choose(selection *s, uint32_t what)
{
    uint32_t open = 0;
    return sn_cas(&s->choice.taken, &open, what, acq_rel); /* w1, o1 */
}

/* Both fire under a lock that the owner takes before it leaves, so the selection is there until they return. */
static void task_ended(sn_waiter *waiter, intptr_t result)
{
    (void)result;
    node *n = SN_CONTAINER(waiter, node, task.waiter);
    selection *s = n->task.selection;
    if (choose(s, n->task.index + 1))
        sn_unpark(s->fiber);
}

const sn_wait_kind sn_kind_select = {
    task_ended,      NULL, NULL, "sinew_select", offsetof(node, task.selection), offsetof(selection, fiber),
    SN_AWAITER_FIBER};

static void time_passed(sn_timer *timer)
{
    selection *s = SN_CONTAINER(timer, selection, timer);
    if (choose(s, s->after + 1))
        sn_unpark(s->fiber);
}

/* What can happen beside the channels. 0, or -ENOMEM. */
static int arm_rest(selection *s)
{
    for (uint32_t i = 0; i < s->n; i++) {
        const sinew_case *c = &s->cases[i];
        if (c->kind != SINEW_CASE_TASK)
            continue;
        node *n = &s->nodes[i];
        n->task.waiter.fire = task_ended;
        n->task.selection = s;
        n->task.index = i;
        n->task.listed = sn_task_add_waiter(c->task, &n->task.waiter);
        if (!n->task.listed)
            choose(s, i + 1);
    }
    if (s->after == s->n || s->cases[s->after].duration == SINEW_FOREVER)
        return 0;
    s->timer.fire = time_passed;
    sinew_time deadline = sn_deadline_after(sn_clock_now(), s->cases[s->after].duration);
    return sn_timer_arm(&sn_worker_self()->timers, &s->timer, deadline);
}

static uint32_t wait_for_choice(selection *s)
{
    sn_worker *w = sn_worker_self();
    bool asked = sn_asked(s->fiber);
    for (;;) {
        uint32_t taken = sn_load(&s->choice.taken, acquire);
        if (taken)
            return taken;
        if (asked) {
            choose(s, WITHDRAWN); /* o1 */
            continue;
        }
        w = sn_park(w, s->fiber);
        asked = sn_asked_after_park(s->fiber);
    }
}

/* o2; the node of the case that happened has been taken off already. */
static void withdraw(selection *s, uint32_t taken)
{
    sn_timer_disarm(&s->timer);
    for (uint32_t i = 0; i < s->n; i++) {
        const sinew_case *c = &s->cases[i];
        node *n = &s->nodes[i];
        if (c->kind == SINEW_CASE_TASK && n->task.listed) {
            sn_task_remove_waiter(c->task, &n->task.waiter);
        } else if (is_channel(c) && i + 1 != taken) {
            bool biased = sn_lock_take(&c->channel->lock, sn_worker_self());
            SN_DCHECK(!n->channel.waiting.popped, "two cases of one select have happened");
            sn_waitq_remove(queue_of(c), &n->channel.waiting);
            sn_lock_give(&c->channel->lock, biased);
        }
    }
}

/* Until one of the cases has happened: its index. Or what the caller was asked, or -ENOMEM. */
static int wait_for_one(selection *s)
{
    int refused = arm_rest(s);
    if (refused)
        choose(s, WITHDRAWN);
    uint32_t taken = wait_for_choice(s);
    withdraw(s, taken);
    if (taken == WITHDRAWN && !refused)
        return sn_cancel_take(s->fiber->task);
    int r = refused;
    if (taken != WITHDRAWN) {
        r = (int)taken - 1;
        s->cases[r].result = 0;
        if (is_channel(&s->cases[r])) {
            sn_channel_wait *wait = &s->nodes[r].channel;
            while (!sn_load(&wait->waiting.granted, acquire)) /* o3 */
                sn_park(sn_worker_self(), s->fiber);
            s->cases[r].result = wait->result;
        }
    }
    sn_interrupt_later(s->fiber); /* a request that came too late */
    return r;
}

int sinew_select(sinew_case *cases, size_t n)
{
    sn_worker *w = sn_worker_of_task();
    if (!w)
        return -EPERM;
    if (n == 0 || n > SINEW_SELECT_CASES_MAX || !cases)
        return -EINVAL;
    for (size_t i = 0; i < n; i++) {
        int refused = check_case(w, &cases[i]);
        if (refused)
            return refused;
    }
    struct {
        node nodes[CASES_ON_STACK];
        held held[CASES_ON_STACK];
        uint32_t untried[CASES_ON_STACK];
    } lists;
    selection s = {.fiber = w->fiber, .cases = cases, .n = (uint32_t)n};
    s.nodes = lists.nodes;
    s.held = lists.held;
    s.untried = lists.untried;
    void *memory = NULL;
    if (n > CASES_ON_STACK) {
        memory = malloc(n * (sizeof *s.nodes + sizeof *s.held + sizeof *s.untried));
        if (!memory)
            return -ENOMEM;
        s.nodes = memory;
        s.held = (held *)(void *)(s.nodes + n);
        s.untried = (uint32_t *)(void *)(s.held + n);
    }
    make_lists(&s);
    sn_waiting *served;
    lock_all(&s, w);
    uint32_t done = try_all(&s, &w->random, &served);
    if (done == n)
        push_all(&s);
    unlock_all(&s);
    if (served)
        sn_waiting_grant(served);
    int r = done < n ? (int)done : wait_for_one(&s);
    if (r >= 0)
        see(&cases[r]);
    free(memory);
    return r;
}
