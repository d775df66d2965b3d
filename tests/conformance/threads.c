/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the rules of threads, blocking calls and listings (A21, A145, A147 to A151, A233), as docs/conformance.md lists
 * them; the number in a test's name is the rule's.
 * Method: functions that wait for a POSIX semaphore in their thread; plain threads that use a runtime from outside.
 * Cannot see: that a worker really slept before a thread woke it; only that it was left alone for a while.
 */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <semaphore.h>
#include <time.h>

#include <tests/support/holds.h>
#include <tests/support/run.h>
#include <tests/support/tasks.h>

/* --- A21, A233: listings ------------------------------------------------------------------------------------------ */

enum { MAX = 512 };

static bool listed(const sinew_task *t)
{
    sinew_task_info list[MAX];
    size_t n = sinew_tasks(NULL, list, MAX);
    CHECK(n <= MAX);
    int found = 0;
    for (size_t i = 0; i < n && i < MAX; i++)
        found += list[i].id == (const void *)t;
    CHECK(found <= 1);
    return found == 1;
}

static intptr_t list_from_inside(void *arg)
{
    CHECK(listed(sinew_self()));
    if (arg) {
        CHECK_EQ(sinew_yield(), 0);
        CHECK(listed(sinew_self()));
    }
    return 0;
}

IN_RUNTIME(a021_the_caller_is_listed_whatever_it_is)
{
    for (int suspends = 0; suspends < 2; suspends++) {
        void *arg = suspends ? &suspends : NULL;
        CHECK_EQ(list_from_inside(arg), 0);
        CHECK_EQ(sinew_await(sinew_spawn(list_from_inside, arg)), 0);
        CHECK_EQ(sinew_await(spawn_pinned(list_from_inside, arg)), 0);
        CHECK_EQ(sinew_await(spawn_eager(list_from_inside, arg)), 0);
        CHECK_EQ(sinew_await(sinew_spawn_on(sinew_runtime_self(), list_from_inside, arg)), 0);
        sinew_task *t = sinew_spawn(list_from_inside, arg);
        CHECK_EQ(sinew_gather(&t, 1, NULL), 0);
        CHECK_EQ(sinew_map(list_from_inside, arg, 0, 3, NULL), 0);
        sinew_group g;
        sinew_group_init(&g);
        CHECK_EQ(sinew_group_spawn(&g, list_from_inside, arg), 0);
        CHECK_EQ(sinew_group_wait(&g), 0);
    }
    CHECK_EQ(sinew_tasks(NULL, NULL, 0), 1);
    return 0;
}

static intptr_t ignore_task(sinew_task *task, void *arg)
{
    (void)task;
    atomic_fetch_add((atomic_int *)arg, 1);
    return 0;
}

IN_RUNTIME(a021_listed_from_the_spawn_to_the_end_and_never_after)
{
    for (int end = 0; end < 3; end++) {
        gate g;
        gate_init(&g, end == 1 ? -EIO : 0);
        sinew_task *tasks[] = {sinew_spawn(gate_pass, &g), spawn_pinned(gate_pass, &g), spawn_eager(gate_pass, &g),
                               spawn_named("named", gate_pass, &g)};
        for (int i = 0; i < 4; i++)
            CHECK(listed(tasks[i]));
        yield_until(&g.reached, 4);
        for (int i = 0; i < 4; i++)
            CHECK(listed(tasks[i]));
        CHECK_EQ(sinew_tasks(NULL, NULL, 0), 5);
        for (int i = 0; i < 4; i++)
            if (end == 2)
                CHECK(sinew_cancel(tasks[i]));
            else
                gate_open(&g, 1);
        for (int i = 0; i < 4; i++) {
            yield_until_done(tasks[i]);
            CHECK(!listed(tasks[i]));
            sinew_await(tasks[i]);
        }
        CHECK_EQ(sinew_tasks(NULL, NULL, 0), 1);
    }
    return 0;
}

