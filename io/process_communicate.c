/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Talking to a child: one task feeds it, one reads each of its outputs, all in a group, so a cancel of the caller ends
 * them and they have ended when the call returns. What they have done is kept with the process; a later call goes on
 * there.
 *
 * Feeding must not raise SIGPIPE in a worker's thread. A ring could not be told so for pipes before Linux 6.18. So our
 * end is made non-blocking while we feed, and each write is a plain one, with the signal held (sigpipe.h).
 */
#include "io/process.h"
#include "io/sigpipe.h"
#include "runtime/worker.h"

#include <sinew/errno.h>
#include <sinew/group.h>
#include <sinew/io.h>

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

enum { READ_FIRST = 4096 };

/* --- feeding ----------------------------------------------------------------------------------------------------- */

static ssize_t write_without_signal(int fd, const void *data, size_t length)
{
    sn_sigpipe_held held;
    sn_sigpipe_hold(&held);
    ssize_t n = write(fd, data, length);
    n = n < 0 ? -errno : n;
    sn_sigpipe_let_go(&held);
    return n;
}

typedef struct feed {
    sinew_process *process;
    const char *input;
    size_t length;
} feed;

static ssize_t feed_all(sinew_process *p, int fd, const feed *f)
{
    while (p->fed < f->length) {
        ssize_t n = write_without_signal(fd, f->input + p->fed, f->length - p->fed);
        if (n == -EAGAIN)
            n = sinew_poll(fd, POLLOUT);
        else if (n > 0)
            p->fed += (size_t)n;
        if (n < 0 && n != -EINTR)
            return n;
    }
    return 0;
}

static intptr_t feed_child(void *arg)
{
    const feed *f = arg;
    sinew_process *p = f->process;
    int fd = sinew_process_stdin(p);
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    ssize_t r = feed_all(p, fd, f);
    if (r == -EPIPE) { /* the child does not want more */
        p->fed = SIZE_MAX;
        r = 0;
    }
    if (r == 0) {
        fd = sinew_process_take(p, STDIN_FILENO);
        if (fd >= 0)
            close(fd);
        return 0;
    }
    fcntl(fd, F_SETFL, flags);
    return r;
}

/* --- reading ----------------------------------------------------------------------------------------------------- */

/* Room for at least one byte and the zero byte at the end. */
static int make_room(sn_process_read *o)
{
    if (o->capacity - o->length > 1)
        return 0;
    size_t capacity = o->capacity ? 2 * o->capacity : READ_FIRST;
    char *data = realloc(o->data, capacity);
    if (!data)
        return -ENOMEM;
    o->data = data;
    o->capacity = capacity;
    return 0;
}

static intptr_t read_all(sinew_process *p, int which, sn_process_read *o)
{
    int fd = which == STDOUT_FILENO ? sinew_process_stdout(p) : sinew_process_stderr(p);
    for (;;) {
        if (p->output_max && o->length > p->output_max)
            return -EMSGSIZE;
        int r = make_room(o);
        if (r != 0)
            return r;
        ssize_t n = sinew_read(fd, o->data + o->length, o->capacity - o->length - 1);
        if (n == -EAGAIN) /* the program has made it non-blocking */
            n = sinew_poll(fd, POLLIN);
        else if (n > 0)
            o->length += (size_t)n;
        else if (n == 0)
            break;
        if (n < 0 && n != -EINTR)
            return n;
    }
    o->data[o->length] = '\0';
    fd = sinew_process_take(p, which);
    if (fd >= 0)
        close(fd);
    return 0;
}

static intptr_t read_out(void *arg)
{
    sinew_process *p = arg;
    return read_all(p, STDOUT_FILENO, &p->read[0]);
}

static intptr_t read_err(void *arg)
{
    sinew_process *p = arg;
    return read_all(p, STDERR_FILENO, &p->read[1]);
}

/* --- the call ---------------------------------------------------------------------------------------------------- */

static int transfer(feed *f)
{
    sinew_process *p = f->process;
    sinew_group g;
    int r = 0;
    sinew_group_init(&g);
    if (sinew_process_stdin(p) >= 0)
        r = sinew_group_spawn(&g, feed_child, f);
    if (r == 0 && sinew_process_stdout(p) >= 0)
        r = sinew_group_spawn(&g, read_out, p);
    if (r == 0 && sinew_process_stderr(p) >= 0)
        r = sinew_group_spawn(&g, read_err, p);
    if (r != 0)
        sinew_group_cancel(&g);
    int failed = sinew_group_wait(&g); /* the group refuses a child when one has failed already */
    return failed != 0 ? failed : r;
}

static int communicate(feed *f, sinew_process_output *result)
{
    sinew_process *p = f->process;
    int returncode;
    int r = transfer(f);
    if (r == 0)
        r = sinew_process_wait(p, &returncode);
    if (r != 0)
        return r;
    *result = (sinew_process_output){.out = p->read[0].data,
                                     .out_length = p->read[0].length,
                                     .err = p->read[1].data,
                                     .err_length = p->read[1].length,
                                     .returncode = returncode};
    for (int i = 0; i < 2; i++)
        p->read[i] = (sn_process_read){.data = NULL};
    return 0;
}

int sinew_process_communicate(sinew_process *p, const void *input, size_t length, sinew_process_output *result)
{
    if (!result)
        return -EINVAL;
    *result = (sinew_process_output){.out = NULL};
    if (!p || (length && !input))
        return -EINVAL;
    if (!sn_worker_of_task())
        return -EPERM;
    if (sn_exchange(&p->communicating, 1, acquire)) /* partner: the release below */
        return -EBUSY;
    int r = -EINVAL;
    if (length <= p->fed || sinew_process_stdin(p) >= 0) {
        feed f = {.process = p, .input = input, .length = length};
        sn_process_ref(p);
        r = communicate(&f, result);
        sn_store(&p->communicating, 0, release);
        sn_process_unref(p);
        return r;
    }
    sn_store(&p->communicating, 0, release);
    return r;
}
