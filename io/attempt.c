/* SPDX-License-Identifier: Apache-2.0 */
/* Operations as attempts that do not block; the idea stands in attempt.h, the table in io/README.md. */
#include "io/attempt.h"

#include "io/plain.h"
#include "io/receive.h"
#include "io/sigpipe.h"

#include <ck_spinlock.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

_Static_assert(POLLIN == EPOLLIN && POLLOUT == EPOLLOUT && POLLPRI == EPOLLPRI && POLLRDHUP == EPOLLRDHUP,
               "the events of poll are those of epoll");

enum {
    SPLICE_CHUNK = 4096, /* into a blocking socket that is ready: as much as surely does not block */
    SPLICE_CHUNKS = 16,
    TURN_PAUSE_NS = 1000000,
};

typedef enum kind { KIND_BAD, KIND_FILE, KIND_SOCKET, KIND_PIPE, KIND_OTHER } kind;

/* Of a file: regular, a directory, a block device. To read or write one may wait for a disk, and no readiness says so.
 */
static kind kind_of(int fd, struct stat *status)
{
    if (fstat(fd, status) != 0)
        return KIND_BAD;
    switch (status->st_mode & S_IFMT) {
    case S_IFREG:
    case S_IFDIR:
    case S_IFBLK:
        return KIND_FILE;
    case S_IFSOCK:
        return KIND_SOCKET;
    case S_IFIFO:
        return KIND_PIPE;
    default:
        return KIND_OTHER; /* terminals and other devices, and what has no inode of its own: inotify, signalfd ... */
    }
}

static int result_of(ssize_t n)
{
    return n < 0 ? -errno : (int)n;
}

static int wait_for(sn_op *op, int fd, uint32_t events)
{
    op->wait_fd = fd;
    op->wait_events = events;
    return SN_OP_WAIT;
}

/* The events that are there (POLLNVAL: no descriptor), or 0. */
static short ready_now(int fd, uint32_t events)
{
    struct pollfd p = {.fd = fd, .events = (short)events};
    return poll(&p, 1, 0) > 0 ? p.revents : 0;
}

bool sn_attempt_looks_ready(const sn_op *op)
{
    return ready_now(op->wait_fd, op->wait_events) != 0;
}

/* --- turns: who of us makes a call that would block if another one of us came first ------------------------------ */

typedef struct turn {
    struct turn *next;
    int fd;
    uint32_t events;
} turn;

static ck_spinlock_t turns_lock = CK_SPINLOCK_INITIALIZER;
static turn *turns;

static bool taken(int fd, uint32_t events)
{
    const turn *t = turns;
    while (t && (t->fd != fd || t->events != events))
        t = t->next;
    return t != NULL;
}

static bool take_turn(turn *mine)
{
    ck_spinlock_lock(&turns_lock);
    bool free = !taken(mine->fd, mine->events);
    if (free) {
        mine->next = turns;
        turns = mine;
    }
    ck_spinlock_unlock(&turns_lock);
    return free;
}

static void end_turn(turn *mine)
{
    ck_spinlock_lock(&turns_lock);
    turn **at = &turns;
    while (*at != mine)
        at = &(*at)->next;
    *at = mine->next;
    ck_spinlock_unlock(&turns_lock);
}

void sn_attempt_forked(void)
{
    ck_spinlock_init(&turns_lock);
    turns = NULL;
}

/* Has the plain call made in the pool, once the descriptor is ready and nobody is making one. */
static int look_first(sn_op *op, uint32_t events)
{
    op->look_first = true;
    int r = wait_for(op, op->fd, events);
    if (!sn_attempt_looks_ready(op))
        return r;
    ck_spinlock_lock(&turns_lock);
    bool wait = taken(op->fd, events);
    ck_spinlock_unlock(&turns_lock);
    return wait ? SN_OP_LATER : SN_OP_ELSEWHERE;
}

/* --- vectors ---------------------------------------------------------------------------------------------------- */

static uint64_t length_of(const struct iovec *v, int count)
{
    uint64_t length = 0;
    for (int i = 0; i < count; i++)
        length += v[i].iov_len;
    return length;
}

/* What is left of a vector after `done` bytes, as far as one call can take it without a copy of the vector: the rest of
 * an entry that was begun, otherwise all entries that were not. Returns how many. */
