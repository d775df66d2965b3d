/* SPDX-License-Identifier: Apache-2.0 */
#include "message.h"

#include "settings.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { FIELDS_MAX = 100 };

static int refuse(message *m, int status)
{
    m->status = status;
    return -1;
}

/* --- the head's text ---------------------------------------------------------------------------------------------- */

static int append(message *m, const char *at, size_t len)
{
    if (m->part == IN_BODY) /* the fields that trail a chunked body are dropped */
        return 0;
    if (len >= settings.header_bytes - m->text_used) /* there is always room for the end of a string */
        return refuse(m, m->has_first ? 431 : 414);
    if (memchr(at, '\0', len)) /* llhttp lets it through in a reason; here it ends a string */
        return refuse(m, 400);
    memcpy(m->text + m->text_used, at, len);
    m->text_used += len;
    return 0;
}

static int end_string(message *m)
{
    if (m->part == IN_BODY)
        return 0;
    m->text[m->text_used++] = '\0';
    return m->text_used == settings.header_bytes ? refuse(m, 431) : 0;
}

/* A reason may be missing altogether. */
static int end_first(message *m)
{
    if (m->has_first)
        return 0;
    int error = end_string(m);
    m->has_first = true;
    m->name_at = m->text_used;
    return error;
}

const char *message_first(const message *m)
{
    return m->text;
}

bool message_next(const message *m, const char **name, const char **value)
{
    const char *end = m->text + m->text_used;
    const char *last = *name ? *value : m->text;
    *name = last + strlen(last) + 1;
    if (*name >= end)
        return false;
    *value = *name + strlen(*name) + 1;
    return true;
}

/* Is the word in the list, which commas separate? */
static bool lists(const char *list, const char *word)
{
    size_t len = strlen(word);
    while (*list) {
        list += strspn(list, ", \t");
        size_t item = strcspn(list, ", \t");
        if (item == len && strncasecmp(list, word, len) == 0)
            return true;
        list += item;
    }
    return false;
}

bool message_is_hop_by_hop(const message *m, const char *name)
{
    /* The last two are the framing, which is written anew. */
    static const char *const always[] = {"connection", "keep-alive", "proxy-connection", "te",
                                         "trailer",    "upgrade",    "content-length",   "transfer-encoding"};
    for (size_t i = 0; i < sizeof always / sizeof always[0]; i++)
        if (strcasecmp(name, always[i]) == 0)
            return true;
    if (strcasecmp(name, "host") == 0) /* whatever the client says of it */
        return false;
    if (m->http_1_0 && strcasecmp(name, "expect") == 0) /* must not be there, so it is not waited for */
        return true;
    const char *field = NULL, *value = NULL;
    while (message_next(m, &field, &value))
        if (strcasecmp(field, "connection") == 0 && lists(value, name))
            return true;
    return false;
}

/* --- what the parser calls ---------------------------------------------------------------------------------------- */

static int on_message_begin(llhttp_t *parser)
{
    message *m = parser->data;
    m->part = IN_HEAD;
    m->status = 0;
    m->fields = m->hosts = m->encodings = 0;
    m->text_used = 0;
    m->has_first = m->expects = false;
    return 0;
}

static int on_text(llhttp_t *parser, const char *at, size_t len)
{
    return append(parser->data, at, len);
}

static int on_header_field(llhttp_t *parser, const char *at, size_t len)
{
    message *m = parser->data;
    int error = m->part == IN_BODY ? 0 : end_first(m);
    return error ? error : append(m, at, len);
}

static int on_header_field_complete(llhttp_t *parser)
{
    message *m = parser->data;
    if (++m->fields > FIELDS_MAX) /* those that trail a body included */
        return refuse(m, 431);
    if (m->part == IN_HEAD && m->text_used == m->name_at)
        return refuse(m, 400);
    int error = end_string(m);
    m->value_at = m->text_used;
    return error;
}

static int on_header_value_complete(llhttp_t *parser)
{
    message *m = parser->data;
    if (m->part == IN_BODY)
        return 0;
    while (m->text_used > m->value_at && strchr(" \t", m->text[m->text_used - 1]))
        m->text_used--;
    int error = end_string(m);
    if (error)
        return error;
    const char *name = m->text + m->name_at, *value = m->text + m->value_at;
    m->name_at = m->text_used;
    m->hosts += strcasecmp(name, "host") == 0;
    m->expects |= strcasecmp(name, "expect") == 0;
    if (strcasecmp(name, "transfer-encoding") == 0 && (++m->encodings > 1 || strcasecmp(value, "chunked") != 0))
        return refuse(m, m->encodings > 1 ? 400 : 501);
    return 0;
}

