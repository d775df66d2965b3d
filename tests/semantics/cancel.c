/* SPDX-License-Identifier: Apache-2.0 */
/* Cancelling, and the cleanup of who is cancelled. */
#include <sinew.h>

#include <errno.h>
#include <stdio.h>

/* show */
static intptr_t work(void *arg)
{
    sinew_future_set(arg, 0); /* has begun */
    int r = sinew_sleep(SINEW_FOREVER);
    puts("work: cleans up"); /* as finally does */
    return r;                /* -ECANCELED */
}
/* end */

static intptr_t program(void *arg)
{
    (void)arg;
    sinew_future *begun = sinew_future_new();
    /* show */
    sinew_task *task = sinew_spawn(work, begun);
    sinew_future_await(begun);
    sinew_cancel(task);
    if (sinew_await(task) == -ECANCELED)
        puts("main: it was cancelled");
    /* end */
    sinew_future_unref(begun);
    return 0;
}

int main(void)
{
    return (int)sinew_run(program, NULL);
}
