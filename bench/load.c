/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A load for echo servers: one thread, epoll, closed loop.
 *
 *     load ADDRESS:PORT [--connections C] [--size S] [--depth P] [--seconds T] [--warm-up T] [--json]
 *
 * Each connection keeps P messages of S bytes under way: it sends the next one when one has come back whole, and what
 * one recv brings is answered by one send. A message's latency runs from the clock read before its last byte is
 * handed to the kernel to the one after its echo is read.
 *
 * The load must not be the limit, and says how far it was from that: as long as the server is slower, a wake-up finds
 * few messages; when their number comes near that of the connections, the load is what was measured.
 *
 * A connection's stream is a fixed pattern from an offset of its own, so what is sent is never copied and every
 * received byte is compared with the byte at its place. A lost, repeated, changed or crossed byte, a connection that
 * ends early, and a message that is still missing after the end each count as an error; so the exit status is 1.
 */
#include "support.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* The period is prime, so no message size divides it and no two neighbouring messages are alike. */
enum { pattern_period = 65521, window_bytes = 1 << 18, events_max = 1024 };

static unsigned char pattern[pattern_period + window_bytes];

typedef struct connection {
    int fd;
    bool dead, waits_for_room;
    uint32_t start;          /* of its stream in the pattern */
    uint64_t sent, received; /* bytes */
    uint64_t allowed;        /* bytes that may be sent: what came back plus depth messages */
    uint64_t stamped;        /* messages whose last byte has been sent */
    int64_t *sent_ns;        /* by message, modulo depth */
} connection;

static struct {
    size_t connections, size, depth;
    int64_t measure_ns, warm_up_ns;
    bool json;
} options = {.connections = 1, .size = 64, .depth = 1, .measure_ns = 2000000000, .warm_up_ns = 300000000};

static connection *connections;
static int epoll;
static bool measuring, stopping;
static uint64_t errors, wakeups;

/* --- latencies, in octaves of 1024 steps: a value is known to a thousandth ------------------------------------- */

enum { step_bits = 10, steps = 1 << step_bits, octaves = 40 };

static uint64_t histogram[octaves * steps];
static uint64_t messages;
static int64_t latency_max_ns;

static void record(int64_t latency_ns)
{
    uint64_t value = (uint64_t)latency_ns;
    size_t index = (size_t)value;
    if (value >= steps) {
        unsigned octave = 63 - step_bits - (unsigned)__builtin_clzll(value);
        index = ((size_t)octave + 1) * steps + ((size_t)(value >> octave) - steps);
    }
    histogram[index]++;
    messages++;
    if (latency_max_ns < latency_ns)
        latency_max_ns = latency_ns;
}

/* In microseconds: the upper edge of the step that holds the quantile. */
static double quantile_us(double q)
{
    uint64_t rank = (uint64_t)(q * (double)messages), seen = 0;
    for (size_t i = 0; i < octaves * steps; i++) {
        seen += histogram[i];
        if (seen > rank) {
            size_t octave = i < steps ? 0 : i / steps - 1;
            uint64_t low = i < steps ? i : (uint64_t)(i % steps + steps) << octave;
            return (double)(low + ((uint64_t)1 << octave)) / 1e3;
        }
    }
    return (double)latency_max_ns / 1e3;
}

/* --- the loop ------------------------------------------------------------------------------------------------- */

static void watch(connection *c, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = c};
    if (epoll_ctl(epoll, operation, c->fd, &event) != 0)
        die("epoll_ctl");
}

static void fail(connection *c, const char *why)
{
    if (errors++ < 5)
        fprintf(stderr, "load: connection %td: %s\n", c - connections, why);
    c->dead = true;
    close(c->fd);
}

static const unsigned char *stream_at(const connection *c, uint64_t offset)
{
    return pattern + (c->start + offset) % pattern_period;
}

