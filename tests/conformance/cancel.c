/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: rules A26 to A47 (cancelling), as docs/conformance.md lists them; the number in a test's name is the rule's.
 * What a cancel of one task does to another that it awaits is in forward.c.
 * Method: every kind of wait there is (support/waits.h), cancelled while it waits, before it begins, and after it was
 * woken; pinned tasks where the moment matters, so that nothing runs between two steps of the test.
 * Cannot see: the moment of delivery between workers; only results that every moment permits.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include <tests/support/run.h>
#include <tests/support/tasks.h>
#include <tests/support/waits.h>

/* --- tasks that record what a cancel did to them ---------------------------------------------------------------- */

struct waiter {
    const wait_kind *kind;
    atomic_int entered;
    atomic_bool returned;
    intptr_t first; /* what the wait said */
    int cancelling; /* and the count then */
    int next;       /* and the next checkpoint */
    intptr_t result;
};

static intptr_t wait_then_look(void *arg)
{
    struct waiter *w = arg;
    atomic_fetch_add(&w->entered, 1);
    w->first = w->kind->wait();
    atomic_store(&w->returned, true);
    w->cancelling = sinew_cancelling();
    w->next = sinew_yield();
    return w->result;
}

static struct waiter waiter_of(int kind, intptr_t result)
{
    return (struct waiter){.kind = &wait_kinds[kind], .cancelling = -1, .next = -1, .result = result};
}

/* A started task in that kind of wait. Pinned to the caller's worker, it has really begun to wait. */
static sinew_task *start_waiter(struct waiter *w, int kind, intptr_t result)
{
    *w = waiter_of(kind, result);
    sinew_task *t = spawn_pinned(wait_then_look, w);
    yield_until(&w->entered, 1);
    return t;
}

static int failures_so_far(void)
{
    return atomic_load(&check_failures);
}

static void tell_kind(int before, const wait_kind *kind)
{
    if (atomic_load(&check_failures) != before)
        print_message("in %s\n", kind->name);
}

static intptr_t count_start(void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
    return 7;
}

/* --- A26: what cancel says -------------------------------------------------------------------------------------- */

IN_RUNTIME(a026_cancel_is_true_for_an_unfinished_task_and_false_for_an_ended_one)
{
    const intptr_t ends[] = {0, 5, -EIO, -ECANCELED};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        sinew_task *t = sinew_spawn(return_arg, (void *)ends[i]);
        yield_until_done(t);
        for (int again = 0; again < 3; again++)
            CHECK(!sinew_cancel(t));
        CHECK_EQ(sinew_await(sinew_ref(t)), ends[i]);
        CHECK(!sinew_cancel(t));
        CHECK_EQ(sinew_await(t), ends[i]);
    }
    for (int kind = 0; kind < WAIT_KINDS; kind++) {
        struct waiter w;
        sinew_task *t = start_waiter(&w, kind, -ECANCELED);
        CHECK(sinew_cancel(t));
        yield_until_done(t);
        CHECK(!sinew_cancel(t));
        CHECK_EQ(w.cancelling, 1);
        CHECK_EQ(sinew_await(t), -ECANCELED);
    }
    CHECK(!sinew_cancel(NULL));
    CHECK(sinew_cancel(sinew_self()));
    CHECK_EQ(sinew_uncancel(), 0);
    return 0;
}

static void *cancel_from_thread(void *task)
{
    return (void *)(intptr_t)sinew_cancel(task);
}

IN_RUNTIME(a026_a_plain_thread_may_cancel)
{
    struct waiter w;
    for (int kind = 0; kind < WAIT_KINDS; kind++) {
        sinew_task *t = start_waiter(&w, kind, 3);
        for (int round = 0; round < 2; round++) {
            pthread_t thread;
            void *said = NULL;
            CHECK_EQ(pthread_create(&thread, NULL, cancel_from_thread, t), 0);
            pthread_join(thread, &said);
            CHECK_EQ((intptr_t)said, round == 0);
            yield_until_done(t);
        }
        CHECK_EQ(w.first, -ECANCELED);
        CHECK_EQ(w.cancelling, 1);
        CHECK_EQ(sinew_await(t), 3);
    }
    return 0;
}

