/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: OpenSSL may want to read in order to write, and to write in order to read; neither stops the other direction
 * for good, nor makes anything grow without end. Method: a server that this test makes of OpenSSL itself, in memory, so
 * that what it says can be cut at any byte and its messages be as odd as the protocol allows.
 */
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <tests/support/tls.h>

/* --- the odd server ----------------------------------------------------------------------------------------------- */

typedef struct odd {
    SSL_CTX *context;
    SSL *ssl;
    BIO *in, *out;
    sinew_stream *stream;
} odd;

enum { FRAGMENT = 512, TICKET_EXTRA = 3000 };

/* Makes tickets long. */
static int fill_ticket(SSL *ssl, void *arg)
{
    static const char extra[TICKET_EXTRA];
    (void)arg;
    return SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), extra, sizeof extra);
}

static SSL_TICKET_RETURN any_ticket(SSL *ssl, SSL_SESSION *session, const unsigned char *name, size_t length,
                                    SSL_TICKET_STATUS status, void *arg)
{
    (void)ssl, (void)session, (void)name, (void)length, (void)status, (void)arg;
    return SSL_TICKET_RETURN_IGNORE;
}

/* What it has to say goes out, up to `most` bytes of it. */
static void say(odd *o, size_t most)
{
    char block[4096];
    int n;
    while (most > 0 && (n = BIO_read(o->out, block, (int)(most < sizeof block ? most : sizeof block))) > 0) {
        CHECK_EQ(sinew_stream_write(o->stream, block, (size_t)n), 0);
        most -= (size_t)n;
    }
    CHECK_EQ(sinew_stream_flush(o->stream), 0);
}

static bool hear(odd *o)
{
    char block[4096];
    ssize_t n = sinew_stream_read(o->stream, block, sizeof block);
    if (n > 0)
        BIO_write(o->in, block, (int)n);
    return CHECK(n > 0);
}

static intptr_t odd_handshake(void *arg)
{
    odd *o = arg;
    int r;
    do {
        r = SSL_do_handshake(o->ssl);
        say(o, SIZE_MAX);
    } while (r != 1 && SSL_get_error(o->ssl, r) == SSL_ERROR_WANT_READ && hear(o));
    return CHECK_EQ(r, 1);
}

/* A client of ours, connected to it, by sockets whose buffers are just as large as is said. */
static sinew_stream *meet_odd(odd *o)
{
    sinew_stream *s[2];
    int fds[2];
    if (!CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0) ||
        !CHECK_EQ(sinew_stream_open(fds[0], NULL, &s[0]), 0) || !CHECK_EQ(sinew_stream_open(fds[1], NULL, &s[1]), 0))
        return NULL;
    *o = (odd){.context = SSL_CTX_new(TLS_server_method()), .stream = s[1]};
    SSL_CTX_use_certificate_chain_file(o->context, certificate("server.pem"));
    SSL_CTX_use_PrivateKey_file(o->context, certificate("server.key"), SSL_FILETYPE_PEM);
    SSL_CTX_set_max_send_fragment(o->context, FRAGMENT);
    SSL_CTX_set_num_tickets(o->context, 0);
    SSL_CTX_set_session_ticket_cb(o->context, fill_ticket, any_ticket, NULL);
    o->ssl = SSL_new(o->context);
    o->in = BIO_new(BIO_s_mem());
    o->out = BIO_new(BIO_s_mem());
    SSL_set_bio(o->ssl, o->in, o->out);
    SSL_set_accept_state(o->ssl);
    tls_side client = {.stream = s[0], .context = client_context(NULL), .opt.server_name = "localhost"};
    sinew_task *server = sinew_spawn(odd_handshake, o);
    tls_side_start(&client);
    CHECK_EQ(client.result, 0);
    CHECK_EQ(sinew_await(server), 1);
    sinew_tls_context_unref(client.context);
    return s[0];
}

