/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a latch lets all go exactly when its count is zero, to whoever waits, task or thread, and may end as soon as
 * they know.
 * Method: pinned groups for orders and cancels; heap latches that their waiter frees; plain threads on both sides.
 * Cannot see: a waiter that is let go too early by less than one checkpoint.
 */
#include <errno.h>
#include <stdlib.h>

#include <tests/support/run.h>
#include <tests/support/tasks.h>

static intptr_t wait_for_latch(void *arg)
{
    return sinew_latch_wait(arg);
}

static intptr_t count_one(void *arg)
{
    return sinew_latch_count_down(arg, 1);
}

IN_RUNTIME_PINNED(the_last_count_lets_all_go_and_none_before)
{
    enum { WAITERS = 5 };
    sinew_latch l;
    sinew_task *tasks[WAITERS];
    sinew_latch_init(&l, 4);
    for (int i = 0; i < WAITERS; i++)
        tasks[i] = spawn_pinned(wait_for_latch, &l);
    CHECK_EQ(sinew_yield(), 0);
    CHECK_EQ(sinew_latch_count_down(&l, 1), 0);
    CHECK_EQ(sinew_latch_count_down(&l, 0), 0);
    CHECK_EQ(sinew_latch_count_down(&l, 2), 0);
    CHECK_EQ(sinew_yield(), 0);
    for (int i = 0; i < WAITERS; i++)
        CHECK(!sinew_done(tasks[i]));
    CHECK_EQ(sinew_latch_try_wait(&l), -EAGAIN);
    CHECK_EQ(sinew_latch_count_down(&l, 2), -ERANGE);
    CHECK_EQ(sinew_latch_try_wait(&l), -EAGAIN);
    CHECK_EQ(sinew_latch_count_down(&l, 1), 0);
    CHECK_EQ(sinew_latch_try_wait(&l), 0);
    CHECK_EQ(sinew_latch_count_down(&l, 1), -ERANGE);
    return sinew_gather(tasks, WAITERS, NULL);
}

IN_RUNTIME_PINNED(a_finished_latch_does_not_suspend)
{
    sinew_latch l;
    gate g;
    gate_init(&g, 0);
    sinew_task *t = spawn_pinned(gate_pass, &g);
    sinew_latch_init(&l, 0);
    CHECK_EQ(sinew_latch_try_wait(&l), 0);
    CHECK_EQ(sinew_latch_wait(&l), 0);
    sinew_latch_init(&l, 1);
    CHECK_EQ(sinew_latch_count_down(&l, 1), 0);
    CHECK_EQ(sinew_latch_wait(&l), 0);
    CHECK_EQ(g.reached, 0);
    gate_open(&g, 1);
    return sinew_await(t);
}

IN_RUNTIME_PINNED(a_cancel_before_or_after_the_last_count_concerns_its_waiter_only)
{
    sinew_latch l;
    sinew_task *tasks[4];
    intptr_t results[4];
    sinew_latch_init(&l, 1);
    for (int i = 0; i < 4; i++)
        tasks[i] = spawn_pinned(wait_for_latch, &l);
    CHECK_EQ(sinew_yield(), 0);
    CHECK(sinew_cancel(tasks[1]));
    for (int i = 0; i < 3; i++)
        CHECK_EQ(sinew_yield(), 0);
    CHECK(sinew_done(tasks[1]));
    CHECK_EQ(sinew_latch_count_down(&l, 1), 0);
    CHECK(sinew_cancel(tasks[2]));
    CHECK_EQ(sinew_gather_settled(tasks, 4, results), 0);
    CHECK_EQ(results[0], 0);
    CHECK_EQ(results[1], -ECANCELED);
    CHECK_EQ(results[2], -ECANCELED);
    CHECK_EQ(results[3], 0);
    return 0;
}

/*
 * What was done before the count is seen after the wait: ThreadSanitizer would say so otherwise. The tasks stay until
 * all was looked at, because their ends would order it too.
 */
