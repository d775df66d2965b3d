/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One client's socket: time limits, stopping, and buffered output.
 *
 * Time. The connection has one timeout scope, whose deadline is moved as the client makes progress: it has
 * settings.timeout for each step: to begin a request, to complete it, to take some bytes of a response. Moving the
 * deadline for every request would cost more than the rest of this file, so that is done only when an eighth of the
 * time is gone: a step gets between 7/8 of the timeout and all of it. The completion of a request that comes in pieces
 * is one step, for which the deadline is set exactly (client_restart), however slowly the bytes drip in.
 *
 * Pauses. A client that says nothing between two requests for CLIENT_BRIEF makes client_recv return -ETIMEDOUT with
 * `brief` set. Its connection then gives its memory back and waits for the rest of the time with client_wait, which
 * needs none.
 *
 * Stopping. The server stops by cancelling its connections. A call that would wait for a new request then fails with
 * -ECANCELED; one within a request goes on, but the scope's deadline becomes the end of the grace time.
 *
 * All calls except client_write suspend. They return -ETIMEDOUT when the time is up, -ECANCELED as above or when the
 * task is cancelled a second time, and what the system call fails with.
 */
#ifndef HTTP_CLIENT_H
#define HTTP_CLIENT_H

#include <sinew.h>

#include <sys/types.h>
#include <time.h>

#define CLIENT_OUTPUT_BYTES 16384
#define CLIENT_BRIEF        SINEW_S(1)
#define DATE_LINE_BYTES     37 /* "Date: Tue, 15 Nov 1994 08:12:31 GMT\r\n" */

typedef struct client {
    int fd;
    sinew_stream *stream; /* with TLS, in place of fd; NULL: none */
    bool stopping;        /* the server stops: this request is the last one */
    sinew_time until;     /* the end of the grace time, then; otherwise 0 */
    bool brief;           /* the deadline is the end of a pause, CLIENT_BRIEF, and not of a step */
    sinew_timeout scope;
    sinew_time now;   /* of the last step: a coarse clock, good to some milliseconds and cheap */
    sinew_time moved; /* when the deadline was last set */
    time_t date_second;
    char date_line[DATE_LINE_BYTES + 1];
    size_t output_used;
    char output[CLIENT_OUTPUT_BYTES];
} client;

/* Begins the time limit; end it before the task returns. Never suspends. */
void client_begin(client *c, int fd, sinew_stream *stream);
void client_end(client *c);

/* The client has sent a part of a request: it has settings.timeout for the rest. Never suspends. */
void client_restart(client *c);

/* After -ETIMEDOUT: a new limit, for saying so to the client. Never suspends. */
void client_extend(client *c, sinew_time duration);

/* Receives at most `len` bytes; 0 at the end of the stream. `between_requests`: nothing is in flight. */
ssize_t client_recv(client *c, void *buf, size_t len, bool between_requests);

/* Waits until there is something to receive, for the rest of settings.timeout after a pause. > 0, or -ETIMEDOUT,
 * -ECANCELED and others. */
int client_wait(int fd, sinew_stream *stream);

/* Appends to the output, which is sent when the buffer is full or by client_flush. 0 or an error. */
int client_write(client *c, const void *data, size_t len);
int client_flush(client *c);

/* Sends what is in the output, then that part of a file, whole; -EIO: the file has become shorter. */
int client_send_file(client *c, int fd, off_t offset, size_t count);

/* As pread(2), under the same rules as the socket. */
ssize_t client_pread(client *c, int fd, void *buf, size_t len, off_t offset);

/* The Date header field of this second, DATE_LINE_BYTES long. Never suspends. */
const char *client_date_line(client *c);

/* Before closing while the client may still be sending: says that no more will come and reads on for a moment.
 * Otherwise the kernel answers the unread bytes with a reset, which can destroy the response on its way. */
void client_linger(client *c);

#endif
