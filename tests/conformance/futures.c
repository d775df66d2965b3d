/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the rules of futures (A8, A11 to A13, A39, A40, A45), as docs/conformance.md lists them; the number in a test's
 * name is the rule's.
 * Method: every way to wait for a future there is, side by side on one future; pinned tasks where the moment matters,
 * so that nothing runs between two steps of the test.
 * Cannot see: the order between a completion and a cancel of two workers; there only what every order permits.
 */
#include <errno.h>
#include <pthread.h>

#include <tests/support/run.h>
#include <tests/support/tasks.h>

/* --- every way to wait ------------------------------------------------------------------------------------------ */

static intptr_t by_await(sinew_future *f)
{
    return sinew_future_await(f);
}

static intptr_t by_task(sinew_future *f)
{
    return sinew_await(sinew_future_task(f));
}

static intptr_t by_limit(sinew_future *f)
{
    return sinew_wait_for(sinew_future_task(f), VERY_LONG);
}

static intptr_t by_no_limit(sinew_future *f)
{
    return sinew_wait_for(sinew_future_task(f), SINEW_FOREVER);
}

static intptr_t by_gather(sinew_future *f)
{
    sinew_task *t = sinew_future_task(f);
    intptr_t result;
    int r = sinew_gather(&t, 1, &result);
    return r < 0 ? r : result;
}

static intptr_t by_settled(sinew_future *f)
{
    sinew_task *t = sinew_future_task(f);
    intptr_t result;
    int r = sinew_gather_settled(&t, 1, &result);
    return r < 0 ? r : result;
}

static atomic_int children; /* that have started, ever */

static intptr_t await_it(void *arg)
{
    atomic_fetch_add(&children, 1);
    return sinew_future_await(arg);
}

/* Through another task, usually in place, and through one that stands elsewhere. */
static intptr_t by_child(sinew_future *f)
{
    return sinew_await(spawn_named("child", await_it, f));
}

static intptr_t by_started_child(sinew_future *f)
{
    return sinew_await(spawn_eager(await_it, f));
}

static intptr_t by_shield(sinew_future *f)
{
    return sinew_shield(sinew_future_task(f));
}

static intptr_t by_wait(sinew_future *f)
{
    sinew_task *t = sinew_future_task(f);
    int r = sinew_wait(&t, 1, SINEW_ALL_COMPLETED, SINEW_FOREVER, NULL);
    intptr_t result = r < 0 ? r : sinew_result(t);
    sinew_detach(t);
    return result;
}

/* The first PASSING of them pass a cancel on to the future. */
static intptr_t (*const ways[])(sinew_future *) = {by_await,   by_task,  by_limit,         by_no_limit, by_gather,
                                                   by_settled, by_child, by_started_child, by_shield,   by_wait};
enum { WAYS = sizeof ways / sizeof ways[0], BY_CHILD = 6, BY_STARTED_CHILD, PASSING };

static bool has_child(int way)
{
    return way == BY_CHILD || way == BY_STARTED_CHILD;
}

struct waiter {
    sinew_future *f;
    int way;
    atomic_int entered, returned;
    intptr_t seen;
    int cancelling, next; /* the count when the wait was over, and the next checkpoint */
};

static intptr_t wait_and_look(void *arg)
{
    struct waiter *w = arg;
    atomic_fetch_add(&w->entered, 1);
    w->seen = ways[w->way](w->f);
    atomic_fetch_add(&w->returned, 1);
    w->cancelling = sinew_cancelling();
    w->next = sinew_yield();
    return 0;
}

/* One that waits already, beside the caller, who must be pinned. */
static sinew_task *start_waiter(struct waiter *w, sinew_future *f, int way)
{
    *w = (struct waiter){.f = f, .way = way, .seen = 77, .cancelling = -1, .next = -1};
    int before = atomic_load(&children);
    sinew_task *t = spawn_pinned(wait_and_look, w);
    yield_until(&w->entered, 1);
    yield_until(&children, before + has_child(way));
    return t;
}

static void expect(const struct waiter *w, intptr_t seen, int cancelling, int next)
{
    bool ok = CHECK_EQ(w->seen, seen);
    ok &= CHECK_EQ(w->cancelling, cancelling);
    ok &= CHECK_EQ(w->next, next);
    if (!ok)
        print_message("waiting in way %d\n", w->way);
}

