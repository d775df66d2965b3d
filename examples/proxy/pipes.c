/* SPDX-License-Identifier: Apache-2.0 */
#include "pipes.h"

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

/* As many as flow at one time on some workers; who needs more makes and closes them. */
enum { KEPT = 64 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* held for short, and never across a call that suspends */
static conduit kept[KEPT];
static unsigned kept_count;

bool pipe_take(conduit *p)
{
    bool found = false;
    pthread_mutex_lock(&lock);
    if (kept_count > 0) {
        *p = kept[--kept_count]; /* the one used last: what it needs is still in the caches */
        found = true;
    }
    pthread_mutex_unlock(&lock);
    if (found)
        return true;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
        return false;
    *p = (conduit){.in = ends[1], .out = ends[0]};
    return true;
}

void pipe_give_back(conduit p)
{
    bool taken = false;
    pthread_mutex_lock(&lock);
    if (kept_count < KEPT) {
        kept[kept_count++] = p;
        taken = true;
    }
    pthread_mutex_unlock(&lock);
    if (!taken)
        pipe_drop(p);
}

void pipe_drop(conduit p)
{
    close(p.in); /* of a pipe: these do not wait */
    close(p.out);
}

void pipes_close(void)
{
    while (kept_count > 0)
        pipe_drop(kept[--kept_count]);
}
