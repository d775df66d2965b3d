/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the rules of wait and shield, A100 to A105 and A109 to A111 (conformance/rules.tsv), one test or more for each.
 * Method: tasks at gates; waiters in tasks of their own where they are cancelled; tasks waited for before they started,
 * while they run and when they have ended.
 * Cannot see: the report of an error that nobody retrieves (A111), which is tested with the other reports.
 */
#include <errno.h>

#include <tests/support/run.h>
#include <tests/support/tasks.h>

enum { TASKS = 4 };

static const sinew_wait_mode modes[] = {SINEW_ALL_COMPLETED, SINEW_FIRST_COMPLETED, SINEW_FIRST_EXCEPTION};
enum { MODES = sizeof modes / sizeof modes[0] };

static void spawn_all(gate *gates, sinew_task **tasks)
{
    for (int i = 0; i < TASKS; i++) {
        gate_init(&gates[i], i + 1);
        tasks[i] = sinew_spawn(gate_pass, &gates[i]);
    }
    for (int i = 0; i < TASKS; i++)
        yield_until(&gates[i].reached, 1);
}

static void end_all(gate *gates, sinew_task **tasks)
{
    for (int i = 0; i < TASKS; i++) {
        gate_open(&gates[i], 1);
        sinew_await(tasks[i]);
    }
}

static int count_done(const bool *done)
{
    int n = 0;
    for (int i = 0; i < TASKS; i++)
        n += done[i];
    return n;
}

/* --- A100 to A105: wait ------------------------------------------------------------------------------------------- */

IN_RUNTIME(a100_wait_tells_who_is_done_and_never_gives_a_childs_error_or_its_own_timeout)
{
    for (int m = 0; m < MODES; m++) {
        gate gates[TASKS];
        sinew_task *tasks[TASKS];
        bool done[TASKS];
        spawn_all(gates, tasks);
        gates[0].result = -EIO;
        gates[1].result = -ETIMEDOUT;
        CHECK_EQ(sinew_wait(tasks, TASKS, modes[m], SINEW_MS(1), done), 0);
        CHECK_EQ(count_done(done), 0);
        gate_open(&gates[0], 1);
        gate_open(&gates[1], 1);
        CHECK(sinew_cancel(tasks[2]));
        for (int i = 0; i < 3; i++)
            yield_until_done(tasks[i]);
        CHECK_EQ(sinew_wait(tasks, TASKS, modes[m], SINEW_MS(1), done), 3);
        CHECK(done[0] && done[1] && done[2] && !done[3]);
        gate_open(&gates[3], 1);
        CHECK_EQ(sinew_wait(tasks, TASKS, SINEW_ALL_COMPLETED, SINEW_FOREVER, done), TASKS);
        CHECK_EQ(count_done(done), TASKS);
        /* Nothing was used up; each still has what it ended with. */
        CHECK_EQ(sinew_await(tasks[0]), -EIO);
        CHECK_EQ(sinew_await(tasks[1]), -ETIMEDOUT);
        CHECK_EQ(sinew_await(tasks[2]), -ECANCELED);
        CHECK_EQ(sinew_await(tasks[3]), 4);
        CHECK_EQ(sinew_cancelling(), 0);
    }
    return 0;
}

/* Tasks that have not started are not run in place by the wait, but run. */
IN_RUNTIME(a100_wait_for_tasks_that_have_not_started)
{
    sinew_task *tasks[TASKS];
    bool done[TASKS];
    for (int i = 0; i < TASKS; i++)
        tasks[i] = sinew_spawn(return_arg, (void *)(intptr_t)(i % 2 ? -EIO : i));
    CHECK_EQ(sinew_wait(tasks, TASKS, SINEW_ALL_COMPLETED, SINEW_FOREVER, done), TASKS);
    CHECK_EQ(count_done(done), TASKS);
    for (int i = 0; i < TASKS; i++)
        CHECK_EQ(sinew_await(tasks[i]), i % 2 ? -EIO : i);
    return 0;
}

