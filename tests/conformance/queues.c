/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: rules A175 to A183 (queues), as docs/conformance.md lists them; the number in a test's name is the rule's.
 * Method: pinned users of a queue, so that the test chooses what happens between what one is given and its going on.
 * Cannot see: races of puts, gets and cancels; stress/queues.c makes those.
 */
#include <errno.h>

#include <tests/support/queues.h>
#include <tests/support/waiters.h>

enum { WAITS = 1 /* user.result, until its call returns */ };

static int user_end(struct user *u)
{
    sinew_await(u->task);
    return u->result;
}

static void starts(struct user *u, sinew_queue *q, sinew_fn fn, int n, int first_item)
{
    for (int i = 0; i < n; i++)
        start_user(&u[i], q, fn, first_item + i);
}

/* --- A175, A176 --------------------------------------------------------------------------------------------------- */

IN_RUNTIME_PINNED(a175_put_waits_while_full_and_get_while_empty)
{
    sinew_queue *q = new_queue(SINEW_QUEUE_FIFO, 2);
    struct user u;
    start_user(&u, q, use_get, 0);
    settle();
    CHECK_EQ(u.result, WAITS);
    CHECK_EQ(put(q, 10), 0);
    CHECK_EQ(user_end(&u), 10);
    CHECK_EQ(put(q, 11), 0);
    CHECK_EQ(put(q, 12), 0);
    start_user(&u, q, use_put, 13);
    settle();
    CHECK_EQ(u.result, WAITS);
    CHECK_EQ(get(q), 11);
    CHECK_EQ(user_end(&u), 0);
    CHECK_EQ(get(q), 12);
    CHECK_EQ(get(q), 13);
    sinew_queue_unref(q);
    return 0;
}

IN_RUNTIME(a175_the_forms_that_do_not_wait_say_full_and_empty)
{
    sinew_queue *q = new_queue(SINEW_QUEUE_FIFO, 2);
    CHECK_EQ(try_get(q), -EAGAIN);
    CHECK_EQ(try_put(q, 2), 0);
    CHECK_EQ(try_put(q, 3), 0);
    CHECK_EQ(try_put(q, 4), -EAGAIN);
    CHECK_EQ(sinew_queue_unfinished(q), 2);
    CHECK_EQ(try_get(q), 2);
    CHECK_EQ(try_get(q), 3);
    CHECK_EQ(try_get(q), -EAGAIN);
    sinew_queue_unref(q);
    return 0;
}

IN_RUNTIME(a175_a_queue_without_a_limit_is_never_full)
{
    sinew_queue *q = new_queue(SINEW_QUEUE_FIFO, 0);
    for (int i = 0; i < 10000; i++) {
        CHECK_EQ(try_put(q, i), 0);
        CHECK(!sinew_queue_full(q));
    }
    for (int i = 0; i < 10000; i++)
        CHECK_EQ(try_get(q), i);
    sinew_queue_unref(q);
    return 0;
}

IN_RUNTIME_PINNED(a175_what_can_be_done_at_once_is_no_checkpoint)
{
    sinew_queue *q = new_queue(SINEW_QUEUE_FIFO, 1);
    CHECK(sinew_cancel(sinew_self()));
    CHECK_EQ(put(q, 5), 0);
    CHECK_EQ(get(q), 5);
    CHECK_EQ(get(q), -ECANCELED); /* here it would wait */
    CHECK_EQ(sinew_uncancel(), 0);
    CHECK_EQ(sinew_yield(), 0);
    sinew_queue_unref(q);
    return 0;
}

IN_RUNTIME(a176_items_come_out_in_the_order_of_the_kind)
{
    static const int in[] = {5, 3, 9, 3, 7};
    static const int out[3][5] = {{5, 3, 9, 3, 7}, {7, 3, 9, 3, 5}, {3, 3, 5, 7, 9}};
    static const sinew_queue_kind kinds[] = {SINEW_QUEUE_FIFO, SINEW_QUEUE_LIFO, SINEW_QUEUE_PRIORITY};
    for (int k = 0; k < 3; k++) {
        sinew_queue *q = new_queue(kinds[k], 0);
        for (int i = 0; i < 5; i++)
            CHECK_EQ(put(q, in[i]), 0);
        for (int i = 0; i < 5; i++)
            CHECK_EQ(get(q), out[k][i]);
        sinew_queue_unref(q);
    }
    return 0;
}

