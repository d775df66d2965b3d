/* SPDX-License-Identifier: Apache-2.0 */
/* See support.h. */
#include "support.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Plain system calls and a small buffer: this is also called on a task's stack. */
memory_use read_memory(void)
{
    char text[4096];
    int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        die("/proc/self/status");
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0)
        die("/proc/self/status");
    text[n] = 0;

    static const char *const labels[] = {"VmRSS:", "VmHWM:", "VmPTE:"};
    int64_t bytes[3];
    for (int i = 0; i < 3; i++) {
        const char *at = strstr(text, labels[i]);
        if (at == NULL) {
            errno = ENODATA;
            die(labels[i]);
        }
        bytes[i] = strtoll(at + strlen(labels[i]), NULL, 10) * 1024;
    }
    return (memory_use){.rss_bytes = bytes[0], .rss_peak_bytes = bytes[1], .page_table_bytes = bytes[2]};
}

void die(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

long number_argument(const char *option, const char *text, long min)
{
    char *end = NULL;
    errno = 0;
    long value = text != NULL ? strtol(text, &end, 10) : 0;
    if (text == NULL || end == text || *end != 0 || errno != 0 || value < min) {
        fprintf(stderr, "%s needs a number of at least %ld\n", option, min);
        exit(2);
    }
    return value;
}

void burn(uint64_t rounds)
{
    uint64_t x = rounds + 1;
    for (uint64_t i = 0; i < rounds; i++)
        x = (x ^ x >> 29) * 6364136223846793005u;
    __asm__ volatile("" ::"r"(x)); /* the result is wanted */
}

server_options read_server_options(int argc, char **argv)
{
    server_options options = {.workers = 1};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--workers") == 0) {
            options.workers = (unsigned)number_argument(argv[i], argv[i + 1], 1);
            i++;
        } else if (strcmp(argv[i], "--burn") == 0) {
            options.burn = (uint64_t)number_argument(argv[i], argv[i + 1], 1);
            i++;
        } else if (options.address == NULL && argv[i][0] != '-') {
            options.address = argv[i];
        } else {
            options.address = NULL;
            break;
        }
    }
    if (options.address == NULL) {
        fprintf(stderr, "usage: %s ADDRESS:PORT [--workers N] [--burn ROUNDS]\n", argv[0]);
        exit(2);
    }
    return options;
}

size_t raise_fd_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        die("getrlimit");
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        die("setrlimit");
    return (size_t)limit.rlim_cur;
}

static struct sockaddr_in parse_address(const char *address)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    char host[INET_ADDRSTRLEN];
    const char *colon = strrchr(address, ':');
    size_t host_bytes = colon != NULL ? (size_t)(colon - address) : 0;
    if (colon == NULL || host_bytes >= sizeof host) {
        errno = EINVAL;
        die(address);
    }
    memcpy(host, address, host_bytes);
    host[host_bytes] = 0;
    long port = number_argument("the port", colon + 1, 0);
    if (port > UINT16_MAX || inet_pton(AF_INET, host, &in.sin_addr) != 1) {
        errno = EINVAL;
        die(address);
    }
    in.sin_port = htons((uint16_t)port);
    return in;
}

int listen_on(const char *address)
{
    struct sockaddr_in in = parse_address(address);
    socklen_t length = sizeof in;
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
        bind(fd, (struct sockaddr *)&in, sizeof in) != 0 || listen(fd, 4096) != 0 ||
        getsockname(fd, (struct sockaddr *)&in, &length) != 0)
        die(address);
    char host[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &in.sin_addr, host, sizeof host);
    printf("listening on %s:%u\n", host, ntohs(in.sin_port));
    fflush(stdout);
    return fd;
}

int connect_to(const char *address)
{
    struct sockaddr_in in = parse_address(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&in, sizeof in) != 0)
        die(address);
    tune_socket(fd, 0);
    return fd;
}

void tune_socket(int fd, int nonblocking)
{
    int one = 1;
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) != 0)
        die("TCP_NODELAY");
    if (nonblocking && fcntl(fd, F_SETFL, O_NONBLOCK) != 0)
        die("O_NONBLOCK");
}
