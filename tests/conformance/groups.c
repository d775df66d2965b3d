/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the rules of task groups, A61 to A81 (conformance/rules.tsv), one test or more for each.
 * Method: children at gates; owners in tasks of their own that record what each call gave and what was left behind.
 * Where a rule must hold for children that run elsewhere and for children that the waiting owner runs in place, both
 * are tried: with one worker an unstarted child always runs in place.
 * Cannot see: the second and later errors of a group, which it does not report (A63, A80).
 */
#include <errno.h>

#include <tests/support/run.h>
#include <tests/support/tasks.h>

/* --- children --------------------------------------------------------------------------------------------------- */

/* Has it run before the owner waits, or does the owner's wait find it unstarted? */
enum readiness { STARTED, UNSTARTED, READINESSES };

/* A child that swallows what stops it, and records how often it was stopped. */
struct recorder {
    atomic_int started, stopped, over;
    sinew_sem end; /* posted when it may end */
    int first, cancelling, stops;
    intptr_t result;
};

static void recorder_init(struct recorder *r, intptr_t result)
{
    *r = (struct recorder){.result = result};
    sinew_sem_init(&r->end, 0);
}

static intptr_t record_stops(void *arg)
{
    struct recorder *r = arg;
    atomic_store(&r->started, 1);
    r->first = sinew_sleep(VERY_LONG);
    r->cancelling = sinew_cancelling();
    r->stops = 1;
    atomic_store(&r->stopped, 1);
    while (sinew_sem_wait(&r->end) != 0)
        r->stops++;
    atomic_store(&r->over, 1);
    return r->result;
}

/* Cleans up over several checkpoints, then fails. */
struct failing_cleanup {
    atomic_int started, over;
    int error;
};

static intptr_t fail_when_stopped(void *arg)
{
    struct failing_cleanup *c = arg;
    atomic_store(&c->started, 1);
    CHECK_EQ(sinew_sleep(VERY_LONG), -ECANCELED);
    for (int i = 0; i < 5; i++)
        CHECK_EQ(sinew_sleep(SINEW_US(100)), 0);
    atomic_store(&c->over, 1);
    return c->error;
}

static intptr_t count_run(void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
    return 0;
}

/* --- A61 to A67: children --------------------------------------------------------------------------------------- */

struct sum {
    intptr_t n, result;
};

static intptr_t sum_up(void *arg)
{
    struct sum *s = arg;
    intptr_t result = 0;
    for (intptr_t i = 1; i <= s->n; i++) {
        result += i;
        if (s->n % 3 == 0)
            CHECK_EQ(sinew_yield(), 0);
    }
    if (s->n % 7 == 0)
        CHECK_EQ(sinew_sleep(SINEW_US(300)), 0);
    s->result = result;
    return 0;
}

IN_RUNTIME(a061_wait_ends_after_all_children_and_what_they_wrote_can_be_read)
{
    enum { CHILDREN = 100 };
    struct sum sums[CHILDREN];
    sinew_group group;
    sinew_group_init(&group);
    for (int i = 0; i < CHILDREN; i++) {
        sums[i] = (struct sum){.n = i};
        CHECK_EQ(sinew_group_spawn(&group, sum_up, &sums[i]), 0);
    }
    CHECK_EQ(sinew_group_wait(&group), 0);
    for (intptr_t i = 0; i < CHILDREN; i++)
        CHECK_EQ(sums[i].result, i * (i + 1) / 2);
    return 0;
}

enum body_call { BODY_SLEEPS, BODY_YIELDS, BODY_TAKES, BODY_AWAITS, BODY_AWAITS_UNSTARTED, BODY_WAITS, BODY_CALLS };

/* The body's checkpoint: one of the ways to wait. The failing child is let go right before it. */
static int wait_in_body(enum body_call call, gate *awaited, gate *failing)
{
    sinew_task *t = NULL;
    int r = 0;
    if (call >= BODY_AWAITS && call <= BODY_WAITS)
        t = sinew_spawn(gate_pass, awaited);
    if (call == BODY_AWAITS)
        yield_until(&awaited->reached, 1);
    gate_open(failing, 1);
    switch (call) {
    case BODY_SLEEPS:
        return sinew_sleep(VERY_LONG);
    case BODY_YIELDS:
        while ((r = sinew_yield()) == 0)
            ;
        return r;
    case BODY_TAKES:
        return sinew_sem_wait(&awaited->open);
    case BODY_WAITS:
        r = sinew_wait(&t, 1, SINEW_ALL_COMPLETED, SINEW_FOREVER, NULL);
        CHECK_EQ(awaited->cancelled, 0);
        gate_open(awaited, 1);
        CHECK_EQ(sinew_await(t), 0);
        return r;
    default:
        r = (int)sinew_await(t);
        CHECK_EQ(awaited->cancelled, awaited->reached); /* forwarded to what the body waited for */
        return r;
    }
}

