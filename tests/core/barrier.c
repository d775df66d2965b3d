/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a barrier lets nobody go before all have come, gives each a number of its own, and can be used again at once;
 * a cancel removes one who waits and nothing else; reset and abort reach all who wait.
 * Method: pinned groups for orders and for cancels between the last arrival and the return; many rounds of tasks that
 * count what the others have done; a heap barrier that the first one back from a reset may not outlive.
 * Cannot see: whether the numbers of tasks that come from different workers follow their coming.
 */
#include <errno.h>
#include <stdlib.h>

#include <tests/support/run.h>
#include <tests/support/tasks.h>

static intptr_t wait_at(void *arg)
{
    return sinew_barrier_wait(arg);
}

static void yield_some(void)
{
    for (int i = 0; i < 3; i++)
        CHECK_EQ(sinew_yield(), 0);
}

IN_RUNTIME_PINNED(the_last_to_come_lets_all_go_and_numbers_follow_the_coming)
{
    sinew_barrier b;
    sinew_task *tasks[3];
    intptr_t results[3];
    CHECK_EQ(sinew_barrier_init(&b, 4), 0);
    CHECK_EQ(sinew_barrier_parties(&b), 4);
    for (int round = 0; round < 3; round++) {
        CHECK_EQ(sinew_barrier_n_waiting(&b), 0);
        for (int i = 0; i < 3; i++)
            tasks[i] = spawn_pinned(wait_at, &b);
        yield_some();
        CHECK_EQ(sinew_barrier_n_waiting(&b), 3);
        for (int i = 0; i < 3; i++)
            CHECK(!sinew_done(tasks[i]));
        CHECK_EQ(sinew_barrier_wait(&b), 3);
        CHECK_EQ(sinew_barrier_n_waiting(&b), 0);
        for (int i = 0; i < 3; i++)
            CHECK(!sinew_done(tasks[i])); /* it did not suspend */
        CHECK_EQ(sinew_gather(tasks, 3, results), 0);
        for (int i = 0; i < 3; i++)
            CHECK_EQ(results[i], i);
    }
    CHECK(!sinew_barrier_broken(&b));
    return 0;
}

IN_RUNTIME(one_party_never_waits)
{
    sinew_barrier b;
    CHECK_EQ(sinew_barrier_init(&b, 1), 0);
    CHECK_EQ(sinew_barrier_wait(&b), 0);
    CHECK_EQ(sinew_barrier_wait(&b), 0);
    return 0;
}

IN_RUNTIME_PINNED(newcomers_form_a_round_of_their_own_while_the_last_one_leaves)
{
    sinew_barrier b;
    sinew_task *tasks[4];
    intptr_t results[4];
    CHECK_EQ(sinew_barrier_init(&b, 2), 0);
    tasks[0] = spawn_pinned(wait_at, &b);
    yield_some();
    CHECK_EQ(sinew_barrier_wait(&b), 1);
    /* The first is let go and has not run. */
    CHECK(!sinew_done(tasks[0]));
    tasks[1] = spawn_pinned(wait_at, &b);
    yield_some();
    CHECK(sinew_done(tasks[0]));
    CHECK(!sinew_done(tasks[1]));
    CHECK_EQ(sinew_barrier_wait(&b), 1);
    CHECK_EQ(sinew_gather(tasks, 2, results), 0);
    CHECK_EQ(results[0], 0);
    CHECK_EQ(results[1], 0);
    return 0;
}

IN_RUNTIME_PINNED(a_cancelled_waiter_is_removed_and_the_barrier_is_whole)
{
    sinew_barrier b;
    sinew_task *tasks[3];
    intptr_t results[3];
    CHECK_EQ(sinew_barrier_init(&b, 3), 0);
    for (int i = 0; i < 2; i++)
        tasks[i] = spawn_pinned(wait_at, &b);
    yield_some();
    CHECK(sinew_cancel(tasks[0]));
    yield_some();
    CHECK(sinew_done(tasks[0]));
    CHECK_EQ(sinew_barrier_n_waiting(&b), 1);
    CHECK(!sinew_barrier_broken(&b));
    tasks[2] = spawn_pinned(wait_at, &b);
    yield_some();
    CHECK_EQ(sinew_barrier_n_waiting(&b), 2);
    CHECK_EQ(sinew_barrier_wait(&b), 2);
    CHECK_EQ(sinew_gather_settled(tasks, 3, results), 0);
    CHECK_EQ(results[0], -ECANCELED);
    CHECK_EQ(results[1], 0);
    CHECK_EQ(results[2], 1);
    return 0;
}

