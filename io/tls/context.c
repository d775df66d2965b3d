/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Contexts: options, and the SSL_CTX that was made from them. A reload makes another SSL_CTX from the same options;
 * sessions hold the one they began with.
 */
#include "io/tls/tls.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sinew/blocking.h>
#include <sinew/task.h>

#define CLOSE_WAIT SINEW_S(2)

/* --- files -------------------------------------------------------------------------------------------------------- */

/* A file that cannot be read is told from one that is no PEM. 0, or an error of open(2). */
static int look_at(const char *path, int flags, sinew_tls_reason *why)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | flags);
    if (fd < 0) {
        int error = errno;
        char text[64];
        sn_tls_say(why, "%s: %s", path, strerror_r(error, text, sizeof text));
        return -error;
    }
    close(fd);
    return 0;
}

static int bad_file(const char *path, const char *what, sinew_tls_reason *why)
{
    const char *text = ERR_reason_error_string(ERR_peek_last_error());
    sn_tls_say(why, "%s: %s (%s)", path, what, text ? text : "OpenSSL does not say why");
    return -EBADMSG;
}

/* Instead of asking on the terminal. */
static int no_password(char *buffer, int size, int writing, void *arg)
{
    (void)buffer;
    (void)size;
    (void)writing;
    (void)arg;
    return -1;
}

static int load_certificate(SSL_CTX *ctx, const sinew_tls_context_options *opt, sinew_tls_reason *why)
{
    const char *key = opt->key_file ? opt->key_file : opt->certificate_file;
    int r = look_at(opt->certificate_file, 0, why);
    if (r == 0)
        r = look_at(key, 0, why);
    if (r != 0)
        return r;
    SSL_CTX_set_default_passwd_cb(ctx, no_password);
    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(ctx, opt->certificate_file) != 1)
        return bad_file(opt->certificate_file, "no certificate that can be used", why);
    ERR_clear_error();
    if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1 || SSL_CTX_check_private_key(ctx) != 1)
        return bad_file(key, "no key that belongs to the certificate, and is not encrypted", why);
    return 0;
}

static int load_authorities(SSL_CTX *ctx, const sinew_tls_context_options *opt, sinew_tls_reason *why)
{
    int r = opt->ca_file ? look_at(opt->ca_file, 0, why) : 0;
    if (r == 0 && opt->ca_directory)
        r = look_at(opt->ca_directory, O_DIRECTORY, why);
    if (r != 0)
        return r;
    ERR_clear_error();
    if (!opt->ca_file && !opt->ca_directory) {
        if (SSL_CTX_set_default_verify_paths(ctx) == 1)
            return 0;
        return bad_file("the system's authorities", "cannot be read", why);
    }
    if (opt->ca_file && SSL_CTX_load_verify_file(ctx, opt->ca_file) != 1)
        return bad_file(opt->ca_file, "no authorities that can be used", why);
    if (opt->ca_directory && SSL_CTX_load_verify_dir(ctx, opt->ca_directory) != 1)
        return bad_file(opt->ca_directory, "no authorities that can be used", why);
    if (opt->role == SINEW_TLS_SERVER && opt->ca_file) {
        STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(opt->ca_file); /* clients with several choose by it */
        if (!names)
            return bad_file(opt->ca_file, "no authorities that can be used", why);
        SSL_CTX_set_client_CA_list(ctx, names);
    }
    return 0;
}

/* --- making ------------------------------------------------------------------------------------------------------- */