IN_RUNTIME(a062_first_failure_cancels_siblings_once_and_the_body_at_its_checkpoint)
{
    for (int call = 0; call < BODY_CALLS; call++) {
        struct recorder siblings[3];
        gate first, second, awaited;
        gate_init(&first, -EIO);
        gate_init(&second, -EBADMSG);
        gate_init(&awaited, 0);
        sinew_group group;
        sinew_group_init(&group);
        for (int i = 0; i < 3; i++) {
            recorder_init(&siblings[i], 0);
            CHECK_EQ(sinew_group_spawn(&group, record_stops, &siblings[i]), 0);
        }
        /* Its answer to the cancel is an error: a second failure, after which nobody is cancelled again. */
        second.when_stopped = -EBADMSG;
        CHECK_EQ(sinew_group_spawn(&group, gate_pass, &second), 0);
        CHECK_EQ(sinew_group_spawn(&group, gate_pass, &first), 0);
        for (int i = 0; i < 3; i++)
            yield_until(&siblings[i].started, 1);
        yield_until(&second.reached, 1);
        CHECK_EQ(wait_in_body((enum body_call)call, &awaited, &first), -ECANCELED);
        for (int i = 0; i < 3; i++)
            yield_until(&siblings[i].stopped, 1);
        yield_until(&second.ended, 1);
        for (int i = 0; i < 20; i++)
            CHECK_EQ(sinew_yield(), 0);
        for (int i = 0; i < 3; i++)
            sinew_sem_post(&siblings[i].end);
        CHECK_EQ(sinew_group_wait(&group), -EIO);
        for (int i = 0; i < 3; i++) {
            CHECK_EQ(siblings[i].first, -ECANCELED);
            CHECK_EQ(siblings[i].cancelling, 1);
            CHECK_EQ(siblings[i].stops, 1);
        }
        CHECK_EQ(sinew_yield(), 0);
    }
    return 0;
}

IN_RUNTIME(a062_siblings_that_had_not_started_never_start)
{
    atomic_int runs = 0;
    sinew_group group;
    sinew_group_init(&group);
    CHECK_EQ(sinew_group_spawn(&group, return_arg, (void *)(intptr_t)-EIO), 0);
    for (int i = 0; i < 20; i++) {
        int r = sinew_group_spawn(&group, count_run, &runs); /* the failure may come before, on another worker */
        CHECK(r == 0 || (r == -ECANCELED && sinew_workers() > 1));
    }
    CHECK_EQ(sinew_group_wait(&group), -EIO);
    if (sinew_workers() == 1)
        CHECK_EQ(runs, 0);
    return 0;
}

/* The child that the waiting owner runs in place is a sibling like others. */
IN_RUNTIME(a062_a_failure_while_the_owner_waits_cancels_all_and_is_no_cancel_of_the_owner)
{
    struct recorder siblings[2];
    gate failing;
    sinew_group group;
    gate_init(&failing, -EIO);
    sinew_group_init(&group);
    for (int i = 0; i < 2; i++) {
        recorder_init(&siblings[i], 0);
        sinew_sem_post(&siblings[i].end);
        CHECK_EQ(sinew_group_spawn(&group, record_stops, &siblings[i]), 0);
    }
    gate_open(&failing, 1);
    CHECK_EQ(sinew_group_spawn(&group, gate_pass, &failing), 0);
    CHECK_EQ(sinew_group_wait(&group), -EIO);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(siblings[i].stops, siblings[i].started);
    CHECK_EQ(sinew_cancelling(), 0);
    CHECK_EQ(sinew_yield(), 0);
    return 0;
}

static intptr_t end_cancelled(void *arg)
{
    (void)arg;
    return -ECANCELED;
}

IN_RUNTIME(a063_the_first_error_in_time_is_returned_and_never_a_cancel)
{
    gate gates[3];
    sinew_group group;
    sinew_group_init(&group);
    for (int i = 0; i < 3; i++) {
        gate_init(&gates[i], i == 0 ? -EBADMSG : -EIO);
        gates[i].when_stopped = -ENOENT;
    }
    CHECK_EQ(sinew_group_spawn(&group, end_cancelled, NULL), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(sinew_group_spawn(&group, gate_pass, &gates[i]), 0);
    for (int i = 0; i < 3; i++)
        yield_until(&gates[i].reached, 1);
    gate_open(&gates[1], 1); /* not the first that was spawned */
    CHECK_EQ(sinew_group_wait(&group), -EIO);
    CHECK_EQ(gates[0].cancelled + gates[2].cancelled, 2);
    return 0;
}

IN_RUNTIME(a064_the_groups_cancel_of_the_body_leaves_no_trace)
{
    for (int before = 0; before < 3; before++) {
        gate failing;
        gate_init(&failing, -EIO);
        for (int i = 0; i < before; i++) {
            CHECK(sinew_cancel(sinew_self()));
            CHECK_EQ(sinew_yield(), -ECANCELED);
        }
        sinew_group group;
        sinew_group_init(&group);
        CHECK_EQ(sinew_group_spawn(&group, gate_pass, &failing), 0);
        gate_open(&failing, 1);
        CHECK_EQ(sinew_sleep(VERY_LONG), -ECANCELED);
        CHECK_EQ(sinew_group_wait(&group), -EIO);
        CHECK_EQ(sinew_cancelling(), before);
        CHECK_EQ(sinew_yield(), 0);
        CHECK_EQ(sinew_sleep(SINEW_US(100)), 0);
        while (sinew_uncancel() > 0)
            ;
    }
    return 0;
}

/* The failure comes, the body meets no checkpoint and goes straight to the wait. */
IN_RUNTIME(a064_a_cancel_the_body_has_not_met_is_taken_back)
{
    gate failing;
    gate_init(&failing, -EIO);
    sinew_group group;
    sinew_group_init(&group);
    CHECK_EQ(sinew_group_spawn(&group, gate_pass, &failing), 0);
    gate_open(&failing, 1);
    /* With one worker only a checkpoint lets the child run, and delivers. */
    if (sinew_workers() > 1)
        while (!atomic_load(&failing.ended))
            ;
    CHECK_EQ(sinew_group_wait(&group), -EIO);
    CHECK_EQ(sinew_cancelling(), 0);
    CHECK_EQ(sinew_yield(), 0);
    CHECK_EQ(sinew_sleep(SINEW_MS(1)), 0);
    return 0;
}

IN_RUNTIME(a065_a_body_that_swallows_the_cancel_goes_on_and_the_group_still_fails)
{
    gate failing;
    gate_init(&failing, -EIO);
    atomic_int runs = 0;
    sinew_group group;
    sinew_group_init(&group);
    CHECK_EQ(sinew_group_spawn(&group, gate_pass, &failing), 0);
    gate_open(&failing, 1);
    CHECK_EQ(sinew_sleep(VERY_LONG), -ECANCELED);
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(sinew_sleep(SINEW_US(100)), 0);
        CHECK_EQ(sinew_await(sinew_spawn(return_arg, (void *)3)), 3);
        CHECK_EQ(sinew_group_spawn(&group, count_run, &runs), -ECANCELED);
    }
    CHECK_EQ(sinew_group_wait(&group), -EIO);
    CHECK_EQ(runs, 0);
    CHECK_EQ(sinew_cancelling(), 0);
    CHECK_EQ(sinew_yield(), 0);
    return 0;
}