static bool has_no_body(const message *m)
{
    int status = m->parser.status_code;
    return m->parser.type == HTTP_RESPONSE && (m->skip_body || status / 100 == 1 || status == 204 || status == 304);
}

static int on_headers_complete(llhttp_t *parser)
{
    message *m = parser->data;
    unsigned major = llhttp_get_http_major(parser), minor = llhttp_get_http_minor(parser);
    if (major != 1 || minor > 1)
        return refuse(m, 505);
    int error = end_first(m);
    if (error)
        return error;
    if (minor == 0 && m->encodings > 0)
        return refuse(m, 400);
    m->part = IN_BODY;
    m->http_1_0 = minor == 0;
    m->expects &= minor > 0;
    m->has_length = parser->flags & F_CONTENT_LENGTH;
    m->length = parser->content_length;
    m->keep_alive = llhttp_should_keep_alive(parser);
    if (has_no_body(m)) {
        m->framing = FRAMING_NONE;
        parser->flags |= F_SKIPBODY;
    } else if (parser->flags & F_CHUNKED) {
        m->framing = FRAMING_CHUNKED;
    } else if (m->has_length) {
        m->framing = m->length > 0 ? FRAMING_LENGTH : FRAMING_NONE;
    } else {
        m->framing = parser->type == HTTP_RESPONSE ? FRAMING_END : FRAMING_NONE;
    }
    parser->upgrade = 0; /* the offer is not sent on, so nobody accepts it */
    return HPE_PAUSED;
}

static int on_body(llhttp_t *parser, const char *at, size_t len)
{
    message *m = parser->data;
    m->body_error = m->body(m->body_arg, at, len);
    return m->body_error < 0 ? -1 : 0;
}

static int on_message_complete(llhttp_t *parser)
{
    message *m = parser->data;
    m->part = BETWEEN_MESSAGES;
    return HPE_PAUSED;
}

/* --- feeding ------------------------------------------------------------------------------------------------------ */

void message_restart(message *m, llhttp_type_t type)
{
    static const llhttp_settings_t callbacks = {
        .on_message_begin = on_message_begin,
        .on_url = on_text,
        .on_status = on_text,
        .on_header_field = on_header_field,
        .on_header_field_complete = on_header_field_complete,
        .on_header_value = on_text,
        .on_header_value_complete = on_header_value_complete,
        .on_headers_complete = on_headers_complete,
        .on_body = on_body,
        .on_message_complete = on_message_complete,
    };
    llhttp_init(&m->parser, type, &callbacks);
    m->parser.data = m;
    m->part = BETWEEN_MESSAGES;
    m->status = m->body_error = 0;
    m->skip_body = false;
}

int message_init(message *m, llhttp_type_t type)
{
    m->text = malloc(settings.header_bytes);
    m->body = NULL;
    message_restart(m, type);
    return m->text ? 0 : -ENOMEM;
}

void message_destroy(message *m)
{
    free(m->text);
}

/* The parser found no HTTP/1. */
static int status_of_error(const message *m, llhttp_errno_t error, const char *where, const char *end)
{
    switch ((int)error) {
    case HPE_INVALID_METHOD: /* a word that is no method this parser knows, or no word at all? */
        return where && where < end && isalnum((unsigned char)*where) ? 501 : 400;
    case HPE_INVALID_VERSION:
        return m->parser.http_major == 1 && m->parser.http_minor <= 1 ? 400 : 505;
    case HPE_PAUSED_H2_UPGRADE: /* HTTP/2 without asking first */
        return 505;
    default:
        return 400;
    }
}

message_event message_feed(message *m, const char *data, size_t len, size_t *used)
{
    llhttp_errno_t error = llhttp_execute(&m->parser, data, len);
    if (error == HPE_OK) {
        *used = len;
        return MESSAGE_PARTIAL;
    }
    const char *where = llhttp_get_error_pos(&m->parser);
    *used = where ? (size_t)(where - data) : 0;
    if (error == HPE_PAUSED) {
        llhttp_resume(&m->parser);
        return m->part == BETWEEN_MESSAGES ? MESSAGE_COMPLETE : MESSAGE_HEAD;
    }
    if (m->status == 0)
        m->status = status_of_error(m, error, where, data + len);
    return MESSAGE_INVALID;
}

message_event message_finish(message *m)
{
    llhttp_errno_t error = m->part == IN_BODY ? llhttp_finish(&m->parser) : HPE_INVALID_EOF_STATE;
    return error == HPE_PAUSED && m->part == BETWEEN_MESSAGES ? MESSAGE_COMPLETE : MESSAGE_INVALID;
}
