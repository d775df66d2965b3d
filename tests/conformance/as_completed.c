/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: rules A106 to A108 (as_completed), as docs/conformance.md lists them; the number in a test's name is the
 * rule's. Method: children at gates, let through in an order that is not the array's, before and while somebody waits
 * for them. Cannot see: the order of two ends of which neither knows of the other.
 */
#include <errno.h>

#include <tests/support/run.h>
#include <tests/support/tasks.h>

enum { CHILDREN = 7 };

struct children {
    gate gates[CHILDREN];
    sinew_task *tasks[CHILDREN];
};

/* Children with the results 100, 101, ..., all at their gates. */
static void children_begin(struct children *c)
{
    for (int i = 0; i < CHILDREN; i++) {
        gate_init(&c->gates[i], 100 + i);
        c->tasks[i] = sinew_spawn(gate_pass, &c->gates[i]);
    }
    for (int i = 0; i < CHILDREN; i++)
        yield_until(&c->gates[i].reached, 1);
}

static void let_end(struct children *c, int i)
{
    gate_open(&c->gates[i], 1);
    yield_until_done(c->tasks[i]);
}

/* They are still the caller's, and nobody has cancelled them. */
static void children_end(struct children *c)
{
    for (int i = 0; i < CHILDREN; i++) {
        gate_open(&c->gates[i], 1);
        CHECK_EQ(sinew_await(c->tasks[i]), c->gates[i].result);
        CHECK_EQ(c->gates[i].cancelled, 0);
    }
}

static const int order[CHILDREN] = {4, 0, 6, 1, 5, 3, 2};

struct opener {
    struct children *children;
    int from;
};

/* Lets the others through one by one, while somebody waits. */
static intptr_t open_the_others(void *arg)
{
    struct opener *o = arg;
    for (int i = o->from; i < CHILDREN; i++) {
        for (int yields = 0; yields < 5; yields++)
            CHECK_EQ(sinew_yield(), 0);
        let_end(o->children, order[i]);
    }
    return 0;
}

IN_RUNTIME(a106_tasks_come_in_the_order_in_which_they_end)
{
    for (int before = 0; before <= CHILDREN; before++) {
        struct children c;
        children_begin(&c);
        sinew_as_completed it;
        CHECK_EQ(sinew_as_completed_begin(&it, c.tasks, CHILDREN, SINEW_FOREVER), 0);
        for (int i = 0; i < before; i++)
            let_end(&c, order[i]);
        struct opener o = {&c, before};
        sinew_task *opener = sinew_spawn(open_the_others, &o);
        for (int i = 0; i < CHILDREN; i++)
            CHECK_EQ(sinew_as_completed_next(&it), order[i]);
        CHECK_EQ(sinew_as_completed_next(&it), -ENOENT);
        sinew_as_completed_end(&it);
        CHECK_EQ(sinew_await(opener), 0);
        children_end(&c);
    }
    return 0;
}

IN_RUNTIME(a106_errors_and_cancels_come_in_their_turn_like_values)
{
    struct children c;
    children_begin(&c);
    c.gates[2].result = -EIO;
    sinew_as_completed it;
    CHECK_EQ(sinew_as_completed_begin(&it, c.tasks, CHILDREN, SINEW_FOREVER), 0);
    let_end(&c, 3);
    let_end(&c, 2);
    CHECK(sinew_cancel(c.tasks[5]));
    yield_until_done(c.tasks[5]);
    let_end(&c, 1);
    const int ends[] = {3, 2, 5, 1};
    for (int i = 0; i < 4; i++)
        CHECK_EQ(sinew_as_completed_next(&it), ends[i]);
    CHECK_EQ(sinew_cancelling(), 0);
    sinew_as_completed_end(&it);
    CHECK_EQ(sinew_result(c.tasks[5]), -ECANCELED);
    CHECK_EQ(c.gates[5].cancelled, 1);
    c.gates[5].result = -ECANCELED;
    c.gates[5].cancelled = 0;
    children_end(&c);
    return 0;
}

IN_RUNTIME(a106_one_given_several_times_comes_once)
{
    for (int ended = 0; ended < 2; ended++) {
        struct children c;
        children_begin(&c);
        sinew_task *twice[2 * CHILDREN];
        for (int i = 0; i < CHILDREN; i++)
            twice[i] = twice[2 * CHILDREN - 1 - i] = c.tasks[i];
        sinew_as_completed it;
        if (ended)
            let_end(&c, 2);
        CHECK_EQ(sinew_as_completed_begin(&it, twice, 2 * CHILDREN, SINEW_FOREVER), 0);
        if (ended)
            CHECK_EQ(sinew_as_completed_next(&it), 2);
        for (int i = 0; i < CHILDREN - ended; i++) {
            gate_open(&c.gates[order[i]], 1);
            CHECK_EQ(sinew_as_completed_next(&it), order[i]);
        }
        if (!ended)
            CHECK_EQ(order[CHILDREN - 1], 2); /* so it was the last one above */
        CHECK_EQ(sinew_as_completed_next(&it), -ENOENT);
        sinew_as_completed_end(&it);
        children_end(&c);
    }
    return 0;
}

