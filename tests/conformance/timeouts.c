/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the rules of timeout scopes and of wait_for, A82 to A99 (conformance/rules.tsv), one test or more for each.
 * Method: scopes that expire at a known moment (begun without time left, or moved there), tasks that answer a cancel
 * in every possible way; awaited before they started, while they run elsewhere, and when they have ended.
 * Cannot see: lateness; only that nothing expires early.
 */
#include <errno.h>

#include <tests/support/run.h>
#include <tests/support/tasks.h>

/* Computes, without a checkpoint, until the instant has passed. */
static void compute_until(sinew_time instant)
{
    while (sinew_now() < instant)
        ;
}

static void take_requests_back(void)
{
    while (sinew_uncancel() > 0)
        ;
}

/* How far is a task when somebody waits for it? */
enum stage { UNSTARTED, STARTED, EAGER, PINNED, STAGES };

static sinew_task *spawn_at(enum stage stage, gate *g)
{
    if (stage == EAGER)
        return spawn_eager(gate_pass, g);
    sinew_task *t = stage == PINNED ? spawn_pinned(gate_pass, g) : sinew_spawn(gate_pass, g);
    if (stage != UNSTARTED)
        yield_until(&g->reached, 1);
    return t;
}

/* --- A82 to A85: the deadline passes ------------------------------------------------------------------------------ */

enum block_call { CALL_SLEEP, CALL_YIELD, CALL_SEM, CALL_MUTEX, CALL_AWAIT, CALL_SHIELD, CALL_WAIT, CALL_GROUP, CALLS };

/* Waits inside a block in one of the ways, until something ends it. */
static int wait_in_block(enum block_call call, enum stage stage)
{
    gate g;
    sinew_sem none;
    sinew_mutex taken;
    sinew_group group;
    sinew_task *t = NULL, *kept = NULL;
    int r = 0;
    gate_init(&g, 0);
    sinew_sem_init(&none, 0);
    sinew_mutex_init(&taken);
    CHECK_EQ(sinew_mutex_trylock(&taken), 0);
    switch (call) {
    case CALL_SLEEP:
        return sinew_sleep(VERY_LONG);
    case CALL_YIELD:
        while ((r = sinew_yield()) == 0)
            ;
        return r;
    case CALL_SEM:
        return sinew_sem_wait(&none);
    case CALL_MUTEX:
        return sinew_mutex_lock(&taken);
    case CALL_AWAIT:
        r = (int)sinew_await(stage == EAGER ? spawn_eager(gate_pass, &g) : sinew_spawn(gate_pass, &g));
        CHECK_EQ(g.cancelled, g.reached);
        return r;
    case CALL_SHIELD:
    case CALL_WAIT:
        t = stage == EAGER ? spawn_eager(gate_pass, &g) : sinew_spawn(gate_pass, &g);
        kept = sinew_ref(t);
        r = call == CALL_SHIELD ? (int)sinew_shield(t) : sinew_wait(&t, 1, SINEW_ALL_COMPLETED, SINEW_FOREVER, NULL);
        if (call == CALL_WAIT)
            sinew_detach(t);
        CHECK_EQ(g.cancelled, 0);
        gate_open(&g, 1);
        CHECK_EQ(sinew_await(kept), 0);
        CHECK_EQ(g.passed, 1);
        return r;
    default:
        sinew_group_init(&group);
        CHECK_EQ(sinew_group_spawn(&group, gate_pass, &g), 0);
        r = sinew_group_wait(&group);
        CHECK_EQ(g.cancelled, g.reached);
        return r;
    }
}

IN_RUNTIME(a082_an_expiry_ends_the_call_in_the_block_and_leaves_no_request_behind)
{
    for (int call = 0; call < CALLS; call++)
        for (int stage = 0; stage <= EAGER; stage += EAGER)
            for (int before = 0; before < 2; before++) {
                for (int i = 0; i < before; i++) {
                    CHECK(sinew_cancel(sinew_self()));
                    CHECK_EQ(sinew_yield(), -ECANCELED);
                }
                sinew_timeout t;
                sinew_time begin = sinew_now();
                sinew_timeout_begin(&t, SINEW_MS(2));
                CHECK(!sinew_timeout_expired(&t));
                int r = wait_in_block((enum block_call)call, (enum stage)stage);
                if (!CHECK_EQ(r, -ETIMEDOUT))
                    fprintf(stderr, "in call %d, stage %d\n", call, stage);
                CHECK(sinew_now() - begin >= SINEW_MS(2));
                CHECK(sinew_timeout_expired(&t));
                CHECK_EQ(sinew_timeout_end(&t), -ETIMEDOUT);
                CHECK(sinew_timeout_expired(&t));
                CHECK_EQ(sinew_cancelling(), before);
                CHECK_EQ(sinew_yield(), 0);
                CHECK_EQ(sinew_sleep(SINEW_US(100)), 0);
                take_requests_back();
            }
    return 0;
}

/* Lets a gate's tasks through once one of them has been stopped. */
static intptr_t open_when_stopped(void *arg)
{
    gate *g = arg;
    while (!atomic_load(&g->cancelled))
        sinew_sleep(SINEW_US(100));
    gate_open(g, 1);
    return 0;
}

