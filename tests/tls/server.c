/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a server with TLS is a server: many connections at once, slow handshakes that hold up nobody, an end in good
 * order.
 * Method: sinew_tls_serve, and clients in the same program.
 */
#include <tests/support/tls.h>

typedef struct site {
    sinew_tls_service service;
    sinew_server *server;
    char address[32];
    sinew_tls_context *client;
    _Atomic int failures, last_failure, handled;
    sinew_event failed;
} site;

static void count_failure(sinew_stream *stream, int error, const char *reason, void *arg)
{
    site *to = arg;
    CHECK(stream != NULL && reason[0] != '\0');
    atomic_store(&to->last_failure, error);
    atomic_fetch_add(&to->failures, 1);
    sinew_event_set(&to->failed);
}

/* Answers lines until the end, and is idle between them. */
static intptr_t echo(sinew_stream *s, void *arg)
{
    site *to = arg;
    const char *line;
    ssize_t n;
    while ((n = sinew_stream_idle(s)) > 0 && (n = sinew_stream_readline(s, &line)) > 0)
        if (sinew_stream_write(s, line, (size_t)n) != 0)
            break;
    atomic_fetch_add(&to->handled, 1);
    return n;
}

static bool site_begin(site *to, sinew_time handshake_timeout)
{
    *to = (site){.service = {.context = server_context("server", NULL),
                             .handler = echo,
                             .arg = to,
                             .handshake_timeout = handshake_timeout,
                             .failed = count_failure},
                 .client = client_context(NULL)};
    sinew_event_init(&to->failed);
    int listener = sinew_listen("127.0.0.1:0", NULL);
    if (!CHECK(listener >= 0) ||
        !CHECK_EQ(sinew_server_start(listener, NULL, sinew_tls_serve, &to->service, &to->server), 0))
        return false;
    snprintf(to->address, sizeof to->address, "127.0.0.1:%d", sinew_server_port(to->server));
    return true;
}

static void site_end(site *to)
{
    sinew_server_free(to->server);
    sinew_tls_context_unref(to->service.context);
    sinew_tls_context_unref(to->client);
}

static sinew_stream *visit(site *to)
{
    sinew_stream *s;
    sinew_tls_reason why;
    if (!CHECK_EQ(sinew_tls_dial(to->address, to->client, &(sinew_tls_options){.why = &why}, &s), 0))
        fprintf(stderr, "%s\n", why.text);
    return s;
}

static bool ask(sinew_stream *s, int number)
{
    const char *line;
    CHECK_EQ(sinew_stream_printf(s, "%d\n", number), 0);
    ssize_t n = sinew_stream_readline(s, &line);
    return CHECK(n > 1) && CHECK_EQ(atoi(line), number);
}

static intptr_t visitor(void *arg)
{
    site *to = arg;
    sinew_stream *s = visit(to);
    if (s) {
        for (int i = 0; i < 10; i++)
            if (!ask(s, i))
                break;
        sinew_stream_close(s);
        CHECK_EQ(sinew_stream_wait_closed(s), 0);
        sinew_stream_unref(s);
    }
    return 0;
}

IN_RUNTIME(a_hundred_connections_at_once)
{
    site to;
    if (!site_begin(&to, 0))
        return 0;
    CHECK_EQ(sinew_map(visitor, &to, 0, 100, NULL), 0);
    CHECK_EQ(sinew_server_drain(to.server, SINEW_S(10)), 0);
    CHECK_EQ(atomic_load(&to.handled), 100);
    CHECK_EQ(atomic_load(&to.failures), 0);
    site_end(&to);
    return 0;
}

