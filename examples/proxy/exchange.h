/* SPDX-License-Identifier: Apache-2.0 */
/* A request and its response, between a client and a target. */
#ifndef PROXY_EXCHANGE_H
#define PROXY_EXCHANGE_H

#include "clients.h"

#include <stdbool.h>

typedef struct exchange exchange;

/* For requests of one client. NULL: no memory. Never suspends. */
exchange *exchange_new(int fd, const client *who);
void exchange_free(exchange *x);

/* Receives a request, forwards it and answers. May suspend. 1: the client may send another one; 0: the connection is to
 * be closed; an error: it is to be closed so that the client cannot take what it got for the whole. */
int exchange_run(exchange *x);

/* Has a part of the next request been received already? */
bool exchange_has_input(const exchange *x);

#endif
