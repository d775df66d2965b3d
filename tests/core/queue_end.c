/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: whatever ends a wait in a queue (a cancel just after the grant, task_done, a shutdown), no item is lost or
 * doubled, and the counts agree.
 * Method: pinned tasks, which can be cancelled between the grant and their going on.
 * The plain cases stand in tests/conformance/queues.c.
 * Cannot see: what only races between workers bring about: that is for tests/stress/queues.c.
 */
#include <errno.h>

#include <tests/support/queues.h>

/* --- A178: cancelled between grant and going on ------------------------------------------------------------------- */

IN_RUNTIME_PINNED(an_item_of_a_cancelled_getter_goes_back_to_its_place)
{
    /* 2 and 4 go to the two who are cancelled, 1 and 3 are put after that. */
    static const int out[][4] = {{2, 4, 1, 3}, {3, 1, 4, 2}, {1, 2, 3, 4}};
    for (int kind = 0; kind < 3; kind++) {
        sinew_queue *q = new_queue((sinew_queue_kind)kind, 0);
        struct user u[2];
        for (int i = 0; i < 2; i++)
            start_user(&u[i], q, use_get, 0);
        CHECK_EQ(put(q, 2), 0);
        CHECK_EQ(put(q, 4), 0);
        CHECK_EQ(put(q, 1), 0);
        CHECK_EQ(put(q, 3), 0);
        CHECK_EQ(sinew_queue_length(q), 2);
        for (int i = 0; i < 2; i++)
            CHECK(sinew_cancel(u[i].task));
        for (int i = 0; i < 2; i++)
            CHECK_EQ(sinew_await(u[i].task), -ECANCELED);
        CHECK_EQ(sinew_queue_length(q), 4);
        CHECK_EQ(sinew_queue_unfinished(q), 4);
        for (int i = 0; i < 4; i++)
            CHECK_EQ(try_get(q), out[kind][i]);
        sinew_queue_unref(q);
    }
    return 0;
}

IN_RUNTIME_PINNED(many_items_can_go_back_beyond_the_memory_there_was)
{
    enum { USERS = 300 };
    for (int kind = 0; kind < 3; kind++) {
        sinew_queue *q = new_queue((sinew_queue_kind)kind, 0);
        struct user u[USERS];
        for (int i = 0; i < USERS; i++)
            start_user(&u[i], q, use_get, 0);
        for (int i = 0; i < USERS; i++)
            CHECK_EQ(put(q, i), 0);
        for (int i = 0; i < USERS; i++)
            CHECK(sinew_cancel(u[(i * 7 + 3) % USERS].task));
        for (int i = 0; i < USERS; i++)
            CHECK_EQ(sinew_await(u[i].task), -ECANCELED);
        for (int i = 0; i < USERS; i++)
            CHECK_EQ(try_get(q), kind == SINEW_QUEUE_LIFO ? USERS - 1 - i : i);
        sinew_queue_unref(q);
    }
    return 0;
}

IN_RUNTIME_PINNED(a_cancelled_getter_keeps_its_item_when_the_queue_was_filled_up)
{
    sinew_queue *q = new_queue(SINEW_QUEUE_FIFO, 1);
    struct user getter, putter;
    start_user(&getter, q, use_get, 0);
    CHECK_EQ(put(q, 1), 0);
    CHECK_EQ(put(q, 2), 0);
    start_user(&putter, q, use_put, 3);
    CHECK(sinew_cancel(getter.task));
    CHECK_EQ(sinew_await(getter.task), 1);
    CHECK_EQ(getter.after, -ECANCELED); /* the request was not lost */
    CHECK_EQ(get(q), 2);
    CHECK_EQ(get(q), 3);
    CHECK_EQ(sinew_await(putter.task), 0);
    CHECK_EQ(sinew_queue_unfinished(q), 3);
    sinew_queue_unref(q);
    return 0;
}