static void leave_odd(odd *o, sinew_stream *client)
{
    sinew_stream_abort(client);
    sinew_stream_unref(client);
    sinew_stream_abort(o->stream);
    sinew_stream_unref(o->stream);
    SSL_free(o->ssl);
    SSL_CTX_free(o->context);
}

/* The next message that it gets is this one. */
static void expect(odd *o, const char *text)
{
    char got[256];
    int n;
    while ((n = SSL_read(o->ssl, got, sizeof got - 1)) <= 0 && SSL_get_error(o->ssl, n) == SSL_ERROR_WANT_READ &&
           hear(o))
        ;
    if (CHECK(n > 0)) {
        got[n] = '\0';
        CHECK_TEXT(got, text);
    }
}

/* --- reading in order to write ------------------------------------------------------------------------------------ */

static intptr_t read_some(void *arg)
{
    char block[16];
    return sinew_stream_read(arg, block, sizeof block);
}

static int flush_within(sinew_stream *s, sinew_time time)
{
    sinew_timeout limit;
    sinew_timeout_begin(&limit, time);
    int r = sinew_stream_flush(s);
    sinew_timeout_end(&limit);
    return r;
}

/* The client has got the first half of a ticket; OpenSSL does not write until it has the other one. */
static void write_in_the_middle_of_a_message(bool with_reader)
{
    odd o;
    sinew_stream *s = meet_odd(&o);
    if (!s)
        return;
    CHECK_EQ(SSL_new_session_ticket(o.ssl), 1);
    CHECK_EQ(SSL_do_handshake(o.ssl), 1);
    int whole = (int)BIO_pending(o.out);
    CHECK(whole > TICKET_EXTRA);
    say(&o, (size_t)whole / 2);
    sinew_task *reader = sinew_spawn(read_some, s);
    sinew_sleep(SINEW_MS(20));
    if (!with_reader) {
        sinew_cancel(reader);
        CHECK_EQ(sinew_await(reader), -ECANCELED);
    }
    CHECK_EQ(sinew_stream_write(s, "hello", 5), 0);
    CHECK_EQ(flush_within(s, SINEW_MS(10)), -ETIMEDOUT);
    CHECK_EQ(sinew_stream_unsent(s), 5);
    say(&o, (size_t)whole / 4);
    CHECK_EQ(flush_within(s, SINEW_MS(10)), -ETIMEDOUT);
    say(&o, SIZE_MAX);
    CHECK_EQ(flush_within(s, SINEW_S(20)), 0);
    expect(&o, "hello");
    CHECK_EQ(SSL_write(o.ssl, "you, too", 8), 8);
    say(&o, SIZE_MAX);
    CHECK_EQ(with_reader ? sinew_await(reader) : read_some(s), 8);
    leave_odd(&o, s);
}

IN_RUNTIME(a_writer_waits_for_the_rest_of_a_message_that_a_reader_has_begun)
{
    write_in_the_middle_of_a_message(true);
    return 0;
}

IN_RUNTIME(a_writer_reads_the_rest_of_a_message_that_nobody_reads)
{
    write_in_the_middle_of_a_message(false);
    return 0;
}

IN_RUNTIME(a_writer_that_waits_for_the_rest_of_a_message_ends_with_the_stream)
{
    for (int how = 0; how < 4; how++) {
        odd o;
        sinew_stream *s = meet_odd(&o);
        if (!s)
            return 0;
        CHECK_EQ(SSL_new_session_ticket(o.ssl), 1);
        CHECK_EQ(SSL_do_handshake(o.ssl), 1);
        say(&o, 1500);
        sinew_task *reader = sinew_spawn(read_some, s);
        sinew_sleep(SINEW_MS(10));
        if (how % 2) {
            sinew_cancel(reader);
            CHECK_EQ(sinew_await(reader), -ECANCELED);
        }
        CHECK_EQ(sinew_stream_write(s, "hello", 5), 0);
        CHECK_EQ(flush_within(s, SINEW_MS(5)), -ETIMEDOUT);
        if (how < 2)
            sinew_stream_abort(s);
        else
            sinew_stream_abort(o.stream);
        CHECK(flush_within(s, SINEW_S(20)) == -ECONNRESET || how >= 2);
        CHECK(sinew_stream_flush(s) < 0);
        if (how % 2 == 0)
            CHECK(sinew_await(reader) <= 0);
        leave_odd(&o, s);
    }
    return 0;
}

