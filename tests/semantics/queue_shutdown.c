/* SPDX-License-Identifier: Apache-2.0 */
/* Queue.shutdown: what is left is drained, then nothing comes any
 * more. */
#include <sinew.h>

#include <errno.h>
#include <stdio.h>

/* show */
static intptr_t consume(void *arg)
{
    sinew_queue *queue = arg;
    int item, r;
    while ((r = sinew_queue_get(queue, &item)) == 0)
        printf("got %d\n", item);
    if (r != -EPIPE)
        return r;
    puts("shut down, and empty");
    return 0;
}
/* end */

static intptr_t program(void *arg)
{
    (void)arg;
    sinew_queue_options options = {.element_bytes = sizeof(int)};
    sinew_queue *queue = sinew_queue_new(&options);
    /* show */
    for (int i = 0; i < 3; i++)
        sinew_queue_put(queue, &i);
    sinew_queue_shutdown(queue, false);
    int r = sinew_queue_put(queue, &(int){3});
    if (r == -EPIPE)
        puts("no more puts");
    sinew_await(sinew_spawn(consume, queue));
    /* end */
    sinew_queue_unref(queue);
    return 0;
}

int main(void)
{
    return (int)sinew_run(program, NULL);
}
