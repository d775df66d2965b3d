/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: thousands of operations are pending at once, and each gets its own completion.
 * Method: 1,000 socket pairs that play ping-pong, and 10,000 readers each blocked on a pipe of its own (fewer where the
 * descriptor limit is lower; the number is printed). Every byte is checked.
 * Cannot see: throughput.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>

#include <tests/support/process.h>
#include <tests/support/run.h>
#include <tests/support/sockets.h>
#include <tests/support/tasks.h>

struct player {
    int fd, rounds;
    bool begins;
};

static intptr_t play(void *arg)
{
    struct player *p = arg;
    for (int i = 0; i < p->rounds; i++) {
        char c = (char)(i * 3 + p->fd);
        if (p->begins) {
            if (sinew_send(p->fd, &c, 1, 0) != 1)
                return -EIO;
            char back = 0;
            if (sinew_recv(p->fd, &back, 1, 0) != 1 || back != c)
                return -EIO;
        } else {
            if (sinew_recv(p->fd, &c, 1, 0) != 1)
                return -EIO;
            if (sinew_send(p->fd, &c, 1, 0) != 1)
                return -EIO;
        }
    }
    return 0;
}

/* How many descriptors more may be opened, after raising the soft limit. */
static int descriptors_left(void)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    getrlimit(RLIMIT_NOFILE, &limit);
    return (int)(limit.rlim_cur > 1000000 ? 1000000 : limit.rlim_cur) - count_descriptors() - 50;
}

IN_RUNTIME(a_thousand_pairs_play_ping_pong)
{
    int pairs = (int)scaled(1000, 100);
    if (pairs > descriptors_left() / 2) {
        pairs = descriptors_left() / 2;
        print_message("only %d pairs: the descriptor limit allows no more\n", pairs);
    }
    struct player *players = calloc((size_t)pairs * 2, sizeof *players);
    for (int i = 0; i < pairs; i++) {
        int s[2];
        if (!CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0))
            return 1;
        players[2 * i] = (struct player){s[0], 20, true};
        players[2 * i + 1] = (struct player){s[1], 20, false};
    }
    CHECK_EQ(sinew_map(play, players, sizeof *players, (size_t)pairs * 2, NULL), 0);
    for (int i = 0; i < 2 * pairs; i++)
        close(players[i].fd);
    free(players);
    return 0;
}

struct reader {
    int fds[2];
    atomic_int *waiting;
};

static intptr_t read_number(void *arg)
{
    struct reader *r = arg;
    int number = -1;
    atomic_fetch_add(r->waiting, 1);
    ssize_t n = sinew_read(r->fds[0], &number, sizeof number);
    return n == sizeof number ? number : n < 0 ? n : -EIO;
}

static void *write_numbers(void *arg)
{
    struct reader *readers = ((void **)arg)[0];
    int n = *(int *)((void **)arg)[1];
    /* An order that no queue has. */
    for (int i = 0; i < n; i++) {
        int k = (int)(((long)i * 7919) % n);
        if (write(readers[k].fds[1], &k, sizeof k) != sizeof k)
            check_failed(__FILE__, __LINE__, "write failed");
    }
    return NULL;
}

IN_RUNTIME(ten_thousand_readers_each_get_their_own_number)
{
    int n = (int)scaled(10000, 500), left = descriptors_left() / 2;
    if (n > left) {
        n = left;
        print_message("only %d readers: the descriptor limit allows no more\n", n);
    }
    if (n % 7919 == 0)
        n--;
    atomic_int waiting = 0;
    struct reader *readers = calloc((size_t)n, sizeof *readers);
    sinew_task **tasks = calloc((size_t)n, sizeof(sinew_task *));
    intptr_t *results = calloc((size_t)n, sizeof *results);
    for (int i = 0; i < n; i++) {
        readers[i].waiting = &waiting;
        if (!CHECK_EQ(pipe(readers[i].fds), 0))
            return 1;
        tasks[i] = sinew_spawn(read_number, &readers[i]);
    }
    yield_until(&waiting, n);
    sinew_sleep(SINEW_MS(5));
    pthread_t thread;
    void *args[2] = {readers, &n};
    pthread_create(&thread, NULL, write_numbers, args);
    CHECK_EQ(sinew_gather(tasks, (size_t)n, results), 0);
    pthread_join(thread, NULL);
    int wrong = 0;
    for (int i = 0; i < n; i++) {
        wrong += results[i] != i;
        close(readers[i].fds[0]);
        close(readers[i].fds[1]);
    }
    CHECK_EQ(wrong, 0);
    free(results);
    free(tasks);
    free(readers);
    return 0;
}

TEST_MAIN(cmocka_unit_test(a_thousand_pairs_play_ping_pong),
          cmocka_unit_test(ten_thousand_readers_each_get_their_own_number))
