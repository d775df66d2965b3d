/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: rules A158 to A164 (events and conditions), as docs/conformance.md lists them; the number in a test's name is
 * the rule's.
 * Method: pinned waiters, so that the test chooses what happens between a set or notify and the waiter's going on.
 * Cannot see: races; core/event.c, core/cond.c and stress/sync.c make those.
 */
#include <errno.h>

#include <tests/support/waiters.h>

/* --- A158, A159: events ------------------------------------------------------------------------------------------- */

static int wait_event(void *e)
{
    return sinew_event_wait(e);
}

IN_RUNTIME_PINNED(a158_set_wakes_all_who_wait_even_if_cleared_before_they_run)
{
    enum { N = 40 };
    sinew_event e;
    sinew_event_init(&e);
    struct waiter like = {.wait = wait_event, .object = &e}, w[N], late;
    waiters_start(w, &like, N);
    settle();
    for (int i = 0; i < N; i++)
        CHECK_EQ(w[i].result, STILL_WAITING);
    CHECK_EQ(sinew_event_set(&e), 0);
    CHECK_EQ(sinew_event_clear(&e), 0);
    CHECK(!sinew_event_is_set(&e));
    waiter_start(&late, &like, N); /* it came after the set */
    for (int i = 0; i < N; i++)
        CHECK_EQ(waiter_end(&w[i]), 0);
    settle();
    CHECK_EQ(late.result, STILL_WAITING);
    CHECK_EQ(sinew_event_set(&e), 0);
    CHECK_EQ(waiter_end(&late), 0);
    return 0;
}

IN_RUNTIME_PINNED(a158_waiting_for_a_set_event_does_not_suspend)
{
    sinew_event e;
    sinew_event_init(&e);
    CHECK_EQ(sinew_event_set(&e), 0);
    does_not_suspend(wait_event, &e);
    return 0;
}

IN_RUNTIME_PINNED(a159_waiters_resume_in_the_order_they_came)
{
    enum { N = 40 };
    sinew_event e;
    sinew_event_init(&e);
    event_log log = {0};
    struct waiter w[N];
    waiters_start(w, &(struct waiter){.wait = wait_event, .object = &e, .log = &log}, N);
    CHECK_EQ(sinew_event_set(&e), 0);
    for (int i = N - 1; i >= 0; i--)
        CHECK_EQ(waiter_end(&w[i]), 0);
    CHECK_EQ(log.n, N);
    for (int i = 0; i < N; i++)
        CHECK_EQ(log.events[i], i);
    return 0;
}

IN_RUNTIME_PINNED(a159_setting_twice_is_harmless)
{
    sinew_event e;
    sinew_event_init(&e);
    struct waiter w[3];
    waiters_start(w, &(struct waiter){.wait = wait_event, .object = &e}, 3);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(sinew_event_set(&e), 0);
    CHECK(sinew_event_is_set(&e));
    for (int i = 0; i < 3; i++)
        CHECK_EQ(waiter_end(&w[i]), 0);
    CHECK_EQ(sinew_event_clear(&e), 0); /* once is enough */
    CHECK(!sinew_event_is_set(&e));
    CHECK_EQ(sinew_event_clear(&e), 0);
    waiter_start(&w[0], &(struct waiter){.wait = wait_event, .object = &e}, 0);
    CHECK_EQ(sinew_event_set(&e), 0);
    CHECK_EQ(waiter_end(&w[0]), 0);
    return 0;
}

/* --- A160 to A164: conditions ------------------------------------------------------------------------------------- */

struct place {
    sinew_mutex mutex;
    sinew_cond cond;
    int value, asked; /* of the predicate */
};

static void place_init(struct place *p)
{
    *p = (struct place){.value = 0};
    sinew_mutex_init(&p->mutex);
    CHECK_EQ(sinew_cond_init(&p->cond, &p->mutex), 0);
}

/* Waits once, and must have the mutex then, whatever came of it. */
static int wait_cond(void *arg)
{
    struct place *p = arg;
    CHECK_EQ(sinew_mutex_lock(&p->mutex), 0);
    int r = sinew_cond_wait(&p->cond, &p->mutex);
    CHECK(sinew_mutex_locked(&p->mutex));
    CHECK_EQ(sinew_mutex_unlock(&p->mutex), 0);
    return r;
}

static struct waiter of(struct place *p, event_log *log)
{
    return (struct waiter){.wait = wait_cond, .object = p, .log = log};
}

static void lock(struct place *p)
{
    CHECK_EQ(sinew_mutex_lock(&p->mutex), 0);
}

static void unlock(struct place *p)
{
    CHECK_EQ(sinew_mutex_unlock(&p->mutex), 0);
}

