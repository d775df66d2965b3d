/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals, as handlers that are tasks, and as something to wait for.
 *
 *     int stop[] = {SIGTERM, SIGINT};
 *     int signo = sinew_signal_wait(stop, 2);               // a server's main task: serve until then
 *
 *     sinew_signal_handle(SIGHUP, reload, &configuration);  // reload(SIGHUP, &configuration) runs as a task
 *
 * Nothing of the program runs in signal context, so all calls are allowed in a handler. A signal that arrives is told
 * to everybody who wants it: to each listener, and to the handler of each runtime that has one. Arrivals are counted,
 * and none is lost between two looks (but the kernel counts several of a standard signal as one, until a thread has
 * received it).
 *
 * While anybody wants a signal its action is sinew's, with SA_RESTART: system calls elsewhere do not see EINTR. When
 * nobody does any more the action is again what the program had set before, which mostly is the default action. So a
 * SIGINT that somebody listens to does not cancel main. An action that the program sets meanwhile, with sigaction(2),
 * is left alone, and takes the signal away from those who want it.
 *
 * A signal that is blocked in all threads arrives nowhere; workers have the mask of the thread that called sinew_run.
 * That is what signalfd(2) needs, which works with sinew_read and sinew_poll, too: sinew itself does not use it, since
 * no library can see to it that a signal is blocked in threads which others have made.
 *
 * Children by fork(2) have none of all this: former actions are restored, listeners are closed.
 */
#ifndef SINEW_SIGNAL_H
#define SINEW_SIGNAL_H

#include <sinew/base.h>

SINEW_BEGIN_DECLS

/* A result < 0 goes to the error handler (sinew_set_error_handler). */
typedef intptr_t (*sinew_signal_fn)(int signal, void *arg);

/*
 * Has fn(signal, arg) run at each arrival of the signal, as a task of the caller's runtime which may suspend; it sees
 * the task-local values of the caller as they are now. Runs for one signal follow each other: the next begins when the
 * one before has ended. A handler of this runtime for the same signal is replaced, also for arrivals that have not
 * begun to run. Handlers do not keep the runtime from ending: when main returns they are removed, and a run that is
 * under way is cancelled like other tasks. (A task with the name of the signal waits for it.)
 *
 * 0; -EINVAL: fn is NULL, no such signal, or one that cannot be caught or left for later: SIGKILL, SIGSTOP, the
 * faults SIGSEGV, SIGBUS, SIGFPE, SIGILL, and SIGURG, which is the runtime's own; stderr says which of these. -EMFILE,
 * -ENFILE, -ENOMEM; -EPERM outside of a task. Tasks on any worker. Never suspends. Follows loop.add_signal_handler.
 */
SINEW_API int sinew_signal_handle(int signal, sinew_signal_fn fn, void *arg);

/* Removes the runtime's handler of that signal: 1, or 0 when there is none. Arrivals that have not begun to run are
 * dropped; a run that is under way goes on. -EINVAL: no such signal; -EPERM. Never suspends. Follows
 * loop.remove_signal_handler. */
SINEW_API int sinew_signal_remove(int signal);

/* Somebody who listens to some signals. */
typedef struct sinew_signals sinew_signals;

/*
 * Begins to listen: from now on arrivals of these `count` signals are counted for *out. It belongs to no runtime, and
 * lasts until it is closed. 0, or as above (-EINVAL also when out is NULL or count is 0), and then *out is NULL. Any
 * thread. Never suspends.
 */
SINEW_API int sinew_signal_open(const int *signals, size_t count, sinew_signals **out);

/*
 * Waits for the next arrival and returns its signal. Of several the one that comes first in the list given to open.
 * When several tasks wait, each arrival is one's. May suspend. -ECANCELED, -ETIMEDOUT: nothing is lost, the next call
 * gets it; -EPIPE: closed meanwhile; -EINVAL for NULL, -EPERM.
 */
SINEW_API int sinew_signal_next(sinew_signals *s);

/* Stops listening; what has not been taken is dropped. Tasks that wait return -EPIPE; no other call may begin. 0, or
 * -EINVAL for NULL. Any thread. Never suspends. */
SINEW_API int sinew_signal_close(sinew_signals *s);

/* Listens until the first arrival of one of them, and returns that: open, next and close in one, so that the next one
 * finds the former action. May suspend. Errors of open and next. */
SINEW_API int sinew_signal_wait(const int *signals, size_t count);

SINEW_END_DECLS
#endif
