/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process for `sinew` to look at: target MODE WORKERS [N]. It says "ready" on stdout when its tasks stand as the mode
 * wants, and ends when its stdin does.
 *
 *   town     a task of each way to wait for tasks, and of some other ways
 *   circle   two that await each other
 *   busy     tasks that come and go
 *   beside   one that gathers one that does not suspend
 *   many     N that sleep
 *   idle     no runtime
 *   two      a runtime beside the one of sinew_run
 *   secret   idle, and not to be looked at by its own user
 */
#include <sinew.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))

static const char *mode;
static long how_many;
static atomic_int begun; /* tasks that are about to wait */

/* Keeps its thread, too: whoever calls it is running as long as the process is there. */
static NOINLINE intptr_t say_ready_and_block(void)
{
    char byte;
    puts("ready");
    fflush(stdout);
    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
    _exit(0);
}

static sinew_task *spawn_named(const char *name, sinew_fn fn, void *arg)
{
    sinew_spawn_options opt = {.name = name};
    return sinew_spawn_with(&opt, fn, arg);
}

/* Before the call in which it stays. */
static void note_begun(void)
{
    atomic_fetch_add(&begun, 1);
}

/* --- the town: each function waits in a way of its own ------------------------------------------------------------ */

static NOINLINE intptr_t sleep_long(void *arg)
{
    (void)arg;
    note_begun();
    intptr_t result = sinew_sleep(SINEW_S(36000));
    atomic_signal_fence(memory_order_seq_cst); /* no call at the end becomes a jump */
    return result;
}

static NOINLINE intptr_t await_one(void *name)
{
    note_begun();
    intptr_t result = sinew_await(spawn_named(name, sleep_long, NULL));
    atomic_signal_fence(memory_order_seq_cst);
    return result;
}

static NOINLINE intptr_t helper_of_chain(void)
{
    intptr_t result = sinew_await(spawn_named("chain middle", await_one, "chain leaf"));
    atomic_signal_fence(memory_order_seq_cst);
    return result;
}

static NOINLINE intptr_t await_chain(void *arg)
{
    (void)arg;
    note_begun();
    intptr_t result = helper_of_chain();
    atomic_signal_fence(memory_order_seq_cst);
    return result;
}

/* Awaits one that has begun before, so that it cannot run in place. */
static NOINLINE intptr_t await_parked(void *task)
{
    note_begun();
    intptr_t result = sinew_await(sinew_ref(task));
    atomic_signal_fence(memory_order_seq_cst);
    return result;
}

static NOINLINE intptr_t own_group(void *arg)
{
    (void)arg;
    sinew_group group;
    sinew_group_init(&group);
    note_begun();
    for (int i = 0; i < 2; i++)
        sinew_group_spawn(&group, sleep_long, NULL);
    intptr_t result = sinew_group_wait(&group);
    atomic_signal_fence(memory_order_seq_cst);
    return result;
}

static NOINLINE intptr_t wait_for_two(void *arg)
{
    (void)arg;
    sinew_task *tasks[] = {spawn_named("waited 1", sleep_long, NULL), spawn_named("waited 2", sleep_long, NULL)};
    note_begun();
    intptr_t result = sinew_wait(tasks, 2, SINEW_ALL_COMPLETED, SINEW_FOREVER, NULL);
    atomic_signal_fence(memory_order_seq_cst);
    return result;
}

static NOINLINE intptr_t select_one(void *arg)
{
    (void)arg;
    sinew_channel *channel = sinew_channel_new(0, 0);
    sinew_case cases[] = {{.kind = SINEW_CASE_RECV, .channel = channel},
                          {.kind = SINEW_CASE_TASK, .task = spawn_named("selected", sleep_long, NULL)}};
    note_begun();
    intptr_t result = sinew_select(cases, 2);
    sinew_channel_unref(channel);
    return result;
}