IN_RUNTIME(a082_an_expiry_reaches_what_the_block_awaits)
{
    for (int stage = 0; stage < STAGES; stage++) {
        gate g;
        gate_init(&g, 7);
        sinew_timeout t;
        sinew_timeout_begin(&t, SINEW_FOREVER);
        sinew_task *task = spawn_at((enum stage)stage, &g);
        CHECK_EQ(sinew_timeout_reset(&t, SINEW_MS(5)), 0);
        CHECK_EQ(sinew_await(task), -ETIMEDOUT);
        CHECK_EQ(g.cancelled, g.reached);
        CHECK_EQ(sinew_timeout_end(&t), -ETIMEDOUT);
        CHECK_EQ(sinew_cancelling(), 0);
        CHECK_EQ(sinew_yield(), 0);
    }
    return 0;
}

/* The deadline has passed and somebody cancels: whatever the order, and whether they meet in one delivery or not. */
enum meeting { TOGETHER, CANCEL_FIRST, EXPIRY_FIRST, CANCEL_SWALLOWED_BEFORE, MEETINGS };

static intptr_t meet(void *arg)
{
    enum meeting meeting = *(enum meeting *)arg;
    sinew_timeout t;
    sinew_timeout_begin(&t, meeting == TOGETHER || meeting == EXPIRY_FIRST ? 0 : SINEW_FOREVER);
    if (meeting == EXPIRY_FIRST)
        CHECK_EQ(sinew_sleep(VERY_LONG), -ETIMEDOUT);
    CHECK(sinew_cancel(sinew_self()));
    CHECK_EQ(sinew_sleep(VERY_LONG), -ECANCELED);
    if (meeting == CANCEL_SWALLOWED_BEFORE)
        CHECK_EQ(sinew_uncancel(), 0);
    if (meeting >= CANCEL_SWALLOWED_BEFORE || meeting == CANCEL_FIRST) {
        CHECK_EQ(sinew_timeout_reset(&t, 0), 0);
        CHECK_EQ(sinew_sleep(VERY_LONG), -ETIMEDOUT);
    }
    CHECK(sinew_timeout_expired(&t));
    /* Only an expiry that nobody's cancel went with is the scope's to report. */
    CHECK_EQ(sinew_timeout_end(&t), meeting == CANCEL_SWALLOWED_BEFORE ? -ETIMEDOUT : 0);
    CHECK(sinew_timeout_expired(&t));
    CHECK_EQ(sinew_cancelling(), meeting == CANCEL_SWALLOWED_BEFORE ? 0 : 1);
    CHECK_EQ(sinew_yield(), 0);
    return 0;
}

IN_RUNTIME(a083_when_somebody_else_cancelled_too_the_scope_does_not_report_a_timeout)
{
    for (int meeting = 0; meeting < MEETINGS; meeting++) {
        enum meeting m = (enum meeting)meeting;
        if (sinew_await(sinew_spawn(meet, &m)) != 0)
            CHECK(false);
    }
    return 0;
}

/* Requests from before the block do not count. */
IN_RUNTIME(a083_a_request_from_before_the_block_does_not_hide_its_expiry)
{
    CHECK(sinew_cancel(sinew_self()));
    CHECK_EQ(sinew_yield(), -ECANCELED);
    sinew_timeout t;
    sinew_timeout_begin(&t, SINEW_MS(1));
    CHECK_EQ(sinew_sleep(VERY_LONG), -ETIMEDOUT);
    CHECK_EQ(sinew_timeout_end(&t), -ETIMEDOUT);
    CHECK_EQ(sinew_cancelling(), 1);
    CHECK_EQ(sinew_uncancel(), 0);
    return 0;
}

/* A cancel that nobody has been told of yet is told by the next checkpoint; the scope reports what it did. */
IN_RUNTIME(a083_a_request_that_comes_after_the_expiry_was_met_is_delivered_by_itself)
{
    sinew_timeout t;
    sinew_timeout_begin(&t, SINEW_MS(1));
    CHECK_EQ(sinew_sleep(VERY_LONG), -ETIMEDOUT);
    CHECK(sinew_cancel(sinew_self()));
    CHECK_EQ(sinew_timeout_end(&t), -ETIMEDOUT);
    CHECK_EQ(sinew_cancelling(), 1);
    CHECK_EQ(sinew_yield(), -ECANCELED);
    CHECK_EQ(sinew_uncancel(), 0);
    return 0;
}

/* The loop that would never end if the scope took a cancel for its own expiry. */
static intptr_t retry(void *arg)
{
    atomic_int *rounds = arg;
    for (;;) {
        sinew_timeout t;
        sinew_timeout_begin(&t, SINEW_US(200));
        int r = sinew_sleep(VERY_LONG);
        atomic_fetch_add(rounds, 1);
        if (sinew_timeout_end(&t) != -ETIMEDOUT)
            return r;
    }
}

IN_RUNTIME(a083_a_loop_of_tries_with_limits_can_be_cancelled)
{
    for (int i = 0; i < (int)scaled(100, 10); i++) {
        atomic_int rounds = 0;
        sinew_task *t = sinew_spawn(retry, &rounds);
        yield_until(&rounds, 2);
        CHECK(sinew_cancel(t));
        CHECK_EQ(sinew_await(t), -ECANCELED);
    }
    return 0;
}

IN_RUNTIME(a084_a_body_that_swallows_the_expiry_goes_on_and_the_scope_is_expired)
{
    sinew_timeout t;
    sinew_timeout_begin(&t, SINEW_MS(1));
    CHECK_EQ(sinew_sleep(VERY_LONG), -ETIMEDOUT);
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(sinew_sleep(SINEW_US(100)), 0);
        CHECK_EQ(sinew_yield(), 0);
        CHECK_EQ(sinew_await(sinew_spawn(return_arg, (void *)4)), 4);
    }
    CHECK(sinew_timeout_expired(&t));
    CHECK_EQ(sinew_timeout_end(&t), -ETIMEDOUT);
    CHECK(sinew_timeout_expired(&t));
    CHECK_EQ(sinew_yield(), 0);
    return 0;
}

