/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a blocking call suspends its task and never the worker, runs its function once in a plain thread, first come,
 * first served, on no more threads than allowed; a cancel takes it out of the line or leaves it behind; sinew_run waits
 * for what was left behind and keeps no thread.
 * Method: functions that wait for a POSIX semaphore, so that the test says when they end.
 * Cannot see: ten idle seconds, after which threads end (tests/unit/blocking.c).
 */
#include <errno.h>
#include <limits.h>
#include <semaphore.h>
#include <sys/resource.h>

#include <tests/support/child.h>
#include <tests/support/holds.h>
#include <tests/support/process.h>
#include <tests/support/run.h>
#include <tests/support/tasks.h>

/* With few threads, for what needs a full pool. */
static void run_with_threads(const char *name, unsigned threads, sinew_fn fn)
{
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        sinew_options opt = {.workers = worker_counts[i], .blocking_threads = threads};
        int failures = atomic_load(&check_failures);
        watchdog_begin(name, worker_counts[i], (unsigned)scaled(50, 110));
        intptr_t r = sinew_run_with(&opt, fn, NULL);
        watchdog_end();
        failures = atomic_load(&check_failures) - failures;
        if (r != 0 || failures != 0)
            fail_msg("%s with %u workers: result %ld, %d failed checks", name, worker_counts[i], (long)r, failures);
    }
}

