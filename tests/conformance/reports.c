/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the rules of errors that nobody asked for (A17, A18, A80, A111, A121, A126), as docs/conformance.md lists them;
 * the number in a test's name is the rule's.
 * Method: a handler that counts; every way to give a reference up and every way to ask for a result.
 * Cannot see: what the default writes to stderr (tests/core/report.c does).
 */
#include <errno.h>
#include <pthread.h>

#include <tests/support/run.h>
#include <tests/support/tasks.h>

struct reports {
    atomic_int n;
    atomic_intptr_t error; /* the last one's */
};

static void count_report(const sinew_error_report *report, void *arg)
{
    struct reports *r = arg;
    atomic_store(&r->error, report->error);
    atomic_fetch_add(&r->n, 1);
}

/* A task that has ended may still hold a reference of its own for a moment, so that the report comes from there. */
static void expect_reports(struct reports *r, int n, const char *what)
{
    yield_until(&r->n, n);
    for (int i = 0; i < 10; i++) /* for one too many */
        sinew_yield();
    if (!CHECK_EQ(r->n, n))
        print_message("%s\n", what);
    atomic_store(&r->n, 0);
}

static intptr_t no_more_reports(void)
{
    return sinew_set_error_handler(NULL, NULL);
}

static intptr_t fail_now(void *arg)
{
    (void)arg;
    return -EIO;
}

static intptr_t fail_later(void *arg)
{
    (void)arg;
    sinew_yield();
    return -EIO;
}

enum { FUTURE = 4, STARTS = 6 };

static const char *const start_names[STARTS] = {"spawned", "pinned", "eager", "eager, suspended", "a future", "named"};

/* A task that has failed, and one reference. */
static sinew_task *failed(int start)
{
    sinew_task *t;
    if (start == FUTURE) {
        sinew_future *f = sinew_future_new();
        CHECK_EQ(sinew_future_set(f, -EIO), 0);
        t = sinew_future_task(f);
        sinew_future_unref(f);
        return t;
    }
    t = start == 0   ? sinew_spawn(fail_now, NULL)
        : start == 1 ? spawn_pinned(fail_later, NULL)
        : start == 2 ? spawn_eager(fail_now, NULL)
        : start == 3 ? spawn_eager(fail_later, NULL)
                     : spawn_named("with a name", fail_now, NULL);
    yield_until_done(t);
    return t;
}

/* --- A17 ---------------------------------------------------------------------------------------------------------- */

IN_RUNTIME(a017_the_report_comes_when_the_last_reference_goes_and_not_earlier)
{
    struct reports r = {0};
    CHECK_EQ(sinew_set_error_handler(count_report, &r), 0);
    for (int start = 0; start < STARTS; start++) {
        sinew_task *t = failed(start), *again = sinew_ref(t);
        expect_reports(&r, 0, start_names[start]);
        sinew_detach(t);
        expect_reports(&r, 0, start_names[start]);
        /* None of these asks for the result. */
        CHECK(sinew_done(again));
        CHECK(sinew_name(again) != NULL);
        CHECK_EQ(sinew_wait(&again, 1, SINEW_ALL_COMPLETED, SINEW_FOREVER, NULL), 1);
        sinew_detach(sinew_ref(again));
        expect_reports(&r, 0, start_names[start]);
        sinew_detach(again);
        if (start == FUTURE)
            CHECK_EQ(r.n, 1); /* inside the call */
        expect_reports(&r, 1, start_names[start]);
        CHECK_EQ(r.error, -EIO);
    }
    return no_more_reports();
}

IN_RUNTIME(a017_a_task_without_handles_is_reported_when_it_fails)
{
    struct reports r = {0};
    CHECK_EQ(sinew_set_error_handler(count_report, &r), 0);
    gate g;
    gate_init(&g, -EIO);
    sinew_detach(sinew_spawn(gate_pass, &g));
    yield_until(&g.reached, 1);
    expect_reports(&r, 0, "it has not ended");
    gate_open(&g, 1);
    expect_reports(&r, 1, "detached before the end");
    sinew_detach(sinew_spawn(fail_now, NULL));
    expect_reports(&r, 1, "detached before the start");
    return no_more_reports();
}

