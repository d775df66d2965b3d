/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection to a server, of whatever kind its URL's scheme asks for. Nothing else in this program knows what is
 * below the bytes. All calls may suspend, and a cancel or a timeout ends them.
 */
#ifndef CRAWL_TRANSPORT_H
#define CRAWL_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

typedef struct transport {
    int fd;
} transport;

/* Is there a transport for this scheme? */
bool transport_knows(const char *scheme);

/* `host` as it stands in a URL: [::1], with its brackets. 0 or a negative errno. */
int transport_connect(transport *t, const char *scheme, const char *host, const char *port);

/* At most `len` bytes; 0 at the end of the stream, or a negative errno. */
ssize_t transport_receive(transport *t, void *buffer, size_t len);

/* All of them: 0, or a negative errno. */
int transport_send(transport *t, const void *data, size_t len);

/* After a connect that returned 0. */
void transport_close(transport *t);

#endif
