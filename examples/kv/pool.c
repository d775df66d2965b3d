/* SPDX-License-Identifier: Apache-2.0 */
/* Not by the thread: a task may go on in another one while it believes that it knows the address of a variable of its
 * thread's. A processor's number is only a hint, which may be old when it is used. */
#include "pool.h"

#include "spin.h"

#include <sched.h>
#include <stdlib.h>

enum { SHELVES = 16, KEPT = 32 /* on each */ };

static struct shelf {
    _Alignas(64) ck_spinlock_t lock;
    unsigned count;
    char *buffers[KEPT];
} shelves[SHELVES];

static struct shelf *nearest(void)
{
    int processor = sched_getcpu();
    return &shelves[processor < 0 ? 0 : (unsigned)processor % SHELVES];
}

char *pool_get(void)
{
    struct shelf *s = nearest();
    spin_lock(&s->lock);
    char *buffer = s->count > 0 ? s->buffers[--s->count] : NULL;
    spin_unlock(&s->lock);
    return buffer ? buffer : malloc(POOL_BYTES);
}

void pool_put(char *buffer)
{
    struct shelf *s = nearest();
    spin_lock(&s->lock);
    if (s->count < KEPT) {
        s->buffers[s->count++] = buffer;
        buffer = NULL;
    }
    spin_unlock(&s->lock);
    free(buffer);
}

void pool_destroy(void)
{
    for (unsigned i = 0; i < SHELVES; i++)
        while (shelves[i].count > 0)
            free(shelves[i].buffers[--shelves[i].count]);
}
