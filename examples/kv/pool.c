/* SPDX-License-Identifier: Apache-2.0 */
#include "pool.h"

#include <stdlib.h>
#include <string.h>

enum { KEPT = 32 }; /* by a thread */

/* The functions below are calls, never inlined into a task's function: a task may go on in another thread, while the
 * compiler believes that the address of a thread's variable stays what it was. */
static _Thread_local struct {
    unsigned count;
    char *buffers[KEPT];
} kept;

__attribute__((noinline)) char *pool_get(void)
{
    return kept.count > 0 ? kept.buffers[--kept.count] : malloc(POOL_BYTES);
}

__attribute__((noinline)) void pool_put(char *buffer)
{
    if (kept.count < KEPT)
        kept.buffers[kept.count++] = buffer;
    else
        free(buffer);
}