IN_RUNTIME_PINNED(one_cancelled_after_it_was_let_go_does_not_hold_the_others)
{
    sinew_barrier b;
    sinew_task *tasks[2];
    intptr_t results[2];
    CHECK_EQ(sinew_barrier_init(&b, 3), 0);
    for (int i = 0; i < 2; i++)
        tasks[i] = spawn_pinned(wait_at, &b);
    yield_some();
    CHECK_EQ(sinew_barrier_wait(&b), 2);
    CHECK(sinew_cancel(tasks[0]));
    CHECK_EQ(sinew_gather_settled(tasks, 2, results), 0);
    CHECK_EQ(results[0], -ECANCELED);
    CHECK_EQ(results[1], 1);
    CHECK_EQ(sinew_barrier_n_waiting(&b), 0);
    CHECK(!sinew_barrier_broken(&b));
    return 0;
}

IN_RUNTIME_PINNED(reset_reaches_who_waits_and_leaves_a_whole_barrier)
{
    sinew_barrier b;
    sinew_task *tasks[2];
    intptr_t results[2];
    CHECK_EQ(sinew_barrier_init(&b, 3), 0);
    CHECK_EQ(sinew_barrier_reset(&b), 0);
    for (int i = 0; i < 2; i++)
        tasks[i] = spawn_pinned(wait_at, &b);
    yield_some();
    CHECK_EQ(sinew_barrier_reset(&b), 0);
    CHECK(!sinew_barrier_broken(&b));
    CHECK_EQ(sinew_barrier_n_waiting(&b), 0);
    CHECK_EQ(sinew_gather_settled(tasks, 2, results), 0);
    CHECK_EQ(results[0], -ECONNABORTED);
    CHECK_EQ(results[1], -ECONNABORTED);
    for (int i = 0; i < 2; i++)
        tasks[i] = spawn_pinned(wait_at, &b);
    yield_some();
    CHECK_EQ(sinew_barrier_wait(&b), 2);
    return sinew_gather(tasks, 2, NULL);
}

IN_RUNTIME_PINNED(abort_breaks_for_present_and_future_until_reset)
{
    sinew_barrier b;
    CHECK_EQ(sinew_barrier_init(&b, 2), 0);
    sinew_task *t = spawn_pinned(wait_at, &b);
    yield_some();
    CHECK_EQ(sinew_barrier_abort(&b), 0);
    CHECK(sinew_barrier_broken(&b));
    CHECK_EQ(sinew_barrier_wait(&b), -ECONNABORTED);
    CHECK_EQ(sinew_await(t), -ECONNABORTED);
    CHECK_EQ(sinew_barrier_wait(&b), -ECONNABORTED);
    CHECK_EQ(sinew_barrier_reset(&b), 0);
    CHECK(!sinew_barrier_broken(&b));
    t = spawn_pinned(wait_at, &b);
    yield_some();
    CHECK_EQ(sinew_barrier_wait(&b), 1);
    return sinew_await(t);
}

/* Each does its part of a step, then meets the others; ThreadSanitizer sees whether the barrier orders the parts. */
struct steps {
    sinew_barrier barrier;
    int parties, rounds;
    atomic_int turn;
    int done[8];
    atomic_int numbers;
};

