/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: one writer or any number of readers; who waits is served in order, neighbouring readers together; a cancel in
 * the queue frees whom it kept waiting, and what was granted to a cancelled one goes on.
 * Method: pinned groups for the orders; many readers and writers that check each other.
 * Cannot see: whether readers on different workers run at the same instant.
 */
#include <errno.h>
#include <stdlib.h>

#include <tests/support/run.h>
#include <tests/support/tasks.h>

/* Locks in one way, logs its number, waits for the gate, unlocks. */
struct user {
    sinew_rwlock *lock;
    event_log *log;
    gate *gate; /* NULL: unlocks at once */
    int number;
    bool writes;
};

static intptr_t use(void *arg)
{
    struct user *u = arg;
    int r = u->writes ? sinew_rwlock_write_lock(u->lock) : sinew_rwlock_read_lock(u->lock);
    if (r < 0)
        return r;
    log_event(u->log, u->number);
    if (u->gate)
        gate_pass(u->gate);
    return u->writes ? sinew_rwlock_write_unlock(u->lock) : sinew_rwlock_read_unlock(u->lock);
}

static void yield_some(void)
{
    for (int i = 0; i < 5; i++)
        CHECK_EQ(sinew_yield(), 0);
}

/* One user for each letter, 'r' or 'w', numbered from 0. */
static void spawn_users(const char *ways, struct user *users, sinew_task **tasks, sinew_rwlock *l, event_log *log,
                        gate *g)
{
    for (int i = 0; ways[i]; i++) {
        users[i] = (struct user){l, log, g, i, ways[i] == 'w'};
        tasks[i] = spawn_pinned(use, &users[i]);
    }
    yield_some();
}

IN_RUNTIME(one_writer_or_many_readers)
{
    sinew_rwlock l;
    sinew_rwlock_init(&l);
    CHECK_EQ(sinew_rwlock_read_lock(&l), 0);
    CHECK_EQ(sinew_rwlock_try_read_lock(&l), 0);
    CHECK_EQ(sinew_rwlock_try_write_lock(&l), -EBUSY);
    CHECK_EQ(sinew_rwlock_read_unlock(&l), 0);
    CHECK_EQ(sinew_rwlock_try_write_lock(&l), -EBUSY);
    CHECK_EQ(sinew_rwlock_read_unlock(&l), 0);
    CHECK_EQ(sinew_rwlock_write_lock(&l), 0);
    CHECK_EQ(sinew_rwlock_try_write_lock(&l), -EBUSY);
    CHECK_EQ(sinew_rwlock_try_read_lock(&l), -EBUSY);
    CHECK_EQ(sinew_rwlock_write_unlock(&l), 0);
    CHECK_EQ(sinew_rwlock_try_write_lock(&l), 0);
    CHECK_EQ(sinew_rwlock_write_unlock(&l), 0);
    return 0;
}

IN_RUNTIME(an_unlock_of_what_is_not_locked_so_is_told)
{
    sinew_rwlock l;
    sinew_rwlock_init(&l);
    CHECK_EQ(sinew_rwlock_read_unlock(&l), -EPERM);
    CHECK_EQ(sinew_rwlock_write_unlock(&l), -EPERM);
    CHECK_EQ(sinew_rwlock_read_lock(&l), 0);
    CHECK_EQ(sinew_rwlock_write_unlock(&l), -EPERM);
    CHECK_EQ(sinew_rwlock_read_unlock(&l), 0);
    CHECK_EQ(sinew_rwlock_write_lock(&l), 0);
    CHECK_EQ(sinew_rwlock_read_unlock(&l), -EPERM);
    CHECK_EQ(sinew_rwlock_write_unlock(&l), 0);
    return 0;
}

