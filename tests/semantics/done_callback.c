/* SPDX-License-Identifier: Apache-2.0 */
/* Task.add_done_callback. */
#include <sinew.h>

#include <stdio.h>

static intptr_t square(void *arg)
{
    return (intptr_t)arg * (intptr_t)arg;
}

/* show */
static intptr_t on_done(sinew_task *task, void *arg)
{
    printf("callback: %ld\n", sinew_result(task));
    return sinew_future_set(arg, 0);
}
/* end */

static intptr_t program(void *arg)
{
    sinew_future *called = arg;
    /* show */
    sinew_task *task = sinew_spawn(square, (void *)3);
    sinew_on_done(task, on_done, called);
    sinew_detach(task);
    sinew_future_await(called);
    puts("main: called");
    /* end */
    return 0;
}

int main(void)
{
    sinew_future *called = sinew_future_new();
    intptr_t r = sinew_run(program, called);
    sinew_future_unref(called);
    return r != 0;
}
