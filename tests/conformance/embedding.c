/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the rules of runtimes beside plain threads (A15, A130, A131, A136, A137), as docs/conformance.md lists them;
 * the number in a test's name is the rule's. Method: runtimes started by the test's own thread, stopped while tasks
 * wait, spawn, block and are joined. Cannot see: that a handle which outlives its runtime is not used; that would be an
 * error of the program.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>

#include <tests/support/run.h>
#include <tests/support/tasks.h>

static sinew_runtime *started(unsigned workers)
{
    sinew_options opt = {.workers = workers};
    sinew_runtime *rt = NULL;
    assert_int_equal(sinew_runtime_start(&opt, &rt), 0);
    return rt;
}

static void wait_for(atomic_int *counter, int n)
{
    while (atomic_load(counter) < n)
        sched_yield();
}

#define FOR_EACH_COUNT(i) for (size_t i = 0; i < WORKER_COUNTS; i++)

/* --- A15: tasks of another runtime -------------------------------------------------------------------------------- */

static intptr_t never_called(sinew_task *task, void *arg)
{
    (void)task, (void)arg;
    CHECK(false);
    return 0;
}

static intptr_t use_a_foreign_task(void *arg)
{
    sinew_task *foreign = arg, *one[1] = {foreign};
    bool done;
    CHECK_EQ(sinew_await(foreign), -EXDEV);
    CHECK_EQ(sinew_shield(foreign), -EXDEV);
    CHECK_EQ(sinew_wait_for(foreign, 0), -EXDEV);
    CHECK_EQ(sinew_wait_for(foreign, SINEW_S(1)), -EXDEV);
    CHECK_EQ(sinew_wait_for(foreign, SINEW_FOREVER), -EXDEV);
    CHECK_EQ(sinew_wait(one, 1, SINEW_ALL_COMPLETED, 0, &done), -EXDEV);
    CHECK_EQ(sinew_on_done(foreign, never_called, NULL), -EXDEV);
    CHECK_EQ(sinew_task_join(foreign), -EDEADLK); /* it is for threads that are no tasks */

    sinew_task *mine = sinew_spawn(return_arg, (void *)1);
    for (int at = 0; at < 2; at++) { /* one foreign task among several is enough, and then nothing is begun */
        sinew_task *mixed[2] = {at == 0 ? foreign : mine, at == 0 ? mine : foreign};
        CHECK_EQ(sinew_wait(mixed, 2, SINEW_FIRST_COMPLETED, SINEW_FOREVER, NULL), -EXDEV);
        sinew_as_completed it;
        CHECK_EQ(sinew_as_completed_begin(&it, mixed, 2, 0), -EXDEV);
        CHECK_EQ(sinew_as_completed_next(&it), -EINVAL);
        sinew_as_completed_end(&it);
        sinew_case cases[3] = {{.kind = SINEW_CASE_TASK, .task = mixed[0]},
                               {.kind = SINEW_CASE_TASK, .task = mixed[1]},
                               {.kind = SINEW_CASE_AFTER, .duration = 0}};
        CHECK_EQ(sinew_select(cases, 3), -EXDEV);
    }
    CHECK_EQ(sinew_await(mine), 1);

    intptr_t results[3];
    for (int settled = 0; settled < 2; settled++)
        for (int at = 0; at < 3; at++) { /* the mixture is refused; gathers use references up */
            sinew_task *tasks[3];
            for (int i = 0; i < 3; i++)
                tasks[i] = i == at ? sinew_ref(foreign) : sinew_spawn(return_arg, (void *)1);
            int r = settled ? sinew_gather_settled(tasks, 3, results) : sinew_gather(tasks, 3, results);
            CHECK_EQ(r, settled ? 0 : -EXDEV);
            CHECK_EQ(results[at], -EXDEV);
        }
    CHECK_EQ(sinew_cancelling(), 0);
    CHECK_EQ(sinew_yield(), 0);
    /* What is for any thread is for any task, too. */
    CHECK(sinew_name(foreign) != NULL);
    sinew_detach(sinew_ref(foreign));
    return 0;
}

