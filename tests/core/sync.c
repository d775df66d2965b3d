/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: semaphores and mutexes count exactly, serve first come first served, and lose no permit to a cancel.
 * Method: pinned groups for the order; contended counters and cancelled waiters in great number for the counts.
 * Cannot see: order between waiters that arrive from different workers at once.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include <tests/support/run.h>
#include <tests/support/tasks.h>

IN_RUNTIME(permits_are_counted)
{
    sinew_sem s;
    sinew_sem_init(&s, 2);
    CHECK_EQ(sinew_sem_wait(&s), 0);
    CHECK_EQ(sinew_sem_trywait(&s), 0);
    CHECK_EQ(sinew_sem_trywait(&s), -EAGAIN);
    sinew_sem_post(&s);
    sinew_sem_post(&s);
    sinew_sem_post(&s);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(sinew_sem_wait(&s), 0);
    CHECK_EQ(sinew_sem_trywait(&s), -EAGAIN);
    return 0;
}

IN_RUNTIME_PINNED(taking_a_free_permit_does_not_suspend)
{
    sinew_sem s;
    sinew_sem_init(&s, 1);
    gate g;
    gate_init(&g, 0);
    sinew_task *t = spawn_pinned(gate_pass, &g);
    CHECK_EQ(sinew_sem_wait(&s), 0);
    CHECK_EQ(g.reached, 0);
    gate_open(&g, 1);
    CHECK_EQ(sinew_await(t), 0);
    return 0;
}

struct taker {
    sinew_sem *sem;
    event_log *log;
    int number;
};

static intptr_t take_and_log(void *arg)
{
    struct taker *t = arg;
    int r = sinew_sem_wait(t->sem);
    if (r == 0)
        log_event(t->log, t->number);
    return r;
}

IN_RUNTIME_PINNED(waiters_are_served_first_come_first_served)
{
    enum { TAKERS = 20 };
    sinew_sem s;
    event_log log = {.n = 0};
    struct taker takers[TAKERS];
    sinew_task *tasks[TAKERS];
    sinew_sem_init(&s, 0);
    for (int i = 0; i < TAKERS; i++) {
        takers[i] = (struct taker){&s, &log, i};
        tasks[i] = spawn_pinned(take_and_log, &takers[i]);
    }
    CHECK_EQ(sinew_yield(), 0);
    for (int i = 0; i < TAKERS; i++)
        sinew_sem_post(&s);
    CHECK_EQ(sinew_gather(tasks, TAKERS, NULL), 0);
    for (int i = 0; i < TAKERS; i++)
        CHECK_EQ(log.events[i], i);
    return 0;
}

IN_RUNTIME_PINNED(a_newcomer_does_not_overtake_a_waiter)
{
    sinew_sem s;
    event_log log = {.n = 0};
    struct taker first = {&s, &log, 1};
    sinew_sem_init(&s, 0);
    sinew_task *t = spawn_pinned(take_and_log, &first);
    CHECK_EQ(sinew_yield(), 0);
    /* The permit belongs to the waiter, also before it has run. */
    sinew_sem_post(&s);
    CHECK_EQ(sinew_sem_trywait(&s), -EAGAIN);
    CHECK_EQ(sinew_await(t), 0);
    CHECK_EQ(log.n, 1);
    return 0;
}

IN_RUNTIME_PINNED(a_permit_on_its_way_to_a_cancelled_waiter_goes_to_the_next)
{
    sinew_sem s;
    event_log log = {.n = 0};
    struct taker takers[2] = {{&s, &log, 1}, {&s, &log, 2}};
    sinew_task *tasks[2];
    sinew_sem_init(&s, 0);
    for (int i = 0; i < 2; i++) {
        tasks[i] = spawn_pinned(take_and_log, &takers[i]);
        CHECK_EQ(sinew_yield(), 0);
    }
    sinew_sem_post(&s);
    CHECK(sinew_cancel(tasks[0]));
    intptr_t first = sinew_await(tasks[0]);
    if (first == -ECANCELED) {
        CHECK_EQ(sinew_await(tasks[1]), 0);
        CHECK_EQ(log.events[0], 2);
    } else {
        /* The permit had reached it already; then it must have it, and the other goes on waiting. */
        CHECK_EQ(log.events[0], 1);
        CHECK(!sinew_done(tasks[1]));
        sinew_sem_post(&s);
        CHECK_EQ(sinew_await(tasks[1]), 0);
    }
    CHECK_EQ(sinew_sem_trywait(&s), -EAGAIN);
    return 0;
}

