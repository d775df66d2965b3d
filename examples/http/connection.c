/* SPDX-License-Identifier: Apache-2.0 */
#include "connection.h"

#include "client.h"
#include "request.h"
#include "response.h"
#include "settings.h"

#include <errno.h>
#include <stdlib.h>

/* Allocated once for each connection: too large for a task's stack, and nothing is allocated for a request. Pages that
 * are never written, like most of the output of a client that fetches small files, cost nothing. */
typedef struct connection {
    client client;
    request request;
    unsigned long answered;
    char input[8192];
} connection;

/* Answers and gives up on this client, who may still be sending. */
static void refuse(connection *c, int status)
{
    if (respond_with_error(&c->client, &c->request, status, false) == 0 && client_flush(&c->client) == 0)
        client_linger(&c->client);
}

/* A request cannot be completed or answered. If the server is stopping, that is reported. */
static void give_up(connection *c)
{
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
            if (client_write(&c->client, line, sizeof line - 1) < 0)
                return;
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

intptr_t serve_connection(void *arg)
{
    int fd = (int)(intptr_t)arg;
    connection *c = malloc(sizeof *c);
    if (c) {
        client_begin(&c->client, fd);
        request_init(&c->request);
        c->answered = 0;
        converse(c);
        client_end(&c->client);
        atomic_fetch_add_explicit(&counters.requests, c->answered, memory_order_relaxed);
        free(c);
    }
    sinew_close(fd);
    return 0;
}
