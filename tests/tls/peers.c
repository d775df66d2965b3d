/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: others understand us, and we them.
 * Method: openssl s_server and s_client, and curl, as child processes; each of them has its own idea of when a session
 * ends and what goes into a record. They all stand on OpenSSL, too: of mistakes that it shares this says nothing.
 */
#include <tests/support/tls.h>

#include <stdarg.h>

static char openssl_word[] = "openssl", curl_word[] = "curl";

enum { WORDS = 32 };

/* A child with pipes for its input and output, as a stream. */
typedef struct child {
    sinew_process *process;
    sinew_stream *pipes;
} child;

/* `words` are separated by spaces; paths of certificates go into it by printf. */
__attribute__((format(printf, 3, 4))) static bool child_begin(child *c, int err, const char *words, ...)
{
    static char text[4096]; /* one child begins at a time, and has read it when this returns */
    char *argv[WORDS];
    va_list args;
    va_start(args, words);
    vsnprintf(text, sizeof text, words, args);
    va_end(args);
    size_t n = 0;
    char *rest = text;
    while (n + 1 < WORDS && (argv[n] = strsep(&rest, " ")) != NULL)
        n++;
    argv[n] = NULL;
    sinew_process_options opt = {
        .in = SINEW_STDIO_PIPE, .out = SINEW_STDIO_PIPE, .err = err, .directory = certificates_directory};
    if (!CHECK_EQ(sinew_process_spawn(&opt, argv, &c->process), 0))
        return false;
    int in = sinew_process_take(c->process, 0), out = sinew_process_take(c->process, 1);
    return CHECK_EQ(sinew_stream_open_pair(out, in, NULL, &c->pipes), 0);
}

/* Its exit code, once it has ended. */
static int child_end(child *c)
{
    int code = -1;
    sinew_timeout limit;
    sinew_timeout_begin(&limit, SINEW_S(20));
    CHECK_EQ(sinew_process_wait(c->process, &code), 0);
    sinew_timeout_end(&limit);
    sinew_process_free(c->process);
    sinew_stream_unref(c->pipes);
    return code;
}

/* Reads until a line has `part` in it; the line, without its end, until the next read. NULL: the end. */
static const char *line_with(sinew_stream *s, const char *part)
{
    static _Thread_local char text[512]; /* not used across a wait */
    const char *line;
    ssize_t n;
    while ((n = sinew_stream_readline(s, &line)) > 0) {
        snprintf(text, sizeof text, "%.*s", (int)n - 1, line);
        if (strstr(text, part))
            return text;
    }
    check_failed(__FILE__, __LINE__, "no line with \"%s\"", part);
    return NULL;
}

static const sinew_tls_version versions[] = {SINEW_TLS_1_2, SINEW_TLS_1_3};
static const char *const version_flags[] = {"-tls1_2", "-tls1_3"};
static const char *const version_names[] = {"TLSv1.2", "TLSv1.3"};

/* --- their server ------------------------------------------------------------------------------------------------- */

/* Begins s_server and connects to it. */
static sinew_stream *connect_to(child *c, const char *certificate_name, const char *flags,
                                const sinew_tls_context_options *opt)
{
    if (!child_begin(c, SINEW_STDIO_NULL,
                     "%s s_server -accept 127.0.0.1:0 -cert %s.pem -cert_chain %s.pem -key %s.key %s", openssl_word,
                     certificate_name, certificate_name, certificate_name, flags))
        return NULL;
    const char *line = line_with(c->pipes, "ACCEPT");
    char address[64];
    snprintf(address, sizeof address, "127.0.0.1:%s", line ? strrchr(line, ':') + 1 : "1");
    sinew_tls_context *context = client_context(opt);
    sinew_tls_reason why;
    sinew_tls_options options = {.why = &why};
    sinew_stream *s = NULL;
    if (!CHECK_EQ(sinew_tls_dial(address, context, &options, &s), 0))
        fprintf(stderr, "%s\n", why.text);
    sinew_tls_context_unref(context);
    return s;
}

static void kill_child(child *c)
{
    sinew_process_kill(c->process);
    child_end(c);
}

