/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is sent back: files, and errors as a line of text. Everything is appended to the client's output; nothing is
 * sent before the buffer is full or the connection waits for more input, so pipelined requests are answered in one go.
 */
#ifndef HTTP_RESPONSE_H
#define HTTP_RESPONSE_H

#include "client.h"
#include "request.h"

/* The prepared part of a header. */
#define RESPONSE_HEAD_MAX 320

/* Answers with the file at the request's target, or with an error. 0; a negative errno if the connection is to be
 * dropped. May suspend. `keep_alive` goes into the header. */
int respond(client *c, request *r, bool keep_alive);

/* Answers with an error. 0 or a negative errno. May suspend. */
int respond_with_error(client *c, const request *r, int status, bool keep_alive);

#endif