static void a015_a_task_of_another_runtime_is_refused_by_every_call_that_waits(void **state)
{
    (void)state;
    FOR_EACH_COUNT(i)
    {
        sinew_runtime *a = started(worker_counts[i]), *b = started(2);
        gate g;
        gate_init(&g, 4);
        sinew_task *t = sinew_spawn_on(b, gate_pass, &g);
        assert_int_equal(sinew_runtime_run(a, use_a_foreign_task, t), 0);
        assert_int_equal(run_workers(worker_counts[i], use_a_foreign_task, t), 0);
        gate_open(&g, 1);
        while (!sinew_done(t))
            sched_yield();
        assert_int_equal(sinew_runtime_run(a, use_a_foreign_task, t), 0); /* ended makes no difference */
        assert_int_equal(g.cancelled, 0);
        assert_int_equal(sinew_task_join(t), 4);
        assert_int_equal(sinew_runtime_stop(a), 0);
        assert_int_equal(sinew_runtime_stop(b), 0);
    }
    assert_int_equal(check_failures, 0);
}

static intptr_t await_future(void *arg)
{
    return sinew_future_await(arg);
}

static intptr_t count_here(sinew_task *task, void *arg)
{
    (void)task;
    atomic_int *here = arg;
    atomic_fetch_add(&here[sinew_workers() == 1], 1);
    return 0;
}

struct registration {
    sinew_future *f;
    atomic_int here[2];
};

static intptr_t register_here(void *arg)
{
    struct registration *r = arg;
    sinew_task *t = sinew_future_task(r->f);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(sinew_on_done(t, count_here, r->here), 0);
    CHECK_EQ(sinew_on_done_remove(t, count_here), 3); /* of this runtime */
    for (int i = 0; i < 2; i++)
        CHECK_EQ(sinew_on_done(t, count_here, r->here), 0);
    sinew_detach(t);
    return 0;
}

/* They belong to none. */
static void a015_futures_are_for_all_runtimes_and_callbacks_run_where_they_were_registered(void **state)
{
    (void)state;
    sinew_runtime *a = started(1), *b = started(2);
    struct registration r = {.f = sinew_future_new()};
    sinew_task *in_a = sinew_spawn_on(a, await_future, r.f), *in_b = sinew_spawn_on(b, await_future, r.f);
    assert_int_equal(sinew_runtime_run(a, register_here, &r), 0);
    assert_int_equal(sinew_runtime_run(b, register_here, &r), 0);
    assert_int_equal(sinew_future_set(r.f, 7), 0);
    assert_int_equal(sinew_task_join(in_a), 7);
    assert_int_equal(sinew_task_join(in_b), 7);
    wait_for(&r.here[1], 2);
    wait_for(&r.here[0], 2);
    assert_int_equal(sinew_runtime_stop(a), 0);
    assert_int_equal(sinew_runtime_stop(b), 0);
    assert_int_equal(r.here[0], 2);
    assert_int_equal(r.here[1], 2);
    sinew_future_unref(r.f);
    assert_int_equal(check_failures, 0);
}

/* --- A130: again and again ---------------------------------------------------------------------------------------- */

static int value;
static sinew_local key;

static intptr_t spawn_in_background(void *arg)
{
    CHECK(sinew_local_get(&key) == NULL); /* what an earlier run has set is not seen */
    CHECK_EQ(sinew_local_set(&key, &value), 0);
    sinew_detach(sinew_spawn(gate_pass, arg));
    return (intptr_t)sinew_runtime_self();
}

static void a130_a_runtime_runs_one_after_the_other_and_background_tasks_live_on(void **state)
{
    enum { RUNS = 5 };
    (void)state;
    FOR_EACH_COUNT(i)
    {
        sinew_runtime *rt = started(worker_counts[i]);
        gate gates[RUNS];
        for (int k = 0; k < RUNS; k++) {
            gate_init(&gates[k], 0);
            assert_int_equal(sinew_runtime_run(rt, spawn_in_background, &gates[k]), (intptr_t)rt);
            wait_for(&gates[k].reached, 1);
            assert_int_equal(sinew_tasks(rt, NULL, 0), k + 1);
            assert_int_equal(sinew_runtime_run(rt, return_arg, (void *)(intptr_t)-EIO),
                             -EIO); /* an error ends nothing */
        }
        for (int k = 0; k < RUNS; k++) {
            assert_int_equal(gates[k].ended, 0);
            gate_open(&gates[k], 1);
            wait_for(&gates[k].ended, 1);
            assert_int_equal(gates[k].passed, 1);
        }
        assert_int_equal(sinew_runtime_stop(rt), 0);
    }
    assert_int_equal(check_failures, 0);
}

