/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tutorial, step 4: what more than one worker is for. Three tasks each hold their thread for a second, as a computation
 * or a library that blocks would do, and then sleep for a second as tasks do.
 *
 *     async def count():
 *         print("One")
 *         time.sleep(1)             # not asyncio.sleep: the whole loop stands still
 *         await asyncio.sleep(1)
 *         print("Two")
 *     async def main():
 *         await asyncio.gather(count(), count(), count())
 *
 * In asyncio, and here with one worker, this takes 4 seconds: the blocking seconds follow one another, and the last
 * sleep comes on top. With three workers the same program takes 2.
 */
#include <sinew.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* Holds the worker, not only the task. */
static void block_for_a_second(void)
{
    struct timespec left = {.tv_sec = 1};
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
        /* a signal woke it up early: sleep the rest */
    }
}

static intptr_t count(void *arg)
{
    (void)arg;
    puts("One");
    block_for_a_second();
    int error = sinew_sleep(SINEW_S(1));
    if (error < 0)
        return error;
    puts("Two");
    return 0;
}

static intptr_t program(void *arg)
{
    (void)arg;
    sinew_task *tasks[3];
    for (int i = 0; i < 3; i++)
        tasks[i] = sinew_spawn(count, NULL);
    return sinew_gather(tasks, 3, NULL); /* waits for all three, and uses the handles up */
}

int main(void)
{
    static const unsigned workers[] = {1, 3};
    for (int i = 0; i < 2; i++) {
        sinew_options options = {.workers = workers[i]};
        sinew_time began = sinew_now();
        intptr_t result = sinew_run_with(&options, program, NULL);
        if (result < 0) {
            fprintf(stderr, "tutorial4: %s\n", strerror((int)-result));
            return 1;
        }
        printf("workers: %u, time: %.2f s\n", workers[i], (double)(sinew_now() - began) / 1e9);
    }
    return 0;
}
