/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: in debug builds a handle used after its last reference, and a group left without waiting, stop the program with
 * a message.
 * Method: forked children that do it; with one worker each must end by a signal with a sinew message. With more, a task
 * that has just ended elsewhere, or still runs there, may lend its own reference to the misuse, which then passes; but
 * nothing may crash without a message. Builds without the checks are told apart by SN_DEBUG; there the tests say that
 * they have nothing to check.
 * Cannot see: misuse of a handle whose memory has become a new task's, beyond what the runtime itself tells apart.
 */
#include <errno.h>

#include <tests/support/child.h>
#include <tests/support/run.h>
#include <tests/support/tasks.h>

static intptr_t await_twice(void *arg)
{
    (void)arg;
    sinew_task *t = sinew_spawn(return_arg, (void *)5);
    CHECK_EQ(sinew_await(t), 5);
    return sinew_await(t);
}

static intptr_t await_after_detach(void *arg)
{
    (void)arg;
    sinew_task *t = sinew_spawn(return_arg, (void *)5);
    yield_until_done(t);
    sinew_detach(t);
    return sinew_await(t);
}

static intptr_t detach_twice(void *arg)
{
    (void)arg;
    sinew_task *t = sinew_spawn(return_arg, (void *)5);
    yield_until_done(t);
    sinew_detach(t);
    sinew_detach(t);
    return 0;
}

static intptr_t cancel_after_await(void *arg)
{
    (void)arg;
    sinew_task *t = sinew_spawn(return_arg, (void *)5);
    CHECK_EQ(sinew_await(t), 5);
    sinew_cancel(t);
    return 0;
}

static intptr_t ref_after_await(void *arg)
{
    (void)arg;
    sinew_task *t = sinew_spawn(return_arg, (void *)5);
    CHECK_EQ(sinew_await(t), 5);
    sinew_detach(sinew_ref(t));
    return 0;
}

static intptr_t done_after_await(void *arg)
{
    (void)arg;
    sinew_task *t = sinew_spawn(return_arg, (void *)5);
    CHECK_EQ(sinew_await(t), 5);
    return sinew_done(t);
}

static intptr_t gather_after_await(void *arg)
{
    (void)arg;
    sinew_task *t = sinew_spawn(return_arg, (void *)5);
    CHECK_EQ(sinew_await(t), 5);
    return sinew_gather(&t, 1, NULL);
}

static intptr_t same_handle_twice_in_gather(void *arg)
{
    (void)arg;
    sinew_task *t = sinew_spawn(return_arg, (void *)5);
    sinew_task *both[2] = {t, t};
    return sinew_gather(both, 2, NULL);
}

static intptr_t leave_a_group(void *arg)
{
    sinew_group group;
    sinew_group_init(&group);
    if (arg)
        sinew_group_spawn(&group, sleep_very_long, NULL);
    return 0;
}

static intptr_t leave_a_group_with_children(void *arg)
{
    (void)arg;
    return sinew_await(sinew_spawn(leave_a_group, ""));
}

static intptr_t return_inside_a_scope(void *arg)
{
    (void)arg;
    sinew_timeout t;
    sinew_timeout_begin(&t, SINEW_MS(1));
    return 0;
}

static intptr_t leave_a_scope(void *arg)
{
    (void)arg;
    return sinew_await(sinew_spawn(return_inside_a_scope, NULL));
}

static intptr_t return_inside_an_iteration(void *arg)
{
    sinew_task *t = arg;
    sinew_as_completed it;
    return sinew_as_completed_begin(&it, &t, 1, SINEW_FOREVER);
}

static intptr_t leave_an_iteration(void *arg)
{
    (void)arg;
    sinew_task *t = sinew_spawn(sleep_very_long, NULL);
    sinew_await(sinew_spawn(return_inside_an_iteration, t));
    sinew_cancel(t);
    return sinew_await(t);
}

static const struct misuse {
    const char *what;
    sinew_fn fn;
} misuses[] = {
    {"await twice", await_twice},
    {"await after detach", await_after_detach},
    {"detach twice", detach_twice},
    {"cancel after await", cancel_after_await},
    {"ref after await", ref_after_await},
    {"done after await", done_after_await},
    {"gather after await", gather_after_await},
    {"the same handle twice in gather", same_handle_twice_in_gather},
    {"leave a group that has children", leave_a_group_with_children},
    {"leave a timeout scope", leave_a_scope},
    {"leave an as_completed iteration", leave_an_iteration},
};

struct attempt {
    sinew_fn fn;
    unsigned workers;
};

static int run_misuse(void *arg)
{
    struct attempt *a = arg;
    run_workers(a->workers, a->fn, NULL);
    return 0;
}

static void misuse_in_a_debug_build_stops_with_a_message(void **state)
{
    (void)state;
    if (!SN_DEBUG) {
        print_message("built without SN_DEBUG: there are no handle checks to test\n");
        skip();
    }
    int silent = 0;
    for (size_t i = 0; i < sizeof misuses / sizeof misuses[0]; i++) {
        for (size_t w = 0; w < WORKER_COUNTS; w++) {
            struct attempt a = {misuses[i].fn, worker_counts[w]};
            child_end end;
            assert_true(run_child(run_misuse, &a, &end));
            bool told = end.signal == SIGABRT && strstr(end.err, "sinew");
            bool passed = worker_counts[w] > 1 && end.signal == 0;
            if (!told && !passed) {
                fprintf(stderr, "%s, %u workers: code %d, signal %d, stderr:\n%s\n", misuses[i].what, worker_counts[w],
                        end.code, end.signal, end.err);
                silent++;
            }
        }
    }
    assert_int_equal(silent, 0);
}

static intptr_t correct_use(void *arg)
{
    (void)arg;
    sinew_task *t = sinew_spawn(return_arg, (void *)5);
    sinew_task *again = sinew_ref(t);
    sinew_task *third = sinew_ref(again);
    CHECK_EQ(sinew_await(t), 5);
    CHECK(sinew_done(again));
    CHECK_EQ(sinew_await(again), 5);
    CHECK(!sinew_cancel(third));
    sinew_detach(third);
    sinew_group group;
    sinew_group_init(&group);
    CHECK_EQ(sinew_group_spawn(&group, return_arg, NULL), 0);
    CHECK_EQ(sinew_group_wait(&group), 0);
    return 0;
}

static int run_correct_use(void *arg)
{
    CHECK_EQ(run_workers(*(unsigned *)arg, correct_use, NULL), 0);
    return 0;
}

static void correct_use_is_silent(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        unsigned workers = worker_counts[i];
        child_end end;
        assert_true(run_child(run_correct_use, &workers, &end));
        if (end.code != 0 || strstr(end.err, "sinew"))
            child_fail("correct use must be silent", &end);
    }
}

TEST_MAIN(cmocka_unit_test(misuse_in_a_debug_build_stops_with_a_message), cmocka_unit_test(correct_use_is_silent))
