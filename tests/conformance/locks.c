/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: rules A152 to A157 and A174 (locks), as docs/conformance.md lists them; the number in a test's name is the
 * rule's.
 * Method: pinned waiters, so that the test chooses what happens between an unlock and the waiter's going on; and racing
 * ones, where the result must not depend on who is first.
 * Cannot see: a waiter that is overtaken only in races; core/sync.c and stress/sync.c count those.
 */
#include <errno.h>

#include <tests/support/random.h>
#include <tests/support/waiters.h>

static int lock(void *m)
{
    return sinew_mutex_lock(m);
}

static int unlock(void *m)
{
    return sinew_mutex_unlock(m);
}

static int lock_and_unlock(void *m)
{
    int r = sinew_mutex_lock(m);
    return r < 0 ? r : sinew_mutex_unlock(m);
}

/* A mutex that the body holds. */
static void held(sinew_mutex *m)
{
    sinew_mutex_init(m);
    CHECK_EQ(sinew_mutex_lock(m), 0);
}

static void is_free(sinew_mutex *m)
{
    for (int i = 0; i < 2; i++) {
        CHECK(!sinew_mutex_locked(m));
        CHECK_EQ(sinew_mutex_trylock(m), 0);
        CHECK_EQ(sinew_mutex_unlock(m), 0);
    }
}

/* --- A152 --------------------------------------------------------------------------------------------------------- */

IN_RUNTIME_PINNED(a152_a_lock_waits_until_it_is_unlocked)
{
    sinew_mutex m;
    held(&m);
    struct waiter w;
    waiter_start(&w, &(struct waiter){.wait = lock, .object = &m}, 0);
    settle();
    CHECK_EQ(w.result, STILL_WAITING);
    CHECK_EQ(sinew_mutex_unlock(&m), 0);
    CHECK_EQ(waiter_end(&w), 0);
    CHECK(sinew_mutex_locked(&m));
    CHECK_EQ(sinew_mutex_unlock(&m), 0);
    is_free(&m);
    return 0;
}

IN_RUNTIME(a152_unlocking_what_is_not_locked_is_an_error_and_changes_nothing)
{
    sinew_mutex m;
    sinew_mutex_init(&m);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(sinew_mutex_unlock(&m), -EPERM);
        CHECK_EQ(sinew_mutex_lock(&m), 0);
        CHECK_EQ(sinew_mutex_trylock(&m), -EBUSY);
        CHECK_EQ(sinew_mutex_unlock(&m), 0);
        CHECK_EQ(sinew_mutex_unlock(&m), -EPERM);
    }
    is_free(&m);
    return 0;
}

/* --- A153 --------------------------------------------------------------------------------------------------------- */

IN_RUNTIME_PINNED(a153_waiters_get_the_lock_in_the_order_they_came)
{
    enum { N = 50 };
    sinew_mutex m;
    held(&m);
    event_log log = {0};
    struct waiter w[N];
    waiters_start(w, &(struct waiter){.wait = lock, .give = unlock, .object = &m, .log = &log}, N);
    CHECK_EQ(sinew_mutex_unlock(&m), 0);
    for (int i = N - 1; i >= 0; i--)
        CHECK_EQ(waiter_end(&w[i]), 0);
    CHECK_EQ(log.n, N);
    for (int i = 0; i < N; i++)
        CHECK_EQ(log.events[i], i);
    is_free(&m);
    return 0;
}