/* What the block awaits swallows it: no call of the block itself has failed. */
IN_RUNTIME(a084_an_expiry_that_the_awaited_task_answers_with_a_value_is_no_error_but_expired)
{
    for (int stage = 0; stage < STAGES; stage++) {
        gate g;
        gate_init(&g, 7);
        g.swallow = true;
        sinew_timeout t;
        sinew_timeout_begin(&t, SINEW_FOREVER);
        sinew_task *task = spawn_at((enum stage)stage, &g), *opener = sinew_spawn(open_when_stopped, &g);
        if (stage == UNSTARTED && sinew_workers() > 1)
            yield_until(&g.reached, 1);
        CHECK_EQ(sinew_timeout_reset(&t, SINEW_MS(3)), 0);
        CHECK_EQ(sinew_await(task), 7);
        CHECK_EQ(g.cancelled, 1);
        CHECK(sinew_timeout_expired(&t));
        CHECK_EQ(sinew_timeout_end(&t), -ETIMEDOUT);
        CHECK_EQ(sinew_yield(), 0);
        CHECK_EQ(sinew_await(opener), 0);
    }
    return 0;
}

IN_RUNTIME(a085_an_error_with_which_the_block_answers_the_expiry_is_what_it_gives)
{
    for (int stage = 0; stage < STAGES; stage++) {
        gate g;
        gate_init(&g, 0);
        g.when_stopped = -EBADMSG;
        sinew_timeout t;
        sinew_timeout_begin(&t, SINEW_FOREVER);
        sinew_task *task = spawn_at((enum stage)stage, &g);
        if (stage == UNSTARTED && sinew_workers() > 1)
            yield_until(&g.reached, 1);
        CHECK_EQ(sinew_timeout_reset(&t, SINEW_MS(3)), 0);
        CHECK_EQ(sinew_await(task), -EBADMSG);
        CHECK(sinew_timeout_expired(&t));
        CHECK_EQ(sinew_timeout_end(&t), -ETIMEDOUT);
        CHECK_EQ(sinew_yield(), 0);
    }
    return 0;
}

/* --- A86 to A88, A91: the scope itself ---------------------------------------------------------------------------- */

/* Sets a deadline and moves it before it comes; begins anew if the machine was too slow for that. */
static void set_and_move(sinew_timeout *t, sinew_time away)
{
    while (sinew_timeout_reset(t, SINEW_MS(5)) != 0 || sinew_timeout_reset(t, away) != 0) {
        CHECK(sinew_timeout_expired(t));
        sinew_timeout_end(t);
        sinew_timeout_begin(t, SINEW_FOREVER);
    }
}

IN_RUNTIME(a086_a_deadline_may_be_set_moved_and_cleared_inside)
{
    sinew_timeout t;
    sinew_timeout_begin(&t, SINEW_FOREVER); /* none */
    CHECK_EQ(sinew_timeout_when(&t), SINEW_FOREVER);
    CHECK_EQ(sinew_sleep(SINEW_MS(1)), 0);
    CHECK_EQ(sinew_timeout_reset(&t, SINEW_S(100)), 0); /* set */
    CHECK(sinew_timeout_when(&t) <= sinew_now() + SINEW_S(100));
    set_and_move(&t, VERY_LONG); /* moved away */
    CHECK(sinew_timeout_when(&t) > sinew_now() + SINEW_S(1000));
    CHECK_EQ(sinew_sleep(SINEW_MS(10)), 0);
    set_and_move(&t, SINEW_FOREVER); /* cleared */
    CHECK_EQ(sinew_timeout_when(&t), SINEW_FOREVER);
    CHECK_EQ(sinew_sleep(SINEW_MS(10)), 0);
    CHECK(!sinew_timeout_expired(&t));
    sinew_time begin = sinew_now();
    CHECK_EQ(sinew_timeout_reset(&t, SINEW_MS(3)), 0);
    CHECK_EQ(sinew_sleep(VERY_LONG), -ETIMEDOUT);
    CHECK(sinew_now() - begin >= SINEW_MS(3));
    CHECK_EQ(sinew_timeout_end(&t), -ETIMEDOUT);
    return 0;
}

/* Moved by an awaited task in between, and on whatever worker the owner is then. */
IN_RUNTIME(a086_a_deadline_may_be_moved_often_and_from_any_worker)
{
    sinew_timeout t;
    sinew_timeout_begin(&t, SINEW_MS(200));
    for (int i = 0; i < (int)scaled(2000, 100); i++) {
        if (!CHECK_EQ(sinew_timeout_reset(&t, i % 2 ? SINEW_S(100) : SINEW_S(200)), 0))
            break;
        sinew_detach(sinew_spawn(return_arg, NULL));
        CHECK_EQ(i % 10 ? sinew_yield() : sinew_sleep(SINEW_US(20)), 0);
    }
    CHECK_EQ(sinew_timeout_end(&t), 0);
    CHECK_EQ(sinew_yield(), 0);
    return 0;
}

static intptr_t move_foreign(void *t)
{
    return sinew_timeout_reset(t, VERY_LONG);
}

