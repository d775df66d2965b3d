/* SPDX-License-Identifier: Apache-2.0 */
/* A task that answers a cancel with a value was not cancelled. */
#include <sinew.h>

#include <errno.h>
#include <stdio.h>

/* show */
static intptr_t work(void *arg)
{
    sinew_future_set(arg, 0); /* has begun */
    int r = sinew_sleep(SINEW_FOREVER);
    if (r != -ECANCELED)
        return r;
    printf("requests: %d\n", sinew_cancelling());
    printf("requests left: %d\n", sinew_uncancel());
    r = sinew_sleep(SINEW_MS(1)); /* works as ever */
    return r < 0 ? r : 42;
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
    printf("%ld\n", sinew_await(task));
    /* end */
    sinew_future_unref(begun);
    return 0;
}

int main(void)
{
    return (int)sinew_run(program, NULL);
}