IN_RUNTIME_PINNED(a_free_lock_does_not_suspend)
{
    sinew_rwlock l;
    gate g;
    gate_init(&g, 0);
    sinew_rwlock_init(&l);
    sinew_task *t = spawn_pinned(gate_pass, &g);
    CHECK_EQ(sinew_rwlock_read_lock(&l), 0);
    CHECK_EQ(sinew_rwlock_read_lock(&l), 0);
    CHECK_EQ(sinew_rwlock_read_unlock(&l), 0);
    CHECK_EQ(sinew_rwlock_read_unlock(&l), 0);
    CHECK_EQ(sinew_rwlock_write_lock(&l), 0);
    CHECK_EQ(sinew_rwlock_write_unlock(&l), 0);
    CHECK_EQ(g.reached, 0);
    gate_open(&g, 1);
    return sinew_await(t);
}

IN_RUNTIME_PINNED(who_waits_is_served_in_order_and_neighbouring_readers_together)
{
    sinew_rwlock l;
    event_log log = {.n = 0};
    gate g;
    struct user users[8];
    sinew_task *tasks[8];
    sinew_rwlock_init(&l);
    gate_init(&g, 0);
    CHECK_EQ(sinew_rwlock_write_lock(&l), 0);
    spawn_users("rrwrrwwr", users, tasks, &l, &log, &g);
    static const int entered_after[] = {2, 2, 3, 5, 5, 6, 7, 8}; /* by how many have left */
    CHECK_EQ(log.n, 0);
    CHECK_EQ(sinew_rwlock_write_unlock(&l), 0);
    for (int left = 0; left < 8; left++) {
        yield_some();
        CHECK_EQ(log.n, entered_after[left]);
        gate_open(&g, 1);
    }
    CHECK_EQ(sinew_gather(tasks, 8, NULL), 0);
    for (int i = 0; i < 8; i++)
        CHECK_EQ(log.events[i], i);
    return 0;
}

IN_RUNTIME_PINNED(a_waiting_writer_keeps_new_readers_out)
{
    sinew_rwlock l;
    event_log log = {.n = 0};
    struct user users[2];
    sinew_task *tasks[2];
    sinew_rwlock_init(&l);
    CHECK_EQ(sinew_rwlock_read_lock(&l), 0);
    spawn_users("wr", users, tasks, &l, &log, NULL);
    CHECK_EQ(sinew_rwlock_try_read_lock(&l), -EBUSY);
    CHECK_EQ(log.n, 0);
    CHECK_EQ(sinew_rwlock_read_unlock(&l), 0);
    CHECK_EQ(sinew_rwlock_try_read_lock(&l), -EBUSY); /* it is the writer's, also before that has run */
    CHECK_EQ(sinew_gather(tasks, 2, NULL), 0);
    CHECK_EQ(log.events[0], 0);
    CHECK_EQ(log.events[1], 1);
    return 0;
}

IN_RUNTIME_PINNED(a_long_row_of_readers_enters_whole)
{
    enum { READERS = 150 };
    char ways[READERS + 2];
    sinew_rwlock l;
    event_log log = {.n = 0};
    gate g;
    struct user users[READERS + 1];
    sinew_task *tasks[READERS + 1];
    memset(ways, 'r', READERS);
    ways[READERS] = 'w';
    ways[READERS + 1] = 0;
    sinew_rwlock_init(&l);
    gate_init(&g, 0);
    CHECK_EQ(sinew_rwlock_write_lock(&l), 0);
    spawn_users(ways, users, tasks, &l, &log, &g);
    CHECK_EQ(sinew_rwlock_write_unlock(&l), 0);
    for (int i = 0; i < 8; i++)
        yield_some();
    CHECK_EQ(log.n, READERS);
    CHECK_EQ(sinew_rwlock_try_read_lock(&l), -EBUSY);
    gate_open(&g, READERS + 1);
    CHECK_EQ(sinew_gather(tasks, READERS + 1, NULL), 0);
    for (int i = 0; i <= READERS; i++)
        CHECK_EQ(log.events[i], i);
    return 0;
}