/* --- A27: the moment of delivery -------------------------------------------------------------------------------- */

IN_RUNTIME_PINNED(a027_a_cancel_acts_when_the_task_next_runs_whatever_it_waits_for)
{
    for (int kind = 0; kind < WAIT_KINDS; kind++) {
        int before = failures_so_far();
        struct waiter w;
        sinew_task *t = start_waiter(&w, kind, 11);
        CHECK(sinew_cancel(t));
        CHECK(!sinew_done(t));
        CHECK(!w.returned);
        CHECK_EQ(sinew_await(t), 11);
        CHECK_EQ(w.first, -ECANCELED);
        CHECK_EQ(w.cancelling, 1);
        CHECK_EQ(w.next, 0);
        tell_kind(before, w.kind);
    }
    return 0;
}

/* A wait for something that has come already when the cancel is made, while the waiter has not run since. */
struct window {
    int kind;
    gate inner;
    sinew_task *task; /* at that gate */
    sinew_sem sem;
    sinew_mutex mutex;
    atomic_int entered;
    intptr_t seen;
    int cancelling, next;
};

enum { BY_SEM, BY_MUTEX, BY_SLEEP, BY_YIELD, BY_SHIELD, BY_WAIT, BY_AWAITS };
enum { WINDOWS = BY_AWAITS + FORWARDING };

static intptr_t wait_in_window(void *arg)
{
    struct window *w = arg;
    atomic_store(&w->entered, 1);
    switch (w->kind) {
    case BY_SEM:
        w->seen = sinew_sem_wait(&w->sem);
        break;
    case BY_MUTEX:
        w->seen = sinew_mutex_lock(&w->mutex);
        break;
    case BY_SLEEP:
        w->seen = sinew_sleep(SINEW_US(200));
        break;
    case BY_YIELD:
        w->seen = sinew_yield();
        break;
    case BY_SHIELD:
        w->seen = sinew_shield(sinew_ref(w->task));
        break;
    case BY_WAIT:
        w->seen = sinew_wait(&w->task, 1, SINEW_ALL_COMPLETED, SINEW_FOREVER, NULL);
        break;
    default:
        w->seen = forwarding[w->kind - BY_AWAITS](sinew_ref(w->task));
    }
    w->cancelling = sinew_cancelling();
    w->next = sinew_yield();
    return 0;
}

/* Opens the window: what the waiter waits for comes, and the waiter is ready and has not run. */
static void make_ready(struct window *w)
{
    if (w->kind == BY_SEM) {
        sinew_sem_post(&w->sem);
    } else if (w->kind == BY_MUTEX) {
        CHECK_EQ(sinew_mutex_unlock(&w->mutex), 0);
    } else if (w->kind == BY_SLEEP) {
        for (sinew_time end = sinew_now() + SINEW_MS(3); sinew_now() < end;)
            ;
    } else if (w->kind != BY_YIELD) {
        gate_open(&w->inner, 1);
        CHECK_EQ(sinew_yield(), 0); /* the inner task runs and ends; its waiter is queued behind us */
        CHECK(sinew_done(w->task));
    }
    CHECK_EQ(w->seen, 77);
}

static void cancel_in_window(int kind, intptr_t inner_result)
{
    struct window w = {.kind = kind, .seen = 77, .cancelling = -1, .next = -1};
    gate_init(&w.inner, inner_result);
    sinew_sem_init(&w.sem, 0);
    sinew_mutex_init(&w.mutex);
    CHECK_EQ(sinew_mutex_trylock(&w.mutex), 0);
    w.task = spawn_pinned(gate_pass, &w.inner);
    yield_until(&w.inner.reached, 1);
    sinew_task *t = spawn_pinned(wait_in_window, &w);
    yield_until(&w.entered, 1);
    make_ready(&w);
    CHECK(sinew_cancel(t));
    CHECK_EQ(sinew_await(t), 0);
    if (!CHECK_EQ(w.seen, -ECANCELED))
        print_message("with wait %d and the result %ld\n", kind, (long)inner_result);
    CHECK_EQ(w.cancelling, 1);
    CHECK_EQ(w.next, 0);
    /* What was on its way to the waiter is not lost. */
    if (kind == BY_SEM)
        CHECK_EQ(sinew_sem_trywait(&w.sem), 0);
    if (kind == BY_MUTEX)
        CHECK_EQ(sinew_mutex_trylock(&w.mutex), 0);
    gate_open(&w.inner, 1);
    CHECK_EQ(sinew_await(w.task), inner_result);
}

