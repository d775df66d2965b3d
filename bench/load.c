/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A load for echo servers, on epoll.
 *
 *     load ADDRESS:PORT [--connections C] [--size S] [--depth P] [--seconds T] [--warm-up T] [--threads N] [--json]
 *                       [--rate R] [--burn UNITS] [--burn-connections N] [--burn-share PERCENT]
 *     load --calibrate
 *
 * Closed loop, unless a rate is given: each connection keeps P messages of S bytes under way, sends the next one when
 * one has come back whole, and what one recv brings is answered by one send. A message's latency runs from the clock
 * read before its last byte is handed to the kernel to the one after its echo is read.
 *
 * Open loop, with --rate: R messages a second, taking turns among the connections. Latency runs from the moment a
 * message was due, whether or not it could be sent then; one that is still missing at the end counts with its
 * age. So a server that stops for a while is charged for all that should have happened meanwhile.
 *
 * Some messages may ask the server to compute: with --burn the first byte of a message is UNITS or 0, and a server that
 * was started with --burn computes that many units before it answers (support.h). The first N connections do so in each
 * message, in a closed loop also with --rate, and PERCENT of the other messages, by random. Latencies and rates
 * are those of the messages that do not ask: what the others suffer.
 *
 * The load must not be the limit, and says how far it was from that: as long as the server is slower, a wake-up finds
 * few messages; when their number comes near that of the connections, the load is what was measured.
 *
 * A connection's stream is a fixed pattern from an offset of its own, so what is sent is never copied and every
 * received byte is compared with the byte at its place. (With --burn a message is made before it is sent.) A lost,
 * repeated, changed or crossed byte, a connection that ends early, and a message that is still missing 2 s after the
 * end each count as an error; so the exit status is 1.
 *
 * Each thread has connections, epoll and counters of its own and shares nothing while it measures.
 */
#include "histogram.h"
#include "support.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* The period is prime, so no message size divides it and no two neighbouring messages are alike. */
enum { pattern_period = 65521, window_bytes = 1 << 18, events_max = 1024, threads_max = 64 };

static unsigned char pattern[pattern_period + window_bytes];

typedef struct connection {
    int fd;
    bool dead, waits_for_room;
    bool always_burns, burns; /* every message asks to compute; the one under way does */
    uint32_t start;           /* of its stream in the pattern */
    uint32_t random;
    size_t turn;             /* among the thread's paced connections */
    uint64_t sent, received; /* bytes */
    uint64_t allowed; /* bytes that may be sent: what came back plus depth messages, and not before they are due */
    uint64_t stamped; /* messages whose last byte has been sent */
    int64_t *sent_ns; /* by message, modulo depth; with a rate, when it was due */
    unsigned char *message; /* the one under way, or NULL when the pattern itself is sent */
} connection;

typedef struct loader {
    pthread_t thread;
    connection *connections;
    size_t count;
    int epoll;
    bool measuring, stopping;
    size_t paced;       /* connections that take turns */
    double interval_ns; /* between two turns */
    uint64_t due;       /* turns that have come */
    uint64_t errors, wakeups, burned, missing;
    double seconds, cpu_seconds; /* of the measurement */
    histogram latencies;
    unsigned char buffer[window_bytes];
} loader;

static struct {
    size_t connections, size, depth, threads, burn_connections;
    int64_t measure_ns, warm_up_ns;
    double rate, burn_share; /* messages a second, or 0: closed loop; of 1 */
    int burn;                /* units, or -1: messages are not for a server that computes */
    bool json;
} options = {.connections = 1,
             .size = 64,
             .depth = 1,
             .threads = 1,
             .measure_ns = 2000000000,
             .warm_up_ns = 300000000,
             .burn = -1};

static int64_t begin_ns, measure_from_ns; /* by the clock, for all threads alike */

/* --- one connection ------------------------------------------------------------------------------------------- */

static void watch(loader *l, connection *c, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = c};
    if (epoll_ctl(l->epoll, operation, c->fd, &event) != 0)
        die("epoll_ctl");
}

static void fail(loader *l, connection *c, const char *why)
{
    if (l->errors++ < 5)
        fprintf(stderr, "load: port %d: %s\n", c->fd, why);
    c->dead = true;
    close(c->fd);
}

