/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A forwarder for TCP and HTTP/1.1: one task for each connection of a client, on all workers.
 *
 *     proxy --listen :80 --to 10.0.0.1:8080,10.0.0.2:8080 --http
 *
 * SIGTERM or Ctrl-C stops accepting, lets connections end for --grace seconds (in HTTP mode those that wait for a
 * request end at once), cuts the rest, reports, and ends with exit code 0. The second signal cuts at once.
 *
 *     main.c       starting, accepting, stopping
 *     settings.c   the command line
 *     targets.c    where to: in turn, without those that failed; idle connections that are kept
 *     clients.c    who is connected, and how often
 *     forward.c    TCP mode: bytes both ways
 *     pipes.c      what they are moved through
 *     http.c       HTTP mode: a client's connection
 *     exchange.c   a request and its response
 *     heads.c      what is written at the head of both
 *     message.c    from bytes to messages, with llhttp
 *     peer.c       a socket with buffers and a time limit
 *     sockets.c    resets
 */
#include "clients.h"
#include "forward.h"
#include "http.h"
#include "pipes.h"
#include "settings.h"
#include "sockets.h"
#include "targets.h"

#include <sinew.h>
#include <sinew/errno.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

/* --- a connection ------------------------------------------------------------------------------------------------- */

typedef struct session {
    int fd;
    client *who;
    sinew_sem *places;
} session;

static int serve_tcp(int fd)
{
    upstream up;
    int error = targets_connect(false, &up);
    if (error < 0) {
        if (error != -ECANCELED)
            count(&counters.failed);
        return error;
    }
    error = fcntl(up.fd, F_SETFL, O_RDWR | O_NONBLOCK) < 0 ? -errno : forward(fd, up.fd);
    if (error == -ETIMEDOUT)
        count(&counters.timed_out);
    if (error < 0)
        socket_reset_on_close(up.fd);
    sinew_close(up.fd);
    return error;
}

static intptr_t serve(void *arg)
{
    session *s = arg;
    int error = settings.http ? http_serve(s->fd, s->who) : serve_tcp(s->fd);
    if (error < 0)
        socket_reset_on_close(s->fd); /* or the client would take what has come for the whole */
    if (error != -ECANCELED)
        count(&counters.ended);
    client_leave(s->who); /* before the client sees the end, and comes again */
    sinew_close(s->fd);
    sinew_sem_post(s->places);
    free(s);
    return 0; /* a failure returned here would stop the whole group */
}

/* --- accepting ---------------------------------------------------------------------------------------------------- */

static int begin_session(int fd, const struct sockaddr_storage *address, sinew_sem *places, sinew_group *connections)
{
    session *s = malloc(sizeof *s);
    if (!s)
        return -ENOMEM;
    *s = (session){.fd = fd, .places = places};
    int error = client_enter(address, &s->who);
    if (error == 0) {
        /* What is sent is sent in as few pieces as can be: nothing is gained by holding the last one back. */
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)); /* fails on a unix socket */
        error = sinew_group_spawn(connections, serve, s);
        if (error == 0)
            return 0;
        client_leave(s->who);
    }
    free(s);
    return error;
}

/* Gives connections to the group until something stops it; returns what. When there are as many as are allowed, the
 * next ones wait in the kernel's queue. */
static int accept_clients(int listener, sinew_sem *places, sinew_group *connections)
{
    int flags = SOCK_CLOEXEC | (settings.http ? 0 : SOCK_NONBLOCK);
    for (;;) {
        int error = sinew_sem_wait(places);
        if (error < 0)
            return error;
        struct sockaddr_storage address;
        socklen_t len = sizeof address;
        int fd = sinew_accept(listener, (struct sockaddr *)&address, &len, flags);
        error = fd < 0 ? fd : begin_session(fd, &address, places, connections);
        if (error == 0) {
            count(&counters.connections);
            continue;
        }
        sinew_sem_post(places);
        if (fd >= 0)
            sinew_close(fd);
        switch (error) {
        case -EUSERS:
            count(&counters.refused);
            break;
        case -EMFILE: /* out of descriptors or memory: clients wait in the kernel's queue until others have left */
        case -ENFILE:
        case -ENOBUFS:
        case -ENOMEM:
            error = sinew_sleep(SINEW_MS(50));
            if (error < 0)
                return error;
            break;
        case -ECONNABORTED: /* gone before its turn; accept(2): "treat them like EAGAIN" */
        case -EPROTO:
        case -EINTR:
        case -EPERM: /* a firewall's word about this one client */
            break;
        default:
            return error;
        }
    }
}

