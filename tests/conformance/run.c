/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the rules of running and ending, A123 to A134 as far as they apply (conformance/rules.tsv), one test or more
 * for each.
 * Method: leftovers that record how often they were cancelled; forked children for SIGINT.
 * Cannot see: what a terminal does.
 */
#include <errno.h>
#include <signal.h>

#include <tests/support/child.h>
#include <tests/support/run.h>
#include <tests/support/tasks.h>

/* --- A123: main's result -------------------------------------------------------------------------------------------
 */

static void a123_run_gives_mains_value_or_error(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        assert_int_equal(run_workers(worker_counts[i], return_arg, (void *)17), 17);
        assert_int_equal(run_workers(worker_counts[i], return_arg, NULL), 0);
        assert_int_equal(run_workers(worker_counts[i], return_arg, (void *)INTPTR_MAX), INTPTR_MAX);
        assert_int_equal(run_workers(worker_counts[i], return_arg, (void *)(intptr_t)-EIO), -EIO);
        assert_int_equal(run_workers(worker_counts[i], return_arg, (void *)(intptr_t)-ECANCELED), -ECANCELED);
    }
}

/* --- A124 to A127: what main leaves behind --------------------------------------------------------------------------
 */

/* Counts of all leftovers of a run; static, because they are read when the runtime is gone. */
static struct {
    atomic_int started, stopped, counted, again, over, runs;
} left;

static void left_clear(void)
{
    memset(&left, 0, sizeof left);
}

/* How it was cancelled, and that its cleaning up is not cancelled again. */
static void note_stop(int r)
{
    if (r == -ECANCELED)
        atomic_fetch_add(&left.stopped, 1);
    atomic_fetch_add(&left.counted, sinew_cancelling());
    for (int i = 0; i < 8; i++)
        if (sinew_sleep(SINEW_US(500)) != 0)
            atomic_fetch_add(&left.again, 1);
    atomic_fetch_add(&left.over, 1);
}

static intptr_t left_asleep(void *arg)
{
    atomic_fetch_add(&left.started, 1);
    note_stop(sinew_sleep(VERY_LONG));
    return (intptr_t)arg;
}

static intptr_t left_at_sem(void *arg)
{
    sinew_sem none;
    sinew_sem_init(&none, 0);
    atomic_fetch_add(&left.started, 1);
    note_stop(sinew_sem_wait(&none));
    return (intptr_t)arg;
}

static intptr_t left_yielding(void *arg)
{
    int r;
    atomic_fetch_add(&left.started, 1);
    while ((r = sinew_yield()) == 0)
        ;
    note_stop(r);
    return (intptr_t)arg;
}

static intptr_t main_result;

static intptr_t leave_behind(void *arg)
{
    (void)arg;
    for (int i = 0; i < 5; i++) {
        sinew_detach(sinew_spawn(left_asleep, NULL));
        sinew_detach(sinew_spawn(left_at_sem, NULL));
        sinew_detach(sinew_spawn(left_yielding, NULL));
        sinew_detach(spawn_pinned(left_asleep, NULL));
        sinew_detach(spawn_eager(left_asleep, NULL));
    }
    yield_until(&left.started, 25);
    return main_result;
}

static void a124_what_main_leaves_behind_gets_one_cancel_and_is_awaited(void **state)
{
    (void)state;
    static const intptr_t results[] = {3, -EIO, -ECANCELED};
    for (size_t i = 0; i < WORKER_COUNTS; i++)
        for (size_t k = 0; k < sizeof results / sizeof results[0]; k++) {
            left_clear();
            main_result = results[k];
            assert_int_equal(run_workers(worker_counts[i], leave_behind, NULL), results[k]);
            assert_int_equal(left.stopped, 25);
            assert_int_equal(left.over, 25);
            assert_int_equal(left.again, 0);
            assert_int_equal(left.counted, 25); /* one request each, counted like any other */
        }
}

static intptr_t count_run(void *arg)
{
    (void)arg;
    atomic_fetch_add(&left.runs, 1);
    return 0;
}

static intptr_t leave_unstarted(void *arg)
{
    (void)arg;
    for (int i = 0; i < 20; i++)
        sinew_detach(spawn_pinned(count_run, NULL));
    return 6;
}

static void a124_what_has_not_started_never_starts(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        left_clear();
        assert_int_equal(run_workers(worker_counts[i], leave_unstarted, NULL), 6);
        assert_int_equal(left.runs, 0);
    }
}

