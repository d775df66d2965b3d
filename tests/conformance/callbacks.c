/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the rules of done-callbacks (A9, A10, A20, A120), as docs/conformance.md lists them; the number in a test's
 * name is the rule's. Method: callbacks that count and log, on tasks that end in every way there is; registrations,
 * removals and ends that meet; runtimes that end with callbacks under way. Cannot see: the order in which several
 * workers run callbacks that are ready.
 */
#include <errno.h>
#include <pthread.h>

#include <tests/support/run.h>
#include <tests/support/tasks.h>

struct seen {
    atomic_int calls;
    atomic_intptr_t result;
};

static intptr_t note(sinew_task *task, void *arg)
{
    struct seen *s = arg;
    CHECK(sinew_done(task));
    atomic_store(&s->result, sinew_result(task));
    atomic_fetch_add(&s->calls, 1);
    return 0;
}

struct numbered {
    event_log *log;
    int number;
};

static intptr_t log_number(sinew_task *task, void *arg)
{
    const struct numbered *n = arg;
    (void)task;
    log_event(n->log, n->number);
    return 0;
}

static intptr_t log_number_too(sinew_task *task, void *arg)
{
    return log_number(task, arg);
}

static void yield_often(void)
{
    for (int i = 0; i < 20; i++)
        sinew_yield();
}

/* --- A9 ----------------------------------------------------------------------------------------------------------- */

struct end {
    const char *name;
    intptr_t result;
    sinew_task *(*start)(void); /* a task that ends so when `finish` has been called */
    void (*finish)(sinew_task *t);
};

static gate at_gate;

static sinew_task *unstarted_five(void)
{
    return sinew_spawn(return_arg, (void *)5);
}

static sinew_task *unstarted_error(void)
{
    return sinew_spawn(return_arg, (void *)(intptr_t)-EIO);
}

static sinew_task *pinned_five(void)
{
    return spawn_pinned(return_arg, (void *)5);
}

static sinew_task *eager_five(void)
{
    return spawn_eager(return_arg, (void *)5);
}

static sinew_task *waiting(void)
{
    gate_init(&at_gate, 5);
    sinew_task *t = sinew_spawn(gate_pass, &at_gate);
    yield_until(&at_gate.reached, 1);
    return t;
}

static sinew_task *one_future(void)
{
    sinew_future *f = sinew_future_new();
    sinew_task *t = sinew_future_task(f);
    sinew_future_unref(f);
    return t;
}

static void by_await(sinew_task *t)
{
    sinew_await(sinew_ref(t));
}

static void by_gather(sinew_task *t)
{
    sinew_task *tasks[1] = {sinew_ref(t)};
    sinew_gather(tasks, 1, NULL);
}

static void by_itself(sinew_task *t)
{
    yield_until_done(t);
}

static void by_the_gate(sinew_task *t)
{
    gate_open(&at_gate, 1);
    yield_until_done(t);
}

static void by_cancel(sinew_task *t)
{
    CHECK(sinew_cancel(t));
    sinew_shield(sinew_ref(t));
}

static const struct end ends[] = {
    {"awaited", 5, unstarted_five, by_await},
    {"gathered", 5, unstarted_five, by_gather},
    {"by itself", 5, unstarted_five, by_itself},
    {"with an error", -EIO, unstarted_error, by_await},
    {"pinned", 5, pinned_five, by_await},
    {"eager, ended", 5, eager_five, by_itself},
    {"suspended", 5, waiting, by_the_gate},
    {"cancelled", -ECANCELED, waiting, by_cancel},
    {"a future, cancelled", -ECANCELED, one_future, by_cancel},
};
enum { ENDS = sizeof ends / sizeof ends[0] };

IN_RUNTIME(a009_a_callback_runs_once_however_the_task_ends)
{
    for (int i = 0; i < ENDS; i++) {
        struct seen before = {0}, after = {0};
        sinew_task *t = ends[i].start();
        CHECK_EQ(sinew_on_done(t, note, &before), 0);
        ends[i].finish(t);
        CHECK_EQ(sinew_on_done(t, note, &after), 0);
        CHECK_EQ(sinew_on_done_remove(t, log_number), 0);
        sinew_detach(t); /* the callback has a reference of its own */
        yield_until(&before.calls, 1);
        yield_until(&after.calls, 1);
        yield_often();
        bool ok = CHECK_EQ(before.calls, 1);
        ok &= CHECK_EQ(after.calls, 1);
        ok &= CHECK_EQ(before.result, ends[i].result);
        ok &= CHECK_EQ(after.result, ends[i].result);
        if (!ok)
            print_message("the task ended: %s\n", ends[i].name);
    }
    return 0;
}

