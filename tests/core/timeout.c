/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a timeout scope delivers -ETIMEDOUT once, to the right scope, at a checkpoint, and undoes what was waited for.
 * Method: scopes around every suspending call of the core (those of I/O are in tests/io/interrupt.c), nested in both
 * orders, already expired, moved, and raced by cancels.
 * Cannot see: lateness; only that no scope expires early.
 */
#include <errno.h>
#include <stdlib.h>

#include <tests/support/run.h>
#include <tests/support/tasks.h>

IN_RUNTIME(a_scope_that_does_not_expire_leaves_no_trace)
{
    sinew_timeout t;
    sinew_timeout_begin(&t, VERY_LONG);
    CHECK_EQ(sinew_yield(), 0);
    CHECK_EQ(sinew_sleep(SINEW_US(100)), 0);
    CHECK_EQ(sinew_timeout_end(&t), 0);
    sinew_timeout_begin(&t, SINEW_FOREVER);
    CHECK_EQ(sinew_sleep(SINEW_US(100)), 0);
    CHECK_EQ(sinew_timeout_end(&t), 0);
    CHECK_EQ(sinew_yield(), 0);
    return 0;
}

IN_RUNTIME(an_expiry_is_delivered_once_and_reported_at_the_end)
{
    sinew_timeout t;
    sinew_time begin = sinew_now();
    sinew_timeout_begin(&t, SINEW_MS(5));
    CHECK_EQ(sinew_sleep(VERY_LONG), -ETIMEDOUT);
    CHECK(sinew_now() - begin >= SINEW_MS(5));
    /* Swallowed: the body may go on inside the scope. */
    CHECK_EQ(sinew_sleep(SINEW_MS(1)), 0);
    CHECK_EQ(sinew_yield(), 0);
    CHECK_EQ(sinew_timeout_end(&t), -ETIMEDOUT);
    CHECK_EQ(sinew_cancelling(), 0);
    CHECK_EQ(sinew_yield(), 0);
    CHECK_EQ(sinew_sleep(SINEW_MS(1)), 0);
    return 0;
}

static intptr_t end_scope(void *arg)
{
    return sinew_timeout_end(arg);
}

IN_RUNTIME(only_the_task_that_began_a_scope_ends_it)
{
    sinew_timeout t;
    sinew_timeout_begin(&t, SINEW_MS(3));
    CHECK_EQ(sinew_await(sinew_spawn(end_scope, &t)), -EINVAL);
    CHECK_EQ(sinew_shield(sinew_spawn(end_scope, &t)), -EINVAL);
    CHECK_EQ(sinew_sleep(VERY_LONG), -ETIMEDOUT);
    CHECK_EQ(sinew_timeout_end(&t), -ETIMEDOUT);
    return 0;
}

IN_RUNTIME(the_outer_scope_first_passes_through_the_inner_one)
{
    sinew_timeout outer, inner;
    sinew_timeout_begin(&outer, SINEW_MS(3));
    sinew_timeout_begin(&inner, VERY_LONG);
    CHECK_EQ(sinew_sleep(VERY_LONG), -ETIMEDOUT);
    CHECK_EQ(sinew_timeout_end(&inner), 0);
    CHECK_EQ(sinew_timeout_end(&outer), -ETIMEDOUT);
    CHECK_EQ(sinew_cancelling(), 0);
    CHECK_EQ(sinew_yield(), 0);
    return 0;
}

IN_RUNTIME(the_inner_scope_first_leaves_the_outer_one_alone)
{
    sinew_timeout outer, inner;
    sinew_timeout_begin(&outer, VERY_LONG);
    sinew_timeout_begin(&inner, SINEW_MS(3));
    CHECK_EQ(sinew_sleep(VERY_LONG), -ETIMEDOUT);
    CHECK_EQ(sinew_timeout_end(&inner), -ETIMEDOUT);
    CHECK_EQ(sinew_sleep(SINEW_MS(1)), 0);
    CHECK_EQ(sinew_timeout_end(&outer), 0);
    CHECK_EQ(sinew_yield(), 0);
    return 0;
}

