/* SPDX-License-Identifier: Apache-2.0 */
/* loop.add_signal_handler: a handler that is a task, and waiting
 * for a signal. */
#include <sinew.h>

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

/* show */
static intptr_t reload(int signo, void *arg)
{
    printf("reload\n");
    sinew_event_set(arg);
    (void)signo;
    return 0;
}

static intptr_t program(void *arg)
{
    int term = SIGTERM;
    sinew_event got;
    sinew_signals *stop;
    sinew_event_init(&got);
    sinew_signal_handle(SIGHUP, reload, &got);
    if (sinew_signal_open(&term, 1, &stop) != 0)
        return 1;
    kill(getpid(), SIGHUP);
    sinew_event_wait(&got);
    kill(getpid(), SIGTERM);
    printf("stopped by %d\n", sinew_signal_next(stop));
    sinew_signal_close(stop);
    printf("%s\n", sinew_signal_remove(SIGHUP) ? "True" : "False");
    printf("%s\n", sinew_signal_remove(SIGHUP) ? "True" : "False");
    (void)arg;
    return 0;
}
/* end */

int main(void)
{
    return (int)sinew_run(program, NULL);
}
