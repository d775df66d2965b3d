/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the rules of sleep, timers and the order of what is ready, A112 to A119 and A122 (conformance/rules.tsv), one
 * test or more for each. What A116 and A119 say of timers themselves is in tests/unit/timers.c.
 * Method: event logs; orders literally with one worker, and with several what every order permits.
 * Cannot see: lateness.
 */
#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <tests/support/run.h>
#include <tests/support/tasks.h>

static void compute_until(sinew_time instant)
{
    while (sinew_now() < instant)
        ;
}

struct entry {
    event_log *log;
    int number, yields;
    sinew_time until;
};

static intptr_t log_number(void *arg)
{
    struct entry *e = arg;
    for (int i = 0; i < e->yields; i++)
        sinew_yield();
    if (e->until)
        CHECK_EQ(sinew_sleep_until(e->until), 0);
    log_event(e->log, e->number);
    return 0;
}

/* --- A112 to A116: sleeping ------------------------------------------------------------------------------------------
 */

IN_RUNTIME(a112_sleep_never_ends_before_its_time)
{
    static const sinew_time durations[] = {1, SINEW_NS(999), SINEW_US(1), SINEW_US(50), SINEW_US(999), SINEW_MS(3)};
    for (int round = 0; round < (int)scaled(20, 3); round++)
        for (size_t i = 0; i < sizeof durations / sizeof durations[0]; i++) {
            sinew_time begin = sinew_now();
            CHECK_EQ(sinew_sleep(durations[i]), 0);
            CHECK(sinew_now() - begin >= durations[i]);
            sinew_time until = sinew_now() + durations[i];
            CHECK_EQ(sinew_sleep_until(until), 0);
            CHECK(sinew_now() >= until);
        }
    return 0;
}

static intptr_t sleep_often(void *arg)
{
    sinew_time step = *(sinew_time *)arg;
    for (int i = 0; i < 20; i++) {
        sinew_time begin = sinew_now();
        CHECK_EQ(sinew_sleep(step), 0);
        CHECK(sinew_now() - begin >= step);
    }
    return 0;
}

IN_RUNTIME(a112_also_when_many_sleep_and_others_expire_their_timers)
{
    enum { SLEEPERS = 50 };
    sinew_time steps[SLEEPERS];
    for (int i = 0; i < SLEEPERS; i++)
        steps[i] = SINEW_US(10 + 37 * i);
    CHECK_EQ(sinew_map(sleep_often, steps, sizeof steps[0], SLEEPERS, NULL), 0);
    return 0;
}

enum way_to_yield { BY_YIELD, BY_ZERO, BY_NEGATIVE, BY_THE_PAST, WAYS_TO_YIELD };

static int give_up_once(enum way_to_yield way)
{
    switch (way) {
    case BY_YIELD:
        return sinew_yield();
    case BY_ZERO:
        return sinew_sleep(0);
    case BY_NEGATIVE:
        return sinew_sleep(-SINEW_S(3));
    default:
        return sinew_sleep_until(sinew_now() - 1);
    }
}

IN_RUNTIME_WITH(a113_sleep_of_no_time_lets_all_that_is_ready_run_exactly_once, 1)
{
    for (int way = 0; way < WAYS_TO_YIELD; way++)
        for (int ready = 0; ready < 100; ready += 9) {
            event_log log = {.n = 0};
            struct entry entries[100];
            sinew_task *tasks[100];
            for (int i = 0; i < ready; i++) {
                entries[i] = (struct entry){.log = &log, .number = i, .yields = 0};
                tasks[i] = sinew_spawn(log_number, &entries[i]);
            }
            CHECK_EQ(log.n, 0);
            CHECK_EQ(give_up_once((enum way_to_yield)way), 0);
            CHECK_EQ(log.n, ready);
            for (int i = 0; i < ready; i++) {
                CHECK_EQ(log.events[i], i);
                CHECK_EQ(sinew_await(tasks[i]), 0);
            }
        }
    return 0;
}

/* Two tasks that yield take turns: each yield is one turn, neither more nor less. */
struct turns {
    event_log *log;
    int number, rounds;
};

