/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: an event lets all who wait go, in order, whatever becomes of it after; nobody is forgotten by a cancel; threads
 * may use it like tasks; it may end as soon as its last waiter is back.
 * Method: pinned groups for orders and for cancels between set and return; heap events that their waiter frees, which
 * AddressSanitizer watches; plain threads on either side.
 * Cannot see: a thread that is blocked for ever without the test's alarm.
 */
#include <errno.h>
#include <stdlib.h>

#include <tests/support/run.h>
#include <tests/support/tasks.h>

struct waiter {
    sinew_event *event;
    event_log *log;
    int number;
};

static intptr_t wait_and_log(void *arg)
{
    struct waiter *w = arg;
    int r = sinew_event_wait(w->event);
    if (w->log)
        log_event(w->log, r == 0 ? w->number : -w->number);
    return r;
}

IN_RUNTIME_PINNED(waiting_for_a_set_event_does_not_suspend)
{
    sinew_event e;
    gate g;
    sinew_event_init(&e);
    gate_init(&g, 0);
    sinew_task *t = spawn_pinned(gate_pass, &g);
    CHECK(!sinew_event_is_set(&e));
    CHECK_EQ(sinew_event_set(&e), 0);
    CHECK_EQ(sinew_event_set(&e), 0);
    CHECK(sinew_event_is_set(&e));
    CHECK_EQ(sinew_event_wait(&e), 0);
    CHECK_EQ(g.reached, 0);
    gate_open(&g, 1);
    return sinew_await(t);
}

enum { WAITERS = 20 };

IN_RUNTIME_PINNED(set_wakes_all_in_the_order_they_came_even_if_cleared_before_they_run)
{
    sinew_event e;
    event_log log = {.n = 0};
    struct waiter waiters[WAITERS + 1];
    sinew_task *tasks[WAITERS + 1];
    sinew_event_init(&e);
    for (int i = 0; i <= WAITERS; i++)
        waiters[i] = (struct waiter){&e, &log, i + 1};
    for (int i = 0; i < WAITERS; i++)
        tasks[i] = spawn_pinned(wait_and_log, &waiters[i]);
    CHECK_EQ(sinew_yield(), 0);
    CHECK_EQ(sinew_event_set(&e), 0);
    CHECK_EQ(log.n, 0);
    CHECK_EQ(sinew_event_clear(&e), 0);
    CHECK(!sinew_event_is_set(&e));
    tasks[WAITERS] = spawn_pinned(wait_and_log, &waiters[WAITERS]);
    CHECK_EQ(sinew_gather(tasks, WAITERS, NULL), 0);
    CHECK_EQ(log.n, WAITERS);
    for (int i = 0; i < WAITERS; i++)
        CHECK_EQ(log.events[i], i + 1);
    CHECK_EQ(sinew_yield(), 0);
    CHECK(!sinew_done(tasks[WAITERS]));
    CHECK_EQ(sinew_event_set(&e), 0);
    return sinew_await(tasks[WAITERS]);
}

IN_RUNTIME_PINNED(a_cancel_removes_its_waiter_only)
{
    sinew_event e;
    struct waiter w = {&e, NULL, 0};
    sinew_task *tasks[3];
    intptr_t results[3];
    sinew_event_init(&e);
    for (int i = 0; i < 3; i++)
        tasks[i] = spawn_pinned(wait_and_log, &w);
    CHECK_EQ(sinew_yield(), 0);
    CHECK(sinew_cancel(tasks[1]));
    for (int i = 0; i < 3; i++)
        CHECK_EQ(sinew_yield(), 0);
    CHECK(sinew_done(tasks[1]));
    CHECK_EQ(sinew_event_set(&e), 0);
    CHECK_EQ(sinew_gather_settled(tasks, 3, results), 0);
    CHECK_EQ(results[0], 0);
    CHECK_EQ(results[1], -ECANCELED);
    CHECK_EQ(results[2], 0);
    return 0;
}