IN_RUNTIME(a066_a_body_that_fails_cancels_its_children_and_waits_for_them)
{
    for (int child_fails = 0; child_fails < 2; child_fails++) {
        struct recorder children[3];
        struct failing_cleanup cleanup = {.error = -EBADMSG};
        sinew_group group;
        sinew_group_init(&group);
        for (int i = 0; i < 3; i++) {
            recorder_init(&children[i], 0);
            sinew_sem_post(&children[i].end);
            CHECK_EQ(sinew_group_spawn(&group, record_stops, &children[i]), 0);
            yield_until(&children[i].started, 1);
        }
        if (child_fails) {
            CHECK_EQ(sinew_group_spawn(&group, fail_when_stopped, &cleanup), 0);
            yield_until(&cleanup.started, 1);
        }
        /* Here the body comes upon its error, which it will return itself. */
        sinew_group_cancel(&group);
        CHECK_EQ(sinew_group_wait(&group), child_fails ? -EBADMSG : 0);
        for (int i = 0; i < 3; i++) {
            CHECK_EQ(children[i].over, 1);
            CHECK_EQ(children[i].stops, 1);
        }
        CHECK_EQ(cleanup.over, child_fails);
        CHECK_EQ(sinew_yield(), 0);
    }
    return 0;
}

struct lent_child {
    _Atomic(sinew_task *) task;
};

static intptr_t lend_myself(void *arg)
{
    struct lent_child *l = arg;
    atomic_store(&l->task, sinew_ref(sinew_self()));
    return sinew_sleep(VERY_LONG);
}

IN_RUNTIME(a067_a_child_that_somebody_cancels_is_no_failure)
{
    gate sibling;
    gate_init(&sibling, 0);
    struct lent_child lent = {NULL};
    sinew_group group;
    sinew_group_init(&group);
    CHECK_EQ(sinew_group_spawn(&group, gate_pass, &sibling), 0);
    CHECK_EQ(sinew_group_spawn(&group, lend_myself, &lent), 0);
    while (!atomic_load(&lent.task))
        CHECK_EQ(sinew_yield(), 0);
    yield_until(&sibling.reached, 1);
    CHECK(sinew_cancel(atomic_load(&lent.task)));
    CHECK_EQ(sinew_await(atomic_load(&lent.task)), -ECANCELED);
    for (int i = 0; i < 20; i++)
        CHECK_EQ(sinew_yield(), 0);
    CHECK_EQ(sibling.cancelled, 0);
    gate_open(&sibling, 1);
    CHECK_EQ(sinew_group_wait(&group), 0);
    CHECK_EQ(sibling.passed, 1);
    return 0;
}

/* --- A68 to A70, A78: the owner is cancelled from outside ------------------------------------------------------- */

struct owner {
    enum readiness readiness;
    struct recorder children[3];
    struct failing_cleanup cleanup; /* with an error: a fourth child */
    int own_cancels;                /* of the owner by itself, before it waits */
    sinew_time limit;               /* of a scope around the group, from the wait on, if not 0 */
    atomic_int waiting;
    int waited, cancelling, within, end, next, after_next;
};

static void owner_init(struct owner *o, enum readiness readiness)
{
    *o = (struct owner){.readiness = readiness, .waited = 1, .within = 1, .next = 1, .after_next = 1};
    for (int i = 0; i < 3; i++)
        recorder_init(&o->children[i], 0);
}

static void owner_release_children(struct owner *o)
{
    for (int i = 0; i < 3; i++)
        sinew_sem_post(&o->children[i].end);
}