IN_RUNTIME(a_client_of_openssl_s_server)
{
    static const char *const names[] = {"server", "rsa"};
    for (size_t i = 0; i < 4; i++) {
        char flags[64];
        sinew_tls_info info;
        const char *line;
        child c;
        snprintf(flags, sizeof flags, "-rev -alpn sinew/1 %s", version_flags[i % 2]);
        sinew_stream *s = connect_to(&c, names[i / 2], flags, &(sinew_tls_context_options){.alpn = "h2,sinew/1"});
        if (s) {
            CHECK_EQ(sinew_tls_get_info(s, &info), 0);
            CHECK_TEXT(info.version, version_names[i % 2]);
            CHECK_TEXT(info.alpn, "sinew/1");
            CHECK_CONTAINS(info.peer, names[i / 2]);
            for (int n = 0; n < 20; n++) {
                CHECK_EQ(sinew_stream_printf(s, "%03d\n", n), 0);
                CHECK_EQ(sinew_stream_readline(s, &line), 4);
                CHECK(line && line[0] == '0' + n % 10 && line[1] == '0' + n / 10);
            }
            CHECK_EQ(sinew_stream_write(s, "CLOSE\n", 6), 0);
            CHECK_EQ(sinew_stream_readline(s, &line), 0); /* it says goodbye */
            sinew_stream_close(s);
            CHECK_EQ(sinew_stream_wait_closed(s), 0);
            sinew_stream_unref(s);
        }
        kill_child(&c);
    }
    return 0;
}

static uint64_t summed(uint64_t sum, const void *data, size_t n)
{
    const unsigned char *bytes = data;
    for (size_t i = 0; i < n; i++)
        sum = (sum ^ bytes[i]) * UINT64_C(0x100000001b3);
    return sum;
}

/* A file with that many bytes; its sum. */
static uint64_t make_file(const char *name, size_t bytes)
{
    FILE *f = fopen(certificate(name), "w");
    uint64_t sum = 0;
    for (uint32_t i = 0; i < bytes; i++) {
        char byte = (char)(i * 2654435761u >> 24);
        fputc(byte, f);
        sum = summed(sum, &byte, 1);
    }
    fclose(f);
    return sum;
}

IN_RUNTIME(a_large_file_from_openssl_s_server)
{
    size_t bytes = scaled(5000000, 300000);
    uint64_t sum = make_file("large", bytes);
    for (size_t i = 0; i < 2; i++) {
        child c;
        char flags[64], *all = NULL;
        snprintf(flags, sizeof flags, "-WWW %s", version_flags[i]);
        sinew_stream *s = connect_to(&c, "server", flags, NULL);
        if (s) {
            CHECK_EQ(sinew_stream_printf(s, "GET /large HTTP/1.0\r\n\r\n"), 0);
            ssize_t n = sinew_stream_read_all(s, &all, 0);
            char *body = all ? strstr(all, "\r\n\r\n") : NULL;
            if (CHECK(n > 0) && CHECK(body != NULL)) {
                CHECK_EQ(all + n - (body + 4), bytes);
                CHECK(summed(0, body + 4, bytes) == sum);
            }
            free(all);
            sinew_stream_unref(s);
        }
        kill_child(&c);
    }
    return 0;
}

/* What is typed into s_server goes to us; K and k on a line are commands: a key update with and without an answer. */
IN_RUNTIME(key_updates_of_a_server)
{
    child c;
    const char *line;
    sinew_stream *s = connect_to(&c, "server", "-tls1_3", NULL);
    for (int i = 0; s && i < 5; i++) {
        CHECK_EQ(sinew_stream_printf(c.pipes, "to you %d\n", i), 0);
        CHECK_EQ(sinew_stream_readline(s, &line), 9);
        CHECK(line && memcmp(line, "to you", 6) == 0);
        CHECK_EQ(sinew_stream_write(c.pipes, i % 2 ? "K\n" : "k\n", 2), 0);
        CHECK_EQ(sinew_stream_flush(c.pipes), 0);
        CHECK_EQ(sinew_stream_printf(s, "to it %d\n", i), 0);
        CHECK(line_with(c.pipes, "to it") != NULL); /* it looks at what is typed first, so it has read the command */
    }
    if (s) {
        sinew_stream_abort(s);
        sinew_stream_unref(s);
    }
    kill_child(&c);
    return 0;
}

/* --- our server --------------------------------------------------------------------------------------------------- */

typedef struct served {
    sinew_tls_service service;
    sinew_server *server;
    int port;
    _Atomic int failures, handled, resumed;
    _Atomic int64_t last_result;
} served;

static void count_failure(sinew_stream *stream, int error, const char *reason, void *arg)
{
    (void)stream;
    served *sv = arg;
    CHECK(error < 0 && reason[0]);
    atomic_fetch_add(&sv->failures, 1);
}

