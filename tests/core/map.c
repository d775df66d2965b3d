/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: map calls fn once for each element, keeps the order of results, waits for all, and passes cancels on.
 * Method: arrays with counters in each element; children held at gates; 1, 2 and 8 workers.
 * Cannot see: how the elements are spread over workers.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include <tests/support/run.h>
#include <tests/support/tasks.h>

struct element {
    long number;
    atomic_int calls;
};

static intptr_t square(void *arg)
{
    struct element *e = arg;
    atomic_fetch_add(&e->calls, 1);
    return e->number * e->number;
}

IN_RUNTIME(map_calls_once_for_each_element_and_keeps_the_order)
{
    size_t n = scaled(100000, 3000);
    struct element *elements = calloc(n, sizeof *elements);
    intptr_t *results = calloc(n, sizeof *results);
    for (size_t i = 0; i < n; i++)
        elements[i].number = (long)i;
    CHECK_EQ(sinew_map(square, elements, sizeof *elements, n, results), 0);
    size_t wrong = 0;
    for (size_t i = 0; i < n; i++)
        wrong += results[i] != (intptr_t)(i * i) || elements[i].calls != 1;
    CHECK_EQ(wrong, 0);
    CHECK_EQ(sinew_map(square, elements, sizeof *elements, n, NULL), 0);
    for (size_t i = 0; i < n; i++)
        wrong += elements[i].calls != 2;
    CHECK_EQ(wrong, 0);
    free(results);
    free(elements);
    return 0;
}

IN_RUNTIME(stride_zero_gives_every_call_the_same_pointer)
{
    struct element one = {.number = 3};
    intptr_t results[50];
    CHECK_EQ(sinew_map(square, &one, 0, 50, results), 0);
    CHECK_EQ(one.calls, 50);
    for (int i = 0; i < 50; i++)
        CHECK_EQ(results[i], 9);
    return 0;
}

IN_RUNTIME(map_over_nothing_gives_zero)
{
    CHECK_EQ(sinew_map(square, NULL, sizeof(struct element), 0, NULL), 0);
    CHECK_EQ(sinew_map(NULL, NULL, 0, 1, NULL), -EINVAL);
    return 0;
}

static intptr_t check_child(void *arg)
{
    CHECK(sinew_self() != arg);
    CHECK_EQ(sinew_cancelling(), 0);
    return 0;
}

IN_RUNTIME(each_call_is_a_task_of_its_own)
{
    CHECK_EQ(sinew_map(check_child, sinew_self(), 0, 20, NULL), 0);
    return 0;
}

IN_RUNTIME(map_waits_for_all_and_returns_the_first_error_in_time)
{
    enum { N = 4 };
    static gate gates[N];
    intptr_t results[N];
    for (int i = 0; i < N; i++)
        gate_init(&gates[i], i);
    gates[2].result = -EIO;
    gates[0].result = -EBADMSG;
    for (int i = 0; i < N; i++)
        gate_open(&gates[i], 1);
    int r = sinew_map(gate_pass, gates, sizeof gates[0], N, results);
    CHECK(r == -EIO || r == -EBADMSG);
    for (int i = 0; i < N; i++) {
        CHECK_EQ(gates[i].ended, 1);
        CHECK_EQ(gates[i].cancelled, 0);
        CHECK_EQ(results[i], gates[i].result);
    }
    return 0;
}

struct mapping {
    gate *gates;
    size_t n;
    intptr_t *results;
    atomic_bool returned;
    int cancelling, next_checkpoint;
};

static intptr_t map_in_task(void *arg)
{
    struct mapping *m = arg;
    int r = sinew_map(gate_pass, m->gates, sizeof m->gates[0], m->n, m->results);
    m->cancelling = sinew_cancelling();
    atomic_store(&m->returned, true);
    m->next_checkpoint = sinew_yield();
    return r;
}

IN_RUNTIME(a_failing_element_does_not_end_the_wait_for_the_others)
{
    gate gates[3];
    intptr_t results[3];
    for (int i = 0; i < 3; i++)
        gate_init(&gates[i], i);
    gates[1].result = -EIO;
    struct mapping m = {.gates = gates, .n = 3, .results = results};
    sinew_task *t = sinew_spawn(map_in_task, &m);
    for (int i = 0; i < 3; i++)
        yield_until(&gates[i].reached, 1);
    gate_open(&gates[1], 1);
    yield_until(&gates[1].ended, 1);
    for (int i = 0; i < 50; i++)
        sinew_yield();
    CHECK(!m.returned);
    gate_open(&gates[0], 1);
    gate_open(&gates[2], 1);
    CHECK_EQ(sinew_await(t), -EIO);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(results[i], gates[i].result);
        CHECK_EQ(gates[i].cancelled, 0);
    }
    return 0;
}