/* --- A8: nobody runs inside the completing call ------------------------------------------------------------------- */

struct completer {
    unsigned worker;
    pthread_t thread;
    atomic_bool suspends;
    atomic_int wrong, calls;
};

static intptr_t look_who_runs_me(sinew_task *task, void *arg)
{
    struct completer *c = arg;
    CHECK(sinew_done(task));
    if (!atomic_load(&c->suspends) && pthread_equal(thread_now(), c->thread))
        atomic_fetch_add(&c->wrong, 1);
    atomic_fetch_add(&c->calls, 1);
    return 0;
}

static void spin_for(sinew_time duration)
{
    for (sinew_time end = sinew_now() + duration; sinew_now() < end;)
        ;
}

static bool complete(sinew_future *f, int how)
{
    if (how == 0)
        return sinew_future_set(f, 5) == 0;
    if (how == 1)
        return sinew_future_set(f, -EIO) == 0;
    if (how == 2)
        return sinew_future_cancel(f);
    sinew_task *t = sinew_future_task(f);
    bool cancelled = sinew_cancel(t);
    sinew_detach(t);
    return cancelled;
}

IN_RUNTIME_PINNED(a008_completing_a_future_runs_no_waiter_and_no_callback_inside_the_call)
{
    for (int how = 0; how < 4; how++) {
        sinew_future *f = sinew_future_new();
        sinew_task *t = sinew_future_task(f), *tasks[WAYS];
        struct waiter waiters[WAYS];
        struct completer c = {.thread = thread_now()};
        for (int i = 0; i < WAYS; i++) {
            tasks[i] = start_waiter(&waiters[i], f, i);
            CHECK_EQ(sinew_on_done(t, look_who_runs_me, &c), 0);
        }
        CHECK(complete(f, how));
        CHECK(sinew_future_done(f));
        spin_for(SINEW_MS(1));
        for (int i = 0; i < WAYS; i++)
            CHECK_EQ(waiters[i].returned, 0);
        CHECK_EQ(c.wrong, 0);
        atomic_store(&c.suspends, true);
        CHECK_EQ(sinew_gather_settled(tasks, WAYS, NULL), 0);
        intptr_t result = how == 0 ? 5 : how == 1 ? -EIO : -ECANCELED;
        for (int i = 0; i < WAYS; i++)
            expect(&waiters[i], result, 0, 0);
        yield_until(&c.calls, WAYS);
        sinew_detach(t);
        sinew_future_unref(f);
    }
    return 0;
}

static void *complete_in_a_thread(void *arg)
{
    struct completer **c = arg;
    sinew_future *f = (sinew_future *)(void *)c[1];
    c[0]->thread = pthread_self();
    CHECK_EQ(sinew_future_set(f, 6), 0);
    return NULL;
}

IN_RUNTIME(a008_a_thread_that_completes_a_future_runs_nothing_itself)
{
    for (int round = 0; round < 20; round++) {
        sinew_future *f = sinew_future_new();
        sinew_task *t = sinew_future_task(f);
        struct completer c = {0};
        for (int i = 0; i < 5; i++)
            CHECK_EQ(sinew_on_done(t, look_who_runs_me, &c), 0);
        struct completer *both[2] = {&c, (struct completer *)(void *)f};
        pthread_t thread;
        CHECK_EQ(pthread_create(&thread, NULL, complete_in_a_thread, both), 0);
        CHECK_EQ(sinew_future_await(f), 6);
        yield_until(&c.calls, 5);
        CHECK_EQ(c.wrong, 0);
        pthread_join(thread, NULL);
        sinew_detach(t);
        sinew_future_unref(f);
    }
    return 0;
}

/* --- A11: asking too early ---------------------------------------------------------------------------------------- */

static void *ask_in_a_thread(void *arg)
{
    return (void *)sinew_result(arg);
}

static intptr_t asked_by_a_thread(sinew_task *t)
{
    pthread_t thread;
    void *result;
    CHECK_EQ(pthread_create(&thread, NULL, ask_in_a_thread, t), 0);
    pthread_join(thread, &result);
    return (intptr_t)result;
}