static intptr_t take_turns(void *arg)
{
    struct turns *t = arg;
    for (int i = 0; i < t->rounds; i++) {
        log_event(t->log, t->number);
        CHECK_EQ(give_up_once((enum way_to_yield)(i % WAYS_TO_YIELD)), 0);
    }
    return 0;
}

IN_RUNTIME_WITH(a113_tasks_that_give_up_the_processor_take_turns, 1)
{
    enum { TASKS = 3, ROUNDS = 80 };
    event_log log = {.n = 0};
    struct turns turns[TASKS];
    sinew_task *tasks[TASKS];
    for (int i = 0; i < TASKS; i++) {
        turns[i] = (struct turns){&log, i, ROUNDS};
        tasks[i] = sinew_spawn(take_turns, &turns[i]);
    }
    sinew_wait(tasks, TASKS, SINEW_ALL_COMPLETED, SINEW_FOREVER, NULL);
    for (int i = 0; i < TASKS * ROUNDS; i++)
        if (!CHECK_EQ(log.events[i], i % TASKS))
            break;
    for (int i = 0; i < TASKS; i++)
        sinew_await(tasks[i]);
    return 0;
}

/* With several workers: the tail of the worker's own queue, seen by tasks that cannot leave it. */
IN_RUNTIME_PINNED(a113_what_is_pinned_to_the_worker_runs_before_a_pinned_task_that_yields_goes_on)
{
    enum { TASKS = 20 };
    event_log log = {.n = 0};
    struct entry entries[TASKS];
    sinew_task *tasks[TASKS];
    for (int i = 0; i < TASKS; i++) {
        entries[i] = (struct entry){.log = &log, .number = i};
        tasks[i] = spawn_pinned(log_number, &entries[i]);
    }
    CHECK_EQ(sinew_yield(), 0);
    CHECK_EQ(log.n, TASKS);
    for (int i = 0; i < TASKS; i++) {
        CHECK_EQ(log.events[i], i);
        CHECK_EQ(sinew_await(tasks[i]), 0);
    }
    return 0;
}

static intptr_t pinned_yields(void *arg)
{
    event_log *log = arg;
    enum { TASKS = 20 };
    struct entry entries[TASKS];
    sinew_task *tasks[TASKS];
    for (int i = 0; i < TASKS; i++) {
        entries[i] = (struct entry){.log = log, .number = i};
        tasks[i] = sinew_spawn(log_number, &entries[i]);
    }
    CHECK_EQ(sinew_yield(), 0);
    int ran = log->n;
    for (int i = 0; i < TASKS; i++)
        CHECK_EQ(sinew_await(tasks[i]), 0);
    return ran;
}

/* A pinned task and ordinary ones, on one worker. */
IN_RUNTIME_WITH(a113_a_pinned_task_that_yields_lets_ordinary_ones_run, 1)
{
    event_log log = {.n = 0};
    CHECK_EQ(sinew_await(spawn_pinned(pinned_yields, &log)), 20);
    return 0;
}

/* All become due while the only worker computes, so that one look at the timers finds all of them; with more time if
 * that was not enough for all to begin. */
IN_RUNTIME_WITH(a115_timers_due_together_fire_in_the_order_of_their_deadlines, 1)
{
    enum { SLEEPERS = 200 };
    static struct entry entries[SLEEPERS];
    static sinew_task *tasks[SLEEPERS];
    bool together = false;
    for (sinew_time ahead = SINEW_MS(20); !together; ahead *= 2) {
        event_log log = {.n = 0};
        sinew_time base = sinew_now() + ahead;
        for (int i = 0; i < SLEEPERS; i++) {
            int rank = i * 71 % SLEEPERS; /* 71 and 200 have no common divisor: a permutation */
            entries[i] = (struct entry){.log = &log, .number = rank, .until = base + SINEW_US(rank)};
            tasks[i] = sinew_spawn(log_number, &entries[i]);
        }
        sinew_yield();
        together = sinew_now() < base;
        if (together)
            CHECK_EQ(log.n, 0);
        compute_until(base + SINEW_MS(1));
        for (int i = 0; i < SLEEPERS; i++)
            CHECK_EQ(sinew_await(tasks[i]), 0);
        for (int i = 0; together && i < SLEEPERS; i++)
            if (!CHECK_EQ(log.events[i], i))
                break;
    }
    return 0;
}