static void a130_sinew_run_may_be_called_again_and_again(void **state)
{
    (void)state;
    for (size_t round = 0; round < scaled(20, 4); round++)
        FOR_EACH_COUNT(i)
        {
            assert_int_equal(run_workers(worker_counts[i], return_arg, (void *)5), 5);
        }
}

/* --- A131, A137: one that ends -------------------------------------------------------------------------------------
 */

struct ending {
    sinew_runtime *rt;
    sinew_sem go_on;
    atomic_int began, stopping, started_late;
};

/* Holds the runtime in its stop until it is let go. */
static intptr_t hold_up_the_stop(void *arg)
{
    struct ending *e = arg;
    atomic_fetch_add(&e->began, 1);
    CHECK_EQ(sinew_sem_wait(&e->go_on), -ECANCELED);
    atomic_fetch_add(&e->stopping, 1);
    CHECK_EQ(sinew_sem_wait(&e->go_on), 0);
    return 0;
}

static intptr_t start_late(void *arg)
{
    struct ending *e = arg;
    atomic_fetch_add(&e->started_late, 1);
    return 0;
}

static void *stop_it(void *arg)
{
    return (void *)(intptr_t)sinew_runtime_stop(arg);
}

static void a131_a_runtime_that_is_ending_refuses_to_run_and_a_second_stop_is_told(void **state)
{
    (void)state;
    FOR_EACH_COUNT(i)
    {
        struct ending e = {.rt = started(worker_counts[i])};
        sinew_sem_init(&e.go_on, 0);
        sinew_detach(sinew_spawn_on(e.rt, hold_up_the_stop, &e));
        wait_for(&e.began, 1);
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, stop_it, e.rt), 0);
        wait_for(&e.stopping, 1);
        for (int k = 0; k < 3; k++) {
            assert_int_equal(sinew_runtime_run(e.rt, start_late, &e), -ESHUTDOWN);
            assert_int_equal(sinew_runtime_stop(e.rt), -EALREADY);
        }
        sinew_sem_post(&e.go_on);
        void *result;
        pthread_join(thread, &result);
        assert_int_equal((intptr_t)result, 0);
        assert_int_equal(e.started_late, 0);
    }
    assert_int_equal(check_failures, 0);
}

static intptr_t spawn_on_from_a_task(void *arg)
{
    struct ending *e = arg;
    CHECK(sinew_spawn_on(e->rt, start_late, e) == NULL);
    return 0;
}

static void a137_a_runtime_that_is_ending_takes_no_tasks_from_threads_or_other_runtimes(void **state)
{
    (void)state;
    FOR_EACH_COUNT(i)
    {
        struct ending e = {.rt = started(worker_counts[i])};
        sinew_sem_init(&e.go_on, 0);
        sinew_detach(sinew_spawn_on(e.rt, hold_up_the_stop, &e));
        wait_for(&e.began, 1);
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, stop_it, e.rt), 0);
        wait_for(&e.stopping, 1);
        assert_null(sinew_spawn_on(e.rt, start_late, &e));
        assert_int_equal(run_workers(1, spawn_on_from_a_task, &e), 0);
        sinew_sem_post(&e.go_on);
        pthread_join(thread, NULL);
        assert_int_equal(e.started_late, 0);
    }
    assert_int_equal(check_failures, 0);
}

static intptr_t stop_from_the_pool(void *arg)
{
    return sinew_runtime_stop(arg);
}

