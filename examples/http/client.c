/* SPDX-License-Identifier: Apache-2.0 */
#include "client.h"

#include "settings.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static sinew_time coarse_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t); /* cannot fail with a clock that exists */
    return SINEW_S(t.tv_sec) + t.tv_nsec;
}

/* The deadline may have passed since the call that brought us here: nobody has met that, and it does not count. */
static void move_deadline(client *c, sinew_time duration)
{
    c->moved = c->now;
    if (sinew_timeout_reset(&c->scope, duration) < 0) {
        (void)sinew_timeout_end(&c->scope);
        sinew_timeout_begin(&c->scope, duration);
    }
}

/* A step begins: the client's time begins anew. */
static void begin_step(client *c)
{
    if (!c->stopping && (c->brief || c->now - c->moved >= settings.timeout / 8)) {
        c->brief = false;
        move_deadline(c, settings.timeout);
    }
}

/* The client may now say nothing for long: after a while its memory is given back (client_quiet). */
static void begin_pause(client *c)
{
    if (c->stopping || settings.timeout <= CLIENT_BRIEF)
        begin_step(c);
    else if (!c->brief || c->now - c->moved >= CLIENT_BRIEF / 8) {
        c->brief = true;
        move_deadline(c, CLIENT_BRIEF);
    }
}

void client_begin(client *c, int fd, sinew_stream *stream)
{
    c->fd = fd;
    c->stream = stream;
    c->stopping = c->brief = false;
    c->until = 0;
    c->date_second = -1;
    c->output_used = 0;
    c->now = c->moved = coarse_now();
    sinew_timeout_begin(&c->scope, settings.timeout);
}

void client_end(client *c)
{
    (void)sinew_timeout_end(&c->scope); /* if it has expired, some call said so */
}

void client_restart(client *c)
{
    c->now = coarse_now();
    c->brief = false;
    if (!c->stopping)
        move_deadline(c, settings.timeout);
}

void client_extend(client *c, sinew_time duration)
{
    (void)sinew_timeout_end(&c->scope);
    sinew_timeout_begin(&c->scope, duration);
    c->now = c->moved = coarse_now();
    c->brief = false;
}

/* A call failed with -ECANCELED. Returns whether to repeat it: the first cancel means "come to an end". */
static bool goes_on(client *c)
{
    if (c->stopping)
        return false;
    c->stopping = true;
    c->until = sinew_now() + settings.grace;
    move_deadline(c, settings.grace);
    return true;
}

static ssize_t receive(client *c, void *buf, size_t len)
{
    return c->stream ? sinew_stream_read(c->stream, buf, len) : sinew_recv(c->fd, buf, len, 0);
}

/* A stream takes a copy; that it goes out is waited for piece by piece, so that each is progress. */
static ssize_t send_some(client *c, const char *data, size_t len, int flags)
{
    enum { PIECE = 16384 };
    if (!c->stream)
        return sinew_send(c->fd, data, len, flags);
    int r = sinew_stream_drain(c->stream);
    if (r < 0)
        return r;
    size_t n = len < PIECE ? len : PIECE;
    r = sinew_stream_write(c->stream, data, n);
    return r < 0 ? r : (ssize_t)n;
}

enum { COPY_BYTES = 65536 };

/* At most `count` bytes of a file, from *offset on, which moves. To a stream they are copied, by way of `buffer`: a
 * sinew_stream_sendfile that is stopped does not say how much it has written, and here it is to go on. */
static ssize_t send_some_of_file(client *c, int fd, off_t *offset, size_t count, char *buffer)
{
    if (!c->stream)
        return sinew_sendfile(c->fd, fd, offset, count);
    int r = sinew_stream_drain(c->stream);
    if (r < 0)
        return r;
    ssize_t n = client_pread(c, fd, buffer, count < COPY_BYTES ? count : COPY_BYTES, *offset);
    if (n <= 0)
        return n;
    r = sinew_stream_write(c->stream, buffer, (size_t)n);
    if (r < 0)
        return r;
    *offset += n;
    return n;
}

ssize_t client_recv(client *c, void *buf, size_t len, bool between_requests)
{
    if (between_requests) {
        c->now = coarse_now();
        begin_pause(c);
    }
    ssize_t n;
    do {
        if (between_requests && c->stopping)
            return -ECANCELED;
        n = receive(c, buf, len);
    } while (n == -ECANCELED && goes_on(c));
    c->now = coarse_now();
    return n;
}