static intptr_t own(void *arg)
{
    struct owner *o = arg;
    sinew_group group;
    sinew_timeout scope;
    if (o->limit)
        sinew_timeout_begin(&scope, SINEW_FOREVER);
    sinew_group_init(&group);
    if (o->cleanup.error)
        CHECK_EQ(sinew_group_spawn(&group, fail_when_stopped, &o->cleanup), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(sinew_group_spawn(&group, record_stops, &o->children[i]), 0);
    if (o->readiness == STARTED) {
        for (int i = 0; i < 3; i++)
            yield_until(&o->children[i].started, 1);
        if (o->cleanup.error)
            yield_until(&o->cleanup.started, 1);
    }
    for (int i = 0; i < o->own_cancels; i++)
        CHECK(sinew_cancel(sinew_self()));
    if (o->limit)
        CHECK_EQ(sinew_timeout_reset(&scope, o->limit), 0);
    atomic_store(&o->waiting, 1);
    o->waited = sinew_group_wait(&group);
    o->cancelling = sinew_cancelling();
    if (o->limit) {
        o->within = sinew_yield();
        o->end = sinew_timeout_end(&scope);
    }
    o->next = sinew_yield();
    o->after_next = sinew_yield();
    return 5;
}

/* All children have begun, whoever runs them. */
static void wait_for_children(struct owner *o)
{
    for (int i = 0; i < 3; i++)
        yield_until(&o->children[i].started, 1);
    if (o->cleanup.error)
        yield_until(&o->cleanup.started, 1);
    yield_until(&o->waiting, 1);
}

static void check_stopped_once(struct owner *o)
{
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(o->children[i].first, -ECANCELED);
        CHECK_EQ(o->children[i].cancelling, 1);
        CHECK_EQ(o->children[i].stops, 1);
        CHECK_EQ(o->children[i].over, 1);
    }
}

IN_RUNTIME(a068_cancelling_the_parent_cancels_all_children_and_goes_on_after_they_ended)
{
    for (int readiness = 0; readiness < READINESSES; readiness++) {
        struct owner o;
        owner_init(&o, (enum readiness)readiness);
        sinew_task *t = sinew_spawn(own, &o);
        wait_for_children(&o);
        CHECK(sinew_cancel(t));
        for (int i = 0; i < 3; i++)
            yield_until(&o.children[i].stopped, 1);
        CHECK_EQ(o.waited, 1); /* still in its wait */
        owner_release_children(&o);
        CHECK_EQ(sinew_await(t), 5);
        CHECK_EQ(o.waited, -ECANCELED);
        check_stopped_once(&o);
        CHECK_EQ(o.cancelling, 1);
        CHECK_EQ(o.next, 0);
    }
    return 0;
}

/* The same for an owner that is itself run in place, by the one who is cancelled. */
static intptr_t await_owner(void *arg)
{
    return sinew_await(sinew_spawn(own, arg));
}

IN_RUNTIME(a068_a_cancel_that_reaches_the_parent_through_an_await_does_the_same)
{
    for (int readiness = 0; readiness < READINESSES; readiness++) {
        struct owner o;
        owner_init(&o, (enum readiness)readiness);
        owner_release_children(&o);
        sinew_task *t = sinew_spawn(await_owner, &o);
        wait_for_children(&o);
        CHECK(sinew_cancel(t));
        CHECK_EQ(sinew_await(t), 5);
        CHECK_EQ(o.waited, -ECANCELED);
        check_stopped_once(&o);
        CHECK_EQ(o.cancelling, 1);
        CHECK_EQ(o.next, 0);
    }
    return 0;
}

/* A request that came before the wait, without a checkpoint in between. */
IN_RUNTIME(a068_a_request_that_is_pending_when_the_wait_begins_counts)
{
    struct owner o;
    owner_init(&o, STARTED);
    o.own_cancels = 2;
    owner_release_children(&o);
    CHECK_EQ(sinew_await(sinew_spawn(own, &o)), 5);
    CHECK_EQ(o.waited, -ECANCELED);
    check_stopped_once(&o);
    CHECK_EQ(o.cancelling, 2);
    CHECK_EQ(o.next, 0);
    return 0;
}

IN_RUNTIME(a069_a_child_that_fails_during_the_cancel_wins_over_it)
{
    for (int readiness = 0; readiness < READINESSES; readiness++) {
        struct owner o;
        owner_init(&o, (enum readiness)readiness);
        o.cleanup.error = -EBADMSG;
        owner_release_children(&o);
        sinew_task *t = sinew_spawn(own, &o);
        wait_for_children(&o);
        CHECK(sinew_cancel(t));
        sinew_await(t);
        CHECK_EQ(o.waited, -EBADMSG);
        CHECK_EQ(o.cleanup.over, 1);
        check_stopped_once(&o);
    }
    return 0;
}

IN_RUNTIME(a070_the_request_stays_pending_for_the_checkpoint_after_a_group_that_failed)
{
    for (int readiness = 0; readiness < READINESSES; readiness++) {
        struct owner o;
        owner_init(&o, (enum readiness)readiness);
        o.cleanup.error = -EBADMSG;
        owner_release_children(&o);
        sinew_task *t = sinew_spawn(own, &o);
        wait_for_children(&o);
        CHECK(sinew_cancel(t));
        CHECK_EQ(sinew_await(t), 5);
        CHECK_EQ(o.waited, -EBADMSG);
        CHECK_EQ(o.cancelling, 1);
        CHECK_EQ(o.next, -ECANCELED);
        CHECK_EQ(o.after_next, 0);
    }
    return 0;
}

