/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One side of an HTTP exchange: a socket with buffered input and output.
 *
 * Time. Both sides of an exchange share the instant at which something last moved. A call that waits fails with
 * -ETIMEDOUT when that is settings.idle_timeout ago, so a long upload does not end the wait for its response. Sending
 * moves that instant by itself; with what was received only the caller knows whether it is progress: bytes of a body
 * are, bytes of a header are not, or it could be dripped in for ever.
 */
#ifndef PROXY_PEER_H
#define PROXY_PEER_H

#include <sinew.h>

#include <stdatomic.h>

#define PEER_BYTES 8192

typedef struct peer {
    int fd;
    _Atomic(sinew_time) *moved;
    unsigned long long sent, received;
    int error;         /* of sending: the first one; nothing is sent after it */
    bool chunked;      /* a body that is written now is sent in chunks */
    size_t begin, end; /* input that nobody has looked at yet */
    size_t used;       /* output that has not been sent yet */
    char input[PEER_BYTES], output[PEER_BYTES];
} peer;

void peer_begin(peer *p, int fd, _Atomic(sinew_time) *moved);

/* Something moved. Never suspends. */
void peer_moved(peer *p);

/* Receives when all input has been looked at. How many bytes, 0 at the end of the stream, or an error. May suspend. */
ssize_t peer_receive(peer *p);

/* Append to the output, which is sent when the buffer is full and by peer_flush. May suspend. An error is kept in
 * `error`, and peer_flush returns it: there is no need to look before. */
void peer_write(peer *p, const char *data, size_t len);
void peer_print(peer *p, const char *text); /* a string */
void peer_write_body(peer *p, const char *data, size_t len);
void peer_end_body(peer *p);
int peer_flush(peer *p);

#endif
