/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System calls that raise SIGPIPE and have no flag against it (write to a pipe, splice to a socket), made so that the
 * program does not notice: the signal is blocked in this thread, and taken if it came.
 */
#ifndef SN_SIGPIPE_H
#define SN_SIGPIPE_H

#include "runtime/base.h"

#include <signal.h>
#include <time.h>

typedef struct sn_sigpipe_held {
    sigset_t before;
} sn_sigpipe_held;

/* Until let_go nothing may switch. */
SN_INLINE void sn_sigpipe_hold(sn_sigpipe_held *held)
{
    sigset_t pipe;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, &held->before);
}

/* Takes the signal if there is one: a splice that has moved something may have raised it all the same. A program that
 * blocks it finds it pending, as ever. */
SN_INLINE void sn_sigpipe_let_go(const sn_sigpipe_held *held)
{
    if (sigismember(&held->before, SIGPIPE))
        return;
    const struct timespec at_once = {0};
    sigset_t pipe;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    sigtimedwait(&pipe, NULL, &at_once);
    pthread_sigmask(SIG_SETMASK, &held->before, NULL);
}

#endif