static void send_allowed(connection *c, int64_t now)
{
    while (c->sent < c->allowed) {
        size_t wanted = (size_t)(c->allowed - c->sent);
        if (wanted > window_bytes)
            wanted = window_bytes;
        ssize_t sent = send(c->fd, stream_at(c, c->sent), wanted, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN) {
            fail(c, strerror(errno));
            return;
        }
        if (sent > 0)
            c->sent += (uint64_t)sent;
        for (; c->stamped < c->sent / options.size; c->stamped++)
            c->sent_ns[c->stamped % options.depth] = now;
        bool full = sent < 0 || (size_t)sent < wanted;
        if (full != c->waits_for_room) {
            c->waits_for_room = full;
            watch(c, EPOLL_CTL_MOD, full ? EPOLLIN | EPOLLOUT : EPOLLIN);
        }
        if (full)
            return;
    }
}

/* Judges what came back; true when more may be sent. */
static bool check_received(connection *c, const unsigned char *bytes, size_t count, int64_t now)
{
    if (c->received + count > c->sent || memcmp(bytes, stream_at(c, c->received), count) != 0) {
        fail(c, "received bytes that were not sent");
        return false;
    }
    uint64_t first = c->received / options.size;
    c->received += count;
    uint64_t end = c->received / options.size;
    if (measuring)
        for (uint64_t i = first; i < end; i++)
            record(now - c->sent_ns[i % options.depth]);
    if (!stopping)
        c->allowed = (end + options.depth) * options.size;
    return true;
}

static void receive(connection *c)
{
    static unsigned char buffer[window_bytes];
    ssize_t n = recv(c->fd, buffer, sizeof buffer, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        fail(c, n == 0 ? "closed by the server" : strerror(errno));
        return;
    }
    int64_t now = now_ns();
    if (check_received(c, buffer, (size_t)n, now))
        send_allowed(c, now);
}

static void loop_until(int64_t end_ns)
{
    struct epoll_event events[events_max];
    for (int64_t now = now_ns(); now < end_ns; now = now_ns()) {
        int ready = epoll_wait(epoll, events, events_max, (int)((end_ns - now) / 1000000) + 1);
        if (ready < 0 && errno != EINTR)
            die("epoll_wait");
        wakeups += measuring;
        for (int i = 0; i < ready; i++) {
            connection *c = events[i].data.ptr;
            if (!c->dead && (events[i].events & ~(uint32_t)EPOLLOUT))
                receive(c);
            if (!c->dead && (events[i].events & EPOLLOUT))
                send_allowed(c, now_ns());
        }
    }
}

/* --- the run -------------------------------------------------------------------------------------------------- */

static bool all_returned(void)
{
    for (size_t i = 0; i < options.connections; i++)
        if (!connections[i].dead && connections[i].received < connections[i].sent)
            return false;
    return true;
}

/* What is under way when the measurement ends must still come back. */
static void drain(void)
{
    stopping = true;
    int64_t give_up = now_ns() + 2000000000;
    while (!all_returned() && now_ns() < give_up)
        loop_until(now_ns() + 10000000);
    for (size_t i = 0; i < options.connections; i++)
        if (!connections[i].dead && connections[i].received < connections[i].sent)
            fail(&connections[i], "an echo is missing after 2 s");
}

static void open_connections(const char *address)
{
    connections = calloc(options.connections, sizeof(*connections));
    int64_t *stamps = calloc(options.connections * options.depth, sizeof(*stamps));
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (connections == NULL || stamps == NULL || epoll < 0)
        die("set-up");
    for (size_t i = 0; i < options.connections; i++) {
        connection *c = &connections[i];
        c->fd = connect_to(address);
        c->start = (uint32_t)(i * 7919 % pattern_period);
        c->allowed = options.depth * options.size;
        c->sent_ns = stamps + i * options.depth;
        tune_socket(c->fd, true);
        watch(c, EPOLL_CTL_ADD, EPOLLIN);
    }
    for (size_t i = 0; i < options.connections; i++)
        send_allowed(&connections[i], now_ns());
}