IN_RUNTIME(inner_and_outer_scope_each_deliver_once)
{
    bool apart = false;
    for (sinew_time limit = SINEW_MS(5); !apart; limit *= 2) {
        sinew_timeout outer, inner;
        sinew_timeout_begin(&outer, limit);
        sinew_timeout_begin(&inner, SINEW_MS(2));
        CHECK_EQ(sinew_sleep(VERY_LONG), -ETIMEDOUT);
        int inner_end = sinew_timeout_end(&inner);
        apart = !sinew_timeout_expired(&outer);
        if (apart) { /* else one delivery may have served both */
            CHECK_EQ(inner_end, -ETIMEDOUT);
            CHECK_EQ(sinew_sleep(VERY_LONG), -ETIMEDOUT);
        }
        CHECK_EQ(sinew_timeout_end(&outer), apart || inner_end == 0 ? -ETIMEDOUT : 0);
        CHECK_EQ(sinew_yield(), 0);
    }
    return 0;
}

IN_RUNTIME(scopes_nest_deeply)
{
    enum { DEPTH = 30 };
    sinew_timeout scopes[DEPTH];
    int middle = DEPTH / 2;
    for (int i = 0; i < DEPTH; i++)
        sinew_timeout_begin(&scopes[i], i == middle ? SINEW_MS(2) : VERY_LONG);
    CHECK_EQ(sinew_sleep(VERY_LONG), -ETIMEDOUT);
    for (int i = DEPTH - 1; i >= 0; i--)
        CHECK_EQ(sinew_timeout_end(&scopes[i]), i == middle ? -ETIMEDOUT : 0);
    CHECK_EQ(sinew_yield(), 0);
    return 0;
}

IN_RUNTIME(a_scope_without_time_expires_at_the_next_checkpoint)
{
    static const sinew_time durations[] = {0, -1, INT64_MIN};
    for (size_t i = 0; i < sizeof durations / sizeof durations[0]; i++) {
        sinew_timeout t;
        sinew_timeout_begin(&t, durations[i]);
        CHECK_EQ(sinew_sleep(VERY_LONG), -ETIMEDOUT);
        CHECK_EQ(sinew_yield(), 0);
        CHECK_EQ(sinew_timeout_end(&t), -ETIMEDOUT);
    }
    CHECK_EQ(sinew_yield(), 0);
    return 0;
}

IN_RUNTIME(a_body_without_checkpoint_is_not_stopped_and_leaves_no_expiry_behind)
{
    sinew_timeout t;
    sinew_timeout_begin(&t, 0);
    CHECK_EQ(sinew_timeout_end(&t), 0); /* nobody has met it */
    CHECK_EQ(sinew_yield(), 0);
    sinew_timeout_begin(&t, SINEW_MS(1));
    for (sinew_time until = sinew_now() + SINEW_MS(5); sinew_now() < until;)
        ;
    CHECK_EQ(sinew_timeout_end(&t), 0);
    CHECK_EQ(sinew_yield(), 0);
    CHECK_EQ(sinew_sleep(SINEW_MS(3)), 0);
    return 0;
}

IN_RUNTIME(reset_moves_the_deadline_both_ways)
{
    sinew_timeout t;
    sinew_timeout_begin(&t, SINEW_MS(20));
    while (sinew_timeout_reset(&t, VERY_LONG) != 0) { /* a slow machine: it has expired */
        CHECK(sinew_timeout_expired(&t));
        sinew_timeout_end(&t);
        sinew_timeout_begin(&t, SINEW_MS(20));
    }
    CHECK_EQ(sinew_sleep(SINEW_MS(30)), 0);
    CHECK_EQ(sinew_timeout_reset(&t, SINEW_FOREVER), 0);
    CHECK_EQ(sinew_sleep(SINEW_MS(1)), 0);
    CHECK_EQ(sinew_timeout_end(&t), 0);
    sinew_timeout_begin(&t, SINEW_FOREVER);
    sinew_time begin = sinew_now();
    CHECK_EQ(sinew_timeout_reset(&t, SINEW_MS(3)), 0);
    CHECK_EQ(sinew_sleep(VERY_LONG), -ETIMEDOUT);
    CHECK(sinew_now() - begin >= SINEW_MS(3));
    CHECK_EQ(sinew_timeout_reset(&t, VERY_LONG), -ETIMEDOUT);
    CHECK_EQ(sinew_timeout_end(&t), -ETIMEDOUT);
    sinew_timeout_begin(&t, VERY_LONG);
    CHECK_EQ(sinew_timeout_reset(&t, 0), 0);
    CHECK_EQ(sinew_yield(), -ETIMEDOUT);
    CHECK_EQ(sinew_timeout_end(&t), -ETIMEDOUT);
    return 0;
}

IN_RUNTIME(reset_outside_the_scope_gives_einval)
{
    sinew_timeout t = {{0}};
    CHECK_EQ(sinew_timeout_reset(&t, VERY_LONG), -EINVAL);
    sinew_timeout_begin(&t, VERY_LONG);
    CHECK_EQ(sinew_timeout_end(&t), 0);
    CHECK_EQ(sinew_timeout_reset(&t, VERY_LONG), -EINVAL);
    CHECK_EQ(sinew_yield(), 0);
    return 0;
}

