/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a helper that comes too late, when the worker it wants to help sleeps already, takes no events away: what they
 * lead to may be a pause, after which somebody must look again, and the owner sleeps until it is woken.
 * Method: the epoll driver's help from a plain thread, while the only worker sleeps and a task of its waits for a
 * socket; an epoll_wait of the test's own says whether it looked. (io_uring's has no such window: io/uring.c, h2.)
 * Cannot see: the moment between a helper's look at the worker and its call, in which this happens.
 */
#include "runtime/driver.h"
#include "runtime/worker.h"

#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/syscall.h>

#include <tests/support/run.h>
#include <tests/support/sockets.h>
#include <tests/support/tasks.h>

static _Thread_local int looks;

/* In place of the C library's. */
int epoll_wait(int epoll, struct epoll_event *events, int count, int timeout)
{
    looks++;
    return (int)syscall(SYS_epoll_pwait, epoll, events, count, timeout, NULL, (size_t)0);
}

struct late {
    sn_worker *worker;
    int peer;
};

static void *help_too_late(void *arg)
{
    const struct late *l = arg;
    bool kick;
    sinew_time end = sinew_now() + SINEW_S(5);
    do {
        sched_yield();
        looks = 0;
        CHECK_EQ(sn_driver_epoll.help(l->worker->driver, &kick), 0);
    } while ((looks > 0 || !sn_load(&l->worker->asleep, relaxed)) && sinew_now() < end);
    CHECK_EQ(looks, 0);
    CHECK_EQ(write(l->peer, "x", 1), 1);
    return NULL;
}

static intptr_t wait_for_a_byte(void *arg)
{
    (void)arg;
    int s[2];
    char byte;
    pthread_t thread;
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s), 0);
    struct late l = {sn_worker_self(), s[1]};
    CHECK_EQ(pthread_create(&thread, NULL, help_too_late, &l), 0);
    CHECK_EQ(sinew_recv(s[0], &byte, 1, 0), 1);
    pthread_join(thread, NULL);
    close(s[0]);
    close(s[1]);
    return 0;
}

static void a_late_helper_takes_nothing_from_a_worker_that_sleeps(void **state)
{
    (void)state;
    sinew_options opt = {.workers = 1, .driver = SINEW_DRIVER_EPOLL};
    assert_int_equal(sinew_run_with(&opt, wait_for_a_byte, NULL), 0);
    assert_int_equal(atomic_load(&check_failures), 0);
}

TEST_MAIN(cmocka_unit_test(a_late_helper_takes_nothing_from_a_worker_that_sleeps))
