/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tutorial, step 2: one after the other. Awaiting a task means waiting for its end, so this takes 1 + 2 = 3 seconds.
 *
 *     async def main():
 *         print(f"started at {time.strftime('%X')}")
 *         await say_after(1, 'hello')
 *         await say_after(2, 'world')
 *         print(f"finished at {time.strftime('%X')}")
 */
#include <sinew.h>

#include <stdio.h>
#include <string.h>
#include <time.h>

/* A task takes one pointer; what it needs goes into a struct, which must outlive the task. */
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
    print_time("started");

    /* A plain call, say_after(&hello), would do the same within this task: a new one pays off when it runs beside
     * something, which is the next step. A spawn that fails gives NULL, and awaiting NULL is an error: one check is
     * enough. */
    intptr_t result = sinew_await(sinew_spawn(say_after, &hello));
    if (result < 0)
        return result;
    result = sinew_await(sinew_spawn(say_after, &world));
    if (result < 0)
        return result;

    print_time("finished");
    return 0;
}

int main(void)
{
    intptr_t result = sinew_run(program, NULL);
    if (result < 0)
        fprintf(stderr, "tutorial2: %s\n", strerror((int)-result));
    return result < 0;
}