IN_RUNTIME(a_cancel_wins_over_a_timeout)
{
    sinew_timeout t;
    sinew_timeout_begin(&t, 0);
    CHECK(sinew_cancel(sinew_self()));
    CHECK_EQ(sinew_sleep(VERY_LONG), -ECANCELED);
    CHECK_EQ(sinew_timeout_end(&t), 0);
    CHECK_EQ(sinew_cancelling(), 1);
    /* One delivery served both; neither comes a second time. */
    CHECK_EQ(sinew_yield(), 0);
    CHECK_EQ(sinew_uncancel(), 0);
    return 0;
}

struct scoped {
    sinew_time duration;
    atomic_int started;
    int slept, end, next_checkpoint;
};

static intptr_t sleep_in_scope(void *arg)
{
    struct scoped *s = arg;
    sinew_timeout t;
    sinew_timeout_begin(&t, s->duration);
    atomic_store(&s->started, 1);
    s->slept = sinew_sleep(VERY_LONG);
    s->end = sinew_timeout_end(&t);
    s->next_checkpoint = sinew_yield();
    return s->slept;
}

IN_RUNTIME(a_cancel_inside_a_scope_is_not_a_timeout)
{
    struct scoped s = {.duration = VERY_LONG};
    sinew_task *t = sinew_spawn(sleep_in_scope, &s);
    yield_until(&s.started, 1);
    CHECK(sinew_cancel(t));
    CHECK_EQ(sinew_await(t), -ECANCELED);
    CHECK_EQ(s.end, 0);
    CHECK_EQ(s.next_checkpoint, 0);
    return 0;
}

IN_RUNTIME(cancel_and_expiry_race_to_exactly_one_delivery)
{
    int rounds = (int)scaled(300, 30), cancels = 0, timeouts = 0;
    for (int i = 0; i < rounds; i++) {
        struct scoped s = {.duration = SINEW_US(300)};
        sinew_task *t = sinew_spawn(sleep_in_scope, &s);
        yield_until(&s.started, 1);
        for (sinew_time until = sinew_now() + SINEW_US(200 + (i * 13) % 200); sinew_now() < until;)
            sinew_yield();
        bool took = sinew_cancel(t);
        intptr_t r = sinew_await(t);
        CHECK(s.slept == -ECANCELED || s.slept == -ETIMEDOUT);
        if (s.slept == -ECANCELED) {
            CHECK(took);
            CHECK_EQ(r, -ECANCELED);
            CHECK_EQ(s.next_checkpoint, 0);
            cancels++;
        } else {
            CHECK_EQ(s.end, -ETIMEDOUT);
            /* A request that came after the expiry is delivered by itself, at the yield or at the end. */
            CHECK(s.next_checkpoint == 0 || s.next_checkpoint == -ECANCELED);
            CHECK(r == -ETIMEDOUT || (took && r == -ECANCELED));
            timeouts++;
        }
    }
    CHECK_EQ(cancels + timeouts, rounds);
    return 0;
}

IN_RUNTIME(scopes_of_different_tasks_do_not_meet)
{
    int n = (int)scaled(5000, 200);
    struct scoped *s = calloc((size_t)n, sizeof *s);
    for (int i = 0; i < n; i++)
        s[i].duration = SINEW_MS(1 + i % 20);
    intptr_t *results = calloc((size_t)n, sizeof *results);
    CHECK_EQ(sinew_map(sleep_in_scope, s, sizeof *s, (size_t)n, results), -ETIMEDOUT);
    int wrong = 0;
    for (int i = 0; i < n; i++)
        wrong += results[i] != -ETIMEDOUT || s[i].end != -ETIMEDOUT || s[i].next_checkpoint != 0;
    CHECK_EQ(wrong, 0);
    CHECK_EQ(sinew_yield(), 0);
    free(results);
    free(s);
    return 0;
}

