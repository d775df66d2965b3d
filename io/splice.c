/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Moving data through pipes without copying it.
 *
 * A driver can wait for a splice only with a thread that blocks in it. So the wait is a poll of both sides, and what is
 * left blocks for moments. Where nothing can block at all the system call is made here: that saves the hand-over to
 * another thread, which costs more than the splice of some pages.
 *
 * SPLICE_F_NONBLOCK says nothing to a TCP socket; only its O_NONBLOCK does. A regular file blocks for its disk whatever
 * is said.
 *
 * sendfile is the same twice, through a pipe of its own. Its splices to the socket are never made here, where they
 * would raise SIGPIPE; the threads that make them take no signals.
 */
#include "io/poll.h"
#include "runtime/driver.h"
#include "runtime/worker.h"

#include <sinew/io.h>
#include <sinew/net.h>
#include <sinew/time.h>

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct side {
    int fd;
    bool pipe, never_blocks, wrong; /* wrong: the system call says how, at once */
} side;

static side look_at(int fd, int wrong_mode, bool offset)
{
    struct stat status;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fstat(fd, &status) != 0 || (flags & O_ACCMODE) == wrong_mode)
        return (side){.fd = fd, .wrong = true};
    bool pipe = S_ISFIFO(status.st_mode), socket = S_ISSOCK(status.st_mode);
    return (side){fd, pipe, pipe || (socket && (flags & O_NONBLOCK)), pipe && offset};
}

/* Until `in` has data and `out` has room. 0: they were ready; 1: it had to wait. */
static int wait_for_both(int in, int out, bool wait)
{
    struct pollfd sides[] = {{.fd = in, .events = POLLIN}, {.fd = out, .events = POLLOUT}};
    if (poll(sides, 2, 0) == 2)
        return 0;
    if (!wait)
        return -EAGAIN;
    for (int i = 0; i < 2; i++) {
        int r = sides[i].revents ? 0 : sinew_poll(sides[i].fd, sides[i].events);
        if (r < 0)
            return r;
    }
    return 1;
}

static ssize_t splice_here(int fd, sn_splice *s, size_t length, unsigned flags)
{
    int r = sinew_yield(); /* a checkpoint, and others' turn: this call never suspends by itself */
    if (r < 0)
        return r;
    off64_t *in = s->offset_in < 0 ? NULL : &s->offset_in, *out = s->offset_out < 0 ? NULL : &s->offset_out;
    ssize_t n = splice(fd, in, s->fd_out, out, length, flags | SPLICE_F_NONBLOCK);
    return n < 0 ? -errno : n;
}

static ssize_t splice_elsewhere(int fd, sn_splice *s, size_t length, unsigned flags)
{
    ssize_t n = sn_op_run(SN_OP_SPLICE, fd, s, length, 0, (int)flags);
    if (n > 0 && s->offset_in >= 0)
        s->offset_in += n;
    if (n > 0 && s->offset_out >= 0)
        s->offset_out += n;
    return n;
}

static ssize_t splice_once_ready(int fd, sn_splice *s, size_t length, unsigned flags)
{
    side in = look_at(fd, O_WRONLY, s->offset_in >= 0), out = look_at(s->fd_out, O_RDONLY, s->offset_out >= 0);
    if (length == 0 || in.wrong || out.wrong || !(in.pipe || out.pipe))
        return splice_here(fd, s, length, flags); /* whatever it says, it does not wait */
    bool here = in.never_blocks && out.never_blocks, wait = !(flags & SPLICE_F_NONBLOCK);
    for (;;) {
        ssize_t n = here ? splice_here(fd, s, length, flags) : -EAGAIN;
        if (here && (n != -EAGAIN || !wait))
            return n;
        int waited = wait_for_both(fd, s->fd_out, wait);
        if (waited < 0)
            return waited;
        if (!here || waited == 0) /* ready, and yet not to be moved: what that waits for, poll does not know */
            n = splice_elsewhere(fd, s, length, flags);
        if (n != -EAGAIN || !wait)
            return n;
    }
}

ssize_t sinew_splice(int fd_in, off_t *offset_in, int fd_out, off_t *offset_out, size_t len, unsigned flags)
{
    if (!sn_worker_of_task())
        return -EPERM;
    if ((offset_in && *offset_in < 0) || (offset_out && *offset_out < 0))
        return -EINVAL;
    sn_splice s = {
        .fd_out = fd_out, .offset_in = offset_in ? *offset_in : -1, .offset_out = offset_out ? *offset_out : -1};
    ssize_t n = splice_once_ready(fd_in, &s, len > 0x7ffff000u ? 0x7ffff000u : len, flags);
    if (n > 0 && offset_in)
        *offset_in = s.offset_in;
    if (n > 0 && offset_out)
        *offset_out = s.offset_out;
    return n;
}

