/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting: what is rare of it. See waitq.h. */
#include "runtime/waitq.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

void sn_thread_sleep(sn_thread_wait *t)
{
    while (sn_load(&t->woken, acquire) == 0)
        syscall(SYS_futex, &t->woken, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0); /* EAGAIN, EINTR: look again */
}

void sn_thread_wake(sn_thread_wait *t)
{
    sn_store(&t->woken, 1, release);
    syscall(SYS_futex, &t->woken, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0); /* the sleeper may be gone: only an address */
}

void sn_waitq_leave(sn_waitq *q, sn_lock *lock, sn_waiting *self)
{
    bool biased = sn_lock_take(lock, sn_worker_self());
    if (!self->popped)
        sn_waitq_remove(q, self);
    sn_lock_give(lock, biased);
    if (self->popped) {
        while (!sn_load(&self->granted, acquire))
            sn_park(sn_worker_self(), self->fiber); /* the waker is between its unlock and its grant */
        sn_interrupt_later(self->fiber);
    }
}
