/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a condition wakes whom it is told to, in order, and they return one by one with the mutex; a cancelled waiter
 * comes back with the mutex too, and takes no notification with it.
 * Method: pinned groups in which the mutex is held over every moment of interest: before the notification, after it,
 * and while the woken wait for the mutex; producers and consumers in number.
 * Cannot see: the order of waiters that come from different workers at once.
 */
#include <errno.h>

#include <tests/support/run.h>
#include <tests/support/tasks.h>

struct monitor {
    sinew_mutex mutex;
    sinew_cond cond;
    event_log log;
    int ready; /* guarded by the mutex */
};

static void monitor_init(struct monitor *m)
{
    *m = (struct monitor){.ready = 0};
    sinew_mutex_init(&m->mutex);
    CHECK_EQ(sinew_cond_init(&m->cond, &m->mutex), 0);
}

struct waiter {
    struct monitor *monitor;
    int number;
};

static intptr_t wait_once(void *arg)
{
    struct waiter *w = arg;
    struct monitor *m = w->monitor;
    CHECK_EQ(sinew_mutex_lock(&m->mutex), 0);
    int r = sinew_cond_wait(&m->cond, &m->mutex);
    log_event(&m->log, r == 0 ? w->number : -w->number);
    CHECK_EQ(sinew_mutex_trylock(&m->mutex), -EBUSY);
    CHECK_EQ(sinew_mutex_unlock(&m->mutex), 0);
    return r;
}

static void yield_some(void)
{
    for (int i = 0; i < 4; i++)
        CHECK_EQ(sinew_yield(), 0);
}

/* N tasks that wait, numbered from 1. */
static void spawn_waiters(struct monitor *m, struct waiter *waiters, sinew_task **tasks, int n)
{
    for (int i = 0; i < n; i++) {
        waiters[i] = (struct waiter){m, i + 1};
        tasks[i] = spawn_pinned(wait_once, &waiters[i]);
    }
    yield_some();
}

IN_RUNTIME_PINNED(notify_wakes_the_longest_waiters_who_return_after_the_unlock_in_order)
{
    enum { WAITERS = 6 };
    struct monitor m;
    struct waiter waiters[WAITERS];
    sinew_task *tasks[WAITERS];
    monitor_init(&m);
    spawn_waiters(&m, waiters, tasks, WAITERS);
    CHECK(!sinew_mutex_locked(&m.mutex));
    CHECK_EQ(sinew_mutex_lock(&m.mutex), 0);
    CHECK_EQ(sinew_cond_notify(&m.cond, 2), 0);
    yield_some();
    CHECK_EQ(m.log.n, 0);
    CHECK_EQ(sinew_mutex_unlock(&m.mutex), 0);
    yield_some();
    CHECK_EQ(m.log.n, 2);
    CHECK_EQ(sinew_mutex_lock(&m.mutex), 0);
    CHECK_EQ(sinew_cond_notify(&m.cond, 0), 0);
    CHECK_EQ(sinew_mutex_unlock(&m.mutex), 0);
    yield_some();
    CHECK_EQ(m.log.n, 2);
    CHECK_EQ(sinew_mutex_lock(&m.mutex), 0);
    CHECK_EQ(sinew_cond_notify_all(&m.cond), 0);
    CHECK_EQ(sinew_mutex_unlock(&m.mutex), 0);
    CHECK_EQ(sinew_gather(tasks, WAITERS, NULL), 0);
    for (int i = 0; i < WAITERS; i++)
        CHECK_EQ(m.log.events[i], i + 1);
    return 0;
}

IN_RUNTIME_PINNED(notifications_are_not_kept_for_who_comes_later)
{
    struct monitor m;
    struct waiter waiter;
    sinew_task *task;
    monitor_init(&m);
    CHECK_EQ(sinew_mutex_lock(&m.mutex), 0);
    CHECK_EQ(sinew_cond_notify_all(&m.cond), 0);
    CHECK_EQ(sinew_mutex_unlock(&m.mutex), 0);
    spawn_waiters(&m, &waiter, &task, 1);
    CHECK(!sinew_done(task));
    CHECK_EQ(sinew_mutex_lock(&m.mutex), 0);
    CHECK_EQ(sinew_cond_notify(&m.cond, 1), 0);
    CHECK_EQ(sinew_mutex_unlock(&m.mutex), 0);
    return sinew_await(task);
}

