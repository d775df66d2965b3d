/* SPDX-License-Identifier: Apache-2.0 */
/* asyncio.Future, set by a callback. */
#include <sinew.h>

#include <errno.h>
#include <stdio.h>

/* show */
/* call_later is a task that sleeps. */
static intptr_t later(void *arg)
{
    int r = sinew_sleep(SINEW_MS(10));
    if (r == 0)
        r = sinew_future_set(arg, 42);
    return r;
}
/* end */

static intptr_t program(void *arg)
{
    (void)arg;
    /* show */
    sinew_future *future = sinew_future_new();
    sinew_task *timer = sinew_spawn(later, future);
    printf("%ld\n", sinew_future_await(future));
    if (sinew_future_set(future, 43) == -EALREADY)
        puts("once only");
    sinew_await(timer); /* before the future goes */
    sinew_future_unref(future);
    /* end */
    return 0;
}

int main(void)
{
    return (int)sinew_run(program, NULL);
}