/* --- writing in order to read ------------------------------------------------------------------------------------- */

enum { UPDATES = 100000, SMALL_BUFFER = 4096 };

static void make_small(sinew_stream *s)
{
    int bytes = SMALL_BUFFER;
    CHECK_EQ(setsockopt(sinew_stream_fd(s), SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes), 0);
}

/* Key updates that want an answer, which the server does not read: in the end the client reads no more, either. */
IN_RUNTIME(a_peer_that_takes_no_answers_is_no_longer_heard)
{
    odd o;
    sinew_stream *s = meet_odd(&o);
    if (!s)
        return 0;
    make_small(s);
    make_small(o.stream);
    sinew_task *reader = sinew_spawn(read_some, s);
    int sent = 0, r = 0;
    while (r == 0 && sent < UPDATES) {
        CHECK_EQ(SSL_key_update(o.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
        CHECK_EQ(SSL_do_handshake(o.ssl), 1);
        char block[256];
        int n = BIO_read(o.out, block, sizeof block);
        CHECK_EQ(sinew_stream_write(o.stream, block, (size_t)n), 0);
        r = flush_within(o.stream, SINEW_MS(300));
        sent++;
    }
    CHECK_EQ(r, -ETIMEDOUT);
    CHECK(!sinew_done(reader));
    /* It takes them now, and all goes on where it was. */
    CHECK_EQ(sinew_stream_write(s, "hello", 5), 0);
    expect(&o, "hello");
    CHECK_EQ(sinew_stream_flush(o.stream), 0);
    CHECK_EQ(SSL_write(o.ssl, "you, too", 8), 8);
    say(&o, SIZE_MAX);
    CHECK_EQ(sinew_await(reader), 8);
    leave_odd(&o, s);
    return 0;
}

/* The answers go out before data, and both keep in step. */
IN_RUNTIME(key_updates_between_all_data)
{
    odd o;
    sinew_stream *s = meet_odd(&o);
    if (!s)
        return 0;
    for (int i = 0; i < 200; i++) {
        char text[16], got[16];
        int n = snprintf(text, sizeof text, "number %d", i);
        CHECK_EQ(SSL_key_update(o.ssl, i % 3 ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED), 1);
        CHECK_EQ(SSL_write(o.ssl, text, n), n);
        say(&o, SIZE_MAX);
        if (i % 2) /* what the client writes comes before it has read the update, or after */
            CHECK_EQ(sinew_stream_read_exactly(s, got, (size_t)n), 0);
        CHECK_EQ(sinew_stream_write(s, text, (size_t)n), 0);
        CHECK_EQ(sinew_stream_flush(s), 0);
        if (i % 2 == 0)
            CHECK_EQ(sinew_stream_read_exactly(s, got, (size_t)n), 0);
        CHECK(memcmp(got, text, (size_t)n) == 0);
        expect(&o, text);
    }
    leave_odd(&o, s);
    return 0;
}

TLS_MAIN(cmocka_unit_test(a_writer_waits_for_the_rest_of_a_message_that_a_reader_has_begun),
         cmocka_unit_test(a_writer_reads_the_rest_of_a_message_that_nobody_reads),
         cmocka_unit_test(a_writer_that_waits_for_the_rest_of_a_message_ends_with_the_stream),
         cmocka_unit_test(a_peer_that_takes_no_answers_is_no_longer_heard),
         cmocka_unit_test(key_updates_between_all_data))
