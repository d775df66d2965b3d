/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request without a body is sent on, then the response is sent back, by one task. A body is sent on by a second task
 * meanwhile, for a target may answer before it has read all of it: because it refuses it, or because it transforms it
 * on the fly. When the response is complete and the body is not, the rest is not wanted, and both connections are
 * closed.
 */
#include "exchange.h"

#include "heads.h"
#include "message.h"
#include "peer.h"
#include "settings.h"
#include "targets.h"

#include <sinew.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

struct exchange {
    const client *who;
    peer client, target;
    message request, response;
    upstream upstream;
    _Atomic(sinew_time) moved; /* see peer.h */
    bool uploaded;             /* the whole request has been sent on */
    bool answered;             /* the head of the response has been written to the client */
    bool keep;                 /* the client was told that it may send another request */
    bool awaits_body;          /* what has to come next is a part of the request's body */
    bool awaits_continue;      /* ... which the client does not send before it is told so */
    bool bad_body;             /* the client failed to send it */
};

exchange *exchange_new(int fd, const client *who)
{
    exchange *x = malloc(sizeof *x); /* pages of buffers that are not used are never touched */
    if (!x)
        return NULL;
    x->who = who;
    atomic_init(&x->moved, sinew_now());
    peer_begin(&x->client, fd, &x->moved);
    bool failed = message_init(&x->request, HTTP_REQUEST) < 0;
    failed |= message_init(&x->response, HTTP_RESPONSE) < 0;
    if (failed) {
        exchange_free(x);
        return NULL;
    }
    return x;
}

void exchange_free(exchange *x)
{
    message_destroy(&x->request);
    message_destroy(&x->response);
    free(x);
}

bool exchange_has_input(const exchange *x)
{
    return x->client.begin < x->client.end;
}

/* --- messages ----------------------------------------------------------------------------------------------------- */

static message_event feed(peer *from, message *m)
{
    size_t used;
    message_event event = message_feed(m, from->input + from->begin, from->end - from->begin, &used);
    from->begin += used;
    return event;
}

/* 0; -ENODATA: the stream ended before the message began; -ECONNABORTED: it ended within; -EBADMSG: m->status says why;
 * or an error of receiving. */
static int receive_head(peer *from, message *m)
{
    peer_moved(from); /* the time limit is for the whole of it */
    for (;;) {
        switch (feed(from, m)) {
        case MESSAGE_HEAD:
            return 0;
        case MESSAGE_INVALID:
            return -EBADMSG;
        case MESSAGE_COMPLETE: /* an interim response, of which the head was all */
            continue;
        case MESSAGE_PARTIAL:
            break;
        }
        ssize_t n = peer_receive(from);
        if (n == 0)
            return m->part == BETWEEN_MESSAGES ? -ENODATA : -ECONNABORTED;
        if (n < 0)
            return (int)n;
    }
}

static int write_body(void *to, const char *data, size_t len)
{
    peer_write_body(to, data, len);
    return ((const peer *)to)->error;
}

/* Sends a body on as it comes. `awaiting`, which may be NULL, is set while more of it has to come. 0; to->error;
 * -EBADMSG or -ECONNABORTED: it is no HTTP, or ends too early; or an error of receiving. */
static int relay_body(peer *from, message *m, peer *to, bool *awaiting)
{
    m->body = write_body;
    m->body_arg = to;
    message_event event = feed(from, m);
    while (event == MESSAGE_PARTIAL) {
        int error = peer_flush(to); /* before waiting for more */
        if (error < 0)
            return error;
        if (awaiting)
            *awaiting = true;
        ssize_t n = peer_receive(from);
        if (n < 0)
            return (int)n;
        if (n == 0 && message_finish(m) != MESSAGE_COMPLETE)
            return -ECONNABORTED;
        if (awaiting)
            *awaiting = false;
        peer_moved(from);
        event = n == 0 ? MESSAGE_COMPLETE : feed(from, m);
    }
    if (event == MESSAGE_INVALID)
        return to->error < 0 ? to->error : -EBADMSG;
    peer_end_body(to);
    return peer_flush(to);
}

/* --- an exchange -------------------------------------------------------------------------------------------------- */

/* The request's body. A task of its own. */
static intptr_t upload(void *arg)
{
    exchange *x = arg;
    int error = relay_body(&x->client, &x->request, &x->target, &x->awaits_body);
    x->uploaded = error == 0;
    if (x->target.error == -EPIPE || x->target.error == -ECONNRESET)
        return 0; /* it does not want the rest: perhaps it says so in a response */
    x->bad_body = error < 0 && error != -ECANCELED && x->target.error == 0;
    return error;
}

/* The response. */
static int download(exchange *x)
{
    for (;;) {
        int error = receive_head(&x->target, &x->response);
        if (error < 0)
            return error;
        int status = x->response.parser.status_code;
        if (status == 101) /* another protocol, which nobody has offered */
            return -EBADMSG;
        if (status / 100 != 1)
            break;
        x->awaits_continue = false;
        if (x->request.http_1_0) /* does not know about these */
            continue;
        write_interim_head(&x->client, &x->response);
        error = peer_flush(&x->client);
        if (error < 0)
            return error;
    }
    x->answered = true;
    x->keep = write_response_head(&x->client, &x->response, &x->request);
    return relay_body(&x->target, &x->response, &x->client, NULL);
}