IN_RUNTIME_PINNED(a027_a_cancel_wins_over_what_has_come_and_was_not_seen_yet)
{
    for (int kind = 0; kind < WINDOWS; kind++)
        cancel_in_window(kind, 5);
    return 0;
}

IN_RUNTIME_PINNED(a027_a_cancel_wins_over_an_error_that_has_come_and_was_not_seen_yet)
{
    for (int kind = BY_SHIELD; kind < WINDOWS; kind++) {
        cancel_in_window(kind, -EIO);
        cancel_in_window(kind, -ECANCELED);
    }
    return 0;
}

/* --- A28: tasks that have not started --------------------------------------------------------------------------- */

static intptr_t await_ended(sinew_task *t)
{
    yield_until_done(t);
    return sinew_await(t);
}

static intptr_t wait_and_await(sinew_task *t)
{
    CHECK_EQ(sinew_wait(&t, 1, SINEW_ALL_COMPLETED, SINEW_FOREVER, NULL), 1);
    return sinew_await(t);
}

static const await_fn takers[] = {sinew_await, await_ended,         sinew_shield,   gather_one,
                                  settle_one,  await_without_limit, wait_and_await, await_with_limit};
enum { TAKERS = sizeof takers / sizeof takers[0] };

static void cancelled_unstarted_never_start(sinew_task *(*spawn)(sinew_fn, void *))
{
    for (int how = 0; how < TAKERS; how++) {
        for (int requests = 1; requests <= 2; requests++) {
            atomic_int started = 0;
            sinew_task *before = spawn(count_start, &started), *t = spawn(count_start, &started);
            for (int i = 0; i < requests; i++)
                CHECK(sinew_cancel(t));
            CHECK(!sinew_done(t));
            CHECK_EQ(takers[how](t), -ECANCELED);
            CHECK_EQ(sinew_await(before), 7);
            CHECK_EQ(started, 1);
            CHECK_EQ(sinew_cancelling(), 0);
        }
    }
    /* Nobody waits for it. */
    atomic_int started = 0;
    sinew_task *t = spawn(count_start, &started);
    CHECK(sinew_cancel(t));
    sinew_detach(t);
    for (int i = 0; i < 10; i++)
        CHECK_EQ(sinew_yield(), 0);
    CHECK_EQ(started, 0);
}

IN_RUNTIME_PINNED(a028_a_task_cancelled_before_its_start_never_runs)
{
    cancelled_unstarted_never_start(spawn_pinned);
    return 0;
}

IN_RUNTIME_WITH(a028_one_worker_never_runs_an_unpinned_task_cancelled_before_its_start, 1)
{
    cancelled_unstarted_never_start(sinew_spawn);
    return 0;
}

/* Nobody runs between the two calls with one worker; with several the task may have begun, and then ends cancelled. */
IN_RUNTIME(a028_a_cancel_that_races_with_the_start_agrees_with_the_result)
{
    int rounds = (int)scaled(10000, 1000);
    for (int i = 0; i < rounds; i++) {
        atomic_int started = 0;
        sinew_task *t = sinew_spawn(count_start, &started);
        for (volatile int spin = 0; spin < (i % 64) * 8; spin = spin + 1)
            ;
        bool took = sinew_cancel(t);
        CHECK_EQ(sinew_await(t), took ? -ECANCELED : 7);
        CHECK(took || started);
        if (sinew_workers() == 1)
            CHECK_EQ(started, 0);
    }
    return 0;
}

/* --- A29 to A32: requests and their count ----------------------------------------------------------------------- */

static intptr_t double_it(void *arg)
{
    CHECK_EQ(sinew_yield(), 0);
    return 2 * *(int *)arg;
}

