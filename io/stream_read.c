/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reading half of streams. What is buffered is `have` bytes at `at`: in the buffer that the transport handed over,
 * or, when it came in more than one, in the stream's own block. A call that has everything there touches no lock.
 *
 * A result that points into the buffer counts as taken, so the buffer is let go of at the beginning of the next call.
 */
#include "io/stream.h"

#include <limits.h>
#include <stdlib.h>

/* --- the buffer --------------------------------------------------------------------------------------------------- */

static void let_go(sinew_stream *s)
{
    if (s->received.data) {
        sn_received_release(&s->received);
        s->received.data = NULL;
    }
    free(s->block);
    s->block = NULL;
    s->at = NULL;
    s->have = 0;
}

static void take(sinew_stream *s, size_t n)
{
    if (n > 0) /* there may be no buffer */
        s->at += n;
    s->have -= n;
}

/* Room for at least n bytes after what is there, in the block. How much there is; 0: no memory. */
static size_t make_room(sinew_stream *s, size_t n)
{
    size_t before = s->block ? (size_t)(s->at - s->block) : 0;
    if (s->block && s->block_bytes - before - s->have >= n)
        return s->block_bytes - before - s->have;
    if (s->block && before >= s->have && s->block_bytes - s->have >= n) {
        memcpy(s->block, s->at, s->have);
    } else {
        size_t bytes = 2 * s->have > s->have + n ? 2 * s->have : s->have + n;
        char *block = malloc(bytes);
        if (!block)
            return 0;
        size_t have = s->have;
        if (have > 0)
            memcpy(block, s->at, have);
        let_go(s);
        s->block = block;
        s->block_bytes = bytes;
        s->have = have;
    }
    s->at = s->block;
    return s->block_bytes - s->have;
}

/* --- the transport ------------------------------------------------------------------------------------------------ */

/* Errors after which a read may be tried again. */
static bool passes(ssize_t error)
{
    return error == -ECANCELED || error == -ETIMEDOUT || error == -EDEADLK || error == -ENOMEM || error == -ENOBUFS ||
           error == -EAGAIN || error == -EINTR;
}

/* Before a call of the transport. False: there is nothing more to come. */
static bool enter(sinew_stream *s, bool idle)
{
    if (s->ended)
        return false;
    bool biased = sn_stream_lock(s);
    bool end = s->closing || (idle && s->draining);
    s->receiving = !end;
    s->idle = !end && idle;
    sn_tsan_acquire(&s->receiving);
    bool send = s->first && !s->busy;
    sn_stream_unlock(s, biased);
    if (send && !end)
        sn_stream_send_now(s); /* what the peer waits for before it sends more */
    return !end;
}

/* After it. Returns n, or the error that later calls will return, too; what a close of ours has ended is the end. */
static ssize_t leave(sinew_stream *s, ssize_t n)
{
    sn_piece *dropped = NULL;
    sn_waiting *wake = NULL;
    bool failed = SN_UNLIKELY(n < 0) && !passes(n);
    bool biased = sn_stream_lock(s);
    sn_tsan_release(&s->receiving);
    s->receiving = s->idle = false;
    if (failed && s->closing)
        n = 0;
    else if (failed)
        n = s->read_error = n == -EPIPE ? -ECONNRESET : (int)n;
    s->ended |= n == 0;
    if (n < 0 && failed && s->transport->read_fd == s->transport->write_fd) {
        sn_stream_lose(s, (int)n);
        dropped = s->busy ? NULL : sn_stream_drop(s);
        wake = sn_stream_wake_drainers(s);
    }
    sn_stream_todo todo = sn_stream_next(s);
    sn_stream_unlock(s, biased);
    sn_stream_free_pieces(dropped);
    sn_stream_grant(wake);
    sn_stream_act(s, todo, false);
    return n;
}

/* Waits for more bytes. > 0: there are; 0: the end; or an error. */
static ssize_t fill(sinew_stream *s, bool idle)
{
    sinew_transport *t = s->transport;
    ssize_t n;
    if (s->have == 0) {
        let_go(s);
        if (!enter(s, idle))
            return 0;
        sn_received received;
        n = t->ops->receive(t, &received);
        if (n > 0) {
            s->received = received;
            s->at = received.data;
            s->have = (size_t)n;
        }
    } else {
        size_t room = make_room(s, SN_RECEIVE_BYTES);
        if (room == 0)
            return -ENOMEM;
        if (!enter(s, idle))
            return 0;
        n = t->ops->receive_into(t, s->at + s->have, room);
        if (n > 0)
            s->have += (size_t)n;
    }
    return leave(s, n);
}

/* --- calls -------------------------------------------------------------------------------------------------------- */

