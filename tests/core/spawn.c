/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: spawn, await, ref and detach mean what sinew/task.h says.
 * Method: small tasks whose results and starts are counted; each test with 1, 2 and 8 workers.
 * Cannot see: leaks of descriptors (the leak checker of the address-sanitizer build does), and orders between
 * workers beyond those that a pinned group fixes.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <tests/support/run.h>
#include <tests/support/tasks.h>

static intptr_t add_one(void *arg)
{
    return *(int *)arg + 1;
}

IN_RUNTIME(await_returns_the_tasks_value)
{
    int number = 41;
    CHECK_EQ(sinew_await(sinew_spawn(add_one, &number)), 42);
    CHECK_EQ(sinew_await(sinew_spawn(return_arg, NULL)), 0);
    CHECK_EQ(sinew_await(sinew_spawn(return_arg, (void *)INTPTR_MAX)), INTPTR_MAX);
    intptr_t pointer = sinew_await(sinew_spawn(return_arg, &number));
    CHECK((void *)pointer == &number);
    return 0;
}

IN_RUNTIME(await_returns_the_tasks_error)
{
    CHECK_EQ(sinew_await(sinew_spawn(return_arg, (void *)(intptr_t)-EIO)), -EIO);
    CHECK_EQ(sinew_await(sinew_spawn(return_arg, (void *)(intptr_t)-EINPROGRESS)), -EINPROGRESS);
    CHECK_EQ(sinew_await(sinew_spawn(return_arg, (void *)(intptr_t)-4095)), -4095);
    return 0;
}

IN_RUNTIME(a_body_that_returns_ecanceled_ends_cancelled_without_a_request)
{
    CHECK_EQ(sinew_await(sinew_spawn(return_arg, (void *)(intptr_t)-ECANCELED)), -ECANCELED);
    CHECK_EQ(sinew_cancelling(), 0);
    CHECK_EQ(sinew_yield(), 0);
    return 0;
}

struct spawn_probe {
    atomic_bool inside;
    pthread_t spawner;
    atomic_int wrong, ran;
};

static intptr_t probe_body(void *arg)
{
    struct spawn_probe *p = arg;
    if (atomic_load(&p->inside) && pthread_equal(thread_now(), p->spawner))
        atomic_fetch_add(&p->wrong, 1);
    atomic_fetch_add(&p->ran, 1);
    return 0;
}

IN_RUNTIME(spawn_never_runs_the_body_inside_the_call)
{
    struct spawn_probe p = {.inside = false};
    int rounds = (int)scaled(2000, 200);
    for (int i = 0; i < rounds; i++) {
        p.spawner = thread_now();
        atomic_store(&p.inside, true);
        sinew_task *t = sinew_spawn(probe_body, &p);
        atomic_store(&p.inside, false);
        CHECK_EQ(sinew_await(t), 0);
    }
    CHECK_EQ(p.wrong, 0);
    CHECK_EQ(p.ran, rounds);
    return 0;
}

struct await_one {
    sinew_task *task;
    intptr_t result;
};

static intptr_t await_it(void *arg)
{
    struct await_one *a = arg;
    a->result = sinew_await(a->task);
    return 0;
}

IN_RUNTIME(each_reference_can_be_awaited_once_and_gives_the_same_value)
{
    enum { WAITERS = 20 };
    gate g;
    gate_init(&g, 1234);
    sinew_task *t = sinew_spawn(gate_pass, &g);
    struct await_one waits[WAITERS];
    sinew_task *waiters[WAITERS];
    for (int i = 0; i < WAITERS; i++) {
        waits[i] = (struct await_one){.task = sinew_ref(t)};
        CHECK(waits[i].task == t);
        waiters[i] = sinew_spawn(await_it, &waits[i]);
    }
    yield_until(&g.reached, 1);
    for (int i = 0; i < 10; i++)
        sinew_yield();
    gate_open(&g, 1);
    CHECK_EQ(sinew_gather(waiters, WAITERS, NULL), 0);
    for (int i = 0; i < WAITERS; i++)
        CHECK_EQ(waits[i].result, 1234);
    CHECK_EQ(sinew_await(t), 1234);
    CHECK_EQ(g.ended, 1);
    return 0;
}

struct ordered_wait {
    sinew_task *task;
    event_log *log;
    int number;
};

static intptr_t await_and_log(void *arg)
{
    struct ordered_wait *w = arg;
    intptr_t result = sinew_await(w->task);
    log_event(w->log, w->number);
    return result;
}

IN_RUNTIME_PINNED(waiters_of_one_task_resume_in_the_order_they_began)
{
    enum { WAITERS = 10 };
    event_log log = {.n = 0};
    struct ordered_wait waits[WAITERS];
    sinew_task *waiters[WAITERS];
    gate g;
    gate_init(&g, 0);
    sinew_task *t = spawn_pinned(gate_pass, &g);
    yield_until(&g.reached, 1);
    for (int i = 0; i < WAITERS; i++) {
        waits[i] = (struct ordered_wait){.task = sinew_ref(t), .log = &log, .number = i};
        waiters[i] = spawn_pinned(await_and_log, &waits[i]);
        sinew_yield();
    }
    gate_open(&g, 1);
    CHECK_EQ(sinew_await(t), 0);
    CHECK_EQ(sinew_gather(waiters, WAITERS, NULL), 0);
    for (int i = 0; i < WAITERS; i++)
        CHECK_EQ(log.events[i], i);
    return 0;
}

