/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sending a file: into a pipe of the call's own and out of it, without copying. The splices are never made in the
 * worker, where those to a socket would raise SIGPIPE; the threads that make them take no signals.
 *
 * A driver that has only threads of the pool for what blocks would have them hang at peers that do not read, or must
 * splice page by page, which takes longer than copying (and without TCP_NODELAY each page waits for the one before to
 * be acknowledged). There the file goes through memory, unless the socket has O_NONBLOCK.
 *
 * The pipe and the memory hold what has been taken from the file and has not gone out. That is dropped when something
 * stops the transfer; only what has gone out counts.
 */
#include "io/poll.h"
#include "runtime/driver.h"
#include "runtime/worker.h"

#include <sinew/errno.h>
#include <sinew/net.h>
#include <sinew/time.h>

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* A pipe holds 64 KiB at first; one MiB halves what a long file costs, since the hand-overs between threads do not
 * depend on the length. The system may refuse that. */
enum { BYTES = 1 << 16, BYTES_LONG = 1 << 20 };

typedef struct transfer {
    int in, out;
    off_t at, end; /* in the file: where it goes on, and as far as is known where it ends */
    size_t left;   /* not yet taken from it */
    size_t held, sent;
    size_t capacity;
    char *memory; /* NULL: a pipe */
    size_t begin; /* of what the memory holds */
    int pipe[2];
} transfer;

/* Some of the file. What was taken; 0: the end; or a negative errno. */
static ssize_t take_in(transfer *t)
{
    size_t length = t->left < t->capacity ? t->left : t->capacity;
    sn_splice s = {.fd_out = t->pipe[1], .offset_in = t->at, .offset_out = -1};
    ssize_t n = t->memory ? sn_op_go_on(SN_OP_READ, t->in, t->memory, length, t->at, 0)
                          : sn_op_go_on(SN_OP_SPLICE, t->in, &s, length, 0, 0);
    if (n > 0) {
        t->at += n;
        t->left -= (size_t)n;
        t->held = (size_t)n;
        t->begin = 0;
    }
    return n;
}

static ssize_t wait_for_room(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    return poll(&p, 1, 0) == 1 ? 1 : sn_poll(fd, POLLOUT, true);
}

static ssize_t splice_out(transfer *t, bool more)
{
    sn_splice s = {.fd_out = t->out, .offset_in = -1, .offset_out = -1};
    ssize_t r = wait_for_room(t->out);
    return r < 0 ? r : sn_op_go_on(SN_OP_SPLICE, t->pipe[0], &s, t->held, 0, more ? SPLICE_F_MORE : 0);
}

/* Some of what is held. More than 0, or a negative errno. */
static ssize_t let_out(transfer *t)
{
    bool more = t->left > 0 && t->at < t->end; /* a segment that is not full waits for it */
    ssize_t n = t->memory ? sn_op_go_on(SN_OP_SEND, t->out, t->memory + t->begin, t->held, 0, more ? MSG_MORE : 0)
                          : splice_out(t, more);
    if (n > 0) {
        t->held -= (size_t)n;
        t->begin += (size_t)n;
        t->sent += (size_t)n;
    }
    return n;
}

/* Until all has gone out, or the file ends, or something stops it: why. */
static ssize_t run_transfer(transfer *t)
{
    ssize_t r = 0;
    while (t->held > 0 || t->left > 0) {
        bool out = t->held > 0;
        r = out ? let_out(t) : take_in(t);
        /* Reading a file has no other reason to try again than a system that refuses a thread. */
        if (r <= 0 && r != -EINTR && !(out && r == -EAGAIN))
            break;
    }
    return r;
}

static bool needs_memory(int out)
{
    struct stat status;
    return !sn_worker_self()->runtime->driver->splices && fstat(out, &status) == 0 && S_ISSOCK(status.st_mode) &&
           !(fcntl(out, F_GETFL) & O_NONBLOCK);
}

static int begin(transfer *t)
{
    t->capacity = BYTES;
    if (needs_memory(t->out)) {
        t->memory = malloc(BYTES);
        return t->memory ? 0 : -ENOMEM;
    }
    if (pipe2(t->pipe, O_CLOEXEC) < 0)
        return -errno;
    if (t->left > BYTES && fcntl(t->pipe[1], F_SETPIPE_SZ, BYTES_LONG) >= 0)
        t->capacity = BYTES_LONG;
    return 0;
}

static void end(transfer *t)
{
    if (t->memory) {
        free(t->memory);
    } else {
        close(t->pipe[0]);
        close(t->pipe[1]);
    }
}

static ssize_t send_file(transfer *t)
{
    int r = sinew_yield(); /* a checkpoint; from here on what is asked is left pending */
    if (r == 0)
        r = begin(t);
    if (r < 0)
        return r;
    ssize_t why = run_transfer(t);
    end(t);
    if (t->sent > 0 || why >= 0)
        return (ssize_t)t->sent;
    r = why == -ECANCELED ? sinew_yield() : 0; /* nothing has gone out: now it may be taken */
    return r < 0 ? r : why;
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
    transfer t = {
        .in = in_fd, .out = out_fd, .at = at, .end = status.st_size, .left = count > 0x7ffff000u ? 0x7ffff000u : count};
    ssize_t n = send_file(&t);
    if (n > 0 && offset)
        *offset = at + n;
    else if (n > 0)
        lseek(in_fd, at + n, SEEK_SET);
    return n;
}
