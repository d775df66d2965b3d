/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a process in which nothing happens uses no processor time, however many workers, connections and timers it has.
 * Method: CPU time of the process over one second in which main sleeps and everyone else waits.
 * Cannot see: wakes that cost less than the bound, which leaves room for a slow machine.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <tests/support/process.h>
#include <tests/support/run.h>
#include <tests/support/tasks.h>

static int64_t bound_us(void)
{
    return (int64_t)scaled(50000, 250000);
}

static intptr_t recv_forever(void *arg)
{
    char buf[64];
    return sinew_recv(*(int *)arg, buf, sizeof buf, 0);
}

static intptr_t accept_forever(void *arg)
{
    return sinew_accept(*(int *)arg, NULL, NULL, SOCK_CLOEXEC);
}

static intptr_t poll_forever(void *arg)
{
    return sinew_poll(*(int *)arg, 1);
}

static void stay_idle(void)
{
    /* Workers that still look for work may first calm down. */
    CHECK_EQ(sinew_sleep(SINEW_MS(200)), 0);
    int64_t before = processor_time_us();
    CHECK_EQ(sinew_sleep(SINEW_S(1)), 0);
    int64_t used = processor_time_us() - before;
    print_message("%u workers: %lld us of processor time in an idle second\n", sinew_workers(), (long long)used);
    CHECK(used < bound_us());
}

IN_RUNTIME(a_runtime_with_nothing_to_do_uses_no_processor_time)
{
    stay_idle();
    return 0;
}

IN_RUNTIME(open_connections_and_pending_timers_use_no_processor_time)
{
    enum { PAIRS = 100, TASKS = 2 * PAIRS + 101 };
    static int sockets[PAIRS][2];
    static sinew_task *tasks[TASKS];
    int n = 0;
    for (int i = 0; i < PAIRS; i++) {
        if (!CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets[i]), 0))
            return 1;
        tasks[n++] = sinew_spawn(recv_forever, &sockets[i][0]);
        tasks[n++] = sinew_spawn(i % 2 ? recv_forever : poll_forever, &sockets[i][1]);
    }
    int listener = sinew_listen("127.0.0.1:0", NULL);
    CHECK(listener >= 0);
    tasks[n++] = sinew_spawn(accept_forever, &listener);
    while (n < TASKS)
        tasks[n++] = sinew_spawn(sleep_very_long, NULL);
    stay_idle();
    for (int i = 0; i < TASKS; i++)
        CHECK(sinew_cancel(tasks[i]));
    CHECK_EQ(sinew_gather_settled(tasks, TASKS, NULL), 0);
    for (int i = 0; i < PAIRS; i++) {
        close(sockets[i][0]);
        close(sockets[i][1]);
    }
    close(listener);
    return 0;
}

IN_RUNTIME(a_runtime_becomes_idle_again_after_a_burst)
{
    CHECK_EQ(sinew_map(return_arg, NULL, 0, scaled(100000, 2000), NULL), 0);
    stay_idle();
    return 0;
}

static intptr_t wait_at_gate(void *arg)
{
    return sinew_sem_wait(arg);
}

/* A burst of tasks leaves stacks behind; a process that then is idle gives most of their memory back. */
IN_RUNTIME(stacks_of_a_burst_go_back_when_idle)
{
    size_t n = scaled(20000, 4000);
    sinew_task **tasks = calloc(n, sizeof *tasks);
    for (int burst = 0; burst < 2; burst++) { /* what was given back can be used again */
        sinew_sem closed;
        sinew_stats stats;
        sinew_sem_init(&closed, 0);
        for (size_t i = 0; i < n; i++)
            tasks[i] = sinew_spawn(wait_at_gate, &closed);
        do {
            sinew_yield();
            CHECK_EQ(sinew_get_stats(&stats), 0);
        } while (stats.stacks_live < n);
        int64_t busy = (int64_t)resident_bytes();
        for (size_t i = 0; i < n; i++)
            sinew_sem_post(&closed);
        CHECK_EQ(sinew_gather(tasks, n, NULL), 0);
        do {
            sinew_sleep(SINEW_MS(20));
            CHECK_EQ(sinew_get_stats(&stats), 0);
        } while (stats.stacks_pooled > 1024); /* the watchdog ends it */
        int64_t given_back = busy - (int64_t)resident_bytes();
        if (!slowed_down())
            CHECK(given_back > (int64_t)(n / 2) * 4096);
    }
    free(tasks);
    return 0;
}

TEST_MAIN(cmocka_unit_test(a_runtime_with_nothing_to_do_uses_no_processor_time),
          cmocka_unit_test(open_connections_and_pending_timers_use_no_processor_time),
          cmocka_unit_test(a_runtime_becomes_idle_again_after_a_burst),
          cmocka_unit_test(stacks_of_a_burst_go_back_when_idle))