static intptr_t register_on_myself(void *arg)
{
    CHECK_EQ(sinew_on_done(sinew_self(), note, arg), 0);
    return 6;
}

IN_RUNTIME(a009_a_task_may_register_on_itself_and_be_in_a_group_a_map_or_without_handles)
{
    struct seen s = {0};
    sinew_detach(sinew_spawn(register_on_myself, &s));
    yield_until(&s.calls, 1);
    CHECK_EQ(sinew_await(sinew_spawn(register_on_myself, &s)), 6);
    yield_until(&s.calls, 2);
    sinew_group g;
    sinew_group_init(&g);
    CHECK_EQ(sinew_group_spawn(&g, register_on_myself, &s), 0);
    CHECK_EQ(sinew_group_wait(&g), 0);
    yield_until(&s.calls, 3);
    CHECK_EQ(sinew_map(register_on_myself, &s, 0, 5, NULL), 0);
    yield_until(&s.calls, 8);
    yield_often();
    CHECK_EQ(s.calls, 8);
    CHECK_EQ(s.result, 6);
    return 0;
}

IN_RUNTIME_WITH(a009_one_worker_runs_callbacks_in_the_order_of_registration_before_and_after_the_end, 1)
{
    enum { BEFORE = 20, ALL = 40 };
    for (int i = 0; i < ENDS; i++) {
        event_log log = {.n = 0};
        struct numbered numbers[ALL];
        sinew_task *t = ends[i].start();
        for (int k = 0; k < ALL; k++) {
            numbers[k] = (struct numbered){&log, k};
            if (k == BEFORE) {
                CHECK_EQ(log.n, 0);
                ends[i].finish(t);
            }
            CHECK_EQ(sinew_on_done(t, k % 3 ? log_number : log_number_too, &numbers[k]), 0);
        }
        yield_until(&log.n, ALL);
        for (int k = 0; k < ALL; k++)
            CHECK_EQ(log.events[k], k);
        sinew_detach(t);
    }
    return 0;
}

struct adder {
    atomic_int wrong, calls;
    pthread_t thread;
    atomic_bool added;
};

static intptr_t look_where_i_run(sinew_task *task, void *arg)
{
    struct adder *a = arg;
    (void)task;
    if (!atomic_load(&a->added) && pthread_equal(thread_now(), a->thread))
        atomic_fetch_add(&a->wrong, 1);
    atomic_fetch_add(&a->calls, 1);
    return 0;
}

IN_RUNTIME_PINNED(a009_a_callback_added_after_the_end_never_runs_inside_the_call)
{
    for (int i = 0; i < 50; i++) {
        struct adder a = {.thread = thread_now()};
        sinew_task *t = spawn_pinned(return_arg, NULL);
        yield_until_done(t);
        for (int k = 0; k < 5; k++)
            CHECK_EQ(sinew_on_done(t, look_where_i_run, &a), 0);
        CHECK_EQ(a.wrong, 0);
        atomic_store(&a.added, true);
        yield_until(&a.calls, 5);
        sinew_detach(t);
    }
    return 0;
}

IN_RUNTIME(a009_removing_takes_back_every_registration_of_that_function_on_that_task_and_says_how_many)
{
    event_log log = {.n = 0}, kept = {.n = 0};
    struct numbered one = {&log, 1}, two = {&log, 2}, stays = {&kept, 3};
    sinew_task *t = waiting();
    gate other_gate;
    gate_init(&other_gate, 0);
    sinew_task *other = sinew_spawn(gate_pass, &other_gate);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(sinew_on_done(t, log_number, &one), 0);
        CHECK_EQ(sinew_on_done(t, log_number_too, &stays), 0);
        CHECK_EQ(sinew_on_done(t, log_number, &two), 0);
    }
    CHECK_EQ(sinew_on_done(other, log_number, &stays), 0);
    CHECK_EQ(sinew_on_done_remove(t, log_number), 6);
    CHECK_EQ(sinew_on_done_remove(t, log_number), 0);
    by_the_gate(t);
    gate_open(&other_gate, 1);
    CHECK_EQ(sinew_await(other), 0);
    yield_until(&kept.n, 4);
    yield_often();
    CHECK_EQ(log.n, 0);
    CHECK_EQ(kept.n, 4);
    sinew_detach(t);
    return 0;
}

