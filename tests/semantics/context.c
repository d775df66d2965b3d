/* SPDX-License-Identifier: Apache-2.0 */
/* contextvars: what a task sets, the tasks it spawns see. */
#include <sinew.h>

#include <stdio.h>

/* show */
static sinew_local user = {.initial = "nobody"};

static intptr_t child(void *arg)
{
    (void)arg;
    printf("child: %s\n", (char *)sinew_local_get(&user));
    return sinew_local_set(&user, "the child");
}
/* end */

static intptr_t program(void *arg)
{
    (void)arg;
    /* show */
    printf("main: %s\n", (char *)sinew_local_get(&user));
    sinew_local_set(&user, "ada");
    sinew_task *task = sinew_spawn(child, NULL);
    sinew_local_set(&user, "bob"); /* the child has a copy */
    sinew_await(task);
    printf("main: %s\n", (char *)sinew_local_get(&user));
    /* end */
    return 0;
}

int main(void)
{
    return (int)sinew_run(program, NULL);
}
