/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: rules A48 to A60 (gather), as docs/conformance.md lists them; the number in a test's name is the rule's.
 * Method: children at gates, so that the test says who ends when; each child unstarted, waiting, or ended when the
 * gather begins; for both gathers where the rule is about both.
 * Cannot see: that a child nobody looks at any more goes on, other than by the counters it leaves.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <tests/support/run.h>
#include <tests/support/tasks.h>

typedef int (*gather_fn)(sinew_task **, size_t, intptr_t *);

static const gather_fn gathers[] = {sinew_gather, sinew_gather_settled};
enum { PLAIN, SETTLED, GATHERS };

/* Where a child stands when the gather begins. */
enum { UNSTARTED, PINNED, WAITING, ENDED, CHILD_STATES };

enum { CHILDREN_MAX = 40 };

/* A gather in a task of its own, and its children. */
struct gathering {
    gather_fn how;
    size_t n;
    gate gates[CHILDREN_MAX];
    sinew_task *kept[CHILDREN_MAX], *tasks[CHILDREN_MAX];
    intptr_t results[CHILDREN_MAX];
    atomic_int entered;
    atomic_bool returned;
    int cancelling, next;
};

static intptr_t gather_in_task(void *arg)
{
    struct gathering *g = arg;
    atomic_store(&g->entered, 1);
    int r = g->how(g->tasks, g->n, g->results);
    g->cancelling = sinew_cancelling();
    atomic_store(&g->returned, true);
    g->next = sinew_yield();
    return r;
}

/* Children with the values 100, 101, ..., that wait at their gates. */
static struct gathering *gathering_of(int how, size_t n)
{
    struct gathering *g = calloc(1, sizeof *g);
    g->how = gathers[how];
    g->n = n;
    g->cancelling = g->next = -1;
    for (size_t i = 0; i < n; i++) {
        gate_init(&g->gates[i], 100 + (intptr_t)i);
        g->results[i] = 77;
    }
    return g;
}

static void spawn_child(struct gathering *g, size_t i, int state)
{
    if (state == ENDED)
        gate_open(&g->gates[i], 1);
    g->tasks[i] = (state == PINNED ? spawn_pinned : sinew_spawn)(gate_pass, &g->gates[i]);
    g->kept[i] = sinew_ref(g->tasks[i]);
    if (state == WAITING)
        yield_until(&g->gates[i].reached, 1);
    if (state == ENDED)
        yield_until_done(g->tasks[i]);
}

static void spawn_children(struct gathering *g, int state)
{
    for (size_t i = 0; i < g->n; i++)
        spawn_child(g, i, state);
}

/* The gather waits for all its children, which are at their gates. */
static sinew_task *begin(struct gathering *g)
{
    sinew_task *t = sinew_spawn(gather_in_task, g);
    yield_until(&g->entered, 1);
    for (size_t i = 0; i < g->n; i++)
        yield_until(&g->gates[i].reached, 1);
    for (int i = 0; i < 20; i++)
        CHECK_EQ(sinew_yield(), 0);
    return t;
}

static void drop(struct gathering *g)
{
    for (size_t i = 0; i < g->n; i++)
        sinew_detach(g->kept[i]);
    free(g);
}

static void count_started(struct gathering *g, int expected)
{
    int started = 0;
    for (size_t i = 0; i < g->n; i++)
        started += g->gates[i].reached;
    CHECK_EQ(started, expected);
}

/* --- A48, A49 --------------------------------------------------------------------------------------------------- */