IN_RUNTIME(a101_no_task_a_null_task_or_an_unknown_mode_is_an_error)
{
    gate gates[TASKS];
    sinew_task *tasks[TASKS];
    bool done[TASKS] = {true, true, true, true};
    spawn_all(gates, tasks);
    CHECK_EQ(sinew_wait(tasks, 0, SINEW_ALL_COMPLETED, SINEW_FOREVER, done), -EINVAL);
    CHECK_EQ(sinew_wait(NULL, 2, SINEW_ALL_COMPLETED, SINEW_FOREVER, done), -EINVAL);
    CHECK_EQ(sinew_wait(tasks, TASKS, (sinew_wait_mode)(SINEW_FIRST_EXCEPTION + 1), SINEW_FOREVER, done), -EINVAL);
    CHECK_EQ(sinew_wait(tasks, TASKS, (sinew_wait_mode)77, SINEW_FOREVER, done), -EINVAL);
    sinew_task *kept = tasks[1];
    tasks[1] = NULL;
    CHECK_EQ(sinew_wait(tasks, TASKS, SINEW_FIRST_COMPLETED, SINEW_FOREVER, done), -EINVAL);
    tasks[1] = kept;
    end_all(gates, tasks);
    return 0;
}

static intptr_t count_run(void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
    return 0;
}

IN_RUNTIME_WITH(a102_wait_lets_others_run_even_when_everything_is_done, 1)
{
    for (int m = 0; m < MODES; m++)
        for (int some = 0; some < 2; some++) {
            atomic_int runs = 0;
            sinew_task *ended = spawn_eager(return_arg, (void *)1), *others[3];
            for (int i = 0; i < 3; i++)
                others[i] = sinew_spawn(count_run, &runs);
            CHECK_EQ(runs, 0);
            CHECK_EQ(sinew_wait(&ended, 1, modes[m], some ? SINEW_S(1) : SINEW_FOREVER, NULL), 1);
            CHECK_EQ(runs, 3);
            for (int i = 0; i < 3; i++)
                CHECK_EQ(sinew_await(others[i]), 0);
            CHECK_EQ(sinew_await(ended), 1);
        }
    return 0;
}

/* Being a checkpoint, it delivers. */
IN_RUNTIME(a102_wait_for_what_is_done_delivers_a_cancel)
{
    sinew_task *ended = spawn_eager(return_arg, (void *)1);
    CHECK(sinew_cancel(sinew_self()));
    CHECK_EQ(sinew_wait(&ended, 1, SINEW_ALL_COMPLETED, SINEW_FOREVER, NULL), -ECANCELED);
    CHECK_EQ(sinew_uncancel(), 0);
    CHECK_EQ(sinew_wait(&ended, 1, SINEW_ALL_COMPLETED, SINEW_FOREVER, NULL), 1);
    CHECK_EQ(sinew_await(ended), 1);
    return 0;
}

IN_RUNTIME(a103_a_limit_that_passes_cancels_nobody)
{
    static const sinew_time limits[] = {SINEW_MS(3), 0, -1};
    for (int m = 0; m < MODES; m++)
        for (size_t k = 0; k < sizeof limits / sizeof limits[0]; k++) {
            gate gates[TASKS];
            sinew_task *tasks[TASKS];
            bool done[TASKS];
            spawn_all(gates, tasks);
            sinew_time begin = sinew_now();
            CHECK_EQ(sinew_wait(tasks, TASKS, modes[m], limits[k], done), 0);
            CHECK(sinew_now() - begin >= limits[k]);
            CHECK_EQ(count_done(done), 0);
            end_all(gates, tasks);
            for (int i = 0; i < TASKS; i++) {
                CHECK_EQ(gates[i].cancelled, 0);
                CHECK_EQ(gates[i].passed, 1);
            }
            CHECK_EQ(sinew_cancelling(), 0);
        }
    return 0;
}

struct opener {
    gate *gates;
    sinew_task **tasks;
    int open, cancel; /* an index, or -1 */
};

static intptr_t open_soon(void *arg)
{
    struct opener *o = arg;
    sinew_sleep(SINEW_MS(1));
    if (o->cancel >= 0) {
        CHECK(sinew_cancel(o->tasks[o->cancel]));
        yield_until_done(o->tasks[o->cancel]);
        sinew_sleep(SINEW_MS(1));
    }
    if (o->open >= 0)
        gate_open(&o->gates[o->open], 1);
    return 0;
}

