/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handshakes: on a stream that is there, on one that is dialled, in the task of a server's connection. And what can be
 * asked afterwards.
 */
#include "io/tls/tls.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include <sinew/time.h>

#define HANDSHAKE_TIMEOUT SINEW_S(10)

enum { WANT_MORE = 1 };

/* --- the handshake ------------------------------------------------------------------------------------------------ */

static void copy_text(char *to, size_t size, const void *from, size_t length)
{
    if (length >= size)
        length = size - 1;
    memcpy(to, from, length);
    to[length] = '\0';
}

static void copy_string(char *to, size_t size, const char *from)
{
    if (from)
        copy_text(to, size, from, strlen(from));
}

/* What was agreed upon, while the session is there to be asked. */
static void note_info(sn_tls *t)
{
    sinew_tls_info *info = t->info;
    copy_string(info->version, sizeof info->version, SSL_get_version(t->ssl));
    copy_string(info->cipher, sizeof info->cipher, SSL_get_cipher_name(t->ssl));
    copy_string(info->server_name, sizeof info->server_name, SSL_get_servername(t->ssl, TLSEXT_NAMETYPE_host_name));
    const unsigned char *alpn = NULL;
    unsigned alpn_bytes = 0;
    SSL_get0_alpn_selected(t->ssl, &alpn, &alpn_bytes);
    if (alpn_bytes > 0)
        copy_text(info->alpn, sizeof info->alpn, alpn, alpn_bytes);
    info->resumed = SSL_session_reused(t->ssl);
    X509 *peer = SSL_get0_peer_certificate(t->ssl);
    BIO *text = peer ? BIO_new(BIO_s_mem()) : NULL;
    if (text) {
        X509_NAME_print_ex(text, X509_get_subject_name(peer), 0, XN_FLAG_ONELINE & ~ASN1_STRFLGS_ESC_MSB);
        char *data;
        long length = BIO_get_mem_data(text, &data);
        if (length > 0)
            copy_text(info->peer, sizeof info->peer, data, (size_t)length);
        BIO_free(text);
    }
    info->verified =
        peer && (SSL_get_verify_mode(t->ssl) & SSL_VERIFY_PEER) && SSL_get_verify_result(t->ssl) == X509_V_OK;
    ERR_clear_error();
}

/* 0: done; WANT_MORE; or an error. The lock is held. */
static int step(sn_tls *t)
{
    sn_tls_take_arrived(t);
    ERR_clear_error();
    int r = SSL_do_handshake(t->ssl);
    if (r == 1) {
        note_info(t);
        sn_tls_keep(&t->in);
        return 0;
    }
    switch (SSL_get_error(t->ssl, r)) {
    case SSL_ERROR_WANT_READ:
        return WANT_MORE;
    case SSL_ERROR_WANT_WRITE:
        return sn_tls_fail(t, -ENOMEM, "no memory");
    default:
        return sn_tls_fail_of_openssl(t);
    }
}

/* What was to be sent could not be: perhaps the peer has said why, before it hung up. */
static int send_failed(sn_tls *t, int error)
{
    if (error != -EPIPE && error != -ECONNRESET)
        return error;
    while (sn_tls_fetch(t) > 0 && sinew_mutex_lock(&t->lock) == 0) {
        int r = step(t);
        sinew_mutex_unlock(&t->lock);
        if (r != WANT_MORE)
            return r < 0 ? r : -ECONNRESET;
    }
    return -ECONNRESET;
}

static int shake_hands(sn_tls *t)
{
    for (;;) {
        int r = sinew_mutex_lock(&t->lock);
        if (r != 0)
            return r;
        r = step(t);
        sinew_mutex_unlock(&t->lock);
        if (r < 0) {
            sn_tls_push(t); /* the alert */
            return r;
        }
        int sent = sn_tls_flush(t);
        if (sent != 0)
            return send_failed(t, sent);
        if (r == 0)
            return 0;
        ssize_t arrived = sn_tls_fetch(t);
        if (arrived <= 0)
            return arrived < 0 ? (int)arrived : sn_tls_below_ended(t);
    }
}