IN_RUNTIME_PINNED(a011_the_result_of_something_unfinished_is_einprogress)
{
    atomic_int others = 0;
    gate g;
    gate_init(&g, 3);
    sinew_future *f = sinew_future_new();
    sinew_task *t = spawn_pinned(gate_pass, &g), *of_f = sinew_future_task(f);
    for (int i = 0; i < 3; i++) { /* before the start, and asking twice changes nothing */
        CHECK_EQ(sinew_result(t), -EINPROGRESS);
        CHECK_EQ(sinew_future_result(f), -EINPROGRESS);
        CHECK_EQ(sinew_result(of_f), -EINPROGRESS);
        CHECK_EQ(sinew_result(sinew_self()), -EINPROGRESS);
    }
    CHECK_EQ(g.reached, 0); /* and never suspends */
    yield_until(&g.reached, 1);
    CHECK_EQ(sinew_result(t), -EINPROGRESS);
    CHECK_EQ(asked_by_a_thread(t), -EINPROGRESS);
    CHECK_EQ(asked_by_a_thread(of_f), -EINPROGRESS);
    CHECK(sinew_cancel(t)); /* asked for, and not yet there */
    CHECK_EQ(sinew_result(t), -EINPROGRESS);
    CHECK_EQ(sinew_await(sinew_ref(t)), -ECANCELED);
    CHECK_EQ(sinew_result(t), -ECANCELED);
    CHECK_EQ(asked_by_a_thread(t), -ECANCELED);
    CHECK(sinew_future_cancel(f));
    CHECK_EQ(sinew_future_result(f), -ECANCELED);
    CHECK_EQ(sinew_result(of_f), -ECANCELED);
    CHECK_EQ(asked_by_a_thread(of_f), -ECANCELED);
    sinew_detach(t);
    sinew_detach(of_f);
    sinew_future_unref(f);
    CHECK_EQ(others, 0);
    return 0;
}

/* --- A12: once ---------------------------------------------------------------------------------------------------- */

static sinew_future *completed(int how, intptr_t *result)
{
    sinew_future *f = sinew_future_new();
    static const intptr_t results[] = {4, 0, INTPTR_MAX, -EIO, -ECANCELED, -EINPROGRESS};
    *result = -ECANCELED;
    if (how < 6) {
        *result = results[how];
        CHECK_EQ(sinew_future_set(f, *result), 0);
    } else if (how < 8) {
        CHECK(complete(f, how - 4));
    } else {
        CHECK_EQ(sinew_wait_for(sinew_future_task(f), how == 8 ? 0 : SINEW_US(100)), -ETIMEDOUT);
    }
    return f;
}

IN_RUNTIME(a012_a_completed_future_takes_no_other_result)
{
    for (int how = 0; how < 10; how++) {
        intptr_t result;
        sinew_future *f = completed(how, &result);
        for (int again = 0; again < 2; again++) {
            CHECK_EQ(sinew_future_set(f, 9), -EALREADY);
            CHECK_EQ(sinew_future_set(f, -EPIPE), -EALREADY);
            CHECK(!sinew_future_cancel(f));
            sinew_task *t = sinew_future_task(f);
            CHECK(!sinew_cancel(t));
            CHECK_EQ(sinew_wait_for(t, 0), result);
            CHECK(sinew_future_done(f));
            CHECK_EQ(sinew_future_result(f), result);
            CHECK_EQ(sinew_future_await(f), result);
        }
        sinew_future_unref(f);
    }
    return 0;
}

struct race {
    sinew_future *f;
    atomic_int ready, won;
    atomic_intptr_t winner;
};

struct racer {
    struct race *race;
    intptr_t value; /* < 0: a cancel */
};

static void race_once(struct racer *r)
{
    bool won = r->value < 0 ? sinew_future_cancel(r->race->f) : sinew_future_set(r->race->f, r->value) == 0;
    if (won) {
        atomic_fetch_add(&r->race->won, 1);
        atomic_store(&r->race->winner, r->value);
    }
}

static intptr_t race_as_a_task(void *arg)
{
    struct racer *r = arg;
    atomic_fetch_add(&r->race->ready, 1);
    race_once(r);
    return 0;
}

static void *race_as_a_thread(void *arg)
{
    race_as_a_task(arg);
    return NULL;
}