IN_RUNTIME(every_core_call_that_waits_can_time_out)
{
    gate g;
    sinew_sem sem;
    sinew_mutex mutex;
    sinew_sem_init(&sem, 0);
    sinew_mutex_init(&mutex);
    CHECK_EQ(sinew_mutex_lock(&mutex), 0);
    enum { CALLS = 12 };
    for (int call = 0; call < CALLS; call++) {
        sinew_timeout t;
        gate_init(&g, 0);
        sinew_group group;
        sinew_task *task = call >= 4 && call <= 9 ? sinew_spawn(gate_pass, &g) : NULL;
        sinew_task *kept = call == 7 || call == 8 || call == 9 ? sinew_ref(task) : NULL;
        sinew_timeout_begin(&t, SINEW_MS(2));
        int r = 0;
        switch (call) {
        case 0:
            r = sinew_sleep(VERY_LONG);
            break;
        case 1:
            r = sinew_sleep_until(sinew_now() + VERY_LONG);
            break;
        case 2:
            r = sinew_sem_wait(&sem);
            break;
        case 3:
            r = sinew_mutex_lock(&mutex);
            break;
        case 4:
            r = (int)sinew_await(task);
            break;
        case 5:
            r = sinew_gather(&task, 1, NULL);
            break;
        case 6:
            r = sinew_gather_settled(&task, 1, NULL);
            break;
        case 7:
            r = (int)sinew_shield(task);
            break;
        case 8:
            r = sinew_wait(&task, 1, SINEW_ALL_COMPLETED, SINEW_FOREVER, NULL);
            sinew_detach(task);
            break;
        case 9:
            r = (int)sinew_wait_for(task, VERY_LONG);
            break;
        case 10:
            sinew_group_init(&group);
            CHECK_EQ(sinew_group_spawn(&group, gate_pass, &g), 0);
            r = sinew_group_wait(&group);
            break;
        case 11:
            while ((r = sinew_yield()) == 0)
                ;
            break;
        }
        if (!CHECK_EQ(r, -ETIMEDOUT))
            fprintf(stderr, "in call %d\n", call);
        CHECK_EQ(sinew_timeout_end(&t), -ETIMEDOUT);
        CHECK_EQ(sinew_yield(), 0);
        gate_open(&g, 1);
        if (kept)
            sinew_await(kept);
    }
    /* No permit was taken by the waits that ended early. */
    sinew_sem_post(&sem);
    CHECK_EQ(sinew_sem_trywait(&sem), 0);
    CHECK_EQ(sinew_mutex_unlock(&mutex), 0);
    CHECK_EQ(sinew_mutex_trylock(&mutex), 0);
    CHECK_EQ(sinew_mutex_unlock(&mutex), 0);
    return 0;
}

/* A child that ends only when it has been told twice, or let go. */
struct stubborn {
    sinew_sem let_go;
    atomic_int waiting, told;
};

static intptr_t end_when_told_twice(void *arg)
{
    struct stubborn *s = arg;
    atomic_store(&s->waiting, 1);
    while (atomic_load(&s->told) < 2 && sinew_sem_wait(&s->let_go) == -ECANCELED)
        atomic_fetch_add(&s->told, 1);
    return -ECANCELED;
}

enum way { BY_AWAIT, BY_GATHER, BY_GATHER_SETTLED, BY_MAP, BY_WAIT_FOR, BY_WAIT_FOR_ZERO, WAYS };

struct asked_twice {
    struct stubborn child;
    enum way way;
    sinew_time limit;
    intptr_t result;
    int scope_end, next_checkpoint, cancelling;
};

static intptr_t wait_in_one_way(void *arg)
{
    struct asked_twice *a = arg;
    sinew_timeout scope;
    bool own_scope = a->way < BY_WAIT_FOR;
    if (own_scope)
        sinew_timeout_begin(&scope, a->limit);
    sinew_task *t = a->way == BY_MAP ? NULL : sinew_spawn(end_when_told_twice, &a->child);
    switch (a->way) {
    case BY_AWAIT:
        a->result = sinew_await(t);
        break;
    case BY_GATHER:
        a->result = sinew_gather(&t, 1, NULL);
        break;
    case BY_GATHER_SETTLED:
        a->result = sinew_gather_settled(&t, 1, NULL);
        break;
    case BY_MAP:
        a->result = sinew_map(end_when_told_twice, &a->child, 0, 1, NULL);
        break;
    case BY_WAIT_FOR:
        a->result = sinew_wait_for(t, a->limit);
        break;
    default:
        while (!atomic_load(&a->child.waiting))
            sinew_yield();
        a->result = sinew_wait_for(t, 0);
    }
    a->scope_end = own_scope ? sinew_timeout_end(&scope) : -ETIMEDOUT;
    a->cancelling = sinew_cancelling();
    a->next_checkpoint = sinew_yield();
    return 0;
}

/* False: the task has ended before the counter was raised. */
static bool yield_until_raised(atomic_int *counter, const sinew_task *t)
{
    while (atomic_load(counter) == 0 && !sinew_done(t))
        sinew_yield();
    return atomic_load(counter) != 0;
}