IN_RUNTIME(a107_after_the_time_limit_each_one_left_is_a_timeout_and_goes_on)
{
    for (int again = 0; again < 2; again++) { /* with each one there twice, it is a timeout once */
        struct children c;
        children_begin(&c);
        sinew_task *tasks[2 * CHILDREN];
        for (int i = 0; i < 2 * CHILDREN; i++)
            tasks[i] = c.tasks[i % CHILDREN];
        let_end(&c, 4);
        sinew_as_completed it;
        CHECK_EQ(sinew_as_completed_begin(&it, tasks, again ? 2 * CHILDREN : CHILDREN, SINEW_MS(200)), 0);
        let_end(&c, 0);
        CHECK_EQ(sinew_as_completed_next(&it), 4);
        CHECK_EQ(sinew_as_completed_next(&it), 0);
        for (int i = 2; i < CHILDREN; i++) {
            CHECK_EQ(sinew_as_completed_next(&it), -ETIMEDOUT);
            CHECK(sinew_as_completed_timed_out(&it));
        }
        CHECK_EQ(sinew_as_completed_next(&it), -ENOENT);
        CHECK_EQ(sinew_as_completed_next(&it), -ENOENT);
        CHECK_EQ(sinew_cancelling(), 0);
        for (int i = 0; i < CHILDREN; i++)
            CHECK_EQ(sinew_done(c.tasks[i]), i == 4 || i == 0);
        sinew_as_completed_end(&it);
        children_end(&c);
    }
    return 0;
}

IN_RUNTIME(a107_a_limit_that_is_over_at_once_gives_what_has_ended)
{
    const sinew_time limits[] = {0, -1};
    for (int l = 0; l < 2; l++) {
        struct children c;
        children_begin(&c);
        let_end(&c, 5);
        let_end(&c, 1);
        sinew_as_completed it;
        CHECK_EQ(sinew_as_completed_begin(&it, c.tasks, CHILDREN, limits[l]), 0);
        CHECK_EQ(sinew_as_completed_next(&it), 1);
        CHECK_EQ(sinew_as_completed_next(&it), 5);
        for (int i = 2; i < CHILDREN; i++)
            CHECK_EQ(sinew_as_completed_next(&it), -ETIMEDOUT);
        CHECK_EQ(sinew_as_completed_next(&it), -ENOENT);
        sinew_as_completed_end(&it);
        children_end(&c);
    }
    return 0;
}

IN_RUNTIME(a108_what_comes_is_the_callers_own_task_whose_result_is_still_to_be_had)
{
    struct children c;
    children_begin(&c);
    c.gates[6].result = -EPIPE;
    sinew_task *own[CHILDREN];
    for (int i = 0; i < CHILDREN; i++)
        own[i] = c.tasks[i];
    sinew_as_completed it;
    CHECK_EQ(sinew_as_completed_begin(&it, c.tasks, CHILDREN, SINEW_FOREVER), 0);
    for (int i = 0; i < CHILDREN; i++)
        c.tasks[i] = NULL; /* the array is not needed any longer */
    for (int i = 0; i < CHILDREN; i++) {
        gate_open(&c.gates[order[i]], 1);
        intptr_t next = sinew_as_completed_next(&it);
        if (CHECK_EQ(next, order[i])) {
            CHECK(sinew_done(own[next]));
            CHECK_EQ(sinew_await(own[next]), next == 6 ? -EPIPE : 100 + next);
        }
    }
    sinew_as_completed_end(&it);
    return 0;
}

struct taking {
    struct children children;
    atomic_int entered;
    int first, second;
};

static intptr_t take_in_task(void *arg)
{
    struct taking *t = arg;
    sinew_as_completed it;
    CHECK_EQ(sinew_as_completed_begin(&it, t->children.tasks, CHILDREN, SINEW_FOREVER), 0);
    atomic_store(&t->entered, 1);
    t->first = (int)sinew_as_completed_next(&it);
    gate_open(&t->children.gates[3], 1);
    t->second = (int)sinew_as_completed_next(&it);
    sinew_as_completed_end(&it);
    return 0;
}

IN_RUNTIME(a108_cancelling_who_takes_them_leaves_the_tasks_alone)
{
    struct taking t = {.first = 1};
    children_begin(&t.children);
    sinew_task *taker = sinew_spawn(take_in_task, &t);
    yield_until(&t.entered, 1);
    for (int i = 0; i < 20; i++)
        CHECK_EQ(sinew_yield(), 0);
    CHECK(sinew_cancel(taker));
    CHECK_EQ(sinew_await(taker), 0);
    CHECK_EQ(t.first, -ECANCELED);
    CHECK_EQ(t.second, 3);
    children_end(&t.children);
    return 0;
}

TEST_MAIN(cmocka_unit_test(a106_tasks_come_in_the_order_in_which_they_end),
          cmocka_unit_test(a106_errors_and_cancels_come_in_their_turn_like_values),
          cmocka_unit_test(a106_one_given_several_times_comes_once),
          cmocka_unit_test(a107_after_the_time_limit_each_one_left_is_a_timeout_and_goes_on),
          cmocka_unit_test(a107_a_limit_that_is_over_at_once_gives_what_has_ended),
          cmocka_unit_test(a108_what_comes_is_the_callers_own_task_whose_result_is_still_to_be_had),
          cmocka_unit_test(a108_cancelling_who_takes_them_leaves_the_tasks_alone))
