/* SPDX-License-Identifier: Apache-2.0 */
#include "bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *put_number(char *at, int64_t number)
{
    char digits[NUMBER_TEXT_MAX], *first = digits + sizeof digits;
    uint64_t rest = number < 0 ? -(uint64_t)number : (uint64_t)number;
    do {
        *--first = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (number < 0)
        *at++ = '-';
    size_t len = (size_t)(digits + sizeof digits - first);
    memcpy(at, first, len);
    return at + len;
}

bool read_number(const char *text, size_t len, int64_t *number)
{
    const char *at = text, *end = text + len;
    bool negative = at < end && *at == '-';
    at += negative;
    if (at == end || end - at > NUMBER_TEXT_MAX - 1)
        return false;
    if (*at == '0') {
        *number = 0;
        return !negative && len == 1;
    }
    uint64_t value = 0; /* 19 digits fit */
    for (; at < end; at++) {
        if (*at < '0' || *at > '9')
            return false;
        value = value * 10 + (uint64_t)(*at - '0');
    }
    if (value > (uint64_t)INT64_MAX + negative)
        return false;
    *number = (int64_t)(negative ? -value : value);
    return true;
}

bool strbuf_reserve(strbuf *b, size_t more)
{
    if (more <= b->room - b->len)
        return true;
    size_t room = b->room ? b->room * 2 : 512;
    if (room < b->len + more)
        room = b->len + more;
    char *data = realloc(b->data, room);
    if (!data)
        return false;
    b->data = data;
    b->room = room;
    return true;
}

bool strbuf_add(strbuf *b, const void *data, size_t len)
{
    if (!strbuf_reserve(b, len))
        return false;
    if (len > 0)
        memcpy(b->data + b->len, data, len);
    b->len += len;
    return true;
}

bool strbuf_print(strbuf *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (len < 0 || !strbuf_reserve(b, (size_t)len + 1))
        return false;
    va_start(args, format);
    vsnprintf(b->data + b->len, (size_t)len + 1, format, args);
    va_end(args);
    b->len += (size_t)len;
    return true;
}