/* 0: `reading` is the caller's, until `end`. */
static int begin(sinew_stream *s)
{
    if (!s)
        return -EINVAL;
    if (!sn_worker_of_task())
        return -EPERM;
    if (sn_exchange(&s->reading, 1, acquire) != 0)
        return -EBUSY;
    sn_tsan_acquire(&s->reading);
    if (s->have == 0 && (s->received.data || s->block))
        let_go(s);
    return 0;
}

static ssize_t end(sinew_stream *s, ssize_t result)
{
    sn_tsan_release(&s->reading);
    sn_store(&s->reading, 0, release); /* partner: the exchange in begin */
    return result;
}

int sn_stream_begin_reading(sinew_stream *s)
{
    return begin(s);
}

void sn_stream_end_reading(sinew_stream *s)
{
    end(s, 0);
}

ssize_t sinew_stream_read(sinew_stream *s, void *buffer, size_t n)
{
    int r = begin(s);
    if (r != 0)
        return r;
    if (n > 0 && !buffer)
        return end(s, -EINVAL);
    if (n == 0 || s->read_error)
        return end(s, n == 0 ? 0 : s->read_error);
    if (n > SSIZE_MAX)
        n = SSIZE_MAX;
    if (s->have == 0 && n >= SN_RECEIVE_BYTES) { /* the caller's memory is as good as any */
        if (!enter(s, false))
            return end(s, 0);
        return end(s, leave(s, s->transport->ops->receive_into(s->transport, buffer, n)));
    }
    if (s->have == 0) {
        ssize_t filled = fill(s, false);
        if (filled <= 0)
            return end(s, filled);
    }
    if (n > s->have)
        n = s->have;
    memcpy(buffer, s->at, n);
    take(s, n);
    return end(s, (ssize_t)n);
}

/* Puts bytes that were received into the caller's memory back, behind what is buffered. */
static int put_back(sinew_stream *s, const char *bytes, size_t n)
{
    if (n == 0)
        return 0;
    if (make_room(s, n) == 0) {
        s->read_error = -ENOMEM; /* bytes are lost */
        return -ENOMEM;
    }
    memcpy(s->at + s->have, bytes, n);
    s->have += n;
    return 0;
}

/* The rest of a long read goes straight into the caller's memory. What was buffered is taken at the end only. */
static int read_direct(sinew_stream *s, char *buffer, size_t n)
{
    size_t from = s->have, got = from;
    if (from > 0)
        memcpy(buffer, s->at, from);
    while (got < n) {
        ssize_t some = 0;
        if (enter(s, false))
            some = leave(s, s->transport->ops->receive_into(s->transport, buffer + got, n - got));
        if (some <= 0) {
            int r = put_back(s, buffer + from, got - from);
            return r != 0 ? r : some < 0 ? (int)some : -ENODATA;
        }
        got += (size_t)some;
    }
    let_go(s);
    return 0;
}

int sinew_stream_read_exactly(sinew_stream *s, void *buffer, size_t n)
{
    int r = begin(s);
    if (r != 0)
        return r;
    if (n > SSIZE_MAX || (n > 0 && !buffer))
        return (int)end(s, -EINVAL);
    if (s->read_error)
        return (int)end(s, s->read_error);
    while (s->have < n) {
        if (n - s->have >= SN_RECEIVE_BYTES)
            return (int)end(s, read_direct(s, buffer, n));
        ssize_t filled = fill(s, false);
        if (filled <= 0)
            return (int)end(s, filled < 0 ? filled : -ENODATA);
    }
    if (n > 0)
        memcpy(buffer, s->at, n);
    take(s, n);
    return (int)end(s, 0);
}

ssize_t sinew_stream_read_all(sinew_stream *s, char **data, size_t max)
{
    if (!data)
        return -EINVAL;
    *data = NULL;
    int r = begin(s);
    if (r != 0)
        return r;
    ssize_t filled = s->read_error;
    if (filled == 0)
        do
            filled = max > 0 && s->have > max ? -EMSGSIZE : fill(s, false);
        while (filled > 0);
    if (filled < 0)
        return end(s, filled);
    /* The block becomes the caller's. */
    if (make_room(s, 1) == 0)
        return end(s, -ENOMEM);
    size_t n = s->have;
    if (s->at != s->block)
        memmove(s->block, s->at, n);
    s->block[n] = '\0';
    *data = s->block;
    s->block = NULL;
    let_go(s);
    return end(s, (ssize_t)n);
}

/* --- separators --------------------------------------------------------------------------------------------------- */

static const char *find(const char *at, size_t n, const sinew_separator *separator)
{
    if (separator->length == 1)
        return memchr(at, *(const unsigned char *)separator->bytes, n);
    return memmem(at, n, separator->bytes, separator->length);
}

