/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A key-value server that speaks the protocol of Redis: one task for each connection, on all workers.
 *
 *     kv [ADDRESS] [options]      127.0.0.1:6379 if no address is given; port 0 picks one; kv --help
 *
 * Strings with times to live, as Redis has them, with its answers and error texts: any client library for Redis works,
 * so do redis-cli and redis-benchmark. With --appendonly every change is in a file before it is acknowledged, and is
 * there again after a crash. There is no password and no encryption: it belongs on a loopback or private address.
 *
 * SIGINT and SIGTERM stop accepting, let the commands in flight end for --grace seconds, write the file to its end,
 * report, and end with exit code 0; a second signal ends the process at once. The file is complete then, too, as far as
 * anything was acknowledged.
 *
 *     main.c        the command line, accepting, stopping
 *     connection.c  a connection: receive, execute, answer, again
 *     client.c      its socket: time limits, collected answers
 *     resp.c        from bytes to commands
 *     command.c     the table of commands; strings.c, multi.c, keys.c, server.c: the commands
 *     store.c       keys and values, in shards; value.c: a string with several owners
 *     journal.c     changes as records, in order
 *     log.c         the append-only file; replay.c reads it, rewrite.c makes it anew
 *     glob.c, bytes.c, pool.c, spin.h   patterns, numbers as text, buffers, a lock
 *
 * What a GET costs in the common case: one receive, one send, no allocation, one lock for some hundred instructions. A
 * connection that waits holds a page of stack and a struct of some 1.2 KiB.
 */
#include "connection.h"
#include "pool.h"
#include "settings.h"
#include "store.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

struct settings settings = {
    .address = "127.0.0.1:6379",
    .stall = SINEW_S(60),
    .grace = SINEW_S(5),
    .clients = 10000,
    .requests = {.value_bytes = (size_t)512 << 20,
                 .request_bytes = (size_t)1 << 30,
                 .total_bytes = (size_t)2 << 30,
                 .inline_commands = true},
    .sync = LOG_SYNC_EVERYSEC,
    .rewrite_percent = 100,
    .rewrite_min_bytes = (int64_t)64 << 20,
};
struct counters counters;

/* --- stopping ----------------------------------------------------------------------------------------------------- */

static int stop_fd; /* an eventfd: the way from the signal handler to a task */

/* Nothing but system calls in here. The second signal, of either kind, does what it does by default. */
static void on_signal(int number)
{
    (void)number;
    int saved = errno;
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    uint64_t one = 1;
    if (write(stop_fd, &one, sizeof one) < 0)
        raise(number);
    errno = saved;
}

static int catch_signals(void)
{
    stop_fd = eventfd(0, EFD_CLOEXEC);
    if (stop_fd < 0)
        return -errno;
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaddset(&action.sa_mask, SIGINT);
    sigaddset(&action.sa_mask, SIGTERM);
    signal(SIGXFSZ, SIG_IGN); /* a file at its limit is an error of write(2), which log.c knows about */
    return sigaction(SIGINT, &action, NULL) < 0 || sigaction(SIGTERM, &action, NULL) < 0 ? -errno : 0;
}

/* A task: when a signal has come, cancels the one given. */
static intptr_t wait_for_signal(void *task)
{
    uint64_t count;
    if (sinew_read(stop_fd, &count, sizeof count) > 0)
        sinew_cancel(task);
    return 0;
}

/* --- serving ------------------------------------------------------------------------------------------------------ */

static void refuse(int fd)
{
    static const char text[] = "-ERR max number of clients reached\r\n";
    (void)send(fd, text, sizeof text - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    atomic_fetch_add_explicit(&counters.refused, 1, memory_order_relaxed);
    sinew_close(fd);
}

static int welcome(int fd, sinew_group *connections)
{
    atomic_fetch_add_explicit(&counters.connections, 1, memory_order_relaxed);
    if (atomic_load_explicit(&counters.clients, memory_order_relaxed) >= settings.clients) {
        refuse(fd);
        return 0;
    }
    /* Answers are sent in as few pieces as can be: nothing is gained by holding the last one back. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)); /* fails on a unix socket */
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &(int){1}, sizeof(int)); /* finds out who is gone, in hours */
    atomic_fetch_add_explicit(&counters.clients, 1, memory_order_relaxed);
    int error = sinew_group_spawn(connections, serve_connection, (void *)(intptr_t)fd);
    if (error < 0) {
        atomic_fetch_sub_explicit(&counters.clients, 1, memory_order_relaxed);
        sinew_close(fd);
    }
    return error == -ENOMEM ? sinew_sleep(SINEW_MS(50)) : error;
}

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
            error = fd < 0 ? fd : welcome(fd, connections);
        }
        if (error < 0)
            return error;
    }
}