static NOINLINE intptr_t iterate(void *arg)
{
    (void)arg;
    sinew_as_completed it;
    sinew_task *watched = spawn_named("watched", sleep_long, NULL);
    sinew_as_completed_begin(&it, &watched, 1, SINEW_FOREVER);
    note_begun();
    intptr_t result = sinew_as_completed_next(&it);
    sinew_as_completed_end(&it);
    return result;
}

static NOINLINE intptr_t map_some(void *arg)
{
    (void)arg;
    note_begun();
    intptr_t result = sinew_map(sleep_long, NULL, 0, 3, NULL);
    atomic_signal_fence(memory_order_seq_cst);
    return result;
}

static sinew_mutex mutex;

static NOINLINE intptr_t lock_mutex(void *arg)
{
    (void)arg;
    note_begun();
    intptr_t result = sinew_mutex_lock(&mutex);
    atomic_signal_fence(memory_order_seq_cst);
    return result;
}

static NOINLINE intptr_t await_future(void *future)
{
    note_begun();
    intptr_t result = sinew_future_await(future);
    atomic_signal_fence(memory_order_seq_cst);
    return result;
}

static NOINLINE intptr_t never_begins(void *arg)
{
    return (intptr_t)arg;
}

/* When all others wait, spawns one that cannot begin, and keeps the worker. Suspends before: a gather that still runs
 * its tasks beside itself has not begun to wait for the others. */
static NOINLINE intptr_t hog(void *arg)
{
    int wanted = (int)(intptr_t)arg;
    do
        sinew_sleep(SINEW_MS(1));
    while (atomic_load(&begun) < wanted);
    sinew_spawn_options opt = {.name = "unstarted", .pinned = true};
    sinew_spawn_with(&opt, never_begins, NULL);
    intptr_t result = say_ready_and_block();
    atomic_signal_fence(memory_order_seq_cst);
    return result;
}

static NOINLINE intptr_t town(void *arg)
{
    (void)arg;
    sinew_name(sinew_self()); /* Task-1 */
    sinew_mutex_init(&mutex);
    sinew_mutex_lock(&mutex);
    sinew_task *shared = spawn_named("shared", sleep_long, NULL);
    while (atomic_load(&begun) < 1)
        sinew_yield();
    sinew_task *tasks[] = {
        spawn_named("chain", await_chain, NULL),
        spawn_named("fan 1", await_parked, shared),
        spawn_named("fan 2", await_parked, shared),
        spawn_named("group owner", own_group, NULL),
        spawn_named("waiter", wait_for_two, NULL),
        spawn_named("selector", select_one, NULL),
        spawn_named("iterator", iterate, NULL),
        spawn_named("mapper", map_some, NULL),
        spawn_named("locker", lock_mutex, NULL),
        spawn_named("future waiter", await_future, sinew_future_new()),
        /* Those above, and: shared, chain's two, the group's two, 2 waited, selected, watched, 3 elements. */
        spawn_named("hog", hog, (void *)(intptr_t)(10 + 12)),
    };
    intptr_t result = sinew_gather(tasks, sizeof tasks / sizeof tasks[0], NULL);
    atomic_signal_fence(memory_order_seq_cst);
    return result;
}

/* --- two that await each other ------------------------------------------------------------------------------------ */

static sinew_task *_Atomic ping_task, *_Atomic pong_task;

static NOINLINE intptr_t ping(void *arg)
{
    (void)arg;
    while (!atomic_load(&pong_task))
        sinew_yield();
    note_begun();
    return sinew_await(sinew_ref(atomic_load(&pong_task)));
}

static NOINLINE intptr_t pong(void *arg)
{
    (void)arg;
    while (!atomic_load(&ping_task))
        sinew_yield();
    note_begun();
    return sinew_await(sinew_ref(atomic_load(&ping_task)));
}

/* Each is running by now, so that neither runs the other in place. */
static NOINLINE intptr_t circle(void *arg)
{
    (void)arg;
    sinew_task *a = spawn_named("ping", ping, NULL), *b = spawn_named("pong", pong, NULL);
    sinew_sleep(SINEW_MS(1));
    atomic_store(&ping_task, a);
    atomic_store(&pong_task, b);
    while (atomic_load(&begun) < 2)
        sinew_sleep(SINEW_MS(1));
    return say_ready_and_block();
}

