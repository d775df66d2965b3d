/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: rules A1 to A25 (tasks and awaiting), as docs/conformance.md lists them; the number in a test's name is the
 * rule's.
 * Method: tasks at gates, so that the await meets them before their start, while they wait, and when they have ended;
 * pinned groups and one worker where a rule is about order.
 * Cannot see: orders between workers; there only what every order permits.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tests/support/child.h>
#include <tests/support/run.h>
#include <tests/support/tasks.h>

static intptr_t count_me(void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
    return 1;
}

struct logger {
    event_log *log;
    int number;
};

static intptr_t log_start(void *arg)
{
    struct logger *l = arg;
    int number = l->number;
    log_event(l->log, number); /* who waits for this event may end now, and `l` with it */
    return number;
}

/* Computes, without a checkpoint. */
static void spin_for(sinew_time duration)
{
    for (sinew_time end = sinew_now() + duration; sinew_now() < end;)
        ;
}

/* --- A1, A2: starting ------------------------------------------------------------------------------------------- */

/* What a task may call without suspending, so without letting others run. */
static void call_what_never_suspends(void)
{
    sinew_sem sem;
    sinew_stats stats;
    sinew_sem_init(&sem, 1);
    CHECK_EQ(sinew_sem_wait(&sem), 0);
    CHECK_EQ(sinew_sem_trywait(&sem), -EAGAIN);
    sinew_sem_post(&sem);
    CHECK(!sinew_done(sinew_self()));
    CHECK(sinew_name(sinew_self()) != NULL);
    CHECK_EQ(sinew_cancelling(), 0);
    CHECK_EQ(sinew_get_stats(&stats), 0);
    sinew_detach(sinew_ref(sinew_self()));
}

IN_RUNTIME_PINNED(a001_nothing_of_a_task_runs_before_its_spawner_suspends)
{
    enum { TASKS = 100 };
    atomic_int started = 0;
    sinew_task *tasks[TASKS];
    for (int i = 0; i < TASKS; i++) {
        tasks[i] = spawn_pinned(count_me, &started);
        CHECK_EQ(started, 0);
        call_what_never_suspends();
    }
    spin_for(SINEW_MS(3));
    CHECK_EQ(started, 0);
    CHECK_EQ(sinew_yield(), 0);
    CHECK_EQ(started, TASKS);
    CHECK_EQ(sinew_gather(tasks, TASKS, NULL), 0);
    return 0;
}

/* More than any queue holds from the start; nobody else is there to take them. */
IN_RUNTIME_WITH(a001_one_worker_starts_none_of_very_many_before_the_spawner_suspends, 1)
{
    size_t n = scaled(50000, 5000);
    atomic_int started = 0;
    sinew_task **tasks = calloc(n, sizeof(sinew_task *));
    for (size_t i = 0; i < n; i++)
        tasks[i] = sinew_spawn(count_me, &started);
    spin_for(SINEW_MS(3));
    CHECK_EQ(started, 0);
    CHECK_EQ(sinew_gather(tasks, n, NULL), 0);
    CHECK_EQ(started, n);
    free(tasks);
    return 0;
}

struct spawner {
    unsigned worker;
    atomic_bool suspends;
    atomic_int elsewhere, wrong;
};

static intptr_t look_where_i_run(void *arg)
{
    struct spawner *s = arg;
    if (sinew_worker_index() != s->worker)
        atomic_fetch_add(&s->elsewhere, 1);
    else if (!atomic_load(&s->suspends))
        atomic_fetch_add(&s->wrong, 1);
    return 0;
}

/* Another worker may begin at once; the spawner's own may not while the spawner has it. */
IN_RUNTIME(a001_a_task_never_starts_on_its_spawners_stack)
{
    enum { TASKS = 200 };
    struct spawner s = {.worker = sinew_worker_index()};
    sinew_task *tasks[TASKS];
    for (int i = 0; i < TASKS; i++) {
        tasks[i] = sinew_spawn(look_where_i_run, &s);
        spin_for(SINEW_US(10));
    }
    spin_for(SINEW_MS(2));
    atomic_store(&s.suspends, true);
    CHECK_EQ(sinew_gather(tasks, TASKS, NULL), 0);
    CHECK_EQ(s.wrong, 0);
    if (sinew_workers() == 1)
        CHECK_EQ(s.elsewhere, 0);
    return 0;
}