IN_RUNTIME_PINNED(a_waiter_cancelled_after_the_set_returns_that_and_the_others_go_on)
{
    sinew_event e;
    struct waiter w = {&e, NULL, 0};
    sinew_task *tasks[3];
    intptr_t results[3];
    sinew_event_init(&e);
    for (int i = 0; i < 3; i++)
        tasks[i] = spawn_pinned(wait_and_log, &w);
    CHECK_EQ(sinew_yield(), 0);
    CHECK_EQ(sinew_event_set(&e), 0);
    CHECK_EQ(sinew_event_clear(&e), 0);
    CHECK(sinew_cancel(tasks[1]));
    CHECK_EQ(sinew_gather_settled(tasks, 3, results), 0);
    CHECK_EQ(results[0], 0);
    CHECK_EQ(results[1], -ECANCELED);
    CHECK_EQ(results[2], 0);
    return 0;
}

IN_RUNTIME(a_wait_can_time_out)
{
    sinew_event e;
    sinew_timeout t;
    sinew_event_init(&e);
    sinew_timeout_begin(&t, SINEW_MS(1));
    CHECK_EQ(sinew_event_wait(&e), -ETIMEDOUT);
    CHECK_EQ(sinew_timeout_end(&t), -ETIMEDOUT);
    CHECK_EQ(sinew_event_set(&e), 0);
    return sinew_event_wait(&e);
}

/* The waiter frees the event as soon as it may; who sets it must not touch it after. */
static intptr_t wait_and_free(void *arg)
{
    sinew_event *e = arg;
    int r = sinew_event_wait(e);
    free(e);
    return r;
}

static intptr_t look_and_free(void *arg)
{
    sinew_event *e = arg;
    while (!sinew_event_is_set(e))
        sinew_yield();
    free(e);
    return 0;
}

static intptr_t set_it(void *arg)
{
    return sinew_event_set(arg);
}

IN_RUNTIME(an_event_may_end_as_soon_as_its_waiter_knows)
{
    int rounds = (int)scaled(3000, 300);
    for (int i = 0; i < rounds; i++) {
        sinew_event *e = malloc(sizeof *e);
        sinew_event_init(e);
        sinew_task *tasks[2] = {sinew_spawn(set_it, e), sinew_spawn(i % 2 ? wait_and_free : look_and_free, e)};
        if (i % 3)
            sinew_yield();
        if (!CHECK_EQ(sinew_gather(tasks, 2, NULL), 0))
            break;
    }
    return 0;
}

struct conversation {
    sinew_event asked, answered;
    int question, answer;
};

static void *answer_from_a_thread(void *arg)
{
    struct conversation *c = arg;
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(sinew_event_wait(&c->asked), 0);
        CHECK_EQ(sinew_event_clear(&c->asked), 0);
        c->answer = c->question + 1;
        CHECK_EQ(sinew_event_set(&c->answered), 0);
    }
    return NULL;
}

IN_RUNTIME(a_plain_thread_sets_waits_and_clears)
{
    static struct conversation c; /* ThreadSanitizer is blind to accesses to a local one */
    pthread_t thread;
    sinew_event_init(&c.asked);
    sinew_event_init(&c.answered);
    /* The runtime cannot know of the thread: a timer keeps the deadlock report away. */
    sinew_task *sleeper = sinew_spawn(sleep_very_long, NULL);
    if (!CHECK_EQ(pthread_create(&thread, NULL, answer_from_a_thread, &c), 0))
        return 1;
    for (int i = 0; i < 100; i++) {
        c.question = i;
        CHECK_EQ(sinew_event_set(&c.asked), 0);
        CHECK_EQ(sinew_event_wait(&c.answered), 0);
        CHECK_EQ(sinew_event_clear(&c.answered), 0);
        CHECK_EQ(c.answer, i + 1);
    }
    pthread_join(thread, NULL);
    sinew_cancel(sleeper);
    CHECK_EQ(sinew_await(sleeper), -ECANCELED);
    return 0;
}

static void *wait_in_a_thread(void *arg)
{
    return (void *)(intptr_t)sinew_event_wait(arg);
}

IN_RUNTIME(threads_and_tasks_wait_for_one_event)
{
    enum { THREADS = 4 };
    sinew_event e;
    pthread_t threads[THREADS];
    struct waiter w = {&e, NULL, 0};
    sinew_event_init(&e);
    for (int i = 0; i < THREADS; i++)
        if (!CHECK_EQ(pthread_create(&threads[i], NULL, wait_in_a_thread, &e), 0))
            return 1;
    sinew_task *t = sinew_spawn(wait_and_log, &w);
    for (int i = 0; i < 10; i++)
        sinew_yield();
    CHECK_EQ(sinew_event_set(&e), 0);
    for (int i = 0; i < THREADS; i++) {
        void *result = &e;
        pthread_join(threads[i], &result);
        CHECK(result == NULL);
    }
    return sinew_await(t);
}

