/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The session as a transport: what the stream above calls.
 *
 * Reading and writing at once. A reader works under the lock as long as something has arrived, and waits for more
 * without it; a writer encrypts under the lock and sends without it. OpenSSL may want to write while it reads (an
 * alert, the answer to a key update) and that is only added to the list of what is to be sent: the reader sends what
 * goes at once, and leaves the rest to whoever sends next. The answer to a key update is due before the next data we
 * send, and goes before that. It never waits for the network there, or two sides that both send first would wait for
 * ever; only when a peer makes it answer again and again, and takes none of the answers, does it wait (OUT_MAX).
 *
 * The reverse is rarer: while OpenSSL has read a part of a message of its own (session tickets, key updates; there is
 * no renegotiation) it does not write either. A writer that meets this waits until a reader has fed OpenSSL more, or,
 * if nobody reads, feeds it itself.
 *
 *     writer (lock held)                      reader, after each turn under the lock; and when it leaves
 *     OpenSSL wants to read:                  r1 what it did, or `reading` given back
 *     w1 fed = no; writer_waits = true        r2 writer_waits? then: off, fed = yes
 *     w2 (unlocked) reading free? then read
 *        otherwise wait for fed
 *
 *   impossible: the writer waits for what has happened already. A turn after w1 sees writer_waits, by the lock; a
 * reader that w2 finds there has not given `reading` back, and will look after it has.
 *
 * Sending. Plain bytes count as sent when their records have all gone to the transport below; until then they stay with
 * the stream above, which knows how much is unsent, and when to wait. What was encrypted is not encrypted again:
 * `encrypted` says how many of the bytes that the stream comes with are in records already.
 *
 * The end. close_notify goes out after what was written, then the end of the connection's own sending side. A stream
 * that is closed then reads on, for close_wait at most, until the peer has ended the session too: a socket that is
 * closed with unread data in it (session tickets, say) resets the connection, and what we sent last is lost.
 */
#include "io/tls/tls.h"

#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

#include <sinew/time.h>

enum {
    RECORD_MAX = SSL3_RT_MAX_PLAIN_LENGTH,
    RECORDS = 4,          /* encrypted before they are sent */
    RECEIVE_BYTES = 4096, /* what a read gets memory for, unless it knows of more */
    OUT_MAX = 65536,      /* beyond it a reader waits until its answers are gone */
    WANT_MORE = INT_MIN,  /* no error: nothing has arrived */
};

static sn_tls *session_of(sinew_transport *transport)
{
    return (sn_tls *)(void *)transport; /* its first member */
}

/* --- failing ------------------------------------------------------------------------------------------------------ */

int sn_tls_fail(sn_tls *t, int error, const char *why)
{
    if (t->error == 0) {
        if (why)
            sn_tls_say(&t->reason, "%s", why);
        t->error = error;
        atomic_store(&t->failed, true);
    }
    return t->error;
}

int sn_tls_fail_of_openssl(sn_tls *t)
{
    if (t->error != 0)
        return t->error;
    return sn_tls_fail(t, sn_tls_explain(t->ssl, &t->reason), NULL);
}

int sn_tls_below_ended(sn_tls *t)
{
    bool stopped = atomic_load(&t->stopped);
    if (!atomic_load(&t->open))
        return stopped ? -ECONNABORTED : sn_tls_fail(t, -ECONNABORTED, "the connection ended during the handshake");
    if (!t->ended && !stopped && !t->context->options.ignore_truncation)
        return sn_tls_fail(t, -ECONNABORTED,
                           "the connection ended, and the session had not (no close_notify): it may have been cut");
    t->ended = true;
    return 0;
}

/* --- receiving ---------------------------------------------------------------------------------------------------- */