/* Neither has a body that could run. */
IN_RUNTIME(a021_futures_and_callbacks_that_wait_are_no_tasks)
{
    sinew_future *f = sinew_future_new();
    sinew_task *t = sinew_future_task(f);
    atomic_int calls = 0;
    for (int i = 0; i < 5; i++)
        CHECK_EQ(sinew_on_done(t, ignore_task, &calls), 0);
    CHECK(!listed(t));
    CHECK_EQ(sinew_tasks(NULL, NULL, 0), 1);
    CHECK_EQ(sinew_on_done_remove(t, ignore_task), 5);
    CHECK_EQ(sinew_on_done(t, ignore_task, &calls), 0);
    CHECK_EQ(sinew_future_set(f, 0), 0);
    yield_until(&calls, 1);
    while (sinew_tasks(NULL, NULL, 0) > 1)
        sinew_yield();
    sinew_detach(t);
    sinew_future_unref(f);
    return 0;
}

static void a021_a_runtime_without_tasks_lists_none(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        sinew_options opt = {.workers = worker_counts[i]};
        sinew_runtime *rt = NULL;
        assert_int_equal(sinew_runtime_start(&opt, &rt), 0);
        assert_int_equal(sinew_tasks(rt, NULL, 0), 0);
        sinew_task *t = sinew_spawn_on(rt, sleep_very_long, NULL);
        sinew_task_info info[2];
        assert_int_equal(sinew_tasks(rt, info, 2), 1);
        assert_ptr_equal(info[0].id, t);
        sinew_cancel(t);
        assert_int_equal(sinew_task_join(t), -ECANCELED);
        assert_int_equal(sinew_tasks(rt, NULL, 0), 0);
        assert_int_equal(sinew_runtime_stop(rt), 0);
    }
}

struct lister {
    sinew_runtime *rt;
    const void *always, *never;
    atomic_bool stop;
    atomic_int looks, wrong;
};

static void *list_again_and_again(void *arg)
{
    struct lister *l = arg;
    sinew_task_info list[MAX];
    do {
        size_t n = sinew_tasks(l->rt, list, MAX);
        int always = 0;
        for (size_t i = 0; i < n && i < MAX; i++) {
            always += list[i].id == l->always;
            if (list[i].id == l->never || memchr(list[i].name, 0, sizeof list[i].name) == NULL)
                atomic_fetch_add(&l->wrong, 1);
        }
        if (n < MAX && always != 1)
            atomic_fetch_add(&l->wrong, 1);
        atomic_fetch_add(&l->looks, 1);
    } while (!atomic_load(&l->stop));
    return NULL;
}

static intptr_t come_and_go(void *arg)
{
    if (arg)
        sinew_yield();
    return 0;
}

IN_RUNTIME(a233_threads_list_the_tasks_while_they_come_and_go)
{
    enum { THREADS = 2, TASKS = 50 };
    sinew_task *ended = sinew_spawn(return_arg, NULL);
    yield_until_done(ended);
    struct lister l = {.rt = sinew_runtime_self(), .always = sinew_self(), .never = ended};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, list_again_and_again, &l), 0);
    for (int round = 0; round < 20 || atomic_load(&l.looks) < 10; round++) {
        sinew_task *tasks[TASKS];
        for (int i = 0; i < TASKS; i++)
            tasks[i] = i % 3 ? sinew_spawn(come_and_go, i % 2 ? &l : NULL) : spawn_named("guest", come_and_go, &l);
        for (int i = 0; i < TASKS; i += 7)
            sinew_cancel(tasks[i]);
        CHECK_EQ(sinew_gather_settled(tasks, TASKS, NULL), 0);
        sinew_map(come_and_go, &l, 0, 20, NULL);
    }
    atomic_store(&l.stop, true);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK_EQ(l.wrong, 0);
    sinew_detach(ended);
    return 0;
}

