/* SPDX-License-Identifier: Apache-2.0 */
/* asyncio.sleep, and sleep(0). */
#include <sinew.h>

#include <stdio.h>

static intptr_t program(void *arg)
{
    (void)arg;
    /* show */
    sinew_time began = sinew_now();
    int r = sinew_sleep(SINEW_MS(10));
    if (r < 0)
        return r;
    if (sinew_now() - began >= SINEW_MS(10))
        puts("10 ms later");
    sinew_yield(); /* also: sinew_sleep(0) */
    /* end */
    return 0;
}

int main(void)
{
    return (int)sinew_run(program, NULL);
}
