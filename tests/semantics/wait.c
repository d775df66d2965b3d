/* SPDX-License-Identifier: Apache-2.0 */
/* asyncio.wait: until the first has ended. */
#include <sinew.h>

#include <errno.h>
#include <stdio.h>

static intptr_t square(void *arg)
{
    return (intptr_t)arg * (intptr_t)arg;
}

static intptr_t waiting(void *arg)
{
    (void)arg;
    return sinew_sleep(SINEW_FOREVER);
}

static intptr_t program(void *arg)
{
    (void)arg;
    /* show */
    sinew_task *tasks[] = {
        sinew_spawn(waiting, NULL),
        sinew_spawn(square, (void *)3),
    };
    bool done[2];
    int n = sinew_wait(tasks, 2, SINEW_FIRST_COMPLETED,
                       SINEW_FOREVER, done);
    printf("%d has ended\n", n);
    for (int i = 0; i < 2; i++) {
        if (!done[i])
            sinew_cancel(tasks[i]);
        intptr_t r = sinew_await(tasks[i]);
        if (r == -ECANCELED)
            puts("cancelled");
        else
            printf("%ld\n", r);
    }
    /* end */
    return 0;
}

int main(void)
{
    return (int)sinew_run(program, NULL);
}