/* An expired scope around the group is a request from outside, too; it ends with its scope. */
IN_RUNTIME(a070_so_does_the_expiry_of_a_scope_around_the_group)
{
    for (int readiness = 0; readiness < READINESSES; readiness++) {
        struct owner o;
        owner_init(&o, (enum readiness)readiness);
        o.cleanup.error = -EBADMSG;
        o.limit = SINEW_MS(20);
        owner_release_children(&o);
        CHECK_EQ(sinew_await(sinew_spawn(own, &o)), 5);
        if (!o.cleanup.started) /* a slow machine: the limit came before the child */
            continue;
        CHECK_EQ(o.waited, -EBADMSG);
        CHECK_EQ(o.cancelling, 0);
        CHECK_EQ(o.within, -ETIMEDOUT);
        CHECK_EQ(o.end, -ETIMEDOUT);
        CHECK_EQ(o.next, 0);
    }
    return 0;
}

IN_RUNTIME(a078_repeated_cancels_neither_end_the_wait_nor_reach_the_children_again)
{
    for (int readiness = 0; readiness < READINESSES; readiness++) {
        struct owner o;
        owner_init(&o, (enum readiness)readiness);
        sinew_task *t = sinew_spawn(own, &o);
        wait_for_children(&o);
        for (int round = 1; round <= 3; round++) {
            CHECK(sinew_cancel(t));
            for (int i = 0; i < 3; i++)
                yield_until(&o.children[i].stopped, 1);
            for (int i = 0; i < 20; i++)
                CHECK_EQ(sinew_yield(), 0);
            CHECK_EQ(o.waited, 1);
        }
        owner_release_children(&o);
        CHECK_EQ(sinew_await(t), 5);
        CHECK_EQ(o.waited, -ECANCELED);
        check_stopped_once(&o);
        /* Three requests, all told by the one return of the wait. */
        CHECK_EQ(o.cancelling, 3);
        CHECK_EQ(o.next, 0);
    }
    return 0;
}

/* --- A71 to A73: use ---------------------------------------------------------------------------------------------- */

IN_RUNTIME(a071_no_child_starts_before_the_group_begins_after_it_ended_or_after_it_failed)
{
    atomic_int runs = 0;
    sinew_group group;
    memset(&group, 0, sizeof group);
    CHECK_EQ(sinew_group_spawn(&group, count_run, &runs), -EINVAL);
    CHECK_EQ(sinew_group_wait(&group), -EINVAL);
    sinew_group_init(&group);
    CHECK_EQ(sinew_group_spawn(&group, NULL, NULL), -EINVAL);
    CHECK_EQ(sinew_group_wait(&group), 0);
    CHECK_EQ(sinew_group_spawn(&group, count_run, &runs), -EINVAL);

    gate failing;
    gate_init(&failing, -EIO);
    sinew_group_init(&group);
    CHECK_EQ(sinew_group_spawn(&group, gate_pass, &failing), 0);
    gate_open(&failing, 1);
    CHECK_EQ(sinew_sleep(VERY_LONG), -ECANCELED);
    CHECK_EQ(sinew_group_spawn(&group, count_run, &runs), -ECANCELED);
    CHECK_EQ(sinew_group_wait(&group), -EIO);
    CHECK_EQ(sinew_group_spawn(&group, count_run, &runs), -EINVAL);
    for (int i = 0; i < 10; i++)
        CHECK_EQ(sinew_yield(), 0);
    CHECK_EQ(runs, 0);
    return 0;
}

struct adder {
    sinew_group *group;
    int generations;
    atomic_int *ended;
    bool suspends;
};

static intptr_t add_another(void *arg)
{
    struct adder *a = arg;
    if (a->suspends)
        sinew_sleep(SINEW_US(100));
    if (--a->generations > 0)
        CHECK_EQ(sinew_group_spawn(a->group, add_another, a), 0);
    atomic_fetch_add(a->ended, 1);
    return 0;
}

IN_RUNTIME(a072_children_that_children_add_during_the_wait_are_waited_for)
{
    for (int suspends = 0; suspends < 2; suspends++) {
        atomic_int ended = 0;
        sinew_group group;
        sinew_group_init(&group);
        struct adder a = {&group, 50, &ended, suspends != 0};
        CHECK_EQ(sinew_group_spawn(&group, add_another, &a), 0);
        CHECK_EQ(sinew_group_wait(&group), 0);
        CHECK_EQ(ended, 50);
    }
    return 0;
}

static intptr_t wait_for_foreign(void *group)
{
    return sinew_group_wait(group);
}

IN_RUNTIME(a073_a_group_is_waited_for_once_and_by_its_owner)
{
    gate g;
    gate_init(&g, 0);
    sinew_group group;
    sinew_group_init(&group);
    CHECK_EQ(sinew_group_spawn(&group, gate_pass, &g), 0);
    CHECK_EQ(sinew_await(sinew_spawn(wait_for_foreign, &group)), -EPERM);
    gate_open(&g, 1);
    CHECK_EQ(sinew_group_wait(&group), 0);
    CHECK_EQ(g.ended, 1);
    CHECK_EQ(sinew_group_wait(&group), -EINVAL);
    return 0;
}

static intptr_t spawn_into(void *group)
{
    atomic_int runs = 0;
    CHECK_EQ(sinew_group_spawn(group, count_run, &runs), -EINVAL);
    CHECK_EQ(sinew_group_wait(group), -EINVAL);
    CHECK_EQ(runs, 0);
    return 0;
}

