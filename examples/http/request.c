/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why llhttp. Of the parsers in Debian 12 that a server in C can use, it is the one whose authors still maintain it
 * (Node.js parses with it), and the strictest. It takes input in any pieces without looking at a byte twice, needs no
 * memory but its struct, and stops between pipelined requests. A request of 50 bytes takes it 50 ns.
 *
 *   http_parser      the same interface, but given up in favour of llhttp
 *   picohttpparser   faster on large headers, but starts anew with every piece, leaves bodies and their framing to its
 *                    user, and comes only within the HTTP server h2o's library, without its header file
 *   libhtp           made for observers: it accepts what servers accept, keeps whole transactions, allocates for each
 *
 * It leaves to its user: the limits, the Host field, which versions and methods there are, and the target.
 */
#include "request.h"

#include "settings.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

/* Stops the parser; the status is what the client gets to see. */
static int refuse(request *r, int status)
{
    r->status = status;
    return -1;
}

static int on_message_begin(llhttp_t *parser)
{
    request *r = parser->data;
    r->part = IN_HEADER;
    r->method = HTTP_GET; /* until it is known */
    r->header_left = settings.header_bytes;
    r->body_left = settings.body_bytes;
    r->fields = r->hosts = 0;
    r->expects = false;
    r->name_len = r->target_len = r->values_len = 0;
    r->kept = r->too_much = 0;
    r->field = FIELD_OTHER;
    return 0;
}

static int on_url(llhttp_t *parser, const char *at, size_t len)
{
    request *r = parser->data;
    r->method = (llhttp_method_t)llhttp_get_method(parser);
    if (len > TARGET_MAX - r->target_len)
        return refuse(r, 414);
    memcpy(r->target + r->target_len, at, len);
    r->target_len += len;
    return 0;
}

static int on_header_field(llhttp_t *parser, const char *at, size_t len)
{
    request *r = parser->data;
    for (size_t i = 0; i < len && r->name_len + i < sizeof r->name; i++)
        r->name[r->name_len + i] = at[i];
    r->name_len += len;
    return 0;
}

static bool name_is(const request *r, const char *name)
{
    return r->name_len == strlen(name) && strncasecmp(r->name, name, r->name_len) == 0;
}

static request_field field_of_name(const request *r)
{
    static const char *const names[] = {
        [FIELD_RANGE] = "range",
        [FIELD_IF_RANGE] = "if-range",
        [FIELD_IF_MATCH] = "if-match",
        [FIELD_IF_NONE_MATCH] = "if-none-match",
        [FIELD_IF_MODIFIED_SINCE] = "if-modified-since",
        [FIELD_IF_UNMODIFIED_SINCE] = "if-unmodified-since",
    };
    if ((r->name[0] | 0x20) != 'i' && (r->name[0] | 0x20) != 'r')
        return FIELD_OTHER;
    for (unsigned i = 0; i < FIELDS_KEPT; i++)
        if (name_is(r, names[i]))
            return (request_field)i;
    return FIELD_OTHER;
}

/* A second field of the same name is no list here: then neither is kept. */
static void begin_value(request *r, request_field field)
{
    unsigned bit = field < FIELDS_KEPT ? 1u << field : 0;
    if ((r->kept | r->too_much) & bit) {
        r->kept &= ~bit;
        r->too_much |= bit;
    } else if (bit) {
        r->kept |= bit;
        r->field = field;
        r->value_at[field] = (uint16_t)r->values_len;
        r->value_len[field] = 0;
    }
}

static int on_header_field_complete(llhttp_t *parser)
{
    request *r = parser->data;
    if (++r->fields > settings.header_fields) /* those that trail a chunked body included */
        return refuse(r, 431);
    if (r->name_len == 0)
        return refuse(r, 400);
    r->field = FIELD_OTHER;
    if (r->part == IN_HEADER) {
        r->hosts += name_is(r, "host");
        r->expects |= name_is(r, "expect");
        begin_value(r, field_of_name(r));
    }
    r->name_len = 0;
    return 0;
}

static int on_header_value(llhttp_t *parser, const char *at, size_t len)
{
    request *r = parser->data;
    if (r->field == FIELD_OTHER)
        return 0;
    if (len > VALUES_MAX - r->values_len) {
        r->kept &= ~(1u << r->field);
        r->too_much |= 1u << r->field;
        r->field = FIELD_OTHER;
        return 0;
    }
    memcpy(r->values + r->values_len, at, len);
    r->values_len += len;
    r->value_len[r->field] = (uint16_t)(r->value_len[r->field] + len);
    return 0;
}

const char *request_value(const request *r, request_field field, size_t *len)
{
    if (!(r->kept >> field & 1))
        return NULL;
    *len = r->value_len[field];
    return r->values + r->value_at[field];
}

