/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: gather and gather_settled order results, report errors, and pass cancels on as asyncio.gather does.
 * Method: children held at semaphores, so that who ends when is the test's choice; 1, 2 and 8 workers.
 * Cannot see: that a child which nobody looks at any more goes on, other than by the counters it leaves.
 */
#include <errno.h>
#include <stdlib.h>

#include <tests/support/run.h>
#include <tests/support/tasks.h>

typedef int (*gather_fn)(sinew_task **, size_t, intptr_t *);

/* A gather in a task of its own, for tests that cancel it. */
struct gathering {
    gather_fn how;
    sinew_task **tasks;
    size_t n;
    intptr_t *results;
    atomic_int started;
    atomic_bool returned;
    int cancelling, next_checkpoint;
};

static intptr_t gather_in_task(void *arg)
{
    struct gathering *g = arg;
    atomic_store(&g->started, 1);
    int r = g->how(g->tasks, g->n, g->results);
    g->cancelling = sinew_cancelling();
    atomic_store(&g->returned, true);
    g->next_checkpoint = sinew_yield();
    return r;
}

IN_RUNTIME(results_come_in_argument_order)
{
    enum { TASKS = 64 };
    static gate gates[TASKS];
    sinew_task *tasks[TASKS];
    intptr_t results[TASKS];
    for (int settled = 0; settled < 2; settled++) {
        for (int i = 0; i < TASKS; i++) {
            gate_init(&gates[i], i * 10);
            tasks[i] = sinew_spawn(gate_pass, &gates[i]);
            results[i] = -1;
        }
        sinew_task *kept[TASKS];
        for (int i = 0; i < TASKS; i++)
            kept[i] = sinew_ref(tasks[i]);
        struct gathering g = {settled ? sinew_gather_settled : sinew_gather, tasks, TASKS, results, 0, false, 0, 0};
        sinew_task *t = sinew_spawn(gather_in_task, &g);
        yield_until(&g.started, 1);
        /* They finish last to first. */
        for (int i = TASKS - 1; i >= 0; i--) {
            CHECK(!g.returned);
            gate_open(&gates[i], 1);
            CHECK_EQ(sinew_await(kept[i]), i * 10);
        }
        CHECK_EQ(sinew_await(t), 0);
        for (int i = 0; i < TASKS; i++)
            CHECK_EQ(results[i], i * 10);
    }
    return 0;
}

IN_RUNTIME(gather_of_nothing_gives_zero)
{
    sinew_task *none[1] = {NULL};
    intptr_t result = 77;
    CHECK_EQ(sinew_gather(none, 0, &result), 0);
    CHECK_EQ(sinew_gather_settled(none, 0, &result), 0);
    CHECK_EQ(sinew_gather(NULL, 0, NULL), 0);
    CHECK_EQ(sinew_gather_settled(NULL, 0, NULL), 0);
    CHECK_EQ(result, 77);
    return 0;
}

IN_RUNTIME(results_may_be_null)
{
    sinew_task *tasks[3];
    for (int i = 0; i < 3; i++)
        tasks[i] = sinew_spawn(return_arg, NULL);
    CHECK_EQ(sinew_gather(tasks, 3, NULL), 0);
    for (int i = 0; i < 3; i++)
        tasks[i] = sinew_spawn(return_arg, (void *)(intptr_t)-EIO);
    CHECK_EQ(sinew_gather_settled(tasks, 3, NULL), 0);
    return 0;
}

IN_RUNTIME(gather_returns_first_error_while_siblings_run)
{
    gate slow[2], failing;
    gate_init(&slow[0], 100);
    gate_init(&slow[1], 101);
    gate_init(&failing, -EIO);
    sinew_task *tasks[3] = {sinew_spawn(gate_pass, &slow[0]), sinew_spawn(gate_pass, &failing),
                            sinew_spawn(gate_pass, &slow[1])};
    sinew_task *kept[2] = {sinew_ref(tasks[0]), sinew_ref(tasks[2])};
    intptr_t results[3] = {1, 1, 1};
    gate_open(&failing, 1);
    CHECK_EQ(sinew_gather(tasks, 3, results), -EIO);
    CHECK_EQ(results[0], -EINPROGRESS);
    CHECK_EQ(results[1], -EIO);
    CHECK_EQ(results[2], -EINPROGRESS);
    CHECK_EQ(sinew_cancelling(), 0);
    CHECK(!sinew_done(kept[0]));
    CHECK(!sinew_done(kept[1]));
    for (int i = 0; i < 2; i++) {
        gate_open(&slow[i], 1);
        CHECK_EQ(sinew_await(kept[i]), 100 + i);
        CHECK_EQ(slow[i].cancelled, 0);
    }
    /* Later ends do not write into an array whose gather has returned. */
    CHECK_EQ(results[0], -EINPROGRESS);
    CHECK_EQ(results[2], -EINPROGRESS);
    return 0;
}

