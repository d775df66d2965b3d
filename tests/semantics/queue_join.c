/* SPDX-License-Identifier: Apache-2.0 */
/* asyncio.Queue: a producer, a consumer, and join. */
#include <sinew.h>

#include <errno.h>
#include <stdio.h>

/* show */
static intptr_t consume(void *arg)
{
    sinew_queue *queue = arg;
    for (;;) {
        int item;
        int r = sinew_queue_get(queue, &item);
        if (r < 0)
            return r; /* cancelled */
        printf("got %d\n", item);
        sinew_queue_task_done(queue);
    }
}
/* end */

static intptr_t program(void *arg)
{
    (void)arg;
    /* show */
    sinew_queue_options options = {
        .element_bytes = sizeof(int),
        .max = 2,
    };
    sinew_queue *queue = sinew_queue_new(&options);
    sinew_task *consumer = sinew_spawn(consume, queue);
    for (int i = 0; i < 5; i++) {
        int r = sinew_queue_put(queue, &i); /* waits while full */
        if (r < 0)
            return r;
    }
    sinew_queue_join(queue);
    puts("all done");
    sinew_cancel(consumer);
    sinew_await(consumer);
    sinew_queue_unref(queue);
    /* end */
    return 0;
}

int main(void)
{
    return (int)sinew_run(program, NULL);
}
