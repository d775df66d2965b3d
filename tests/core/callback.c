/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: done-callbacks run once each, later than the end, in order; removal and errors as documented.
 * Method: tasks held at gates, callbacks that write into a log; 1, 2 and 8 workers.
 * Cannot see: the order in which several workers run callbacks that are ready.
 */
#include <errno.h>

#include <tests/support/run.h>
#include <tests/support/tasks.h>

struct seen {
    atomic_int calls;
    event_log log;
    intptr_t result;
    sinew_task *task;
};

struct numbered {
    struct seen *seen;
    int number;
};

static intptr_t note(sinew_task *task, void *arg)
{
    struct seen *s = arg;
    s->result = sinew_result(task);
    s->task = task;
    atomic_fetch_add(&s->calls, 1);
    return 0;
}

static intptr_t note_number(sinew_task *task, void *arg)
{
    struct numbered *n = arg;
    (void)task;
    log_event(&n->seen->log, n->number);
    atomic_fetch_add(&n->seen->calls, 1);
    return 0;
}

IN_RUNTIME(a_callback_runs_once_after_the_end)
{
    gate g;
    gate_init(&g, 17);
    struct seen s = {0};
    sinew_task *t = sinew_spawn(gate_pass, &g);
    CHECK_EQ(sinew_on_done(t, note, &s), 0);
    yield_until(&g.reached, 1);
    CHECK_EQ(atomic_load(&s.calls), 0);
    gate_open(&g, 1);
    CHECK_EQ(sinew_await(sinew_ref(t)), 17);
    yield_until(&s.calls, 1);
    CHECK_EQ(s.result, 17);
    CHECK(s.task == t);
    for (int i = 0; i < 20; i++)
        sinew_yield();
    CHECK_EQ(atomic_load(&s.calls), 1);
    sinew_detach(t);
    return 0;
}

IN_RUNTIME_PINNED(one_added_after_the_end_runs_later_and_not_inside_of_the_call)
{
    sinew_task *t = spawn_pinned(return_arg, (void *)3);
    yield_until_done(t);
    struct seen s = {0};
    CHECK_EQ(sinew_on_done(t, note, &s), 0);
    CHECK_EQ(sinew_workers() > 1 || atomic_load(&s.calls) == 0, true);
    yield_until(&s.calls, 1);
    CHECK_EQ(s.result, 3);
    sinew_detach(t);
    return 0;
}

IN_RUNTIME_WITH(callbacks_run_in_the_order_in_which_they_were_added, 1)
{
    gate g;
    gate_init(&g, 0);
    struct seen s = {0};
    struct numbered n[10];
    sinew_task *t = sinew_spawn(gate_pass, &g);
    for (int i = 0; i < 10; i++) {
        n[i] = (struct numbered){&s, i};
        CHECK_EQ(sinew_on_done(t, note_number, &n[i]), 0);
    }
    yield_until(&g.reached, 1);
    gate_open(&g, 1);
    CHECK_EQ(sinew_await(t), 0);
    yield_until(&s.calls, 10);
    for (int i = 0; i < 10; i++)
        CHECK_EQ(s.log.events[i], i);
    return 0;
}

IN_RUNTIME(removing_takes_back_all_registrations_of_a_function)
{
    gate g;
    gate_init(&g, 0);
    struct seen s = {0}, other = {0};
    struct numbered n = {&s, 1};
    sinew_task *t = sinew_spawn(gate_pass, &g);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(sinew_on_done(t, note_number, &n), 0);
    CHECK_EQ(sinew_on_done(t, note, &other), 0);
    CHECK_EQ(sinew_on_done_remove(t, note_number), 3);
    CHECK_EQ(sinew_on_done_remove(t, note_number), 0);
    yield_until(&g.reached, 1);
    gate_open(&g, 1);
    CHECK_EQ(sinew_await(t), 0);
    yield_until(&other.calls, 1);
    CHECK_EQ(atomic_load(&s.calls), 0);
    return 0;
}

struct reports {
    atomic_int n;
    intptr_t error;
    char name[64];
};

static void count_report(const sinew_error_report *report, void *arg)
{
    struct reports *r = arg;
    r->error = report->error;
    snprintf(r->name, sizeof r->name, "%s", report->name);
    atomic_fetch_add(&r->n, 1);
}

static intptr_t fail_in_callback(sinew_task *task, void *arg)
{
    (void)task, (void)arg;
    return -EIO;
}

