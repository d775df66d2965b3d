/* SPDX-License-Identifier: Apache-2.0 */
/* asyncio.BoundedSemaphore. */
#include <sinew.h>

#include <errno.h>
#include <stdio.h>

static intptr_t program(void *arg)
{
    (void)arg;
    /* show */
    sinew_sem slots;
    sinew_sem_init_bounded(&slots, 1);
    int r = sinew_sem_wait(&slots);
    if (r < 0)
        return r;
    puts(sinew_sem_locked(&slots) ? "locked" : "free");
    sinew_sem_post(&slots);
    if (sinew_sem_post(&slots) == -EOVERFLOW)
        puts("one post too many");
    /* end */
    return 0;
}

int main(void)
{
    return (int)sinew_run(program, NULL);
}
