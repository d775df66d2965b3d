/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: rules A169 to A173 (barriers), as docs/conformance.md lists them; the number in a test's name is the rule's.
 * Method: pinned waiters, so that the test chooses what happens between the last arrival and the others' going on.
 * Cannot see: races of arrivals on several workers; core/barrier.c makes those.
 */
#include <errno.h>
#include <limits.h>

#include <tests/support/waiters.h>

static int wait(void *b)
{
    return sinew_barrier_wait(b);
}

enum { MOST = 6 };

static void barrier_init(sinew_barrier *b, int parties)
{
    CHECK_EQ(sinew_barrier_init(b, parties), 0);
}

/* All numbers below `parties`, one each, `own` among them. */
static void numbers_are_distinct(struct waiter *w, int parties, int own)
{
    unsigned seen = 1u << own;
    for (int i = 0; i < parties - 1; i++) {
        int r = waiter_end(&w[i]);
        if (!CHECK(r >= 0 && r < parties))
            continue;
        CHECK(!(seen & 1u << r));
        seen |= 1u << r;
    }
    CHECK_EQ(seen, (1u << parties) - 1);
}

/* It works as if nothing had been. */
static void is_whole(sinew_barrier *b, int parties)
{
    CHECK(!sinew_barrier_broken(b));
    CHECK_EQ(sinew_barrier_n_waiting(b), 0);
    CHECK_EQ(sinew_barrier_parties(b), parties);
    struct waiter w[MOST];
    waiters_start(w, &(struct waiter){.wait = wait, .object = b}, parties - 1);
    CHECK_EQ(sinew_barrier_n_waiting(b), parties - 1);
    int own = sinew_barrier_wait(b);
    CHECK(own >= 0 && own < parties);
    numbers_are_distinct(w, parties, own);
    CHECK_EQ(sinew_barrier_n_waiting(b), 0);
}

IN_RUNTIME_PINNED(a169_the_last_arrival_frees_all_and_each_gets_a_number_of_its_own)
{
    for (int parties = 1; parties <= MOST; parties++) {
        sinew_barrier b;
        barrier_init(&b, parties);
        struct waiter w[MOST];
        for (int round = 0; round < 5; round++) {
            waiters_start(w, &(struct waiter){.wait = wait, .object = &b}, parties - 1);
            settle();
            for (int i = 0; i < parties - 1; i++)
                CHECK_EQ(w[i].result, STILL_WAITING);
            int own = sinew_barrier_wait(&b);
            CHECK(own >= 0 && own < parties);
            numbers_are_distinct(w, parties, own);
        }
    }
    return 0;
}

IN_RUNTIME_PINNED(a170_reset_breaks_who_waits_and_leaves_a_usable_barrier)
{
    for (int present = 0; present < MOST; present++) {
        sinew_barrier b;
        barrier_init(&b, MOST);
        struct waiter w[MOST];
        waiters_start(w, &(struct waiter){.wait = wait, .object = &b}, present);
        CHECK_EQ(sinew_barrier_reset(&b), 0);
        CHECK_EQ(sinew_barrier_n_waiting(&b), 0);
        is_whole(&b, MOST); /* before those broken off have run */
        for (int i = 0; i < present; i++)
            CHECK_EQ(waiter_end(&w[i]), -ECONNABORTED);
        is_whole(&b, MOST);
    }
    return 0;
}

IN_RUNTIME_PINNED(a170_abort_breaks_present_and_future_waiters_until_reset)
{
    for (int present = 0; present < MOST; present++) {
        sinew_barrier b;
        barrier_init(&b, MOST);
        struct waiter w[MOST];
        waiters_start(w, &(struct waiter){.wait = wait, .object = &b}, present);
        CHECK_EQ(sinew_barrier_abort(&b), 0);
        CHECK(sinew_barrier_broken(&b));
        for (int i = 0; i < MOST + 1; i++)
            CHECK_EQ(sinew_barrier_wait(&b), -ECONNABORTED);
        for (int i = 0; i < present; i++)
            CHECK_EQ(waiter_end(&w[i]), -ECONNABORTED);
        CHECK_EQ(sinew_barrier_abort(&b), 0);
        CHECK(sinew_barrier_broken(&b));
        CHECK_EQ(sinew_barrier_reset(&b), 0);
        is_whole(&b, MOST);
    }
    return 0;
}

