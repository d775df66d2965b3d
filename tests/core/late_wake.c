/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a thread that completes what the last task waits for, or cancels it, is out of the runtime before the run
 * returns.
 * Method: write() is this program's own, and delays the one with which such a thread wakes a worker; another worker
 * keeps looking around, finds what was made ready, and the run ends meanwhile. A write that comes after the return
 * would be one into whatever file has that descriptor by then.
 * Cannot see: threads that are held up elsewhere than in the write; rounds in which the woken worker was not the one
 * that slept.
 */
#include <pthread.h>
#include <sys/syscall.h>

#include <tests/support/run.h>
#include <tests/support/tasks.h>

enum { ROUNDS = 30, DELAY_US = 20000 };

static _Thread_local bool slow;
static atomic_int waits, returned, late;

ssize_t write(int fd, const void *bytes, size_t n)
{
    if (slow) {
        usleep(DELAY_US);
        if (atomic_load(&returned))
            atomic_fetch_add(&late, 1);
    }
    return syscall(SYS_write, fd, bytes, n);
}

enum { BY_FUTURE, BY_EVENT, BY_CANCEL, WAYS };

struct wait {
    sinew_future *future;
    sinew_event event;
    sinew_task *task;
    int way;
};

static intptr_t look_around(void *arg)
{
    (void)arg;
    while (sinew_yield() == 0)
        ;
    return 0;
}

static intptr_t wait_for_thread(void *arg)
{
    struct wait *w = arg;
    sinew_detach(sinew_spawn(look_around, NULL));
    w->task = sinew_ref(sinew_self()); /* ends with the runtime */
    atomic_store(&waits, 1);
    return w->way == BY_FUTURE ? sinew_future_await(w->future) : sinew_event_wait(&w->event);
}

static void *complete(void *arg)
{
    struct wait *w = arg;
    while (!atomic_load(&waits))
        sched_yield();
    usleep(DELAY_US / 10); /* lets the other workers fall asleep; only then is there a write */
    slow = true;
    if (w->way == BY_EVENT)
        sinew_event_set(&w->event);
    else if (w->way == BY_FUTURE)
        sinew_future_set(w->future, 0);
    else
        sinew_cancel(w->task);
    slow = false;
    return NULL;
}

static void who_wakes_the_last_task_is_out_of_the_runtime_before_the_run_returns(void **state)
{
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        struct wait w = {.future = sinew_future_new(), .way = i % WAYS};
        sinew_event_init(&w.event);
        atomic_store(&waits, 0);
        atomic_store(&returned, 0);
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, complete, &w), 0);
        assert_int_equal(run_workers(3, wait_for_thread, &w), w.way == BY_CANCEL ? -ECANCELED : 0);
        atomic_store(&returned, 1);
        pthread_join(thread, NULL);
        sinew_future_unref(w.future);
    }
    assert_int_equal(late, 0);
}

TEST_MAIN(cmocka_unit_test(who_wakes_the_last_task_is_out_of_the_runtime_before_the_run_returns))
