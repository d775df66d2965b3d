/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Servers: a task for each connection (asyncio.start_server).
 *
 *     static intptr_t echo(sinew_stream *s, void *arg)
 *     {
 *         const char *line;
 *         ssize_t n;
 *         while ((n = sinew_stream_readline(s, &line)) > 0)
 *             sinew_stream_write(s, line, (size_t)n);
 *         return 0;                                 // a peer that resets is no failure of ours
 *     }
 *     ...
 *     int listener = sinew_listen("127.0.0.1:7007", NULL);
 *     sinew_serve(listener, echo, NULL);            // until it is cancelled
 *
 * A connection lasts until its handler has returned and what that wrote has gone out: the stream is closed then, and
 * the handler need neither close nor unref it. A handler's result < 0 other than -ECANCELED is reported to the error
 * handler (sinew_set_error_handler); its connection is closed like others, and the server goes on. Of a handler
 * that was cancelled what the system takes without waiting is sent.
 *
 * All calls are for tasks of the runtime that started the server (-EPERM) unless they say "any thread". NULL for the
 * server gives -EINVAL.
 */
#ifndef SINEW_SERVER_H
#define SINEW_SERVER_H

#include <sinew/base.h>
#include <sinew/stream.h>

SINEW_BEGIN_DECLS

/* Serves one connection. The stream is lent until it returns; one that is to live on needs a sinew_stream_ref, but is
 * closed all the same. */
typedef intptr_t (*sinew_stream_handler)(sinew_stream *stream, void *arg);

/*
 * Accepts connections of a listening socket until the caller is cancelled, then as sinew_server_serve. The listener is
 * closed when this returns. May suspend. -ECANCELED, -ETIMEDOUT, or the error that ended accepting; -EINVAL (handler
 * NULL), -EBADF, -ENOTSOCK, -ENOMEM, -EPERM: at once, and the listener stays the caller's. A listener below -1 is taken
 * for the error of the sinew_listen that did not make it, and returned.
 */
SINEW_API int sinew_serve(int listener, sinew_stream_handler handler, void *arg);

/* A server that can be closed, drained and asked. */
typedef struct sinew_server sinew_server;

/* Zero in a field means its default. */
typedef struct sinew_server_options {
    sinew_stream_options stream; /* of each connection */
    size_t connections_max;      /* no more are accepted while so many are open; others wait in the system. 0: any */
    bool start_later;            /* accept nothing before sinew_server_begin or sinew_server_serve. A listener that is
                                    only bound is not even listening before */
} sinew_server_options;

/*
 * Starts a server on a listening socket, or one that is only bound; it owns the socket from now on. `opt` may be NULL.
 * 0 and the server in *out, which ends with sinew_server_free; -EINVAL (handler NULL, write_low > write_high),
 * -EBADF, -ENOTSOCK and others of listen(2), -ENOMEM: the socket stays the caller's; a listener below -1, which is
 * returned as the error that it is. Never suspends. Follows asyncio.start_server.
 *
 * When accepting fails for lack of descriptors, memory or threads, that is reported to the error handler, and accepting
 * goes on a second later. Any other lasting error ends it: it is reported, and sinew_server_serve returns it.
 */
SINEW_API int sinew_server_start(int listener, const sinew_server_options *opt, sinew_stream_handler handler, void *arg,
                                 sinew_server **out);

/* Begins to accept, if it has not begun. 0; -ESHUTDOWN: closed; errors of listen(2), -ENOMEM. Never suspends. Follows
 * Server.start_serving. */
SINEW_API int sinew_server_begin(sinew_server *s);

/*
 * Begins to accept, and waits until the server is closed and its last connection has ended: 0, or the error that ended
 * accepting. Cancelled (or timed out), it closes the server and its connections (sinew_server_close_clients), waits for
 * them, and returns -ECANCELED (-ETIMEDOUT); a second request meanwhile aborts them and cancels their handlers. -EBUSY:
 * another task is in this call; -ESHUTDOWN: the server was closed before. May suspend. Follows Server.serve_forever.
 */
SINEW_API int sinew_server_serve(sinew_server *s);

/* Stops listening at once: new connections are refused, those in the system's queue are dropped, open ones go on. 0.
 * May be called again. Never suspends. */
SINEW_API int sinew_server_close(sinew_server *s);

/* Waits until the server is closed and its last connection has ended. 0, -ECANCELED, -ETIMEDOUT. May suspend. */
SINEW_API int sinew_server_wait_closed(sinew_server *s);

/* Closes all open connections: what is buffered goes out, then their handlers find the end. 0, -ENOMEM. Never suspends.
 */
SINEW_API int sinew_server_close_clients(sinew_server *s);

/* Aborts all open connections: what is buffered is dropped. Their handlers go on and find an end. 0, -ENOMEM. Never
 * suspends. */
SINEW_API int sinew_server_abort_clients(sinew_server *s);

/*
 * The graceful end, for SIGTERM: closes the server; connections in sinew_stream_idle end at once, others may finish for
 * up to `limit` from now (SINEW_FOREVER: as long as they like); what is left then is aborted and its handlers
 * cancelled, and waited for. How many were cut. May suspend. -ECANCELED or -ETIMEDOUT (a scope of the caller): the wait
 * was ended; the server is closed, its connections go on, idle ones end.
 */
SINEW_API int sinew_server_drain(sinew_server *s, sinew_time limit);

/* Has it been closed, or does it drain? For handlers that look between two requests. Any thread. */
SINEW_API bool sinew_server_is_closing(const sinew_server *s);

/* The local port; 0: none (a unix socket). It stays known after the close. Any thread. */
SINEW_API int sinew_server_port(const sinew_server *s);

/* How many connections are open, and how many there were in all. Any thread. */
SINEW_API size_t sinew_server_connections(const sinew_server *s);
SINEW_API uint64_t sinew_server_accepted(const sinew_server *s);

/* Closes the server if it is open, and gives the handle up; connections go on. No other call may be under way or
 * follow. NULL is allowed. Never suspends. */
SINEW_API void sinew_server_free(sinew_server *s);

SINEW_END_DECLS
#endif