struct parent {
    event_log log;
    struct logger child;
    sinew_task *task;
    bool pinned;
};

static intptr_t spawn_and_return(void *arg)
{
    struct parent *p = arg;
    p->task = p->pinned ? spawn_pinned(log_start, &p->child) : sinew_spawn(log_start, &p->child);
    spin_for(SINEW_MS(1));
    log_event(&p->log, 1);
    return 0;
}

IN_RUNTIME_PINNED(a001_a_task_starts_when_its_spawner_has_returned)
{
    for (int pinned = sinew_workers() > 1; pinned < 2; pinned++) {
        struct parent p = {.child = {&p.log, 2}, .pinned = pinned};
        CHECK_EQ(sinew_await(pinned ? spawn_pinned(spawn_and_return, &p) : sinew_spawn(spawn_and_return, &p)), 0);
        CHECK_EQ(sinew_await(p.task), 2);
        CHECK_EQ(p.log.events[0], 1);
        CHECK_EQ(p.log.events[1], 2);
    }
    return 0;
}

enum { IN_ORDER = 200 };

struct order {
    event_log log;
    struct logger loggers[IN_ORDER];
    sinew_task *tasks[IN_ORDER];
};

static struct order *spawn_loggers(bool pinned)
{
    struct order *o = calloc(1, sizeof *o);
    for (int i = 0; i < IN_ORDER; i++) {
        o->loggers[i] = (struct logger){&o->log, i};
        o->tasks[i] = pinned ? spawn_pinned(log_start, &o->loggers[i]) : sinew_spawn(log_start, &o->loggers[i]);
    }
    return o;
}

static int first_out_of_order(const event_log *log)
{
    for (int i = 0; i < IN_ORDER; i++)
        if (log->events[i] != i)
            return i;
    return IN_ORDER;
}

/* The ways in which a spawner lets what it has spawned begin. */
static void let_them_start(struct order *o, int way)
{
    if (way == 1)
        CHECK_EQ(sinew_yield(), 0);
    else if (way == 2)
        CHECK_EQ(sinew_sleep(SINEW_MS(1)), 0);
    else if (way == 3)
        CHECK_EQ(sinew_wait(o->tasks, IN_ORDER, SINEW_ALL_COMPLETED, SINEW_FOREVER, NULL), IN_ORDER);
    if (way != 4) {
        CHECK_EQ((way == 5 ? sinew_gather_settled : sinew_gather)(o->tasks, IN_ORDER, NULL), 0);
        return;
    }
    for (int i = 0; i < IN_ORDER; i++)
        CHECK_EQ(sinew_await(o->tasks[i]), i);
}

IN_RUNTIME_WITH(a002_one_worker_starts_tasks_in_the_order_of_their_creation, 1)
{
    for (int way = 0; way < 6; way++) {
        struct order *o = spawn_loggers(false);
        let_them_start(o, way);
        if (!CHECK_EQ(first_out_of_order(&o->log), IN_ORDER))
            print_message("way %d\n", way);
        free(o);
    }
    return 0;
}

IN_RUNTIME_PINNED(a002_pinned_tasks_start_in_the_order_of_their_creation)
{
    for (int way = 0; way < 6; way++) {
        struct order *o = spawn_loggers(true);
        let_them_start(o, way);
        if (!CHECK_EQ(first_out_of_order(&o->log), IN_ORDER))
            print_message("way %d\n", way);
        free(o);
    }
    return 0;
}

static intptr_t spawn_and_leave(void *arg)
{
    struct order **o = arg;
    *o = spawn_loggers(false);
    return 0;
}