IN_RUNTIME_PINNED(a_long_row_of_waiters_is_notified_whole)
{
    enum { WAITERS = 200 };
    struct monitor m;
    struct waiter waiters[WAITERS];
    sinew_task *tasks[WAITERS];
    monitor_init(&m);
    spawn_waiters(&m, waiters, tasks, WAITERS);
    CHECK_EQ(sinew_mutex_lock(&m.mutex), 0);
    CHECK_EQ(sinew_cond_notify(&m.cond, WAITERS - 1), 0);
    CHECK_EQ(sinew_mutex_unlock(&m.mutex), 0);
    CHECK_EQ(sinew_gather(tasks, WAITERS - 1, NULL), 0);
    CHECK(!sinew_done(tasks[WAITERS - 1]));
    CHECK_EQ(sinew_mutex_lock(&m.mutex), 0);
    CHECK_EQ(sinew_cond_notify_all(&m.cond), 0);
    CHECK_EQ(sinew_mutex_unlock(&m.mutex), 0);
    CHECK_EQ(sinew_await(tasks[WAITERS - 1]), 0);
    for (int i = 0; i < WAITERS; i++)
        CHECK_EQ(m.log.events[i], i + 1);
    return 0;
}

IN_RUNTIME_PINNED(a_cancelled_waiter_returns_only_with_the_mutex_however_often_it_is_cancelled)
{
    struct monitor m;
    struct waiter waiter;
    sinew_task *task;
    monitor_init(&m);
    spawn_waiters(&m, &waiter, &task, 1);
    CHECK_EQ(sinew_mutex_lock(&m.mutex), 0);
    for (int i = 0; i < 3; i++) {
        CHECK(sinew_cancel(task));
        yield_some();
        CHECK_EQ(m.log.n, 0);
    }
    CHECK_EQ(sinew_mutex_unlock(&m.mutex), 0);
    CHECK_EQ(sinew_await(task), -ECANCELED);
    CHECK_EQ(m.log.events[0], -1);
    CHECK(!sinew_mutex_locked(&m.mutex));
    return 0;
}

IN_RUNTIME_PINNED(one_cancelled_while_the_mutex_is_free_takes_it)
{
    struct monitor m;
    struct waiter waiter;
    sinew_task *task;
    monitor_init(&m);
    spawn_waiters(&m, &waiter, &task, 1);
    CHECK(sinew_cancel(task));
    CHECK_EQ(sinew_await(task), -ECANCELED);
    CHECK(!sinew_mutex_locked(&m.mutex));
    return 0;
}

IN_RUNTIME_PINNED(a_notified_waiter_that_is_cancelled_notifies_the_next)
{
    /* Cancelled while the notifier still holds the mutex, and after the mutex was handed over to it. */
    for (int after_unlock = 0; after_unlock < 2; after_unlock++) {
        struct monitor m;
        struct waiter waiters[3];
        sinew_task *tasks[3];
        monitor_init(&m);
        spawn_waiters(&m, waiters, tasks, 3);
        CHECK_EQ(sinew_mutex_lock(&m.mutex), 0);
        CHECK_EQ(sinew_cond_notify(&m.cond, 1), 0);
        if (after_unlock)
            CHECK_EQ(sinew_mutex_unlock(&m.mutex), 0);
        CHECK(sinew_cancel(tasks[0]));
        if (!after_unlock) {
            yield_some();
            CHECK_EQ(m.log.n, 0);
            CHECK_EQ(sinew_mutex_unlock(&m.mutex), 0);
        }
        CHECK_EQ(sinew_await(tasks[0]), -ECANCELED);
        CHECK_EQ(sinew_await(tasks[1]), 0);
        yield_some();
        CHECK(!sinew_done(tasks[2]));
        CHECK_EQ(sinew_mutex_lock(&m.mutex), 0);
        CHECK_EQ(sinew_cond_notify_all(&m.cond), 0);
        CHECK_EQ(sinew_mutex_unlock(&m.mutex), 0);
        CHECK_EQ(sinew_await(tasks[2]), 0);
    }
    return 0;
}

