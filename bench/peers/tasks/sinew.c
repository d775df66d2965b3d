/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sinew's side of the task workloads, all of them. What was chosen:
 *
 * - fib_half spawns one half and calls the other; fib_both spawns both. skynet and nqueens spawn every child and gather
 *   them (sinew_map, which saves the handles, is skynet_map). No cut-off anywhere.
 * - Channels are unbuffered for the ping-pong and have room for 64 between producers and consumers, as the others'.
 * - timers: one task holds all timeout scopes at once, which is how many timers are outstanding without as many
 *   tasks. Scopes end in reverse order, so every program cancels in that order.
 * - timeout: a scope around a call that suspends, which is a yield as everywhere.
 * - fire: the only thing that a timer can do here is to wake a task, so a million tasks sleep until one instant.
 * - wakeup: the main task awaits futures that a plain thread completes while the runtime is idle.
 */
#include "../../plain.h"
#include "measure.h"

#include <sinew.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static job j;

static void *as_argument(intptr_t number)
{
    return (void *)number;
}

/* --- fork-join ------------------------------------------------------------------------------------------------- */

static intptr_t fib_half(void *arg)
{
    intptr_t n = (intptr_t)arg;
    if (n < 2)
        return n;
    sinew_task *a = sinew_spawn(fib_half, as_argument(n - 1));
    intptr_t b = fib_half(as_argument(n - 2));
    return sinew_await(a) + b;
}

static intptr_t fib_both(void *arg)
{
    intptr_t n = (intptr_t)arg;
    if (n < 2)
        return n;
    sinew_task *a = sinew_spawn(fib_both, as_argument(n - 1));
    sinew_task *b = sinew_spawn(fib_both, as_argument(n - 2));
    intptr_t sum = sinew_await(a);
    return sum + sinew_await(b);
}

static bool pass_fib(void *body)
{
    return (*(sinew_fn *)body)(as_argument(j.size)) == fib_value(j.size);
}

typedef struct skynet_node {
    intptr_t first, leaves;
} skynet_node;

static void split(const skynet_node *node, skynet_node children[10])
{
    intptr_t step = node->leaves / 10;
    for (int i = 0; i < 10; i++)
        children[i] = (skynet_node){node->first + i * step, step};
}

static intptr_t sum_of(size_t n, const intptr_t *results)
{
    intptr_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += results[i];
    return sum;
}

static intptr_t skynet_gather(void *arg)
{
    const skynet_node *node = arg;
    if (node->leaves == 1)
        return node->first;
    skynet_node children[10];
    sinew_task *tasks[10];
    intptr_t results[10];
    split(node, children);
    for (int i = 0; i < 10; i++)
        tasks[i] = sinew_spawn(skynet_gather, &children[i]);
    int status = sinew_gather(tasks, 10, results);
    return status < 0 ? status : sum_of(10, results);
}

static intptr_t skynet_map(void *arg)
{
    const skynet_node *node = arg;
    if (node->leaves == 1)
        return node->first;
    skynet_node children[10];
    intptr_t results[10];
    split(node, children);
    int status = sinew_map(skynet_map, children, sizeof *children, 10, results);
    return status < 0 ? status : sum_of(10, results);
}

static bool pass_skynet(void *body)
{
    skynet_node root = {0, j.size};
    return (*(sinew_fn *)body)(&root) == (intptr_t)j.size * (j.size - 1) / 2;
}

/* Bit masks: columns without a queen, and what the queens so far attack in this row along both diagonals. */
typedef struct board {
    unsigned free_columns, left, right, all;
} board;

enum { board_max = 20 };

static intptr_t queens_below(void *arg)
{
    const board *b = arg;
    if (b->free_columns == 0)
        return 1;
    board children[board_max];
    sinew_task *tasks[board_max];
    intptr_t results[board_max];
    size_t n = 0;
    for (unsigned open = b->free_columns & ~(b->left | b->right); open != 0; open &= open - 1, n++) {
        unsigned queen = open & -open;
        children[n] =
            (board){b->free_columns & ~queen, ((b->left | queen) << 1) & b->all, (b->right | queen) >> 1, b->all};
        tasks[n] = sinew_spawn(queens_below, &children[n]);
    }
    int status = sinew_gather(tasks, n, results);
    return status < 0 ? status : sum_of(n, results);
}

static bool pass_queens(void *solutions)
{
    unsigned all = (1u << j.size) - 1;
    board empty = {all, 0, 0, all};
    return queens_below(&empty) == *(long *)solutions;
}

