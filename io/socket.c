/* SPDX-License-Identifier: Apache-2.0 */
/* The system calls of sinew/net.h: each runs one operation. */
#include "runtime/driver.h"
#include "runtime/worker.h"

#include <sinew/errno.h>
#include <sinew/net.h>

/* A length that a system call may be given at once, as read(2) cuts it. */
static uint64_t cut(size_t length)
{
    return length > 0x7ffff000u ? 0x7ffff000u : length;
}

/* socket, socketpair, shutdown: never wait, so the plain call is the whole of it. */
int sinew_socket(int domain, int type, int protocol)
{
    if (!sn_worker_of_task())
        return -EPERM;
    int fd = socket(domain, type | SOCK_CLOEXEC, protocol);
    return fd < 0 ? -errno : fd;
}

int sinew_socketpair(int domain, int type, int protocol, int fds[2])
{
    if (!sn_worker_of_task())
        return -EPERM;
    return socketpair(domain, type | SOCK_CLOEXEC, protocol, fds) < 0 ? -errno : 0;
}

int sinew_shutdown(int fd, int how)
{
    if (!sn_worker_of_task())
        return -EPERM;
    return shutdown(fd, how) < 0 ? -errno : 0;
}

int sinew_connect(int fd, const struct sockaddr *address, socklen_t address_len)
{
    return sn_op_run(SN_OP_CONNECT, fd, address, address_len, 0, 0);
}

int sinew_accept(int fd, struct sockaddr *address, socklen_t *address_len, int flags)
{
    return sn_op_run(SN_OP_ACCEPT, fd, address, 0, (intptr_t)address_len, flags | SOCK_CLOEXEC);
}

ssize_t sinew_recv(int fd, void *buf, size_t len, int flags)
{
    return sn_op_run(SN_OP_RECV, fd, buf, cut(len), 0, flags);
}

ssize_t sinew_send(int fd, const void *buf, size_t len, int flags)
{
    return sn_op_run(SN_OP_SEND, fd, buf, cut(len), 0, flags);
}

int sinew_send_all(int fd, const void *buf, size_t len)
{
    const char *at = buf;
    while (len > 0) {
        ssize_t sent = sinew_send(fd, at, len, 0);
        if (sent < 0)
            return (int)sent;
        at += sent;
        len -= (size_t)sent;
    }
    return 0;
}

/* Refused for the kind of socket, or for the limit of memory that may be pinned. */
static bool needs_a_copy(ssize_t result)
{
    return result == -EOPNOTSUPP || result == -ENOMEM || result == -ENOBUFS;
}

ssize_t sinew_send_zc(int fd, const void *buf, size_t len, int flags)
{
    ssize_t n = sn_op_run(SN_OP_SEND_ZC, fd, buf, cut(len), 0, flags);
    return needs_a_copy(n) ? sinew_send(fd, buf, len, flags) : n;
}

ssize_t sinew_recvmsg(int fd, struct msghdr *message, int flags)
{
    return sn_op_run(SN_OP_RECVMSG, fd, message, 0, 0, flags | MSG_CMSG_CLOEXEC);
}

ssize_t sinew_sendmsg(int fd, const struct msghdr *message, int flags)
{
    return sn_op_run(SN_OP_SENDMSG, fd, message, 0, 0, flags);
}

ssize_t sinew_recvfrom(int fd, void *buf, size_t len, int flags, struct sockaddr *address, socklen_t *address_len)
{
    if (!address)
        return sinew_recv(fd, buf, len, flags);
    if (!address_len)
        return -EFAULT;
    struct iovec part = {buf, cut(len)};
    struct msghdr message = {.msg_name = address, .msg_namelen = *address_len, .msg_iov = &part, .msg_iovlen = 1};
    ssize_t n = sn_op_run(SN_OP_RECVMSG, fd, &message, 0, 0, flags);
    if (n >= 0)
        *address_len = message.msg_namelen;
    return n;
}

ssize_t sinew_sendto(int fd, const void *buf, size_t len, int flags, const struct sockaddr *address,
                     socklen_t address_len)
{
    if (!address)
        return sinew_send(fd, buf, len, flags);
    struct iovec part = {(void *)(uintptr_t)buf, cut(len)};
    struct msghdr message = {
        .msg_name = (void *)(uintptr_t)address, .msg_namelen = address_len, .msg_iov = &part, .msg_iovlen = 1};
    return sn_op_run(SN_OP_SENDMSG, fd, &message, 0, 0, flags);
}

/* One byte, and room for one descriptor beside it; the kernel drops what else comes. */
typedef struct passing {
    struct msghdr message;
    struct iovec part;
    char byte;
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
} passing;

static void begin_passing(passing *p)
{
    memset(p, 0, sizeof *p);
    p->part = (struct iovec){&p->byte, 1};
    p->message = (struct msghdr){
        .msg_iov = &p->part, .msg_iovlen = 1, .msg_control = p->control, .msg_controllen = CMSG_LEN(sizeof(int))};
}

int sinew_send_fd(int socket, int fd)
{
    passing p;
    begin_passing(&p);
    struct cmsghdr *c = CMSG_FIRSTHDR(&p.message);
    c->cmsg_len = CMSG_LEN(sizeof fd);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
    ssize_t n = sinew_sendmsg(socket, &p.message, 0);
    return n < 0 ? (int)n : 0;
}

int sinew_recv_fd(int socket)
{
    passing p;
    int fd;
    begin_passing(&p);
    ssize_t n = sinew_recvmsg(socket, &p.message, 0);
    if (n <= 0)
        return n < 0 ? (int)n : -ENODATA;
    struct cmsghdr *c = CMSG_FIRSTHDR(&p.message);
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof fd)) {
        memcpy(&fd, CMSG_DATA(c), sizeof fd);
        return fd;
    }
    return p.message.msg_flags & MSG_CTRUNC ? -EMFILE : -EBADMSG;
}
