/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: runtimes that plain threads start, give work to, wait for and stop; several in one process.
 * Method: the test's own thread is the plain thread; 1, 2 and 8 workers.
 * Cannot see: that a handle which outlives its runtime is not used.
 */
#include <errno.h>
#include <pthread.h>

#include <tests/support/run.h>
#include <tests/support/tasks.h>

static const unsigned counts[] = {1, 2, 8};

static sinew_runtime *started(unsigned workers)
{
    sinew_options opt = {.workers = workers};
    sinew_runtime *rt = NULL;
    assert_int_equal(sinew_runtime_start(&opt, &rt), 0);
    assert_non_null(rt);
    return rt;
}

#define FOR_EACH_COUNT(i) for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)

static intptr_t square(void *arg)
{
    sinew_yield();
    return (intptr_t)arg * (intptr_t)arg;
}

static void tasks_spawned_by_a_thread_are_joined(void **state)
{
    (void)state;
    FOR_EACH_COUNT(i)
    {
        sinew_runtime *rt = started(counts[i]);
        sinew_task *tasks[200];
        for (intptr_t k = 0; k < 200; k++)
            tasks[k] = sinew_spawn_on(rt, square, (void *)k);
        for (intptr_t k = 0; k < 200; k++)
            assert_int_equal(sinew_task_join(tasks[k]), k * k);
        assert_int_equal(sinew_runtime_run(rt, square, (void *)12), 144);
        assert_int_equal(sinew_runtime_stop(rt), 0);
    }
}

static void an_idle_runtime_is_woken_by_a_spawn(void **state)
{
    (void)state;
    FOR_EACH_COUNT(i)
    {
        sinew_runtime *rt = started(counts[i]);
        for (int round = 0; round < 5; round++) {
            struct timespec nap = {.tv_nsec = 3000000}; /* long enough for all to fall asleep; nothing depends on it */
            nanosleep(&nap, NULL);
            assert_int_equal(sinew_runtime_run(rt, square, (void *)3), 9);
        }
        sinew_runtime_stop(rt);
    }
}

static void a_thread_cancels_a_task(void **state)
{
    (void)state;
    FOR_EACH_COUNT(i)
    {
        sinew_runtime *rt = started(counts[i]);
        sinew_task *t = sinew_spawn_on(rt, sleep_very_long, NULL);
        assert_true(sinew_cancel(t));
        assert_int_equal(sinew_task_join(sinew_ref(t)), -ECANCELED);
        assert_false(sinew_cancel(t));
        assert_int_equal(sinew_result(t), -ECANCELED);
        sinew_detach(t);
        sinew_runtime_stop(rt);
    }
}

static void stop_cancels_what_is_left_and_waits_for_it(void **state)
{
    (void)state;
    FOR_EACH_COUNT(i)
    {
        static gate gates[50];
        sinew_runtime *rt = started(counts[i]);
        for (int k = 0; k < 50; k++) {
            gate_init(&gates[k], 0);
            sinew_detach(sinew_spawn_on(rt, gate_pass, &gates[k]));
        }
        for (int k = 0; k < 50; k++)
            while (atomic_load(&gates[k].reached) == 0)
                sched_yield();
        assert_int_equal(sinew_runtime_stop(rt), 0);
        for (int k = 0; k < 50; k++) {
            assert_int_equal(atomic_load(&gates[k].cancelled), 1);
            assert_int_equal(atomic_load(&gates[k].ended), 1);
        }
    }
}

struct spawner {
    sinew_runtime *rt;
    atomic_bool stop;
    atomic_long joined;
};

static void *spawn_and_join(void *arg)
{
    struct spawner *s = arg;
    for (intptr_t k = 0; !atomic_load(&s->stop) && k < 500; k++)
        if (sinew_task_join(sinew_spawn_on(s->rt, square, (void *)k)) == k * k)
            atomic_fetch_add(&s->joined, 1);
    return NULL;
}

