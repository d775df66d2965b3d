/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a transfer of a file that has moved a part, and whose rest is to be made by a thread of the pool, reports that
 * part when it is cancelled in line or gets no thread: the position of the file has gone on, so nobody would find those
 * bytes again.
 * Method: preadv2 and pwritev2 of the test's own move half of what they are asked for without waiting, as for a file
 * that is in memory by halves. The pool has one thread, which is held. Cannot see: what a disk does.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/uio.h>

#include <tests/support/files.h>
#include <tests/support/holds.h>
#include <tests/support/run.h>

enum { LENGTH = 64 };

/* In place of the C library's. */
ssize_t preadv2(int fd, const struct iovec *parts, int count, off_t offset, int flags)
{
    struct iovec half = {parts->iov_base, flags & RWF_NOWAIT ? parts->iov_len / 2 : parts->iov_len};
    return count != 1 ? -1 : offset < 0 ? readv(fd, &half, 1) : preadv(fd, &half, 1, offset);
}

ssize_t pwritev2(int fd, const struct iovec *parts, int count, off_t offset, int flags)
{
    struct iovec half = {parts->iov_base, flags & RWF_NOWAIT ? parts->iov_len / 2 : parts->iov_len};
    return count != 1 ? -1 : offset < 0 ? writev(fd, &half, 1) : pwritev(fd, &half, 1, offset);
}

struct transfer {
    int fd;
    bool write;
    char data[LENGTH];
    ssize_t result;
    int next_checkpoint;
};

static intptr_t move(void *arg)
{
    struct transfer *t = arg;
    t->result = t->write ? sinew_write(t->fd, t->data, LENGTH) : sinew_read(t->fd, t->data, LENGTH);
    t->next_checkpoint = sinew_yield();
    return 0;
}

static intptr_t move_for_a_moment(void *arg)
{
    sinew_timeout moment;
    sinew_timeout_begin(&moment, SINEW_MS(1));
    move(arg);
    sinew_timeout_end(&moment);
    return 0;
}

/* Where half was moved before something ended the call, and what else was asked is still to come. */
static void expect_half(const struct transfer *t, int request)
{
    CHECK_EQ(t->result, LENGTH / 2);
    CHECK_EQ(t->next_checkpoint, request);
    CHECK_EQ(lseek(t->fd, 0, SEEK_CUR), LENGTH / 2);
}

static void transfer_in_line(bool write)
{
    struct transfer t = {.fd = temporary_file(O_CLOEXEC), .write = write};
    CHECK_EQ(pwrite(t.fd, t.data, LENGTH, 0), LENGTH);
    sinew_task *task = sinew_spawn(move, &t);
    sinew_stats stats;
    do
        CHECK_EQ(sinew_yield() | sinew_get_stats(&stats), 0);
    while (stats.blocking_queued == 0);
    CHECK(sinew_cancel(task));
    sinew_await(task);
    expect_half(&t, -ECANCELED);
    CHECK_EQ(lseek(t.fd, 0, SEEK_SET), 0);
    CHECK_EQ(sinew_await(sinew_spawn(move_for_a_moment, &t)), 0);
    expect_half(&t, -ETIMEDOUT);
    close(t.fd);
}

static intptr_t while_the_pool_is_full(void *arg)
{
    (void)arg;
    hold h;
    hold_init(&h, 0);
    sinew_task *holder = sinew_spawn(call_hold_wait, &h);
    while (atomic_load(&h.begun) == 0)
        sinew_yield();
    transfer_in_line(false);
    transfer_in_line(true);
    sem_post(&h.open);
    CHECK_EQ(sinew_await(holder), 0);
    return 0;
}

static intptr_t with_a_free_thread(void *arg)
{
    (void)arg;
    struct transfer t = {.fd = temporary_file(O_CLOEXEC)};
    CHECK_EQ(pwrite(t.fd, "contents", 8, LENGTH / 2), 8);
    CHECK_EQ(ftruncate(t.fd, LENGTH), 0);
    CHECK_EQ(move(&t), 0);
    CHECK_EQ(t.result, LENGTH);
    CHECK_EQ(memcmp(t.data + LENGTH / 2, "contents", 8), 0);
    close(t.fd);
    return 0;
}

static void run_with_one_thread(const char *name, sinew_fn body)
{
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        sinew_options opt = {.workers = worker_counts[i], .driver = SINEW_DRIVER_EPOLL, .blocking_threads = 1};
        watchdog_begin(name, worker_counts[i], (unsigned)scaled(50, 110));
        assert_int_equal(sinew_run_with(&opt, body, NULL), 0);
        watchdog_end();
        assert_int_equal(atomic_load(&check_failures), 0);
    }
}

static void what_was_moved_before_a_cancel_in_line_is_reported(void **state)
{
    (void)state;
    run_with_one_thread(__func__, while_the_pool_is_full);
}

static void a_thread_moves_the_rest(void **state)
{
    (void)state;
    run_with_one_thread(__func__, with_a_free_thread);
}

TEST_MAIN(cmocka_unit_test(a_thread_moves_the_rest),
          cmocka_unit_test(what_was_moved_before_a_cancel_in_line_is_reported))