IN_RUNTIME_WITH(a002_one_worker_keeps_the_order_when_the_spawner_has_ended, 1)
{
    struct order *o;
    CHECK_EQ(sinew_await(sinew_spawn(spawn_and_leave, &o)), 0);
    CHECK_EQ(sinew_yield(), 0);
    CHECK_EQ(o->log.n, IN_ORDER);
    CHECK_EQ(sinew_gather(o->tasks, IN_ORDER, NULL), 0);
    CHECK_EQ(first_out_of_order(&o->log), IN_ORDER);
    free(o);
    return 0;
}

/* What sinew does differently: who is awaited need not queue. The others keep their order. */
IN_RUNTIME_WITH(a002_one_worker_starts_an_awaited_task_at_once_and_the_others_in_order, 1)
{
    struct order *o = spawn_loggers(false);
    int awaited = IN_ORDER / 2;
    CHECK_EQ(sinew_await(sinew_ref(o->tasks[awaited])), awaited);
    CHECK_EQ(o->log.n, 1);
    CHECK_EQ(o->log.events[0], awaited);
    CHECK_EQ(sinew_gather(o->tasks, IN_ORDER, NULL), 0);
    for (int i = 1; i < IN_ORDER; i++)
        CHECK_EQ(o->log.events[i], i <= awaited ? i - 1 : i);
    free(o);
    return 0;
}

/* --- A3 to A6: awaiting ----------------------------------------------------------------------------------------- */

enum { UNSTARTED, WAITING, ELSEWHERE, ENDED, STATES };

/* A task at a gate that will return `result`, in the state asked for; its gate is open when it would have to wait for
 * somebody else to open it. */
static sinew_task *task_in_state(gate *g, int state, intptr_t result)
{
    gate_init(g, result);
    if (state != WAITING)
        gate_open(g, 1);
    sinew_task *t = state == ELSEWHERE ? spawn_elsewhere(gate_pass, g, &g->reached) : sinew_spawn(gate_pass, g);
    if (state == WAITING)
        yield_until(&g->reached, 1);
    else if (state == ENDED)
        yield_until_done(t);
    return t;
}

static intptr_t gather_one(sinew_task *t)
{
    intptr_t result = 77;
    int r = sinew_gather(&t, 1, &result);
    CHECK(r == 0 || r == result);
    return result;
}

static intptr_t settle_one(sinew_task *t)
{
    intptr_t result = 77;
    CHECK_EQ(sinew_gather_settled(&t, 1, &result), 0);
    return result;
}

static intptr_t await_with_limit(sinew_task *t)
{
    return sinew_wait_for(t, VERY_LONG);
}

static intptr_t await_without_limit(sinew_task *t)
{
    return sinew_wait_for(t, SINEW_FOREVER);
}

/* Every way to get a task's result. */
static intptr_t (*const awaits[])(sinew_task *) = {sinew_await, sinew_shield,     gather_one,
                                                   settle_one,  await_with_limit, await_without_limit};
enum { AWAITS = sizeof awaits / sizeof awaits[0] };

struct awaiter {
    sinew_task *task;
    intptr_t (*how)(sinew_task *);
    event_log *log;
    int number;
    atomic_int *entered;
};

static intptr_t await_and_log(void *arg)
{
    struct awaiter *a = arg;
    atomic_fetch_add(a->entered, 1);
    intptr_t r = a->how(a->task);
    log_event(a->log, a->number);
    return r;
}

IN_RUNTIME(a003_every_waiter_gets_the_same_value_at_any_time)
{
    enum { WAITERS = 60 };
    for (int state = 0; state < STATES; state++) {
        gate g;
        sinew_task *t = task_in_state(&g, state, 41);
        event_log log = {.n = 0};
        atomic_int entered = 0;
        struct awaiter awaiters[WAITERS];
        sinew_task *tasks[WAITERS];
        for (int i = 0; i < WAITERS; i++) {
            awaiters[i] = (struct awaiter){sinew_ref(t), awaits[i % AWAITS], &log, i, &entered};
            tasks[i] = sinew_spawn(await_and_log, &awaiters[i]);
        }
        if (state == WAITING) {
            yield_until(&entered, WAITERS);
            CHECK_EQ(log.n, 0);
            gate_open(&g, 1);
        }
        for (int i = 0; i < WAITERS; i++)
            CHECK_EQ(sinew_await(tasks[i]), 41);
        for (int i = 0; i < AWAITS; i++)
            CHECK_EQ(awaits[i](sinew_ref(t)), 41);
        CHECK_EQ(sinew_await(t), 41);
        CHECK_EQ(g.reached, 1);
    }
    return 0;
}

