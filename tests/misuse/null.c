/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: NULL where a pointer belongs gives the documented answer; where none is documented, an error or a message,
 * never a bare crash.
 * Method: documented answers in one task; the others in forked children that must return or abort with a message.
 * Cannot see: pointers that are wrong but not NULL.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <tests/support/child.h>
#include <tests/support/run.h>
#include <tests/support/sockets.h>
#include <tests/support/tasks.h>

IN_RUNTIME(documented_answers_to_null)
{
    sinew_task *none[2] = {NULL, NULL};
    intptr_t results[2] = {1, 1};
    sinew_group group = {{0}};
    CHECK(sinew_spawn(NULL, NULL) == NULL);
    CHECK(sinew_spawn_with(NULL, NULL, NULL) == NULL);
    CHECK_EQ(sinew_await(NULL), -EINVAL);
    CHECK_EQ(sinew_await(sinew_spawn(NULL, NULL)), -EINVAL);
    CHECK_EQ(sinew_shield(NULL), -EINVAL);
    CHECK_EQ(sinew_wait_for(NULL, SINEW_MS(1)), -EINVAL);
    CHECK(sinew_ref(NULL) == NULL);
    sinew_detach(NULL);
    CHECK_EQ(sinew_gather(none, 2, results), -EINVAL);
    CHECK_EQ(sinew_gather_settled(none, 2, results), 0);
    CHECK_EQ(results[0], -EINVAL);
    CHECK_EQ(results[1], -EINVAL);
    CHECK_EQ(sinew_map(NULL, NULL, 0, 1, NULL), -EINVAL);
    CHECK_EQ(sinew_wait(none, 1, SINEW_ALL_COMPLETED, 0, NULL), -EINVAL);
    CHECK(!sinew_cancel(NULL));
    CHECK(sinew_done(NULL));
    CHECK_EQ(strcmp(sinew_name(NULL), "(none)"), 0);
    CHECK_EQ(sinew_group_spawn(NULL, return_arg, NULL), -EINVAL);
    CHECK_EQ(sinew_group_spawn(&group, return_arg, NULL), -EINVAL);
    CHECK_EQ(sinew_group_wait(NULL), -EINVAL);
    CHECK_EQ(sinew_get_stats(NULL), -EINVAL);
    CHECK_EQ(sinew_channel_send(NULL, "a"), -EINVAL);
    CHECK_EQ(sinew_channel_recv(NULL, results), -EINVAL);
    CHECK_EQ(sinew_channel_try_send(NULL, "a"), -EINVAL);
    CHECK_EQ(sinew_channel_try_recv(NULL, results), -EINVAL);
    CHECK_EQ(sinew_channel_close(NULL), -EINVAL);
    CHECK(sinew_channel_ref(NULL) == NULL);
    sinew_channel_unref(NULL);
    CHECK_EQ(sinew_channel_length(NULL) + sinew_channel_capacity(NULL), 0);
    CHECK(sinew_channel_closed(NULL));
    sinew_channel *channel = sinew_channel_new(1, 1);
    CHECK_EQ(sinew_channel_send(channel, NULL), -EINVAL);
    CHECK_EQ(sinew_channel_recv(channel, NULL), -EINVAL);
    CHECK_EQ(sinew_channel_try_send(channel, NULL), -EINVAL);
    CHECK_EQ(sinew_channel_try_recv(channel, NULL), -EINVAL);
    sinew_channel_unref(channel);
    CHECK_EQ(sinew_select(NULL, 1), -EINVAL);
    CHECK_EQ(sinew_blocking(NULL, NULL), -EINVAL);
    CHECK_EQ(sinew_blocking_wait(NULL, NULL), -EINVAL);
    CHECK_EQ(sinew_listen(NULL, NULL), -EINVAL);
    CHECK_EQ(sinew_dial(NULL), -EINVAL);
    /* Nothing of it disturbs the task. */
    CHECK_EQ(sinew_await(sinew_spawn_with(NULL, return_arg, (void *)2)), 2);
    sinew_spawn_options opt = {0};
    CHECK_EQ(sinew_await(sinew_spawn_with(&opt, return_arg, (void *)3)), 3);
    return 0;
}

IN_RUNTIME(null_buffers_are_the_kernels_business)
{
    int p[2], s[2];
    if (!CHECK(pipe(p) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0))
        return 1;
    CHECK_EQ(write(p[1], "ab", 2), 2);
    CHECK_EQ(write(s[1], "ab", 2), 2);
    CHECK_EQ(sinew_read(p[0], NULL, 1), -EFAULT);
    CHECK_EQ(sinew_write(p[1], NULL, 1), -EFAULT);
    CHECK_EQ(sinew_recv(s[0], NULL, 1, 0), -EFAULT);
    CHECK_EQ(sinew_send(s[0], NULL, 1, 0), -EFAULT);
    CHECK_EQ(sinew_send_all(s[0], NULL, 1), -EFAULT);
    CHECK_EQ(sinew_send_all(s[0], NULL, 0), 0);
    CHECK_EQ(sinew_openat(AT_FDCWD, NULL, O_RDONLY, 0), -EFAULT);
    int fd = sinew_socket(AF_INET, SOCK_STREAM, 0);
    int r = sinew_connect(fd, NULL, sizeof(struct sockaddr_in));
    CHECK(r == -EFAULT || r == -EINVAL);
    CHECK_EQ(drain(p[0]), 2);
    CHECK_EQ(drain(s[0]), 2);
    close(fd);
    for (int i = 0; i < 2; i++) {
        close(p[i]);
        close(s[i]);
    }
    return 0;
}