static bool serve(served *sv, sinew_tls_context *context, sinew_stream_handler handler)
{
    *sv = (served){.service = {.context = context, .handler = handler, .arg = sv, .failed = count_failure}};
    int listener = sinew_listen("127.0.0.1:0", NULL);
    if (!CHECK(context != NULL) || !CHECK(listener >= 0) ||
        !CHECK_EQ(sinew_server_start(listener, NULL, sinew_tls_serve, &sv->service, &sv->server), 0))
        return false;
    sv->port = sinew_server_port(sv->server);
    return true;
}

static void served_end(served *sv)
{
    CHECK_EQ(sinew_server_drain(sv->server, SINEW_S(10)), 0);
    sinew_server_free(sv->server);
    sinew_tls_context_unref(sv->service.context);
}

static void note(served *sv, sinew_stream *s, ssize_t result)
{
    sinew_tls_info info;
    CHECK_EQ(sinew_tls_get_info(s, &info), 0);
    atomic_fetch_add(&sv->resumed, info.resumed);
    atomic_store(&sv->last_result, result);
    atomic_fetch_add(&sv->handled, 1);
}

/* Sends back what comes, until the end, or until there is a line "end". */
static intptr_t echo(sinew_stream *s, void *arg)
{
    const char *line;
    ssize_t n;
    while ((n = sinew_stream_readline(s, &line)) > 0) {
        bool end = n >= 4 && memcmp(line, "end", 3) == 0;
        if (sinew_stream_write(s, line, (size_t)n) != 0 || sinew_stream_drain(s) != 0 || end)
            break;
    }
    note(arg, s, n);
    return 0;
}

static bool s_client(child *c, const served *sv, int err, const char *flags)
{
    return child_begin(c, err, "%s s_client -connect 127.0.0.1:%d -CAfile ca.pem -verify_return_error %s", openssl_word,
                       sv->port, flags);
}

/* Feeds s_client while its output is read. */
typedef struct feed {
    sinew_stream *to;
    size_t lines;
} feed;

static intptr_t feed_lines(void *arg)
{
    feed *f = arg;
    char line[512];
    memset(line, '.', sizeof line);
    for (size_t i = 0; i < f->lines; i++) {
        size_t n = (size_t)snprintf(line, sizeof line, "line %zu ", i);
        line[n] = '.';
        size_t length = n + 1 + i * 7 % 300;
        char last = line[length];
        line[length] = '\n';
        if (!CHECK_EQ(sinew_stream_write(f->to, line, length + 1), 0) || !CHECK_EQ(sinew_stream_drain(f->to), 0))
            break;
        line[length] = last;
    }
    CHECK_EQ(sinew_stream_write(f->to, "end\n", 4), 0);
    return 0;
}

IN_RUNTIME(a_server_for_openssl_s_client)
{
    for (size_t i = 0; i < 4; i++) {
        served sv;
        child c;
        char flags[64];
        const char *line;
        if (!serve(&sv, server_context(i / 2 ? "rsa" : "server", NULL), echo))
            break;
        snprintf(flags, sizeof flags, "-quiet %s", version_flags[i % 2]);
        if (s_client(&c, &sv, SINEW_STDIO_NULL, flags)) {
            feed f = {.to = c.pipes, .lines = scaled(10000, 500)};
            sinew_task *feeder = sinew_spawn(feed_lines, &f);
            for (size_t n = 0; n < f.lines; n++) {
                char expected[32];
                int length = snprintf(expected, sizeof expected, "line %zu ", n);
                if (!CHECK_EQ(sinew_stream_readline(c.pipes, &line), (size_t)length + 2 + n * 7 % 300) ||
                    !CHECK(memcmp(line, expected, (size_t)length) == 0))
                    break;
            }
            CHECK_EQ(sinew_stream_readline(c.pipes, &line), 4);
            CHECK_EQ(sinew_stream_readline(c.pipes, &line), 0); /* we have closed, and it has understood */
            CHECK_EQ(sinew_await(feeder), 0);
            CHECK_EQ(child_end(&c), 0);
        }
        served_end(&sv);
        CHECK_EQ(atomic_load(&sv.handled), 1);
        CHECK_EQ(atomic_load(&sv.failures), 0);
    }
    return 0;
}

