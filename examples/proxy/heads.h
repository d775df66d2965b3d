/* SPDX-License-Identifier: Apache-2.0 */
/* The heads that the proxy writes. All append to the peer's output, with its rules for errors. */
#ifndef PROXY_HEADS_H
#define PROXY_HEADS_H

#include "clients.h"
#include "message.h"
#include "peer.h"

/* The request as the target gets it. `host` is for one that names none (HTTP/1.0). */
void write_request_head(peer *to, const message *request, const client *who, const char *host);

/* An interim response (1xx). */
void write_interim_head(peer *to, const message *response);

/* The response as the client of this request gets it; its body is to follow. Returns whether the connection can be kept
 * after it, which the head says as well. */
bool write_response_head(peer *to, const message *response, const message *request);

/* A response of our own, whole. `keep`: that the connection can be kept. */
void write_error(peer *to, int status, const message *request, bool keep);

#endif
