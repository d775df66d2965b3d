/* SPDX-License-Identifier: Apache-2.0 */
/* Interrupting computing workers: see kick.h. */
#include "runtime/kick.h"

#include <signal.h>
#include <unistd.h>

static struct sigaction previous;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void on_kick(int signal, siginfo_t *info, void *context)
{
    int saved = errno;
    sn_worker *w = sn_worker_self_slow(); /* NULL in a forked child */
    if (w && w->kickable && w->runtime->driver->kicked)
        w->runtime->driver->kicked(w->driver);
    bool ours = info->si_code == SI_TKILL && info->si_pid == getpid();
    if (!ours && previous.sa_flags & SA_SIGINFO)
        previous.sa_sigaction(signal, info, context);
    else if (!ours && previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN)
        previous.sa_handler(signal);
    errno = saved;
}

static void install(void)
{
    struct sigaction action = {.sa_sigaction = on_kick, .sa_flags = (int)(SA_SIGINFO | SA_RESTART | SA_ONSTACK)};
    sigemptyset(&action.sa_mask);
    sigaction(SIGURG, &action, &previous);
}

void sn_kick_init(void)
{
    pthread_once(&once, install);
}

void sn_kick_enter(sn_worker *w)
{
    sigset_t urgent;
    sigemptyset(&urgent);
    sigaddset(&urgent, SIGURG);
    pthread_sigmask(SIG_UNBLOCK, &urgent, &w->mask_before);
    w->kickable = 1;
}

void sn_kick_leave(sn_worker *w)
{
    w->kickable = 0;
    pthread_sigmask(SIG_SETMASK, &w->mask_before, NULL);
}

void sn_kick(sn_worker *w)
{
    sn_bump(&sn_worker_self()->counters.kicks, 1);
    tgkill(getpid(), w->thread_id, SIGURG); /* it is there: workers end together */
}
