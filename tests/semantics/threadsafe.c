/* SPDX-License-Identifier: Apache-2.0 */
/* asyncio.run_coroutine_threadsafe: a thread that gives the runtime
 * work.
 */
#include <sinew.h>

#include <stdio.h>

static intptr_t square(void *arg)
{
    int r = sinew_sleep(SINEW_MS(1));
    return r < 0 ? r : (intptr_t)arg * (intptr_t)arg;
}

/* show */
static intptr_t in_thread(void *arg)
{
    sinew_runtime *rt = arg;
    sinew_task *task = sinew_spawn_on(rt, square, (void *)7);
    return sinew_task_join(task); /* blocks the thread */
}
/* end */

static intptr_t program(void *arg)
{
    (void)arg;
    /* show */
    sinew_runtime *rt = sinew_runtime_self();
    intptr_t r = sinew_blocking_wait(in_thread, rt);
    printf("%ld\n", r);
    /* end */
    return 0;
}

int main(void)
{
    return (int)sinew_run(program, NULL);
}
