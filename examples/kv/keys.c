/* SPDX-License-Identifier: Apache-2.0 */
/* Commands on keys, whatever their values: time to live, and which keys there are. */
#include "command.h"

#include "glob.h"
#include "journal.h"
#include "pool.h"
#include "settings.h"

#include <stdlib.h>
#include <string.h>

/* --- time to live ------------------------------------------------------------------------------------------------- */

/* NX, XX, GT, LT */
typedef struct conditions {
    bool none, some, later, sooner;
} conditions;

static bool read_conditions(client *c, conditions *only)
{
    for (uint32_t i = 3; i < c->in.argc; i++) {
        const resp_arg *arg = &c->in.args[i];
        if (arg_is(arg, "NX")) {
            only->none = true;
        } else if (arg_is(arg, "XX")) {
            only->some = true;
        } else if (arg_is(arg, "GT")) {
            only->later = true;
        } else if (arg_is(arg, "LT")) {
            only->sooner = true;
        } else {
            answer_error_about(c, "ERR Unsupported option ", arg->data, arg->len < 128 ? arg->len : 128, "");
            return false;
        }
    }
    if (only->none && (only->some || only->later || only->sooner)) {
        answer_error(c, "ERR NX and XX, GT or LT options at the same time are not compatible");
        return false;
    }
    if (only->later && only->sooner) {
        answer_error(c, "ERR GT and LT options at the same time are not compatible");
        return false;
    }
    return true;
}

/* One without a time lives longer than any other. */
static bool hold(const conditions *only, int64_t former, int64_t when)
{
    return !(only->none && former != 0) && !(only->some && former == 0) &&
           !(only->later && (former == 0 || when <= former)) && !(only->sooner && former != 0 && when >= former);
}

static void expire(client *c, int64_t unit, bool relative)
{
    conditions only = {0};
    int64_t when;
    if (!read_conditions(c, &only) || !arg_expiry(c, &c->in.args[2], unit, relative, &when))
        return;
    key k = key_of(&c->in.args[1]);
    bool is_past = when <= clock_ms(), done = false, failed = false;
    shard *s = store_lock(&k);
    entry *e = store_find(s, &k);
    if (e && hold(&only, e->expires, when)) {
        if (is_past) {
            s->lsn = journal_del(e);
            store_remove(s, e);
        } else if (store_expire(s, e, when)) {
            s->lsn = journal_expire(e);
        } else {
            failed = true;
        }
        done = true;
    }
    client_saw(c, s->lsn);
    store_unlock(s);
    if (failed)
        answer_no_memory(c);
    else
        answer_number(c, done);
}

void cmd_expire(client *c)
{
    expire(c, 1000, true);
}

void cmd_pexpire(client *c)
{
    expire(c, 1, true);
}

void cmd_expireat(client *c)
{
    expire(c, 1000, false);
}

void cmd_pexpireat(client *c)
{
    expire(c, 1, false);
}

void cmd_persist(client *c)
{
    key k = key_of(&c->in.args[1]);
    shard *s = store_lock(&k);
    entry *e = store_find(s, &k);
    bool done = e && e->expires != 0;
    if (done) {
        (void)store_expire(s, e, 0); /* to take it away needs no memory */
        s->lsn = journal_expire(e);
    }
    client_saw(c, s->lsn);
    store_unlock(s);
    answer_number(c, done);
}

enum { NO_KEY = -2, NO_TIME = -1 };

/* Milliseconds, or one of the above. */
static int64_t time_to_live(client *c)
{
    key k = key_of(&c->in.args[1]);
    shard *s = store_lock(&k);
    entry *e = store_find(s, &k);
    int64_t left = !e ? NO_KEY : e->expires == 0 ? NO_TIME : e->expires - clock_ms();
    client_saw(c, s->lsn);
    store_unlock(s);
    return e && left < 0 && e->expires != 0 ? 0 : left;
}