/* What a waiting putter brings is placed as if it had been put by then. */
IN_RUNTIME_PINNED(a176_what_a_waiting_putter_brings_is_placed_by_the_kind)
{
    static const int out[3][3] = {{5, 2, 8}, {2, 8, 5}, {2, 5, 8}};
    for (int k = 0; k < 3; k++) {
        sinew_queue *q = new_queue((sinew_queue_kind)k, 2);
        struct user u;
        CHECK_EQ(put(q, 5), 0);
        CHECK_EQ(put(q, 2), 0);
        start_user(&u, q, use_put, 8);
        for (int i = 0; i < 3; i++)
            CHECK_EQ(get(q), out[k][i]);
        CHECK_EQ(user_end(&u), 0);
        sinew_queue_unref(q);
    }
    return 0;
}

/* --- A177 to A179 ------------------------------------------------------------------------------------------------- */

enum { USERS = 5 };

IN_RUNTIME_PINNED(a177_waiting_getters_are_served_in_the_order_they_came_without_the_cancelled)
{
    for (unsigned cancelled = 0; cancelled < 1u << USERS; cancelled++) {
        sinew_queue *q = new_queue(SINEW_QUEUE_FIFO, 0);
        struct user u[USERS];
        starts(u, q, use_get, USERS, 0);
        for (int i = 0; i < USERS; i++)
            if (cancelled & 1u << i)
                CHECK(sinew_cancel(u[i].task));
        int kept = 0;
        for (int i = 0; i < USERS; i++) {
            if (cancelled & 1u << i)
                CHECK_EQ(user_end(&u[i]), -ECANCELED);
            else
                kept++;
        }
        for (int i = 0; i < kept; i++)
            CHECK_EQ(put(q, 100 + i), 0);
        for (int i = 0, next = 100; i < USERS; i++)
            if (!(cancelled & 1u << i))
                CHECK_EQ(user_end(&u[i]), next++);
        CHECK(sinew_queue_empty(q));
        sinew_queue_unref(q);
    }
    return 0;
}

IN_RUNTIME_PINNED(a177_waiting_putters_are_served_in_the_order_they_came_without_the_cancelled)
{
    for (unsigned cancelled = 0; cancelled < 1u << USERS; cancelled++) {
        sinew_queue *q = new_queue(SINEW_QUEUE_FIFO, 1);
        struct user u[USERS];
        CHECK_EQ(put(q, 50), 0);
        starts(u, q, use_put, USERS, 100);
        for (int i = 0; i < USERS; i++) {
            if (!(cancelled & 1u << i))
                continue;
            CHECK(sinew_cancel(u[i].task));
            CHECK_EQ(user_end(&u[i]), -ECANCELED);
        }
        CHECK_EQ(get(q), 50);
        for (int i = 0; i < USERS; i++) {
            if (cancelled & 1u << i)
                continue;
            CHECK_EQ(get(q), 100 + i);
            CHECK_EQ(user_end(&u[i]), 0);
        }
        CHECK_EQ(try_get(q), -EAGAIN);
        sinew_queue_unref(q);
    }
    return 0;
}