/* What is left of it with several workers: who sleeps for clearly less time is not later. */
IN_RUNTIME(a115_a_much_earlier_deadline_fires_earlier)
{
    event_log log = {.n = 0};
    struct entry entries[3];
    sinew_task *tasks[3];
    sinew_time base = sinew_now() + SINEW_MS(5);
    for (int i = 0; i < 3; i++) {
        entries[i] = (struct entry){.log = &log, .number = 2 - i, .until = base + SINEW_MS(60) * (2 - i)};
        tasks[i] = sinew_spawn(log_number, &entries[i]);
    }
    for (int i = 0; i < 3; i++)
        CHECK_EQ(sinew_await(tasks[i]), 0);
    /* A machine that stood still in between proves nothing. */
    for (int i = 0; i < 3; i++)
        if (sinew_now() < base + SINEW_MS(150))
            CHECK_EQ(log.events[i], i);
    return 0;
}

IN_RUNTIME(a116_a_cancelled_sleep_does_not_wake_its_task_later)
{
    enum { TASKS = 100 };
    sinew_task *tasks[TASKS];
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < TASKS; i++)
            tasks[i] = sinew_spawn(sleep_very_long, NULL);
        sinew_yield();
        for (int i = 0; i < TASKS; i++) {
            CHECK(sinew_cancel(tasks[i]));
            sinew_cancel(tasks[i]); /* twice is as good as once */
        }
        for (int i = 0; i < TASKS; i++)
            CHECK_EQ(sinew_await(tasks[i]), -ECANCELED);
    }
    /* A sleep that was ended early, and then one on the same stack: the first one's timer must not end the second. */
    for (int i = 0; i < 20; i++) {
        sinew_timeout t;
        sinew_timeout_begin(&t, SINEW_US(100));
        CHECK_EQ(sinew_sleep(SINEW_MS(1)), -ETIMEDOUT);
        CHECK_EQ(sinew_timeout_end(&t), -ETIMEDOUT);
        sinew_time begin = sinew_now();
        CHECK_EQ(sinew_sleep(SINEW_MS(2)), 0);
        CHECK(sinew_now() - begin >= SINEW_MS(2));
    }
    return 0;
}

IN_RUNTIME(a116_an_ended_or_moved_scope_never_expires_at_its_old_deadline)
{
    for (int i = 0; i < 20; i++) {
        sinew_timeout t;
        sinew_timeout_begin(&t, SINEW_US(500));
        if (i % 2) {
            int moved = sinew_timeout_reset(&t, VERY_LONG);
            CHECK(moved == 0 || moved == -ETIMEDOUT);
            if (moved == 0)
                CHECK_EQ(sinew_sleep(SINEW_MS(2)), 0);
        }
        sinew_timeout_end(&t);
        CHECK_EQ(sinew_sleep(SINEW_MS(1)), 0);
    }
    return 0;
}

/* --- A117, A118: the order of what is ready, and that nothing starves
 * ------------------------------------------------- */

struct generation {
    event_log *log;
    int first, depth;
};

static intptr_t spawn_next_generation(void *arg)
{
    struct generation *g = arg;
    log_event(g->log, g->first);
    if (g->depth > 0) {
        struct generation *next = malloc(sizeof *next);
        *next = (struct generation){g->log, g->first + 100, g->depth - 1};
        sinew_detach(sinew_spawn(spawn_next_generation, next));
    }
    free(g);
    return 0;
}

IN_RUNTIME_WITH(a117_what_becomes_ready_runs_in_that_order_and_new_tasks_after_all_that_was_ready, 1)
{
    enum { TASKS = 10, DEPTH = 4 };
    event_log log = {.n = 0};
    for (int i = 0; i < TASKS; i++) {
        struct generation *g = malloc(sizeof *g);
        *g = (struct generation){&log, i, DEPTH};
        sinew_detach(sinew_spawn(spawn_next_generation, g));
    }
    for (int generation = 0; generation <= DEPTH; generation++) {
        CHECK_EQ(sinew_yield(), 0);
        CHECK_EQ(log.n, TASKS * (generation + 1));
    }
    for (int i = 0; i < log.n; i++)
        CHECK_EQ(log.events[i], i / TASKS * 100 + i % TASKS);
    return 0;
}

