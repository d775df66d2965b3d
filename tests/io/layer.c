/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what sinew/transport.h promises to those who put a layer under a stream, or a stream over something of their
 * own. Method: a layer that changes every byte and keeps count of its calls, and a transport without any descriptor.
 * The layer that matters, TLS, has tests of its own.
 */
#include <sinew/transport.h>

#include <errno.h>

#include <tests/support/run.h>
#include <tests/support/sockets.h>
#include <tests/support/tasks.h>

static bool stream_pair(sinew_stream *s[2])
{
    int fds[2];
    s[0] = s[1] = NULL;
    return CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0) &&
           CHECK_EQ(sinew_stream_open(fds[0], NULL, &s[0]), 0) && CHECK_EQ(sinew_stream_open(fds[1], NULL, &s[1]), 0);
}

/* --- a layer ------------------------------------------------------------------------------------------------------ */

enum { MASK = 0x5a };

static atomic_int closed, freed, goodbyes, last_goodbyes;

typedef struct masking {
    sinew_transport transport;
    _Atomic int refusals; /* so many shutdowns without waiting are refused */
    sinew_event may_begin;
    int result; /* of begin */
} masking;

static void mask(char *data, ssize_t n)
{
    for (ssize_t i = 0; i < n; i++)
        data[i] ^= MASK;
}

static int masking_receive(sinew_transport *t, sinew_received *received)
{
    int n = t->below->ops->receive(t->below, received);
    mask(received->data, n);
    return n;
}

static ssize_t masking_receive_into(sinew_transport *t, void *buffer, size_t n)
{
    ssize_t r = t->below->ops->receive_into(t->below, buffer, n);
    mask(buffer, r);
    return r;
}

/* The first piece only, and not all of that. */
static ssize_t masking_send(sinew_transport *t, const struct iovec *pieces, int count, bool wait)
{
    char block[100];
    (void)count;
    size_t n = pieces->iov_len < sizeof block ? pieces->iov_len : sizeof block;
    memcpy(block, pieces->iov_base, n);
    mask(block, (ssize_t)n);
    return t->below->ops->send(t->below, &(struct iovec){block, n}, 1, wait);
}

static int masking_shutdown(sinew_transport *t, bool wait, bool last)
{
    masking *m = (masking *)t;
    if (!wait && atomic_load(&m->refusals) > 0) {
        atomic_fetch_sub(&m->refusals, 1);
        return -EAGAIN;
    }
    atomic_fetch_add(&goodbyes, 1);
    atomic_fetch_add(&last_goodbyes, last);
    char bye = 'B' ^ MASK;
    t->below->ops->send(t->below, &(struct iovec){&bye, 1}, 1, wait);
    return t->below->ops->shutdown(t->below, wait, last);
}

static void masking_stop(sinew_transport *t, sinew_stop how)
{
    t->below->ops->stop(t->below, how);
}

static void masking_close(sinew_transport *t)
{
    atomic_fetch_add(&closed, 1);
    t->below->ops->close(t->below);
}

static void masking_free(sinew_transport *t)
{
    atomic_fetch_add(&freed, 1);
    free(t);
}

static const sinew_transport_ops masking_ops = {
    .receive = masking_receive,
    .receive_into = masking_receive_into,
    .send = masking_send,
    .shutdown = masking_shutdown,
    .stop = masking_stop,
    .close = masking_close,
    .free = masking_free,
    .says_goodbye = true,
};

static masking *masking_new(void)
{
    masking *m = calloc(1, sizeof *m);
    m->transport.ops = &masking_ops;
    sinew_event_init(&m->may_begin);
    return m;
}

static bool masked_pair(sinew_stream *s[2])
{
    closed = freed = goodbyes = last_goodbyes = 0;
    return stream_pair(s) && CHECK_EQ(sinew_stream_put_layer(s[0], &masking_new()->transport, NULL), 0) &&
           CHECK_EQ(sinew_stream_put_layer(s[1], &masking_new()->transport, NULL), 0);
}

static intptr_t read_all(void *arg)
{
    char *all;
    ssize_t n = sinew_stream_read_all(arg, &all, 0);
    for (ssize_t i = 0; i + 1 < n; i++)
        if (!CHECK(all[i] == (char)i))
            break;
    CHECK(n < 1 || all[n - 1] == 'B'); /* the goodbye of this layer is a byte */
    free(all);
    return n;
}