/* Getters that were given an item and some of them cancelled before they run: what they had goes to those behind. */
IN_RUNTIME_PINNED(a178_what_a_cancelled_getter_was_given_goes_to_the_next_and_is_not_lost)
{
    for (int kind = 0; kind < 3; kind++) {
        for (unsigned cancelled = 0; cancelled < 1u << USERS; cancelled++) {
            for (int puts = 0; puts <= USERS; puts++) {
                sinew_queue *q = new_queue((sinew_queue_kind)kind, 0);
                struct user u[USERS];
                starts(u, q, use_get, USERS, 0);
                for (int i = 0; i < puts; i++)
                    CHECK_EQ(put(q, 100 + i), 0);
                for (int i = 0; i < USERS; i++)
                    if (cancelled & 1u << i)
                        CHECK(sinew_cancel(u[i].task));
                settle();
                unsigned got = 0;
                int kept = 0, n = 0;
                for (int i = 0; i < USERS; i++) {
                    bool was = cancelled & 1u << i;
                    kept += !was;
                    if (was)
                        CHECK_EQ(u[i].result, -ECANCELED);
                    if (u[i].result >= 100) {
                        CHECK(!(got & 1u << (u[i].result - 100)));
                        got |= 1u << (u[i].result - 100);
                        n++;
                    }
                }
                CHECK_EQ(n, puts < kept ? puts : kept);
                CHECK_EQ(sinew_queue_length(q), puts - n);
                for (int item; (item = try_get(q)) >= 0;) {
                    CHECK(!(got & 1u << (item - 100)));
                    got |= 1u << (item - 100);
                }
                CHECK_EQ(got, (1u << puts) - 1);
                for (int i = 0; i < USERS; i++) {
                    if (u[i].result == WAITS)
                        CHECK(sinew_cancel(u[i].task));
                    user_end(&u[i]);
                }
                sinew_queue_unref(q);
            }
        }
    }
    return 0;
}

IN_RUNTIME_PINNED(a178_a_getter_cancelled_with_nobody_behind_it_puts_the_item_back_in_its_place)
{
    sinew_queue *q = new_queue(SINEW_QUEUE_FIFO, 0);
    struct user u;
    start_user(&u, q, use_get, 0);
    for (int i = 100; i < 103; i++)
        CHECK_EQ(put(q, i), 0);
    CHECK(sinew_cancel(u.task));
    CHECK_EQ(user_end(&u), -ECANCELED);
    for (int i = 100; i < 103; i++)
        CHECK_EQ(try_get(q), i);
    CHECK_EQ(sinew_queue_unfinished(q), 3);
    sinew_queue_unref(q);
    return 0;
}

/* The other side of the same: a putter whose element came in, cancelled before it runs, has put it or has not. */
IN_RUNTIME_PINNED(a178_a_cancelled_putter_has_put_its_item_exactly_if_it_says_so)
{
    for (int taken = 0; taken < 2; taken++) {
        sinew_queue *q = new_queue(SINEW_QUEUE_FIFO, 1);
        struct user u;
        CHECK_EQ(put(q, 50), 0);
        start_user(&u, q, use_put, 51);
        CHECK_EQ(get(q), 50);
        if (taken)
            CHECK_EQ(get(q), 51);
        CHECK(sinew_cancel(u.task));
        CHECK_EQ(user_end(&u), taken ? 0 : -ECANCELED);
        CHECK_EQ(u.after, taken ? -ECANCELED : 0); /* a request is delivered once */
        CHECK_EQ(try_get(q), -EAGAIN);
        CHECK_EQ(sinew_queue_unfinished(q), 1 + taken);
        sinew_queue_unref(q);
    }
    return 0;
}

