/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of libsinew-tls: a layer (sinew/transport.h) that holds an OpenSSL session. This library uses sinew by its
 * public headers only.
 *
 *     stream -- plain bytes --> layer.c --> SSL --> memory.c -- records --> the transport below
 *
 * OpenSSL never sees a descriptor and never waits: it reads from memory that has arrived and writes to memory that is
 * to be sent (memory.c is its BIO). Who waits is layer.c, and while it waits it holds no lock.
 *
 *   lock      the SSL object, and all that OpenSSL touches in a call; `error`, `ended`. Held for one call of OpenSSL, a
 *             handshake's step at the longest. Never over a wait for the network.
 *   reading   the right to call the `receive` below, and `arrived`. Held over waits.
 *   sending   the right to call the `send` below, and `flight`. Held over waits, and never asked for by a reader
 *             that could go on without.
 *   list      the list of records to be sent; held for the copy of one.
 *
 * OpenSSL's error queue belongs to the thread. So each call of it that can fail is: clear the queue, call, ask what
 * failed; nothing in between suspends.
 */
#ifndef SN_TLS_H
#define SN_TLS_H

#include <sinew/sync.h>
#include <sinew/tls.h>
#include <sinew/transport.h>

#include <errno.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>

/* --- contexts (context.c) ------------------------------------------------------------------------------------------
 */

struct sinew_tls_context {
    _Atomic uint32_t references;
    sinew_tls_context_options options; /* strings of its own; `why` NULL */
    unsigned char *alpn;               /* as it is sent: each name after its length */
    unsigned alpn_bytes;
    pthread_mutex_t guard; /* of `current`, for some instructions */
    SSL_CTX *current;
};

/* A new session of it. NULL: no memory. */
SSL *sn_tls_session_new(sinew_tls_context *context);

/* --- errors (error.c) ----------------------------------------------------------------------------------------------
 */

/* Writes the sentence. `why` may be NULL. */
__attribute__((format(printf, 2, 3))) void sn_tls_say(sinew_tls_reason *why, const char *format, ...);

/* What OpenSSL's queue says about the call of `ssl` that has just failed. The error, and the sentence. */
int sn_tls_explain(SSL *ssl, sinew_tls_reason *why);

/* --- memory (memory.c) ---------------------------------------------------------------------------------------------
 */

/* Bytes that have arrived. */
typedef struct sn_tls_input {
    sinew_received received; /* data NULL: none */
    char *at;
    size_t have;
} sn_tls_input;

/* Records to be sent. `end` moves while the beginning is being sent; nothing else does. */
typedef struct sn_tls_chunk {
    struct sn_tls_chunk *next;
    size_t begin, end, bytes; /* of `data` */
    char data[];
} sn_tls_chunk;

typedef struct sn_tls {
    sinew_transport transport;
    sinew_tls_context *context; /* a reference */
    sinew_mutex lock, reading, sending;
    SSL *ssl;                  /* NULL: closed */
    sinew_event opened;        /* the handshake is over, in one way or the other */
    bool said_end;             /* close_notify is written */
    bool ended;                /* nothing more comes */
    int error;                 /* the session has failed; 0: it has not */
    _Atomic bool failed;       /* `error` and `reason` are there, for others to see */
    _Atomic bool open;         /* the handshake has succeeded: `info` is there */
    _Atomic bool stopped;      /* what is below ends because we want it to */
    _Atomic bool leaving;      /* the stream is closed: nobody wants what comes */
    _Atomic bool writer_waits; /* until OpenSSL has been given more to read, or nobody reads */
    sinew_event fed;           /* that has come about */

    /* Of who is receiving. */
    sn_tls_input arrived; /* not yet under the lock */
    sn_tls_input in;      /* what OpenSSL reads from */
    size_t missing;       /* bytes that it wanted last and did not get */
    size_t record;        /* bytes of the last record it has asked for */

    /* Of who is sending. */
    size_t encrypted; /* plain bytes in records that have not all gone out */

    pthread_mutex_t list;
    sn_tls_chunk *first, *last;
    sn_tls_chunk *flight;     /* taken off the list by who is sending; goes first */
    _Atomic size_t out_bytes; /* in both */

    sinew_tls_info *info;
    sinew_tls_reason reason;
} sn_tls;

/* OpenSSL's way to `t`. NULL: no memory. */
BIO *sn_tls_bio_new(sn_tls *t);

/* Makes what has arrived readable for OpenSSL, if it has read all that came before. The lock is held. */
void sn_tls_take_arrived(sn_tls *t);
/* What is left of it must not stay in a buffer of the runtime's, which has few: moves it. */
void sn_tls_keep(sn_tls_input *in);
void sn_tls_input_free(sn_tls_input *in);

/* Waits for bytes from below. > 0: they have arrived; 0: the end; or an error. */
ssize_t sn_tls_fetch(sn_tls *t);

/* Sends what goes without waiting, unless somebody is sending, who then goes on until nothing is left. Never suspends.
 * 0, or an error; -EAGAIN: not all has gone. */
int sn_tls_push(sn_tls *t);
/* Sends everything. */
int sn_tls_flush(sn_tls *t);
void sn_tls_output_free(sn_tls *t);

/* --- the layer (layer.c) -------------------------------------------------------------------------------------------
 */

extern const sinew_transport_ops sn_tls_ops;

/* The session is of no use any more. The lock is held, or nobody else is there yet. Returns `error`. */
int sn_tls_fail(sn_tls *t, int error, const char *why);

/* The same for what OpenSSL's queue says. */
int sn_tls_fail_of_openssl(sn_tls *t);

/* The connection has ended below. 0: that is the end; or an error. The lock is held. */
int sn_tls_below_ended(sn_tls *t);

#endif
