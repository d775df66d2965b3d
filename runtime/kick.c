/* SPDX-License-Identifier: Apache-2.0 */
/* Interrupting computing workers: see kick.h. */
#include "runtime/kick.h"

#include "runtime/clock.h"

#include <execinfo.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <ucontext.h>
#include <unistd.h>

enum { HANDLER_FRAMES = 8, ANSWER_NS = 5000000, PAUSE_US = 50 };

static struct sigaction previous;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static uintptr_t interrupted_at(const ucontext_t *context)
{
#if defined(__x86_64__)
    return (uintptr_t)context->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
    return (uintptr_t)context->uc_mcontext.pc;
#else
    (void)context;
    return 0;
#endif
}

/* The unwinder takes no lock here and allocates nothing (glibc from 2.35 on: _dl_find_object), once it is loaded. The
 * frames above the interrupted one are the handler's. */
static void stand(sn_standing *out, const ucontext_t *context)
{
    void *frames[HANDLER_FRAMES + SN_KICK_FRAMES];
    size_t n = (size_t)backtrace(frames, HANDLER_FRAMES + SN_KICK_FRAMES), first = 0;
    while (first < n && (uintptr_t)frames[first] != interrupted_at(context))
        first++;
    out->count = n - first < SN_KICK_FRAMES ? n - first : SN_KICK_FRAMES;
    memcpy(out->frames, frames + first, out->count * sizeof *frames);
    sn_store(&out->taken, 1, release);
}

static void on_kick(int signal, siginfo_t *info, void *context)
{
    int saved = errno;
    sn_worker *w = sn_worker_self_slow(); /* NULL in a forked child */
    if (w && w->kickable && w->runtime->driver->kicked)
        w->runtime->driver->kicked(w->driver);
    sn_standing *wanted = w ? sn_exchange(&w->standing_wanted, NULL, acq_rel) : NULL;
    if (wanted)
        stand(wanted, context);
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

#if SN_TSAN
static sigset_t stopping_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    return set;
}

void sn_tsan_signals(sn_worker *w)
{
    sigset_t set = stopping_signals();
    (void)w;
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

void sn_tsan_signals_forked(void)
{
    sigset_t set = stopping_signals();
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}
#endif

void sn_kick_enter(sn_worker *w)
{
    sigset_t urgent;
    sigemptyset(&urgent);
    sigaddset(&urgent, SIGURG);
    pthread_sigmask(SIG_UNBLOCK, &urgent, &w->mask_before);
#if SN_TSAN
    sn_tsan_signals(w);
#endif
    w->kickable = 1;
}

void sn_kick_leave(sn_worker *w)
{
    w->kickable = 0;
#if SN_TSAN
    pthread_sigmask(SIG_SETMASK, &w->mask_before, NULL);
#endif
    if (!sigismember(&w->mask_before, SIGURG))
        return;
    sigset_t urgent; /* the rest of the mask may have been changed by the program meanwhile */
    sigemptyset(&urgent);
    sigaddset(&urgent, SIGURG);
    pthread_sigmask(SIG_BLOCK, &urgent, NULL);
}

void sn_kick(sn_worker *w)
{
    sn_worker *self = sn_worker_self();
    if (self)
        sn_bump(&self->counters.kicks, 1);
    tgkill(getpid(), w->thread_id, SIGURG); /* it is there: workers end together */
}

/* Does the thread run, and is not in a system call that waits? */
static bool computes(const sn_worker *w)
{
    char path[64], line[256];
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)w->thread_id);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, line, sizeof line - 1);
    close(fd);
    line[n > 0 ? n : 0] = '\0';
    const char *name_end = strrchr(line, ')');
    return name_end && strncmp(name_end, ") R", 3) == 0;
}

bool sn_kick_where(sn_worker *w, sn_standing *out)
{
    if (!computes(w))
        return false;
    sn_store(&out->taken, 0, relaxed);
    sn_store(&w->standing_wanted, out, release);
    sn_kick(w);
    for (sinew_time end = sn_clock_now() + ANSWER_NS; !sn_load(&out->taken, acquire) && sn_clock_now() < end;)
        usleep(PAUSE_US);
    if (sn_exchange(&w->standing_wanted, NULL, acq_rel) == NULL) /* the handler is at it */
        while (!sn_load(&out->taken, acquire))
            usleep(PAUSE_US);
    return sn_load(&out->taken, relaxed);
}
