/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker that computes, and what becomes of that which waits on it:
 *
 *     busy [SECONDS]
 *
 * Of two workers one computes for some seconds (2) without suspending. Thousands of receives and of sleeps had begun on
 * it before; a thread sends to one socket after the other, each once, and the sleeps end one after the other. The
 * computing task itself spawns a task each millisecond. Prints, as a line of JSON, how late each sort got to run:
 * microseconds, median and 99 %. SINEW_DRIVER chooses the driver.
 *
 * So that everything waits on the one worker, the other one is kept busy until all has begun.
 */
#include "support.h"

#include <sinew.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { each = 2000 }; /* of every sort */

typedef struct sort {
    const char *name;
    int64_t late_ns[each];
    atomic_int count;
} sort;

static sort io = {.name = "io"}, timers = {.name = "timers"}, ready = {.name = "ready"};
static int sockets[each][2];
static atomic_bool blocking, all_wait;
static int64_t computing_ns = 2000000000, start_ns;

static void note(sort *s, int64_t since)
{
    s->late_ns[atomic_fetch_add(&s->count, 1)] = now_ns() - since;
}

static int64_t moment(int i) /* of the i-th of a sort, from the start on */
{
    return start_ns + computing_ns / 100 + computing_ns * 98 / 100 * i / each;
}

static void compute_until(int64_t end)
{
    while (now_ns() < end)
        ;
}

static intptr_t keep_busy(void *arg)
{
    (void)arg;
    atomic_store(&blocking, true);
    while (!atomic_load(&all_wait))
        ;
    return 0;
}

static intptr_t receive(void *arg)
{
    int64_t sent;
    if (sinew_recv(*(int *)arg, &sent, sizeof sent, 0) == sizeof sent)
        note(&io, sent);
    return 0;
}

static intptr_t nap(void *arg)
{
    int64_t end = moment((int)(intptr_t)arg);
    if (sinew_sleep_until(end) == 0)
        note(&timers, end);
    return 0;
}

static intptr_t be_ready(void *arg)
{
    note(&ready, (intptr_t)arg);
    return 0;
}

static void *send_all(void *arg)
{
    for (int i = 0; i < each; i++) {
        struct timespec until = {moment(i) / 1000000000, moment(i) % 1000000000};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
        int64_t now = now_ns();
        if (send(sockets[i][1], &now, sizeof now, 0) != sizeof now)
            die("send");
    }
    return arg;
}

static void compute(void)
{
    int64_t end = start_ns + computing_ns;
    for (int i = 0; now_ns() < end; i++) {
        if (i < each)
            sinew_detach(sinew_spawn(be_ready, (void *)(intptr_t)now_ns()));
        compute_until(now_ns() + computing_ns / each);
    }
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static void print(sort *s, const char *after)
{
    int n = atomic_load(&s->count);
    qsort(s->late_ns, (size_t)n, sizeof s->late_ns[0], by_size);
    printf("\"%s\": {\"count\": %d, \"p50_us\": %.1f, \"p99_us\": %.1f}%s", s->name, n, (double)s->late_ns[n / 2] / 1e3,
           (double)s->late_ns[n * 99 / 100] / 1e3, after);
}

static intptr_t main_task(void *arg)
{
    (void)arg;
    static sinew_task *tasks[2 * each + 1];
    pthread_t sender;
    tasks[0] = sinew_spawn(keep_busy, NULL);
    while (!atomic_load(&blocking)) /* the other worker steals it */
        ;
    start_ns = now_ns() + 200000000;
    for (int i = 0; i < each; i++) {
        tasks[1 + i] = sinew_spawn(receive, &sockets[i][0]);
        tasks[1 + each + i] = sinew_spawn(nap, (void *)(intptr_t)i);
    }
    for (int i = 0; i < 3; i++)
        sinew_yield();
    if (now_ns() > start_ns) {
        fprintf(stderr, "busy: the machine is too busy\n");
        return 1;
    }
    if (pthread_create(&sender, NULL, send_all, NULL) != 0)
        die("pthread_create");
    atomic_store(&all_wait, true);
    compute();
    sinew_gather(tasks, 2 * each + 1, NULL);
    pthread_join(sender, NULL);
    while (atomic_load(&ready.count) < each && now_ns() < start_ns + 2 * computing_ns)
        sinew_yield();
    printf("{\"driver\": \"%s\", ", sinew_driver_name());
    print(&io, ", ");
    print(&timers, ", ");
    print(&ready, "}\n");
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1)
        computing_ns = number_argument("SECONDS", argv[1], 1) * 1000000000;
    if (raise_fd_limit() < 2 * each + 100) {
        fprintf(stderr, "busy: %d descriptors are needed\n", 2 * each + 100);
        return 1;
    }
    for (int i = 0; i < each; i++)
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets[i]) != 0)
            die("socketpair");
    sinew_options opt = {.workers = 2};
    return (int)sinew_run_with(&opt, main_task, NULL);
}