IN_RUNTIME(a086_moving_it_before_the_block_after_its_expiry_or_end_or_by_others_is_an_error)
{
    sinew_timeout t;
    memset(&t, 0, sizeof t);
    CHECK_EQ(sinew_timeout_reset(&t, SINEW_MS(1)), -EINVAL);
    CHECK(!sinew_timeout_expired(&t));
    CHECK_EQ(sinew_timeout_when(&t), SINEW_FOREVER);
    sinew_timeout_begin(&t, SINEW_MS(1));
    CHECK_EQ(sinew_await(sinew_spawn(move_foreign, &t)), -EINVAL);
    CHECK_EQ(sinew_sleep(VERY_LONG), -ETIMEDOUT);
    CHECK_EQ(sinew_timeout_reset(&t, VERY_LONG), -ETIMEDOUT);
    CHECK_EQ(sinew_timeout_reset(&t, SINEW_FOREVER), -ETIMEDOUT);
    CHECK_EQ(sinew_timeout_end(&t), -ETIMEDOUT);
    CHECK_EQ(sinew_timeout_reset(&t, SINEW_MS(1)), -EINVAL);
    CHECK_EQ(sinew_sleep(SINEW_MS(3)), 0);
    return 0;
}

/* The deadline has passed, the task has computed on: the move either comes in time or says that it did not. */
IN_RUNTIME(a086_a_move_after_the_deadline_either_counts_or_is_refused)
{
    for (int i = 0; i < 5; i++) {
        sinew_timeout t;
        sinew_timeout_begin(&t, SINEW_MS(1));
        compute_until(sinew_now() + SINEW_MS(4));
        int r = sinew_timeout_reset(&t, VERY_LONG);
        CHECK(r == 0 || r == -ETIMEDOUT);
        if (sinew_workers() == 1)
            CHECK_EQ(r, 0); /* nobody has looked at the timers */
        CHECK_EQ(sinew_yield(), r);
        CHECK_EQ(sinew_timeout_end(&t), r);
        CHECK_EQ(sinew_yield(), 0);
    }
    return 0;
}

IN_RUNTIME(a087_a_deadline_already_past_does_not_stop_a_body_that_never_suspends)
{
    for (int kind = 0; kind < 4; kind++) {
        gate g;
        gate_init(&g, 5);
        sinew_sem one;
        sinew_sem_init(&one, 1);
        sinew_task *ended = sinew_spawn(return_arg, (void *)9);
        yield_until_done(ended);
        sinew_timeout t;
        if (kind < 2)
            sinew_timeout_begin(&t, kind ? -SINEW_S(5) : 0);
        else if (kind == 2)
            sinew_timeout_begin_at(&t, sinew_now() - SINEW_S(1));
        else {
            sinew_timeout_begin(&t, SINEW_MS(1));
            compute_until(sinew_now() + SINEW_MS(4));
        }
        /* None of these suspends, so none delivers. */
        CHECK_EQ(sinew_sem_wait(&one), 0);
        CHECK_EQ(sinew_await(ended), 9);
        CHECK_EQ(sinew_timeout_end(&t), 0);
        CHECK(!sinew_timeout_expired(&t));
        CHECK_EQ(sinew_cancelling(), 0);
        CHECK_EQ(sinew_yield(), 0);
        CHECK_EQ(sinew_sleep(SINEW_MS(1)), 0);
    }
    return 0;
}

IN_RUNTIME(a087_it_ends_the_first_call_that_suspends)
{
    for (int call = 0; call < CALLS; call++)
        for (int past = 0; past < 2; past++) {
            sinew_timeout t;
            sinew_timeout_begin(&t, past ? -SINEW_MS(1) : 0);
            if (!CHECK_EQ(wait_in_block((enum block_call)call, EAGER), -ETIMEDOUT))
                fprintf(stderr, "in call %d\n", call);
            CHECK_EQ(sinew_timeout_end(&t), -ETIMEDOUT);
            CHECK_EQ(sinew_yield(), 0);
        }
    return 0;
}

/* In the order of the rule: with one worker nobody else can expire it, so it fires when the task has given way. */
IN_RUNTIME_WITH(a087_it_fires_when_the_task_next_gives_way, 1)
{
    atomic_int ran = 0;
    sinew_timeout t;
    sinew_timeout_begin(&t, SINEW_MS(1));
    compute_until(sinew_now() + SINEW_MS(3));
    CHECK(!sinew_timeout_expired(&t));
    for (int i = 0; i < 1000 && !sinew_timeout_expired(&t); i++) {
        int r = sinew_sleep(SINEW_US(100));
        CHECK(r == 0 || r == -ETIMEDOUT);
        ran++;
    }
    CHECK(ran <= 2);
    CHECK(sinew_timeout_expired(&t));
    sinew_timeout_end(&t);
    return 0;
}

IN_RUNTIME(a088_a_scope_ends_once)
{
    sinew_timeout t;
    sinew_timeout_begin(&t, VERY_LONG);
    CHECK_EQ(sinew_timeout_end(&t), 0);
    CHECK_EQ(sinew_timeout_end(&t), -EINVAL);
    CHECK_EQ(sinew_timeout_reset(&t, 0), -EINVAL);
    CHECK_EQ(sinew_yield(), 0);
    /* The memory may serve for another one. */
    sinew_timeout_begin(&t, SINEW_MS(1));
    CHECK_EQ(sinew_sleep(VERY_LONG), -ETIMEDOUT);
    CHECK_EQ(sinew_timeout_end(&t), -ETIMEDOUT);
    CHECK_EQ(sinew_timeout_end(&t), -EINVAL);
    CHECK(sinew_timeout_expired(&t));
    return 0;
}

