/* SPDX-License-Identifier: Apache-2.0 */
/* Ending a group early is no failure. */
#include <sinew.h>

#include <errno.h>
#include <stdio.h>

/* show */
static intptr_t worker(void *arg)
{
    sinew_future_set(arg, 0); /* has begun */
    int r = sinew_sleep(SINEW_FOREVER);
    if (r == -ECANCELED)
        puts("worker: cancelled");
    return r;
}
/* end */

static intptr_t program(void *arg)
{
    (void)arg;
    sinew_future *begun = sinew_future_new();
    /* show */
    sinew_group group;
    sinew_group_init(&group);
    sinew_group_spawn(&group, worker, begun);
    sinew_future_await(begun);
    sinew_group_cancel(&group);
    int error = sinew_group_wait(&group);
    printf("group: %d\n", error);
    /* end */
    sinew_future_unref(begun);
    return error;
}

int main(void)
{
    return (int)sinew_run(program, NULL);
}