IN_RUNTIME(a104_first_completed_returns_when_one_has_ended_in_whatever_way)
{
    for (int way = 0; way < 3; way++) {
        gate gates[TASKS];
        sinew_task *tasks[TASKS];
        bool done[TASKS];
        spawn_all(gates, tasks);
        if (way == 1)
            gates[2].result = -EIO;
        struct opener o = {gates, tasks, way < 2 ? 2 : -1, way == 2 ? 2 : -1};
        sinew_task *t = sinew_spawn(open_soon, &o);
        CHECK_EQ(sinew_wait(tasks, TASKS, SINEW_FIRST_COMPLETED, SINEW_FOREVER, done), 1);
        CHECK(done[2]);
        CHECK_EQ(sinew_await(t), 0);
        end_all(gates, tasks);
    }
    return 0;
}

IN_RUNTIME(a104_first_exception_returns_when_one_has_failed_and_a_cancelled_one_has_not)
{
    gate gates[TASKS];
    sinew_task *tasks[TASKS];
    bool done[TASKS];
    spawn_all(gates, tasks);
    gates[3].result = -EIO;
    struct opener o = {gates, tasks, 3, 1};
    sinew_task *t = sinew_spawn(open_soon, &o);
    CHECK_EQ(sinew_wait(tasks, TASKS, SINEW_FIRST_EXCEPTION, SINEW_FOREVER, done), 2);
    CHECK(!done[0] && done[1] && !done[2] && done[3]);
    CHECK_EQ(sinew_await(t), 0);
    /* One that had failed before counts as well. */
    CHECK_EQ(sinew_wait(tasks, TASKS, SINEW_FIRST_EXCEPTION, SINEW_FOREVER, done), 2);
    end_all(gates, tasks);
    return 0;
}

IN_RUNTIME(a104_first_exception_without_one_waits_for_all)
{
    gate gates[TASKS];
    sinew_task *tasks[TASKS];
    spawn_all(gates, tasks);
    for (int i = 0; i < TASKS - 1; i++)
        gate_open(&gates[i], 1);
    struct opener o = {gates, tasks, -1, TASKS - 1};
    sinew_task *t = sinew_spawn(open_soon, &o);
    CHECK_EQ(sinew_wait(tasks, TASKS, SINEW_FIRST_EXCEPTION, SINEW_FOREVER, NULL), TASKS);
    CHECK_EQ(sinew_await(t), 0);
    end_all(gates, tasks);
    return 0;
}

struct waiter {
    sinew_task **tasks;
    sinew_wait_mode mode;
    sinew_time limit;
    atomic_int started;
    int cancelling, next;
};

static intptr_t wait_for_tasks(void *arg)
{
    struct waiter *w = arg;
    atomic_store(&w->started, 1);
    int r = sinew_wait(w->tasks, TASKS, w->mode, w->limit, NULL);
    w->cancelling = sinew_cancelling();
    w->next = sinew_yield();
    return r;
}

IN_RUNTIME(a105_cancelling_a_wait_leaves_the_tasks_alone)
{
    for (int m = 0; m < MODES; m++)
        for (int limit = 0; limit < 2; limit++) {
            gate gates[TASKS];
            sinew_task *tasks[TASKS];
            spawn_all(gates, tasks);
            struct waiter w = {.tasks = tasks, .mode = modes[m], .limit = limit ? VERY_LONG : SINEW_FOREVER};
            sinew_task *t = sinew_spawn(wait_for_tasks, &w);
            yield_until(&w.started, 1);
            for (int i = 0; i < 5; i++)
                sinew_yield();
            CHECK(sinew_cancel(t));
            CHECK_EQ(sinew_await(t), -ECANCELED);
            CHECK_EQ(w.cancelling, 1);
            CHECK_EQ(w.next, 0);
            end_all(gates, tasks);
            for (int i = 0; i < TASKS; i++) {
                CHECK_EQ(gates[i].cancelled, 0);
                CHECK_EQ(gates[i].passed, 1);
            }
        }
    return 0;
}

