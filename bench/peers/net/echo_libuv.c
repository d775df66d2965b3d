/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The echo server on libuv: a loop for each worker, one thread each.
 *
 *     echo_libuv ADDRESS:PORT [--workers N] [--burn ROUNDS]
 *
 * Chosen as libuv's users advise: uv_try_write first, which writes at once and allocates nothing, and a write request
 * only for what did not fit; reading stops until that is out. A connection reads into a buffer of its own. libuv gives
 * no connection to another loop, so a thread that does nothing else accepts and deals descriptors out in turn, as
 * echo_epoll does; uv_async_send wakes the loop that gets one.
 */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

enum { buffer_bytes = 4096, workers_max = 64, dealt_max = 65536 };

typedef struct connection {
    uv_tcp_t tcp;
    uv_write_t write;
    size_t held; /* bytes of the buffer that wait to be written */
    char buffer[buffer_bytes];
} connection;

/* A loop, and the descriptors that it has not taken over yet. */
typedef struct worker {
    uv_loop_t loop;
    uv_async_t wake;
    uv_mutex_t lock;
    unsigned count;
    int dealt[dealt_max];
} worker;

static server_options options;
static worker workers[workers_max];

static void check(int status, const char *what)
{
    if (status < 0) {
        fprintf(stderr, "%s: %s\n", what, uv_strerror(status));
        exit(1);
    }
}

static void free_connection(uv_handle_t *handle)
{
    free(handle->data);
}

static void over(connection *c)
{
    uv_close((uv_handle_t *)&c->tcp, free_connection);
}

static void give_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    (void)suggested;
    connection *c = handle->data;
    *out = uv_buf_init(c->buffer, buffer_bytes);
}

static void echo(uv_stream_t *stream, ssize_t received, const uv_buf_t *buf);

static void rest_written(uv_write_t *request, int status)
{
    connection *c = request->data;
    if (status < 0 || uv_read_start((uv_stream_t *)&c->tcp, give_buffer, echo) < 0)
        over(c);
}

static void echo(uv_stream_t *stream, ssize_t received, const uv_buf_t *buf)
{
    connection *c = stream->data;
    if (received < 0) {
        over(c);
        return;
    }
    if (received == 0) /* EAGAIN */
        return;
    if (options.burn > 0)
        burn(options.burn * (unsigned char)buf->base[0]);
    uv_buf_t out = uv_buf_init(buf->base, (unsigned)received);
    int sent = uv_try_write(stream, &out, 1);
    if (sent == received)
        return;
    if (sent < 0 && sent != UV_EAGAIN) {
        over(c);
        return;
    }
    if (sent > 0) {
        out.base += sent;
        out.len -= (size_t)sent;
    }
    uv_read_stop(stream);
    c->write.data = c;
    if (uv_write(&c->write, stream, &out, 1, rest_written) < 0)
        over(c);
}

static void take_over(uv_async_t *wake)
{
    worker *w = wake->data;
    for (;;) {
        uv_mutex_lock(&w->lock);
        int fd = w->count > 0 ? w->dealt[--w->count] : -1;
        uv_mutex_unlock(&w->lock);
        if (fd < 0)
            return;
        connection *c = malloc(sizeof(*c));
        if (c == NULL)
            die("malloc");
        check(uv_tcp_init(&w->loop, &c->tcp), "uv_tcp_init");
        c->tcp.data = c;
        check(uv_tcp_open(&c->tcp, fd), "uv_tcp_open");
        check(uv_read_start((uv_stream_t *)&c->tcp, give_buffer, echo), "uv_read_start");
    }
}

static void run(void *arg)
{
    worker *w = arg;
    uv_run(&w->loop, UV_RUN_DEFAULT);
}

static void deal_out(int listener)
{
    for (unsigned next = 0;; next++) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) {
            if (errno != ECONNABORTED && errno != EINTR)
                die("accept");
            continue;
        }
        tune_socket(fd, false);
        worker *w = &workers[next % options.workers];
        uv_mutex_lock(&w->lock);
        if (w->count < dealt_max)
            w->dealt[w->count++] = fd;
        else
            close(fd);
        uv_mutex_unlock(&w->lock);
        uv_async_send(&w->wake);
    }
}

int main(int argc, char **argv)
{
    options = read_server_options(argc, argv);
    if (options.workers > workers_max) {
        fprintf(stderr, "echo_libuv: at most %d workers\n", workers_max);
        return 2;
    }
    raise_fd_limit();
    for (unsigned i = 0; i < options.workers; i++) {
        worker *w = &workers[i];
        uv_thread_t thread;
        check(uv_loop_init(&w->loop), "uv_loop_init");
        check(uv_mutex_init(&w->lock), "uv_mutex_init");
        check(uv_async_init(&w->loop, &w->wake, take_over), "uv_async_init");
        w->wake.data = w;
        check(uv_thread_create(&thread, run, w), "uv_thread_create");
    }
    int listener = listen_on(options.address);
    if (fcntl(listener, F_SETFL, 0) != 0) /* this thread may wait in accept */
        die("fcntl");
    deal_out(listener);
}
