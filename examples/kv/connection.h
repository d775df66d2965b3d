/* SPDX-License-Identifier: Apache-2.0 */
/* One connection, from its first byte to its last: a task. */
#ifndef KV_CONNECTION_H
#define KV_CONNECTION_H

#include <stdint.h>

/* A sinew_fn. The argument is the connected socket, which it closes. Always returns 0. */
intptr_t serve_connection(void *fd);

#endif