/* --- A145 to A148: blocking calls --------------------------------------------------------------------------------- */

struct place {
    pthread_t caller;
    bool elsewhere, no_task;
};

static intptr_t look_where(void *arg)
{
    struct place *p = arg;
    p->elsewhere = !pthread_equal(pthread_self(), p->caller);
    p->no_task = sinew_self() == NULL && sinew_worker_index() == UINT_MAX;
    return -EXDEV;
}

IN_RUNTIME(a145_a_blocking_call_runs_off_the_workers_and_returns_the_value_or_the_error)
{
    intptr_t results[] = {0, 7, INTPTR_MAX, -EIO, -ECANCELED, -EPERM};
    for (int i = 0; i < 12; i++)
        CHECK_EQ((i % 2 ? sinew_blocking : sinew_blocking_wait)(return_arg, (void *)results[i / 2]), results[i / 2]);
    CHECK_EQ(sinew_cancelling(), 0);
    CHECK_EQ(sinew_yield(), 0);
    struct place p = {.caller = thread_now()};
    CHECK_EQ(sinew_blocking_wait(look_where, &p), -EXDEV);
    CHECK(p.elsewhere && p.no_task);
    return 0;
}

IN_RUNTIME(a145_tasks_go_on_while_functions_block)
{
    hold holds[6];
    sinew_task *tasks[6];
    for (int i = 0; i < 6; i++) {
        hold_init(&holds[i], i);
        tasks[i] = sinew_spawn(hold_calls[i % 2], &holds[i]);
    }
    for (int i = 0; i < 6; i++)
        yield_until(&holds[i].begun, 1);
    CHECK_EQ(sinew_map(return_arg, NULL, 0, 100, NULL), 0);
    CHECK_EQ(sinew_sleep(SINEW_US(100)), 0);
    for (int i = 5; i >= 0; i--) {
        CHECK(!sinew_done(tasks[i]));
        sem_post(&holds[i].open);
        CHECK_EQ(sinew_await(tasks[i]), i);
    }
    return 0;
}

IN_RUNTIME(a147_cancelling_the_wait_frees_the_caller_and_the_function_runs_to_its_end)
{
    for (int how = 0; how < 4; how++) {
        static hold h; /* outlives the call */
        hold_init(&h, how % 2 ? -EIO : 3);
        sinew_task *t = sinew_spawn(call_hold, &h);
        yield_until(&h.begun, 1);
        if (how < 2) {
            CHECK(sinew_cancel(t));
            CHECK_EQ(sinew_await(t), -ECANCELED);
        } else {
            CHECK_EQ(sinew_wait_for(t, SINEW_US(100)), -ETIMEDOUT);
        }
        CHECK_EQ(h.ended, 0);
        sem_post(&h.open);
        yield_until(&h.ended, 1); /* its result, or error, is nobody's */
        CHECK_EQ(sinew_yield(), 0);
        CHECK_EQ(sinew_blocking(return_arg, (void *)4), 4); /* the thread is there for others */
    }
    return 0;
}

IN_RUNTIME(a147_who_lends_its_stack_is_freed_at_the_functions_end_and_then_told)
{
    hold h;
    hold_init(&h, 3);
    sinew_task *t = sinew_spawn(call_hold_wait, &h);
    yield_until(&h.begun, 1);
    CHECK(sinew_cancel(t));
    for (int i = 0; i < 10; i++)
        sinew_yield();
    CHECK(!sinew_done(t));
    sem_post(&h.open);
    CHECK_EQ(sinew_await(t), -ECANCELED);
    CHECK_EQ(h.ended, 1);
    return 0;
}

static uint64_t queued_now(void)
{
    sinew_stats stats;
    CHECK_EQ(sinew_get_stats(&stats), 0);
    return stats.blocking_queued;
}

