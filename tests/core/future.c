/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a future is completed once, by anybody, and everything that waits for tasks can wait for it.
 * Method: tasks and plain threads on both sides; 1, 2 and 8 workers.
 * Cannot see: the order in which several workers resume those who waited.
 */
#include <errno.h>
#include <pthread.h>

#include <tests/support/run.h>
#include <tests/support/tasks.h>

struct waiting {
    sinew_future *f;
    atomic_int started;
    event_log *log;
    int number;
};

static intptr_t wait_for_it(void *arg)
{
    struct waiting *w = arg;
    atomic_fetch_add(&w->started, 1);
    intptr_t r = sinew_future_await(w->f);
    if (w->log)
        log_event(w->log, w->number);
    return r;
}

IN_RUNTIME(every_waiter_gets_the_value)
{
    enum { WAITERS = 20 };
    sinew_future *f = sinew_future_new();
    struct waiting w = {.f = f};
    sinew_task *tasks[WAITERS];
    intptr_t results[WAITERS];
    for (int i = 0; i < WAITERS; i++)
        tasks[i] = sinew_spawn(wait_for_it, &w);
    yield_until(&w.started, WAITERS);
    CHECK(!sinew_future_done(f));
    CHECK_EQ(sinew_future_result(f), -EINPROGRESS);
    CHECK_EQ(sinew_future_set(f, 42), 0);
    CHECK(sinew_future_done(f));
    CHECK_EQ(sinew_future_result(f), 42);
    CHECK_EQ(sinew_gather(tasks, WAITERS, results), 0);
    for (int i = 0; i < WAITERS; i++)
        CHECK_EQ(results[i], 42);
    CHECK_EQ(sinew_future_await(f), 42);
    CHECK_EQ(sinew_future_await(f), 42);
    sinew_future_unref(f);
    return 0;
}

IN_RUNTIME(a_future_is_completed_once)
{
    sinew_future *f = sinew_future_new();
    CHECK_EQ(sinew_future_set(f, 1), 0);
    CHECK_EQ(sinew_future_set(f, 2), -EALREADY);
    CHECK(!sinew_future_cancel(f));
    CHECK_EQ(sinew_future_result(f), 1);
    sinew_future_unref(f);
    return 0;
}

static intptr_t race_to_set(void *arg)
{
    struct waiting *w = arg;
    atomic_fetch_add(&w->started, 1);
    return sinew_future_set(w->f, 7) == 0;
}

IN_RUNTIME(of_many_who_complete_it_one_succeeds)
{
    enum { SETTERS = 64 };
    for (int round = 0; round < 50; round++) {
        sinew_future *f = sinew_future_new();
        struct waiting w = {.f = f};
        sinew_task *tasks[SETTERS];
        intptr_t results[SETTERS], won = 0;
        for (int i = 0; i < SETTERS; i++)
            tasks[i] = sinew_spawn(race_to_set, &w);
        CHECK_EQ(sinew_gather(tasks, SETTERS, results), 0);
        for (int i = 0; i < SETTERS; i++)
            won += results[i];
        CHECK_EQ(won, 1);
        sinew_future_unref(f);
    }
    return 0;
}

IN_RUNTIME_PINNED(waiters_resume_in_the_order_in_which_they_came)
{
    sinew_future *f = sinew_future_new();
    event_log log = {0};
    struct waiting w[5];
    sinew_task *tasks[5];
    for (int i = 0; i < 5; i++) {
        w[i] = (struct waiting){.f = f, .log = &log, .number = i};
        tasks[i] = spawn_pinned(wait_for_it, &w[i]);
        yield_until(&w[i].started, 1);
    }
    sinew_future_set(f, 0);
    CHECK_EQ(atomic_load(&log.n), 0); /* nobody runs inside of the completing call */
    sinew_gather(tasks, 5, NULL);
    for (int i = 0; i < 5; i++)
        CHECK_EQ(log.events[i], i);
    sinew_future_unref(f);
    return 0;
}

