/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses as text, listening, connecting. Numeric hosts are read by getaddrinfo with AI_NUMERICHOST, which never asks
 * a resolver; "localhost" is the two loopback addresses.
 */
#include <sinew/net.h>

#include "runtime/base.h"
#include "runtime/worker.h"

#include <sinew/io.h>

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { ADDRESSES_MAX = 2 };

typedef struct address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un local;
    } u;
    socklen_t length;
} address;

static int parse_unix(const char *path, address *out)
{
    size_t length = strlen(path);
    if (length <= (size_t)(path[0] == '@') || length >= sizeof out->u.local.sun_path)
        return -EINVAL;
    out->u.local.sun_family = AF_UNIX;
    memcpy(out->u.local.sun_path, path, length + 1);
    out->length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
    if (path[0] == '@') { /* the abstract namespace: a leading NUL, no trailing one */
        out->u.local.sun_path[0] = '\0';
        out->length--;
    }
    return 0;
}

static int parse_port(const char *text)
{
    char *end;
    if (*text < '0' || *text > '9')
        return -EINVAL;
    unsigned long port = strtoul(text, &end, 10);
    return *end || port > 65535 ? -EINVAL : (int)port;
}

static int numeric(const char *host, int port, bool passive, address *out)
{
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | (passive ? AI_PASSIVE : 0), .ai_socktype = SOCK_STREAM};
    struct addrinfo *found;
    if (getaddrinfo(host, "0", &hints, &found) != 0)
        return -EINVAL;
    memcpy(&out->u, found->ai_addr, found->ai_addrlen);
    out->length = found->ai_addrlen;
    freeaddrinfo(found);
    if (out->u.any.sa_family == AF_INET)
        out->u.v4.sin_port = htons((uint16_t)port);
    else
        out->u.v6.sin6_port = htons((uint16_t)port);
    return 0;
}

/* How many addresses, or -EINVAL. */
static int parse(const char *text, bool passive, address out[ADDRESSES_MAX])
{
    memset(out, 0, ADDRESSES_MAX * sizeof *out);
    if (!text)
        return -EINVAL;
    if (strncmp(text, "unix:", 5) == 0)
        return parse_unix(text + 5, &out[0]) == 0 ? 1 : -EINVAL;
    const char *colon = strrchr(text, ':');
    char host[64];
    if (!colon)
        return -EINVAL;
    size_t length = (size_t)(colon - text);
    bool brackets = length >= 2 && text[0] == '[' && text[length - 1] == ']';
    if (brackets) {
        text++;
        length -= 2;
    }
    if (length >= sizeof host || (!brackets && memchr(text, ':', length)))
        return -EINVAL;
    memcpy(host, text, length);
    host[length] = '\0';
    int port = parse_port(colon + 1);
    if (port < 0)
        return port;
    if (length == 0 && !brackets) {
        if (!passive)
            return -EINVAL;
        if (numeric("::", port, true, &out[0]) == 0) /* also takes v4, where v6 exists at all */
            numeric("0.0.0.0", port, true, &out[1]);
        return 2;
    }
    if (strcmp(host, "localhost") == 0) {
        numeric(passive ? "127.0.0.1" : "::1", port, passive, &out[0]);
        numeric(passive ? "::1" : "127.0.0.1", port, passive, &out[1]);
        return 2;
    }
    if (numeric(host, port, passive, &out[0]) != 0 || (out[0].u.any.sa_family == AF_INET6) != brackets)
        return -EINVAL;
    return 1;
}

static int bad_address(const char *call, const char *text)
{
    sn_complain("%s: \"%s\" is no address; use \"127.0.0.1:8080\", \"[::1]:8080\", \":8080\" (to listen), "
                "\"localhost:8080\" or "
                "\"unix:/path\" (numeric hosts only)",
                call, text ? text : "(null)");
    return -EINVAL;
}

/* A socket file that nobody listens on any more stands in the way of the next start. */
static void remove_stale(const address *a)
{
    struct stat status;
    const char *path = a->u.local.sun_path;
    if (path[0] == '\0' || lstat(path, &status) != 0 || !S_ISSOCK(status.st_mode))
        return;
    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe < 0)
        return;
    if (connect(probe, &a->u.any, a->length) != 0 && errno == ECONNREFUSED)
        unlink(path);
    close(probe);
}

static int listen_on(const address *a, const sinew_listen_options *opt)
{
    int fd = socket(a->u.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int on = 1, off = 0, r = 0;
    if (a->u.any.sa_family == AF_UNIX) {
        if (!opt->keep_path)
            remove_stale(a);
    } else {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        if (opt->reuse_port && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0)
            r = -errno;
        if (a->u.any.sa_family == AF_INET6)
            setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, opt->v6_only ? &on : &off, sizeof on);
    }
    if (r == 0 && bind(fd, &a->u.any, a->length) != 0)
        r = -errno;
    if (r == 0 && listen(fd, opt->backlog > 0 ? opt->backlog : 4096) != 0)
        r = -errno;
    if (r != 0) {
        close(fd);
        return r;
    }
    return fd;
}

int sinew_listen(const char *text, const sinew_listen_options *opt)
{
    static const sinew_listen_options defaults;
    address addresses[ADDRESSES_MAX];
    int count = parse(text, true, addresses);
    if (count < 0)
        return bad_address("sinew_listen", text);
    int r = -EADDRNOTAVAIL;
    for (int i = 0; i < count; i++) {
        r = listen_on(&addresses[i], opt ? opt : &defaults);
        if (r != -EAFNOSUPPORT && r != -EADDRNOTAVAIL) /* a machine without v6 takes v4 */
            break;
    }
    return r;
}

int sinew_dial(const char *text)
{
    address addresses[ADDRESSES_MAX];
    int count = parse(text, false, addresses);
    if (!sn_worker_of_task())
        return -EPERM;
    if (count < 0)
        return bad_address("sinew_dial", text);
    int r = -EINVAL;
    for (int i = 0; i < count; i++) {
        const address *a = &addresses[i];
        int fd = sinew_socket(a->u.any.sa_family, SOCK_STREAM, 0);
        if (fd < 0) {
            r = fd;
            continue;
        }
        int on = 1;
        if (a->u.any.sa_family != AF_UNIX)
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        r = sinew_connect(fd, &a->u.any, a->length);
        if (r == 0)
            return fd;
        close(fd); /* never connected: closing cannot wait */
        if (r == -ECANCELED || r == -ETIMEDOUT)
            break;
    }
    return r;
}

int sinew_local_port(int fd)
{
    address a;
    a.length = sizeof a.u;
    if (getsockname(fd, &a.u.any, &a.length) != 0)
        return -errno;
    switch (a.u.any.sa_family) {
    case AF_INET:
        return ntohs(a.u.v4.sin_port);
    case AF_INET6:
        return ntohs(a.u.v6.sin6_port);
    default:
        return -EAFNOSUPPORT;
    }
}
