/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: queues keep the order of their kind, wait when full or empty, and serve first come first served, tasks and
 * plain threads alike. Method: a model beside each kind for what needs no waiting; pinned tasks for who is served when;
 * plain threads on the other side. Cannot see: what only races between workers bring about: that is for
 * tests/stress/queues.c.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include <tests/support/queues.h>
#include <tests/support/random.h>

/* --- A175, A176, A183: what needs no waiting ---------------------------------------------------------------------- */

IN_RUNTIME(items_come_out_in_the_order_of_the_kind)
{
    static const int in[] = {5, 1, 4, 1, 3}, out[][5] = {{5, 1, 4, 1, 3}, {3, 1, 4, 1, 5}, {1, 1, 3, 4, 5}};
    for (int kind = 0; kind < 3; kind++) {
        sinew_queue *q = new_queue((sinew_queue_kind)kind, 0);
        for (int i = 0; i < 5; i++)
            CHECK_EQ(put(q, in[i]), 0);
        for (int i = 0; i < 5; i++)
            CHECK_EQ(get(q), out[kind][i]);
        CHECK_EQ(try_get(q), -EAGAIN);
        sinew_queue_unref(q);
    }
    return 0;
}

struct job {
    int priority, serial;
    char padding[20];
};

static int compare_jobs(const void *a, const void *b)
{
    return compare_ints(&((const struct job *)a)->priority, &((const struct job *)b)->priority);
}

IN_RUNTIME(equal_priorities_come_out_as_they_were_put)
{
    enum { JOBS = 2000, PRIORITIES = 7 };
    sinew_queue_options opt = {SINEW_QUEUE_PRIORITY, sizeof(struct job), 0, compare_jobs};
    sinew_queue *q = sinew_queue_new(&opt);
    uint64_t random = 7;
    int got = 0;
    struct job last = {-1, -1, ""}, job = {0, 0, ""};
    for (int i = 0; i < JOBS; i++) {
        job.priority = (int)random_below(&random, PRIORITIES);
        job.serial = i;
        CHECK_EQ(sinew_queue_put(q, &job), 0);
    }
    for (; sinew_queue_try_get(q, &job) == 0; got++, last = job)
        if (!CHECK(job.priority > last.priority || (job.priority == last.priority && job.serial > last.serial)))
            break;
    CHECK_EQ(got, JOBS);
    sinew_queue_unref(q);
    return 0;
}

/* An array that does what a queue does, slowly. */
struct model {
    sinew_queue_kind kind;
    int items[4000];
    int n;
};

static int model_next(const struct model *m)
{
    int best = m->kind == SINEW_QUEUE_LIFO ? m->n - 1 : 0;
    for (int i = 0; m->kind == SINEW_QUEUE_PRIORITY && i < m->n; i++)
        if (m->items[i] < m->items[best])
            best = i;
    return best;
}

static int model_get(struct model *m)
{
    int i = model_next(m), item = m->items[i];
    memmove(&m->items[i], &m->items[i + 1], (size_t)(--m->n - i) * sizeof m->items[0]);
    return item;
}

static void compare_with_model(sinew_queue_kind kind, size_t max, uint64_t *random)
{
    static struct model model;
    struct model *m = &model;
    m->kind = kind;
    m->n = 0;
    sinew_queue *q = new_queue(kind, max);
    int capacity = max ? (int)max : 4000;
    for (int i = 0; i < 3000 && !atomic_load(&check_failures); i++) {
        /* Mostly puts in one stretch and gets in the next: through every fill, round the ring, and across growth. */
        bool puts = random_below(random, 8) ? i / 400 % 2 == 0 : random_below(random, 2);
        int item = (int)random_below(random, 50);
        if (puts) {
            CHECK_EQ(try_put(q, item), m->n < capacity ? 0 : -EAGAIN);
            if (m->n < capacity)
                m->items[m->n++] = item;
        } else {
            bool empty = m->n == 0;
            CHECK_EQ(try_get(q), empty ? -EAGAIN : model_get(m));
        }
        CHECK_EQ(sinew_queue_length(q), m->n);
        CHECK_EQ(sinew_queue_empty(q), m->n == 0);
        CHECK_EQ(sinew_queue_full(q), max != 0 && m->n == capacity);
    }
    sinew_queue_unref(q);
}

