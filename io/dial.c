/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connecting by address text.
 *
 * One address is a plain connect. Several race (RFC 8305): connects that do not block are begun one after the other,
 * the next one when one has failed or the stagger is over, and one task waits for all of them, by a poll of an epoll
 * descriptor that holds them. So there is nothing to hand over between tasks, and a cancel closes what is there.
 */
#include "io/address.h"

#include <sinew/dns.h>
#include <sinew/errno.h>
#include <sinew/io.h>
#include <sinew/net.h>
#include <sinew/task.h>
#include <sinew/time.h>

#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { ATTEMPTS_MAX = 16 };

#define STAGGER SINEW_MS(250)

typedef struct race {
    const sinew_address *addresses, *local;
    int count, begun, pending;
    sinew_time stagger, next_at;
    int epoll, error; /* the first, so far; 0: none */
    int fds[ATTEMPTS_MAX];
} race;

/* Says only that this machine has no such network. */
static bool says_little(int error)
{
    return error == -EAFNOSUPPORT || error == -EADDRNOTAVAIL || error == -ENETUNREACH;
}

static void note(race *r, int error)
{
    if (r->error == 0 || (says_little(r->error) && !says_little(error)))
        r->error = error;
}

/* A socket, bound if it is to be, for a connect. */
static int new_socket(const sinew_address *to, const sinew_address *local, int flags)
{
    int family = to->any.sa_family, on = 1;
    if (local && local->any.sa_family != family)
        return -EADDRNOTAVAIL;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    if (fd < 0)
        return -errno;
    if (family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (local && bind(fd, &local->any, local->length) != 0) {
        int r = -errno;
        close(fd);
        return r;
    }
    return fd;
}

static int connect_one(const sinew_address *to, const sinew_address *local)
{
    int fd = new_socket(to, local, 0);
    if (fd < 0)
        return fd;
    int r = sinew_connect(fd, &to->any, to->length);
    if (r == 0)
        return fd;
    close(fd); /* never connected: closing cannot wait */
    return r;
}

/* The winner's descriptor leaves the race. */
static int take(race *r, int i)
{
    int fd = r->fds[i], off = 0;
    r->fds[i] = -1;
    epoll_ctl(r->epoll, EPOLL_CTL_DEL, fd, NULL);
    ioctl(fd, FIONBIO, &off);
    return fd;
}

static void drop(race *r, int i, int error)
{
    note(r, error);
    close(r->fds[i]);
    r->fds[i] = -1;
    r->next_at = 0;
}

/* Begins the next attempt: a descriptor if that is the winner already, otherwise -1. */
static int begin(race *r)
{
    int i = r->begun++;
    const sinew_address *to = &r->addresses[i];
    r->next_at = r->stagger == SINEW_FOREVER ? SINEW_FOREVER : sinew_now() + r->stagger;
    r->fds[i] = new_socket(to, r->local, SOCK_NONBLOCK);
    if (r->fds[i] < 0) {
        note(r, r->fds[i]);
        r->next_at = 0;
        return -1;
    }
    struct epoll_event event = {.events = EPOLLOUT, .data.u32 = (uint32_t)i};
    if (connect(r->fds[i], &to->any, to->length) == 0)
        return take(r, i);
    if (errno != EINPROGRESS || epoll_ctl(r->epoll, EPOLL_CTL_ADD, r->fds[i], &event) != 0)
        drop(r, i, -errno);
    else
        r->pending++;
    return -1;
}

/* Looks at the attempts that have ended: the winner's descriptor, or -1. */
static int collect(race *r)
{
    struct epoll_event events[ATTEMPTS_MAX];
    int n = epoll_wait(r->epoll, events, ATTEMPTS_MAX, 0);
    for (int e = 0; e < n; e++) {
        int i = (int)events[e].data.u32, error = 0;
        socklen_t length = sizeof error;
        getsockopt(r->fds[i], SOL_SOCKET, SO_ERROR, &error, &length);
        if (error == 0)
            return take(r, i);
        drop(r, i, -error);
        r->pending--;
    }
    return -1;
}

/* Until an attempt has ended or the next one is due: 0, or what the task was asked. */
static int wait_for_news(race *r)
{
    sinew_timeout due;
    sinew_timeout_begin_at(&due, r->begun < r->count ? r->next_at : SINEW_FOREVER);
    int events = sinew_poll(r->epoll, POLLIN);
    if (sinew_timeout_end(&due) == -ETIMEDOUT)
        return 0;
    return events < 0 ? events : 0;
}

static int run_race(race *r)
{
    int fd = -1, code = sinew_yield();
    while (fd < 0 && code == 0) {
        bool more = r->begun < r->count;
        if (more && (r->pending == 0 || sinew_now() >= r->next_at))
            fd = begin(r);
        else if (r->pending == 0)
            code = r->error;
        else if ((code = wait_for_news(r)) == 0)
            fd = collect(r);
    }
    return fd >= 0 ? fd : code;
}

static int connect_any(const sinew_address *addresses, int count, const sinew_address *local, sinew_time stagger)
{
    if (count == 1)
        return connect_one(addresses, local);
    race r = {.addresses = addresses, .local = local, .count = count, .stagger = stagger > 0 ? stagger : STAGGER};
    r.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (r.epoll < 0)
        return -errno;
    int result = run_race(&r);
    for (int i = 0; i < r.begun; i++)
        if (r.fds[i] >= 0)
            close(r.fds[i]);
    close(r.epoll);
    return result;
}

/* The families by turns, each in its own order, beginning with that of the first (RFC 8305, 4). */
static void interleave(sinew_address *addresses, int count)
{
    for (int at = 1; at < count; at++) {
        int from = at, before = addresses[at - 1].any.sa_family;
        while (from < count && addresses[from].any.sa_family == before)
            from++;
        if (from == count)
            return;
        sinew_address moved = addresses[from];
        memmove(&addresses[at + 1], &addresses[at], (size_t)(from - at) * sizeof *addresses);
        addresses[at] = moved;
    }
}

static int dial_name(const sn_endpoint *e, const sinew_address *local, sinew_time stagger)
{
    static const sinew_resolve_options configured = {.flags = AI_ADDRCONFIG};
    sinew_address addresses[ATTEMPTS_MAX];
    int count = sinew_resolve(e->name, NULL, &configured, addresses, ATTEMPTS_MAX);
    if (count < 0)
        return count;
    for (int i = 0; i < count; i++)
        sn_address_set_port(&addresses[i], e->port);
    interleave(addresses, count);
    return connect_any(addresses, count, local, stagger);
}

static int dial(const sn_endpoint *e, const sinew_address *local, const sinew_dial_options *opt)
{
    sinew_timeout whole;
    sinew_timeout_begin(&whole, opt->timeout > 0 ? opt->timeout : SINEW_FOREVER);
    int r = e->count > 0 ? connect_any(e->addresses, e->count, local, opt->stagger) : dial_name(e, local, opt->stagger);
    sinew_timeout_end(&whole); /* whose it was shows in the scopes around: the code is the same */
    return r;
}

int sinew_dial_with(const char *text, const sinew_dial_options *opt)
{
    static const sinew_dial_options defaults;
    sn_endpoint e, local = {0};
    opt = opt ? opt : &defaults;
    if (!sinew_self())
        return -EPERM;
    if (sn_endpoint_parse(text, false, &e) != 0)
        return sn_endpoint_refuse("sinew_dial", text, false);
    if (opt->local && sn_endpoint_parse(opt->local, true, &local) != 0)
        return sn_endpoint_refuse("sinew_dial", opt->local, true);
    return dial(&e, opt->local ? &local.addresses[0] : NULL, opt);
}

int sinew_dial(const char *text)
{
    return sinew_dial_with(text, NULL);
}
