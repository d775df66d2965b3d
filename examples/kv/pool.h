/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Buffers of one size, for requests and answers while they are there: a connection that waits has none. Some that were
 * returned are kept, by the processor, so that workers do not meet here.
 */
#ifndef KV_POOL_H
#define KV_POOL_H

enum { POOL_BYTES = 16384 };

char *pool_get(void); /* NULL: no memory */
void pool_put(char *buffer);

/* Frees what is kept, when nobody uses the pool any more. */
void pool_destroy(void);

#endif
