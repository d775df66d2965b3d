/* SPDX-License-Identifier: Apache-2.0 */
/* Cancelling a task that awaits another reaches that one first. */
#include <sinew.h>

#include <errno.h>
#include <stdio.h>

/* show */
static intptr_t inner(void *arg)
{
    sinew_future_set(arg, 0); /* has begun */
    int r = sinew_sleep(SINEW_FOREVER);
    if (r == -ECANCELED)
        puts("inner: cancelled");
    return r;
}

static intptr_t outer(void *arg)
{
    intptr_t r = sinew_await(sinew_spawn(inner, arg));
    if (r == -ECANCELED)
        puts("outer: cancelled");
    return r;
}
/* end */

static intptr_t program(void *arg)
{
    (void)arg;
    sinew_future *begun = sinew_future_new();
    /* show */
    sinew_task *task = sinew_spawn(outer, begun);
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
