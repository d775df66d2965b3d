/* SPDX-License-Identifier: Apache-2.0 */
/* Who is connected, and how often: by address, so that one client cannot take all connections. */
#ifndef PROXY_CLIENTS_H
#define PROXY_CLIENTS_H

#include <netinet/in.h>
#include <sys/socket.h>

typedef struct client client;

/* One more connection from this address. 0; -EUSERS: it has settings.per_client_max already; -ENOMEM. *out is NULL for
 * unix sockets, which have no address and no limit. Never suspends. */
int client_enter(const struct sockaddr_storage *address, client **out);

/* One less. NULL is allowed. Never suspends. */
void client_leave(client *c);

/* The address as text. NULL gives NULL. */
const char *client_text(const client *c, char buffer[INET6_ADDRSTRLEN]);

#endif