static void a088_outside_of_a_task_a_scope_does_nothing(void **state)
{
    (void)state;
    sinew_timeout t;
    sinew_timeout_begin(&t, 0);
    assert_int_equal(sinew_timeout_reset(&t, 0), -EINVAL);
    assert_false(sinew_timeout_expired(&t));
    assert_int_equal(sinew_timeout_end(&t), 0);
    sinew_timeout_begin_at(&t, 1);
    assert_false(sinew_timeout_expired(&t));
    assert_int_equal(sinew_timeout_end(&t), 0);
}

IN_RUNTIME(a091_a_scope_may_begin_with_an_instant_of_the_monotonic_clock_and_tells_it)
{
    sinew_timeout t;
    sinew_time instant = sinew_now() + SINEW_MS(5);
    sinew_timeout_begin_at(&t, instant);
    CHECK_EQ(sinew_timeout_when(&t), instant);
    CHECK_EQ(sinew_sleep(VERY_LONG), -ETIMEDOUT);
    CHECK(sinew_now() >= instant);
    CHECK_EQ(sinew_timeout_when(&t), instant);
    CHECK_EQ(sinew_timeout_end(&t), -ETIMEDOUT);
    CHECK_EQ(sinew_timeout_when(&t), instant);

    sinew_timeout_begin_at(&t, SINEW_FOREVER);
    CHECK_EQ(sinew_timeout_when(&t), SINEW_FOREVER);
    CHECK_EQ(sinew_sleep(SINEW_MS(1)), 0);
    CHECK_EQ(sinew_timeout_end(&t), 0);

    sinew_time before = sinew_now();
    sinew_timeout_begin(&t, SINEW_S(100));
    CHECK(sinew_timeout_when(&t) >= before + SINEW_S(100));
    CHECK(sinew_timeout_when(&t) <= sinew_now() + SINEW_S(100));
    CHECK_EQ(sinew_timeout_end(&t), 0);

    sinew_timeout_begin_at(&t, 0); /* long past */
    CHECK_EQ(sinew_timeout_when(&t), 0);
    CHECK_EQ(sinew_yield(), -ETIMEDOUT);
    CHECK_EQ(sinew_timeout_end(&t), -ETIMEDOUT);
    sinew_timeout_begin_at(&t, INT64_MIN);
    CHECK_EQ(sinew_yield(), -ETIMEDOUT);
    CHECK_EQ(sinew_timeout_end(&t), -ETIMEDOUT);
    sinew_timeout_begin(&t, INT64_MAX - 1); /* no overflow */
    CHECK_EQ(sinew_timeout_when(&t), SINEW_FOREVER);
    CHECK_EQ(sinew_yield(), 0);
    CHECK_EQ(sinew_timeout_end(&t), 0);
    return 0;
}

/* --- A89, A90: nesting ---------------------------------------------------------------------------------------------
 */

IN_RUNTIME(a089_the_outer_scope_first_goes_through_the_inner_one)
{
    sinew_timeout outer, inner;
    sinew_timeout_begin(&outer, SINEW_MS(2));
    sinew_timeout_begin(&inner, VERY_LONG);
    CHECK_EQ(sinew_sleep(VERY_LONG), -ETIMEDOUT);
    CHECK(!sinew_timeout_expired(&inner));
    CHECK(sinew_timeout_expired(&outer));
    CHECK_EQ(sinew_timeout_end(&inner), 0);
    CHECK_EQ(sinew_timeout_end(&outer), -ETIMEDOUT);
    CHECK_EQ(sinew_yield(), 0);
    return 0;
}

/* Both deadlines pass before the task is told: the inner scope lets it through, so that the outer one reports it. */
IN_RUNTIME(a089_of_scopes_that_expire_together_the_outermost_reports_it)
{
    enum { DEPTH = 5 };
    for (int kind = 0; kind < 3; kind++) {
        sinew_timeout scopes[DEPTH];
        sinew_time instant = sinew_now() + SINEW_MS(2);
        for (int i = 0; i < DEPTH; i++) {
            if (kind == 0)
                sinew_timeout_begin_at(&scopes[i], instant);
            else
                sinew_timeout_begin(&scopes[i], kind == 1 ? 0 : SINEW_MS(1));
        }
        if (kind == 2)
            compute_until(sinew_now() + SINEW_MS(4));
        /* Those with the same instant may be told one by one. */
        int r = 0, told = 0;
        while (told < DEPTH && (r = sinew_sleep(SINEW_MS(5))) != 0) {
            CHECK_EQ(r, -ETIMEDOUT);
            told++;
        }
        CHECK(told >= 1);
        for (int i = DEPTH - 1; i >= 0; i--) {
            CHECK(sinew_timeout_expired(&scopes[i]));
            CHECK_EQ(sinew_timeout_end(&scopes[i]), i == 0 ? -ETIMEDOUT : 0);
            CHECK(sinew_timeout_expired(&scopes[i]));
        }
        CHECK_EQ(sinew_yield(), 0);
    }
    return 0;
}

