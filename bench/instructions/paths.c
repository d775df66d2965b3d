/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hot paths, each in a loop, for callgrind to count the instructions of.
 *
 *     paths NAME         in callgrind: run.py does that
 *     paths --list       name and meaning of each
 *     paths --about      what else than the sources decides how many instructions there are
 *
 * A path is run for 2n operations as a warm-up, so that pools are filled and locks have their bias, then for n and for
 * 2n, and callgrind writes a profile of each of these two, labelled with the number of operations. What they differ by
 * is the cost of n operations, without what a run costs only once.
 *
 * So that the count is a property of the code and of nothing else, two of the runtime's seams are taken out: the
 * program defines what clock.c and fence.c define, and the linker does not take those. Time stands still, or goes on by
 * the same step with each reading, so no slice ends sooner on a busy machine; and fences are asymmetric although
 * valgrind or the kernel may not know membarrier. With one worker nobody is on the other side of a fence. Reading the
 * clock costs four instructions here and some dozens in a program.
 *
 * Cannot see: what needs a second worker (steals, wakes between threads, contended locks), io_uring, the kernel's
 * share, and whatever costs time without being an instruction: cache misses, mispredictions, locked instructions.
 */
#include "bench/plain.h"
#include "runtime/atomic.h"
#include "runtime/clock.h"

#include <sinew.h>

#include <errno.h>
#include <gnu/libc-version.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <valgrind/callgrind.h>

static sinew_time virtual_now = SINEW_S(1000), clock_step;

sinew_time sn_clock_now(void)
{
    return virtual_now += clock_step;
}

sinew_time sinew_now(void)
{
    return virtual_now;
}

bool sn_fence_asymmetric = true;

void sn_fence_init(void) {}

void sn_fence_rare(void) {}

/* A path that does not do what it should would be counted for something else. */
#define MUST(condition) ((condition) ? (void)0 : fail(#condition, __LINE__))

__attribute__((noreturn)) static void fail(const char *what, int line)
{
    fprintf(stderr, "paths.c:%d: not so: %s\n", line, what);
    exit(1);
}

/* Runs two tasks to their ends. */
static void two(sinew_fn a, sinew_fn b, void *arg)
{
    sinew_task *tasks[2] = {sinew_spawn(a, arg), sinew_spawn(b, arg)};
    MUST(sinew_gather(tasks, 2, NULL) == 0);
}

/* --- tasks ------------------------------------------------------------------------------------------------------ */

enum { BLOCK = 1000 };

static void spawn_await(size_t n)
{
    for (size_t i = 0; i < n; i++)
        MUST(sinew_await(sinew_spawn(plain_leaf, (void *)i)) == (intptr_t)i);
}

static void spawn_gather(size_t n)
{
    static sinew_task *tasks[BLOCK];
    static intptr_t results[BLOCK];
    for (size_t done = 0; done < n; done += BLOCK) {
        for (size_t i = 0; i < BLOCK; i++)
            tasks[i] = sinew_spawn(plain_leaf, (void *)i);
        MUST(sinew_gather(tasks, BLOCK, results) == 0 && results[BLOCK - 1] == BLOCK - 1);
    }
}

static void group(size_t n)
{
    for (size_t done = 0; done < n; done += BLOCK) {
        sinew_group g;
        sinew_group_init(&g);
        for (size_t i = 0; i < BLOCK; i++)
            MUST(sinew_group_spawn(&g, plain_leaf, (void *)i) == 0);
        MUST(sinew_group_wait(&g) == 0);
    }
}

static void map(size_t n)
{
    static char arguments[BLOCK];
    static intptr_t results[BLOCK];
    for (size_t done = 0; done < n; done += BLOCK)
        MUST(sinew_map(plain_leaf, arguments, 1, BLOCK, results) == 0 && results[0] == (intptr_t)arguments);
}

/* fib(15) makes FIB_CALLS calls, half of which are spawned. */
enum { FIB = 15, FIB_RESULT = 610, FIB_CALLS = 1973 };

PLAIN_CALL static intptr_t fib_task(void *arg)
{
    intptr_t n = (intptr_t)arg;
    if (n < 2)
        return n;
    sinew_task *a = sinew_spawn(fib_task, (void *)(n - 1));
    intptr_t b = fib_task((void *)(n - 2));
    return sinew_await(a) + b;
}