/* Waiters of all kinds; some of them leave before the end. */
static void waiters_resume_in_order(sinew_task *(*spawn)(sinew_fn, void *))
{
    enum { WAITERS = 48, LEAVES = 7 };
    gate g;
    gate_init(&g, 5);
    sinew_task *t = spawn(gate_pass, &g);
    yield_until(&g.reached, 1);
    event_log log = {.n = 0};
    atomic_int entered = 0;
    struct awaiter awaiters[WAITERS];
    sinew_task *tasks[WAITERS];
    for (int i = 0; i < WAITERS; i++) {
        bool leaves = i % LEAVES == 3;
        awaiters[i] =
            (struct awaiter){sinew_ref(t), leaves ? sinew_shield : awaits[i % AWAITS], &log, leaves ? -1 : i, &entered};
        tasks[i] = spawn(await_and_log, &awaiters[i]);
        yield_until(&entered, i + 1);
    }
    for (int i = 3; i < WAITERS; i += LEAVES) {
        CHECK(sinew_cancel(tasks[i]));
        yield_until_done(tasks[i]);
    }
    int left = log.n;
    gate_open(&g, 1);
    CHECK_EQ(sinew_gather_settled(tasks, WAITERS, NULL), 0);
    CHECK_EQ(log.n, WAITERS);
    int last = -1;
    for (int i = left; i < WAITERS; i++) {
        CHECK(log.events[i] > last);
        last = log.events[i];
    }
    CHECK_EQ(sinew_await(t), 5);
}

IN_RUNTIME_PINNED(a004_waiters_resume_in_the_order_in_which_they_began_to_wait)
{
    waiters_resume_in_order(spawn_pinned);
    return 0;
}

IN_RUNTIME_WITH(a004_one_worker_resumes_unpinned_waiters_in_order, 1)
{
    waiters_resume_in_order(sinew_spawn);
    return 0;
}

IN_RUNTIME_PINNED(a005_awaiting_an_ended_task_does_not_give_up_the_processor)
{
    intptr_t results[] = {9, -EIO, -ECANCELED};
    for (size_t i = 0; i < sizeof results / sizeof results[0]; i++) {
        sinew_task *t = sinew_spawn(return_arg, (void *)results[i]);
        yield_until_done(t);
        atomic_int others = 0;
        sinew_task *witness = spawn_pinned(count_me, &others);
        for (int how = 0; how < AWAITS; how++) {
            CHECK_EQ(awaits[how](sinew_ref(t)), results[i]);
            CHECK_EQ(others, 0);
        }
        CHECK_EQ(sinew_wait_for(t, 0), results[i]);
        CHECK_EQ(others, 0);
        CHECK_EQ(sinew_await(witness), 1);
    }
    return 0;
}

/* However long it goes on: long enough for everything that gives way by the clock. */
IN_RUNTIME_WITH(a005_awaiting_ended_tasks_for_long_does_not_either, 1)
{
    sinew_task *t = sinew_spawn(return_arg, (void *)9);
    yield_until_done(t);
    atomic_int others = 0;
    sinew_task *witness = sinew_spawn(count_me, &others);
    for (sinew_time end = sinew_now() + SINEW_MS(20); sinew_now() < end && others == 0;)
        CHECK_EQ(sinew_await(sinew_ref(t)), 9);
    CHECK_EQ(others, 0);
    CHECK_EQ(sinew_await(t), 9);
    CHECK_EQ(sinew_await(witness), 1);
    return 0;
}