/* The arrays of handles and results are the caller's own memory in every program, so it counts. */
static bool pass_flat(void *arg)
{
    (void)arg;
    size_t n = (size_t)j.size;
    sinew_task **tasks = allocate(n, sizeof *tasks);
    intptr_t *results = allocate(n, sizeof *results);
    for (size_t i = 0; i < n; i++)
        tasks[i] = sinew_spawn(plain_leaf, as_argument((intptr_t)i));
    bool right = sinew_gather(tasks, n, results) == 0 && sum_of(n, results) == (intptr_t)n * ((intptr_t)n - 1) / 2;
    free(results);
    free(tasks);
    return right;
}

/* --- switches, channels, locks --------------------------------------------------------------------------------- */

/* Runs so many tasks of each body and waits for all. */
static bool run_all(size_t n, sinew_fn first, sinew_fn second, void *arg)
{
    sinew_task **tasks = allocate(2 * n, sizeof *tasks);
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        tasks[count++] = sinew_spawn(first, arg);
    for (size_t i = 0; second && i < n; i++)
        tasks[count++] = sinew_spawn(second, arg);
    int status = sinew_gather(tasks, count, NULL);
    free(tasks);
    return status == 0;
}

enum { yields = 400000 };

static intptr_t yield_often(void *arg)
{
    for (intptr_t left = (intptr_t)arg; left > 0; left--)
        sinew_yield();
    return 0;
}

static bool pass_yield(void *arg)
{
    (void)arg;
    return run_all((size_t)j.size, yield_often, NULL, as_argument(yields / j.size));
}

static sinew_channel *wires[2];

static intptr_t serve(void *arg)
{
    (void)arg;
    for (intptr_t i = 0, back; i < j.size; i++)
        if (sinew_channel_send(wires[0], &i) < 0 || sinew_channel_recv(wires[1], &back) < 0 || back != i)
            return -EIO;
    return 0;
}

static intptr_t give_back(void *arg)
{
    (void)arg;
    for (intptr_t i = 0, ball; i < j.size; i++)
        if (sinew_channel_recv(wires[0], &ball) < 0 || sinew_channel_send(wires[1], &ball) < 0)
            return -EIO;
    return 0;
}

static bool pass_pingpong(void *arg)
{
    return run_all(1, serve, give_back, arg);
}

enum { producers = 4, room = 64 };

static sinew_latch producing;
static _Atomic intptr_t received;

static intptr_t produce(void *arg)
{
    (void)arg;
    for (intptr_t i = 0; i < j.size / producers; i++)
        if (sinew_channel_send(wires[0], &i) < 0)
            return -EIO;
    return sinew_latch_count_down(&producing, 1);
}

static intptr_t consume(void *arg)
{
    (void)arg;
    intptr_t sum = 0;
    for (intptr_t got; sinew_channel_recv(wires[0], &got) == 0;)
        sum += got;
    atomic_fetch_add(&received, sum);
    return 0;
}

static intptr_t close_at_end(void *arg)
{
    (void)arg;
    sinew_latch_wait(&producing);
    return sinew_channel_close(wires[0]);
}

static bool pass_mpmc(void *arg)
{
    intptr_t each = j.size / producers;
    wires[0] = sinew_channel_new(sizeof(intptr_t), room);
    sinew_latch_init(&producing, producers);
    received = 0;
    sinew_task *closer = sinew_spawn(close_at_end, NULL);
    bool right = run_all(producers, produce, consume, arg) && sinew_await(closer) == 0;
    sinew_channel_unref(wires[0]);
    return right && received == producers * (each * (each - 1) / 2);
}

enum { lockers = 8 };

static sinew_mutex mutex;
static long counter;

static intptr_t lock_often(void *yielding)
{
    for (long i = 0; i < j.size / lockers; i++) {
        if (sinew_mutex_lock(&mutex) < 0)
            return -EIO;
        counter++;
        if (yielding)
            sinew_yield();
        sinew_mutex_unlock(&mutex);
    }
    return 0;
}

static bool pass_mutex(void *yielding)
{
    counter = 0;
    return run_all(lockers, lock_often, NULL, yielding) && counter == j.size / lockers * lockers;
}

/* --- sleeping, timers, cancelling ------------------------------------------------------------------------------- */

static _Atomic long asleep, asleep_most;
static memory_use peak;

/* How many sleep at once is asked by each when it begins; the one that finds all of them looks at the page tables. */
static void fall_asleep(void)
{
    long now = atomic_fetch_add_explicit(&asleep, 1, memory_order_relaxed) + 1;
    if (now > atomic_load_explicit(&asleep_most, memory_order_relaxed))
        atomic_store_explicit(&asleep_most, now, memory_order_relaxed);
    if (now == j.size)
        peak = read_memory();
}