IN_RUNTIME(a_cancelled_waiter_takes_no_permit)
{
    sinew_sem s;
    event_log log = {.n = 0};
    struct taker takers[3] = {{&s, &log, 0}, {&s, &log, 1}, {&s, &log, 2}};
    sinew_task *tasks[3];
    sinew_sem_init(&s, 0);
    for (int i = 0; i < 3; i++)
        tasks[i] = sinew_spawn(take_and_log, &takers[i]);
    for (int i = 0; i < 10; i++)
        sinew_yield();
    CHECK(sinew_cancel(tasks[1]));
    CHECK_EQ(sinew_await(tasks[1]), -ECANCELED);
    sinew_sem_post(&s);
    sinew_sem_post(&s);
    CHECK_EQ(sinew_await(tasks[0]), 0);
    CHECK_EQ(sinew_await(tasks[2]), 0);
    CHECK_EQ(sinew_sem_trywait(&s), -EAGAIN);
    return 0;
}

/* Posts race with cancels and timeouts of the waiters: permits taken and left always make up what was posted. */
struct permit_race {
    sinew_sem sem;
    atomic_int taken, cancelled, timed_out;
};

static intptr_t take_one(void *arg)
{
    struct permit_race *p = arg;
    int r = sinew_sem_wait(&p->sem);
    atomic_fetch_add(r == 0 ? &p->taken : &p->cancelled, 1);
    return 0;
}

static intptr_t take_one_in_time(void *arg)
{
    struct permit_race *p = arg;
    sinew_timeout t;
    sinew_timeout_begin(&t, SINEW_US(150));
    int r = sinew_sem_wait(&p->sem);
    sinew_timeout_end(&t);
    atomic_fetch_add(r == 0 ? &p->taken : r == -ETIMEDOUT ? &p->timed_out : &p->cancelled, 1);
    return 0;
}

static intptr_t post_some(void *arg)
{
    struct permit_race *p = arg;
    for (int i = 0; i < 3; i++) {
        sinew_sem_post(&p->sem);
        sinew_yield();
    }
    return 0;
}

IN_RUNTIME(no_permit_is_lost_or_made_by_races_of_post_cancel_and_timeout)
{
    enum { TAKERS = 8 };
    int rounds = (int)scaled(1000, 60);
    for (int round = 0; round < rounds; round++) {
        struct permit_race p = {.taken = 0};
        sinew_sem_init(&p.sem, 0);
        sinew_task *takers[TAKERS];
        for (int i = 0; i < TAKERS; i++)
            takers[i] = sinew_spawn(i % 2 ? take_one : take_one_in_time, &p);
        sinew_task *poster = sinew_spawn(post_some, &p);
        for (int i = 0; i < round % 5; i++)
            sinew_yield();
        for (int i = 0; i < TAKERS; i++)
            sinew_cancel(takers[i]);
        CHECK_EQ(sinew_gather_settled(takers, TAKERS, NULL), 0);
        CHECK_EQ(sinew_await(poster), 0);
        int left = 0;
        while (sinew_sem_trywait(&p.sem) == 0)
            left++;
        if (!CHECK_EQ(p.taken + left, 3))
            break;
    }
    return 0;
}

struct counter {
    sinew_mutex mutex;
    long value;
    int inside;
};

static intptr_t count_under_lock(void *arg)
{
    struct counter *c = arg;
    for (int i = 0; i < 50; i++) {
        int r = sinew_mutex_lock(&c->mutex);
        if (r < 0)
            return r;
        CHECK_EQ(c->inside, 0);
        c->inside = 1;
        c->value++;
        if (i % 8 == 0)
            sinew_yield();
        c->inside = 0;
        CHECK_EQ(sinew_mutex_unlock(&c->mutex), 0);
    }
    return 0;
}

IN_RUNTIME(a_mutex_lets_one_in_at_a_time)
{
    size_t n = scaled(200, 40);
    struct counter c = {.value = 0};
    sinew_mutex_init(&c.mutex);
    CHECK_EQ(sinew_map(count_under_lock, &c, 0, n, NULL), 0);
    CHECK_EQ(c.value, 50 * (long)n);
    return 0;
}

static intptr_t unlock_it(void *arg)
{
    return sinew_mutex_unlock(arg);
}

