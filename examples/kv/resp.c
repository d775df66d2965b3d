/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The buffer: [begin, at) is the part of the current command that has been looked at, [at, end) what has been received
 * behind it. Arguments point into it and are moved when it is. A large argument is cut out: its bytes go from the
 * buffer's end into a value, and nothing is received into the buffer until it is complete.
 */
#include "resp.h"

#include "bytes.h"
#include "pool.h"

#include <stdlib.h>
#include <string.h>

static atomic_ullong total;

uint64_t resp_bytes(void)
{
    return atomic_load_explicit(&total, memory_order_relaxed);
}

bool resp_charge(size_t bytes, const resp_limits *limits)
{
    if (atomic_fetch_add_explicit(&total, bytes, memory_order_relaxed) + bytes <= limits->total_bytes)
        return true;
    resp_discharge(bytes);
    return false;
}

void resp_discharge(size_t bytes)
{
    atomic_fetch_sub_explicit(&total, bytes, memory_order_relaxed);
}

/* --- memory ------------------------------------------------------------------------------------------------------- */

void resp_init(resp *r, const resp_limits *limits)
{
    memset(r, 0, offsetof(resp, own_args));
    r->limits = limits;
    r->buffer = r->own;
    r->room = sizeof r->own;
    r->args = r->own_args;
    r->args_room = RESP_OWN_ARGS;
}

static void free_buffer(const resp *r, char *buffer, size_t room)
{
    if (buffer == r->own)
        return;
    resp_discharge(room);
    if (room == POOL_BYTES)
        pool_put(buffer);
    else
        free(buffer);
}

static void free_args(const resp *r)
{
    if (r->args != r->own_args) {
        resp_discharge(r->args_room * sizeof *r->args);
        free(r->args);
    }
}

/* What is received of a large argument is charged by its capacity while the parser holds it. */
static void let_go(value *v)
{
    resp_discharge(v->room);
    value_release(v);
}

static value *value_of(const resp_arg *arg)
{
    return (value *)(uintptr_t)(arg->data - offsetof(value, data));
}

static void free_large(resp *r)
{
    if (r->held == 0 && !r->large)
        return;
    for (uint32_t i = 0; i < r->argc; i++)
        if (r->args[i].large)
            let_go(value_of(&r->args[i]));
    if (r->large)
        let_go(r->large);
    r->large = NULL;
    r->held = 0;
}

void resp_destroy(resp *r)
{
    free_large(r);
    free_args(r);
    free_buffer(r, r->buffer, r->room);
}

void resp_rest(resp *r)
{
    if (r->begin < r->end || resp_is_partial(r))
        return;
    free_buffer(r, r->buffer, r->room);
    free_args(r);
    r->buffer = r->own;
    r->room = sizeof r->own;
    r->args = r->own_args;
    r->args_room = RESP_OWN_ARGS;
}

/* Moves what is there to the beginning of `buffer`, and the arguments with it. */
static void move_to(resp *r, char *buffer)
{
    const char *from = r->buffer + r->begin, *from_end = r->buffer + r->end;
    memmove(buffer, from, r->end - r->begin);
    for (uint32_t i = 0; i < r->argc; i++)
        if (!r->args[i].large && r->args[i].data >= from && r->args[i].data <= from_end)
            r->args[i].data = buffer + (r->args[i].data - from);
    r->buffer = buffer;
    r->at -= r->begin;
    r->searched = r->searched > r->begin ? r->searched - r->begin : 0;
    r->end -= r->begin;
    r->begin = 0;
}

static bool fail(resp *r, const char *error)
{
    r->error = error;
    return false;
}

static bool exceeds(const resp *r, size_t more)
{
    return r->held + (r->end - r->begin) + more > r->limits->request_bytes;
}

