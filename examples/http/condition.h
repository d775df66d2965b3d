/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conditional requests and ranges (RFC 9110, 13 and 14): what a request wants to know of a file before it takes it, or
 * which part of it.
 */
#ifndef HTTP_CONDITION_H
#define HTTP_CONDITION_H

#include "request.h"

#include <sys/stat.h>

#define ETAG_MAX      48
#define DATE_TEXT_MAX 32

/* An entity tag of that state of the file, in quotes: strong, since it has the time of the last change in it to the
 * nanosecond, and the size. Returns its length. */
size_t etag_of(const struct stat *st, char etag[ETAG_MAX]);

/* "Tue, 15 Nov 1994 08:12:31 GMT" */
size_t date_text(time_t when, char text[DATE_TEXT_MAX]);

/* Shall the file be sent? 0: yes; 304: the client has it; 412: it is not the one that was meant. */
int condition_status(const request *r, const struct stat *st);

/*
 * The part that is asked for: 206 and *first <= *last; 200: all of it, also when several parts are asked for, or the
 * request makes no sense, or If-Range says that the client's part is of another state; 416: there is no such part.
 */
int condition_range(const request *r, const struct stat *st, off_t *first, off_t *last);

#endif