/* Woken tasks queue like new ones. */
struct waker {
    event_log *log;
    sinew_sem *sem;
    int number;
};

static intptr_t log_when_woken(void *arg)
{
    struct waker *w = arg;
    CHECK_EQ(sinew_sem_wait(w->sem), 0);
    log_event(w->log, w->number);
    return 0;
}

IN_RUNTIME_WITH(a117_woken_and_new_tasks_share_one_order, 1)
{
    enum { PAIRS = 8 };
    event_log log = {.n = 0};
    sinew_sem sems[PAIRS];
    struct waker wakers[PAIRS];
    struct entry entries[PAIRS];
    sinew_task *tasks[2 * PAIRS];
    for (int i = 0; i < PAIRS; i++) {
        sinew_sem_init(&sems[i], 0);
        wakers[i] = (struct waker){&log, &sems[i], 2 * i};
        tasks[i] = sinew_spawn(log_when_woken, &wakers[i]);
    }
    sinew_yield();
    for (int i = 0; i < PAIRS; i++) {
        sinew_sem_post(&sems[i]);
        entries[i] = (struct entry){.log = &log, .number = 2 * i + 1};
        tasks[PAIRS + i] = sinew_spawn(log_number, &entries[i]);
    }
    CHECK_EQ(log.n, 0);
    CHECK_EQ(sinew_yield(), 0);
    CHECK_EQ(log.n, 2 * PAIRS);
    for (int i = 0; i < log.n; i++)
        CHECK_EQ(log.events[i], i);
    for (int i = 0; i < 2 * PAIRS; i++)
        CHECK_EQ(sinew_await(tasks[i]), 0);
    return 0;
}

/* Ways to be always ready. */
enum busy { BUSY_YIELDS, BUSY_RESPAWNS, BUSY_AWAITS, BUSY_GATHERS, BUSY_PING_PONG, BUSY_WAYS };

struct busy_work {
    atomic_bool stop;
    atomic_int live;
    sinew_sem ping, pong;
};

static intptr_t yield_always(void *arg)
{
    struct busy_work *b = arg;
    while (!atomic_load(&b->stop))
        sinew_yield();
    return 0;
}

static intptr_t respawn_always(void *arg)
{
    struct busy_work *b = arg;
    if (atomic_load(&b->stop))
        atomic_fetch_sub(&b->live, 1);
    else
        sinew_detach(sinew_spawn(respawn_always, b));
    return 0;
}

static intptr_t await_always(void *arg)
{
    struct busy_work *b = arg;
    while (!atomic_load(&b->stop))
        sinew_await(sinew_spawn(return_arg, NULL));
    return 0;
}

static intptr_t gather_always(void *arg)
{
    struct busy_work *b = arg;
    while (!atomic_load(&b->stop)) {
        sinew_task *two[] = {sinew_spawn(return_arg, NULL), sinew_spawn(return_arg, NULL)};
        sinew_gather(two, 2, NULL);
    }
    return 0;
}

static intptr_t ping_always(void *arg)
{
    struct busy_work *b = arg;
    while (!atomic_load(&b->stop)) {
        sinew_sem_post(&b->pong);
        sinew_sem_wait(&b->ping);
    }
    sinew_sem_post(&b->pong);
    return 0;
}

static intptr_t pong_always(void *arg)
{
    struct busy_work *b = arg;
    while (!atomic_load(&b->stop)) {
        sinew_sem_wait(&b->pong);
        sinew_sem_post(&b->ping);
    }
    sinew_sem_post(&b->ping);
    return 0;
}

static intptr_t read_byte(void *arg)
{
    char c = 0;
    CHECK_EQ(sinew_read(*(int *)arg, &c, 1), 1);
    return c;
}