/* A task: ten times a second, what has to be done now and then. An idle server sleeps longer. */
static intptr_t keep_house(void *unused)
{
    (void)unused;
    enum { SLICE = 64 };
    unsigned long before = 0;
    sinew_time then = sinew_now();
    for (uint32_t round = 1; sinew_sleep(store_has_volatiles() ? SINEW_MS(100) : SINEW_S(1)) == 0; round++) {
        unsigned removed = 0;
        for (unsigned first = 0; first < SHARDS && store_has_volatiles(); first += SLICE) {
            removed += store_sample(first, SLICE, round * 2654435761u);
            if (sinew_yield() < 0)
                return 0;
        }
        if (removed > 0)
            log_wake();
        if (log_wants_rewrite())
            (void)log_rewrite(); /* unless it is already under way */
        sinew_time now = sinew_now();
        if (now - then >= SINEW_S(1)) {
            unsigned long commands = atomic_load_explicit(&counters.commands, memory_order_relaxed);
            double rate = (double)(commands - before) * 1e9 / (double)(now - then);
            atomic_store_explicit(&counters.per_second, (unsigned long)rate, memory_order_relaxed);
            before = commands;
            then = now;
        }
    }
    return 0;
}

/* Serves until a signal comes. The file's writer is there before the first connection and after the last. */
static int serve(int listener)
{
    sinew_group connections, helpers;
    sinew_group_init(&helpers);
    int error = sinew_group_spawn(&helpers, wait_for_signal, sinew_self());
    if (error == 0)
        error = sinew_group_spawn(&helpers, keep_house, NULL);
    if (error == 0 && log_is_open())
        error = sinew_group_spawn(&helpers, log_ticker, NULL);
    if (error == 0 && log_is_open())
        error = sinew_group_spawn(&helpers, log_rewriter, NULL);

    sinew_group_init(&connections);
    if (error == 0)
        error = accept_clients(listener, &connections);
    sinew_close(listener);
    /* Cancelling a connection means: end with the command you are at (client.h). Each keeps to the grace time itself.
     * One that was accepted but has not begun to run never will; the end of the process closes its socket. */
    sinew_group_cancel(&connections);
    int failed = sinew_group_wait(&connections);
    sinew_group_cancel(&helpers);
    (void)sinew_group_wait(&helpers);
    if (error == -ECANCELED) /* a signal: the normal end of a server */
        error = 0;
    return error < 0 ? error : failed;
}

/* The address as given, with the port that the kernel picked in place of 0. */
static void print_address(void)
{
    const char *colon = strrchr(settings.address, ':');
    if (colon && settings.port > 0)
        printf("kv: ready on %.*s:%d\n", (int)(colon - settings.address), settings.address, settings.port);
    else
        printf("kv: ready on %s\n", settings.address);
    fflush(stdout);
}

/* A sinew_fn: 0, an error, or 1 for one that has been described. */
static intptr_t program(void *arg)
{
    int listener = *(const int *)arg;
    int error = store_init();
    if (error < 0)
        return error;
    sinew_task *writer = NULL;
    if (settings.log_path) {
        if (log_open(settings.log_path) < 0)
            return 1;
        writer = sinew_spawn(log_writer, NULL);
        if (!writer)
            return -ENOMEM;
    }
    counters.started = sinew_now();
    print_address();
    error = serve(listener);
    if (writer) {
        log_stop();
        (void)sinew_await(writer);
        int log_error = log_close();
        if (log_error < 0)
            fprintf(stderr, "kv: %s: not complete: %s\n", settings.log_path, strerror(-log_error));
        error = error < 0 ? error : log_error < 0;
    }
    printf("kv: stopped: %lu commands on %lu connections answered, %lu cut\n", atomic_load(&counters.commands),
           atomic_load(&counters.connections), atomic_load(&counters.cut));
    store_destroy();
    pool_destroy();
    return error;
}

/* --- starting ----------------------------------------------------------------------------------------------------- */

static const char usage[] =
    "usage: kv [ADDRESS] [options]         127.0.0.1:6379, [::1]:6379, :6379 (all addresses), unix:/path\n"
    "  --appendonly FILE       keep all changes in FILE, and begin with what is there\n"
    "  --fsync WHEN            always: a change is acknowledged when it is on the disk; everysec (default): when the\n"
    "                          kernel has it, and the disk a second later; no: the disk when the kernel likes\n"
    "  --rewrite-percent N     rewrite FILE when it has grown by so much; default 100; 0: only for BGREWRITEAOF\n"
    "  --rewrite-min-size MIB  but not while it is smaller; default 64\n"
    "  --max-memory MIB        for keys and values; changes that need more are refused above; default 0: no limit\n"
    "  --max-clients N         at a time; default 10000\n"
    "  --max-value MIB         of one key or value; default 512, at most 2047\n"
    "  --max-request MIB       of one command with all its arguments; default 1024\n"
    "  --max-buffers MIB       for requests that are being received, of all clients together; default 2048\n"
    "  --timeout SECONDS       a client that sends nothing for so long is cut off; default 0: never\n"
    "  --stall SECONDS         a client that takes none of its answers for so long is cut off; default 60\n"
    "  --grace SECONDS         for commands in flight when the server stops; default 5\n"
    "  --workers N             worker threads; default: one for each processor\n"
    "  --help                  this text\n";