IN_RUNTIME(a048_results_come_in_argument_order_whoever_ends_first)
{
    for (int how = 0; how < GATHERS; how++) {
        for (int state = 0; state < CHILD_STATES; state++) {
            struct gathering *g = gathering_of(how, CHILDREN_MAX);
            spawn_children(g, state);
            sinew_task *t = begin(g);
            for (size_t i = g->n; state != ENDED && i-- > 0;) {
                CHECK(!g->returned);
                gate_open(&g->gates[i * 7 % g->n], 1);
                CHECK_EQ(sinew_await(sinew_ref(g->kept[i * 7 % g->n])), 100 + i * 7 % g->n);
            }
            CHECK_EQ(sinew_await(t), 0);
            for (size_t i = 0; i < g->n; i++)
                CHECK_EQ(g->results[i], 100 + i);
            drop(g);
        }
    }
    return 0;
}

IN_RUNTIME(a048_no_tasks_give_no_results)
{
    intptr_t untouched = 77;
    for (int how = 0; how < GATHERS; how++) {
        CHECK_EQ(gathers[how](NULL, 0, NULL), 0);
        CHECK_EQ(gathers[how](&(sinew_task *){NULL}, 0, &untouched), 0);
    }
    CHECK_EQ(untouched, 77);
    return 0;
}

/* What sinew does differently: they are tasks from their spawn on. */
IN_RUNTIME_PINNED(a049_the_arguments_run_before_anybody_waits_for_the_gather)
{
    for (int how = 0; how < GATHERS; how++) {
        struct gathering *g = gathering_of(how, 3);
        spawn_children(g, PINNED);
        count_started(g, 0);
        CHECK_EQ(sinew_yield(), 0);
        count_started(g, 3);
        for (size_t i = 0; i < g->n; i++)
            gate_open(&g->gates[i], 1);
        CHECK_EQ(gathers[how](g->tasks, g->n, g->results), 0);
        drop(g);
    }
    return 0;
}

/* --- A50 to A52: the first error -------------------------------------------------------------------------------- */

/* The failing child's place, and the states of it and of the others. */
static void first_error(size_t failing, int failing_state, int state)
{
    struct gathering *g = gathering_of(PLAIN, 5);
    g->gates[failing].result = -EBADMSG;
    gate_open(&g->gates[failing], 1);
    for (size_t i = 0; i < g->n; i++)
        spawn_child(g, i, i == failing ? failing_state : state);
    CHECK_EQ(sinew_gather(g->tasks, g->n, g->results), -EBADMSG);
    CHECK_EQ(sinew_cancelling(), 0);
    for (size_t i = 0; i < g->n; i++) {
        CHECK_EQ(g->results[i], i == failing ? -EBADMSG : -EINPROGRESS);
        CHECK_EQ(sinew_done(g->kept[i]), i == failing);
    }
    for (size_t i = 0; i < g->n; i++) {
        if (i == failing)
            continue;
        gate_open(&g->gates[i], 1);
        CHECK_EQ(sinew_await(sinew_ref(g->kept[i])), 100 + i);
        CHECK_EQ(g->gates[i].cancelled, 0);
        CHECK_EQ(g->results[i], -EINPROGRESS); /* nobody writes there any more */
    }
    CHECK_EQ(sinew_yield(), 0);
    drop(g);
}

IN_RUNTIME(a050_the_first_error_is_returned_at_once_and_the_other_children_go_on)
{
    for (size_t failing = 0; failing < 5; failing += 2)
        for (int failing_state = 0; failing_state < CHILD_STATES; failing_state++)
            for (int state = 0; state < ENDED; state++)
                first_error(failing, failing_state == WAITING ? UNSTARTED : failing_state, state);
    return 0;
}

IN_RUNTIME(a050_an_error_that_comes_while_the_gather_waits_is_returned_at_once)
{
    for (int state = 0; state < ENDED; state++) {
        struct gathering *g = gathering_of(PLAIN, 4);
        g->gates[2].result = -EIO;
        spawn_children(g, state);
        sinew_task *t = begin(g);
        /* A good end before it changes nothing. */
        gate_open(&g->gates[1], 1);
        CHECK_EQ(sinew_await(sinew_ref(g->kept[1])), 101);
        CHECK(!g->returned);
        gate_open(&g->gates[2], 1);
        CHECK_EQ(sinew_await(t), -EIO);
        CHECK_EQ(g->results[0], -EINPROGRESS);
        CHECK_EQ(g->results[1], 101);
        CHECK_EQ(g->results[2], -EIO);
        CHECK_EQ(g->cancelling, 0);
        for (size_t i = 0; i < g->n; i += 3) {
            CHECK(!sinew_done(g->kept[i]));
            gate_open(&g->gates[i], 1);
            CHECK_EQ(sinew_await(sinew_ref(g->kept[i])), 100 + i);
            CHECK_EQ(g->gates[i].cancelled, 0);
        }
        drop(g);
    }
    return 0;
}