struct remover {
    atomic_int calls, removed;
};

static intptr_t remove_others(sinew_task *task, void *arg)
{
    struct remover *r = arg;
    atomic_fetch_add(&r->removed, sinew_on_done_remove(task, remove_others));
    atomic_fetch_add(&r->removed, sinew_on_done_remove(task, note));
    atomic_fetch_add(&r->calls, 1);
    return 0;
}

static intptr_t add_another(sinew_task *task, void *arg)
{
    CHECK_EQ(sinew_on_done(task, note, arg), 0);
    return 0;
}

/* They were made ready together, so none can be taken back by another; one that a callback adds runs later. */
IN_RUNTIME(a009_callbacks_that_remove_and_add_callbacks)
{
    struct remover r = {0};
    struct seen s = {0}, added = {0};
    sinew_task *t = waiting();
    CHECK_EQ(sinew_on_done(t, remove_others, &r), 0);
    CHECK_EQ(sinew_on_done(t, remove_others, &r), 0);
    CHECK_EQ(sinew_on_done(t, note, &s), 0);
    by_the_gate(t);
    yield_until(&r.calls, 2);
    yield_until(&s.calls, 1);
    CHECK_EQ(r.removed, 0);
    CHECK_EQ(sinew_on_done(t, add_another, &added), 0);
    yield_until(&added.calls, 1);
    yield_often();
    CHECK_EQ(added.calls, 1);
    sinew_detach(t);
    return 0;
}

struct meeting {
    sinew_task *task;
    atomic_int calls, removed;
    int adds;
};

static intptr_t count_call(sinew_task *task, void *arg)
{
    struct meeting *m = arg;
    (void)task;
    atomic_fetch_add(&m->calls, 1);
    return 0;
}

static intptr_t add_many(void *arg)
{
    struct meeting *m = arg;
    for (int i = 0; i < m->adds; i++)
        CHECK_EQ(sinew_on_done(m->task, count_call, m), 0);
    return 0;
}

static intptr_t remove_many(void *arg)
{
    struct meeting *m = arg;
    for (int i = 0; i < m->adds; i++)
        atomic_fetch_add(&m->removed, sinew_on_done_remove(m->task, count_call));
    return 0;
}

static void *complete_it(void *arg)
{
    sinew_future_set(arg, 0);
    sinew_future_unref(arg);
    return NULL;
}

/* Each is either taken back or called, never both and never neither. */
IN_RUNTIME(a009_registrations_removals_and_the_end_may_meet)
{
    enum { TASKS = 6, ADDS = 50 };
    int rounds = (int)scaled(200, 30);
    for (int round = 0; round < rounds; round++) {
        sinew_future *f = sinew_future_new();
        struct meeting m = {.task = sinew_future_task(f), .adds = ADDS};
        sinew_task *tasks[TASKS];
        for (int i = 0; i < TASKS; i++)
            tasks[i] = sinew_spawn(i % 2 ? remove_many : add_many, &m);
        pthread_t thread;
        if (round % 2)
            CHECK_EQ(pthread_create(&thread, NULL, complete_it, sinew_future_ref(f)), 0);
        CHECK_EQ(sinew_gather(tasks, TASKS, NULL), 0);
        if (round % 2)
            pthread_join(thread, NULL);
        else
            sinew_future_set(f, 0);
        yield_until(&m.calls, TASKS / 2 * ADDS - m.removed);
        sinew_yield();
        CHECK_EQ(m.calls + m.removed, TASKS / 2 * ADDS);
        sinew_detach(m.task);
        sinew_future_unref(f);
    }
    return 0;
}

/* --- A9 and the end of the runtime -------------------------------------------------------------------------------- */

static struct seen at_the_end;

static intptr_t leave_a_ready_callback(void *arg)
{
    (void)arg;
    sinew_task *t = spawn_pinned(return_arg, (void *)3);
    yield_until_done(t);
    CHECK_EQ(sinew_on_done(t, note, &at_the_end), 0);
    sinew_detach(t);
    return 0;
}