void cmd_ttl(client *c)
{
    int64_t left = time_to_live(c);
    answer_number(c, left < 0 ? left : (left + 500) / 1000);
}

void cmd_pttl(client *c)
{
    answer_number(c, time_to_live(c));
}

void cmd_type(client *c)
{
    key k = key_of(&c->in.args[1]);
    shard *s = store_lock(&k);
    bool is_there = store_find(s, &k) != NULL;
    client_saw(c, s->lsn);
    store_unlock(s);
    if (is_there)
        answer_literal(c, "+string\r\n");
    else
        answer_literal(c, "+none\r\n");
}

void cmd_dbsize(client *c)
{
    store_stats now = store_count();
    client_saw(c, journal_lsn());
    answer_number(c, (int64_t)now.keys);
}

/* --- which keys there are ------------------------------------------------------------------------------------------
 */

enum { KEYS_AT_ONCE = 128, SCAN_MAX = 10000 };

/* Keys that have been copied while their shard was locked, each behind its length. */
typedef struct copies {
    char *buffer;
    size_t used, room;
    size_t needed;   /* the next one alone does not fit */
    unsigned looked; /* entries visited */
} copies;

static bool copy_key(shard *s, entry *e, void *arg)
{
    copies *k = arg;
    (void)s;
    if (is_expired(e)) {
        k->looked++;
        return true;
    }
    size_t needed = sizeof e->key_len + e->key_len;
    if (needed > k->room - k->used) {
        k->needed = k->used == 0 ? needed : 0;
        return false;
    }
    memcpy(k->buffer + k->used, &e->key_len, sizeof e->key_len);
    memcpy(k->buffer + k->used + sizeof e->key_len, e->key, e->key_len);
    k->used += needed;
    k->looked++;
    return true;
}

/* The walk and what comes of it. */
typedef struct search {
    const resp_arg *pattern; /* or NULL */
    copies copies;
    strbuf found; /* as bulks */
    size_t count, charged;
    const char *error;
} search;

static bool begin_search(client *c, search *q)
{
    q->copies.buffer = pool_get();
    q->copies.room = POOL_BYTES;
    if (!q->copies.buffer)
        answer_no_memory(c);
    return q->copies.buffer;
}

static void end_search(search *q)
{
    if (q->copies.room == POOL_BYTES)
        pool_put(q->copies.buffer);
    else
        free(q->copies.buffer);
    resp_discharge(q->charged);
    free(q->found.data);
}

static bool add_found(search *q, const char *name, uint32_t len)
{
    char head[NUMBER_TEXT_MAX + 3] = {'$'}, *end = put_number(head + 1, len);
    *end++ = '\r';
    *end++ = '\n';
    size_t before = q->found.room;
    bool done = strbuf_add(&q->found, head, (size_t)(end - head)) && strbuf_add(&q->found, name, len) &&
                strbuf_add(&q->found, "\r\n", 2);
    size_t more = q->found.room - before;
    if (!done) {
        q->error = "OOM out of memory";
    } else if (more > 0 && !resp_charge(more, &settings.requests)) {
        q->error = "ERR the answer is larger than --max-buffers allows";
        done = false;
    } else {
        q->charged += more;
        q->count++;
    }
    return done;
}

/* Goes through what has been copied. */
static bool match_copies(search *q)
{
    for (size_t at = 0; at < q->copies.used;) {
        uint32_t len;
        memcpy(&len, q->copies.buffer + at, sizeof len);
        const char *name = q->copies.buffer + at + sizeof len;
        at += sizeof len + len;
        if (q->pattern && !glob_match(q->pattern->data, q->pattern->len, name, len, false))
            continue;
        if (!add_found(q, name, len))
            return false;
    }
    q->copies.used = 0;
    return true;
}

