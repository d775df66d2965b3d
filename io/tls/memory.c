/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands between OpenSSL and the transport below: a BIO that reads from the buffer which has arrived, as it lies
 * there, and writes into a list of chunks. An idle session has neither.
 *
 * OpenSSL's own memory BIOs were not taken: a BIO pair holds two buffers of 17 KiB for good, a memory BIO never
 * gives back what it once needed.
 *
 * In. One buffer at a time, fetched when OpenSSL has read all of the one before. OpenSSL asks for the 5 bytes of a
 * record's head, then for exactly the rest of it; so `missing` tells whether a connection waits between two records,
 * without memory of its own, or in the middle of a large one, whose rest is then fetched in one go.
 *
 * Out. The list is bounded by those who make it grow: a writer encrypts only when all it has encrypted before is gone,
 * a reader stops reading while the list is long (layer.c). Sending goes by ownership: who holds `sending` takes the
 * list off, and goes on until it is empty. Who adds to it and finds somebody sending may leave:
 *
 *     who adds                                 who sends
 *     a1 out_bytes += n                        s1 give `sending` back
 *     a2 sending taken? then leave             s2 out_bytes > 0? then once more
 *
 *   impossible: a2 finds it taken and s2 finds nothing. All four are read-modify-writes or sequentially consistent, and
 *   `sending` is a lock: if a2 comes before s1, a1 comes before s2.
 */
#include "io/tls/tls.h"

#include <stdlib.h>
#include <string.h>

enum {
    HEAD = 5,                            /* of a record */
    RECEIVE_SMALL = 4096,                /* what the `receive` below brings at once, or about that */
    RECEIVE_LARGE = 20480,               /* the longest record, and the next one's head */
    CHUNK = 1024 - sizeof(sn_tls_chunk), /* at least; some small records */
    PIECES = 16,                         /* sent at once */
};

/* --- in ----------------------------------------------------------------------------------------------------------- */

void sn_tls_input_free(sn_tls_input *in)
{
    if (in->received.data)
        sinew_received_release(&in->received);
    *in = (sn_tls_input){.have = 0};
}

void sn_tls_take_arrived(sn_tls *t)
{
    if (t->in.have > 0 || t->arrived.have == 0)
        return;
    t->in = t->arrived;
    t->arrived = (sn_tls_input){.have = 0};
}

void sn_tls_keep(sn_tls_input *in)
{
    if (in->have == 0 || !in->received.owner)
        return;
    char *copy = malloc(in->have);
    if (!copy)
        return; /* then it stays there */
    memcpy(copy, in->at, in->have);
    sinew_received_release(&in->received);
    in->received = (sinew_received){.data = copy};
    in->at = copy;
}

/* A connection that was broken off from this side has ended; only the peer is told of a reset. */
static ssize_t end_of(sn_tls *t, ssize_t n)
{
    return n == -ECONNRESET && atomic_load(&t->stopped) ? 0 : n;
}

ssize_t sn_tls_fetch(sn_tls *t)
{
    if (t->arrived.have > 0)
        return (ssize_t)t->arrived.have;
    sinew_transport *below = t->transport.below;
    sinew_received received = {.data = NULL};
    ssize_t n;
    if (t->missing <= RECEIVE_SMALL) {
        n = below->ops->receive(below, &received);
        if (n <= 0)
            return end_of(t, n);
    } else {
        received.data = malloc(RECEIVE_LARGE);
        if (!received.data)
            return -ENOMEM;
        n = below->ops->receive_into(below, received.data, RECEIVE_LARGE);
        if (n <= 0) {
            free(received.data);
            return end_of(t, n);
        }
    }
    t->arrived = (sn_tls_input){.received = received, .at = received.data, .have = (size_t)n};
    return n;
}

static int bio_read(BIO *bio, char *data, size_t n, size_t *done)
{
    sn_tls *t = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    size_t some = n < t->in.have ? n : t->in.have;
    t->missing = n - some;
    if (n > HEAD)
        t->record = n;
    *done = some;
    if (some == 0) {
        BIO_set_retry_read(bio);
        return 0;
    }
    memcpy(data, t->in.at, some);
    t->in.at += some;
    t->in.have -= some;
    if (t->in.have == 0)
        sn_tls_input_free(&t->in);
    return 1;
}