IN_RUNTIME_PINNED(a_putter_cancelled_in_time_puts_nothing_and_the_next_one_comes_in)
{
    for (int kind = 0; kind < 3; kind++) {
        sinew_queue *q = new_queue((sinew_queue_kind)kind, 3);
        struct user u[3];
        for (int i = 1; i <= 3; i++)
            CHECK_EQ(put(q, 10 * i), 0);
        for (int i = 0; i < 3; i++)
            start_user(&u[i], q, use_put, 15 + i);
        CHECK_EQ(get(q), kind == SINEW_QUEUE_LIFO ? 30 : 10); /* 15 is in */
        CHECK(sinew_cancel(u[0].task));
        CHECK(sinew_cancel(u[1].task));
        CHECK_EQ(sinew_await(u[0].task), -ECANCELED);
        CHECK_EQ(sinew_await(u[1].task), -ECANCELED);
        CHECK_EQ(sinew_await(u[2].task), 0);
        CHECK(sinew_queue_full(q));
        CHECK_EQ(sinew_queue_unfinished(q), 4);
        static const int out[][3] = {{20, 30, 17}, {17, 20, 10}, {17, 20, 30}};
        for (int i = 0; i < 3; i++)
            CHECK_EQ(try_get(q), out[kind][i]);
        CHECK_EQ(try_get(q), -EAGAIN);
        sinew_queue_unref(q);
    }
    return 0;
}

IN_RUNTIME_PINNED(elements_in_the_middle_can_be_taken_out_again)
{
    enum { USERS = 40 };
    static const sinew_queue_kind kinds[] = {SINEW_QUEUE_FIFO, SINEW_QUEUE_PRIORITY};
    for (int k = 0; k < 2; k++) {
        sinew_queue *q = new_queue(kinds[k], USERS);
        struct user u[USERS];
        bool stays[USERS];
        for (int i = 0; i < USERS; i++)
            CHECK_EQ(put(q, 0), 0);
        for (int i = 0; i < USERS; i++) {
            start_user(&u[i], q, use_put, 1 + i * 37 % USERS);
            stays[u[i].item - 1] = i % 3 != 1;
        }
        for (int i = 0; i < USERS; i++)
            CHECK_EQ(get(q), 0); /* each lets one in */
        for (int i = 1; i < USERS; i += 3)
            CHECK(sinew_cancel(u[i].task));
        for (int i = 0; i < USERS; i++)
            CHECK_EQ(sinew_await(u[i].task), i % 3 == 1 ? -ECANCELED : 0);
        for (int i = 0; i < USERS; i++) {
            int item = kinds[k] == SINEW_QUEUE_FIFO ? u[i].item : i + 1;
            if (stays[item - 1])
                CHECK_EQ(try_get(q), item);
        }
        CHECK_EQ(try_get(q), -EAGAIN);
        sinew_queue_unref(q);
    }
    return 0;
}

static intptr_t get_and_end(void *arg)
{
    struct user *u = arg;
    u->result = get(u->queue);
    return u->result;
}

IN_RUNTIME_PINNED(a_request_left_pending_still_ends_the_task)
{
    sinew_queue *q = new_queue(SINEW_QUEUE_FIFO, 1);
    struct user getter;
    start_user(&getter, q, get_and_end, 0);
    CHECK_EQ(put(q, 1), 0);
    CHECK_EQ(put(q, 2), 0);
    CHECK(sinew_cancel(getter.task));
    CHECK_EQ(sinew_await(getter.task), -ECANCELED);
    CHECK_EQ(getter.result, 1);
    sinew_queue_unref(q);
    return 0;
}

/* --- A180: task_done and join ------------------------------------------------------------------------------------- */

IN_RUNTIME_PINNED(a_cancelled_joiner_leaves_the_others_waiting)
{
    sinew_queue *q = new_queue(SINEW_QUEUE_FIFO, 0);
    struct user u[3];
    CHECK_EQ(put(q, 1), 0);
    for (int i = 0; i < 3; i++)
        start_user(&u[i], q, use_join, 0);
    CHECK(sinew_cancel(u[1].task));
    CHECK_EQ(sinew_await(u[1].task), -ECANCELED);
    CHECK(!sinew_done(u[0].task) && !sinew_done(u[2].task));
    CHECK_EQ(sinew_queue_task_done(q), 0);
    CHECK(sinew_cancel(u[2].task)); /* let go, and cancelled before it goes on */
    CHECK_EQ(sinew_await(u[0].task), 0);
    CHECK_EQ(sinew_await(u[2].task), -ECANCELED);
    sinew_queue_unref(q);
    return 0;
}

IN_RUNTIME_PINNED(very_many_joiners_and_getters_are_let_go)
{
    enum { USERS = 500 };
    static struct user u[USERS];
    sinew_queue *q = new_queue(SINEW_QUEUE_FIFO, 0);
    CHECK_EQ(put(q, 1), 0);
    for (int i = 0; i < USERS; i++)
        start_user(&u[i], q, use_join, 0);
    CHECK_EQ(sinew_queue_task_done(q), 0);
    for (int i = 0; i < USERS; i++)
        CHECK_EQ(sinew_await(u[i].task), 0);
    CHECK_EQ(get(q), 1);
    for (int i = 0; i < USERS; i++)
        start_user(&u[i], q, use_get, 0);
    CHECK_EQ(sinew_queue_shutdown(q, false), 0);
    for (int i = 0; i < USERS; i++)
        CHECK_EQ(sinew_await(u[i].task), -EPIPE);
    sinew_queue_unref(q);
    return 0;
}

