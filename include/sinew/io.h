/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System calls that suspend the task instead of the worker. Names and arguments are those of POSIX; the result is
 * what the system call returns, or -errno.
 *
 * Cancel and timeout. A call returns only after the kernel has let go of its buffers, also when it is cancelled;
 * buffers on the caller's stack are always safe. If the operation completed before the cancel reached it, its result is
 * returned (no byte is lost) and the request stays pending for the next checkpoint; otherwise -ECANCELED or -ETIMEDOUT.
 * A regular-file operation that has begun cannot be stopped by the kernel and is waited for.
 *
 * Transfers may be short, as in POSIX. Every call may suspend and returns -EPERM outside of a task. Do not close a
 * descriptor that another task is using: cancel that task or shut the socket down first.
 */
#ifndef SINEW_IO_H
#define SINEW_IO_H

#include <sinew/base.h>

#include <sys/socket.h>
#include <sys/types.h>

SINEW_BEGIN_DECLS

SINEW_API ssize_t sinew_read(int fd, void *buf, size_t len);        /* at the file position, as read(2) */
SINEW_API ssize_t sinew_write(int fd, const void *buf, size_t len); /* as write(2) */
/* At `offset`. -EINVAL: a negative offset; -ESPIPE: no position (pipes, sockets). */
SINEW_API ssize_t sinew_pread(int fd, void *buf, size_t len, off_t offset);
SINEW_API ssize_t sinew_pwrite(int fd, const void *buf, size_t len, off_t offset);

/*
 * Moves up to `len` bytes between a pipe and something else (or two pipes) without copying them, as splice(2), and
 * returns how many; 0 at the end. The offsets may be NULL, and are moved on as there. Waits until one side has data and
 * the other has room, and then moves what is there; with SPLICE_F_NONBLOCK it is -EAGAIN instead of that wait. Waits on
 * descriptors with O_NONBLOCK, too: where neither side can block (pipes, and sockets that have it) the data moves
 * inside the call, which is a good deal faster; otherwise in another thread. A cancel returns what has been moved by
 * then. -EINVAL: no pipe among them, a negative offset; -ESPIPE: an offset for a pipe; -EPIPE: nobody reads any more,
 * with a SIGPIPE as of splice(2): ignore that signal.
 */
SINEW_API ssize_t sinew_splice(int fd_in, off_t *offset_in, int fd_out, off_t *offset_out, size_t len, unsigned flags);

SINEW_API int sinew_openat(int dirfd, const char *path, int flags, mode_t mode);
SINEW_API int sinew_fsync(int fd);
/* Closes even when the task is being cancelled: the request stays pending. */
SINEW_API int sinew_close(int fd);
/* Waits for poll(2) events on fd; returns the events that are ready (> 0). */
SINEW_API int sinew_poll(int fd, short events);

SINEW_API int sinew_socket(int domain, int type, int protocol);
SINEW_API int sinew_connect(int fd, const struct sockaddr *address, socklen_t address_len);
SINEW_API int sinew_accept(int fd, struct sockaddr *address, socklen_t *address_len, int flags); /* as accept4(2) */
SINEW_API ssize_t sinew_recv(int fd, void *buf, size_t len, int flags);
/* A peer that is gone gives -EPIPE, never SIGPIPE. */
SINEW_API ssize_t sinew_send(int fd, const void *buf, size_t len, int flags);
SINEW_API int sinew_shutdown(int fd, int how);

/* Writes all of buf with as many sends as it takes: 0, or the first error (how much went out is then unknown). */
SINEW_API int sinew_send_all(int fd, const void *buf, size_t len);

SINEW_END_DECLS
#endif