IN_RUNTIME_PINNED(a153_nobody_comes_between_the_unlock_and_the_waiter)
{
    sinew_mutex m;
    held(&m);
    event_log log = {0};
    struct waiter like = {.wait = lock, .give = unlock, .object = &m, .log = &log}, w[3];
    waiters_start(w, &like, 2);
    CHECK_EQ(sinew_mutex_unlock(&m), 0);
    /* It is on its way to the first, who has not run. */
    CHECK(sinew_mutex_locked(&m));
    CHECK_EQ(sinew_mutex_trylock(&m), -EBUSY);
    waiter_start(&w[2], &like, 2);
    CHECK_EQ(sinew_mutex_lock(&m), 0); /* behind all three */
    log_is(&log, (const int[]){0, 1, 2}, 3);
    CHECK_EQ(sinew_mutex_unlock(&m), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(waiter_end(&w[i]), 0);
    is_free(&m);
    return 0;
}

IN_RUNTIME_PINNED(a153_who_unlocks_and_locks_again_waits_behind_the_others)
{
    sinew_mutex m;
    held(&m);
    event_log log = {0};
    struct waiter w;
    waiter_start(&w, &(struct waiter){.wait = lock, .give = unlock, .object = &m, .log = &log}, 5);
    CHECK_EQ(sinew_mutex_unlock(&m), 0);
    CHECK_EQ(sinew_mutex_lock(&m), 0);
    log_is(&log, (const int[]){5}, 1);
    CHECK_EQ(sinew_mutex_unlock(&m), 0);
    CHECK_EQ(waiter_end(&w), 0);
    return 0;
}

/* --- A154 --------------------------------------------------------------------------------------------------------- */

IN_RUNTIME(a154_a_task_that_locks_twice_waits_for_itself)
{
    sinew_mutex m;
    held(&m);
    CHECK_EQ(sinew_mutex_trylock(&m), -EBUSY);
    sinew_timeout t;
    sinew_timeout_begin(&t, SINEW_MS(1));
    CHECK_EQ(sinew_mutex_lock(&m), -ETIMEDOUT);
    CHECK_EQ(sinew_timeout_end(&t), -ETIMEDOUT);
    CHECK_EQ(sinew_mutex_unlock(&m), 0);
    CHECK_EQ(sinew_mutex_unlock(&m), -EPERM);
    return 0;
}

static intptr_t unlock_in_task(void *m)
{
    return sinew_mutex_unlock(m);
}

static void *unlock_in_thread(void *m)
{
    CHECK_EQ(sinew_mutex_unlock(m), 0);
    return NULL;
}

IN_RUNTIME(a154_any_task_or_thread_may_unlock)
{
    sinew_mutex m;
    held(&m);
    sinew_task *t = sinew_spawn(unlock_in_task, &m);
    CHECK_EQ(sinew_mutex_lock(&m), 0); /* the one that waits for the unlock by the other */
    CHECK_EQ(sinew_await(t), 0);
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, unlock_in_thread, &m), 0);
    CHECK_EQ(sinew_mutex_lock(&m), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(sinew_mutex_unlock(&m), 0);
    is_free(&m);
    return 0;
}

/* --- A155 --------------------------------------------------------------------------------------------------------- */

/* Of five waiters those in `cancelled` (a bit each) are cancelled, after or before the unlock. */
static void cancel_some(unsigned cancelled, bool before)
{
    enum { N = 5 };
    sinew_mutex m;
    held(&m);
    event_log log = {0};
    struct waiter w[N];
    waiters_start(w, &(struct waiter){.wait = lock, .give = unlock, .object = &m, .log = &log}, N);
    if (!before)
        CHECK_EQ(sinew_mutex_unlock(&m), 0);
    for (int i = 0; i < N; i++)
        if (cancelled & 1u << i)
            CHECK(sinew_cancel(w[i].task));
    if (before) {
        settle();
        CHECK(sinew_mutex_locked(&m));
        CHECK_EQ(sinew_mutex_unlock(&m), 0);
    }
    int last = -1;
    for (int i = 0; i < N; i++)
        CHECK_EQ(waiter_end(&w[i]), cancelled & 1u << i ? -ECANCELED : 0);
    for (int e = 0; e < log.n; e++) { /* who got it did so in order */
        if (cancelled & 1u << log.events[e])
            continue;
        CHECK(log.events[e] > last);
        last = log.events[e];
    }
    is_free(&m);
}

IN_RUNTIME_PINNED(a155_a_waiter_cancelled_with_the_lock_on_its_way_passes_it_on)
{
    for (unsigned cancelled = 0; cancelled < 32; cancelled++)
        cancel_some(cancelled, false);
    return 0;
}

