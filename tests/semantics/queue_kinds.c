/* SPDX-License-Identifier: Apache-2.0 */
/* asyncio.LifoQueue and PriorityQueue. */
#include <sinew.h>

#include <errno.h>
#include <stdio.h>

/* show */
static int compare(const void *a, const void *b)
{
    const int *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void fill_and_drain(const sinew_queue_options *options)
{
    sinew_queue *queue = sinew_queue_new(options);
    for (int i = 0; i < 3; i++)
        sinew_queue_try_put(queue, &(int[]){2, 3, 1}[i]);
    int item;
    while (sinew_queue_try_get(queue, &item) != -EAGAIN)
        printf("%d\n", item);
    sinew_queue_unref(queue);
}
/* end */

static intptr_t program(void *arg)
{
    (void)arg;
    /* show */
    fill_and_drain(&(sinew_queue_options){
        .kind = SINEW_QUEUE_LIFO,
        .element_bytes = sizeof(int),
    });
    fill_and_drain(&(sinew_queue_options){
        .kind = SINEW_QUEUE_PRIORITY,
        .element_bytes = sizeof(int),
        .compare = compare,
    });
    /* end */
    return 0;
}

int main(void)
{
    return (int)sinew_run(program, NULL);
}
