/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A static-file server for HTTP/1.1: one task for each connection, on all workers.
 *
 *     http DIR [ADDRESS] [options]      serves DIR; 127.0.0.1:8080 if no address is given; port 0 picks one
 *
 * GET and HEAD, keep-alive and pipelining, conditional requests and ranges. A directory stands for its index.html, with
 * a redirection to the name that ends in a slash; there are no listings. Ctrl-C or SIGTERM stops accepting, lets the
 * requests in flight end for --grace seconds, reports, and ends with exit code 0; a second Ctrl-C ends the process at
 * once.
 *
 *     main.c        the command line, accepting, stopping
 *     connection.c  a connection: receive, parse, answer, again
 *     client.c      its socket: time limits and buffered output
 *     request.c     from bytes to requests, with llhttp
 *     path.c        from a request's target to an open file below DIR
 *     condition.c   conditional requests and ranges
 *     response.c    what is sent back
 *     cache.c       small files in memory
 *     secure.c      HTTPS
 *
 * What a request costs in the common case, a small file asked for again: one recv, one send, no allocation.
 */
#include "cache.h"
#include "connection.h"
#include "secure.h"
#include "settings.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

struct settings settings = {
    .timeout = SINEW_S(10),
    .grace = SINEW_S(5),
    .header_bytes = 16384,
    .header_fields = 100,
    .body_bytes = 1 << 20,
    .cache_bytes = (size_t)64 << 20,
};
struct counters counters;

/* --- serving ------------------------------------------------------------------------------------------------------ */

/* Gives connections to the group until something stops it; returns what. */
static int accept_clients(int listener, sinew_group *connections)
{
    for (;;) {
        int error = 0;
        int fd = sinew_accept(listener, NULL, NULL, SOCK_CLOEXEC);
        switch (fd) {
        case -EMFILE: /* out of descriptors or memory: clients wait in the kernel's queue until others have left */
        case -ENFILE:
        case -ENOBUFS:
        case -ENOMEM:
            error = sinew_sleep(SINEW_MS(50));
            break;
        case -ECONNABORTED: /* gone before its turn; accept(2): "treat them like EAGAIN" */
        case -EPROTO:
        case -EINTR:
        case -EPERM: /* a firewall's word about this one client */
            break;
        default:
            if (fd < 0)
                return fd;
            /* Responses are sent in as few pieces as can be: nothing is gained by holding the last one back. */
            (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)); /* fails on a unix socket */
            error = sinew_group_spawn(connections, serve_connection, (void *)(intptr_t)fd);
            if (error < 0)
                sinew_close(fd);
            else
                atomic_fetch_add_explicit(&counters.connections, 1, memory_order_relaxed);
            if (error == -ENOMEM)
                error = sinew_sleep(SINEW_MS(50));
        }
        if (error < 0)
            return error;
    }
}

/* As the first Ctrl-C does; a second signal ends the process at once. */
static intptr_t stop(int signal, void *main_task)
{
    sinew_signal_remove(signal);
    sinew_cancel(main_task);
    return 0;
}

static intptr_t program(void *arg)
{
    int listener = *(const int *)arg;
    int error = cache_init(sinew_workers(), settings.cache_bytes);
    if (error < 0)
        return error;

    sinew_group connections;
    sinew_group_init(&connections);
    error = sinew_signal_handle(SIGTERM, stop, sinew_self());
    if (error < 0)
        return error;
    error = accept_clients(listener, &connections);
    sinew_close(listener);
    /* Cancelling a connection means: end with the request you are at (client.h). Each keeps to the grace time itself.
     * One that was accepted but has not begun to run never will; the end of the process closes its socket. */
    sinew_group_cancel(&connections);
    int failed = sinew_group_wait(&connections);
    cache_destroy();

    printf("http: stopped: %lu requests on %lu connections answered, %lu cut\n", atomic_load(&counters.requests),
           atomic_load(&counters.connections), atomic_load(&counters.cut));
    if (error == -ECANCELED) /* Ctrl-C: the normal end of a server */
        error = 0;
    return error < 0 ? error : failed;
}

/* --- starting ----------------------------------------------------------------------------------------------------- */