/* One wait of each sort, to its good end. */
static void wait_in_earnest(void)
{
    int numbers[2] = {4, 5};
    intptr_t results[2] = {0, 0};
    sinew_task *tasks[2] = {sinew_spawn(double_it, &numbers[0]), sinew_spawn(double_it, &numbers[1])};
    CHECK_EQ(sinew_sleep(SINEW_US(50)), 0);
    CHECK_EQ(sinew_wait(tasks, 2, SINEW_ALL_COMPLETED, SINEW_FOREVER, NULL), 2);
    CHECK_EQ(sinew_gather(tasks, 2, results), 0);
    CHECK_EQ(results[1], 10);
    CHECK_EQ(sinew_await(sinew_spawn(double_it, &numbers[0])), 8);
    CHECK_EQ(sinew_shield(spawn_eager(double_it, &numbers[0])), 8);
    CHECK_EQ(sinew_wait_for(spawn_pinned(double_it, &numbers[0]), VERY_LONG), 8);
    CHECK_EQ(sinew_map(double_it, numbers, sizeof numbers[0], 2, results), 0);
    CHECK_EQ(results[0], 8);
    sinew_group g;
    sinew_group_init(&g);
    CHECK_EQ(sinew_group_spawn(&g, double_it, &numbers[0]), 0);
    CHECK_EQ(sinew_group_wait(&g), 0);
    CHECK_EQ(sinew_yield(), 0);
}

static intptr_t swallow_and_go_on(void *arg)
{
    struct waiter *w = arg;
    atomic_fetch_add(&w->entered, 1);
    w->first = w->kind->wait();
    wait_in_earnest();
    w->cancelling = sinew_cancelling();
    return 70;
}

IN_RUNTIME(a029_after_one_delivery_the_task_goes_on_and_its_waits_work)
{
    for (int kind = 0; kind < WAIT_KINDS; kind++) {
        int before = failures_so_far();
        struct waiter w = waiter_of(kind, 0);
        sinew_task *t = sinew_spawn(swallow_and_go_on, &w);
        yield_until(&w.entered, 1);
        CHECK(sinew_cancel(t));
        CHECK_EQ(sinew_await(t), 70);
        CHECK_EQ(w.first, -ECANCELED);
        CHECK_EQ(w.cancelling, 1);
        tell_kind(before, w.kind);
    }
    return 0;
}

IN_RUNTIME_PINNED(a030_several_requests_before_the_task_runs_are_one_delivery_and_all_counted)
{
    for (int kind = 0; kind < WAIT_KINDS; kind++) {
        int before = failures_so_far();
        struct waiter w;
        sinew_task *t = start_waiter(&w, kind, 6);
        for (int i = 0; i < 3; i++)
            CHECK(sinew_cancel(t));
        CHECK_EQ(sinew_await(t), 6);
        CHECK_EQ(w.first, -ECANCELED);
        CHECK_EQ(w.cancelling, 3);
        CHECK_EQ(w.next, 0);
        tell_kind(before, w.kind);
    }
    return 0;
}

IN_RUNTIME(a031_cancelling_counts_requests_and_uncancel_takes_them_back)
{
    CHECK_EQ(sinew_cancelling(), 0);
    CHECK_EQ(sinew_uncancel(), 0);
    CHECK_EQ(sinew_cancelling(), 0);
    for (int i = 1; i <= 5; i++) {
        CHECK(sinew_cancel(sinew_self()));
        CHECK_EQ(sinew_cancelling(), i);
    }
    CHECK_EQ(sinew_yield(), -ECANCELED);
    CHECK_EQ(sinew_cancelling(), 5);
    for (int i = 4; i >= 0; i--) {
        CHECK_EQ(sinew_uncancel(), i);
        CHECK_EQ(sinew_cancelling(), i);
    }
    CHECK_EQ(sinew_uncancel(), 0);
    /* Back at nothing: the next one counts from one. */
    CHECK(sinew_cancel(sinew_self()));
    CHECK_EQ(sinew_cancelling(), 1);
    CHECK_EQ(sinew_sleep(VERY_LONG), -ECANCELED);
    CHECK_EQ(sinew_uncancel(), 0);
    CHECK_EQ(sinew_yield(), 0);
    return 0;
}

