/* SPDX-License-Identifier: Apache-2.0 */
/* A runtime beside the calling thread: asyncio.Runner. */
#include <sinew.h>

#include <stdio.h>

static intptr_t square(void *arg)
{
    return (intptr_t)arg * (intptr_t)arg;
}

int main(void)
{
    /* show */
    sinew_runtime *rt;
    if (sinew_runtime_start(NULL, &rt) < 0)
        return 1;
    printf("%ld\n", sinew_runtime_run(rt, square, (void *)3));
    printf("%ld\n", sinew_runtime_run(rt, square, (void *)4));
    sinew_runtime_stop(rt);
    /* end */
    return 0;
}