IN_RUNTIME_PINNED(one_cancelled_before_the_notification_does_not_take_it)
{
    struct monitor m;
    struct waiter waiters[2];
    sinew_task *tasks[2];
    monitor_init(&m);
    spawn_waiters(&m, waiters, tasks, 2);
    CHECK_EQ(sinew_mutex_lock(&m.mutex), 0);
    CHECK(sinew_cancel(tasks[0]));
    yield_some(); /* it waits for the mutex now */
    CHECK_EQ(sinew_cond_notify(&m.cond, 1), 0);
    CHECK_EQ(sinew_mutex_unlock(&m.mutex), 0);
    CHECK_EQ(sinew_await(tasks[0]), -ECANCELED);
    return sinew_await(tasks[1]);
}

IN_RUNTIME(a_wait_can_time_out_with_the_mutex_held)
{
    struct monitor m;
    sinew_timeout t;
    monitor_init(&m);
    CHECK_EQ(sinew_mutex_lock(&m.mutex), 0);
    sinew_timeout_begin(&t, SINEW_MS(1));
    CHECK_EQ(sinew_cond_wait(&m.cond, &m.mutex), -ETIMEDOUT);
    CHECK_EQ(sinew_timeout_end(&t), -ETIMEDOUT);
    CHECK(sinew_mutex_locked(&m.mutex));
    CHECK_EQ(sinew_mutex_unlock(&m.mutex), 0);
    return 0;
}

static bool is_ready(void *arg)
{
    struct monitor *m = arg;
    CHECK_EQ(sinew_mutex_trylock(&m->mutex), -EBUSY);
    return m->ready >= 3;
}

static intptr_t wait_until_ready(void *arg)
{
    struct monitor *m = arg;
    CHECK_EQ(sinew_mutex_lock(&m->mutex), 0);
    int r = sinew_cond_wait_for(&m->cond, &m->mutex, is_ready, m);
    CHECK(r < 0 || m->ready >= 3);
    CHECK_EQ(sinew_mutex_unlock(&m->mutex), 0);
    return r;
}

IN_RUNTIME(wait_for_looks_again_after_each_notification)
{
    struct monitor m;
    monitor_init(&m);
    sinew_task *t = sinew_spawn(wait_until_ready, &m);
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < 5; k++)
            sinew_yield();
        CHECK(!sinew_done(t));
        CHECK_EQ(sinew_mutex_lock(&m.mutex), 0);
        m.ready++;
        CHECK_EQ(sinew_cond_notify_all(&m.cond), 0);
        CHECK_EQ(sinew_mutex_unlock(&m.mutex), 0);
    }
    CHECK_EQ(sinew_await(t), 0);
    CHECK_EQ(sinew_await(sinew_spawn(wait_until_ready, &m)), 0);
    m.ready = 0;
    t = sinew_spawn(wait_until_ready, &m);
    for (int k = 0; k < 5; k++)
        sinew_yield();
    CHECK(sinew_cancel(t));
    CHECK_EQ(sinew_await(t), -ECANCELED);
    return 0;
}

/* A buffer of few places; whoever changes it notifies one of the other side. */
struct buffer {
    sinew_mutex mutex;
    sinew_cond filled, emptied;
    int count;
    long taken, each;
};

enum { PLACES = 3 };

static intptr_t produce(void *arg)
{
    struct buffer *b = arg;
    for (long i = 0; i < b->each; i++) {
        CHECK_EQ(sinew_mutex_lock(&b->mutex), 0);
        while (b->count == PLACES)
            CHECK_EQ(sinew_cond_wait(&b->emptied, &b->mutex), 0);
        b->count++;
        CHECK_EQ(sinew_cond_notify(&b->filled, 1), 0);
        CHECK_EQ(sinew_mutex_unlock(&b->mutex), 0);
    }
    return 0;
}

static intptr_t consume(void *arg)
{
    struct buffer *b = arg;
    for (long i = 0; i < b->each; i++) {
        CHECK_EQ(sinew_mutex_lock(&b->mutex), 0);
        while (b->count == 0)
            CHECK_EQ(sinew_cond_wait(&b->filled, &b->mutex), 0);
        b->count--;
        b->taken++;
        CHECK_EQ(sinew_cond_notify(&b->emptied, 1), 0);
        CHECK_EQ(sinew_mutex_unlock(&b->mutex), 0);
    }
    return 0;
}