/* The first match to end, of those beginning at `from` or later. 0: none; otherwise its end, and *start. */
static size_t find_any(const sinew_stream *s, size_t from, const sinew_separator *separators, size_t count,
                       size_t *start)
{
    size_t best = 0;
    for (size_t i = 0; i < count; i++) {
        const char *found = find(s->at + from, (best ? best : s->have) - from, &separators[i]);
        if (found) {
            *start = (size_t)(found - s->at);
            best = *start + separators[i].length;
        }
    }
    return best;
}

/* > 0: so many bytes up to and including a separator; 0: the end came before; -EMSGSIZE: *over bytes are too many;
 * errors. */
static ssize_t until(sinew_stream *s, const sinew_separator *separators, size_t count, size_t *over)
{
    size_t longest = 0, from = 0, start = 0;
    for (size_t i = 0; i < count; i++)
        longest = separators[i].length > longest ? separators[i].length : longest;
    for (;;) {
        size_t stop = s->have > 0 ? find_any(s, from, separators, count, &start) : 0;
        if (stop > 0) {
            *over = stop;
            return start > s->limit ? -EMSGSIZE : (ssize_t)stop;
        }
        from = s->have >= longest ? s->have + 1 - longest : 0; /* a separator may have begun there */
        if (from > s->limit) {
            *over = s->have;
            return -EMSGSIZE;
        }
        ssize_t filled = fill(s, false);
        if (filled <= 0)
            return filled;
    }
}

ssize_t sinew_stream_readline(sinew_stream *s, const char **line)
{
    static const sinew_separator newline = {"\n", 1};
    if (!line)
        return -EINVAL;
    *line = NULL;
    int r = begin(s);
    if (r != 0)
        return r;
    size_t over = 0;
    ssize_t n = s->read_error ? s->read_error : until(s, &newline, 1, &over);
    if (n == -EMSGSIZE)
        take(s, over);
    if (n < 0)
        return end(s, n);
    if (n == 0)
        n = (ssize_t)s->have; /* a last line without its end */
    *line = n > 0 ? s->at : "";
    take(s, (size_t)n);
    return end(s, n);
}

ssize_t sinew_stream_read_until_any(sinew_stream *s, const sinew_separator *separators, size_t count, const char **data)
{
    if (!data || !separators || count == 0)
        return -EINVAL;
    *data = NULL;
    for (size_t i = 0; i < count; i++)
        if (!separators[i].bytes || separators[i].length == 0)
            return -EINVAL;
    int r = begin(s);
    if (r != 0)
        return r;
    size_t over = 0;
    ssize_t n = s->read_error ? s->read_error : until(s, separators, count, &over);
    if (n <= 0)
        return end(s, n < 0 ? n : -ENODATA);
    *data = s->at;
    take(s, (size_t)n);
    return end(s, n);
}

ssize_t sinew_stream_read_until(sinew_stream *s, const char *separator, const char **data)
{
    sinew_separator one = {separator, separator ? strlen(separator) : 0};
    return sinew_stream_read_until_any(s, &one, 1, data);
}

/* --- for parsers -------------------------------------------------------------------------------------------------- */

ssize_t sinew_stream_peek_more(sinew_stream *s, size_t have, const char **data)
{
    if (!data)
        return -EINVAL;
    *data = NULL;
    int r = begin(s);
    if (r != 0)
        return r;
    ssize_t filled = s->read_error;
    while (filled >= 0 && s->have <= have) {
        filled = have >= s->limit ? -EMSGSIZE : fill(s, false);
        if (filled == 0)
            break;
    }
    if (filled < 0)
        return end(s, filled);
    *data = s->have > 0 ? s->at : "";
    return end(s, (ssize_t)s->have);
}

ssize_t sinew_stream_peek(sinew_stream *s, const char **data)
{
    return sinew_stream_peek_more(s, 0, data);
}

int sinew_stream_consume(sinew_stream *s, size_t n)
{
    int r = begin(s);
    if (r != 0)
        return r;
    if (n > s->have)
        return (int)end(s, -EINVAL);
    take(s, n);
    if (s->have == 0)
        let_go(s);
    return (int)end(s, 0);
}

size_t sinew_stream_buffered(const sinew_stream *s)
{
    return s ? s->have : 0;
}

ssize_t sinew_stream_idle(sinew_stream *s)
{
    int r = begin(s);
    if (r != 0)
        return r;
    ssize_t filled = s->read_error;
    if (filled == 0 && s->have == 0)
        filled = fill(s, true);
    return end(s, filled < 0 ? filled : (ssize_t)s->have);
}