IN_RUNTIME(a051_errors_after_the_first_are_dropped)
{
    for (int state = 0; state < ENDED; state++) {
        struct gathering *g = gathering_of(PLAIN, 4);
        const intptr_t later[] = {-EPIPE, 0, -ENOENT, -ECANCELED};
        for (size_t i = 0; i < g->n; i++)
            g->gates[i].result = i == 1 ? -EIO : later[i];
        spawn_children(g, state);
        sinew_task *t = begin(g);
        gate_open(&g->gates[1], 1);
        CHECK_EQ(sinew_await(t), -EIO);
        for (size_t i = 0; i < g->n; i++) {
            if (i == 1)
                continue;
            gate_open(&g->gates[i], 1);
            yield_until_done(g->kept[i]);
            CHECK_EQ(g->results[i], -EINPROGRESS);
        }
        CHECK_EQ(sinew_cancelling(), 0);
        CHECK_EQ(sinew_yield(), 0);
        drop(g);
    }
    return 0;
}

static intptr_t gather_then_sleep(void *arg)
{
    struct gathering *g = arg;
    CHECK_EQ(g->how(g->tasks, g->n, g->results), -EIO);
    atomic_store(&g->returned, true);
    return sinew_sleep(VERY_LONG);
}

/* What there is to cancel is the task that gathered; it no longer has to do with the children. */
IN_RUNTIME(a052_a_cancel_after_the_gather_failed_reaches_no_child)
{
    struct gathering *g = gathering_of(PLAIN, 3);
    g->gates[0].result = -EIO;
    spawn_children(g, UNSTARTED);
    sinew_task *t = sinew_spawn(gather_then_sleep, g);
    for (size_t i = 0; i < g->n; i++)
        yield_until(&g->gates[i].reached, 1);
    gate_open(&g->gates[0], 1);
    while (!g->returned)
        sinew_yield();
    CHECK(sinew_cancel(t));
    CHECK_EQ(sinew_await(t), -ECANCELED);
    for (size_t i = 1; i < g->n; i++) {
        CHECK(!sinew_done(g->kept[i]));
        gate_open(&g->gates[i], 1);
        CHECK_EQ(sinew_await(sinew_ref(g->kept[i])), 100 + i);
        CHECK_EQ(g->gates[i].cancelled, 0);
    }
    drop(g);
    return 0;
}

/* --- A53: settled ----------------------------------------------------------------------------------------------- */

IN_RUNTIME(a053_settled_puts_errors_and_cancels_into_the_results_and_succeeds)
{
    for (int state = 0; state < CHILD_STATES; state++) {
        struct gathering *g = gathering_of(SETTLED, 5);
        g->gates[0].result = -EIO;
        g->gates[3].result = -ECANCELED;
        spawn_children(g, state);
        bool cancels = state != ENDED;
        if (cancels)
            CHECK(sinew_cancel(g->kept[1]));
        for (size_t i = 0; state != ENDED && i < g->n; i++)
            if (i != 1)
                gate_open(&g->gates[i], 1);
        CHECK_EQ(sinew_gather_settled(g->tasks, g->n, g->results), 0);
        CHECK_EQ(g->results[0], -EIO);
        CHECK_EQ(g->results[1], cancels ? -ECANCELED : 101);
        CHECK_EQ(g->results[2], 102);
        CHECK_EQ(g->results[3], -ECANCELED);
        CHECK_EQ(g->results[4], 104);
        CHECK_EQ(sinew_cancelling(), 0);
        CHECK_EQ(sinew_yield(), 0);
        drop(g);
    }
    return 0;
}

