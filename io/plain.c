/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each operation as the plain system call. Used in threads of the blocking pool, for what a driver cannot wait for, and
 * by the epoll driver for what does not block.
 *
 * EINTR is passed on: no signal handler of ours runs in those threads, and whoever installed another one wants to know.
 */
#include "io/plain.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static ssize_t splice_plain(const sn_op *op)
{
    const sn_splice *s = op->buffer;
    off64_t in = s->offset_in, out = s->offset_out;
    return splice(op->fd, in < 0 ? NULL : &in, s->fd_out, out < 0 ? NULL : &out, op->length, (unsigned)op->flags);
}

static int poll_plain(const sn_op *op)
{
    struct pollfd p = {.fd = op->fd, .events = (short)op->flags};
    int n = poll(&p, 1, -1);
    return n < 0 ? -1 : p.revents;
}

/* A path that is NULL is the kernel's business, which answers -EFAULT. */
#if SN_ASAN
__attribute__((no_sanitize("nonnull-attribute")))
#endif
static ssize_t
call(const sn_op *op)
{
    const char *path = op->buffer, *other = (const char *)(intptr_t)op->extra;
    int count = (int)op->length;
    switch ((sn_opcode)op->opcode) {
    case SN_OP_NOP:
        return 0;
    case SN_OP_READ:
        return op->extra < 0 ? read(op->fd, op->buffer, op->length) : pread(op->fd, op->buffer, op->length, op->extra);
    case SN_OP_WRITE:
        return op->extra < 0 ? write(op->fd, op->buffer, op->length)
                             : pwrite(op->fd, op->buffer, op->length, op->extra);
    case SN_OP_READV:
        return preadv2(op->fd, op->buffer, count, op->extra, op->flags);
    case SN_OP_WRITEV:
        return pwritev2(op->fd, op->buffer, count, op->extra, op->flags);
    case SN_OP_RECV:
        return recv(op->fd, op->buffer, op->length, op->flags);
    case SN_OP_SEND:
    case SN_OP_SEND_ZC:
        return send(op->fd, op->buffer, op->length, op->flags | MSG_NOSIGNAL);
    case SN_OP_RECVMSG:
        return recvmsg(op->fd, op->buffer, op->flags);
    case SN_OP_SENDMSG:
        return sendmsg(op->fd, op->buffer, op->flags | MSG_NOSIGNAL);
    case SN_OP_ACCEPT:
        return accept4(op->fd, op->buffer, (socklen_t *)(intptr_t)op->extra, op->flags);
    case SN_OP_CONNECT:
        return connect(op->fd, op->buffer, (socklen_t)op->length);
    case SN_OP_OPENAT:
        return openat(op->fd, path, op->flags, (mode_t)op->length);
    case SN_OP_CLOSE:
        return close(op->fd);
    case SN_OP_FSYNC:
        return fsync(op->fd);
    case SN_OP_FDATASYNC:
        return fdatasync(op->fd);
    case SN_OP_FTRUNCATE:
        return ftruncate(op->fd, (off_t)op->length);
    case SN_OP_FALLOCATE:
        return fallocate(op->fd, op->flags, op->extra, (off_t)op->length);
    case SN_OP_STATX:
        return statx(op->fd, path, op->flags, (unsigned)op->length, (struct statx *)(intptr_t)op->extra);
    case SN_OP_RENAMEAT:
        return renameat2(op->fd, path, count, other, (unsigned)op->flags);
    case SN_OP_LINKAT:
        return linkat(op->fd, path, count, other, op->flags);
    case SN_OP_SYMLINKAT:
        return symlinkat(path, op->fd, other);
    case SN_OP_UNLINKAT:
        return unlinkat(op->fd, path, op->flags);
    case SN_OP_MKDIRAT:
        return mkdirat(op->fd, path, (mode_t)op->length);
    case SN_OP_OPENAT2:
        return syscall(SYS_openat2, op->fd, path, other, op->length);
    case SN_OP_SPLICE:
        return splice_plain(op);
    case SN_OP_POLL:
        return poll_plain(op);
    case SN_OP_RECEIVE:
        errno = ENOBUFS;
        return -1;
    case SN_OPCODES:
        break;
    }
    return -1;
}

int sn_op_plain(const sn_op *op)
{
    ssize_t r = call(op);
    return r < 0 ? -errno : (int)r;
}