static int on_headers_complete(llhttp_t *parser)
{
    request *r = parser->data;
    unsigned major = llhttp_get_http_major(parser), minor = llhttp_get_http_minor(parser);
    r->part = IN_BODY;
    if (major != 1)
        return refuse(r, 505);
    /* RFC 9112, 3.2: exactly one. Two that differ would mean different things to different servers. */
    if (r->hosts > 1 || (r->hosts == 0 && minor > 0))
        return refuse(r, 400);
    if (parser->content_length > r->body_left)
        return refuse(r, 413);
    r->http_1_0 = minor == 0;
    r->keep_alive = llhttp_should_keep_alive(parser);
    bool has_body = parser->content_length > 0 || (parser->flags & F_CHUNKED);
    if (!r->expects || !has_body || minor == 0)
        return 0;
    if (r->method != HTTP_GET && r->method != HTTP_HEAD)
        return refuse(r, 405); /* spare the client the sending of it */
    return HPE_PAUSED;
}

static int on_body(llhttp_t *parser, const char *at, size_t len)
{
    (void)at;
    request *r = parser->data;
    if (len > r->body_left)
        return refuse(r, 413);
    r->body_left -= len;
    return 0;
}

static int on_message_complete(llhttp_t *parser)
{
    request *r = parser->data;
    r->part = BETWEEN_REQUESTS;
    return HPE_PAUSED; /* so that the next one in the same input waits until this one is answered */
}

void request_init(request *r)
{
    static const llhttp_settings_t callbacks = {
        .on_message_begin = on_message_begin,
        .on_url = on_url,
        .on_header_field = on_header_field,
        .on_header_field_complete = on_header_field_complete,
        .on_header_value = on_header_value,
        .on_headers_complete = on_headers_complete,
        .on_body = on_body,
        .on_message_complete = on_message_complete,
    };
    llhttp_init(&r->parser, HTTP_REQUEST, &callbacks);
    r->parser.data = r;
    r->part = BETWEEN_REQUESTS;
    r->method = HTTP_GET;
    r->status = 0;
    r->kept = r->too_much = 0;
    r->header_left = settings.header_bytes;
}

/* The parser found no HTTP/1 in the input. */
static int status_of_error(const request *r, llhttp_errno_t error, const char *where, const char *end)
{
    unsigned major = r->parser.http_major, minor = r->parser.http_minor;
    switch ((int)error) {
    case HPE_INVALID_METHOD:
        /* A word that is no method this parser knows, or no word at all (TLS, for example)? */
        return where && where < end && isalnum((unsigned char)*where) ? 501 : 400;
    case HPE_INVALID_VERSION:
        return major == 1 && minor <= 1 ? 400 : 505;
    case HPE_PAUSED_H2_UPGRADE: /* HTTP/2 without asking first */
        return 505;
    default:
        return 400;
    }
}

/* How many bytes of empty lines there are. */
static size_t count_blank(const char *data, size_t len)
{
    size_t n = 0;
    while (n < len && (data[n] == '\r' || data[n] == '\n'))
        n++;
    return n;
}

request_event request_feed(request *r, const char *data, size_t len, size_t *used)
{
    *used = 0;
    while (*used < len) {
        const char *at = data + *used;
        size_t n = len - *used;
        if (r->part == IN_HEADER && n > r->header_left)
            n = r->header_left;
        if (r->part == BETWEEN_REQUESTS) {
            /* Empty lines before a request are ignored (RFC 9112, 2.2), whether they come with it or alone: so what is
             * counted below begins with the request. */
            size_t blank = count_blank(at, n);
            if (blank > 0)
                n = blank;
            else if (n > settings.header_bytes)
                n = settings.header_bytes;
        }
        llhttp_errno_t error = llhttp_execute(&r->parser, at, n);
        if (error == HPE_OK) {
            *used += n;
            if (r->part == IN_HEADER && (r->header_left -= n) == 0) {
                r->status = 431;
                return REQUEST_INVALID;
            }
            continue;
        }
        const char *where = llhttp_get_error_pos(&r->parser);
        if (error == HPE_PAUSED) {
            *used = (size_t)(where - data);
            llhttp_resume(&r->parser);
            return r->part == BETWEEN_REQUESTS ? REQUEST_COMPLETE : REQUEST_CONTINUE;
        }
        if (error == HPE_PAUSED_UPGRADE) {
            /* The client offered another protocol, for after the request that has been reported. We stay with ours. */
            *used = (size_t)(where - data);
            llhttp_resume_after_upgrade(&r->parser);
            continue;
        }
        if (r->status == 0)
            r->status = status_of_error(r, error, where, data + len);
        return REQUEST_INVALID;
    }
    return REQUEST_PARTIAL;
}