/* A pipe holds 64 KiB at first; one MiB halves what a long file costs, since the hand-overs between threads do not
 * depend on the length. The system may refuse that. */
enum { PIPE_BYTES = 1 << 16, PIPE_BYTES_LONG = 1 << 20 };

typedef struct transfer {
    int in, out, pipe[2];
    off_t at, end;     /* in the file: where it goes on, and as far as is known where it ends */
    size_t left;       /* not yet read from it */
    size_t held, sent; /* in the pipe; gone out */
    size_t capacity;   /* of the pipe */
} transfer;

/* One bufferful of the file into the pipe. What went in; 0: the end; or a negative errno. */
static ssize_t take_in(transfer *t)
{
    sn_splice s = {.fd_out = t->pipe[1], .offset_in = t->at, .offset_out = -1};
    ssize_t n = sn_op_go_on(SN_OP_SPLICE, t->in, &s, t->left < t->capacity ? t->left : t->capacity, 0, 0);
    if (n > 0) {
        t->at += n;
        t->left -= (size_t)n;
        t->held = (size_t)n;
    }
    return n;
}

static ssize_t wait_for_room(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    return poll(&p, 1, 0) == 1 ? 1 : sn_poll(fd, POLLOUT, true);
}

/* Some of what the pipe holds out of it. More than 0, or a negative errno. */
static ssize_t let_out(transfer *t)
{
    sn_splice s = {.fd_out = t->out, .offset_in = -1, .offset_out = -1};
    bool more = t->left > 0 && t->at < t->end; /* a segment that is not full waits for it */
    ssize_t n = wait_for_room(t->out);
    if (n > 0)
        n = sn_op_go_on(SN_OP_SPLICE, t->pipe[0], &s, t->held, 0, more ? SPLICE_F_MORE : 0);
    if (n > 0) {
        t->held -= (size_t)n;
        t->sent += (size_t)n;
    }
    return n;
}

/* Until all has gone out, or the file ends, or something stops it: why. */
static ssize_t run_transfer(transfer *t)
{
    ssize_t r = 0;
    while (t->held > 0 || t->left > 0) {
        r = t->held > 0 ? let_out(t) : take_in(t);
        if (r <= 0 && r != -EAGAIN && r != -EINTR)
            break;
    }
    return r;
}

static ssize_t send_file(int out, int in, off_t at, off_t file_end, size_t count)
{
    transfer t = {.in = in, .out = out, .at = at, .end = file_end, .left = count};
    int r = sinew_yield(); /* a checkpoint; from here on what is asked is left pending */
    if (r < 0)
        return r;
    if (pipe2(t.pipe, O_CLOEXEC) < 0)
        return -errno;
    bool wide = count > PIPE_BYTES && fcntl(t.pipe[1], F_SETPIPE_SZ, PIPE_BYTES_LONG) >= 0;
    t.capacity = wide ? PIPE_BYTES_LONG : PIPE_BYTES;
    ssize_t end = run_transfer(&t);
    close(t.pipe[0]);
    close(t.pipe[1]);
    if (t.sent > 0 || end >= 0)
        return (ssize_t)t.sent;
    r = end == -ECANCELED ? sinew_yield() : 0; /* nothing has gone out: now it may be taken */
    return r < 0 ? r : end;
}

ssize_t sinew_sendfile(int out_fd, int in_fd, off_t *offset, size_t count)
{
    struct stat status;
    if (!sn_worker_of_task())
        return -EPERM;
    off_t at = offset ? *offset : lseek(in_fd, 0, SEEK_CUR);
    if (fstat(in_fd, &status) != 0)
        return -errno;
    if (at < 0 || !(S_ISREG(status.st_mode) || S_ISBLK(status.st_mode)))
        return -EINVAL;
    ssize_t n = send_file(out_fd, in_fd, at, status.st_size, count > 0x7ffff000u ? 0x7ffff000u : count);
    if (n > 0 && offset)
        *offset = at + n;
    else if (n > 0)
        lseek(in_fd, at + n, SEEK_SET);
    return n;
}
