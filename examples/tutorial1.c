/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tutorial, step 1: a task that sleeps.
 *
 *     import asyncio
 *     async def main():
 *         print('Hello ...')
 *         await asyncio.sleep(1)
 *         print('... World!')
 *     asyncio.run(main())
 */
#include <sinew.h>

#include <stdio.h>
#include <string.h>

/* A task's body. It returns a number >= 0, or a negative errno. */
static intptr_t program(void *arg)
{
    (void)arg;
    puts("Hello ...");
    /* The task sleeps, the thread below it does not: it would run other tasks, if there were any. Every call that
     * suspends can say that the task has been cancelled (Ctrl-C does it), so every call is checked. */
    int error = sinew_sleep(SINEW_S(1));
    if (error < 0)
        return error;
    puts("... World!");
    return 0;
}

int main(void)
{
    intptr_t result = sinew_run(program, NULL); /* starts the workers, runs the program, waits for everything */
    if (result < 0)
        fprintf(stderr, "tutorial1: %s\n", strerror((int)-result));
    return result < 0;
}
