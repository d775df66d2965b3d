/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the benchmark programs share: a clock, the process's memory, numeric options, a listening socket.
 * None of it knows the runtime. Every failure ends the program with a sentence: a benchmark that goes on
 * after an error measures something else.
 */
#ifndef BENCH_SUPPORT_H
#define BENCH_SUPPORT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* CLOCK_MONOTONIC in nanoseconds. */
int64_t now_ns(void);

/* User plus system time of the whole process, in nanoseconds. */
int64_t cpu_ns(void);

/* Resident memory, its high-water mark, and page tables of this process. */
typedef struct memory_use {
    int64_t rss_bytes, rss_peak_bytes, page_table_bytes;
} memory_use;

memory_use read_memory(void);

/* The kernel's answer `what` failed with errno: says so and exits with 1. */
__attribute__((noreturn)) void die(const char *what);

/* A number >= min from the command line, or a sentence and exit with 2. */
long number_argument(const char *option, const char *text, long min);

/* So many rounds of a chain in which each multiplication waits for the one before, and the shift keeps compilers from
 * making one round of several: the same amount of work in every language. `load --calibrate` says how many take 100 us.
 */
void burn(uint64_t rounds);

/* What the echo servers take: ADDRESS:PORT [--workers N] [--burn ROUNDS]. With ROUNDS, the first byte of what a receive
 * brings says how many times as many rounds are computed before the echo; the load sends whole messages, one at a time.
 */
typedef struct server_options {
    const char *address;
    unsigned workers;
    uint64_t burn;
} server_options;

/* Or a sentence and exit with 2. */
server_options read_server_options(int argc, char **argv);

/* Lifts RLIMIT_NOFILE to its hard limit and returns it. */
size_t raise_fd_limit(void);

/* Binds "IPv4:PORT" (port 0 picks one), listens without blocking, and prints "listening on IPv4:PORT". */
int listen_on(const char *address);

/* A connected, blocking socket to "IPv4:PORT", with TCP_NODELAY. */
int connect_to(const char *address);

/* TCP_NODELAY, and O_NONBLOCK if asked for. */
void tune_socket(int fd, int nonblocking);

#ifdef __cplusplus
}
#endif
#endif