/* Leftovers that wait for others, which are leftovers, too: those get their own cancel, and not another one through
 * the one who waits. They are older or younger than that one, so that either may look first. */
enum structure { AWAITS, AWAITS_STARTED, GATHERS, GATHERS_SETTLED, MAPS, HAS_GROUP, WAITS_FOR, STRUCTURES };

struct structured {
    enum structure structure;
    sinew_task *older[2];
};

static intptr_t left_with_others(void *arg)
{
    struct structured *s = arg;
    sinew_task *tasks[2];
    sinew_group group;
    for (int i = 0; i < 2; i++)
        if (s->structure == AWAITS_STARTED || s->structure == GATHERS || s->structure == GATHERS_SETTLED)
            tasks[i] = s->older[i] ? s->older[i] : spawn_eager(left_asleep, NULL);
    atomic_fetch_add(&left.started, 1);
    switch (s->structure) {
    case AWAITS:
        return sinew_await(sinew_spawn(left_asleep, NULL));
    case AWAITS_STARTED:
        sinew_await(tasks[0]);
        return sinew_await(tasks[1]);
    case GATHERS:
        return sinew_gather(tasks, 2, NULL);
    case GATHERS_SETTLED:
        return sinew_gather_settled(tasks, 2, NULL);
    case MAPS:
        return sinew_map(left_asleep, NULL, 0, 2, NULL);
    case HAS_GROUP:
        sinew_group_init(&group);
        CHECK_EQ(sinew_group_spawn(&group, left_asleep, NULL), 0);
        CHECK_EQ(sinew_group_spawn(&group, left_asleep, NULL), 0);
        return sinew_group_wait(&group);
    default:
        return sinew_wait_for(sinew_spawn(left_asleep, NULL), VERY_LONG);
    }
}

enum { STRUCTURED = 6 };

static intptr_t leave_structure(void *arg)
{
    static struct structured structured[STRUCTURED];
    enum structure structure = (enum structure)(intptr_t)arg;
    bool takes_tasks = structure == AWAITS_STARTED || structure == GATHERS || structure == GATHERS_SETTLED;
    int each = structure == AWAITS || structure == WAITS_FOR ? 2 : 3;
    for (int i = 0; i < STRUCTURED; i++) {
        structured[i] = (struct structured){.structure = structure};
        for (int k = 0; k < 2; k++)
            structured[i].older[k] = takes_tasks && i % 2 ? spawn_eager(left_asleep, NULL) : NULL;
        sinew_detach(sinew_spawn(left_with_others, &structured[i]));
    }
    yield_until(&left.started, STRUCTURED * each);
    for (int i = 0; i < 5; i++)
        sinew_yield();
    return each - 1;
}

static void a125_a_leftover_that_swallows_its_cancel_is_awaited_and_not_cancelled_again(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORKER_COUNTS; i++)
        for (intptr_t structure = 0; structure < STRUCTURES; structure++) {
            left_clear();
            intptr_t each = run_workers(worker_counts[i], leave_structure, (void *)structure);
            if (left.again != 0 || left.stopped != STRUCTURED * each || left.over != STRUCTURED * each)
                fprintf(stderr, "structure %d, %u workers: %d stopped, %d cancelled again, %d ended\n", (int)structure,
                        worker_counts[i], left.stopped, left.again, left.over);
            assert_int_equal(left.stopped, STRUCTURED * each);
            assert_int_equal(left.again, 0);
            assert_int_equal(left.over, STRUCTURED * each);
        }
}

/* The awaited task computes while the shutdown begins and ends without another checkpoint: it never looks, and who
 * waits for it must not take its value for an answer to the cancel. */
static intptr_t compute_and_end(void *arg)
{
    (void)arg;
    atomic_fetch_add(&left.started, 1);
    while (!atomic_load(&left.runs))
        ;
    for (sinew_time until = sinew_now() + SINEW_MS(20); sinew_now() < until;)
        ; /* long enough for who waits to look, as a rule */
    return 5;
}

static intptr_t await_computing(void *arg)
{
    sinew_task *t = sinew_spawn(compute_and_end, NULL);
    while (atomic_load(&left.started) < 2)
        ; /* another worker begins it */
    intptr_t r = arg ? sinew_gather_settled(&t, 1, NULL) : sinew_await(t);
    if (r == -ECANCELED)
        atomic_fetch_add(&left.stopped, 1);
    atomic_fetch_add(&left.over, 1);
    return 0;
}

