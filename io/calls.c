/* SPDX-License-Identifier: Apache-2.0 */
/* The system calls of sinew/io.h: each runs one operation. */
#include "runtime/driver.h"
#include "runtime/worker.h"

#include <sinew/io.h>

#include <fcntl.h>
#include <unistd.h>

/* A length that a system call may be given at once, as read(2) cuts it. */
static uint64_t cut(size_t length)
{
    return length > 0x7ffff000u ? 0x7ffff000u : length;
}

ssize_t sinew_read(int fd, void *buf, size_t len)
{
    return sn_op_run(SN_OP_READ, fd, buf, cut(len), -1, 0);
}

ssize_t sinew_write(int fd, const void *buf, size_t len)
{
    return sn_op_run(SN_OP_WRITE, fd, buf, cut(len), -1, 0);
}

/* The ring ignores an offset where there is no position; the system calls refuse it. */
static int check_position(int fd, off_t offset)
{
    if (!sn_worker_of_task())
        return -EPERM;
    if (offset < 0)
        return -EINVAL;
    return lseek(fd, 0, SEEK_CUR) < 0 && errno == ESPIPE ? -ESPIPE : 0;
}

ssize_t sinew_pread(int fd, void *buf, size_t len, off_t offset)
{
    int r = check_position(fd, offset);
    if (r != 0)
        return r;
    return sn_op_run(SN_OP_READ, fd, buf, cut(len), offset, 0);
}

ssize_t sinew_pwrite(int fd, const void *buf, size_t len, off_t offset)
{
    int r = check_position(fd, offset);
    if (r != 0)
        return r;
    return sn_op_run(SN_OP_WRITE, fd, buf, cut(len), offset, 0);
}

int sinew_openat(int dirfd, const char *path, int flags, mode_t mode)
{
    return sn_op_run(SN_OP_OPENAT, dirfd, path, mode, 0, flags | O_CLOEXEC);
}

int sinew_fsync(int fd)
{
    return sn_op_run(SN_OP_FSYNC, fd, NULL, 0, 0, 0);
}

int sinew_close(int fd)
{
    return sn_op_run(SN_OP_CLOSE, fd, NULL, 0, 0, 0);
}

int sinew_poll(int fd, short events)
{
    return sn_op_run(SN_OP_POLL, fd, NULL, 0, 0, (unsigned short)events);
}

/* socket, shutdown: never wait, so the plain call is the whole of it. */
int sinew_socket(int domain, int type, int protocol)
{
    if (!sn_worker_of_task())
        return -EPERM;
    int fd = socket(domain, type | SOCK_CLOEXEC, protocol);
    return fd < 0 ? -errno : fd;
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
