/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A layer is put between a stream and its transport while nobody is in that: `reading` is the caller's, and under the
 * lock there is nothing unsent, nobody busy and nobody stopping it. From then on the stream cannot tell the layer from
 * another transport. Whoever claims a call of the transport reads the pointer after that, so nobody has the former one.
 *
 * Then the caller is in `begin` as if it were receiving: who closes the stream meanwhile stops the layer, and the
 * caller does what follows from that when it comes back.
 */
#include "io/stream.h"

#include <sinew/time.h>

/* Has the stream come to an end, or begun to? The lock is held. */
static int refusal(const sinew_stream *s)
{
    return s->closing || s->ending || s->lost ? -EPIPE : 0;
}

/* Waits until nothing is unsent and nobody is inside, and swaps. */
static int put(sinew_stream *s, sinew_transport *layer)
{
    for (;;) {
        bool biased = sn_stream_lock(s);
        int r = s->held ? -EBUSY : refusal(s);
        bool quiet = !s->first && !s->busy && !s->stopping;
        if (r == 0 && quiet) {
            layer->below = s->transport;
            layer->read_fd = s->transport->read_fd;
            layer->write_fd = s->transport->write_fd;
            s->transport = layer;
            s->receiving = true;
        }
        sn_stream_unlock(s, biased);
        if (r != 0 || quiet)
            return r;
        r = sinew_stream_flush(s);
        if (r == 0 && sinew_stream_unsent(s) == 0)
            r = sinew_yield(); /* somebody is in a system call */
        if (r != 0)
            return r == -ECONNRESET ? -EPIPE : r;
    }
}

/* Errors that are no end of the connection by themselves; but who was stopped in the middle of `begin` leaves it where
 * nobody can go on. */
static int made_final(int error)
{
    switch (error) {
    case -ECANCELED:
    case -ETIMEDOUT:
    case -EDEADLK:
    case -ENOMEM:
    case -ENOBUFS:
    case -EAGAIN:
    case -EINTR:
    case -EPIPE:
        return -ECONNABORTED;
    default:
        return error;
    }
}

/* `begin` has returned. */
static void come_back(sinew_stream *s, int result)
{
    sn_piece *dropped = NULL;
    sn_waiting *wake = NULL;
    bool biased = sn_stream_lock(s);
    s->receiving = false;
    if (result < 0) {
        s->read_error = made_final(result);
        sn_stream_lose(s, s->read_error);
        dropped = s->busy ? NULL : sn_stream_drop(s);
        wake = sn_stream_wake_drainers(s);
    }
    sn_stream_todo todo = sn_stream_next(s);
    sn_stream_unlock(s, biased);
    sn_stream_free_pieces(dropped);
    sn_stream_grant(wake);
    sn_stream_act(s, todo, false);
}

/* With `reading` held. */
static int put_and_begin(sinew_stream *s, sinew_transport *layer, int (*begin)(sinew_transport *layer))
{
    int r = s->read_error ? s->read_error : s->have > 0 ? -EBADMSG : s->ended ? -ENODATA : put(s, layer);
    if (r != 0) {
        if (layer->ops->free)
            layer->ops->free(layer);
        return r;
    }
    r = begin ? begin(layer) : 0;
    come_back(s, r);
    return r;
}

int sinew_stream_put_layer(sinew_stream *s, sinew_transport *layer, int (*begin)(sinew_transport *layer))
{
    if (!layer || !layer->ops)
        return -EINVAL;
    int r = !s ? -EINVAL : sn_stream_begin_reading(s);
    if (r == 0) {
        r = put_and_begin(s, layer, begin);
        sn_stream_end_reading(s);
        return r;
    }
    if (layer->ops->free)
        layer->ops->free(layer);
    return r;
}

sinew_transport *sinew_stream_find_layer(sinew_stream *s, const sinew_transport_ops *ops)
{
    if (!s)
        return NULL;
    bool biased = sn_stream_lock(s);
    sinew_transport *t = s->transport;
    sn_stream_unlock(s, biased);
    while (t && t->ops != ops)
        t = t->below;
    return t;
}

void sinew_received_release(sinew_received *received)
{
    if (received && received->data)
        sn_received_release(received);
}