/* Begins the session; called in sinew_stream_put_layer. Until `opened` is set nobody else gets to the session. */
static int begin(sinew_transport *transport)
{
    sn_tls *t = (sn_tls *)(void *)transport;
    int r = shake_hands(t);
    bool asked = r == -ECANCELED || r == -ETIMEDOUT || r == -EDEADLK;
    if (r != 0 && !asked && atomic_load(&t->stopped)) /* whatever it is that this looked like here */
        r = sn_tls_fail(t, -ECONNABORTED, "the stream was closed during the handshake");
    if (r == 0) {
        atomic_store(&t->open, true);
    } else if (asked) {
        sn_tls_fail(t, -ECONNABORTED, r == -ETIMEDOUT ? "the handshake took too long" : "the handshake was cancelled");
    } else {
        char text[64];
        sn_tls_fail(t, r, strerror_r(-r, text, sizeof text));
    }
    sn_tls_keep(&t->arrived);
    sinew_event_set(&t->opened);
    return r;
}

/* --- setting up --------------------------------------------------------------------------------------------------- */

/* Whom a client wants to talk to: what it tells the server, and what the certificate must say. */
static int set_name(SSL *ssl, const sinew_tls_options *opt, sinew_tls_reason *why)
{
    const char *name = opt ? opt->server_name : NULL;
    bool verify = SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER;
    bool check_name = verify && !(opt && opt->any_name);
    if (!name && check_name) {
        sn_tls_say(why, "server_name is missing: whose certificate is it to be?");
        return -EINVAL;
    }
    if (!name)
        return 0;
    ASN1_OCTET_STRING *address = a2i_IPADDRESS(name);
    ASN1_OCTET_STRING_free(address);
    ERR_clear_error();
    bool set = true;
    if (address)
        set = !check_name || X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1;
    else
        set = SSL_set_tlsext_host_name(ssl, name) == 1 && (!check_name || SSL_set1_host(ssl, name) == 1);
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    ERR_clear_error();
    if (!set)
        sn_tls_say(why, "server_name: \"%s\" is no name", name);
    return set ? 0 : -EINVAL;
}

static int session_new(sinew_tls_context *context, const sinew_tls_options *opt, sinew_tls_reason *why, sn_tls **out)
{
    sn_tls_say(why, "no memory");
    sn_tls *t = calloc(1, sizeof *t);
    if (!t)
        return -ENOMEM;
    t->transport.ops = &sn_tls_ops;
    t->context = sinew_tls_context_ref(context);
    sinew_mutex_init(&t->lock);
    sinew_mutex_init(&t->reading);
    sinew_mutex_init(&t->sending);
    sinew_event_init(&t->opened);
    sinew_event_init(&t->fed);
    pthread_mutex_init(&t->list, NULL);
    t->info = calloc(1, sizeof *t->info);
    t->ssl = t->info ? sn_tls_session_new(context) : NULL;
    BIO *bio = t->ssl ? sn_tls_bio_new(t) : NULL;
    int r = bio ? 0 : -ENOMEM;
    if (bio)
        SSL_set_bio(t->ssl, bio, bio);
    if (r == 0 && context->options.role == SINEW_TLS_SERVER)
        SSL_set_accept_state(t->ssl);
    else if (r == 0) {
        SSL_set_connect_state(t->ssl);
        r = set_name(t->ssl, opt, why);
    }
    if (r != 0) {
        sn_tls_ops.free(&t->transport);
        return r;
    }
    *out = t;
    return 0;
}

/* What there is to say of an error that no session has a sentence for. */
static void say_refusal(sinew_tls_reason *why, int error)
{
    char text[64];
    if (error == -EBADMSG)
        sn_tls_say(why, "bytes came in the clear before the handshake");
    else if (error == -EPIPE)
        sn_tls_say(why, "the stream is closed, or ended");
    else if (error == -ENODATA)
        sn_tls_say(why, "the stream is at its end");
    else if (error == -EBUSY)
        sn_tls_say(why, "another task is reading the stream, or sends a file");
    else
        sn_tls_say(why, "%s", strerror_r(-error, text, sizeof text));
}