static intptr_t cancel_what_queues(void *arg)
{
    enum { CALLS = 8 };
    (void)arg;
    hold first, holds[CALLS];
    hold_init(&first, 1);
    sinew_task *runs = sinew_spawn(call_hold, &first), *tasks[CALLS];
    yield_until(&first.begun, 1);
    for (int i = 0; i < CALLS; i++) {
        hold_init(&holds[i], i);
        sem_post(&holds[i].open);
        tasks[i] = sinew_spawn(hold_calls[i % 2], &holds[i]);
        while (queued_now() != (uint64_t)i + 1)
            sinew_yield();
    }
    int cancelled[] = {0, 3, 4, 7}; /* the first, the last, and neighbours; of both calls */
    for (int i = 0; i < 4; i++) {
        sinew_task *t = tasks[cancelled[i]];
        if (i % 2) {
            CHECK(sinew_cancel(t));
            CHECK_EQ(sinew_await(t), -ECANCELED);
        } else {
            CHECK_EQ(sinew_wait_for(t, SINEW_US(100)), -ETIMEDOUT);
        }
        CHECK_EQ(queued_now(), CALLS - (uint64_t)i - 1);
    }
    sem_post(&first.open);
    CHECK_EQ(sinew_await(runs), 1);
    for (int i = 0; i < CALLS; i++) {
        bool gone = i % 4 == 0 || i % 4 == 3;
        if (!gone)
            CHECK_EQ(sinew_await(tasks[i]), i);
        CHECK_EQ(holds[i].begun, !gone);
    }
    for (int i = 0; i < CALLS; i++)
        CHECK_EQ(holds[i].begun, !(i % 4 == 0 || i % 4 == 3));
    return 0;
}

static void a148_a_call_that_waits_in_line_is_taken_out_by_a_cancel_and_never_runs(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        sinew_options opt = {.workers = worker_counts[i], .blocking_threads = 1};
        assert_int_equal(sinew_run_with(&opt, cancel_what_queues, NULL), 0);
    }
    assert_int_equal(check_failures, 0);
}

struct quick {
    atomic_int ran;
};

static intptr_t run_quickly(void *arg)
{
    struct quick *q = arg;
    atomic_fetch_add(&q->ran, 1);
    return 1;
}

static intptr_t call_quickly(void *arg)
{
    return sinew_blocking(run_quickly, arg);
}

static intptr_t cancel_at_the_start(void *arg)
{
    enum { ROUNDS = 1000 };
    static struct quick quick[ROUNDS];
    (void)arg;
    int rounds = (int)scaled(ROUNDS, 150), never = 0;
    for (int i = 0; i < rounds; i++) {
        quick[i] = (struct quick){0};
        sinew_task *t = sinew_spawn(call_quickly, &quick[i]);
        for (int k = 0; k < i % 4; k++)
            sinew_yield();
        for (volatile int spin = 0; spin < i * 7919 % 5000; spin = spin + 1)
            ;
        bool told = sinew_cancel(t);
        intptr_t r = sinew_await(t);
        CHECK(r == 1 || (told && r == -ECANCELED));
        CHECK(r != 1 || quick[i].ran == 1);
    }
    CHECK_EQ(sinew_blocking(return_arg, NULL), 0); /* one thread, first come, first served: all others are over */
    for (int i = 0; i < rounds; i++) {
        CHECK(quick[i].ran <= 1);
        never += quick[i].ran == 0;
    }
    print_message("%d of %d never ran\n", never, rounds);
    return 0;
}

static void a148_a_cancel_and_the_start_may_meet(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        sinew_options opt = {.workers = worker_counts[i], .blocking_threads = 1};
        assert_int_equal(sinew_run_with(&opt, cancel_at_the_start, NULL), 0);
    }
    assert_int_equal(check_failures, 0);
}

/* --- A149: a task as a thread sees it ------------------------------------------------------------------------------
 */

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

