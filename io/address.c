/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses as text. Numeric hosts are read by getaddrinfo with AI_NUMERICHOST, which never asks a resolver;
 * "localhost" is the two loopback addresses.
 */
#include "io/address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>

static int parse_unix(const char *path, sinew_address *out)
{
    size_t length = strlen(path);
    if (length <= (size_t)(path[0] == '@') || length >= sizeof out->local.sun_path)
        return -EINVAL;
    out->local.sun_family = AF_UNIX;
    memcpy(out->local.sun_path, path, length + 1);
    out->length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
    if (path[0] == '@') { /* the abstract namespace: a leading NUL, no trailing one */
        out->local.sun_path[0] = '\0';
        out->length--;
    }
    return 0;
}

static int parse_port(const char *text)
{
    char *end;
    if (*text < '0' || *text > '9')
        return -EINVAL;
    unsigned long port = strtoul(text, &end, 10);
    return *end || port > 65535 ? -EINVAL : (int)port;
}

void sn_address_set_port(sinew_address *a, int port)
{
    if (a->any.sa_family == AF_INET)
        a->v4.sin_port = htons((uint16_t)port);
    else
        a->v6.sin6_port = htons((uint16_t)port);
}

static int numeric(const char *host, int port, bool passive, sinew_address *out)
{
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | (passive ? AI_PASSIVE : 0), .ai_socktype = SOCK_STREAM};
    struct addrinfo *found;
    if (getaddrinfo(host, "0", &hints, &found) != 0)
        return -EINVAL;
    memcpy(out, found->ai_addr, found->ai_addrlen);
    out->length = found->ai_addrlen;
    freeaddrinfo(found);
    sn_address_set_port(out, port);
    return 0;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Labels of letters, digits, '-' and '_' with dots between them. One that ends in a number would be a numeric address,
 * and has turned out to be none. */
static bool is_name(const char *host)
{
    const char *label = host;
    bool digits = true;
    for (const char *c = host; *c; c++) {
        bool letter = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || *c == '-' || *c == '_';
        if (*c == '.' ? c == label : !letter && !is_digit(*c))
            return false;
        if (c == label) {
            if (*c == '-')
                return false;
            digits = true;
        }
        digits &= is_digit(*c);
        if (*c == '.' && c[1] != '\0') {
            label = c + 1;
            digits = true;
        }
    }
    return *host && !digits;
}

/* "host:port" with the brackets, if any, taken off. */
typedef struct split {
    const char *host;
    size_t length;
    bool brackets;
    int port;
} split;

static int split_text(const char *text, split *out)
{
    const char *colon = strrchr(text, ':');
    if (!colon)
        return -EINVAL;
    *out = (split){.host = text, .length = (size_t)(colon - text), .port = parse_port(colon + 1)};
    out->brackets = out->length >= 2 && text[0] == '[' && text[out->length - 1] == ']';
    if (out->brackets) {
        out->host++;
        out->length -= 2;
    }
    return out->port < 0 || (!out->brackets && memchr(text, ':', out->length)) ? -EINVAL : 0;
}

static int two(sn_endpoint *e, const char *first, const char *second, int port, bool passive)
{
    if (numeric(first, port, passive, &e->addresses[0]) == 0)
        e->count++;
    if (numeric(second, port, passive, &e->addresses[e->count]) == 0)
        e->count++;
    return e->count > 0 ? 0 : -EINVAL;
}

static int parse_host(const split *s, bool passive, sn_endpoint *out)
{
    if (s->length == 0)
        return passive && !s->brackets ? two(out, "::", "0.0.0.0", s->port, true) /* :: also takes v4 */
                                       : -EINVAL;
    if (strcmp(out->name, "localhost") == 0)
        return passive ? two(out, "127.0.0.1", "::1", s->port, true) : two(out, "::1", "127.0.0.1", s->port, false);
    if (numeric(out->name, s->port, passive, &out->addresses[0]) == 0) {
        out->count = 1;
        return (out->addresses[0].any.sa_family == AF_INET6) == s->brackets ? 0 : -EINVAL;
    }
    return !passive && !s->brackets && is_name(out->name) ? 0 : -EINVAL;
}

int sn_endpoint_parse(const char *text, bool passive, sn_endpoint *out)
{
    split s;
    memset(out, 0, sizeof *out);
    if (!text)
        return -EINVAL;
    if (strncmp(text, "unix:", 5) == 0) {
        out->count = 1;
        return parse_unix(text + 5, &out->addresses[0]);
    }
    if (split_text(text, &s) != 0 || s.length >= sizeof out->name)
        return -EINVAL;
    memcpy(out->name, s.host, s.length);
    out->port = s.port;
    return parse_host(&s, passive, out);
}

int sn_endpoint_refuse(const char *call, const char *text, bool passive)
{
    sn_complain("%s: \"%s\" is no address; use \"127.0.0.1:8080\", \"[::1]:8080\", %s\"localhost:8080\" or "
                "\"unix:/path\"%s",
                call, text ? text : "(null)", passive ? "\":8080\", " : "\"example.org:8080\", ",
                passive ? " (numeric hosts only)" : "");
    return -EINVAL;
}

int sinew_address_parse(const char *text, sinew_address *out)
{
    sn_endpoint e;
    if (!out || sn_endpoint_parse(text, false, &e) != 0 || e.count != 1)
        return -EINVAL;
    *out = e.addresses[0];
    return 0;
}

static int format_unix(const sinew_address *a, char *text, size_t size)
{
    const char *path = a->local.sun_path;
    size_t most = a->length - offsetof(struct sockaddr_un, sun_path);
    if (a->length <= offsetof(struct sockaddr_un, sun_path))
        return snprintf(text, size, "unix:");
    if (path[0] == '\0')
        return snprintf(text, size, "unix:@%.*s", (int)most - 1, path + 1);
    return snprintf(text, size, "unix:%.*s", (int)strnlen(path, most), path);
}

static int format_host(const sinew_address *a, char *text, size_t size)
{
    char host[64];
    if (getnameinfo(&a->any, a->length, host, sizeof host, NULL, 0, NI_NUMERICHOST) != 0)
        return -EINVAL;
    return a->any.sa_family == AF_INET ? snprintf(text, size, "%s:%d", host, ntohs(a->v4.sin_port))
                                       : snprintf(text, size, "[%s]:%d", host, ntohs(a->v6.sin6_port));
}

int sinew_address_format(const sinew_address *address, char *text, size_t size)
{
    if (!address || !text)
        return -EINVAL;
    int family = address->any.sa_family;
    if (family != AF_UNIX && family != AF_INET && family != AF_INET6)
        return -EAFNOSUPPORT;
    int n = family == AF_UNIX ? format_unix(address, text, size) : format_host(address, text, size);
    return n >= 0 && (size_t)n >= size ? -ENOSPC : n;
}
