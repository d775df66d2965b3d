/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: rules A37, A38 and A42 (a cancel and the awaited task), as docs/conformance.md lists them; the number in a
 * test's name is the rule's.
 * Method: awaited tasks that clear up for as long as the test wants; each unstarted, started, pinned, or stolen when
 * the await begins; every call that passes a cancel on. Cannot see: the moment at which a request is passed on between
 * workers.
 */
#include <errno.h>

#include <tests/support/run.h>
#include <tests/support/tasks.h>
#include <tests/support/waits.h>

/* An inner task that answers a cancel only after a clearing up that takes as long as the test wants. */
struct inner {
    atomic_int waiting, clearing, ended;
    sinew_sem let_go;
    intptr_t answer;
    int cancelling;
};

static intptr_t clear_up_when_cancelled(void *arg)
{
    struct inner *in = arg;
    atomic_store(&in->waiting, 1);
    CHECK_EQ(sinew_sleep(VERY_LONG), -ECANCELED);
    in->cancelling = sinew_cancelling();
    atomic_store(&in->clearing, 1);
    CHECK_EQ(sinew_sem_wait(&in->let_go), 0);
    atomic_store(&in->ended, 1);
    return in->answer;
}

enum { UNSTARTED, STARTED, PINNED, ELSEWHERE, INNER_STATES };

static sinew_task *spawn_inner(struct inner *in, int state)
{
    switch (state) {
    case UNSTARTED:
        return sinew_spawn(clear_up_when_cancelled, in);
    case STARTED:
        return spawn_eager(clear_up_when_cancelled, in);
    case PINNED:
        return spawn_pinned(clear_up_when_cancelled, in);
    default:
        return spawn_elsewhere(clear_up_when_cancelled, in, &in->waiting);
    }
}

struct outer {
    struct inner *inner;
    sinew_task *task; /* NULL: it makes one */
    await_fn how;
    int state;
    atomic_int entered;
    intptr_t seen;
    int cancelling, next;
    atomic_bool returned;
};

static intptr_t await_inner(void *arg)
{
    struct outer *o = arg;
    atomic_store(&o->entered, 1);
    sinew_task *t = o->task ? o->task : spawn_inner(o->inner, o->state);
    o->seen = o->how(t);
    CHECK(o->inner->ended);
    o->cancelling = sinew_cancelling();
    atomic_store(&o->returned, true);
    o->next = sinew_yield();
    return o->seen;
}

static void inner_init(struct inner *in, intptr_t answer)
{
    *in = (struct inner){.answer = answer, .cancelling = -1};
    sinew_sem_init(&in->let_go, 0);
}

static void few_yields(void)
{
    for (int i = 0; i < 30; i++)
        CHECK_EQ(sinew_yield(), 0);
}

/* Cancels a task that awaits one that answers with `answer`; checks what the outer one sees. */
static void cancel_outer(await_fn how, int state, intptr_t answer, intptr_t expected)
{
    struct inner in;
    inner_init(&in, answer);
    struct outer o = {.inner = &in, .how = how, .state = state, .cancelling = -1, .next = -1};
    sinew_task *t = sinew_spawn(await_inner, &o);
    yield_until(&in.waiting, 1);
    few_yields();
    CHECK(sinew_cancel(t));
    yield_until(&in.clearing, 1);
    few_yields();
    CHECK(!o.returned);
    sinew_sem_post(&in.let_go);
    CHECK_EQ(sinew_await(t), expected);
    CHECK_EQ(in.cancelling, 1);
    CHECK_EQ(o.seen, expected);
    CHECK_EQ(o.cancelling, 1);
    CHECK_EQ(o.next, 0);
    CHECK_EQ(sinew_cancelling(), 0);
}

IN_RUNTIME(a037_a_cancel_goes_to_the_awaited_task_first_and_comes_back_when_that_has_ended)
{
    for (int how = 0; how < FORWARDING; how++)
        for (int state = 0; state < INNER_STATES; state++)
            cancel_outer(forwarding[how], state, -ECANCELED, -ECANCELED);
    return 0;
}

IN_RUNTIME(a037_a_cancel_goes_down_a_chain_of_awaits_and_back_up)
{
    enum { LEVELS = 20 };
    for (int state = 0; state < INNER_STATES; state++) {
        struct inner in;
        inner_init(&in, -ECANCELED);
        struct outer levels[LEVELS];
        sinew_task *t = NULL;
        for (int i = 0; i < LEVELS; i++) {
            levels[i] = (struct outer){.inner = &in, .task = t, .how = forwarding[i % 3], .state = state};
            t = sinew_spawn(await_inner, &levels[i]);
            yield_until(&levels[i].entered, 1); /* a task cancelled before its start would never get there */
            yield_until(&in.waiting, 1);
        }
        few_yields();
        CHECK(sinew_cancel(t));
        yield_until(&in.clearing, 1);
        few_yields();
        for (int i = 0; i < LEVELS; i++)
            CHECK(!levels[i].returned);
        sinew_sem_post(&in.let_go);
        CHECK_EQ(sinew_await(t), -ECANCELED);
        for (int i = 0; i < LEVELS; i++) {
            CHECK_EQ(levels[i].seen, -ECANCELED);
            CHECK_EQ(levels[i].cancelling, 1);
            CHECK_EQ(levels[i].next, 0);
        }
    }
    return 0;
}