/* The count is of this task alone, whatever stack it runs on. */
static intptr_t count_by_level(void *arg)
{
    intptr_t left = (intptr_t)arg;
    CHECK_EQ(sinew_cancelling(), 0);
    for (intptr_t i = 0; i < left; i++)
        CHECK(sinew_cancel(sinew_self()));
    CHECK_EQ(sinew_yield(), left > 0 ? -ECANCELED : 0);
    if (left > 0)
        CHECK_EQ(sinew_await(sinew_spawn(count_by_level, (void *)(left - 1))), 0);
    CHECK_EQ(sinew_cancelling(), left);
    return 0;
}

IN_RUNTIME(a031_each_task_has_a_count_of_its_own)
{
    CHECK_EQ(sinew_await(sinew_spawn(count_by_level, (void *)8)), 0);
    CHECK_EQ(sinew_cancelling(), 0);
    return 0;
}

/* What sinew does differently: asyncio counts without end. */
IN_RUNTIME(a031_the_count_stops_at_2047)
{
    for (int i = 1; i <= 5000; i++) {
        CHECK(sinew_cancel(sinew_self()));
        CHECK_EQ(sinew_cancelling(), i < 2047 ? i : 2047);
    }
    CHECK_EQ(sinew_yield(), -ECANCELED);
    CHECK_EQ(sinew_yield(), 0);
    for (int left = 2046; left >= 0; left--)
        CHECK_EQ(sinew_uncancel(), left);
    CHECK_EQ(sinew_cancelling(), 0);
    CHECK_EQ(sinew_yield(), 0);
    return 0;
}

static intptr_t cancel_other(void *task)
{
    return sinew_cancel(task);
}

/* Requested by the task itself, and by another one that runs meanwhile without a checkpoint of this one. */
IN_RUNTIME(a032_uncancel_to_zero_drops_a_request_not_yet_delivered)
{
    for (int way = 0; way < 2; way++) {
        for (int requests = 1; requests <= 3; requests++) {
            for (int i = 0; i < requests; i++) {
                if (way == 0)
                    CHECK(sinew_cancel(sinew_self()));
                else
                    CHECK_EQ(sinew_await(spawn_eager(cancel_other, sinew_self())), 1);
            }
            for (int i = requests - 1; i >= 0; i--)
                CHECK_EQ(sinew_uncancel(), i);
            wait_in_earnest();
            CHECK_EQ(sinew_cancelling(), 0);
        }
    }
    /* One that is left is delivered all the same. */
    CHECK(sinew_cancel(sinew_self()));
    CHECK(sinew_cancel(sinew_self()));
    CHECK_EQ(sinew_uncancel(), 1);
    CHECK_EQ(sinew_yield(), -ECANCELED);
    CHECK_EQ(sinew_uncancel(), 0);
    /* And it does not end the task. */
    return 0;
}

static intptr_t cancel_and_take_back(void *arg)
{
    CHECK(sinew_cancel(sinew_self()));
    CHECK_EQ(sinew_uncancel(), 0);
    return (intptr_t)arg;
}

IN_RUNTIME(a032_a_dropped_request_does_not_end_the_task_cancelled)
{
    CHECK_EQ(sinew_await(sinew_spawn(cancel_and_take_back, (void *)13)), 13);
    CHECK_EQ(sinew_await(spawn_eager(cancel_and_take_back, (void *)13)), 13);
    CHECK_EQ(sinew_await(spawn_pinned(cancel_and_take_back, (void *)13)), 13);
    return 0;
}

/* --- A33 to A35: how a cancelled task ends ---------------------------------------------------------------------- */

static void end_after_cancel(intptr_t result)
{
    for (int kind = 0; kind < WAIT_KINDS; kind++) {
        struct waiter w;
        sinew_task *t = start_waiter(&w, kind, result);
        CHECK(sinew_cancel(t));
        yield_until_done(t);
        CHECK_EQ(w.first, -ECANCELED);
        CHECK_EQ(w.cancelling, 1); /* keeps the count, though it was swallowed */
        CHECK_EQ(sinew_await(sinew_ref(t)), result);
        CHECK_EQ(sinew_gather_settled(&t, 1, &result), 0);
    }
}

IN_RUNTIME(a033_a_task_that_swallows_a_cancel_and_returns_a_value_ends_with_it)
{
    end_after_cancel(21);
    end_after_cancel(0);
    return 0;
}

