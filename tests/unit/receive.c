/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: sn_receive gives what arrives, in order, whether the driver has buffers left or not, on sockets and pipes, and
 * loses nothing when it is cancelled. Method: more receivers than there are buffers, which keep what they got. Cannot
 * see: that a waiting receiver holds no memory.
 */
#include "io/receive.h"
#include "io/buffers.h"

#include <unistd.h>

#include <tests/support/run.h>
#include <tests/support/sockets.h>
#include <tests/support/tasks.h>

enum { RECEIVERS = SN_BUFFERS_COUNT + 40 };

struct receiver {
    int pair[2];
    sn_received got;
    int bytes;
};

static atomic_int received;

static intptr_t receive(void *arg)
{
    struct receiver *r = arg;
    r->bytes = sn_receive(r->pair[0], &r->got);
    atomic_fetch_add(&received, 1);
    return r->bytes < 0 ? r->bytes : 0;
}

IN_RUNTIME(more_may_be_held_than_there_are_buffers)
{
    static struct receiver all[RECEIVERS];
    static sinew_task *tasks[RECEIVERS];
    for (int round = 0; round < 3; round++) {
        atomic_store(&received, 0);
        for (int i = 0; i < RECEIVERS; i++) {
            CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, all[i].pair), 0);
            tasks[i] = sinew_spawn(receive, &all[i]);
        }
        for (int i = 0; i < RECEIVERS; i++)
            CHECK_EQ(send(all[i].pair[1], &i, sizeof i, 0), (ssize_t)sizeof i);
        yield_until(&received, RECEIVERS);
        CHECK_EQ(sinew_gather(tasks, RECEIVERS, NULL), 0);
        for (int i = 0; i < RECEIVERS; i++) {
            CHECK_EQ(all[i].bytes, (int)sizeof i);
            CHECK_EQ(memcmp(all[i].got.data, &i, sizeof i), 0);
            sn_received_release(&all[i].got);
            close(all[i].pair[0]);
            close(all[i].pair[1]);
        }
    }
    return 0;
}

IN_RUNTIME(pipes_are_read_and_ends_are_told)
{
    int fds[2];
    sn_received r;
    CHECK_EQ(pipe2(fds, O_CLOEXEC), 0);
    CHECK_EQ(write(fds[1], "pipe", 4), 4);
    CHECK_EQ(sn_receive(fds[0], &r), 4);
    CHECK_EQ(memcmp(r.data, "pipe", 4), 0);
    sn_received_release(&r);
    close(fds[1]);
    CHECK_EQ(sn_receive(fds[0], &r), 0);
    close(fds[0]);
    CHECK_EQ(sn_receive(fds[0], &r), -EBADF);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    close(fds[1]);
    for (int i = 0; i < 2 * SN_BUFFERS_COUNT; i++) /* a buffer picked for nothing comes back */
        CHECK_EQ(sn_receive(fds[0], &r), 0);
    close(fds[0]);
    return 0;
}

static intptr_t send_late(void *arg)
{
    struct receiver *r = arg;
    return send(r->pair[1], "late", 4, 0) == 4 ? 0 : -EIO;
}

IN_RUNTIME(a_cancelled_receive_loses_nothing)
{
    for (int i = 0; i < (int)scaled(400, 50); i++) {
        struct receiver r = {.bytes = 0};
        CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, r.pair), 0);
        sinew_task *receiver = spawn_eager(receive, &r);
        sinew_task *sender = sinew_spawn(send_late, &r);
        if (i % 2)
            sinew_yield();
        sinew_cancel(receiver);
        CHECK_EQ(sinew_await(sender), 0);
        sinew_await(receiver);
        if (r.bytes == -ECANCELED)
            r.bytes = sn_receive(r.pair[0], &r.got);
        CHECK_EQ(r.bytes, 4);
        CHECK_EQ(memcmp(r.got.data, "late", 4), 0);
        sn_received_release(&r.got);
        close(r.pair[0]);
        close(r.pair[1]);
    }
    return 0;
}

TEST_MAIN(cmocka_unit_test(more_may_be_held_than_there_are_buffers), cmocka_unit_test(pipes_are_read_and_ends_are_told),
          cmocka_unit_test(a_cancelled_receive_loses_nothing))
