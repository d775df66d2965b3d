/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: rules A165 to A168 (semaphores, and whether a lock is taken), as docs/conformance.md lists them; the number in
 * a test's name is the rule's. Method: pinned waiters, so that the test chooses what happens between a post and the
 * waiter's going on. Cannot see: races of post and cancel; core/sync.c and stress/sync.c make those.
 */
#include <errno.h>
#include <limits.h>

#include <tests/support/waiters.h>

static int wait(void *s)
{
    return sinew_sem_wait(s);
}

static int post(void *s)
{
    return sinew_sem_post(s);
}

/* How many permits are there? All are taken. */
static int permits_of(sinew_sem *s)
{
    int n = 0;
    while (sinew_sem_trywait(s) == 0)
        n++;
    return n;
}

IN_RUNTIME_PINNED(a165_a_semaphore_counts_and_is_never_negative)
{
    sinew_sem s;
    sinew_sem_init(&s, 3);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(sinew_sem_wait(&s), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(sinew_sem_trywait(&s), -EAGAIN);
    struct waiter w[4];
    waiters_start(w, &(struct waiter){.wait = wait, .object = &s}, 4);
    for (int i = 0; i < 4; i++) {
        settle();
        CHECK_EQ(w[i].result, STILL_WAITING);
        CHECK_EQ(sinew_sem_post(&s), 0);
        CHECK_EQ(waiter_end(&w[i]), 0);
    }
    CHECK_EQ(permits_of(&s), 0);
    return 0;
}

IN_RUNTIME(a165_a_post_may_exceed_the_start)
{
    sinew_sem s;
    sinew_sem_init(&s, 0);
    for (int i = 0; i < 10; i++)
        CHECK_EQ(sinew_sem_post(&s), 0);
    CHECK_EQ(permits_of(&s), 10);
    return 0;
}

IN_RUNTIME_PINNED(a165_waiters_are_served_in_the_order_they_came)
{
    enum { N = 9 };
    for (int posts_at_once = 1; posts_at_once <= N; posts_at_once++) {
        sinew_sem s;
        sinew_sem_init(&s, 0);
        event_log log = {0};
        struct waiter w[N];
        waiters_start(w, &(struct waiter){.wait = wait, .object = &s, .log = &log}, N);
        for (int posted = 0; posted < N; posted++) {
            CHECK_EQ(sinew_sem_post(&s), 0);
            if (posted % posts_at_once == 0)
                settle();
        }
        for (int i = 0; i < N; i++)
            CHECK_EQ(waiter_end(&w[i]), 0);
        for (int i = 0; i < N; i++)
            CHECK_EQ(log.events[i], i);
    }
    return 0;
}

IN_RUNTIME_PINNED(a165_nobody_takes_a_permit_that_is_on_its_way_to_another)
{
    sinew_sem s;
    sinew_sem_init(&s, 0);
    event_log log = {0};
    struct waiter like = {.wait = wait, .object = &s, .log = &log}, w[3];
    waiters_start(w, &like, 2);
    CHECK_EQ(sinew_sem_post(&s), 0);
    CHECK_EQ(sinew_sem_post(&s), 0);
    CHECK_EQ(sinew_sem_trywait(&s), -EAGAIN);
    waiter_start(&w[2], &like, 2);
    settle();
    log_is(&log, (const int[]){0, 1}, 2);
    CHECK_EQ(sinew_sem_post(&s), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(waiter_end(&w[i]), 0);
    return 0;
}

IN_RUNTIME_PINNED(a166_a_bounded_semaphore_refuses_a_post_above_its_start)
{
    sinew_sem s;
    CHECK_EQ(sinew_sem_init_bounded(&s, 2), 0);
    CHECK_EQ(sinew_sem_post(&s), -EOVERFLOW);
    CHECK_EQ(sinew_sem_wait(&s), 0);
    CHECK_EQ(sinew_sem_wait(&s), 0);
    struct waiter w;
    waiter_start(&w, &(struct waiter){.wait = wait, .give = post, .object = &s}, 0);
    CHECK_EQ(sinew_sem_post(&s), 0); /* to the waiter, who gives it back */
    CHECK_EQ(waiter_end(&w), 0);
    CHECK_EQ(sinew_sem_post(&s), 0);
    CHECK_EQ(sinew_sem_post(&s), -EOVERFLOW);
    CHECK_EQ(permits_of(&s), 2);
    return 0;
}

IN_RUNTIME_PINNED(a166_a_permit_on_its_way_that_comes_back_does_not_count_twice)
{
    sinew_sem s;
    CHECK_EQ(sinew_sem_init_bounded(&s, 1), 0);
    CHECK_EQ(sinew_sem_wait(&s), 0);
    struct waiter w;
    waiter_start(&w, &(struct waiter){.wait = wait, .object = &s}, 0);
    CHECK_EQ(sinew_sem_post(&s), 0);
    CHECK(sinew_cancel(w.task));
    CHECK_EQ(waiter_end(&w), -ECANCELED);
    CHECK_EQ(sinew_sem_post(&s), -EOVERFLOW);
    CHECK_EQ(permits_of(&s), 1);
    return 0;
}

/* As asyncio.BoundedSemaphore(0): of no use, and legal. */
IN_RUNTIME_PINNED(a166_a_bounded_semaphore_may_start_with_none_and_with_all)
{
    sinew_sem s;
    CHECK_EQ(sinew_sem_init_bounded(&s, 0), 0);
    CHECK(sinew_sem_locked(&s));
    CHECK_EQ(sinew_sem_trywait(&s), -EAGAIN);
    CHECK_EQ(sinew_sem_post(&s), -EOVERFLOW);
    struct waiter w;
    waiter_start(&w, &(struct waiter){.wait = wait, .give = post, .object = &s}, 0);
    CHECK_EQ(sinew_sem_post(&s), -EOVERFLOW); /* also with somebody to take it */
    CHECK(sinew_cancel(w.task));
    CHECK_EQ(waiter_end(&w), -ECANCELED);
    CHECK_EQ(permits_of(&s), 0);
    CHECK_EQ(sinew_sem_init_bounded(&s, UINT_MAX), 0);
    CHECK_EQ(sinew_sem_post(&s), -EOVERFLOW);
    return 0;
}

IN_RUNTIME_PINNED(a167_a_permit_on_its_way_to_a_cancelled_waiter_goes_to_the_next)
{
    enum { N = 5 };
    for (unsigned cancelled = 0; cancelled < 1u << N; cancelled++) {
        for (int posts = 0; posts <= N; posts++) {
            sinew_sem s;
            sinew_sem_init(&s, 0);
            struct waiter w[N];
            waiters_start(w, &(struct waiter){.wait = wait, .object = &s}, N);
            for (int i = 0; i < posts; i++)
                CHECK_EQ(sinew_sem_post(&s), 0);
            for (int i = 0; i < N; i++)
                if (cancelled & 1u << i)
                    CHECK(sinew_cancel(w[i].task));
            settle();
            int left = posts;
            for (int i = 0; i < N; i++) {
                bool was = cancelled & 1u << i;
                if (!was && left == 0) { /* it waits on */
                    CHECK_EQ(w[i].result, STILL_WAITING);
                    CHECK_EQ(sinew_sem_post(&s), 0);
                    left++;
                }
                CHECK_EQ(waiter_end(&w[i]), was ? -ECANCELED : 0);
                left -= !was;
            }
            CHECK_EQ(permits_of(&s), left);
        }
    }
    return 0;
}

IN_RUNTIME_PINNED(a168_locked_says_that_a_wait_would_have_to_wait)
{
    sinew_sem s;
    sinew_sem_init(&s, 2);
    CHECK(!sinew_sem_locked(&s));
    CHECK_EQ(sinew_sem_wait(&s), 0);
    CHECK(!sinew_sem_locked(&s));
    CHECK_EQ(sinew_sem_wait(&s), 0);
    CHECK(sinew_sem_locked(&s));
    struct waiter w;
    waiter_start(&w, &(struct waiter){.wait = wait, .object = &s}, 0);
    CHECK_EQ(sinew_sem_post(&s), 0);
    CHECK(sinew_sem_locked(&s)); /* it is on its way to the waiter */
    CHECK_EQ(sinew_sem_post(&s), 0);
    CHECK(!sinew_sem_locked(&s));
    CHECK_EQ(waiter_end(&w), 0);
    CHECK(!sinew_sem_locked(&s));
    return 0;
}

static int lock(void *m)
{
    return sinew_mutex_lock(m);
}

IN_RUNTIME_PINNED(a168_a_mutex_is_locked_from_the_lock_to_the_unlock_that_nobody_waits_for)
{
    sinew_mutex m;
    sinew_mutex_init(&m);
    CHECK(!sinew_mutex_locked(&m));
    CHECK_EQ(sinew_mutex_lock(&m), 0);
    CHECK(sinew_mutex_locked(&m));
    struct waiter w;
    waiter_start(&w, &(struct waiter){.wait = lock, .object = &m}, 0);
    CHECK_EQ(sinew_mutex_unlock(&m), 0);
    CHECK(sinew_mutex_locked(&m));
    CHECK(sinew_cancel(w.task));
    CHECK_EQ(waiter_end(&w), -ECANCELED);
    CHECK(!sinew_mutex_locked(&m));
    return 0;
}

TEST_MAIN(cmocka_unit_test(a165_a_semaphore_counts_and_is_never_negative),
          cmocka_unit_test(a165_a_post_may_exceed_the_start),
          cmocka_unit_test(a165_waiters_are_served_in_the_order_they_came),
          cmocka_unit_test(a165_nobody_takes_a_permit_that_is_on_its_way_to_another),
          cmocka_unit_test(a166_a_bounded_semaphore_refuses_a_post_above_its_start),
          cmocka_unit_test(a166_a_permit_on_its_way_that_comes_back_does_not_count_twice),
          cmocka_unit_test(a166_a_bounded_semaphore_may_start_with_none_and_with_all),
          cmocka_unit_test(a167_a_permit_on_its_way_to_a_cancelled_waiter_goes_to_the_next),
          cmocka_unit_test(a168_locked_says_that_a_wait_would_have_to_wait),
          cmocka_unit_test(a168_a_mutex_is_locked_from_the_lock_to_the_unlock_that_nobody_waits_for))
