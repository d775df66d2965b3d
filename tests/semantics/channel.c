/* SPDX-License-Identifier: Apache-2.0 */
/* A channel, as in Go. */
#include <sinew.h>

#include <errno.h>
#include <stdio.h>

/* show */
static intptr_t squares(void *arg)
{
    sinew_channel *out = arg;
    for (int i = 1; i <= 3; i++) {
        int r = sinew_channel_send(out, &(int){i * i});
        if (r < 0)
            return r;
    }
    return sinew_channel_close(out);
}
/* end */

static intptr_t program(void *arg)
{
    (void)arg;
    /* show */
    sinew_channel *numbers = sinew_channel_new(sizeof(int), 0);
    sinew_task *task = sinew_spawn(squares, numbers);
    int n;
    while (sinew_channel_recv(numbers, &n) == 0)
        printf("%d\n", n);
    intptr_t r = sinew_await(task);
    sinew_channel_unref(numbers);
    /* end */
    return r;
}

int main(void)
{
    return (int)sinew_run(program, NULL);
}