static bool is_paced(const connection *c)
{
    return options.rate > 0 && !c->always_burns;
}

static int64_t due_ns(const loader *l, uint64_t turn)
{
    return begin_ns + (int64_t)((double)turn * l->interval_ns);
}

static const unsigned char *stream_at(const connection *c, uint64_t offset)
{
    if (c->message != NULL)
        return c->message + offset % options.size;
    return pattern + (c->start + offset) % pattern_period;
}

/* The next message, once the one before has come back. */
static void make_message(connection *c)
{
    c->random = c->random * 1664525 + 1013904223;
    c->burns = c->always_burns || (double)(c->random >> 8) < options.burn_share * (1 << 24);
    memcpy(c->message, pattern + (c->start + c->sent) % pattern_period, options.size);
    c->message[0] = c->burns ? (unsigned char)options.burn : 0;
}

static void send_allowed(loader *l, connection *c, int64_t now)
{
    while (c->sent < c->allowed) {
        size_t wanted = (size_t)(c->allowed - c->sent);
        if (wanted > window_bytes)
            wanted = window_bytes;
        if (c->message != NULL && c->sent % options.size == 0)
            make_message(c);
        ssize_t sent = send(c->fd, stream_at(c, c->sent), wanted, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN) {
            fail(l, c, strerror(errno));
            return;
        }
        if (sent > 0)
            c->sent += (uint64_t)sent;
        for (; c->stamped < c->sent / options.size; c->stamped++)
            c->sent_ns[c->stamped % options.depth] = is_paced(c) ? due_ns(l, c->stamped * l->paced + c->turn) : now;
        bool full = sent < 0 || (size_t)sent < wanted;
        if (full != c->waits_for_room) {
            c->waits_for_room = full;
            watch(l, c, EPOLL_CTL_MOD, full ? EPOLLIN | EPOLLOUT : EPOLLIN);
        }
        if (full)
            return;
    }
}

/* How many messages of a paced connection have been due. */
static uint64_t due_messages(const loader *l, const connection *c)
{
    return l->due / l->paced + (c->turn < l->due % l->paced);
}

static void allow_more(loader *l, connection *c)
{
    uint64_t messages = c->received / options.size + options.depth;
    if (is_paced(c) && messages > due_messages(l, c))
        messages = due_messages(l, c);
    c->allowed = messages * options.size;
}

/* Judges what came back; true when more may be sent. */
static bool check_received(loader *l, connection *c, const unsigned char *bytes, size_t count, int64_t now)
{
    if (c->received + count > c->sent || memcmp(bytes, stream_at(c, c->received), count) != 0) {
        fail(l, c, "received bytes that were not sent");
        return false;
    }
    uint64_t first = c->received / options.size;
    c->received += count;
    uint64_t end = c->received / options.size;
    if (l->measuring && c->burns)
        l->burned += end - first;
    else if (l->measuring)
        for (uint64_t i = first; i < end; i++)
            histogram_record(&l->latencies, now - c->sent_ns[i % options.depth]);
    if (!l->stopping)
        allow_more(l, c);
    return true;
}

static void receive(loader *l, connection *c)
{
    ssize_t n = recv(c->fd, l->buffer, sizeof l->buffer, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        fail(l, c, n == 0 ? "closed by the server" : strerror(errno));
        return;
    }
    int64_t now = now_ns();
    if (check_received(l, c, l->buffer, (size_t)n, now))
        send_allowed(l, c, now);
}

/* --- one thread ----------------------------------------------------------------------------------------------- */

/* Sends what is due, and returns when the next message will be. */
static int64_t send_due(loader *l, int64_t now)
{
    size_t first = l->count - l->paced;
    for (; due_ns(l, l->due) <= now; l->due++) {
        connection *c = &l->connections[first + l->due % l->paced];
        /* Counts this turn too, which allow_more() does not know of yet. */
        uint64_t mine = l->due / l->paced + 1;
        if (!c->dead && mine <= c->received / options.size + options.depth) {
            c->allowed = mine * options.size;
            send_allowed(l, c, now);
        }
    }
    return due_ns(l, l->due);
}

