/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a task that computes holds nobody's I/O. Other workers take what has finished on the driver of the worker it
 * sits on, also what the kernel had not even been told when it began to compute, and cancel what is to be cancelled.
 * Method: victims are begun by the task itself, so that their operations lie with its worker; then it spins until all
 * of them have gone on; or until ten seconds have passed, and then the test has failed. Cannot see: how late they were
 * (bench/ measures that).
 */
#include <errno.h>

#include <tests/support/run.h>
#include <tests/support/sockets.h>
#include <tests/support/tasks.h>

enum { VICTIMS = 8 };

struct scene {
    atomic_int left;
    int pairs[VICTIMS][2];
    sinew_task *tasks[VICTIMS];
};

static struct victim {
    struct scene *scene;
    int index;
} victims[VICTIMS];

static void begin(struct scene *s, sinew_fn fn)
{
    atomic_store(&s->left, VICTIMS);
    for (int i = 0; i < VICTIMS; i++) {
        CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s->pairs[i]), 0);
        victims[i] = (struct victim){s, i};
        s->tasks[i] = spawn_eager(fn, &victims[i]);
        CHECK(s->tasks[i] != NULL);
    }
}

static void compute(struct scene *s)
{
    sinew_time end = sinew_now() + SINEW_S(10);
    while (atomic_load(&s->left) > 0 && sinew_now() < end)
        ;
    CHECK_EQ(s->left, 0);
}

static void finish(struct scene *s)
{
    CHECK_EQ(sinew_gather(s->tasks, VICTIMS, NULL), 0);
    for (int i = 0; i < VICTIMS; i++) {
        close(s->pairs[i][0]);
        close(s->pairs[i][1]);
    }
}

static void send_all(struct scene *s)
{
    for (int i = 0; i < VICTIMS; i++)
        CHECK_EQ(send(s->pairs[i][1], "x", 1, 0), 1);
}

static intptr_t receive(void *arg)
{
    struct victim *v = arg;
    char byte;
    if (sinew_recv(v->scene->pairs[v->index][0], &byte, 1, 0) != 1)
        return -EIO;
    atomic_fetch_sub(&v->scene->left, 1);
    return 0;
}

IN_RUNTIME_WITH(what_had_not_been_submitted_completes_beside_a_computing_task, 2, 8)
{
    struct scene s;
    begin(&s, receive);
    send_all(&s);
    compute(&s);
    finish(&s);
    return 0;
}

IN_RUNTIME_WITH(what_is_in_flight_completes_beside_a_computing_task, 2, 8)
{
    struct scene s;
    begin(&s, receive);
    CHECK_EQ(sinew_sleep(SINEW_MS(5)), 0);
    send_all(&s);
    compute(&s);
    finish(&s);
    return 0;
}

/* The second receive of each lies with whoever took the first one's completion, or with the computing worker. */
static intptr_t receive_again(void *arg)
{
    struct victim *v = arg;
    char byte;
    for (int i = 0; i < 100; i++) {
        if (sinew_recv(v->scene->pairs[v->index][0], &byte, 1, 0) != 1)
            return -EIO;
        if (send(v->scene->pairs[v->index][0], "y", 1, 0) != 1)
            return -EIO;
    }
    atomic_fetch_sub(&v->scene->left, 1);
    return 0;
}

IN_RUNTIME_WITH(conversations_go_on_beside_a_computing_task, 2, 8)
{
    struct scene s;
    begin(&s, receive_again);
    send_all(&s);
    sinew_time end = sinew_now() + SINEW_S(10);
    while (atomic_load(&s.left) > 0 && sinew_now() < end)
        for (int i = 0; i < VICTIMS; i++) {
            char byte;
            if (recv(s.pairs[i][1], &byte, 1, MSG_DONTWAIT) == 1)
                CHECK_EQ(send(s.pairs[i][1], "x", 1, 0), 1);
        }
    CHECK_EQ(s.left, 0);
    finish(&s);
    return 0;
}

static intptr_t time_out(void *arg)
{
    struct victim *v = arg;
    char byte;
    sinew_timeout scope;
    sinew_timeout_begin(&scope, SINEW_MS(5));
    ssize_t n = sinew_recv(v->scene->pairs[v->index][0], &byte, 1, 0);
    if (sinew_timeout_end(&scope) != -ETIMEDOUT || n != -ETIMEDOUT)
        return -EIO;
    atomic_fetch_sub(&v->scene->left, 1);
    return 0;
}

IN_RUNTIME_WITH(operations_time_out_beside_a_computing_task, 2, 8)
{
    struct scene s;
    begin(&s, time_out);
    compute(&s);
    finish(&s);
    begin(&s, time_out);
    CHECK_EQ(sinew_sleep(SINEW_MS(2)), 0);
    compute(&s);
    finish(&s);
    return 0;
}

static intptr_t be_cancelled(void *arg)
{
    struct victim *v = arg;
    char byte;
    if (sinew_recv(v->scene->pairs[v->index][0], &byte, 1, 0) != -ECANCELED)
        return -EIO;
    atomic_fetch_sub(&v->scene->left, 1);
    return 0;
}

IN_RUNTIME_WITH(operations_are_cancelled_beside_a_computing_task, 2, 8)
{
    struct scene s;
    begin(&s, be_cancelled);
    CHECK_EQ(sinew_sleep(SINEW_MS(2)), 0);
    for (int i = 0; i < VICTIMS; i++)
        CHECK(sinew_cancel(s.tasks[i]));
    compute(&s);
    finish(&s);
    return 0;
}

/* Not idle: a worker that looks around because it always has something to do. */
static intptr_t keep_yielding(void *arg)
{
    struct scene *s = arg;
    while (atomic_load(&s->left) > 0)
        sinew_yield();
    return 0;
}

IN_RUNTIME_WITH(a_busy_worker_takes_them_too, 2)
{
    struct scene s;
    begin(&s, receive);
    sinew_task *other = sinew_spawn(keep_yielding, &s);
    CHECK_EQ(sinew_sleep(SINEW_MS(5)), 0);
    send_all(&s);
    compute(&s);
    CHECK_EQ(sinew_await(other), 0);
    finish(&s);
    return 0;
}

TEST_MAIN(cmocka_unit_test(what_had_not_been_submitted_completes_beside_a_computing_task),
          cmocka_unit_test(what_is_in_flight_completes_beside_a_computing_task),
          cmocka_unit_test(conversations_go_on_beside_a_computing_task),
          cmocka_unit_test(operations_time_out_beside_a_computing_task),
          cmocka_unit_test(operations_are_cancelled_beside_a_computing_task),
          cmocka_unit_test(a_busy_worker_takes_them_too))
