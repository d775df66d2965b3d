/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* strptime, timegm */
#include "condition.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

size_t etag_of(const struct stat *st, char etag[ETAG_MAX])
{
    int n = snprintf(etag, ETAG_MAX, "\"%llx-%llx-%lx\"", (long long)st->st_size, (long long)st->st_mtim.tv_sec,
                     (unsigned long)st->st_mtim.tv_nsec);
    return n > 0 ? (size_t)n : 0;
}

size_t date_text(time_t when, char text[DATE_TEXT_MAX])
{
    struct tm utc;
    return gmtime_r(&when, &utc) ? strftime(text, DATE_TEXT_MAX, "%a, %d %b %Y %H:%M:%S GMT", &utc) : 0;
}

/* In any of the three forms there are (RFC 9110, 5.6.7). False: none of them. */
static bool parse_date(const char *text, size_t len, time_t *when)
{
    static const char *const forms[] = {"%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT",
                                        "%a %b %d %H:%M:%S %Y"};
    char copy[64];
    if (len >= sizeof copy)
        return false;
    memcpy(copy, text, len);
    copy[len] = '\0';
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        struct tm utc = {0};
        const char *end = strptime(copy, forms[i], &utc);
        if (end && *end == '\0') {
            *when = timegm(&utc);
            return true;
        }
    }
    return false;
}

/* Is the tag in the list? A weak one (W/"...") counts if `weak`. A comma within a tag is no separator. */
static bool in_list(const char *list, size_t len, const char *etag, bool weak)
{
    size_t etag_len = strlen(etag);
    const char *at = list, *end = list + len;
    while (at < end) {
        while (at < end && (*at == ',' || isspace((unsigned char)*at)))
            at++;
        if (at < end && *at == '*')
            return true;
        bool is_weak = end - at >= 2 && at[0] == 'W' && at[1] == '/';
        const char *tag = is_weak ? at + 2 : at;
        const char *quote = tag < end && *tag == '"' ? memchr(tag + 1, '"', (size_t)(end - tag - 1)) : NULL;
        if (!quote)
            return false; /* no list of tags */
        size_t n = (size_t)(quote + 1 - tag);
        if ((weak || !is_weak) && n == etag_len && memcmp(tag, etag, n) == 0)
            return true;
        at = quote + 1;
    }
    return false;
}

/* In the order of RFC 9110, 13.2.2. */
int condition_status(const request *r, const struct stat *st)
{
    if (!(r->kept | r->too_much))
        return 0;
    char etag[ETAG_MAX];
    size_t len;
    time_t when;
    etag_of(st, etag);
    const char *value = request_value(r, FIELD_IF_MATCH, &len);
    bool unreadable = r->too_much & (1u << FIELD_IF_MATCH | 1u << FIELD_IF_UNMODIFIED_SINCE);
    if (unreadable || (value && !in_list(value, len, etag, false)))
        return 412;
    if (!value && (value = request_value(r, FIELD_IF_UNMODIFIED_SINCE, &len)) != NULL &&
        parse_date(value, len, &when) && st->st_mtim.tv_sec > when)
        return 412;
    value = request_value(r, FIELD_IF_NONE_MATCH, &len);
    if (value)
        return in_list(value, len, etag, true) ? 304 : 0;
    value = request_value(r, FIELD_IF_MODIFIED_SINCE, &len);
    return value && parse_date(value, len, &when) && st->st_mtim.tv_sec <= when ? 304 : 0;
}

/* Has the client's part come from this state of the file? A date is only as good as its second. */
static bool same_state(const request *r, const struct stat *st)
{
    size_t len;
    const char *value = request_value(r, FIELD_IF_RANGE, &len);
    if (!value)
        return !(r->too_much >> FIELD_IF_RANGE & 1);
    char etag[ETAG_MAX];
    time_t when;
    if (len > 0 && *value == '"')
        return len == etag_of(st, etag) && memcmp(value, etag, len) == 0;
    return parse_date(value, len, &when) && st->st_mtim.tv_sec == when;
}

/* Digits from *at on. -1: none; a number too large is INT64_MAX. */
static int64_t number(const char **at, const char *end)
{
    int64_t value = -1;
    for (; *at < end && isdigit((unsigned char)**at); ++*at) {
        int digit = **at - '0';
        if (value < 0)
            value = 0;
        value = value > (INT64_MAX - digit) / 10 ? INT64_MAX : value * 10 + digit;
    }
    return value;
}

int condition_range(const request *r, const struct stat *st, off_t *first, off_t *last)
{
    size_t len;
    const char *at = request_value(r, FIELD_RANGE, &len);
    if (!at || len < 7 || strncasecmp(at, "bytes=", 6) != 0 || memchr(at, ',', len) || !same_state(r, st))
        return 200;
    const char *end = at + len;
    at += 6;
    int64_t from = number(&at, end), size = st->st_size;
    if (at == end || *at++ != '-')
        return 200;
    int64_t to = number(&at, end);
    if (at != end || (from < 0 && to < 0) || (from >= 0 && to >= 0 && to < from))
        return 200;
    if (from < 0) { /* the last `to` bytes */
        from = to < size ? size - to : 0;
        if (to == 0)
            return 416;
        to = size - 1;
    }
    if (from >= size)
        return 416;
    *first = from;
    *last = to < 0 || to >= size ? size - 1 : to;
    return 206;
}
