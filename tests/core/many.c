/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a million tasks are spawned, run once each and are counted out, in the shapes programs use.
 * Method: sums and counters that only an exactly-once run can give; 1, 2 and 8 workers.
 * Cannot see: the memory each shape takes; core/million.c bounds that for parked tasks.
 */
#include <errno.h>
#include <stdlib.h>

#include <tests/support/run.h>
#include <tests/support/tasks.h>

static size_t a_million(void)
{
    return scaled(1000000, 20000);
}

static intptr_t count_one(void *arg)
{
    atomic_fetch_add_explicit((atomic_long *)arg, 1, memory_order_relaxed);
    return 1;
}

IN_RUNTIME(a_million_tasks_spawned_before_any_is_awaited)
{
    size_t n = a_million();
    atomic_long ran = 0;
    sinew_task **tasks = malloc(n * sizeof(sinew_task *));
    for (size_t i = 0; i < n; i++)
        tasks[i] = sinew_spawn(count_one, &ran);
    intptr_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += sinew_await(tasks[i]);
    CHECK_EQ(sum, n);
    CHECK_EQ(ran, n);
    free(tasks);
    return 0;
}

IN_RUNTIME(a_million_tasks_spawned_and_detached)
{
    size_t n = a_million();
    atomic_long ran = 0;
    for (size_t i = 0; i < n; i++)
        sinew_detach(sinew_spawn(count_one, &ran));
    while (atomic_load(&ran) < (long)n)
        sinew_yield();
    CHECK_EQ(ran, n);
    return 0;
}

IN_RUNTIME(a_million_tasks_one_at_a_time)
{
    size_t n = a_million();
    atomic_long ran = 0;
    intptr_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += sinew_await(sinew_spawn(count_one, &ran));
    CHECK_EQ(sum, n);
    CHECK_EQ(ran, n);
    return 0;
}

IN_RUNTIME(a_million_tasks_in_one_map)
{
    size_t n = a_million();
    atomic_long ran = 0;
    CHECK_EQ(sinew_map(count_one, &ran, 0, n, NULL), 0);
    CHECK_EQ(ran, n);
    return 0;
}

static intptr_t map_a_thousand(void *arg)
{
    return sinew_map(count_one, arg, 0, 1000, NULL);
}

IN_RUNTIME(a_million_tasks_in_a_thousand_maps)
{
    size_t maps = a_million() / 1000;
    atomic_long ran = 0;
    CHECK_EQ(sinew_map(map_a_thousand, &ran, 0, maps, NULL), 0);
    CHECK_EQ(ran, maps * 1000);
    return 0;
}

IN_RUNTIME(the_statistics_count_every_task_in_and_out)
{
    size_t n = scaled(100000, 5000);
    sinew_stats before, after;
    atomic_long ran = 0;
    sinew_task **tasks = malloc(n * sizeof(sinew_task *));
    CHECK_EQ(sinew_get_stats(&before), 0);
    for (size_t i = 0; i < n; i++)
        tasks[i] = sinew_spawn(count_one, &ran);
    CHECK_EQ(sinew_gather(tasks, n, NULL), 0);
    CHECK_EQ(sinew_get_stats(&after), 0);
    CHECK_EQ(after.tasks_spawned - before.tasks_spawned, n);
    CHECK_EQ(after.tasks_finished - before.tasks_finished, n);
    /* A map counts helpers of its own beside the elements, and does not wait for the very last step of theirs. */
    CHECK_EQ(sinew_map(count_one, &ran, 0, n, NULL), 0);
    CHECK_EQ(sinew_get_stats(&before), 0);
    CHECK(before.tasks_spawned - after.tasks_spawned >= n);
    CHECK(before.tasks_finished - after.tasks_finished >= n);
    CHECK(before.tasks_finished <= before.tasks_spawned);
    free(tasks);
    return 0;
}

TEST_MAIN(cmocka_unit_test(a_million_tasks_spawned_before_any_is_awaited),
          cmocka_unit_test(a_million_tasks_spawned_and_detached), cmocka_unit_test(a_million_tasks_one_at_a_time),
          cmocka_unit_test(a_million_tasks_in_one_map), cmocka_unit_test(a_million_tasks_in_a_thousand_maps),
          cmocka_unit_test(the_statistics_count_every_task_in_and_out))
