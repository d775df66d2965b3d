/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: nothing that goes on for ever keeps a ready task, an expired timer or a finished I/O operation from its turn.
 * Method: a hog of each kind runs until it is told to stop; the one who tells it must get a turn. One worker is the
 * hard case; with more, there are as many hogs as workers. A test that fails hangs, and the alarm names it.
 * Cannot see: how late a turn comes.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include <tests/support/run.h>
#include <tests/support/tasks.h>

static atomic_int stop;
static atomic_long work;

static intptr_t yield_endlessly(void *arg)
{
    (void)arg;
    while (!atomic_load(&stop)) {
        sinew_yield();
        atomic_fetch_add(&work, 1);
    }
    return 0;
}

/* Each task starts its successor and ends. */
static intptr_t spawn_successor(void *arg)
{
    atomic_fetch_add(&work, 1);
    if (!atomic_load(&stop))
        sinew_detach(sinew_spawn(spawn_successor, arg));
    else
        sinew_sem_post(arg);
    return 0;
}

static intptr_t spawn_endlessly(void *arg)
{
    (void)arg;
    sinew_sem ended;
    sinew_sem_init(&ended, 0);
    sinew_detach(sinew_spawn(spawn_successor, &ended));
    /* Its chain may be what hogs the worker, so the wait is part of the test. */
    return sinew_sem_wait(&ended);
}

/* Every await runs its task in place: a loop that never has a reason to switch. */
static intptr_t await_endlessly(void *arg)
{
    (void)arg;
    while (!atomic_load(&stop)) {
        sinew_await(sinew_spawn(return_arg, NULL));
        atomic_fetch_add(&work, 1);
    }
    return 0;
}

struct pair {
    sinew_sem a, b;
};

static intptr_t ping(void *arg)
{
    struct pair *p = arg;
    while (!atomic_load(&stop)) {
        sinew_sem_post(&p->b);
        sinew_sem_wait(&p->a);
        atomic_fetch_add(&work, 1);
    }
    sinew_sem_post(&p->b);
    return 0;
}

static intptr_t pong(void *arg)
{
    struct pair *p = arg;
    while (!atomic_load(&stop)) {
        sinew_sem_wait(&p->b);
        sinew_sem_post(&p->a);
    }
    sinew_sem_post(&p->a);
    return 0;
}

/* Two tasks that wake each other: whoever is woken last is not always next. */
static intptr_t ping_pong_endlessly(void *arg)
{
    (void)arg;
    struct pair p;
    sinew_sem_init(&p.a, 0);
    sinew_sem_init(&p.b, 0);
    sinew_task *tasks[2] = {sinew_spawn(ping, &p), sinew_spawn(pong, &p)};
    return sinew_gather_settled(tasks, 2, NULL);
}

static intptr_t sleep_zero_endlessly(void *arg)
{
    (void)arg;
    while (!atomic_load(&stop)) {
        sinew_sleep(0);
        atomic_fetch_add(&work, 1);
    }
    return 0;
}

struct hog {
    const char *name;
    sinew_fn fn;
};

static const struct hog hogs[] = {
    {"yields", yield_endlessly},
    {"spawns its successor", spawn_endlessly},
    {"spawns and awaits", await_endlessly},
    {"wakes its partner", ping_pong_endlessly},
    {"sleeps for nothing", sleep_zero_endlessly},
};
#define HOGS (sizeof hogs / sizeof hogs[0])

/* Runs `victim` beside hogs of each kind until it has ended and told them to stop. */
static void beside_hogs(sinew_fn victim, void *arg)
{
    unsigned n = sinew_workers();
    sinew_task *tasks[16];
    for (size_t h = 0; h < HOGS; h++) {
        snprintf(watchdog_text, sizeof watchdog_text, "\nstarved by a task that %s, with %u workers\n", hogs[h].name,
                 n);
        atomic_store(&stop, 0);
        for (unsigned i = 0; i < n; i++)
            tasks[i] = sinew_spawn(hogs[h].fn, NULL);
        CHECK_EQ(sinew_await(sinew_spawn(victim, arg)), 0);
        atomic_store(&stop, 1);
        CHECK_EQ(sinew_gather(tasks, n, NULL), 0);
    }
}

