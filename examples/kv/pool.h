/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Buffers of one size, for requests and answers while they are there: a connection that waits has none. Each thread
 * keeps some that were returned on it, whoever took them.
 */
#ifndef KV_POOL_H
#define KV_POOL_H

enum { POOL_BYTES = 16384 };

char *pool_get(void); /* NULL: no memory */
void pool_put(char *buffer);

#endif
