/* SPDX-License-Identifier: Apache-2.0 */
/* asyncio.as_completed: in the order of their ends. */
#include <sinew.h>

#include <errno.h>
#include <stdio.h>

static intptr_t pass(void *arg)
{
    return sinew_future_await(arg);
}

static intptr_t program(void *arg)
{
    (void)arg;
    sinew_future *gates[3];
    sinew_task *tasks[3];
    for (int i = 0; i < 3; i++) {
        gates[i] = sinew_future_new();
        tasks[i] = sinew_spawn(pass, gates[i]);
    }
    /* show */
    sinew_future_set(gates[2], 2); /* lets tasks[2] end */
    sinew_as_completed it;
    sinew_as_completed_begin(&it, tasks, 3, SINEW_FOREVER);
    intptr_t i;
    while ((i = sinew_as_completed_next(&it)) >= 0) {
        intptr_t r = sinew_await(tasks[i]);
        printf("%ld\n", r);
        if (r > 0)
            sinew_future_set(gates[r - 1], r - 1);
    }
    sinew_as_completed_end(&it);
    /* end */
    for (int g = 0; g < 3; g++)
        sinew_future_unref(gates[g]);
    return i == -ENOENT ? 0 : i;
}

int main(void)
{
    return (int)sinew_run(program, NULL);
}