IN_RUNTIME(each_kind_does_what_a_simple_model_does)
{
    uint64_t random = random_seed();
    for (int kind = 0; kind < 3; kind++) {
        compare_with_model((sinew_queue_kind)kind, 0, &random);
        compare_with_model((sinew_queue_kind)kind, 1, &random);
        compare_with_model((sinew_queue_kind)kind, 7, &random);
        compare_with_model((sinew_queue_kind)kind, 301, &random);
    }
    return 0;
}

IN_RUNTIME(elements_of_any_size_are_copied_whole)
{
    for (size_t bytes = 1; bytes < 3000; bytes = bytes * 2 + 1) {
        sinew_queue_options opt = {.element_bytes = bytes};
        sinew_queue *q = sinew_queue_new(&opt);
        unsigned char element[4096];
        for (int i = 0; i < 50; i++) {
            memset(element, i, bytes);
            CHECK_EQ(sinew_queue_put(q, element), 0);
        }
        for (int i = 0; i < 50; i++) {
            memset(element, 0xee, sizeof element);
            CHECK_EQ(sinew_queue_get(q, element), 0);
            size_t good = 0;
            while (good < bytes && element[good] == i)
                good++;
            CHECK_EQ(good, bytes);
            CHECK_EQ(element[bytes], 0xee);
        }
        sinew_queue_unref(q);
    }
    return 0;
}

IN_RUNTIME(a_full_queue_refuses_and_one_without_limit_never_is_full)
{
    sinew_queue *q = new_queue(SINEW_QUEUE_FIFO, 2);
    CHECK_EQ(try_put(q, 1), 0);
    CHECK(!sinew_queue_full(q));
    CHECK_EQ(try_put(q, 2), 0);
    CHECK(sinew_queue_full(q));
    CHECK_EQ(try_put(q, 3), -EAGAIN);
    CHECK_EQ(sinew_queue_length(q), 2);
    CHECK_EQ(get(q), 1);
    CHECK_EQ(get(q), 2);
    CHECK_EQ(try_get(q), -EAGAIN);
    sinew_queue_unref(q);
    q = new_queue(SINEW_QUEUE_FIFO, 0);
    int n = (int)scaled(100000, 10000);
    for (int i = 0; i < n; i++)
        CHECK_EQ(try_put(q, i), 0);
    CHECK(!sinew_queue_full(q));
    CHECK_EQ(sinew_queue_length(q), n);
    for (int i = 0; i < n; i++)
        CHECK_EQ(try_get(q), i);
    sinew_queue_unref(q);
    return 0;
}

/* --- A175, A177, A179: waiting ------------------------------------------------------------------------------------ */

IN_RUNTIME_PINNED(get_waits_while_empty_and_put_while_full)
{
    sinew_queue *q = new_queue(SINEW_QUEUE_FIFO, 1);
    struct user getter, putter;
    start_user(&getter, q, use_get, 0);
    CHECK(!sinew_done(getter.task));
    CHECK_EQ(put(q, 1), 0);
    CHECK_EQ(sinew_await(getter.task), 1);
    CHECK_EQ(put(q, 2), 0);
    start_user(&putter, q, use_put, 3);
    CHECK(!sinew_done(putter.task));
    CHECK_EQ(sinew_queue_length(q), 1);
    CHECK_EQ(get(q), 2);
    CHECK_EQ(sinew_await(putter.task), 0);
    CHECK_EQ(get(q), 3);
    sinew_queue_unref(q);
    return 0;
}

IN_RUNTIME_PINNED(getters_are_served_first_come_first_served)
{
    enum { USERS = 20 };
    sinew_queue *q = new_queue(SINEW_QUEUE_LIFO, 0);
    struct user getters[USERS];
    for (int i = 0; i < USERS; i++)
        start_user(&getters[i], q, use_get, 0);
    for (int i = 0; i < USERS; i++) {
        CHECK_EQ(put(q, i), 0);
        /* It belongs to the getter already. */
        CHECK_EQ(sinew_queue_length(q), 0);
        CHECK_EQ(try_get(q), -EAGAIN);
    }
    for (int i = 0; i < USERS; i++)
        CHECK_EQ(sinew_await(getters[i].task), i);
    sinew_queue_unref(q);
    return 0;
}

