/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From bytes to requests. The bytes may arrive in any pieces, and one piece may hold several requests: request_feed is
 * given whatever is there, takes what belongs to the current request and says what to do next. It keeps nothing of the
 * input but the target and the values of some fields, never waits and never allocates. A body is checked against its
 * limit and dropped.
 */
#ifndef HTTP_REQUEST_H
#define HTTP_REQUEST_H

#include "path.h"

#include <llhttp.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum request_event {
    REQUEST_PARTIAL,  /* everything has been taken and more is needed */
    REQUEST_COMPLETE, /* answer it; request_feed goes on with the next one after it */
    REQUEST_CONTINUE, /* the client waits for "100 Continue" before it sends the body */
    REQUEST_INVALID,  /* answer with `status` and close: where the next request would begin is not known */
} request_event;

/* Fields whose values matter. */
typedef enum request_field {
    FIELD_RANGE,
    FIELD_IF_RANGE,
    FIELD_IF_MATCH,
    FIELD_IF_NONE_MATCH,
    FIELD_IF_MODIFIED_SINCE,
    FIELD_IF_UNMODIFIED_SINCE,
    FIELDS_KEPT,
    FIELD_OTHER = FIELDS_KEPT,
} request_field;

/* All values together that are kept of one request. One that does not fit is as if it were not there, but for the
 * conditions that keep a client from overwriting things: see condition.c. */
#define VALUES_MAX 512

typedef struct request {
    llhttp_t parser;
    enum { BETWEEN_REQUESTS, IN_HEADER, IN_BODY } part;
    int status; /* the answer to a request that is refused, or 0 */

    llhttp_method_t method;
    bool keep_alive; /* the client is prepared to send another one */
    bool http_1_0;   /* it must be told about keep-alive in words */

    size_t header_left; /* of settings.header_bytes */
    uint64_t body_left; /* of settings.body_bytes */
    unsigned fields;
    unsigned hosts; /* Host fields seen: there has to be one */
    bool expects;   /* there is an Expect field */
    size_t name_len;
    char name[20]; /* the beginning of a field's name: enough for those that matter here */
    request_field field;
    unsigned kept;     /* bit by bit, the fields that are there once and whole */
    unsigned too_much; /* the same: those that are there and could not be kept */
    uint16_t value_at[FIELDS_KEPT], value_len[FIELDS_KEPT];
    size_t values_len;
    char values[VALUES_MAX];

    size_t target_len;
    char target[PATH_BYTES_MAX];
} request;

void request_init(request *r);

/* The value of a field, or NULL; *len is its length. */
const char *request_value(const request *r, request_field field, size_t *len);

/* Feeds `len` bytes and stores in *used how many of them were taken. */
request_event request_feed(request *r, const char *data, size_t len, size_t *used);

#endif