int client_wait(int fd, sinew_stream *stream)
{
    sinew_timeout scope;
    sinew_timeout_begin(&scope, settings.timeout - CLIENT_BRIEF);
    const char *ignored;
    int ready = stream ? (int)sinew_stream_peek(stream, &ignored) : sinew_poll(fd, POLLIN);
    int expired = sinew_timeout_end(&scope);
    return expired < 0 ? expired : ready;
}

static int send_all(client *c, const char *data, size_t len, int flags)
{
    while (len > 0) {
        /* The first piece mostly goes at once, and what is left of a pause is time enough for that. */
        if (!c->brief)
            begin_step(c);
        ssize_t n = send_some(c, data, len, flags);
        if (n < 0) {
            if (n == -ECANCELED && goes_on(c))
                continue; /* nothing was sent by the call that was cancelled */
            if (n == -ETIMEDOUT && c->brief && !c->stopping) {
                c->brief = false;
                client_extend(c, settings.timeout);
                continue;
            }
            return (int)n;
        }
        data += n;
        len -= (size_t)n;
        if (len > 0) {
            c->now = coarse_now();
            begin_step(c);
        }
    }
    return 0;
}

int client_write(client *c, const void *data, size_t len)
{
    if (len > sizeof c->output - c->output_used) {
        /* MSG_MORE: the rest follows, do not send a short packet for this part. */
        int error = send_all(c, c->output, c->output_used, MSG_MORE);
        if (error < 0)
            return error;
        c->output_used = 0;
        if (len >= sizeof c->output)
            return send_all(c, data, len, 0);
    }
    memcpy(c->output + c->output_used, data, len);
    c->output_used += len;
    return 0;
}

int client_flush(client *c)
{
    int error = send_all(c, c->output, c->output_used, 0);
    c->output_used = 0;
    return error;
}

int client_send_file(client *c, int fd, off_t offset, size_t count)
{
    enum { PIECE = 1 << 20 };
    int error = send_all(c, c->output, c->output_used, MSG_MORE);
    c->output_used = 0;
    char *buffer = c->stream ? malloc(COPY_BYTES) : NULL;
    if (c->stream && !buffer)
        return -ENOMEM;
    bool progress = false; /* some bytes of a piece that was not completed */
    while (error == 0 && count > 0) {
        begin_step(c);
        size_t piece = count < PIECE ? count : PIECE;
        ssize_t n = send_some_of_file(c, fd, &offset, piece, buffer);
        if (n > 0) {
            count -= (size_t)n;
            progress = (size_t)n < piece;
        } else if (n == -ETIMEDOUT && progress && !c->stopping) {
            client_extend(c, settings.timeout); /* a slow client, who has taken some bytes in its time */
            progress = false;
        } else if (n != -ECANCELED || !goes_on(c)) {
            error = n == 0 ? -EIO : (int)n;
        }
        c->now = coarse_now();
    }
    free(buffer);
    return error;
}

ssize_t client_pread(client *c, int fd, void *buf, size_t len, off_t offset)
{
    ssize_t n;
    begin_step(c);
    do {
        n = sinew_pread(fd, buf, len, offset);
    } while (n == -EINTR || (n == -ECANCELED && goes_on(c)));
    return n;
}

const char *client_date_line(client *c)
{
    time_t now = time(NULL);
    struct tm utc;
    if (now != c->date_second && gmtime_r(&now, &utc)) {
        strftime(c->date_line, sizeof c->date_line, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &utc);
        c->date_second = now;
    }
    return c->date_line;
}

void client_linger(client *c)
{
    if ((c->stream ? sinew_stream_write_eof(c->stream) : sinew_shutdown(c->fd, SHUT_WR)) < 0)
        return;
    sinew_time limit = SINEW_S(2), left = c->until - sinew_now();
    if (c->stopping && left < limit)
        limit = left;
    client_extend(c, limit < settings.timeout ? limit : settings.timeout);
    /* What was to be sent has been sent: the buffer is free. */
    for (size_t read = 0; read < (size_t)1 << 20;) {
        ssize_t n = receive(c, c->output, sizeof c->output);
        if (n <= 0)
            return;
        read += (size_t)n;
    }
}
