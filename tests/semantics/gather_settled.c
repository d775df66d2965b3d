/* SPDX-License-Identifier: Apache-2.0 */
/* asyncio.gather(return_exceptions=True): errors are results. */
#include <sinew.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

static intptr_t square(void *arg)
{
    return (intptr_t)arg * (intptr_t)arg;
}

static intptr_t failing(void *arg)
{
    (void)arg;
    return -EIO;
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
        sinew_spawn(square, (void *)3),
        sinew_spawn(failing, NULL),
        sinew_spawn(waiting, NULL),
    };
    sinew_cancel(tasks[2]);
    intptr_t r[3];
    int error = sinew_gather_settled(tasks, 3, r);
    for (int i = 0; error == 0 && i < 3; i++)
        if (r[i] == -ECANCELED)
            puts("cancelled");
        else if (r[i] < 0)
            printf("%s\n", strerror((int)-r[i]));
        else
            printf("%ld\n", r[i]);
    /* end */
    return error;
}

int main(void)
{
    return (int)sinew_run(program, NULL);
}