static intptr_t tell_when_stopped(void *arg)
{
    (void)arg;
    atomic_fetch_add(&left.started, 1);
    CHECK_EQ(sinew_sleep(VERY_LONG), -ECANCELED);
    atomic_fetch_add(&left.runs, 1);
    return 0;
}

static intptr_t leave_awaiting(void *arg)
{
    sinew_detach(sinew_spawn(tell_when_stopped, NULL));
    yield_until(&left.started, 1);
    sinew_detach(sinew_spawn(await_computing, arg));
    while (atomic_load(&left.started) < 2)
        sinew_yield();
    return 0;
}

static void a124_who_waits_for_a_task_that_computes_to_its_end_is_cancelled_all_the_same(void **state)
{
    (void)state;
    for (unsigned workers = 2; workers <= 8 && workers_possible(workers); workers *= 4)
        for (int gathers = 0; gathers < 2; gathers++) {
            left_clear();
            run_body(__func__, workers, leave_awaiting, gathers ? "" : NULL);
            assert_int_equal(left.over, 1);
            assert_int_equal(left.stopped, 1);
        }
}

/* A future has nobody who looks: who waits for it cancels it. */
static intptr_t left_at_future(void *arg)
{
    sinew_future *f = sinew_future_new();
    atomic_fetch_add(&left.started, 1);
    if (arg) {
        sinew_task *t = sinew_future_task(f);
        note_stop(sinew_gather_settled(&t, 1, NULL));
    } else {
        note_stop((int)sinew_future_await(f));
    }
    CHECK(sinew_future_done(f));
    sinew_future_unref(f);
    return 0;
}

static intptr_t leave_at_futures(void *arg)
{
    (void)arg;
    sinew_detach(sinew_spawn(left_at_future, NULL));
    sinew_detach(sinew_spawn(left_at_future, ""));
    yield_until(&left.started, 2);
    return 0;
}

static void a125_a_leftover_that_waits_for_a_future_is_cancelled_once(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        left_clear();
        run_body(__func__, worker_counts[i], leave_at_futures, NULL);
        assert_int_equal(left.stopped, 2);
        assert_int_equal(left.again, 0);
        assert_int_equal(left.over, 2);
    }
}

/* An element of a map that computes while the shutdown begins, and suspends for the first time after that. */
static intptr_t compute_until_another_is_stopped(void *arg)
{
    (void)arg;
    atomic_fetch_add(&left.started, 1);
    while (!atomic_load(&left.runs))
        ;
    note_stop(sinew_sleep(VERY_LONG));
    return 0;
}

static intptr_t map_one(void *arg)
{
    (void)arg;
    return sinew_map(compute_until_another_is_stopped, NULL, 0, 1, NULL);
}

static intptr_t leave_map(void *arg)
{
    (void)arg;
    sinew_detach(sinew_spawn(tell_when_stopped, NULL));
    yield_until(&left.started, 1);
    sinew_detach(sinew_spawn(map_one, NULL));
    while (atomic_load(&left.started) < 2)
        ; /* another worker begins it, as this one has no checkpoint */
    return 0;
}

static void a125_an_element_of_a_map_that_computed_meanwhile_is_cancelled_once(void **state)
{
    (void)state;
    for (unsigned workers = 2; workers <= 8 && workers_possible(workers); workers *= 4) {
        left_clear();
        run_body(__func__, workers, leave_map, NULL);
        assert_int_equal(left.stopped, 1);
        assert_int_equal(left.again, 0);
        assert_int_equal(left.over, 1);
    }
}

/* Somebody's cancel during the shutdown is another request, and passes through an await like any other. */
static atomic_int swallowed; /* the shutdown's, so that the two are not delivered as one */

static intptr_t swallow_one_then_await(void *arg)
{
    (void)arg;
    atomic_fetch_add(&left.started, 1);
    CHECK_EQ(sinew_sleep(VERY_LONG), -ECANCELED);
    atomic_store(&swallowed, 1);
    sinew_task *inner = spawn_eager(sleep_very_long, NULL);
    intptr_t r = sinew_await(inner);
    CHECK_EQ(r, -ECANCELED);
    atomic_fetch_add(&left.over, 1);
    return 0;
}

