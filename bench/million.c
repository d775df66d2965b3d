/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many tasks at once, in a process of their own, because memory is measured by how far the process grows:
 *
 *     million sleep [TASKS] [--workers N]   tasks that each sleep one second; from the first spawn to the last wake
 *     million heap  [TASKS]                 the same by hand: one thread, a heap of deadlines, a callback for each
 *     million pages [TASKS]                 one page touched every 64 KiB by a plain loop: what the kernel alone takes
 *                                           for the first use of so many stacks
 *     million flat  [TASKS] [--workers N]   tasks that return at once, all spawned before the first is awaited
 *
 * Prints one line of JSON. bytes_per_task is the rise of resident memory and page tables from before the first spawn to
 * the peak, divided by the tasks. It holds everything: stacks, descriptors, queues, timers, and the caller's array of
 * handles. It does not see what the kernel keeps elsewhere (one mapping for each stack, if stacks are mapped one by
 * one).
 */
#include "support.h"

#include <sinew.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { nap_ns = 1000000000 };

typedef struct measurement {
    const char *mode;
    size_t tasks, at_once;
    unsigned workers;
    memory_use before, peak;
    int64_t wall_ns, cpu_ns;
} measurement;

static measurement m;

static void begin(void)
{
    m.at_once = m.tasks;
    m.before = read_memory();
    m.peak = m.before;
    m.cpu_ns = cpu_ns();
    m.wall_ns = now_ns();
}

static void note_memory(void)
{
    memory_use now = read_memory();
    if (m.peak.rss_peak_bytes < now.rss_peak_bytes)
        m.peak.rss_peak_bytes = now.rss_peak_bytes;
    if (m.peak.page_table_bytes < now.page_table_bytes)
        m.peak.page_table_bytes = now.page_table_bytes;
}

static void end(void)
{
    m.wall_ns = now_ns() - m.wall_ns;
    m.cpu_ns = cpu_ns() - m.cpu_ns;
    note_memory();
}

static void report(void)
{
    int64_t rss = m.peak.rss_peak_bytes - m.before.rss_bytes;
    int64_t tables = m.peak.page_table_bytes - m.before.page_table_bytes;
    printf("{\"mode\": \"%s\", \"tasks\": %zu, \"at_once\": %zu, \"workers\": %u, \"wall_s\": %.3f, \"cpu_s\": %.3f, "
           "\"rss_bytes\": %lld, \"page_table_bytes\": %lld, \"bytes_per_task\": %.1f, \"ns_per_task\": %.1f}\n",
           m.mode, m.tasks, m.at_once, m.workers, (double)m.wall_ns * 1e-9, (double)m.cpu_ns * 1e-9, (long long)rss,
           (long long)tables, (double)(rss + tables) / (double)m.at_once, (double)m.wall_ns / (double)m.tasks);
}

enum { look_every = 10000 };

static _Atomic size_t stacks_most;

static void count_stacks(void)
{
    sinew_stats stats;
    size_t most = atomic_load(&stacks_most);
    if (sinew_get_stats(&stats) == 0)
        while (stats.stacks_live > most && !atomic_compare_exchange_weak(&stacks_most, &most, stats.stacks_live))
            ;
}

/* The stacks in use are counted now and then: where spawning takes longer than the nap, the first have ended before the
 * last begin, and the memory is that of fewer tasks. The last one spawned also looks at the page tables; resident
 * memory keeps its own peak. */
static intptr_t sleeper(void *arg)
{
    bool last = (size_t)arg == m.tasks - 1;
    if (last || (size_t)arg % look_every == 0)
        count_stacks();
    if (last)
        note_memory();
    return sinew_sleep(nap_ns);
}

static intptr_t returner(void *arg)
{
    (void)arg;
    return 0;
}

