/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: an error is reported when the last reference of its task goes and nobody has had it; never otherwise.
 * Method: a handler that counts; every call that hands a result out; 1, 2 and 8 workers.
 * Cannot see: the line on stderr, but for one test that looks at it through a pipe.
 */
#include <errno.h>
#include <unistd.h>

#include <tests/support/run.h>
#include <tests/support/tasks.h>

struct reports {
    atomic_int n;
    intptr_t error;
    char name[64], what[128];
};

/* Several tasks may fail at once. */
static pthread_mutex_t counting = PTHREAD_MUTEX_INITIALIZER;

static void count_report(const sinew_error_report *report, void *arg)
{
    struct reports *r = arg;
    pthread_mutex_lock(&counting);
    r->error = report->error;
    snprintf(r->name, sizeof r->name, "%s", report->name);
    snprintf(r->what, sizeof r->what, "%s", report->what);
    atomic_fetch_add(&r->n, 1);
    pthread_mutex_unlock(&counting);
}

#define WITH_REPORTS(r)     \
    struct reports r = {0}; \
    CHECK_EQ(sinew_set_error_handler(count_report, &r), 0)

/* The handler's arg is on the stack of the test: what is left over must not use it. */
static intptr_t no_more(intptr_t result)
{
    sinew_set_error_handler(NULL, NULL);
    return result;
}

static intptr_t failing(void *arg)
{
    return -(intptr_t)arg;
}

static sinew_task *failed(int error)
{
    sinew_task *t = spawn_named("failing", failing, (void *)(intptr_t)error);
    yield_until_done(t);
    return t;
}

IN_RUNTIME(an_error_nobody_had_is_reported_when_the_last_reference_goes)
{
    WITH_REPORTS(r);
    sinew_task *t = failed(EIO);
    sinew_task *second = sinew_ref(t);
    sinew_detach(t);
    for (int i = 0; i < 10; i++)
        sinew_yield();
    CHECK_EQ(atomic_load(&r.n), 0);
    sinew_detach(second);
    yield_until(&r.n, 1);
    CHECK_EQ(r.error, -EIO);
    CHECK(strcmp(r.name, "failing") == 0);
    return no_more(0);
}

IN_RUNTIME(a_detached_task_that_fails_later_is_reported)
{
    WITH_REPORTS(r);
    gate g;
    gate_init(&g, -ENOENT);
    sinew_task *t = sinew_spawn(gate_pass, &g);
    yield_until(&g.reached, 1);
    sinew_detach(t);
    CHECK_EQ(atomic_load(&r.n), 0);
    gate_open(&g, 1);
    yield_until(&r.n, 1);
    CHECK_EQ(r.error, -ENOENT);
    return no_more(0);
}

IN_RUNTIME(whoever_had_the_result_silences_the_report)
{
    WITH_REPORTS(r);
    intptr_t results[2];
    CHECK_EQ(sinew_await(failed(EIO)), -EIO);
    CHECK_EQ(sinew_await(sinew_spawn(failing, (void *)EIO)), -EIO);
    CHECK_EQ(sinew_shield(failed(EIO)), -EIO);
    CHECK_EQ(sinew_wait_for(failed(EIO), SINEW_S(1)), -EIO);
    sinew_task *tasks[2] = {failed(EIO), failed(EIO)};
    CHECK_EQ(sinew_gather_settled(tasks, 2, results), 0);
    tasks[0] = failed(EIO);
    tasks[1] = sinew_spawn(failing, (void *)EINVAL);
    CHECK(sinew_gather(tasks, 2, results) < 0);
    sinew_task *t = failed(EIO);
    CHECK_EQ(sinew_result(t), -EIO);
    sinew_detach(t);
    CHECK_EQ(sinew_map(failing, (void *)EIO, 0, 5, NULL), -EIO);
    CHECK_EQ(atomic_load(&r.n), 0);
    return no_more(0);
}

IN_RUNTIME(what_gather_leaves_behind_after_an_error_is_not_reported)
{
    WITH_REPORTS(r);
    gate g;
    gate_init(&g, -ENOENT);
    sinew_task *late = sinew_spawn(gate_pass, &g);
    sinew_task *tasks[2] = {failed(EIO), late};
    CHECK_EQ(sinew_gather(tasks, 2, NULL), -EIO);
    yield_until(&g.reached, 1);
    gate_open(&g, 1);
    yield_until(&g.ended, 1);
    for (int i = 0; i < 10; i++)
        sinew_yield();
    CHECK_EQ(atomic_load(&r.n), 0);
    return no_more(0);
}

