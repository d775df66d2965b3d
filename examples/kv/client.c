/* SPDX-License-Identifier: Apache-2.0 */
#include "client.h"

#include "bytes.h"
#include "journal.h"
#include "log.h"
#include "pool.h"
#include "settings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

void client_begin(client *c, int fd)
{
    static atomic_ulong last_id;
    memset(c, 0, offsetof(client, in));
    c->fd = fd;
    c->id = atomic_fetch_add_explicit(&last_id, 1, memory_order_relaxed) + 1;
    resp_init(&c->in, &settings.requests);
}

void client_end(client *c)
{
    if (c->stopping)
        (void)sinew_timeout_end(&c->grace);
    if (c->output)
        pool_put(c->output);
    free(c->name);
    resp_destroy(&c->in);
}

bool client_goes_on(client *c)
{
    if (c->stopping)
        return false;
    c->stopping = true;
    sinew_timeout_begin(&c->grace, settings.grace);
    return true;
}

/* With something in flight. If the server is stopping, that is reported. */
static void give_up(client *c)
{
    if (c->stopping && !c->failed)
        atomic_fetch_add_explicit(&counters.cut, 1, memory_order_relaxed);
    c->failed = true;
}

void client_yield(client *c)
{
    int error = c->failed ? 0 : sinew_yield();
    if (error < 0 && (error != -ECANCELED || !client_goes_on(c)))
        give_up(c);
}

/* --- receiving ---------------------------------------------------------------------------------------------------- */

static ssize_t recv_in_time(client *c, char *at, size_t room)
{
    bool limited = settings.idle > 0 && !c->stopping;
    sinew_timeout idle;
    if (limited)
        sinew_timeout_begin(&idle, settings.idle);
    ssize_t n = sinew_recv(c->fd, at, room, 0);
    if (limited)
        (void)sinew_timeout_end(&idle);
    return n;
}

static bool take(client *c, ssize_t n, size_t room)
{
    if (n <= 0) {
        if (n < 0 && resp_is_partial(&c->in))
            give_up(c);
        return false;
    }
    c->fast = (size_t)n == room;
    resp_received(&c->in, (size_t)n);
    return true;
}

bool client_receive(client *c)
{
    size_t room;
    if (c->fast && !c->stopping) { /* what is here already: its answers go along with those before */
        resp_expect_more(&c->in);
        char *at = resp_room(&c->in, &room);
        ssize_t n = at ? sinew_recv(c->fd, at, room, MSG_DONTWAIT) : 0;
        if (!at)
            return true; /* the parser says why */
        if (n > 0)
            return take(c, n, room);
        if (n == -ECANCELED)
            (void)client_goes_on(c);
    }
    client_flush(c);
    resp_rest(&c->in);
    char *at = resp_room(&c->in, &room);
    if (!at)
        return true;
    ssize_t n = -ECANCELED;
    while (!c->failed && !(c->stopping && !resp_is_partial(&c->in))) {
        n = recv_in_time(c, at, room);
        if (n != -EINTR && (n != -ECANCELED || !client_goes_on(c)))
            break;
    }
    return !c->failed && take(c, n, room);
}

/* --- sending ------------------------------------------------------------------------------------------------------ */

/* The socket's buffer is full. */
static ssize_t send_in_time(client *c, const char *data, size_t len, int flags)
{
    for (;;) {
        bool limited = !c->stopping;
        sinew_timeout stall;
        if (limited)
            sinew_timeout_begin(&stall, settings.stall);
        ssize_t n = sinew_send(c->fd, data, len, flags);
        if (limited)
            (void)sinew_timeout_end(&stall);
        if (n != -ECANCELED || !client_goes_on(c))
            return n;
    }
}

/* A time limit is only set up for a client that does not take what is sent. */
static void send_all(client *c, const char *data, size_t len, int flags)
{
    while (len > 0) {
        ssize_t n = sinew_send(c->fd, data, len, flags | MSG_DONTWAIT);
        if (n == -EAGAIN || n == -ECANCELED)
            n = n == -EAGAIN || client_goes_on(c) ? send_in_time(c, data, len, flags) : n;
        if (n == -EINTR)
            continue;
        if (n < 0) {
            give_up(c);
            return;
        }
        data += n;
        len -= (size_t)n;
    }
}

/* Nobody may hear of what is not in the file. False: the answers cannot be sent as they are. */
static bool make_safe(client *c)
{
    int error;
    do {
        error = log_wait(c->lsn);
    } while (error == -ECANCELED && client_goes_on(c));
    if (error < 0 && error != -EIO)
        give_up(c); /* the time for that is over */
    return error == 0;
}