static void *detach_in_a_thread(void *arg)
{
    sinew_detach(arg);
    return NULL;
}

IN_RUNTIME(a017_a_thread_that_drops_the_last_reference_of_a_task_reports_to_the_tasks_runtime)
{
    struct reports r = {0};
    CHECK_EQ(sinew_set_error_handler(count_report, &r), 0);
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, detach_in_a_thread, failed(0)), 0);
    pthread_join(thread, NULL);
    expect_reports(&r, 1, "a thread");
    return no_more_reports();
}

static intptr_t look_away(sinew_task *task, void *arg)
{
    CHECK(sinew_done(task));
    atomic_fetch_add((atomic_int *)arg, 1);
    return 0;
}

static intptr_t ask(sinew_task *task, void *arg)
{
    CHECK_EQ(sinew_result(task), -EIO);
    atomic_fetch_add((atomic_int *)arg, 1);
    return 0;
}

IN_RUNTIME(a017_a_callback_is_a_reference_and_may_ask)
{
    struct reports r = {0};
    CHECK_EQ(sinew_set_error_handler(count_report, &r), 0);
    for (int start = 0; start < STARTS; start++) {
        atomic_int calls = 0;
        sinew_task *t = failed(start);
        CHECK_EQ(sinew_on_done(t, look_away, &calls), 0);
        sinew_detach(t);
        expect_reports(&r, 1, start_names[start]);
        CHECK_EQ(calls, 1);
        t = failed(start);
        CHECK_EQ(sinew_on_done(t, look_away, &calls), 0);
        CHECK_EQ(sinew_on_done(t, ask, &calls), 0);
        sinew_detach(t);
        yield_until(&calls, 3);
        expect_reports(&r, 0, start_names[start]);
    }
    return no_more_reports();
}

struct waiter {
    sinew_future *f;
    atomic_int entered;
    intptr_t (*how)(sinew_task *);
};

static intptr_t wait_in_that_way(void *arg)
{
    struct waiter *w = arg;
    atomic_fetch_add(&w->entered, 1);
    return w->how(sinew_future_task(w->f));
}

static intptr_t with_limit(sinew_task *t)
{
    return sinew_wait_for(t, VERY_LONG);
}

/* The waiter has been told of its cancel and not of the error. */
IN_RUNTIME_PINNED(a017_an_error_that_a_cancel_has_overtaken_is_reported)
{
    static intptr_t (*const hows[])(sinew_task *) = {sinew_await, sinew_shield, with_limit};
    struct reports r = {0};
    CHECK_EQ(sinew_set_error_handler(count_report, &r), 0);
    for (size_t i = 0; i < sizeof hows / sizeof hows[0]; i++) {
        struct waiter w = {.f = sinew_future_new(), .how = hows[i]};
        sinew_task *t = spawn_pinned(wait_in_that_way, &w);
        yield_until(&w.entered, 1);
        CHECK_EQ(sinew_future_set(w.f, -EIO), 0);
        CHECK(sinew_cancel(t));
        CHECK_EQ(sinew_await(t), -ECANCELED);
        expect_reports(&r, 0, "there is a reference");
        sinew_future_unref(w.f);
        expect_reports(&r, 1, "overtaken");
    }
    return no_more_reports();
}

/* --- A18 ---------------------------------------------------------------------------------------------------------- */

static intptr_t gather_one(sinew_task *t)
{
    return sinew_gather(&t, 1, NULL);
}

static intptr_t settle_one(sinew_task *t)
{
    intptr_t result;
    CHECK_EQ(sinew_gather_settled(&t, 1, &result), 0);
    return result;
}

