/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what came in time is not taken for late because the process stood still (stopped, crowded out, its machine
 * paused) until its time limit had passed.
 *
 * Method: a child waits for data on many sockets with a limit. It is stopped, sent everything before the limit, and
 * continued after it. With one worker: of several, one may be a little quicker than the other to go on.
 */
#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <tests/support/child.h>
#include <tests/support/run.h>

enum { SOCKETS = 100, ROUNDS = 2 };

#define LIMIT SINEW_S(1)

static int sockets[SOCKETS][2];
static int said[2];

static intptr_t wait_for_data(void *arg)
{
    char c;
    sinew_timeout limit;
    sinew_timeout_begin(&limit, LIMIT);
    for (int i = 0; i < ROUNDS; i++) {
        CHECK_EQ(sinew_recv(*(int *)arg, &c, 1, 0), 1);
        CHECK_EQ(sinew_timeout_reset(&limit, SINEW_S(30)), 0);
    }
    return sinew_timeout_end(&limit);
}

static intptr_t wait_for_all(void *arg)
{
    (void)arg;
    sinew_task *tasks[SOCKETS];
    sinew_time begun = sinew_now();
    for (int i = 0; i < SOCKETS; i++)
        tasks[i] = sinew_spawn(wait_for_data, &sockets[i][0]);
    CHECK_EQ(sinew_yield(), 0);
    CHECK_EQ(write(said[1], &begun, sizeof begun), sizeof begun);
    CHECK_EQ(sinew_gather(tasks, SOCKETS, NULL), 0);
    return 0;
}

static int run_one_worker(void *arg)
{
    return (int)run_workers(1, wait_for_all, arg);
}

static sinew_time now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * SINEW_S(1) + t.tv_nsec;
}

static void stop_for_longer_than_the_limit(pid_t child, void *was_in_time)
{
    sinew_time begun;
    int status;
    if (read(said[0], &begun, sizeof begun) == sizeof begun && kill(child, SIGSTOP) == 0 &&
        waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status)) {
        for (int i = 0; i < SOCKETS; i++)
            for (int j = 0; j < ROUNDS; j++)
                CHECK_EQ(send(sockets[i][1], "x", 1, MSG_NOSIGNAL), 1);
        *(bool *)was_in_time = now() < begun + LIMIT;
        while (now() < begun + LIMIT + SINEW_MS(50))
            usleep(10000);
    }
    kill(child, SIGCONT);
}

static void what_came_while_the_process_stood_still_is_in_time(void **state)
{
    (void)state;
    bool was_in_time = false;
    while (!was_in_time) { /* on a busy machine the parent may be late itself */
        child_end end;
        assert_int_equal(pipe(said), 0);
        for (int i = 0; i < SOCKETS; i++)
            assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets[i]), 0);
        assert_true(run_child_with(run_one_worker, NULL, 60, stop_for_longer_than_the_limit, &was_in_time, &end));
        if (was_in_time && (end.code != 0 || atomic_load(&check_failures) != 0))
            child_fail("stopped", &end);
        for (int i = 0; i < SOCKETS; i++) {
            close(sockets[i][0]);
            close(sockets[i][1]);
        }
        close(said[0]);
        close(said[1]);
    }
}

TEST_MAIN(cmocka_unit_test(what_came_while_the_process_stood_still_is_in_time))