/* --- others ------------------------------------------------------------------------------------------------------- */

static NOINLINE intptr_t come_and_go(void *arg)
{
    intptr_t depth = (intptr_t)arg;
    if (depth == 0)
        return sinew_yield();
    sinew_task *children[3];
    for (int i = 0; i < 3; i++)
        children[i] = i ? sinew_spawn(come_and_go, (void *)(depth - 1))
                        : spawn_named("named child", come_and_go, (void *)(depth - 1));
    sinew_await(children[0]);
    return sinew_gather(children + 1, 2, NULL);
}

static NOINLINE intptr_t busy_forever(void *arg)
{
    note_begun();
    intptr_t result = 0;
    while (result != -ECANCELED) {
        sinew_group group;
        sinew_group_init(&group);
        sinew_group_spawn(&group, come_and_go, arg);
        sinew_await(sinew_spawn(come_and_go, arg));
        sinew_group_wait(&group);
        result = sinew_map(come_and_go, NULL, 0, 8, NULL);
    }
    return result;
}

static intptr_t block_until_end(void *arg)
{
    (void)arg;
    return say_ready_and_block();
}

static NOINLINE intptr_t busy(void *arg)
{
    (void)arg;
    for (int i = 0; i < 4; i++)
        sinew_detach(sinew_spawn(busy_forever, (void *)4));
    while (atomic_load(&begun) < 4)
        sinew_sleep(SINEW_MS(1));
    return sinew_blocking_wait(block_until_end, NULL);
}

/* The child runs on a fiber beside the caller's and never gives it up. */
static NOINLINE intptr_t gather_one(void *arg)
{
    (void)arg;
    sinew_task *child = spawn_named("beside", block_until_end, NULL);
    intptr_t result = sinew_gather(&child, 1, NULL);
    atomic_signal_fence(memory_order_seq_cst);
    return result;
}

static NOINLINE intptr_t many(void *arg)
{
    (void)arg;
    for (long i = 0; i < how_many; i++)
        sinew_detach(sinew_spawn(sleep_long, NULL));
    while (atomic_load(&begun) < how_many)
        sinew_sleep(SINEW_MS(1));
    return sinew_blocking_wait(block_until_end, NULL);
}

static NOINLINE intptr_t second_runtime(void *arg)
{
    sinew_runtime *rt = arg;
    sinew_spawn_on(rt, sleep_long, NULL);
    while (atomic_load(&begun) < 1)
        sinew_sleep(SINEW_MS(1));
    return say_ready_and_block();
}

static int run(sinew_fn fn, void *arg, unsigned workers)
{
    sinew_options opt = {.workers = workers};
    return (int)sinew_run_with(&opt, fn, arg);
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    mode = argv[1];
    unsigned workers = (unsigned)atoi(argv[2]);
    how_many = argc > 3 ? atol(argv[3]) : 0;
    if (strcmp(mode, "town") == 0)
        return run(town, NULL, workers);
    if (strcmp(mode, "circle") == 0)
        return run(circle, NULL, workers);
    if (strcmp(mode, "busy") == 0)
        return run(busy, NULL, workers);
    if (strcmp(mode, "beside") == 0)
        return run(gather_one, NULL, workers);
    if (strcmp(mode, "many") == 0)
        return run(many, NULL, workers);
    if (strcmp(mode, "two") == 0) {
        sinew_options opt = {.workers = 1};
        sinew_runtime *rt;
        return sinew_runtime_start(&opt, &rt) < 0 ? 1 : run(second_runtime, rt, workers);
    }
    if (strcmp(mode, "secret") == 0)
        prctl(PR_SET_DUMPABLE, 0);
    else if (strcmp(mode, "idle") != 0)
        return 2;
    return (int)say_ready_and_block();
}
