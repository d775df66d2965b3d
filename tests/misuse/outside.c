/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what is for tasks only says so when it is called outside of one, and nothing happens; a runtime is not started
 * inside a task.
 * Method: the calls from main before, during (from a plain thread) and after a run.
 * Cannot see: calls from a signal handler, which are not allowed at all.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <tests/support/run.h>
#include <tests/support/sockets.h>
#include <tests/support/tasks.h>

/* CHECKs, because it also runs in a plain thread beside a runtime. */
static void call_everything_without_a_task(sinew_task *task)
{
    CHECK(sinew_spawn(return_arg, NULL) == NULL);
    sinew_spawn_options opt = {.name = "none", .eager = true};
    CHECK(sinew_spawn_with(&opt, return_arg, NULL) == NULL);
    CHECK(sinew_spawn_with(NULL, return_arg, NULL) == NULL);
    if (task) {
        sinew_task *refs[1] = {task};
        /* The calls do nothing, so whether they use the reference up does not show: each gets one of its own. */
        CHECK_EQ(sinew_await(sinew_ref(task)), -EPERM);
        CHECK_EQ(sinew_shield(sinew_ref(task)), -EPERM);
        CHECK_EQ(sinew_wait_for(sinew_ref(task), 0), -EPERM);
        CHECK_EQ(sinew_wait(refs, 1, SINEW_ALL_COMPLETED, 0, NULL), -EPERM);
        sinew_as_completed it;
        CHECK_EQ(sinew_as_completed_begin(&it, refs, 1, 0), -EPERM);
        refs[0] = sinew_ref(task);
        CHECK_EQ(sinew_gather(refs, 1, NULL), -EPERM);
        refs[0] = sinew_ref(task);
        CHECK_EQ(sinew_gather_settled(refs, 1, NULL), -EPERM);
    }
    int number = 0;
    CHECK_EQ(sinew_map(return_arg, &number, 0, 1, NULL), -EPERM);
    CHECK_EQ(sinew_blocking(return_arg, &number), -EPERM);
    CHECK_EQ(sinew_blocking_wait(return_arg, &number), -EPERM);
    CHECK_EQ(sinew_cancelling(), -EPERM);
    CHECK_EQ(sinew_uncancel(), -EPERM);
    CHECK(sinew_self() == NULL);
    CHECK_EQ(sinew_workers(), 0);
    CHECK_EQ(sinew_worker_index(), UINT_MAX);
    CHECK_EQ(sinew_stack_trim(), -EPERM);
    sinew_stats stats;
    CHECK_EQ(sinew_get_stats(&stats), -EPERM);
    CHECK_EQ(sinew_sleep(SINEW_MS(1)), -EPERM);
    CHECK_EQ(sinew_sleep(0), -EPERM);
    CHECK_EQ(sinew_sleep_until(0), -EPERM);
    CHECK_EQ(sinew_yield(), -EPERM);
    sinew_timeout timeout;
    memset(&timeout, 0, sizeof timeout);
    sinew_timeout_begin(&timeout, SINEW_MS(1));
    CHECK(sinew_timeout_reset(&timeout, SINEW_MS(1)) < 0);
    sinew_timeout_end(&timeout);
    sinew_group group;
    memset(&group, 0, sizeof group);
    sinew_group_init(&group);
    CHECK(sinew_group_spawn(&group, return_arg, NULL) < 0);
    sinew_group_cancel(&group);
    CHECK(sinew_group_wait(&group) < 0);
    sinew_sem sem;
    sinew_sem_init(&sem, 0);
    CHECK_EQ(sinew_sem_wait(&sem), -EPERM);
    CHECK_EQ(sinew_sem_trywait(&sem), -EAGAIN);
    sinew_sem_post(&sem);
    CHECK_EQ(sinew_sem_trywait(&sem), 0);
    sinew_mutex mutex;
    sinew_mutex_init(&mutex);
    CHECK_EQ(sinew_mutex_trylock(&mutex), 0);
    CHECK_EQ(sinew_mutex_lock(&mutex), -EPERM);
    CHECK_EQ(sinew_mutex_unlock(&mutex), 0);
    CHECK_EQ(sinew_mutex_unlock(&mutex), -EPERM);
    sinew_case at_once = {.kind = SINEW_CASE_AFTER, .duration = 0};
    CHECK_EQ(sinew_select(&at_once, 1), -EPERM);
    /* Channels are for threads too. */
    sinew_channel *channel = sinew_channel_new(1, 1);
    char c = 'a';
    CHECK_EQ(sinew_channel_send(channel, &c), 0);
    CHECK_EQ(sinew_channel_try_send(channel, &c), -EAGAIN);
    CHECK_EQ(sinew_channel_recv(channel, &c), 0);
    CHECK_EQ(sinew_channel_close(channel), 0);
    CHECK_EQ(sinew_channel_recv(channel, &c), -EPIPE);
    sinew_channel_unref(channel);
    CHECK(sinew_now() > 0);
}