static const char usage[] =
    "usage: http DIR [ADDRESS] [options]      127.0.0.1:8080, [::1]:8080, :8080 (all addresses), unix:/path\n"
    "  --workers N          worker threads; default: one for each processor\n"
    "  --timeout SECONDS    for a client to begin a request, to complete it, or to take some\n"
    "                       bytes of a response; default 10\n"
    "  --grace SECONDS      for requests in flight when the server stops; default 5\n"
    "  --max-header BYTES   of a request's line and header together; default 16384\n"
    "  --max-fields N       in a request's header; default 100\n"
    "  --max-body BYTES     of a request, which is read and ignored; default 1048576\n"
    "  --cache MIB          memory for small files; default 64\n"
    "  --cert FILE          serves HTTPS, with this certificate (PEM, with those between it\n"
    "                       and the authority)\n"
    "  --key FILE           and its key; default: in the certificate's file\n"
    "  --help               this text\n";

__attribute__((noreturn)) static void wrong_usage(void)
{
    fputs(usage, stderr);
    exit(2);
}

static uint64_t number(const char *text, uint64_t min, uint64_t max)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || *text == '-' || value < min || value > max)
        wrong_usage();
    return value;
}

static sinew_time seconds(const char *text)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(value) || value < 0.001 || value > 1e6)
        wrong_usage();
    return (sinew_time)(value * 1e9);
}

/* Fills settings and *options; stores the positional arguments. */
static void read_arguments(int argc, char **argv, sinew_options *options, const char **dir, const char **address)
{
    static const struct option known[] = {
        {"workers", required_argument, NULL, 'w'},
        {"timeout", required_argument, NULL, 't'},
        {"grace", required_argument, NULL, 'g'},
        {"max-header", required_argument, NULL, 'h'},
        {"max-fields", required_argument, NULL, 'f'},
        {"max-body", required_argument, NULL, 'b'},
        {"cache", required_argument, NULL, 'c'},
        {"cert", required_argument, NULL, 'C'},
        {"key", required_argument, NULL, 'K'},
        {"help", no_argument, NULL, 'H'},
        {0},
    };
    int option;
    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (option) {
        case 'w':
            options->workers = (unsigned)number(optarg, 1, SINEW_WORKERS_MAX);
            break;
        case 't':
            settings.timeout = seconds(optarg);
            break;
        case 'g':
            settings.grace = seconds(optarg);
            break;
        case 'h':
            settings.header_bytes = number(optarg, 64, 1 << 30);
            break;
        case 'f':
            settings.header_fields = (unsigned)number(optarg, 1, 1 << 20);
            break;
        case 'b':
            settings.body_bytes = number(optarg, 0, INT64_MAX);
            break;
        case 'C':
            settings.certificate = optarg;
            break;
        case 'K':
            settings.key = optarg;
            break;
        case 'H':
            fputs(usage, stdout);
            exit(0);
        case 'c':
            settings.cache_bytes = number(optarg, 0, 1 << 20) << 20;
            break;
        default:
            wrong_usage();
        }
    }
    if (argc - optind < 1 || argc - optind > 2)
        wrong_usage();
    *dir = argv[optind];
    *address = argc - optind == 2 ? argv[optind + 1] : "127.0.0.1:8080";
}

/* A descriptor for each client: take as many as the process may have. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit); /* with fewer it serves fewer */
    }
}

/* The address as given, with the port that the kernel picked in place of 0. */
static void print_address(const char *dir, const char *address, int listener)
{
    const char *colon = strrchr(address, ':');
    int port = sinew_local_port(listener);
    if (colon && port > 0)
        printf("http: serving %s on %.*s:%d\n", dir, (int)(colon - address), address, port);
    else
        printf("http: serving %s on %s\n", dir, address);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    sinew_options options = {0};
    const char *dir, *address;
    read_arguments(argc, argv, &options, &dir, &address);
    raise_descriptor_limit();

    settings.root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (settings.root < 0) {
        fprintf(stderr, "http: cannot open %s: %s\n", dir, strerror(errno));
        return 1;
    }
    if (settings.key && !settings.certificate)
        wrong_usage();
    if (settings.certificate && secure_load(settings.certificate, settings.key) < 0)
        return 1;
    int listener = sinew_listen(address, NULL);
    if (listener < 0) {
        fprintf(stderr, "http: cannot listen on %s: %s\n", address, strerror(-listener));
        return 1;
    }
    print_address(dir, address, listener);
    intptr_t result = sinew_run_with(&options, program, &listener);
    if (result < 0)
        fprintf(stderr, "http: %s\n", strerror((int)-result));
    close(settings.root);
    secure_free();
    return result < 0;
}