static void a149_a_thread_gets_the_result_the_error_and_the_cancel_of_a_task(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        sinew_runtime *rt = started(worker_counts[i]);
        sinew_task *t = sinew_spawn_on(rt, return_arg, (void *)5), *again = sinew_ref(t);
        assert_int_equal(sinew_task_join(t), 5);
        assert_true(sinew_done(again));
        assert_false(sinew_cancel(again));
        assert_int_equal(sinew_result(again), 5);
        assert_int_equal(sinew_task_join(again), 5);
        assert_int_equal(sinew_task_join(sinew_spawn_on(rt, return_arg, (void *)(intptr_t)-EIO)), -EIO);

        gate g;
        gate_init(&g, 1);
        t = sinew_spawn_on(rt, gate_pass, &g);
        wait_for(&g.reached, 1);
        assert_false(sinew_done(t));
        assert_int_equal(sinew_result(t), -EINPROGRESS);
        assert_true(sinew_cancel(t)); /* cancels the task itself */
        assert_int_equal(sinew_task_join(t), -ECANCELED);
        assert_int_equal(g.cancelled, 1);

        gate_init(&g, 1);
        g.when_stopped = 9; /* which may answer with a value */
        t = sinew_spawn_on(rt, gate_pass, &g);
        wait_for(&g.reached, 1);
        assert_true(sinew_cancel(t));
        assert_int_equal(sinew_task_join(t), 9);
        sinew_detach(sinew_spawn_on(rt, gate_pass, &g)); /* left to the stop */
        assert_int_equal(sinew_runtime_stop(rt), 0);
    }
}

struct joiner {
    sinew_task *task;
    intptr_t result;
};

static void *join_it(void *arg)
{
    struct joiner *j = arg;
    j->result = sinew_task_join(j->task);
    return NULL;
}

static void a149_several_threads_may_wait_for_one_task_and_others_cancel_it(void **state)
{
    enum { THREADS = 4 };
    (void)state;
    for (size_t i = 0; i < WORKER_COUNTS; i++)
        for (int round = 0; round < 20; round++) {
            sinew_runtime *rt = started(worker_counts[i]);
            gate g;
            gate_init(&g, 6);
            sinew_task *t = sinew_spawn_on(rt, gate_pass, &g);
            struct joiner joiners[THREADS];
            pthread_t threads[THREADS];
            for (int k = 0; k < THREADS; k++) {
                joiners[k].task = sinew_ref(t);
                assert_int_equal(pthread_create(&threads[k], NULL, join_it, &joiners[k]), 0);
            }
            bool told = round % 2 && sinew_cancel(t);
            if (!told)
                gate_open(&g, 1);
            for (int k = 0; k < THREADS; k++) {
                pthread_join(threads[k], NULL);
                assert_int_equal(joiners[k].result, told ? -ECANCELED : 6);
            }
            sinew_detach(t);
            assert_int_equal(sinew_runtime_stop(rt), 0);
        }
}

static intptr_t yield_some(void *arg)
{
    for (intptr_t i = 0; i < (intptr_t)arg; i++)
        if (sinew_yield() < 0)
            return -ECANCELED;
    return (intptr_t)arg;
}

static void a149_a_cancel_by_a_thread_and_the_end_may_meet(void **state)
{
    (void)state;
    int rounds = (int)scaled(2000, 200);
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        sinew_runtime *rt = started(worker_counts[i]);
        for (int round = 0; round < rounds; round++) {
            intptr_t yields = round % 5;
            sinew_task *t = sinew_spawn_on(rt, yield_some, (void *)yields);
            for (volatile int spin = 0; spin < round * 7919 % 10000; spin = spin + 1)
                ;
            bool told = sinew_cancel(t);
            assert_int_equal(sinew_task_join(t), told ? -ECANCELED : yields);
        }
        assert_int_equal(sinew_runtime_stop(rt), 0);
    }
}

/* --- A150: waking a runtime that sleeps --------------------------------------------------------------------------- */