static void loop_until(loader *l, int64_t end_ns)
{
    struct epoll_event events[events_max];
    for (int64_t now = now_ns(); now < end_ns; now = now_ns()) {
        int64_t wake_ns = end_ns;
        if (l->paced > 0 && !l->stopping) {
            int64_t next_ns = send_due(l, now);
            wake_ns = next_ns < end_ns ? next_ns : end_ns;
        }
        struct timespec timeout = {.tv_sec = (wake_ns - now) / 1000000000, .tv_nsec = (wake_ns - now) % 1000000000};
        int ready = epoll_pwait2(l->epoll, events, events_max, &timeout, NULL);
        if (ready < 0 && errno != EINTR)
            die("epoll_pwait2");
        l->wakeups += l->measuring && ready > 0;
        for (int i = 0; i < ready; i++) {
            connection *c = events[i].data.ptr;
            if (!c->dead && (events[i].events & ~(uint32_t)EPOLLOUT))
                receive(l, c);
            if (!c->dead && (events[i].events & EPOLLOUT))
                send_allowed(l, c, now_ns());
        }
    }
}

/* Messages that were due and did not come back in time were at least as slow as they are old. */
static void count_missing(loader *l, int64_t now)
{
    for (size_t i = l->count - l->paced; i < l->count; i++) {
        connection *c = &l->connections[i];
        for (uint64_t m = c->received / options.size; !c->dead && m < due_messages(l, c); m++) {
            histogram_record(&l->latencies, now - due_ns(l, m * l->paced + c->turn));
            l->missing++;
        }
    }
}

static bool all_returned(const loader *l)
{
    for (size_t i = 0; i < l->count; i++)
        if (!l->connections[i].dead && l->connections[i].received < l->connections[i].sent)
            return false;
    return true;
}

static uint64_t received_bytes(const loader *l)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < l->count; i++)
        bytes += l->connections[i].received;
    return bytes;
}

/* What is under way when the measurement ends must still come back. */
static void drain(loader *l)
{
    l->stopping = true;
    uint64_t before = 0, received = received_bytes(l);
    for (int64_t now = now_ns(), came = now; !all_returned(l) && now < came + 2000000000; now = now_ns()) {
        loop_until(l, now + 10000000);
        before = received;
        received = received_bytes(l);
        if (received != before)
            came = now;
    }
    for (size_t i = 0; i < l->count; i++)
        if (!l->connections[i].dead && l->connections[i].received < l->connections[i].sent)
            fail(l, &l->connections[i], "an echo is missing, and nothing has come for 2 s");
}

static double thread_cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void *load(void *arg)
{
    loader *l = arg;
    for (size_t i = 0; i < l->count; i++)
        if (!is_paced(&l->connections[i])) {
            allow_more(l, &l->connections[i]);
            send_allowed(l, &l->connections[i], now_ns());
        }
    loop_until(l, measure_from_ns);

    l->measuring = true;
    int64_t begin = now_ns();
    double begin_cpu = thread_cpu_seconds();
    loop_until(l, begin + options.measure_ns);
    l->measuring = false;
    int64_t end = now_ns();
    l->seconds = (double)(end - begin) * 1e-9;
    l->cpu_seconds = thread_cpu_seconds() - begin_cpu;
    if (l->paced > 0)
        count_missing(l, end);
    drain(l);
    return NULL;
}

/* --- the run -------------------------------------------------------------------------------------------------- */

static void open_connection(loader *l, connection *c, size_t number, const char *address)
{
    c->fd = connect_to(address);
    c->start = (uint32_t)(number * 7919 % pattern_period);
    c->random = (uint32_t)number;
    c->always_burns = number < options.burn_connections;
    c->sent_ns = calloc(options.depth, sizeof(*c->sent_ns));
    if (options.burn >= 0)
        c->message = calloc(1, options.size);
    if (c->sent_ns == NULL || (options.burn >= 0 && c->message == NULL))
        die("set-up");
    if (is_paced(c))
        c->turn = l->paced++;
    tune_socket(c->fd, true);
    watch(l, c, EPOLL_CTL_ADD, EPOLLIN);
}

