/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From bytes to commands: the Redis protocol, as clients send it and as the append-only file holds it.
 *
 *     for (;;) {
 *         char *at = resp_room(r, &room);        where the next bytes go
 *         resp_received(r, read(fd, at, room));
 *         while ((event = resp_next(r)) == RESP_COMMAND)
 *             ...                                r->args, r->argc
 *     }
 *
 * The bytes may come in any pieces, and one piece may hold many commands. Arguments lie where they were received; one
 * of RESP_LARGE bytes or more that comes in pieces is received into a value of its own, which the store can keep as it
 * is.
 *
 * Memory follows what has been received, never what a client has announced: the buffer and a value at most double, and
 * an argument of any size costs 16 bytes in a table that doubles. A parser that waits between commands needs nothing
 * but its struct (resp_rest). All parsers together stay below `total_bytes`.
 */
#ifndef KV_RESP_H
#define KV_RESP_H

#include "value.h"

typedef struct resp_limits {
    size_t value_bytes;   /* one argument */
    size_t request_bytes; /* one command */
    size_t total_bytes;   /* memory for what is being received, beside the structs */
    bool inline_commands; /* a line of words is a command, too */
} resp_limits;

enum {
    RESP_OWN_BYTES = 768, /* sixteen short SETs in a pipeline fit */
    RESP_OWN_ARGS = 8,
    RESP_LARGE = 32768,
    RESP_ARGS_MAX = 1 << 20,
    RESP_LINE_MAX = 65536,
    RESP_NUMBER_LINE_MAX = 64,
};

typedef struct resp_arg {
    const char *data;
    uint32_t len;
    bool large; /* `data` is that of a value */
} resp_arg;

typedef enum resp_event {
    RESP_MORE,    /* everything has been taken and more is needed */
    RESP_COMMAND, /* its arguments are there until the next call */
    RESP_INVALID, /* `error` says why; nothing can be read behind it */
} resp_event;

typedef struct resp {
    const resp_limits *limits;
    const char *error; /* "Protocol error: ..." */
    uint64_t taken;    /* bytes of the commands before this one */
    uint64_t passed;   /* bytes of this one that have been looked at */

    char *buffer;
    size_t room;           /* of the buffer */
    size_t begin, at, end; /* this command begins; looked at so far; received so far */
    size_t searched;       /* for the end of a line, behind `at` */

    resp_arg *args;
    uint32_t argc, args_room;
    uint32_t missing;  /* arguments of this command that have not come */
    uint32_t bulk_len; /* of the argument that is being received */
    value *large;      /* it, if it is */
    size_t held;       /* bytes of this command in values */
    enum { RESP_BEGIN, RESP_INLINE, RESP_COUNT, RESP_LENGTH, RESP_BULK, RESP_LARGE_BULK, RESP_END, RESP_DONE } state;

    resp_arg own_args[RESP_OWN_ARGS];
    char own[RESP_OWN_BYTES];
} resp;

void resp_init(resp *r, const resp_limits *limits);
void resp_destroy(resp *r);

/* Where to put the next bytes, and how many at most (*room > 0). NULL: no memory, or above the limits. */
char *resp_room(resp *r, size_t *room);
/* Takes a buffer from the pool: more than a little is about to come. */
void resp_expect_more(resp *r);
void resp_received(resp *r, size_t len);

resp_event resp_next(resp *r);

/* A reference to the argument as a value: the received one, or a copy. NULL: no memory. */
value *resp_value(const resp_arg *arg);

/* Is a command incomplete? */
static inline bool resp_is_partial(const resp *r)
{
    return r->state != RESP_BEGIN && r->state != RESP_DONE;
}

/* Gives memory back that is not needed until more comes. */
void resp_rest(resp *r);

/* Bytes that all parsers hold now, beside their structs. */
uint64_t resp_bytes(void);
/* For others whose memory a client makes grow, too: counts it under the same limit. False: above. */
bool resp_charge(size_t bytes, const resp_limits *limits);
void resp_discharge(size_t bytes);

#endif