IN_RUNTIME(a034_another_error_while_handling_a_cancel_is_the_result)
{
    end_after_cancel(-EBADMSG);
    end_after_cancel(-ETIMEDOUT);
    return 0;
}

static intptr_t return_cancelled_later(void *arg)
{
    (void)arg;
    CHECK_EQ(sinew_yield(), 0);
    CHECK_EQ(sinew_cancelling(), 0);
    return -ECANCELED;
}

IN_RUNTIME(a035_a_body_that_returns_ecanceled_ends_cancelled_though_nobody_asked)
{
    sinew_fn bodies[] = {return_arg, return_cancelled_later};
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        for (int how = 0; how < TAKERS; how++)
            CHECK_EQ(takers[how](sinew_spawn(bodies[i], (void *)(intptr_t)-ECANCELED)), -ECANCELED);
        CHECK_EQ(sinew_await(spawn_eager(bodies[i], (void *)(intptr_t)-ECANCELED)), -ECANCELED);
        /* It is no failure: a wait for the first one goes on. */
        sinew_task *tasks[2] = {sinew_spawn(bodies[i], (void *)(intptr_t)-ECANCELED),
                                sinew_spawn(bodies[i], (void *)(intptr_t)-ECANCELED)};
        CHECK_EQ(sinew_wait(tasks, 2, SINEW_FIRST_EXCEPTION, SINEW_FOREVER, NULL), 2);
        CHECK_EQ(sinew_gather_settled(tasks, 2, NULL), 0);
        CHECK_EQ(sinew_cancelling(), 0);
        CHECK_EQ(sinew_yield(), 0);
    }
    return 0;
}

/* --- A36: cancelling oneself ------------------------------------------------------------------------------------ */

static intptr_t cancel_self_then_wait(void *arg)
{
    const wait_kind *kind = arg;
    CHECK(sinew_cancel(sinew_self()));
    CHECK_EQ(sinew_cancelling(), 1);
    CHECK_EQ(kind->wait(), -ECANCELED);
    CHECK_EQ(sinew_yield(), 0);
    CHECK_EQ(sinew_cancelling(), 1);
    return 9;
}

IN_RUNTIME(a036_a_self_cancel_takes_effect_at_the_next_checkpoint)
{
    for (int kind = 0; kind < WAIT_KINDS; kind++) {
        int before = failures_so_far();
        void *arg = (void *)(uintptr_t)&wait_kinds[kind];
        CHECK_EQ(sinew_await(sinew_spawn(cancel_self_then_wait, arg)), 9);
        CHECK_EQ(sinew_await(spawn_eager(cancel_self_then_wait, arg)), 9);
        CHECK_EQ(sinew_await(spawn_pinned(cancel_self_then_wait, arg)), 9);
        CHECK_EQ(sinew_cancelling(), 0);
        CHECK_EQ(sinew_yield(), 0);
        tell_kind(before, &wait_kinds[kind]);
    }
    return 0;
}

static intptr_t cancel_self_then_return(void *arg)
{
    CHECK(sinew_cancel(sinew_self()));
    return (intptr_t)arg;
}

IN_RUNTIME(a036_returning_before_a_checkpoint_ends_cancelled_and_an_error_wins)
{
    static const intptr_t results[] = {0, 9, -EIO, -ETIMEDOUT, -ECANCELED};
    for (size_t i = 0; i < sizeof results / sizeof results[0]; i++) {
        intptr_t expected = results[i] >= 0 ? -ECANCELED : results[i];
        void *arg = (void *)results[i];
        for (int how = 0; how < TAKERS; how++) {
            intptr_t r = takers[how](sinew_spawn(cancel_self_then_return, arg));
            CHECK_EQ(r, expected);
        }
        CHECK_EQ(sinew_await(spawn_eager(cancel_self_then_return, arg)), expected);
        CHECK_EQ(sinew_await(spawn_pinned(cancel_self_then_return, arg)), expected);
        CHECK_EQ(sinew_cancelling(), 0);
        CHECK_EQ(sinew_yield(), 0);
    }
    return 0;
}

