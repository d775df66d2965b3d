/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: threads of the blocking pool end when they have had nothing to do for long enough, are joined, and come again
 * when they are needed.
 * Method: the pool's time set from ten seconds to a few milliseconds before its first call.
 * Cannot see: that it is ten seconds otherwise.
 */
#include <runtime/worker.h>

#include <tests/support/process.h>
#include <tests/support/run.h>
#include <tests/support/tasks.h>

static int threads_before;

static uint64_t pool_threads(void)
{
    sinew_stats stats;
    CHECK_EQ(sinew_get_stats(&stats), 0);
    return stats.blocking_threads;
}

static intptr_t block(void *arg)
{
    atomic_int *begun = arg;
    atomic_fetch_add(begun, 1);
    while (atomic_load(begun) < 5)
        usleep(100);
    return 0;
}

static intptr_t call(void *arg)
{
    return sinew_blocking(block, arg);
}

IN_RUNTIME(idle_threads_end_and_come_again)
{
    sn_worker_self_slow()->runtime->blocking.idle_ns = SINEW_MS(5);
    for (int round = 0; round < 3; round++) {
        atomic_int begun = 0;
        sinew_task *tasks[5];
        for (int i = 0; i < 5; i++)
            tasks[i] = sinew_spawn(call, &begun);
        CHECK_EQ(sinew_gather(tasks, 5, NULL), 0);
        CHECK(pool_threads() <= 5);
        while (pool_threads() != 0) /* the watchdog ends it */
            CHECK_EQ(sinew_sleep(SINEW_MS(1)), 0);
        int expected = threads_before + (int)sinew_workers() - 1;
        CHECK_EQ(count_threads_settled(expected), expected);
    }
    return 0;
}

/* Calls that come just when a thread gives up: none stays in line without a thread. */
IN_RUNTIME(a_call_at_the_end_of_the_idle_time_finds_a_thread)
{
    sn_worker_self_slow()->runtime->blocking.idle_ns = SINEW_US(300);
    int rounds = (int)scaled(300, 50);
    for (int i = 0; i < rounds; i++) {
        CHECK_EQ(sinew_blocking(return_arg, (void *)(intptr_t)i), i);
        CHECK_EQ(sinew_sleep(SINEW_US(200 + i)), 0);
    }
    return 0;
}

static void begin(void **state)
{
    (void)state;
    threads_before = count_threads_before();
    assert_true(threads_before > 0);
}

TEST_MAIN(cmocka_unit_test(begin), cmocka_unit_test(idle_threads_end_and_come_again),
          cmocka_unit_test(a_call_at_the_end_of_the_idle_time_finds_a_thread))