IN_RUNTIME(who_says_nothing_holds_up_nobody_and_is_sent_away)
{
    site to;
    sinew_stream *silent[20];
    char byte;
    if (!site_begin(&to, SINEW_MS(scaled(1000, 3000)))) /* enough for who speaks, also where much else runs */
        return 0;
    for (int i = 0; i < 20; i++)
        CHECK_EQ(sinew_stream_dial(to.address, NULL, &silent[i]), 0);
    CHECK_EQ(sinew_map(visitor, &to, 0, 10, NULL), 0);
    CHECK_EQ(atomic_load(&to.handled), 10);
    for (int i = 0; i < 20; i++) {
        CHECK_EQ(sinew_stream_read(silent[i], &byte, 1), 0);
        sinew_stream_unref(silent[i]);
    }
    CHECK_EQ(sinew_server_drain(to.server, SINEW_S(10)), 0);
    CHECK_EQ(atomic_load(&to.failures), 20);
    CHECK_EQ(atomic_load(&to.last_failure), -ETIMEDOUT);
    site_end(&to);
    return 0;
}

IN_RUNTIME(a_handshake_that_fails_ends_its_connection_only)
{
    site to;
    sinew_stream *s, *plain;
    const char *line;
    if (!site_begin(&to, 0))
        return 0;
    s = visit(&to);
    CHECK_EQ(sinew_stream_dial(to.address, NULL, &plain), 0);
    CHECK_EQ(sinew_stream_printf(plain, "GET / HTTP/1.0\r\n\r\n"), 0);
    CHECK(sinew_stream_readline(plain, &line) <= 0);
    CHECK_EQ(sinew_event_wait(&to.failed), 0);
    CHECK_EQ(atomic_load(&to.last_failure), -EPROTO);
    CHECK(ask(s, 7));
    sinew_stream_unref(plain);
    sinew_stream_unref(s);
    CHECK_EQ(sinew_server_drain(to.server, SINEW_S(10)), 0);
    CHECK_EQ(atomic_load(&to.failures), 1);
    site_end(&to);
    return 0;
}

IN_RUNTIME(a_server_that_drains_says_goodbye_to_who_is_idle)
{
    site to;
    sinew_stream *s[5], *busy;
    char byte;
    if (!site_begin(&to, SINEW_S(20)))
        return 0;
    for (int i = 0; i < 5; i++) {
        s[i] = visit(&to);
        CHECK(ask(s[i], i));
    }
    CHECK_EQ(sinew_stream_dial(to.address, NULL, &busy), 0); /* stays in its handshake */
    while (sinew_server_connections(to.server) < 6)
        sinew_yield();
    CHECK_EQ(sinew_server_close(to.server), 0);
    int cut = sinew_server_drain(to.server, SINEW_MS(100));
    CHECK(cut >= 1 && cut <= 6); /* those that have not answered the goodbye by then are still there */
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(sinew_stream_read(s[i], &byte, 1), 0); /* an end, and not a cut */
        sinew_stream_unref(s[i]);
    }
    CHECK(sinew_stream_read(busy, &byte, 1) <= 0);
    sinew_stream_unref(busy);
    CHECK_EQ(atomic_load(&to.handled), 5);
    site_end(&to);
    return 0;
}

static intptr_t reload_often(void *arg)
{
    site *to = arg;
    int r = 0;
    while ((r = sinew_tls_context_reload(to->service.context, NULL)) == 0 && (r = sinew_sleep(SINEW_MS(1))) == 0)
        ;
    CHECK_EQ(r, -ECANCELED);
    return 0;
}

IN_RUNTIME(certificates_are_swapped_under_load)
{
    site to;
    if (!site_begin(&to, 0))
        return 0;
    sinew_task *reload = sinew_spawn(reload_often, &to);
    for (int i = 0; i < 5; i++)
        CHECK_EQ(sinew_map(visitor, &to, 0, 10, NULL), 0);
    sinew_cancel(reload);
    CHECK_EQ(sinew_await(reload), 0);
    CHECK_EQ(sinew_server_drain(to.server, SINEW_S(10)), 0);
    CHECK_EQ(atomic_load(&to.handled), 50);
    site_end(&to);
    return 0;
}

TLS_MAIN(cmocka_unit_test(a_hundred_connections_at_once),
         cmocka_unit_test(who_says_nothing_holds_up_nobody_and_is_sent_away),
         cmocka_unit_test(a_handshake_that_fails_ends_its_connection_only),
         cmocka_unit_test(a_server_that_drains_says_goodbye_to_who_is_idle),
         cmocka_unit_test(certificates_are_swapped_under_load))
