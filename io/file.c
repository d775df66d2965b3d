/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system calls of sinew/file.h: each runs one operation.
 *
 * But an open: io_uring first tries that without waiting, and for a FIFO that is another open, which finds no writer,
 * or fails for want of a reader. Then it is made a second time, in a thread of the kernel's.
 */
#include "runtime/worker.h"

#include <sinew/file.h>

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <unistd.h>

/* Is this what a driver makes of a FIFO that does not wait for the other side? */
static bool has_not_waited(int result, uint64_t flags)
{
    struct stat status;
    if (flags & (O_NONBLOCK | O_PATH | O_DIRECTORY) || (flags & O_ACCMODE) == O_RDWR)
        return false;
    if (result < 0 ? result != -ENXIO : fstat(result, &status) != 0 || !S_ISFIFO(status.st_mode))
        return false;
    sn_worker *w = sn_worker_of_task();
    return w && w->runtime->driver->opens_at_once;
}

/* The second open has ended, and the first goes: not before, or a writer that has met it would find nobody. */
static int leave_first(int first, int second)
{
    if (first >= 0)
        close(first);
    return second;
}

int sinew_openat(int dirfd, const char *path, int flags, mode_t mode)
{
    int fd = sn_op_run(SN_OP_OPENAT, dirfd, path, mode, 0, flags | O_CLOEXEC);
    return SN_UNLIKELY(has_not_waited(fd, (unsigned)flags))
               ? leave_first(fd, sn_op_run(SN_OP_OPENAT, dirfd, path, mode, 1, flags | O_CLOEXEC))
               : fd;
}

/* A larger struct is of a later kernel's headers: what this one does not know must be zero. */
static int read_how(const struct open_how *how, size_t size, struct open_how *out)
{
    if (!how)
        return -EFAULT;
    if (size < sizeof *out)
        return -EINVAL;
    for (size_t i = sizeof *out; i < size; i++)
        if (((const char *)how)[i] != 0)
            return -E2BIG;
    *out = *how;
    out->flags |= O_CLOEXEC;
    return 0;
}

int sinew_openat2(int dirfd, const char *path, const struct open_how *how, size_t size)
{
    struct open_how ours;
    int r = read_how(how, size, &ours);
    if (r < 0)
        return r;
    int fd = sn_op_run(SN_OP_OPENAT2, dirfd, path, sizeof ours, (intptr_t)&ours, 0);
    return SN_UNLIKELY(has_not_waited(fd, ours.flags))
               ? leave_first(fd, sn_op_run(SN_OP_OPENAT2, dirfd, path, sizeof ours, (intptr_t)&ours, 1))
               : fd;
}

int sinew_fsync(int fd)
{
    return sn_op_run(SN_OP_FSYNC, fd, NULL, 0, 0, 0);
}

int sinew_fdatasync(int fd)
{
    return sn_op_run(SN_OP_FDATASYNC, fd, NULL, 0, 0, 0);
}

int sinew_ftruncate(int fd, off_t length)
{
    return sn_op_run(SN_OP_FTRUNCATE, fd, NULL, (uint64_t)length, 0, 0);
}

int sinew_fallocate(int fd, int mode, off_t offset, off_t length)
{
    return sn_op_run(SN_OP_FALLOCATE, fd, NULL, (uint64_t)length, offset, mode);
}

int sinew_statx(int dirfd, const char *path, int flags, unsigned mask, struct statx *out)
{
    return sn_op_run(SN_OP_STATX, dirfd, path, mask, (intptr_t)out, flags);
}

int sinew_renameat2(int from_dirfd, const char *from, int to_dirfd, const char *to, unsigned flags)
{
    return sn_op_run(SN_OP_RENAMEAT, from_dirfd, from, (unsigned)to_dirfd, (intptr_t)to, (int)flags);
}

int sinew_renameat(int from_dirfd, const char *from, int to_dirfd, const char *to)
{
    return sinew_renameat2(from_dirfd, from, to_dirfd, to, 0);
}

int sinew_unlinkat(int dirfd, const char *path, int flags)
{
    return sn_op_run(SN_OP_UNLINKAT, dirfd, path, 0, 0, flags);
}

int sinew_mkdirat(int dirfd, const char *path, mode_t mode)
{
    return sn_op_run(SN_OP_MKDIRAT, dirfd, path, mode, 0, 0);
}

int sinew_linkat(int from_dirfd, const char *from, int to_dirfd, const char *to, int flags)
{
    return sn_op_run(SN_OP_LINKAT, from_dirfd, from, (unsigned)to_dirfd, (intptr_t)to, flags);
}

int sinew_symlinkat(const char *target, int dirfd, const char *path)
{
    return sn_op_run(SN_OP_SYMLINKAT, dirfd, target, 0, (intptr_t)path, 0);
}