IN_RUNTIME(a_mutex_reports_its_state)
{
    sinew_mutex m;
    sinew_mutex_init(&m);
    CHECK_EQ(sinew_mutex_unlock(&m), -EPERM);
    CHECK_EQ(sinew_mutex_trylock(&m), 0);
    CHECK_EQ(sinew_mutex_trylock(&m), -EBUSY);
    /* Any task may unlock it. */
    CHECK_EQ(sinew_await(sinew_spawn(unlock_it, &m)), 0);
    CHECK_EQ(sinew_mutex_unlock(&m), -EPERM);
    CHECK_EQ(sinew_mutex_lock(&m), 0);
    CHECK_EQ(sinew_mutex_unlock(&m), 0);
    return 0;
}

static intptr_t lock_it(void *arg)
{
    return sinew_mutex_lock(arg);
}

IN_RUNTIME(a_cancelled_locker_does_not_hold_the_lock)
{
    sinew_mutex m;
    sinew_mutex_init(&m);
    CHECK_EQ(sinew_mutex_lock(&m), 0);
    sinew_task *waiter = sinew_spawn(lock_it, &m);
    for (int i = 0; i < 10; i++)
        sinew_yield();
    CHECK(sinew_cancel(waiter));
    CHECK_EQ(sinew_await(waiter), -ECANCELED);
    CHECK_EQ(sinew_mutex_unlock(&m), 0);
    CHECK_EQ(sinew_mutex_trylock(&m), 0);
    CHECK_EQ(sinew_mutex_unlock(&m), 0);
    return 0;
}

IN_RUNTIME_PINNED(unlock_hands_the_lock_to_the_longest_waiter)
{
    sinew_mutex m;
    sinew_mutex_init(&m);
    CHECK_EQ(sinew_mutex_lock(&m), 0);
    sinew_task *waiter = spawn_pinned(lock_it, &m);
    CHECK_EQ(sinew_yield(), 0);
    CHECK_EQ(sinew_mutex_unlock(&m), 0);
    CHECK_EQ(sinew_mutex_trylock(&m), -EBUSY);
    CHECK_EQ(sinew_await(waiter), 0);
    CHECK_EQ(sinew_mutex_unlock(&m), 0);
    return 0;
}

IN_RUNTIME(a_bounded_semaphore_refuses_what_it_did_not_give)
{
    sinew_sem s;
    CHECK_EQ(sinew_sem_init_bounded(NULL, 1), -EINVAL);
    CHECK_EQ(sinew_sem_init_bounded(&s, 2), 0);
    CHECK_EQ(sinew_sem_post(&s), -EOVERFLOW);
    CHECK_EQ(sinew_sem_wait(&s), 0);
    CHECK_EQ(sinew_sem_post(&s), 0);
    CHECK_EQ(sinew_sem_post(&s), -EOVERFLOW);
    CHECK_EQ(sinew_sem_wait(&s), 0);
    CHECK_EQ(sinew_sem_wait(&s), 0);
    CHECK_EQ(sinew_sem_trywait(&s), -EAGAIN);
    return 0;
}

IN_RUNTIME_PINNED(a_bounded_semaphore_hands_over_like_any_other)
{
    sinew_sem s;
    event_log log = {.n = 0};
    struct taker taker = {&s, &log, 1};
    CHECK_EQ(sinew_sem_init_bounded(&s, 1), 0);
    CHECK_EQ(sinew_sem_wait(&s), 0);
    sinew_task *t = spawn_pinned(take_and_log, &taker);
    CHECK_EQ(sinew_yield(), 0);
    CHECK_EQ(sinew_sem_post(&s), 0);
    CHECK_EQ(sinew_await(t), 0);
    CHECK_EQ(sinew_sem_post(&s), 0);
    CHECK_EQ(sinew_sem_post(&s), -EOVERFLOW);
    return 0;
}

IN_RUNTIME(a_semaphore_does_not_count_past_its_range)
{
    sinew_sem s;
    sinew_sem_init(&s, UINT_MAX);
    CHECK_EQ(sinew_sem_post(&s), -EOVERFLOW);
    CHECK_EQ(sinew_sem_trywait(&s), 0);
    CHECK_EQ(sinew_sem_post(&s), 0);
    return 0;
}

