/* SPDX-License-Identifier: Apache-2.0 */
#include "heads.h"

#include "settings.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char via[] = "Via: 1.1 sinew\r\n";

static void write_field(peer *to, const char *name, const char *value)
{
    peer_print(to, name);
    peer_print(to, ": ");
    peer_print(to, value);
    peer_print(to, "\r\n");
}

static void write_fields(peer *to, const message *m, const char *but)
{
    for (const char *name = NULL, *value; message_next(m, &name, &value);)
        if (strcasecmp(name, but) != 0 && !message_is_hop_by_hop(m, name))
            write_field(to, name, value);
}

static void write_framing(peer *to, message_framing framing, uint64_t length)
{
    char text[24];
    to->chunked = framing == FRAMING_CHUNKED;
    if (framing == FRAMING_CHUNKED) {
        write_field(to, "Transfer-Encoding", "chunked");
    } else if (framing == FRAMING_LENGTH) {
        snprintf(text, sizeof text, "%llu", (unsigned long long)length);
        write_field(to, "Content-Length", text);
    }
}

/* Where the request comes from: the way until here as the client tells it, and the client. */
static void write_forwarded_for(peer *to, const message *request, const client *who)
{
    const char *separator = "X-Forwarded-For: ";
    for (const char *name = NULL, *value; message_next(request, &name, &value);) {
        if (strcasecmp(name, "x-forwarded-for") != 0 || *value == '\0')
            continue;
        peer_print(to, separator);
        peer_print(to, value);
        separator = ", ";
    }
    char buffer[INET6_ADDRSTRLEN];
    const char *address = client_text(who, buffer);
    if (address) {
        peer_print(to, separator);
        peer_print(to, address);
        separator = ", ";
    }
    if (*separator == ',')
        peer_print(to, "\r\n");
}

void write_request_head(peer *to, const message *request, const client *who, const char *host)
{
    peer_print(to, llhttp_method_name((llhttp_method_t)request->parser.method));
    peer_print(to, " ");
    peer_print(to, message_first(request));
    peer_print(to, " HTTP/1.1\r\n");
    if (request->hosts == 0)
        write_field(to, "Host", host);
    write_fields(to, request, "x-forwarded-for");
    bool says_empty = request->framing == FRAMING_NONE && request->has_length;
    write_framing(to, says_empty ? FRAMING_LENGTH : request->framing, request->length);
    write_forwarded_for(to, request, who);
    peer_print(to, via);
    peer_print(to, "\r\n");
}

static void write_status_line(peer *to, int status, const char *reason)
{
    char text[32];
    snprintf(text, sizeof text, "HTTP/1.1 %d ", status);
    peer_print(to, text);
    peer_print(to, reason);
    peer_print(to, "\r\n");
}

void write_interim_head(peer *to, const message *response)
{
    write_status_line(to, response->parser.status_code, message_first(response));
    write_fields(to, response, "");
    peer_print(to, via);
    peer_print(to, "\r\n");
}

/* Keeping a connection is the rule in HTTP/1.1 and the exception in 1.0. */
static void write_connection(peer *to, const message *request, bool keep)
{
    if (!keep)
        write_field(to, "Connection", "close");
    else if (request->http_1_0)
        write_field(to, "Connection", "keep-alive");
}

bool write_response_head(peer *to, const message *response, const message *request)
{
    message_framing framing = response->framing;
    if (request->http_1_0 && framing == FRAMING_CHUNKED)
        framing = FRAMING_END;
    else if (!request->http_1_0 && framing == FRAMING_END)
        framing = FRAMING_CHUNKED;
    else if (framing == FRAMING_NONE && response->has_length && response->parser.status_code != 204)
        framing = FRAMING_LENGTH; /* of what a GET would have got; with 204 there must be none (RFC 9110, 8.6) */
    bool keep = request->keep_alive && framing != FRAMING_END && !atomic_load(&draining);

    write_status_line(to, response->parser.status_code, message_first(response));
    write_fields(to, response, "");
    write_framing(to, framing, response->length);
    write_connection(to, request, keep);
    peer_print(to, via);
    peer_print(to, "\r\n");
    return keep;
}

static const char *reason(int status)
{
    switch (status) {
    case 400:
        return "Bad Request";
    case 405:
        return "Method Not Allowed";
    case 408:
        return "Request Timeout";
    case 414:
        return "URI Too Long";
    case 431:
        return "Request Header Fields Too Large";
    case 501:
        return "Not Implemented";
    case 502:
        return "Bad Gateway";
    case 504:
        return "Gateway Timeout";
    case 505:
        return "HTTP Version Not Supported";
    default:
        return "Internal Server Error";
    }
}

void write_error(peer *to, int status, const message *request, bool keep)
{
    char body[64];
    int len = snprintf(body, sizeof body, "%d %s\n", status, reason(status));
    write_status_line(to, status, reason(status));
    write_field(to, "Content-Type", "text/plain; charset=utf-8");
    write_framing(to, FRAMING_LENGTH, (uint64_t)len);
    if (status == 405)
        write_field(to, "Allow", "GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH");
    write_connection(to, request, keep);
    peer_print(to, "\r\n");
    if (request->parser.method != HTTP_HEAD)
        peer_write(to, body, (size_t)len);
}
