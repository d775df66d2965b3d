/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a task has its spawner's values as they were when it was spawned, and its own changes stay its own.
 * Method: values set before and after spawns, in every way of starting a task; 1, 2 and 8 workers.
 * Cannot see: how many lists of values are alive (AddressSanitizer's leak check does).
 */
#include <errno.h>

#include <tests/support/run.h>
#include <tests/support/tasks.h>

static int one, two, three, initial_value;
static sinew_local key, other, with_initial = {&initial_value};

static intptr_t get(void *arg)
{
    return (intptr_t)sinew_local_get(arg ? arg : &key);
}

static intptr_t set_three(void *arg)
{
    (void)arg;
    CHECK_EQ(sinew_local_set(&key, &three), 0);
    return (intptr_t)sinew_local_get(&key);
}

IN_RUNTIME(a_child_gets_a_copy_of_its_spawners_values)
{
    CHECK(sinew_local_get(&key) == NULL);
    CHECK(sinew_local_get(&with_initial) == &initial_value);
    sinew_task *before = sinew_spawn(get, NULL);
    CHECK_EQ(sinew_local_set(&key, &one), 0);
    sinew_task *between = sinew_spawn(get, NULL);
    CHECK_EQ(sinew_local_set(&key, &two), 0);
    CHECK_EQ(sinew_local_set(&with_initial, NULL), 0);
    sinew_task *after = sinew_spawn(get, NULL);
    CHECK_EQ(sinew_await(before), 0);
    CHECK_EQ(sinew_await(between), (intptr_t)&one);
    CHECK_EQ(sinew_await(after), (intptr_t)&two);
    CHECK_EQ(sinew_await(sinew_spawn(get, &with_initial)), 0);
    CHECK_EQ(sinew_await(sinew_spawn(get, &other)), 0);
    return 0;
}

IN_RUNTIME(what_a_child_sets_its_spawner_does_not_see)
{
    sinew_local_set(&key, &one);
    CHECK_EQ(sinew_await(sinew_spawn(set_three, NULL)), (intptr_t)&three);
    CHECK(sinew_local_get(&key) == &one);
    CHECK_EQ(set_three(NULL), (intptr_t)&three); /* a plain call shares */
    CHECK(sinew_local_get(&key) == &three);
    return 0;
}

static intptr_t grandchild(void *arg)
{
    (void)arg;
    return sinew_await(sinew_spawn(get, NULL));
}

IN_RUNTIME(every_way_of_spawning_inherits)
{
    sinew_local_set(&key, &two);
    intptr_t expected = (intptr_t)&two;
    CHECK_EQ(sinew_await(spawn_named("named", get, NULL)), expected);
    CHECK_EQ(sinew_await(spawn_pinned(get, NULL)), expected);
    CHECK_EQ(sinew_await(spawn_eager(get, NULL)), expected);
    CHECK_EQ(sinew_await(sinew_spawn(grandchild, NULL)), expected);
    sinew_task *tasks[5];
    intptr_t results[40];
    for (int i = 0; i < 5; i++)
        tasks[i] = sinew_spawn(i % 2 ? get : grandchild, NULL);
    CHECK_EQ(sinew_gather(tasks, 5, results), 0);
    for (int i = 0; i < 5; i++)
        CHECK_EQ(results[i], expected);
    CHECK_EQ(sinew_map(grandchild, NULL, 0, 40, results), 0);
    for (int i = 0; i < 40; i++)
        CHECK_EQ(results[i], expected);
    CHECK_EQ(sinew_map(set_three, NULL, 0, 40, results), 0);
    CHECK(sinew_local_get(&key) == &two);
    return 0;
}

static intptr_t count_right(void *arg)
{
    if (sinew_local_get(&key) == &one)
        atomic_fetch_add((atomic_int *)arg, 1);
    return 0;
}

static intptr_t count_right_at_end(sinew_task *task, void *arg)
{
    (void)task;
    return count_right(arg);
}

IN_RUNTIME(groups_and_callbacks_inherit)
{
    atomic_int right = 0;
    sinew_local_set(&key, &one);
    sinew_group g;
    sinew_group_init(&g);
    for (int i = 0; i < 10; i++)
        CHECK_EQ(sinew_group_spawn(&g, count_right, &right), 0);
    CHECK_EQ(sinew_group_wait(&g), 0);
    CHECK_EQ(atomic_load(&right), 10);
    sinew_task *t = sinew_spawn(return_arg, NULL);
    CHECK_EQ(sinew_on_done(t, count_right_at_end, &right), 0);
    sinew_local_set(&key, &two); /* the callback has the values of its registration */
    CHECK_EQ(sinew_await(t), 0);
    yield_until(&right, 11);
    return 0;
}

IN_RUNTIME(blocking_work_has_its_callers_values)
{
    sinew_local_set(&key, &one);
    CHECK_EQ(sinew_blocking(get, NULL), (intptr_t)&one);
    CHECK_EQ(sinew_blocking_wait(get, NULL), (intptr_t)&one);
    sinew_local_set(&key, &two);
    CHECK_EQ(sinew_blocking(get, NULL), (intptr_t)&two);
    return 0;
}

IN_RUNTIME(many_keys)
{
    static sinew_local keys[100];
    static int values[100];
    for (int i = 0; i < 100; i++)
        CHECK_EQ(sinew_local_set(&keys[i], &values[i]), 0);
    for (int i = 0; i < 100; i++) {
        CHECK(sinew_local_get(&keys[i]) == &values[i]);
        CHECK_EQ(sinew_await(sinew_spawn(get, &keys[i])), (intptr_t)&values[i]);
    }
    return 0;
}

IN_RUNTIME(misuse_is_refused)
{
    CHECK_EQ(sinew_local_set(NULL, NULL), -EINVAL);
    CHECK(sinew_local_get(NULL) == NULL);
    return 0;
}

static void outside_of_a_task_there_is_the_initial_value(void **state)
{
    (void)state;
    assert_int_equal(sinew_local_set(&key, &one), -EPERM);
    assert_ptr_equal(sinew_local_get(&with_initial), &initial_value);
}

TEST_MAIN(cmocka_unit_test(a_child_gets_a_copy_of_its_spawners_values),
          cmocka_unit_test(what_a_child_sets_its_spawner_does_not_see),
          cmocka_unit_test(every_way_of_spawning_inherits), cmocka_unit_test(groups_and_callbacks_inherit),
          cmocka_unit_test(blocking_work_has_its_callers_values), cmocka_unit_test(many_keys),
          cmocka_unit_test(misuse_is_refused), cmocka_unit_test(outside_of_a_task_there_is_the_initial_value))
