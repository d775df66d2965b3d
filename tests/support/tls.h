/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Contexts and connections for tests of TLS. Both ends in one program: `tls_pair`.
 */
#ifndef TESTS_SUPPORT_TLS_H
#define TESTS_SUPPORT_TLS_H

#include <netinet/tcp.h>

#include <sinew/tls.h>

#include <tests/support/certificates.h>
#include <tests/support/sockets.h>

/* Of a server with `name`.pem; `opt` (may be NULL) has the rest. */
static inline sinew_tls_context *server_context(const char *name, const sinew_tls_context_options *opt)
{
    char pem[64], key[64];
    snprintf(pem, sizeof pem, "%s.pem", name);
    snprintf(key, sizeof key, "%s.key", name);
    sinew_tls_reason why;
    sinew_tls_context_options all = opt ? *opt : (sinew_tls_context_options){0};
    all.role = SINEW_TLS_SERVER;
    all.certificate_file = certificate(pem);
    all.key_file = certificate(key);
    all.why = &why;
    sinew_tls_context *context;
    if (!CHECK_EQ(sinew_tls_context_new(&all, &context), 0))
        fprintf(stderr, "%s\n", why.text);
    return context;
}

/* Of a client that trusts `ca`. */
static inline sinew_tls_context *client_context(const sinew_tls_context_options *opt)
{
    sinew_tls_reason why;
    sinew_tls_context_options all = opt ? *opt : (sinew_tls_context_options){0};
    if (!all.ca_file)
        all.ca_file = certificate("ca.pem");
    all.why = &why;
    sinew_tls_context *context;
    if (!CHECK_EQ(sinew_tls_context_new(&all, &context), 0))
        fprintf(stderr, "%s\n", why.text);
    return context;
}

/* A handshake in a task of its own. */
typedef struct tls_side {
    sinew_stream *stream;
    sinew_tls_context *context;
    sinew_tls_options opt;
    sinew_tls_reason why;
    int result;
} tls_side;

static inline intptr_t tls_side_start(void *arg)
{
    tls_side *side = arg;
    side->opt.why = &side->why;
    side->result = sinew_tls_start(side->stream, side->context, &side->opt);
    return 0;
}

/* Two plain streams that are connected by TCP. */
static inline bool stream_pair(sinew_stream *s[2])
{
    struct sockaddr_in address;
    int listener = loopback_listener(1, &address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), r = connect(fd, (void *)&address, sizeof address);
    int other = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    int on = 1; /* as sinew_dial and servers do */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(other, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    close(listener);
    s[0] = s[1] = NULL;
    return CHECK_EQ(r, 0) && CHECK_EQ(sinew_stream_open(fd, NULL, &s[0]), 0) &&
           CHECK_EQ(sinew_stream_open(other, NULL, &s[1]), 0);
}

/* The same after a handshake: s[0] is the client. Takes the references to the contexts. */
static inline bool tls_pair_of(sinew_stream *s[2], sinew_tls_context *client, sinew_tls_context *server)
{
    tls_side sides[2] = {{.context = client, .opt.server_name = "localhost"}, {.context = server}};
    if (!stream_pair(s))
        return false;
    sides[0].stream = s[0];
    sides[1].stream = s[1];
    sinew_task *other = sinew_spawn(tls_side_start, &sides[1]);
    tls_side_start(&sides[0]);
    sinew_await(other);
    sinew_tls_context_unref(client);
    sinew_tls_context_unref(server);
    bool ok = CHECK_EQ(sides[0].result, 0);
    ok = CHECK_EQ(sides[1].result, 0) && ok;
    if (!ok)
        fprintf(stderr, "client: %s\nserver: %s\n", sides[0].why.text, sides[1].why.text);
    return ok;
}

static inline bool tls_pair(sinew_stream *s[2])
{
    return tls_pair_of(s, client_context(NULL), server_context("server", NULL));
}

static inline void close_pair(sinew_stream *s[2])
{
    sinew_stream_unref(s[0]);
    sinew_stream_unref(s[1]);
}

#define CHECK_TEXT(actual, expected)        \
    ((strcmp((actual), (expected)) == 0) || \
     (check_failed(__FILE__, __LINE__, "\"%s\" instead of \"%s\"", (actual), (expected)), false))

#define CHECK_CONTAINS(text, part)       \
    ((strstr((text), (part)) != NULL) || \
     (check_failed(__FILE__, __LINE__, "\"%s\" does not have \"%s\"", (text), (part)), false))

#endif
