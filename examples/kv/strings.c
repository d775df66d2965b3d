/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands on the value of one key.
 *
 * What a change needs is allocated while the shard is not locked: it looks, finds that something is missing, unlocks,
 * makes it, and looks again. A value that nobody else holds and that has room is written in place, so that most changes
 * of what exists need nothing.
 */
#include "command.h"

#include "journal.h"
#include "settings.h"

#include <string.h>

/* --- reading ------------------------------------------------------------------------------------------------------ */

/* With the shard locked and SMALL_ANSWER bytes of room: writes the value as an answer, or shares one that is large. */
static value *put_value(client *c, value *v)
{
    if (v->len > SMALL_VALUE)
        return value_share(v);
    char *at = c->output + c->output_used;
    *at++ = '$';
    at = put_number(at, v->len);
    *at++ = '\r';
    *at++ = '\n';
    memcpy(at, v->data, v->len);
    at += v->len;
    *at++ = '\r';
    *at++ = '\n';
    c->output_used = (uint32_t)(at - c->output);
    return NULL;
}

void cmd_get(client *c)
{
    key k = key_of(&c->in.args[1]);
    if (!client_room(c, SMALL_ANSWER))
        return;
    shard *s = store_lock(&k);
    entry *e = store_find(s, &k);
    value *shared = NULL;
    if (e) {
        s->hits++;
        shared = put_value(c, e->value);
    } else {
        s->misses++;
        answer_nil(c);
    }
    client_saw(c, s->lsn);
    store_unlock(s);
    answer_shared(c, shared);
}

void cmd_strlen(client *c)
{
    key k = key_of(&c->in.args[1]);
    shard *s = store_lock(&k);
    entry *e = store_find(s, &k);
    uint32_t len = e ? e->value->len : 0;
    client_saw(c, s->lsn);
    store_unlock(s);
    answer_number(c, len);
}

void cmd_getdel(client *c)
{
    key k = key_of(&c->in.args[1]);
    if (!client_room(c, SMALL_ANSWER))
        return;
    shard *s = store_lock(&k);
    entry *e = store_find(s, &k);
    value *shared = NULL;
    if (e) {
        shared = put_value(c, e->value);
        s->lsn = journal_del(e);
        store_remove(s, e);
    } else {
        answer_nil(c);
    }
    client_saw(c, s->lsn);
    store_unlock(s);
    answer_shared(c, shared);
}

/* --- setting ------------------------------------------------------------------------------------------------------ */

typedef struct set_options {
    bool only_new, only_old; /* NX, XX */
    bool get;                /* the answer is the former value */
    bool keep;               /* KEEPTTL */
    int64_t expires;         /* or 0 */
} set_options;

typedef enum set_result { SET_DONE, SET_NOT, SET_NO_MEMORY } set_result;

/* What has been made for a change: a value, or an entry that has it. */
typedef struct spares {
    value *fresh;
    entry *entry;
} spares;

/* For the case that the key is there, or is not. False: no memory. */
static bool make_spares(spares *made, const key *k, const resp_arg *arg, bool is_there)
{
    if (!made->fresh && !made->entry)
        made->fresh = arg ? resp_value(arg) : value_new(NUMBER_TEXT_MAX);
    if (made->fresh && !is_there) {
        made->entry = entry_new(k, made->fresh);
        if (made->entry)
            made->fresh = NULL;
    }
    return is_there ? made->fresh || made->entry : made->entry != NULL;
}

static void free_spares(const spares *made)
{
    value_release(made->fresh);
    entry_free(made->entry);
}

/* Exchanges the entry's value for the one that has been made. */
static void use_spare(spares *made, shard *s, entry *e)
{
    value **fresh = made->entry ? &made->entry->value : &made->fresh;
    *fresh = store_replace(s, e, *fresh);
}

/* The part of the memory that would lie idle is small, and nobody else looks at it. */
static bool fits(value *v, uint32_t len)
{
    return len <= v->room && v->room - len <= len + 64 && value_is_sole(v);
}

static bool can_overwrite(const entry *e, const resp_arg *arg)
{
    return !arg->large && arg->len <= SMALL_VALUE && fits(e->value, arg->len);
}

/* One attempt, with the shard locked. False: something has to be made first. */
static bool try_set(shard *s, entry *e, const resp_arg *arg, const set_options *o, spares *made, set_result *result)
{
    *result = SET_DONE;
    if (e ? o->only_new : o->only_old) {
        *result = SET_NOT;
        return true;
    }
    if (!e) {
        e = made->entry;
        if (!e)
            return false;
        e->expires = o->expires;
        if (!store_insert(s, e)) {
            *result = SET_NO_MEMORY;
            return true;
        }
        made->entry = NULL;
    } else {
        bool has_spare = made->fresh || made->entry;
        if (!has_spare && !can_overwrite(e, arg))
            return false;
        if (!o->keep && !store_expire(s, e, o->expires)) {
            *result = SET_NO_MEMORY;
            return true;
        }
        if (has_spare) {
            use_spare(made, s, e);
        } else {
            memcpy(e->value->data, arg->data, arg->len);
            e->value->len = arg->len;
        }
    }
    s->lsn = journal_set(e);
    return true;
}