IN_RUNTIME_PINNED(a_finished_tasks_result_is_returned_without_giving_up_the_processor)
{
    gate g, marker;
    gate_init(&g, 5);
    gate_init(&marker, 0);
    sinew_task *t = spawn_pinned(gate_pass, &g);
    yield_until(&g.reached, 1);
    gate_open(&g, 1);
    yield_until_done(t);
    sinew_task *m = spawn_pinned(gate_pass, &marker);
    CHECK_EQ(sinew_await(t), 5);
    CHECK_EQ(marker.reached, 0);
    gate_open(&marker, 1);
    CHECK_EQ(sinew_await(m), 0);
    return 0;
}

IN_RUNTIME(a_detached_task_runs_to_its_end)
{
    enum { TASKS = 100 };
    gate g;
    gate_init(&g, 0);
    for (int i = 0; i < TASKS; i++)
        sinew_detach(sinew_spawn(gate_pass, &g));
    yield_until(&g.reached, TASKS);
    gate_open(&g, TASKS);
    yield_until(&g.ended, TASKS);
    CHECK_EQ(g.passed, TASKS);
    return 0;
}

IN_RUNTIME(dropping_one_of_two_references_leaves_the_other)
{
    gate g;
    gate_init(&g, 9);
    sinew_task *t = sinew_spawn(gate_pass, &g);
    sinew_detach(sinew_ref(t));
    yield_until(&g.reached, 1);
    sinew_detach(sinew_ref(t));
    gate_open(&g, 1);
    yield_until_done(t);
    sinew_detach(sinew_ref(t));
    CHECK_EQ(sinew_await(t), 9);
    return 0;
}

static intptr_t await_self(void *arg)
{
    (void)arg;
    CHECK_EQ(sinew_await(sinew_self()), -EDEADLK);
    CHECK_EQ(sinew_await(sinew_self()), -EDEADLK);
    CHECK_EQ(sinew_yield(), 0);
    return 3;
}

IN_RUNTIME(a_task_that_awaits_itself_gets_edeadlk)
{
    CHECK_EQ(sinew_await(sinew_spawn(await_self, NULL)), 3);
    sinew_task *t = sinew_spawn(await_self, NULL);
    yield_until_done(t);
    CHECK_EQ(sinew_await(t), 3);
    CHECK_EQ(sinew_await(sinew_self()), -EDEADLK);
    return 0;
}

IN_RUNTIME(done_turns_true_once_at_the_end)
{
    gate g;
    gate_init(&g, 0);
    sinew_task *t = sinew_spawn(gate_pass, &g);
    CHECK(!sinew_done(sinew_self()));
    yield_until(&g.reached, 1);
    CHECK(!sinew_done(t));
    gate_open(&g, 1);
    yield_until_done(t);
    CHECK_EQ(g.ended, 1);
    CHECK(sinew_done(t));
    CHECK_EQ(sinew_await(t), 0);
    return 0;
}

struct self_probe {
    atomic_uintptr_t seen;
    sinew_task *parent;
};

static intptr_t record_self(void *arg)
{
    struct self_probe *p = arg;
    sinew_task *self = sinew_self();
    CHECK(self != NULL);
    CHECK(self != p->parent);
    sinew_yield();
    CHECK(sinew_self() == self);
    atomic_store(&p->seen, (uintptr_t)self);
    return 0;
}

IN_RUNTIME(self_is_the_running_task)
{
    sinew_task *main_task = sinew_self();
    CHECK(main_task != NULL);
    for (int i = 0; i < 100; i++) {
        struct self_probe p = {.parent = main_task};
        sinew_task *t = sinew_spawn(record_self, &p);
        if (i % 2)
            sinew_yield();
        uintptr_t handle = (uintptr_t)t;
        CHECK_EQ(sinew_await(t), 0);
        CHECK(atomic_load(&p.seen) == handle);
        CHECK(sinew_self() == main_task);
    }
    return 0;
}

static intptr_t check_own_name(void *arg)
{
    CHECK_EQ(strcmp(sinew_name(sinew_self()), arg), 0);
    sinew_yield();
    CHECK_EQ(strcmp(sinew_name(sinew_self()), arg), 0);
    return 0;
}

IN_RUNTIME(a_given_name_is_copied)
{
    char name[32] = "worker bee";
    char expected[32] = "worker bee";
    sinew_task *t = spawn_named(name, check_own_name, expected);
    memset(name, 'x', sizeof name - 1);
    CHECK_EQ(strcmp(sinew_name(t), "worker bee"), 0);
    CHECK_EQ(sinew_await(sinew_ref(t)), 0);
    CHECK_EQ(strcmp(sinew_name(t), "worker bee"), 0);
    sinew_detach(t);
    return 0;
}