static intptr_t see_work(void *arg)
{
    (void)arg;
    /* The hogs run, and this task gets its turns beside them. */
    for (int i = 0; i < 20; i++) {
        long before = atomic_load(&work);
        do {
            int r = sinew_yield();
            if (r < 0)
                return r;
        } while (atomic_load(&work) == before);
    }
    return 0;
}

IN_RUNTIME(a_ready_task_gets_its_turn)
{
    beside_hogs(see_work, NULL);
    return 0;
}

static intptr_t sleep_often(void *arg)
{
    (void)arg;
    for (int i = 0; i < 5; i++) {
        int r = sinew_sleep(SINEW_MS(1));
        if (r < 0)
            return r;
    }
    return 0;
}

IN_RUNTIME(an_expired_timer_gets_its_turn)
{
    beside_hogs(sleep_often, NULL);
    return 0;
}

static intptr_t expire(void *arg)
{
    (void)arg;
    sinew_timeout scope;
    sinew_timeout_begin(&scope, SINEW_MS(2));
    CHECK_EQ(sinew_sleep(VERY_LONG), -ETIMEDOUT);
    CHECK_EQ(sinew_timeout_end(&scope), -ETIMEDOUT);
    return 0;
}

IN_RUNTIME(an_expired_timeout_gets_its_turn)
{
    beside_hogs(expire, NULL);
    return 0;
}

struct echo {
    int there[2], back[2];
};

static void *echo_thread(void *arg)
{
    struct echo *e = arg;
    char c;
    while (read(e->there[0], &c, 1) == 1)
        if (write(e->back[1], &c, 1) != 1)
            break;
    return NULL;
}

static intptr_t exchange_bytes(void *arg)
{
    struct echo *e = arg;
    for (int i = 0; i < 20; i++) {
        char c = (char)i, answer = -1;
        if (!CHECK_EQ(write(e->there[1], &c, 1), 1))
            return -EIO;
        ssize_t n = sinew_read(e->back[0], &answer, 1);
        if (n != 1)
            return n < 0 ? (intptr_t)n : -EIO;
        CHECK_EQ(answer, c);
    }
    return 0;
}

IN_RUNTIME(finished_io_gets_its_turn)
{
    struct echo e;
    pthread_t thread;
    if (!CHECK(pipe(e.there) == 0 && pipe(e.back) == 0))
        return 1;
    if (!CHECK_EQ(pthread_create(&thread, NULL, echo_thread, &e), 0))
        return 1;
    beside_hogs(exchange_bytes, &e);
    close(e.there[1]);
    pthread_join(thread, NULL);
    close(e.there[0]);
    close(e.back[0]);
    close(e.back[1]);
    return 0;
}

static intptr_t spawn_a_burst(void *arg)
{
    (void)arg;
    return sinew_map(return_arg, NULL, 0, 1000, NULL);
}

IN_RUNTIME(a_burst_of_new_tasks_gets_its_turn)
{
    beside_hogs(spawn_a_burst, NULL);
    return 0;
}

static intptr_t never_ready(void *arg)
{
    return sinew_sem_wait(arg);
}

static intptr_t cancel_a_waiter(void *arg)
{
    (void)arg;
    sinew_sem s;
    sinew_sem_init(&s, 0);
    sinew_task *t = sinew_spawn(never_ready, &s);
    sinew_yield();
    sinew_cancel(t);
    return sinew_await(t) == -ECANCELED ? 0 : -EIO;
}

IN_RUNTIME(a_cancelled_waiter_gets_its_turn)
{
    beside_hogs(cancel_a_waiter, NULL);
    return 0;
}

TEST_MAIN(cmocka_unit_test(a_ready_task_gets_its_turn), cmocka_unit_test(an_expired_timer_gets_its_turn),
          cmocka_unit_test(an_expired_timeout_gets_its_turn), cmocka_unit_test(finished_io_gets_its_turn),
          cmocka_unit_test(a_burst_of_new_tasks_gets_its_turn), cmocka_unit_test(a_cancelled_waiter_gets_its_turn))
