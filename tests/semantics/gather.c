/* SPDX-License-Identifier: Apache-2.0 */
/* asyncio.gather: results in the order of the arguments. */
#include <sinew.h>

#include <stdio.h>

static intptr_t square(void *arg)
{
    int r = sinew_yield();
    return r < 0 ? r : (intptr_t)arg * (intptr_t)arg;
}

static intptr_t program(void *arg)
{
    (void)arg;
    /* show */
    sinew_task *tasks[] = {
        sinew_spawn(square, (void *)1),
        sinew_spawn(square, (void *)2),
        sinew_spawn(square, (void *)3),
    };
    intptr_t r[3];
    int error = sinew_gather(tasks, 3, r);
    if (error == 0)
        printf("%ld %ld %ld\n", r[0], r[1], r[2]);
    /* end */
    return error;
}

int main(void)
{
    return (int)sinew_run(program, NULL);
}