IN_RUNTIME_PINNED(putters_are_served_first_come_first_served)
{
    enum { USERS = 20, MAX = 3 };
    sinew_queue *q = new_queue(SINEW_QUEUE_FIFO, MAX);
    struct user putters[USERS];
    for (int i = 0; i < MAX; i++)
        CHECK_EQ(put(q, i), 0);
    for (int i = 0; i < USERS; i++)
        start_user(&putters[i], q, use_put, MAX + i);
    for (int i = 0; i < MAX + USERS; i++) {
        /* The place that becomes free belongs to the oldest putter already. */
        CHECK_EQ(try_get(q), i);
        CHECK_EQ(sinew_queue_full(q), i < USERS);
        CHECK_EQ(try_put(q, 99), i < USERS ? -EAGAIN : 0);
        if (i >= USERS)
            break;
    }
    for (int i = USERS + 1; i < MAX + USERS; i++)
        CHECK_EQ(get(q), i);
    CHECK_EQ(get(q), 99);
    for (int i = 0; i < USERS; i++)
        CHECK_EQ(sinew_await(putters[i].task), 0);
    sinew_queue_unref(q);
    return 0;
}

IN_RUNTIME_PINNED(cancelled_waiters_are_passed_over)
{
    sinew_queue *q = new_queue(SINEW_QUEUE_FIFO, 1);
    struct user u[3];
    for (int i = 0; i < 3; i++)
        start_user(&u[i], q, use_get, 0);
    CHECK(sinew_cancel(u[1].task));
    CHECK_EQ(sinew_await(u[1].task), -ECANCELED);
    CHECK_EQ(put(q, 1), 0);
    CHECK_EQ(put(q, 2), 0);
    CHECK_EQ(sinew_await(u[0].task), 1);
    CHECK_EQ(sinew_await(u[2].task), 2);

    CHECK_EQ(put(q, 10), 0);
    for (int i = 0; i < 3; i++)
        start_user(&u[i], q, use_put, 11 + i);
    CHECK(sinew_cancel(u[0].task));
    CHECK_EQ(sinew_await(u[0].task), -ECANCELED);
    CHECK_EQ(get(q), 10);
    CHECK_EQ(get(q), 12);
    CHECK_EQ(get(q), 13);
    CHECK_EQ(try_get(q), -EAGAIN);
    CHECK_EQ(sinew_await(u[1].task), 0);
    CHECK_EQ(sinew_await(u[2].task), 0);
    CHECK_EQ(sinew_queue_unfinished(q), 5);
    sinew_queue_unref(q);
    return 0;
}

static intptr_t get_in_time(void *arg)
{
    struct user *u = arg;
    sinew_timeout t;
    sinew_timeout_begin(&t, SINEW_MS(2));
    u->result = get(u->queue);
    CHECK_EQ(sinew_timeout_end(&t), u->result == -ETIMEDOUT ? -ETIMEDOUT : 0);
    return u->result;
}

IN_RUNTIME(a_timeout_ends_put_get_and_join)
{
    sinew_queue *q = new_queue(SINEW_QUEUE_FIFO, 1);
    struct user u = {.queue = q};
    CHECK_EQ(sinew_await(sinew_spawn(get_in_time, &u)), -ETIMEDOUT);
    CHECK_EQ(put(q, 1), 0);
    sinew_timeout t;
    sinew_timeout_begin(&t, SINEW_MS(2));
    CHECK_EQ(put(q, 2), -ETIMEDOUT);
    CHECK_EQ(sinew_timeout_end(&t), -ETIMEDOUT);
    sinew_timeout_begin(&t, SINEW_MS(2));
    CHECK_EQ(sinew_queue_join(q), -ETIMEDOUT);
    CHECK_EQ(sinew_timeout_end(&t), -ETIMEDOUT);
    CHECK_EQ(get(q), 1);
    CHECK_EQ(try_get(q), -EAGAIN);
    CHECK_EQ(sinew_queue_unfinished(q), 1);
    sinew_queue_unref(q);
    return 0;
}

/* --- plain threads ------------------------------------------------------------------------------------------------ */

struct thread_side {
    sinew_queue *to, *from;
    int items;
    atomic_int ended;
};

/* Sends back what it gets, one more; blocks its thread while it waits. */
static void *echo_in_thread(void *arg)
{
    struct thread_side *s = arg;
    int item, n = 0;
    while ((item = get(s->to)) >= 0) {
        CHECK_EQ(put(s->from, item + 1), 0);
        CHECK_EQ(sinew_queue_task_done(s->to), 0);
        n++;
    }
    CHECK_EQ(item, -EPIPE);
    CHECK_EQ(n, s->items);
    CHECK_EQ(sinew_queue_join(s->from), 0);
    atomic_store(&s->ended, 1);
    return NULL;
}

static intptr_t send_items(void *arg)
{
    struct thread_side *s = arg;
    for (int i = 0; i < s->items; i++)
        CHECK_EQ(put(s->to, i), 0);
    return sinew_queue_join(s->to);
}

