/* SPDX-License-Identifier: Apache-2.0 */
/* asyncio.run: the value of main, or its error. */
#include <sinew.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* show */
static intptr_t square(void *arg)
{
    intptr_t n = (intptr_t)arg;
    return n * n;
}

static intptr_t program(void *arg)
{
    intptr_t r = square(arg); /* a plain call: no task */
    return r + 1;
}

static intptr_t failing(void *arg)
{
    (void)arg;
    return -EIO;
}

int main(void)
{
    intptr_t r = sinew_run(program, (void *)3);
    printf("%ld\n", r);
    r = sinew_run(failing, NULL);
    if (r < 0)
        printf("%s\n", strerror((int)-r));
    return 0;
}
/* end */