IN_RUNTIME(all_bytes_go_through_the_layer)
{
    sinew_stream *s[2];
    char block[20000];
    for (size_t i = 0; i < sizeof block; i++)
        block[i] = (char)i;
    if (!masked_pair(s))
        return 0;
    sinew_task *reader = sinew_spawn(read_all, s[1]);
    CHECK_EQ(sinew_stream_write(s[0], block, sizeof block), 0);
    CHECK_EQ(sinew_stream_write_eof(s[0]), 0);
    CHECK_EQ(sinew_await(reader), sizeof block + 1);
    CHECK_EQ(atomic_load(&goodbyes), 1);
    CHECK_EQ(atomic_load(&last_goodbyes), 0); /* we still read */
    CHECK_EQ(sinew_stream_close(s[0]), 0);
    CHECK_EQ(sinew_stream_wait_closed(s[0]), 0);
    CHECK_EQ(atomic_load(&goodbyes), 1); /* it was said */
    CHECK_EQ(atomic_load(&closed), 1);
    CHECK_EQ(atomic_load(&freed), 0);
    CHECK(sinew_stream_find_layer(s[0], &masking_ops) != NULL); /* until the stream is gone */
    sinew_stream_unref(s[0]);
    yield_until(&freed, 1); /* a task that was to send may not have looked yet */
    CHECK_EQ(atomic_load(&freed), 1);
    sinew_stream_unref(s[1]);
    return 0;
}

IN_RUNTIME(a_layer_shows_the_descriptor_below_and_layers_are_found)
{
    sinew_stream *s[2];
    if (!stream_pair(s))
        return 0;
    int fd = sinew_stream_fd(s[0]);
    CHECK(sinew_stream_find_layer(s[0], &masking_ops) == NULL);
    masking *first = masking_new(), *second = masking_new();
    CHECK_EQ(sinew_stream_put_layer(s[0], &first->transport, NULL), 0);
    CHECK(sinew_stream_find_layer(s[0], &masking_ops) == &first->transport);
    CHECK_EQ(sinew_stream_put_layer(s[0], &second->transport, NULL), 0);
    CHECK(sinew_stream_find_layer(s[0], &masking_ops) == &second->transport);
    CHECK(second->transport.below == &first->transport);
    CHECK_EQ(sinew_stream_fd(s[0]), fd);
    /* Masked twice is not masked at all. */
    char byte = 0;
    CHECK_EQ(sinew_stream_write(s[0], "x", 1), 0);
    CHECK_EQ(sinew_stream_flush(s[0]), 0);
    CHECK_EQ(sinew_stream_read(s[1], &byte, 1), 1);
    CHECK(byte == 'x');
    sinew_stream_unref(s[0]);
    sinew_stream_unref(s[1]);
    return 0;
}

IN_RUNTIME(what_was_written_before_goes_below_the_layer)
{
    sinew_stream *s[2];
    char text[4] = "";
    if (!stream_pair(s))
        return 0;
    CHECK_EQ(sinew_stream_write(s[0], "a", 1), 0);
    CHECK_EQ(sinew_stream_put_layer(s[0], &masking_new()->transport, NULL), 0);
    CHECK_EQ(sinew_stream_write(s[0], "b", 1), 0);
    CHECK_EQ(sinew_stream_flush(s[0]), 0);
    CHECK_EQ(sinew_stream_read_exactly(s[1], text, 2), 0);
    CHECK(text[0] == 'a' && text[1] == ('b' ^ MASK));
    sinew_stream_unref(s[0]);
    sinew_stream_unref(s[1]);
    return 0;
}

IN_RUNTIME(closing_a_layer_says_goodbye_even_if_not_at_once)
{
    for (int refusals = 0; refusals < 3; refusals++)
        for (int how = 0; how < 2; how++) {
            sinew_stream *s[2];
            closed = freed = goodbyes = last_goodbyes = 0;
            if (!stream_pair(s))
                return 0;
            masking *m = masking_new();
            atomic_store(&m->refusals, refusals);
            CHECK_EQ(sinew_stream_put_layer(s[0], &m->transport, NULL), 0);
            CHECK_EQ(sinew_stream_write(s[0], "x", 1), 0);
            if (how == 0) {
                CHECK_EQ(sinew_stream_close(s[0]), 0);
                CHECK_EQ(sinew_stream_wait_closed(s[0]), 0);
                CHECK_EQ(atomic_load(&last_goodbyes), 1);
            }
            sinew_stream_unref(s[0]);
            char *all;
            CHECK_EQ(sinew_stream_read_all(s[1], &all, 0), 2);
            free(all);
            CHECK_EQ(atomic_load(&goodbyes), 1);
            yield_until(&closed, 1); /* by the task that said goodbye */
            CHECK_EQ(atomic_load(&closed), 1);
            sinew_stream_unref(s[1]);
        }
    return 0;
}

IN_RUNTIME(an_abort_says_no_goodbye)
{
    sinew_stream *s[2];
    if (!masked_pair(s))
        return 0;
    CHECK_EQ(sinew_stream_abort(s[0]), 0);
    CHECK_EQ(sinew_stream_wait_closed(s[0]), 0);
    CHECK_EQ(atomic_load(&goodbyes), 0);
    CHECK_EQ(atomic_load(&closed), 1);
    sinew_stream_unref(s[0]);
    sinew_stream_unref(s[1]);
    return 0;
}