/* Long enough for all workers to fall asleep; nothing depends on it. */
static void nap(void)
{
    struct timespec t = {.tv_nsec = 3000000};
    nanosleep(&t, NULL);
}

static sinew_sem wake_sem;
static sinew_future *wake_future;
static atomic_int asleep;

static intptr_t sleep_on_sem(void *arg)
{
    atomic_fetch_add(&asleep, 1);
    return arg ? 0 : sinew_sem_wait(&wake_sem);
}

static intptr_t sleep_on_future(void *arg)
{
    (void)arg;
    atomic_fetch_add(&asleep, 1);
    return sinew_future_await(wake_future);
}

static intptr_t sleep_for_long(void *arg)
{
    (void)arg;
    atomic_fetch_add(&asleep, 1);
    return sinew_sleep(VERY_LONG);
}

static void a150_whatever_a_thread_does_for_a_sleeping_runtime_wakes_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        sinew_runtime *rt = started(worker_counts[i]);
        for (int round = 0; round < 3; round++) {
            atomic_store(&asleep, 0);
            sinew_sem_init(&wake_sem, 0);
            wake_future = sinew_future_new();
            nap();
            assert_int_equal(sinew_runtime_run(rt, return_arg, (void *)3), 3);
            sinew_task *a = sinew_spawn_on(rt, sleep_on_sem, NULL), *b = sinew_spawn_on(rt, sleep_on_future, NULL),
                       *c = sinew_spawn_on(rt, sleep_for_long, NULL);
            wait_for(&asleep, 3);
            nap();
            sinew_sem_post(&wake_sem);
            assert_int_equal(sinew_task_join(a), 0);
            nap();
            assert_int_equal(sinew_future_set(wake_future, 8), 0);
            assert_int_equal(sinew_task_join(b), 8);
            nap();
            assert_true(sinew_cancel(c));
            assert_int_equal(sinew_task_join(c), -ECANCELED);
            sinew_future_unref(wake_future);
        }
        nap();
        assert_int_equal(sinew_runtime_stop(rt), 0);
    }
}

/* --- A151: which calls are for tasks only --------------------------------------------------------------------------
 */

static intptr_t never_called(sinew_task *task, void *arg)
{
    (void)task, (void)arg;
    return 0;
}