/* --- A109 to A111: shield ------------------------------------------------------------------------------------------
 */

struct shielding {
    sinew_task *task;
    atomic_int started;
    int cancelling, next;
};

static intptr_t shield_task(void *arg)
{
    struct shielding *s = arg;
    atomic_store(&s->started, 1);
    intptr_t r = sinew_shield(s->task);
    s->cancelling = sinew_cancelling();
    s->next = sinew_yield();
    return r;
}

/* Awaits the shielding task: it is then run in place, and the cancel comes through the await. */
static intptr_t await_shielding(void *arg)
{
    return sinew_await(sinew_spawn(shield_task, arg));
}

IN_RUNTIME(a109_cancelling_the_waiter_ends_its_wait_and_the_task_goes_on_untouched)
{
    for (int through_await = 0; through_await < 2; through_await++)
        for (int eager = 0; eager < 2; eager++) {
            gate g;
            gate_init(&g, 5);
            sinew_task *inner = eager ? spawn_eager(gate_pass, &g) : sinew_spawn(gate_pass, &g);
            struct shielding s = {.task = sinew_ref(inner)};
            sinew_task *t = sinew_spawn(through_await ? await_shielding : shield_task, &s);
            yield_until(&s.started, 1);
            for (int i = 0; i < 5; i++)
                sinew_yield();
            CHECK(sinew_cancel(t));
            CHECK_EQ(sinew_await(t), -ECANCELED);
            CHECK_EQ(s.cancelling, 1);
            CHECK_EQ(s.next, 0);
            CHECK(!sinew_done(inner));
            gate_open(&g, 1);
            CHECK_EQ(sinew_await(inner), 5);
            CHECK_EQ(g.cancelled, 0);
        }
    return 0;
}

/* The request is pending when the shield begins, and the task has not started. */
IN_RUNTIME(a109_a_task_that_has_not_started_runs_all_the_same)
{
    gate g;
    gate_init(&g, 5);
    gate_open(&g, 1);
    sinew_task *inner = spawn_pinned(gate_pass, &g);
    CHECK(sinew_cancel(sinew_self()));
    CHECK_EQ(sinew_shield(sinew_ref(inner)), -ECANCELED);
    CHECK_EQ(sinew_uncancel(), 0);
    CHECK_EQ(sinew_await(inner), 5);
    CHECK_EQ(g.cancelled, 0);
    return 0;
}

IN_RUNTIME(a109_an_expired_scope_of_the_waiter_leaves_the_task_alone)
{
    gate g;
    gate_init(&g, 5);
    sinew_task *inner = sinew_spawn(gate_pass, &g);
    sinew_timeout scope;
    sinew_timeout_begin(&scope, SINEW_MS(3));
    CHECK_EQ(sinew_shield(sinew_ref(inner)), -ETIMEDOUT);
    CHECK_EQ(sinew_timeout_end(&scope), -ETIMEDOUT);
    CHECK(!sinew_done(inner));
    gate_open(&g, 1);
    CHECK_EQ(sinew_await(inner), 5);
    CHECK_EQ(g.cancelled, 0);
    return 0;
}

IN_RUNTIME(a110_a_cancel_of_the_inner_task_is_its_result_for_the_waiter)
{
    gate g;
    gate_init(&g, 5);
    sinew_task *inner = sinew_spawn(gate_pass, &g);
    struct shielding s = {.task = sinew_ref(inner)};
    sinew_task *t = sinew_spawn(shield_task, &s);
    yield_until(&s.started, 1);
    CHECK(sinew_cancel(inner));
    CHECK_EQ(sinew_await(t), -ECANCELED);
    CHECK_EQ(s.cancelling, 0); /* nobody cancelled the waiter */
    CHECK_EQ(s.next, 0);
    CHECK_EQ(sinew_await(inner), -ECANCELED);
    return 0;
}