/* With several workers the awaited task may have begun elsewhere. */
IN_RUNTIME_WITH(a036_a_self_cancel_reaches_an_awaited_task_before_it_starts, 1)
{
    for (int how = 0; how < FORWARDING; how++) {
        for (int pinned = 0; pinned < 2; pinned++) {
            atomic_int started = 0;
            sinew_task *t = (pinned ? spawn_pinned : sinew_spawn)(count_start, &started);
            CHECK(sinew_cancel(sinew_self()));
            if (!CHECK_EQ(forwarding[how](t), -ECANCELED))
                print_message("with await %d\n", how);
            CHECK_EQ(started, 0);
            CHECK_EQ(sinew_cancelling(), 1);
            CHECK_EQ(sinew_yield(), 0);
            CHECK_EQ(sinew_uncancel(), 0);
        }
        /* The request was there before the task, and delivered: the next one begins. */
        atomic_int started = 0;
        CHECK(forwarding[how](sinew_spawn(count_start, &started)) >= 0);
        CHECK_EQ(started, 1);
    }
    return 0;
}

static void a036_the_main_task_that_cancels_itself_ends_cancelled(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        assert_int_equal(run_workers(worker_counts[i], cancel_self_then_return, (void *)9), -ECANCELED);
        assert_int_equal(run_workers(worker_counts[i], cancel_self_then_return, (void *)(intptr_t)-EIO), -EIO);
    }
}

/* --- A41: cleanups ----------------------------------------------------------------------------------------------- */

struct cleanup {
    const wait_kind *work, *cleanup;
    atomic_int stage;
    intptr_t first, second;
    int cancelling, next;
};

static intptr_t clean_up_slowly(void *arg)
{
    struct cleanup *c = arg;
    atomic_store(&c->stage, 1);
    c->first = c->work->wait();
    atomic_store(&c->stage, 2);
    c->second = c->cleanup->wait();
    c->cancelling = sinew_cancelling();
    c->next = sinew_yield();
    return -ECANCELED;
}

IN_RUNTIME(a041_another_cancel_interrupts_a_cleanup_that_waits)
{
    int stride = (int)scaled(1, 4);
    for (int i = 0; i < WAIT_KINDS; i++) {
        for (int j = i % stride; j < WAIT_KINDS; j += stride) {
            int before = failures_so_far();
            struct cleanup c = {.work = &wait_kinds[i], .cleanup = &wait_kinds[j]};
            sinew_task *t = sinew_spawn(clean_up_slowly, &c);
            yield_until(&c.stage, 1);
            CHECK(sinew_cancel(t));
            yield_until(&c.stage, 2);
            for (int k = 0; k < 3; k++)
                CHECK_EQ(sinew_yield(), 0);
            CHECK(!sinew_done(t));
            CHECK(sinew_cancel(t));
            CHECK_EQ(sinew_await(t), -ECANCELED);
            CHECK_EQ(c.first, -ECANCELED);
            CHECK_EQ(c.second, -ECANCELED);
            CHECK_EQ(c.cancelling, 2);
            CHECK_EQ(c.next, 0);
            if (failures_so_far() != before)
                print_message("%s, then %s\n", c.work->name, c.cleanup->name);
        }
    }
    return 0;
}

/* --- A43, A46, A47: codes and timers ---------------------------------------------------------------------------- */

/* Inside, an operation that a timeout ends is cancelled too; that does not show. */
IN_RUNTIME(a043_what_nobody_cancelled_never_says_ecanceled)
{
    for (int kind = 0; kind < WAIT_KINDS; kind++) {
        sinew_timeout scope;
        sinew_timeout_begin(&scope, SINEW_US(300));
        intptr_t r = wait_kinds[kind].wait();
        if (!CHECK(r != -ECANCELED))
            print_message("in %s\n", wait_kinds[kind].name);
        sinew_timeout_end(&scope);
        CHECK_EQ(sinew_cancelling(), 0);
    }
    return 0;
}

IN_RUNTIME(a046_every_timeout_is_the_same_error)
{
    for (int kind = 0; kind < WAIT_KINDS; kind++) {
        sinew_timeout scope;
        sinew_timeout_begin(&scope, SINEW_US(300));
        if (!CHECK_EQ(wait_kinds[kind].wait(), -ETIMEDOUT))
            print_message("in %s\n", wait_kinds[kind].name);
        CHECK_EQ(sinew_timeout_end(&scope), -ETIMEDOUT);
    }
    CHECK_EQ(sinew_wait_for(sinew_spawn(sleep_very_long, NULL), SINEW_US(300)), -ETIMEDOUT);
    CHECK_EQ(sinew_wait_for(sinew_spawn(sleep_very_long, NULL), 0), -ETIMEDOUT);
    CHECK_EQ(sinew_yield(), 0);
    return 0;
}