/* --- beginning ---------------------------------------------------------------------------------------------------- */

static int begin_when_told(sinew_transport *t)
{
    masking *m = (masking *)t;
    int r = sinew_event_wait(&m->may_begin);
    return r != 0 ? r : m->result;
}

typedef struct putting {
    sinew_stream *stream;
    masking *layer;
} putting;

static intptr_t put(void *arg)
{
    putting *p = arg;
    return sinew_stream_put_layer(p->stream, &p->layer->transport, begin_when_told);
}

IN_RUNTIME(a_beginning_that_fails_is_the_end_of_the_connection)
{
    static const int results[] = {-EPROTO, -EACCES, -EAGAIN, -EPIPE},
                     lost[] = {-EPROTO, -EACCES, -ECONNABORTED, -ECONNABORTED};
    for (size_t i = 0; i < 4; i++) {
        sinew_stream *s[2];
        char byte;
        if (!stream_pair(s))
            return 0;
        putting p = {s[0], masking_new()};
        p.layer->result = results[i];
        sinew_task *task = sinew_spawn(put, &p);
        sinew_sleep(SINEW_MS(1));
        CHECK_EQ(sinew_stream_read(s[0], &byte, 1), -EBUSY); /* as if a task were reading */
        CHECK_EQ(sinew_stream_put_layer(s[0], &masking_new()->transport, NULL), -EBUSY);
        sinew_event_set(&p.layer->may_begin);
        CHECK_EQ(sinew_await(task), results[i]);
        CHECK_EQ(sinew_stream_read(s[0], &byte, 1), lost[i]);
        CHECK_EQ(sinew_stream_write(s[0], &byte, 1), -EPIPE);
        CHECK_EQ(sinew_stream_drain(s[0]), lost[i]);
        sinew_stream_close(s[0]);
        CHECK_EQ(sinew_stream_wait_closed(s[0]), lost[i]);
        sinew_stream_unref(s[0]);
        sinew_stream_unref(s[1]);
    }
    return 0;
}

IN_RUNTIME(a_beginning_can_be_cancelled)
{
    sinew_stream *s[2];
    char byte;
    if (!stream_pair(s))
        return 0;
    putting p = {s[0], masking_new()};
    sinew_task *task = sinew_spawn(put, &p);
    sinew_sleep(SINEW_MS(1));
    sinew_cancel(task);
    CHECK_EQ(sinew_await(task), -ECANCELED);
    CHECK_EQ(sinew_stream_read(s[0], &byte, 1), -ECONNABORTED);
    sinew_stream_unref(s[0]);
    sinew_stream_unref(s[1]);
    return 0;
}

IN_RUNTIME(a_layer_that_cannot_be_put_is_freed_and_the_stream_is_as_it_was)
{
    sinew_stream *s[2];
    const char *line;
    closed = freed = 0;
    if (!stream_pair(s))
        return 0;
    CHECK_EQ(sinew_stream_put_layer(s[0], NULL, NULL), -EINVAL);
    CHECK_EQ(sinew_stream_put_layer(NULL, &masking_new()->transport, NULL), -EINVAL);
    yield_until(&freed, 1); /* a task that was to send may not have looked yet */
    CHECK_EQ(atomic_load(&freed), 1);
    CHECK_EQ(sinew_stream_write(s[1], "one\ntwo\n", 8), 0);
    CHECK_EQ(sinew_stream_flush(s[1]), 0);
    CHECK_EQ(sinew_stream_readline(s[0], &line), 4);
    CHECK_EQ(sinew_stream_put_layer(s[0], &masking_new()->transport, NULL), -EBADMSG);
    yield_until(&freed, 2); /* a task that was to send may not have looked yet */
    CHECK_EQ(atomic_load(&freed), 2);
    CHECK_EQ(sinew_stream_readline(s[0], &line), 4);
    CHECK(memcmp(line, "two\n", 4) == 0);
    /* What nobody reads keeps the layer away, and not for ever. */
    static const char much[1000000];
    CHECK_EQ(sinew_stream_write(s[0], much, sizeof much), 0);
    sinew_timeout limit;
    sinew_timeout_begin(&limit, SINEW_MS(20));
    CHECK_EQ(sinew_stream_put_layer(s[0], &masking_new()->transport, NULL), -ETIMEDOUT);
    CHECK_EQ(sinew_timeout_end(&limit), -ETIMEDOUT);
    yield_until(&freed, 3); /* a task that was to send may not have looked yet */
    CHECK_EQ(atomic_load(&freed), 3);
    char *all = malloc(sizeof much);
    CHECK_EQ(sinew_stream_read_exactly(s[1], all, sizeof much), 0);
    free(all);
    CHECK_EQ(sinew_stream_write_eof(s[0]), 0);
    CHECK_EQ(sinew_stream_put_layer(s[0], &masking_new()->transport, NULL), -EPIPE);
    sinew_stream_close(s[1]);
    CHECK_EQ(sinew_stream_readline(s[0], &line), 0);
    CHECK_EQ(sinew_stream_put_layer(s[0], &masking_new()->transport, NULL), -ENODATA);
    yield_until(&freed, 5); /* a task that was to send may not have looked yet */
    CHECK_EQ(atomic_load(&freed), 5);
    CHECK_EQ(atomic_load(&closed), 0);
    sinew_stream_unref(s[0]);
    sinew_stream_unref(s[1]);
    return 0;
}

