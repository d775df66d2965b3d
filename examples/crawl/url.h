/* SPDX-License-Identifier: Apache-2.0 */
/* URLs in their parts. */
#ifndef CRAWL_URL_H
#define CRAWL_URL_H

#include <curl/curl.h>

typedef struct url {
    CURLU *whole;
    char *scheme, *host, *port; /* never NULL; the host is as in the URL: [::1] */
    char *authority;            /* what the Host field says: without the port if that is the scheme's */
    char *target;               /* path and query */
} url;

/* A URL as the user wrote it; http:// may be missing. 0, -ENOMEM, -EINVAL: it is none, -EOPNOTSUPP: it has a
 * name and password, which this program does not send. Never suspends. */
int url_parse(url *u, const char *text);

/* Goes on to where a Location field points, which may be relative to `u`. As url_parse; on failure `u` is as it was. */
int url_follow(url *u, const char *location);

void url_free(url *u);

/* To be freed. NULL: no memory. */
char *url_text(const url *u);

#endif