static int rest_of(const struct iovec *v, int count, uint64_t done, struct iovec *begun, const struct iovec **rest)
{
    int i = 0;
    while (i < count && done >= v[i].iov_len)
        done -= v[i++].iov_len;
    *rest = &v[i];
    if (i == count || done == 0)
        return count - i;
    *begun = (struct iovec){(char *)v[i].iov_base + done, v[i].iov_len - done};
    *rest = begun;
    return 1;
}

/* --- read and write --------------------------------------------------------------------------------------------- */

typedef struct transfer {
    int fd;
    bool out;
    int64_t offset;
    int flags; /* RWF_* */
    const struct iovec *v;
    int count;
    struct iovec only;
} transfer;

static void transfer_of(const sn_op *op, transfer *t)
{
    bool vector = op->opcode == SN_OP_READV || op->opcode == SN_OP_WRITEV;
    t->fd = op->fd;
    t->out = op->opcode == SN_OP_WRITE || op->opcode == SN_OP_WRITEV;
    t->offset = op->extra;
    t->only = (struct iovec){op->buffer, op->length};
    t->v = vector ? op->buffer : &t->only;
    t->count = vector ? (int)op->length : 1;
    t->flags = vector ? op->flags : 0;
}

static ssize_t call(const transfer *t, const struct iovec *v, int count, int64_t offset, int flags)
{
    return t->out ? pwritev2(t->fd, v, count, offset, flags) : preadv2(t->fd, v, count, offset, flags);
}

static uint32_t events_of(const transfer *t)
{
    return t->out ? EPOLLOUT : EPOLLIN;
}

/* A file's transfer may be short because the rest is not in memory: that is for a thread which may wait for it. */
static int after_short(sn_op *op, const transfer *t, ssize_t n)
{
    struct stat status;
    if (kind_of(t->fd, &status) != KIND_FILE)
        return (int)n;
    if (!t->out && S_ISREG(status.st_mode)) {
        off_t at = t->offset < 0 ? lseek(t->fd, 0, SEEK_CUR) : t->offset + n;
        if (at < 0 || at >= status.st_size)
            return (int)n;
    }
    op->moved = (uint64_t)n;
    return SN_OP_ELSEWHERE;
}

/* The file knows no RWF_NOWAIT (or the kernel does not know it for such files). */
static int attempt_without_nowait(sn_op *op, const transfer *t, int status_flags)
{
    struct stat status;
    switch (kind_of(t->fd, &status)) {
    case KIND_BAD:
        return -EBADF;
    case KIND_FILE:
        return SN_OP_ELSEWHERE;
    case KIND_SOCKET: {
        if (!t->out && length_of(t->v, t->count) == 0)
            return 0;
        struct msghdr m = {.msg_iov = (struct iovec *)(uintptr_t)t->v, .msg_iovlen = (size_t)t->count};
        int r = result_of(t->out ? sendmsg(t->fd, &m, MSG_DONTWAIT) : recvmsg(t->fd, &m, MSG_DONTWAIT));
        return r == -EAGAIN ? wait_for(op, t->fd, events_of(t)) : r;
    }
    default:
        if (status_flags & O_NONBLOCK) {
            int r = result_of(call(t, t->v, t->count, t->offset, t->flags));
            return r == -EAGAIN ? wait_for(op, t->fd, events_of(t)) : r;
        }
        return look_first(op, events_of(t));
    }
}

static int attempt_transfer(sn_op *op)
{
    transfer t;
    struct stat status;
    transfer_of(op, &t);
    if (t.flags & RWF_NOWAIT) /* the caller does not want to wait either */
        return result_of(call(&t, t.v, t.count, t.offset, t.flags));
    int status_flags = fcntl(t.fd, F_GETFL);
    if (status_flags < 0)
        return -errno;
    /* A transfer that goes to the disk waits for it, with NOWAIT too. */
    bool to_disk =
        status_flags & (t.out ? O_DIRECT | O_DSYNC : O_DIRECT) || t.flags & (RWF_DSYNC | RWF_SYNC | RWF_HIPRI);
    if (to_disk && kind_of(t.fd, &status) == KIND_FILE)
        return SN_OP_ELSEWHERE;
    ssize_t n = call(&t, t.v, t.count, t.offset, t.flags | RWF_NOWAIT);
    if (n > 0)
        return (uint64_t)n < length_of(t.v, t.count) ? after_short(op, &t, n) : (int)n;
    if (n == 0)
        return 0;
    if (errno == EAGAIN)
        return wait_for(op, t.fd, events_of(&t)); /* of a file: epoll refuses that, and then it goes elsewhere */
    return errno == EOPNOTSUPP || errno == ENOSYS ? attempt_without_nowait(op, &t, status_flags) : -errno;
}

