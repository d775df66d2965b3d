/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every kind of wait, as data, for claims that must hold whatever a task waits for.
 *
 * A kind's function waits for something that does not come and returns what the call said when a cancel or a timeout
 * ended it. What it waits for is its own; clearing that up afterwards never suspends. And every await, as functions of
 * one form.
 */
#ifndef TESTS_SUPPORT_WAITS_H
#define TESTS_SUPPORT_WAITS_H

#include <errno.h>
#include <unistd.h>

#include <sinew.h>

#include <tests/support/check.h>
#include <tests/support/tasks.h>

typedef struct wait_kind {
    const char *name;
    intptr_t (*wait)(void);
} wait_kind;

static inline intptr_t wait_in_sleep(void)
{
    return sinew_sleep(VERY_LONG);
}

static inline intptr_t wait_in_sleep_until(void)
{
    return sinew_sleep_until(sinew_now() + VERY_LONG);
}

static inline intptr_t wait_in_yields(void)
{
    int r;
    do
        r = sinew_yield();
    while (r == 0);
    return r;
}

static inline intptr_t wait_for_a_permit(void)
{
    sinew_sem s;
    sinew_sem_init(&s, 0);
    int r = sinew_sem_wait(&s);
    CHECK_EQ(sinew_sem_trywait(&s), -EAGAIN);
    return r;
}

static inline intptr_t wait_for_a_mutex(void)
{
    sinew_mutex m;
    sinew_mutex_init(&m);
    CHECK_EQ(sinew_mutex_lock(&m), 0);
    int r = sinew_mutex_lock(&m);
    CHECK_EQ(sinew_mutex_unlock(&m), 0);
    CHECK_EQ(sinew_mutex_unlock(&m), -EPERM);
    return r;
}

static inline intptr_t wait_for_a_task(void)
{
    return sinew_await(sinew_spawn(sleep_very_long, NULL));
}

/* It has a fiber of its own and can only be waited for. */
static inline intptr_t wait_for_a_started_task(void)
{
    return sinew_await(spawn_eager(sleep_very_long, NULL));
}

static inline intptr_t wait_for_a_task_with_a_limit(void)
{
    return sinew_wait_for(sinew_spawn(sleep_very_long, NULL), VERY_LONG);
}

static inline intptr_t wait_in_shield(void)
{
    sinew_task *t = sinew_spawn(sleep_very_long, NULL);
    intptr_t r = sinew_shield(sinew_ref(t));
    sinew_cancel(t);
    sinew_detach(t);
    return r;
}

static inline intptr_t wait_in_wait(void)
{
    sinew_task *tasks[2] = {sinew_spawn(sleep_very_long, NULL), spawn_eager(sleep_very_long, NULL)};
    int r = sinew_wait(tasks, 2, SINEW_FIRST_COMPLETED, VERY_LONG, NULL);
    for (int i = 0; i < 2; i++) {
        sinew_cancel(tasks[i]);
        sinew_detach(tasks[i]);
    }
    return r;
}

static inline intptr_t wait_in_gather(void)
{
    sinew_task *tasks[2] = {sinew_spawn(sleep_very_long, NULL), spawn_eager(sleep_very_long, NULL)};
    return sinew_gather(tasks, 2, NULL);
}

static inline intptr_t wait_in_gather_settled(void)
{
    sinew_task *tasks[2] = {sinew_spawn(sleep_very_long, NULL), spawn_eager(sleep_very_long, NULL)};
    return sinew_gather_settled(tasks, 2, NULL);
}

static inline intptr_t wait_in_map(void)
{
    return sinew_map(sleep_very_long, NULL, 0, 3, NULL);
}

static inline intptr_t wait_in_group(void)
{
    sinew_group g;
    sinew_group_init(&g);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(sinew_group_spawn(&g, sleep_very_long, NULL), 0);
    return sinew_group_wait(&g);
}

static inline intptr_t wait_in_read(void)
{
    int p[2];
    char byte;
    if (!CHECK_EQ(pipe(p), 0))
        return -EMFILE;
    intptr_t r = sinew_read(p[0], &byte, 1);
    close(p[0]);
    close(p[1]);
    return r;
}

static const wait_kind wait_kinds[] __attribute__((unused)) = {
    {"sleep", wait_in_sleep},
    {"sleep_until", wait_in_sleep_until},
    {"yield", wait_in_yields},
    {"sem_wait", wait_for_a_permit},
    {"mutex_lock", wait_for_a_mutex},
    {"await", wait_for_a_task},
    {"await of a started task", wait_for_a_started_task},
    {"wait_for", wait_for_a_task_with_a_limit},
    {"shield", wait_in_shield},
    {"wait", wait_in_wait},
    {"gather", wait_in_gather},
    {"gather_settled", wait_in_gather_settled},
    {"map", wait_in_map},
    {"group_wait", wait_in_group},
    {"read", wait_in_read},
};

enum { WAIT_KINDS = sizeof wait_kinds / sizeof wait_kinds[0] };

/* Every way to get a task's result that passes a cancel on. */
static inline intptr_t gather_one(sinew_task *t)
{
    return sinew_gather(&t, 1, NULL);
}

static inline intptr_t settle_one(sinew_task *t)
{
    intptr_t result = 0;
    int r = sinew_gather_settled(&t, 1, &result);
    return r < 0 ? r : result;
}

static inline intptr_t await_with_limit(sinew_task *t)
{
    return sinew_wait_for(t, VERY_LONG);
}

static inline intptr_t await_without_limit(sinew_task *t)
{
    return sinew_wait_for(t, SINEW_FOREVER);
}

typedef intptr_t (*await_fn)(sinew_task *);

static const await_fn forwarding[]
    __attribute__((unused)) = {sinew_await, await_with_limit, await_without_limit, gather_one, settle_one};
enum { FORWARDING = sizeof forwarding / sizeof forwarding[0], ANSWERED_BY_VALUE = 3 /* the first of them */ };

#endif
