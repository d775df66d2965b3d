/* SPDX-License-Identifier: Apache-2.0 */
/* Fire and forget: the error of a task that nobody asked. */
#include <sinew.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* show */
static intptr_t failing(void *arg)
{
    (void)arg;
    return -EIO;
}

static void report(const sinew_error_report *report, void *arg)
{
    printf("nobody asked: %s\n", strerror((int)-report->error));
    sinew_future_set(arg, 0);
}
/* end */

static intptr_t program(void *arg)
{
    sinew_future *reported = arg;
    /* show */
    sinew_set_error_handler(report, reported);
    sinew_detach(sinew_spawn(failing, NULL)); /* it runs on */
    sinew_future_await(reported);
    puts("main: goes on");
    /* end */
    return 0;
}

int main(void)
{
    sinew_future *reported = sinew_future_new();
    intptr_t r = sinew_run(program, reported);
    sinew_future_unref(reported);
    return r != 0;
}