static bool make_copies_longer(search *q)
{
    char *buffer = malloc(q->copies.needed);
    if (!buffer) {
        q->error = "OOM out of memory";
        return false;
    }
    if (q->copies.room == POOL_BYTES)
        pool_put(q->copies.buffer);
    else
        free(q->copies.buffer);
    q->copies.buffer = buffer;
    q->copies.room = q->copies.needed;
    q->copies.needed = 0;
    return true;
}

/* Goes on for up to `count` entries of one shard. */
static walk search_on(search *q, walk at, unsigned count)
{
    at = store_walk(at, count, copy_key, &q->copies);
    if (!match_copies(q) || (q->copies.needed > 0 && !make_copies_longer(q)))
        return 0;
    return at;
}

static void answer_found(client *c, const search *q)
{
    client_saw(c, journal_lsn());
    answer_array(c, q->count);
    client_write(c, q->found.data, q->found.len);
}

static bool is_everything(const resp_arg *pattern)
{
    return pattern->len == 1 && pattern->data[0] == '*';
}

void cmd_keys(client *c)
{
    search q = {.pattern = is_everything(&c->in.args[1]) ? NULL : &c->in.args[1]};
    if (!begin_search(c, &q))
        return;
    walk at = 0;
    do {
        q.copies.looked = 0;
        at = search_on(&q, at, KEYS_AT_ONCE);
        if (q.copies.looked == KEYS_AT_ONCE)
            client_yield(c);
    } while (at != 0 && !c->failed);
    if (q.error)
        answer_error(c, q.error);
    else
        answer_found(c, &q);
    end_search(&q);
}

static bool read_cursor(const resp_arg *arg, walk *at)
{
    *at = 0;
    for (uint32_t i = 0; i < arg->len; i++) {
        unsigned digit = (unsigned)(arg->data[i] - '0');
        if (digit > 9 || __builtin_mul_overflow(*at, 10, at) || __builtin_add_overflow(*at, digit, at))
            return false;
    }
    return arg->len > 0;
}

typedef struct scan_options {
    int64_t count;
    const resp_arg *pattern;
    bool nothing; /* of another type */
} scan_options;

static bool read_scan_options(client *c, scan_options *o)
{
    const resp_arg *args = c->in.args;
    for (uint32_t i = 2; i < c->in.argc; i += 2) {
        if (i + 1 < c->in.argc && arg_is(&args[i], "COUNT")) {
            if (!arg_number(c, &args[i + 1], &o->count))
                return false;
            if (o->count < 1) {
                answer_syntax_error(c);
                return false;
            }
        } else if (i + 1 < c->in.argc && arg_is(&args[i], "MATCH")) {
            o->pattern = is_everything(&args[i + 1]) ? NULL : &args[i + 1];
        } else if (i + 1 < c->in.argc && arg_is(&args[i], "TYPE")) {
            o->nothing = !arg_is(&args[i + 1], "STRING");
        } else {
            answer_syntax_error(c);
            return false;
        }
    }
    return true;
}

void cmd_scan(client *c)
{
    walk at;
    scan_options o = {.count = 10};
    if (!read_cursor(&c->in.args[1], &at)) {
        answer_error(c, "ERR invalid cursor");
        return;
    }
    if (!read_scan_options(c, &o))
        return;
    search q = {.pattern = o.pattern};
    if (!begin_search(c, &q))
        return;
    unsigned count = o.count < SCAN_MAX ? (unsigned)o.count : SCAN_MAX;
    do {
        at = search_on(&q, at, count - q.copies.looked);
    } while (at != 0 && q.copies.looked < count && !c->failed);
    if (q.error) {
        answer_error(c, q.error);
    } else {
        char text[NUMBER_TEXT_MAX];
        if (o.nothing)
            q.count = q.found.len = 0;
        answer_array(c, 2);
        answer_bulk(c, text, (size_t)(put_number(text, (int64_t)at) - text));
        answer_found(c, &q);
    }
    end_search(&q);
}
