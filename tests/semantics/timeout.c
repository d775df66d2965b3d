/* SPDX-License-Identifier: Apache-2.0 */
/* asyncio.timeout: a scope with a deadline. */
#include <sinew.h>

#include <errno.h>
#include <stdio.h>

/* show */
static int request(void)
{
    int r = sinew_sleep(SINEW_FOREVER);
    if (r < 0)
        return r; /* -ETIMEDOUT: pass it on, too */
    puts("answered");
    return 0;
}
/* end */

static intptr_t program(void *arg)
{
    (void)arg;
    /* show */
    sinew_timeout scope;
    sinew_timeout_begin(&scope, SINEW_MS(10));
    int r = request();
    if (sinew_timeout_end(&scope) == -ETIMEDOUT)
        puts("too late");
    else if (r < 0)
        return r;
    /* end */
    return 0;
}

int main(void)
{
    return (int)sinew_run(program, NULL);
}
