/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A blocking function held in its thread until the test lets it end, and tasks that call it.
 */
#ifndef TESTS_SUPPORT_HOLDS_H
#define TESTS_SUPPORT_HOLDS_H

#include <semaphore.h>
#include <stdatomic.h>
#include <stdint.h>

#include <sinew.h>

typedef struct hold {
    sem_t open;
    atomic_int begun, ended;
    intptr_t result;
} hold;

static inline void hold_init(hold *h, intptr_t result)
{
    sem_init(&h->open, 0, 0);
    atomic_store(&h->begun, 0);
    atomic_store(&h->ended, 0);
    h->result = result;
}

static inline intptr_t hold_here(void *arg)
{
    hold *h = arg;
    atomic_fetch_add(&h->begun, 1);
    while (sem_wait(&h->open) != 0)
        ;
    intptr_t result = h->result; /* the test may end the hold's life as soon as it has seen `ended` */
    atomic_fetch_add(&h->ended, 1);
    return result;
}

static inline intptr_t call_hold(void *arg)
{
    return sinew_blocking(hold_here, arg);
}

static inline intptr_t call_hold_wait(void *arg)
{
    return sinew_blocking_wait(hold_here, arg);
}

/* The two kinds of call. */
static const sinew_fn hold_calls[] __attribute__((unused)) = {call_hold, call_hold_wait};

#endif