IN_RUNTIME(cancelling_one_waiter_cancels_the_future_and_all)
{
    sinew_future *f = sinew_future_new();
    struct waiting w = {.f = f};
    sinew_task *a = sinew_spawn(wait_for_it, &w), *b = sinew_spawn(wait_for_it, &w);
    yield_until(&w.started, 2);
    CHECK(sinew_cancel(a));
    CHECK_EQ(sinew_await(b), -ECANCELED);
    CHECK_EQ(sinew_await(a), -ECANCELED);
    CHECK_EQ(sinew_future_result(f), -ECANCELED);
    CHECK_EQ(sinew_future_set(f, 1), -EALREADY);
    sinew_future_unref(f);
    return 0;
}

static intptr_t shield_it(void *arg)
{
    struct waiting *w = arg;
    atomic_fetch_add(&w->started, 1);
    return sinew_shield(sinew_future_task(w->f));
}

IN_RUNTIME(a_shielded_future_survives_the_cancel_of_its_waiter)
{
    sinew_future *f = sinew_future_new();
    struct waiting w = {.f = f};
    sinew_task *a = sinew_spawn(shield_it, &w), *b = sinew_spawn(wait_for_it, &w);
    yield_until(&w.started, 2);
    sinew_cancel(a);
    CHECK_EQ(sinew_await(a), -ECANCELED);
    CHECK(!sinew_future_done(f));
    sinew_future_set(f, 5);
    CHECK_EQ(sinew_await(b), 5);
    sinew_future_unref(f);
    return 0;
}

IN_RUNTIME(cancel_completes_it_at_once)
{
    sinew_future *f = sinew_future_new();
    CHECK(sinew_future_cancel(f));
    CHECK(sinew_future_done(f));
    CHECK(!sinew_future_cancel(f));
    CHECK_EQ(sinew_future_await(f), -ECANCELED);
    sinew_future_unref(f);
    return 0;
}

IN_RUNTIME(futures_are_gathered_and_waited_for_as_tasks)
{
    sinew_future *f = sinew_future_new(), *g = sinew_future_new();
    sinew_task *tasks[3] = {sinew_future_task(f), sinew_spawn(return_arg, (void *)2), sinew_future_task(g)};
    bool done[3];
    CHECK_EQ(sinew_wait(tasks, 3, SINEW_ALL_COMPLETED, SINEW_MS(1), done), 1);
    CHECK(!done[0] && done[1] && !done[2]);
    sinew_future_set(g, 3);
    sinew_future_set(f, 1);
    intptr_t results[3];
    CHECK_EQ(sinew_gather(tasks, 3, results), 0);
    CHECK_EQ(results[0], 1);
    CHECK_EQ(results[1], 2);
    CHECK_EQ(results[2], 3);
    sinew_future_unref(f);
    sinew_future_unref(g);

    f = sinew_future_new();
    CHECK_EQ(sinew_wait_for(sinew_future_task(f), SINEW_MS(1)), -ETIMEDOUT);
    CHECK_EQ(sinew_future_result(f), -ECANCELED);
    sinew_future_unref(f);
    return 0;
}

static void *set_from_a_thread(void *arg)
{
    sinew_future_set(arg, 99);
    sinew_future_unref(arg);
    return NULL;
}

IN_RUNTIME(a_plain_thread_completes_it)
{
    for (int i = 0; i < 100; i++) {
        sinew_future *f = sinew_future_new();
        pthread_t thread;
        CHECK_EQ(pthread_create(&thread, NULL, set_from_a_thread, sinew_future_ref(f)), 0);
        CHECK_EQ(sinew_future_await(f), 99);
        sinew_future_unref(f);
        pthread_join(thread, NULL);
    }
    return 0;
}

static void *await_in_a_thread(void *arg)
{
    struct waiting *w = arg;
    atomic_fetch_add(&w->started, 1);
    return (void *)sinew_future_await(w->f);
}

IN_RUNTIME(a_plain_thread_waits_for_it)
{
    sinew_future *f = sinew_future_new();
    struct waiting w = {.f = f};
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, await_in_a_thread, &w);
    yield_until(&w.started, 2);
    sinew_future_set(f, 11);
    for (int i = 0; i < 3; i++) {
        void *result;
        pthread_join(threads[i], &result);
        CHECK_EQ((intptr_t)result, 11);
    }
    sinew_future_unref(f);
    return 0;
}