/* As long as a timer runs, the runtime does not take those who wait for a thread for deadlocked. */
static intptr_t keep_awake(void *arg)
{
    (void)arg;
    return sinew_sleep(SINEW_FOREVER);
}

IN_RUNTIME(a_plain_thread_gets_puts_and_joins)
{
    struct thread_side s = {
        .to = new_queue(SINEW_QUEUE_FIFO, 3), .from = new_queue(SINEW_QUEUE_FIFO, 3), .items = (int)scaled(2000, 300)};
    pthread_t thread;
    if (!CHECK_EQ(pthread_create(&thread, NULL, echo_in_thread, &s), 0))
        return 1;
    sinew_task *awake = sinew_spawn(keep_awake, NULL), *sender = sinew_spawn(send_items, &s);
    for (int i = 0; i < s.items; i++) {
        CHECK_EQ(get(s.from), i + 1);
        if (i < s.items - 1)
            CHECK_EQ(sinew_queue_task_done(s.from), 0);
    }
    CHECK_EQ(sinew_await(sender), 0);
    CHECK_EQ(sinew_queue_shutdown(s.to, false), 0);
    CHECK_EQ(sinew_queue_task_done(s.from), 0);
    pthread_join(thread, NULL);
    CHECK_EQ(s.ended, 1);
    CHECK(sinew_cancel(awake));
    CHECK_EQ(sinew_await(awake), -ECANCELED);
    sinew_queue_unref(s.to);
    sinew_queue_unref(s.from);
    return 0;
}

static void *try_in_thread(void *arg)
{
    struct thread_side *s = arg;
    for (int i = 0; i < s->items;) {
        int r = try_put(s->to, i);
        CHECK(r == 0 || r == -EAGAIN);
        i += r == 0;
    }
    CHECK_EQ(sinew_queue_shutdown(s->to, false), 0);
    atomic_store(&s->ended, 1);
    return NULL;
}

IN_RUNTIME(a_plain_thread_can_use_what_never_suspends)
{
    struct thread_side s = {.to = new_queue(SINEW_QUEUE_FIFO, 5), .items = (int)scaled(2000, 300)};
    pthread_t thread;
    if (!CHECK_EQ(pthread_create(&thread, NULL, try_in_thread, &s), 0))
        return 1;
    sinew_task *awake = sinew_spawn(keep_awake, NULL);
    for (int i = 0; i < s.items; i++)
        CHECK_EQ(get(s.to), i);
    CHECK_EQ(get(s.to), -EPIPE);
    pthread_join(thread, NULL);
    CHECK(sinew_cancel(awake));
    CHECK_EQ(sinew_await(awake), -ECANCELED);
    sinew_queue_unref(s.to);
    return 0;
}

static void a_queue_can_be_used_outside_of_a_run(void **state)
{
    (void)state;
    sinew_queue *q = new_queue(SINEW_QUEUE_FIFO, 0);
    assert_int_equal(put(q, 1), 0);
    assert_int_equal(sinew_queue_length(q), 1);
    assert_ptr_equal(sinew_queue_ref(q), q);
    sinew_queue_unref(q);
    assert_int_equal(get(q), 1);
    assert_int_equal(sinew_queue_task_done(q), 0);
    assert_int_equal(sinew_queue_join(q), 0);
    assert_int_equal(sinew_queue_shutdown(q, true), 0);
    assert_int_equal(get(q), -EPIPE);
    sinew_queue_unref(q);
}

TEST_MAIN(cmocka_unit_test(items_come_out_in_the_order_of_the_kind),
          cmocka_unit_test(equal_priorities_come_out_as_they_were_put),
          cmocka_unit_test(each_kind_does_what_a_simple_model_does),
          cmocka_unit_test(elements_of_any_size_are_copied_whole),
          cmocka_unit_test(a_full_queue_refuses_and_one_without_limit_never_is_full),
          cmocka_unit_test(get_waits_while_empty_and_put_while_full),
          cmocka_unit_test(getters_are_served_first_come_first_served),
          cmocka_unit_test(putters_are_served_first_come_first_served),
          cmocka_unit_test(cancelled_waiters_are_passed_over), cmocka_unit_test(a_timeout_ends_put_get_and_join),
          cmocka_unit_test(a_plain_thread_gets_puts_and_joins),
          cmocka_unit_test(a_plain_thread_can_use_what_never_suspends),
          cmocka_unit_test(a_queue_can_be_used_outside_of_a_run))