/* --- A54 to A57: cancelling ------------------------------------------------------------------------------------- */

IN_RUNTIME(a054_a_cancel_of_the_awaiter_cancels_every_unfinished_child)
{
    for (int how = 0; how < GATHERS; how++) {
        for (int state = 0; state < ENDED; state++) {
            struct gathering *g = gathering_of(how, CHILDREN_MAX);
            spawn_children(g, state);
            sinew_task *t = begin(g);
            gate_open(&g->gates[5], 1);
            CHECK_EQ(sinew_await(sinew_ref(g->kept[5])), 105);
            CHECK(sinew_cancel(t));
            CHECK_EQ(sinew_await(t), -ECANCELED);
            CHECK_EQ(g->cancelling, 1);
            CHECK_EQ(g->next, 0);
            for (size_t i = 0; i < g->n; i++) {
                CHECK_EQ(sinew_await(sinew_ref(g->kept[i])), i == 5 ? 105 : -ECANCELED);
                CHECK_EQ(g->gates[i].cancelled, i != 5);
            }
            if (how == SETTLED)
                for (size_t i = 0; i < g->n; i++)
                    CHECK_EQ(g->results[i], i == 5 ? 105 : -ECANCELED);
            drop(g);
        }
    }
    return 0;
}

/* The request is there before the gather begins, or is made by its first child; with several workers children may
 * have begun elsewhere. */
struct early {
    int how;
    bool by_child;
    sinew_task *victim;
    atomic_int started;
    int seen, cancelling, next;
};

static intptr_t cancel_the_gatherer(void *arg)
{
    struct early *e = arg;
    if (e->by_child)
        CHECK(sinew_cancel(e->victim));
    return sinew_yield();
}

static intptr_t count_early(void *arg)
{
    struct early *e = arg;
    atomic_fetch_add(&e->started, 1);
    return 0;
}

static intptr_t gather_with_early_cancel(void *arg)
{
    struct early *e = arg;
    e->victim = sinew_self();
    enum { GATHERED = 3, OTHERS = 3 };
    sinew_task *tasks[GATHERED + OTHERS];
    for (int i = 0; i < GATHERED + OTHERS; i++)
        tasks[i] = sinew_spawn(i == 0 ? cancel_the_gatherer : count_early, e);
    if (!e->by_child)
        CHECK(sinew_cancel(sinew_self()));
    e->seen = gathers[e->how](tasks, GATHERED, NULL);
    e->cancelling = sinew_cancelling();
    e->next = sinew_yield();
    for (int i = 0; i < OTHERS; i++)
        CHECK_EQ(sinew_await(tasks[GATHERED + i]), 0);
    CHECK_EQ(e->started, OTHERS);
    return 0;
}

IN_RUNTIME_WITH(a054_children_that_have_not_begun_when_the_awaiter_is_cancelled_never_do, 1)
{
    for (int how = 0; how < GATHERS; how++) {
        for (int by_child = 0; by_child < 2; by_child++) {
            struct early e = {.how = how, .by_child = by_child, .next = -1};
            CHECK_EQ(sinew_await(sinew_spawn(gather_with_early_cancel, &e)), 0);
            CHECK_EQ(e.seen, -ECANCELED);
            CHECK_EQ(e.cancelling, 1);
            CHECK_EQ(e.next, 0);
        }
    }
    return 0;
}

struct link {
    sinew_task *task;
    atomic_int entered;
};

static intptr_t await_link(void *arg)
{
    struct link *l = arg;
    atomic_store(&l->entered, 1);
    return sinew_await(l->task);
}

