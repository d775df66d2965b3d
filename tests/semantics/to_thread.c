/* SPDX-License-Identifier: Apache-2.0 */
/* asyncio.to_thread: what blocks, off the workers. */
#include <sinew.h>

#include <stdio.h>
#include <time.h>

/* show */
struct query {
    int n;
    int answer;
};

static intptr_t look_up(void *arg) /* in a plain thread */
{
    struct query *query = arg;
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    query->answer = query->n * 2;
    return 0;
}
/* end */

static intptr_t program(void *arg)
{
    (void)arg;
    /* show */
    struct query query = {.n = 21};
    intptr_t r = sinew_blocking_wait(look_up, &query);
    if (r == 0)
        printf("%d\n", query.answer);
    /* end */
    return r;
}

int main(void)
{
    return (int)sinew_run(program, NULL);
}
