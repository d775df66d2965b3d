/* SPDX-License-Identifier: Apache-2.0 */
/* asyncio.create_task and await. */
#include <sinew.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* show */
static intptr_t square(void *arg)
{
    int r = sinew_sleep(SINEW_MS(1));
    if (r < 0)
        return r; /* cancelled: pass it on */
    return (intptr_t)arg * (intptr_t)arg;
}

static intptr_t failing(void *arg)
{
    (void)arg;
    return -EIO;
}
/* end */

static intptr_t program(void *arg)
{
    (void)arg;
    /* show */
    sinew_task *three = sinew_spawn(square, (void *)3);
    sinew_task *four = sinew_spawn(square, (void *)4);
    sinew_task *again = sinew_ref(four);
    intptr_t a = sinew_await(three); /* `three` is used up */
    intptr_t b = sinew_await(four);
    printf("%ld\n", a + b);
    printf("%ld\n", sinew_await(again));

    intptr_t r = sinew_await(sinew_spawn(failing, NULL));
    if (r < 0)
        printf("%s\n", strerror((int)-r));
    /* end */
    return 0;
}

int main(void)
{
    return (int)sinew_run(program, NULL);
}