/* Who awaits a task that gathers, at any distance. */
IN_RUNTIME(a054_a_cancel_reaches_the_children_through_the_task_that_gathers)
{
    for (int how = 0; how < GATHERS; how++) {
        struct gathering *g = gathering_of(how, 3);
        spawn_children(g, UNSTARTED);
        sinew_task *t = sinew_spawn(gather_in_task, g);
        yield_until(&g->entered, 1); /* a task cancelled before its start would pass nothing on */
        struct link links[3] = {{.task = NULL}};
        for (int level = 0; level < 3; level++) {
            links[level].task = t;
            t = sinew_spawn(await_link, &links[level]);
            yield_until(&links[level].entered, 1);
        }
        for (size_t i = 0; i < g->n; i++)
            yield_until(&g->gates[i].reached, 1);
        CHECK(sinew_cancel(t));
        CHECK_EQ(sinew_await(t), -ECANCELED);
        for (size_t i = 0; i < g->n; i++) {
            CHECK_EQ(sinew_await(sinew_ref(g->kept[i])), -ECANCELED);
            CHECK_EQ(g->gates[i].cancelled, 1);
        }
        CHECK_EQ(g->cancelling, 1);
        drop(g);
    }
    return 0;
}

/* Children that need long to end, and one that ends at once; `quick` says how it ends. */
static void cancel_with_slow_children(int how, int state, intptr_t quick)
{
    struct gathering *g = gathering_of(how, 4);
    for (size_t i = 0; i < g->n; i++) {
        g->gates[i].swallow = i != 2;
        g->gates[i].when_stopped = i == 2 ? quick : 0;
    }
    spawn_children(g, state);
    sinew_task *t = begin(g);
    CHECK(sinew_cancel(t));
    for (size_t i = 0; i < g->n; i++)
        yield_until(&g->gates[i].cancelled, 1);
    bool at_once = how == PLAIN && quick < 0; /* a value is no end of a gather that waits for an error */
    if (at_once) {
        CHECK_EQ(sinew_await(sinew_ref(t)), quick);
        CHECK_EQ(g->results[2], quick);
    } else {
        yield_until_done(g->kept[2]);
    }
    for (int i = 0; i < 30; i++)
        CHECK_EQ(sinew_yield(), 0);
    CHECK_EQ(g->returned, at_once);
    for (size_t i = 0; i < g->n; i++) {
        if (i == 2)
            continue;
        CHECK(!sinew_done(g->kept[i]));
        CHECK_EQ(g->returned, at_once);
        gate_open(&g->gates[i], 1);
        CHECK_EQ(sinew_await(sinew_ref(g->kept[i])), 100 + i);
        CHECK_EQ(g->gates[i].cancelled, 1);
    }
    CHECK_EQ(sinew_await(t), at_once ? quick : -ECANCELED);
    CHECK_EQ(g->cancelling, 1);
    CHECK_EQ(g->next, 0);
    if (how == SETTLED)
        for (size_t i = 0; i < g->n; i++)
            CHECK_EQ(g->results[i], i == 2 ? quick : 100 + (intptr_t)i);
    drop(g);
}

IN_RUNTIME(a055_a_cancelled_gather_returns_as_soon_as_one_child_has_ended_cancelled)
{
    for (int state = 0; state < ENDED; state++)
        cancel_with_slow_children(PLAIN, state, -ECANCELED);
    return 0;
}

IN_RUNTIME(a055_a_cancelled_gather_returns_the_error_a_child_answers_with)
{
    for (int state = 0; state < ENDED; state++)
        cancel_with_slow_children(PLAIN, state, -EPIPE);
    return 0;
}

IN_RUNTIME(a055_a_cancelled_gather_waits_on_when_a_child_answers_with_a_value)
{
    for (int state = 0; state < ENDED; state++)
        cancel_with_slow_children(PLAIN, state, 22);
    return 0;
}

