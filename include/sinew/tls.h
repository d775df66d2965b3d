/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS for streams, by OpenSSL 3. In a library of its own, libsinew-tls (pkg-config sinew-tls, CMake sinew::tls), so
 * that programs without TLS need no OpenSSL; sinew.h does not include this header.
 *
 * A client, which verifies the server's certificate and its name against the system's authorities:
 *
 *     sinew_tls_context *tls;
 *     sinew_tls_reason why;
 *     int r = sinew_tls_context_new(&(sinew_tls_context_options){.why = &why}, &tls);
 *     sinew_stream *s;
 *     sinew_tls_options opt = {.server_name = "example.org", .why = &why};
 *     if (r == 0)
 *         r = sinew_tls_dial("192.0.2.1:443", tls, &opt, &s);
 *     if (r != 0)
 *         fprintf(stderr, "%s\n", why.text);
 *
 * A server, whose handler gets streams on which TLS runs already:
 *
 *     sinew_tls_context_options files = {
 *         .role = SINEW_TLS_SERVER, .certificate_file = "server.pem", .key_file = "server.key", .why = &why};
 *     r = sinew_tls_context_new(&files, &tls);
 *     ...
 *     sinew_tls_service service = {.context = tls, .handler = handler};
 *     sinew_serve(listener, sinew_tls_serve, &service);
 *
 * The stream is then used as any other (sinew/stream.h): its limits and water marks, who may do what, timeouts and
 * cancels are the same. What is different:
 *
 *   the end       A read finds the end when the peer has ended its side of the session (close_notify). A connection
 *                 that ends without that may have been cut by somebody in between: reads say -ECONNABORTED, unless the
 *                 context has ignore_truncation. sinew_stream_write_eof and sinew_stream_close end this side of the
 *                 session after what was written; reading goes on after a write_eof, if the peer sees it that way too
 *                 (before TLS 1.3 it need not). A closed stream is given up after close_wait if the peer does not
 *                 answer.
 *   errors        -EPROTO         the peer does not speak TLS, has no version, cipher or protocol in common with us,
 *                                 broke off, or sent what does not decrypt
 *                 -EKEYREJECTED   we refuse the peer's certificate: unknown authority, expired, another name, none
 *                 -EACCES         the peer refuses our certificate, or wants one. A client of TLS 1.3 hears of that
 *                                 after its handshake, when it reads
 *                 -ECONNABORTED   the connection ended in the middle: during the handshake, or without close_notify; or
 *                                 a handshake was cancelled or timed out before
 *                 and those of the connection. sinew_tls_error has the sentence that belongs to one.
 *   a handshake   that was cancelled or timed out cannot be taken up again: from then on reads of the stream give
 *                 -ECONNABORTED, and writes -EPIPE.
 *   descriptors   sinew_stream_fd is for options only, as ever: whoever writes to it breaks the session.
 *
 * Renegotiation (TLS 1.2) is refused; key updates (TLS 1.3) are answered. There is no early data.
 *
 * Stack. Handshakes run on the stack of the task that makes them; measured with OpenSSL 3.0, they use 14 KiB of it (a
 * server with an RSA key; 8 KiB otherwise) and reading and writing 8 KiB, with AddressSanitizer 17 and 11. The default
 * of 64 KiB is ample; a smaller one (sinew_options.stack_bytes) should not be below 32 KiB. A handshake
 * computes on its worker for half a millisecond, a little longer with RSA keys of 2048 bits.
 */
#ifndef SINEW_TLS_H
#define SINEW_TLS_H

#include <sinew/base.h>
#include <sinew/server.h>
#include <sinew/stream.h>

SINEW_BEGIN_DECLS

/* A sentence about what went wrong, NUL-terminated; empty: nothing did. */
typedef struct sinew_tls_reason {
    char text[256];
} sinew_tls_reason;

/* --- contexts ----------------------------------------------------------------------------------------------------- */

/* What many connections have in common: certificates, whom to trust, versions. A handle is a counted reference. Any
 * number of connections, in any runtime, may use it at once. */