#define WITH_THREADS(threads, name)                    \
    static intptr_t name##_body(void *unused_);        \
    static void name(void **state)                     \
    {                                                  \
        (void)state;                                   \
        run_with_threads(#name, threads, name##_body); \
    }                                                  \
    static intptr_t name##_body(void *unused_ __attribute__((unused)))

static uint64_t queued_now(void)
{
    sinew_stats stats;
    CHECK_EQ(sinew_get_stats(&stats), 0);
    return stats.blocking_queued;
}

static void yield_until_queued(uint64_t n)
{
    while (queued_now() != n)
        sinew_yield();
}

IN_RUNTIME(the_functions_result_is_returned)
{
    CHECK_EQ(sinew_blocking(return_arg, (void *)7), 7);
    CHECK_EQ(sinew_blocking(return_arg, (void *)(intptr_t)-EIO), -EIO);
    CHECK_EQ(sinew_blocking(return_arg, (void *)INTPTR_MAX), INTPTR_MAX);
    CHECK_EQ(sinew_blocking_wait(return_arg, (void *)8), 8);
    CHECK_EQ(sinew_blocking_wait(return_arg, (void *)(intptr_t)-ENOENT), -ENOENT);
    return 0;
}

/* Both ways through plain memory, so that ThreadSanitizer sees a missing order. */
static intptr_t add_one(void *arg)
{
    return ++*(int *)arg;
}

IN_RUNTIME(what_the_caller_wrote_is_seen_in_the_function_and_back)
{
    int number = 0;
    for (int i = 0; i < 100; i++) {
        number++;
        CHECK_EQ(sinew_blocking_wait(add_one, &number), 2 * i + 2);
        CHECK_EQ(number, 2 * i + 2);
    }
    return 0;
}

static intptr_t try_task_calls(void *arg)
{
    int caller = *(int *)arg;
    CHECK(gettid() != caller);
    CHECK(sinew_self() == NULL);
    CHECK_EQ(sinew_sleep(SINEW_MS(1)), -EPERM);
    CHECK_EQ(sinew_yield(), -EPERM);
    CHECK_EQ(sinew_blocking(return_arg, NULL), -EPERM);
    CHECK_EQ(sinew_blocking_wait(return_arg, NULL), -EPERM);
    CHECK(sinew_spawn(return_arg, NULL) == NULL);
    CHECK_EQ(sinew_worker_index(), UINT_MAX);
    sigset_t blocked;
    CHECK_EQ(pthread_sigmask(SIG_SETMASK, NULL, &blocked), 0);
    CHECK(sigismember(&blocked, SIGTERM) && sigismember(&blocked, SIGINT) && sigismember(&blocked, SIGALRM));
    CHECK(!sigismember(&blocked, SIGSEGV));
    sinew_options opt = {.workers = 1};
    CHECK_EQ(sinew_run_with(&opt, return_arg, (void *)3), 3);
    return 4;
}

IN_RUNTIME(the_function_runs_in_a_plain_thread)
{
    int self = gettid();
    CHECK_EQ(sinew_blocking_wait(try_task_calls, &self), 4);
    sigset_t blocked;
    CHECK_EQ(pthread_sigmask(SIG_SETMASK, NULL, &blocked), 0);
    CHECK(!sigismember(&blocked, SIGHUP));
    return 0;
}

IN_RUNTIME(the_worker_goes_on_while_a_function_blocks)
{
    hold h;
    hold_init(&h, 5);
    sinew_task *t = sinew_spawn(call_hold, &h);
    yield_until(&h.begun, 1); /* one worker: it has come back from the call */
    CHECK(!sinew_done(t));
    CHECK_EQ(sinew_sleep(SINEW_MS(2)), 0);
    CHECK_EQ(sinew_map(return_arg, NULL, 0, 100, NULL), 0);
    sem_post(&h.open);
    CHECK_EQ(sinew_await(t), 5);
    return 0;
}

IN_RUNTIME(blocking_calls_work_on_every_kind_of_task)
{
    static hold h;
    hold_init(&h, 6);
    for (int i = 0; i < 3; i++)
        sem_post(&h.open);
    CHECK_EQ(sinew_await(spawn_pinned(call_hold, &h)), 6);
    CHECK_EQ(sinew_await(spawn_eager(call_hold, &h)), 6);
    sinew_spawn_options small = {.stack_bytes = SINEW_STACK_BYTES_MIN};
    CHECK_EQ(sinew_await(sinew_spawn_with(&small, call_hold_wait, &h)), 6);
    return 0;
}

/* A pool of one thread, which holds; the second call is in line. */
WITH_THREADS(1, a_cancelled_call_in_line_never_runs)
{
    for (size_t kind = 0; kind < 2; kind++) {
        hold first, second;
        hold_init(&first, 1);
        hold_init(&second, 2);
        sinew_task *a = sinew_spawn(call_hold, &first);
        yield_until(&first.begun, 1);
        sinew_task *b = sinew_spawn(hold_calls[kind], &second);
        yield_until_queued(1);
        CHECK(sinew_cancel(b));
        CHECK_EQ(sinew_await(b), -ECANCELED);
        CHECK_EQ(queued_now(), 0);
        sem_post(&first.open);
        CHECK_EQ(sinew_await(a), 1);
        CHECK_EQ(sinew_blocking(return_arg, (void *)9), 9); /* the line was first come, first served */
        CHECK_EQ(second.begun, 0);
    }
    return 0;
}

WITH_THREADS(1, a_call_in_line_times_out)
{
    for (size_t kind = 0; kind < 2; kind++) {
        hold first, second;
        hold_init(&first, 1);
        hold_init(&second, 2);
        sinew_task *a = sinew_spawn(call_hold, &first);
        yield_until(&first.begun, 1);
        sinew_timeout limit;
        sinew_timeout_begin(&limit, SINEW_MS(5));
        CHECK_EQ(hold_calls[kind](&second), -ETIMEDOUT);
        CHECK_EQ(sinew_timeout_end(&limit), -ETIMEDOUT);
        sem_post(&first.open);
        CHECK_EQ(sinew_await(a), 1);
        CHECK_EQ(sinew_blocking(return_arg, (void *)9), 9);
        CHECK_EQ(second.begun, 0);
    }
    return 0;
}

/* From the middle, the end and the beginning of the line. */
WITH_THREADS(1, cancelled_calls_leave_the_line_to_the_others)
{
    enum { CALLS = 9 };
    hold first, others[CALLS];
    hold_init(&first, 1);
    sinew_task *a = sinew_spawn(call_hold, &first), *tasks[CALLS];
    yield_until(&first.begun, 1);
    for (int i = 0; i < CALLS; i++) {
        hold_init(&others[i], i);
        sem_post(&others[i].open);
        tasks[i] = sinew_spawn(hold_calls[i % 2], &others[i]);
        yield_until_queued((uint64_t)i + 1);
    }
    for (int i = 0; i < CALLS; i += 2)
        CHECK(sinew_cancel(tasks[i]));
    for (int i = 0; i < CALLS; i += 2)
        CHECK_EQ(sinew_await(tasks[i]), -ECANCELED);
    sem_post(&first.open);
    CHECK_EQ(sinew_await(a), 1);
    for (int i = 0; i < CALLS; i++) {
        if (i % 2)
            CHECK_EQ(sinew_await(tasks[i]), i);
        CHECK_EQ(others[i].begun, i % 2);
    }
    return 0;
}

IN_RUNTIME(a_cancelled_call_that_runs_returns_at_once_and_goes_on)
{
    static hold h; /* outlives the call */
    hold_init(&h, 3);
    sinew_task *t = sinew_spawn(call_hold, &h);
    yield_until(&h.begun, 1);
    CHECK(sinew_cancel(t));
    CHECK_EQ(sinew_await(t), -ECANCELED);
    CHECK_EQ(h.ended, 0);
    do {
        sinew_timeout limit;
        sinew_timeout_begin(&limit, SINEW_MS(2));
        CHECK_EQ(sinew_blocking(hold_here, &h), -ETIMEDOUT);
        CHECK_EQ(sinew_timeout_end(&limit), -ETIMEDOUT);
    } while (h.begun < 2); /* it had no thread in time */
    CHECK_EQ(h.ended, 0);
    sem_post(&h.open);
    sem_post(&h.open);
    while (h.ended < 2)
        CHECK_EQ(sinew_yield(), 0); /* the result is nobody's: no wake, no error */
    return 0;
}

IN_RUNTIME(blocking_wait_answers_a_cancel_with_the_result_and_keeps_the_request)
{
    hold h;
    hold_init(&h, 4);
    sinew_task *t = sinew_spawn(call_hold_wait, &h);
    yield_until(&h.begun, 1);
    CHECK(sinew_cancel(t));
    CHECK_EQ(sinew_sleep(SINEW_MS(2)), 0);
    CHECK(!sinew_done(t));
    sem_post(&h.open);
    CHECK_EQ(sinew_await(t), -ECANCELED); /* it ended with a good result and a request not delivered */
    CHECK_EQ(h.ended, 1);
    return 0;
}

static intptr_t wait_then_sleep(void *arg)
{
    CHECK_EQ(sinew_blocking_wait(hold_here, arg), 4);
    return sinew_sleep(VERY_LONG) == -ECANCELED ? 11 : 12;
}

IN_RUNTIME(the_request_that_blocking_wait_left_is_delivered_at_the_next_checkpoint)
{
    hold h;
    hold_init(&h, 4);
    sinew_task *t = sinew_spawn(wait_then_sleep, &h);
    yield_until(&h.begun, 1);
    CHECK(sinew_cancel(t));
    sem_post(&h.open);
    CHECK_EQ(sinew_await(t), 11);
    return 0;
}

struct opening {
    hold *hold;
    sinew_time after;
};

static intptr_t open_after_a_while(void *arg)
{
    struct opening *o = arg;
    yield_until(&o->hold->begun, 1);
    CHECK_EQ(sinew_sleep(o->after), 0);
    sem_post(&o->hold->open);
    return 0;
}

IN_RUNTIME(a_scope_that_expires_during_blocking_wait_does_not_stop_it)
{
    bool expired = false;
    for (sinew_time after = SINEW_MS(5); !expired; after *= 2) { /* on a slow machine the end may come first */
        hold h;
        hold_init(&h, 4);
        struct opening o = {&h, after};
        sinew_task *t = sinew_spawn(open_after_a_while, &o);
        intptr_t r;
        do {
            sinew_timeout limit;
            sinew_timeout_begin(&limit, SINEW_MS(2));
            r = sinew_blocking_wait(hold_here, &h);
            expired = sinew_timeout_expired(&limit);
            CHECK_EQ(sinew_timeout_end(&limit), r == 4 ? 0 : -ETIMEDOUT);
        } while (r == -ETIMEDOUT && h.begun == 0); /* it had no thread in time */
        CHECK_EQ(r, 4);
        CHECK_EQ(sinew_await(t), 0);
    }
    return 0;
}

static intptr_t call_after_cancel(void *arg)
{
    int ran = 0;
    CHECK(sinew_cancel(sinew_self()));
    CHECK_EQ(arg ? sinew_blocking_wait(add_one, &ran) : sinew_blocking(add_one, &ran), -ECANCELED);
    CHECK_EQ(ran, 0);
    return 1;
}

IN_RUNTIME(a_request_that_is_already_there_is_delivered_before_anything_runs)
{
    CHECK_EQ(sinew_await(sinew_spawn(call_after_cancel, NULL)), 1);
    CHECK_EQ(sinew_await(sinew_spawn(call_after_cancel, "wait")), 1);
    return 0;
}

/* A cancel and the end at once, many times: each call returns its result or the code, and nothing is lost. */
typedef struct race {
    atomic_int nearly, ended;
    int more; /* turns of a loop before the end */
} race;

static void turn(int times)
{
    for (volatile int i = times; i > 0; i = i - 1)
        ;
}

static intptr_t end_soon(void *arg)
{
    race *r = arg;
    atomic_store(&r->nearly, 1);
    turn(r->more);
    atomic_store(&r->ended, 1);
    return 1;
}

static intptr_t call_end_soon(void *arg)
{
    return sinew_blocking(end_soon, arg);
}

IN_RUNTIME(a_cancel_and_the_end_may_come_together)
{
    enum { ROUNDS = 2000 };
    static race races[ROUNDS]; /* outlive the calls */
    int rounds = (int)scaled(ROUNDS, 300), in_time = 0;
    for (int i = 0; i < rounds; i++) {
        races[i] = (race){.more = i * 7919 % 3000};
        sinew_task *t = sinew_spawn(call_end_soon, &races[i]);
        yield_until(&races[i].nearly, 1);
        turn(i * 104729 % 6000);
        sinew_cancel(t);
        intptr_t r = sinew_await(t);
        CHECK(r == 1 || r == -ECANCELED);
        in_time += r == 1;
    }
    print_message("%d of %d came in time\n", in_time, rounds);
    for (int i = 0; i < rounds; i++)
        yield_until(&races[i].ended, 1); /* each ran to its end */
    return 0;
}

static atomic_int running_now, running_most;

static intptr_t count_running(void *arg)
{
    int n = atomic_fetch_add(&running_now, 1) + 1;
    for (int most = atomic_load(&running_most); n > most;)
        if (atomic_compare_exchange_weak(&running_most, &most, n))
            break;
    usleep(50);
    atomic_fetch_sub(&running_now, 1);
    return *(int *)arg;
}

static intptr_t call_count(void *arg)
{
    return sinew_blocking(count_running, arg) == *(int *)arg ? 1 : -EPROTO;
}

WITH_THREADS(4, a_thousand_calls_share_four_threads)
{
    enum { CALLS = 1000 };
    static int numbers[CALLS];
    static intptr_t results[CALLS];
    atomic_store(&running_most, 0);
    for (int i = 0; i < CALLS; i++)
        numbers[i] = i;
    CHECK_EQ(sinew_map(call_count, numbers, sizeof numbers[0], CALLS, results), 0);
    for (int i = 0; i < CALLS; i++)
        CHECK_EQ(results[i], 1);
    CHECK(running_most <= 4);
    sinew_stats stats;
    CHECK_EQ(sinew_get_stats(&stats), 0);
    CHECK(stats.blocking_threads >= 1 && stats.blocking_threads <= 4);
    CHECK_EQ(stats.blocking_queued, 0);
    return 0;
}

static event_log order;

static intptr_t log_number(void *arg)
{
    log_event(&order, (int)(intptr_t)arg);
    return 0;
}

static intptr_t call_log(void *arg)
{
    return sinew_blocking(log_number, arg);
}

WITH_THREADS(1, calls_run_in_the_order_in_which_they_were_made)
{
    enum { CALLS = 20 };
    hold first;
    hold_init(&first, 1);
    sinew_task *a = sinew_spawn(call_hold, &first), *tasks[CALLS];
    yield_until(&first.begun, 1);
    log_clear(&order);
    for (int i = 0; i < CALLS; i++) {
        tasks[i] = sinew_spawn(call_log, (void *)(intptr_t)i);
        yield_until_queued((uint64_t)i + 1);
    }
    sem_post(&first.open);
    CHECK_EQ(sinew_await(a), 1);
    CHECK_EQ(sinew_gather(tasks, CALLS, NULL), 0);
    for (int i = 0; i < CALLS; i++)
        CHECK_EQ(order.events[i], i);
    return 0;
}

/* Each call that waits gets a thread, up to the limit; calls one after the other share one. */
WITH_THREADS(3, threads_are_started_when_they_are_needed)
{
    sinew_stats stats;
    CHECK_EQ(sinew_get_stats(&stats), 0);
    CHECK_EQ(stats.blocking_threads, 0);
    hold h;
    hold_init(&h, 0);
    sinew_task *tasks[5];
    for (int i = 0; i < 5; i++)
        tasks[i] = sinew_spawn(call_hold, &h);
    yield_until(&h.begun, 3);
    yield_until_queued(2);
    CHECK_EQ(sinew_get_stats(&stats), 0);
    CHECK_EQ(stats.blocking_threads, 3);
    for (int i = 0; i < 5; i++)
        sem_post(&h.open);
    CHECK_EQ(sinew_gather(tasks, 5, NULL), 0);
    return 0;
}

static hold left_behind;
static atomic_int caller_cancelled;

/* The pause is time for a run that does not wait to return. */
static void *open_when_main_is_over(void *arg)
{
    while (!atomic_load(&caller_cancelled))
        usleep(1000);
    usleep(20000);
    sem_post(&left_behind.open);
    return arg;
}

static intptr_t call_until_cancelled(void *arg)
{
    intptr_t r = call_hold(arg);
    CHECK_EQ(r, -ECANCELED);
    atomic_store(&caller_cancelled, 1);
    return r;
}

static intptr_t leave_a_call_behind(void *arg)
{
    (void)arg;
    sinew_task *t = sinew_spawn(call_until_cancelled, &left_behind);
    yield_until(&left_behind.begun, 1);
    sinew_detach(t);
    return 9; /* the shutdown cancels the caller, not the function */
}

static void a128_run_waits_for_functions_left_behind_and_keeps_no_thread(void **state)
{
    (void)state;
    int threads = count_threads_before(), descriptors = count_descriptors();
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        hold_init(&left_behind, 1);
        atomic_store(&caller_cancelled, 0);
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, open_when_main_is_over, NULL), 0);
        assert_int_equal(run_workers(worker_counts[i], leave_a_call_behind, NULL), 9);
        assert_int_equal(left_behind.ended, 1);
        pthread_join(thread, NULL);
        assert_int_equal(count_threads_settled(threads), threads);
        assert_int_equal(count_descriptors(), descriptors);
    }
    assert_int_equal(check_failures, 0);
}

