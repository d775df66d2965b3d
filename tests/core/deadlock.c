/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: when every task waits for another one and nothing from outside can wake them, the run says so, lists them and
 * ends with -EDEADLK; and it never says so while a timer, an operation, a running task or a thread outside of the
 * runtime can still wake someone.
 * Method: forked children with captured stderr for true deadlocks; in-process runs that come close to one.
 * Cannot see: a deadlock among some tasks while others still run, which is not promised.
 */
#include <errno.h>
#include <sched.h>
#include <unistd.h>

#include <tests/support/child.h>
#include <tests/support/run.h>
#include <tests/support/tasks.h>

static sinew_sem never;

static intptr_t wait_for_nobody(void *arg)
{
    (void)arg;
    return sinew_sem_wait(&never);
}

static intptr_t one_waiter(void *arg)
{
    (void)arg;
    sinew_sem_init(&never, 0);
    int r = (int)sinew_await(spawn_named("lonely-waiter", wait_for_nobody, NULL));
    CHECK(r < 0);
    return r;
}

static atomic_int main_is_about_to_wait;

static intptr_t main_waits(void *arg)
{
    (void)arg;
    sinew_sem_init(&never, 0);
    sinew_detach(spawn_named("lonely-waiter", wait_for_nobody, NULL));
    atomic_store(&main_is_about_to_wait, 1);
    int r = sinew_sem_wait(&never);
    CHECK(r < 0);
    return r;
}

static intptr_t lock_twice(void *arg)
{
    (void)arg;
    static sinew_mutex m;
    sinew_mutex_init(&m);
    sinew_detach(spawn_named("lonely-waiter", wait_for_nobody, NULL));
    CHECK_EQ(sinew_mutex_lock(&m), 0);
    int r = sinew_mutex_lock(&m);
    CHECK(r < 0);
    return r;
}

static intptr_t wait_at_channels(void *arg)
{
    sinew_channel *empty = sinew_channel_new(0, 1), *meeting = sinew_channel_new(0, 0);
    sinew_case cases[] = {{.kind = SINEW_CASE_RECV, .channel = empty},
                          {.kind = SINEW_CASE_SEND, .channel = meeting},
                          {.kind = SINEW_CASE_TASK, .task = sinew_self()},
                          {.kind = SINEW_CASE_AFTER, .duration = SINEW_FOREVER}};
    int r = arg ? sinew_select(cases, 4) : sinew_channel_recv(empty, NULL);
    CHECK(r < 0);
    sinew_channel_unref(empty);
    sinew_channel_unref(meeting);
    return r;
}

static intptr_t nobody_sends(void *arg)
{
    (void)arg;
    sinew_detach(spawn_named("lonely-waiter", wait_at_channels, NULL));
    return wait_at_channels("");
}

static sinew_task *circle[2];
static atomic_int circle_ready, circle_closing;

static intptr_t await_the_other(void *arg)
{
    yield_until(&circle_ready, 1);
    atomic_fetch_add(&circle_closing, 1);
    return sinew_await(circle[arg != NULL]);
}

static intptr_t await_in_a_circle(void *arg)
{
    (void)arg;
    atomic_store(&circle_ready, 0);
    sinew_task *a = spawn_named("lonely-waiter", await_the_other, "");
    sinew_task *b = spawn_named("other-waiter", await_the_other, NULL);
    circle[0] = sinew_ref(a);
    circle[1] = sinew_ref(b);
    atomic_store(&circle_ready, 1);
    sinew_task *both[2] = {a, b};
    return sinew_gather_settled(both, 2, NULL);
}

struct deadlock {
    unsigned workers;
    sinew_fn fn;
};

static int deadlocked_run(void *arg)
{
    struct deadlock *d = arg;
    CHECK_EQ(run_workers(d->workers, d->fn, NULL), -EDEADLK);
    return 0;
}

static void expect_deadlock(sinew_fn fn)
{
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        struct deadlock d = {worker_counts[i], fn};
        child_end end;
        assert_true(run_child_with(deadlocked_run, &d, (unsigned)scaled(20, 100), NULL, NULL, &end));
        if (end.code != 0 || !strstr(end.err, "lonely-waiter"))
            child_fail(__func__, &end);
    }
}

static void a_task_that_waits_for_nobody_is_listed(void **state)
{
    (void)state;
    expect_deadlock(one_waiter);
}

static void a_main_that_waits_for_nobody_gets_the_error(void **state)
{
    (void)state;
    expect_deadlock(main_waits);
}

static void a_mutex_locked_twice_is_a_deadlock(void **state)
{
    (void)state;
    expect_deadlock(lock_twice);
}

static void channels_that_nobody_serves_are_a_deadlock(void **state)
{
    (void)state;
    expect_deadlock(nobody_sends);
}

static void tasks_that_await_each_other_are_a_deadlock(void **state)
{
    (void)state;
    expect_deadlock(await_in_a_circle);
}