/* In a thread that runs no task: refused with -EPERM (or NULL), or meant for it. */
static void *call_everything(void *arg)
{
    sinew_task *t = arg, *one[1] = {t};
    intptr_t result;
    bool done;
    sinew_sem sem;
    sinew_sem_init(&sem, 0);
    sinew_mutex mutex;
    sinew_mutex_init(&mutex);
    static sinew_local key;
    sinew_stats stats;
    CHECK(sinew_self() == NULL);
    CHECK(sinew_runtime_self() == NULL);
    CHECK_EQ(sinew_workers(), 0);
    CHECK_EQ(sinew_worker_index(), UINT_MAX);
    CHECK_EQ(sinew_tasks(NULL, NULL, 0), 0);
    CHECK(sinew_spawn(return_arg, NULL) == NULL);
    CHECK(spawn_pinned(return_arg, NULL) == NULL);
    CHECK(spawn_eager(return_arg, NULL) == NULL);
    CHECK_EQ(sinew_await(t), -EPERM);
    CHECK_EQ(sinew_shield(t), -EPERM);
    CHECK_EQ(sinew_wait_for(t, 0), -EPERM);
    CHECK_EQ(sinew_wait_for(t, SINEW_FOREVER), -EPERM);
    CHECK_EQ(sinew_gather(one, 1, &result), -EPERM);
    CHECK_EQ(sinew_gather_settled(one, 1, &result), -EPERM);
    CHECK_EQ(sinew_wait(one, 1, SINEW_ALL_COMPLETED, 0, &done), -EPERM);
    CHECK_EQ(sinew_map(return_arg, NULL, 0, 1, &result), -EPERM);
    CHECK_EQ(sinew_sleep(0), -EPERM);
    CHECK_EQ(sinew_sleep_until(0), -EPERM);
    CHECK_EQ(sinew_yield(), -EPERM);
    CHECK_EQ(sinew_cancelling(), -EPERM);
    CHECK_EQ(sinew_uncancel(), -EPERM);
    CHECK_EQ(sinew_blocking(return_arg, NULL), -EPERM);
    CHECK_EQ(sinew_blocking_wait(return_arg, NULL), -EPERM);
    CHECK_EQ(sinew_on_done(t, never_called, NULL), -EPERM);
    CHECK_EQ(sinew_on_done_remove(t, never_called), -EPERM);
    CHECK_EQ(sinew_local_set(&key, &key), -EPERM);
    CHECK(sinew_local_get(&key) == NULL);
    CHECK_EQ(sinew_set_error_handler(NULL, NULL), -EPERM);
    CHECK_EQ(sinew_get_stats(&stats), -EPERM);
    /* And what is for any thread. */
    CHECK(!sinew_done(t));
    CHECK_EQ(sinew_result(t), -EINPROGRESS);
    CHECK(sinew_name(t) != NULL);
    sinew_detach(sinew_ref(t));
    sinew_sem_post(&sem);
    CHECK_EQ(sinew_sem_trywait(&sem), 0);
    sinew_future *f = sinew_future_new();
    CHECK_EQ(sinew_future_set(f, 1), 0);
    CHECK_EQ(sinew_future_await(f), 1);
    sinew_future_unref(f);
    CHECK(sinew_cancel(t));
    return NULL;
}

IN_RUNTIME(a151_in_a_plain_thread_what_is_for_tasks_is_refused_and_uses_no_reference)
{
    gate g;
    gate_init(&g, 0);
    sinew_task *t = sinew_spawn(gate_pass, &g);
    yield_until(&g.reached, 1);
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, call_everything, t), 0);
    CHECK_EQ(sinew_await(sinew_ref(t)), -ECANCELED);
    pthread_join(thread, NULL);
    CHECK_EQ(sinew_await(t), -ECANCELED);
    return 0;
}

TEST_MAIN(cmocka_unit_test(a021_the_caller_is_listed_whatever_it_is),
          cmocka_unit_test(a021_listed_from_the_spawn_to_the_end_and_never_after),
          cmocka_unit_test(a021_futures_and_callbacks_that_wait_are_no_tasks),
          cmocka_unit_test(a021_a_runtime_without_tasks_lists_none),
          cmocka_unit_test(a233_threads_list_the_tasks_while_they_come_and_go),
          cmocka_unit_test(a145_a_blocking_call_runs_off_the_workers_and_returns_the_value_or_the_error),
          cmocka_unit_test(a145_tasks_go_on_while_functions_block),
          cmocka_unit_test(a147_cancelling_the_wait_frees_the_caller_and_the_function_runs_to_its_end),
          cmocka_unit_test(a147_who_lends_its_stack_is_freed_at_the_functions_end_and_then_told),
          cmocka_unit_test(a148_a_call_that_waits_in_line_is_taken_out_by_a_cancel_and_never_runs),
          cmocka_unit_test(a148_a_cancel_and_the_start_may_meet),
          cmocka_unit_test(a149_a_thread_gets_the_result_the_error_and_the_cancel_of_a_task),
          cmocka_unit_test(a149_several_threads_may_wait_for_one_task_and_others_cancel_it),
          cmocka_unit_test(a149_a_cancel_by_a_thread_and_the_end_may_meet),
          cmocka_unit_test(a150_whatever_a_thread_does_for_a_sleeping_runtime_wakes_it),
          cmocka_unit_test(a151_in_a_plain_thread_what_is_for_tasks_is_refused_and_uses_no_reference))