IN_RUNTIME(a_cancelled_task_is_not_reported)
{
    WITH_REPORTS(r);
    sinew_task *t = sinew_spawn(sleep_very_long, NULL);
    sinew_cancel(t);
    yield_until_done(t);
    sinew_detach(t);
    CHECK_EQ(atomic_load(&r.n), 0);
    return no_more(0);
}

IN_RUNTIME(waiting_without_asking_does_not_silence)
{
    WITH_REPORTS(r);
    sinew_task *t = failed(EIO);
    CHECK_EQ(sinew_wait(&t, 1, SINEW_ALL_COMPLETED, SINEW_FOREVER, NULL), 1);
    sinew_detach(t);
    yield_until(&r.n, 1);
    return no_more(0);
}

static intptr_t wait_and_fail(void *arg)
{
    gate *g = arg;
    atomic_fetch_add(&g->reached, 1);
    sinew_sem_wait(&g->open);
    return -ENOENT;
}

IN_RUNTIME(a_shielded_error_whose_waiter_left_is_reported_once)
{
    WITH_REPORTS(r);
    gate g;
    gate_init(&g, -ENOENT);
    sinew_task *t = sinew_spawn(gate_pass, &g);
    sinew_timeout scope;
    sinew_timeout_begin(&scope, SINEW_MS(1));
    CHECK_EQ(sinew_shield(t), -ETIMEDOUT);
    sinew_timeout_end(&scope);
    gate_open(&g, 1);
    yield_until(&r.n, 1);
    for (int i = 0; i < 10; i++)
        sinew_yield();
    CHECK_EQ(atomic_load(&r.n), 1);
    return no_more(0);
}

IN_RUNTIME(errors_of_a_group_after_the_first_are_reported)
{
    WITH_REPORTS(r);
    gate g;
    gate_init(&g, 0);
    sinew_group group;
    sinew_group_init(&group);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(sinew_group_spawn(&group, wait_and_fail, &g), 0);
    yield_until(&g.reached, 3);
    gate_open(&g, 1);
    CHECK_EQ(sinew_group_wait(&group), -ENOENT); /* ended by the first open, the others by the cancel */
    CHECK_EQ(atomic_load(&r.n), 2);
    return no_more(0);
}

IN_RUNTIME(futures_are_reported_too)
{
    WITH_REPORTS(r);
    sinew_future *f = sinew_future_new();
    sinew_future_set(f, -EIO);
    CHECK_EQ(sinew_future_result(f), -EIO);
    sinew_future_unref(f);
    CHECK_EQ(atomic_load(&r.n), 0);
    f = sinew_future_new();
    sinew_future_set(f, -EIO);
    sinew_future_unref(f);
    CHECK_EQ(atomic_load(&r.n), 1);
    return no_more(0);
}

static intptr_t leave_a_failing_task(void *arg)
{
    sinew_set_error_handler(count_report, arg);
    sinew_detach(sinew_spawn(failing, (void *)EIO));
    sinew_yield();
    return 5;
}

static intptr_t fail_when_cancelled(void *arg)
{
    (void)arg;
    sinew_sleep(VERY_LONG);
    return -EPROTO;
}

static intptr_t leave_one_that_fails_at_shutdown(void *arg)
{
    sinew_set_error_handler(count_report, arg);
    sinew_detach(sinew_spawn(fail_when_cancelled, NULL));
    sinew_yield();
    sinew_sleep(SINEW_MS(5));
    return 6;
}

static void a_failure_during_shutdown_is_reported_and_mains_result_stands(void **state)
{
    (void)state;
    struct reports r = {0};
    sinew_options one = {.workers = 1};
    assert_int_equal(sinew_run_with(&one, leave_a_failing_task, &r), 5);
    assert_int_equal(atomic_load(&r.n), 1);
    atomic_store(&r.n, 0);
    assert_int_equal(sinew_run_with(&one, leave_one_that_fails_at_shutdown, &r), 6);
    assert_int_equal(atomic_load(&r.n), 1);
    assert_int_equal(r.error, -EPROTO);
}

static intptr_t drop_a_failed_one(void *arg)
{
    (void)arg;
    sinew_detach(failed(EIO));
    return 0;
}

static void without_a_handler_it_is_one_line_on_stderr(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    int saved = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    intptr_t result = sinew_run(drop_a_failed_one, NULL);
    dup2(saved, STDERR_FILENO);
    close(saved);
    assert_int_equal(result, 0);
    char text[512] = "";
    ssize_t n = read(ends[0], text, sizeof text - 1);
    close(ends[0]);
    assert_true(n > 0);
    text[n] = 0;
    assert_non_null(strstr(text, "failing"));
    assert_non_null(strstr(text, strerror(EIO)));
    assert_ptr_equal(strchr(text, '\n'), text + n - 1);
}