static intptr_t wait_and_flag(void *arg)
{
    struct waiting *w = arg;
    sinew_future_await(w->f);
    atomic_store(&w->started, 1);
    return 0;
}

/* Worker by worker, the one that computes must not be the one that is told. */
IN_RUNTIME_WITH(a_thread_that_completes_it_does_not_wait_for_a_computing_worker, 2, 3, 8)
{
    for (int i = 0; i < 20; i++) {
        sinew_future *f = sinew_future_new();
        struct waiting w = {.f = f};
        sinew_task *t = sinew_spawn(wait_and_flag, &w);
        sinew_sleep(SINEW_US(100)); /* usually enough for it to wait */
        pthread_t thread;
        pthread_create(&thread, NULL, set_from_a_thread, sinew_future_ref(f));
        while (!atomic_load(&w.started)) /* computes, as far as the runtime can see */
            sched_yield();
        sinew_await(t);
        pthread_join(thread, NULL);
        sinew_future_unref(f);
    }
    return 0;
}

static intptr_t flag(void *arg)
{
    atomic_store((atomic_int *)arg, 1);
    return 0;
}

struct from_outside {
    sinew_runtime *rt;
    atomic_int flag;
};

static void *spawn_from_a_thread(void *arg)
{
    struct from_outside *o = arg;
    sinew_detach(sinew_spawn_on(o->rt, flag, &o->flag));
    return NULL;
}

IN_RUNTIME_WITH(a_task_from_a_thread_does_not_wait_for_a_computing_worker, 2, 3, 8)
{
    for (int i = 0; i < 20; i++) {
        struct from_outside o = {.rt = sinew_runtime_self()};
        pthread_t thread;
        pthread_create(&thread, NULL, spawn_from_a_thread, &o);
        while (!atomic_load(&o.flag))
            sched_yield();
        pthread_join(thread, NULL);
    }
    return 0;
}

static intptr_t make_one(void *arg)
{
    sinew_future **f = arg;
    *f = sinew_future_new();
    return sinew_future_set(*f, 4);
}

static void a_future_outlives_its_runtime(void **state)
{
    (void)state;
    sinew_future *f = NULL;
    assert_int_equal(sinew_run(make_one, &f), 0);
    assert_int_equal(sinew_future_result(f), 4);
    assert_int_equal(sinew_future_await(f), 4);
    sinew_future_unref(f);
}

IN_RUNTIME(one_that_is_never_completed_is_freed)
{
    sinew_future *f = sinew_future_new();
    sinew_task *t = sinew_future_task(f);
    CHECK(strncmp(sinew_name(t), "Future-", 7) == 0);
    sinew_detach(t);
    sinew_future_unref(sinew_future_ref(f));
    CHECK_EQ(sinew_future_set(NULL, 0), -EINVAL);
    CHECK_EQ(sinew_future_await(NULL), -EINVAL);
    CHECK_EQ(sinew_future_result(NULL), -EINVAL);
    CHECK(!sinew_future_cancel(NULL));
    CHECK(sinew_future_task(NULL) == NULL);
    CHECK(sinew_future_ref(NULL) == NULL);
    sinew_future_unref(NULL);
    sinew_future_unref(f);
    return 0;
}

TEST_MAIN(cmocka_unit_test(every_waiter_gets_the_value), cmocka_unit_test(a_future_is_completed_once),
          cmocka_unit_test(of_many_who_complete_it_one_succeeds),
          cmocka_unit_test(waiters_resume_in_the_order_in_which_they_came),
          cmocka_unit_test(cancelling_one_waiter_cancels_the_future_and_all),
          cmocka_unit_test(a_shielded_future_survives_the_cancel_of_its_waiter),
          cmocka_unit_test(cancel_completes_it_at_once), cmocka_unit_test(futures_are_gathered_and_waited_for_as_tasks),
          cmocka_unit_test(a_plain_thread_completes_it), cmocka_unit_test(a_plain_thread_waits_for_it),
          cmocka_unit_test(a_thread_that_completes_it_does_not_wait_for_a_computing_worker),
          cmocka_unit_test(a_task_from_a_thread_does_not_wait_for_a_computing_worker),
          cmocka_unit_test(a_future_outlives_its_runtime), cmocka_unit_test(one_that_is_never_completed_is_freed))