static intptr_t cancel_another(void *arg)
{
    sinew_task *other = arg;
    atomic_fetch_add(&left.started, 1);
    CHECK_EQ(sinew_sleep(VERY_LONG), -ECANCELED);
    yield_until(&swallowed, 1);
    sinew_cancel(other);
    sinew_detach(other);
    atomic_fetch_add(&left.over, 1);
    return 0;
}

static intptr_t leave_canceller(void *arg)
{
    (void)arg;
    sinew_task *other = sinew_spawn(swallow_one_then_await, NULL);
    sinew_detach(sinew_spawn(cancel_another, other));
    yield_until(&left.started, 2);
    return 0;
}

static void a125_an_explicit_cancel_during_the_shutdown_counts(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        left_clear();
        atomic_store(&swallowed, 0);
        run_body(__func__, worker_counts[i], leave_canceller, NULL);
        assert_int_equal(left.over, 2);
    }
}

static intptr_t left_failing(void *arg)
{
    atomic_fetch_add(&left.started, 1);
    CHECK_EQ(sinew_sleep(VERY_LONG), -ECANCELED);
    atomic_fetch_add(&left.over, 1);
    return (intptr_t)arg;
}

static intptr_t leave_failing(void *arg)
{
    for (int i = 0; i < 3; i++)
        sinew_detach(sinew_spawn(left_failing, (void *)(intptr_t)-EIO));
    yield_until(&left.started, 3);
    return (intptr_t)arg;
}

static void a126_a_leftover_that_fails_does_not_change_mains_result(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        left_clear();
        assert_int_equal(run_workers(worker_counts[i], leave_failing, (void *)7), 7);
        assert_int_equal(left.over, 3);
        left_clear();
        assert_int_equal(run_workers(worker_counts[i], leave_failing, (void *)(intptr_t)-EBADMSG), -EBADMSG);
        assert_int_equal(left.over, 3);
    }
}

/* The rule says that such tasks are left alone; that is asyncio's gap, and here they are cancelled and awaited. */
static intptr_t left_spawning(void *arg)
{
    intptr_t generations = (intptr_t)arg;
    atomic_fetch_add(&left.started, 1);
    if (sinew_sleep(VERY_LONG) == -ECANCELED)
        atomic_fetch_add(&left.stopped, 1);
    if (generations > 0) {
        sinew_detach(sinew_spawn(left_spawning, (void *)(generations - 1)));
        sinew_sleep(SINEW_US(200));
    }
    atomic_fetch_add(&left.over, 1);
    return 0;
}

static intptr_t leave_spawning(void *arg)
{
    (void)arg;
    for (int i = 0; i < 5; i++)
        sinew_detach(sinew_spawn(left_spawning, (void *)4));
    yield_until(&left.started, 5);
    return 5;
}

static void a127_tasks_that_leftovers_spawn_are_cancelled_and_awaited_until_none_is_left(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        left_clear();
        assert_int_equal(run_workers(worker_counts[i], leave_spawning, NULL), 5);
        assert_int_equal(left.started, left.over);
        assert_int_equal(left.started, left.stopped);
    }
}

/* --- A129 to A131 ----------------------------------------------------------------------------------------------------
 */

static atomic_int nested_runs;

static intptr_t nested_main(void *arg)
{
    (void)arg;
    atomic_fetch_add(&nested_runs, 1);
    return 0;
}

static intptr_t run_nested(void *arg)
{
    (void)arg;
    sinew_options opt = {.workers = 1};
    CHECK_EQ(sinew_run(nested_main, NULL), -EDEADLK);
    CHECK_EQ(sinew_run_with(&opt, nested_main, NULL), -EDEADLK);
    return 0;
}

IN_RUNTIME(a129_run_inside_a_task_is_an_error_and_its_main_does_not_start)
{
    atomic_store(&nested_runs, 0);
    run_nested(NULL);
    CHECK_EQ(sinew_await(sinew_spawn(run_nested, NULL)), 0);
    CHECK_EQ(sinew_await(spawn_eager(run_nested, NULL)), 0);
    CHECK_EQ(sinew_await(spawn_pinned(run_nested, NULL)), 0);
    CHECK_EQ(nested_runs, 0);
    CHECK_EQ(sinew_yield(), 0);
    return 0;
}

static atomic_int kept_between_runs;

static intptr_t raise_by_one(void *arg)
{
    (void)arg;
    sinew_detach(sinew_spawn(left_asleep, NULL));
    yield_until(&left.started, 1);
    return atomic_fetch_add(&kept_between_runs, 1) + 1;
}