/* *former, if wanted: the value that was there, shared, or NULL. */
static set_result set(client *c, const resp_arg *key_arg, const resp_arg *arg, const set_options *o, value **former)
{
    key k = key_of(key_arg);
    spares made = {0};
    set_result result;
    for (;;) {
        shard *s = store_lock(&k);
        entry *e = store_find(s, &k);
        value *before = e && former ? value_share(e->value) : NULL;
        bool done = try_set(s, e, arg, o, &made, &result), is_there = e != NULL;
        client_saw(c, s->lsn);
        store_unlock(s);
        if (done) {
            if (former)
                *former = before;
            break;
        }
        value_release(before);
        if (!make_spares(&made, &k, arg, is_there)) {
            result = SET_NO_MEMORY;
            if (former)
                *former = NULL;
            break;
        }
    }
    free_spares(&made);
    return result;
}

/* The answer of SET and of those like it. */
static void set_and_answer(client *c, const resp_arg *key_arg, const resp_arg *arg, const set_options *o)
{
    value *former = NULL;
    set_result result = set(c, key_arg, arg, o, o->get ? &former : NULL);
    if (result == SET_NO_MEMORY)
        answer_no_memory(c);
    else if (o->get && former)
        answer_value(c, former);
    else if (o->get || result == SET_NOT)
        answer_nil(c);
    else
        answer_ok(c);
    value_release(former);
}

/* EX, PX, EXAT, PXAT: milliseconds in its unit, or 0 for another word. */
static int64_t expiry_unit(const resp_arg *arg, bool *relative)
{
    *relative = arg_is(arg, "EX") || arg_is(arg, "PX");
    if (arg_is(arg, "EX") || arg_is(arg, "EXAT"))
        return 1000;
    return arg_is(arg, "PX") || arg_is(arg, "PXAT");
}

static __attribute__((noinline)) bool read_set_options(client *c, set_options *o)
{
    const resp_arg *args = c->in.args, *amount = NULL;
    uint32_t argc = c->in.argc;
    int64_t unit = 0;
    bool relative = false;
    for (uint32_t i = 3; i < argc; i++) {
        bool is_relative;
        int64_t its_unit;
        if (arg_is(&args[i], "NX") && !o->only_old) {
            o->only_new = true;
        } else if (arg_is(&args[i], "XX") && !o->only_new) {
            o->only_old = true;
        } else if (arg_is(&args[i], "GET")) {
            o->get = true;
        } else if (arg_is(&args[i], "KEEPTTL") && !amount) {
            o->keep = true;
        } else if ((its_unit = expiry_unit(&args[i], &is_relative)) > 0 && !amount && !o->keep && i + 1 < argc) {
            unit = its_unit;
            relative = is_relative;
            amount = &args[++i];
        } else {
            answer_syntax_error(c);
            return false;
        }
    }
    return !amount || arg_lifetime(c, amount, unit, relative, &o->expires);
}

void cmd_set(client *c)
{
    set_options o = {0};
    if (c->in.argc == 3 || read_set_options(c, &o))
        set_and_answer(c, &c->in.args[1], &c->in.args[2], &o);
}

void cmd_setnx(client *c)
{
    set_options o = {.only_new = true};
    set_result result = set(c, &c->in.args[1], &c->in.args[2], &o, NULL);
    if (result == SET_NO_MEMORY)
        answer_no_memory(c);
    else
        answer_number(c, result == SET_DONE);
}

static void set_with_lifetime(client *c, int64_t unit)
{
    set_options o = {0};
    if (arg_lifetime(c, &c->in.args[2], unit, true, &o.expires))
        set_and_answer(c, &c->in.args[1], &c->in.args[3], &o);
}

void cmd_setex(client *c)
{
    set_with_lifetime(c, 1000);
}

void cmd_psetex(client *c)
{
    set_with_lifetime(c, 1);
}

void cmd_getset(client *c)
{
    set_options o = {.get = true};
    set_and_answer(c, &c->in.args[1], &c->in.args[2], &o);
}

/* --- counting ----------------------------------------------------------------------------------------------------- */

static const char not_a_number[] = "ERR value is not an integer or out of range",
                  overflow[] = "ERR increment or decrement would overflow";

