/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the rules of task-local values (A219, A220, A222, A223, A146), as docs/conformance.md lists them; the number in
 * a test's name is the rule's.
 * Method: a value set, a task started in each way there is, the value changed on both sides, and looked at on both.
 * Cannot see: how many lists of values are alive (AddressSanitizer's leak check does).
 */
#include <errno.h>
#include <pthread.h>

#include <tests/support/run.h>
#include <tests/support/tasks.h>

static int one, two, three;
static sinew_local key;

static bool have(void *value)
{
    return sinew_local_get(&key) == value;
}

static void set(void *value)
{
    CHECK_EQ(sinew_local_set(&key, value), 0);
}

/* What a task saw at its start; then it sets its own, lets others run, and must still have it. */
struct look {
    void *at_start;
    bool kept;
    atomic_int ended;
};

static intptr_t look_and_set(void *arg)
{
    struct look *l = arg;
    l->at_start = sinew_local_get(&key);
    set(&three);
    for (int i = 0; i < 3; i++)
        sinew_yield();
    l->kept = have(&three);
    atomic_fetch_add(&l->ended, 1);
    return 0;
}

static intptr_t look_without_suspending(void *arg)
{
    struct look *l = arg;
    l->at_start = sinew_local_get(&key);
    set(&three);
    l->kept = have(&three);
    atomic_fetch_add(&l->ended, 1);
    return 0;
}

static const sinew_fn bodies[] = {look_and_set, look_without_suspending};

static intptr_t look_as_a_callback(sinew_task *task, void *arg)
{
    (void)task;
    return look_and_set(arg);
}

/* --- A219: every way of starting a task ----------------------------------------------------------------------------
 */

static void start_spawn(sinew_fn body, struct look *l)
{
    sinew_detach(sinew_spawn(body, l));
}

static void start_awaited(sinew_fn body, struct look *l)
{
    CHECK_EQ(sinew_await(sinew_spawn(body, l)), 0);
}

static void start_gathered(sinew_fn body, struct look *l)
{
    sinew_task *t = sinew_spawn(body, l);
    CHECK_EQ(sinew_gather(&t, 1, NULL), 0);
}

static void start_named(sinew_fn body, struct look *l)
{
    sinew_detach(spawn_named("named", body, l));
}

static void start_pinned(sinew_fn body, struct look *l)
{
    sinew_detach(spawn_pinned(body, l));
}

static void start_eager(sinew_fn body, struct look *l)
{
    sinew_detach(spawn_eager(body, l));
}

static void start_with_a_stack(sinew_fn body, struct look *l)
{
    sinew_spawn_options opt = {.stack_bytes = SINEW_STACK_BYTES_MIN * 8};
    sinew_detach(sinew_spawn_with(&opt, body, l));
}

static void start_on_this_runtime(sinew_fn body, struct look *l)
{
    sinew_detach(sinew_spawn_on(sinew_runtime_self(), body, l));
}

static void start_mapped(sinew_fn body, struct look *l)
{
    CHECK_EQ(sinew_map(body, l, 0, 1, NULL), 0);
}

static void start_in_a_group(sinew_fn body, struct look *l)
{
    sinew_group g;
    sinew_group_init(&g);
    CHECK_EQ(sinew_group_spawn(&g, body, l), 0);
    CHECK_EQ(sinew_group_wait(&g), 0);
}

static void (*const starts[])(sinew_fn, struct look *) = {
    start_spawn, start_awaited,      start_gathered,        start_named,  start_pinned,
    start_eager, start_with_a_stack, start_on_this_runtime, start_mapped, start_in_a_group};
enum { STARTS = sizeof starts / sizeof starts[0] };

IN_RUNTIME(a219_a_task_begins_with_a_copy_and_neither_side_sees_what_the_other_sets_later)
{
    for (int start = 0; start < STARTS; start++)
        for (int body = 0; body < 2; body++)
            for (int values = 0; values < 2; values++) {
                void *value = values ? &one : NULL;
                int before = atomic_load(&check_failures);
                struct look l = {.at_start = &two};
                set(value);
                starts[start](bodies[body], &l);
                CHECK(have(value)); /* not the child's */
                set(&two);
                yield_until(&l.ended, 1);
                CHECK(have(&two));
                CHECK(l.at_start == value);
                CHECK(l.kept);
                if (atomic_load(&check_failures) != before)
                    print_message("start %d, body %d, value %d\n", start, body, values);
            }
    return 0;
}

/* In the creator's state at the spawn, not at the start: one that never set anything, and does so afterwards. */
static intptr_t spawn_then_set(void *arg)
{
    struct look *l = arg;
    sinew_task *t = spawn_pinned(look_and_set, l);
    set(&two);
    CHECK_EQ(sinew_await(t), 0);
    CHECK(have(&two));
    return 0;
}

IN_RUNTIME_PINNED(a219_the_copy_is_made_when_the_task_is_created)
{
    struct look l = {.at_start = &two};
    CHECK_EQ(sinew_await(spawn_pinned(spawn_then_set, &l)), 0);
    CHECK(l.at_start == NULL);
    set(&one);
    CHECK_EQ(sinew_await(spawn_pinned(spawn_then_set, &l)), 0);
    CHECK(l.at_start == &one);
    CHECK(have(&one));
    return 0;
}

/* Elements that run one after the other on one stack. */
static intptr_t element(void *arg)
{
    if (!have(&one))
        atomic_fetch_add((atomic_int *)arg, 1);
    set(&three);
    return 0;
}

IN_RUNTIME(a219_elements_of_a_map_and_children_of_a_group_do_not_see_each_others_values)
{
    atomic_int wrong = 0;
    set(&one);
    CHECK_EQ(sinew_map(element, &wrong, 0, 200, NULL), 0);
    CHECK_EQ(wrong, 0);
    sinew_group g;
    sinew_group_init(&g);
    for (int i = 0; i < 50; i++)
        CHECK_EQ(sinew_group_spawn(&g, element, &wrong), 0);
    CHECK_EQ(sinew_group_wait(&g), 0);
    sinew_task *tasks[50];
    for (int i = 0; i < 50; i++)
        tasks[i] = sinew_spawn(element, &wrong);
    CHECK_EQ(sinew_gather(tasks, 50, NULL), 0);
    CHECK_EQ(wrong, 0);
    CHECK(have(&one));
    return 0;
}

static intptr_t get(void *arg)
{
    (void)arg;
    return (intptr_t)sinew_local_get(&key);
}

static intptr_t spawn_on_other(void *arg)
{
    set(&one);
    sinew_task *t = sinew_spawn_on(arg, get, NULL);
    set(&two);
    yield_until_done(t);
    CHECK_EQ(sinew_result(t), (intptr_t)&one);
    sinew_detach(t);
    return 0;
}

static void a219_a_task_spawned_in_another_runtime_has_its_creators_values(void **state)
{
    (void)state;
    sinew_runtime *rt = NULL;
    assert_int_equal(sinew_runtime_start(NULL, &rt), 0);
    for (size_t i = 0; i < WORKER_COUNTS; i++)
        assert_int_equal(run_workers(worker_counts[i], spawn_on_other, rt), 0);
    assert_int_equal(sinew_runtime_run(rt, get, NULL), 0); /* a thread has none */
    assert_int_equal(sinew_runtime_stop(rt), 0);
    assert_int_equal(check_failures, 0);
}

static intptr_t spawn_and_run_from_blocking(void *arg)
{
    CHECK(have(&one));
    sinew_task *t = sinew_spawn_on(arg, get, NULL);
    CHECK_EQ(sinew_task_join(t), (intptr_t)&one);
    CHECK_EQ(sinew_runtime_run(arg, get, NULL), (intptr_t)&one);
    CHECK_EQ(run_workers(1, get, NULL), (intptr_t)&one);
    CHECK(have(&one));
    return 0;
}

IN_RUNTIME(a219_what_a_blocking_call_starts_has_the_values_of_the_task_that_called_it)
{
    set(&one);
    CHECK_EQ(sinew_blocking_wait(spawn_and_run_from_blocking, sinew_runtime_self()), 0);
    return 0;
}

/* --- A220: a plain call shares ------------------------------------------------------------------------------------ */

static intptr_t set_two_and_suspend(void *arg)
{
    (void)arg;
    CHECK(have(&one));
    set(&two);
    CHECK_EQ(sinew_yield(), 0);
    CHECK(have(&two));
    return 0;
}

IN_RUNTIME(a220_a_plain_call_shares_the_callers_values)
{
    for (int i = 0; i < 10; i++) {
        set(&one);
        CHECK_EQ(set_two_and_suspend(NULL), 0);
        CHECK(have(&two));
    }
    return 0;
}

/* --- A221 --------------------------------------------------------------------------------------------------------- */

struct with_values {
    void *value;
    sinew_fn fn;
    void *arg;
};

static intptr_t begin_with(void *arg)
{
    struct with_values *w = arg;
    set(w->value);
    return w->fn(w->arg);
}

/* What is done instead: the task's first statement sets them. */
IN_RUNTIME(a221_a_task_that_sets_its_values_first_has_others_than_its_spawner)
{
    set(&one);
    struct with_values w = {&two, get, NULL};
    CHECK_EQ(sinew_await(sinew_spawn(begin_with, &w)), (intptr_t)&two);
    CHECK(have(&one));
    return 0;
}

/* --- A222: callbacks ---------------------------------------------------------------------------------------------- */

IN_RUNTIME(a222_a_callback_has_the_values_of_its_registration_and_changes_only_its_own)
{
    for (int ended = 0; ended < 2; ended++) {
        sinew_future *f = sinew_future_new();
        sinew_task *t = sinew_future_task(f);
        struct look none = {.at_start = &two}, first = {0}, second = {0};
        set(NULL);
        if (ended)
            CHECK_EQ(sinew_future_set(f, 0), 0);
        CHECK_EQ(sinew_on_done(t, look_as_a_callback, &none), 0);
        set(&one);
        CHECK_EQ(sinew_on_done(t, look_as_a_callback, &first), 0);
        set(&two);
        CHECK_EQ(sinew_on_done(t, look_as_a_callback, &second), 0);
        set(NULL);
        if (!ended)
            CHECK_EQ(sinew_future_set(f, 0), 0);
        struct look *all[] = {&none, &first, &second};
        for (int i = 0; i < 3; i++) {
            yield_until(&all[i]->ended, 1);
            CHECK(all[i]->kept);
        }
        CHECK(none.at_start == NULL);
        CHECK(first.at_start == &one);
        CHECK(second.at_start == &two);
        CHECK(have(NULL));
        sinew_detach(t);
        sinew_future_unref(f);
    }
    return 0;
}

static intptr_t complete_with_other_values(void *arg)
{
    set(&two);
    return sinew_future_set(arg, 0);
}

IN_RUNTIME(a222_the_values_of_who_completes_it_do_not_matter)
{
    sinew_future *f = sinew_future_new();
    sinew_task *t = sinew_future_task(f);
    struct look l = {0};
    set(&one);
    CHECK_EQ(sinew_on_done(t, look_as_a_callback, &l), 0);
    CHECK_EQ(sinew_await(sinew_spawn(complete_with_other_values, f)), 0);
    yield_until(&l.ended, 1);
    CHECK(l.at_start == &one);
    sinew_detach(t);
    sinew_future_unref(f);
    return 0;
}

/* --- A223: eager -------------------------------------------------------------------------------------------------- */

IN_RUNTIME(a223_an_eager_task_has_a_copy_of_its_own_also_before_it_suspends)
{
    set(&one);
    for (int body = 0; body < 2; body++) {
        struct look l = {0};
        sinew_task *t = spawn_eager(bodies[body], &l);
        CHECK(l.at_start == &one);
        CHECK(have(&one));
        CHECK_EQ(sinew_await(t), 0);
        CHECK(l.kept);
        CHECK(have(&one));
    }
    return 0;
}

/* --- A146 --------------------------------------------------------------------------------------------------------- */

static intptr_t get_and_try_to_set(void *arg)
{
    (void)arg;
    CHECK_EQ(sinew_local_set(&key, &three), -EPERM);
    return (intptr_t)sinew_local_get(&key);
}

IN_RUNTIME(a146_every_blocking_call_sees_its_callers_values_and_cannot_change_them)
{
    void *values[] = {&one, NULL, &two};
    for (int i = 0; i < 12; i++) { /* the same threads see the next caller's */
        set(values[i % 3]);
        CHECK_EQ((i % 2 ? sinew_blocking : sinew_blocking_wait)(get_and_try_to_set, NULL), (intptr_t)values[i % 3]);
        CHECK(have(values[i % 3]));
    }
    return 0;
}

TEST_MAIN(cmocka_unit_test(a219_a_task_begins_with_a_copy_and_neither_side_sees_what_the_other_sets_later),
          cmocka_unit_test(a219_the_copy_is_made_when_the_task_is_created),
          cmocka_unit_test(a219_elements_of_a_map_and_children_of_a_group_do_not_see_each_others_values),
          cmocka_unit_test(a219_a_task_spawned_in_another_runtime_has_its_creators_values),
          cmocka_unit_test(a219_what_a_blocking_call_starts_has_the_values_of_the_task_that_called_it),
          cmocka_unit_test(a220_a_plain_call_shares_the_callers_values),
          cmocka_unit_test(a221_a_task_that_sets_its_values_first_has_others_than_its_spawner),
          cmocka_unit_test(a222_a_callback_has_the_values_of_its_registration_and_changes_only_its_own),
          cmocka_unit_test(a222_the_values_of_who_completes_it_do_not_matter),
          cmocka_unit_test(a223_an_eager_task_has_a_copy_of_its_own_also_before_it_suspends),
          cmocka_unit_test(a146_every_blocking_call_sees_its_callers_values_and_cannot_change_them))
