/* SPDX-License-Identifier: Apache-2.0 */
/* A cleanup that suspends, and that another cancel must not cut
 * short. */
#include <sinew.h>

#include <errno.h>
#include <stdio.h>

struct file {
    sinew_future *opened;
    sinew_future *flushing;
    sinew_future *disk;
};

static intptr_t flush(void *arg)
{
    struct file *file = arg;
    sinew_future_set(file->flushing, 0);
    intptr_t r = sinew_future_await(file->disk);
    puts(r < 0 ? "flush: cut short" : "flush: complete");
    return r;
}

/* show */
static intptr_t work(void *arg)
{
    struct file *file = arg;
    sinew_future_set(file->opened, 0);
    int r = sinew_sleep(SINEW_FOREVER);
    if (r < 0) { /* in a task of its own, waited for to its end */
        sinew_task *cleanup = sinew_spawn(flush, file);
        while (!sinew_done(cleanup))
            sinew_shield(sinew_ref(cleanup));
        sinew_detach(cleanup);
    }
    return r;
}
/* end */

static intptr_t program(void *arg)
{
    (void)arg;
    struct file file = {sinew_future_new(), sinew_future_new(),
                        sinew_future_new()};
    /* show */
    sinew_task *task = sinew_spawn(work, &file);
    sinew_future_await(file.opened);
    sinew_cancel(task);
    sinew_future_await(file.flushing);
    sinew_cancel(task); /* while it flushes */
    sinew_future_set(file.disk, 0);
    if (sinew_await(task) == -ECANCELED)
        puts("main: it was cancelled");
    /* end */
    sinew_future_unref(file.opened);
    sinew_future_unref(file.flushing);
    sinew_future_unref(file.disk);
    return 0;
}

int main(void)
{
    return (int)sinew_run(program, NULL);
}