/* In the pool: the rest, or all of it. */
static int finish_transfer(const sn_op *op)
{
    transfer t;
    struct iovec begun;
    const struct iovec *rest;
    uint64_t moved = op->moved;
    transfer_of(op, &t);
    if (moved == 0)
        return sn_op_plain(op);
    for (int count; (count = rest_of(t.v, t.count, moved, &begun, &rest)) > 0;) {
        ssize_t n = call(&t, rest, count, t.offset < 0 ? -1 : t.offset + (int64_t)moved, t.flags);
        if (n <= 0)
            break; /* an error shows at the next call */
        moved += (uint64_t)n;
    }
    return (int)moved;
}

/* --- sockets ---------------------------------------------------------------------------------------------------- */

static bool is_stream(int fd)
{
    int type = 0;
    socklen_t length = sizeof type;
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && (type == SOCK_STREAM || type == SOCK_SEQPACKET);
}

/* What has not been moved yet. */
static ssize_t call_socket(const sn_op *op)
{
    int flags = op->flags | MSG_DONTWAIT;
    void *at = (void *)((uintptr_t)op->buffer + op->moved); /* NULL is the kernel's business */
    struct msghdr *message = op->buffer, rest;
    struct iovec begun;
    const struct iovec *v;
    if (op->opcode == SN_OP_RECV)
        return recv(op->fd, at, op->length - op->moved, flags);
    if (op->opcode == SN_OP_SEND || op->opcode == SN_OP_SEND_ZC)
        return send(op->fd, at, op->length - op->moved, flags | MSG_NOSIGNAL);
    if (op->moved) { /* address and control data went with the first part */
        int count = rest_of(message->msg_iov, (int)message->msg_iovlen, op->moved, &begun, &v);
        rest = (struct msghdr){.msg_iov = (struct iovec *)(uintptr_t)v, .msg_iovlen = (size_t)count};
        message = &rest;
    }
    return op->opcode == SN_OP_RECVMSG ? recvmsg(op->fd, message, flags)
                                       : sendmsg(op->fd, message, flags | MSG_NOSIGNAL);
}

static bool is_message(const sn_op *op)
{
    return op->opcode == SN_OP_RECVMSG || op->opcode == SN_OP_SENDMSG;
}

static uint64_t wanted(const sn_op *op)
{
    const struct msghdr *m = op->buffer;
    return is_message(op) ? length_of(m->msg_iov, (int)m->msg_iovlen) : op->length;
}

static uint32_t socket_events(const sn_op *op)
{
    if (op->opcode != SN_OP_RECV && op->opcode != SN_OP_RECVMSG)
        return EPOLLOUT;
    if (op->flags & MSG_ERRQUEUE)
        return EPOLLERR;
    return op->flags & MSG_OOB ? EPOLLPRI : EPOLLIN;
}

/* With MSG_WAITALL streams go on until all is there, unless the end or an error comes first. Not where that would mix
 * what belongs apart: control data of several parts; nor of what is only looked at, since it stays ready. */
static bool goes_on(const sn_op *op)
{
    const struct msghdr *m = op->buffer;
    return op->flags & MSG_WAITALL && !(op->flags & MSG_PEEK) &&
           !(op->opcode == SN_OP_RECVMSG && m && m->msg_controllen);
}

static int attempt_socket(sn_op *op)
{
    bool more = op->moved || goes_on(op); /* asked before the call, which changes the message's header */
    for (;;) {
        int n = result_of(call_socket(op));
        if (n == -EAGAIN && !(op->flags & MSG_DONTWAIT))
            return wait_for(op, op->fd, socket_events(op));
        if (n <= 0)
            return sn_attempt_so_far(op, n);
        op->moved += (uint64_t)n;
        if (!more || op->moved >= wanted(op) || !is_stream(op->fd))
            return (int)op->moved;
    }
}

static int attempt_receive(sn_op *op)
{
    char *data = malloc(SN_RECEIVE_BYTES);
    if (!data)
        return -ENOBUFS; /* the caller waits, and then says that there is no memory */
    int n = result_of(recv(op->fd, data, SN_RECEIVE_BYTES, MSG_DONTWAIT));
    if (n > 0)
        *(sn_received *)(intptr_t)op->extra = (sn_received){.data = data};
    else
        free(data);
    return n == -EAGAIN ? wait_for(op, op->fd, EPOLLIN) : n;
}