/* What nobody waits for any more may still wake tasks that have ended, and workers that stop. */
enum { LATE_POSTS = 4 };

static sinew_sem late;
static atomic_int late_callers_left;

static intptr_t post_late(void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
    while (atomic_load(&late_callers_left) < LATE_POSTS)
        usleep(100);
    sinew_sem_post(&late);
    return 0;
}

static intptr_t call_post_late(void *arg)
{
    CHECK_EQ(sinew_blocking(post_late, arg), -ECANCELED);
    atomic_fetch_add(&late_callers_left, 1);
    return 0;
}

static intptr_t leave_posts_behind(void *arg)
{
    static atomic_int begun;
    (void)arg;
    atomic_store(&begun, 0);
    atomic_store(&late_callers_left, 0);
    sinew_sem_init(&late, 0);
    for (int i = 0; i < LATE_POSTS; i++)
        sinew_detach(sinew_spawn(call_post_late, &begun));
    yield_until(&begun, LATE_POSTS);
    return 0;
}

static void functions_left_behind_may_wake_a_runtime_that_stops(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        assert_int_equal(run_workers(worker_counts[i], leave_posts_behind, NULL), 0);
        for (int posts = 0; posts < LATE_POSTS; posts++)
            assert_int_equal(sinew_sem_trywait(&late), 0);
    }
}

