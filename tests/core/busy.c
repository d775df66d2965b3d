/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a task that computes delays only itself. Other workers take the ready tasks and the expired timers of the
 * worker it sits on. Method: victims are armed first, then a task spins on the worker they suspended on, until all of
 * them have gone on; or until ten seconds have passed, and then the test has failed. Cannot see: how late the victims
 * were. I/O: tests/io/busy.c.
 */
#include <errno.h>
#include <sched.h>

#include <tests/support/run.h>
#include <tests/support/tasks.h>

struct spinner {
    atomic_int running, victims; /* victims that have not gone on yet */
};

static intptr_t spin(void *arg)
{
    struct spinner *s = arg;
    atomic_fetch_add(&s->running, 1);
    /* Long enough for the others to be asleep and to need waking, however soon the victims go on. */
    sinew_time least = sinew_now() + SINEW_MS(20), end = sinew_now() + SINEW_S(10);
    while (sinew_now() < least || (atomic_load(&s->victims) > 0 && sinew_now() < end))
        ;
    CHECK_EQ(s->victims, 0);
    return 0;
}

struct victim {
    struct spinner *spinner;
    sinew_sem *sem;
};

static intptr_t go_on(struct victim *v)
{
    atomic_fetch_sub(&v->spinner->victims, 1);
    return 0;
}

static intptr_t sleep_beside(void *arg)
{
    for (int i = 0; i < 10; i++)
        if (sinew_sleep(SINEW_MS(5)) < 0)
            return -EIO;
    return go_on(arg);
}

static intptr_t compute_beside(void *arg)
{
    return go_on(arg);
}

static intptr_t wait_beside(void *arg)
{
    struct victim *v = arg;
    return sinew_sem_wait(v->sem) < 0 ? -EIO : go_on(v);
}

enum { VICTIMS = 8 };

IN_RUNTIME_WITH(sleepers_go_on_beside_a_spinning_task, 2, 8)
{
    struct spinner s = {.victims = VICTIMS};
    struct victim v = {.spinner = &s};
    sinew_task *tasks[VICTIMS];
    for (int i = 0; i < VICTIMS; i++)
        tasks[i] = sinew_spawn(sleep_beside, &v);
    /* All are asleep, with timers on whatever workers they began on; then this worker is kept. */
    CHECK_EQ(sinew_sleep(SINEW_MS(2)), 0);
    CHECK_EQ(spin(&s), 0);
    CHECK_EQ(sinew_gather(tasks, VICTIMS, NULL), 0);
    return 0;
}

IN_RUNTIME_WITH(ready_tasks_are_taken_from_a_spinning_worker, 2, 8)
{
    struct spinner s = {.victims = VICTIMS};
    struct victim v = {.spinner = &s};
    sinew_task *tasks[VICTIMS];
    for (int i = 0; i < VICTIMS; i++)
        tasks[i] = sinew_spawn(compute_beside, &v);
    CHECK_EQ(spin(&s), 0);
    CHECK_EQ(sinew_gather(tasks, VICTIMS, NULL), 0);
    return 0;
}

IN_RUNTIME_WITH(tasks_made_ready_by_the_spinning_task_are_taken, 2, 8)
{
    sinew_sem sem;
    sinew_sem_init(&sem, 0);
    struct spinner s = {.victims = VICTIMS};
    struct victim v = {.spinner = &s, .sem = &sem};
    sinew_task *tasks[VICTIMS];
    for (int i = 0; i < VICTIMS; i++)
        tasks[i] = sinew_spawn(wait_beside, &v);
    CHECK_EQ(sinew_sleep(SINEW_MS(2)), 0);
    for (int i = 0; i < VICTIMS; i++)
        sinew_sem_post(&sem);
    CHECK_EQ(spin(&s), 0);
    CHECK_EQ(sinew_gather(tasks, VICTIMS, NULL), 0);
    return 0;
}

IN_RUNTIME_WITH(all_workers_but_one_may_spin, 2, 8)
{
    struct spinner s = {.victims = VICTIMS};
    struct victim v = {.spinner = &s};
    sinew_task *tasks[VICTIMS], *spinners[8];
    unsigned n = sinew_workers() - 1;
    for (unsigned i = 0; i < n; i++)
        spinners[i] = sinew_spawn(spin, &s);
    yield_until(&s.running, (int)n);
    for (int i = 0; i < VICTIMS; i++)
        tasks[i] = sinew_spawn(sleep_beside, &v);
    CHECK_EQ(sinew_gather(tasks, VICTIMS, NULL), 0);
    CHECK_EQ(sinew_gather(spinners, n, NULL), 0);
    return 0;
}

/* What a thief took with it and then left behind in its queue, while it computes and the other worker only yields. */
struct stuck {
    atomic_int ran, spinning;
    unsigned home;
    int all;
};

static intptr_t spin_if_stolen(void *arg)
{
    struct stuck *s = arg;
    int none = 0;
    if (sinew_worker_index() != s->home && atomic_compare_exchange_strong(&s->spinning, &none, 1))
        while (atomic_load(&s->ran) < s->all - 1)
            ;
    atomic_fetch_add(&s->ran, 1);
    return 0;
}

IN_RUNTIME_WITH(a_worker_with_a_yielding_task_takes_what_is_stuck_behind_a_spinning_one, 2)
{
    enum { TASKS = 32 };
    int rounds = (int)scaled(200, 20);
    for (int round = 0; round < rounds; round++) {
        sinew_task *tasks[TASKS];
        struct stuck s = {.home = sinew_worker_index(), .all = TASKS};
        for (int i = 0; i < TASKS; i++)
            tasks[i] = sinew_spawn(spin_if_stolen, &s);
        yield_until(&s.ran, TASKS);
        CHECK_EQ(sinew_gather(tasks, TASKS, NULL), 0);
    }
    return 0;
}

static intptr_t meet(void *arg)
{
    struct stuck *s = arg;
    atomic_fetch_add(&s->ran, 1);
    while (atomic_load(&s->ran) < s->all)
        sched_yield(); /* the thread's, not the task's: the worker stays taken */
    return 0;
}

/* As many as there are workers, each of which ends only when all run; main yields, so its worker is never idle. */
IN_RUNTIME_WITH(tasks_that_must_all_run_at_once_get_all_workers, 2, 8)
{
    int rounds = (int)scaled(100, 10);
    for (int round = 0; round < rounds; round++) {
        sinew_task *tasks[8];
        struct stuck s = {.all = (int)sinew_workers()};
        for (int i = 0; i < s.all; i++)
            tasks[i] = sinew_spawn(meet, &s);
        yield_until(&s.ran, s.all);
        CHECK_EQ(sinew_gather(tasks, (size_t)s.all, NULL), 0);
    }
    return 0;
}

TEST_MAIN(cmocka_unit_test(sleepers_go_on_beside_a_spinning_task),
          cmocka_unit_test(ready_tasks_are_taken_from_a_spinning_worker),
          cmocka_unit_test(tasks_made_ready_by_the_spinning_task_are_taken),
          cmocka_unit_test(all_workers_but_one_may_spin),
          cmocka_unit_test(tasks_that_must_all_run_at_once_get_all_workers),
          cmocka_unit_test(a_worker_with_a_yielding_task_takes_what_is_stuck_behind_a_spinning_one))