static intptr_t sleep_a_second(void *arg)
{
    (void)arg;
    fall_asleep();
    int status = sinew_sleep(SINEW_S(1));
    atomic_fetch_sub_explicit(&asleep, 1, memory_order_relaxed);
    return status;
}

static void sleepers(void)
{
    once o = begin_once();
    if (!run_all((size_t)j.size, sleep_a_second, NULL, NULL))
        wrong(&j, "a sleeper failed");
    print_once(&j, &o, peak, (double)asleep_most);
}

static sinew_timeout *scopes;

static bool pass_timers(void *arg)
{
    (void)arg;
    bool right = true;
    for (long i = 0; i < j.size; i++)
        sinew_timeout_begin(&scopes[i], timer_duration_ns((uint64_t)i));
    for (long i = j.size; i-- > 0;)
        right &= sinew_timeout_end(&scopes[i]) == 0;
    return right;
}

static bool pass_timeout(void *arg)
{
    (void)arg;
    bool right = true;
    for (long i = 0; i < j.size; i++) {
        sinew_timeout one;
        sinew_timeout_begin(&one, SINEW_S(10));
        sinew_yield();
        right &= sinew_timeout_end(&one) == 0;
    }
    return right;
}

static sinew_time fire_at;

static intptr_t sleep_until_fire(void *arg)
{
    (void)arg;
    atomic_fetch_add_explicit(&asleep, 1, memory_order_relaxed);
    return sinew_sleep_until(fire_at);
}

/* The main task waits for the same instant, with a head start that is idle time, to read the CPU clock. */
static void fire(void)
{
    sinew_task **tasks = allocate((size_t)j.size, sizeof *tasks);
    for (sinew_time lead = SINEW_US(2) * j.size + SINEW_MS(100);; lead *= 2) {
        fire_at = sinew_now() + lead;
        asleep = 0;
        for (long i = 0; i < j.size; i++)
            tasks[i] = sinew_spawn(sleep_until_fire, NULL);
        sinew_sleep_until(fire_at - SINEW_MS(20));
        bool early = asleep == j.size && sinew_now() < fire_at;
        int64_t cpu = cpu_ns();
        if (sinew_gather(tasks, (size_t)j.size, NULL) != 0)
            wrong(&j, "a sleeper failed");
        int64_t wall = sinew_now() - fire_at;
        cpu = cpu_ns() - cpu;
        if (early) {
            print_values(&j, 2,
                         (value[]){{"ns", (double)wall / (double)j.size}, {"cpu_ns", (double)cpu / (double)j.size}});
            break;
        }
    }
    free(tasks);
}

static intptr_t sleep_long(void *arg)
{
    (void)arg;
    atomic_fetch_add_explicit(&asleep, 1, memory_order_relaxed);
    return sinew_sleep(SINEW_S(3600));
}

static bool pass_cancel(void *arg)
{
    sinew_task **tasks = arg;
    begin_setup();
    asleep = 0;
    for (long i = 0; i < j.size; i++)
        tasks[i] = sinew_spawn(sleep_long, NULL);
    while (asleep < j.size)
        sinew_yield();
    end_setup();
    bool right = true;
    for (long i = 0; i < j.size; i++) {
        right &= sinew_cancel(tasks[i]);
        right &= sinew_await(tasks[i]) == -ECANCELED;
    }
    return right;
}

/* --- waking up, starting and stopping ---------------------------------------------------------------------------- */

typedef struct letter {
    sinew_future *future;
    int64_t sent_ns;
} letter;

static void *send_letters(void *arg)
{
    letter *letters = arg;
    for (long i = 0; i < j.size; i++) {
        nanosleep(&(struct timespec){.tv_nsec = wakeup_pause_ns}, NULL);
        letters[i].sent_ns = now_ns();
        sinew_future_set(letters[i].future, i);
    }
    return NULL;
}

static void wakeup(void)
{
    letter *letters = allocate((size_t)j.size, sizeof *letters);
    int64_t *latencies = allocate((size_t)j.size, sizeof *latencies);
    for (long i = 0; i < j.size; i++)
        letters[i].future = sinew_future_new();
    pthread_t thread;
    if (pthread_create(&thread, NULL, send_letters, letters) != 0)
        die("pthread_create");
    for (long i = 0; i < j.size; i++) {
        if (sinew_future_await(letters[i].future) != i)
            wrong(&j, "wrong letter");
        latencies[i] = now_ns() - letters[i].sent_ns;
        sinew_future_unref(letters[i].future);
    }
    pthread_join(thread, NULL);
    print_latencies(&j, (size_t)j.size, latencies);
    free(letters);
    free(latencies);
}