typedef struct sinew_tls_context sinew_tls_context;

typedef enum sinew_tls_role {
    SINEW_TLS_CLIENT,
    SINEW_TLS_SERVER,
} sinew_tls_role;

typedef enum sinew_tls_verify {
    SINEW_TLS_VERIFY_DEFAULT,  /* clients: _PEER; servers: _NONE */
    SINEW_TLS_VERIFY_PEER,     /* the peer must show a certificate that an authority we trust has signed */
    SINEW_TLS_VERIFY_OPTIONAL, /* servers: as _PEER if the client shows one at all */
    SINEW_TLS_VERIFY_NONE,     /* anybody; for a client that means: also anybody in between */
} sinew_tls_verify;

typedef enum sinew_tls_version {
    SINEW_TLS_VERSION_DEFAULT,
    SINEW_TLS_1_2,
    SINEW_TLS_1_3,
} sinew_tls_version;

/* Zero in a field means its default. Strings are copied. */
typedef struct sinew_tls_context_options {
    sinew_tls_role role;
    const char *certificate_file; /* PEM: our certificate, then those between it and the authority. Servers need one */
    const char *key_file;         /* PEM: its key, not encrypted. NULL: in certificate_file */
    const char *ca_file;          /* PEM: the authorities to trust. NULL, and ca_directory NULL: the system's */
    const char *ca_directory;     /* the same, a file each, named as openssl-rehash(1) does */
    sinew_tls_verify verify;
    const char *alpn;              /* application protocols, best first: "h2,http/1.1". A server that has none of a
                                      client's refuses it; one that is asked for none, or has none set, goes on */
    sinew_tls_version version_min; /* TLS 1.2 */
    sinew_tls_version version_max; /* the newest */
    bool no_tickets;               /* servers: no session tickets; clients then never resume a session */
    bool ignore_truncation;        /* an end without close_notify is an end: for protocols that say themselves where
                                      they end, and peers that do not care */
    sinew_time close_wait;         /* how long a closed stream waits for the peer's close_notify, so that what we sent
                                      last is not lost to a reset: 2 s; < 0: not at all */
    sinew_tls_reason *why;         /* is filled when the call fails; NULL: nobody wants to know */
} sinew_tls_context_options;

/*
 * Makes a context. 0 and one reference in *out. *out is NULL, and opt->why says what is wrong: -EINVAL (a server
 * without a certificate, a bad alpn list, ...), -ENOENT, -EACCES and others of open(2) for a file; -EBADMSG: a file is
 * not what it should be (no PEM, an encrypted key, a key that does not belong to the certificate); -ENOMEM; -ECANCELED,
 * -ETIMEDOUT. Reads the files in a thread of the blocking pool if it is called in a task: may suspend. Any thread.
 * Follows ssl.create_default_context.
 */
SINEW_API int sinew_tls_context_new(const sinew_tls_context_options *opt, sinew_tls_context **out);

/* Reads all files again, for connections that begin later; those that are open go on with what they began with. Errors
 * as of sinew_tls_context_new, `why` (may be NULL) says what is wrong, and the context is as it was. May suspend. Any
 * thread. */
SINEW_API int sinew_tls_context_reload(sinew_tls_context *context, sinew_tls_reason *why);

/* One more reference, which is returned. NULL gives NULL. Any thread. Never suspends. */
SINEW_API sinew_tls_context *sinew_tls_context_ref(sinew_tls_context *context);

/* Drops a reference; connections have their own. NULL is allowed. Any thread. Never suspends. */
SINEW_API void sinew_tls_context_unref(sinew_tls_context *context);

/* --- connections -------------------------------------------------------------------------------------------------- */

/* Zero in a field means its default. */
typedef struct sinew_tls_options {
    const char *server_name;     /* clients: whom we want to talk to, a DNS name or an IP address; the server is told it
                                    (a DNS name), and its certificate must be for it. sinew_tls_dial: default the
                                    address's host */
    bool any_name;               /* clients: the certificate may be for any name; it is verified otherwise */
    sinew_stream_options stream; /* of sinew_tls_dial */
    sinew_tls_reason *why;       /* is filled when the call fails */
} sinew_tls_options;

