/* SPDX-License-Identifier: Apache-2.0 */
/* What main leaves behind is cancelled, and waited for, when main
 * returns.
 */
#include <sinew.h>

#include <errno.h>
#include <stdio.h>

/* show */
static intptr_t background(void *arg)
{
    sinew_future_set(arg, 0);
    int r = sinew_sleep(SINEW_FOREVER);
    if (r == -ECANCELED)
        puts("background: cancelled");
    return r;
}

static intptr_t program(void *arg)
{
    sinew_detach(sinew_spawn(background, arg));
    sinew_future_await(arg); /* it has begun */
    puts("main: returns");
    return 0;
}
/* end */

int main(void)
{
    sinew_future *begun = sinew_future_new();
    intptr_t r = sinew_run(program, begun);
    puts("run: returned");
    sinew_future_unref(begun);
    return r != 0;
}
