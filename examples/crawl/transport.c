/* SPDX-License-Identifier: Apache-2.0 */
#include "transport.h"

#include "settings.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* --- TLS, where libsinew-tls was built ---------------------------------------------------------------------------- */

#if CRAWL_TLS

#include <sinew/tls.h>

static sinew_tls_context *context;
static sinew_mutex making;

static int make_context(sinew_tls_reason *why)
{
    sinew_tls_context_options options = {
        .ca_file = settings.authorities,
        .verify = settings.insecure ? SINEW_TLS_VERIFY_NONE : SINEW_TLS_VERIFY_DEFAULT,
        .alpn = "http/1.1",
        .close_wait = -1, /* the response is complete, or of no use */
        .why = why,
    };
    return sinew_tls_context_new(&options, &context);
}

int transport_begin(void)
{
    sinew_tls_reason why;
    sinew_mutex_init(&making);
    int error = settings.authorities ? make_context(&why) : 0;
    if (error < 0)
        fprintf(stderr, "crawl: %s\n", why.text);
    return error;
}

void transport_end(void)
{
    sinew_tls_context_unref(context);
}

/* Reading the system's authorities takes a while, which plain HTTP does without: the first who needs them does it. */
static int need_context(sinew_tls_reason *why)
{
    int error = sinew_mutex_lock(&making);
    if (error < 0)
        return error;
    if (!context)
        error = make_context(why);
    sinew_mutex_unlock(&making);
    return error;
}

static int connect_secure(transport *t, const char *address)
{
    sinew_tls_reason why = {.text = ""};
    int error = need_context(&why);
    if (error == 0)
        error = sinew_tls_dial(address, context, &(sinew_tls_options){.why = &why}, &t->stream);
    switch (error) {
    case -EPROTO: /* these say that it went wrong, and not how */
    case -EKEYREJECTED:
    case -EACCES:
    case -ECONNABORTED:
        snprintf(t->problem, sizeof t->problem, "%s", why.text);
        break;
    default:
        break;
    }
    return error;
}

/* A server may break off later, too: when it wants a certificate of ours, for example. */
static void explain(transport *t)
{
    (void)sinew_tls_error(t->stream, t->problem, sizeof t->problem); /* fails where there is nothing to say */
}

#else

int transport_begin(void)
{
    return 0;
}

void transport_end(void) {}

static int connect_secure(transport *t, const char *address)
{
    (void)t;
    (void)address;
    return -EPROTONOSUPPORT;
}

static void explain(transport *t)
{
    (void)t;
}

#endif

/* --- both kinds --------------------------------------------------------------------------------------------------- */

bool transport_knows(const char *scheme)
{
    return strcmp(scheme, "http") == 0 || (CRAWL_TLS && strcmp(scheme, "https") == 0);
}

int transport_connect(transport *t, const char *scheme, const char *host, const char *port)
{
    char address[320]; /* a name has at most 255 bytes */
    t->stream = NULL;
    t->problem[0] = '\0';
    if (!transport_knows(scheme))
        return -EPROTONOSUPPORT;
    int len = snprintf(address, sizeof address, "%s:%s", host, port);
    if (len < 0 || (size_t)len >= sizeof address)
        return -ENAMETOOLONG;
    if (strcmp(scheme, "https") == 0)
        return connect_secure(t, address);
    t->fd = sinew_dial(address);
    return t->fd < 0 ? t->fd : 0;
}

ssize_t transport_receive(transport *t, void *buffer, size_t len)
{
    if (!t->stream)
        return sinew_recv(t->fd, buffer, len, 0);
    ssize_t n = sinew_stream_read(t->stream, buffer, len);
    if (n < 0)
        explain(t);
    return n;
}

int transport_send(transport *t, const void *data, size_t len)
{
    if (!t->stream)
        return sinew_send_all(t->fd, data, len);
    int error = sinew_stream_write(t->stream, data, len);
    return error < 0 ? error : sinew_stream_flush(t->stream);
}

void transport_close(transport *t)
{
    if (!t->stream) {
        sinew_close(t->fd);
        return;
    }
    sinew_stream_close(t->stream);
    sinew_stream_unref(t->stream);
}