IN_RUNTIME(key_updates_of_a_client)
{
    served sv;
    child c;
    const char *line;
    if (!serve(&sv, server_context("server", NULL), echo))
        return 0;
    if (s_client(&c, &sv, SINEW_STDIO_STDOUT, "-brief -tls1_3")) {
        for (int i = 0; i < 6; i++) {
            char expected[32];
            snprintf(expected, sizeof expected, "line %d", i);
            CHECK_EQ(sinew_stream_printf(c.pipes, "line %d\n", i), 0);
            CHECK((line = line_with(c.pipes, "line")) != NULL);
            CHECK_TEXT(line ? line : "", expected);
            CHECK_EQ(sinew_stream_write(c.pipes, i % 2 ? "k\n" : "K\n", 2), 0);
            CHECK(line_with(c.pipes, "KEYUPDATE") != NULL);
        }
        CHECK_EQ(sinew_stream_printf(c.pipes, "end\n"), 0);
        CHECK(line_with(c.pipes, "end") != NULL);
        CHECK_EQ(child_end(&c), 0);
    }
    served_end(&sv);
    CHECK_EQ(atomic_load(&sv.handled), 1);
    return 0;
}

/* The client says R and wants another handshake. It is told that there is none, and gives up. */
IN_RUNTIME(renegotiation_is_refused)
{
    served sv;
    child c;
    if (!serve(&sv, server_context("server", NULL), echo))
        return 0;
    if (s_client(&c, &sv, SINEW_STDIO_STDOUT, "-brief -tls1_2")) {
        CHECK_EQ(sinew_stream_printf(c.pipes, "line\n"), 0);
        CHECK(line_with(c.pipes, "line") != NULL);
        CHECK_EQ(sinew_stream_write(c.pipes, "R\n", 2), 0);
        CHECK(line_with(c.pipes, "no renegotiation") != NULL);
        CHECK(child_end(&c) != 0);
    }
    served_end(&sv);
    CHECK_EQ(atomic_load(&sv.handled), 1);
    return 0;
}

IN_RUNTIME(s_client_ends_the_session_and_is_answered)
{
    served sv;
    child c;
    if (!serve(&sv, server_context("server", NULL), echo))
        return 0;
    if (s_client(&c, &sv, SINEW_STDIO_STDOUT, "-brief")) {
        CHECK_EQ(sinew_stream_printf(c.pipes, "line\n"), 0);
        CHECK(line_with(c.pipes, "line") != NULL);
        CHECK_EQ(sinew_stream_write(c.pipes, "Q\n", 2), 0);
        CHECK(line_with(c.pipes, "DONE") != NULL);
        CHECK_EQ(child_end(&c), 0);
    }
    served_end(&sv);
    CHECK_EQ(atomic_load(&sv.last_result), 0); /* an end, and not a cut */
    return 0;
}

IN_RUNTIME(s_client_refuses_us_and_we_are_told)
{
    served sv;
    child c;
    if (!serve(&sv, server_context("expired", NULL), echo))
        return 0;
    if (s_client(&c, &sv, SINEW_STDIO_NULL, "-quiet"))
        CHECK(child_end(&c) != 0);
    served_end(&sv);
    CHECK_EQ(atomic_load(&sv.failures), 1);
    CHECK_EQ(atomic_load(&sv.handled), 0);
    return 0;
}

static void come_twice(sinew_tls_context *context, const char *version, int resumed)
{
    served sv;
    if (!serve(&sv, context, echo))
        return;
    unlink(certificate("session"));
    for (int i = 0; i < 2; i++) {
        child c;
        char flags[128];
        bool kept = access(certificate("session"), F_OK) == 0; /* without a ticket it keeps nothing */
        snprintf(flags, sizeof flags, "-brief %s %s", kept ? "-sess_in session" : "-sess_out session", version);
        if (s_client(&c, &sv, SINEW_STDIO_STDOUT, flags)) {
            CHECK_EQ(sinew_stream_printf(c.pipes, "line\n"), 0);
            CHECK(line_with(c.pipes, "line") != NULL); /* the session's ticket has come before it */
            CHECK_EQ(sinew_stream_write(c.pipes, "Q\n", 2), 0);
            CHECK_EQ(child_end(&c), 0);
        }
    }
    served_end(&sv);
    CHECK_EQ(atomic_load(&sv.handled), 2);
    CHECK_EQ(atomic_load(&sv.resumed), resumed);
}

IN_RUNTIME(a_session_is_resumed_by_its_ticket)
{
    for (int i = 0; i < 2; i++)
        come_twice(server_context("server", NULL), version_flags[i], 1);
    return 0;
}