IN_RUNTIME_PINNED(locked_says_whether_a_wait_would_have_to_wait)
{
    sinew_sem s;
    sinew_mutex m;
    event_log log = {.n = 0};
    struct taker taker = {&s, &log, 1};
    sinew_sem_init(&s, 1);
    sinew_mutex_init(&m);
    CHECK(!sinew_sem_locked(&s));
    CHECK(!sinew_mutex_locked(&m));
    CHECK_EQ(sinew_sem_wait(&s), 0);
    CHECK_EQ(sinew_mutex_lock(&m), 0);
    CHECK(sinew_sem_locked(&s));
    CHECK(sinew_mutex_locked(&m));
    sinew_task *t = spawn_pinned(take_and_log, &taker);
    CHECK_EQ(sinew_yield(), 0);
    CHECK_EQ(sinew_sem_post(&s), 0);
    CHECK(sinew_sem_locked(&s)); /* the permit is the waiter's */
    CHECK_EQ(sinew_await(t), 0);
    CHECK_EQ(sinew_sem_post(&s), 0);
    CHECK_EQ(sinew_mutex_unlock(&m), 0);
    CHECK(!sinew_sem_locked(&s));
    CHECK(!sinew_mutex_locked(&m));
    CHECK(!sinew_sem_locked(NULL));
    CHECK(!sinew_mutex_locked(NULL));
    CHECK_EQ(sinew_sem_post(NULL), -EINVAL);
    return 0;
}

/* Whoever gets the last permit frees the semaphore, while the one who posted it may still be on its way out. */
static intptr_t wait_and_free(void *arg)
{
    sinew_sem *s = arg;
    int r = sinew_sem_wait(s);
    free(s);
    return r;
}

static intptr_t post_it(void *arg)
{
    return sinew_sem_post(arg);
}

IN_RUNTIME(a_semaphore_may_end_as_soon_as_its_waiter_is_back)
{
    int rounds = (int)scaled(3000, 300);
    for (int i = 0; i < rounds; i++) {
        sinew_sem *s = malloc(sizeof *s);
        sinew_sem_init(s, 0);
        sinew_task *tasks[2] = {sinew_spawn(post_it, s), sinew_spawn(wait_and_free, s)};
        if (i % 2)
            sinew_yield();
        if (!CHECK_EQ(sinew_gather(tasks, 2, NULL), 0))
            break;
    }
    return 0;
}

IN_RUNTIME_PINNED(a_mutex_on_its_way_to_a_cancelled_waiter_goes_to_the_next)
{
    sinew_mutex m;
    sinew_mutex_init(&m);
    CHECK_EQ(sinew_mutex_lock(&m), 0);
    sinew_task *tasks[2] = {spawn_pinned(lock_it, &m), spawn_pinned(lock_it, &m)};
    CHECK_EQ(sinew_yield(), 0);
    CHECK_EQ(sinew_mutex_unlock(&m), 0);
    CHECK(sinew_cancel(tasks[0]));
    CHECK_EQ(sinew_await(tasks[0]), -ECANCELED);
    CHECK_EQ(sinew_await(tasks[1]), 0);
    CHECK_EQ(sinew_mutex_trylock(&m), -EBUSY);
    CHECK_EQ(sinew_mutex_unlock(&m), 0);
    return 0;
}

TEST_MAIN(cmocka_unit_test(permits_are_counted), cmocka_unit_test(taking_a_free_permit_does_not_suspend),
          cmocka_unit_test(waiters_are_served_first_come_first_served),
          cmocka_unit_test(a_newcomer_does_not_overtake_a_waiter),
          cmocka_unit_test(a_permit_on_its_way_to_a_cancelled_waiter_goes_to_the_next),
          cmocka_unit_test(a_cancelled_waiter_takes_no_permit),
          cmocka_unit_test(no_permit_is_lost_or_made_by_races_of_post_cancel_and_timeout),
          cmocka_unit_test(a_mutex_lets_one_in_at_a_time), cmocka_unit_test(a_mutex_reports_its_state),
          cmocka_unit_test(a_cancelled_locker_does_not_hold_the_lock),
          cmocka_unit_test(unlock_hands_the_lock_to_the_longest_waiter),
          cmocka_unit_test(a_bounded_semaphore_refuses_what_it_did_not_give),
          cmocka_unit_test(a_bounded_semaphore_hands_over_like_any_other),
          cmocka_unit_test(a_semaphore_does_not_count_past_its_range),
          cmocka_unit_test(locked_says_whether_a_wait_would_have_to_wait),
          cmocka_unit_test(a_semaphore_may_end_as_soon_as_its_waiter_is_back),
          cmocka_unit_test(a_mutex_on_its_way_to_a_cancelled_waiter_goes_to_the_next))
