/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What carries a stream's bytes: a socket, two descriptors, or a layer on top of another transport (TLS). The stream
 * above buffers, orders and wakes; a transport only moves bytes.
 *
 * Who calls what. `receive` and `receive_into` are called by one task at a time, `send` and `shutdown` by one at a
 * time, and these two may be inside at once, on different workers. `stop` may be called, once or twice, while they are.
 * `close` comes last, once, with nobody inside.
 *
 * Errors are negative. -ECANCELED, -ETIMEDOUT, -EDEADLK (the calling task was asked), -ENOMEM, -EAGAIN and -EINTR pass
 * and have moved nothing; all others are taken for the loss of the connection. A transport never returns the -ETIMEDOUT
 * of the system.
 */
#ifndef SN_TRANSPORT_H
#define SN_TRANSPORT_H

#include "io/receive.h"

#include <sys/types.h>
#include <sys/uio.h>

typedef struct sn_transport sn_transport;

typedef enum sn_stop {
    SN_STOP_RECEIVING, /* what waits in receive finds the end */
    SN_STOP,           /* both directions: nobody waits inside any longer */
    SN_STOP_HARD,      /* the same, and the peer is told that the connection is broken off */
} sn_stop;

typedef struct sn_transport_ops {
    /* Waits for bytes; as sn_receive, whose buffers it may pass on. 0: the end. */
    int (*receive)(sn_transport *t, sn_received *r);
    /* The same into the caller's memory, n > 0. */
    ssize_t (*receive_into)(sn_transport *t, void *buffer, size_t n);
    /* Sends as much of the pieces as goes: waits for that to be > 0, or without `wait` never suspends and may say
     * -EAGAIN. */
    ssize_t (*send)(sn_transport *t, const struct iovec *pieces, int count, bool wait);
    /* The same out of a pipe that holds n bytes, waiting; NULL: there is no way to. */
    ssize_t (*send_pipe)(sn_transport *t, int pipe, size_t n);
    /* Tells the peer that no more comes. With `wait` it may suspend. 0, or an error; -EAGAIN as for send. */
    int (*shutdown)(sn_transport *t, bool wait);
    /* Ends waits of others. Never suspends. */
    void (*stop)(sn_transport *t, sn_stop how);
    /* Closes the descriptors and frees the transport, or leaves its memory to whose it is. Any thread. Never suspends.
     */
    void (*close)(sn_transport *t);
    /* shutdown is to be called before close, too. */
    bool says_goodbye;
} sn_transport_ops;

struct sn_transport {
    const sn_transport_ops *ops;
    int read_fd, write_fd; /* -1: none */
};

/* Of a connected stream socket; lies in the stream. */
void sn_transport_socket(sn_transport *t, int fd);

/* Of two descriptors of any kind, -1: none; they may be the same one. NULL: no memory. */
sn_transport *sn_transport_pair(int read_fd, int write_fd);

/* After an operation: of a descriptor with O_NONBLOCK the driver does not wait by itself. Waits here, and says whether
 * to try again; or puts an error into *r. */
bool sn_transport_try_again(int fd, short events, intptr_t *r);

#endif
