/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets: addresses as text, listening and connecting, and the system calls. What sinew/io.h says of its calls holds
 * here, too.
 *
 * Addresses are "127.0.0.1:8080", "[::1]:0", "localhost:80", "unix:/path", "unix:@name" (Linux's abstract names); to
 * listen or bind also ":8080" (every address), to dial also "example.org:80".
 */
#ifndef SINEW_NET_H
#define SINEW_NET_H

#include <sinew/base.h>

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

SINEW_BEGIN_DECLS

/* An address of any of the families above. */
typedef struct sinew_address {
    union {
        struct sockaddr any; /* its sa_family says which */
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un local;
    };
    socklen_t length; /* of what is used of it; for sinew_accept and sinew_recvfrom: sizeof(struct sockaddr_un) */
} sinew_address;

/* Room for every text of an address. */
#define SINEW_ADDRESS_TEXT 128

/* Reads a numeric address, or that of a unix socket. 0, or -EINVAL. Any thread; does not suspend. */
SINEW_API int sinew_address_parse(const char *text, sinew_address *out);

/* Writes the address as sinew_address_parse reads it ("unix:" for a socket without a name). The length of the text, or
 * -ENOSPC, -EAFNOSUPPORT, -EINVAL (NULL). Any thread; does not suspend. */
SINEW_API int sinew_address_format(const sinew_address *address, char *text, size_t size);

typedef struct sinew_listen_options {
    int backlog;     /* default 4096, cut by the kernel to net.core.somaxconn */
    bool reuse_port; /* SO_REUSEPORT: several listeners on one port */
    bool v6_only;    /* IPV6_V6ONLY; default off */
    bool keep_path;  /* unix: do not remove a stale socket file that nobody listens on */
} sinew_listen_options;

/*
 * Binds and listens; returns a descriptor for sinew_accept. `opt` may be NULL. Port 0 picks a free one, which
 * sinew_local_port reads back. -EINVAL: the address text is wrong (stderr says what); -EADDRINUSE, -EACCES, -EMFILE and
 * others of socket, bind, listen. A host must be numeric or "localhost" here. Any thread; does not suspend.
 * With the epoll driver the descriptor is O_NONBLOCK, which changes nothing for sinew_accept.
 */
SINEW_API int sinew_listen(const char *address, const sinew_listen_options *opt);

/* The same for UDP: a socket bound to the address, for sinew_recvfrom and sinew_sendto. Of the options reuse_port and
 * v6_only have a meaning. No "unix:" addresses. */
SINEW_API int sinew_bind_udp(const char *address, const sinew_listen_options *opt);

typedef struct sinew_dial_options {
    const char *local;  /* bind to this numeric address first, e.g. "192.0.2.7:0"; NULL: the kernel chooses */
    sinew_time stagger; /* how long an address has before the next one is tried, too. 0: 250 ms; SINEW_FOREVER: until it
                           has failed */
    sinew_time timeout; /* of the whole, looking the name up included; 0: none */
} sinew_dial_options;

/*
 * Connects and returns a descriptor; TCP_NODELAY is set on TCP sockets. A name is looked up (sinew_resolve), then its
 * addresses are tried in turn, IPv6 and IPv4 alternating: the next one when one has failed or has not answered within
 * `stagger`. The first that connects wins, and the others are closed. "localhost" is ::1 and 127.0.0.1.
 *
 * May suspend; a cancel or timeout ends all attempts at once and leaves no descriptor. -EINVAL: the address is wrong
 * (stderr says what); the errors of sinew_resolve; when all addresses fail -ECONNREFUSED and others of socket, bind and
 * connect: that of the first address, except that an error which only says that this machine has no such network
 * (-EAFNOSUPPORT, -EADDRNOTAVAIL, -ENETUNREACH) gives way to that of another one. -ETIMEDOUT also of `timeout`.
 * Follows loop.create_connection and RFC 8305.
 */
SINEW_API int sinew_dial(const char *address);
SINEW_API int sinew_dial_with(const char *address, const sinew_dial_options *opt); /* `opt` may be NULL */

/* The local port of a bound TCP or UDP socket, or -errno. Any thread; does not suspend. */
SINEW_API int sinew_local_port(int fd);

SINEW_API int sinew_socket(int domain, int type, int protocol);                 /* does not suspend */
SINEW_API int sinew_socketpair(int domain, int type, int protocol, int fds[2]); /* does not suspend */
SINEW_API int sinew_shutdown(int fd, int how);                                  /* does not suspend */
SINEW_API int sinew_connect(int fd, const struct sockaddr *address, socklen_t address_len);
SINEW_API int sinew_accept(int fd, struct sockaddr *address, socklen_t *address_len, int flags); /* as accept4(2) */

SINEW_API ssize_t sinew_recv(int fd, void *buf, size_t len, int flags);
/* A peer that is gone gives -EPIPE, never SIGPIPE; here and below. */
SINEW_API ssize_t sinew_send(int fd, const void *buf, size_t len, int flags);

/* Writes all of buf with as many sends as it takes: 0, or the first error (how much went out is then unknown). */
SINEW_API int sinew_send_all(int fd, const void *buf, size_t len);

/* With the peer's address, which may be NULL, for datagrams. -EFAULT: an address without a place for its length. */
SINEW_API ssize_t sinew_recvfrom(int fd, void *buf, size_t len, int flags, struct sockaddr *address,
                                 socklen_t *address_len);
SINEW_API ssize_t sinew_sendto(int fd, const void *buf, size_t len, int flags, const struct sockaddr *address,
                               socklen_t address_len);

/* Descriptors that a message brings are closed by an exec: MSG_CMSG_CLOEXEC is added. */
SINEW_API ssize_t sinew_recvmsg(int fd, struct msghdr *message, int flags);
SINEW_API ssize_t sinew_sendmsg(int fd, const struct msghdr *message, int flags);

/*
 * As sinew_send, but the kernel sends from `buf` itself instead of a copy, and the call returns when it has let go of
 * it: when the peer has acknowledged the bytes. Worth its while from some ten thousand bytes on. A cancel or timeout
 * ends the wait for room in the socket; what the socket has taken by then is waited for all the same, and a peer that
 * has stopped reading can make that last until the connection is reset: for peers that are not trusted set
 * TCP_USER_TIMEOUT, or use sinew_send. Where the kernel or the kind of socket has no such thing, it is sinew_send.
 */
SINEW_API ssize_t sinew_send_zc(int fd, const void *buf, size_t len, int flags);

/*
 * Sends `count` bytes of a file, or as many as it has, from *offset on (NULL: from its position), without copying them
 * through user space, as sendfile(2); waits as often as it takes. Returns how many have gone out, and moves *offset (or
 * the position) on by that; fewer than `count`: the end of the file, or a cancel, timeout or error after some have gone
 * out: a request is then left for the next checkpoint, and an error shows again in the next call. May take two
 * descriptors meanwhile. -EINVAL: in_fd is no regular file or block device, a negative offset; -EMFILE.
 */
SINEW_API ssize_t sinew_sendfile(int out_fd, int in_fd, off_t *offset, size_t count);

/*
 * Passes an open descriptor to another process over a unix socket, along with one byte. The receiver's is closed by an
 * exec. sinew_send_fd: 0, or an error of sendmsg. sinew_recv_fd: the descriptor; -ENODATA: the peer has closed;
 * -EBADMSG: a message without a descriptor; -EMFILE: it came, and this process has no room for it (it is lost).
 */
SINEW_API int sinew_send_fd(int socket, int fd);
SINEW_API int sinew_recv_fd(int socket);

SINEW_END_DECLS
#endif