WITH_THREADS(1, calls_in_line_when_main_ends_never_run)
{
    static hold first, second;
    hold_init(&first, 1);
    hold_init(&second, 1);
    sem_post(&second.open);
    sinew_task *a = sinew_spawn(call_hold, &first), *b = sinew_spawn(call_hold, &second);
    while (first.begun + second.begun == 0)
        sinew_yield();
    if (second.begun) /* it was first in line */
        sem_post(&first.open);
    else
        yield_until_queued(1);
    CHECK(sinew_cancel(b) || second.begun);
    sem_post(&first.open);
    sinew_detach(a);
    sinew_detach(b);
    return 0;
}

/* A stack larger than the address space: no thread can be had. */
static void refuse_threads(bool refuse)
{
    static pthread_attr_t usual, impossible;
    if (refuse) {
        pthread_getattr_default_np(&usual);
        pthread_attr_init(&impossible);
        CHECK_EQ(pthread_attr_setstacksize(&impossible, (size_t)1 << 48), 0);
    }
    CHECK_EQ(pthread_setattr_default_np(refuse ? &impossible : &usual), 0);
}

static intptr_t call_while_threads_are_refused(void *arg)
{
    (void)arg;
    atomic_int ran = 0;
    refuse_threads(true);
    CHECK_EQ(sinew_blocking(add_one, &ran), -EAGAIN);
    CHECK_EQ(sinew_blocking_wait(add_one, &ran), -EAGAIN);
    CHECK_EQ(ran, 0);
    refuse_threads(false);
    hold h;
    hold_init(&h, 1);
    sinew_task *a = sinew_spawn(call_hold, &h);
    yield_until(&h.begun, 1);
    refuse_threads(true);
    sinew_task *b = sinew_spawn(call_hold, &h); /* there is one thread: it waits for that */
    yield_until_queued(1);
    sem_post(&h.open);
    sem_post(&h.open);
    CHECK_EQ(sinew_await(a), 1);
    CHECK_EQ(sinew_await(b), 1);
    refuse_threads(false);
    return 5;
}