/* As much as there is, up to n; WANT_MORE: nothing. The lock is held. */
static ssize_t decrypt(sn_tls *t, char *buffer, size_t n)
{
    size_t total = 0;
    while (total < n) {
        size_t some = 0;
        ERR_clear_error();
        int r = SSL_read_ex(t->ssl, buffer + total, n - total, &some);
        if (r == 1) {
            total += some;
            if (t->in.have > 0 || SSL_pending(t->ssl) > 0)
                continue;
            break;
        }
        ssize_t outcome;
        switch (SSL_get_error(t->ssl, r)) {
        case SSL_ERROR_WANT_READ:
            outcome = WANT_MORE;
            break;
        case SSL_ERROR_ZERO_RETURN:
            t->ended = true;
            outcome = 0;
            break;
        case SSL_ERROR_WANT_WRITE:
            outcome = -ENOMEM; /* its answer found no memory; the next call takes it up */
            break;
        default:
            outcome = sn_tls_fail_of_openssl(t);
            break;
        }
        return total > 0 ? (ssize_t)total : outcome; /* what is the matter is found again by the next call */
    }
    return (ssize_t)total;
}

/* The same into memory that is taken when there is something; `received` NULL: into the caller's. The lock is held. */
static ssize_t read_what_is_there(sn_tls *t, sinew_received *received, char *buffer, size_t n)
{
    sn_tls_take_arrived(t);
    if (t->error != 0)
        return t->error;
    if (t->ended)
        return 0;
    if (t->in.have == 0 && !SSL_has_pending(t->ssl))
        return WANT_MORE;
    if (received) {
        n = t->record > RECEIVE_BYTES ? RECORD_MAX : RECEIVE_BYTES;
        buffer = malloc(n);
        if (!buffer)
            return -ENOMEM;
    }
    ssize_t got = decrypt(t, buffer, n);
    if (received && got > 0)
        *received = (sinew_received){.data = buffer};
    else if (received)
        free(buffer);
    sn_tls_keep(&t->in);
    return got;
}

static void tell_writer(sn_tls *t)
{
    if (atomic_load(&t->writer_waits) && atomic_exchange(&t->writer_waits, false)) /* r2 */
        sinew_event_set(&t->fed);
}

/* `reading` is held. */
static ssize_t receive(sn_tls *t, sinew_received *received, char *buffer, size_t n)
{
    for (;;) {
        int r = sinew_mutex_lock(&t->lock);
        if (r != 0)
            return r;
        ssize_t got = read_what_is_there(t, received, buffer, n);
        sinew_mutex_unlock(&t->lock); /* r1 */
        tell_writer(t);
        r = sn_tls_push(t); /* what OpenSSL has to say to it */
        if (got != WANT_MORE)
            return got;
        if (r == -EAGAIN && atomic_load(&t->out_bytes) > OUT_MAX)
            r = sn_tls_flush(t);
        if (r != 0 && r != -EAGAIN)
            return r;
        ssize_t arrived = sn_tls_fetch(t);
        if (arrived < 0)
            return arrived;
        if (arrived == 0) {
            r = sinew_mutex_lock(&t->lock);
            if (r != 0)
                return r;
            r = sn_tls_below_ended(t);
            sinew_mutex_unlock(&t->lock); /* who gives `reading` back tells the writer */
            return r;
        }
    }
}

static void stop_reading(sn_tls *t)
{
    sn_tls_keep(&t->arrived);
    sinew_mutex_unlock(&t->reading); /* r1 */
    tell_writer(t);
}

/* Beside the one reader there may be a writer that feeds OpenSSL, or who waits for the peer's goodbye. That one takes
 * nothing away from anybody: the stream is closed. */
static ssize_t receive_alone(sn_tls *t, sinew_received *received, char *buffer, size_t n)
{
    if (atomic_load(&t->leaving))
        return 0;
    int r = sinew_mutex_lock(&t->reading);
    if (r != 0)
        return r;
    ssize_t got = receive(t, received, buffer, n);
    stop_reading(t);
    return got;
}

static int tls_receive(sinew_transport *transport, sinew_received *received)
{
    return (int)receive_alone(session_of(transport), received, NULL, 0);
}