/* Threads end without a trace; the runtime must see by itself that nobody is left. A slow machine may look at the
 * standstill only after the pause; then this is the test after the next. */
static void pause_while_main_waits(void)
{
    while (!atomic_load(&main_is_about_to_wait))
        sched_yield();
    usleep(50000);
}

static void *end_after_a_while(void *arg)
{
    pause_while_main_waits();
    return arg;
}

static intptr_t wait_beside_a_thread_that_ends(void *arg)
{
    pthread_t thread;
    if (!CHECK_EQ(pthread_create(&thread, NULL, end_after_a_while, NULL), 0))
        return 1;
    intptr_t r = main_waits(arg);
    pthread_join(thread, NULL);
    return r;
}

static void a_thread_that_ends_without_waking_anybody_leaves_a_deadlock(void **state)
{
    (void)state;
    expect_deadlock(wait_beside_a_thread_that_ends);
}

static void *end_at_once(void *arg)
{
    return arg;
}

static intptr_t wait_after_a_thread(void *arg)
{
    pthread_t thread;
    if (!CHECK_EQ(pthread_create(&thread, NULL, end_at_once, NULL), 0))
        return 1;
    pthread_join(thread, NULL);
    return main_waits(arg);
}

static void a_thread_that_was_joined_does_not_hide_a_deadlock(void **state)
{
    (void)state;
    expect_deadlock(wait_after_a_thread);
}

/* Long enough for several looks at the standstill. */
static void *post_after_a_while(void *arg)
{
    usleep(150000);
    sinew_sem_post(arg);
    return NULL;
}

IN_RUNTIME(a_plain_thread_can_wake_a_task_that_waits_for_it)
{
    sinew_sem s;
    sinew_sem_init(&s, 0);
    pthread_t thread;
    if (!CHECK_EQ(pthread_create(&thread, NULL, post_after_a_while, &s), 0))
        return 1;
    CHECK_EQ(sinew_sem_wait(&s), 0);
    pthread_join(thread, NULL);
    return 0;
}

static atomic_int posts_begun;

static intptr_t post_blocking(void *arg)
{
    atomic_fetch_add(&posts_begun, 1);
    usleep(100000);
    sinew_sem_post(arg);
    return 0;
}

static intptr_t call_post_blocking(void *arg)
{
    return sinew_blocking(post_blocking, arg);
}

IN_RUNTIME(a_blocking_call_can_wake_a_task_also_when_its_caller_has_left)
{
    static sinew_sem s; /* outlives the call */
    sinew_sem_init(&s, 0);
    sinew_task *t = sinew_spawn(call_post_blocking, &s);
    CHECK_EQ(sinew_sem_wait(&s), 0);
    CHECK_EQ(sinew_await(t), 0);
    atomic_store(&posts_begun, 0);
    t = sinew_spawn(call_post_blocking, &s);
    yield_until(&posts_begun, 1);
    CHECK(sinew_cancel(t));
    CHECK_EQ(sinew_await(t), -ECANCELED);
    CHECK_EQ(sinew_sem_wait(&s), 0);
    return 0;
}

static intptr_t block_a_while(void *arg)
{
    (void)arg;
    pause_while_main_waits();
    return 0;
}

static intptr_t wait_beside_a_blocking_call(void *arg)
{
    sinew_timeout limit;
    sinew_timeout_begin(&limit, SINEW_MS(5));
    CHECK_EQ(sinew_blocking(block_a_while, NULL), -ETIMEDOUT);
    CHECK_EQ(sinew_timeout_end(&limit), -ETIMEDOUT);
    return main_waits(arg); /* the call ends, and its thread stays in the pool */
}

static void a_blocking_call_that_ends_without_waking_anybody_leaves_a_deadlock(void **state)
{
    (void)state;
    expect_deadlock(wait_beside_a_blocking_call);
}

static intptr_t post_after_a_sleep(void *arg)
{
    int r = sinew_sleep(SINEW_MS(30));
    sinew_sem_post(arg);
    return r;
}

IN_RUNTIME(a_sleeper_can_wake_the_others)
{
    sinew_sem s;
    sinew_sem_init(&s, 0);
    sinew_task *t = sinew_spawn(post_after_a_sleep, &s);
    CHECK_EQ(sinew_sem_wait(&s), 0);
    CHECK_EQ(sinew_await(t), 0);
    return 0;
}

IN_RUNTIME(a_timeout_can_wake_its_task)
{
    sinew_sem s;
    sinew_sem_init(&s, 0);
    sinew_timeout t;
    sinew_timeout_begin(&t, SINEW_MS(20));
    CHECK_EQ(sinew_sem_wait(&s), -ETIMEDOUT);
    CHECK_EQ(sinew_timeout_end(&t), -ETIMEDOUT);
    gate g;
    gate_init(&g, 0);
    sinew_task *waiter = sinew_spawn(gate_pass, &g);
    CHECK_EQ(sinew_wait_for(waiter, SINEW_MS(20)), -ETIMEDOUT);
    return 0;
}

