/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Buffered streams over connections and pipes (asyncio's StreamReader and StreamWriter in one).
 *
 *     sinew_stream *s;
 *     int r = sinew_stream_dial("127.0.0.1:7", NULL, &s);
 *     if (r == 0) {
 *         const char *line;
 *         sinew_stream_write(s, "hello\n", 6);           // buffered; goes out when this task waits for something
 *         ssize_t n = sinew_stream_readline(s, &line);   // > 0: a line at `line`, 0: the end, < 0: an error
 *         sinew_stream_close(s);                         // what is still buffered goes out first
 *         sinew_stream_unref(s);
 *     }
 *
 * Reading. Nothing is read ahead of what a call needs, so a connection that waits has no read buffer, and a peer that
 * sends too much is held up by its own system. Calls that return `const char **data` point into the stream's buffer:
 * valid until the next read, peek or consume of the stream, or its last unref. Data is not NUL-terminated.
 *
 *     A CALL THAT RETURNS AN ERROR HAS TAKEN NOTHING: what was read stays buffered for the next call. That holds for
 *     -ECANCELED and -ETIMEDOUT, for -ENODATA (the stream ended before the call had all it wants: peek shows what there
 *     was), -EMSGSIZE (more than the limit) and -ENOMEM. sinew_stream_readline with -EMSGSIZE is the exception.
 *
 * Writing. A write only copies into the buffer and never waits. The bytes go out as soon as the writing task suspends:
 * what it wrote until then goes out together. sinew_stream_drain waits while too much is buffered; call it wherever
 * much is written.
 *
 * Who may do what. One task reads at a time: another one is told -EBUSY. Any number of tasks may write, drain and wait
 * at the same time, also while one reads, on any workers; each write's bytes stay together. Reading calls, drain,
 * flush, wait_closed and sendfile may suspend; all others never do. Calls are for tasks (-EPERM) unless they say "any
 * thread". NULL for the stream gives -EINVAL.
 *
 * Errors of the connection. A stream whose connection is lost says -ECONNRESET, or another code if the system gave one
 * that says more (-EIO, -EHOSTUNREACH, ...). One that a read met is returned by all later reads; one that either side
 * met by drain, flush and wait_closed, and writes return -EPIPE then. -ETIMEDOUT is always a timeout scope's.
 *
 * Handles are counted references, and may outlive the runtime. The last one gone, the stream is closed as by
 * sinew_stream_close.
 */
#ifndef SINEW_STREAM_H
#define SINEW_STREAM_H

#include <sinew/base.h>

#include <sys/types.h>
#include <sys/uio.h>

SINEW_BEGIN_DECLS

typedef struct sinew_stream sinew_stream;

/* Zero in a field means its default. */
typedef struct sinew_stream_options {
    size_t limit;      /* bytes that a line, or data before a separator, may have: 64 KiB */
    size_t write_high; /* drain waits when more bytes than this are buffered: 64 KiB */
    size_t write_low;  /* ... until no more than this are: write_high / 4 */
} sinew_stream_options;

/*
 * Makes a stream of a connected socket, or of another descriptor that can be read and written (a terminal). `opt` may
 * be NULL. The stream closes the descriptor. 0 and one reference in *out; -ENOMEM, -EINVAL (write_low > write_high),
 * -EBADF: *out is NULL and the descriptor stays the caller's. Any thread. Never suspends.
 */
SINEW_API int sinew_stream_open(int fd, const sinew_stream_options *opt, sinew_stream **out);

/*
 * The same of two descriptors, for pipes and for stdin with stdout; -1: none, reading then finds the end and writing
 * gives -EPIPE. sinew_stream_write_eof closes write_fd. Nothing raises SIGPIPE.
 */
SINEW_API int sinew_stream_open_pair(int read_fd, int write_fd, const sinew_stream_options *opt, sinew_stream **out);

/* Connects (sinew_dial) and makes a stream of the connection. May suspend. Errors of sinew_dial and sinew_stream_open.
 * Follows asyncio.open_connection. */
SINEW_API int sinew_stream_dial(const char *address, const sinew_stream_options *opt, sinew_stream **out);

/* One more reference, which is returned. NULL gives NULL. Any thread. */
SINEW_API sinew_stream *sinew_stream_ref(sinew_stream *s);

/* Drops a reference. With the last one the stream is closed, after what is buffered has gone out. Who is inside a call
 * needs a reference that lasts until the call has returned. NULL is allowed. Any thread. */
SINEW_API void sinew_stream_unref(sinew_stream *s);

/* --- reading ------------------------------------------------------------------------------------------------------ */

/* Up to n bytes, as many as there are; waits for the first one. > 0; 0 at the end, or for n == 0 (at once); or an
 * error. */
SINEW_API ssize_t sinew_stream_read(sinew_stream *s, void *buffer, size_t n);

/* Exactly n bytes. 0; -ENODATA: the stream ended before, and what there was is still buffered (read or peek it);
 * -EINVAL: n > SSIZE_MAX. After an error `buffer` may have been written to. Follows StreamReader.readexactly. */
SINEW_API int sinew_stream_read_exactly(sinew_stream *s, void *buffer, size_t n);

/* Everything until the end, in memory that the caller frees, with a NUL after it. The number of bytes; -EMSGSIZE: there
 * are more than max (0: no limit). Except for success *data is NULL. */
SINEW_API ssize_t sinew_stream_read_all(sinew_stream *s, char **data, size_t max);

/* A line, its '\n' included: > 0 and *line; the last one may have none. 0 at the end. -EMSGSIZE: a line longer than the
 * limit, which is dropped, as far as it has come. Follows StreamReader.readline. */
SINEW_API ssize_t sinew_stream_readline(sinew_stream *s, const char **line);

/* Data up to and including the separator, a string that is not empty: > 0 and *data. -ENODATA: the end came before;
 * -EMSGSIZE: more than the limit without (or before) the separator. Follows StreamReader.readuntil. */
SINEW_API ssize_t sinew_stream_read_until(sinew_stream *s, const char *separator, const char **data);

/* A separator that may have any bytes in it. */
typedef struct sinew_separator {
    const void *bytes;
    size_t length; /* > 0 */
} sinew_separator;

/* The same with several: up to the one that ends first. -EINVAL also for none, or an empty one. */
SINEW_API ssize_t sinew_stream_read_until_any(sinew_stream *s, const sinew_separator *separators, size_t count,
                                              const char **data);

/*
 * For parsers: shows what is buffered without taking it, and waits for at least a byte when there is nothing. How many
 * bytes are at *data; 0 at the end.
 *
 *     while ((n = sinew_stream_peek(s, &data)) > 0)
 *         sinew_stream_consume(s, parse(p, data, (size_t)n));
 */
SINEW_API ssize_t sinew_stream_peek(sinew_stream *s, const char **data);

/* The same, and waits until there are more than `have` bytes: for a parser that wants what it has seen and more. Fewer,
 * also 0, only at the end. -EMSGSIZE: `have` is at the limit already. */
SINEW_API ssize_t sinew_stream_peek_more(sinew_stream *s, size_t have, const char **data);

/* Takes n bytes of those buffered. 0, or -EINVAL when there are fewer. */
SINEW_API int sinew_stream_consume(sinew_stream *s, size_t n);

/* How many bytes can be read without waiting; by the task that reads. */
SINEW_API size_t sinew_stream_buffered(const sinew_stream *s);

/*
 * Waits until there is something to read, as peek does, between two requests: a server that drains
 * (sinew_server_drain) ends this wait, and the connection is as if at its end. How many bytes are buffered; 0: the end,
 * or the server drains.
 *
 *     while ((n = sinew_stream_idle(s)) > 0)
 *         answer_one_request(s);
 */
SINEW_API ssize_t sinew_stream_idle(sinew_stream *s);

/* --- writing ------------------------------------------------------------------------------------------------------ */

/* Buffers a copy of n bytes. 0; -EPIPE: closed, ended by write_eof, or the connection is lost; -ENOMEM. Except for 0,
 * nothing was written. */
SINEW_API int sinew_stream_write(sinew_stream *s, const void *data, size_t n);

/* The same for several pieces, which stay together. Also -EINVAL for a sum beyond SSIZE_MAX. */
SINEW_API int sinew_stream_writev(sinew_stream *s, const struct iovec *pieces, int count);

/* Formats as printf and writes the result. */
__attribute__((format(printf, 2, 3))) SINEW_API int sinew_stream_printf(sinew_stream *s, const char *format, ...);

/*
 * Sends `count` bytes of a file from `offset` on, after what was written before; waits as drain does. `fd` is any
 * descriptor that pread(2) takes, and stays the caller's. The number of bytes written, fewer only where the file ends;
 * or an error, and then a part of it may have been written. Others must not write meanwhile. Follows loop.sendfile.
 */
SINEW_API int64_t sinew_stream_sendfile(sinew_stream *s, int fd, off_t offset, size_t count);

/* Waits while more than write_high bytes have gathered, until no more than write_low are left; otherwise returns at
 * once. 0, or the error of the connection; -ECONNRESET also when the stream has been closed; -ECANCELED, -ETIMEDOUT:
 * nothing is lost. Any number of tasks at a time. Follows StreamWriter.drain. */
SINEW_API int sinew_stream_drain(sinew_stream *s);

/* The same, and waits until the system has taken everything. */
SINEW_API int sinew_stream_flush(sinew_stream *s);

/* How many bytes written are still buffered. Any thread; a hint while others write. */
SINEW_API size_t sinew_stream_unsent(sinew_stream *s);

/* Ends the writing side: the peer reads an end after what is buffered. Later writes give -EPIPE; reading goes on. 0;
 * -EPIPE when closed or lost. May be called again. */
SINEW_API int sinew_stream_write_eof(sinew_stream *s);

/* --- the end ------------------------------------------------------------------------------------------------------ */

/* Closes the stream once what is buffered has gone out, which this does not wait for. From now on writes give -EPIPE,
 * and reads what is buffered and then the end; a read that waits finds the end. 0. May be called again. */
SINEW_API int sinew_stream_close(sinew_stream *s);

/* Waits until the stream is closed, whoever closes it. 0, or the error by which the connection was lost; -ECANCELED,
 * -ETIMEDOUT. Follows StreamWriter.wait_closed. */
SINEW_API int sinew_stream_wait_closed(sinew_stream *s);

/* Closes at once: what was not sent is dropped, a TCP peer is told so (a reset). 0. Follows transport.abort. */
SINEW_API int sinew_stream_abort(sinew_stream *s);

/* Has a close or an abort begun, or is the connection known to be lost? Any thread. */
SINEW_API bool sinew_stream_is_closing(sinew_stream *s);

/* --- what it is made of ------------------------------------------------------------------------------------------- */

/* The descriptor that is read; -1: none, or closed. It stays the stream's: for options, not for reading or writing. Any
 * thread. */
SINEW_API int sinew_stream_fd(sinew_stream *s);

/* The peer's address as sinew_dial takes it ("127.0.0.1:4711", "[::1]:80", "unix:/path", "unix:@name"; "unix:" of a
 * socket without a name), as a string in `text`. Its length; -ENOSPC: `size` is too small (160 is enough); -ENOTCONN,
 * -ENOTSOCK. Any thread. */
SINEW_API int sinew_stream_peer(sinew_stream *s, char *text, size_t size);

SINEW_END_DECLS
#endif