IN_RUNTIME(a_cancelled_map_cancels_every_element_and_waits_for_all)
{
    gate gates[3];
    intptr_t results[3];
    for (int i = 0; i < 3; i++)
        gate_init(&gates[i], 7);
    gates[1].swallow = true;
    struct mapping m = {.gates = gates, .n = 3, .results = results};
    sinew_task *t = sinew_spawn(map_in_task, &m);
    for (int i = 0; i < 3; i++)
        yield_until(&gates[i].reached, 1);
    CHECK(sinew_cancel(t));
    for (int i = 0; i < 3; i++)
        yield_until(&gates[i].cancelled, 1);
    yield_until(&gates[0].ended, 1);
    yield_until(&gates[2].ended, 1);
    for (int i = 0; i < 50; i++)
        sinew_yield();
    CHECK(!m.returned);
    gate_open(&gates[1], 1);
    CHECK_EQ(sinew_await(t), -ECANCELED);
    CHECK_EQ(results[0], -ECANCELED);
    CHECK_EQ(results[1], 7);
    CHECK_EQ(results[2], -ECANCELED);
    CHECK_EQ(m.cancelling, 1);
    CHECK_EQ(m.next_checkpoint, 0);
    return 0;
}

/*
 * An element that does not meet the request any more: it computes until a plain thread has made it, and then fails.
 * With `suspends` the loop has been left behind by then, and the map goes on in its own wait.
 */
struct overtaken {
    bool suspends;
    atomic_int computing; /* the element */
    atomic_int asked;     /* by the thread */
    sinew_task *map;
    int result, cancelling, next_checkpoint;
};

static intptr_t fail_when_asked(void *arg)
{
    struct overtaken *o = arg;
    if (o->suspends)
        CHECK_EQ(sinew_yield(), 0);
    atomic_store(&o->computing, 1);
    while (!atomic_load(&o->asked))
        sched_yield(); /* the thread's, not the task's */
    return -EIO;
}

static intptr_t map_one_that_fails(void *arg)
{
    struct overtaken *o = arg;
    o->result = sinew_map(fail_when_asked, o, 0, 1, NULL);
    o->cancelling = sinew_cancelling();
    o->next_checkpoint = sinew_yield();
    return 0;
}

static void *ask_while_it_computes(void *arg)
{
    struct overtaken *o = arg;
    while (!atomic_load(&o->computing))
        sched_yield();
    bool accepted = sinew_cancel(o->map);
    atomic_store(&o->asked, 1);
    return accepted ? o : NULL;
}

IN_RUNTIME(a_cancel_that_no_element_can_be_told_any_more_is_not_lost)
{
    for (int suspends = 0; suspends < 2; suspends++)
        for (int round = 0; round < 10; round++) {
            struct overtaken o = {.suspends = suspends};
            pthread_t thread;
            o.map = sinew_spawn(map_one_that_fails, &o);
            if (!CHECK_EQ(pthread_create(&thread, NULL, ask_while_it_computes, &o), 0))
                return 1;
            CHECK_EQ(sinew_await(sinew_ref(o.map)), 0);
            void *accepted;
            pthread_join(thread, &accepted);
            CHECK(accepted != NULL);
            sinew_detach(o.map);
            CHECK_EQ(o.cancelling, 1);
            CHECK(o.result == -ECANCELED || (o.result == -EIO && o.next_checkpoint == -ECANCELED));
            CHECK(o.result == -EIO || o.next_checkpoint == 0); /* once */
        }
    return 0;
}

IN_RUNTIME(a_timeout_around_a_map_cancels_the_elements)
{
    gate gates[3];
    for (int i = 0; i < 3; i++)
        gate_init(&gates[i], 7);
    sinew_timeout scope;
    sinew_timeout_begin(&scope, SINEW_MS(5));
    CHECK_EQ(sinew_map(gate_pass, gates, sizeof gates[0], 3, NULL), -ETIMEDOUT);
    CHECK_EQ(sinew_timeout_end(&scope), -ETIMEDOUT);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(gates[i].ended, gates[i].reached);
    CHECK_EQ(sinew_cancelling(), 0);
    CHECK_EQ(sinew_yield(), 0);
    return 0;
}