struct reader {
    int fd;
    sinew_sem *then;
};

static intptr_t read_then_post(void *arg)
{
    struct reader *r = arg;
    char c;
    ssize_t n = sinew_read(r->fd, &c, 1);
    sinew_sem_post(r->then);
    return n;
}

static void *write_later(void *arg)
{
    usleep(30000);
    ssize_t n = write(*(int *)arg, "x", 1);
    return n == 1 ? arg : NULL;
}

IN_RUNTIME(io_can_wake_its_task)
{
    int p[2];
    if (!CHECK_EQ(pipe(p), 0))
        return 1;
    sinew_sem s;
    sinew_sem_init(&s, 0);
    struct reader r = {p[0], &s};
    pthread_t thread;
    sinew_task *t = sinew_spawn(read_then_post, &r);
    pthread_create(&thread, NULL, write_later, &p[1]);
    CHECK_EQ(sinew_sem_wait(&s), 0);
    CHECK_EQ(sinew_await(t), 1);
    pthread_join(thread, NULL);
    close(p[0]);
    close(p[1]);
    return 0;
}

static intptr_t compute_then_post(void *arg)
{
    for (sinew_time end = sinew_now() + SINEW_MS(30); sinew_now() < end;)
        ;
    sinew_sem_post(arg);
    return 0;
}

IN_RUNTIME(a_computing_task_can_wake_the_others)
{
    sinew_sem s;
    sinew_sem_init(&s, 0);
    sinew_task *t = sinew_spawn(compute_then_post, &s);
    CHECK_EQ(sinew_sem_wait(&s), 0);
    CHECK_EQ(sinew_await(t), 0);
    return 0;
}

/* Many waits that end at the last moment: the worker that looks for a deadlock must not mistake them for one. */
static intptr_t hand_on(void *arg)
{
    sinew_sem *ring = arg;
    int r = sinew_sem_wait(&ring[0]);
    sinew_sem_post(&ring[1]);
    return r;
}

IN_RUNTIME(tasks_that_wake_each_other_in_turn_are_no_deadlock)
{
    enum { RING = 50 };
    int rounds = (int)scaled(200, 20);
    sinew_sem ring[RING + 1];
    sinew_task *tasks[RING];
    for (int round = 0; round < rounds; round++) {
        for (int i = 0; i <= RING; i++)
            sinew_sem_init(&ring[i], 0);
        for (int i = 0; i < RING; i++)
            tasks[i] = sinew_spawn(hand_on, &ring[i]);
        sinew_sem_post(&ring[0]);
        CHECK_EQ(sinew_sem_wait(&ring[RING]), 0);
        CHECK_EQ(sinew_gather(tasks, RING, NULL), 0);
    }
    return 0;
}

/* While main can still act there is no deadlock to report, and the cancel has nobody to end at. */
IN_RUNTIME(a_cancel_of_tasks_that_await_each_other_ends_them)
{
    atomic_store(&circle_ready, 0);
    atomic_store(&circle_closing, 0);
    sinew_task *a = sinew_spawn(await_the_other, NULL);
    sinew_task *b = sinew_spawn(await_the_other, circle);
    circle[0] = sinew_ref(b);
    circle[1] = sinew_ref(a);
    atomic_store(&circle_ready, 1);
    yield_until(&circle_closing, 2); /* from here on no yield of theirs takes the request */
    CHECK(sinew_cancel(a));
    CHECK(sinew_await(a) < 0);
    CHECK(sinew_await(b) < 0);
    return 0;
}

TEST_MAIN(cmocka_unit_test(a_cancel_of_tasks_that_await_each_other_ends_them),
          cmocka_unit_test(a_task_that_waits_for_nobody_is_listed),
          cmocka_unit_test(a_main_that_waits_for_nobody_gets_the_error),
          cmocka_unit_test(a_mutex_locked_twice_is_a_deadlock),
          cmocka_unit_test(channels_that_nobody_serves_are_a_deadlock),
          cmocka_unit_test(tasks_that_await_each_other_are_a_deadlock),
          cmocka_unit_test(a_thread_that_ends_without_waking_anybody_leaves_a_deadlock),
          cmocka_unit_test(a_thread_that_was_joined_does_not_hide_a_deadlock),
          cmocka_unit_test(a_plain_thread_can_wake_a_task_that_waits_for_it),
          cmocka_unit_test(a_blocking_call_can_wake_a_task_also_when_its_caller_has_left),
          cmocka_unit_test(a_blocking_call_that_ends_without_waking_anybody_leaves_a_deadlock),
          cmocka_unit_test(a_sleeper_can_wake_the_others), cmocka_unit_test(a_timeout_can_wake_its_task),
          cmocka_unit_test(io_can_wake_its_task), cmocka_unit_test(a_computing_task_can_wake_the_others),
          cmocka_unit_test(tasks_that_wake_each_other_in_turn_are_no_deadlock))
