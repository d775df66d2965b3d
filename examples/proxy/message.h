/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From bytes to requests and responses, with llhttp (why: see http/request.c). A head is kept until the next one; a
 * body is handed on in the pieces in which it comes.
 *
 * What a proxy lets through, the server behind it reads once more, and whoever gets the two to disagree about where a
 * request ends can hide a second one in it. So everything unusual about the length of a message is refused here: both
 * lengths at once, more than one, encodings other than chunked, chunks in HTTP/1.0. And no framing is copied: what is
 * sent on gets its own.
 */
#ifndef PROXY_MESSAGE_H
#define PROXY_MESSAGE_H

#include <llhttp.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum message_event {
    MESSAGE_PARTIAL,  /* everything has been taken and more is needed */
    MESSAGE_HEAD,     /* the head is complete; message_feed goes on with the body */
    MESSAGE_COMPLETE, /* message_feed goes on with the next message */
    MESSAGE_INVALID,  /* `status` says how; or `body` failed */
} message_event;

/* A piece of a body. It may suspend. 0 or an error, which ends the parsing. */
typedef int message_body_fn(void *arg, const char *data, size_t len);

typedef enum message_framing {
    FRAMING_NONE, /* there is no body, or it is empty */
    FRAMING_LENGTH,
    FRAMING_CHUNKED,
    FRAMING_END, /* of the stream: only responses */
} message_framing;

typedef struct message {
    llhttp_t parser;
    enum { BETWEEN_MESSAGES, IN_HEAD, IN_BODY } part;
    int status; /* the answer to a request that is refused, or 0 */

    /* The head. */
    bool http_1_0, keep_alive;
    bool expects;   /* the client waits for 100 Continue before it sends the body */
    bool skip_body; /* set by the user: the response to a HEAD */
    message_framing framing;
    uint64_t length; /* with FRAMING_LENGTH; with FRAMING_NONE, if has_length, of the body that is left out */
    bool has_length;
    unsigned fields, hosts, encodings;

    /* One string after the other: the target or the reason, then name and value of each field. */
    bool has_first;
    size_t name_at, value_at;
    size_t text_used;
    char *text; /* settings.header_bytes */

    message_body_fn *body;
    void *body_arg;
    int body_error;
} message;

/* 0, or -ENOMEM. */
int message_init(message *m, llhttp_type_t type);
void message_destroy(message *m);

/* As after init, but with the memory that is there: for another connection. */
void message_restart(message *m, llhttp_type_t type);

/* Feeds `len` bytes and stores in *used how many of them were taken. As may suspend as `body` does. */
message_event message_feed(message *m, const char *data, size_t len, size_t *used);

/* The stream has ended: MESSAGE_COMPLETE if that is how this message ends, otherwise MESSAGE_INVALID. */
message_event message_finish(message *m);

/* The target of a request, the reason of a response. */
const char *message_first(const message *m);

/* The next field after `name` (NULL: the first one). False: there is none. */
bool message_next(const message *m, const char **name, const char **value);

/* Is it a field that concerns this connection only, and is not sent on? */
bool message_is_hop_by_hop(const message *m, const char *name);

#endif