static void setting_a_handler_outside_of_a_task_is_refused(void **state)
{
    (void)state;
    assert_int_equal(sinew_set_error_handler(count_report, NULL), -EPERM);
}

struct waits_of_handler {
    sinew_event event;
    sinew_latch latch;
    sinew_channel *channel;
    sinew_queue *empty, *full;
    atomic_int refused;
    sinew_event called;
};

static void wait_in_handler(const sinew_error_report *report, void *arg)
{
    (void)report;
    struct waits_of_handler *w = arg;
    int n = 0;
    if (!sinew_self()) { /* on a worker's own stack */
        int results[] = {
            sinew_event_wait(&w->event),        sinew_latch_wait(&w->latch),   sinew_channel_send(w->channel, &n),
            sinew_channel_recv(w->channel, &n), sinew_queue_get(w->empty, &n), sinew_queue_put(w->full, &n),
            sinew_queue_join(w->full),
        };
        for (size_t i = 0; i < sizeof results / sizeof results[0]; i++)
            if (CHECK_EQ(results[i], -EPERM))
                atomic_fetch_add(&w->refused, 1);
    }
    sinew_event_set(&w->called);
}

IN_RUNTIME(waits_in_a_handler_on_a_workers_stack_are_refused)
{
    int one = 1;
    sinew_queue_options opt = {.element_bytes = sizeof(int), .max = 1};
    struct waits_of_handler w = {
        .channel = sinew_channel_new(sizeof(int), 0), .empty = sinew_queue_new(&opt), .full = sinew_queue_new(&opt)};
    sinew_event_init(&w.event);
    sinew_event_init(&w.called);
    sinew_latch_init(&w.latch, 1);
    CHECK_EQ(sinew_queue_put(w.full, &one), 0);
    CHECK_EQ(sinew_set_error_handler(wait_in_handler, &w), 0);
    sinew_detach(sinew_spawn(return_arg, (void *)-EIO));
    CHECK_EQ(sinew_event_wait(&w.called), 0);
    CHECK(w.refused == 0 || w.refused == 7);
    CHECK_EQ(sinew_set_error_handler(NULL, NULL), 0);
    sinew_channel_unref(w.channel);
    sinew_queue_unref(w.empty);
    sinew_queue_unref(w.full);
    return 0;
}

static struct reports at_the_end;

static intptr_t leave_handles(void *arg)
{
    (void)arg;
    CHECK_EQ(sinew_set_error_handler(count_report, &at_the_end), 0);
    sinew_task *t = failed(ENOENT), *asked = failed(EIO);
    CHECK_EQ(sinew_result(asked), -EIO);
    CHECK(sinew_done(t));
    spawn_named("good", return_arg, (void *)5);
    CHECK_EQ(atomic_load(&at_the_end.n), 0);
    return 0;
}

/* Handles end with their runtime. */
static void an_error_whose_handle_is_left_is_reported_when_the_runtime_ends(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        at_the_end = (struct reports){0};
        assert_int_equal(run_workers(worker_counts[i], leave_handles, NULL), 0);
        assert_int_equal(at_the_end.n, 1);
        assert_int_equal(at_the_end.error, -ENOENT);
        assert_string_equal(at_the_end.name, "failing");
    }
    assert_int_equal(check_failures, 0);
}

TEST_MAIN(cmocka_unit_test(an_error_whose_handle_is_left_is_reported_when_the_runtime_ends),
          cmocka_unit_test(waits_in_a_handler_on_a_workers_stack_are_refused),
          cmocka_unit_test(an_error_nobody_had_is_reported_when_the_last_reference_goes),
          cmocka_unit_test(a_detached_task_that_fails_later_is_reported),
          cmocka_unit_test(whoever_had_the_result_silences_the_report),
          cmocka_unit_test(what_gather_leaves_behind_after_an_error_is_not_reported),
          cmocka_unit_test(a_cancelled_task_is_not_reported), cmocka_unit_test(waiting_without_asking_does_not_silence),
          cmocka_unit_test(a_shielded_error_whose_waiter_left_is_reported_once),
          cmocka_unit_test(errors_of_a_group_after_the_first_are_reported), cmocka_unit_test(futures_are_reported_too),
          cmocka_unit_test(a_failure_during_shutdown_is_reported_and_mains_result_stands),
          cmocka_unit_test(without_a_handler_it_is_one_line_on_stderr),
          cmocka_unit_test(setting_a_handler_outside_of_a_task_is_refused))