static void *spawn_one(void *arg)
{
    struct spawner *s = arg;
    sinew_task *t = sinew_spawn_on(s->rt, square, NULL);
    if (t)
        atomic_fetch_add(&s->joined, 1);
    sinew_detach(t);
    CHECK_EQ(sinew_runtime_run(s->rt, square, NULL), -ESHUTDOWN);
    return NULL;
}

static void many_threads_spawn_at_once(void **state)
{
    (void)state;
    FOR_EACH_COUNT(i)
    {
        struct spawner s = {.rt = started(counts[i])};
        pthread_t threads[4];
        for (int k = 0; k < 4; k++)
            pthread_create(&threads[k], NULL, spawn_and_join, &s);
        for (int k = 0; k < 4; k++)
            pthread_join(threads[k], NULL);
        assert_int_equal(atomic_load(&s.joined), 2000);
        sinew_runtime_stop(s.rt);
    }
}

struct pair {
    sinew_runtime *other;
    sinew_task *of_other;
};

static intptr_t use_a_foreign_task(void *arg)
{
    struct pair *p = arg;
    bool done[1];
    CHECK_EQ(sinew_await(p->of_other), -EXDEV);
    CHECK_EQ(sinew_shield(p->of_other), -EXDEV);
    CHECK_EQ(sinew_wait_for(p->of_other, SINEW_S(1)), -EXDEV);
    CHECK_EQ(sinew_wait(&p->of_other, 1, SINEW_ALL_COMPLETED, 0, done), -EXDEV);
    sinew_task *tasks[2] = {sinew_spawn(return_arg, (void *)1), sinew_ref(p->of_other)};
    intptr_t results[2];
    CHECK_EQ(sinew_gather(tasks, 2, results), -EXDEV);
    CHECK_EQ(results[1], -EXDEV);
    sinew_task *mine = sinew_spawn_on(p->other, square, (void *)4);
    CHECK(mine != NULL);
    while (!sinew_done(mine))
        sinew_yield();
    CHECK_EQ(sinew_result(mine), 16);
    sinew_detach(mine);
    return 0;
}

static void two_runtimes_side_by_side(void **state)
{
    (void)state;
    FOR_EACH_COUNT(i)
    {
        sinew_runtime *a = started(counts[i]), *b = started(2);
        struct pair p = {.other = b, .of_other = sinew_spawn_on(b, sleep_very_long, NULL)};
        assert_int_equal(sinew_runtime_run(a, use_a_foreign_task, &p), 0);
        assert_int_equal(atomic_load(&check_failures), 0);
        sinew_cancel(p.of_other);
        assert_int_equal(sinew_task_join(p.of_other), -ECANCELED);
        sinew_runtime_stop(b);
        assert_int_equal(sinew_runtime_run(a, square, (void *)5), 25);
        sinew_runtime_stop(a);
    }
}

struct message {
    sinew_future *request, *answer;
};

static intptr_t answer(void *arg)
{
    struct message *m = arg;
    return sinew_future_set(m->answer, sinew_future_await(m->request) + 1);
}

static intptr_t ask(void *arg)
{
    struct message *m = arg;
    sinew_future_set(m->request, 41);
    return sinew_future_await(m->answer);
}

static void futures_pass_between_runtimes(void **state)
{
    (void)state;
    FOR_EACH_COUNT(i)
    {
        sinew_runtime *a = started(counts[i]), *b = started(1);
        for (int round = 0; round < 50; round++) {
            struct message m = {sinew_future_new(), sinew_future_new()};
            sinew_task *t = sinew_spawn_on(a, answer, &m);
            assert_int_equal(sinew_runtime_run(b, ask, &m), 42);
            assert_int_equal(sinew_task_join(t), 0);
            sinew_future_unref(m.request);
            sinew_future_unref(m.answer);
        }
        sinew_runtime_stop(a);
        sinew_runtime_stop(b);
    }
}