static intptr_t without_limit(sinew_task *t)
{
    return sinew_wait_for(t, SINEW_FOREVER);
}

static intptr_t with_no_time(sinew_task *t)
{
    return sinew_wait_for(t, 0);
}

static intptr_t by_result(sinew_task *t)
{
    intptr_t result = sinew_result(t);
    sinew_detach(t);
    return result;
}

static void *join_in_a_thread(void *arg)
{
    return (void *)sinew_task_join(arg);
}

static intptr_t by_a_thread(sinew_task *t)
{
    pthread_t thread;
    void *result;
    CHECK_EQ(pthread_create(&thread, NULL, join_in_a_thread, t), 0);
    pthread_join(thread, &result);
    return (intptr_t)result;
}

IN_RUNTIME(a018_asking_once_in_any_way_silences_the_report)
{
    static intptr_t (*const ways[])(sinew_task *) = {sinew_await,  sinew_shield,  gather_one,  settle_one, with_limit,
                                                     with_no_time, without_limit, by_a_thread, by_result};
    struct reports r = {0};
    CHECK_EQ(sinew_set_error_handler(count_report, &r), 0);
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++)
        for (int start = 0; start < STARTS; start++)
            for (int more = 0; more < 2; more++) {
                sinew_task *t = failed(start), *other = more ? sinew_ref(t) : NULL;
                CHECK_EQ(ways[i](t), -EIO);
                sinew_detach(other); /* also one that goes later */
                expect_reports(&r, 0, start_names[start]);
            }
    return no_more_reports();
}

IN_RUNTIME(a018_cancelling_silences_the_report_unless_the_task_answers_with_an_error)
{
    struct reports r = {0};
    CHECK_EQ(sinew_set_error_handler(count_report, &r), 0);
    for (int start = 0; start < STARTS; start++) { /* it has failed already */
        sinew_task *t = failed(start);
        CHECK(!sinew_cancel(t));
        sinew_detach(t);
        expect_reports(&r, 0, start_names[start]);
    }
    sinew_future *f = sinew_future_new();
    CHECK_EQ(sinew_future_set(f, -EIO), 0);
    CHECK(!sinew_future_cancel(f));
    sinew_future_unref(f);
    expect_reports(&r, 0, "a future");

    gate g;
    for (int answers = 0; answers < 2; answers++) {
        gate_init(&g, 1);
        g.when_stopped = answers ? -EIO : 0;
        sinew_task *t = sinew_spawn(gate_pass, &g);
        yield_until(&g.reached, 1);
        CHECK(sinew_cancel(t));
        yield_until_done(t);
        sinew_detach(t);
        expect_reports(&r, answers, answers ? "it answered with an error" : "it ended cancelled");
    }
    sinew_task *unstarted = sinew_spawn(fail_now, NULL);
    if (sinew_cancel(unstarted) && sinew_workers() == 1) {
        sinew_detach(unstarted);
        expect_reports(&r, 0, "cancelled before its start");
    } else {
        sinew_await(unstarted);
    }
    return no_more_reports();
}

/* --- A80: groups -------------------------------------------------------------------------------------------------- */

static intptr_t fail_when_stopped(void *arg)
{
    atomic_int *begun = arg;
    atomic_fetch_add(begun, 1);
    sinew_sleep(VERY_LONG);
    return -EIO;
}

/* One error is returned, and by then all others have been reported. */
IN_RUNTIME(a080_a_group_returns_one_error_and_reports_all_others_before_it_ends)
{
    enum { CHILDREN = 4 };
    struct reports r = {0};
    CHECK_EQ(sinew_set_error_handler(count_report, &r), 0);
    int rounds = (int)scaled(2000, 200);
    for (int round = 0; round < rounds; round++) {
        atomic_int begun = 0;
        sinew_group g;
        sinew_group_init(&g);
        for (int i = 0; i < CHILDREN; i++)
            CHECK_EQ(sinew_group_spawn(&g, fail_when_stopped, &begun), 0);
        yield_until(&begun, CHILDREN);
        sinew_group_cancel(&g);
        CHECK_EQ(sinew_group_wait(&g), -EIO);
        if (!CHECK_EQ(r.n, CHILDREN - 1))
            break;
        atomic_store(&r.n, 0);
    }
    expect_reports(&r, 0, "and no more");
    return no_more_reports();
}