IN_RUNTIME(a012_of_many_who_complete_it_at_once_one_does_and_all_who_wait_get_that)
{
    enum { TASKS = 6, WAITERS = 4 };
    int rounds = (int)scaled(300, 50);
    for (int round = 0; round < rounds; round++) {
        struct race race = {.f = sinew_future_new()};
        struct racer racers[TASKS + 1];
        sinew_task *tasks[TASKS + WAITERS];
        for (int i = 0; i < WAITERS; i++)
            tasks[i] = sinew_spawn(await_it, race.f);
        for (int i = 0; i <= TASKS; i++)
            racers[i] = (struct racer){&race, i % 3 == 2 ? -ECANCELED : i + 1};
        pthread_t thread;
        CHECK_EQ(pthread_create(&thread, NULL, race_as_a_thread, &racers[TASKS]), 0);
        for (int i = 0; i < TASKS; i++)
            tasks[WAITERS + i] = sinew_spawn(race_as_a_task, &racers[i]);
        intptr_t results[TASKS + WAITERS];
        CHECK_EQ(sinew_gather_settled(tasks, TASKS + WAITERS, results), 0);
        pthread_join(thread, NULL);
        CHECK_EQ(race.won, 1);
        CHECK_EQ(sinew_future_result(race.f), race.winner);
        for (int i = 0; i < WAITERS; i++)
            CHECK_EQ(results[i], race.winner);
        sinew_future_unref(race.f);
    }
    return 0;
}

/* --- A13: a task's result is its body's --------------------------------------------------------------------------- */

IN_RUNTIME(a013_whatever_others_do_to_a_task_its_result_is_what_its_body_returns)
{
    gate g;
    gate_init(&g, 1);
    g.when_stopped = 41;
    sinew_task *t = sinew_spawn(gate_pass, &g);
    yield_until(&g.reached, 1);
    CHECK(sinew_cancel(t));
    CHECK(sinew_result(t) == -EINPROGRESS || sinew_result(t) == 41); /* never the request's */
    CHECK_EQ(sinew_await(t), 41);

    gate_init(&g, 1);
    g.when_stopped = -EPROTO;
    t = sinew_spawn(gate_pass, &g);
    yield_until(&g.reached, 1);
    CHECK_EQ(sinew_wait_for(sinew_ref(t), SINEW_US(100)), -EPROTO);
    CHECK_EQ(sinew_result(t), -EPROTO);
    CHECK(!sinew_cancel(t));
    CHECK_EQ(sinew_await(t), -EPROTO);
    return 0;
}

/* --- A39: cancelling one waiter ----------------------------------------------------------------------------------- */

static void *await_in_a_thread(void *arg)
{
    struct waiter *w = arg;
    atomic_fetch_add(&w->entered, 1);
    w->seen = sinew_future_await(w->f);
    return NULL;
}

static intptr_t count_cancelled(sinew_task *task, void *arg)
{
    if (sinew_result(task) == -ECANCELED)
        atomic_fetch_add((atomic_int *)arg, 1);
    return 0;
}

static void cancel_one_of_many(int way)
{
    sinew_future *f = sinew_future_new();
    sinew_task *of_f = sinew_future_task(f), *tasks[WAYS + 1];
    struct waiter waiters[WAYS + 1], in_thread = {.f = f, .seen = 77};
    atomic_int calls = 0;
    pthread_t thread;
    CHECK_EQ(sinew_on_done(of_f, count_cancelled, &calls), 0);
    CHECK_EQ(pthread_create(&thread, NULL, await_in_a_thread, &in_thread), 0);
    yield_until(&in_thread.entered, 1);
    for (int i = 0; i <= WAYS; i++)
        tasks[i] = start_waiter(&waiters[i], f, i < WAYS ? i : way);
    CHECK(sinew_cancel(tasks[WAYS]));
    CHECK_EQ(sinew_await(tasks[WAYS]), 0);
    expect(&waiters[WAYS], -ECANCELED, 1, 0);
    if (way < PASSING) {
        CHECK_EQ(sinew_future_result(f), -ECANCELED);
        CHECK_EQ(sinew_future_set(f, 3), -EALREADY);
    } else {
        CHECK(!sinew_future_done(f));
        CHECK_EQ(sinew_future_set(f, 3), 0);
    }
    CHECK_EQ(sinew_gather_settled(tasks, WAYS, NULL), 0);
    intptr_t result = way < PASSING ? -ECANCELED : 3;
    for (int i = 0; i < WAYS; i++)
        expect(&waiters[i], result, 0, 0);
    pthread_join(thread, NULL);
    CHECK_EQ(in_thread.seen, result);
    if (way < PASSING)
        yield_until(&calls, 1);
    sinew_detach(of_f);
    sinew_future_unref(f);
}

