/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interrupting a worker that computes: a signal, in whose handler its driver lets out what only its own thread can
 * (driver.h, `kicked`). SIGURG, which nobody uses for anything else, is ignored by default and so harms no thread that
 * it is not meant for; Go's runtime chose it for the same purpose. A handler that the program has installed before is
 * called for signals that are not ours.
 *
 * System calls of the interrupted task are restarted (SA_RESTART); those that the kernel never restarts (nanosleep,
 * poll, select, ...; signal(7)) return EINTR, as beside any other signal.
 */
#ifndef SN_KICK_H
#define SN_KICK_H

#include "runtime/worker.h"

/* Where a worker stood when it was interrupted, innermost call first. Who asks publishes it in `standing_wanted`
 * (release; the handler's exchange acquires it); whoever's exchange finds it there has it, so a handler that comes late
 * writes nothing. `taken` is released by the handler after the rest, and acquired by who asked. */
enum { SN_KICK_FRAMES = 24 };

typedef struct sn_standing {
    _Atomic uint32_t taken; /* the rest is there */
    size_t count;
    void *frames[SN_KICK_FRAMES];
} sn_standing;

/* Installs the handler, once in a process. */
void sn_kick_init(void);

/* In a worker's thread, from when its driver is open until it is about to be closed. */
void sn_kick_enter(sn_worker *w);
void sn_kick_leave(sn_worker *w);

/* Interrupts the worker, which must be between those two. Any thread. */
void sn_kick(sn_worker *w);

/* Has a worker that computes say where it stands, and waits for that, for some milliseconds at most. False: it does not
 * (it was inside of a system call when this looked, and is not interrupted then, or keeps its signals back). `out`
 * lives as long as the worker. One thread only, which has made a walk before: the first one of a process may load a
 * library. */
bool sn_kick_where(sn_worker *w, sn_standing *out);

#if SN_TSAN
/*
 * ThreadSanitizer holds a signal back until the context in which it arrived makes a call that it intercepts. A task
 * that was running then, and ended or waited for ever, would keep it for ever, and a program that is to be stopped by
 * it would go on. So in that build workers take the signals that stop programs only here, on their own stacks, between
 * tasks and at least every SN_TSAN_PAUSE_NS of a wait.
 */
enum { SN_TSAN_PAUSE_NS = 50000000 };
void sn_tsan_signals(sn_worker *w);
/* In a forked child, which is no worker. */
void sn_tsan_signals_forked(void);
#else
#define sn_tsan_signals(w)       ((void)(w))
#define sn_tsan_signals_forked() ((void)0)
#endif

#endif