/* A tree of maps: ten children a node. */
struct node {
    long first, size;
};

static intptr_t sum_leaves(void *arg)
{
    struct node *s = arg;
    if (s->size == 1)
        return s->first;
    struct node children[10];
    intptr_t results[10];
    for (int i = 0; i < 10; i++)
        children[i] = (struct node){s->first + i * (s->size / 10), s->size / 10};
    int r = sinew_map(sum_leaves, children, sizeof children[0], 10, results);
    if (r < 0)
        return r;
    intptr_t sum = 0;
    for (int i = 0; i < 10; i++)
        sum += results[i];
    return sum;
}

IN_RUNTIME(maps_nest)
{
    long size = (long)scaled(100000, 1000);
    struct node root = {0, size};
    CHECK_EQ(sum_leaves(&root), size * (size - 1) / 2);
    return 0;
}

/* The first element to begin computes until all others have begun: some other worker must take them. */
struct crowd {
    atomic_int begun, of;
};

static intptr_t wait_for_the_crowd(void *arg)
{
    struct crowd *c = arg;
    if (atomic_fetch_add(&c->begun, 1) == 0)
        while (atomic_load(&c->begun) < atomic_load(&c->of))
            sched_yield(); /* the thread's, not the task's */
    return 0;
}

IN_RUNTIME_WITH(an_element_that_computes_holds_none_of_the_others, 2, 8)
{
    for (int n = 2; n <= 1000; n += 37) {
        struct crowd c = {.of = n};
        CHECK_EQ(sinew_map(wait_for_the_crowd, &c, 0, (size_t)n, NULL), 0);
        CHECK_EQ(c.begun, n);
    }
    return 0;
}

static intptr_t sleep_a_little(void *arg)
{
    (void)arg;
    return sinew_sleep(SINEW_MS(5));
}

/* Far more than can be looked through one by one for each of them: the watchdog ends a quadratic wait. */
IN_RUNTIME(very_many_elements_may_sleep_at_once)
{
    size_t n = scaled(60000, 3000);
    CHECK_EQ(sinew_map(sleep_a_little, NULL, 0, n, NULL), 0);
    return 0;
}

static intptr_t sleep_long(void *arg)
{
    atomic_int *ended = arg;
    intptr_t r = sinew_sleep(SINEW_S(1000));
    atomic_fetch_add(ended, 1);
    return r;
}

static atomic_int sleepers_ended;

static intptr_t map_of_sleepers(void *arg)
{
    return sinew_map(sleep_long, arg, 0, 1000, NULL);
}

/* Main returns while elements wait, while others have not begun and while helpers lie in queues. */
IN_RUNTIME(the_end_of_the_runtime_ends_maps_in_every_state)
{
    for (int i = 0; i < 4; i++)
        sinew_detach(sinew_spawn(map_of_sleepers, &sleepers_ended));
    for (int i = 0; i < 3; i++)
        sinew_yield();
    return 0;
}

TEST_MAIN(cmocka_unit_test(map_calls_once_for_each_element_and_keeps_the_order),
          cmocka_unit_test(stride_zero_gives_every_call_the_same_pointer),
          cmocka_unit_test(map_over_nothing_gives_zero), cmocka_unit_test(each_call_is_a_task_of_its_own),
          cmocka_unit_test(map_waits_for_all_and_returns_the_first_error_in_time),
          cmocka_unit_test(a_failing_element_does_not_end_the_wait_for_the_others),
          cmocka_unit_test(a_cancelled_map_cancels_every_element_and_waits_for_all),
          cmocka_unit_test(a_cancel_that_no_element_can_be_told_any_more_is_not_lost),
          cmocka_unit_test(a_timeout_around_a_map_cancels_the_elements), cmocka_unit_test(maps_nest),
          cmocka_unit_test(very_many_elements_may_sleep_at_once),
          cmocka_unit_test(an_element_that_computes_holds_none_of_the_others),
          cmocka_unit_test(the_end_of_the_runtime_ends_maps_in_every_state))