IN_RUNTIME(a055_a_cancelled_settled_gather_returns_after_all_children)
{
    for (int state = 0; state < ENDED; state++) {
        cancel_with_slow_children(SETTLED, state, -ECANCELED);
        cancel_with_slow_children(SETTLED, state, -EPIPE);
        cancel_with_slow_children(SETTLED, state, 22);
    }
    return 0;
}

IN_RUNTIME(a056_a_cancelled_gather_is_cancelled_even_if_every_child_answers_with_a_value)
{
    for (int how = 0; how < GATHERS; how++) {
        for (int state = 0; state < ENDED; state++) {
            struct gathering *g = gathering_of(how, 3);
            for (size_t i = 0; i < g->n; i++)
                g->gates[i].when_stopped = 20 + (intptr_t)i;
            spawn_children(g, state);
            sinew_task *t = begin(g);
            CHECK(sinew_cancel(t));
            CHECK_EQ(sinew_await(t), -ECANCELED);
            CHECK_EQ(g->cancelling, 1);
            CHECK_EQ(g->next, 0);
            for (size_t i = 0; i < g->n; i++) {
                CHECK_EQ(sinew_await(sinew_ref(g->kept[i])), 20 + i);
                CHECK_EQ(g->results[i], 20 + i);
            }
            drop(g);
        }
    }
    return 0;
}

IN_RUNTIME(a057_cancelling_one_child_fails_the_gather_and_nobody_else)
{
    for (int state = 0; state < ENDED; state++) {
        struct gathering *g = gathering_of(PLAIN, 3);
        spawn_children(g, state);
        sinew_task *t = begin(g);
        CHECK(sinew_cancel(g->kept[1]));
        CHECK_EQ(sinew_await(t), -ECANCELED);
        CHECK_EQ(g->cancelling, 0);
        CHECK_EQ(g->next, 0);
        CHECK_EQ(g->results[0], -EINPROGRESS);
        CHECK_EQ(g->results[1], -ECANCELED);
        CHECK_EQ(g->results[2], -EINPROGRESS);
        for (size_t i = 0; i < g->n; i += 2) {
            CHECK(!sinew_done(g->kept[i]));
            gate_open(&g->gates[i], 1);
            CHECK_EQ(sinew_await(sinew_ref(g->kept[i])), 100 + i);
            CHECK_EQ(g->gates[i].cancelled, 0);
        }
        drop(g);
    }
    return 0;
}

/* --- A58 to A60 ------------------------------------------------------------------------------------------------- */

IN_RUNTIME(a058_a_task_given_twice_runs_once_and_fills_both_places)
{
    for (int how = 0; how < GATHERS; how++) {
        for (int state = 0; state < CHILD_STATES; state++) {
            for (int failing = 0; failing < 2; failing++) {
                gate g;
                gate_init(&g, failing ? -EIO : 31);
                gate_open(&g, 1);
                sinew_task *t = state == PINNED ? spawn_pinned(gate_pass, &g) : sinew_spawn(gate_pass, &g);
                if (state == ENDED)
                    yield_until_done(t);
                sinew_task *tasks[4] = {t, sinew_ref(t), sinew_ref(t), sinew_spawn(return_arg, (void *)8)};
                intptr_t results[4] = {0};
                CHECK_EQ(gathers[how](tasks, 4, results), failing && how == PLAIN ? -EIO : 0);
                for (int i = 0; i < 3; i++)
                    CHECK_EQ(results[i], g.result);
                CHECK_EQ(g.reached, 1);
            }
        }
    }
    return 0;
}

