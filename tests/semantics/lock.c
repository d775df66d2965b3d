/* SPDX-License-Identifier: Apache-2.0 */
/* asyncio.Lock: one at a time, across suspensions. */
#include <sinew.h>

#include <stdio.h>

/* show */
struct counter {
    sinew_mutex mutex;
    int n;
};

static intptr_t increment(void *arg)
{
    struct counter *counter = arg;
    int r = sinew_mutex_lock(&counter->mutex);
    if (r < 0)
        return r; /* cancelled: not locked */
    int n = counter->n;
    r = sinew_yield();
    if (r == 0)
        counter->n = n + 1;
    sinew_mutex_unlock(&counter->mutex); /* on every way out */
    return r;
}
/* end */

static intptr_t program(void *arg)
{
    (void)arg;
    /* show */
    struct counter counter = {.n = 0};
    sinew_mutex_init(&counter.mutex);
    int r = sinew_map(increment, &counter, 0, 100, NULL);
    if (r == 0)
        printf("%d\n", counter.n);
    /* end */
    return r;
}

int main(void)
{
    return (int)sinew_run(program, NULL);
}