/* A task that cancels the one that awaits it, and then returns a value without another checkpoint. */
struct killer {
    sinew_task *victim;
    await_fn how;
    int state;
    intptr_t seen;
    int cancelling, next;
};

static intptr_t cancel_my_awaiter(void *arg)
{
    struct killer *k = arg;
    CHECK(sinew_cancel(k->victim));
    return 9;
}

static intptr_t await_my_killer(void *arg)
{
    struct killer *k = arg;
    k->victim = sinew_self();
    sinew_task *t = (k->state == PINNED ? spawn_pinned : sinew_spawn)(cancel_my_awaiter, k);
    k->seen = k->how(t);
    k->cancelling = sinew_cancelling();
    k->next = sinew_yield();
    return 0;
}

IN_RUNTIME(a037_a_task_that_its_awaited_task_cancels_is_told_in_that_await)
{
    for (int how = 0; how < FORWARDING; how++) {
        for (int state = UNSTARTED; state <= PINNED; state += PINNED - UNSTARTED) {
            struct killer k = {.how = forwarding[how], .state = state, .next = -1};
            CHECK_EQ(sinew_await(sinew_spawn(await_my_killer, &k)), 0);
            if (sinew_workers() > 1 && k.seen != -ECANCELED)
                continue; /* the awaited task ended elsewhere before the await began */
            if (!CHECK_EQ(k.seen, -ECANCELED))
                print_message("await %d of a task in state %d\n", how, state);
            CHECK_EQ(k.cancelling, 1);
            CHECK_EQ(k.next, 0);
        }
    }
    return 0;
}

/* The task is one for all who wait: who was not cancelled is told, but not asked. */
IN_RUNTIME(a037_cancelling_one_of_two_waiters_cancels_the_task_for_both)
{
    struct inner in;
    inner_init(&in, -ECANCELED);
    sinew_task *inner = sinew_spawn(clear_up_when_cancelled, &in);
    struct outer waiters[2];
    sinew_task *tasks[2];
    for (int i = 0; i < 2; i++) {
        waiters[i] = (struct outer){.inner = &in, .task = sinew_ref(inner), .how = sinew_await, .next = -1};
        tasks[i] = sinew_spawn(await_inner, &waiters[i]);
        yield_until(&waiters[i].entered, 1);
    }
    yield_until(&in.waiting, 1);
    few_yields();
    CHECK(sinew_cancel(tasks[1]));
    yield_until(&in.clearing, 1);
    sinew_sem_post(&in.let_go);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(sinew_await(tasks[i]), -ECANCELED);
        CHECK_EQ(waiters[i].cancelling, i == 1);
        CHECK_EQ(waiters[i].next, 0);
    }
    CHECK_EQ(in.cancelling, 1);
    CHECK_EQ(sinew_await(inner), -ECANCELED);
    return 0;
}

IN_RUNTIME(a038_an_awaited_task_that_answers_with_a_value_uses_the_request_up)
{
    for (int how = 0; how < ANSWERED_BY_VALUE; how++)
        for (int state = 0; state < INNER_STATES; state++) {
            cancel_outer(forwarding[how], state, 55, 55);
            cancel_outer(forwarding[how], state, 0, 0);
            cancel_outer(forwarding[how], state, -EBADMSG, -EBADMSG);
        }
    return 0;
}

static intptr_t cancel_when_waiting(void *arg)
{
    struct outer *o = arg;
    yield_until(&o->inner->waiting, 1);
    CHECK(sinew_cancel(o->task));
    sinew_sem_post(&o->inner->let_go);
    sinew_detach(o->task);
    return 0;
}

IN_RUNTIME(a042_awaiting_a_task_that_someone_else_cancelled_is_no_cancel_of_the_awaiter)
{
    for (int how = 0; how < FORWARDING; how++) {
        for (int state = 0; state < INNER_STATES; state++) {
            struct inner in;
            inner_init(&in, -ECANCELED);
            sinew_task *t = spawn_inner(&in, state);
            sinew_task *again = sinew_ref(t);
            struct outer o = {.inner = &in, .task = sinew_ref(t)};
            sinew_task *helper = sinew_spawn(cancel_when_waiting, &o);
            CHECK_EQ(forwarding[how](t), -ECANCELED);
            CHECK_EQ(sinew_cancelling(), 0);
            CHECK_EQ(sinew_yield(), 0);
            CHECK_EQ(in.cancelling, 1);
            CHECK_EQ(sinew_await(helper), 0);
            /* And when it has long ended. */
            CHECK_EQ(forwarding[how](again), -ECANCELED);
            CHECK_EQ(sinew_cancelling(), 0);
            CHECK_EQ(sinew_yield(), 0);
        }
    }
    return 0;
}

TEST_MAIN(cmocka_unit_test(a037_a_cancel_goes_to_the_awaited_task_first_and_comes_back_when_that_has_ended),
          cmocka_unit_test(a037_a_cancel_goes_down_a_chain_of_awaits_and_back_up),
          cmocka_unit_test(a037_a_task_that_its_awaited_task_cancels_is_told_in_that_await),
          cmocka_unit_test(a037_cancelling_one_of_two_waiters_cancels_the_task_for_both),
          cmocka_unit_test(a038_an_awaited_task_that_answers_with_a_value_uses_the_request_up),
          cmocka_unit_test(a042_awaiting_a_task_that_someone_else_cancelled_is_no_cancel_of_the_awaiter))