static unsigned long long all_messages(void)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < options.connections; i++)
        bytes += connections[i].received;
    return bytes / options.size;
}

static void report(double seconds, double cpu_seconds)
{
    double rate = (double)messages / seconds, load_cpu = cpu_seconds / seconds, max_us = (double)latency_max_ns / 1e3;
    double per_wakeup = (double)messages / (double)(wakeups > 0 ? wakeups : 1);
    double p50 = quantile_us(0.5), p99 = quantile_us(0.99), p999 = quantile_us(0.999);
    unsigned long long failed = errors, measured = messages;
    if (options.json) {
        printf("{\"connections\": %zu, \"size\": %zu, \"depth\": %zu, \"seconds\": %.3f, \"messages\": %llu, ",
               options.connections, options.size, options.depth, seconds, measured);
        printf("\"per_second\": %.1f, \"p50_us\": %.2f, \"p99_us\": %.2f, \"p999_us\": %.2f, \"max_us\": %.2f, ", rate,
               p50, p99, p999, max_us);
        printf("\"all_messages\": %llu, \"load_cpu\": %.3f, \"messages_per_wakeup\": %.1f, \"errors\": %llu}\n",
               all_messages(), load_cpu, per_wakeup, failed);
    } else {
        printf("connections %zu, message %zu bytes, depth %zu, %.3f s: %llu messages, %.0f/s\n", options.connections,
               options.size, options.depth, seconds, measured, rate);
        printf("latency us: p50 %.2f  p99 %.2f  p99.9 %.2f  max %.2f\n", p50, p99, p999, max_us);
        printf("load: CPU %.3f of the time, %.1f messages a wake-up; errors %llu\n", load_cpu, per_wakeup, failed);
    }
}

static int64_t seconds_argument(const char *option, const char *text)
{
    char *end = NULL;
    double value = text != NULL ? strtod(text, &end) : -1;
    if (text == NULL || end == text || *end != 0 || !(value >= 0 && value < 1e6)) {
        fprintf(stderr, "%s needs a number of seconds\n", option);
        exit(2);
    }
    return (int64_t)(value * 1e9);
}

static const char *parse_options(int argc, char **argv)
{
    const char *address = NULL;
    bool understood = true;
    for (int i = 1; i < argc; i++) {
        const char *option = argv[i], *value = argv[i + 1];
        if (strcmp(option, "--json") == 0) {
            options.json = true;
            continue;
        }
        if (option[0] != '-') {
            understood = understood && address == NULL;
            address = option;
            continue;
        }
        if (strcmp(option, "--connections") == 0)
            options.connections = (size_t)number_argument(option, value, 1);
        else if (strcmp(option, "--size") == 0)
            options.size = (size_t)number_argument(option, value, 1);
        else if (strcmp(option, "--depth") == 0)
            options.depth = (size_t)number_argument(option, value, 1);
        else if (strcmp(option, "--seconds") == 0)
            options.measure_ns = seconds_argument(option, value);
        else if (strcmp(option, "--warm-up") == 0)
            options.warm_up_ns = seconds_argument(option, value);
        else
            understood = false;
        i++;
    }
    if (address == NULL || !understood) {
        fputs(
            "usage: load ADDRESS:PORT [--connections C] [--size S] [--depth P] [--seconds T] [--warm-up T] [--json]\n",
            stderr);
        exit(2);
    }
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
    open_connections(address);
    loop_until(now_ns() + options.warm_up_ns);

    measuring = true;
    int64_t begin = now_ns(), begin_cpu = cpu_ns();
    loop_until(begin + options.measure_ns);
    measuring = false;
    double seconds = (double)(now_ns() - begin) * 1e-9, cpu_seconds = (double)(cpu_ns() - begin_cpu) * 1e-9;

    drain();
    report(seconds, cpu_seconds);
    return errors > 0 || messages == 0;
}
