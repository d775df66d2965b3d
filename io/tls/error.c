/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From OpenSSL's errors to a number and a sentence. The first entry of the queue is the cause; the ones after it tell
 * how it came up.
 */
#include "io/tls/tls.h"

#include <openssl/err.h>
#include <openssl/sslerr.h>
#include <openssl/x509_vfy.h>
#include <stdarg.h>
#include <stdio.h>

void sn_tls_say(sinew_tls_reason *why, const char *format, ...)
{
    if (!why)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(why->text, sizeof why->text, format, args);
    va_end(args);
}

/* Alerts by which a peer says what it thinks of our certificate. */
static bool is_about_certificates(int alert)
{
    switch (alert) {
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
    case SSL_AD_CERTIFICATE_REVOKED:
    case SSL_AD_CERTIFICATE_EXPIRED:
    case SSL_AD_CERTIFICATE_UNKNOWN:
    case SSL_AD_UNKNOWN_CA:
    case SSL_AD_ACCESS_DENIED:
    case SSL_AD_CERTIFICATE_REQUIRED:
        return true;
    default:
        return false;
    }
}

int sn_tls_explain(SSL *ssl, sinew_tls_reason *why)
{
    unsigned long code = ERR_peek_error();
    int reason = ERR_GET_REASON(code);
    bool ours = ERR_GET_LIB(code) == ERR_LIB_SSL;
    const char *text = ERR_reason_error_string(code);
    if (!text)
        text = "OpenSSL does not say why";
    if (ours && reason == SSL_R_CERTIFICATE_VERIFY_FAILED) {
        sn_tls_say(why, "the peer's certificate is refused: %s",
                   X509_verify_cert_error_string(SSL_get_verify_result(ssl)));
        return -EKEYREJECTED;
    }
    if (ours && reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) {
        sn_tls_say(why, "the peer shows no certificate");
        return -EKEYREJECTED;
    }
    if (ours && reason > SSL_AD_REASON_OFFSET && reason <= SSL_AD_REASON_OFFSET + 255) {
        sn_tls_say(why, "the peer broke off: %s", text);
        return is_about_certificates(reason - SSL_AD_REASON_OFFSET) ? -EACCES : -EPROTO;
    }
    sn_tls_say(why, "TLS failed: %s", text);
    return -EPROTO;
}
