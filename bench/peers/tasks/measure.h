/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the C and C++ programs of this directory share: the command line, the clock around a workload, one line of JSON.
 * The programs in Go, Rust and Python do the same in their own words:
 *
 *     PROGRAM WORKLOAD SIZE WORKERS [SECONDS]
 *
 * A workload is passed over once untimed, which warms caches and pools, and then again and again for SECONDS (0.3), at
 * least once. Every pass checks its result; a wrong one ends the program with 1. WORKERS are the threads that run
 * tasks; 0 stands for a runtime's single-threaded variant, where there is one. Status 2 is a command line that cannot
 * be understood, or a workload that this program does not have.
 */
#ifndef PEERS_TASKS_MEASURE_H
#define PEERS_TASKS_MEASURE_H

#include "../../support.h"

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct job {
    const char *workload;
    long size;
    unsigned workers;
    double seconds;
} job;

/* Reads the command line, or says how it should look and exits with 2. Also has malloc keep what is freed, so that a
 * timed pass finds the memory of the one before it and does not measure the kernel; the Rust program does the same. */
job read_job(int argc, char **argv);

__attribute__((noreturn)) void unknown_workload(const job *j);
__attribute__((noreturn)) void wrong(const job *j, const char *what);

/* Zeroed memory for n elements, or the end of the program. */
void *allocate(size_t n, size_t bytes);

/* Does all of it, `operations` of them, and says if the result was right. */
typedef bool (*pass_fn)(void *arg);

/* The repeated measurement. All per operation, in nanoseconds and bytes. */
typedef struct measurement {
    double ns;     /* wall time of all timed passes: a mean, so that passes that went differently all count */
    double cpu_ns; /* CPU time of the whole process during them */
    double median_ns, min_ns; /* of the single passes */
    double first_ns;          /* the untimed pass */
    double bytes;             /* how far that one made resident memory (its peak) and page tables grow */
    size_t passes;            /* the timed ones */
} measurement;

measurement time_passes(const job *j, double operations, pass_fn pass, void *arg);

/* The same, printed. */
void measure(const job *j, double operations, pass_fn pass, void *arg);

/* What a pass does between these two is not counted: preparations. */
void begin_setup(void);
void end_setup(void);

/* The line of JSON: all of a measurement (NULL: there is none), and `n` numbers by name. */
typedef struct value {
    const char *name;
    double value;
} value;

void print_measurement(const job *j, const measurement *m, size_t n, const value *values);
void print_values(const job *j, size_t n, const value *values);

/* p50_ns, p99_ns and the maximum of n samples, which it sorts. */
void print_latencies(const job *j, size_t n, int64_t *samples);

/* Pseudo-random, the same in every program: the i-th deadline of the timer workloads, as a duration: 10 to 110 s. */
int64_t timer_duration_ns(uint64_t i);

/* For the workloads that happen once: from begin_once to the end. `at_once` is how many there were at the same time. */
typedef struct once {
    int64_t wall_ns, cpu_ns;
    memory_use before;
} once;

once begin_once(void);
void print_once(const job *j, const once *o, memory_use peak, double at_once);

/* nqueens: valid placements on a board of n, the empty board included, and solutions; found serially, for the check. */
typedef struct queens {
    long nodes, solutions;
} queens;

queens count_queens(int n);

/* wakeup: how long the waking thread sleeps before each wake, long enough for the runtime to have gone to sleep. */
enum { wakeup_pause_ns = 500000 };

intptr_t fib_value(long n);
double fib_calls(long n);
double skynet_nodes(long leaves);

#ifdef __cplusplus
}
#endif
#endif
