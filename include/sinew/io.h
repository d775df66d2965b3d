/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System calls that suspend the task instead of the worker: transfers, and what concerns any descriptor. Files are in
 * sinew/file.h, sockets in sinew/net.h; what is said here holds for those, too.
 *
 * Names and arguments are those of POSIX; the result is what the system call returns, or -errno. Errors that are not
 * named beside a call are those of the system call. Every call may suspend, unless it says otherwise, and returns
 * -EPERM outside of a task. New descriptors are always closed by an exec (O_CLOEXEC, SOCK_CLOEXEC).
 *
 * Cancel and timeout. A call returns only after the kernel has let go of its buffers, also when it is cancelled;
 * buffers on the caller's stack are always safe. If the operation completed before the cancel reached it, its result is
 * returned (no byte is lost) and the request stays pending for the next checkpoint; otherwise -ECANCELED or -ETIMEDOUT.
 * An operation on a regular file or directory that has begun cannot be stopped by the kernel: the call waits for its
 * end, which is one of the disk.
 *
 * With the epoll driver (sinew_options.driver) calls on terminals, fifos and blocking listeners are made in a thread of
 * the blocking pool once they will not wait; if another process then comes first and takes what there was, a cancel is
 * answered only when there is more. Make such a descriptor O_NONBLOCK where it is shared with other processes: it
 * changes nothing for the calls here, which wait all the same, with either driver.
 *
 * Transfers may be short, as in POSIX. Lengths over 0x7ffff000 are cut to that, as by read(2). Signals do not interrupt
 * a call. O_NONBLOCK makes no difference, a call waits (and so do connect and accept); who wants -EAGAIN instead says
 * so in the call, by MSG_DONTWAIT. Do not close a descriptor that another task is using: that one may go on waiting, or
 * meet another file under the same number; cancel the task or shut the socket down first.
 */
#ifndef SINEW_IO_H
#define SINEW_IO_H

#include <sinew/base.h>

#include <sys/types.h>
#include <sys/uio.h>

SINEW_BEGIN_DECLS

/* At the file position, as read(2), write(2), readv(2), writev(2). What is written where nobody reads any more gives
 * -EPIPE and SIGPIPE: ignore that signal (sinew_send raises none). A file is better written with sinew_pwrite: after a
 * write that was cut short (a full disk, RLIMIT_FSIZE) io_uring leaves the position where it was. */
SINEW_API ssize_t sinew_read(int fd, void *buf, size_t len);
SINEW_API ssize_t sinew_write(int fd, const void *buf, size_t len);
SINEW_API ssize_t sinew_readv(int fd, const struct iovec *parts, int count);
SINEW_API ssize_t sinew_writev(int fd, const struct iovec *parts, int count);

/* At `offset`, which leaves the file position alone. -EINVAL: a negative offset; -ESPIPE: no position (pipes, sockets,
 * terminals). What a file has in the page cache is read inside the call. */
SINEW_API ssize_t sinew_pread(int fd, void *buf, size_t len, off_t offset);
SINEW_API ssize_t sinew_pwrite(int fd, const void *buf, size_t len, off_t offset);
SINEW_API ssize_t sinew_preadv(int fd, const struct iovec *parts, int count, off_t offset);
SINEW_API ssize_t sinew_pwritev(int fd, const struct iovec *parts, int count, off_t offset);

/*
 * Moves up to `len` bytes between a pipe and something else (or two pipes) without copying them, as splice(2), and
 * returns how many; 0 at the end. The offsets may be NULL, and are moved on as there. Waits until one side has data and
 * the other has room, and then moves what is there; with SPLICE_F_NONBLOCK it is -EAGAIN instead of that wait. Where
 * neither side can block (pipes, and sockets with O_NONBLOCK) the data moves inside the call, which is a good deal
 * faster; otherwise in another thread. A cancel returns what has been moved by then. -EINVAL: no pipe among them, a
 * negative offset; -ESPIPE: an offset for a pipe; -EPIPE: nobody reads any more, with a SIGPIPE as of splice(2): ignore
 * that signal.
 */
SINEW_API ssize_t sinew_splice(int fd_in, off_t *offset_in, int fd_out, off_t *offset_out, size_t len, unsigned flags);

/* Closes even when the task is being cancelled: the request stays pending. */
SINEW_API int sinew_close(int fd);

/* Waits for poll(2) events on a descriptor of any kind that poll(2) knows: sockets, pipes, terminals, eventfd, timerfd,
 * signalfd, inotify, pidfd, epoll. Returns the events that are ready (> 0), POLLERR and POLLHUP among them; of
 * poll(2)'s POLLNVAL it makes -EBADF. */
SINEW_API int sinew_poll(int fd, short events);

/* pipe2(2), with O_CLOEXEC added. Does not suspend. */
SINEW_API int sinew_pipe(int fds[2], int flags);

SINEW_END_DECLS
#endif
