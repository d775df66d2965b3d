/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the biased spinlock lets one in at a time, also when a former owner of the bias, stopped between its first look
 * and its second, goes on after another worker has earned the bias.
 * Method: two threads that play workers. The first earns the bias and is stopped by a signal wherever it is; the second
 * then uses the lock as often as would give it the bias, stays inside for long, and the first goes on. Both look
 * whether they are alone. Of some hundred rounds a good many stop the first one between the two looks.
 * Cannot see: orderings weaker than this machine's.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/clock.h"
#include "runtime/lock.h"

#include <tests/support/check.h>
#include <tests/support/random.h>
#include <tests/support/scale.h>

enum { STOPPED_ONE, OTHER_ONE, BOTH, NOBODY };

static struct {
    sn_lock lock;
    uint32_t inside; /* under the lock: who is */
    atomic_int turn, over;
    atomic_long uses[2], biased[2]; /* how often each came in, and how often by its bias */
    sn_worker workers[2];
    atomic_int stopped, go_on;
} table;

/* Stops the thread wherever it is. */
static void stop(int signal_number)
{
    (void)signal_number;
    atomic_store(&table.stopped, 1);
    while (!atomic_load(&table.go_on))
        usleep(20);
    atomic_store(&table.stopped, 0);
}

/* Some microseconds. */
static void stay(unsigned turns)
{
    for (volatile unsigned i = 0; i < turns; i++)
        ;
}

static void *use_lock(void *arg)
{
    sn_worker *w = arg;
    int self = (int)(w - table.workers);
    unsigned uses = 0;
    while (!atomic_load(&table.over)) {
        int turn = atomic_load_explicit(&table.turn, memory_order_relaxed);
        if (turn != self && turn != BOTH) {
            sched_yield();
            continue;
        }
        bool biased = sn_lock_take(&table.lock, w);
        sn_bump(&table.uses[self], 1);
        if (biased)
            sn_bump(&table.biased[self], 1);
        if (table.inside != 0)
            check_failed(__FILE__, __LINE__, "%u came in while %u was", w->number, table.inside);
        table.inside = w->number;
        if (self == OTHER_ONE && ++uses % 16 == 0)
            stay(5000);
        if (table.inside != w->number)
            check_failed(__FILE__, __LINE__, "%u was in and %u came", w->number, table.inside);
        table.inside = 0;
        sn_lock_give(&table.lock, biased);
    }
    return NULL;
}

/* Until the count has grown by n; or, since the one stopped may hold the lock, for so long. */
static bool wait_for(atomic_long *count, long n, sinew_time limit)
{
    long before = atomic_load(count);
    sinew_time end = sn_clock_now() + limit;
    while (atomic_load(count) < before + n)
        if (sn_clock_now() > end)
            return false;
    return true;
}

static void one_is_in_at_a_time_also_when_a_former_owner_comes_late(void **state)
{
    (void)state;
    if (SN_TSAN) {
        print_message("ThreadSanitizer puts signals off and does not know asymmetric fences: not tested\n");
        skip();
    }
    sn_fence_init();
    struct sigaction action = {.sa_handler = stop, .sa_flags = SA_RESTART};
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    pthread_t threads[2];
    atomic_store(&table.turn, NOBODY);
    for (uint32_t i = 0; i < 2; i++) {
        table.workers[i].number = i + 1;
        assert_int_equal(pthread_create(&threads[i], NULL, use_lock, &table.workers[i]), 0);
    }
    uint64_t random = random_seed();
    int rounds = (int)scaled(300, 100), earned = 0, late = 0;
    for (int round = 0; round < rounds && !check_failures; round++) {
        /* The other one has a use, so that nothing of an earlier bias stands in the way. */
        atomic_store(&table.turn, OTHER_ONE);
        wait_for(&table.uses[OTHER_ONE], 1, SINEW_MS(50));
        atomic_store(&table.turn, STOPPED_ONE);
        earned += wait_for(&table.biased[STOPPED_ONE], 1, SINEW_MS(5));
        usleep((unsigned)random_below(&random, 30));
        atomic_store(&table.go_on, 0);
        pthread_kill(threads[STOPPED_ONE], SIGUSR1);
        while (!atomic_load(&table.stopped))
            sched_yield();
        atomic_store(&table.turn, BOTH);
        late += wait_for(&table.uses[OTHER_ONE], SN_BIAS_AFTER + 100, SINEW_MS(8));
        atomic_store(&table.go_on, 1);
        while (atomic_load(&table.stopped))
            sched_yield();
        usleep(100);
        atomic_store(&table.turn, NOBODY);
    }
    atomic_store(&table.over, 1);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    print_message("%d rounds; the first had the bias in %d; it was stopped outside of the lock in %d\n", rounds, earned,
                  late);
    assert_int_equal(check_failures, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(one_is_in_at_a_time_also_when_a_former_owner_comes_late)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