static void a073_a_group_that_begins_outside_of_a_task_is_none(void **state)
{
    (void)state;
    sinew_group group;
    sinew_group_init(&group);
    for (size_t i = 0; i < WORKER_COUNTS; i++)
        run_body(__func__, worker_counts[i], spawn_into, &group);
}

/* --- A74, A75: nesting -------------------------------------------------------------------------------------------- */

struct inner {
    gate sibling;
    int waited;
};

static intptr_t fail_inside(void *arg)
{
    struct inner *i = arg;
    sinew_group group;
    sinew_group_init(&group);
    CHECK_EQ(sinew_group_spawn(&group, gate_pass, &i->sibling), 0);
    yield_until(&i->sibling.reached, 1);
    CHECK_EQ(sinew_group_spawn(&group, return_arg, (void *)(intptr_t)-EBADMSG), 0);
    i->waited = sinew_group_wait(&group);
    CHECK_EQ(i->sibling.ended, 1);
    return i->waited;
}

IN_RUNTIME(a074_an_inner_failure_fails_the_outer_group_and_cancels_its_other_tasks)
{
    for (int readiness = 0; readiness < READINESSES; readiness++) {
        struct recorder other;
        struct inner inner = {.waited = 1};
        gate_init(&inner.sibling, 0);
        recorder_init(&other, 0);
        sinew_sem_post(&other.end);
        sinew_group outer;
        sinew_group_init(&outer);
        CHECK_EQ(sinew_group_spawn(&outer, record_stops, &other), 0);
        if (readiness == STARTED)
            yield_until(&other.started, 1);
        CHECK_EQ(sinew_group_spawn(&outer, fail_inside, &inner), 0);
        CHECK_EQ(sinew_group_wait(&outer), -EBADMSG);
        CHECK_EQ(inner.waited, -EBADMSG);
        CHECK_EQ(inner.sibling.cancelled, 1);
        if (readiness == STARTED)
            CHECK_EQ(other.stops, 1);
        CHECK_EQ(sinew_yield(), 0);
    }
    return 0;
}

/* Lets a failing child end while the caller computes: another worker has to run it. */
static void fail_meanwhile(gate *failing)
{
    gate_open(failing, 1);
    while (!atomic_load(&failing->ended))
        ;
}

/*
 * Both groups fail while the owner computes, in either order. Needs a second worker: with one, the failures come while
 * the owner is at a checkpoint, which is the next test.
 */
IN_RUNTIME_WITH(a075_of_two_groups_that_fail_at_once_neither_request_is_lost, 2, 8)
{
    for (int inner_first = 0; inner_first < 2; inner_first++) {
        gate first, second;
        sinew_group outer, inner;
        gate_init(&first, -EIO);
        gate_init(&second, -EBADMSG);
        sinew_group_init(&outer);
        CHECK_EQ(sinew_group_spawn(&outer, gate_pass, &first), 0);
        sinew_group_init(&inner);
        CHECK_EQ(sinew_group_spawn(&inner, gate_pass, &second), 0);
        yield_until(&first.reached, 1);
        yield_until(&second.reached, 1);
        fail_meanwhile(inner_first ? &second : &first);
        fail_meanwhile(inner_first ? &first : &second);
        sinew_time until = sinew_now() + SINEW_MS(1); /* `ended` is counted a moment before the group hears of it */
        while (sinew_now() < until)
            ;
        CHECK_EQ(sinew_group_wait(&inner), -EBADMSG);
        /* The outer group's own request. */
        CHECK_EQ(sinew_sleep(VERY_LONG), -ECANCELED);
        CHECK_EQ(sinew_sleep(SINEW_US(100)), 0);
        CHECK_EQ(sinew_group_wait(&outer), -EIO);
        CHECK_EQ(sinew_cancelling(), 0);
        CHECK_EQ(sinew_yield(), 0);
    }
    return 0;
}

static intptr_t fail_two(void *arg)
{
    gate **failing = arg;
    gate_open(failing[0], 1);
    gate_open(failing[1], 1);
    return 0;
}

/* One checkpoint of the body inside the inner group serves both; the outer group's request comes again after it. */
IN_RUNTIME(a075_a_delivery_inside_the_inner_group_does_not_use_up_the_outer_groups_request)
{
    gate first, second;
    gate *both[] = {&first, &second};
    sinew_group outer, inner;
    gate_init(&first, -EIO);
    gate_init(&second, -EBADMSG);
    sinew_group_init(&outer);
    CHECK_EQ(sinew_group_spawn(&outer, gate_pass, &first), 0);
    sinew_group_init(&inner);
    CHECK_EQ(sinew_group_spawn(&inner, gate_pass, &second), 0);
    yield_until(&first.reached, 1);
    yield_until(&second.reached, 1);
    sinew_task *t = sinew_spawn(fail_two, both);
    CHECK_EQ(sinew_sleep(VERY_LONG), -ECANCELED);
    while (!atomic_load(&first.ended) || !atomic_load(&second.ended))
        sinew_yield();
    sinew_sleep(SINEW_MS(1));
    CHECK_EQ(sinew_group_wait(&inner), -EBADMSG);
    CHECK_EQ(sinew_sleep(VERY_LONG), -ECANCELED);
    CHECK_EQ(sinew_sleep(SINEW_US(100)), 0);
    CHECK_EQ(sinew_group_wait(&outer), -EIO);
    CHECK_EQ(sinew_yield(), 0);
    CHECK_EQ(sinew_await(t), 0);
    return 0;
}