IN_RUNTIME_PINNED(a039_cancelling_one_waiter_cancels_the_future_for_all_but_through_shield_and_wait)
{
    for (int way = 0; way < WAYS; way++) {
        int before = atomic_load(&check_failures);
        cancel_one_of_many(way);
        if (atomic_load(&check_failures) != before)
            print_message("the cancelled one waited in way %d\n", way);
    }
    return 0;
}

IN_RUNTIME_PINNED(a039_a_timeout_of_one_waiter_cancels_the_future_for_all)
{
    for (int way = 0; way < WAYS; way++) {
        sinew_future *f = sinew_future_new();
        struct waiter other;
        sinew_task *t = start_waiter(&other, f, way);
        sinew_timeout scope;
        sinew_timeout_begin(&scope, SINEW_US(200));
        CHECK_EQ(sinew_future_await(f), -ETIMEDOUT);
        CHECK_EQ(sinew_timeout_end(&scope), -ETIMEDOUT);
        CHECK_EQ(sinew_future_result(f), -ECANCELED);
        CHECK_EQ(sinew_await(t), 0);
        expect(&other, -ECANCELED, 0, 0);
        sinew_future_unref(f);
    }
    return 0;
}

/* --- A40: completed, and the waiter has not gone on yet ----------------------------------------------------------- */

static void cancel_between(int way, intptr_t result, bool cancel_first)
{
    sinew_future *f = sinew_future_new();
    struct waiter cancelled, other;
    sinew_task *t = start_waiter(&cancelled, f, way), *bystander = start_waiter(&other, f, (way + 3) % WAYS);
    if (cancel_first)
        CHECK(sinew_cancel(t));
    CHECK_EQ(sinew_future_set(f, result), 0); /* also then: who waits passes the request on when it next runs */
    if (!cancel_first)
        CHECK(sinew_cancel(t));
    CHECK_EQ(cancelled.returned, 0);
    CHECK_EQ(sinew_await(t), 0);
    expect(&cancelled, -ECANCELED, 1, 0);
    CHECK_EQ(sinew_future_result(f), result);
    CHECK_EQ(sinew_await(bystander), 0);
    expect(&other, result, 0, 0);
    CHECK_EQ(sinew_future_await(f), result);
    sinew_future_unref(f);
}

IN_RUNTIME_PINNED(a040_a_cancel_after_the_completion_wins_and_the_value_stays_in_the_future)
{
    for (int way = 0; way < WAYS; way++)
        if (!has_child(way)) /* a child may be resumed by another worker at once */
            for (int order = 0; order < 2; order++)
                cancel_between(way, 8, order);
    return 0;
}

IN_RUNTIME_PINNED(a040_a_cancel_wins_over_an_error_too)
{
    for (int way = 0; way < WAYS; way++)
        if (!has_child(way))
            for (int order = 0; order < 2; order++)
                cancel_between(way, -EIO, order);
    return 0;
}

static void ignore_report(const sinew_error_report *report, void *arg)
{
    (void)report, (void)arg;
}

IN_RUNTIME_WITH(a040_one_worker_the_same_through_a_child, 1)
{
    CHECK_EQ(sinew_set_error_handler(ignore_report, NULL),
             0); /* the child may have had the error that its parent has not */
    for (int way = BY_CHILD; way <= BY_STARTED_CHILD; way++)
        for (int order = 0; order < 2; order++)
            for (int error = 0; error < 2; error++)
                cancel_between(way, error ? -EIO : 8, order);
    return sinew_set_error_handler(NULL, NULL);
}

static void *set_in_a_thread(void *arg)
{
    struct waiter *w = arg;
    while (atomic_load(&w->entered) < 2)
        ;
    sinew_future_set(w->f, 8);
    return NULL;
}