int sinew_tls_start(sinew_stream *s, sinew_tls_context *context, const sinew_tls_options *opt)
{
    sinew_tls_reason *why = opt ? opt->why : NULL;
    sn_tls *t;
    if (!s || !context) {
        say_refusal(why, -EINVAL);
        return -EINVAL;
    }
    int r = session_new(context, opt, why, &t);
    if (r != 0)
        return r;
    r = sinew_stream_put_layer(s, &t->transport, begin);
    if (why) {
        if (r == 0)
            why->text[0] = '\0';
        else if (sinew_tls_error(s, why->text, sizeof why->text) <= 0)
            say_refusal(why, r);
    }
    return r;
}

/* The host of "host:port" or "[host]:port". NULL: there is none, or no memory. */
static char *host_of(const char *address)
{
    const char *colon = address ? strrchr(address, ':') : NULL;
    if (!colon || colon == address || strncmp(address, "unix:", 5) == 0)
        return NULL;
    bool brackets = address[0] == '[' && colon - address > 2 && colon[-1] == ']';
    return strndup(address + brackets, (size_t)(colon - address) - 2 * (size_t)brackets);
}

int sinew_tls_dial(const char *address, sinew_tls_context *context, const sinew_tls_options *opt, sinew_stream **out)
{
    if (!out)
        return -EINVAL;
    *out = NULL;
    sinew_tls_options own = opt ? *opt : (sinew_tls_options){.server_name = NULL};
    sinew_stream *s = NULL;
    int r = context ? sinew_stream_dial(address, &own.stream, &s) : -EINVAL;
    if (r != 0) {
        say_refusal(own.why, r);
        return r;
    }
    char *host = own.server_name ? NULL : host_of(address);
    if (host)
        own.server_name = host;
    r = sinew_tls_start(s, context, &own);
    free(host);
    if (r != 0)
        sinew_stream_unref(s);
    else
        *out = s;
    return r;
}

intptr_t sinew_tls_serve(sinew_stream *stream, void *service)
{
    const sinew_tls_service *to = service;
    if (!to || !to->context || !to->handler)
        return -EINVAL;
    sinew_tls_reason why;
    sinew_tls_options opt = {.why = &why};
    sinew_timeout limit;
    sinew_timeout_begin(&limit, to->handshake_timeout ? to->handshake_timeout : HANDSHAKE_TIMEOUT);
    int r = sinew_tls_start(stream, to->context, &opt);
    bool expired = sinew_timeout_end(&limit) == -ETIMEDOUT;
    if (r == 0)
        return to->handler(stream, to->arg);
    if (r == -ECANCELED || (r == -ETIMEDOUT && !expired))
        return r;
    if (to->failed)
        to->failed(stream, r, why.text, to->arg);
    return 0;
}

/* --- asking ------------------------------------------------------------------------------------------------------- */

int sinew_tls_get_info(sinew_stream *s, sinew_tls_info *out)
{
    if (!s || !out)
        return -EINVAL;
    sn_tls *t = (sn_tls *)(void *)sinew_stream_find_layer(s, &sn_tls_ops);
    if (!t || !atomic_load(&t->open))
        return -ENOPROTOOPT;
    *out = *t->info;
    return 0;
}

int sinew_tls_error(sinew_stream *s, char *text, size_t size)
{
    if (!s || (!text && size > 0))
        return -EINVAL;
    sn_tls *t = (sn_tls *)(void *)sinew_stream_find_layer(s, &sn_tls_ops);
    if (!t)
        return -ENOPROTOOPT;
    if (size > 0)
        text[0] = '\0';
    if (!atomic_load(&t->failed))
        return 0;
    if (size > 0)
        copy_string(text, size, t->reason.text);
    return (int)strlen(t->reason.text);
}