enum { PARTS = 8 };

static struct sum {
    sinew_latch *latch;
    sinew_event looked;
    long parts[PARTS];
} sum; /* not local: it is blind to accesses to that */

static intptr_t add_part(void *arg)
{
    long *part = arg;
    sinew_latch *latch = sum.latch;
    CHECK_EQ(sinew_yield(), 0);
    *part = 1;
    CHECK_EQ(sinew_latch_count_down(latch, 1), 0);
    return sinew_event_wait(&sum.looked);
}

IN_RUNTIME(a_latch_may_end_as_soon_as_its_waiter_knows)
{
    int rounds = (int)scaled(2000, 200);
    for (int i = 0; i < rounds; i++) {
        sinew_latch *l = malloc(sizeof *l);
        sinew_task *tasks[PARTS];
        sinew_event_init(&sum.looked);
        sinew_latch_init(l, PARTS);
        sum.latch = l;
        memset(sum.parts, 0, sizeof sum.parts);
        for (int k = 0; k < PARTS; k++)
            tasks[k] = sinew_spawn(add_part, &sum.parts[k]);
        if (i % 2) {
            CHECK_EQ(sinew_latch_wait(l), 0);
        } else {
            while (sinew_latch_try_wait(l) == -EAGAIN)
                sinew_yield();
        }
        free(l);
        long total = 0;
        for (int k = 0; k < PARTS; k++)
            total += sum.parts[k];
        CHECK_EQ(sinew_event_set(&sum.looked), 0);
        if (!CHECK_EQ(sinew_gather(tasks, PARTS, NULL), 0) || !CHECK_EQ(total, PARTS))
            break;
    }
    return 0;
}

struct both {
    sinew_latch start, end;
    int shared;
};

static void *count_and_wait_in_a_thread(void *arg)
{
    struct both *b = arg;
    CHECK_EQ(sinew_latch_wait(&b->start), 0);
    CHECK_EQ(b->shared, 7);
    CHECK_EQ(sinew_latch_count_down(&b->end, 1), 0);
    return NULL;
}

IN_RUNTIME(plain_threads_wait_and_count)
{
    enum { THREADS = 4 };
    static struct both b;
    pthread_t threads[THREADS];
    b.shared = 0;
    sinew_latch_init(&b.start, 1);
    sinew_latch_init(&b.end, THREADS);
    /* The runtime cannot know of the threads: a timer keeps the deadlock report away. */
    sinew_task *sleeper = sinew_spawn(sleep_very_long, NULL);
    for (int i = 0; i < THREADS; i++)
        if (!CHECK_EQ(pthread_create(&threads[i], NULL, count_and_wait_in_a_thread, &b), 0))
            return 1;
    b.shared = 7;
    CHECK_EQ(sinew_await(sinew_spawn(count_one, &b.start)), 0);
    CHECK_EQ(sinew_latch_wait(&b.end), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    sinew_cancel(sleeper);
    CHECK_EQ(sinew_await(sleeper), -ECANCELED);
    return 0;
}

static void null_is_told(void **state)
{
    (void)state;
    sinew_latch_init(NULL, 1);
    assert_int_equal(sinew_latch_count_down(NULL, 1), -EINVAL);
    assert_int_equal(sinew_latch_wait(NULL), -EINVAL);
    assert_int_equal(sinew_latch_try_wait(NULL), -EINVAL);
}

TEST_MAIN(cmocka_unit_test(the_last_count_lets_all_go_and_none_before),
          cmocka_unit_test(a_finished_latch_does_not_suspend),
          cmocka_unit_test(a_cancel_before_or_after_the_last_count_concerns_its_waiter_only),
          cmocka_unit_test(a_latch_may_end_as_soon_as_its_waiter_knows), cmocka_unit_test(plain_threads_wait_and_count),
          cmocka_unit_test(null_is_told))
