/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: sinew_tasks lists exactly the tasks that have not ended.
 * Method: tasks in every state, looked for by their handle; listing beside tasks that come and go; 1, 2 and 8 workers.
 * Cannot see: what was true at one instant when tasks run on other workers meanwhile.
 */
#include <errno.h>
#include <pthread.h>

#include <tests/support/run.h>
#include <tests/support/tasks.h>

enum { MAX = 4096 };

static const sinew_task_info *find(const sinew_task_info *list, size_t n, const void *id)
{
    for (size_t i = 0; i < n; i++)
        if (list[i].id == id)
            return &list[i];
    return NULL;
}

static bool has_name(const sinew_task_info *info, const char *name)
{
    return info && strcmp(info->name, name) == 0;
}

IN_RUNTIME(lists_what_has_not_ended_and_the_caller)
{
    static sinew_task_info list[MAX];
    gate g;
    gate_init(&g, 0);
    sinew_task *suspended = spawn_named("suspended", gate_pass, &g);
    yield_until(&g.reached, 1);
    sinew_task *ended = spawn_named("ended", return_arg, NULL);
    yield_until_done(ended);
    sinew_task *pinned = spawn_pinned(gate_pass, &g);
    sinew_task *unnamed = sinew_spawn(gate_pass, &g);
    size_t n = sinew_tasks(NULL, list, MAX);
    CHECK_EQ(n, 4);
    CHECK(find(list, n, sinew_self()) != NULL);
    CHECK(find(list, n, ended) == NULL);
    CHECK(has_name(find(list, n, suspended), "suspended"));
    CHECK(find(list, n, pinned) != NULL);
    CHECK(has_name(find(list, n, unnamed), ""));
    for (size_t i = 1; i < n; i++)
        CHECK((uintptr_t)list[i - 1].id < (uintptr_t)list[i].id);
    CHECK(strncmp(sinew_name(unnamed), "Task-", 5) == 0);
    n = sinew_tasks(sinew_runtime_self(), list, MAX);
    CHECK(has_name(find(list, n, unnamed), sinew_name(unnamed)));
    CHECK_EQ(sinew_tasks(NULL, NULL, 0), 4);
    CHECK_EQ(sinew_tasks(NULL, list, 2), 4);
    gate_open(&g, 3);
    sinew_task *rest[] = {suspended, pinned, unnamed, ended};
    CHECK_EQ(sinew_gather(rest, 4, NULL), 0);
    CHECK_EQ(sinew_tasks(NULL, list, MAX), 1);
    return 0;
}

static intptr_t nothing(void *arg)
{
    (void)arg;
    return 0;
}

IN_RUNTIME(those_that_ended_in_place_are_gone)
{
    static sinew_task_info list[MAX];
    sinew_task *tasks[1000];
    for (int i = 0; i < 1000; i++)
        tasks[i] = sinew_spawn(nothing, NULL);
    sinew_gather(tasks, 1000, NULL);
    sinew_map(nothing, NULL, 0, 1000, NULL);
    CHECK_EQ(sinew_tasks(NULL, list, MAX), 1);
    return 0;
}

struct watcher {
    sinew_runtime *rt;
    const void *always;
    atomic_bool stop;
    atomic_int missing, looks;
};

static void *watch(void *arg)
{
    static sinew_task_info list[MAX];
    struct watcher *w = arg;
    do {
        size_t n = sinew_tasks(w->rt, list, MAX);
        if (!find(list, n < MAX ? n : MAX, w->always))
            atomic_fetch_add(&w->missing, 1);
        atomic_fetch_add(&w->looks, 1);
    } while (!atomic_load(&w->stop));
    return NULL;
}

static intptr_t named_child(void *arg)
{
    (void)arg;
    sinew_name(sinew_self());
    sinew_yield();
    return 0;
}

IN_RUNTIME(a_thread_lists_while_tasks_come_and_go)
{
    struct watcher w = {.rt = sinew_runtime_self(), .always = sinew_self()};
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, watch, &w), 0);
    yield_until(&w.looks, 1);
    for (int round = 0; round < 50; round++) {
        sinew_task *tasks[40];
        for (int i = 0; i < 40; i++)
            tasks[i] = i % 2 ? sinew_spawn(named_child, NULL) : spawn_named("a name", nothing, NULL);
        sinew_gather(tasks, 40, NULL);
    }
    atomic_store(&w.stop, true);
    pthread_join(thread, NULL);
    CHECK_EQ(atomic_load(&w.missing), 0);
    return 0;
}

static intptr_t leave_handles(void *arg)
{
    (void)arg;
    for (int i = 0; i < 100; i++)
        CHECK(spawn_named("left", nothing, NULL) != NULL);
    static sinew_local value;
    CHECK_EQ(sinew_local_set(&value, &value), 0);
    CHECK(sinew_spawn(nothing, NULL) != NULL);
    return 0;
}

static intptr_t name_and_list(void *arg)
{
    (void)arg;
    sinew_task_info list[4];
    gate g;
    gate_init(&g, 0);
    sinew_task *t = spawn_named("another", gate_pass, &g);
    size_t n = sinew_tasks(NULL, list, 4);
    CHECK_EQ(n, 2);
    CHECK(has_name(find(list, 2, t), "another"));
    gate_open(&g, 1);
    return sinew_await(t);
}

static void names_of_handles_never_given_back_end_with_their_runtime(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        assert_int_equal(run_workers(worker_counts[i], leave_handles, NULL), 0);
        assert_int_equal(run_workers(worker_counts[i], name_and_list, NULL), 0);
    }
    assert_int_equal(check_failures, 0);
}

static void outside_of_a_task_there_is_nothing_to_list(void **state)
{
    (void)state;
    sinew_task_info list[1];
    assert_int_equal(sinew_tasks(NULL, list, 1), 0);
}

TEST_MAIN(cmocka_unit_test(lists_what_has_not_ended_and_the_caller),
          cmocka_unit_test(those_that_ended_in_place_are_gone),
          cmocka_unit_test(a_thread_lists_while_tasks_come_and_go),
          cmocka_unit_test(names_of_handles_never_given_back_end_with_their_runtime),
          cmocka_unit_test(outside_of_a_task_there_is_nothing_to_list))