static intptr_t try_to_stop_it(void *arg)
{
    sinew_runtime *self = sinew_runtime_self();
    CHECK_EQ(sinew_blocking(stop_from_the_pool, self), arg ? -EDEADLK : -EINVAL);
    CHECK_EQ(sinew_runtime_stop(self), arg ? -EDEADLK : -EINVAL); /* the second: a sinew_run ends by itself */
    CHECK_EQ(sinew_yield(), 0);
    CHECK_EQ(sinew_await(sinew_spawn(return_arg, (void *)2)), 2);
    return 0;
}

static void a137_stopping_a_runtime_from_inside_is_refused_and_stops_nothing(void **state)
{
    (void)state;
    FOR_EACH_COUNT(i)
    {
        sinew_runtime *rt = started(worker_counts[i]);
        assert_int_equal(sinew_runtime_run(rt, try_to_stop_it, rt), 0);
        assert_int_equal(sinew_runtime_run(rt, return_arg, (void *)3), 3);
        assert_int_equal(sinew_runtime_stop(rt), 0);
        assert_int_equal(run_workers(worker_counts[i], try_to_stop_it, NULL), 0);
    }
    assert_int_equal(check_failures, 0);
}

/* --- A136: what is under way when it stops -------------------------------------------------------------------------
 */

struct runner {
    sinew_runtime *rt;
    gate gate;
    intptr_t result;
};

static void *run_there(void *arg)
{
    struct runner *r = arg;
    r->result = sinew_runtime_run(r->rt, gate_pass, &r->gate);
    return NULL;
}

static void a136_who_waits_for_a_run_is_told_when_the_runtime_is_stopped_meanwhile(void **state)
{
    enum { THREADS = 3 };
    (void)state;
    int rounds = (int)scaled(50, 10);
    FOR_EACH_COUNT(i)
    for (int round = 0; round < rounds; round++) {
        sinew_runtime *rt = started(worker_counts[i]);
        struct runner runners[THREADS];
        pthread_t threads[THREADS];
        for (int k = 0; k < THREADS; k++) {
            runners[k] = (struct runner){.rt = rt, .result = 77};
            gate_init(&runners[k].gate, 1);
            runners[k].gate.when_stopped = k == 2 ? 8 : 0; /* one answers the cancel with a value */
            assert_int_equal(pthread_create(&threads[k], NULL, run_there, &runners[k]), 0);
        }
        for (int k = 0; k < THREADS; k++)
            wait_for(&runners[k].gate.reached, 1);
        assert_int_equal(sinew_runtime_stop(rt), 0);
        for (int k = 0; k < THREADS; k++) {
            assert_int_equal(runners[k].gate.ended, 1); /* the stop has waited for it */
            pthread_join(threads[k], NULL);
            assert_int_equal(runners[k].result, k == 2 ? 8 : -ECANCELED);
        }
    }
}

static atomic_int callbacks_run, work_ended;

static intptr_t note_callback(sinew_task *task, void *arg)
{
    (void)task, (void)arg;
    atomic_fetch_add(&callbacks_run, 1);
    return 0;
}

static intptr_t make_callbacks_ready(void *arg)
{
    sinew_task *t = sinew_future_task(arg);
    for (int i = 0; i < 10; i++)
        CHECK_EQ(sinew_on_done(t, note_callback, NULL), 0);
    sinew_detach(t);
    return 0;
}

static void a136_callbacks_that_are_ready_when_it_is_stopped_run(void **state)
{
    (void)state;
    int rounds = (int)scaled(100, 20);
    FOR_EACH_COUNT(i)
    for (int round = 0; round < rounds; round++) {
        sinew_runtime *rt = started(worker_counts[i]);
        sinew_future *f = sinew_future_new();
        atomic_store(&callbacks_run, 0);
        assert_int_equal(sinew_runtime_run(rt, make_callbacks_ready, f), 0);
        assert_int_equal(sinew_future_set(f, 0), 0);
        assert_int_equal(sinew_runtime_stop(rt), 0);
        assert_int_equal(callbacks_run, 10);
        sinew_future_unref(f);
    }
    assert_int_equal(check_failures, 0);
}

static intptr_t block_a_while(void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
    usleep(2000);
    atomic_fetch_add(&work_ended, 1);
    return 0;
}

static intptr_t call_blocking(void *arg)
{
    return sinew_blocking(block_a_while, arg);
}