static intptr_t leave_a_waiting_task(void *arg)
{
    (void)arg;
    sinew_task *t = waiting();
    CHECK_EQ(sinew_on_done(t, note, &at_the_end), 0);
    sinew_detach(t);
    return 0;
}

static intptr_t leave_an_unstarted_task(void *arg)
{
    (void)arg;
    sinew_task *t = sinew_spawn(sleep_very_long, NULL);
    CHECK_EQ(sinew_on_done(t, note, &at_the_end), 0);
    sinew_detach(t);
    return 0;
}

static intptr_t register_on_main(void *arg)
{
    (void)arg;
    CHECK_EQ(sinew_on_done(sinew_self(), note, &at_the_end), 0);
    return 0;
}

static void a009_callbacks_of_what_ends_before_the_runtime_does_run(void **state)
{
    (void)state;
    static const struct {
        sinew_fn main;
        intptr_t result;
    } cases[] = {{leave_a_ready_callback, 3},
                 {leave_a_waiting_task, -ECANCELED},
                 {leave_an_unstarted_task, -ECANCELED},
                 {register_on_main, 0}};
    for (size_t i = 0; i < WORKER_COUNTS; i++)
        for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++)
            for (size_t round = 0; round < scaled(20, 4); round++) {
                at_the_end = (struct seen){0};
                assert_int_equal(run_workers(worker_counts[i], cases[k].main, NULL), 0);
                if (at_the_end.calls != 1 || at_the_end.result != cases[k].result)
                    fail_msg("case %zu with %u workers: %d calls, result %ld", k, worker_counts[i], at_the_end.calls,
                             (long)at_the_end.result);
            }
    assert_int_equal(check_failures, 0);
}

/* --- A10, A120: errors -------------------------------------------------------------------------------------------- */

struct reports {
    atomic_int n, named, wrong;
};

static void count_report(const sinew_error_report *report, void *arg)
{
    struct reports *r = arg;
    if (!report->what || strcmp(report->what, "a done-callback failed") != 0 || !report->name || report->error != -EIO)
        atomic_fetch_add(&r->wrong, 1);
    atomic_fetch_add(&r->n, 1);
}

static intptr_t fail_now(sinew_task *task, void *arg)
{
    (void)task;
    if (arg)
        atomic_fetch_add((atomic_int *)arg, 1);
    return -EIO;
}

static intptr_t fail_after_a_while(sinew_task *task, void *arg)
{
    sinew_sleep(SINEW_US(100));
    return fail_now(task, arg);
}

IN_RUNTIME(a010_a_callback_that_fails_is_reported_and_stops_no_other)
{
    struct reports r = {0};
    CHECK_EQ(sinew_set_error_handler(count_report, &r), 0);
    for (int i = 0; i < ENDS; i++) {
        atomic_int failed = 0;
        struct seen s = {0};
        sinew_task *t = ends[i].start();
        CHECK_EQ(sinew_on_done(t, fail_now, &failed), 0);
        CHECK_EQ(sinew_on_done(t, note, &s), 0);
        CHECK_EQ(sinew_on_done(t, fail_after_a_while, &failed), 0);
        CHECK_EQ(sinew_on_done(t, note, &s), 0);
        ends[i].finish(t);
        CHECK_EQ(sinew_on_done(t, fail_now, &failed), 0);
        CHECK_EQ(sinew_on_done(t, note, &s), 0);
        yield_until(&s.calls, 3);
        yield_until(&failed, 3);
        CHECK_EQ(sinew_result(t), ends[i].result); /* a callback's error is none of the task's */
        sinew_detach(t);
    }
    yield_until(&r.n, 3 * ENDS);
    yield_often();
    CHECK_EQ(r.n, 3 * ENDS);
    CHECK_EQ(r.wrong, 0);
    return sinew_set_error_handler(NULL, NULL);
}

IN_RUNTIME(a120_after_errors_in_callbacks_the_runtime_goes_on)
{
    enum { CALLBACKS = 200 };
    struct reports r = {0};
    CHECK_EQ(sinew_set_error_handler(count_report, &r), 0);
    sinew_task *t = waiting();
    for (int i = 0; i < CALLBACKS; i++)
        CHECK_EQ(sinew_on_done(t, fail_now, NULL), 0);
    by_the_gate(t);
    CHECK_EQ(sinew_map(return_arg, NULL, 0, 100, NULL), 0);
    CHECK_EQ(sinew_sleep(SINEW_US(100)), 0);
    CHECK_EQ(sinew_cancelling(), 0);
    yield_until(&r.n, CALLBACKS);
    yield_often();
    CHECK_EQ(r.n, CALLBACKS);
    CHECK_EQ(r.wrong, 0);
    CHECK_EQ(sinew_await(t), 5);
    return sinew_set_error_handler(NULL, NULL);
}

