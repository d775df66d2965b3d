/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listening and connecting by address text: "127.0.0.1:8080", "[::1]:0", ":8080" (every address), "localhost:80",
 * "unix:/path", "unix:@name" (Linux's abstract names).
 */
#ifndef SINEW_NET_H
#define SINEW_NET_H

#include <sinew/base.h>

SINEW_BEGIN_DECLS

typedef struct sinew_listen_options {
    int backlog;     /* default 4096, cut by the kernel to net.core.somaxconn */
    bool reuse_port; /* SO_REUSEPORT: several listeners on one port */
    bool v6_only;    /* IPV6_V6ONLY; default off */
    bool keep_path;  /* unix: do not remove a stale socket file that nobody listens on */
} sinew_listen_options;

/*
 * Binds and listens; returns a descriptor for sinew_accept. `opt` may be NULL. Port 0 picks a free one, which
 * sinew_local_port reads back. -EINVAL: the address text is wrong (stderr says what); -EADDRINUSE, -EACCES, -EMFILE and
 * others of socket, bind, listen. A host must be numeric or "localhost" here. Does not suspend.
 */
SINEW_API int sinew_listen(const char *address, const sinew_listen_options *opt);

/*
 * Connects and returns a descriptor; TCP_NODELAY is set on TCP sockets. "localhost" tries ::1 and 127.0.0.1 in turn.
 * May suspend; a cancel closes the half-made connection. -EINVAL as above, -ECONNREFUSED and others of socket and
 * connect.
 */
SINEW_API int sinew_dial(const char *address);

/* The local port of a bound TCP socket, or -errno. Does not suspend. */
SINEW_API int sinew_local_port(int fd);

SINEW_END_DECLS
#endif