static intptr_t run(sinew_fn body)
{
    sinew_options options = {.workers = j.workers, .keep_sigint = true};
    return sinew_run_with(&options, body, NULL);
}

static intptr_t empty(void *arg)
{
    (void)arg;
    return 7;
}

static bool pass_startstop(void *arg)
{
    (void)arg;
    bool right = true;
    for (long i = 0; i < j.size; i++)
        right &= run(empty) == 7;
    return right;
}

/* --- */

static bool is(const char *workload)
{
    return strcmp(j.workload, workload) == 0;
}

/* What the runtime counted for each operation, the untimed pass included. */
static void measure_tasks(double operations, pass_fn pass, void *arg)
{
    sinew_stats before, after;
    sinew_get_stats(&before);
    measurement m = time_passes(&j, operations, pass, arg);
    sinew_get_stats(&after);
    double all = operations * (double)(m.passes + 1);
    value counted[] = {
        {"switches", (double)(after.switches - before.switches) / all},
        {"in_place", (double)(after.tasks_in_place - before.tasks_in_place) / all},
        {"steals", (double)(after.steals - before.steals) / all},
        {"steals_failed", (double)(after.steals_failed - before.steals_failed) / all},
        {"tasks_stolen", (double)(after.tasks_stolen - before.tasks_stolen) / all},
        {"parks", (double)(after.parks - before.parks) / all},
        {"wakes", (double)(after.wakes - before.wakes) / all},
        {"polls", (double)(after.polls - before.polls) / all},
    };
    print_measurement(&j, &m, sizeof counted / sizeof *counted, counted);
}

static intptr_t in_main_task(void *arg)
{
    (void)arg;
    double size = (double)j.size;
    if (is("fib_half")) {
        measure_tasks(fib_calls(j.size), pass_fib, &(sinew_fn){fib_half});
    } else if (is("fib_both")) {
        measure_tasks(fib_calls(j.size), pass_fib, &(sinew_fn){fib_both});
    } else if (is("skynet")) {
        measure_tasks(skynet_nodes(j.size), pass_skynet, &(sinew_fn){skynet_gather});
    } else if (is("skynet_map")) {
        measure_tasks(skynet_nodes(j.size), pass_skynet, &(sinew_fn){skynet_map});
    } else if (is("nqueens") && j.size > 0 && j.size <= board_max) {
        queens q = count_queens((int)j.size);
        measure_tasks((double)q.nodes, pass_queens, &q.solutions);
    } else if (is("flat")) {
        measure_tasks(size, pass_flat, NULL);
    } else if (is("yield") && j.size > 0) {
        measure_tasks((double)(yields / j.size * j.size), pass_yield, NULL);
    } else if (is("pingpong")) {
        wires[0] = sinew_channel_new(sizeof(intptr_t), 0);
        wires[1] = sinew_channel_new(sizeof(intptr_t), 0);
        measure_tasks(size, pass_pingpong, NULL);
        sinew_channel_unref(wires[0]);
        sinew_channel_unref(wires[1]);
    } else if (is("mpmc")) {
        measure_tasks(size, pass_mpmc, NULL);
    } else if (is("mutex") || is("mutex_held")) {
        sinew_mutex_init(&mutex);
        measure_tasks(size, pass_mutex, is("mutex_held") ? &mutex : NULL);
    } else if (is("sleepers")) {
        sleepers();
    } else if (is("timers")) {
        scopes = allocate((size_t)j.size, sizeof *scopes);
        measure_tasks(size, pass_timers, NULL);
        free(scopes);
    } else if (is("timeout")) {
        measure_tasks(size, pass_timeout, NULL);
    } else if (is("fire")) {
        fire();
    } else if (is("cancel")) {
        sinew_task **tasks = allocate((size_t)j.size, sizeof *tasks);
        measure_tasks(size, pass_cancel, tasks);
        free(tasks);
    } else if (is("wakeup")) {
        wakeup();
    } else if (!is("empty")) {
        unknown_workload(&j);
    }
    return 0;
}

int main(int argc, char **argv)
{
    j = read_job(argc, argv);
    if (is("startstop"))
        measure(&j, (double)j.size, pass_startstop, NULL);
    else if (run(in_main_task) != 0)
        wrong(&j, "the main task failed");
    return 0;
}
