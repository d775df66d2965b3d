/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parser is libcurl's, the part of it that needs nothing of the rest. What a URL is has been written down more than
 * once and differently, and most servers are tested with what curl makes of it.
 */
#include "url.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FLAGS = CURLU_DISALLOW_USER | CURLU_NON_SUPPORT_SCHEME | CURLU_URLENCODE };

static int error_of(CURLUcode code)
{
    switch (code) {
    case CURLUE_OK:
        return 0;
    case CURLUE_OUT_OF_MEMORY:
        return -ENOMEM;
    case CURLUE_USER_NOT_ALLOWED:
        return -EOPNOTSUPP;
    default:
        return -EINVAL;
    }
}

/* With memory of our own, or NULL. */
static char *part(CURLU *whole, CURLUPart which, unsigned flags, CURLUcode *error)
{
    char *text = NULL;
    CURLUcode code = curl_url_get(whole, which, &text, flags);
    if (code != CURLUE_OK) {
        *error = code;
        return NULL;
    }
    char *copy = strdup(text);
    curl_free(text);
    if (!copy)
        *error = CURLUE_OUT_OF_MEMORY;
    return copy;
}

static char *join(const char *a, const char *between, const char *b)
{
    char *joined;
    return asprintf(&joined, "%s%s%s", a, between, b) < 0 ? NULL : joined;
}

/* Takes `whole` over. */
static int split(url *u, CURLU *whole)
{
    CURLUcode error = CURLUE_OK, no_port = CURLUE_OK, no_query = CURLUE_OK;
    *u = (url){.whole = whole};
    u->scheme = part(whole, CURLUPART_SCHEME, 0, &error);
    u->host = part(whole, CURLUPART_HOST, 0, &error);
    u->port = part(whole, CURLUPART_PORT, CURLU_DEFAULT_PORT, &no_port);
    char *path = part(whole, CURLUPART_PATH, 0, &error);
    char *query = part(whole, CURLUPART_QUERY, 0, &no_query);
    char *port = part(whole, CURLUPART_PORT, CURLU_NO_DEFAULT_PORT, &no_port);
    if (!u->port && error == CURLUE_OK && !(u->port = strdup(""))) /* of a scheme that we do not know either */
        error = CURLUE_OUT_OF_MEMORY;
    if (error == CURLUE_OK) {
        u->target = join(path, query ? "?" : "", query ? query : "");
        u->authority = join(u->host, port ? ":" : "", port ? port : "");
        if (!u->target || !u->authority)
            error = CURLUE_OUT_OF_MEMORY;
    }
    free(path);
    free(query);
    free(port);
    if (error != CURLUE_OK)
        url_free(u);
    return error_of(error);
}

int url_parse(url *u, const char *text)
{
    CURLU *whole = curl_url();
    if (!whole)
        return -ENOMEM;
    CURLUcode code = curl_url_set(whole, CURLUPART_URL, text, FLAGS | CURLU_GUESS_SCHEME);
    if (code != CURLUE_OK) {
        curl_url_cleanup(whole);
        return error_of(code);
    }
    return split(u, whole);
}

int url_follow(url *u, const char *location)
{
    CURLU *whole = curl_url_dup(u->whole);
    if (!whole)
        return -ENOMEM;
    CURLUcode code = curl_url_set(whole, CURLUPART_URL, location, FLAGS);
    if (code != CURLUE_OK) {
        curl_url_cleanup(whole);
        return error_of(code);
    }
    url next;
    int error = split(&next, whole);
    if (error < 0)
        return error;
    url_free(u);
    *u = next;
    return 0;
}

void url_free(url *u)
{
    curl_url_cleanup(u->whole);
    free(u->scheme);
    free(u->host);
    free(u->port);
    free(u->authority);
    free(u->target);
    *u = (url){0};
}

char *url_text(const url *u)
{
    CURLUcode error = CURLUE_OK;
    return part(u->whole, CURLUPART_URL, 0, &error);
}
