/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: queues keep their order, serve first come first served, and neither lose nor double an item, whoever is
 * cancelled when.
 * Method: pinned tasks, so that a waiter can be cancelled between the grant and its going on; a model beside each kind
 * for what needs no waiting; plain threads on the other side.
 * Cannot see: what only races between workers bring about: that is for tests/stress/queues.c.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include <tests/support/random.h>
#include <tests/support/run.h>
#include <tests/support/tasks.h>

static int compare_ints(const void *a, const void *b)
{
    int x = *(const int *)a, y = *(const int *)b;
    return x < y ? -1 : x > y;
}

static sinew_queue *new_queue(sinew_queue_kind kind, size_t max)
{
    sinew_queue_options opt = {.kind = kind, .element_bytes = sizeof(int), .max = max, .compare = compare_ints};
    sinew_queue *q = sinew_queue_new(&opt);
    if (!CHECK(q != NULL))
        abort();
    return q;
}

static int put(sinew_queue *q, int item)
{
    return sinew_queue_put(q, &item);
}

static int try_put(sinew_queue *q, int item)
{
    return sinew_queue_try_put(q, &item);
}

/* The item, or an error: items are not negative here. */
static int get(sinew_queue *q)
{
    int item = -1, r = sinew_queue_get(q, &item);
    return r < 0 ? r : item;
}

static int try_get(sinew_queue *q)
{
    int item = -1, r = sinew_queue_try_get(q, &item);
    return r < 0 ? r : item;
}

/* A task in put, get or join. */
struct user {
    sinew_queue *queue;
    int item;   /* what it puts */
    int result; /* of the call */
    int after;  /* of a checkpoint after that */
    sinew_task *task;
};

static intptr_t use_get(void *arg)
{
    struct user *u = arg;
    u->result = get(u->queue);
    u->after = sinew_yield();
    return u->result;
}

static intptr_t use_put(void *arg)
{
    struct user *u = arg;
    u->result = put(u->queue, u->item);
    u->after = sinew_yield();
    return u->result;
}

static intptr_t use_join(void *arg)
{
    struct user *u = arg;
    u->result = sinew_queue_join(u->queue);
    u->after = sinew_yield();
    return u->result;
}

/*
 * From a pinned body: when this returns, the user waits in its call. Until the body waits itself, it cannot go on, even
 * if it is granted what it waits for.
 */
static void start_user(struct user *u, sinew_queue *q, sinew_fn fn, int item)
{
    *u = (struct user){.queue = q, .item = item, .result = 1, .after = 1};
    sinew_spawn_options opt = {.pinned = true, .eager = true};
    u->task = sinew_spawn_with(&opt, fn, u);
    CHECK(u->task && !sinew_done(u->task));
}

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

/* --- A178: cancelled between grant and going on ------------------------------------------------------------------- */

IN_RUNTIME_PINNED(an_item_of_a_cancelled_getter_goes_to_the_next)
{
    sinew_queue *q = new_queue(SINEW_QUEUE_FIFO, 1);
    struct user u[3];
    for (int i = 0; i < 3; i++)
        start_user(&u[i], q, use_get, 0);
    CHECK_EQ(put(q, 1), 0);
    CHECK(sinew_cancel(u[0].task));
    CHECK(sinew_cancel(u[1].task)); /* the one who would be next leaves, too */
    CHECK_EQ(sinew_await(u[0].task), -ECANCELED);
    CHECK_EQ(sinew_await(u[1].task), -ECANCELED);
    CHECK_EQ(sinew_await(u[2].task), 1);
    CHECK_EQ(sinew_queue_unfinished(q), 1);
    sinew_queue_unref(q);
    return 0;
}

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

