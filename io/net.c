/* SPDX-License-Identifier: Apache-2.0 */
/* Listening and binding by address text. */
#include "io/address.h"
#include "runtime/base.h"
#include "runtime/worker.h"

#include <netinet/tcp.h>
#include <sys/stat.h>
#include <unistd.h>

/* A socket file that nobody listens on any more stands in the way of the next start. */
static void remove_stale(const sinew_address *a)
{
    struct stat status;
    const char *path = a->local.sun_path;
    if (path[0] == '\0' || lstat(path, &status) != 0 || !S_ISSOCK(status.st_mode))
        return;
    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe < 0)
        return;
    if (connect(probe, &a->any, a->length) != 0 && errno == ECONNREFUSED)
        unlink(path);
    close(probe);
}

static int set_options(int fd, int family, bool stream, const sinew_listen_options *opt)
{
    int on = 1, off = 0;
    if (stream) /* for datagrams it would let two sockets share a port by accident */
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, opt->v6_only ? &on : &off, sizeof on);
    if (opt->reuse_port && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0)
        return -errno;
    return 0;
}

/* Returns the descriptor. */
static int bind_to(const sinew_address *a, int type, const sinew_listen_options *opt)
{
    const sn_worker *w = sn_worker_self();
    bool nonblocking = type == SOCK_STREAM && w && w->runtime->driver->nonblocking_listeners;
    int fd = socket(a->any.sa_family, type | SOCK_CLOEXEC | (nonblocking ? SOCK_NONBLOCK : 0), 0);
    if (fd < 0)
        return -errno;
    int r = 0;
    if (a->any.sa_family != AF_UNIX)
        r = set_options(fd, a->any.sa_family, type == SOCK_STREAM, opt);
    else if (!opt->keep_path)
        remove_stale(a);
    if (r == 0 && bind(fd, &a->any, a->length) != 0)
        r = -errno;
    if (r == 0 && type == SOCK_STREAM && listen(fd, opt->backlog > 0 ? opt->backlog : 4096) != 0)
        r = -errno;
    if (r != 0) {
        close(fd);
        return r;
    }
    return fd;
}

static int bind_to_first(const sn_endpoint *e, int type, const sinew_listen_options *opt)
{
    static const sinew_listen_options defaults;
    int r = -EADDRNOTAVAIL;
    for (int i = 0; i < e->count; i++) {
        r = bind_to(&e->addresses[i], type, opt ? opt : &defaults);
        if (r != -EAFNOSUPPORT && r != -EADDRNOTAVAIL) /* a machine without v6 takes v4 */
            break;
    }
    return r;
}

int sinew_listen(const char *text, const sinew_listen_options *opt)
{
    sn_endpoint e;
    if (sn_endpoint_parse(text, true, &e) != 0)
        return sn_endpoint_refuse("sinew_listen", text, true);
    return bind_to_first(&e, SOCK_STREAM, opt);
}

int sinew_bind_udp(const char *text, const sinew_listen_options *opt)
{
    sn_endpoint e;
    if (sn_endpoint_parse(text, true, &e) != 0)
        return sn_endpoint_refuse("sinew_bind_udp", text, true);
    if (e.addresses[0].any.sa_family == AF_UNIX) {
        sn_complain("sinew_bind_udp: \"%s\" is not of the Internet; use sinew_socket and bind", text);
        return -EINVAL;
    }
    return bind_to_first(&e, SOCK_DGRAM, opt);
}

int sinew_local_port(int fd)
{
    sinew_address a;
    a.length = sizeof a.local;
    if (getsockname(fd, &a.any, &a.length) != 0)
        return -errno;
    switch (a.any.sa_family) {
    case AF_INET:
        return ntohs(a.v4.sin_port);
    case AF_INET6:
        return ntohs(a.v6.sin6_port);
    default:
        return -EAFNOSUPPORT;
    }
}
