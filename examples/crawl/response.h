/* SPDX-License-Identifier: Apache-2.0 */
/* From bytes to a response, with llhttp (why: see http/request.c). */
#ifndef CRAWL_RESPONSE_H
#define CRAWL_RESPONSE_H

#include <llhttp.h>
#include <stdbool.h>
#include <stddef.h>

/* A piece of the body, already without what frames chunks. It may suspend. 0, or an error that ends the response. */
typedef int response_body_fn(void *arg, int status, const char *data, size_t len);

typedef struct response {
    llhttp_t parser;
    response_body_fn *body;
    void *arg;
    int body_error;
    bool complete;
    int status; /* 0 until the head is complete */
    bool in_location;
    size_t location_len, name_len;
    char name[8];        /* of the field that is being read: its beginning */
    char location[4096]; /* a string; empty if there is none */
} response;

void response_init(response *r, response_body_fn *body, void *arg);

/* 0: go on, unless r->complete; -EBADMSG: it is no HTTP, or more than this program takes; or what `body` returned. */
int response_feed(response *r, const char *data, size_t len);

/* The stream has ended. 0 if the response has, too; -ENODATA: it had not begun; -ECONNABORTED: it was within. */
int response_end(response *r);

#endif