static void fib(size_t n)
{
    for (size_t done = 0; done < n; done += FIB_CALLS)
        MUST(fib_task((void *)FIB) == FIB_RESULT);
}

/* A tree with ten children a node and LEAVES leaves. */
enum { LEAVES = 1000, TREE_NODES = 1111 };

typedef struct node {
    intptr_t first, leaves;
} node;

static void split(const node *parent, node children[10])
{
    for (int i = 0; i < 10; i++)
        children[i] = (node){parent->first + i * (parent->leaves / 10), parent->leaves / 10};
}

static intptr_t sum_of(const intptr_t results[10])
{
    intptr_t sum = 0;
    for (int i = 0; i < 10; i++)
        sum += results[i];
    return sum;
}

PLAIN_CALL static intptr_t skynet_task(void *arg)
{
    const node *self = arg;
    if (self->leaves == 1)
        return self->first;
    node children[10];
    sinew_task *tasks[10];
    intptr_t results[10];
    split(self, children);
    for (int i = 0; i < 10; i++)
        tasks[i] = sinew_spawn(skynet_task, &children[i]);
    int status = sinew_gather(tasks, 10, results);
    return status < 0 ? status : sum_of(results);
}

PLAIN_CALL static intptr_t skynet_map_task(void *arg)
{
    const node *self = arg;
    if (self->leaves == 1)
        return self->first;
    node children[10];
    intptr_t results[10];
    split(self, children);
    int status = sinew_map(skynet_map_task, children, sizeof *children, 10, results);
    return status < 0 ? status : sum_of(results);
}

static void skynet_of(sinew_fn task, size_t n)
{
    for (size_t done = 0; done < n; done += TREE_NODES) {
        node root = {0, LEAVES};
        MUST(task(&root) == LEAVES * (LEAVES - 1) / 2);
    }
}

static void skynet(size_t n)
{
    skynet_of(skynet_task, n);
}

static void skynet_map(size_t n)
{
    skynet_of(skynet_map_task, n);
}

static const sinew_local request_key;

static void local_get(size_t n)
{
    int here;
    MUST(sinew_local_set(&request_key, &here) == 0);
    for (size_t i = 0; i < n; i++)
        MUST(sinew_local_get(&request_key) == &here);
}

static intptr_t wait_for_event(void *event)
{
    return sinew_event_wait(event);
}

static void cancel_parked(size_t n)
{
    sinew_event never;
    sinew_event_init(&never);
    for (size_t i = 0; i < n; i++) {
        sinew_task *task = sinew_spawn(wait_for_event, &never);
        MUST(sinew_yield() == 0);
        MUST(sinew_cancel(task) && sinew_await(task) == -ECANCELED);
    }
}

/* --- switches, timers ------------------------------------------------------------------------------------------- */

/* Runs `count` tasks that do n operations together. */
static void together(sinew_fn task, size_t count, size_t n)
{
    static sinew_task *tasks[BLOCK];
    for (size_t i = 0; i < count; i++)
        tasks[i] = sinew_spawn(task, (void *)(n / count));
    MUST(sinew_gather(tasks, count, NULL) == 0);
}

static intptr_t yield_often(void *times)
{
    for (size_t left = (size_t)times; left > 0; left--)
        MUST(sinew_yield() == 0);
    return 0;
}

static void yield_2(size_t n)
{
    together(yield_often, 2, n);
}

static void yield_1000(size_t n)
{
    together(yield_often, 1000, n);
}

static intptr_t sleep_zero_often(void *times)
{
    for (size_t left = (size_t)times; left > 0; left--)
        MUST(sinew_sleep(0) == 0);
    return 0;
}

static void sleep_zero(size_t n)
{
    together(sleep_zero_often, 2, n);
}

static intptr_t sleep_often(void *times)
{
    for (size_t left = (size_t)times; left > 0; left--)
        MUST(sinew_sleep(SINEW_US(50)) == 0);
    return 0;
}

/* A microsecond passes with each reading of the clock, so that nobody ever waits in the kernel. */
static void sleep_wake(size_t n)
{
    clock_step = SINEW_US(1);
    together(sleep_often, 1000, n);
    clock_step = 0;
}