struct crew {
    sinew_queue *queue;
    bool worked[2000]; /* by item: not atomic, join hands it over */
};

static intptr_t work_off(void *arg)
{
    struct crew *c = arg;
    int item;
    while ((item = get(c->queue)) >= 0) {
        if (item % 3 == 0)
            sinew_yield();
        c->worked[item] = true;
        CHECK_EQ(sinew_queue_task_done(c->queue), 0);
    }
    CHECK_EQ(item, -ECANCELED);
    return 0;
}

/* The idiom of asyncio's manual. */
IN_RUNTIME(a_crew_works_a_queue_off_and_is_cancelled)
{
    enum { CREW = 5 };
    int items = (int)scaled(2000, 200);
    struct crew c = {.queue = new_queue(SINEW_QUEUE_FIFO, 8)};
    sinew_task *crew[CREW];
    for (int i = 0; i < CREW; i++)
        crew[i] = sinew_spawn(work_off, &c);
    for (int i = 0; i < items; i++)
        CHECK_EQ(put(c.queue, i), 0);
    CHECK_EQ(sinew_queue_join(c.queue), 0);
    for (int i = 0; i < items; i++)
        CHECK(c.worked[i]);
    for (int i = 0; i < CREW; i++)
        CHECK(sinew_cancel(crew[i]));
    intptr_t results[CREW];
    CHECK_EQ(sinew_gather_settled(crew, CREW, results), 0);
    sinew_queue_unref(c.queue);
    return 0;
}

static intptr_t get_done_and_forget(void *arg)
{
    sinew_queue *q = arg;
    CHECK_EQ(get(q), 1);
    return sinew_queue_task_done(q);
}

IN_RUNTIME(who_has_joined_may_drop_the_last_reference)
{
    int rounds = (int)scaled(2000, 300);
    for (int i = 0; i < rounds; i++) {
        sinew_queue *q = new_queue(SINEW_QUEUE_FIFO, 0);
        sinew_task *t = sinew_spawn(get_done_and_forget, q);
        CHECK_EQ(put(q, 1), 0);
        if (i % 2)
            sinew_yield();
        CHECK_EQ(sinew_queue_join(q), 0);
        sinew_queue_unref(q); /* the other may still be inside task_done, behind the last thing it does there */
        CHECK_EQ(sinew_await(t), 0);
    }
    return 0;
}

/* --- A181, A182: shutdown ----------------------------------------------------------------------------------------- */

IN_RUNTIME_PINNED(after_a_shutdown_what_is_left_is_got_and_put_fails)
{
    sinew_queue *q = new_queue(SINEW_QUEUE_FIFO, 2);
    struct user putters[2];
    CHECK_EQ(put(q, 1), 0);
    CHECK_EQ(put(q, 2), 0);
    for (int i = 0; i < 2; i++)
        start_user(&putters[i], q, use_put, 3 + i);
    CHECK_EQ(sinew_queue_shutdown(q, false), 0);
    CHECK_EQ(put(q, 9), -EPIPE);
    CHECK_EQ(try_put(q, 9), -EPIPE);
    CHECK_EQ(get(q), 1);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(sinew_await(putters[i].task), -EPIPE);
    CHECK_EQ(sinew_queue_shutdown(q, false), 0);
    CHECK_EQ(try_get(q), 2);
    CHECK_EQ(get(q), -EPIPE);
    CHECK_EQ(try_get(q), -EPIPE);
    CHECK_EQ(put(q, 9), -EPIPE);
    /* Two items are still to be called done. */
    CHECK_EQ(sinew_queue_unfinished(q), 2);
    struct user joiner;
    start_user(&joiner, q, use_join, 0);
    CHECK_EQ(sinew_queue_task_done(q), 0);
    CHECK_EQ(sinew_queue_task_done(q), 0);
    CHECK_EQ(sinew_await(joiner.task), 0);
    CHECK_EQ(sinew_queue_shutdown(q, true), 0);
    CHECK_EQ(get(q), -EPIPE);
    sinew_queue_unref(q);
    return 0;
}