static ssize_t tls_receive_into(sinew_transport *transport, void *buffer, size_t n)
{
    return receive_alone(session_of(transport), NULL, buffer, n);
}

/* --- sending ------------------------------------------------------------------------------------------------------ */

/* Where the next bytes are. */
typedef struct place {
    const struct iovec *piece, *end;
    size_t offset; /* in the piece */
} place;

static void go(place *at, size_t n)
{
    at->offset += n;
    while (at->piece < at->end && at->offset >= at->piece->iov_len) {
        at->offset -= at->piece->iov_len;
        at->piece++;
    }
}

/* Bytes for one record: where they lie, if there are enough at one place or that is the last; otherwise copied together
 * into `scratch`. */
static const char *next_bytes(const place *at, char *scratch, size_t *n)
{
    size_t left = at->piece->iov_len - at->offset;
    if (left >= RECORD_MAX || at->piece + 1 == at->end) {
        *n = left < RECORD_MAX ? left : RECORD_MAX;
        return (const char *)at->piece->iov_base + at->offset;
    }
    size_t have = 0;
    for (place from = *at; from.piece < from.end && have < RECORD_MAX;) {
        size_t some = from.piece->iov_len - from.offset;
        if (some > RECORD_MAX - have)
            some = RECORD_MAX - have;
        memcpy(scratch + have, (const char *)from.piece->iov_base + from.offset, some);
        have += some;
        go(&from, some);
    }
    *n = have;
    return scratch;
}

/* 0: `encrypted` > 0; WANT_MORE: OpenSSL is to be fed first; or an error. The lock is held. */
static int encrypt(sn_tls *t, const struct iovec *pieces, int count)
{
    place at = {.piece = pieces, .end = pieces + count};
    go(&at, 0);
    char *scratch = NULL;
    if (count > 1 && (scratch = malloc(RECORD_MAX)) == NULL)
        return -ENOMEM;
    int error = 0;
    for (int i = 0; i < RECORDS && error == 0 && at.piece < at.end; i++) {
        size_t n, done = 0;
        const char *bytes = next_bytes(&at, scratch, &n);
        ERR_clear_error();
        int r = SSL_write_ex(t->ssl, bytes, n, &done);
        switch (SSL_get_error(t->ssl, r)) {
        case SSL_ERROR_NONE:
            t->encrypted += done;
            break;
        case SSL_ERROR_WANT_READ:
            error = WANT_MORE;
            break;
        case SSL_ERROR_WANT_WRITE:
            error = -ENOMEM; /* OpenSSL has the record, and wants to be called with the same bytes again */
            break;
        default:
            error = sn_tls_fail_of_openssl(t);
            break;
        }
        go(&at, done);
    }
    free(scratch);
    return t->encrypted > 0 && t->error == 0 ? 0 : error;
}

/* Until OpenSSL has been fed, by a reader or here. */
static int wait_until_fed(sn_tls *t)
{
    if (sinew_mutex_trylock(&t->reading) != 0) /* w2 */
        return sinew_event_wait(&t->fed);
    int r = (int)sn_tls_fetch(t);
    bool ended = r == 0;
    if (r >= 0) {
        r = sinew_mutex_lock(&t->lock);
        if (r == 0) {
            r = ended ? sn_tls_below_ended(t) : 0;
            sn_tls_take_arrived(t);
            sn_tls_keep(&t->in);
            sinew_mutex_unlock(&t->lock);
        }
    }
    stop_reading(t);
    return ended && r == 0 ? -EPIPE : r;
}

/* 0: something is encrypted, and on the list. */
static int encrypt_some(sn_tls *t, const struct iovec *pieces, int count, bool wait)
{
    for (;;) {
        int r = wait ? sinew_mutex_lock(&t->lock) : sinew_mutex_trylock(&t->lock);
        if (r != 0)
            return r == -EBUSY ? -EAGAIN : r;
        r = t->error;
        if (r == 0 && t->encrypted == 0)
            r = encrypt(t, pieces, count);
        if (r == WANT_MORE && wait) { /* w1 */
            sinew_event_clear(&t->fed);
            atomic_store(&t->writer_waits, true);
        }
        sinew_mutex_unlock(&t->lock);
        if (r != WANT_MORE)
            return r;
        r = wait ? wait_until_fed(t) : -EAGAIN;
        if (r != 0)
            return r;
    }
}