static intptr_t misuse_inside(void *arg)
{
    (void)arg;
    sinew_runtime *self = sinew_runtime_self();
    CHECK(self != NULL);
    CHECK_EQ(sinew_runtime_stop(self), -EDEADLK);
    sinew_runtime *other = self;
    CHECK_EQ(sinew_runtime_start(NULL, &other), -EDEADLK);
    CHECK(other == NULL);
    CHECK_EQ(sinew_runtime_run(self, square, NULL), -EDEADLK);
    sinew_task *t = sinew_spawn_on(self, square, (void *)2);
    CHECK_EQ(sinew_task_join(t), -EDEADLK);
    CHECK_EQ(sinew_await(t), 4);
    return 0;
}

static intptr_t keep_self(void *arg)
{
    *(sinew_runtime **)arg = sinew_runtime_self();
    return 0;
}

static void misuse_is_refused(void **state)
{
    (void)state;
    sinew_runtime *rt = started(1);
    assert_int_equal(sinew_runtime_run(rt, misuse_inside, NULL), 0);
    assert_int_equal(atomic_load(&check_failures), 0);
    assert_null(sinew_spawn_on(NULL, square, NULL));
    assert_null(sinew_spawn_on(rt, NULL, NULL));
    assert_int_equal(sinew_runtime_run(NULL, square, NULL), -EINVAL);
    assert_int_equal(sinew_runtime_run(rt, NULL, NULL), -EINVAL);
    assert_int_equal(sinew_runtime_stop(NULL), -EINVAL);
    assert_int_equal(sinew_task_join(NULL), -EINVAL);
    assert_int_equal(sinew_runtime_start(NULL, NULL), -EINVAL);
    assert_null(sinew_runtime_self());
    assert_int_equal(sinew_runtime_stop(rt), 0);
    sinew_options absurd = {.workers = 100000};
    sinew_runtime *none = (sinew_runtime *)(void *)&absurd;
    assert_int_equal(sinew_runtime_start(&absurd, &none), -EINVAL);
    assert_null(none);
}

struct ending {
    atomic_int *began, *ended;
};

/* Its own spawns still work then, and are waited for; a thread's do not. */
static intptr_t spawn_while_ending(void *arg)
{
    struct ending *e = arg;
    sinew_runtime *self = sinew_runtime_self();
    atomic_fetch_add(e->began, 1);
    CHECK_EQ(sinew_sleep(VERY_LONG), -ECANCELED);
    pthread_t thread;
    struct spawner s = {.rt = self};
    sinew_task *t = sinew_spawn(square, (void *)3);
    CHECK_EQ(pthread_create(&thread, NULL, spawn_one, &s), 0);
    pthread_join(thread, NULL);
    CHECK_EQ(atomic_load(&s.joined), 0);
    CHECK_EQ(sinew_await(t), 9);
    atomic_fetch_add(e->ended, 1);
    return 0;
}

static void a_runtime_that_ends_takes_no_more_from_threads(void **state)
{
    (void)state;
    sinew_runtime *rt = started(2);
    static atomic_int began, ended;
    static struct ending e = {&began, &ended};
    sinew_detach(sinew_spawn_on(rt, spawn_while_ending, &e));
    while (atomic_load(&began) == 0)
        sched_yield();
    sinew_runtime *seen = NULL;
    assert_int_equal(sinew_runtime_run(rt, keep_self, &seen), 0);
    assert_ptr_equal(seen, rt);
    sinew_runtime_stop(rt);
    assert_int_equal(atomic_load(&ended), 1);
}

TEST_MAIN(cmocka_unit_test(tasks_spawned_by_a_thread_are_joined), cmocka_unit_test(an_idle_runtime_is_woken_by_a_spawn),
          cmocka_unit_test(a_thread_cancels_a_task), cmocka_unit_test(stop_cancels_what_is_left_and_waits_for_it),
          cmocka_unit_test(many_threads_spawn_at_once), cmocka_unit_test(two_runtimes_side_by_side),
          cmocka_unit_test(futures_pass_between_runtimes), cmocka_unit_test(misuse_is_refused),
          cmocka_unit_test(a_runtime_that_ends_takes_no_more_from_threads))