static void call_more_io_without_a_task(const int p[2])
{
    char c = 'c';
    int pair[2];
    off_t at = 0;
    struct iovec part = {&c, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    struct statx status;
    sinew_address address;
    sinew_dir *dir;
    CHECK_EQ(sinew_readv(p[0], &part, 1), -EPERM);
    CHECK_EQ(sinew_writev(p[1], &part, 1), -EPERM);
    CHECK_EQ(sinew_preadv(p[0], &part, 1, 0), -EPERM);
    CHECK_EQ(sinew_pwritev(p[1], &part, 1, 0), -EPERM);
    CHECK_EQ(sinew_splice(p[0], NULL, p[1], NULL, 1, 0), -EPERM);
    CHECK_EQ(sinew_pipe(pair, 0), -EPERM);
    CHECK_EQ(sinew_socketpair(AF_UNIX, SOCK_STREAM, 0, pair), -EPERM);
    CHECK_EQ(sinew_recvmsg(p[0], &message, 0), -EPERM);
    CHECK_EQ(sinew_sendmsg(p[1], &message, 0), -EPERM);
    CHECK_EQ(sinew_recvfrom(p[0], &c, 1, 0, NULL, NULL), -EPERM);
    CHECK_EQ(sinew_sendto(p[1], &c, 1, 0, NULL, 0), -EPERM);
    CHECK_EQ(sinew_send_zc(p[1], &c, 1, 0), -EPERM);
    CHECK_EQ(sinew_sendfile(p[1], p[0], &at, 1), -EPERM);
    CHECK_EQ(sinew_send_fd(p[1], p[0]), -EPERM);
    CHECK_EQ(sinew_recv_fd(p[0]), -EPERM);
    CHECK_EQ(sinew_fdatasync(p[0]), -EPERM);
    CHECK_EQ(sinew_ftruncate(p[0], 0), -EPERM);
    CHECK_EQ(sinew_fallocate(p[0], 0, 0, 1), -EPERM);
    CHECK_EQ(sinew_statx(AT_FDCWD, "/", 0, 0, &status), -EPERM);
    CHECK_EQ(sinew_renameat(AT_FDCWD, "/", AT_FDCWD, "/"), -EPERM);
    CHECK_EQ(sinew_unlinkat(AT_FDCWD, "/", 0), -EPERM);
    CHECK_EQ(sinew_mkdirat(AT_FDCWD, "/", 0), -EPERM);
    CHECK_EQ(sinew_linkat(AT_FDCWD, "/", AT_FDCWD, "/", 0), -EPERM);
    CHECK_EQ(sinew_symlinkat("/", AT_FDCWD, "/"), -EPERM);
    CHECK_EQ(sinew_opendir("/", &dir), -EPERM);
    CHECK_EQ(sinew_resolve("127.0.0.1", "1", NULL, &address, 1), -EPERM);
    CHECK_EQ(sinew_dial_with("127.0.0.1:1", NULL), -EPERM);
}

static void call_io_without_a_task(void)
{
    int p[2];
    char c = 'c';
    struct sockaddr_in address = {.sin_family = AF_INET};
    if (!CHECK_EQ(pipe(p), 0))
        return;
    CHECK_EQ(sinew_read(p[0], &c, 1), -EPERM);
    CHECK_EQ(sinew_write(p[1], &c, 1), -EPERM);
    CHECK_EQ(sinew_pread(p[0], &c, 1, 0), -EPERM);
    CHECK_EQ(sinew_pwrite(p[1], &c, 1, 0), -EPERM);
    CHECK_EQ(sinew_openat(AT_FDCWD, "/dev/null", O_RDONLY, 0), -EPERM);
    CHECK_EQ(sinew_fsync(p[0]), -EPERM);
    CHECK_EQ(sinew_poll(p[0], POLLIN), -EPERM);
    CHECK_EQ(sinew_socket(AF_INET, SOCK_STREAM, 0), -EPERM);
    CHECK_EQ(sinew_connect(p[0], (struct sockaddr *)&address, sizeof address), -EPERM);
    CHECK_EQ(sinew_accept(p[0], NULL, NULL, 0), -EPERM);
    CHECK_EQ(sinew_recv(p[0], &c, 1, 0), -EPERM);
    CHECK_EQ(sinew_send(p[1], &c, 1, 0), -EPERM);
    CHECK_EQ(sinew_shutdown(p[0], SHUT_RDWR), -EPERM);
    CHECK_EQ(sinew_send_all(p[1], &c, 1), -EPERM);
    CHECK_EQ(sinew_dial("127.0.0.1:1"), -EPERM);
    call_more_io_without_a_task(p);
    /* Not closed, and nothing was written. */
    CHECK_EQ(sinew_close(p[0]), -EPERM);
    CHECK(fcntl(p[0], F_GETFD) >= 0);
    CHECK_EQ(drain(p[0]), 0);
    close(p[0]);
    close(p[1]);
}

static intptr_t nothing(void *arg)
{
    (void)arg;
    return 0;
}

static void calls_outside_of_any_runtime_give_their_errors(void **state)
{
    (void)state;
    call_everything_without_a_task(NULL);
    call_io_without_a_task();
    assert_int_equal(run_workers(2, nothing, NULL), 0);
    call_everything_without_a_task(NULL);
    call_io_without_a_task();
    assert_int_equal(check_failures, 0);
}

struct beside {
    sinew_task *task;
    atomic_int over;
};

static void *call_from_thread(void *arg)
{
    struct beside *b = arg;
    call_everything_without_a_task(b->task);
    call_io_without_a_task();
    atomic_store(&b->over, 1);
    return NULL;
}

IN_RUNTIME(a225_calls_from_a_plain_thread_beside_a_runtime_give_their_errors)
{
    gate g;
    gate_init(&g, 9);
    struct beside b = {.task = sinew_spawn(gate_pass, &g)};
    pthread_t thread;
    if (!CHECK_EQ(pthread_create(&thread, NULL, call_from_thread, &b), 0))
        return 1;
    yield_until(&b.over, 1);
    pthread_join(thread, NULL);
    gate_open(&g, 1);
    CHECK_EQ(sinew_await(b.task), 9);
    CHECK_EQ(g.cancelled, 0);
    return 0;
}

static void calls_that_need_no_task_work_without(void **state)
{
    (void)state;
    assert_true(sinew_done(NULL));
    assert_string_equal(sinew_name(NULL), "(none)");
    assert_false(sinew_cancel(NULL));
    assert_null(sinew_ref(NULL));
    sinew_detach(NULL);
    sinew_time a = sinew_now(), b = sinew_now();
    assert_true(a > 0 && b >= a);
}

static intptr_t run_inside(void *arg)
{
    (void)arg;
    sinew_options opt = {.workers = 2};
    CHECK_EQ(sinew_run(nothing, NULL), -EDEADLK);
    CHECK_EQ(sinew_run_with(&opt, nothing, NULL), -EDEADLK);
    CHECK_EQ(sinew_run_with(NULL, nothing, NULL), -EDEADLK);
    CHECK_EQ(sinew_yield(), 0);
    return 4;
}

IN_RUNTIME(run_inside_a_task_gives_edeadlk_and_starts_nothing)
{
    CHECK_EQ(run_inside(NULL), 4);
    CHECK_EQ(sinew_await(sinew_spawn(run_inside, NULL)), 4);
    CHECK_EQ(sinew_await(spawn_eager(run_inside, NULL)), 4);
    return 0;
}

TEST_MAIN(cmocka_unit_test(calls_outside_of_any_runtime_give_their_errors),
          cmocka_unit_test(a225_calls_from_a_plain_thread_beside_a_runtime_give_their_errors),
          cmocka_unit_test(calls_that_need_no_task_work_without),
          cmocka_unit_test(run_inside_a_task_gives_edeadlk_and_starts_nothing))
