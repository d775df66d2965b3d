/* SPDX-License-Identifier: Apache-2.0 */
/* asyncio.Event. */
#include <sinew.h>

#include <stdio.h>

/* show */
static intptr_t waiter(void *arg)
{
    int r = sinew_event_wait(arg);
    return r < 0 ? r : 1;
}
/* end */

static intptr_t program(void *arg)
{
    (void)arg;
    /* show */
    sinew_event event;
    sinew_event_init(&event);
    sinew_task *tasks[] = {
        sinew_spawn(waiter, &event),
        sinew_spawn(waiter, &event),
    };
    puts(sinew_event_is_set(&event) ? "set" : "not set");
    sinew_event_set(&event);
    intptr_t r[2];
    int error = sinew_gather(tasks, 2, r);
    if (error == 0)
        printf("%ld go on\n", r[0] + r[1]);
    sinew_event_wait(&event); /* returns at once */
    sinew_event_clear(&event);
    /* end */
    return error;
}

int main(void)
{
    return (int)sinew_run(program, NULL);
}