IN_RUNTIME_PINNED(an_immediate_shutdown_drops_what_is_left_and_calls_it_done)
{
    sinew_queue *q = new_queue(SINEW_QUEUE_FIFO, 3);
    struct user putter, joiner;
    for (int i = 0; i < 3; i++)
        CHECK_EQ(put(q, i), 0);
    start_user(&putter, q, use_put, 3);
    start_user(&joiner, q, use_join, 0);
    CHECK_EQ(get(q), 0); /* now 1, 2 and 3 are in it, and 0 is being worked on */
    CHECK_EQ(sinew_queue_unfinished(q), 4);
    CHECK_EQ(sinew_queue_shutdown(q, true), 0);
    CHECK_EQ(sinew_queue_length(q), 0);
    CHECK_EQ(sinew_queue_unfinished(q), 1);
    CHECK_EQ(get(q), -EPIPE);
    CHECK_EQ(try_put(q, 1), -EPIPE);
    CHECK_EQ(sinew_await(putter.task), 0); /* it had been put, and was dropped */
    CHECK(!sinew_done(joiner.task));
    CHECK_EQ(sinew_queue_task_done(q), 0);
    CHECK_EQ(sinew_await(joiner.task), 0);
    CHECK_EQ(sinew_queue_task_done(q), -EINVAL);
    CHECK_EQ(sinew_queue_shutdown(q, true), 0);
    sinew_queue_unref(q);
    return 0;
}

IN_RUNTIME_PINNED(what_a_cancelled_getter_gives_back_after_a_shutdown)
{
    for (int immediate = 0; immediate < 2; immediate++) {
        sinew_queue *q = new_queue(SINEW_QUEUE_FIFO, 2);
        struct user getter, joiner;
        start_user(&getter, q, use_get, 0);
        CHECK_EQ(put(q, 1), 0);
        start_user(&joiner, q, use_join, 0);
        CHECK_EQ(sinew_queue_shutdown(q, immediate), 0);
        CHECK(sinew_cancel(getter.task));
        CHECK_EQ(sinew_await(getter.task), -ECANCELED);
        /* It can still be got; after an immediate one it goes the way of the others. */
        CHECK_EQ(sinew_queue_unfinished(q), !immediate);
        CHECK_EQ(get(q), immediate ? -EPIPE : 1);
        CHECK_EQ(sinew_queue_task_done(q), immediate ? -EINVAL : 0);
        CHECK_EQ(sinew_await(joiner.task), 0);
        CHECK_EQ(get(q), -EPIPE);
        sinew_queue_unref(q);
    }
    return 0;
}

IN_RUNTIME_PINNED(too_many_task_done_and_a_drop_do_not_meet)
{
    sinew_queue *q = new_queue(SINEW_QUEUE_FIFO, 1);
    CHECK_EQ(put(q, 1), 0);
    CHECK_EQ(sinew_queue_task_done(q), 0); /* before it is got: nobody can know */
    CHECK_EQ(sinew_queue_shutdown(q, true), 0);
    CHECK_EQ(sinew_queue_unfinished(q), 0);
    CHECK_EQ(sinew_queue_join(q), 0);
    sinew_queue_unref(q);
    return 0;
}

TEST_MAIN(cmocka_unit_test(an_item_of_a_cancelled_getter_goes_back_to_its_place),
          cmocka_unit_test(many_items_can_go_back_beyond_the_memory_there_was),
          cmocka_unit_test(a_cancelled_getter_keeps_its_item_when_the_queue_was_filled_up),
          cmocka_unit_test(a_putter_cancelled_in_time_puts_nothing_and_the_next_one_comes_in),
          cmocka_unit_test(elements_in_the_middle_can_be_taken_out_again),
          cmocka_unit_test(a_request_left_pending_still_ends_the_task),
          cmocka_unit_test(a_cancelled_joiner_leaves_the_others_waiting),
          cmocka_unit_test(very_many_joiners_and_getters_are_let_go),
          cmocka_unit_test(a_crew_works_a_queue_off_and_is_cancelled),
          cmocka_unit_test(who_has_joined_may_drop_the_last_reference),
          cmocka_unit_test(after_a_shutdown_what_is_left_is_got_and_put_fails),
          cmocka_unit_test(an_immediate_shutdown_drops_what_is_left_and_calls_it_done),
          cmocka_unit_test(what_a_cancelled_getter_gives_back_after_a_shutdown),
          cmocka_unit_test(too_many_task_done_and_a_drop_do_not_meet))