static void timeout_scopes(size_t n)
{
    for (size_t i = 0; i < n; i++) {
        sinew_timeout scope;
        sinew_timeout_begin(&scope, SINEW_S(1));
        MUST(sinew_timeout_end(&scope) == 0);
    }
}

static intptr_t sleep_until(void *instant)
{
    return sinew_sleep_until((sinew_time)(intptr_t)instant);
}

/* The same among 1000 timers, most of which are due after it. */
static void timeout_scopes_among(size_t n)
{
    static sinew_task *sleepers[BLOCK];
    for (intptr_t i = 0; i < BLOCK; i++)
        sleepers[i] = sinew_spawn(sleep_until, (void *)(intptr_t)(virtual_now + SINEW_MS(900 + i)));
    MUST(sinew_yield() == 0);
    timeout_scopes(n);
    for (size_t i = 0; i < BLOCK; i++)
        MUST(sinew_cancel(sleepers[i]));
    for (size_t i = 0; i < BLOCK; i++)
        MUST(sinew_await(sleepers[i]) == -ECANCELED);
}

/* --- futures, locks, channels ----------------------------------------------------------------------------------- */

static void future_set_await(size_t n)
{
    for (size_t i = 0; i < n; i++) {
        sinew_future *f = sinew_future_new();
        MUST(sinew_future_set(f, 7) == 0);
        MUST(sinew_future_await(f) == 7);
        sinew_future_unref(f);
    }
}

typedef struct shared {
    size_t rounds;
    sinew_future *future;
    sinew_sem ball[2];
    sinew_channel *wire[2];
    int fd[2];
    sinew_stream *stream[2];
} shared;

static intptr_t await_futures(void *arg)
{
    shared *s = arg;
    for (size_t i = 0; i < s->rounds; i++) {
        s->future = sinew_future_new();
        MUST(sinew_future_await(s->future) == 7);
        sinew_future_unref(s->future);
    }
    return 0;
}

static intptr_t set_futures(void *arg)
{
    shared *s = arg;
    for (size_t i = 0; i < s->rounds; i++) {
        MUST(sinew_future_set(s->future, 7) == 0);
        MUST(sinew_yield() == 0);
    }
    return 0;
}

static void future_wake(size_t n)
{
    two(await_futures, set_futures, &(shared){.rounds = n});
}

static void mutex_pair(size_t n)
{
    sinew_mutex mutex;
    sinew_mutex_init(&mutex);
    for (size_t i = 0; i < n; i++)
        MUST(sinew_mutex_lock(&mutex) == 0 && sinew_mutex_unlock(&mutex) == 0);
}

static intptr_t ping(void *arg)
{
    shared *s = arg;
    for (size_t i = 0; i < s->rounds; i++) {
        sinew_sem_post(&s->ball[0]);
        MUST(sinew_sem_wait(&s->ball[1]) == 0);
    }
    return 0;
}

static intptr_t pong(void *arg)
{
    shared *s = arg;
    for (size_t i = 0; i < s->rounds; i++) {
        MUST(sinew_sem_wait(&s->ball[0]) == 0);
        sinew_sem_post(&s->ball[1]);
    }
    return 0;
}

static void sem_round_trip(size_t n)
{
    shared s = {.rounds = n};
    sinew_sem_init(&s.ball[0], 0);
    sinew_sem_init(&s.ball[1], 0);
    two(ping, pong, &s);
}

static intptr_t send_all(void *arg)
{
    shared *s = arg;
    for (size_t i = 0; i < s->rounds; i++)
        MUST(sinew_channel_send(s->wire[0], &i) == 0);
    return 0;
}

static intptr_t receive_all(void *arg)
{
    shared *s = arg;
    for (size_t i = 0, got = 0; i < s->rounds; i++)
        MUST(sinew_channel_recv(s->wire[0], &got) == 0 && got == i);
    return 0;
}

static intptr_t serve(void *arg)
{
    shared *s = arg;
    for (size_t i = 0, back = 0; i < s->rounds; i++)
        MUST(sinew_channel_send(s->wire[0], &i) == 0 && sinew_channel_recv(s->wire[1], &back) == 0 && back == i);
    return 0;
}

