/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a cancel that sinew_cancel has accepted is delivered also when the task that the cancelled one awaits is just
 * ending and can no longer be told.
 * Method: the awaited task ends, and its awaiter is cancelled, at the same time, very often; the awaited one has no
 * checkpoint left to answer with a value at.
 * Cannot see: with one worker, anything: the two must overlap.
 */
#include <errno.h>
#include <sched.h>

#include <tests/support/run.h>
#include <tests/support/tasks.h>

struct race {
    sinew_future *future; /* awaited instead of the task, if there is one */
    atomic_int go, entered;
    sinew_task *awaited;
    int after; /* of a checkpoint after the await */
};

/* Without a checkpoint: what is asked of it meanwhile makes its result -ECANCELED. */
static intptr_t spin_and_end(void *arg)
{
    struct race *r = arg;
    atomic_fetch_add(&r->entered, 1);
    while (atomic_load(&r->go) == 0)
        sched_yield(); /* to the thread that is to set it, where there are fewer processors than workers */
    return 5;
}

static intptr_t set_future(void *arg)
{
    struct race *r = arg;
    spin_and_end(r);
    sinew_future_set(r->future, 5);
    return 5;
}

static intptr_t await_it(void *arg)
{
    struct race *r = arg;
    atomic_fetch_add(&r->entered, 1);
    intptr_t result = r->future ? sinew_future_await(r->future) : sinew_await(r->awaited);
    r->after = sinew_yield();
    return result;
}

static void cancel_while_it_ends(bool with_future, int delay)
{
    struct race r = {.future = with_future ? sinew_future_new() : NULL};
    sinew_task *awaited = sinew_spawn(with_future ? set_future : spin_and_end, &r);
    r.awaited = with_future ? NULL : sinew_ref(awaited);
    yield_until(&r.entered, 1); /* on another worker: it does not give up this one */
    sinew_task *awaiter = sinew_spawn(await_it, &r);
    yield_until(&r.entered, 2);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(sinew_yield(), 0);
    atomic_store(&r.go, 1);
    for (volatile int i = 0; i < delay; i++)
        ;
    bool accepted = sinew_cancel(awaiter);
    intptr_t result = sinew_await(awaiter);
    CHECK(result == 5 || result == -ECANCELED);
    CHECK_EQ(result == -ECANCELED || r.after == -ECANCELED, accepted);
    CHECK(!(result == -ECANCELED && r.after == -ECANCELED)); /* once */
    CHECK_EQ(sinew_await(awaited) == 5 || !with_future, true);
    sinew_future_unref(r.future);
}

IN_RUNTIME_WITH(a_cancel_that_finds_the_awaited_task_ending_is_delivered, 2, 4, 8)
{
    for (int i = 0; i < (int)scaled(2000, 300) && !atomic_load(&check_failures); i++)
        cancel_while_it_ends(false, i % 200);
    return 0;
}

IN_RUNTIME_WITH(a_cancel_that_finds_the_awaited_future_being_set_is_delivered, 2, 4, 8)
{
    for (int i = 0; i < (int)scaled(2000, 300) && !atomic_load(&check_failures); i++)
        cancel_while_it_ends(true, i % 200);
    return 0;
}

TEST_MAIN(cmocka_unit_test(a_cancel_that_finds_the_awaited_task_ending_is_delivered),
          cmocka_unit_test(a_cancel_that_finds_the_awaited_future_being_set_is_delivered))