static int run_while_threads_are_refused(void *arg)
{
    CHECK_EQ(run_workers(*(unsigned *)arg, call_while_threads_are_refused, NULL), 5);
    return 0;
}

static void without_any_thread_the_call_gives_eagain_and_with_one_it_waits(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        unsigned workers = worker_counts[i];
        child_end end;
        assert_true(run_child(run_while_threads_are_refused, &workers, &end));
        if (end.code != 0 || !strstr(end.err, "sinew_blocking"))
            child_fail("-EAGAIN and a line", &end);
    }
}

TEST_MAIN(cmocka_unit_test(the_functions_result_is_returned),
          cmocka_unit_test(what_the_caller_wrote_is_seen_in_the_function_and_back),
          cmocka_unit_test(the_function_runs_in_a_plain_thread),
          cmocka_unit_test(the_worker_goes_on_while_a_function_blocks),
          cmocka_unit_test(blocking_calls_work_on_every_kind_of_task),
          cmocka_unit_test(a_cancelled_call_in_line_never_runs), cmocka_unit_test(a_call_in_line_times_out),
          cmocka_unit_test(cancelled_calls_leave_the_line_to_the_others),
          cmocka_unit_test(a_cancelled_call_that_runs_returns_at_once_and_goes_on),
          cmocka_unit_test(blocking_wait_answers_a_cancel_with_the_result_and_keeps_the_request),
          cmocka_unit_test(the_request_that_blocking_wait_left_is_delivered_at_the_next_checkpoint),
          cmocka_unit_test(a_scope_that_expires_during_blocking_wait_does_not_stop_it),
          cmocka_unit_test(a_request_that_is_already_there_is_delivered_before_anything_runs),
          cmocka_unit_test(a_cancel_and_the_end_may_come_together),
          cmocka_unit_test(a_thousand_calls_share_four_threads),
          cmocka_unit_test(calls_run_in_the_order_in_which_they_were_made),
          cmocka_unit_test(threads_are_started_when_they_are_needed),
          cmocka_unit_test(a128_run_waits_for_functions_left_behind_and_keeps_no_thread),
          cmocka_unit_test(functions_left_behind_may_wake_a_runtime_that_stops),
          cmocka_unit_test(calls_in_line_when_main_ends_never_run),
          cmocka_unit_test(without_any_thread_the_call_gives_eagain_and_with_one_it_waits))