/* The loop that would outlive the outer scope if the inner one took the outer one's expiry for its own. */
IN_RUNTIME(a089_a_loop_of_tries_with_limits_ends_with_the_scope_around_it)
{
    for (int i = 0; i < (int)scaled(50, 10); i++) {
        sinew_timeout outer;
        sinew_time instant = sinew_now() + SINEW_US(1000 + 37 * i);
        atomic_int rounds = 0;
        sinew_timeout_begin_at(&outer, instant);
        int r = 0, end = -ETIMEDOUT;
        while (end == -ETIMEDOUT && sinew_now() < instant + SINEW_S(1)) {
            sinew_timeout inner;
            /* Every other try has the very deadline of the scope around. */
            if (rounds % 2)
                sinew_timeout_begin_at(&inner, instant);
            else
                sinew_timeout_begin(&inner, SINEW_US(150));
            r = sinew_sleep(VERY_LONG);
            end = sinew_timeout_end(&inner);
            rounds++;
            if (end == -ETIMEDOUT && sinew_timeout_expired(&outer)) {
                /* The inner one was told before the outer one expired: that comes by itself. */
                CHECK_EQ(sinew_sleep(SINEW_S(1)), -ETIMEDOUT);
                break;
            }
        }
        CHECK_EQ(r, -ETIMEDOUT);
        CHECK_EQ(sinew_timeout_end(&outer), -ETIMEDOUT);
        CHECK_EQ(sinew_yield(), 0);
    }
    return 0;
}

IN_RUNTIME(a090_the_inner_scope_first_is_its_alone_and_the_outer_one_goes_on)
{
    sinew_timeout outer, inner;
    sinew_timeout_begin(&outer, VERY_LONG);
    for (int i = 0; i < 3; i++) {
        sinew_timeout_begin(&inner, i ? SINEW_MS(1) : 0);
        CHECK_EQ(sinew_sleep(VERY_LONG), -ETIMEDOUT);
        CHECK_EQ(sinew_timeout_end(&inner), -ETIMEDOUT);
        CHECK(!sinew_timeout_expired(&outer));
        CHECK_EQ(sinew_sleep(SINEW_US(100)), 0);
    }
    CHECK_EQ(sinew_timeout_end(&outer), 0);
    return 0;
}

/* An outer scope that has expired, been met and been swallowed does not disturb what is begun after it. */
IN_RUNTIME(a090_a_scope_begun_inside_an_expired_one_reports_its_own_expiry)
{
    sinew_timeout outer, inner;
    sinew_timeout_begin(&outer, 0);
    CHECK_EQ(sinew_sleep(VERY_LONG), -ETIMEDOUT);
    for (int i = 0; i < 100; i++) {
        sinew_timeout_begin(&inner, i % 3 ? 0 : SINEW_US(50));
        CHECK_EQ(sinew_sleep(VERY_LONG), -ETIMEDOUT);
        CHECK_EQ(sinew_timeout_end(&inner), -ETIMEDOUT);
        CHECK_EQ(sinew_yield(), 0);
        sinew_timeout_begin(&inner, 0); /* not met */
        CHECK_EQ(sinew_timeout_end(&inner), 0);
        CHECK_EQ(sinew_yield(), 0);
    }
    CHECK_EQ(sinew_timeout_end(&outer), -ETIMEDOUT);
    CHECK_EQ(sinew_yield(), 0);
    return 0;
}

/* Begun after the outer deadline has passed and before the task was told of it. */
IN_RUNTIME(a090_an_inner_scope_that_nobody_met_leaves_the_outer_ones_request)
{
    for (int inner_expires = 0; inner_expires < 2; inner_expires++) {
        sinew_timeout outer, inner;
        sinew_timeout_begin(&outer, 0);
        sinew_timeout_begin(&inner, inner_expires ? 0 : VERY_LONG);
        CHECK_EQ(sinew_timeout_end(&inner), 0);
        CHECK_EQ(sinew_sleep(SINEW_MS(100)), -ETIMEDOUT);
        CHECK_EQ(sinew_yield(), 0);
        CHECK_EQ(sinew_timeout_end(&outer), -ETIMEDOUT);
        CHECK_EQ(sinew_yield(), 0);
    }
    return 0;
}

/* --- A92 to A99: wait_for ------------------------------------------------------------------------------------------
 */

IN_RUNTIME(a092_wait_for_without_a_limit_is_await)
{
    CHECK_EQ(sinew_wait_for(sinew_spawn(return_arg, (void *)5), SINEW_FOREVER), 5);
    CHECK_EQ(sinew_wait_for(sinew_spawn(return_arg, (void *)(intptr_t)-EIO), SINEW_FOREVER), -EIO);
    for (int stage = 0; stage < STAGES; stage++) {
        gate g;
        gate_init(&g, 6);
        sinew_task *t = spawn_at((enum stage)stage, &g);
        gate_open(&g, 1);
        CHECK_EQ(sinew_wait_for(t, SINEW_FOREVER), 6);
    }
    return 0;
}

/* As a plain call: no other task is made, and nobody switches. */
IN_RUNTIME_WITH(a093_wait_for_runs_unstarted_work_in_the_caller, 1)
{
    static const sinew_time limits[] = {VERY_LONG, SINEW_FOREVER};
    for (size_t i = 0; i < 2; i++) {
        sinew_stats before, after;
        sinew_task *t = sinew_spawn(return_arg, (void *)5);
        CHECK_EQ(sinew_get_stats(&before), 0);
        CHECK_EQ(sinew_wait_for(t, limits[i]), 5);
        CHECK_EQ(sinew_get_stats(&after), 0);
        CHECK_EQ(after.tasks_spawned, before.tasks_spawned);
        CHECK_EQ(after.tasks_in_place, before.tasks_in_place + 1);
        CHECK_EQ(after.switches, before.switches);
    }
    return 0;
}

struct cleaner {
    atomic_int started, over;
    intptr_t result;
};

static intptr_t clean_up_slowly(void *arg)
{
    struct cleaner *c = arg;
    atomic_store(&c->started, 1);
    int r = sinew_sleep(VERY_LONG);
    for (int i = 0; i < 10; i++)
        CHECK_EQ(sinew_sleep(SINEW_US(300)), 0);
    atomic_store(&c->over, 1);
    return c->result ? c->result : r;
}