__attribute__((noreturn)) static void wrong_usage(void)
{
    fputs(usage, stderr);
    exit(2);
}

static uint64_t number(const char *text, uint64_t min, uint64_t max)
{
    char *end;
    errno = 0;
    unsigned long long parsed = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || *text == '-' || parsed < min || parsed > max)
        wrong_usage();
    return parsed;
}

static uint64_t mebibytes(const char *text, uint64_t min, uint64_t max)
{
    return number(text, min, max) << 20;
}

static sinew_time seconds(const char *text, double min)
{
    char *end;
    double parsed = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(parsed) || parsed < min || parsed > 1e6)
        wrong_usage();
    return (sinew_time)(parsed * 1e9);
}

static log_sync sync_mode(const char *text)
{
    if (strcmp(text, "always") == 0)
        return LOG_SYNC_ALWAYS;
    if (strcmp(text, "everysec") == 0)
        return LOG_SYNC_EVERYSEC;
    if (strcmp(text, "no") != 0)
        wrong_usage();
    return LOG_SYNC_NO;
}

/* Fills settings and *options. */
static void read_arguments(int argc, char **argv, sinew_options *options)
{
    static const struct option known[] = {
        {"appendonly", required_argument, NULL, 'a'},
        {"fsync", required_argument, NULL, 'f'},
        {"rewrite-percent", required_argument, NULL, 'p'},
        {"rewrite-min-size", required_argument, NULL, 'i'},
        {"max-memory", required_argument, NULL, 'm'},
        {"max-clients", required_argument, NULL, 'c'},
        {"max-value", required_argument, NULL, 'v'},
        {"max-request", required_argument, NULL, 'r'},
        {"max-buffers", required_argument, NULL, 'b'},
        {"timeout", required_argument, NULL, 't'},
        {"stall", required_argument, NULL, 's'},
        {"grace", required_argument, NULL, 'g'},
        {"workers", required_argument, NULL, 'w'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    enum { MIB_MAX = 1 << 30 };
    int option;
    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (option) {
        case 'a':
            settings.log_path = optarg;
            break;
        case 'f':
            settings.sync = sync_mode(optarg);
            break;
        case 'p':
            settings.rewrite_percent = (int64_t)number(optarg, 0, 1 << 20);
            break;
        case 'i':
            settings.rewrite_min_bytes = (int64_t)mebibytes(optarg, 0, MIB_MAX);
            break;
        case 'm':
            settings.memory_bytes = (int64_t)mebibytes(optarg, 0, MIB_MAX);
            break;
        case 'c':
            settings.clients = number(optarg, 1, INT32_MAX);
            break;
        case 'v':
            settings.requests.value_bytes = mebibytes(optarg, 1, 2047);
            break;
        case 'r':
            settings.requests.request_bytes = mebibytes(optarg, 1, MIB_MAX);
            break;
        case 'b':
            settings.requests.total_bytes = mebibytes(optarg, 1, MIB_MAX);
            break;
        case 't':
            settings.idle = seconds(optarg, 0);
            break;
        case 's':
            settings.stall = seconds(optarg, 0.001);
            break;
        case 'g':
            settings.grace = seconds(optarg, 0.001);
            break;
        case 'w':
            options->workers = (unsigned)number(optarg, 1, SINEW_WORKERS_MAX);
            break;
        case 'h':
            fputs(usage, stdout);
            exit(0);
        default:
            wrong_usage();
        }
    }
    if (argc - optind > 1)
        wrong_usage();
    if (argc - optind == 1)
        settings.address = argv[optind];
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

int main(int argc, char **argv)
{
    sinew_options options = {.keep_sigint = true};
    read_arguments(argc, argv, &options);
    raise_descriptor_limit();
    int error = catch_signals();
    int listener = error < 0 ? error : sinew_listen(settings.address, NULL);
    if (listener < 0) {
        fprintf(stderr, "kv: cannot listen on %s: %s\n", settings.address, strerror(-listener));
        return 1;
    }
    int port = sinew_local_port(listener);
    settings.port = port > 0 ? port : 0;
    intptr_t result = sinew_run_with(&options, program, &listener);
    if (result < 0)
        fprintf(stderr, "kv: %s\n", strerror((int)-result));
    return result != 0;
}
