/* SPDX-License-Identifier: Apache-2.0 */
/* See measure.h. */
#include "measure.h"

#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { passes_max = 10000 };

job read_job(int argc, char **argv)
{
    if (argc < 4 || argc > 5) {
        fprintf(stderr, "usage: %s WORKLOAD SIZE WORKERS [SECONDS]\n", argv[0]);
        exit(2);
    }
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    mallopt(M_TRIM_THRESHOLD, INT_MAX);
    return (job){
        .workload = argv[1],
        .size = number_argument("SIZE", argv[2], 0),
        .workers = (unsigned)number_argument("WORKERS", argv[3], 0),
        .seconds = argc > 4 ? atof(argv[4]) : 0.3,
    };
}

void unknown_workload(const job *j)
{
    fprintf(stderr, "%s: this program has no such workload\n", j->workload);
    exit(2);
}

void wrong(const job *j, const char *what)
{
    fprintf(stderr, "%s %ld, %u workers: %s\n", j->workload, j->size, j->workers, what);
    exit(1);
}

void *allocate(size_t n, size_t bytes)
{
    void *memory = calloc(n, bytes);
    if (memory == NULL)
        die("calloc");
    return memory;
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

void print_measurement(const job *j, const measurement *m, size_t n, const value *values)
{
    printf("{\"workload\": \"%s\", \"size\": %ld, \"workers\": %u", j->workload, j->size, j->workers);
    if (m != NULL)
        printf(", \"ns\": %.6g, \"cpu_ns\": %.6g, \"median_ns\": %.6g, \"min_ns\": %.6g, \"first_ns\": %.6g, "
               "\"bytes\": %.6g, \"passes\": %zu",
               m->ns, m->cpu_ns, m->median_ns, m->min_ns, m->first_ns, m->bytes, m->passes);
    for (size_t i = 0; i < n; i++)
        printf(", \"%s\": %.6g", values[i].name, values[i].value);
    printf("}\n");
    fflush(stdout);
}

void print_values(const job *j, size_t n, const value *values)
{
    print_measurement(j, NULL, n, values);
}

static double bytes_between(memory_use before, memory_use after)
{
    return (double)(after.rss_peak_bytes - before.rss_bytes + after.page_table_bytes - before.page_table_bytes);
}

/* Since measure began, and of the setup that is under way its begin. */
static int64_t setup_ns, setup_cpu_ns;

void begin_setup(void)
{
    setup_cpu_ns -= cpu_ns();
    setup_ns -= now_ns();
}

void end_setup(void)
{
    setup_ns += now_ns();
    setup_cpu_ns += cpu_ns();
}

measurement time_passes(const job *j, double operations, pass_fn pass, void *arg)
{
    memory_use before = read_memory();
    int64_t begin = now_ns();
    if (!pass(arg))
        wrong(j, "wrong result");
    int64_t first = now_ns() - begin - setup_ns;
    double bytes = bytes_between(before, read_memory());

    int64_t *times = allocate(passes_max, sizeof *times); /* not on the stack: this may be a task */
    size_t passes = 0;
    int64_t total = 0;
    setup_cpu_ns = 0;
    int64_t end = now_ns() + (int64_t)(j->seconds * 1e9), cpu = cpu_ns();
    do {
        setup_ns = 0;
        begin = now_ns();
        bool right = pass(arg);
        times[passes] = now_ns() - begin - setup_ns;
        total += times[passes++];
        if (!right)
            wrong(j, "wrong result");
    } while (now_ns() < end && passes < passes_max);
    cpu = cpu_ns() - cpu - setup_cpu_ns;

    qsort(times, passes, sizeof *times, compare);
    measurement m = {
        .ns = (double)total / (double)passes / operations,
        .cpu_ns = (double)cpu / (double)passes / operations,
        .median_ns = (double)(times[passes / 2] + times[(passes - 1) / 2]) / 2 / operations,
        .min_ns = (double)times[0] / operations,
        .first_ns = (double)first / operations,
        .bytes = bytes / operations,
        .passes = passes,
    };
    free(times);
    return m;
}

void measure(const job *j, double operations, pass_fn pass, void *arg)
{
    measurement m = time_passes(j, operations, pass, arg);
    print_measurement(j, &m, 0, NULL);
}

void print_latencies(const job *j, size_t n, int64_t *samples)
{
    qsort(samples, n, sizeof *samples, compare);
    print_values(j, 3,
                 (value[]){{"p50_ns", (double)samples[n / 2]},
                           {"p99_ns", (double)samples[n * 99 / 100]},
                           {"max_ns", (double)samples[n - 1]}});
}

int64_t timer_duration_ns(uint64_t i)
{
    return (int64_t)(UINT64_C(10000000000) + i * UINT64_C(2654435761) % UINT64_C(100000000000));
}

once begin_once(void)
{
    return (once){.before = read_memory(), .cpu_ns = cpu_ns(), .wall_ns = now_ns()};
}

void print_once(const job *j, const once *o, memory_use peak, double at_once)
{
    int64_t wall = now_ns() - o->wall_ns, cpu = cpu_ns() - o->cpu_ns;
    memory_use last = read_memory();
    if (peak.page_table_bytes < last.page_table_bytes)
        peak.page_table_bytes = last.page_table_bytes;
    peak.rss_peak_bytes = last.rss_peak_bytes;
    print_values(j, 4,
                 (value[]){{"wall_s", (double)wall * 1e-9},
                           {"cpu_s", (double)cpu * 1e-9},
                           {"bytes", bytes_between(o->before, peak) / at_once},
                           {"at_once", at_once}});
}

static void place(unsigned free_columns, unsigned left, unsigned right, unsigned all, queens *q)
{
    q->nodes++;
    q->solutions += free_columns == 0;
    for (unsigned open = free_columns & ~(left | right); open != 0; open &= open - 1) {
        unsigned queen = open & -open;
        place(free_columns & ~queen, ((left | queen) << 1) & all, (right | queen) >> 1, all, q);
    }
}

queens count_queens(int n)
{
    queens q = {0, 0};
    unsigned all = (1u << n) - 1;
    place(all, 0, 0, all, &q);
    return q;
}

intptr_t fib_value(long n)
{
    intptr_t a = 0, b = 1;
    for (; n > 0; n--) {
        intptr_t next = a + b;
        a = b;
        b = next;
    }
    return a;
}

double fib_calls(long n)
{
    return 2 * (double)fib_value(n + 1) - 1;
}

double skynet_nodes(long leaves)
{
    return (double)((leaves * 10 - 1) / 9);
}