/* Where the pending cancel of the caller stays pending, as nothing suspends. */
IN_RUNTIME_PINNED(a005_awaiting_an_ended_task_delivers_no_cancel)
{
    sinew_task *t = sinew_spawn(return_arg, (void *)9);
    yield_until_done(t);
    CHECK(sinew_cancel(sinew_self()));
    for (int i = 0; i < 3; i++)
        CHECK_EQ(sinew_await(sinew_ref(t)), 9);
    CHECK_EQ(sinew_await(t), 9);
    CHECK_EQ(sinew_yield(), -ECANCELED);
    CHECK_EQ(sinew_uncancel(), 0);
    return 0;
}

struct called {
    sinew_task *caller;
    int cancelling;
};

static intptr_t check_the_caller(void *arg)
{
    struct called *c = arg;
    CHECK(sinew_self() == c->caller);
    CHECK_EQ(sinew_cancelling(), c->cancelling);
    return 15;
}

static intptr_t cancel_self(void *arg)
{
    (void)arg;
    CHECK(sinew_cancel(sinew_self()));
    return sinew_cancelling();
}

IN_RUNTIME_PINNED(a006_a_plain_call_runs_in_the_caller_and_does_not_yield)
{
    atomic_int others = 0;
    sinew_task *witness = spawn_pinned(count_me, &others);
    struct called c = {sinew_self(), 0};
    for (int i = 0; i < 1000; i++)
        CHECK_EQ(check_the_caller(&c), 15);
    CHECK_EQ(others, 0);
    /* What the call asks of itself it asks of the caller. */
    CHECK_EQ(cancel_self(NULL), 1);
    CHECK_EQ(sinew_cancelling(), 1);
    CHECK_EQ(sinew_yield(), -ECANCELED);
    CHECK_EQ(sinew_uncancel(), 0);
    CHECK_EQ(sinew_await(witness), 1);
    return 0;
}

/* --- A7: errors ------------------------------------------------------------------------------------------------- */

IN_RUNTIME(a007_an_error_ends_its_task_only_and_every_awaiter_gets_it)
{
    for (int state = 0; state < STATES; state++) {
        gate failing, other;
        sinew_task *t = task_in_state(&failing, state, -EBADMSG);
        sinew_task *bystander = task_in_state(&other, WAITING, 3);
        if (state == WAITING)
            gate_open(&failing, 1);
        for (int round = 0; round < 3; round++)
            for (int how = 0; how < AWAITS; how++)
                CHECK_EQ(awaits[how](sinew_ref(t)), -EBADMSG);
        CHECK_EQ(sinew_await(t), -EBADMSG);
        CHECK(!sinew_done(bystander));
        CHECK_EQ(sinew_cancelling(), 0);
        CHECK_EQ(sinew_yield(), 0);
        gate_open(&other, 1);
        CHECK_EQ(sinew_await(bystander), 3);
        CHECK_EQ(other.cancelled, 0);
    }
    return 0;
}

/* --- A14: awaiting oneself -------------------------------------------------------------------------------------- */

static intptr_t await_myself(void *arg)
{
    (void)arg;
    sinew_task *self = sinew_ref(sinew_self());
    CHECK_EQ(sinew_await(self), -EDEADLK); /* the reference stays */
    CHECK_EQ(sinew_shield(self), -EDEADLK);
    CHECK_EQ(sinew_wait_for(self, SINEW_FOREVER), -EDEADLK);
    CHECK_EQ(sinew_wait_for(self, VERY_LONG), -EDEADLK);
    CHECK_EQ(sinew_wait_for(self, 0), -EDEADLK);
    CHECK_EQ(sinew_cancelling(), 0);
    gate g;
    gate_init(&g, 1);
    sinew_task *both[2] = {sinew_spawn(gate_pass, &g), self};
    CHECK_EQ(sinew_gather(both, 2, NULL), -EDEADLK);
    CHECK_EQ(sinew_gather_settled(both, 2, NULL), -EDEADLK);
    gate_open(&g, 1);
    CHECK_EQ(sinew_await(both[0]), 1);
    sinew_detach(self);
    CHECK_EQ(sinew_yield(), 0);
    return 12;
}