/* There is no flag that keeps accept from blocking, except the listener's own. */
static int attempt_accept(sn_op *op)
{
    int status_flags = fcntl(op->fd, F_GETFL), listening = 0;
    socklen_t length = sizeof listening;
    if (status_flags < 0)
        return -errno;
    bool plain = status_flags & O_NONBLOCK || op->flags & ~(SOCK_CLOEXEC | SOCK_NONBLOCK) ||
                 getsockopt(op->fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) != 0 || !listening;
    if (!plain)
        return look_first(op, EPOLLIN);
    int r = sn_op_plain(op); /* of what does not listen, or with wrong flags: an error at once */
    return r == -EAGAIN ? wait_for(op, op->fd, EPOLLIN) : r;
}

/* The socket is O_NONBLOCK for the time of the call, if it is not anyway: that is the only way to begin to connect
 * without waiting. Each attempt calls again, which says how it stands. */
static int attempt_connect(sn_op *op)
{
    int status_flags = fcntl(op->fd, F_GETFL);
    if (status_flags < 0)
        return -errno;
    bool blocking = !(status_flags & O_NONBLOCK);
    if (blocking)
        fcntl(op->fd, F_SETFL, status_flags | O_NONBLOCK);
    int r = sn_op_plain(op);
    if (blocking)
        fcntl(op->fd, F_SETFL, status_flags);
    const struct sockaddr *address = op->buffer;
    if (r == -EINPROGRESS || (r == -EALREADY && op->connecting)) {
        op->connecting = true;
        return wait_for(op, op->fd, EPOLLOUT);
    }
    if (r == -EISCONN && op->connecting)
        return 0;
    if (r == -EAGAIN && blocking && address->sa_family == AF_UNIX)
        return SN_OP_LATER; /* the listener's queue is full, and nobody is told when it is not */
    return r;
}

/* --- the others ------------------------------------------------------------------------------------------------- */

static int attempt_poll(sn_op *op)
{
    short events = ready_now(op->fd, (uint32_t)op->flags);
    if (events & POLLNVAL || op->fd < 0) /* which poll passes over */
        return -EBADF;
    return events ? events : wait_for(op, op->fd, (uint32_t)op->flags & 0xffffu);
}

/* A close waits where a socket lingers, and where a file must be written back (network, FUSE) or freed. */
static int attempt_close(const sn_op *op)
{
    struct stat status;
    struct linger linger = {0};
    socklen_t length = sizeof linger;
    kind k = kind_of(op->fd, &status);
    if (k == KIND_FILE || (k == KIND_OTHER && S_ISCHR(status.st_mode)))
        return SN_OP_ELSEWHERE;
    if (k == KIND_SOCKET && getsockopt(op->fd, SOL_SOCKET, SO_LINGER, &linger, &length) == 0 && linger.l_onoff &&
        linger.l_linger > 0)
        return SN_OP_ELSEWHERE;
    return sn_op_plain(op);
}

static ssize_t call_splice(const sn_op *op, uint64_t done, uint64_t length)
{
    const sn_splice *s = op->buffer;
    off64_t in = s->offset_in + (off64_t)done, out = s->offset_out + (off64_t)done;
    return splice(op->fd, s->offset_in < 0 ? NULL : &in, s->fd_out, s->offset_out < 0 ? NULL : &out, length,
                  (unsigned)op->flags | SPLICE_F_NONBLOCK);
}

/* SPLICE_F_NONBLOCK keeps the pipe from blocking. The other side, a socket, blocks unless it is ready: to be read from,
 * which nobody else must do meanwhile, or to take a page. */
static int splice_ready(sn_op *op, bool small)
{
    const sn_splice *s = op->buffer;
    uint64_t moved = 0;
    for (int i = 0; i < SPLICE_CHUNKS && moved < op->length; i++) {
        uint64_t left = op->length - moved;
        ssize_t n = call_splice(op, moved, small && left > SPLICE_CHUNK ? SPLICE_CHUNK : left);
        if (n <= 0 && moved == 0)
            return result_of(n);
        if (n > 0)
            moved += (uint64_t)n;
        if (n <= 0 || !small || !(ready_now(op->fd, EPOLLIN) && ready_now(s->fd_out, EPOLLOUT) == POLLOUT))
            break;
    }
    return (int)moved;
}

