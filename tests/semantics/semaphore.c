/* SPDX-License-Identifier: Apache-2.0 */
/* asyncio.Semaphore: at most so many at a time. */
#include <sinew.h>

#include <stdatomic.h>
#include <stdio.h>

/* show */
static sinew_sem slots;
static atomic_int inside, too_many; /* tasks run at once */

static intptr_t work(void *arg)
{
    (void)arg;
    int r = sinew_sem_wait(&slots);
    if (r < 0)
        return r; /* cancelled: no permit was taken */
    if (atomic_fetch_add(&inside, 1) >= 2)
        atomic_fetch_add(&too_many, 1);
    r = sinew_yield();
    atomic_fetch_sub(&inside, 1);
    sinew_sem_post(&slots);
    return r;
}
/* end */

static intptr_t program(void *arg)
{
    (void)arg;
    /* show */
    sinew_sem_init(&slots, 2);
    int r = sinew_map(work, NULL, 0, 100, NULL);
    if (r == 0)
        printf("more than two: %d times\n", too_many);
    /* end */
    return r;
}

int main(void)
{
    return (int)sinew_run(program, NULL);
}
