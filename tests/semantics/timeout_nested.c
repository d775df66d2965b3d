/* SPDX-License-Identifier: Apache-2.0 */
/* Timeout scopes nest; each knows whether it was the one. */
#include <sinew.h>

#include <errno.h>
#include <stdio.h>

static intptr_t program(void *arg)
{
    (void)arg;
    /* show */
    sinew_timeout outer, inner;
    sinew_timeout_begin(&outer, SINEW_MS(10));
    sinew_timeout_begin(&inner, SINEW_S(3600));
    int r = sinew_sleep(SINEW_FOREVER);
    if (sinew_timeout_end(&inner) == -ETIMEDOUT)
        puts("inner: too late");
    else if (r == -ETIMEDOUT)
        puts("inner: not mine");
    if (sinew_timeout_end(&outer) == -ETIMEDOUT)
        puts("outer: too late");
    /* end */
    return 0;
}

int main(void)
{
    return (int)sinew_run(program, NULL);
}
