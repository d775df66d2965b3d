/* SPDX-License-Identifier: Apache-2.0 */
/* asyncio.all_tasks and the names of tasks. */
#include <sinew.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static intptr_t waiting(void *arg)
{
    return sinew_future_await(arg);
}

static int by_name(const void *a, const void *b)
{
    const sinew_task_info *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static intptr_t program(void *arg)
{
    (void)arg;
    sinew_future *gate = sinew_future_new();
    /* show */
    sinew_spawn_options reader = {.name = "reader"};
    sinew_spawn_options writer = {.name = "writer"};
    sinew_task *tasks[] = {
        sinew_spawn_with(&reader, waiting, gate),
        sinew_spawn_with(&writer, waiting, gate),
    };
    printf("%s\n", sinew_name(tasks[0]));

    sinew_task_info all[8];
    size_t n = sinew_tasks(NULL, all, 8);
    qsort(all, n, sizeof *all, by_name);
    for (size_t i = 0; i < n; i++)
        if (all[i].id != sinew_self())
            printf("%s\n", all[i].name);
    /* end */
    sinew_future_set(gate, 0);
    sinew_gather(tasks, 2, NULL);
    sinew_future_unref(gate);
    return 0;
}

int main(void)
{
    return (int)sinew_run(program, NULL);
}