IN_RUNTIME(an_error_of_a_callback_is_reported_and_the_others_run)
{
    struct reports r = {0};
    CHECK_EQ(sinew_set_error_handler(count_report, &r), 0);
    struct seen s = {0};
    sinew_task *t = sinew_spawn(return_arg, (void *)1);
    CHECK_EQ(sinew_on_done(t, fail_in_callback, NULL), 0);
    CHECK_EQ(sinew_on_done(t, note, &s), 0);
    CHECK_EQ(sinew_await(t), 1);
    yield_until(&s.calls, 1);
    yield_until(&r.n, 1);
    CHECK_EQ(r.error, -EIO);
    CHECK_EQ(sinew_set_error_handler(NULL, NULL), 0);
    return 0;
}

static intptr_t sleep_in_callback(sinew_task *task, void *arg)
{
    CHECK_EQ(sinew_result(task), -ECANCELED);
    CHECK_EQ(sinew_sleep(SINEW_MS(1)), 0);
    atomic_fetch_add((atomic_int *)arg, 1);
    return 0;
}

IN_RUNTIME(a_callback_may_suspend_and_sees_a_cancel_as_the_result)
{
    atomic_int calls = 0;
    sinew_task *t = sinew_spawn(sleep_very_long, NULL);
    CHECK_EQ(sinew_on_done(t, sleep_in_callback, &calls), 0);
    sinew_cancel(t);
    CHECK_EQ(sinew_await(t), -ECANCELED);
    yield_until(&calls, 1);
    return 0;
}

IN_RUNTIME(callbacks_of_futures)
{
    struct seen s = {0};
    sinew_future *f = sinew_future_new();
    sinew_task *t = sinew_future_task(f);
    CHECK_EQ(sinew_on_done(t, note, &s), 0);
    sinew_future_set(f, 8);
    yield_until(&s.calls, 1);
    CHECK_EQ(s.result, 8);
    sinew_detach(t);
    sinew_future_unref(f);
    return 0;
}

static sinew_future *left_behind;

static intptr_t register_and_leave(void *arg)
{
    sinew_task *t = sinew_future_task(left_behind);
    CHECK_EQ(sinew_on_done(t, note, arg), 0);
    sinew_detach(t);
    return 0;
}

static void a_callback_ends_with_its_runtime(void **state)
{
    (void)state;
    struct seen s = {0};
    left_behind = sinew_future_new();
    assert_int_equal(sinew_run(register_and_leave, &s), 0);
    assert_int_equal(sinew_future_set(left_behind, 1), 0);
    assert_int_equal(atomic_load(&s.calls), 0);
    sinew_future_unref(left_behind);
}

IN_RUNTIME(removing_races_with_the_end)
{
    for (int i = 0; i < 300; i++) {
        struct seen s = {0};
        struct numbered n = {&s, i};
        sinew_task *t = sinew_spawn(return_arg, NULL);
        CHECK_EQ(sinew_on_done(t, note_number, &n), 0);
        if (i % 2)
            sinew_yield();
        int removed = sinew_on_done_remove(t, note_number);
        CHECK_EQ(sinew_await(t), 0);
        yield_until(&s.calls, 1 - removed);
        CHECK_EQ(atomic_load(&s.calls), 1 - removed);
    }
    return 0;
}

IN_RUNTIME(misuse_is_refused)
{
    sinew_task *t = sinew_spawn(return_arg, NULL);
    CHECK_EQ(sinew_on_done(NULL, note, NULL), -EINVAL);
    CHECK_EQ(sinew_on_done(t, NULL, NULL), -EINVAL);
    CHECK_EQ(sinew_on_done_remove(NULL, note), -EINVAL);
    CHECK_EQ(sinew_on_done_remove(t, NULL), -EINVAL);
    return sinew_await(t);
}

static void outside_of_a_task_it_is_refused(void **state)
{
    (void)state;
    sinew_future *f = sinew_future_new();
    sinew_task *t = sinew_future_task(f);
    assert_int_equal(sinew_on_done(t, note, NULL), -EPERM);
    assert_int_equal(sinew_on_done_remove(t, note), -EPERM);
    sinew_detach(t);
    sinew_future_unref(f);
}

TEST_MAIN(cmocka_unit_test(a_callback_runs_once_after_the_end),
          cmocka_unit_test(one_added_after_the_end_runs_later_and_not_inside_of_the_call),
          cmocka_unit_test(callbacks_run_in_the_order_in_which_they_were_added),
          cmocka_unit_test(removing_takes_back_all_registrations_of_a_function),
          cmocka_unit_test(an_error_of_a_callback_is_reported_and_the_others_run),
          cmocka_unit_test(a_callback_may_suspend_and_sees_a_cancel_as_the_result),
          cmocka_unit_test(callbacks_of_futures), cmocka_unit_test(a_callback_ends_with_its_runtime),
          cmocka_unit_test(removing_races_with_the_end), cmocka_unit_test(misuse_is_refused),
          cmocka_unit_test(outside_of_a_task_it_is_refused))