static intptr_t give_back(void *arg)
{
    shared *s = arg;
    for (size_t i = 0, ball = 0; i < s->rounds; i++)
        MUST(sinew_channel_recv(s->wire[0], &ball) == 0 && sinew_channel_send(s->wire[1], &ball) == 0);
    return 0;
}

static void through_channels(size_t n, size_t capacity, sinew_fn a, sinew_fn b)
{
    shared s = {.rounds = n};
    for (int i = 0; i < 2; i++)
        MUST((s.wire[i] = sinew_channel_new(sizeof(size_t), capacity)) != NULL);
    two(a, b, &s);
    for (int i = 0; i < 2; i++)
        sinew_channel_unref(s.wire[i]);
}

static void channel_buffered(size_t n)
{
    through_channels(n, 64, send_all, receive_all);
}

static void channel_unbuffered(size_t n)
{
    through_channels(n, 0, send_all, receive_all);
}

static void channel_round_trip(size_t n)
{
    through_channels(n, 0, serve, give_back);
}

/* --- I/O -------------------------------------------------------------------------------------------------------- */

/* Through a pair of unix sockets: what one side writes is there for the other when its call returns, so no run depends
 * on when the kernel gets round to it. */
enum { MESSAGE = 64 };

static intptr_t echo_server(void *arg)
{
    shared *s = arg;
    char buffer[4096];
    ssize_t got;
    while ((got = sinew_recv(s->fd[1], buffer, sizeof buffer, 0)) > 0)
        MUST(sinew_send_all(s->fd[1], buffer, (size_t)got) == 0);
    MUST(got == 0);
    return sinew_close(s->fd[1]);
}

static intptr_t echo_client(void *arg)
{
    shared *s = arg;
    char buffer[MESSAGE] = "";
    for (size_t i = 0; i < s->rounds; i++)
        MUST(sinew_send_all(s->fd[0], buffer, MESSAGE) == 0 && sinew_recv(s->fd[0], buffer, MESSAGE, 0) == MESSAGE);
    return sinew_close(s->fd[0]);
}

static void echo(size_t n)
{
    shared s = {.rounds = n};
    MUST(sinew_socketpair(AF_UNIX, SOCK_STREAM, 0, s.fd) == 0);
    two(echo_server, echo_client, &s);
}

static intptr_t stream_server(void *arg)
{
    sinew_stream *stream = ((shared *)arg)->stream[1];
    const char *line;
    ssize_t got;
    while ((got = sinew_stream_readline(stream, &line)) > 0)
        MUST(sinew_stream_write(stream, line, (size_t)got) == 0 && sinew_stream_drain(stream) == 0);
    MUST(got == 0);
    sinew_stream_unref(stream);
    return 0;
}

static intptr_t stream_client(void *arg)
{
    shared *s = arg;
    sinew_stream *stream = s->stream[0];
    const char *line;
    for (size_t i = 0; i < s->rounds; i++) {
        MUST(sinew_stream_write(stream, "a line of some thirty characters\n", 33) == 0 &&
             sinew_stream_drain(stream) == 0);
        MUST(sinew_stream_readline(stream, &line) == 33);
    }
    sinew_stream_unref(stream);
    return 0;
}

static void stream_lines(size_t n)
{
    shared s = {.rounds = n};
    MUST(sinew_socketpair(AF_UNIX, SOCK_STREAM, 0, s.fd) == 0);
    for (int i = 0; i < 2; i++)
        MUST(sinew_stream_open(s.fd[i], NULL, &s.stream[i]) == 0);
    two(stream_server, stream_client, &s);
}

/* --- the table of paths ----------------------------------------------------------------------------------------- */

typedef struct path {
    const char *name;
    void (*run)(size_t n);
    size_t n;         /* whole blocks, trees and shares; enough for locks to become biased: 4096 uses in a row */
    const char *what; /* one operation is */
} path;

