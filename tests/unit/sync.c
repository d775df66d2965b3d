/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: who is told that an event is set, a latch open, a once done may end it at once: whoever did it has left it.
 * Method: the spinlock inside is held by hand, in place of one who is on the way out, and nobody may be told meanwhile;
 * and threads that are let go look whether the spinlock is free.
 * Cannot see: a waiter that would have come back later than the short while the test looks.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>

#include "runtime/crowd.h"

#include <tests/support/run.h>

enum { LOOK_US = 20000 };

/* In each object the crowd comes first. */
static sn_crowd *crowd_of(void *object)
{
    return object;
}

struct question {
    intptr_t (*ask)(void *object);
    void *object;
    atomic_int answered;
    intptr_t answer;
};

static void *ask_in_a_thread(void *arg)
{
    struct question *q = arg;
    q->answer = q->ask(q->object);
    atomic_store(&q->answered, 1);
    return NULL;
}

/* The answer comes only after the lock is given up. */
static void check_told_after_unlock(intptr_t (*ask)(void *), void *object, intptr_t expected)
{
    struct question q = {.ask = ask, .object = object};
    pthread_t thread;
    bool biased = sn_crowd_lock(crowd_of(object));
    assert_int_equal(pthread_create(&thread, NULL, ask_in_a_thread, &q), 0);
    usleep(LOOK_US);
    int early = atomic_load(&q.answered);
    sn_crowd_unlock(crowd_of(object), biased);
    pthread_join(thread, NULL);
    assert_int_equal(early, 0);
    assert_int_equal(q.answer, expected);
}

static intptr_t ask_event(void *object)
{
    return sinew_event_is_set(object);
}

static intptr_t wait_for_event(void *object)
{
    return sinew_event_wait(object);
}

static intptr_t ask_latch(void *object)
{
    return sinew_latch_try_wait(object);
}

static intptr_t wait_for_latch(void *object)
{
    return sinew_latch_wait(object);
}

static intptr_t seven(void *arg)
{
    (void)arg;
    return 7;
}

static intptr_t ask_once(void *object)
{
    return sinew_once_run(object, seven, NULL);
}

static void nobody_is_told_while_another_is_inside(void **state)
{
    (void)state;
    sinew_event e;
    sinew_event_init(&e);
    assert_int_equal(sinew_event_set(&e), 0);
    check_told_after_unlock(ask_event, &e, true);
    check_told_after_unlock(wait_for_event, &e, 0);
    sinew_latch l;
    sinew_latch_init(&l, 1);
    assert_int_equal(sinew_latch_count_down(&l, 1), 0);
    check_told_after_unlock(ask_latch, &l, 0);
    check_told_after_unlock(wait_for_latch, &l, 0);
    sinew_once once = SINEW_ONCE_INIT;
    assert_int_equal(run_workers(1, ask_once, &once), 7);
    check_told_after_unlock(ask_once, &once, 7);
}

enum { ROUNDS = 300 };

struct rounds {
    intptr_t (*wait)(void *object);
    void *objects[ROUNDS];
    int held; /* how often the lock was found taken */
};

static void *wait_in_a_thread(void *arg)
{
    struct rounds *r = arg;
    for (int i = 0; i < ROUNDS; i++) {
        r->wait(r->objects[i]);
        r->held += atomic_load(&crowd_of(r->objects[i])->lock.held) != 0;
    }
    return NULL;
}

static void until_somebody_waits(sn_crowd *c)
{
    uint32_t waiting;
    do {
        bool biased = sn_crowd_lock(c);
        waiting = c->count;
        sn_crowd_unlock(c, biased);
        if (!waiting)
            sched_yield();
    } while (!waiting);
}

static void who_is_let_go_finds_the_lock_free(void **state)
{
    (void)state;
    static sinew_event events[ROUNDS];
    static sinew_latch latches[ROUNDS];
    static struct rounds of_events = {.wait = wait_for_event}, of_latches = {.wait = wait_for_latch};
    pthread_t threads[2];
    for (int i = 0; i < ROUNDS; i++) {
        sinew_event_init(&events[i]);
        sinew_latch_init(&latches[i], 1);
        of_events.objects[i] = &events[i];
        of_latches.objects[i] = &latches[i];
    }
    assert_int_equal(pthread_create(&threads[0], NULL, wait_in_a_thread, &of_events), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, wait_in_a_thread, &of_latches), 0);
    for (int i = 0; i < ROUNDS; i++) {
        until_somebody_waits(crowd_of(&events[i]));
        assert_int_equal(sinew_event_set(&events[i]), 0);
        until_somebody_waits(crowd_of(&latches[i]));
        assert_int_equal(sinew_latch_count_down(&latches[i], 1), 0);
    }
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(of_events.held, 0);
    assert_int_equal(of_latches.held, 0);
}

TEST_MAIN(cmocka_unit_test(nobody_is_told_while_another_is_inside), cmocka_unit_test(who_is_let_go_finds_the_lock_free))