IN_RUNTIME_PINNED(a155_a_waiter_cancelled_before_the_unlock_is_passed_over)
{
    for (unsigned cancelled = 0; cancelled < 32; cancelled++)
        cancel_some(cancelled, true);
    return 0;
}

IN_RUNTIME_PINNED(a155_a_timeout_passes_the_lock_on_as_a_cancel_does)
{
    sinew_mutex m;
    held(&m);
    struct waiter next;
    sinew_timeout t;
    sinew_timeout_begin(&t, SINEW_US(100));
    CHECK_EQ(sinew_mutex_lock(&m), -ETIMEDOUT);
    CHECK_EQ(sinew_timeout_end(&t), -ETIMEDOUT);
    waiter_start(&next, &(struct waiter){.wait = lock, .give = unlock, .object = &m}, 0);
    CHECK_EQ(sinew_mutex_unlock(&m), 0);
    CHECK_EQ(waiter_end(&next), 0);
    is_free(&m);
    return 0;
}

struct contest {
    sinew_mutex mutex;
    atomic_int entered, inside;
};

static intptr_t contend(void *arg)
{
    struct contest *c = arg;
    atomic_fetch_add(&c->entered, 1);
    int r = sinew_mutex_lock(&c->mutex);
    if (r < 0)
        return r;
    CHECK_EQ(atomic_fetch_add(&c->inside, 1), 0);
    r = sinew_yield();
    CHECK_EQ(atomic_fetch_sub(&c->inside, 1), 1);
    CHECK_EQ(sinew_mutex_unlock(&c->mutex), 0);
    return r;
}

IN_RUNTIME(a155_no_race_of_unlocks_and_cancels_leaves_the_lock_held)
{
    enum { N = 8 };
    uint64_t random = random_seed();
    for (int round = 0; round < (int)scaled(300, 50) && !atomic_load(&check_failures); round++) {
        struct contest c = {.entered = 0};
        held(&c.mutex);
        sinew_task *tasks[N];
        for (int i = 0; i < N; i++)
            tasks[i] = sinew_spawn(contend, &c);
        yield_until(&c.entered, N);
        sinew_task *unlocker = sinew_spawn(unlock_in_task, &c.mutex);
        for (int i = 0; i < N; i++)
            if (random_below(&random, 3) > 0)
                sinew_cancel(tasks[random_below(&random, N)]);
        CHECK_EQ(sinew_await(unlocker), 0);
        for (int i = 0; i < N; i++) {
            intptr_t r = sinew_await(tasks[i]);
            CHECK(r == 0 || r == -ECANCELED);
        }
        is_free(&c.mutex);
    }
    return 0;
}

/* --- A156 --------------------------------------------------------------------------------------------------------- */

static void unlock_at_the_end(sinew_mutex **m)
{
    CHECK_EQ(sinew_mutex_unlock(*m), 0);
}

struct scope {
    sinew_mutex mutex;
    gate gate;
};

static intptr_t lock_in_scope(void *arg)
{
    struct scope *s = arg;
    int r = sinew_mutex_lock(&s->mutex);
    if (r < 0)
        return r;
    __attribute__((cleanup(unlock_at_the_end))) sinew_mutex *scoped = &s->mutex;
    CHECK(sinew_mutex_locked(scoped));
    return gate_pass(&s->gate);
}

IN_RUNTIME(a156_a_lock_is_released_at_the_end_of_its_scope_also_by_an_error_or_a_cancel)
{
    const intptr_t results[] = {7, -EIO, -ECANCELED};
    for (int i = 0; i < 3; i++) {
        struct scope s;
        sinew_mutex_init(&s.mutex);
        gate_init(&s.gate, results[i]);
        sinew_task *t = sinew_spawn(lock_in_scope, &s);
        yield_until(&s.gate.reached, 1);
        CHECK(sinew_mutex_locked(&s.mutex));
        sinew_task *next = sinew_spawn(waiter_body, &(struct waiter){.wait = lock_and_unlock, .object = &s.mutex});
        if (results[i] == -ECANCELED)
            CHECK(sinew_cancel(t));
        else
            gate_open(&s.gate, 1);
        CHECK_EQ(sinew_await(t), results[i]);
        CHECK_EQ(sinew_await(next), 0);
        is_free(&s.mutex);
    }
    return 0;
}

