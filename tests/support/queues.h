/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queues of ints in short words, and tasks that wait in one of their calls.
 */
#ifndef TESTS_SUPPORT_QUEUES_H
#define TESTS_SUPPORT_QUEUES_H

#include <stdlib.h>

#include <tests/support/run.h>
#include <tests/support/tasks.h>

static inline int compare_ints(const void *a, const void *b)
{
    int x = *(const int *)a, y = *(const int *)b;
    return x < y ? -1 : x > y;
}

static inline sinew_queue *new_queue(sinew_queue_kind kind, size_t max)
{
    sinew_queue_options opt = {.kind = kind, .element_bytes = sizeof(int), .max = max, .compare = compare_ints};
    sinew_queue *q = sinew_queue_new(&opt);
    if (!CHECK(q != NULL))
        abort();
    return q;
}

static inline int put(sinew_queue *q, int item)
{
    return sinew_queue_put(q, &item);
}

static inline int try_put(sinew_queue *q, int item)
{
    return sinew_queue_try_put(q, &item);
}

/* The item, or an error: items are not negative here. */
static inline int get(sinew_queue *q)
{
    int item = -1, r = sinew_queue_get(q, &item);
    return r < 0 ? r : item;
}

static inline int try_get(sinew_queue *q)
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

static inline intptr_t use_get(void *arg)
{
    struct user *u = arg;
    u->result = get(u->queue);
    u->after = sinew_yield();
    return u->result;
}

static inline intptr_t use_put(void *arg)
{
    struct user *u = arg;
    u->result = put(u->queue, u->item);
    u->after = sinew_yield();
    return u->result;
}

static inline intptr_t use_join(void *arg)
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
static inline void start_user(struct user *u, sinew_queue *q, sinew_fn fn, int item)
{
    *u = (struct user){.queue = q, .item = item, .result = 1, .after = 1};
    sinew_spawn_options opt = {.pinned = true, .eager = true};
    u->task = sinew_spawn_with(&opt, fn, u);
    CHECK(u->task && !sinew_done(u->task));
}

#endif
