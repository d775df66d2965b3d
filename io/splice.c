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
#include "runtime/driver.h"
#include "runtime/worker.h"

#include <sinew/errno.h>
#include <sinew/io.h>
#include <sinew/time.h>

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

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
