/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What lies under a stream, for those who write a layer of their own: encryption, compression, a recorder, a network
 * that exists in memory only. Programs that only use streams need none of this.
 *
 * The stream above buffers, orders and wakes; a transport only moves bytes. The lowest one owns descriptors (those of
 * sinew_stream_open and its like do), a layer has another transport `below`, which it calls and in the end closes.
 *
 *     typedef struct counter {
 *         sinew_transport transport;           // first: the calls below get its address
 *         _Atomic uint64_t received;
 *     } counter;
 *
 *     static ssize_t counter_receive_into(sinew_transport *t, void *buffer, size_t n)
 *     {
 *         ssize_t r = t->below->ops->receive_into(t->below, buffer, n);
 *         if (r > 0)
 *             ((counter *)t)->received += (uint64_t)r;
 *         return r;
 *     }
 *     ...
 *     sinew_stream_put_layer(stream, &c->transport, NULL);
 *
 * Who calls what. `receive` and `receive_into` are called by one task at a time, `send` and `shutdown` by one at a
 * time, and these two may be inside at once, on different workers. `stop` may be called, some times, while they are.
 * `close` comes when nobody is inside any more, once, and after it only `free`, once. A layer owes the same to what is
 * below it.
 *
 * Errors are negative. -ECANCELED, -ETIMEDOUT, -EDEADLK (the calling task was asked), -ENOMEM, -EAGAIN and -EINTR pass
 * and have moved nothing; all others are taken for the loss of the connection. A transport never returns the -ETIMEDOUT
 * of the system.
 */
#ifndef SINEW_TRANSPORT_H
#define SINEW_TRANSPORT_H

#include <sinew/base.h>
#include <sinew/stream.h>

#include <sys/types.h>
#include <sys/uio.h>

SINEW_BEGIN_DECLS

typedef struct sinew_transport sinew_transport;

/* What has arrived. It is given back by sinew_received_release. */
typedef struct sinew_received {
    char *data;
    void *owner; /* NULL: `data` is from malloc, as a layer's own is. Otherwise the runtime's, which has few of them */
} sinew_received;

typedef enum sinew_stop {
    SINEW_STOP_RECEIVING, /* what waits in receive finds the end */
    SINEW_STOP,           /* both directions: nobody waits inside any longer */
    SINEW_STOP_HARD,      /* the same, and the peer is told that the connection is broken off */
} sinew_stop;

typedef struct sinew_transport_ops {
    /* Waits for bytes and hands over the memory they are in, so that a connection which waits has none. How many they
     * are; 0: the end. Only for > 0 there is something to release. */
    int (*receive)(sinew_transport *t, sinew_received *received);
    /* The same into the caller's memory, n > 0. */
    ssize_t (*receive_into)(sinew_transport *t, void *buffer, size_t n);
    /* Sends as much of the pieces as goes: waits for that to be > 0, or without `wait` never suspends and may say
     * -EAGAIN. What one call has not sent is what the next one begins with, if there is one: the same bytes, perhaps
     * elsewhere in memory and with more behind them. So a layer that has encoded bytes may say that they are not sent
     * yet, as long as the code has not all gone out, and must then not encode them again. */
    ssize_t (*send)(sinew_transport *t, const struct iovec *pieces, int count, bool wait);
    /* The same out of a pipe that holds n bytes, waiting; NULL: there is no way to. */
    ssize_t (*send_pipe)(sinew_transport *t, int pipe, size_t n);
    /* Tells the peer that no more comes. With `wait` it may suspend. 0, or an error; -EAGAIN as for send, and then it
     * is called again. `last`: nobody will receive any more; a layer may wait for the peer's own end here. */
    int (*shutdown)(sinew_transport *t, bool wait, bool last);
    /* Ends waits of others, and those of later calls. Never suspends. */
    void (*stop)(sinew_transport *t, sinew_stop how);
    /* Closes what is below, or the descriptors, and lets go of what is large. Any thread. Never suspends. */
    void (*close)(sinew_transport *t);
    /* Ends the transport's own memory (not that of `below`), with the stream's, which may be a moment after its last
     * reference has gone. NULL: it outlives the runtime. Any thread. */
    void (*free)(sinew_transport *t);
    /* shutdown is to be called before close, too. */
    bool says_goodbye;
} sinew_transport_ops;

struct sinew_transport {
    const sinew_transport_ops *ops;
    sinew_transport *below; /* NULL: none. Written by sinew_stream_put_layer */
    int read_fd, write_fd;  /* what sinew_stream_fd shows; -1: none. A layer's are those of `below` */
};

/*
 * Makes a stream over a transport. 0 and one reference in *out, and the transport is the stream's; -ENOMEM, -EINVAL
 * (NULL, write_low > write_high): it stays the caller's. Any thread. Never suspends.
 */
SINEW_API int sinew_stream_over(sinew_transport *transport, const sinew_stream_options *opt, sinew_stream **out);

/*
 * Puts a layer between a stream and its transport. What was written before goes out below the layer, and is waited for;
 * from then on reads and writes go through it. Then `begin` is called, if not NULL: in the caller's task, which counts
 * as inside of receive, while others may already be in send, or stop the layer. The layer is the stream's in any case,
 * also on errors.
 *
 * 0. Before the layer is there: -EBADMSG: bytes were received and have not been read, which would belong below the
 * layer; -EBUSY: a task is reading, or sends a file; -ENODATA: the stream is at its end; -EPIPE: closed, ended by
 * write_eof, or lost; an error of the stream; -ECANCELED, -ETIMEDOUT: the stream is as it was; -EINVAL, -EPERM. After:
 * what `begin` has returned, < 0, and then the connection is lost: reads give that error, or -ECONNABORTED where it was
 * -ECANCELED or another that passes. May suspend.
 */
SINEW_API int sinew_stream_put_layer(sinew_stream *s, sinew_transport *layer, int (*begin)(sinew_transport *layer));

/* The uppermost of the stream's transports that has these operations; NULL: none. It is there as long as the stream is;
 * closed, perhaps. Any thread. Never suspends. */
SINEW_API sinew_transport *sinew_stream_find_layer(sinew_stream *s, const sinew_transport_ops *ops);

/* Gives back what `receive` of a transport has handed over, once for each result > 0. Any thread, also when the runtime
 * has ended. Never suspends. */
SINEW_API void sinew_received_release(sinew_received *received);

SINEW_END_DECLS
#endif