struct owner {
    atomic_int begun;
};

static intptr_t own_a_group(void *arg)
{
    struct owner *o = arg;
    sinew_group g;
    sinew_group_init(&g);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(sinew_group_spawn(&g, fail_when_stopped, &o->begun), 0);
    return sinew_group_wait(&g);
}

IN_RUNTIME(a080_errors_after_a_cancel_of_the_owner_are_returned_or_reported)
{
    struct reports r = {0};
    CHECK_EQ(sinew_set_error_handler(count_report, &r), 0);
    struct owner o = {0};
    sinew_task *t = sinew_spawn(own_a_group, &o);
    yield_until(&o.begun, 3);
    CHECK(sinew_cancel(t));
    CHECK_EQ(sinew_await(sinew_ref(t)), -EIO);
    expect_reports(&r, 2, "the owner was cancelled");
    sinew_detach(t);
    expect_reports(&r, 0, "the owner's own was asked for");
    return no_more_reports();
}

/* --- A111: shields ------------------------------------------------------------------------------------------------ */

static intptr_t shield_it(void *arg)
{
    return sinew_shield(arg);
}

IN_RUNTIME(a111_the_error_of_a_shielded_task_whose_waiter_is_gone_is_reported_once)
{
    struct reports r = {0};
    CHECK_EQ(sinew_set_error_handler(count_report, &r), 0);
    static const intptr_t results[] = {-EIO, 4, -ECANCELED};
    for (int k = 0; k < 6; k++) {
        bool timed_out = k % 2;
        gate g;
        gate_init(&g, results[k / 2]);
        sinew_task *t = sinew_spawn(gate_pass, &g);
        yield_until(&g.reached, 1);
        if (timed_out) {
            sinew_timeout scope;
            sinew_timeout_begin(&scope, SINEW_US(100));
            CHECK_EQ(sinew_shield(t), -ETIMEDOUT);
            sinew_timeout_end(&scope);
        } else {
            sinew_task *waiter = spawn_eager(shield_it, t);
            CHECK(sinew_cancel(waiter));
            CHECK_EQ(sinew_await(waiter), -ECANCELED);
        }
        expect_reports(&r, 0, "it has not ended");
        gate_open(&g, 1);
        yield_until(&g.ended, 1);
        expect_reports(&r, k < 2, "it has ended");
    }
    return no_more_reports();
}

IN_RUNTIME(a111_another_who_asks_for_the_shielded_result_silences_the_report)
{
    struct reports r = {0};
    CHECK_EQ(sinew_set_error_handler(count_report, &r), 0);
    gate g;
    gate_init(&g, -EIO);
    sinew_task *t = sinew_spawn(gate_pass, &g), *waiter = spawn_eager(shield_it, sinew_ref(t));
    CHECK(sinew_cancel(waiter));
    CHECK_EQ(sinew_await(waiter), -ECANCELED);
    gate_open(&g, 1);
    CHECK_EQ(sinew_await(t), -EIO);
    expect_reports(&r, 0, "asked");
    return no_more_reports();
}

/* --- A121: the handler -------------------------------------------------------------------------------------------- */

struct nested {
    struct reports inner;
    sinew_task *drop;
};

static void drop_another(const sinew_error_report *report, void *arg)
{
    struct nested *n = arg;
    count_report(report, &n->inner);
    sinew_task *t = n->drop;
    n->drop = NULL;
    sinew_detach(t);
}