static intptr_t sleep_a_little(void *arg)
{
    (void)arg;
    return sinew_sleep(SINEW_MS(2));
}

IN_RUNTIME(a118_tasks_that_are_always_ready_starve_neither_timers_nor_io)
{
    static const sinew_fn bodies[BUSY_WAYS][2] = {{yield_always, yield_always},
                                                  {respawn_always, respawn_always},
                                                  {await_always, await_always},
                                                  {gather_always, gather_always},
                                                  {ping_always, pong_always}};
    for (int way = 0; way < BUSY_WAYS; way++) {
        enum { PAIRS = 8 }; /* enough to keep every worker busy */
        static struct busy_work work[PAIRS];
        sinew_task *busy[2 * PAIRS];
        int p[2];
        if (!CHECK_EQ(pipe(p), 0))
            return 1;
        for (int i = 0; i < PAIRS; i++) {
            atomic_store(&work[i].stop, false);
            atomic_store(&work[i].live, 2);
            sinew_sem_init(&work[i].ping, 0);
            sinew_sem_init(&work[i].pong, 0);
            for (int k = 0; k < 2; k++)
                busy[2 * i + k] = sinew_spawn(bodies[way][k], &work[i]);
        }
        sinew_task *reader = sinew_spawn(read_byte, &p[0]), *sleeper = sinew_spawn(sleep_a_little, NULL);
        CHECK_EQ(sinew_sleep(SINEW_MS(2)), 0);
        CHECK_EQ(sinew_await(sleeper), 0);
        CHECK_EQ(write(p[1], "x", 1), 1);
        CHECK_EQ(sinew_await(reader), 'x');
        for (int i = 0; i < PAIRS; i++)
            atomic_store(&work[i].stop, true);
        for (int i = 0; i < 2 * PAIRS; i++)
            CHECK_EQ(sinew_await(busy[i]), 0);
        for (int i = 0; i < PAIRS; i++)
            while (way == BUSY_RESPAWNS && atomic_load(&work[i].live))
                sinew_yield();
        close(p[0]);
        close(p[1]);
    }
    return 0;
}

/* --- A122 -----------------------------------------------------------------------------------------------------------
 */

IN_RUNTIME(a122_the_clock_is_the_monotonic_one_and_never_goes_back)
{
    struct timespec t;
    sinew_time last = 0;
    for (int i = 0; i < 1000; i++) {
        sinew_time now = sinew_now();
        CHECK(now >= last);
        clock_gettime(CLOCK_MONOTONIC, &t);
        last = SINEW_S(t.tv_sec) + t.tv_nsec;
        CHECK(last >= now);
        if (i % 50 == 0)
            sinew_sleep(SINEW_US(10)); /* and perhaps on another worker */
    }
    return 0;
}

TEST_MAIN(cmocka_unit_test(a112_sleep_never_ends_before_its_time),
          cmocka_unit_test(a112_also_when_many_sleep_and_others_expire_their_timers),
          cmocka_unit_test(a113_sleep_of_no_time_lets_all_that_is_ready_run_exactly_once),
          cmocka_unit_test(a113_tasks_that_give_up_the_processor_take_turns),
          cmocka_unit_test(a113_what_is_pinned_to_the_worker_runs_before_a_pinned_task_that_yields_goes_on),
          cmocka_unit_test(a113_a_pinned_task_that_yields_lets_ordinary_ones_run),
          cmocka_unit_test(a115_timers_due_together_fire_in_the_order_of_their_deadlines),
          cmocka_unit_test(a115_a_much_earlier_deadline_fires_earlier),
          cmocka_unit_test(a116_a_cancelled_sleep_does_not_wake_its_task_later),
          cmocka_unit_test(a116_an_ended_or_moved_scope_never_expires_at_its_old_deadline),
          cmocka_unit_test(a117_what_becomes_ready_runs_in_that_order_and_new_tasks_after_all_that_was_ready),
          cmocka_unit_test(a117_woken_and_new_tasks_share_one_order),
          cmocka_unit_test(a118_tasks_that_are_always_ready_starve_neither_timers_nor_io),
          cmocka_unit_test(a122_the_clock_is_the_monotonic_one_and_never_goes_back))