/* --- no descriptor at all ----------------------------------------------------------------------------------------- */

/* What is written comes back. */
typedef struct mirror {
    sinew_transport transport;
    sinew_channel *bytes;
} mirror;

static ssize_t mirror_receive_into(sinew_transport *t, void *buffer, size_t n)
{
    mirror *m = (mirror *)t;
    (void)n;
    int r = sinew_channel_recv(m->bytes, buffer);
    return r == -EPIPE ? 0 : r == 0 ? 1 : r;
}

static int mirror_receive(sinew_transport *t, sinew_received *received)
{
    char byte;
    ssize_t n = mirror_receive_into(t, &byte, 1);
    if (n > 0) {
        *received = (sinew_received){.data = malloc(1)};
        received->data[0] = byte;
    }
    return (int)n;
}

static ssize_t mirror_send(sinew_transport *t, const struct iovec *pieces, int count, bool wait)
{
    mirror *m = (mirror *)t;
    (void)count;
    int r = wait ? sinew_channel_send(m->bytes, pieces->iov_base) : sinew_channel_try_send(m->bytes, pieces->iov_base);
    return r == 0 ? 1 : r;
}

static int mirror_shutdown(sinew_transport *t, bool wait, bool last)
{
    (void)wait;
    (void)last;
    sinew_channel_close(((mirror *)t)->bytes);
    return 0;
}

static void mirror_stop(sinew_transport *t, sinew_stop how)
{
    (void)how;
    sinew_channel_close(((mirror *)t)->bytes);
}

static void mirror_close(sinew_transport *t)
{
    sinew_channel_close(((mirror *)t)->bytes);
}

static const sinew_transport_ops mirror_ops = {
    .receive = mirror_receive,
    .receive_into = mirror_receive_into,
    .send = mirror_send,
    .shutdown = mirror_shutdown,
    .stop = mirror_stop,
    .close = mirror_close,
};

IN_RUNTIME(a_stream_needs_no_descriptor)
{
    static mirror m; /* has no free */
    m = (mirror){.transport = {.ops = &mirror_ops, .read_fd = -1, .write_fd = -1}, .bytes = sinew_channel_new(1, 4)};
    sinew_stream *s = NULL;
    const char *line;
    char text[8];
    CHECK_EQ(sinew_stream_over(NULL, NULL, &s), -EINVAL);
    CHECK_EQ(sinew_stream_over(&m.transport, NULL, NULL), -EINVAL);
    CHECK_EQ(sinew_stream_over(&m.transport, NULL, &s), 0);
    CHECK_EQ(sinew_stream_fd(s), -1);
    CHECK_EQ(sinew_stream_peer(s, text, sizeof text), -ENOTCONN);
    CHECK_EQ(sinew_stream_printf(s, "longer than the channel\n"), 0);
    CHECK_EQ(sinew_stream_readline(s, &line), 24);
    CHECK(memcmp(line, "longer than the channel\n", 24) == 0);
    CHECK_EQ(sinew_stream_write_eof(s), 0);
    CHECK_EQ(sinew_stream_readline(s, &line), 0);
    sinew_stream_close(s);
    CHECK_EQ(sinew_stream_wait_closed(s), 0);
    sinew_stream_unref(s);
    sinew_channel_unref(m.bytes);
    return 0;
}

TEST_MAIN(cmocka_unit_test(all_bytes_go_through_the_layer),
          cmocka_unit_test(a_layer_shows_the_descriptor_below_and_layers_are_found),
          cmocka_unit_test(what_was_written_before_goes_below_the_layer),
          cmocka_unit_test(closing_a_layer_says_goodbye_even_if_not_at_once),
          cmocka_unit_test(an_abort_says_no_goodbye),
          cmocka_unit_test(a_beginning_that_fails_is_the_end_of_the_connection),
          cmocka_unit_test(a_beginning_can_be_cancelled),
          cmocka_unit_test(a_layer_that_cannot_be_put_is_freed_and_the_stream_is_as_it_was),
          cmocka_unit_test(a_stream_needs_no_descriptor))