/* No signal for a reader that is gone, as with io_uring, whose threads splice. */
static int splice_quietly(sn_op *op, bool small)
{
    sn_sigpipe_held held;
    sn_sigpipe_hold(&held);
    int r = splice_ready(op, small);
    sn_sigpipe_let_go(&held);
    return r;
}

static int attempt_splice(sn_op *op)
{
    const sn_splice *s = op->buffer;
    struct stat status;
    kind in = kind_of(op->fd, &status), out = kind_of(s->fd_out, &status);
    int in_flags = fcntl(op->fd, F_GETFL), out_flags = fcntl(s->fd_out, F_GETFL);
    if (in_flags < 0 || out_flags < 0 || (in_flags & O_ACCMODE) == O_WRONLY || (out_flags & O_ACCMODE) == O_RDONLY)
        return -EBADF;
    if (in != KIND_PIPE && out != KIND_PIPE)
        return -EINVAL;
    if ((in == KIND_PIPE && s->offset_in >= 0) || (out == KIND_PIPE && s->offset_out >= 0))
        return -ESPIPE;
    bool nowait = op->flags & SPLICE_F_NONBLOCK || (in_flags | out_flags) & O_NONBLOCK;
    int r = 0;
    if (in != KIND_FILE && !ready_now(op->fd, EPOLLIN))
        r = wait_for(op, op->fd, EPOLLIN);
    else if (out != KIND_FILE && !ready_now(s->fd_out, EPOLLOUT))
        r = wait_for(op, s->fd_out, EPOLLOUT);
    else if ((in != KIND_PIPE && in != KIND_SOCKET) || (out != KIND_PIPE && out != KIND_SOCKET))
        return SN_OP_ELSEWHERE;
    else
        r = splice_quietly(op, out == KIND_SOCKET && !(out_flags & O_NONBLOCK));
    if (r == -EAGAIN && !nowait)
        return wait_for(op, in == KIND_PIPE ? s->fd_out : op->fd, in == KIND_PIPE ? EPOLLOUT : EPOLLIN);
    return r == SN_OP_WAIT && nowait ? -EAGAIN : r;
}

int sn_attempt(sn_op *op)
{
    switch ((sn_opcode)op->opcode) {
    case SN_OP_NOP:
        return 0;
    case SN_OP_READ:
    case SN_OP_WRITE:
    case SN_OP_READV:
    case SN_OP_WRITEV:
        return attempt_transfer(op);
    case SN_OP_RECV:
    case SN_OP_SEND:
    case SN_OP_SEND_ZC:
    case SN_OP_RECVMSG:
    case SN_OP_SENDMSG:
        return attempt_socket(op);
    case SN_OP_RECEIVE:
        return attempt_receive(op);
    case SN_OP_ACCEPT:
        return attempt_accept(op);
    case SN_OP_CONNECT:
        return attempt_connect(op);
    case SN_OP_POLL:
        return attempt_poll(op);
    case SN_OP_CLOSE:
        return attempt_close(op);
    case SN_OP_SPLICE:
        return attempt_splice(op);
    default: /* names and disks: no readiness, and always in a thread that may wait */
        return SN_OP_ELSEWHERE;
    }
}

/* --- in the pool ------------------------------------------------------------------------------------------------ */

int sn_attempt_plain(const sn_op *op)
{
    bool moves = op->opcode == SN_OP_READ || op->opcode == SN_OP_WRITE || op->opcode == SN_OP_READV ||
                 op->opcode == SN_OP_WRITEV;
    if (op->opcode == SN_OP_SPLICE) {
        int r = result_of(call_splice(op, 0, op->length));
        return r == -EAGAIN && !(op->flags & SPLICE_F_NONBLOCK) ? SN_OP_AGAIN : r;
    }
    if (!op->look_first)
        return moves ? finish_transfer(op) : sn_op_plain(op);
    turn mine = {.fd = op->wait_fd, .events = op->wait_events};
    if (!take_turn(&mine)) {
        /* The descriptor may look ready until the other one is through; that is no reason to run round and round. */
        nanosleep(&(struct timespec){.tv_nsec = TURN_PAUSE_NS}, NULL);
        return SN_OP_AGAIN;
    }
    int r = sn_attempt_looks_ready(op) ? sn_op_plain(op) : SN_OP_AGAIN;
    end_turn(&mine);
    return r;
}