IN_RUNTIME(a014_awaiting_oneself_is_an_error_and_no_hang)
{
    CHECK_EQ(await_myself(NULL), 12);
    CHECK_EQ(sinew_await(sinew_spawn(await_myself, NULL)), 12); /* usually in place */
    CHECK_EQ(sinew_await(spawn_pinned(await_myself, NULL)), 12);
    CHECK_EQ(sinew_await(spawn_eager(await_myself, NULL)), 12);
    sinew_task *t = sinew_spawn(await_myself, NULL);
    yield_until_done(t);
    CHECK_EQ(sinew_await(t), 12);
    return 0;
}

/* --- A16: done -------------------------------------------------------------------------------------------------- */

struct stages {
    sinew_task *outer;
    atomic_int stage;
    sinew_sem sem;
};

static intptr_t look_at_myself(void *arg)
{
    struct stages *s = arg;
    CHECK(!sinew_done(sinew_self()));
    CHECK(!sinew_done(s->outer));
    atomic_store(&s->stage, 1);
    CHECK_EQ(sinew_sem_wait(&s->sem), 0);
    CHECK(!sinew_done(sinew_self()));
    CHECK(!sinew_done(s->outer));
    return 4;
}

static intptr_t open_when_there(void *arg)
{
    struct stages *s = arg;
    yield_until(&s->stage, 1);
    sinew_sem_post(&s->sem);
    return 0;
}

IN_RUNTIME_PINNED(a016_done_is_false_until_the_end_and_true_ever_after)
{
    for (int how = 0; how < 3; how++) {
        struct stages s = {.outer = sinew_self()};
        sinew_sem_init(&s.sem, 0);
        /* In place at least with one worker, pinned, and eager. */
        sinew_task *t = how == 0   ? sinew_spawn(look_at_myself, &s)
                        : how == 1 ? spawn_pinned(look_at_myself, &s)
                                   : spawn_eager(look_at_myself, &s);
        CHECK(!sinew_done(t));
        sinew_task *helper = spawn_pinned(open_when_there, &s);
        CHECK(!sinew_done(t));
        CHECK_EQ(sinew_await(sinew_ref(t)), 4);
        for (int i = 0; i < 5; i++) {
            CHECK(sinew_done(t));
            CHECK(!sinew_cancel(t));
            CHECK_EQ(sinew_yield(), 0);
        }
        CHECK_EQ(sinew_await(t), 4);
        CHECK_EQ(sinew_await(helper), 0);
    }
    return 0;
}

static intptr_t say_when_it_ends(void *arg)
{
    for (volatile int spin = 0; spin < 300; spin = spin + 1)
        ;
    atomic_store((atomic_int *)arg, 1);
    return 8;
}

IN_RUNTIME(a016_done_comes_after_the_body_and_once)
{
    int rounds = (int)scaled(3000, 300);
    for (int i = 0; i < rounds; i++) {
        atomic_int ended = 0;
        sinew_task *t = sinew_spawn(say_when_it_ends, &ended);
        bool was_done = false;
        for (int looks = 0; looks < 200 && (!was_done || looks < 5); looks++) {
            bool done = sinew_done(t);
            CHECK(!done || ended);
            CHECK(done || !was_done);
            was_done = done;
            if (looks % 16 == 15)
                sinew_yield();
        }
        CHECK_EQ(sinew_await(t), 8);
    }
    return 0;
}

/* --- A19: names ------------------------------------------------------------------------------------------------- */

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