IN_RUNTIME(a059_children_that_ended_before_the_call_count_at_once)
{
    for (int how = 0; how < GATHERS; how++) {
        struct gathering *g = gathering_of(how, 4);
        spawn_children(g, ENDED);
        CHECK_EQ(gathers[how](g->tasks, g->n, g->results), 0);
        for (size_t i = 0; i < g->n; i++)
            CHECK_EQ(g->results[i], 100 + i);
        drop(g);
    }
    /* An error or a cancel among them ends a gather whose others never end by themselves. */
    const intptr_t ends[] = {-EIO, -ECANCELED};
    for (int e = 0; e < 2; e++) {
        struct gathering *g = gathering_of(PLAIN, 4);
        g->gates[3].result = ends[e];
        for (size_t i = 0; i < g->n; i++)
            spawn_child(g, i, i == 3 ? ENDED : WAITING);
        CHECK_EQ(sinew_gather(g->tasks, g->n, g->results), ends[e]);
        CHECK_EQ(g->results[3], ends[e]);
        CHECK_EQ(g->results[0], -EINPROGRESS);
        for (size_t i = 0; i < g->n; i++)
            gate_open(&g->gates[i], 1);
        for (size_t i = 0; i < 3; i++)
            CHECK_EQ(sinew_await(sinew_ref(g->kept[i])), 100 + i);
        CHECK_EQ(sinew_cancelling(), 0);
        drop(g);
    }
    return 0;
}

static intptr_t count_me(void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
    return 1;
}

IN_RUNTIME_PINNED(a060_a_gather_of_eager_tasks_that_ended_in_the_call_does_not_suspend)
{
    for (int how = 0; how < GATHERS; how++) {
        atomic_int others = 0;
        sinew_task *witness = spawn_pinned(count_me, &others);
        sinew_task *tasks[10];
        intptr_t results[10];
        for (int i = 0; i < 10; i++) {
            tasks[i] = spawn_eager(return_arg, (void *)(intptr_t)i);
            CHECK(sinew_done(tasks[i]));
        }
        CHECK_EQ(gathers[how](tasks, 10, results), 0);
        for (int i = 0; i < 10; i++)
            CHECK_EQ(results[i], i);
        CHECK_EQ(others, 0);
        CHECK_EQ(sinew_await(witness), 1);
    }
    return 0;
}

TEST_MAIN(cmocka_unit_test(a048_results_come_in_argument_order_whoever_ends_first),
          cmocka_unit_test(a048_no_tasks_give_no_results),
          cmocka_unit_test(a049_the_arguments_run_before_anybody_waits_for_the_gather),
          cmocka_unit_test(a050_the_first_error_is_returned_at_once_and_the_other_children_go_on),
          cmocka_unit_test(a050_an_error_that_comes_while_the_gather_waits_is_returned_at_once),
          cmocka_unit_test(a051_errors_after_the_first_are_dropped),
          cmocka_unit_test(a052_a_cancel_after_the_gather_failed_reaches_no_child),
          cmocka_unit_test(a053_settled_puts_errors_and_cancels_into_the_results_and_succeeds),
          cmocka_unit_test(a054_a_cancel_of_the_awaiter_cancels_every_unfinished_child),
          cmocka_unit_test(a054_children_that_have_not_begun_when_the_awaiter_is_cancelled_never_do),
          cmocka_unit_test(a054_a_cancel_reaches_the_children_through_the_task_that_gathers),
          cmocka_unit_test(a055_a_cancelled_gather_returns_as_soon_as_one_child_has_ended_cancelled),
          cmocka_unit_test(a055_a_cancelled_gather_returns_the_error_a_child_answers_with),
          cmocka_unit_test(a055_a_cancelled_gather_waits_on_when_a_child_answers_with_a_value),
          cmocka_unit_test(a055_a_cancelled_settled_gather_returns_after_all_children),
          cmocka_unit_test(a056_a_cancelled_gather_is_cancelled_even_if_every_child_answers_with_a_value),
          cmocka_unit_test(a057_cancelling_one_child_fails_the_gather_and_nobody_else),
          cmocka_unit_test(a058_a_task_given_twice_runs_once_and_fills_both_places),
          cmocka_unit_test(a059_children_that_ended_before_the_call_count_at_once),
          cmocka_unit_test(a060_a_gather_of_eager_tasks_that_ended_in_the_call_does_not_suspend))