/* --- A20: who runs now -------------------------------------------------------------------------------------------- */

struct who {
    sinew_task *registrar, *ended;
    atomic_int calls;
};

static intptr_t look_who_i_am(sinew_task *task, void *arg)
{
    struct who *w = arg;
    CHECK(task == w->ended);
    sinew_task *self = sinew_self();
    CHECK(self != NULL && self != w->registrar && self != w->ended);
    CHECK(!sinew_done(self));
    CHECK_EQ(sinew_cancelling(), 0);
    CHECK_EQ(sinew_yield(), 0);
    CHECK(sinew_self() == self);
    atomic_fetch_add(&w->calls, 1);
    return 0;
}

static intptr_t return_self(void *arg)
{
    if (arg)
        sinew_yield();
    return (intptr_t)sinew_self() & INTPTR_MAX;
}

IN_RUNTIME(a020_in_a_callback_sinew_self_is_a_task_of_the_callbacks_own)
{
    struct who w = {.registrar = sinew_self(), .ended = waiting()};
    for (int i = 0; i < 3; i++)
        CHECK_EQ(sinew_on_done(w.ended, look_who_i_am, &w), 0);
    by_the_gate(w.ended);
    CHECK_EQ(sinew_on_done(w.ended, look_who_i_am, &w), 0);
    yield_until(&w.calls, 4);
    CHECK(sinew_self() == w.registrar);
    sinew_detach(w.ended);
    return 0;
}

static void *self_in_a_thread(void *arg)
{
    (void)arg;
    return sinew_self();
}

IN_RUNTIME(a020_sinew_self_is_the_task_that_runs_now_and_nothing_in_a_plain_thread)
{
    sinew_task *self = sinew_self();
    for (int i = 0; i < 30; i++) {
        sinew_task *t = i % 3 == 0   ? sinew_spawn(return_self, (void *)(intptr_t)(i % 2))
                        : i % 3 == 1 ? spawn_eager(return_self, (void *)(intptr_t)(i % 2))
                                     : spawn_pinned(return_self, (void *)(intptr_t)(i % 2));
        CHECK(sinew_self() == self);
        if (i % 5 == 0)
            yield_until_done(t);
        CHECK(sinew_await(sinew_ref(t)) == (intptr_t)t);
        CHECK(sinew_self() == self);
        sinew_detach(t);
    }
    pthread_t thread;
    void *seen = self;
    CHECK_EQ(pthread_create(&thread, NULL, self_in_a_thread, NULL), 0);
    pthread_join(thread, &seen);
    CHECK(seen == NULL);
    return 0;
}

TEST_MAIN(cmocka_unit_test(a009_a_callback_runs_once_however_the_task_ends),
          cmocka_unit_test(a009_a_task_may_register_on_itself_and_be_in_a_group_a_map_or_without_handles),
          cmocka_unit_test(a009_one_worker_runs_callbacks_in_the_order_of_registration_before_and_after_the_end),
          cmocka_unit_test(a009_a_callback_added_after_the_end_never_runs_inside_the_call),
          cmocka_unit_test(a009_removing_takes_back_every_registration_of_that_function_on_that_task_and_says_how_many),
          cmocka_unit_test(a009_callbacks_that_remove_and_add_callbacks),
          cmocka_unit_test(a009_registrations_removals_and_the_end_may_meet),
          cmocka_unit_test(a009_callbacks_of_what_ends_before_the_runtime_does_run),
          cmocka_unit_test(a010_a_callback_that_fails_is_reported_and_stops_no_other),
          cmocka_unit_test(a120_after_errors_in_callbacks_the_runtime_goes_on),
          cmocka_unit_test(a020_in_a_callback_sinew_self_is_a_task_of_the_callbacks_own),
          cmocka_unit_test(a020_sinew_self_is_the_task_that_runs_now_and_nothing_in_a_plain_thread))
