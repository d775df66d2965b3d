/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: each task has its own errno, whatever thread it goes on in.
 * Method: tasks that set errno to their own number, suspend in every way, and look again: 100,000 switches among many,
 * and rounds in which the worker left behind spins, so that the task must go on in another thread. errno is that of
 * sinew/errno.h, used in loops that suspend, where compilers keep the address of the C library's own.
 * Cannot see: what happens to an address of errno that the program itself carries across a checkpoint.
 */
#include <sched.h>
#include <sinew/errno.h>
#include <stdlib.h>

#include <tests/support/run.h>
#include <tests/support/tasks.h>

/* ThreadSanitizer takes two tasks that write one thread's errno for a race; it is told to look away. */
#if SN_TSAN
#define ERRNO_NOW    errno_value()
#define ERRNO_SET(n) errno_set(n)
#else
#define ERRNO_NOW    errno
#define ERRNO_SET(n) (errno = (n))
#endif

struct errno_task {
    int number, switches;
    atomic_long *migrations, *wrong;
    sinew_sem *sem;
};

static intptr_t keep_errno(void *arg)
{
    struct errno_task *e = arg;
    long migrations = 0, wrong = 0;
    ERRNO_SET(e->number);
    for (int i = 0; i < e->switches; i++) {
        pthread_t before = thread_now();
        switch (i % 16) {
        case 5:
            sinew_sleep(SINEW_US(1));
            break;
        case 10:
            sinew_sem_post(e->sem);
            sinew_sem_wait(e->sem);
            break;
        case 15:
            sinew_await(sinew_spawn(return_arg, NULL));
            break;
        default:
            sinew_yield();
        }
        migrations += !pthread_equal(before, thread_now());
        wrong += ERRNO_NOW != e->number;
    }
    atomic_fetch_add(e->migrations, migrations);
    atomic_fetch_add(e->wrong, wrong);
    return 0;
}

IN_RUNTIME_WITH(errno_survives_a_hundred_thousand_switches, 1, 2, 4, 8)
{
    enum { TASKS = 100 };
    int switches = (int)scaled(1000, 50);
    atomic_long migrations = 0, wrong = 0;
    sinew_sem sem;
    sinew_sem_init(&sem, 1);
    static struct errno_task tasks[TASKS];
    for (int i = 0; i < TASKS; i++)
        tasks[i] = (struct errno_task){1000 + i, switches, &migrations, &wrong, &sem};
    ERRNO_SET(77);
    CHECK_EQ(sinew_map(keep_errno, tasks, sizeof tasks[0], TASKS, NULL), 0);
    CHECK_EQ(ERRNO_NOW, 77);
    CHECK_EQ(wrong, 0);
    print_message("%u workers: %d switches, %ld of them to another thread\n", sinew_workers(), TASKS * switches,
                  (long)migrations);
    return 0;
}

/*
 * Forced migration. Every worker has a pinned helper. The traveller asks the helper of the worker it runs on to wake
 * it, and waits; the helper can only run once the traveller has left that worker, posts, and spins until the traveller
 * has gone on, which it can only do in another thread.
 */
#define HELPERS_MAX 8

struct journey {
    sinew_sem helper[HELPERS_MAX], traveller, ready;
    unsigned workers;
    atomic_int settled, arrived, stop;
    atomic_int helpers_at[HELPERS_MAX];
};

struct helper {
    struct journey *journey;
    unsigned worker;
};

static intptr_t help(void *arg)
{
    struct helper *h = arg;
    struct journey *j = h->journey;
    for (int round = 0;; round++) {
        int r = sinew_sem_wait(&j->helper[h->worker]);
        if (r < 0 || atomic_load(&j->stop))
            return r;
        int seen = atomic_load(&j->arrived);
        sinew_sem_post(&j->traveller);
        while (atomic_load(&j->arrived) == seen)
            sched_yield(); /* the thread's, not the task's: the worker stays taken */
    }
}

/* As many of these as there are workers, each keeping its worker until all run: so each is on another one. */
static intptr_t settle(void *arg)
{
    struct journey *j = arg;
    unsigned worker = sinew_worker_index();
    if (atomic_fetch_add(&j->settled, 1) + 1 == (int)j->workers)
        sinew_sem_post(&j->ready);
    while (atomic_load(&j->settled) < (int)j->workers)
        sched_yield();
    CHECK_EQ(atomic_fetch_add(&j->helpers_at[worker], 1), 0);
    struct helper h = {j, worker};
    return sinew_await(spawn_pinned(help, &h));
}

__attribute__((noinline)) static unsigned worker_now(void)
{
    unsigned index = sinew_worker_index();
    __asm__ volatile("" : "+r"(index)::"memory");
    return index;
}

IN_RUNTIME_WITH(errno_survives_forced_migration, 2, 4, 8)
{
    static struct journey j;
    memset(&j, 0, sizeof j);
    j.workers = sinew_workers();
    sinew_sem_init(&j.traveller, 0);
    sinew_sem_init(&j.ready, 0);
    sinew_task *helpers[HELPERS_MAX];
    for (unsigned i = 0; i < j.workers; i++) {
        sinew_sem_init(&j.helper[i], 0);
        helpers[i] = sinew_spawn(settle, &j);
    }
    CHECK_EQ(sinew_sem_wait(&j.ready), 0);
    int rounds = (int)scaled(20000, 500), wrong = 0, stayed = 0;
    ERRNO_SET(1234);
    for (int i = 0; i < rounds; i++) {
        unsigned before = worker_now();
        sinew_sem_post(&j.helper[before]);
        CHECK_EQ(sinew_sem_wait(&j.traveller), 0);
        wrong += ERRNO_NOW != 1234;
        stayed += worker_now() == before;
        atomic_fetch_add(&j.arrived, 1);
    }
    atomic_store(&j.stop, 1);
    for (unsigned i = 0; i < j.workers; i++)
        sinew_sem_post(&j.helper[i]);
    CHECK_EQ(sinew_gather(helpers, j.workers, NULL), 0);
    CHECK_EQ(wrong, 0);
    CHECK_EQ(stayed, 0);
    return 0;
}

static intptr_t fail_in_libc(void *arg)
{
    (void)arg;
    ERRNO_SET(EILSEQ);
    return 0;
}

IN_RUNTIME(an_awaited_task_does_not_disturb_the_awaiters_errno)
{
    ERRNO_SET(ENOTTY);
    CHECK_EQ(sinew_await(sinew_spawn(fail_in_libc, NULL)), 0);
    CHECK_EQ(ERRNO_NOW, ENOTTY);
    sinew_task *t = sinew_spawn(fail_in_libc, NULL);
    yield_until_done(t);
    CHECK_EQ(ERRNO_NOW, ENOTTY);
    CHECK_EQ(sinew_await(t), 0);
    CHECK_EQ(sinew_map(fail_in_libc, NULL, 0, 100, NULL), 0);
    CHECK_EQ(ERRNO_NOW, ENOTTY);
    CHECK_EQ(sinew_await(spawn_eager(fail_in_libc, NULL)), 0);
    CHECK_EQ(ERRNO_NOW, ENOTTY);
    return 0;
}

TEST_MAIN(cmocka_unit_test(errno_survives_a_hundred_thousand_switches),
          cmocka_unit_test(errno_survives_forced_migration),
          cmocka_unit_test(an_awaited_task_does_not_disturb_the_awaiters_errno))