IN_RUNTIME(without_tickets_no_session_is_resumed)
{
    sinew_tls_context_options opt = {.no_tickets = true};
    for (int i = 0; i < 2; i++)
        come_twice(server_context("server", &opt), version_flags[i], 0);
    return 0;
}

/* --- curl --------------------------------------------------------------------------------------------------------- */

/* As much of HTTP/1.1 as curl needs: answers with the number of the body's bytes, and how many requests there were. */
static intptr_t answer_http(sinew_stream *s, void *arg)
{
    const char *line;
    ssize_t n = 0;
    for (int requests = 1; sinew_stream_idle(s) > 0; requests++) {
        long length = 0, left;
        while ((n = sinew_stream_readline(s, &line)) > 2) {
            if (n > 16 && strncasecmp(line, "content-length: ", 16) == 0)
                length = atol(line + 16);
            if (n > 8 && strncasecmp(line, "expect: ", 8) == 0)
                sinew_stream_printf(s, "HTTP/1.1 100 Continue\r\n\r\n");
        }
        uint64_t sum = 0;
        for (left = length; left > 0 && n > 0; left -= n) {
            char block[8192];
            n = sinew_stream_read(s, block, (size_t)left < sizeof block ? (size_t)left : sizeof block);
            sum = n > 0 ? summed(sum, block, (size_t)n) : 0;
        }
        char body[128];
        int bytes = snprintf(body, sizeof body, "request %d of %ld bytes %lx\n", requests, length, (unsigned long)sum);
        if (n <= 0 || sinew_stream_printf(s, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", bytes, body) != 0)
            break;
    }
    note(arg, s, n);
    return 0;
}

IN_RUNTIME(a_server_for_curl)
{
    size_t bytes = scaled(3000000, 200000);
    char expected[128];
    uint64_t sum = make_file("upload", bytes);
    for (size_t i = 0; i < 2; i++) {
        served sv;
        child c;
        const char *line;
        sinew_tls_context_options opt = {.alpn = "http/1.1", .version_min = versions[i]};
        if (!serve(&sv, server_context("server", &opt), answer_http))
            break;
        if (child_begin(
                &c, SINEW_STDIO_INHERIT,
                "%s -sS --max-time 20 --cacert ca.pem --tls-max 1.%d --data-binary @upload https://localhost:%d/a "
                "https://localhost:%d/b --resolve localhost:%d:127.0.0.1",
                curl_word, i ? 3 : 2, sv.port, sv.port, sv.port)) {
            for (int request = 1; request <= 2; request++) {
                int length = snprintf(expected, sizeof expected, "request %d of %zu bytes %lx\n", request, bytes,
                                      (unsigned long)sum);
                if (CHECK_EQ(sinew_stream_readline(c.pipes, &line), length))
                    CHECK(memcmp(line, expected, (size_t)length) == 0);
            }
            CHECK_EQ(child_end(&c), 0);
        }
        served_end(&sv);
        CHECK_EQ(atomic_load(&sv.handled), 1); /* both requests on one connection */
        CHECK_EQ(atomic_load(&sv.failures), 0);
    }
    return 0;
}

IN_RUNTIME(curl_does_not_trust_just_anybody)
{
    served sv;
    child c;
    if (!serve(&sv, server_context("selfish", NULL), answer_http))
        return 0;
    if (child_begin(&c, SINEW_STDIO_NULL, "%s -sS --max-time 20 --cacert ca.pem https://127.0.0.1:%d/", curl_word,
                    sv.port))
        CHECK_EQ(child_end(&c), 60); /* the peer's certificate cannot be authenticated */
    served_end(&sv);
    CHECK_EQ(atomic_load(&sv.failures), 1);
    return 0;
}

TLS_MAIN(cmocka_unit_test(a_client_of_openssl_s_server), cmocka_unit_test(a_large_file_from_openssl_s_server),
         cmocka_unit_test(key_updates_of_a_server), cmocka_unit_test(a_server_for_openssl_s_client),
         cmocka_unit_test(key_updates_of_a_client), cmocka_unit_test(renegotiation_is_refused),
         cmocka_unit_test(s_client_ends_the_session_and_is_answered),
         cmocka_unit_test(s_client_refuses_us_and_we_are_told), cmocka_unit_test(a_session_is_resumed_by_its_ticket),
         cmocka_unit_test(without_tickets_no_session_is_resumed), cmocka_unit_test(a_server_for_curl),
         cmocka_unit_test(curl_does_not_trust_just_anybody))
