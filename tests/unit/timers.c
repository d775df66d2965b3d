/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the timer heap keeps order, forgets what is disarmed at once, and does not grow with it (A115, A116, A119 of
 * conformance/rules.tsv).
 * Method: the heap itself, without workers; random arms and disarms against a list that is searched.
 * Cannot see: several threads at one heap; the tests of sleeping and of timeouts have those.
 */
#include <stdlib.h>

#include <tests/support/random.h>
#include <tests/support/run.h>

#include "runtime/timer.h"

typedef struct probe {
    sn_timer timer;
    sinew_time deadline;
    int fired;
    bool armed;
} probe;

static sinew_time last_fired;

static void fire(sn_timer *timer)
{
    probe *p = SN_CONTAINER(timer, probe, timer);
    p->fired++;
    p->armed = false;
    assert_true(p->deadline >= last_fired);
    last_fired = p->deadline;
}

static void arm(sn_timers *h, probe *p, sinew_time deadline)
{
    p->timer.fire = fire;
    p->deadline = deadline;
    p->armed = true;
    assert_int_equal(sn_timer_arm(h, &p->timer, deadline), 0);
}

static void a116_a_disarmed_timer_never_fires_and_disarming_twice_is_harmless(void **state)
{
    (void)state;
    sn_timers h;
    probe probes[3];
    memset(probes, 0, sizeof probes);
    sn_timers_init(&h);
    last_fired = 0;
    assert_false(sn_timer_disarm(&probes[0].timer)); /* never armed */
    for (int i = 0; i < 3; i++)
        arm(&h, &probes[i], i + 1);
    assert_true(sn_timer_disarm(&probes[1].timer));
    assert_false(sn_timer_disarm(&probes[1].timer));
    assert_int_equal(sn_timers_expire(&h, 10, false), 2);
    assert_false(sn_timer_disarm(&probes[0].timer)); /* fired */
    assert_int_equal(probes[0].fired, 1);
    assert_int_equal(probes[1].fired, 0);
    assert_int_equal(probes[2].fired, 1);
    assert_int_equal(sn_timers_expire(&h, 10, false), 0);
    assert_int_equal(sn_timers_earliest(&h), SINEW_FOREVER);
    sn_timers_destroy(&h);
}

static void a119_cancelled_timers_do_not_accumulate(void **state)
{
    (void)state;
    enum { ALIVE = 10, ROUNDS = 100000 };
    sn_timers h;
    probe alive[ALIVE], passing;
    memset(alive, 0, sizeof alive);
    memset(&passing, 0, sizeof passing);
    sn_timers_init(&h);
    for (int i = 0; i < ALIVE; i++)
        arm(&h, &alive[i], SINEW_S(1000 + i));
    uint32_t capacity = h.capacity;
    for (int i = 0; i < ROUNDS; i++) {
        arm(&h, &passing, SINEW_S(i % 2000));
        assert_int_equal(h.length, ALIVE + 1);
        assert_true(sn_timer_disarm(&passing.timer));
        assert_int_equal(h.length, ALIVE);
    }
    assert_int_equal(h.capacity, capacity);
    for (int i = 0; i < ALIVE; i++)
        assert_true(sn_timer_disarm(&alive[i].timer));
    assert_int_equal(h.length, 0);
    sn_timers_destroy(&h);
}

/* Every slot that was freed is used again, in whatever order timers go. */
static void a119_room_is_that_of_the_most_timers_at_once(void **state)
{
    (void)state;
    enum { MOST = 1000 };
    sn_timers h;
    probe *probes = calloc(MOST, sizeof *probes);
    uint64_t random = random_seed();
    sn_timers_init(&h);
    for (int i = 0; i < MOST; i++)
        arm(&h, &probes[i], 1 + (sinew_time)random_below(&random, 1000000));
    uint32_t capacity = h.capacity;
    for (size_t i = 0; i < scaled(200000, 20000); i++) {
        probe *p = &probes[random_below(&random, MOST)];
        if (p->armed) {
            assert_true(sn_timer_disarm(&p->timer));
            p->armed = false;
        } else {
            arm(&h, p, 1 + (sinew_time)random_below(&random, 1000000));
        }
    }
    assert_int_equal(h.capacity, capacity);
    uint32_t armed = 0;
    for (int i = 0; i < MOST; i++)
        armed += probes[i].armed;
    assert_int_equal(h.length, armed);
    sn_timers_destroy(&h);
    free(probes);
}

static void a115_what_is_due_fires_in_the_order_of_deadlines(void **state)
{
    (void)state;
    enum { PROBES = 500 };
    static probe probes[PROBES];
    sn_timers h;
    uint64_t random = random_seed();
    sn_timers_init(&h);
    for (int round = 0; round < 50; round++) {
        memset(probes, 0, sizeof probes);
        for (int i = 0; i < PROBES; i++)
            arm(&h, &probes[i], 1 + (sinew_time)random_below(&random, 300));
        for (int i = 0; i < PROBES; i += 3)
            assert_true(sn_timer_disarm(&probes[i].timer));
        last_fired = 0;
        unsigned fired = 0, n;
        for (sinew_time now = 50; now <= 300; now += 50) {
            while ((n = sn_timers_expire(&h, now, false)) != 0)
                fired += n;
            assert_true(sn_timers_earliest(&h) > now);
        }
        assert_int_equal(fired, PROBES - (PROBES + 2) / 3);
        for (int i = 0; i < PROBES; i++)
            assert_int_equal(probes[i].fired, i % 3 ? 1 : 0);
        assert_int_equal(h.length, 0);
    }
    sn_timers_destroy(&h);
}

TEST_MAIN(cmocka_unit_test(a116_a_disarmed_timer_never_fires_and_disarming_twice_is_harmless),
          cmocka_unit_test(a119_cancelled_timers_do_not_accumulate),
          cmocka_unit_test(a119_room_is_that_of_the_most_timers_at_once),
          cmocka_unit_test(a115_what_is_due_fires_in_the_order_of_deadlines))