/* The outer group fails while the owner waits for the inner one, whose child answers with an error. */
IN_RUNTIME(a075_the_outer_groups_request_stays_pending_when_the_inner_group_fails_in_its_wait)
{
    gate first;
    struct failing_cleanup cleanup = {.error = -EBADMSG};
    sinew_group outer, inner;
    gate_init(&first, -EIO);
    sinew_group_init(&outer);
    CHECK_EQ(sinew_group_spawn(&outer, gate_pass, &first), 0);
    sinew_group_init(&inner);
    CHECK_EQ(sinew_group_spawn(&inner, fail_when_stopped, &cleanup), 0);
    yield_until(&cleanup.started, 1);
    gate_open(&first, 1);
    CHECK_EQ(sinew_group_wait(&inner), -EBADMSG);
    CHECK_EQ(cleanup.over, 1);
    CHECK_EQ(sinew_sleep(VERY_LONG), -ECANCELED);
    CHECK_EQ(sinew_sleep(SINEW_US(100)), 0);
    CHECK_EQ(sinew_group_wait(&outer), -EIO);
    CHECK_EQ(sinew_cancelling(), 0);
    CHECK_EQ(sinew_yield(), 0);
    return 0;
}

/* --- A79 to A81 -----------------------------------------------------------------------------------------------------
 */

IN_RUNTIME(a079_an_expired_scope_around_the_group_shows_as_a_timeout_after_the_children_ended)
{
    for (int readiness = 0; readiness < READINESSES; readiness++) {
        struct owner o;
        owner_init(&o, (enum readiness)readiness);
        o.limit = SINEW_MS(20);
        owner_release_children(&o);
        CHECK_EQ(sinew_await(sinew_spawn(own, &o)), 5);
        CHECK_EQ(o.waited, -ETIMEDOUT);
        CHECK_EQ(o.within, 0);
        CHECK_EQ(o.end, -ETIMEDOUT);
        CHECK_EQ(o.cancelling, 0);
        CHECK_EQ(o.next, 0);
        for (int i = 0; i < 3; i++) {
            CHECK_EQ(o.children[i].over, o.children[i].started);
            CHECK_EQ(o.children[i].stops, o.children[i].started);
        }
    }
    return 0;
}

IN_RUNTIME(a079_a_cancel_after_the_expiry_in_the_same_wait_shows_as_a_cancel)
{
    struct owner o;
    owner_init(&o, STARTED);
    o.limit = SINEW_MS(2);
    sinew_task *t = sinew_spawn(own, &o);
    for (int i = 0; i < 3; i++)
        yield_until(&o.children[i].stopped, 1);
    CHECK(sinew_cancel(t));
    owner_release_children(&o);
    CHECK_EQ(sinew_await(t), 5);
    CHECK_EQ(o.waited, -ECANCELED);
    CHECK_EQ(o.end, 0); /* not this scope's alone: A83 */
    CHECK_EQ(o.cancelling, 1);
    CHECK_EQ(o.next, 0);
    return 0;
}

IN_RUNTIME(a081_cancel_is_possible_before_any_child_and_more_than_once)
{
    atomic_int runs = 0;
    sinew_group group;
    sinew_group_init(&group);
    sinew_group_cancel(&group);
    sinew_group_cancel(&group);
    CHECK_EQ(sinew_group_spawn(&group, count_run, &runs), -ECANCELED);
    sinew_group_cancel(&group);
    CHECK_EQ(sinew_group_wait(&group), 0);
    sinew_group_cancel(&group); /* ended: nothing happens */
    CHECK_EQ(runs, 0);
    CHECK_EQ(sinew_cancelling(), 0);
    CHECK_EQ(sinew_yield(), 0);
    return 0;
}