/* Every run is whole: nothing of it lives on, and nothing of it is in the way of the next one. */
static void a130_run_may_be_called_again_and_nothing_lives_between_two_runs(void **state)
{
    (void)state;
    atomic_store(&kept_between_runs, 0);
    for (int i = 1; i <= 10; i++) {
        left_clear();
        assert_int_equal(run_workers((unsigned)(1 + i % 3), raise_by_one, NULL), i);
        assert_int_equal(left.over, 1);
    }
}

/* --- A132 to A134: SIGINT
 * ----------------------------------------------------------------------------------------------- */

/* In a child of its own: signal actions and ends of processes. */
static void expect_clean(const char *name, int (*fn)(void *), void *arg)
{
    child_end end;
    assert_true(run_child(fn, arg, &end));
    if (end.code != 0 || end.signal != 0)
        child_fail(name, &end);
}

static void expect_clean_for_each(const char *name, int (*fn)(void *))
{
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        unsigned workers = worker_counts[i];
        expect_clean(name, fn, &workers);
    }
}

enum interrupted_main { MAIN_SLEEPS, MAIN_AWAITS, MAIN_AWAITS_STARTED, MAIN_HAS_GROUP, MAIN_COMPUTES, MAINS };

static intptr_t be_interrupted(void *arg)
{
    sinew_group group;
    sinew_task *t =
        (enum interrupted_main)(intptr_t)arg == MAIN_AWAITS_STARTED ? spawn_eager(sleep_very_long, NULL) : NULL;
    int r = 0;
    raise(SIGINT);
    switch ((enum interrupted_main)(intptr_t)arg) {
    case MAIN_SLEEPS:
        r = sinew_sleep(VERY_LONG);
        break;
    case MAIN_AWAITS:
        r = (int)sinew_await(sinew_spawn(sleep_very_long, NULL));
        break;
    case MAIN_AWAITS_STARTED:
        r = (int)sinew_await(t);
        break;
    case MAIN_HAS_GROUP:
        sinew_group_init(&group);
        CHECK_EQ(sinew_group_spawn(&group, sleep_very_long, NULL), 0);
        r = sinew_group_wait(&group);
        break;
    default:
        while ((r = sinew_yield()) == 0)
            ;
    }
    CHECK_EQ(r, -ECANCELED);
    CHECK_EQ(sinew_cancelling(), 1);
    return r;
}

static bool default_action(void)
{
    struct sigaction now;
    return sigaction(SIGINT, NULL, &now) == 0 && now.sa_handler == SIG_DFL;
}

static int interrupt_each_main(void *arg)
{
    for (intptr_t m = 0; m < MAINS; m++) {
        CHECK_EQ(run_workers(*(unsigned *)arg, be_interrupted, (void *)m), -EINTR);
        CHECK(default_action());
    }
    /* Nothing of it is left over. */
    CHECK_EQ(run_workers(*(unsigned *)arg, return_arg, (void *)5), 5);
    CHECK_EQ(run_workers(*(unsigned *)arg, return_arg, (void *)(intptr_t)-ECANCELED), -ECANCELED);
    return 0;
}

static void a132_the_first_sigint_cancels_main_and_run_gives_eintr(void **state)
{
    (void)state;
    expect_clean_for_each(__func__, interrupt_each_main);
}

static intptr_t answer_interrupt(void *arg)
{
    raise(SIGINT);
    CHECK_EQ(sinew_sleep(VERY_LONG), -ECANCELED);
    CHECK_EQ(sinew_sleep(SINEW_MS(1)), 0);
    return (intptr_t)arg;
}

static int answer_with_value_and_error(void *arg)
{
    CHECK_EQ(run_workers(*(unsigned *)arg, answer_interrupt, (void *)6), 6);
    CHECK(default_action());
    CHECK_EQ(run_workers(*(unsigned *)arg, answer_interrupt, (void *)(intptr_t)-EIO), -EIO);
    CHECK(default_action());
    return 0;
}

static void a132_a_main_that_answers_the_sigint_otherwise_is_heard(void **state)
{
    (void)state;
    expect_clean_for_each(__func__, answer_with_value_and_error);
}

static intptr_t be_interrupted_twice(void *arg)
{
    (void)arg;
    raise(SIGINT);
    CHECK_EQ(sinew_sleep(VERY_LONG), -ECANCELED);
    raise(SIGINT);
    if (SN_TSAN) /* where signals are taken between tasks */
        sinew_sleep(VERY_LONG);
    fprintf(stderr, "still here\n");
    return 0;
}

