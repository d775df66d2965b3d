/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sending files. A long one goes from the page cache to a socket without being copied: by splice into a pipe, which the
 * driver does off the worker, as it may read from a disk, and from there to the socket. Measured on the loopback that
 * takes the worker 0.1 s for a gigabyte, and copying 0.28; sendfile(2), about as cheap, would block a thread for as
 * long as the peer is slow.
 *
 * All else is read into pieces, which are not copied again; while one is sent the next is read. For short files that
 * is quicker than making a pipe.
 */
#include "io/stream.h"
#include "runtime/driver.h"

#include <sinew/io.h>

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    WORTH_A_PIPE = 262144,
    PIPE_BYTES = 1048576, /* if the system allows */
    COPIED_AT_ONCE = 65536,
};

/* Progress; `error` ends it. */
typedef struct sending {
    sinew_stream *stream;
    int fd;
    off_t offset;
    size_t left;
    int error;
} sending;

static void copy(sending *x)
{
    while (x->error == 0 && x->left > 0) {
        size_t n = x->left < COPIED_AT_ONCE ? x->left : COPIED_AT_ONCE;
        sn_piece *p = sn_stream_piece_new(n, 0);
        if (!p) {
            x->error = -ENOMEM;
            return;
        }
        ssize_t got = sinew_pread(x->fd, p->data, n, x->offset);
        if (got <= 0) {
            free(p);
            x->error = (int)got;
            return;
        }
        p->end = (size_t)got;
        x->error = sn_stream_append(x->stream, NULL, 0, (size_t)got, p);
        if (x->error != 0) {
            free(p);
            return;
        }
        x->offset += got;
        x->left -= (size_t)got;
        x->error = sinew_stream_drain(x->stream);
    }
}

/* Empties the pipe into the connection. */
static int pass_on(sinew_stream *s, int pipe, size_t n)
{
    while (n > 0) {
        ssize_t sent = s->transport->ops->send_pipe(s->transport, pipe, n);
        if (sent < 0)
            return (int)sent;
        n -= (size_t)sent;
    }
    return 0;
}

static bool is_loss(int error)
{
    return error != 0 && error != -ECANCELED && error != -ETIMEDOUT && error != -EDEADLK;
}

static void splice_through(sending *x, const int pipe[2], size_t pipe_bytes)
{
    x->error = sn_stream_hold(x->stream);
    if (x->error != 0)
        return;
    int lost = 0;
    bool may = x->stream->transport->ops->send_pipe; /* no layer comes while it is held, but one may have come before */
    while (may && x->error == 0 && x->left > 0) {
        sn_splice to = {.fd_out = pipe[1], .offset_in = x->offset, .offset_out = -1};
        int n = sn_op_run(SN_OP_SPLICE, x->fd, &to, x->left < pipe_bytes ? x->left : pipe_bytes, 0, 0);
        x->error = n < 0 ? n : 0;
        if (n <= 0)
            break;
        x->offset += n;
        x->left -= (size_t)n;
        x->error = pass_on(x->stream, pipe[0], (size_t)n);
        if (is_loss(x->error))
            lost = x->error;
    }
    sn_stream_release(x->stream, lost);
}

static bool may_splice(sinew_stream *s)
{
    bool biased = sn_stream_lock(s);
    bool may = !s->fd_closed && s->transport->ops->send_pipe;
    sn_stream_unlock(s, biased);
    return may;
}

int64_t sinew_stream_sendfile(sinew_stream *s, int fd, off_t offset, size_t count)
{
    if (offset < 0 || count > INT64_MAX)
        return -EINVAL;
    int r = sinew_stream_write(s, NULL, 0); /* may it be written at all? */
    if (r != 0)
        return r;
    sending x = {.stream = s, .fd = fd, .offset = offset, .left = count};
    int pipe[2];
    if (count >= WORTH_A_PIPE && may_splice(s) && pipe2(pipe, O_CLOEXEC) == 0) {
        int bytes = fcntl(pipe[1], F_SETPIPE_SZ, PIPE_BYTES);
        if (bytes < 0)
            bytes = fcntl(pipe[1], F_GETPIPE_SZ);
        splice_through(&x, pipe, bytes > 0 ? (size_t)bytes : 4096);
        close(pipe[0]);
        close(pipe[1]);
        if (x.error == -EINVAL && x.left == count) /* this file cannot be spliced */
            x.error = 0;
    }
    if (x.error == 0)
        copy(&x);
    if (x.error == -EPIPE) /* it was lost or closed meanwhile */
        x.error = -ECONNRESET;
    return x.error < 0 ? x.error : (int64_t)(count - x.left);
}