static intptr_t step(void *arg)
{
    struct steps *s = arg;
    int self = atomic_fetch_add(&s->turn, 1);
    for (int round = 0; round < s->rounds; round++) {
        s->done[self] = round + 1;
        int number = sinew_barrier_wait(&s->barrier);
        if (!CHECK(number >= 0 && number < s->parties))
            return number;
        atomic_fetch_add(&s->numbers, 1 << number);
        for (int i = 0; i < s->parties; i++)
            CHECK_EQ(s->done[i], round + 1);
        int last = sinew_barrier_wait(&s->barrier);
        if (last == s->parties - 1) {
            CHECK_EQ(atomic_load(&s->numbers), (1 << s->parties) - 1);
            atomic_store(&s->numbers, 0);
        }
        CHECK(sinew_barrier_wait(&s->barrier) >= 0);
    }
    return 0;
}

IN_RUNTIME(nobody_is_ahead_and_each_number_is_given_once_a_round)
{
    struct steps s = {.parties = 7, .rounds = (int)scaled(1000, 50)};
    sinew_task *tasks[7];
    CHECK_EQ(sinew_barrier_init(&s.barrier, 7), 0);
    for (int i = 0; i < 7; i++)
        tasks[i] = sinew_spawn(step, &s);
    return sinew_gather(tasks, 7, NULL);
}

struct shared_barrier {
    sinew_barrier barrier;
    atomic_int users;
};

static intptr_t meet_and_leave(void *arg)
{
    struct shared_barrier *s = arg;
    int number = sinew_barrier_wait(&s->barrier);
    if (atomic_fetch_sub(&s->users, 1) == 1)
        free(s);
    return number < 0 ? number : 0;
}

IN_RUNTIME(a_barrier_may_end_as_soon_as_all_are_back)
{
    int rounds = (int)scaled(2000, 200);
    for (int i = 0; i < rounds; i++) {
        struct shared_barrier *s = malloc(sizeof *s);
        sinew_task *tasks[3];
        atomic_init(&s->users, 3);
        CHECK_EQ(sinew_barrier_init(&s->barrier, 3), 0);
        for (int k = 0; k < 3; k++)
            tasks[k] = sinew_spawn(meet_and_leave, s);
        if (i % 2)
            sinew_yield();
        if (!CHECK_EQ(sinew_gather(tasks, 3, NULL), 0))
            break;
    }
    return 0;
}

static void misuse_is_told(void **state)
{
    (void)state;
    sinew_barrier b = {{0}};
    assert_int_equal(sinew_barrier_wait(&b), -EINVAL);
    assert_int_equal(sinew_barrier_init(NULL, 1), -EINVAL);
    assert_int_equal(sinew_barrier_init(&b, 0), -EINVAL);
    assert_int_equal(sinew_barrier_init(&b, -1), -EINVAL);
    assert_int_equal(sinew_barrier_init(&b, 2), 0);
    assert_int_equal(sinew_barrier_wait(NULL), -EINVAL);
    assert_int_equal(sinew_barrier_wait(&b), -EPERM);
    assert_int_equal(sinew_barrier_n_waiting(&b), 0);
    assert_int_equal(sinew_barrier_reset(NULL), -EINVAL);
    assert_int_equal(sinew_barrier_abort(NULL), -EINVAL);
    assert_int_equal(sinew_barrier_parties(NULL), -EINVAL);
    assert_int_equal(sinew_barrier_n_waiting(NULL), -EINVAL);
    assert_false(sinew_barrier_broken(NULL));
}

TEST_MAIN(cmocka_unit_test(the_last_to_come_lets_all_go_and_numbers_follow_the_coming),
          cmocka_unit_test(one_party_never_waits),
          cmocka_unit_test(newcomers_form_a_round_of_their_own_while_the_last_one_leaves),
          cmocka_unit_test(a_cancelled_waiter_is_removed_and_the_barrier_is_whole),
          cmocka_unit_test(one_cancelled_after_it_was_let_go_does_not_hold_the_others),
          cmocka_unit_test(reset_reaches_who_waits_and_leaves_a_whole_barrier),
          cmocka_unit_test(abort_breaks_for_present_and_future_until_reset),
          cmocka_unit_test(nobody_is_ahead_and_each_number_is_given_once_a_round),
          cmocka_unit_test(a_barrier_may_end_as_soon_as_all_are_back), cmocka_unit_test(misuse_is_told))