static int run_interrupted_twice(void *arg)
{
    run_workers(*(unsigned *)arg, be_interrupted_twice, NULL);
    return 1;
}

static void a133_the_second_sigint_ends_the_process_at_once(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        unsigned workers = worker_counts[i];
        child_end end;
        assert_true(run_child(run_interrupted_twice, &workers, &end));
        if (end.signal != SIGINT || strstr(end.err, "still here"))
            child_fail(__func__, &end);
    }
}

static atomic_int handled;

static void own_handler(int number)
{
    (void)number;
    atomic_fetch_add(&handled, 1);
}

static intptr_t raise_and_go_on(void *arg)
{
    raise(SIGINT);
    CHECK_EQ(sinew_sleep(SINEW_MS(3)), 0);
    CHECK_EQ(handled, arg ? 1 : 0);
    return 7;
}

static int run_with_own_actions(void *arg)
{
    struct sigaction now;
    signal(SIGINT, own_handler);
    CHECK_EQ(run_workers(*(unsigned *)arg, raise_and_go_on, ""), 7);
    sigaction(SIGINT, NULL, &now);
    CHECK(now.sa_handler == own_handler);
    atomic_store(&handled, 0);
    signal(SIGINT, SIG_IGN);
    CHECK_EQ(run_workers(*(unsigned *)arg, raise_and_go_on, NULL), 7);
    sigaction(SIGINT, NULL, &now);
    CHECK(now.sa_handler == SIG_IGN);
    return 0;
}

static void a134_an_action_that_somebody_has_set_is_left_alone(void **state)
{
    (void)state;
    expect_clean_for_each(__func__, run_with_own_actions);
}

static intptr_t look_at_action(void *arg)
{
    *(bool *)arg = default_action();
    return 0;
}

static void *run_in_thread(void *arg)
{
    run_workers(2, look_at_action, arg);
    return NULL;
}

static int run_in_two_threads(void *arg)
{
    (void)arg;
    bool untouched = false;
    pthread_t thread;
    pthread_create(&thread, NULL, run_in_thread, &untouched);
    pthread_join(thread, NULL);
    CHECK(untouched);
    CHECK_EQ(run_workers(2, look_at_action, &untouched), 0);
    CHECK(!untouched); /* and in the main thread it is taken */
    CHECK(default_action());
    return 0;
}

static void a134_only_the_main_threads_runtime_takes_sigint(void **state)
{
    (void)state;
    expect_clean(__func__, run_in_two_threads, NULL);
}

TEST_MAIN(cmocka_unit_test(a123_run_gives_mains_value_or_error),
          cmocka_unit_test(a124_what_main_leaves_behind_gets_one_cancel_and_is_awaited),
          cmocka_unit_test(a124_what_has_not_started_never_starts),
          cmocka_unit_test(a125_a_leftover_that_swallows_its_cancel_is_awaited_and_not_cancelled_again),
          cmocka_unit_test(a124_who_waits_for_a_task_that_computes_to_its_end_is_cancelled_all_the_same),
          cmocka_unit_test(a125_a_leftover_that_waits_for_a_future_is_cancelled_once),
          cmocka_unit_test(a125_an_element_of_a_map_that_computed_meanwhile_is_cancelled_once),
          cmocka_unit_test(a125_an_explicit_cancel_during_the_shutdown_counts),
          cmocka_unit_test(a126_a_leftover_that_fails_does_not_change_mains_result),
          cmocka_unit_test(a127_tasks_that_leftovers_spawn_are_cancelled_and_awaited_until_none_is_left),
          cmocka_unit_test(a129_run_inside_a_task_is_an_error_and_its_main_does_not_start),
          cmocka_unit_test(a130_run_may_be_called_again_and_nothing_lives_between_two_runs),
          cmocka_unit_test(a132_the_first_sigint_cancels_main_and_run_gives_eintr),
          cmocka_unit_test(a132_a_main_that_answers_the_sigint_otherwise_is_heard),
          cmocka_unit_test(a133_the_second_sigint_ends_the_process_at_once),
          cmocka_unit_test(a134_an_action_that_somebody_has_set_is_left_alone),
          cmocka_unit_test(a134_only_the_main_threads_runtime_takes_sigint))