IN_RUNTIME_PINNED(a_cancelled_writer_lets_the_readers_behind_it_in)
{
    sinew_rwlock l;
    event_log log = {.n = 0};
    struct user users[3];
    sinew_task *tasks[3];
    sinew_rwlock_init(&l);
    CHECK_EQ(sinew_rwlock_read_lock(&l), 0);
    spawn_users("wrr", users, tasks, &l, &log, NULL);
    CHECK_EQ(log.n, 0);
    CHECK(sinew_cancel(tasks[0]));
    CHECK_EQ(sinew_await(tasks[0]), -ECANCELED);
    CHECK_EQ(sinew_await(tasks[1]), 0);
    CHECK_EQ(sinew_await(tasks[2]), 0);
    CHECK_EQ(sinew_rwlock_read_unlock(&l), 0);
    CHECK_EQ(sinew_rwlock_try_write_lock(&l), 0);
    return 0;
}

IN_RUNTIME_PINNED(what_was_granted_to_a_cancelled_one_goes_to_the_next)
{
    static const char *const cases[] = {"wr", "ww", "rw", "rrw", "wrr"};
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        sinew_rwlock l;
        event_log log = {.n = 0};
        struct user users[3];
        sinew_task *tasks[3];
        sinew_rwlock_init(&l);
        CHECK_EQ(sinew_rwlock_write_lock(&l), 0);
        spawn_users(cases[c], users, tasks, &l, &log, NULL);
        CHECK_EQ(sinew_rwlock_write_unlock(&l), 0);
        CHECK(sinew_cancel(tasks[0]));
        CHECK_EQ(sinew_await(tasks[0]), -ECANCELED);
        size_t n = strlen(cases[c]);
        for (size_t i = 1; i < n; i++)
            CHECK_EQ(sinew_await(tasks[i]), 0);
        CHECK_EQ(log.n, n - 1);
        CHECK_EQ(sinew_rwlock_try_write_lock(&l), 0);
    }
    return 0;
}

IN_RUNTIME_PINNED(a_cancel_of_the_one_that_admits_the_rest_of_a_row_admits_them)
{
    /* The row is entered in portions, by the last of each; cancelling each in turn covers that one, wherever it is. */
    enum { READERS = 70 };
    for (int victim = 0; victim < READERS; victim++) {
        char ways[READERS + 1];
        sinew_rwlock l;
        event_log log = {.n = 0};
        struct user users[READERS];
        sinew_task *tasks[READERS];
        intptr_t results[READERS];
        memset(ways, 'r', READERS);
        ways[READERS] = 0;
        sinew_rwlock_init(&l);
        CHECK_EQ(sinew_rwlock_write_lock(&l), 0);
        spawn_users(ways, users, tasks, &l, &log, NULL);
        CHECK_EQ(sinew_rwlock_write_unlock(&l), 0);
        CHECK(sinew_cancel(tasks[victim]));
        CHECK_EQ(sinew_gather_settled(tasks, READERS, results), 0);
        for (int i = 0; i < READERS; i++)
            CHECK_EQ(results[i], i == victim ? -ECANCELED : 0);
        if (!CHECK_EQ(sinew_rwlock_try_write_lock(&l), 0))
            break;
    }
    return 0;
}

IN_RUNTIME(a_wait_can_time_out)
{
    sinew_rwlock l;
    sinew_rwlock_init(&l);
    CHECK_EQ(sinew_rwlock_write_lock(&l), 0);
    for (int write = 0; write < 2; write++) {
        sinew_timeout t;
        sinew_timeout_begin(&t, SINEW_MS(1));
        CHECK_EQ(write ? sinew_rwlock_write_lock(&l) : sinew_rwlock_read_lock(&l), -ETIMEDOUT);
        CHECK_EQ(sinew_timeout_end(&t), -ETIMEDOUT);
    }
    CHECK_EQ(sinew_rwlock_write_unlock(&l), 0);
    CHECK_EQ(sinew_rwlock_try_write_lock(&l), 0);
    return 0;
}