static void null_and_no_runtime(void **state)
{
    (void)state;
    sinew_event_init(NULL);
    assert_int_equal(sinew_event_set(NULL), -EINVAL);
    assert_int_equal(sinew_event_clear(NULL), -EINVAL);
    assert_int_equal(sinew_event_wait(NULL), -EINVAL);
    assert_false(sinew_event_is_set(NULL));
    sinew_event e;
    sinew_event_init(&e);
    assert_int_equal(sinew_event_set(&e), 0);
    assert_int_equal(sinew_event_wait(&e), 0);
    assert_int_equal(sinew_event_clear(&e), 0);
    assert_false(sinew_event_is_set(&e));
}

struct twice {
    sinew_event first, second;
    atomic_int waiting;
    int results[2];
    bool late;
};

static intptr_t wait_in_crowd(void *arg)
{
    struct twice *t = arg;
    atomic_fetch_add(&t->waiting, 1);
    return sinew_event_wait(&t->first);
}

static intptr_t wait_twice(void *arg)
{
    struct twice *t = arg;
    atomic_fetch_add(&t->waiting, 1);
    t->results[0] = sinew_event_wait(&t->first);
    t->results[1] = sinew_event_wait(&t->second);
    t->late = sinew_event_is_set(&t->second);
    return 0;
}

static intptr_t set_first(void *arg)
{
    struct twice *t = arg;
    return sinew_event_set(&t->first);
}

/* The grants of a large crowd take a while, and the last of it is cancelled twice meanwhile. The second event is only
 * set when nothing else ends the second wait, so one that was ended by the request finds it unset. */
IN_RUNTIME(a_second_cancel_while_the_first_one_waits_for_the_grant_is_not_late)
{
    enum { CROWD = 20000, ROUNDS = 2 };
    static sinew_task *crowd[CROWD];
    int n = (int)scaled(CROWD, CROWD / 10);
    for (int round = 0; round < ROUNDS; round++) {
        struct twice t = {.waiting = 0};
        sinew_event_init(&t.first);
        sinew_event_init(&t.second);
        for (int i = 0; i < n; i++)
            crowd[i] = sinew_spawn(wait_in_crowd, &t);
        yield_until(&t.waiting, n);
        sinew_task *victim = sinew_spawn(wait_twice, &t);
        yield_until(&t.waiting, n + 1);
        CHECK_EQ(sinew_sleep(SINEW_MS(1)), 0); /* it is in its wait */
        sinew_task *setter = sinew_spawn(set_first, &t);
        while (!sinew_event_is_set(&t.first))
            if (sinew_workers() == 1)
                sinew_yield();
        CHECK(sinew_cancel(victim));
        for (int i = 0; i < 50; i++)
            sinew_yield();
        bool twice = sinew_cancel(victim);
        for (int i = 0; i < 2000 && !sinew_done(victim); i++)
            sinew_sleep(SINEW_MS(1));
        sinew_event_set(&t.second);
        CHECK_EQ(sinew_await(setter), 0);
        CHECK_EQ(sinew_await(victim), 0);
        if (twice && t.results[0] == -ECANCELED &&
            t.results[1] == -ECANCELED) /* else both were met together, or neither in the first wait */
            CHECK(!t.late);
        CHECK_EQ(sinew_gather(crowd, (size_t)n, NULL), 0);
    }
    return 0;
}

TEST_MAIN(cmocka_unit_test(waiting_for_a_set_event_does_not_suspend),
          cmocka_unit_test(set_wakes_all_in_the_order_they_came_even_if_cleared_before_they_run),
          cmocka_unit_test(a_cancel_removes_its_waiter_only),
          cmocka_unit_test(a_waiter_cancelled_after_the_set_returns_that_and_the_others_go_on),
          cmocka_unit_test(a_second_cancel_while_the_first_one_waits_for_the_grant_is_not_late),
          cmocka_unit_test(a_wait_can_time_out), cmocka_unit_test(an_event_may_end_as_soon_as_its_waiter_knows),
          cmocka_unit_test(a_plain_thread_sets_waits_and_clears),
          cmocka_unit_test(threads_and_tasks_wait_for_one_event), cmocka_unit_test(null_and_no_runtime))