static intptr_t spawn_all(void *arg)
{
    sinew_fn *body = arg;
    begin();
    sinew_task **tasks = malloc(m.tasks * sizeof(*tasks));
    if (tasks == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < m.tasks; i++)
        tasks[i] = sinew_spawn(*body, (void *)i);
    int status = sinew_gather(tasks, m.tasks, NULL);
    end();
    free(tasks);
    return status;
}

static int run_tasks(sinew_fn body)
{
    sinew_options options = {.workers = m.workers, .keep_sigint = true};
    intptr_t status = sinew_run_with(&options, spawn_all, &body);
    if (status < 0) {
        fprintf(stderr, "%s: %s\n", m.mode, strerror((int)-status));
        return 1;
    }
    if (body == sleeper && stacks_most > 1)
        m.at_once = stacks_most - 1; /* without main's */
    if (body == sleeper && m.wall_ns < nap_ns) {
        fprintf(stderr, "sleep: woke after %lld ns\n", (long long)m.wall_ns);
        return 1;
    }
    return 0;
}

/* A binary heap of deadlines. */
typedef struct timer {
    int64_t deadline_ns;
    void (*wake)(size_t *);
} timer;

static void push(timer *heap, size_t *count, timer added)
{
    size_t at = (*count)++;
    for (; at > 0 && heap[(at - 1) / 2].deadline_ns > added.deadline_ns; at = (at - 1) / 2)
        heap[at] = heap[(at - 1) / 2];
    heap[at] = added;
}

static timer pop(timer *heap, size_t *count)
{
    timer first = heap[0], last = heap[--*count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= *count)
            break;
        if (child + 1 < *count && heap[child + 1].deadline_ns < heap[child].deadline_ns)
            child++;
        if (heap[child].deadline_ns >= last.deadline_ns)
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = last;
    return first;
}

static void count_wake(size_t *woken)
{
    ++*woken;
}

static int run_heap(void)
{
    begin();
    timer *heap = malloc(m.tasks * sizeof(*heap));
    if (heap == NULL)
        die("malloc");
    size_t waiting = 0, woken = 0;
    for (size_t i = 0; i < m.tasks; i++)
        push(heap, &waiting, (timer){now_ns() + nap_ns, count_wake});
    while (waiting > 0) {
        int64_t now = now_ns();
        while (waiting > 0 && heap[0].deadline_ns <= now)
            pop(heap, &waiting).wake(&woken);
        if (waiting == 0)
            break;
        struct timespec until = {.tv_sec = heap[0].deadline_ns / 1000000000,
                                 .tv_nsec = heap[0].deadline_ns % 1000000000};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
    }
    end();
    free(heap);
    return woken == m.tasks ? 0 : 1;
}

static int touch_pages(void)
{
    size_t step = SINEW_STACK_BYTES_DEFAULT;
    begin();
    char *memory =
        mmap(NULL, m.tasks * step, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        die("mmap");
    madvise(memory, m.tasks * step, MADV_NOHUGEPAGE);
    for (size_t i = 0; i < m.tasks; i++)
        memory[i * step] = 1;
    end();
    return 0;
}

static void usage(void)
{
    fputs("usage: million sleep|heap|pages|flat [TASKS] [--workers N]\n", stderr);
    exit(2);
}

int main(int argc, char **argv)
{
    m = (measurement){.mode = argc > 1 ? argv[1] : "", .tasks = 1000000, .workers = 1};
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--workers") == 0) {
            m.workers = (unsigned)number_argument("--workers", argv[i + 1], 1);
            i++;
        } else {
            m.tasks = (size_t)number_argument("TASKS", argv[i], 1);
        }
    }
    int status = 2;
    if (strcmp(m.mode, "sleep") == 0)
        status = run_tasks(sleeper);
    else if (strcmp(m.mode, "flat") == 0)
        status = run_tasks(returner);
    else if (strcmp(m.mode, "heap") == 0)
        status = run_heap();
    else if (strcmp(m.mode, "pages") == 0)
        status = touch_pages();
    else
        usage();
    if (status == 0)
        report();
    return status;
}
