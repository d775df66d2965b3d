/* SPDX-License-Identifier: Apache-2.0 */
/* asyncio.timeout(None) and reschedule: a deadline set, and moved,
 * later.
 */
#include <sinew.h>

#include <errno.h>
#include <stdio.h>

static intptr_t program(void *arg)
{
    (void)arg;
    /* show */
    sinew_timeout scope;
    sinew_timeout_begin(&scope, SINEW_FOREVER);
    sinew_timeout_reset(&scope, SINEW_S(3600));
    sinew_timeout_reset(&scope, SINEW_MS(10));
    int r = sinew_sleep(SINEW_FOREVER);
    if (r == -ETIMEDOUT &&
        sinew_timeout_reset(&scope, SINEW_S(1)) < 0)
        puts("cannot be moved any more");
    if (sinew_timeout_end(&scope) == -ETIMEDOUT)
        puts("too late");
    /* end */
    return 0;
}

int main(void)
{
    return (int)sinew_run(program, NULL);
}
