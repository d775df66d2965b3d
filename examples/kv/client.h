/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One client's socket: requests in, answers out, time limits, stopping.
 *
 * Memory. A client that waits has this struct and its task's stack. The struct has room for a short request, so that in
 * the common case one receive brings it; longer ones and all answers take a buffer from a pool, which goes back before
 * the client waits again.
 *
 * Answers are collected and sent when the buffer is full or nothing is left to be answered. Before they are sent the
 * append-only file must be safe up to what they show (journal.h). If it cannot be written, what was only read is told
 * nevertheless; but if there is an answer to a change among those not sent, each of them is replaced by an error.
 *
 * Time. A client that takes none of its answers for settings.stall is cut off, and one that sends nothing for
 * settings.idle, if that is set.
 *
 * Stopping. The server stops by cancelling its connections. A call that would wait for a new request then fails; one
 * within a request goes on, and so do answers, for settings.grace.
 *
 * A client that is gone, or cut off, is `failed`: all calls that write do nothing from then on.
 */
#ifndef KV_CLIENT_H
#define KV_CLIENT_H

#include "pool.h"
#include "resp.h"

#include <sinew.h>

#include <stdbool.h>
#include <stdint.h>

typedef struct client {
    int fd;
    uint32_t output_used;
    char *output;     /* from the pool, or NULL while there is none */
    uint32_t answers; /* complete ones in the output */
    bool stopping;    /* the server stops: no more requests */
    bool failed;
    bool leaving;     /* it is closed behind the present answer */
    bool partly;      /* a part of the present answer has been sent */
    bool fast;        /* all that was asked for has come: there is more, probably */
    uint64_t lsn;     /* to be safe before the output is sent */
    uint64_t changed; /* the part of it that this client's own changes need */
    uint64_t id;
    char *name; /* CLIENT SETNAME; or NULL */
    sinew_timeout grace;
    resp in;
} client;

void client_begin(client *c, int fd);
void client_end(client *c);

/* Sends what has been answered and receives. False: there will be no more. May suspend. */
bool client_receive(client *c);
/* Sends what has been answered. May suspend. */
void client_flush(client *c);
/* Before closing while the client may still be sending: says that no more will come, and reads on for a moment, since
 * the kernel answers unread bytes with a reset, which can destroy answers on their way. `waits`: also if nothing is
 * there yet. May suspend. */
void client_linger(client *c, bool waits);

/* In a command that takes long: lets others run. The client may be `failed` after it. */
void client_yield(client *c);
/* A call that a command made failed with -ECANCELED. Returns whether to repeat it: the first cancel means "come to an
 * end". */
bool client_goes_on(client *c);

/* An answer that shows what happened up to there. */
static inline void client_saw(client *c, uint64_t lsn)
{
    if (lsn > c->lsn)
        c->lsn = lsn;
}

/* --- answers; these may suspend, for a client that has to take some first --------------------------------------------
 */

/* Makes room for n <= POOL_BYTES bytes at once; false: failed. The next `n` bytes do not suspend. */
bool client_room(client *c, size_t n);
void client_write(client *c, const void *data, size_t len);

#define answer_literal(c, text) client_write(c, text, sizeof text - 1)
void answer_ok(client *c);
void answer_nil(client *c);
void answer_number(client *c, int64_t number);
void answer_array(client *c, size_t count);
void answer_bulk(client *c, const void *data, size_t len);
void answer_text(client *c, const char *text); /* as a bulk */
void answer_value(client *c, value *v);        /* a large one is sent from where it lies */
/* "-" and "ERR ..." or another code. */
void answer_error(client *c, const char *text);
/* A part of an answer that is a line: what would break it becomes a space. */
void client_line(client *c, const char *text, size_t len);
/* An error in three parts. */
void answer_error_about(client *c, const char *before, const char *about, size_t len, const char *after);

#endif