/* --- A157 --------------------------------------------------------------------------------------------------------- */

static int read_lock_and_unlock(void *l)
{
    int r = sinew_rwlock_read_lock(l);
    return r < 0 ? r : sinew_rwlock_read_unlock(l);
}

static int write_lock_and_unlock(void *l)
{
    int r = sinew_rwlock_write_lock(l);
    return r < 0 ? r : sinew_rwlock_write_unlock(l);
}

static int wait_and_post(void *s)
{
    int r = sinew_sem_wait(s);
    return r < 0 ? r : sinew_sem_post(s);
}

IN_RUNTIME_PINNED(a157_taking_what_is_free_does_not_suspend)
{
    sinew_mutex m;
    sinew_mutex_init(&m);
    does_not_suspend(lock_and_unlock, &m);
    sinew_rwlock l;
    sinew_rwlock_init(&l);
    does_not_suspend(read_lock_and_unlock, &l);
    does_not_suspend(write_lock_and_unlock, &l);
    sinew_sem s;
    sinew_sem_init(&s, 1);
    does_not_suspend(wait_and_post, &s);
    return 0;
}

/* --- A174 --------------------------------------------------------------------------------------------------------- */

static sinew_mutex shared;

static intptr_t contend_for_shared(void *unused)
{
    (void)unused;
    for (int i = 0; i < 2000; i++) {
        int r = lock_and_unlock(&shared);
        if (!CHECK_EQ(r, 0))
            return r;
        if (i % 16 == 0)
            CHECK_EQ(sinew_yield(), 0);
    }
    return 0;
}

static intptr_t use_shared(void *unused)
{
    (void)unused;
    CHECK_EQ(sinew_mutex_lock(&shared), 0);
    sinew_task *tasks[4];
    for (int i = 0; i < 4; i++)
        tasks[i] = sinew_spawn(contend_for_shared, NULL);
    CHECK_EQ(sinew_yield(), 0);
    CHECK_EQ(sinew_mutex_unlock(&shared), 0);
    int r = sinew_gather(tasks, 4, NULL);
    is_free(&shared);
    return r;
}

static void a174_a_lock_that_nobody_holds_can_be_used_in_one_runtime_after_another(void **state)
{
    (void)state;
    sinew_mutex_init(&shared);
    for (int i = 0; i < 2; i++)
        for (size_t n = 0; n < WORKER_COUNTS; n++)
            run_body("a174 with a lock of an earlier runtime", worker_counts[n], use_shared, NULL);
}

TEST_MAIN(cmocka_unit_test(a152_a_lock_waits_until_it_is_unlocked),
          cmocka_unit_test(a152_unlocking_what_is_not_locked_is_an_error_and_changes_nothing),
          cmocka_unit_test(a153_waiters_get_the_lock_in_the_order_they_came),
          cmocka_unit_test(a153_nobody_comes_between_the_unlock_and_the_waiter),
          cmocka_unit_test(a153_who_unlocks_and_locks_again_waits_behind_the_others),
          cmocka_unit_test(a154_a_task_that_locks_twice_waits_for_itself),
          cmocka_unit_test(a154_any_task_or_thread_may_unlock),
          cmocka_unit_test(a155_a_waiter_cancelled_with_the_lock_on_its_way_passes_it_on),
          cmocka_unit_test(a155_a_waiter_cancelled_before_the_unlock_is_passed_over),
          cmocka_unit_test(a155_a_timeout_passes_the_lock_on_as_a_cancel_does),
          cmocka_unit_test(a155_no_race_of_unlocks_and_cancels_leaves_the_lock_held),
          cmocka_unit_test(a156_a_lock_is_released_at_the_end_of_its_scope_also_by_an_error_or_a_cancel),
          cmocka_unit_test(a157_taking_what_is_free_does_not_suspend),
          cmocka_unit_test(a174_a_lock_that_nobody_holds_can_be_used_in_one_runtime_after_another))
