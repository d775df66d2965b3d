/* SPDX-License-Identifier: Apache-2.0 */
/* asyncio.Barrier. */
#include <sinew.h>

#include <stdio.h>

/* show */
struct team {
    sinew_barrier barrier;
    int parts[3];
    int sums[2];
};

struct worker {
    struct team *team;
    int number;
};

static intptr_t work(void *arg)
{
    struct worker *worker = arg;
    struct team *team = worker->team;
    for (int step = 0; step < 2; step++) {
        team->parts[worker->number] = worker->number + step;
        int r = sinew_barrier_wait(&team->barrier);
        if (r == 0) /* one of them; the parts are complete */
            for (int i = 0; i < 3; i++)
                team->sums[step] += team->parts[i];
        if (r >= 0) /* nobody changes a part before it is added */
            r = sinew_barrier_wait(&team->barrier);
        if (r < 0)
            return r;
    }
    return 0;
}
/* end */

static intptr_t program(void *arg)
{
    (void)arg;
    /* show */
    struct team team = {.sums = {0}};
    sinew_barrier_init(&team.barrier, 3);
    struct worker workers[3];
    for (int i = 0; i < 3; i++)
        workers[i] = (struct worker){&team, i};
    int r = sinew_map(work, workers, sizeof *workers, 3, NULL);
    if (r == 0)
        printf("%d %d\n", team.sums[0], team.sums[1]);
    /* end */
    return r;
}

int main(void)
{
    return (int)sinew_run(program, NULL);
}
