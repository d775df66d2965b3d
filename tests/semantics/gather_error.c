/* SPDX-License-Identifier: Apache-2.0 */
/* asyncio.gather: the first error at once; the others go on. */
#include <sinew.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

static intptr_t failing(void *arg)
{
    (void)arg;
    return -EIO;
}

static intptr_t slow(void *arg)
{
    return sinew_future_await(arg);
}

static intptr_t program(void *arg)
{
    (void)arg;
    sinew_future *gate = sinew_future_new();
    /* show */
    sinew_task *task = sinew_spawn(slow, gate);
    sinew_task *tasks[] = {
        sinew_ref(task), /* gather uses it up */
        sinew_spawn(failing, NULL),
    };
    int error = sinew_gather(tasks, 2, NULL);
    if (error < 0)
        printf("%s\n", strerror(-error));
    puts(sinew_done(task) ? "ended" : "goes on");
    sinew_future_set(gate, 7);
    printf("%ld\n", sinew_await(task));
    /* end */
    sinew_future_unref(gate);
    return 0;
}

int main(void)
{
    return (int)sinew_run(program, NULL);
}