/* --- stopping ----------------------------------------------------------------------------------------------------- */

/* Each signal is a cancel of the main task: the first ends the accepting, the second the waiting for connections. */
static intptr_t stop(int signo, void *main_task)
{
    (void)signo;
    sinew_cancel(main_task);
    return 0;
}

/* Returns when all connections have ended: by themselves, or cut when the time is up or the main task is cancelled. */
static int drain(sinew_group *connections)
{
    http_drain();
    sinew_timeout limit;
    sinew_timeout_begin(&limit, settings.grace);
    int error = sinew_group_wait(connections); /* -ETIMEDOUT, -ECANCELED: it has cancelled them */
    (void)sinew_timeout_end(&limit);
    return error == -ETIMEDOUT || error == -ECANCELED ? 0 : error;
}

static void report(void)
{
    unsigned long connections = atomic_load(&counters.connections);
    printf("proxy: stopped: %lu connections", connections);
    if (settings.http)
        printf(", %lu requests", atomic_load(&counters.requests));
    printf(", %llu bytes to targets, %llu bytes to clients, %lu found no target, %lu timed out, %lu refused, %lu cut\n",
           atomic_load(&counters.to_targets), atomic_load(&counters.to_clients), atomic_load(&counters.failed),
           atomic_load(&counters.timed_out), atomic_load(&counters.refused),
           connections - atomic_load(&counters.ended));
    fflush(stdout); /* from here on another signal ends the process */
}

/* The address as given, with the port that the kernel picked in place of 0. */
static void print_address(const char *address, int listener)
{
    const char *colon = strrchr(address, ':');
    int port = sinew_local_port(listener);
    printf("proxy: %u targets, listening on ", targets_count());
    if (colon && port > 0)
        printf("%.*s:%d\n", (int)(colon - address), address, port);
    else
        printf("%s\n", address);
    fflush(stdout);
}

static intptr_t program(void *arg)
{
    int listener = *(const int *)arg;
    int error = sinew_signal_handle(SIGTERM, stop, sinew_self());
    if (error == 0)
        error = sinew_signal_handle(SIGINT, stop, sinew_self());
    if (error < 0)
        return error;
    print_address(settings.listen, listener);

    sinew_sem places;
    sinew_sem_init(&places, settings.connections_max);
    sinew_group connections;
    sinew_group_init(&connections);
    error = accept_clients(listener, &places, &connections);
    sinew_close(listener); /* new clients are refused from here on */
    int failed = drain(&connections);
    report();
    targets_close();
    pipes_close();
    if (error == -ECANCELED) /* the normal end of a server */
        error = 0;
    return error < 0 ? error : failed;
}

/* --- starting ----------------------------------------------------------------------------------------------------- */

/* Two descriptors for each client, and some: take as many as the process may have. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit); /* with fewer it serves fewer */
    }
}

int main(int argc, char **argv)
{
    settings_read(argc, argv);
    raise_descriptor_limit();
    signal(SIGPIPE, SIG_IGN); /* splice has no flag against it */
    int listener = sinew_listen(settings.listen, NULL);
    if (listener < 0) {
        fprintf(stderr, "proxy: cannot listen on %s: %s\n", settings.listen, strerror(-listener));
        return 1;
    }
    intptr_t result = sinew_run_with(&settings.runtime, program, &listener);
    if (result < 0)
        fprintf(stderr, "proxy: %s\n", strerror((int)-result));
    return result < 0;
}