IN_RUNTIME_PINNED(a160_without_the_lock_waiting_and_notifying_are_errors_and_do_nothing)
{
    struct place p;
    place_init(&p);
    struct waiter w, like = of(&p, NULL);
    waiter_start(&w, &like, 0);
    CHECK_EQ(sinew_cond_wait(&p.cond, &p.mutex), -EPERM);
    CHECK_EQ(sinew_cond_notify(&p.cond, 1), -EPERM);
    CHECK_EQ(sinew_cond_notify_all(&p.cond), -EPERM);
    CHECK(!sinew_mutex_locked(&p.mutex));
    settle();
    CHECK_EQ(w.result, STILL_WAITING);
    lock(&p);
    CHECK_EQ(sinew_cond_notify(&p.cond, 1), 0);
    unlock(&p);
    CHECK_EQ(waiter_end(&w), 0);
    return 0;
}

IN_RUNTIME_PINNED(a161_a_wait_gives_the_lock_up_and_has_it_again_when_it_returns)
{
    struct place p;
    place_init(&p);
    struct waiter w[3], like = of(&p, NULL);
    waiters_start(w, &like, 3); /* so each found it free */
    CHECK(!sinew_mutex_locked(&p.mutex));
    lock(&p);
    CHECK_EQ(sinew_cond_notify_all(&p.cond), 0);
    unlock(&p);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(waiter_end(&w[i]), 0);
    CHECK(!sinew_mutex_locked(&p.mutex));
    return 0;
}

IN_RUNTIME_PINNED(a161_a_cancelled_wait_returns_with_the_lock_however_often_it_is_cancelled)
{
    for (int notified = 0; notified < 2; notified++) {
        for (int cancels = 1; cancels <= 4; cancels++) {
            struct place p;
            place_init(&p);
            struct waiter w, like = of(&p, NULL);
            waiter_start(&w, &like, 0);
            lock(&p);
            if (notified) {
                CHECK_EQ(sinew_cond_notify(&p.cond, 1), 0);
                settle(); /* it queues for the lock */
            }
            for (int i = 0; i < cancels; i++) {
                CHECK(sinew_cancel(w.task));
                settle();
                CHECK_EQ(w.result, STILL_WAITING);
            }
            unlock(&p);
            /* Each was swallowed in the wait but the one it returns. */
            CHECK_EQ(waiter_end(&w), -ECANCELED);
            CHECK(!sinew_mutex_locked(&p.mutex));
        }
    }
    return 0;
}

IN_RUNTIME_PINNED(a161_a_cancelled_wait_queues_for_the_lock_behind_who_came_before)
{
    struct place p;
    place_init(&p);
    event_log log = {0};
    struct waiter w, like = of(&p, &log);
    waiter_start(&w, &like, 0);
    lock(&p);
    CHECK(sinew_cancel(w.task));
    settle();
    unlock(&p);
    lock(&p); /* behind the cancelled one */
    log_is(&log, (const int[]){0}, 1);
    unlock(&p);
    CHECK_EQ(waiter_end(&w), -ECANCELED);
    return 0;
}

IN_RUNTIME_PINNED(a162_notify_wakes_the_longest_waiters_who_return_after_the_unlock)
{
    enum { N = 6 };
    for (int n = 0; n <= N + 1; n++) {
        struct place p;
        place_init(&p);
        event_log log = {0};
        struct waiter w[N], like = of(&p, &log);
        waiters_start(w, &like, N);
        lock(&p);
        CHECK_EQ(sinew_cond_notify(&p.cond, (size_t)n), 0);
        settle();
        CHECK_EQ(log.n, 0); /* not before the notifier has unlocked */
        unlock(&p);
        settle();
        CHECK_EQ(log.n, n < N ? n : N);
        lock(&p);
        CHECK_EQ(sinew_cond_notify_all(&p.cond), 0);
        unlock(&p);
        for (int i = 0; i < N; i++)
            CHECK_EQ(waiter_end(&w[i]), 0);
        for (int i = 0; i < N; i++)
            CHECK_EQ(log.events[i], i);
    }
    return 0;
}

IN_RUNTIME_PINNED(a162_a_notification_is_not_kept_for_who_comes_later)
{
    struct place p;
    place_init(&p);
    lock(&p);
    CHECK_EQ(sinew_cond_notify(&p.cond, 5), 0);
    CHECK_EQ(sinew_cond_notify_all(&p.cond), 0);
    unlock(&p);
    struct waiter w, like = of(&p, NULL);
    waiter_start(&w, &like, 0);
    settle();
    CHECK_EQ(w.result, STILL_WAITING);
    CHECK(sinew_cancel(w.task));
    CHECK_EQ(waiter_end(&w), -ECANCELED);
    return 0;
}