static ssize_t tls_send(sinew_transport *transport, const struct iovec *pieces, int count, bool wait)
{
    sn_tls *t = session_of(transport);
    int r = 0;
    if (!sinew_event_is_set(&t->opened))
        r = wait ? sinew_event_wait(&t->opened) : -EAGAIN;
    if (r == 0)
        r = encrypt_some(t, pieces, count, wait);
    if (r == 0)
        r = wait ? sn_tls_flush(t) : sn_tls_push(t);
    if (r != 0)
        return r;
    ssize_t sent = (ssize_t)t->encrypted;
    t->encrypted = 0;
    return sent;
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

/* close_notify into the list. In the middle of a message of the peer's OpenSSL does not say it; then the end of the
 * connection has to do. The lock is held. */
static void say_end(sn_tls *t)
{
    if (t->said_end || t->error != 0)
        return;
    ERR_clear_error();
    SSL_shutdown(t->ssl);
    ERR_clear_error();
    t->said_end = true;
}

/* Reads what nobody wants until the peer has ended its side, too. */
static void wait_for_goodbye(sn_tls *t)
{
    atomic_store(&t->leaving, true);
    if (sinew_mutex_trylock(&t->reading) != 0)
        return; /* who reads will be stopped */
    char scrap[1024];
    sinew_timeout limit;
    sinew_timeout_begin(&limit, t->context->options.close_wait);
    while (receive(t, NULL, scrap, sizeof scrap) > 0)
        ;
    sinew_timeout_end(&limit);
    stop_reading(t);
}

static int tls_shutdown(sinew_transport *transport, bool wait, bool last)
{
    sn_tls *t = session_of(transport);
    if (!atomic_load(&t->open))
        return 0;
    int r = wait ? sinew_mutex_lock(&t->lock) : sinew_mutex_trylock(&t->lock);
    if (r != 0)
        return r == -EBUSY ? -EAGAIN : r;
    say_end(t);
    bool ended = t->ended || t->error != 0;
    sinew_mutex_unlock(&t->lock);
    r = wait ? sn_tls_flush(t) : sn_tls_push(t);
    if (r != 0)
        return r;
    sinew_transport *below = transport->below;
    r = below->ops->shutdown(below, wait, last);
    if (r != 0 || !last || ended || t->context->options.close_wait < 0 || sinew_mutex_locked(&t->reading))
        return r;
    if (!wait)
        return -EAGAIN;
    wait_for_goodbye(t);
    return 0;
}

static void tls_stop(sinew_transport *transport, sinew_stop how)
{
    atomic_store(&session_of(transport)->stopped, true);
    transport->below->ops->stop(transport->below, how);
}

/* A session that is freed without a goodbye must not be resumed; OpenSSL sees to that. */
static void tls_close(sinew_transport *transport)
{
    sn_tls *t = session_of(transport);
    SSL_free(t->ssl);
    t->ssl = NULL;
    sn_tls_input_free(&t->arrived);
    sn_tls_input_free(&t->in);
    sn_tls_output_free(t);
    transport->below->ops->close(transport->below);
}

static void tls_free(sinew_transport *transport)
{
    sn_tls *t = session_of(transport);
    SSL_free(t->ssl); /* where it was never put under a stream */
    pthread_mutex_destroy(&t->list);
    sinew_tls_context_unref(t->context);
    free(t->info);
    free(t);
}

const sinew_transport_ops sn_tls_ops = {
    .receive = tls_receive,
    .receive_into = tls_receive_into,
    .send = tls_send,
    .shutdown = tls_shutdown,
    .stop = tls_stop,
    .close = tls_close,
    .free = tls_free,
    .says_goodbye = true,
};