IN_RUNTIME(tasks_without_a_name_are_numbered_and_unique)
{
    enum { TASKS = 50 };
    sinew_task *tasks[TASKS];
    char names[TASKS][64];
    for (int i = 0; i < TASKS; i++) {
        tasks[i] = sinew_spawn(return_arg, NULL);
        snprintf(names[i], sizeof names[i], "%s", sinew_name(tasks[i]));
        CHECK_EQ(strncmp(names[i], "Task-", 5), 0);
        for (int j = 0; j < i; j++)
            CHECK(strcmp(names[i], names[j]) != 0);
    }
    /* A name is stable however often it is asked for. */
    for (int i = 0; i < TASKS; i++)
        CHECK_EQ(strcmp(sinew_name(tasks[i]), names[i]), 0);
    CHECK_EQ(sinew_gather(tasks, TASKS, NULL), 0);
    CHECK(sinew_name(sinew_self()) != NULL);
    return 0;
}

static intptr_t use_stack(void *arg)
{
    size_t bytes = (size_t)(intptr_t)arg;
    volatile char *space = __builtin_alloca(bytes);
    for (size_t i = 0; i < bytes; i += 512)
        space[i] = (char)i;
    sinew_yield();
    intptr_t wrong = 0;
    for (size_t i = 0; i < bytes; i += 512)
        wrong += space[i] != (char)i;
    return wrong;
}

IN_RUNTIME(a_task_finds_the_stack_it_asked_for)
{
    static const size_t sizes[] = {SINEW_STACK_BYTES_DEFAULT, 100000, 1 << 20, 8 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        sinew_spawn_options opt = {.stack_bytes = sizes[i]};
        /* A sanitizer's red zones and this frame need a little of it. */
        intptr_t use = (intptr_t)(sizes[i] - (8 << 10));
        CHECK_EQ(sinew_await(sinew_spawn_with(&opt, use_stack, (void *)use)), 0);
        sinew_task *t = sinew_spawn_with(&opt, use_stack, (void *)use);
        yield_until_done(t);
        CHECK_EQ(sinew_await(t), 0);
    }
    /* One without a wish finds half the default, also in place on its awaiter's stack. */
    CHECK_EQ(sinew_await(sinew_spawn(use_stack, (void *)(intptr_t)(24 << 10))), 0);
    return 0;
}

struct foreign_use {
    sinew_task *task;
    atomic_int over;
    bool cancelled, was_done, done_after;
    char name[32];
};

static void *use_from_thread(void *arg)
{
    struct foreign_use *f = arg;
    sinew_detach(sinew_ref(f->task));
    f->was_done = sinew_done(f->task);
    snprintf(f->name, sizeof f->name, "%s", sinew_name(f->task));
    f->cancelled = sinew_cancel(f->task);
    sinew_detach(f->task);
    atomic_store(&f->over, 1);
    return NULL;
}

IN_RUNTIME(a_plain_thread_may_ref_detach_name_and_cancel)
{
    gate g;
    gate_init(&g, 0);
    sinew_task *t = spawn_named("foreign", gate_pass, &g);
    yield_until(&g.reached, 1);
    struct foreign_use f = {.task = sinew_ref(t)};
    pthread_t thread;
    if (!CHECK_EQ(pthread_create(&thread, NULL, use_from_thread, &f), 0))
        return 1;
    CHECK_EQ(sinew_await(t), -ECANCELED);
    CHECK_EQ(sinew_cancelling(), 0);
    pthread_join(thread, NULL);
    CHECK_EQ(f.over, 1);
    CHECK(!f.was_done);
    CHECK(f.cancelled);
    CHECK_EQ(strcmp(f.name, "foreign"), 0);
    return 0;
}

TEST_MAIN(cmocka_unit_test(await_returns_the_tasks_value), cmocka_unit_test(await_returns_the_tasks_error),
          cmocka_unit_test(a_body_that_returns_ecanceled_ends_cancelled_without_a_request),
          cmocka_unit_test(spawn_never_runs_the_body_inside_the_call),
          cmocka_unit_test(each_reference_can_be_awaited_once_and_gives_the_same_value),
          cmocka_unit_test(waiters_of_one_task_resume_in_the_order_they_began),
          cmocka_unit_test(a_finished_tasks_result_is_returned_without_giving_up_the_processor),
          cmocka_unit_test(a_detached_task_runs_to_its_end),
          cmocka_unit_test(dropping_one_of_two_references_leaves_the_other),
          cmocka_unit_test(a_task_that_awaits_itself_gets_edeadlk), cmocka_unit_test(done_turns_true_once_at_the_end),
          cmocka_unit_test(self_is_the_running_task), cmocka_unit_test(a_given_name_is_copied),
          cmocka_unit_test(tasks_without_a_name_are_numbered_and_unique),
          cmocka_unit_test(a_task_finds_the_stack_it_asked_for),
          cmocka_unit_test(a_plain_thread_may_ref_detach_name_and_cancel))