static void replace_answers(client *c)
{
    static const char misconf[] = "-MISCONF Errors writing to the AOF file: not known to be kept\r\n";
    c->lsn = c->changed = 0;
    c->output_used = 0;
    for (; c->answers > 0 && !c->failed; c->answers--) {
        if (sizeof misconf - 1 > POOL_BYTES - c->output_used) {
            send_all(c, c->output, c->output_used, MSG_MORE);
            c->output_used = 0;
        }
        memcpy(c->output + c->output_used, misconf, sizeof misconf - 1);
        c->output_used += (uint32_t)sizeof misconf - 1;
    }
}

static void flush(client *c, int flags)
{
    if (c->output_used == 0 || c->failed)
        return;
    if (c->lsn > journal_safe() && !make_safe(c) && c->changed > journal_safe()) {
        if (c->partly || flags != 0) /* half an answer: nothing that fits can be said any more */
            give_up(c);
        else
            replace_answers(c);
    }
    if (!c->failed)
        send_all(c, c->output, c->output_used, flags);
    c->output_used = 0;
    atomic_fetch_add_explicit(&counters.commands, c->answers, memory_order_relaxed);
    c->answers = 0;
}

void client_flush(client *c)
{
    flush(c, 0);
    if (c->output)
        pool_put(c->output);
    c->output = NULL;
}

void client_linger(client *c, bool waits)
{
    if (c->failed || sinew_shutdown(c->fd, SHUT_WR) < 0)
        return;
    char *buffer = pool_get();
    sinew_timeout limit;
    sinew_timeout_begin(&limit, SINEW_S(2));
    for (size_t got = 0; buffer && got < (size_t)1 << 20;) {
        ssize_t n = sinew_recv(c->fd, buffer, POOL_BYTES, waits ? 0 : MSG_DONTWAIT);
        if (n <= 0)
            break;
        got += (size_t)n;
        waits = true;
    }
    (void)sinew_timeout_end(&limit);
    if (buffer)
        pool_put(buffer);
}

/* --- answers ------------------------------------------------------------------------------------------------------ */

/* In the middle of an answer: what is there is sent, to make room. */
static void make_room(client *c)
{
    flush(c, MSG_MORE);
    c->partly = true;
}

bool client_room(client *c, size_t n)
{
    if (n > POOL_BYTES - c->output_used)
        make_room(c);
    if (!c->output && !c->failed) {
        c->output = pool_get();
        c->failed = !c->output;
    }
    return !c->failed;
}

void client_write(client *c, const void *data, size_t len)
{
    const char *from = data;
    while (len > 0 && client_room(c, len < POOL_BYTES ? len : POOL_BYTES)) {
        size_t room = POOL_BYTES - c->output_used, part = len < room ? len : room;
        memcpy(c->output + c->output_used, from, part);
        c->output_used += (uint32_t)part;
        from += part;
        len -= part;
    }
}

void answer_ok(client *c)
{
    answer_literal(c, "+OK\r\n");
}

void answer_nil(client *c)
{
    answer_literal(c, "$-1\r\n");
}

static void write_number(client *c, char type, int64_t number)
{
    char text[NUMBER_TEXT_MAX + 3] = {type}, *end = put_number(text + 1, number);
    *end++ = '\r';
    *end++ = '\n';
    client_write(c, text, (size_t)(end - text));
}

void answer_number(client *c, int64_t number)
{
    write_number(c, ':', number);
}

void answer_array(client *c, size_t count)
{
    write_number(c, '*', (int64_t)count);
}

void answer_bulk(client *c, const void *data, size_t len)
{
    write_number(c, '$', (int64_t)len);
    client_write(c, data, len);
    client_write(c, "\r\n", 2);
}

void answer_text(client *c, const char *text)
{
    answer_bulk(c, text, strlen(text));
}

void answer_value(client *c, value *v)
{
    if (v->len < POOL_BYTES / 2) {
        answer_bulk(c, v->data, v->len);
        return;
    }
    write_number(c, '$', v->len);
    make_room(c);
    if (!c->failed)
        send_all(c, v->data, v->len, MSG_MORE);
    client_write(c, "\r\n", 2);
}

void answer_error(client *c, const char *text)
{
    answer_error_about(c, text, "", 0, "");
}

void client_line(client *c, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        client_write(c, text[i] == '\r' || text[i] == '\n' ? " " : &text[i], 1);
}

void answer_error_about(client *c, const char *before, const char *about, size_t len, const char *after)
{
    client_write(c, "-", 1);
    client_write(c, before, strlen(before));
    client_line(c, about, len);
    client_write(c, after, strlen(after));
    client_write(c, "\r\n", 2);
}