/* Connection i is thread i % threads's; those that always burn come first in each. */
static loader *open_connections(const char *address)
{
    loader *loaders = calloc(options.threads, sizeof(*loaders));
    if (loaders == NULL)
        die("set-up");
    size_t paced = 0;
    for (size_t t = 0; t < options.threads; t++) {
        loader *l = &loaders[t];
        l->connections = calloc(options.connections / options.threads + 1, sizeof(*l->connections));
        l->epoll = epoll_create1(EPOLL_CLOEXEC);
        if (l->connections == NULL || l->epoll < 0)
            die("set-up");
    }
    for (size_t i = 0; i < options.connections; i++) {
        loader *l = &loaders[i % options.threads];
        open_connection(l, &l->connections[l->count++], i, address);
    }
    for (size_t t = 0; t < options.threads; t++)
        paced += loaders[t].paced;
    for (size_t t = 0; t < options.threads; t++)
        if (loaders[t].paced > 0)
            loaders[t].interval_ns = 1e9 / (options.rate * (double)loaders[t].paced / (double)paced);
    return loaders;
}

/* Adds the others up into the first. */
static loader *sum_up(loader *loaders, double *rate, double *burn_rate, unsigned long long *all)
{
    loader *sum = &loaders[0];
    uint64_t bytes = 0;
    *rate = *burn_rate = 0;
    for (size_t t = 0; t < options.threads; t++) {
        loader *l = &loaders[t];
        *rate += (double)(l->latencies.total - l->missing) / l->seconds;
        *burn_rate += (double)l->burned / l->seconds;
        bytes += received_bytes(l);
    }
    for (size_t t = 1; t < options.threads; t++) {
        histogram_add(&sum->latencies, &loaders[t].latencies);
        sum->errors += loaders[t].errors;
        sum->wakeups += loaders[t].wakeups;
        sum->burned += loaders[t].burned;
        sum->missing += loaders[t].missing;
        sum->cpu_seconds += loaders[t].cpu_seconds;
    }
    *all = bytes / options.size;
    return sum;
}

/* True: nothing went wrong, and something was measured. */
static bool report(loader *loaders)
{
    double rate, burn_rate;
    unsigned long long all;
    loader *sum = sum_up(loaders, &rate, &burn_rate, &all);
    const histogram *h = &sum->latencies;
    double p50 = histogram_quantile_us(h, 0.5), p99 = histogram_quantile_us(h, 0.99);
    double p999 = histogram_quantile_us(h, 0.999), max_us = (double)h->max_ns / 1e3;
    double load_cpu = sum->cpu_seconds / sum->seconds;
    double per_wakeup = (double)(h->total - sum->missing + sum->burned) / (double)(sum->wakeups > 0 ? sum->wakeups : 1);
    unsigned long long failed = sum->errors, measured = h->total - sum->missing;
    if (options.json) {
        printf("{\"connections\": %zu, \"size\": %zu, \"depth\": %zu, \"seconds\": %.3f, \"messages\": %llu, ",
               options.connections, options.size, options.depth, sum->seconds, measured);
        printf("\"per_second\": %.1f, \"p50_us\": %.2f, \"p99_us\": %.2f, \"p999_us\": %.2f, \"max_us\": %.2f, ", rate,
               p50, p99, p999, max_us);
        printf("\"burned_per_second\": %.1f, \"all_messages\": %llu, ", burn_rate, all);
        printf("\"load_cpu\": %.3f, \"messages_per_wakeup\": %.1f, \"errors\": %llu}\n", load_cpu, per_wakeup, failed);
    } else {
        printf("connections %zu, message %zu bytes, depth %zu, %.3f s: %llu messages, %.0f/s\n", options.connections,
               options.size, options.depth, sum->seconds, measured, rate);
        printf("latency us: p50 %.2f  p99 %.2f  p99.9 %.2f  max %.2f\n", p50, p99, p999, max_us);
        if (options.burn > 0)
            printf("messages that computed: %.0f/s\n", burn_rate);
        printf("load: CPU %.3f of the time, %.1f messages a wake-up; errors %llu\n", load_cpu, per_wakeup, failed);
    }
    return failed == 0 && measured > 0;
}