/* It returns nothing, so it cannot fail; but it can bring further errors about. */
IN_RUNTIME(a121_an_error_that_comes_up_in_a_handler_is_reported_too)
{
    struct nested n = {.drop = failed(FUTURE)};
    sinew_task *t = failed(FUTURE);
    CHECK_EQ(sinew_set_error_handler(drop_another, &n), 0);
    sinew_detach(t);
    expect_reports(&n.inner, 2, "nested");
    return no_more_reports();
}

static void set_another(const sinew_error_report *report, void *arg)
{
    struct reports *r = arg;
    (void)report;
    CHECK_EQ(sinew_set_error_handler(count_report, r), 0);
}

IN_RUNTIME(a121_a_handler_may_set_another_one)
{
    struct reports r = {0};
    sinew_task *first = failed(FUTURE), *second = failed(FUTURE);
    CHECK_EQ(sinew_set_error_handler(set_another, &r), 0);
    sinew_detach(first);
    expect_reports(&r, 0, "the first handler");
    sinew_detach(second);
    expect_reports(&r, 1, "the second handler");
    return no_more_reports();
}

/* --- A126: shutdown ----------------------------------------------------------------------------------------------- */

static atomic_int left_begun;

static intptr_t leave_failing_ones(void *arg)
{
    CHECK_EQ(sinew_set_error_handler(count_report, arg), 0);
    atomic_store(&left_begun, 0);
    sinew_detach(sinew_spawn(fail_when_stopped, &left_begun));
    sinew_detach(spawn_pinned(fail_when_stopped, &left_begun));
    sinew_task *kept = sinew_spawn(fail_when_stopped, &left_begun);
    CHECK_EQ(sinew_on_done(kept, look_away, &left_begun), 0);
    sinew_detach(kept);
    yield_until(&left_begun, 3);
    return 6;
}

static intptr_t leave_failing_ones_and_fail(void *arg)
{
    leave_failing_ones(arg);
    return -EPROTO;
}

static void a126_what_main_left_and_fails_at_the_end_is_reported_and_mains_result_stands(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        struct reports r = {0};
        assert_int_equal(run_workers(worker_counts[i], leave_failing_ones, &r), 6);
        assert_int_equal(r.n, 3);
        assert_int_equal(r.error, -EIO);
        atomic_store(&r.n, 0);
        assert_int_equal(run_workers(worker_counts[i], leave_failing_ones_and_fail, &r), -EPROTO);
        assert_int_equal(r.n, 3); /* main's own is returned, not reported */
    }
    assert_int_equal(check_failures, 0);
}

TEST_MAIN(cmocka_unit_test(a017_the_report_comes_when_the_last_reference_goes_and_not_earlier),
          cmocka_unit_test(a017_a_task_without_handles_is_reported_when_it_fails),
          cmocka_unit_test(a017_a_thread_that_drops_the_last_reference_of_a_task_reports_to_the_tasks_runtime),
          cmocka_unit_test(a017_a_callback_is_a_reference_and_may_ask),
          cmocka_unit_test(a017_an_error_that_a_cancel_has_overtaken_is_reported),
          cmocka_unit_test(a018_asking_once_in_any_way_silences_the_report),
          cmocka_unit_test(a018_cancelling_silences_the_report_unless_the_task_answers_with_an_error),
          cmocka_unit_test(a080_a_group_returns_one_error_and_reports_all_others_before_it_ends),
          cmocka_unit_test(a080_errors_after_a_cancel_of_the_owner_are_returned_or_reported),
          cmocka_unit_test(a111_the_error_of_a_shielded_task_whose_waiter_is_gone_is_reported_once),
          cmocka_unit_test(a111_another_who_asks_for_the_shielded_result_silences_the_report),
          cmocka_unit_test(a121_an_error_that_comes_up_in_a_handler_is_reported_too),
          cmocka_unit_test(a121_a_handler_may_set_another_one),
          cmocka_unit_test(a126_what_main_left_and_fails_at_the_end_is_reported_and_mains_result_stands))