/* The first of ours that the client has, too. */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_bytes, const unsigned char *in,
                           unsigned in_bytes, void *arg)
{
    (void)ssl;
    const sinew_tls_context *context = arg;
    unsigned char *chosen;
    if (SSL_select_next_proto(&chosen, out_bytes, context->alpn, context->alpn_bytes, in, in_bytes) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static int protocol_number(sinew_tls_version version)
{
    return version == SINEW_TLS_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION;
}

static int verify_mode(const sinew_tls_context_options *opt)
{
    switch (opt->verify) {
    case SINEW_TLS_VERIFY_NONE:
        return SSL_VERIFY_NONE;
    case SINEW_TLS_VERIFY_OPTIONAL:
        return SSL_VERIFY_PEER;
    case SINEW_TLS_VERIFY_PEER:
        return SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    case SINEW_TLS_VERIFY_DEFAULT:
        break;
    }
    return opt->role == SINEW_TLS_CLIENT ? SSL_VERIFY_PEER : SSL_VERIFY_NONE;
}

static int set_up(SSL_CTX *ctx, sinew_tls_context *context, sinew_tls_reason *why)
{
    const sinew_tls_context_options *opt = &context->options;
    bool server = opt->role == SINEW_TLS_SERVER;
    static const unsigned char sessions[] = "sinew";
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_AUTO_RETRY);
    if (SSL_CTX_set_min_proto_version(ctx, protocol_number(opt->version_min)) != 1 ||
        (opt->version_max && SSL_CTX_set_max_proto_version(ctx, protocol_number(opt->version_max)) != 1))
        return -ENOMEM;
    if (server) {
        SSL_CTX_set_session_id_context(ctx, sessions, sizeof sessions - 1);
        if (opt->no_tickets) {
            SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
            SSL_CTX_set_num_tickets(ctx, 0);
            SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
        }
    }
    if (context->alpn && server)
        SSL_CTX_set_alpn_select_cb(ctx, choose_protocol, context);
    if (context->alpn && !server && SSL_CTX_set_alpn_protos(ctx, context->alpn, context->alpn_bytes) != 0)
        return -ENOMEM;
    int r = opt->certificate_file ? load_certificate(ctx, opt, why) : 0;
    int verify = verify_mode(opt);
    SSL_CTX_set_verify(ctx, verify, NULL);
    if (r == 0 && verify != SSL_VERIFY_NONE)
        r = load_authorities(ctx, opt, why);
    return r;
}

typedef struct job {
    sinew_tls_context *context;
    sinew_tls_reason *why;
    SSL_CTX *made;
} job;

static intptr_t make(void *arg)
{
    job *j = arg;
    sn_tls_say(j->why, "no memory");
    SSL_CTX *ctx =
        SSL_CTX_new(j->context->options.role == SINEW_TLS_SERVER ? TLS_server_method() : TLS_client_method());
    if (!ctx)
        return -ENOMEM;
    int r = set_up(ctx, j->context, j->why);
    ERR_clear_error(); /* or the thread keeps it */
    if (r != 0) {
        SSL_CTX_free(ctx);
        return r;
    }
    j->made = ctx;
    sn_tls_say(j->why, "%s", "");
    return 0;
}

/* Off the workers, as it reads files. */
static int make_current(sinew_tls_context *context, sinew_tls_reason *why)
{
    job j = {.context = context, .why = why};
    int r = (int)(sinew_self() ? sinew_blocking_wait(make, &j) : make(&j));
    if (r != 0) {
        if (r == -ECANCELED || r == -ETIMEDOUT || r == -EAGAIN)
            sn_tls_say(why, "the files were not read: %s", r == -EAGAIN ? "the system refuses a thread" : "cancelled");
        return r;
    }
    pthread_mutex_lock(&context->guard);
    SSL_CTX *former = context->current;
    context->current = j.made;
    pthread_mutex_unlock(&context->guard);
    SSL_CTX_free(former);
    return 0;
}

SSL *sn_tls_session_new(sinew_tls_context *context)
{
    pthread_mutex_lock(&context->guard);
    SSL_CTX *ctx = context->current;
    SSL_CTX_up_ref(ctx);
    pthread_mutex_unlock(&context->guard);
    SSL *ssl = SSL_new(ctx);
    SSL_CTX_free(ctx); /* the session has its own reference */
    ERR_clear_error();
    return ssl;
}

/* --- options ------------------------------------------------------------------------------------------------------ */

/* "h2,http/1.1" as it is sent. -EINVAL: an empty name, or a long one. */
static int read_alpn(const char *list, sinew_tls_context *context)
{
    size_t length = strlen(list);
    if (length > 4096)
        return -EINVAL;
    unsigned char *out = malloc(length + 1);
    if (!out)
        return -ENOMEM;
    size_t at = 0; /* where the length of the name goes */
    for (size_t i = 0; i <= length; i++) {
        if (i < length && list[i] != ',') {
            out[i + 1] = (unsigned char)list[i];
            continue;
        }
        if (i == at || i - at > 255) {
            free(out);
            return -EINVAL;
        }
        out[at] = (unsigned char)(i - at);
        at = i + 1;
    }
    context->alpn = out;
    context->alpn_bytes = (unsigned)length + 1;
    return 0;
}

static int check(const sinew_tls_context_options *opt, sinew_tls_reason *why)
{
    const char *wrong = NULL;
    if (opt->role != SINEW_TLS_CLIENT && opt->role != SINEW_TLS_SERVER)
        wrong = "role is neither client nor server";
    else if (opt->role == SINEW_TLS_SERVER && !opt->certificate_file)
        wrong = "a server needs a certificate";
    else if (opt->key_file && !opt->certificate_file)
        wrong = "there is a key and no certificate";
    else if ((unsigned)opt->verify > SINEW_TLS_VERIFY_NONE)
        wrong = "verify has no such value";
    else if (opt->role == SINEW_TLS_CLIENT && opt->verify == SINEW_TLS_VERIFY_OPTIONAL)
        wrong = "a server always shows a certificate, so a client cannot verify it optionally";
    else if ((unsigned)opt->version_min > SINEW_TLS_1_3 || (unsigned)opt->version_max > SINEW_TLS_1_3)
        wrong = "there is no such version";
    else if (opt->version_max && opt->version_min > opt->version_max)
        wrong = "version_min is above version_max";
    if (wrong)
        sn_tls_say(why, "%s", wrong);
    return wrong ? -EINVAL : 0;
}

static bool copy_string(const char **at)
{
    return !*at || (*at = strdup(*at)) != NULL;
}

static int copy_options(const sinew_tls_context_options *opt, sinew_tls_context *context)
{
    sinew_tls_context_options *own = &context->options;
    *own = *opt;
    own->why = NULL;
    own->alpn = NULL; /* kept in another form */
    if (own->close_wait == 0)
        own->close_wait = CLOSE_WAIT;
    bool copied = copy_string(&own->certificate_file);
    copied &= copy_string(&own->key_file);
    copied &= copy_string(&own->ca_file);
    copied &= copy_string(&own->ca_directory);
    return copied ? 0 : -ENOMEM;
}

static void free_string(const char *s)
{
    free((void *)(uintptr_t)s);
}

static void context_free(sinew_tls_context *context)
{
    SSL_CTX_free(context->current);
    pthread_mutex_destroy(&context->guard);
    free_string(context->options.certificate_file);
    free_string(context->options.key_file);
    free_string(context->options.ca_file);
    free_string(context->options.ca_directory);
    free(context->alpn);
    free(context);
}

/* --- the public calls --------------------------------------------------------------------------------------------- */

int sinew_tls_context_new(const sinew_tls_context_options *opt, sinew_tls_context **out)
{
    static const sinew_tls_context_options defaults;
    if (!out)
        return -EINVAL;
    *out = NULL;
    if (!opt)
        opt = &defaults;
    int r = check(opt, opt->why);
    if (r != 0)
        return r;
    sn_tls_say(opt->why, "no memory");
    sinew_tls_context *context = calloc(1, sizeof *context);
    if (!context)
        return -ENOMEM;
    atomic_init(&context->references, 1);
    pthread_mutex_init(&context->guard, NULL);
    r = copy_options(opt, context);
    if (r == 0 && opt->alpn) {
        r = read_alpn(opt->alpn, context);
        if (r == -EINVAL)
            sn_tls_say(opt->why, "alpn: names of 1 to 255 characters with a comma between them, please");
    }
    if (r == 0)
        r = make_current(context, opt->why);
    if (r != 0) {
        context_free(context);
        return r;
    }
    *out = context;
    return 0;
}

int sinew_tls_context_reload(sinew_tls_context *context, sinew_tls_reason *why)
{
    return context ? make_current(context, why) : -EINVAL;
}

sinew_tls_context *sinew_tls_context_ref(sinew_tls_context *context)
{
    if (context)
        atomic_fetch_add_explicit(&context->references, 1, memory_order_relaxed); /* the caller's own keeps it alive */
    return context;
}

void sinew_tls_context_unref(sinew_tls_context *context)
{
    if (context && atomic_fetch_sub_explicit(&context->references, 1, memory_order_acq_rel) == 1)
        context_free(context);
}