/* --- out ---------------------------------------------------------------------------------------------------------- */

/* Appends n bytes. False: no memory. */
static bool append(sn_tls *t, const char *data, size_t n)
{
    pthread_mutex_lock(&t->list);
    sn_tls_chunk *c = t->last;
    if (!c || c->bytes - c->end < n) {
        size_t bytes = n > CHUNK ? n : CHUNK;
        c = malloc(sizeof *c + bytes);
        if (c) {
            *c = (sn_tls_chunk){.bytes = bytes};
            *(t->last ? &t->last->next : &t->first) = c;
            t->last = c;
        }
    }
    if (c) {
        memcpy(c->data + c->end, data, n);
        c->end += n;
        atomic_fetch_add(&t->out_bytes, n); /* a1 */
    }
    pthread_mutex_unlock(&t->list);
    return c != NULL;
}

static int bio_write(BIO *bio, const char *data, size_t n, size_t *done)
{
    sn_tls *t = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    *done = 0;
    if (!append(t, data, n)) {
        BIO_set_retry_write(bio); /* OpenSSL keeps the record, and can be called again */
        return 0;
    }
    *done = n;
    return 1;
}

/* Takes n bytes, which have been sent, off the flight. */
static void advance(sn_tls *t, size_t n)
{
    atomic_fetch_sub(&t->out_bytes, n);
    while (n > 0) {
        sn_tls_chunk *c = t->flight;
        size_t left = c->end - c->begin;
        if (n < left) {
            c->begin += n;
            return;
        }
        n -= left;
        t->flight = c->next;
        free(c);
    }
}

/* Sends until nothing is left, or, without `wait`, nothing goes any more. `sending` is held. */
static int send_flight(sn_tls *t, bool wait)
{
    sinew_transport *below = t->transport.below;
    for (;;) {
        if (!t->flight) {
            pthread_mutex_lock(&t->list);
            t->flight = t->first;
            t->first = t->last = NULL;
            pthread_mutex_unlock(&t->list);
        }
        if (!t->flight)
            return 0;
        struct iovec pieces[PIECES];
        int count = 0;
        for (sn_tls_chunk *c = t->flight; c && count < PIECES; c = c->next)
            pieces[count++] = (struct iovec){c->data + c->begin, c->end - c->begin};
        ssize_t n = below->ops->send(below, pieces, count, wait);
        if (n < 0)
            return (int)n;
        advance(t, (size_t)n);
    }
}

int sn_tls_push(sn_tls *t)
{
    int r = 0;
    while (r == 0 && atomic_load(&t->out_bytes) > 0) { /* s2 */
        if (sinew_mutex_trylock(&t->sending) != 0)     /* a2 */
            return -EAGAIN;
        r = send_flight(t, false);
        sinew_mutex_unlock(&t->sending); /* s1 */
    }
    return r;
}

int sn_tls_flush(sn_tls *t)
{
    int r = sn_tls_push(t);
    if (r != 0 && r != -EAGAIN)
        return r;
    while (atomic_load(&t->out_bytes) > 0) { /* s2 */
        r = sinew_mutex_lock(&t->sending);
        if (r != 0)
            return r;
        r = send_flight(t, true);
        sinew_mutex_unlock(&t->sending); /* s1 */
        if (r != 0)
            return r;
    }
    return 0;
}

void sn_tls_output_free(sn_tls *t)
{
    for (sn_tls_chunk *c = t->flight, *next; c; c = next) {
        next = c->next;
        free(c);
    }
    for (sn_tls_chunk *c = t->first, *next; c; c = next) {
        next = c->next;
        free(c);
    }
    t->flight = t->first = t->last = NULL;
}

/* --- the BIO ------------------------------------------------------------------------------------------------------ */

static long bio_control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

static BIO_METHOD *method;

static void make_method(void)
{
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "sinew transport");
    if (method) {
        BIO_meth_set_read_ex(method, bio_read);
        BIO_meth_set_write_ex(method, bio_write);
        BIO_meth_set_ctrl(method, bio_control);
    }
}

BIO *sn_tls_bio_new(sn_tls *t)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_method);
    BIO *bio = method ? BIO_new(method) : NULL;
    if (bio) {
        BIO_set_data(bio, t);
        BIO_set_init(bio, 1);
    }
    return bio;
}