/* One attempt, with the shard locked. False: something has to be made first. */
static bool try_add(shard *s, entry *e, int64_t by, spares *made, int64_t *sum, const char **error)
{
    int64_t number = 0;
    if (e && !read_number(e->value->data, e->value->len, &number)) {
        *error = not_a_number;
        return true;
    }
    if (__builtin_add_overflow(number, by, sum)) {
        *error = overflow;
        return true;
    }
    bool in_place = e && e->value->room >= NUMBER_TEXT_MAX && fits(e->value, NUMBER_TEXT_MAX);
    if (!in_place && !(e ? made->fresh || made->entry : made->entry != NULL))
        return false;
    if (e && !in_place)
        use_spare(made, s, e);
    entry *target = e ? e : made->entry;
    target->value->len = (uint32_t)(put_number(target->value->data, *sum) - target->value->data);
    if (!e) {
        if (!store_insert(s, target)) {
            *error = "OOM out of memory";
            return true;
        }
        made->entry = NULL;
    }
    s->lsn = journal_set(target);
    return true;
}

static void add(client *c, int64_t by)
{
    key k = key_of(&c->in.args[1]);
    spares made = {0};
    int64_t sum = 0;
    const char *error = NULL;
    for (;;) {
        shard *s = store_lock(&k);
        entry *e = store_find(s, &k);
        bool done = try_add(s, e, by, &made, &sum, &error), is_there = e != NULL;
        client_saw(c, s->lsn);
        store_unlock(s);
        if (done)
            break;
        if (!make_spares(&made, &k, NULL, is_there)) {
            error = "OOM out of memory";
            break;
        }
    }
    free_spares(&made);
    if (error)
        answer_error(c, error);
    else
        answer_number(c, sum);
}

void cmd_incr(client *c)
{
    add(c, 1);
}

void cmd_decr(client *c)
{
    add(c, -1);
}

void cmd_incrby(client *c)
{
    int64_t by;
    if (arg_number(c, &c->in.args[2], &by))
        add(c, by);
}

void cmd_decrby(client *c)
{
    int64_t by;
    if (!arg_number(c, &c->in.args[2], &by))
        return;
    if (by == INT64_MIN)
        answer_error(c, "ERR decrement would overflow");
    else
        add(c, -by);
}

/* --- appending ---------------------------------------------------------------------------------------------------- */

/* A copy of `v` with room for more. */
static value *make_longer(const value *v, uint32_t more)
{
    size_t len = (size_t)v->len + more, extra = len < (1 << 20) ? len : 1 << 20;
    if (len + extra > UINT32_MAX)
        extra = 0;
    value *longer = value_new(len + extra);
    if (longer) {
        memcpy(longer->data, v->data, v->len);
        longer->len = v->len;
    }
    return longer;
}

/* Puts the argument behind the value that is there. A value that has no room is copied while the shard is not locked:
 * the reference that is held meanwhile keeps everybody from writing to it. Returns the length, or -1: no value. */
static int64_t append(client *c, const key *k, const resp_arg *arg, const char **error)
{
    value *before = NULL, *longer = NULL;
    int64_t len = -1;
    for (bool done = false; !done;) {
        value *replaced = NULL;
        shard *s = store_lock(k);
        entry *e = store_find(s, k);
        value *v = e ? e->value : NULL;
        if (!e) {
            done = true;
        } else if ((uint64_t)v->len + arg->len > settings.requests.value_bytes) {
            *error = "ERR string exceeds maximum allowed size (proto-max-bulk-len)";
            done = true;
        } else if (v == before || (v->room - v->len >= arg->len && value_is_sole(v))) {
            if (v == before) {
                replaced = store_replace(s, e, longer);
                v = longer;
                longer = NULL;
            }
            memcpy(v->data + v->len, arg->data, arg->len);
            v->len += arg->len;
            len = v->len;
            s->lsn = journal_append(e, arg->data, arg->len);
            done = true;
        }
        value *seen = e && !done ? value_share(v) : NULL;
        client_saw(c, s->lsn);
        store_unlock(s);
        value_release(replaced);
        value_release(before);
        value_release(longer);
        before = seen;
        longer = seen ? make_longer(seen, arg->len) : NULL;
        if (seen && !longer) {
            *error = "OOM out of memory";
            done = true;
        }
    }
    value_release(before);
    return len;
}

void cmd_append(client *c)
{
    const resp_arg *args = c->in.args;
    key k = key_of(&args[1]);
    const char *error = NULL;
    int64_t len;
    set_result result;
    do {
        len = append(c, &k, &args[2], &error);
        result = SET_DONE;
        if (len < 0 && !error) {
            set_options o = {.only_new = true};
            result = set(c, &args[1], &args[2], &o, NULL);
            len = args[2].len;
        }
    } while (result == SET_NOT); /* somebody else has set it meanwhile */
    if (error)
        answer_error(c, error);
    else if (result == SET_NO_MEMORY)
        answer_no_memory(c);
    else
        answer_number(c, len);
}
