/* SPDX-License-Identifier: Apache-2.0 */
/* asyncio.wait_for: a task with a limit. */
#include <sinew.h>

#include <errno.h>
#include <stdio.h>

/* show */
static intptr_t work(void *arg)
{
    sinew_future_set(arg, 0); /* has begun */
    int r = sinew_sleep(SINEW_FOREVER);
    if (r < 0)
        puts("work: cleans up");
    return r;
}
/* end */

static intptr_t program(void *arg)
{
    (void)arg;
    sinew_future *begun = sinew_future_new();
    /* show */
    sinew_task *task = sinew_spawn(work, begun);
    sinew_future_await(begun);
    intptr_t r = sinew_wait_for(task, SINEW_MS(10));
    if (r == -ETIMEDOUT)
        puts("main: too late");
    /* end */
    sinew_future_unref(begun);
    return 0;
}

int main(void)
{
    return (int)sinew_run(program, NULL);
}
