/* SPDX-License-Identifier: Apache-2.0 */
/* HTTPS, where libsinew-tls was built. */
#ifndef HTTP_SECURE_H
#define HTTP_SECURE_H

#include <sinew.h>

/* Reads certificate and key (PEM files). 0; otherwise a line on stderr says what was wrong. Before the runtime starts.
 */
int secure_load(const char *certificate, const char *key);

/* Are connections to be encrypted? */
bool secure_wanted(void);

/* Makes a stream of a connected socket and the handshake on it, within settings.timeout. NULL: the client did not want
 * to, or was too slow; the socket is closed. May suspend. */
sinew_stream *secure_accept(int fd);

void secure_free(void);

#endif