/*
 * Makes a handshake on an open stream, as client or server, whatever the context is for; from then on what is written
 * and read is encrypted on its way. For protocols that begin in the clear (STARTTLS), and for connections made
 * elsewhere. What was written before goes out in the clear first. `opt` may be NULL.
 *
 * 0. -EBADMSG: bytes have come in the clear that nobody has read: they must never be taken for what the peer says under
 * encryption (somebody in between may have put them there), so nothing was done. A client says -EINVAL when it is to
 * verify a name and has none. -EBUSY: a task is reading, or sends a file; -ENODATA: the stream is at its end; -EPIPE:
 * closed, ended or lost. After these the stream is as it was. Otherwise the stream can only be closed: -EPROTO,
 * -EKEYREJECTED, -EACCES, -ECONNABORTED as above, -ECONNRESET and others of the connection, -ECANCELED, -ETIMEDOUT.
 * Tasks only (-EPERM). May suspend. Follows loop.start_tls.
 */
SINEW_API int sinew_tls_start(sinew_stream *s, sinew_tls_context *context, const sinew_tls_options *opt);

/* Connects (sinew_dial), makes a stream, and the handshake on it. 0 and one reference in *out; errors of sinew_dial,
 * sinew_stream_open and sinew_tls_start: *out is NULL. May suspend. Follows asyncio.open_connection with ssl. */
SINEW_API int sinew_tls_dial(const char *address, sinew_tls_context *context, const sinew_tls_options *opt,
                             sinew_stream **out);

/* Servers with TLS. Zero in a field means its default. */
typedef struct sinew_tls_service {
    sinew_tls_context *context; /* lent as long as the server runs */
    sinew_stream_handler handler;
    void *arg;                    /* the handler's */
    sinew_time handshake_timeout; /* 10 s; SINEW_FOREVER: none */
    /* Is told of handshakes that fail, in the connection's task, and may suspend; NULL: nobody is. They are no errors
     * of this program, and anybody can cause them. */
    void (*failed)(sinew_stream *stream, int error, const char *reason, void *arg);
} sinew_tls_service;

/*
 * A handler for sinew_serve and sinew_server_start, with a sinew_tls_service as its argument: makes the handshake in
 * the connection's own task, so that slow peers hold up nobody, and then calls the service's handler, whose result it
 * returns. A handshake that fails, or takes longer than handshake_timeout, ends that connection.
 */
SINEW_API intptr_t sinew_tls_serve(sinew_stream *stream, void *service);

/* --- asking ------------------------------------------------------------------------------------------------------- */

/* Strings; empty: none. What is longer is cut. */
typedef struct sinew_tls_info {
    char version[16];      /* "TLSv1.3" */
    char cipher[64];       /* "TLS_AES_256_GCM_SHA384" */
    char alpn[64];         /* the protocol agreed upon */
    char server_name[256]; /* whom the client wants to talk to */
    char peer[256];        /* the subject of the peer's certificate: "CN = example.org" */
    bool verified;         /* the peer's certificate was verified (and its name, unless any_name) */
    bool resumed;          /* an earlier session was taken up */
} sinew_tls_info;

/* Fills *out with what the handshake has agreed upon. 0; -ENOPROTOOPT: no TLS on this stream, or no handshake that has
 * succeeded; -EINVAL. Any thread. Never suspends. */
SINEW_API int sinew_tls_get_info(sinew_stream *s, sinew_tls_info *out);

/* Why the session of a stream has failed, as a string in `text`, for people to read. Its length; 0: it has not;
 * -ENOPROTOOPT: no TLS on this stream; -EINVAL. Any thread. Never suspends. */
SINEW_API int sinew_tls_error(sinew_stream *s, char *text, size_t size);

SINEW_END_DECLS
#endif
