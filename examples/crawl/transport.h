/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection to a server, of whatever kind its URL's scheme asks for. Nothing else in this program knows what is
 * below the bytes. All calls but transport_knows and transport_close may suspend, and a cancel or a timeout ends them.
 */
#ifndef CRAWL_TRANSPORT_H
#define CRAWL_TRANSPORT_H

#include <sinew.h>

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

typedef struct transport {
    int fd;
    sinew_stream *stream; /* with TLS, in place of fd; NULL: none */
    char problem[256];    /* what was wrong with TLS, in words; empty: nothing, or nothing is known */
} transport;

/* Before the runtime starts: looks at what the settings say about certificates. 0; otherwise a line on stderr says what
 * is wrong. */
int transport_begin(void);
void transport_end(void);

/* Is there a transport for this scheme? */
bool transport_knows(const char *scheme);

/* `host` as it stands in a URL: [::1], with its brackets. 0 or a negative errno: -EPROTO, the server does not speak TLS
 * as we do; -EKEYREJECTED, its certificate is not one that we trust, or is for another name. */
int transport_connect(transport *t, const char *scheme, const char *host, const char *port);

/* At most `len` bytes; 0 at the end of the stream, or a negative errno. */
ssize_t transport_receive(transport *t, void *buffer, size_t len);

/* All of them: 0, or a negative errno. */
int transport_send(transport *t, const void *data, size_t len);

/* After a connect that returned 0. */
void transport_close(transport *t);

#endif