/* Who was let go before has its number already. */
IN_RUNTIME_PINNED(a170_an_abort_or_reset_after_the_last_arrival_reaches_nobody_of_that_round)
{
    int (*const breaks[])(sinew_barrier *) = {sinew_barrier_reset, sinew_barrier_abort};
    for (int i = 0; i < 2; i++) {
        sinew_barrier b;
        barrier_init(&b, 3);
        struct waiter w[2];
        waiters_start(w, &(struct waiter){.wait = wait, .object = &b}, 2);
        int own = sinew_barrier_wait(&b);
        CHECK_EQ(breaks[i](&b), 0);
        numbers_are_distinct(w, 3, own);
    }
    return 0;
}

IN_RUNTIME_PINNED(a171_a_cancelled_waiter_is_removed_and_the_barrier_is_whole)
{
    enum { PRESENT = MOST - 1 };
    for (unsigned cancelled = 1; cancelled < 1u << PRESENT; cancelled++) {
        sinew_barrier b;
        barrier_init(&b, MOST);
        struct waiter w[PRESENT], late[PRESENT];
        waiters_start(w, &(struct waiter){.wait = wait, .object = &b}, PRESENT);
        int left = PRESENT;
        for (int i = 0; i < PRESENT; i++) {
            if (!(cancelled & 1u << i))
                continue;
            CHECK(sinew_cancel(w[i].task));
            CHECK_EQ(waiter_end(&w[i]), -ECANCELED);
            left--;
        }
        CHECK_EQ(sinew_barrier_n_waiting(&b), left);
        CHECK(!sinew_barrier_broken(&b));
        /* As many must come again as have gone. */
        waiters_start(late, &(struct waiter){.wait = wait, .object = &b}, PRESENT - left);
        settle();
        for (int i = 0; i < PRESENT; i++)
            CHECK(cancelled & 1u << i || w[i].result == STILL_WAITING);
        CHECK(sinew_barrier_wait(&b) >= 0);
        for (int i = 0; i < PRESENT; i++)
            if (!(cancelled & 1u << i))
                CHECK(waiter_end(&w[i]) >= 0);
        for (int i = 0; i < PRESENT - left; i++)
            CHECK(waiter_end(&late[i]) >= 0);
        is_whole(&b, MOST);
    }
    return 0;
}

IN_RUNTIME_PINNED(a171_one_cancelled_after_the_last_arrival_holds_nobody)
{
    sinew_barrier b;
    barrier_init(&b, 4);
    struct waiter w[3];
    waiters_start(w, &(struct waiter){.wait = wait, .object = &b}, 3);
    CHECK(sinew_barrier_wait(&b) >= 0);
    CHECK(sinew_cancel(w[1].task));
    CHECK(waiter_end(&w[0]) >= 0);
    CHECK_EQ(waiter_end(&w[1]), -ECANCELED);
    CHECK(waiter_end(&w[2]) >= 0);
    is_whole(&b, 4);
    return 0;
}

IN_RUNTIME_PINNED(a172_newcomers_belong_to_the_next_round_while_the_last_one_leaves)
{
    sinew_barrier b;
    barrier_init(&b, 3);
    struct waiter like = {.wait = wait, .object = &b}, w[2], next[2];
    waiters_start(w, &like, 2);
    int own = sinew_barrier_wait(&b);
    waiters_start(next, &like, 2); /* those of the first round have not run */
    CHECK_EQ(sinew_barrier_n_waiting(&b), 2);
    numbers_are_distinct(w, 3, own);
    settle();
    for (int i = 0; i < 2; i++)
        CHECK_EQ(next[i].result, STILL_WAITING);
    own = sinew_barrier_wait(&b);
    numbers_are_distinct(next, 3, own);
    is_whole(&b, 3);
    return 0;
}

IN_RUNTIME(a173_less_than_one_party_is_refused)
{
    const int refused[] = {0, -1, INT_MIN};
    sinew_barrier b;
    for (int i = 0; i < 3; i++)
        CHECK_EQ(sinew_barrier_init(&b, refused[i]), -EINVAL);
    barrier_init(&b, 1);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(sinew_barrier_wait(&b), 0);
    return 0;
}

TEST_MAIN(cmocka_unit_test(a169_the_last_arrival_frees_all_and_each_gets_a_number_of_its_own),
          cmocka_unit_test(a170_reset_breaks_who_waits_and_leaves_a_usable_barrier),
          cmocka_unit_test(a170_abort_breaks_present_and_future_waiters_until_reset),
          cmocka_unit_test(a170_an_abort_or_reset_after_the_last_arrival_reaches_nobody_of_that_round),
          cmocka_unit_test(a171_a_cancelled_waiter_is_removed_and_the_barrier_is_whole),
          cmocka_unit_test(a171_one_cancelled_after_the_last_arrival_holds_nobody),
          cmocka_unit_test(a172_newcomers_belong_to_the_next_round_while_the_last_one_leaves),
          cmocka_unit_test(a173_less_than_one_party_is_refused))
