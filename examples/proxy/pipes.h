/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pipes for splice, which moves data between two sockets through one. A pipe is two descriptors and some memory, so a
 * connection takes one only while data flows, and gives it back when it is empty.
 */
#ifndef PROXY_PIPES_H
#define PROXY_PIPES_H

#include <stdbool.h>

typedef struct conduit {
    int in, out; /* written to; read from */
} conduit;

/* False: no descriptors are left. Never suspends. */
bool pipe_take(conduit *p);

/* The pipe must be empty. Never suspends. */
void pipe_give_back(conduit p);

/* For one that is not empty. Never suspends. */
void pipe_drop(conduit p);

/* Closes all that have been given back. */
void pipes_close(void);

#endif