static int upload_and_download(exchange *x)
{
    sinew_group both;
    sinew_group_init(&both);
    int error = sinew_group_spawn(&both, upload, x);
    if (error == 0)
        error = download(x);
    sinew_group_cancel(&both); /* done, or failed: the rest of the body is of no use */
    int failed = sinew_group_wait(&both);
    return failed < 0 && error < 0 ? failed : error; /* if the upload was first to fail, our error is -ECANCELED */
}

/* With the target that x->upstream is. */
static int exchange_with_target(exchange *x)
{
    peer_begin(&x->target, x->upstream.fd, &x->moved);
    message_restart(&x->response, HTTP_RESPONSE);
    x->response.skip_body = x->request.parser.method == HTTP_HEAD;

    write_request_head(&x->target, &x->request, x->who, target_address(x->upstream.target));
    int error = peer_flush(&x->target);
    if (error == 0)
        error = x->uploaded ? download(x) : upload_and_download(x);

    atomic_fetch_add_explicit(&counters.to_targets, x->target.sent, memory_order_relaxed);
    bool nothing_left = x->uploaded && x->target.begin == x->target.end;
    if (error == 0 && nothing_left && x->response.keep_alive)
        targets_give_back(&x->upstream);
    else
        sinew_close(x->upstream.fd);
    return error;
}

/* May it be sent a second time when nobody knows whether it has arrived? */
static bool is_repeatable(const exchange *x)
{
    int method = x->request.parser.method;
    return x->uploaded && (method == HTTP_GET || method == HTTP_HEAD || method == HTTP_OPTIONS);
}

static int forward_request(exchange *x)
{
    for (bool spare_allowed = is_repeatable(x);; spare_allowed = false) {
        int error = targets_connect(spare_allowed, &x->upstream);
        if (error < 0) {
            count(&counters.failed);
            return error;
        }
        error = exchange_with_target(x);
        /* A spare that gives nothing has been closed by the target in the moment before. */
        bool closed = error == -ENODATA || error == -ECONNRESET || error == -EPIPE;
        if (!x->upstream.spare || !closed || x->target.received > 0)
            return error;
    }
}

/* --- a client ----------------------------------------------------------------------------------------------------- */

/* Before closing while the client may still be sending: says that no more will come and reads on for a moment.
 * Otherwise the kernel answers the unread bytes with a reset, which can destroy the response on its way. */
static void linger(peer *p)
{
    if (sinew_shutdown(p->fd, SHUT_WR) < 0)
        return;
    sinew_timeout limit;
    sinew_timeout_begin(&limit, settings.idle_timeout < SINEW_S(2) ? settings.idle_timeout : SINEW_S(2));
    ssize_t n = 1;
    for (size_t left = 1 << 20; n > 0 && left > 0; left -= (size_t)n)
        n = sinew_recv(p->fd, p->input, left < PEER_BYTES ? left : PEER_BYTES, 0);
    (void)sinew_timeout_end(&limit);
}

/* The end of an exchange about which the client has been told all. As exchange_run. */
static int finish(exchange *x, bool keep)
{
    int error = peer_flush(&x->client);
    if (error < 0)
        return error;
    if (!keep && (!x->uploaded || exchange_has_input(x)))
        linger(&x->client);
    return keep;
}

static int refuse(exchange *x, int status)
{
    bool keep = x->uploaded && x->request.keep_alive && !atomic_load(&draining);
    peer_moved(&x->client);
    write_error(&x->client, status, &x->request, keep);
    return finish(x, keep);
}

/* 0, or the status that says why this is not forwarded. */
static int look_at_request(const message *m)
{
    const char *path = message_first(m);
    if (m->parser.method == HTTP_CONNECT)
        return 405;
    /* RFC 9112, 3.2: exactly one. Two that differ would mean different things to different servers. */
    if (m->hosts > 1 || (m->hosts == 0 && !m->http_1_0))
        return 400;
    bool whole_server = m->parser.method == HTTP_OPTIONS && strcmp(path, "*") == 0;
    return *path == '/' || whole_server ? 0 : 400; /* a whole URL is what a proxy of the client's own gets */
}

static int status_of_error(const exchange *x, int error)
{
    if (error == -ETIMEDOUT)
        return x->awaits_body && !x->awaits_continue ? 408 : 504;
    return x->bad_body ? 400 : 502;
}

static int serve(exchange *x)
{
    x->uploaded = x->answered = x->keep = x->awaits_body = x->bad_body = false;
    int error = receive_head(&x->client, &x->request);
    switch (error) {
    case 0:
        break;
    case -ENODATA:
        return 0;
    case -EBADMSG:
        return refuse(x, x->request.status);
    case -ETIMEDOUT:
        count(&counters.timed_out);
        return refuse(x, 408);
    default:
        return error;
    }
    int status = look_at_request(&x->request);
    if (status != 0)
        return refuse(x, status);
    count(&counters.requests);
    x->awaits_continue = x->request.expects;
    if (x->request.framing == FRAMING_NONE)
        x->uploaded = feed(&x->client, &x->request) == MESSAGE_COMPLETE;

    error = forward_request(x);
    if (error == 0)
        return finish(x, x->keep && x->uploaded);
    if (error == -ETIMEDOUT)
        count(&counters.timed_out);
    if (error == -ECANCELED || x->answered)
        return error;
    return refuse(x, status_of_error(x, error));
}

int exchange_run(exchange *x)
{
    int result = serve(x);
    atomic_fetch_add_explicit(&counters.to_clients, x->client.sent, memory_order_relaxed);
    x->client.sent = 0;
    return result;
}