static intptr_t wait_under_a_long_timeout(void *arg)
{
    const wait_kind *kind = arg;
    sinew_timeout scope;
    sinew_timeout_begin(&scope, VERY_LONG);
    intptr_t r = kind->wait();
    CHECK_EQ(sinew_timeout_end(&scope), 0);
    return r;
}

/* A timer left behind would be something that may still wake somebody, and this would wait for an hour; without one
 * it is a deadlock, which is told at once (and on stderr). */
IN_RUNTIME(a047_a_cancelled_wait_leaves_no_timer_behind)
{
    sinew_task *tasks[WAIT_KINDS];
    for (int i = 0; i < WAIT_KINDS; i++)
        tasks[i] = spawn_eager(wait_under_a_long_timeout, (void *)(uintptr_t)&wait_kinds[i]);
    for (int i = 0; i < WAIT_KINDS; i++)
        CHECK(sinew_cancel(tasks[i]));
    for (int i = 0; i < WAIT_KINDS; i++)
        CHECK_EQ(sinew_await(tasks[i]), -ECANCELED);
    sinew_sem never;
    sinew_sem_init(&never, 0);
    CHECK_EQ(sinew_sem_wait(&never), -EDEADLK);
    return 0;
}

TEST_MAIN(cmocka_unit_test(a026_cancel_is_true_for_an_unfinished_task_and_false_for_an_ended_one),
          cmocka_unit_test(a026_a_plain_thread_may_cancel),
          cmocka_unit_test(a027_a_cancel_acts_when_the_task_next_runs_whatever_it_waits_for),
          cmocka_unit_test(a027_a_cancel_wins_over_what_has_come_and_was_not_seen_yet),
          cmocka_unit_test(a027_a_cancel_wins_over_an_error_that_has_come_and_was_not_seen_yet),
          cmocka_unit_test(a028_a_task_cancelled_before_its_start_never_runs),
          cmocka_unit_test(a028_one_worker_never_runs_an_unpinned_task_cancelled_before_its_start),
          cmocka_unit_test(a028_a_cancel_that_races_with_the_start_agrees_with_the_result),
          cmocka_unit_test(a029_after_one_delivery_the_task_goes_on_and_its_waits_work),
          cmocka_unit_test(a030_several_requests_before_the_task_runs_are_one_delivery_and_all_counted),
          cmocka_unit_test(a031_cancelling_counts_requests_and_uncancel_takes_them_back),
          cmocka_unit_test(a031_each_task_has_a_count_of_its_own), cmocka_unit_test(a031_the_count_stops_at_2047),
          cmocka_unit_test(a032_uncancel_to_zero_drops_a_request_not_yet_delivered),
          cmocka_unit_test(a032_a_dropped_request_does_not_end_the_task_cancelled),
          cmocka_unit_test(a033_a_task_that_swallows_a_cancel_and_returns_a_value_ends_with_it),
          cmocka_unit_test(a034_another_error_while_handling_a_cancel_is_the_result),
          cmocka_unit_test(a035_a_body_that_returns_ecanceled_ends_cancelled_though_nobody_asked),
          cmocka_unit_test(a036_a_self_cancel_takes_effect_at_the_next_checkpoint),
          cmocka_unit_test(a036_returning_before_a_checkpoint_ends_cancelled_and_an_error_wins),
          cmocka_unit_test(a036_a_self_cancel_reaches_an_awaited_task_before_it_starts),
          cmocka_unit_test(a036_the_main_task_that_cancels_itself_ends_cancelled),
          cmocka_unit_test(a041_another_cancel_interrupts_a_cleanup_that_waits),
          cmocka_unit_test(a043_what_nobody_cancelled_never_says_ecanceled),
          cmocka_unit_test(a046_every_timeout_is_the_same_error),
          cmocka_unit_test(a047_a_cancelled_wait_leaves_no_timer_behind))