IN_RUNTIME(a110_an_error_of_the_inner_task_is_the_waiters)
{
    for (int waits = 0; waits < 4; waits++) {
        gate g;
        gate_init(&g, waits < 2 ? -EIO : 14); /* and a value, too */
        sinew_task *inner = sinew_spawn(gate_pass, &g);
        struct shielding s = {.task = inner};
        sinew_task *t = sinew_spawn(shield_task, &s);
        if (waits % 2)
            yield_until(&s.started, 1);
        gate_open(&g, 1);
        CHECK_EQ(sinew_await(t), g.result);
        CHECK_EQ(s.next, 0);
    }
    return 0;
}

IN_RUNTIME(a110_a_task_that_has_ended_is_given_at_once_without_a_checkpoint)
{
    atomic_int runs = 0;
    sinew_task *ended = spawn_eager(return_arg, (void *)6), *failed = spawn_eager(return_arg, (void *)(intptr_t)-EIO);
    sinew_task *other = sinew_spawn(count_run, &runs);
    CHECK(sinew_cancel(sinew_self()));
    CHECK_EQ(sinew_shield(ended), 6);
    CHECK_EQ(sinew_shield(failed), -EIO);
    if (sinew_workers() == 1)
        CHECK_EQ(runs, 0);
    CHECK_EQ(sinew_yield(), -ECANCELED); /* was not used up */
    CHECK_EQ(sinew_uncancel(), 0);
    CHECK_EQ(sinew_await(other), 0);
    return 0;
}

IN_RUNTIME(a111_a_task_whose_waiters_are_gone_may_fail_and_others_still_get_the_error)
{
    enum { WAITERS = 10 };
    gate g;
    gate_init(&g, -EIO);
    sinew_task *inner = sinew_spawn(gate_pass, &g), *waiters[WAITERS];
    struct shielding s[WAITERS];
    for (int i = 0; i < WAITERS; i++) {
        s[i] = (struct shielding){.task = sinew_ref(inner)};
        waiters[i] = sinew_spawn(shield_task, &s[i]);
        yield_until(&s[i].started, 1);
    }
    for (int i = 0; i < WAITERS; i += 2)
        CHECK(sinew_cancel(waiters[i]));
    for (int i = 0; i < WAITERS; i += 2)
        CHECK_EQ(sinew_await(waiters[i]), -ECANCELED);
    sinew_detach(inner);
    gate_open(&g, 1);
    for (int i = 1; i < WAITERS; i += 2)
        CHECK_EQ(sinew_await(waiters[i]), -EIO);
    CHECK_EQ(g.cancelled, 0);
    return 0;
}

TEST_MAIN(cmocka_unit_test(a100_wait_tells_who_is_done_and_never_gives_a_childs_error_or_its_own_timeout),
          cmocka_unit_test(a100_wait_for_tasks_that_have_not_started),
          cmocka_unit_test(a101_no_task_a_null_task_or_an_unknown_mode_is_an_error),
          cmocka_unit_test(a102_wait_lets_others_run_even_when_everything_is_done),
          cmocka_unit_test(a102_wait_for_what_is_done_delivers_a_cancel),
          cmocka_unit_test(a103_a_limit_that_passes_cancels_nobody),
          cmocka_unit_test(a104_first_completed_returns_when_one_has_ended_in_whatever_way),
          cmocka_unit_test(a104_first_exception_returns_when_one_has_failed_and_a_cancelled_one_has_not),
          cmocka_unit_test(a104_first_exception_without_one_waits_for_all),
          cmocka_unit_test(a105_cancelling_a_wait_leaves_the_tasks_alone),
          cmocka_unit_test(a109_cancelling_the_waiter_ends_its_wait_and_the_task_goes_on_untouched),
          cmocka_unit_test(a109_a_task_that_has_not_started_runs_all_the_same),
          cmocka_unit_test(a109_an_expired_scope_of_the_waiter_leaves_the_task_alone),
          cmocka_unit_test(a110_a_cancel_of_the_inner_task_is_its_result_for_the_waiter),
          cmocka_unit_test(a110_an_error_of_the_inner_task_is_the_waiters),
          cmocka_unit_test(a110_a_task_that_has_ended_is_given_at_once_without_a_checkpoint),
          cmocka_unit_test(a111_a_task_whose_waiters_are_gone_may_fail_and_others_still_get_the_error))
