/* SPDX-License-Identifier: Apache-2.0 */
#include "connection.h"

#include "client.h"
#include "request.h"
#include "response.h"
#include "secure.h"
#include "settings.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/socket.h>

/* Too large for a task's stack, and nothing is allocated for a request. Pages that are never written, like most of the
 * output of a client that fetches small files, cost nothing. A client that says nothing for a while has none: so it is
 * mapped, since what is given back to malloc among others would stay with the process. */
typedef struct connection {
    client client;
    request request;
    unsigned long answered;
    bool quiet; /* it was given up because the client says nothing */
    bool lost;  /* it was given up in the middle: nothing more is to be sent */
    char input[8192];
} connection;

/* Answers and gives up on this client, who may still be sending. */
static void refuse(connection *c, int status)
{
    if (respond_with_error(&c->client, &c->request, status, false) == 0 && client_flush(&c->client) == 0)
        client_linger(&c->client);
    else
        c->lost = true;
}

/* A request cannot be completed or answered. If the server is stopping, that is reported. */
static void give_up(connection *c)
{
    c->lost = true;
    if (c->client.stopping)
        atomic_fetch_add_explicit(&counters.cut, 1, memory_order_relaxed);
}

/* Waits for input. False: there will be none. A client that stays away between requests is not told why. */
static bool receive(connection *c, size_t *len)
{
    bool between = c->request.part == BETWEEN_REQUESTS;
    ssize_t n = client_recv(&c->client, c->input, sizeof c->input, between);
    if (n > 0) {
        *len = (size_t)n;
        return true;
    }
    c->quiet = n == -ETIMEDOUT && between && c->client.brief && !c->client.stopping;
    if (c->quiet)
        return false;
    if (n == -ETIMEDOUT && !c->client.stopping && (!between || c->answered == 0)) {
        client_extend(&c->client, SINEW_S(1)); /* the line fits into the socket's buffer, or nobody reads */
        refuse(c, 408);
    } else if (n < 0 && !between) {
        give_up(c);
    }
    return false;
}

/* Reads requests and answers them until one side is done with the other. */
static void converse(connection *c)
{
    size_t begin = 0, end = 0; /* what has been received and not yet been looked at */
    bool is_new = true;        /* nothing of the current request had come before this input */
    for (;;) {
        size_t used;
        request_event event = request_feed(&c->request, c->input + begin, end - begin, &used);
        begin += used;
        switch (event) {
        case REQUEST_PARTIAL:
            /* All that could be answered has been: send it, in one piece, before waiting for more. */
            if (client_flush(&c->client) < 0) {
                give_up(c);
                return;
            }
            if (is_new && c->request.part != BETWEEN_REQUESTS)
                client_restart(&c->client);
            is_new = c->request.part == BETWEEN_REQUESTS;
            if (!receive(c, &end))
                return;
            begin = 0;
            break;
        case REQUEST_CONTINUE: {
            static const char line[] = "HTTP/1.1 100 Continue\r\n\r\n";
            if (client_write(&c->client, line, sizeof line - 1) < 0) {
                give_up(c);
                return;
            }
            break;
        }
        case REQUEST_COMPLETE: {
            bool keep_alive = c->request.keep_alive && !c->client.stopping;
            int error = respond(&c->client, &c->request, keep_alive);
            if (error == 0 && (!keep_alive || c->client.stopping))
                error = client_flush(&c->client);
            if (error < 0) {
                give_up(c);
                return;
            }
            c->answered++;
            is_new = true;
            if (!keep_alive || c->client.stopping) {
                if (begin < end)
                    client_linger(&c->client);
                return;
            }
            break;
        }
        case REQUEST_INVALID:
            refuse(c, c->request.status);
            return;
        }
    }
}

/* What is known of a connection beside what attend needs while it runs. */
typedef struct course {
    unsigned long answered;
    bool lost;
    sinew_time until; /* the server stops: the end of the grace time; otherwise 0 */
} course;

/* Until the client is done, or says nothing. Returns whether it may say something later. */
static bool attend(int fd, sinew_stream *stream, course *known)
{
    connection *c = mmap(NULL, sizeof *c, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (c == MAP_FAILED)
        return false;
    client_begin(&c->client, fd, stream);
    request_init(&c->request);
    c->answered = known->answered;
    converse(c);
    client_end(&c->client);
    *known = (course){.answered = c->answered, .lost = c->lost, .until = c->client.until};
    bool quiet = c->quiet;
    munmap(c, sizeof *c);
    return quiet;
}

/* A client that has not asked for anything in all that time is told so, if that goes at once. */
static void say_timeout(int fd, sinew_stream *stream)
{
    static const char answer[] = "HTTP/1.1 408 Request Timeout\r\nServer: sinew\r\nContent-Length: 0\r\n"
                                 "Connection: close\r\n\r\n";
    if (stream)
        (void)sinew_stream_write(stream, answer, sizeof answer - 1);
    else
        (void)sinew_send(fd, answer, sizeof answer - 1, MSG_DONTWAIT);
}

/* What is still buffered goes out, as the kernel sees to it for a plain socket: the client has settings.timeout to take
 * some of it, again and again, or what is left of the grace time. 0, or an error: the rest is of no use. */
static int send_rest(sinew_stream *stream, sinew_time *until)
{
    for (size_t left = sinew_stream_unsent(stream);;) {
        sinew_timeout scope;
        sinew_timeout_begin_at(&scope, *until ? *until : sinew_now() + settings.timeout);
        int r = sinew_stream_flush(stream);
        (void)sinew_timeout_end(&scope); /* then r says so */
        size_t before = left;
        left = sinew_stream_unsent(stream);
        if (r == -ECANCELED && !*until)
            *until = sinew_now() + settings.grace;
        else if (r != -ETIMEDOUT || *until || left >= before)
            return r;
    }
}

/* The client is told the end, and has a moment to agree. Who does not still gets what the kernel has. */
static void wait_for_end(sinew_stream *stream, sinew_time *until)
{
    sinew_stream_close(stream);
    for (;;) {
        sinew_timeout scope;
        sinew_timeout_begin_at(&scope, *until ? *until : sinew_now() + settings.timeout);
        int r = sinew_stream_wait_closed(stream);
        (void)sinew_timeout_end(&scope);
        if (r != -ECANCELED || *until)
            return;
        *until = sinew_now() + settings.grace;
    }
}

static void end_stream(sinew_stream *stream, course *known)
{
    if (known->lost) {
        sinew_stream_abort(stream);
    } else if (send_rest(stream, &known->until) < 0) {
        if (known->until)
            atomic_fetch_add_explicit(&counters.cut, 1, memory_order_relaxed);
        sinew_stream_abort(stream);
    } else {
        wait_for_end(stream, &known->until);
    }
    sinew_stream_unref(stream);
}

intptr_t serve_connection(void *arg)
{
    int fd = (int)(intptr_t)arg, ready = 1;
    sinew_stream *stream = NULL;
    course known = {0};
    if (secure_wanted() && !(stream = secure_accept(fd)))
        return 0;
    while (ready > 0 && attend(fd, stream, &known)) {
        (void)sinew_stack_trim();
        ready = client_wait(fd, stream);
        if (ready == -ECANCELED)
            known.until = sinew_now() + settings.grace;
    }
    if (ready == -ETIMEDOUT && known.answered == 0)
        say_timeout(fd, stream);
    atomic_fetch_add_explicit(&counters.requests, known.answered, memory_order_relaxed);
    if (stream)
        end_stream(stream, &known);
    else
        sinew_close(fd);
    return 0;
}
