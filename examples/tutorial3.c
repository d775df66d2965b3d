/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tutorial, step 3: side by side. Both tasks exist before the first is awaited, so this takes 2 seconds and not 3.
 *
 *     async def main():
 *         task1 = asyncio.create_task(say_after(1, 'hello'))
 *         task2 = asyncio.create_task(say_after(2, 'world'))
 *         print(f"started at {time.strftime('%X')}")
 *         await task1
 *         await task2
 *         print(f"finished at {time.strftime('%X')}")
 */
#include <sinew.h>

#include <stdio.h>
#include <string.h>
#include <time.h>

struct say {
    sinew_time delay;
    const char *what;
};

static intptr_t say_after(void *arg)
{
    const struct say *say = arg;
    int error = sinew_sleep(say->delay);
    if (error < 0)
        return error;
    puts(say->what);
    return 0;
}

static void print_time(const char *event)
{
    time_t now = time(NULL);
    struct tm local;
    char text[16] = "?";
    if (localtime_r(&now, &local))
        strftime(text, sizeof text, "%X", &local);
    printf("%s at %s\n", event, text);
}

static intptr_t program(void *arg)
{
    (void)arg;
    struct say hello = {SINEW_S(1), "hello"};
    struct say world = {SINEW_S(2), "world"};
    sinew_task *first = sinew_spawn(say_after, &hello);
    sinew_task *second = sinew_spawn(say_after, &world);
    print_time("started");

    /* Both are awaited even if the first fails: they use structs of this function, which must not return first. */
    intptr_t first_result = sinew_await(first);
    intptr_t second_result = sinew_await(second);
    if (first_result < 0)
        return first_result;
    if (second_result < 0)
        return second_result;

    print_time("finished");
    return 0;
}

int main(void)
{
    intptr_t result = sinew_run(program, NULL);
    if (result < 0)
        fprintf(stderr, "tutorial3: %s\n", strerror((int)-result));
    return result < 0;
}
