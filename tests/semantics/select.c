/* SPDX-License-Identifier: Apache-2.0 */
/* Go's select: several channels and a time. */
#include <sinew.h>

#include <errno.h>
#include <stdio.h>

/* show */
struct ends {
    sinew_channel *numbers;
    sinew_channel *quit;
};

static intptr_t produce(void *arg)
{
    struct ends *ends = arg;
    for (int i = 1; i <= 3; i++) {
        int r = sinew_channel_send(ends->numbers, &i);
        if (r < 0)
            return r;
    }
    return sinew_channel_close(ends->quit);
}
/* end */

static intptr_t program(void *arg)
{
    (void)arg;
    /* show */
    struct ends ends = {
        .numbers = sinew_channel_new(sizeof(int), 0),
        .quit = sinew_channel_new(0, 0),
    };
    sinew_task *task = sinew_spawn(produce, &ends);
    int n, which;
    do {
        sinew_case cases[] = {
            {.kind = SINEW_CASE_RECV,
             .channel = ends.numbers,
             .element = &n},
            {.kind = SINEW_CASE_RECV, .channel = ends.quit},
            {.kind = SINEW_CASE_AFTER, .duration = SINEW_S(60)},
        };
        which = sinew_select(cases, 3);
        if (which == 0)
            printf("got %d\n", n);
        else if (which == 1)
            puts("quit");
        else if (which == 2)
            puts("too late");
    } while (which == 0);
    sinew_await(task);
    sinew_channel_unref(ends.quit);
    sinew_channel_unref(ends.numbers);
    /* end */
    return which < 0 ? which : 0;
}

int main(void)
{
    return (int)sinew_run(program, NULL);
}