IN_RUNTIME(a081_cancel_stops_the_children_once_and_the_body_and_the_group_ends_without_an_error)
{
    struct recorder children[3];
    sinew_group group;
    sinew_group_init(&group);
    for (int i = 0; i < 3; i++) {
        recorder_init(&children[i], 0);
        sinew_sem_post(&children[i].end);
        CHECK_EQ(sinew_group_spawn(&group, record_stops, &children[i]), 0);
        yield_until(&children[i].started, 1);
    }
    sinew_group_cancel(&group);
    sinew_group_cancel(&group);
    CHECK_EQ(sinew_sleep(VERY_LONG), -ECANCELED);
    CHECK_EQ(sinew_sleep(SINEW_US(100)), 0);
    CHECK_EQ(sinew_cancelling(), 0);
    sinew_group_cancel(&group);
    CHECK_EQ(sinew_sleep(SINEW_US(100)), 0);
    CHECK_EQ(sinew_group_wait(&group), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(children[i].stops, 1);
    CHECK_EQ(sinew_cancelling(), 0);
    CHECK_EQ(sinew_yield(), 0);
    return 0;
}

static intptr_t cancel_group(void *group)
{
    sinew_group_cancel(group);
    return sinew_yield(); /* the canceller is one of those cancelled */
}

IN_RUNTIME(a081_a_child_may_cancel_its_group_while_the_owner_is_in_the_body_or_waits)
{
    for (int waits = 0; waits < 2; waits++) {
        gate sibling;
        gate_init(&sibling, 0);
        sinew_group group;
        sinew_group_init(&group);
        CHECK_EQ(sinew_group_spawn(&group, gate_pass, &sibling), 0);
        yield_until(&sibling.reached, 1);
        CHECK_EQ(sinew_group_spawn(&group, cancel_group, &group), 0);
        if (!waits)
            CHECK_EQ(sinew_sleep(VERY_LONG), -ECANCELED);
        CHECK_EQ(sinew_group_wait(&group), 0);
        CHECK_EQ(sibling.cancelled, 1);
        CHECK_EQ(sinew_cancelling(), 0);
        CHECK_EQ(sinew_yield(), 0);
    }
    return 0;
}

IN_RUNTIME(a081_a_child_that_fails_after_the_cancel_is_still_heard)
{
    struct failing_cleanup cleanup = {.error = -EBADMSG};
    sinew_group group;
    sinew_group_init(&group);
    CHECK_EQ(sinew_group_spawn(&group, fail_when_stopped, &cleanup), 0);
    yield_until(&cleanup.started, 1);
    sinew_group_cancel(&group);
    CHECK_EQ(sinew_group_wait(&group), -EBADMSG);
    CHECK_EQ(sinew_cancelling(), 0);
    CHECK_EQ(sinew_yield(), 0);
    return 0;
}

/* A request from outside is not taken for the group's own. */
static intptr_t cancel_group_and_self(void *arg)
{
    int *r = arg;
    sinew_group group;
    sinew_group_init(&group);
    sinew_group_cancel(&group);
    CHECK(sinew_cancel(sinew_self()));
    r[0] = sinew_group_wait(&group);
    r[1] = sinew_cancelling();
    r[2] = sinew_yield();
    return 0;
}

IN_RUNTIME(a081_a_cancel_of_the_owner_is_delivered_although_the_group_was_cancelled)
{
    int r[3];
    CHECK_EQ(sinew_await(sinew_spawn(cancel_group_and_self, r)), 0);
    CHECK_EQ(r[0], -ECANCELED);
    CHECK_EQ(r[1], 1);
    CHECK_EQ(r[2], 0);
    return 0;
}

TEST_MAIN(cmocka_unit_test(a061_wait_ends_after_all_children_and_what_they_wrote_can_be_read),
          cmocka_unit_test(a062_first_failure_cancels_siblings_once_and_the_body_at_its_checkpoint),
          cmocka_unit_test(a062_siblings_that_had_not_started_never_start),
          cmocka_unit_test(a062_a_failure_while_the_owner_waits_cancels_all_and_is_no_cancel_of_the_owner),
          cmocka_unit_test(a063_the_first_error_in_time_is_returned_and_never_a_cancel),
          cmocka_unit_test(a064_the_groups_cancel_of_the_body_leaves_no_trace),
          cmocka_unit_test(a064_a_cancel_the_body_has_not_met_is_taken_back),
          cmocka_unit_test(a065_a_body_that_swallows_the_cancel_goes_on_and_the_group_still_fails),
          cmocka_unit_test(a066_a_body_that_fails_cancels_its_children_and_waits_for_them),
          cmocka_unit_test(a067_a_child_that_somebody_cancels_is_no_failure),
          cmocka_unit_test(a068_cancelling_the_parent_cancels_all_children_and_goes_on_after_they_ended),
          cmocka_unit_test(a068_a_cancel_that_reaches_the_parent_through_an_await_does_the_same),
          cmocka_unit_test(a068_a_request_that_is_pending_when_the_wait_begins_counts),
          cmocka_unit_test(a069_a_child_that_fails_during_the_cancel_wins_over_it),
          cmocka_unit_test(a070_the_request_stays_pending_for_the_checkpoint_after_a_group_that_failed),
          cmocka_unit_test(a070_so_does_the_expiry_of_a_scope_around_the_group),
          cmocka_unit_test(a078_repeated_cancels_neither_end_the_wait_nor_reach_the_children_again),
          cmocka_unit_test(a071_no_child_starts_before_the_group_begins_after_it_ended_or_after_it_failed),
          cmocka_unit_test(a072_children_that_children_add_during_the_wait_are_waited_for),
          cmocka_unit_test(a073_a_group_is_waited_for_once_and_by_its_owner),
          cmocka_unit_test(a073_a_group_that_begins_outside_of_a_task_is_none),
          cmocka_unit_test(a074_an_inner_failure_fails_the_outer_group_and_cancels_its_other_tasks),
          cmocka_unit_test(a075_of_two_groups_that_fail_at_once_neither_request_is_lost),
          cmocka_unit_test(a075_a_delivery_inside_the_inner_group_does_not_use_up_the_outer_groups_request),
          cmocka_unit_test(a075_the_outer_groups_request_stays_pending_when_the_inner_group_fails_in_its_wait),
          cmocka_unit_test(a079_an_expired_scope_around_the_group_shows_as_a_timeout_after_the_children_ended),
          cmocka_unit_test(a079_a_cancel_after_the_expiry_in_the_same_wait_shows_as_a_cancel),
          cmocka_unit_test(a081_cancel_is_possible_before_any_child_and_more_than_once),
          cmocka_unit_test(a081_cancel_stops_the_children_once_and_the_body_and_the_group_ends_without_an_error),
          cmocka_unit_test(a081_a_child_may_cancel_its_group_while_the_owner_is_in_the_body_or_waits),
          cmocka_unit_test(a081_a_child_that_fails_after_the_cancel_is_still_heard),
          cmocka_unit_test(a081_a_cancel_of_the_owner_is_delivered_although_the_group_was_cancelled))