static intptr_t null_sem_init(void *arg)
{
    (void)arg;
    sinew_sem_init(NULL, 1);
    return 0;
}

static intptr_t null_sem_wait(void *arg)
{
    (void)arg;
    return sinew_sem_wait(NULL);
}

static intptr_t null_sem_trywait(void *arg)
{
    (void)arg;
    return sinew_sem_trywait(NULL);
}

static intptr_t null_sem_post(void *arg)
{
    (void)arg;
    sinew_sem_post(NULL);
    return 0;
}

static intptr_t null_mutex_init(void *arg)
{
    (void)arg;
    sinew_mutex_init(NULL);
    return 0;
}

static intptr_t null_mutex_lock(void *arg)
{
    (void)arg;
    return sinew_mutex_lock(NULL);
}

static intptr_t null_mutex_trylock(void *arg)
{
    (void)arg;
    return sinew_mutex_trylock(NULL);
}

static intptr_t null_mutex_unlock(void *arg)
{
    (void)arg;
    return sinew_mutex_unlock(NULL);
}

static intptr_t null_timeout_begin(void *arg)
{
    (void)arg;
    sinew_timeout_begin(NULL, SINEW_MS(1));
    return 0;
}

static intptr_t null_timeout_reset(void *arg)
{
    (void)arg;
    return sinew_timeout_reset(NULL, SINEW_MS(1));
}

static intptr_t null_timeout_end(void *arg)
{
    (void)arg;
    return sinew_timeout_end(NULL);
}

static intptr_t null_timeout_begin_at(void *arg)
{
    (void)arg;
    sinew_timeout_begin_at(NULL, SINEW_MS(1));
    return 0;
}

static intptr_t null_timeout_expired(void *arg)
{
    (void)arg;
    return sinew_timeout_expired(NULL) || sinew_timeout_when(NULL) != SINEW_FOREVER;
}

static intptr_t null_group_init(void *arg)
{
    (void)arg;
    sinew_group_init(NULL);
    return 0;
}

static intptr_t null_group_cancel(void *arg)
{
    (void)arg;
    sinew_group_cancel(NULL);
    return 0;
}

static intptr_t null_gather_array(void *arg)
{
    (void)arg;
    return sinew_gather(NULL, 3, NULL);
}

static intptr_t null_settled_array(void *arg)
{
    (void)arg;
    return sinew_gather_settled(NULL, 3, NULL);
}

static intptr_t null_wait_array(void *arg)
{
    (void)arg;
    return sinew_wait(NULL, 3, SINEW_ALL_COMPLETED, 0, NULL);
}

static const struct {
    const char *what;
    sinew_fn fn;
} undocumented[] = {
    {"sinew_sem_init", null_sem_init},
    {"sinew_sem_wait", null_sem_wait},
    {"sinew_sem_trywait", null_sem_trywait},
    {"sinew_sem_post", null_sem_post},
    {"sinew_mutex_init", null_mutex_init},
    {"sinew_mutex_lock", null_mutex_lock},
    {"sinew_mutex_trylock", null_mutex_trylock},
    {"sinew_mutex_unlock", null_mutex_unlock},
    {"sinew_timeout_begin", null_timeout_begin},
    {"sinew_timeout_reset", null_timeout_reset},
    {"sinew_timeout_end", null_timeout_end},
    {"sinew_timeout_begin_at", null_timeout_begin_at},
    {"sinew_timeout_expired, _when", null_timeout_expired},
    {"sinew_group_init", null_group_init},
    {"sinew_group_cancel", null_group_cancel},
    {"sinew_gather, array", null_gather_array},
    {"sinew_gather_settled, array", null_settled_array},
    {"sinew_wait, array", null_wait_array},
};

static int run_undocumented(void *arg)
{
    sinew_fn *fn = arg;
    run_workers(2, *fn, NULL);
    return 0;
}

static void null_anywhere_else_returns_or_stops_with_a_message(void **state)
{
    (void)state;
    int crashes = 0;
    for (size_t i = 0; i < sizeof undocumented / sizeof undocumented[0]; i++) {
        sinew_fn fn = undocumented[i].fn;
        child_end end;
        assert_true(run_child(run_undocumented, &fn, &end));
        bool returned = end.code == 0, told = end.signal == SIGABRT && strstr(end.err, "sinew");
        if (!returned && !told) {
            fprintf(stderr, "%s with NULL: code %d, signal %d, stderr: %s\n", undocumented[i].what, end.code,
                    end.signal, end.err);
            crashes++;
        }
    }
    assert_int_equal(crashes, 0);
}

TEST_MAIN(cmocka_unit_test(documented_answers_to_null), cmocka_unit_test(null_buffers_are_the_kernels_business),
          cmocka_unit_test(null_anywhere_else_returns_or_stops_with_a_message))