static sinew_task *spawn_cleaner(enum stage stage, struct cleaner *c)
{
    if (stage == EAGER)
        return spawn_eager(clean_up_slowly, c);
    sinew_task *t = stage == PINNED ? spawn_pinned(clean_up_slowly, c) : sinew_spawn(clean_up_slowly, c);
    if (stage != UNSTARTED)
        yield_until(&c->started, 1);
    return t;
}

IN_RUNTIME(a094_at_the_limit_the_work_is_cancelled_and_its_real_end_awaited)
{
    for (int stage = 0; stage < STAGES; stage++) {
        struct cleaner c = {.result = 0};
        sinew_task *t = spawn_cleaner((enum stage)stage, &c);
        sinew_time begin = sinew_now();
        CHECK_EQ(sinew_wait_for(t, SINEW_MS(5)), -ETIMEDOUT);
        CHECK(sinew_now() - begin >= SINEW_MS(5));
        CHECK_EQ(c.over, c.started);
        CHECK_EQ(sinew_cancelling(), 0);
        CHECK_EQ(sinew_yield(), 0);
    }
    return 0;
}

/* A limit that passes while the work, run in place, computes: it is met at the work's next checkpoint. */
static intptr_t compute_then_sleep(void *arg)
{
    compute_until(sinew_now() + SINEW_MS(5));
    *(int *)arg = sinew_sleep(VERY_LONG);
    return *(int *)arg;
}

IN_RUNTIME(a094_a_limit_that_passes_before_the_first_suspension_ends_that)
{
    int slept = 0;
    CHECK_EQ(sinew_wait_for(sinew_spawn(compute_then_sleep, &slept), SINEW_MS(1)), -ETIMEDOUT);
    if (sinew_workers() == 1) /* on another worker the limit may come before the work's start */
        CHECK_EQ(slept, -ECANCELED);
    CHECK_EQ(sinew_yield(), 0);
    return 0;
}

IN_RUNTIME_PINNED(a095_without_time_finished_work_gives_its_result_and_other_work_never_starts)
{
    static const sinew_time limits[] = {0, -1, INT64_MIN};
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        gate g;
        gate_init(&g, 3);
        CHECK_EQ(sinew_wait_for(spawn_pinned(gate_pass, &g), limits[i]), -ETIMEDOUT);
        CHECK_EQ(sinew_yield(), 0);
        CHECK_EQ(g.reached, 0);
        gate_open(&g, 1);
        sinew_task *ended = spawn_pinned(gate_pass, &g);
        yield_until_done(ended);
        CHECK_EQ(sinew_wait_for(sinew_ref(ended), limits[i]), 3);
        CHECK_EQ(sinew_wait_for(ended, limits[i]), 3);
        CHECK_EQ(sinew_wait_for(spawn_eager(return_arg, (void *)(intptr_t)-EIO), limits[i]), -EIO);
        for (int stage = STARTED; stage < STAGES; stage++) {
            struct cleaner c = {.result = 0};
            CHECK_EQ(sinew_wait_for(spawn_cleaner((enum stage)stage, &c), limits[i]), -ETIMEDOUT);
            CHECK_EQ(c.over, 1);
        }
    }
    CHECK_EQ(sinew_cancelling(), 0);
    return 0;
}

IN_RUNTIME(a096_work_that_answers_the_limit_with_a_value_is_heard)
{
    for (int stage = STARTED; stage < STAGES; stage++)
        for (int some = 0; some < 2; some++) {
            struct cleaner c = {.result = 44};
            CHECK_EQ(sinew_wait_for(spawn_cleaner((enum stage)stage, &c), some ? SINEW_MS(2) : 0), 44);
            CHECK_EQ(sinew_cancelling(), 0);
            CHECK_EQ(sinew_yield(), 0);
        }
    return 0;
}

IN_RUNTIME_WITH(a096_also_when_it_runs_in_the_caller, 1)
{
    struct cleaner c = {.result = 44};
    CHECK_EQ(sinew_wait_for(spawn_cleaner(UNSTARTED, &c), SINEW_MS(2)), 44);
    CHECK_EQ(sinew_yield(), 0);
    return 0;
}

IN_RUNTIME(a097_work_that_answers_the_limit_with_another_error_is_heard)
{
    for (int stage = STARTED; stage < STAGES; stage++)
        for (int some = 0; some < 2; some++) {
            struct cleaner c = {.result = -EBADMSG};
            CHECK_EQ(sinew_wait_for(spawn_cleaner((enum stage)stage, &c), some ? SINEW_MS(2) : 0), -EBADMSG);
            CHECK_EQ(sinew_yield(), 0);
        }
    return 0;
}

IN_RUNTIME_WITH(a097_also_when_it_runs_in_the_caller, 1)
{
    struct cleaner c = {.result = -EBADMSG};
    CHECK_EQ(sinew_wait_for(spawn_cleaner(UNSTARTED, &c), SINEW_MS(2)), -EBADMSG);
    CHECK_EQ(sinew_yield(), 0);
    return 0;
}

struct caller {
    enum stage stage;
    gate gate;
    sinew_time limit;
    atomic_int waits;
    int cancelling, next;
};

static intptr_t call_wait_for(void *arg)
{
    struct caller *c = arg;
    sinew_task *t = spawn_at(c->stage, &c->gate);
    atomic_store(&c->waits, 1);
    intptr_t r = sinew_wait_for(t, c->limit);
    c->cancelling = sinew_cancelling();
    c->next = sinew_yield();
    return r;
}

