/* SPDX-License-Identifier: Apache-2.0 */
/* asyncio.TaskGroup: the end of the scope is the end of its tasks.
 */
#include <sinew.h>

#include <stdio.h>

/* show */
struct job {
    int n;
    int square; /* the result: a group gives no handles */
};

static intptr_t work(void *arg)
{
    struct job *job = arg;
    job->square = job->n * job->n;
    return 0;
}
/* end */

static intptr_t program(void *arg)
{
    (void)arg;
    /* show */
    struct job jobs[] = {{.n = 3}, {.n = 4}};
    sinew_group group;
    sinew_group_init(&group);
    for (int i = 0; i < 2; i++)
        sinew_group_spawn(&group, work, &jobs[i]);
    int error = sinew_group_wait(&group);
    if (error == 0)
        printf("%d %d\n", jobs[0].square, jobs[1].square);
    /* end */
    return error;
}

int main(void)
{
    return (int)sinew_run(program, NULL);
}