IN_RUNTIME(a019_a_task_has_the_name_it_was_given_all_its_life)
{
    char name[] = "accept loop";
    gate g;
    gate_init(&g, 0);
    sinew_task *t = spawn_named(name, gate_pass, &g);
    memset(name, 'x', sizeof name - 1);
    CHECK_EQ(strcmp(sinew_name(t), "accept loop"), 0);
    yield_until(&g.reached, 1);
    CHECK_EQ(strcmp(sinew_name(t), "accept loop"), 0);
    gate_open(&g, 1);
    yield_until_done(t);
    CHECK_EQ(strcmp(sinew_name(t), "accept loop"), 0);
    CHECK_EQ(sinew_await(t), 0);
    return 0;
}

static intptr_t give_own_name(void *arg)
{
    const char **name = arg;
    *name = sinew_name(sinew_self());
    CHECK_EQ(sinew_yield(), 0);
    CHECK(sinew_name(sinew_self()) == *name);
    return 0;
}

IN_RUNTIME(a019_names_not_given_are_made_and_unique)
{
    enum { TASKS = 500 };
    static const char *names[TASKS];
    static sinew_task *tasks[TASKS];
    for (int i = 0; i < TASKS; i++) {
        names[i] = NULL;
        tasks[i] = sinew_spawn(give_own_name, &names[i]);
        /* Half of them are asked for their name from outside, before they start or after. */
        if (i % 2)
            CHECK_EQ(strncmp(sinew_name(tasks[i]), "Task-", 5), 0);
        /* Descriptors that are used again. */
        CHECK_EQ(sinew_await(sinew_spawn(return_arg, NULL)), 0);
    }
    for (int i = 0; i < TASKS; i++) {
        CHECK_EQ(sinew_await(sinew_ref(tasks[i])), 0);
        CHECK(names[i] == sinew_name(tasks[i]));
    }
    qsort(names, TASKS, sizeof names[0], compare_names);
    for (int i = 1; i < TASKS; i++)
        CHECK(strcmp(names[i - 1], names[i]) != 0);
    for (int i = 0; i < TASKS; i++)
        sinew_detach(tasks[i]);
    return 0;
}

/* --- A22 to A25 ------------------------------------------------------------------------------------------------- */

/* Where asyncio may collect it. */
IN_RUNTIME(a022_a_task_without_a_handle_runs_to_its_end)
{
    gate gates[3];
    for (int i = 0; i < 3; i++)
        gate_init(&gates[i], 0);
    sinew_detach(sinew_spawn(gate_pass, &gates[0])); /* unstarted */
    sinew_task *t = sinew_spawn(gate_pass, &gates[1]);
    yield_until(&gates[1].reached, 1);
    sinew_detach(t);
    sinew_detach(spawn_pinned(gate_pass, &gates[2]));
    for (int i = 0; i < 100; i++)
        sinew_yield();
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(gates[i].ended, 0);
        gate_open(&gates[i], 1);
        yield_until(&gates[i].ended, 1);
        CHECK_EQ(gates[i].passed, 1);
    }
    return 0;
}

static intptr_t abort_now(void *arg)
{
    (void)arg;
    abort();
}

static intptr_t spawn_one_that_aborts(void *arg)
{
    (void)arg;
    sinew_task *t = sinew_spawn(abort_now, NULL);
    sinew_sleep(VERY_LONG);
    return sinew_await(t);
}

static int run_one_that_aborts(void *arg)
{
    return (int)run_workers(*(unsigned *)arg, spawn_one_that_aborts, NULL);
}

static void a023_a_fatal_error_in_a_task_ends_the_process_at_once(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        unsigned workers = worker_counts[i];
        child_end end;
        assert_true(run_child(run_one_that_aborts, &workers, &end));
        if (end.signal != SIGABRT)
            child_fail("a task called abort", &end);
    }
}