static bool grow_buffer(resp *r)
{
    size_t room = r->room < POOL_BYTES ? POOL_BYTES : r->room * 2;
    if (exceeds(r, 1))
        return fail(r, "Protocol error: the request is larger than --max-request allows");
    if (!resp_charge(room, r->limits))
        return fail(r, "Protocol error: requests being received take more memory than --max-buffers allows");
    char *buffer = room == POOL_BYTES ? pool_get() : malloc(room), *old = r->buffer;
    size_t old_room = r->room;
    if (!buffer) {
        resp_discharge(room);
        return fail(r, "Protocol error: out of memory");
    }
    move_to(r, buffer);
    r->room = room;
    free_buffer(r, old, old_room);
    return true;
}

static bool grow_large(resp *r)
{
    size_t room = (size_t)r->large->room * 2 < r->bulk_len ? (size_t)r->large->room * 2 : r->bulk_len;
    size_t more = room - r->large->room;
    if (exceeds(r, more))
        return fail(r, "Protocol error: the request is larger than --max-request allows");
    if (!resp_charge(more, r->limits))
        return fail(r, "Protocol error: requests being received take more memory than --max-buffers allows");
    value *v = value_resize(r->large, room);
    if (!v) {
        resp_discharge(more);
        return fail(r, "Protocol error: out of memory");
    }
    r->large = v;
    r->held += more;
    return true;
}

char *resp_room(resp *r, size_t *room)
{
    if (r->state == RESP_LARGE_BULK) {
        if (r->large->len == r->large->room && !grow_large(r))
            return NULL;
        *room = r->large->room - r->large->len;
        return r->large->data + r->large->len;
    }
    if (r->end == r->room) {
        if (r->begin > r->room / 2)
            move_to(r, r->buffer);
        else if (!grow_buffer(r))
            return NULL;
    }
    *room = r->room - r->end;
    return r->buffer + r->end;
}

void resp_expect_more(resp *r)
{
    if (r->buffer == r->own && !grow_buffer(r))
        r->error = NULL; /* then with what there is */
}

void resp_received(resp *r, size_t len)
{
    if (r->state == RESP_LARGE_BULK)
        r->large->len += (uint32_t)len;
    else
        r->end += len;
}

value *resp_value(const resp_arg *arg)
{
    return arg->large ? value_share(value_of(arg)) : value_copy(arg->data, arg->len);
}

/* --- parsing ------------------------------------------------------------------------------------------------------ */

static void advance(resp *r, size_t len)
{
    r->at += len;
    r->passed += len;
}

static bool add_arg(resp *r, const char *data, uint32_t len, bool large)
{
    if (r->argc == r->args_room) {
        uint32_t room = r->args_room * 2;
        size_t bytes = room * sizeof *r->args;
        if (!resp_charge(bytes, r->limits))
            return fail(r, "Protocol error: requests being received take more memory than --max-buffers allows");
        resp_arg *args = malloc(bytes);
        if (!args) {
            resp_discharge(bytes);
            return fail(r, "Protocol error: out of memory");
        }
        memcpy(args, r->args, r->argc * sizeof *args);
        free_args(r);
        r->args = args;
        r->args_room = room;
    }
    r->args[r->argc++] = (resp_arg){.data = data, .len = len, .large = large};
    return true;
}

enum { LINE_INCOMPLETE, LINE_COMPLETE, LINE_BARE /* ends with LF alone */, LINE_TOO_LONG };

/* The line that begins at `at`, and where its LF is, if there is one within `max` bytes. Whether it is too long does
 * not depend on the pieces in which it came. */
static int find_line(resp *r, size_t max, char **newline)
{
    char *line = r->buffer + r->at;
    size_t searched = r->searched > r->at ? r->searched - r->at : 0, have = r->end - r->at;
    *newline = have > searched ? memchr(line + searched, '\n', have - searched) : NULL;
    if (!*newline) {
        r->searched = r->end;
        return have > max ? LINE_TOO_LONG : LINE_INCOMPLETE;
    }
    if ((size_t)(*newline - line) > max)
        return LINE_TOO_LONG;
    return *newline > line && (*newline)[-1] == '\r' ? LINE_COMPLETE : LINE_BARE;
}

