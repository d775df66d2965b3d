/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system calls of sinew/io.h: each runs one operation.
 *
 * Reading at an offset first asks for what the page cache has, in place: that takes half the time of an operation
 * that is submitted and completed, whether one task reads or a hundred. A miss costs one more system call before a
 * read of the disk. Not so with O_DIRECT, where that call would wait for the disk in spite of RWF_NOWAIT.
 */
#include "runtime/driver.h"
#include "runtime/worker.h"

#include <sinew/errno.h>
#include <sinew/io.h>
#include <sinew/time.h>

#include <fcntl.h>
#include <sys/stat.h>
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

ssize_t sinew_readv(int fd, const struct iovec *parts, int count)
{
    return sn_op_run(SN_OP_READV, fd, parts, (unsigned)count, -1, 0);
}

ssize_t sinew_writev(int fd, const struct iovec *parts, int count)
{
    return sn_op_run(SN_OP_WRITEV, fd, parts, (unsigned)count, -1, 0);
}

static bool may_be_direct(int fd, off_t offset)
{
    enum { SMALLEST_BLOCK = 512 };
    return offset % SMALLEST_BLOCK == 0 && (fcntl(fd, F_GETFL) & O_DIRECT) != 0;
}

/* Fewer bytes than were asked for: is that the end of the file, or of what the cache has? */
static bool is_all(int fd, off_t end)
{
    struct stat status;
    return fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) || end >= status.st_size;
}

/* What can be read without waiting. -EAGAIN: the operation is to do it, whatever the reason; -ESPIPE: and must not. */
static ssize_t read_at_once(int fd, const struct iovec *parts, int count, off_t offset)
{
    if (may_be_direct(fd, offset))
        return -EAGAIN;
    ssize_t n = preadv2(fd, parts, count, offset, RWF_NOWAIT);
    if (n < 0)
        return errno == ESPIPE ? -ESPIPE : -EAGAIN;
    size_t length = 0;
    for (int i = 0; i < count; i++)
        length += parts[i].iov_len;
    return (size_t)n == length || is_all(fd, offset + n) ? n : -EAGAIN;
}

/* A checkpoint, and others' turn: a call that is done in place does not suspend by itself. */
static int begin_at(off_t offset)
{
    int r = sinew_yield();
    return r < 0 ? r : offset < 0 ? -EINVAL : 0;
}

ssize_t sinew_pread(int fd, void *buf, size_t len, off_t offset)
{
    struct iovec part = {buf, cut(len)};
    int r = begin_at(offset);
    if (r < 0)
        return r;
    ssize_t n = read_at_once(fd, &part, 1, offset);
    return n == -EAGAIN ? sn_op_run(SN_OP_READ, fd, buf, part.iov_len, offset, 0) : n;
}

ssize_t sinew_preadv(int fd, const struct iovec *parts, int count, off_t offset)
{
    int r = begin_at(offset);
    if (r < 0)
        return r;
    ssize_t n = read_at_once(fd, parts, count, offset);
    return n == -EAGAIN ? sn_op_run(SN_OP_READV, fd, parts, (unsigned)count, offset, 0) : n;
}

/* A driver may ignore an offset where there is no position; the system calls refuse it, also to write nothing. */
static int check_write_at(int fd, off_t offset)
{
    if (!sn_worker_of_task())
        return -EPERM;
    return pwritev(fd, NULL, 0, offset) < 0 ? -errno : 0;
}

ssize_t sinew_pwrite(int fd, const void *buf, size_t len, off_t offset)
{
    int r = check_write_at(fd, offset);
    return r < 0 ? r : sn_op_run(SN_OP_WRITE, fd, buf, cut(len), offset, 0);
}

ssize_t sinew_pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    int r = check_write_at(fd, offset);
    return r < 0 ? r : sn_op_run(SN_OP_WRITEV, fd, parts, (unsigned)count, offset, 0);
}

int sinew_close(int fd)
{
    return sn_op_run(SN_OP_CLOSE, fd, NULL, 0, 0, 0);
}

/* Never waits, so the plain call is the whole of it. */
int sinew_pipe(int fds[2], int flags)
{
    if (!sn_worker_of_task())
        return -EPERM;
    return pipe2(fds, flags | O_CLOEXEC) < 0 ? -errno : 0;
}