/* How much of burn() is 100 us here, at the best that the machine does. */
static void calibrate(void)
{
    enum { iterations = 100000, tries = 200 };
    int64_t best_ns = INT64_MAX;
    for (int i = 0; i < tries; i++) {
        int64_t begin = now_ns();
        burn(iterations);
        int64_t taken = now_ns() - begin;
        if (best_ns > taken)
            best_ns = taken;
    }
    printf("{\"unit\": %lld}\n", (long long)(iterations * 100000LL / (best_ns > 0 ? best_ns : 1)));
}

__attribute__((noreturn)) static void wrong_usage(void)
{
    fputs(
        "usage: load ADDRESS:PORT [--connections C] [--size S] [--depth P] [--seconds T] [--warm-up T] [--threads N]\n"
        "            [--json] [--rate R] [--burn UNITS] [--burn-connections N] [--burn-share PERCENT]\n"
        "       load --calibrate\n",
        stderr);
    exit(2);
}

static double real_argument(const char *option, const char *text)
{
    char *end = NULL;
    double value = text != NULL ? strtod(text, &end) : -1;
    if (text == NULL || end == text || *end != 0 || !(value >= 0 && value < 1e9)) {
        fprintf(stderr, "%s needs a number of at least 0\n", option);
        exit(2);
    }
    return value;
}

/* False: there is no such option. */
static bool read_option(const char *option, const char *value)
{
    if (strcmp(option, "--connections") == 0)
        options.connections = (size_t)number_argument(option, value, 1);
    else if (strcmp(option, "--size") == 0)
        options.size = (size_t)number_argument(option, value, 1);
    else if (strcmp(option, "--depth") == 0)
        options.depth = (size_t)number_argument(option, value, 1);
    else if (strcmp(option, "--threads") == 0)
        options.threads = (size_t)number_argument(option, value, 1);
    else if (strcmp(option, "--seconds") == 0)
        options.measure_ns = (int64_t)(real_argument(option, value) * 1e9);
    else if (strcmp(option, "--warm-up") == 0)
        options.warm_up_ns = (int64_t)(real_argument(option, value) * 1e9);
    else if (strcmp(option, "--rate") == 0)
        options.rate = real_argument(option, value);
    else if (strcmp(option, "--burn") == 0)
        options.burn = (int)number_argument(option, value, 0);
    else if (strcmp(option, "--burn-connections") == 0)
        options.burn_connections = (size_t)number_argument(option, value, 0);
    else if (strcmp(option, "--burn-share") == 0)
        options.burn_share = real_argument(option, value) / 100;
    else
        return false;
    return true;
}

static const char *parse_options(int argc, char **argv)
{
    const char *address = NULL;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--calibrate") == 0) {
            calibrate();
            exit(0);
        } else if (strcmp(argv[i], "--json") == 0) {
            options.json = true;
        } else if (argv[i][0] != '-') {
            if (address != NULL)
                wrong_usage();
            address = argv[i];
        } else {
            if (!read_option(argv[i], argv[i + 1]))
                wrong_usage();
            i++;
        }
    }
    if (address == NULL || options.threads > threads_max || options.threads > options.connections)
        wrong_usage();
    if (options.burn >= 0 && (options.depth != 1 || options.burn > UINT8_MAX || options.size > window_bytes)) {
        fputs("load: --burn goes with --depth 1, at most 255 units and messages of some KiB\n", stderr);
        exit(2);
    }
    if (options.burn < 0 && (options.burn_connections > 0 || options.burn_share > 0))
        wrong_usage();
    return address;
}

int main(int argc, char **argv)
{
    const char *address = parse_options(argc, argv);
    uint32_t random = 1;
    for (size_t i = 0; i < sizeof pattern; i++) {
        random = random * 1664525 + 1013904223;
        pattern[i] = i < pattern_period ? (unsigned char)(random >> 24) : pattern[i - pattern_period];
    }
    raise_fd_limit();
    loader *loaders = open_connections(address);
    begin_ns = now_ns();
    measure_from_ns = begin_ns + options.warm_up_ns;
    for (size_t t = 1; t < options.threads; t++) {
        errno = pthread_create(&loaders[t].thread, NULL, load, &loaders[t]);
        if (errno != 0)
            die("pthread_create");
    }
    load(&loaders[0]);
    for (size_t t = 1; t < options.threads; t++)
        pthread_join(loaders[t].thread, NULL);
    return report(loaders) ? 0 : 1;
}