/* "*3" or "$5": the number behind the first character. 1; 0: more is needed; -1: `error` is set. */
static int take_number(resp *r, int64_t *number, const char *too_long, const char *invalid)
{
    char *newline, *line = r->buffer + r->at;
    int found = find_line(r, RESP_NUMBER_LINE_MAX, &newline);
    if (found == LINE_INCOMPLETE)
        return 0;
    if (found == LINE_TOO_LONG) {
        r->error = too_long;
        return -1;
    }
    if (found == LINE_BARE || !read_number(line + 1, (size_t)(newline - line) - 2, number)) {
        r->error = invalid;
        return -1;
    }
    advance(r, (size_t)(newline + 1 - line));
    return 1;
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r') || c == '\0';
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* What stands at `p`, behind a backslash within double quotes. Returns where it goes on. */
static char *unescape(char *p, const char *end, char *out)
{
    if (end - p >= 3 && *p == 'x' && hex_digit(p[1]) >= 0 && hex_digit(p[2]) >= 0) {
        *out = (char)(hex_digit(p[1]) * 16 + hex_digit(p[2]));
        return p + 3;
    }
    static const char letters[] = "nrtba", meant[] = "\n\r\t\b\a";
    const char *letter = *p ? strchr(letters, *p) : NULL;
    *out = letter ? meant[letter - letters] : *p;
    return p + 1;
}

/* One word of a line, without its quotes, which takes no more room than with them. NULL: the quotes do not match. */
static char *take_word(char *p, const char *end, char *out, uint32_t *len)
{
    char *first = out, quote = '\0';
    for (; p < end; out++) {
        if (quote == '\0' && is_space(*p))
            break;
        if (quote == '\0' && (*p == '"' || *p == '\'')) {
            quote = *p++;
            out--;
        } else if (quote == '"' && *p == '\\' && end - p >= 2) {
            p = unescape(p + 1, end, out);
        } else if (quote == '\'' && *p == '\\' && end - p >= 2 && p[1] == '\'') {
            *out = '\'';
            p += 2;
        } else if (quote != '\0' && *p == quote) {
            p++;
            out--;
            quote = '\0';
            if (p < end && !is_space(*p))
                return NULL;
        } else {
            *out = *p++;
        }
    }
    *len = (uint32_t)(out - first);
    return quote == '\0' ? p : NULL;
}

/* A line of words. 1: it is complete (and may be empty); 0, -1 as above. */
static int take_words(resp *r)
{
    char *newline, *p = r->buffer + r->at;
    int found = find_line(r, RESP_LINE_MAX, &newline);
    if (found == LINE_INCOMPLETE)
        return 0;
    if (found == LINE_TOO_LONG) {
        r->error = "Protocol error: too big inline request";
        return -1;
    }
    char *end = newline - (found == LINE_COMPLETE);
    advance(r, (size_t)(newline + 1 - p));
    for (;;) {
        while (p < end && is_space(*p))
            p++;
        if (p == end)
            return 1;
        char *word = p;
        uint32_t word_len;
        p = take_word(p, end, word, &word_len);
        if (!p) {
            r->error = "Protocol error: unbalanced quotes in request";
            return -1;
        }
        if (!add_arg(r, word, word_len, false))
            return -1;
    }
}

/* The number of arguments. 1; 0, -1 as above. A command of none is no command. */
static int take_count(resp *r)
{
    int64_t count;
    int found = take_number(r, &count, "Protocol error: too big mbulk count string",
                            "Protocol error: invalid multibulk length");
    if (found <= 0)
        return found;
    if (count > RESP_ARGS_MAX) {
        r->error = "Protocol error: invalid multibulk length";
        return -1;
    }
    r->missing = count > 0 ? (uint32_t)count : 0;
    return 1;
}

static int take_length(resp *r)
{
    if (r->at == r->end)
        return 0;
    char first = r->buffer[r->at];
    if (first != '$') {
        char text[] = "Protocol error: expected '$', got ' '";
        text[sizeof text - 3] = first >= ' ' && first <= '~' ? first : '?';
        r->error = memcpy(r->own, text, sizeof text); /* no more is read into it */
        return -1;
    }
    int64_t len;
    int found =
        take_number(r, &len, "Protocol error: too big bulk count string", "Protocol error: invalid bulk length");
    if (found <= 0)
        return found;
    if (len < 0 || (uint64_t)len > r->limits->value_bytes) {
        r->error = "Protocol error: invalid bulk length";
        return -1;
    }
    r->bulk_len = (uint32_t)len;
    return 1;
}

/* The argument is large and not all of it is here: it goes on in a value. */
static int begin_large(resp *r)
{
    size_t have = r->end - r->at, room = have * 2 > RESP_LARGE ? have * 2 : RESP_LARGE;
    if (room > r->bulk_len)
        room = r->bulk_len;
    if (!resp_charge(room, r->limits)) {
        r->error = "Protocol error: requests being received take more memory than --max-buffers allows";
        return -1;
    }
    r->large = value_new(room);
    if (!r->large) {
        resp_discharge(room);
        r->error = "Protocol error: out of memory";
        return -1;
    }
    r->held += room;
    memcpy(r->large->data, r->buffer + r->at, have);
    r->large->len = (uint32_t)have;
    r->end = r->at;
    r->searched = 0;
    r->state = RESP_LARGE_BULK;
    return 1;
}

static int take_bulk(resp *r)
{
    size_t have = r->end - r->at;
    if (have >= r->bulk_len) {
        if (!add_arg(r, r->buffer + r->at, r->bulk_len, false))
            return -1;
        advance(r, r->bulk_len);
        r->state = RESP_END;
        return 1;
    }
    return r->bulk_len >= RESP_LARGE ? begin_large(r) : 0;
}

static int take_large(resp *r)
{
    if (r->large->len < r->bulk_len)
        return 0;
    if (!add_arg(r, r->large->data, r->bulk_len, true))
        return -1;
    r->large = NULL; /* the argument's now */
    r->passed += r->bulk_len;
    r->state = RESP_END;
    return 1;
}

/* The CR LF behind an argument. */
static int take_end(resp *r)
{
    if (r->end - r->at < 2)
        return 0;
    if (memcmp(r->buffer + r->at, "\r\n", 2) != 0) {
        r->error = "Protocol error: expected CR LF behind a bulk";
        return -1;
    }
    advance(r, 2);
    return 1;
}

static void finish(resp *r)
{
    free_large(r);
    r->argc = 0;
    r->taken += r->passed;
    r->passed = 0;
    r->begin = r->at;
    if (r->begin == r->end)
        r->begin = r->at = r->end = r->searched = 0;
    r->state = RESP_BEGIN;
}

/* One step: 1 to go on, 0 when more is needed, -1 when `error` is set. */
static int step(resp *r)
{
    int done = 1;
    switch (r->state) {
    case RESP_DONE:
        finish(r);
        break;
    case RESP_BEGIN:
        if (r->at == r->end)
            return 0;
        if (r->buffer[r->at] == '*') {
            r->state = RESP_COUNT;
        } else if (r->limits->inline_commands) {
            r->state = RESP_INLINE;
        } else {
            r->error = "Protocol error: expected '*'";
            return -1;
        }
        break;
    case RESP_INLINE:
        done = take_words(r);
        if (done > 0)
            r->state = RESP_DONE;
        break;
    case RESP_COUNT:
        done = take_count(r);
        if (done > 0)
            r->state = r->missing > 0 ? RESP_LENGTH : RESP_DONE;
        break;
    case RESP_LENGTH:
        done = take_length(r);
        if (done > 0)
            r->state = RESP_BULK;
        break;
    case RESP_BULK:
        return take_bulk(r);
    case RESP_LARGE_BULK:
        return take_large(r);
    case RESP_END:
        done = take_end(r);
        if (done > 0)
            r->state = --r->missing > 0 ? RESP_LENGTH : RESP_DONE;
        break;
    }
    return done;
}

resp_event resp_next(resp *r)
{
    if (r->error)
        return RESP_INVALID;
    if (r->state == RESP_DONE)
        finish(r);
    for (;;) {
        int done = step(r);
        if (done == 0)
            return RESP_MORE;
        if (done < 0)
            return RESP_INVALID;
        if (r->state == RESP_DONE && r->argc > 0)
            return RESP_COMMAND;
    }
}