IN_RUNTIME_PINNED(a_putter_whose_element_was_got_has_put_it)
{
    sinew_queue *q = new_queue(SINEW_QUEUE_FIFO, 1);
    struct user putter;
    CHECK_EQ(put(q, 1), 0);
    start_user(&putter, q, use_put, 2);
    CHECK_EQ(get(q), 1);
    CHECK_EQ(get(q), 2);
    CHECK(sinew_cancel(putter.task));
    CHECK_EQ(sinew_await(putter.task), 0);
    CHECK_EQ(putter.after, -ECANCELED);
    CHECK_EQ(sinew_queue_unfinished(q), 2);
    sinew_queue_unref(q);
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

IN_RUNTIME_PINNED(join_waits_for_as_many_task_done_as_puts)
{
    sinew_queue *q = new_queue(SINEW_QUEUE_FIFO, 0);
    CHECK_EQ(sinew_queue_join(q), 0); /* never used */
    CHECK_EQ(sinew_queue_task_done(q), -EINVAL);
    struct user joiners[3];
    CHECK_EQ(put(q, 1), 0);
    CHECK_EQ(put(q, 2), 0);
    for (int i = 0; i < 3; i++)
        start_user(&joiners[i], q, use_join, 0);
    CHECK_EQ(get(q), 1);
    CHECK_EQ(get(q), 2);
    CHECK_EQ(sinew_queue_unfinished(q), 2);
    CHECK_EQ(sinew_queue_task_done(q), 0);
    CHECK_EQ(sinew_yield(), 0);
    for (int i = 0; i < 3; i++)
        CHECK(!sinew_done(joiners[i].task));
    CHECK_EQ(sinew_queue_task_done(q), 0);
    /* What is put now is not theirs. */
    CHECK_EQ(put(q, 3), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(sinew_await(joiners[i].task), 0);
    CHECK_EQ(sinew_queue_task_done(q), 0);
    CHECK_EQ(sinew_queue_task_done(q), -EINVAL);
    CHECK_EQ(sinew_queue_join(q), 0);
    CHECK_EQ(get(q), 3);
    sinew_queue_unref(q);
    return 0;
}

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

IN_RUNTIME_PINNED(a_shutdown_ends_those_who_wait_to_get)
{
    for (int immediate = 0; immediate < 2; immediate++) {
        sinew_queue *q = new_queue(SINEW_QUEUE_PRIORITY, 2);
        struct user u[4];
        for (int i = 0; i < 4; i++)
            start_user(&u[i], q, use_get, 0);
        CHECK_EQ(put(q, 1), 0); /* given to the first: it has it */
        CHECK_EQ(sinew_queue_shutdown(q, immediate), 0);
        CHECK(sinew_cancel(u[2].task)); /* refused, and cancelled: cancelled */
        CHECK_EQ(sinew_await(u[0].task), 1);
        CHECK_EQ(sinew_await(u[1].task), -EPIPE);
        CHECK_EQ(u[1].after, 0);
        CHECK_EQ(sinew_await(u[2].task), -ECANCELED);
        CHECK_EQ(sinew_await(u[3].task), -EPIPE);
        CHECK_EQ(sinew_queue_unfinished(q), 1);
        sinew_queue_unref(q);
    }
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

IN_RUNTIME_PINNED(an_immediate_shutdown_lets_joiners_and_putters_go)
{
    sinew_queue *q = new_queue(SINEW_QUEUE_LIFO, 1);
    struct user putter, joiner;
    CHECK_EQ(put(q, 1), 0);
    start_user(&putter, q, use_put, 2);
    start_user(&joiner, q, use_join, 0);
    CHECK_EQ(sinew_queue_shutdown(q, true), 0);
    CHECK_EQ(sinew_await(putter.task), -EPIPE);
    CHECK_EQ(sinew_await(joiner.task), 0);
    CHECK_EQ(sinew_queue_join(q), 0);
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
          cmocka_unit_test(an_item_of_a_cancelled_getter_goes_to_the_next),
          cmocka_unit_test(an_item_of_a_cancelled_getter_goes_back_to_its_place),
          cmocka_unit_test(many_items_can_go_back_beyond_the_memory_there_was),
          cmocka_unit_test(a_cancelled_getter_keeps_its_item_when_the_queue_was_filled_up),
          cmocka_unit_test(a_putter_cancelled_in_time_puts_nothing_and_the_next_one_comes_in),
          cmocka_unit_test(elements_in_the_middle_can_be_taken_out_again),
          cmocka_unit_test(a_putter_whose_element_was_got_has_put_it),
          cmocka_unit_test(a_request_left_pending_still_ends_the_task),
          cmocka_unit_test(join_waits_for_as_many_task_done_as_puts),
          cmocka_unit_test(a_cancelled_joiner_leaves_the_others_waiting),
          cmocka_unit_test(very_many_joiners_and_getters_are_let_go),
          cmocka_unit_test(a_crew_works_a_queue_off_and_is_cancelled),
          cmocka_unit_test(who_has_joined_may_drop_the_last_reference),
          cmocka_unit_test(after_a_shutdown_what_is_left_is_got_and_put_fails),
          cmocka_unit_test(a_shutdown_ends_those_who_wait_to_get),
          cmocka_unit_test(an_immediate_shutdown_drops_what_is_left_and_calls_it_done),
          cmocka_unit_test(an_immediate_shutdown_lets_joiners_and_putters_go),
          cmocka_unit_test(what_a_cancelled_getter_gives_back_after_a_shutdown),
          cmocka_unit_test(too_many_task_done_and_a_drop_do_not_meet),
          cmocka_unit_test(a_plain_thread_gets_puts_and_joins),
          cmocka_unit_test(a_plain_thread_can_use_what_never_suspends),
          cmocka_unit_test(a_queue_can_be_used_outside_of_a_run))
