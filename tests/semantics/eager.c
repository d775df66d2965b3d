/* SPDX-License-Identifier: Apache-2.0 */
/* Eager tasks run inside of the spawn until they first suspend. */
#include <sinew.h>

#include <stdio.h>

/* show */
static intptr_t greet(void *arg)
{
    puts("greet: begins");
    intptr_t r = sinew_future_await(arg);
    puts("greet: goes on");
    return r;
}
/* end */

static intptr_t program(void *arg)
{
    (void)arg;
    /* show */
    sinew_future *gate = sinew_future_new();
    sinew_spawn_options eager = {.eager = true};
    sinew_task *task = sinew_spawn_with(&eager, greet, gate);
    puts("main: spawned");
    sinew_future_set(gate, 7);
    printf("main: %ld\n", sinew_await(task));
    sinew_future_unref(gate);
    /* end */
    return 0;
}

int main(void)
{
    return (int)sinew_run(program, NULL);
}