/* Of five, some are notified and then some cancelled: each notification reaches one that was not cancelled, if any. */
IN_RUNTIME_PINNED(a163_a_notified_waiter_that_is_cancelled_passes_the_notification_on)
{
    enum { N = 5 };
    for (unsigned cancelled = 0; cancelled < 1u << N; cancelled++) {
        for (int when = 0; when < 3; when++) {
            for (int notified = 0; notified <= N; notified++) {
                struct place p;
                place_init(&p);
                struct waiter w[N], like = of(&p, NULL);
                waiters_start(w, &like, N);
                lock(&p);
                CHECK_EQ(sinew_cond_notify(&p.cond, (size_t)notified), 0);
                if (when == 1)
                    settle(); /* those notified queue for the lock */
                if (when == 2)
                    unlock(&p); /* the first has the lock on its way */
                for (int i = 0; i < N; i++)
                    if (cancelled & 1u << i)
                        CHECK(sinew_cancel(w[i].task));
                if (when != 2)
                    unlock(&p);
                settle();
                int returned = 0, kept = 0;
                for (int i = 0; i < N; i++) {
                    bool was = cancelled & 1u << i;
                    kept += !was;
                    returned += !was && w[i].result == 0;
                    if (was)
                        CHECK_EQ(w[i].result, -ECANCELED);
                }
                CHECK(returned >= (notified < kept ? notified : kept));
                lock(&p);
                CHECK_EQ(sinew_cond_notify_all(&p.cond), 0);
                unlock(&p);
                for (int i = 0; i < N; i++)
                    CHECK_EQ(waiter_end(&w[i]), cancelled & 1u << i ? -ECANCELED : 0);
                CHECK(!sinew_mutex_locked(&p.mutex));
            }
        }
    }
    return 0;
}

static bool is_three(void *arg)
{
    struct place *p = arg;
    CHECK(sinew_mutex_locked(&p->mutex));
    p->asked++;
    return p->value == 3;
}

static int wait_for_three(void *arg)
{
    struct place *p = arg;
    CHECK_EQ(sinew_mutex_lock(&p->mutex), 0);
    int r = sinew_cond_wait_for(&p->cond, &p->mutex, is_three, p);
    CHECK(r < 0 || p->value == 3);
    CHECK_EQ(sinew_mutex_unlock(&p->mutex), 0);
    return r;
}

IN_RUNTIME_PINNED(a164_wait_for_asks_again_after_each_notification)
{
    struct place p;
    place_init(&p);
    struct waiter w;
    waiter_start(&w, &(struct waiter){.wait = wait_for_three, .object = &p}, 0);
    for (int value = 1; value <= 3; value++) {
        CHECK_EQ(p.asked, value);
        CHECK_EQ(w.result, STILL_WAITING);
        lock(&p);
        p.value = value;
        CHECK_EQ(sinew_cond_notify(&p.cond, 1), 0);
        unlock(&p);
        settle();
    }
    CHECK_EQ(waiter_end(&w), 0);
    CHECK_EQ(p.asked, 4);
    return 0;
}

IN_RUNTIME_PINNED(a164_wait_for_what_is_true_does_not_suspend_and_a_cancel_ends_it)
{
    struct place p;
    place_init(&p);
    p.value = 3;
    does_not_suspend(wait_for_three, &p);
    p.value = 0;
    struct waiter w;
    waiter_start(&w, &(struct waiter){.wait = wait_for_three, .object = &p}, 0);
    CHECK(sinew_cancel(w.task));
    CHECK_EQ(waiter_end(&w), -ECANCELED);
    CHECK(!sinew_mutex_locked(&p.mutex));
    return 0;
}

TEST_MAIN(cmocka_unit_test(a158_set_wakes_all_who_wait_even_if_cleared_before_they_run),
          cmocka_unit_test(a158_waiting_for_a_set_event_does_not_suspend),
          cmocka_unit_test(a159_waiters_resume_in_the_order_they_came),
          cmocka_unit_test(a159_setting_twice_is_harmless),
          cmocka_unit_test(a160_without_the_lock_waiting_and_notifying_are_errors_and_do_nothing),
          cmocka_unit_test(a161_a_wait_gives_the_lock_up_and_has_it_again_when_it_returns),
          cmocka_unit_test(a161_a_cancelled_wait_returns_with_the_lock_however_often_it_is_cancelled),
          cmocka_unit_test(a161_a_cancelled_wait_queues_for_the_lock_behind_who_came_before),
          cmocka_unit_test(a162_notify_wakes_the_longest_waiters_who_return_after_the_unlock),
          cmocka_unit_test(a162_a_notification_is_not_kept_for_who_comes_later),
          cmocka_unit_test(a163_a_notified_waiter_that_is_cancelled_passes_the_notification_on),
          cmocka_unit_test(a164_wait_for_asks_again_after_each_notification),
          cmocka_unit_test(a164_wait_for_what_is_true_does_not_suspend_and_a_cancel_ends_it))