static const path paths[] = {
    {"spawn_await", spawn_await, 20000, "a task that is awaited at once and so runs in place"},
    {"spawn_gather", spawn_gather, 20000, "a task of 1000 that are spawned, then gathered"},
    {"group", group, 20000, "a task of 1000 that are spawned in a group, then waited for"},
    {"fib", fib, (size_t)10 * FIB_CALLS, "a call of fib; every other one is a task"},
    {"skynet", skynet, (size_t)20 * TREE_NODES, "a node of a tree of tasks, ten gathered by each"},
    {"skynet_map", skynet_map, (size_t)20 * TREE_NODES, "a node of a tree of tasks, ten mapped by each"},
    {"map", map, 20000, "an element of 1000 that are mapped"},
    {"local_get", local_get, 20000, "reading a task-local value"},
    {"cancel_parked", cancel_parked, 10000, "a task that parks at an event, is cancelled and awaited"},
    {"yield_2", yield_2, 20000, "a yield, between two tasks"},
    {"yield_1000", yield_1000, 20000, "a yield, among 1000 tasks"},
    {"sleep_zero", sleep_zero, 20000, "a sleep of 0, between two tasks"},
    {"sleep_wake", sleep_wake, 20000, "a sleep that ends by its timer, among 1000"},
    {"timeout", timeout_scopes, 20000, "a timeout scope, begun and ended in time"},
    {"timeout_among_1000", timeout_scopes_among, 20000, "the same among 1000 timers"},
    {"future_set_await", future_set_await, 20000, "a future: made, set, awaited, freed"},
    {"future_wake", future_wake, 10000, "a future: made, awaited, set by another task, freed"},
    {"mutex", mutex_pair, 20000, "a mutex that nobody else wants, locked and unlocked"},
    {"sem_round_trip", sem_round_trip, 10000, "two tasks that wake each other by semaphores: there and back"},
    {"channel_buffered", channel_buffered, 20000, "an element through a channel with room for 64"},
    {"channel_unbuffered", channel_unbuffered, 10000, "an element through a channel without room"},
    {"channel_round_trip", channel_round_trip, 10000, "an element through one channel, and back through another"},
    {"echo", echo, 4000, "64 bytes through a socket and back, on the epoll driver"},
    {"stream_lines", stream_lines, 4000, "a line through streams over a socket and back, on the epoll driver"},
};

enum { PATHS = sizeof paths / sizeof paths[0] };

/* A profile of one run. The label is text in memory when callgrind is told. */
static void count(const path *p, size_t n)
{
    char label[64];
    snprintf(label, sizeof label, "%s %zu", p->name, n);
    CALLGRIND_ZERO_STATS;
    p->run(n);
    CALLGRIND_DUMP_STATS_AT(label);
}

static intptr_t main_task(void *arg)
{
    const path *p = arg;
    p->run(2 * p->n);
    CALLGRIND_START_INSTRUMENTATION;
    count(p, p->n);
    count(p, 2 * p->n);
    CALLGRIND_STOP_INSTRUMENTATION;
    return 0;
}

static void about(void)
{
#if defined(__clang__)
    const char *compiler = "clang";
#else
    const char *compiler = "gcc";
#endif
    printf("%s %s %s%s, glibc %s\n", compiler, __VERSION__, BUILD_FLAGS, SN_DEBUG ? " with debug checks" : "",
           gnu_get_libc_version());
}

static const path *path_named(const char *name)
{
    for (size_t i = 0; i < PATHS; i++)
        if (strcmp(name, paths[i].name) == 0)
            return &paths[i];
    return NULL;
}

int main(int argc, char **argv)
{
    const char *argument = argc == 2 ? argv[1] : "";
    const path *chosen = path_named(argument);
    if (chosen) {
        sinew_options options = {.workers = 1, .seed = 1, .keep_sigint = true, .driver = SINEW_DRIVER_EPOLL};
        return sinew_run_with(&options, main_task, (void *)(uintptr_t)chosen) == 0 ? 0 : 1;
    }
    if (strcmp(argument, "--about") == 0) {
        about();
    } else if (strcmp(argument, "--list") == 0) {
        for (size_t i = 0; i < PATHS; i++)
            printf("%s\t%s\n", paths[i].name, paths[i].what);
    } else {
        fputs("usage: paths NAME | --list | --about; NAME in callgrind, by run.py\n", stderr);
        return 2;
    }
    return 0;
}
