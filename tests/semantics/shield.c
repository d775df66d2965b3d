/* SPDX-License-Identifier: Apache-2.0 */
/* asyncio.shield: who waits can be cancelled, what is waited for
 * goes on.
 */
#include <sinew.h>

#include <errno.h>
#include <stdio.h>

struct waiter {
    sinew_task *inner;
    sinew_future *begun;
};

static intptr_t inner(void *arg)
{
    return sinew_future_await(arg);
}

/* show */
static intptr_t wait_for_it(void *arg)
{
    struct waiter *waiter = arg;
    sinew_future_set(waiter->begun, 0);
    return sinew_shield(sinew_ref(waiter->inner));
}
/* end */

static intptr_t program(void *arg)
{
    (void)arg;
    sinew_future *gate = sinew_future_new();
    struct waiter waiter = {
        .inner = sinew_spawn(inner, gate),
        .begun = sinew_future_new(),
    };
    /* show */
    sinew_task *task = sinew_spawn(wait_for_it, &waiter);
    sinew_future_await(waiter.begun);
    sinew_cancel(task);
    if (sinew_await(task) == -ECANCELED)
        puts("the waiter was cancelled");
    sinew_future_set(gate, 42);
    printf("%ld\n", sinew_await(waiter.inner));
    /* end */
    sinew_future_unref(waiter.begun);
    sinew_future_unref(gate);
    return 0;
}

int main(void)
{
    return (int)sinew_run(program, NULL);
}