static intptr_t spawn_for_ever(void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
    while (sinew_await(sinew_spawn(return_arg, NULL)) == 0 && sinew_yield() == 0)
        ;
    return 0;
}

static intptr_t cleanup_that_spawns(void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
    CHECK_EQ(sinew_sleep(VERY_LONG), -ECANCELED);
    CHECK_EQ(sinew_await(sinew_spawn(return_arg, (void *)3)), 3);
    atomic_fetch_add(&work_ended, 1);
    return 0;
}

/* Nothing of it runs after the stop has returned. */
static void a136_a_stop_waits_for_all_that_is_under_way(void **state)
{
    (void)state;
    FOR_EACH_COUNT(i)
    for (int round = 0; round < 5; round++) {
        sinew_runtime *rt = started(worker_counts[i]);
        static atomic_int begun;
        atomic_store(&begun, 0);
        atomic_store(&work_ended, 0);
        sinew_detach(sinew_spawn_on(rt, call_blocking, &begun));
        sinew_detach(sinew_spawn_on(rt, spawn_for_ever, &begun));
        sinew_detach(sinew_spawn_on(rt, cleanup_that_spawns, &begun));
        wait_for(&begun, 3);
        assert_int_equal(sinew_runtime_stop(rt), 0);
        assert_int_equal(work_ended, 2);
    }
    assert_int_equal(check_failures, 0);
}

struct completer {
    sinew_future *f;
    atomic_bool go;
};

static void *complete_at_the_stop(void *arg)
{
    struct completer *c = arg;
    while (!atomic_load(&c->go))
        ;
    sinew_future_set(c->f, 0);
    return NULL;
}

/* Those that the end of the runtime has overtaken are dropped; none runs later. */
static void a136_a_future_completed_while_the_runtime_stops_runs_its_callbacks_or_drops_them(void **state)
{
    (void)state;
    int rounds = (int)scaled(200, 30);
    FOR_EACH_COUNT(i)
    for (int round = 0; round < rounds; round++) {
        sinew_runtime *rt = started(worker_counts[i]);
        struct completer c = {.f = sinew_future_new()};
        pthread_t thread;
        atomic_store(&callbacks_run, 0);
        assert_int_equal(pthread_create(&thread, NULL, complete_at_the_stop, &c), 0);
        assert_int_equal(sinew_runtime_run(rt, make_callbacks_ready, c.f), 0);
        atomic_store(&c.go, true);
        for (volatile int spin = 0; spin < round * 7919 % 30000; spin = spin + 1)
            ;
        assert_int_equal(sinew_runtime_stop(rt), 0);
        int run = callbacks_run;
        pthread_join(thread, NULL);
        assert_int_equal(callbacks_run, run);
        assert_in_range(run, 0, 10);
        sinew_future_unref(c.f);
    }
    assert_int_equal(check_failures, 0);
}

TEST_MAIN(cmocka_unit_test(a015_a_task_of_another_runtime_is_refused_by_every_call_that_waits),
          cmocka_unit_test(a015_futures_are_for_all_runtimes_and_callbacks_run_where_they_were_registered),
          cmocka_unit_test(a130_a_runtime_runs_one_after_the_other_and_background_tasks_live_on),
          cmocka_unit_test(a130_sinew_run_may_be_called_again_and_again),
          cmocka_unit_test(a131_a_runtime_that_is_ending_refuses_to_run_and_a_second_stop_is_told),
          cmocka_unit_test(a136_who_waits_for_a_run_is_told_when_the_runtime_is_stopped_meanwhile),
          cmocka_unit_test(a136_callbacks_that_are_ready_when_it_is_stopped_run),
          cmocka_unit_test(a136_a_stop_waits_for_all_that_is_under_way),
          cmocka_unit_test(a136_a_future_completed_while_the_runtime_stops_runs_its_callbacks_or_drops_them),
          cmocka_unit_test(a137_a_runtime_that_is_ending_takes_no_tasks_from_threads_or_other_runtimes),
          cmocka_unit_test(a137_stopping_a_runtime_from_inside_is_refused_and_stops_nothing))