/*
 * A cancel and an expired scope reach the same wait. The scope must not expire before the child has begun, which then
 * never does; and with the cancel first, not before the child has been told, since one delivery would serve both and
 * nobody tell the child again. True: it did not.
 */
static bool ask_twice(enum way way, bool cancel_first, sinew_time limit)
{
    bool own_scope = way < BY_WAIT_FOR;
    struct asked_twice a = {.way = way, .limit = limit};
    sinew_sem_init(&a.child.let_go, 0);
    sinew_time begun = sinew_now();
    sinew_task *t = sinew_spawn(wait_in_one_way, &a);
    if (!yield_until_raised(cancel_first ? &a.child.waiting : &a.child.told, t)) {
        CHECK_EQ(sinew_await(t), 0);
        CHECK_EQ(a.result, -ETIMEDOUT);
        return false;
    }
    CHECK(sinew_cancel(t));
    yield_until(&a.child.told, 1);
    bool apart = !cancel_first || sinew_now() < begun + limit;
    if (!apart)
        sinew_sem_post(&a.child.let_go);
    CHECK_EQ(sinew_await(t), 0);
    CHECK_EQ(a.cancelling, 1);
    if (!apart) {
        CHECK(a.result == -ECANCELED || a.next_checkpoint == -ECANCELED);
        return false;
    }
    CHECK_EQ(a.result, -ECANCELED);
    CHECK_EQ(a.scope_end, own_scope ? 0 : -ETIMEDOUT); /* not the scope alone */
    CHECK_EQ(a.next_checkpoint, 0);
    return true;
}

/* In either order, the cancel is what is delivered. A slow machine gets more time. */
IN_RUNTIME(a_cancel_is_not_lost_in_a_timeout)
{
    for (int way = 0; way < WAYS; way++)
        for (int cancel_first = 0; cancel_first < 2; cancel_first++) {
            if (cancel_first && way == BY_WAIT_FOR_ZERO)
                continue;
            sinew_time limit = SINEW_US(100);
            while (!ask_twice((enum way)way, cancel_first, limit))
                limit *= 2;
        }
    return 0;
}

/* More than the count in the cancel word can tell apart. */
IN_RUNTIME(very_many_scopes_may_expire_at_once)
{
    enum { SCOPES = 600 };
    static sinew_timeout scopes[SCOPES];
    for (int n = 250; n <= SCOPES; n += n < 260 || (n > 505 && n < 515) ? 1 : 15) {
        for (int i = 0; i < n; i++)
            sinew_timeout_begin(&scopes[i], 0);
        CHECK_EQ(sinew_sleep(SINEW_S(1000)), -ETIMEDOUT);
        for (int i = n; i-- > 0;) {
            CHECK(sinew_timeout_expired(&scopes[i]));
            CHECK_EQ(sinew_timeout_end(&scopes[i]), i == 0 ? -ETIMEDOUT : 0); /* all met at once: the outermost's */
        }
        CHECK_EQ(sinew_yield(), 0);
    }
    return 0;
}

TEST_MAIN(cmocka_unit_test(a_cancel_is_not_lost_in_a_timeout), cmocka_unit_test(very_many_scopes_may_expire_at_once),
          cmocka_unit_test(a_scope_that_does_not_expire_leaves_no_trace),
          cmocka_unit_test(an_expiry_is_delivered_once_and_reported_at_the_end),
          cmocka_unit_test(only_the_task_that_began_a_scope_ends_it),
          cmocka_unit_test(the_outer_scope_first_passes_through_the_inner_one),
          cmocka_unit_test(the_inner_scope_first_leaves_the_outer_one_alone),
          cmocka_unit_test(inner_and_outer_scope_each_deliver_once), cmocka_unit_test(scopes_nest_deeply),
          cmocka_unit_test(a_scope_without_time_expires_at_the_next_checkpoint),
          cmocka_unit_test(a_body_without_checkpoint_is_not_stopped_and_leaves_no_expiry_behind),
          cmocka_unit_test(reset_moves_the_deadline_both_ways), cmocka_unit_test(reset_outside_the_scope_gives_einval),
          cmocka_unit_test(a_cancel_wins_over_a_timeout), cmocka_unit_test(a_cancel_inside_a_scope_is_not_a_timeout),
          cmocka_unit_test(cancel_and_expiry_race_to_exactly_one_delivery),
          cmocka_unit_test(scopes_of_different_tasks_do_not_meet),
          cmocka_unit_test(every_core_call_that_waits_can_time_out))
