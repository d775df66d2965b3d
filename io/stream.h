/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of a stream; the design stands in stream.c.
 */
#ifndef SN_STREAM_H
#define SN_STREAM_H

#include "io/transport.h"
#include "runtime/waitq.h"

#include <sinew/stream.h>

/* A stretch of what is to be sent. `end` moves while the beginning is being sent; nothing else does. */
typedef struct sn_piece {
    struct sn_piece *next;
    size_t begin, end, bytes; /* of `data` */
    char data[];
} sn_piece;

/* A task in drain, flush or wait_closed. */
typedef struct sn_stream_wait {
    sn_waiting waiting;
    size_t level; /* it goes on when no more than this is buffered */
    int result;   /* written by who grants, under the lock */
} sn_stream_wait;

struct sinew_stream {
    sinew_transport *transport;
    _Atomic uint32_t references;

    /* Whose `reading` it is. */
    _Atomic uint32_t reading; /* a task is in a reading call */
    int read_error;
    bool ended; /* the transport has said so */
    char *at;   /* what is buffered, in `received` or in `block` */
    size_t have;
    char *block; /* own memory; NULL: none */
    size_t block_bytes;
    sn_received received; /* data NULL: none */
    size_t limit;

    /* Under the lock. */
    sn_lock lock;
    bool receiving; /* a task is in the transport's receive */
    bool idle;      /* ... for sinew_stream_idle */
    bool busy;      /* a task is in its send, shutdown or close; it comes back to the lock */
    bool held;      /* ... for longer than a system call takes: sn_stream_hold */
    bool stopping;  /* a task is in its stop */
    /* What is wanted. */
    bool ending;   /* write_eof */
    bool draining; /* sinew_stream_idle finds the end */
    bool closing;
    bool aborted; /* what is unsent is dropped */
    bool unowned; /* the last reference is gone */
    /* What has been done: the calls of the transport, each once. */
    bool end_said, receiving_stopped, stopped, stopped_hard, fd_closed;
    bool closed; /* ... and returned */
    bool full;   /* the last send found no room */
    bool paused; /* write_high was passed, write_low is not yet reached */
    int lost;    /* the error by which the connection was lost */
    sn_piece *first, *last;
    _Atomic size_t unsent; /* written under the lock */
    size_t high, low;
    /* A reference to a task that will send, queued or about to be; whoever finds it unstarted in its own queue, and
     * nothing to send, may take it out. Written under the lock. */
    _Atomic(sinew_task *) flusher;
    sn_waitq drainers, closers;

    sinew_transport socket; /* where `transport` is a plain socket */
};

/* Of options that may be NULL: is the low water mark below the high one, be that the default? */
bool sn_stream_options_valid(const sinew_stream_options *opt);

/* What is to be done outside of the lock. */
typedef enum sn_stream_todo {
    SN_STREAM_NOTHING,
    SN_STREAM_STOP_RECEIVING,
    SN_STREAM_STOP,
    SN_STREAM_STOP_HARD,
    SN_STREAM_SAY_END,
    SN_STREAM_SAY_GOODBYE, /* the same, and nothing will be read any more */
    SN_STREAM_CLOSE,
    SN_STREAM_FREE,
} sn_stream_todo;

SN_INLINE bool sn_stream_lock(sinew_stream *s)
{
    return sn_lock_take(&s->lock, sn_worker_self());
}

SN_INLINE void sn_stream_unlock(sinew_stream *s, bool biased)
{
    sn_lock_give(&s->lock, biased);
}

/* The state has changed: says what follows, and claims it for the caller, who unlocks and calls sn_stream_act. The lock
 * is held. */
sn_stream_todo sn_stream_next(sinew_stream *s);
/* Does it, and what follows from that. `wait`: it may suspend. The stream may be gone after. */
void sn_stream_act(sinew_stream *s, sn_stream_todo todo, bool wait);

/* The connection is lost. The lock is held; who is sending drops what is unsent when it comes back, and if nobody is
 * the caller does. */
SN_INLINE void sn_stream_lose(sinew_stream *s, int error)
{
    if (s->lost == 0)
        s->lost = error == -EPIPE || error == -ETIMEDOUT || error == -ECANCELED ? -ECONNRESET : error;
}

/* All that is unsent, taken off, to be freed after the unlock. The lock is held, and nobody is sending. */
sn_piece *sn_stream_drop(sinew_stream *s);
void sn_stream_free_pieces(sn_piece *list);

/* Takes those who wait off, if they may go on now; chained by `next`. The lock is held. */
sn_waiting *sn_stream_wake_drainers(sinew_stream *s);
sn_waiting *sn_stream_wake_closers(sinew_stream *s);
void sn_stream_grant(sn_waiting *wake);

/* What drain says when it need not wait: 0, or how the stream has ended. The lock is held. */
SN_INLINE int sn_stream_outcome(const sinew_stream *s)
{
    if (s->lost)
        return s->lost;
    return s->aborted || s->fd_closed ? -ECONNRESET : 0;
}

/* Sends what goes without waiting. Tasks only. */
void sn_stream_send_now(sinew_stream *s);
/* Sees to it that a task will come by and send, or do what is to be done then. False: no memory. Tasks only. */
bool sn_stream_send_later(sinew_stream *s);

/* A piece with room for n bytes, and for more if it looks as if more came. NULL: no memory. */
sn_piece *sn_stream_piece_new(size_t n, size_t unsent);
/* Appends n > 0 bytes: a copy of those of `pieces`, or, if that is not NULL, `piece` itself, which is used up only by
 * success. As sinew_stream_write. */
int sn_stream_append(sinew_stream *s, const struct iovec *pieces, int count, size_t n, sn_piece *piece);

/* Waits until all that was written has gone, and keeps others from sending until the release: 0, -EBUSY (somebody else
 * holds it) or an error. `error`: the connection is lost. Tasks only. */
int sn_stream_hold(sinew_stream *s);
void sn_stream_release(sinew_stream *s, int error);

/* What every reading call begins and ends with: 0, -EINVAL, -EPERM, -EBUSY. */
int sn_stream_begin_reading(sinew_stream *s);
void sn_stream_end_reading(sinew_stream *s);

/* Sends what goes without waiting, drops the rest, and closes. */
void sn_stream_give_up(sinew_stream *s);
/* There is nothing more to come in sinew_stream_idle. */
void sn_stream_end_idle(sinew_stream *s);

#endif
