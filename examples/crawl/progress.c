/* SPDX-License-Identifier: Apache-2.0 */
#include "progress.h"

#include <stdio.h>
#include <unistd.h>

static size_t total;
static bool on_terminal;
static sinew_task *drawing;

static void draw(void)
{
    enum { WIDTH = 30 };
    size_t fetched = atomic_load(&progress.fetched), failed = atomic_load(&progress.failed);
    int full = (int)((fetched + failed) * WIDTH / total);
    fprintf(stderr, "\r[%.*s%*s] %zu/%zu, %zu failed, %zu under way, %.1f MB\033[K", full,
            "##############################", WIDTH - full, "", fetched + failed, total, failed,
            atomic_load(&progress.under_way), (double)atomic_load(&progress.bytes) / 1e6);
    fflush(stderr);
}

/* A task of its own, so that drawing takes the same time however fast pages come. */
static intptr_t keep_drawing(void *arg)
{
    (void)arg;
    int error;
    do
        draw();
    while ((error = sinew_sleep(SINEW_MS(100))) == 0);
    return error;
}

void progress_begin(size_t pages)
{
    total = pages;
    on_terminal = isatty(STDERR_FILENO);
    if (on_terminal && total > 0)
        drawing = sinew_spawn(keep_drawing, NULL); /* NULL: no memory, and no bar */
}

void progress_page(const page *p)
{
    if (!on_terminal)
        fprintf(stderr, "%zu/%zu %d %s%s%s\n", atomic_load(&progress.fetched) + atomic_load(&progress.failed), total,
                p->status, p->url, p->error < 0 ? ": " : "", page_problem(p));
}

void progress_end(void)
{
    if (!drawing)
        return;
    sinew_cancel(drawing);
    (void)sinew_await(drawing); /* -ECANCELED, as was asked */
    fputs("\r\033[K", stderr);
}