/* Pinned, so that the gather waits when the first gate opens. */
IN_RUNTIME_PINNED(gather_returns_the_error_that_came_first_in_time)
{
    gate gates[3];
    sinew_task *tasks[3], *kept[3];
    intptr_t results[3];
    for (int i = 0; i < 3; i++) {
        gate_init(&gates[i], -10 - i);
        tasks[i] = spawn_pinned(gate_pass, &gates[i]);
        kept[i] = sinew_ref(tasks[i]);
    }
    struct gathering g = {sinew_gather, tasks, 3, results, 0, false, 0, 0};
    sinew_task *t = spawn_pinned(gather_in_task, &g);
    yield_until(&g.started, 1);
    for (int i = 2; i >= 0; i--) {
        gate_open(&gates[i], 1);
        yield_until_done(kept[i]);
    }
    CHECK_EQ(sinew_await(t), -12);
    CHECK_EQ(results[2], -12);
    for (int i = 0; i < 3; i++)
        sinew_detach(kept[i]);
    return 0;
}

IN_RUNTIME(gather_of_tasks_that_failed_before_returns_one_of_their_errors)
{
    sinew_task *tasks[2] = {sinew_spawn(return_arg, (void *)(intptr_t)-EIO),
                            sinew_spawn(return_arg, (void *)(intptr_t)-EBADMSG)};
    yield_until_done(tasks[0]);
    yield_until_done(tasks[1]);
    int r = sinew_gather(tasks, 2, NULL);
    CHECK(r == -EIO || r == -EBADMSG);
    return 0;
}

IN_RUNTIME(a_null_task_counts_as_one_that_failed_with_einval)
{
    gate g;
    gate_init(&g, 5);
    sinew_task *t = sinew_spawn(gate_pass, &g);
    sinew_task *tasks[3] = {sinew_ref(t), NULL, sinew_ref(t)};
    intptr_t results[3];
    CHECK_EQ(sinew_gather(tasks, 3, results), -EINVAL);
    CHECK_EQ(results[1], -EINVAL);
    CHECK_EQ(results[0], -EINPROGRESS);
    CHECK(!sinew_done(t));
    sinew_task *again[2] = {NULL, sinew_ref(t)};
    gate_open(&g, 1);
    CHECK_EQ(sinew_gather_settled(again, 2, results), 0);
    CHECK_EQ(results[0], -EINVAL);
    CHECK_EQ(results[1], 5);
    CHECK_EQ(sinew_await(t), 5);
    sinew_task *only_null[2] = {NULL, NULL};
    CHECK_EQ(sinew_gather(only_null, 2, NULL), -EINVAL);
    CHECK_EQ(sinew_gather_settled(only_null, 2, results), 0);
    return 0;
}

IN_RUNTIME(the_same_task_twice_runs_once_and_fills_both_places)
{
    gate g;
    gate_init(&g, 31);
    sinew_task *t = sinew_spawn(gate_pass, &g);
    sinew_task *tasks[4] = {t, sinew_ref(t), sinew_spawn(return_arg, (void *)8), sinew_ref(t)};
    intptr_t results[4];
    gate_open(&g, 1);
    CHECK_EQ(sinew_gather(tasks, 4, results), 0);
    CHECK_EQ(results[0], 31);
    CHECK_EQ(results[1], 31);
    CHECK_EQ(results[2], 8);
    CHECK_EQ(results[3], 31);
    CHECK_EQ(g.reached, 1);
    return 0;
}

