/* SPDX-License-Identifier: Apache-2.0 */
/* Forwarding HTTP/1.1 requests: one connection of a client, from its first request to its last. */
#ifndef PROXY_HTTP_H
#define PROXY_HTTP_H

#include "clients.h"

/* The socket stays the caller's. 0, or why it ended before its time: -ECANCELED, -ETIMEDOUT, an error of the socket.
 * May suspend. */
int http_serve(int fd, const client *who);

/* Connections that wait for a request end now, others after the one they are at. Never suspends. */
void http_drain(void);

#endif