/* One request, told once: by the wait or by the next checkpoint. */
IN_RUNTIME(a040_a_completion_and_a_cancel_at_once_lose_neither)
{
    int rounds = (int)scaled(2000, 200);
    for (int round = 0; round < rounds; round++) {
        sinew_future *f = sinew_future_new();
        struct waiter w = {.f = f, .way = round % WAYS, .seen = 77};
        sinew_task *t = sinew_spawn(wait_and_look, &w);
        pthread_t thread;
        CHECK_EQ(pthread_create(&thread, NULL, set_in_a_thread, &w), 0);
        yield_until(&w.entered, 1);
        atomic_fetch_add(&w.entered, 1);
        for (volatile int spin = 0; spin < round * 7919 % 20000; spin = spin + 1)
            ;
        bool told = sinew_cancel(t);
        intptr_t r = sinew_await(t);
        pthread_join(thread, NULL);
        intptr_t kept = sinew_future_result(f);
        CHECK(kept == 8 || kept == -ECANCELED);
        CHECK(w.seen == 8 || w.seen == -ECANCELED);
        CHECK(w.seen != 8 || kept == 8);
        int deliveries = (w.seen == -ECANCELED) + (w.next == -ECANCELED) + (r == -ECANCELED);
        if (!CHECK_EQ(deliveries, told))
            print_message("way %d: seen %ld, next %d, result %ld, future %ld\n", w.way, (long)w.seen, w.next, (long)r,
                          (long)kept);
        sinew_future_unref(f);
    }
    return 0;
}

/* --- A45: cancelling the future itself ---------------------------------------------------------------------------- */

static void *cancel_in_a_thread(void *arg)
{
    return sinew_future_cancel(arg) ? arg : NULL;
}

IN_RUNTIME_PINNED(a045_cancelling_a_future_marks_it_at_once_and_makes_its_callbacks_ready)
{
    for (int how = 0; how < 3; how++) {
        sinew_future *f = sinew_future_new();
        sinew_task *t = sinew_future_task(f);
        atomic_int calls = 0;
        struct waiter w;
        sinew_task *waiter = start_waiter(&w, f, how);
        CHECK_EQ(sinew_on_done(t, count_cancelled, &calls), 0);
        if (how < 2) {
            CHECK(complete(f, 2 + how));
        } else {
            pthread_t thread;
            void *cancelled;
            CHECK_EQ(pthread_create(&thread, NULL, cancel_in_a_thread, f), 0);
            pthread_join(thread, &cancelled);
            CHECK(cancelled == f);
        }
        CHECK(sinew_future_done(f));
        CHECK(sinew_done(t));
        CHECK_EQ(sinew_future_result(f), -ECANCELED);
        CHECK_EQ(w.returned, 0);
        CHECK(!sinew_future_cancel(f));
        CHECK_EQ(sinew_await(waiter), 0);
        expect(&w, -ECANCELED, 0, 0);
        yield_until(&calls, 1);
        for (int i = 0; i < 10; i++)
            sinew_yield();
        CHECK_EQ(calls, 1);
        sinew_detach(t);
        sinew_future_unref(f);
    }
    return 0;
}

TEST_MAIN(cmocka_unit_test(a008_completing_a_future_runs_no_waiter_and_no_callback_inside_the_call),
          cmocka_unit_test(a008_a_thread_that_completes_a_future_runs_nothing_itself),
          cmocka_unit_test(a011_the_result_of_something_unfinished_is_einprogress),
          cmocka_unit_test(a012_a_completed_future_takes_no_other_result),
          cmocka_unit_test(a012_of_many_who_complete_it_at_once_one_does_and_all_who_wait_get_that),
          cmocka_unit_test(a013_whatever_others_do_to_a_task_its_result_is_what_its_body_returns),
          cmocka_unit_test(a039_cancelling_one_waiter_cancels_the_future_for_all_but_through_shield_and_wait),
          cmocka_unit_test(a039_a_timeout_of_one_waiter_cancels_the_future_for_all),
          cmocka_unit_test(a040_a_cancel_after_the_completion_wins_and_the_value_stays_in_the_future),
          cmocka_unit_test(a040_a_cancel_wins_over_an_error_too),
          cmocka_unit_test(a040_one_worker_the_same_through_a_child),
          cmocka_unit_test(a040_a_completion_and_a_cancel_at_once_lose_neither),
          cmocka_unit_test(a045_cancelling_a_future_marks_it_at_once_and_makes_its_callbacks_ready))
