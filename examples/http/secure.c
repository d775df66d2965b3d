/* SPDX-License-Identifier: Apache-2.0 */
#include "secure.h"

#include "settings.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#if HTTP_TLS

#include <sinew/tls.h>

static sinew_tls_context *context;

int secure_load(const char *certificate, const char *key)
{
    sinew_tls_reason why;
    sinew_tls_context_options options = {.role = SINEW_TLS_SERVER,
                                         .certificate_file = certificate,
                                         .key_file = key,
                                         .alpn = "http/1.1",
                                         .ignore_truncation = true, /* HTTP says itself where a message ends */
                                         .why = &why};
    int r = sinew_tls_context_new(&options, &context);
    if (r < 0)
        fprintf(stderr, "http: %s\n", why.text);
    return r;
}

bool secure_wanted(void)
{
    return context != NULL;
}

sinew_stream *secure_accept(int fd)
{
    sinew_stream *stream;
    if (sinew_stream_open(fd, NULL, &stream) < 0) {
        close(fd);
        return NULL;
    }
    sinew_timeout scope;
    sinew_timeout_begin(&scope, settings.timeout);
    int r = sinew_tls_start(stream, context, NULL);
    if (sinew_timeout_end(&scope) < 0 || r < 0) {
        sinew_stream_abort(stream);
        sinew_stream_unref(stream);
        return NULL;
    }
    return stream;
}

void secure_free(void)
{
    sinew_tls_context_unref(context);
    context = NULL;
}

#else

int secure_load(const char *certificate, const char *key)
{
    (void)certificate;
    (void)key;
    fputs("http: this build has no TLS; configure with -DSINEW_TLS=ON, which needs OpenSSL 3\n", stderr);
    return -ENOTSUP;
}

bool secure_wanted(void)
{
    return false;
}

sinew_stream *secure_accept(int fd)
{
    close(fd);
    return NULL;
}

void secure_free(void) {}

#endif
