/* SPDX-License-Identifier: Apache-2.0 */
/* asyncio.TaskGroup: a failure cancels the siblings. */
#include <sinew.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* show */
static intptr_t sibling(void *arg)
{
    sinew_future_set(arg, 0); /* has begun */
    int r = sinew_sleep(SINEW_FOREVER);
    if (r == -ECANCELED)
        puts("sibling: cancelled");
    return r;
}

static intptr_t failing(void *arg)
{
    sinew_future_await(arg);
    return -EIO;
}
/* end */

static intptr_t program(void *arg)
{
    (void)arg;
    sinew_future *begun = sinew_future_new();
    /* show */
    sinew_group group;
    sinew_group_init(&group);
    sinew_group_spawn(&group, sibling, begun);
    sinew_group_spawn(&group, failing, begun);
    int error = sinew_group_wait(&group);
    if (error < 0)
        printf("group: %s\n", strerror(-error));
    /* end */
    sinew_future_unref(begun);
    return 0;
}

int main(void)
{
    return (int)sinew_run(program, NULL);
}