/* The values are plain: ThreadSanitizer sees whether the lock orders them. */
struct shared {
    sinew_rwlock lock;
    long a, b;
    atomic_int users;
};

static intptr_t read_and_write(void *arg)
{
    struct shared *s = arg;
    for (int i = 0; i < 50; i++) {
        if (i % 4 == 0) {
            CHECK_EQ(sinew_rwlock_write_lock(&s->lock), 0);
            s->a++;
            if (i % 8 == 0)
                sinew_yield();
            s->b++;
            CHECK_EQ(sinew_rwlock_write_unlock(&s->lock), 0);
        } else {
            CHECK_EQ(sinew_rwlock_read_lock(&s->lock), 0);
            CHECK_EQ(s->a, s->b);
            if (i % 8 == 1)
                sinew_yield();
            CHECK_EQ(s->a, s->b);
            CHECK_EQ(sinew_rwlock_read_unlock(&s->lock), 0);
        }
    }
    if (atomic_fetch_sub(&s->users, 1) == 1) {
        CHECK(s->a == s->b && s->a % 13 == 0);
        free(s); /* whoever unlocked before must have left it */
    }
    return 0;
}

IN_RUNTIME(readers_never_see_a_writer_at_work_and_the_lock_may_end_with_the_last)
{
    int rounds = (int)scaled(100, 10), users = 50;
    for (int i = 0; i < rounds; i++) {
        struct shared *s = malloc(sizeof *s);
        *s = (struct shared){.a = 0};
        atomic_init(&s->users, users);
        sinew_rwlock_init(&s->lock);
        if (!CHECK_EQ(sinew_map(read_and_write, s, 0, (size_t)users, NULL), 0))
            break;
    }
    return 0;
}

static void misuse_is_told(void **state)
{
    (void)state;
    sinew_rwlock l;
    sinew_rwlock_init(NULL);
    assert_int_equal(sinew_rwlock_read_lock(NULL), -EINVAL);
    assert_int_equal(sinew_rwlock_write_lock(NULL), -EINVAL);
    assert_int_equal(sinew_rwlock_try_read_lock(NULL), -EINVAL);
    assert_int_equal(sinew_rwlock_try_write_lock(NULL), -EINVAL);
    assert_int_equal(sinew_rwlock_read_unlock(NULL), -EINVAL);
    assert_int_equal(sinew_rwlock_write_unlock(NULL), -EINVAL);
    sinew_rwlock_init(&l);
    assert_int_equal(sinew_rwlock_read_lock(&l), -EPERM);
    assert_int_equal(sinew_rwlock_write_lock(&l), -EPERM);
    assert_int_equal(sinew_rwlock_try_write_lock(&l), 0);
    assert_int_equal(sinew_rwlock_write_unlock(&l), 0);
}

TEST_MAIN(cmocka_unit_test(one_writer_or_many_readers), cmocka_unit_test(an_unlock_of_what_is_not_locked_so_is_told),
          cmocka_unit_test(a_free_lock_does_not_suspend),
          cmocka_unit_test(who_waits_is_served_in_order_and_neighbouring_readers_together),
          cmocka_unit_test(a_waiting_writer_keeps_new_readers_out),
          cmocka_unit_test(a_long_row_of_readers_enters_whole),
          cmocka_unit_test(a_cancelled_writer_lets_the_readers_behind_it_in),
          cmocka_unit_test(what_was_granted_to_a_cancelled_one_goes_to_the_next),
          cmocka_unit_test(a_cancel_of_the_one_that_admits_the_rest_of_a_row_admits_them),
          cmocka_unit_test(a_wait_can_time_out),
          cmocka_unit_test(readers_never_see_a_writer_at_work_and_the_lock_may_end_with_the_last),
          cmocka_unit_test(misuse_is_told))
