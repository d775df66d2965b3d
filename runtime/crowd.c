/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting in a crowd: see crowd.h. */
#include "runtime/crowd.h"

/* The slow end: takes the node off, or waits for the grant that is on its way. */
static void leave(sn_crowd *c, sn_waiting *self, uint32_t round)
{
    bool biased = sn_crowd_lock(c);
    self->popped |= c->round != round;
    if (!self->popped) {
        sn_waitq_remove(&c->waiters, self);
        c->count--;
    }
    sn_crowd_unlock(c, biased);
    if (self->popped) {
        while (!sn_load(&self->granted, acquire))
            sn_park(sn_worker_self(), self->fiber);
        sn_interrupt_later(self->fiber); /* these parks have seen wakes: perhaps of one more request */
    }
}

int sn_crowd_wait(sn_crowd *c, bool biased, sn_waiting *self)
{
    sn_worker *w = sn_worker_of_task();
    sn_fiber *f = w ? w->fiber : NULL;
    sn_thread_wait thread = {.woken = 0};
    uint32_t round = c->round;
    sn_waiting_init(self, f);
    self->thread = &thread;
    if (sn_must_not_wait()) {
        sn_crowd_unlock(c, biased);
        return -EPERM;
    }
    sn_waitq_push(&c->waiters, self);
    c->count++;
    sn_crowd_unlock(c, biased);
    if (!f) {
        sn_thread_sleep(&thread);
        return 0;
    }
    int code = sn_interrupt(f);
    while (!code && !sn_load(&self->granted, acquire)) {
        w = sn_park(w, f);
        code = sn_interrupt_after_park(f);
    }
    if (SN_UNLIKELY(code))
        leave(c, self, round);
    return code;
}