IN_RUNTIME_PINNED(a179_nobody_takes_an_item_that_is_on_its_way_to_a_getter)
{
    sinew_queue *q = new_queue(SINEW_QUEUE_FIFO, 1);
    struct user u[3];
    starts(u, q, use_get, 2, 0);
    CHECK_EQ(put(q, 100), 0);
    CHECK_EQ(try_get(q), -EAGAIN);
    CHECK(sinew_queue_empty(q));
    start_user(&u[2], q, use_get, 0);
    CHECK_EQ(put(q, 101), 0);
    CHECK_EQ(put(q, 102), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(user_end(&u[i]), 100 + i);
    /* Nor a place that is on its way to a putter. */
    CHECK_EQ(put(q, 103), 0);
    start_user(&u[0], q, use_put, 104);
    CHECK_EQ(get(q), 103);
    CHECK_EQ(try_put(q, 105), -EAGAIN);
    CHECK_EQ(get(q), 104);
    CHECK_EQ(user_end(&u[0]), 0);
    sinew_queue_unref(q);
    return 0;
}

/* --- A180 --------------------------------------------------------------------------------------------------------- */

IN_RUNTIME_PINNED(a180_join_returns_when_every_item_put_was_said_to_be_done)
{
    enum { N = 4 };
    sinew_queue *q = new_queue(SINEW_QUEUE_FIFO, 0);
    struct user joiners[2];
    for (int i = 0; i < N; i++)
        CHECK_EQ(put(q, i), 0);
    starts(joiners, q, use_join, 2, 0);
    for (int i = 0; i < N; i++)
        CHECK_EQ(get(q), i); /* got is not done */
    for (int i = 0; i < N; i++) {
        settle();
        CHECK_EQ(joiners[0].result, WAITS);
        CHECK_EQ(joiners[1].result, WAITS);
        CHECK_EQ(sinew_queue_task_done(q), 0);
    }
    CHECK_EQ(put(q, 9), 0); /* comes too late for them to wait for */
    CHECK_EQ(user_end(&joiners[0]), 0);
    CHECK_EQ(user_end(&joiners[1]), 0);
    CHECK_EQ(sinew_queue_unfinished(q), 1);
    sinew_queue_unref(q);
    return 0;
}

IN_RUNTIME(a180_one_call_too_many_is_an_error_and_changes_nothing)
{
    sinew_queue *q = new_queue(SINEW_QUEUE_FIFO, 0);
    CHECK_EQ(sinew_queue_task_done(q), -EINVAL);
    CHECK_EQ(put(q, 1), 0);
    CHECK_EQ(sinew_queue_task_done(q), 0);
    CHECK_EQ(sinew_queue_task_done(q), -EINVAL);
    CHECK_EQ(sinew_queue_unfinished(q), 0);
    CHECK_EQ(sinew_queue_join(q), 0);
    sinew_queue_unref(q);
    return 0;
}

IN_RUNTIME_PINNED(a180_joining_a_queue_never_used_returns_at_once)
{
    sinew_queue *q = new_queue(SINEW_QUEUE_FIFO, 0);
    CHECK(sinew_cancel(sinew_self())); /* it would be delivered, if this waited */
    CHECK_EQ(sinew_queue_join(q), 0);
    CHECK_EQ(sinew_uncancel(), 0);
    sinew_queue_unref(q);
    return 0;
}

IN_RUNTIME_PINNED(a180_a_put_that_was_cancelled_is_not_waited_for)
{
    sinew_queue *q = new_queue(SINEW_QUEUE_FIFO, 1);
    struct user putter, joiner;
    CHECK_EQ(put(q, 1), 0);
    start_user(&putter, q, use_put, 2);
    start_user(&joiner, q, use_join, 0);
    CHECK_EQ(get(q), 1);
    CHECK_EQ(sinew_queue_task_done(q), 0); /* 2 is in by now */
    CHECK_EQ(joiner.result, WAITS);
    CHECK(sinew_cancel(putter.task));
    CHECK_EQ(user_end(&putter), -ECANCELED);
    CHECK_EQ(user_end(&joiner), 0);
    sinew_queue_unref(q);
    return 0;
}

/* --- A181, A182 --------------------------------------------------------------------------------------------------- */

IN_RUNTIME_PINNED(a181_after_a_shutdown_put_fails_and_get_drains)
{
    for (int times = 1; times <= 2; times++) {
        sinew_queue *q = new_queue(SINEW_QUEUE_FIFO, 2);
        struct user putters[2], joiner;
        CHECK_EQ(put(q, 1), 0);
        CHECK_EQ(put(q, 2), 0);
        starts(putters, q, use_put, 2, 3);
        start_user(&joiner, q, use_join, 0);
        for (int i = 0; i < times; i++)
            CHECK_EQ(sinew_queue_shutdown(q, false), 0);
        CHECK_EQ(user_end(&putters[0]), -EPIPE);
        CHECK_EQ(user_end(&putters[1]), -EPIPE);
        CHECK_EQ(put(q, 5), -EPIPE);
        CHECK_EQ(get(q), 1);
        CHECK_EQ(try_put(q, 5), -EPIPE);
        CHECK_EQ(try_get(q), 2);
        CHECK_EQ(get(q), -EPIPE);
        CHECK_EQ(try_get(q), -EPIPE);
        settle();
        CHECK_EQ(joiner.result, WAITS); /* what was drained is still to be done */
        CHECK_EQ(sinew_queue_task_done(q), 0);
        CHECK_EQ(sinew_queue_task_done(q), 0);
        CHECK_EQ(user_end(&joiner), 0);
        CHECK_EQ(sinew_queue_task_done(q), -EINVAL);
        sinew_queue_unref(q);
    }
    return 0;
}

IN_RUNTIME_PINNED(a181_a_shutdown_ends_those_who_wait_to_get)
{
    for (int immediate = 0; immediate < 2; immediate++) {
        sinew_queue *q = new_queue(SINEW_QUEUE_FIFO, 1);
        struct user u[4];
        starts(u, q, use_get, 4, 0);
        CHECK_EQ(put(q, 100), 0); /* on its way to the first, who keeps it */
        CHECK_EQ(sinew_queue_shutdown(q, immediate), 0);
        CHECK(sinew_cancel(u[2].task)); /* refused, and cancelled: cancelled */
        CHECK_EQ(user_end(&u[0]), 100);
        CHECK_EQ(user_end(&u[1]), -EPIPE);
        CHECK_EQ(u[1].after, 0);
        CHECK_EQ(user_end(&u[2]), -ECANCELED);
        CHECK_EQ(user_end(&u[3]), -EPIPE);
        CHECK_EQ(sinew_queue_unfinished(q), 1);
        sinew_queue_unref(q);
    }
    return 0;
}

IN_RUNTIME_PINNED(a181_what_a_cancelled_getter_gives_back_after_a_shutdown_can_still_be_got)
{
    sinew_queue *q = new_queue(SINEW_QUEUE_FIFO, 0);
    struct user u;
    start_user(&u, q, use_get, 0);
    CHECK_EQ(put(q, 100), 0);
    CHECK_EQ(sinew_queue_shutdown(q, false), 0);
    CHECK(sinew_cancel(u.task));
    CHECK_EQ(user_end(&u), -ECANCELED);
    CHECK_EQ(get(q), 100);
    CHECK_EQ(get(q), -EPIPE);
    sinew_queue_unref(q);
    return 0;
}

IN_RUNTIME_PINNED(a182_an_immediate_shutdown_drops_the_items_and_calls_them_done)
{
    for (int first_gently = 0; first_gently < 2; first_gently++) {
        sinew_queue *q = new_queue(SINEW_QUEUE_FIFO, 3);
        struct user putter, joiner;
        for (int i = 0; i < 3; i++)
            CHECK_EQ(put(q, i), 0);
        start_user(&putter, q, use_put, 3);
        start_user(&joiner, q, use_join, 0);
        if (first_gently)
            CHECK_EQ(sinew_queue_shutdown(q, false), 0);
        CHECK_EQ(joiner.result, WAITS);
        CHECK_EQ(sinew_queue_shutdown(q, true), 0);
        CHECK(sinew_queue_empty(q));
        CHECK_EQ(user_end(&putter), -EPIPE);
        CHECK_EQ(user_end(&joiner), 0);
        CHECK_EQ(get(q), -EPIPE);
        CHECK_EQ(put(q, 1), -EPIPE);
        CHECK_EQ(sinew_queue_unfinished(q), 0);
        CHECK_EQ(sinew_queue_shutdown(q, false), 0); /* it stays as it is */
        CHECK_EQ(get(q), -EPIPE);
        sinew_queue_unref(q);
    }
    return 0;
}

IN_RUNTIME_PINNED(a182_what_is_being_worked_on_is_waited_for_after_an_immediate_shutdown)
{
    sinew_queue *q = new_queue(SINEW_QUEUE_FIFO, 0);
    struct user joiner;
    CHECK_EQ(put(q, 1), 0);
    CHECK_EQ(put(q, 2), 0);
    CHECK_EQ(get(q), 1);
    start_user(&joiner, q, use_join, 0);
    CHECK_EQ(sinew_queue_shutdown(q, true), 0);
    settle();
    CHECK_EQ(joiner.result, WAITS);
    CHECK_EQ(sinew_queue_task_done(q), 0);
    CHECK_EQ(user_end(&joiner), 0);
    sinew_queue_unref(q);
    return 0;
}

/* --- A183 --------------------------------------------------------------------------------------------------------- */

IN_RUNTIME_PINNED(a183_for_users_of_one_worker_the_length_is_exact_between_checkpoints)
{
    sinew_queue *q = new_queue(SINEW_QUEUE_FIFO, 3);
    for (int n = 0; n <= 3; n++) {
        CHECK_EQ(sinew_queue_length(q), n);
        CHECK_EQ(sinew_queue_empty(q), n == 0);
        CHECK_EQ(sinew_queue_full(q), n == 3);
        if (n < 3)
            CHECK_EQ(put(q, n), 0);
    }
    struct user u;
    start_user(&u, q, use_put, 3);
    CHECK_EQ(sinew_queue_length(q), 3);
    CHECK_EQ(get(q), 0);
    CHECK(sinew_queue_full(q)); /* the waiting putter's is in */
    CHECK_EQ(user_end(&u), 0);
    for (int n = 1; n <= 3; n++)
        CHECK_EQ(get(q), n);
    CHECK(sinew_queue_empty(q));
    sinew_queue_unref(q);
    return 0;
}

TEST_MAIN(cmocka_unit_test(a175_put_waits_while_full_and_get_while_empty),
          cmocka_unit_test(a175_the_forms_that_do_not_wait_say_full_and_empty),
          cmocka_unit_test(a175_a_queue_without_a_limit_is_never_full),
          cmocka_unit_test(a175_what_can_be_done_at_once_is_no_checkpoint),
          cmocka_unit_test(a176_items_come_out_in_the_order_of_the_kind),
          cmocka_unit_test(a176_what_a_waiting_putter_brings_is_placed_by_the_kind),
          cmocka_unit_test(a177_waiting_getters_are_served_in_the_order_they_came_without_the_cancelled),
          cmocka_unit_test(a177_waiting_putters_are_served_in_the_order_they_came_without_the_cancelled),
          cmocka_unit_test(a178_what_a_cancelled_getter_was_given_goes_to_the_next_and_is_not_lost),
          cmocka_unit_test(a178_a_getter_cancelled_with_nobody_behind_it_puts_the_item_back_in_its_place),
          cmocka_unit_test(a178_a_cancelled_putter_has_put_its_item_exactly_if_it_says_so),
          cmocka_unit_test(a179_nobody_takes_an_item_that_is_on_its_way_to_a_getter),
          cmocka_unit_test(a180_join_returns_when_every_item_put_was_said_to_be_done),
          cmocka_unit_test(a180_one_call_too_many_is_an_error_and_changes_nothing),
          cmocka_unit_test(a180_joining_a_queue_never_used_returns_at_once),
          cmocka_unit_test(a180_a_put_that_was_cancelled_is_not_waited_for),
          cmocka_unit_test(a181_after_a_shutdown_put_fails_and_get_drains),
          cmocka_unit_test(a181_a_shutdown_ends_those_who_wait_to_get),
          cmocka_unit_test(a181_what_a_cancelled_getter_gives_back_after_a_shutdown_can_still_be_got),
          cmocka_unit_test(a182_an_immediate_shutdown_drops_the_items_and_calls_them_done),
          cmocka_unit_test(a182_what_is_being_worked_on_is_waited_for_after_an_immediate_shutdown),
          cmocka_unit_test(a183_for_users_of_one_worker_the_length_is_exact_between_checkpoints))
