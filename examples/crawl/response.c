/* SPDX-License-Identifier: Apache-2.0 */
#include "response.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

static int on_message_begin(llhttp_t *parser)
{
    response *r = parser->data;
    r->status = 0;
    r->location_len = r->name_len = 0;
    r->location[0] = '\0';
    return 0;
}

static int on_header_field(llhttp_t *parser, const char *at, size_t len)
{
    response *r = parser->data;
    for (size_t i = 0; i < len && r->name_len + i < sizeof r->name; i++)
        r->name[r->name_len + i] = at[i];
    r->name_len += len;
    return 0;
}

static int on_header_field_complete(llhttp_t *parser)
{
    response *r = parser->data;
    static const char name[] = "location";
    r->in_location = r->name_len == sizeof name - 1 && strncasecmp(r->name, name, r->name_len) == 0;
    r->name_len = 0;
    return 0;
}

static int on_header_value(llhttp_t *parser, const char *at, size_t len)
{
    response *r = parser->data;
    if (!r->in_location)
        return 0;
    if (len >= sizeof r->location - r->location_len)
        return -1;
    memcpy(r->location + r->location_len, at, len);
    r->location_len += len;
    r->location[r->location_len] = '\0';
    return 0;
}

static int on_headers_complete(llhttp_t *parser)
{
    response *r = parser->data;
    r->status = llhttp_get_status_code(parser);
    return r->status == 101 ? -1 : 0; /* another protocol, which nobody has offered */
}

static int on_body(llhttp_t *parser, const char *at, size_t len)
{
    response *r = parser->data;
    r->body_error = r->body(r->arg, r->status, at, len);
    return r->body_error < 0 ? -1 : 0;
}

static int on_message_complete(llhttp_t *parser)
{
    response *r = parser->data;
    if (r->status / 100 == 1) /* an interim one: the response is still to come */
        return 0;
    r->complete = true;
    return HPE_PAUSED;
}

void response_init(response *r, response_body_fn *body, void *arg)
{
    static const llhttp_settings_t callbacks = {
        .on_message_begin = on_message_begin,
        .on_header_field = on_header_field,
        .on_header_field_complete = on_header_field_complete,
        .on_header_value = on_header_value,
        .on_headers_complete = on_headers_complete,
        .on_body = on_body,
        .on_message_complete = on_message_complete,
    };
    llhttp_init(&r->parser, HTTP_RESPONSE, &callbacks);
    r->parser.data = r;
    r->body = body;
    r->arg = arg;
    r->body_error = r->status = 0;
    r->complete = r->in_location = false;
    r->location_len = r->name_len = 0;
    r->location[0] = '\0';
}

int response_feed(response *r, const char *data, size_t len)
{
    if (llhttp_execute(&r->parser, data, len) == HPE_OK || r->complete)
        return 0;
    return r->body_error < 0 ? r->body_error : -EBADMSG;
}

int response_end(response *r)
{
    (void)llhttp_finish(&r->parser); /* completes one that ends with the stream */
    if (r->complete)
        return 0;
    return r->status == 0 ? -ENODATA : -ECONNABORTED;
}
