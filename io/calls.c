/* SPDX-License-Identifier: Apache-2.0 */
/* The system calls of sinew/io.h: each fills an operation and runs it. */
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
    sn_op op = {.opcode = SN_OP_READ, .fd = fd, .buffer = buf, .length = cut(len), .offset = -1};
    return sn_op_run(&op);
}

ssize_t sinew_write(int fd, const void *buf, size_t len)
{
    sn_op op = {.opcode = SN_OP_WRITE, .fd = fd, .buffer = (void *)(uintptr_t)buf, .length = cut(len), .offset = -1};
    return sn_op_run(&op);
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
    sn_op op = {.opcode = SN_OP_READ, .fd = fd, .buffer = buf, .length = cut(len), .offset = offset};
    return sn_op_run(&op);
}

ssize_t sinew_pwrite(int fd, const void *buf, size_t len, off_t offset)
{
    int r = check_position(fd, offset);
    if (r != 0)
        return r;
    sn_op op = {
        .opcode = SN_OP_WRITE, .fd = fd, .buffer = (void *)(uintptr_t)buf, .length = cut(len), .offset = offset};
    return sn_op_run(&op);
}

int sinew_openat(int dirfd, const char *path, int flags, mode_t mode)
{
    sn_op op = {.opcode = SN_OP_OPENAT,
                .fd = dirfd,
                .buffer = (void *)(uintptr_t)path,
                .flags = flags | O_CLOEXEC,
                .length = mode};
    return sn_op_run(&op);
}

int sinew_fsync(int fd)
{
    sn_op op = {.opcode = SN_OP_FSYNC, .fd = fd};
    return sn_op_run(&op);
}

int sinew_close(int fd)
{
    sn_op op = {.opcode = SN_OP_CLOSE, .fd = fd};
    return sn_op_run(&op);
}

int sinew_poll(int fd, short events)
{
    sn_op op = {.opcode = SN_OP_POLL, .fd = fd, .flags = (unsigned short)events};
    return sn_op_run(&op);
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
    sn_op op = {.opcode = SN_OP_CONNECT, .fd = fd, .buffer = (void *)(uintptr_t)address, .length = address_len};
    return sn_op_run(&op);
}

int sinew_accept(int fd, struct sockaddr *address, socklen_t *address_len, int flags)
{
    sn_op op = {
        .opcode = SN_OP_ACCEPT, .fd = fd, .buffer = address, .pointer2 = address_len, .flags = flags | SOCK_CLOEXEC};
    return sn_op_run(&op);
}

ssize_t sinew_recv(int fd, void *buf, size_t len, int flags)
{
    sn_op op = {.opcode = SN_OP_RECV, .fd = fd, .buffer = buf, .length = cut(len), .flags = flags};
    return sn_op_run(&op);
}

ssize_t sinew_send(int fd, const void *buf, size_t len, int flags)
{
    sn_op op = {.opcode = SN_OP_SEND, .fd = fd, .buffer = (void *)(uintptr_t)buf, .length = cut(len), .flags = flags};
    return sn_op_run(&op);
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