IN_RUNTIME(a098_cancelling_the_caller_cancels_the_work)
{
    static const sinew_time limits[] = {VERY_LONG, SINEW_FOREVER};
    for (int stage = 0; stage < STAGES; stage++)
        for (size_t i = 0; i < 2; i++) {
            struct caller c = {.stage = (enum stage)stage, .limit = limits[i]};
            gate_init(&c.gate, 0);
            sinew_task *t = sinew_spawn(call_wait_for, &c);
            yield_until(&c.gate.reached, 1);
            yield_until(&c.waits, 1);
            CHECK(sinew_cancel(t));
            CHECK_EQ(sinew_await(t), -ECANCELED);
            CHECK_EQ(c.gate.cancelled, 1);
            CHECK_EQ(c.cancelling, 1);
            CHECK_EQ(c.next, 0);
        }
    return 0;
}

static intptr_t shield_it(void *task)
{
    return sinew_shield(task);
}

IN_RUNTIME(a099_a_limit_on_a_shield_leaves_the_work_running)
{
    for (int stage = 0; stage < STAGES; stage++)
        for (int own_task = 0; own_task < 2; own_task++) {
            gate g;
            gate_init(&g, 8);
            sinew_task *t = spawn_at((enum stage)stage, &g);
            if (own_task) {
                CHECK_EQ(sinew_wait_for(sinew_spawn(shield_it, sinew_ref(t)), SINEW_MS(2)), -ETIMEDOUT);
            } else {
                sinew_timeout scope;
                sinew_timeout_begin(&scope, SINEW_MS(2));
                CHECK_EQ(sinew_shield(sinew_ref(t)), -ETIMEDOUT);
                CHECK_EQ(sinew_timeout_end(&scope), -ETIMEDOUT);
            }
            CHECK(!sinew_done(t));
            gate_open(&g, 1);
            CHECK_EQ(sinew_await(t), 8);
            CHECK_EQ(g.cancelled, 0);
        }
    return 0;
}

TEST_MAIN(cmocka_unit_test(a082_an_expiry_ends_the_call_in_the_block_and_leaves_no_request_behind),
          cmocka_unit_test(a082_an_expiry_reaches_what_the_block_awaits),
          cmocka_unit_test(a083_when_somebody_else_cancelled_too_the_scope_does_not_report_a_timeout),
          cmocka_unit_test(a083_a_request_from_before_the_block_does_not_hide_its_expiry),
          cmocka_unit_test(a083_a_request_that_comes_after_the_expiry_was_met_is_delivered_by_itself),
          cmocka_unit_test(a083_a_loop_of_tries_with_limits_can_be_cancelled),
          cmocka_unit_test(a084_a_body_that_swallows_the_expiry_goes_on_and_the_scope_is_expired),
          cmocka_unit_test(a084_an_expiry_that_the_awaited_task_answers_with_a_value_is_no_error_but_expired),
          cmocka_unit_test(a085_an_error_with_which_the_block_answers_the_expiry_is_what_it_gives),
          cmocka_unit_test(a086_a_deadline_may_be_set_moved_and_cleared_inside),
          cmocka_unit_test(a086_a_deadline_may_be_moved_often_and_from_any_worker),
          cmocka_unit_test(a086_moving_it_before_the_block_after_its_expiry_or_end_or_by_others_is_an_error),
          cmocka_unit_test(a086_a_move_after_the_deadline_either_counts_or_is_refused),
          cmocka_unit_test(a087_a_deadline_already_past_does_not_stop_a_body_that_never_suspends),
          cmocka_unit_test(a087_it_ends_the_first_call_that_suspends),
          cmocka_unit_test(a087_it_fires_when_the_task_next_gives_way), cmocka_unit_test(a088_a_scope_ends_once),
          cmocka_unit_test(a088_outside_of_a_task_a_scope_does_nothing),
          cmocka_unit_test(a091_a_scope_may_begin_with_an_instant_of_the_monotonic_clock_and_tells_it),
          cmocka_unit_test(a089_the_outer_scope_first_goes_through_the_inner_one),
          cmocka_unit_test(a089_of_scopes_that_expire_together_the_outermost_reports_it),
          cmocka_unit_test(a089_a_loop_of_tries_with_limits_ends_with_the_scope_around_it),
          cmocka_unit_test(a090_the_inner_scope_first_is_its_alone_and_the_outer_one_goes_on),
          cmocka_unit_test(a090_a_scope_begun_inside_an_expired_one_reports_its_own_expiry),
          cmocka_unit_test(a090_an_inner_scope_that_nobody_met_leaves_the_outer_ones_request),
          cmocka_unit_test(a092_wait_for_without_a_limit_is_await),
          cmocka_unit_test(a093_wait_for_runs_unstarted_work_in_the_caller),
          cmocka_unit_test(a094_at_the_limit_the_work_is_cancelled_and_its_real_end_awaited),
          cmocka_unit_test(a094_a_limit_that_passes_before_the_first_suspension_ends_that),
          cmocka_unit_test(a095_without_time_finished_work_gives_its_result_and_other_work_never_starts),
          cmocka_unit_test(a096_work_that_answers_the_limit_with_a_value_is_heard),
          cmocka_unit_test(a096_also_when_it_runs_in_the_caller),
          cmocka_unit_test(a097_work_that_answers_the_limit_with_another_error_is_heard),
          cmocka_unit_test(a097_also_when_it_runs_in_the_caller),
          cmocka_unit_test(a098_cancelling_the_caller_cancels_the_work),
          cmocka_unit_test(a099_a_limit_on_a_shield_leaves_the_work_running))
