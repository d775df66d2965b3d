/* SPDX-License-Identifier: Apache-2.0 */
/* A future that a thread sets. */
#include <sinew.h>

#include <pthread.h>
#include <stdio.h>

/* show */
static void *compute(void *arg)
{
    sinew_future_set(arg, 42);
    return NULL;
}
/* end */

static intptr_t program(void *arg)
{
    (void)arg;
    /* show */
    sinew_future *future = sinew_future_new();
    pthread_t thread;
    if (pthread_create(&thread, NULL, compute, future) != 0)
        return -1;
    printf("%ld\n", sinew_future_await(future));
    pthread_join(thread, NULL); /* blocks, but it is at its end */
    sinew_future_unref(future);
    /* end */
    return 0;
}

int main(void)
{
    return (int)sinew_run(program, NULL);
}