IN_RUNTIME(two_conditions_of_one_mutex_make_a_bounded_buffer)
{
    struct buffer b = {.each = (long)scaled(1000, 100)};
    sinew_task *tasks[10];
    sinew_mutex_init(&b.mutex);
    CHECK_EQ(sinew_cond_init(&b.filled, &b.mutex), 0);
    CHECK_EQ(sinew_cond_init(&b.emptied, &b.mutex), 0);
    for (int i = 0; i < 10; i++)
        tasks[i] = sinew_spawn(i % 2 ? produce : consume, &b);
    CHECK_EQ(sinew_gather(tasks, 10, NULL), 0);
    CHECK_EQ(b.taken, 5 * b.each);
    return 0;
}

IN_RUNTIME(misuse_is_told_and_changes_nothing)
{
    struct monitor m;
    sinew_mutex other;
    sinew_cond c;
    monitor_init(&m);
    sinew_mutex_init(&other);
    CHECK_EQ(sinew_cond_init(NULL, &other), -EINVAL);
    CHECK_EQ(sinew_cond_init(&c, NULL), -EINVAL);
    CHECK_EQ(sinew_cond_wait(&c, NULL), -EINVAL);
    CHECK_EQ(sinew_cond_notify(&c, 1), -EINVAL);
    CHECK_EQ(sinew_cond_wait(NULL, &m.mutex), -EINVAL);
    CHECK_EQ(sinew_cond_wait(&m.cond, NULL), -EINVAL);
    CHECK_EQ(sinew_cond_wait_for(NULL, &m.mutex, is_ready, &m), -EINVAL);
    CHECK_EQ(sinew_cond_notify(NULL, 1), -EINVAL);
    CHECK_EQ(sinew_cond_notify_all(NULL), -EINVAL);
    CHECK_EQ(sinew_cond_wait(&m.cond, &m.mutex), -EPERM);
    CHECK_EQ(sinew_cond_wait_for(&m.cond, &m.mutex, is_ready, &m), -EPERM);
    CHECK_EQ(sinew_cond_notify(&m.cond, 1), -EPERM);
    CHECK_EQ(sinew_cond_notify_all(&m.cond), -EPERM);
    CHECK(!sinew_mutex_locked(&m.mutex));
    CHECK_EQ(sinew_mutex_lock(&other), 0);
    CHECK_EQ(sinew_cond_wait(&m.cond, &other), -EINVAL);
    CHECK(sinew_mutex_locked(&other));
    CHECK_EQ(sinew_mutex_lock(&m.mutex), 0);
    CHECK_EQ(sinew_cond_wait_for(&m.cond, &m.mutex, NULL, NULL), -EINVAL);
    CHECK(sinew_mutex_locked(&m.mutex));
    return 0;
}

static void waiting_is_for_tasks(void **state)
{
    (void)state;
    struct monitor m;
    monitor_init(&m);
    assert_int_equal(sinew_mutex_trylock(&m.mutex), 0);
    assert_int_equal(sinew_cond_wait(&m.cond, &m.mutex), -EPERM);
    assert_int_equal(sinew_cond_wait_for(&m.cond, &m.mutex, is_ready, &m), -EPERM);
    assert_int_equal(sinew_cond_notify_all(&m.cond), 0);
    assert_int_equal(sinew_mutex_unlock(&m.mutex), 0);
}

TEST_MAIN(cmocka_unit_test(notify_wakes_the_longest_waiters_who_return_after_the_unlock_in_order),
          cmocka_unit_test(notifications_are_not_kept_for_who_comes_later),
          cmocka_unit_test(a_long_row_of_waiters_is_notified_whole),
          cmocka_unit_test(a_cancelled_waiter_returns_only_with_the_mutex_however_often_it_is_cancelled),
          cmocka_unit_test(one_cancelled_while_the_mutex_is_free_takes_it),
          cmocka_unit_test(a_notified_waiter_that_is_cancelled_notifies_the_next),
          cmocka_unit_test(one_cancelled_before_the_notification_does_not_take_it),
          cmocka_unit_test(a_wait_can_time_out_with_the_mutex_held),
          cmocka_unit_test(wait_for_looks_again_after_each_notification),
          cmocka_unit_test(two_conditions_of_one_mutex_make_a_bounded_buffer),
          cmocka_unit_test(misuse_is_told_and_changes_nothing), cmocka_unit_test(waiting_is_for_tasks))