IN_RUNTIME(children_that_ended_before_the_call_count_at_once)
{
    sinew_task *tasks[3];
    intptr_t results[3];
    for (int i = 0; i < 3; i++) {
        tasks[i] = sinew_spawn(return_arg, (void *)(intptr_t)(i + 1));
        yield_until_done(tasks[i]);
    }
    CHECK_EQ(sinew_gather(tasks, 3, results), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(results[i], i + 1);
    /* Already failed, beside one that never ends by itself. */
    gate g;
    gate_init(&g, 0);
    sinew_task *waiting = sinew_spawn(gate_pass, &g);
    sinew_task *failed = sinew_spawn(return_arg, (void *)(intptr_t)-EIO);
    yield_until_done(failed);
    sinew_task *both[2] = {sinew_ref(waiting), failed};
    CHECK_EQ(sinew_gather(both, 2, results), -EIO);
    CHECK_EQ(results[0], -EINPROGRESS);
    gate_open(&g, 1);
    CHECK_EQ(sinew_await(waiting), 0);
    return 0;
}

IN_RUNTIME(settled_puts_errors_and_cancels_into_the_results)
{
    gate cancelled, last;
    gate_init(&cancelled, 0);
    gate_init(&last, 4);
    sinew_task *victim = sinew_spawn(gate_pass, &cancelled);
    sinew_task *tasks[4] = {sinew_spawn(return_arg, (void *)(intptr_t)-EIO), victim, sinew_spawn(return_arg, (void *)3),
                            sinew_spawn(gate_pass, &last)};
    intptr_t results[4];
    CHECK(sinew_cancel(victim));
    gate_open(&last, 1);
    CHECK_EQ(sinew_gather_settled(tasks, 4, results), 0);
    CHECK_EQ(results[0], -EIO);
    CHECK_EQ(results[1], -ECANCELED);
    CHECK_EQ(results[2], 3);
    CHECK_EQ(results[3], 4);
    CHECK_EQ(sinew_cancelling(), 0);
    return 0;
}

IN_RUNTIME(cancelling_one_child_fails_the_gather_but_nobody_else)
{
    gate victim, sibling;
    gate_init(&victim, 0);
    gate_init(&sibling, 6);
    sinew_task *tasks[2] = {sinew_spawn(gate_pass, &victim), sinew_spawn(gate_pass, &sibling)};
    sinew_task *kept[2] = {sinew_ref(tasks[0]), sinew_ref(tasks[1])};
    intptr_t results[2];
    struct gathering g = {sinew_gather, tasks, 2, results, 0, false, -1, -1};
    sinew_task *t = sinew_spawn(gather_in_task, &g);
    yield_until(&g.started, 1);
    yield_until(&victim.reached, 1);
    yield_until(&sibling.reached, 1);
    CHECK(sinew_cancel(kept[0]));
    CHECK_EQ(sinew_await(t), -ECANCELED);
    CHECK_EQ(results[0], -ECANCELED);
    CHECK_EQ(results[1], -EINPROGRESS);
    CHECK_EQ(g.cancelling, 0);
    CHECK_EQ(g.next_checkpoint, 0);
    CHECK(!sinew_done(kept[1]));
    gate_open(&sibling, 1);
    CHECK_EQ(sinew_await(kept[1]), 6);
    CHECK_EQ(sibling.cancelled, 0);
    sinew_detach(kept[0]);
    return 0;
}

IN_RUNTIME(a_cancelled_gather_cancels_all_and_returns_when_the_first_has_ended)
{
    gate quick[2], slow;
    gate_init(&quick[0], 0);
    gate_init(&quick[1], 0);
    gate_init(&slow, 9);
    slow.swallow = true;
    sinew_task *tasks[3] = {sinew_spawn(gate_pass, &slow), sinew_spawn(gate_pass, &quick[0]),
                            sinew_spawn(gate_pass, &quick[1])};
    sinew_task *kept = sinew_ref(tasks[0]);
    struct gathering g = {sinew_gather, tasks, 3, NULL, 0, false, -1, -1};
    sinew_task *t = sinew_spawn(gather_in_task, &g);
    yield_until(&g.started, 1);
    yield_until(&slow.reached, 1);
    yield_until(&quick[0].reached, 1);
    yield_until(&quick[1].reached, 1);
    CHECK(sinew_cancel(t));
    CHECK_EQ(sinew_await(t), -ECANCELED);
    CHECK_EQ(g.cancelling, 1);
    CHECK_EQ(g.next_checkpoint, 0);
    CHECK(!sinew_done(kept));
    yield_until(&slow.cancelled, 1);
    yield_until(&quick[0].ended, 1);
    yield_until(&quick[1].ended, 1);
    CHECK_EQ(quick[0].cancelled, 1);
    CHECK_EQ(quick[1].cancelled, 1);
    gate_open(&slow, 1);
    CHECK_EQ(sinew_await(kept), 9);
    return 0;
}

IN_RUNTIME(a_cancelled_settled_gather_returns_after_all_have_ended)
{
    gate quick, slow;
    gate_init(&quick, 0);
    gate_init(&slow, 9);
    slow.swallow = true;
    sinew_task *tasks[2] = {sinew_spawn(gate_pass, &quick), sinew_spawn(gate_pass, &slow)};
    intptr_t results[2] = {1, 1};
    struct gathering g = {sinew_gather_settled, tasks, 2, results, 0, false, -1, -1};
    sinew_task *t = sinew_spawn(gather_in_task, &g);
    yield_until(&g.started, 1);
    yield_until(&slow.reached, 1);
    yield_until(&quick.reached, 1);
    CHECK(sinew_cancel(t));
    yield_until(&quick.ended, 1);
    yield_until(&slow.cancelled, 1);
    for (int i = 0; i < 50; i++)
        sinew_yield();
    CHECK(!g.returned);
    gate_open(&slow, 1);
    CHECK_EQ(sinew_await(t), -ECANCELED);
    CHECK_EQ(results[0], -ECANCELED);
    CHECK_EQ(results[1], 9);
    CHECK_EQ(g.cancelling, 1);
    CHECK_EQ(g.next_checkpoint, 0);
    return 0;
}

IN_RUNTIME(a_cancelled_gather_is_cancelled_even_if_every_child_answers_with_a_value)
{
    for (int settled = 0; settled < 2; settled++) {
        gate gates[3];
        sinew_task *tasks[3], *kept[3];
        for (int i = 0; i < 3; i++) {
            gate_init(&gates[i], 0);
            gates[i].when_stopped = 20 + i;
            tasks[i] = sinew_spawn(gate_pass, &gates[i]);
            kept[i] = sinew_ref(tasks[i]);
        }
        struct gathering g = {settled ? sinew_gather_settled : sinew_gather, tasks, 3, NULL, 0, false, -1, -1};
        sinew_task *t = sinew_spawn(gather_in_task, &g);
        yield_until(&g.started, 1);
        for (int i = 0; i < 3; i++)
            yield_until(&gates[i].reached, 1);
        CHECK(sinew_cancel(t));
        CHECK_EQ(sinew_await(t), -ECANCELED);
        for (int i = 0; i < 3; i++) {
            CHECK_EQ(sinew_await(kept[i]), 20 + i);
            CHECK_EQ(gates[i].cancelled, 1);
        }
    }
    return 0;
}

IN_RUNTIME_PINNED(a_gather_cancelled_before_it_begins_starts_none_of_its_children)
{
    for (int settled = 0; settled < 2; settled++) {
        gate gates[3];
        sinew_task *tasks[3];
        for (int i = 0; i < 3; i++) {
            gate_init(&gates[i], 1);
            tasks[i] = spawn_pinned(gate_pass, &gates[i]);
        }
        CHECK(sinew_cancel(sinew_self()));
        CHECK_EQ((settled ? sinew_gather_settled : sinew_gather)(tasks, 3, NULL), -ECANCELED);
        CHECK_EQ(sinew_uncancel(), 0);
        for (int i = 0; i < 10; i++)
            CHECK_EQ(sinew_yield(), 0);
        for (int i = 0; i < 3; i++)
            CHECK_EQ(gates[i].reached, 0);
    }
    return 0;
}

IN_RUNTIME(a_timeout_around_a_gather_cancels_the_children)
{
    for (int settled = 0; settled < 2; settled++) {
        gate gates[3];
        sinew_task *tasks[3];
        for (int i = 0; i < 3; i++) {
            gate_init(&gates[i], 0);
            tasks[i] = sinew_spawn(gate_pass, &gates[i]);
            /* An unstarted child would never reach its gate. */
            yield_until(&gates[i].reached, 1);
        }
        sinew_timeout scope;
        sinew_timeout_begin(&scope, SINEW_MS(3));
        CHECK_EQ((settled ? sinew_gather_settled : sinew_gather)(tasks, 3, NULL), -ETIMEDOUT);
        CHECK_EQ(sinew_timeout_end(&scope), -ETIMEDOUT);
        CHECK_EQ(sinew_cancelling(), 0);
        for (int i = 0; i < 3; i++) {
            yield_until(&gates[i].ended, 1);
            CHECK_EQ(gates[i].cancelled, 1);
        }
    }
    return 0;
}

static intptr_t yield_once(void *arg)
{
    int r = sinew_yield();
    return r < 0 ? r : (intptr_t)arg;
}

IN_RUNTIME(a_hundred_thousand_tasks_gather)
{
    size_t n = scaled(100000, 3000);
    sinew_task **tasks = calloc(n, sizeof(sinew_task *));
    intptr_t *results = calloc(n, sizeof *results);
    for (int settled = 0; settled < 2; settled++) {
        for (size_t i = 0; i < n; i++)
            tasks[i] = sinew_spawn(i % 10 == 0 ? yield_once : return_arg, (void *)(intptr_t)i);
        CHECK_EQ((settled ? sinew_gather_settled : sinew_gather)(tasks, n, results), 0);
        size_t wrong = 0;
        for (size_t i = 0; i < n; i++)
            wrong += results[i] != (intptr_t)i;
        CHECK_EQ(wrong, 0);
    }
    free(results);
    free(tasks);
    return 0;
}

IN_RUNTIME(a_gather_of_gathers_nests)
{
    enum { OUTER = 20, INNER = 20 };
    static sinew_task *inner[OUTER][INNER];
    static struct gathering g[OUTER];
    static intptr_t results[OUTER][INNER];
    sinew_task *outer[OUTER];
    for (int i = 0; i < OUTER; i++) {
        for (int j = 0; j < INNER; j++)
            inner[i][j] = sinew_spawn(yield_once, (void *)(intptr_t)(i * INNER + j));
        g[i] = (struct gathering){sinew_gather, inner[i], INNER, results[i], 0, false, 0, 0};
        outer[i] = sinew_spawn(gather_in_task, &g[i]);
    }
    CHECK_EQ(sinew_gather(outer, OUTER, NULL), 0);
    for (int i = 0; i < OUTER; i++)
        for (int j = 0; j < INNER; j++)
            CHECK_EQ(results[i][j], i * INNER + j);
    return 0;
}

TEST_MAIN(cmocka_unit_test(results_come_in_argument_order), cmocka_unit_test(gather_of_nothing_gives_zero),
          cmocka_unit_test(results_may_be_null), cmocka_unit_test(gather_returns_first_error_while_siblings_run),
          cmocka_unit_test(gather_returns_the_error_that_came_first_in_time),
          cmocka_unit_test(gather_of_tasks_that_failed_before_returns_one_of_their_errors),
          cmocka_unit_test(a_null_task_counts_as_one_that_failed_with_einval),
          cmocka_unit_test(the_same_task_twice_runs_once_and_fills_both_places),
          cmocka_unit_test(children_that_ended_before_the_call_count_at_once),
          cmocka_unit_test(settled_puts_errors_and_cancels_into_the_results),
          cmocka_unit_test(cancelling_one_child_fails_the_gather_but_nobody_else),
          cmocka_unit_test(a_cancelled_gather_cancels_all_and_returns_when_the_first_has_ended),
          cmocka_unit_test(a_cancelled_settled_gather_returns_after_all_have_ended),
          cmocka_unit_test(a_cancelled_gather_is_cancelled_even_if_every_child_answers_with_a_value),
          cmocka_unit_test(a_gather_cancelled_before_it_begins_starts_none_of_its_children),
          cmocka_unit_test(a_timeout_around_a_gather_cancels_the_children),
          cmocka_unit_test(a_hundred_thousand_tasks_gather), cmocka_unit_test(a_gather_of_gathers_nests))
