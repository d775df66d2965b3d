/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a pinned task begins and stays on the worker that spawned it, whoever awaits it and whatever it awaits.
 * Method: the worker's index and the thread are compared after each suspension, while unpinned tasks move about.
 * Cannot see: thread-local state of libraries; the thread's identity stands for it.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <tests/support/run.h>
#include <tests/support/tasks.h>

/* Out of line for the reason given at errno_now. */
__attribute__((noinline)) static unsigned worker_now(void)
{
    unsigned index = sinew_worker_index();
    __asm__ volatile("" : "+r"(index)::"memory");
    return index;
}

struct pin {
    unsigned home;
    int steps;
    atomic_long *moves;
};

static intptr_t yield_some(void *arg)
{
    for (intptr_t i = 0; i < (intptr_t)arg; i++)
        sinew_yield();
    return 0;
}

static intptr_t nap(void *arg)
{
    return sinew_sleep((sinew_time)(intptr_t)arg);
}

static intptr_t stay(void *arg)
{
    struct pin *p = arg;
    long moves = worker_now() != p->home;
    pthread_t thread = thread_now();
    int sockets[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) != 0)
        return -EMFILE;
    char c = 'c';
    for (int i = 0; i < p->steps; i++) {
        switch (i % 8) {
        case 0:
            sinew_sleep(SINEW_US(20));
            break;
        case 1:
            sinew_await(sinew_spawn(yield_some, (void *)3));
            break;
        case 2:
            sinew_await(sinew_spawn(nap, (void *)(intptr_t)SINEW_US(20)));
            break;
        case 3:
            CHECK_EQ(sinew_send(sockets[0], &c, 1, 0), 1);
            CHECK_EQ(sinew_recv(sockets[1], &c, 1, 0), 1);
            break;
        case 4:
            sinew_map(yield_some, NULL, 0, 5, NULL);
            break;
        default:
            sinew_yield();
        }
        moves += worker_now() != p->home;
        moves += !pthread_equal(thread_now(), thread);
    }
    close(sockets[0]);
    close(sockets[1]);
    atomic_fetch_add(p->moves, moves);
    return 0;
}

static intptr_t spawn_and_await_pinned(void *arg)
{
    struct pin *p = arg;
    p->home = worker_now();
    return sinew_await(spawn_pinned(stay, p));
}

IN_RUNTIME(a_pinned_task_stays_where_it_was_spawned)
{
    enum { TASKS = 20 };
    atomic_long moves = 0;
    struct pin pins[TASKS];
    for (int i = 0; i < TASKS; i++)
        pins[i] = (struct pin){UINT_MAX, (int)scaled(200, 40), &moves};
    CHECK_EQ(sinew_map(spawn_and_await_pinned, pins, sizeof pins[0], TASKS, NULL), 0);
    CHECK_EQ(moves, 0);
    return 0;
}

static intptr_t begin_where(void *arg)
{
    struct pin *p = arg;
    if (worker_now() != p->home)
        atomic_fetch_add(p->moves, 1);
    sinew_yield();
    if (worker_now() != p->home)
        atomic_fetch_add(p->moves, 1);
    return 0;
}

/* The awaiter may have moved between spawn and await: then the pinned task must not run on its stack. */
static intptr_t spawn_move_await(void *arg)
{
    struct pin *mine = arg;
    for (int i = 0; i < mine->steps; i++) {
        struct pin p = {worker_now(), 0, mine->moves};
        sinew_task *t = spawn_pinned(begin_where, &p);
        for (int j = 0; j < i % 3; j++)
            sinew_yield();
        intptr_t r = i % 4 == 3 ? sinew_gather(&t, 1, NULL) : sinew_await(t);
        if (r < 0)
            return r;
    }
    return 0;
}

IN_RUNTIME(a_pinned_task_does_not_run_on_the_stack_of_an_awaiter_that_moved)
{
    enum { TASKS = 16 };
    atomic_long moves = 0;
    struct pin pins[TASKS];
    for (int i = 0; i < TASKS; i++)
        pins[i] = (struct pin){0, (int)scaled(1000, 50), &moves};
    CHECK_EQ(sinew_map(spawn_move_await, pins, sizeof pins[0], TASKS, NULL), 0);
    CHECK_EQ(moves, 0);
    return 0;
}

static intptr_t eager_and_pinned(void *arg)
{
    struct pin *p = arg;
    long moves = worker_now() != p->home;
    for (int i = 0; i < p->steps; i++) {
        sinew_yield();
        moves += worker_now() != p->home;
    }
    atomic_fetch_add(p->moves, moves);
    return 0;
}

static intptr_t spawn_eager_and_pinned(void *arg)
{
    struct pin *p = arg;
    p->home = worker_now();
    sinew_spawn_options opt = {.pinned = true, .eager = true};
    return sinew_await(sinew_spawn_with(&opt, eager_and_pinned, p));
}

IN_RUNTIME(a_task_may_be_eager_and_pinned)
{
    enum { TASKS = 16 };
    atomic_long moves = 0;
    struct pin pins[TASKS];
    for (int i = 0; i < TASKS; i++)
        pins[i] = (struct pin){0, (int)scaled(200, 40), &moves};
    CHECK_EQ(sinew_map(spawn_eager_and_pinned, pins, sizeof pins[0], TASKS, NULL), 0);
    CHECK_EQ(moves, 0);
    return 0;
}

TEST_MAIN(cmocka_unit_test(a_pinned_task_stays_where_it_was_spawned),
          cmocka_unit_test(a_pinned_task_does_not_run_on_the_stack_of_an_awaiter_that_moved),
          cmocka_unit_test(a_task_may_be_eager_and_pinned))