IN_RUNTIME(a024_a_reference_is_the_same_task_and_null_is_an_error)
{
    gate g;
    sinew_task *t = task_in_state(&g, WAITING, 6);
    sinew_task *again = sinew_ref(t);
    CHECK(again == t);
    sinew_task *self = sinew_ref(sinew_self());
    CHECK(self == sinew_self());
    sinew_detach(self);
    gate_open(&g, 1);
    CHECK_EQ(sinew_await(again), 6);
    again = sinew_ref(t);
    CHECK(again == t);
    CHECK_EQ(sinew_await(again), 6);
    CHECK_EQ(sinew_await(t), 6);
    CHECK(sinew_ref(NULL) == NULL);
    CHECK_EQ(sinew_await(NULL), -EINVAL);
    CHECK_EQ(sinew_shield(NULL), -EINVAL);
    CHECK_EQ(sinew_wait_for(NULL, SINEW_S(1)), -EINVAL);
    CHECK(sinew_spawn(NULL, NULL) == NULL);
    return 0;
}

static intptr_t yield_once(void *arg)
{
    int r = sinew_yield();
    return r < 0 ? r : (intptr_t)arg;
}

IN_RUNTIME(a025_twenty_thousand_tasks_that_yield_once_give_their_results)
{
    size_t n = scaled(20000, 4000);
    sinew_task **tasks = calloc(n, sizeof(sinew_task *));
    intptr_t *results = calloc(n, sizeof *results);
    for (int way = 0; way < 2; way++) {
        for (size_t i = 0; i < n; i++)
            tasks[i] = sinew_spawn(yield_once, (void *)(intptr_t)i);
        if (way == 0)
            CHECK_EQ(sinew_gather(tasks, n, results), 0);
        for (size_t i = 0; way == 1 && i < n; i++)
            results[i] = sinew_await(tasks[i]);
        size_t wrong = 0;
        for (size_t i = 0; i < n; i++)
            wrong += results[i] != (intptr_t)i;
        CHECK_EQ(wrong, 0);
    }
    free(results);
    free(tasks);
    return 0;
}

TEST_MAIN(cmocka_unit_test(a001_nothing_of_a_task_runs_before_its_spawner_suspends),
          cmocka_unit_test(a001_one_worker_starts_none_of_very_many_before_the_spawner_suspends),
          cmocka_unit_test(a001_a_task_never_starts_on_its_spawners_stack),
          cmocka_unit_test(a001_a_task_starts_when_its_spawner_has_returned),
          cmocka_unit_test(a002_one_worker_starts_tasks_in_the_order_of_their_creation),
          cmocka_unit_test(a002_pinned_tasks_start_in_the_order_of_their_creation),
          cmocka_unit_test(a002_one_worker_keeps_the_order_when_the_spawner_has_ended),
          cmocka_unit_test(a002_one_worker_starts_an_awaited_task_at_once_and_the_others_in_order),
          cmocka_unit_test(a003_every_waiter_gets_the_same_value_at_any_time),
          cmocka_unit_test(a004_waiters_resume_in_the_order_in_which_they_began_to_wait),
          cmocka_unit_test(a004_one_worker_resumes_unpinned_waiters_in_order),
          cmocka_unit_test(a005_awaiting_an_ended_task_does_not_give_up_the_processor),
          cmocka_unit_test(a005_awaiting_ended_tasks_for_long_does_not_either),
          cmocka_unit_test(a005_awaiting_an_ended_task_delivers_no_cancel),
          cmocka_unit_test(a006_a_plain_call_runs_in_the_caller_and_does_not_yield),
          cmocka_unit_test(a007_an_error_ends_its_task_only_and_every_awaiter_gets_it),
          cmocka_unit_test(a014_awaiting_oneself_is_an_error_and_no_hang),
          cmocka_unit_test(a016_done_is_false_until_the_end_and_true_ever_after),
          cmocka_unit_test(a016_done_comes_after_the_body_and_once),
          cmocka_unit_test(a019_a_task_has_the_name_it_was_given_all_its_life),
          cmocka_unit_test(a019_names_not_given_are_made_and_unique),
          cmocka_unit_test(a022_a_task_without_a_handle_runs_to_its_end),
          cmocka_unit_test(a023_a_fatal_error_in_a_task_ends_the_process_at_once),
          cmocka_unit_test(a024_a_reference_is_the_same_task_and_null_is_an_error),
          cmocka_unit_test(a025_twenty_thousand_tasks_that_yield_once_give_their_results))
