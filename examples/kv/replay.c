/* SPDX-License-Identifier: Apache-2.0 */
#include "replay.h"

#include "bytes.h"
#include "store.h"

#include <string.h>
#include <strings.h>

static const char no_memory[] = "out of memory", no_command[] = "a command that is never written here",
                  no_time[] = "not a time", wrong_count[] = "wrong number of arguments";

/* Stores what SET says. Returns an error, or NULL. */
static const char *set(const resp_arg *key_arg, const resp_arg *value_arg, int64_t expires)
{
    key k = store_key(key_arg->data, key_arg->len);
    value *v = resp_value(value_arg);
    if (!v)
        return no_memory;
    const char *error = NULL;
    shard *s = store_lock(&k);
    entry *e = store_find(s, &k);
    if (e) {
        v = store_replace(s, e, v);
        if (!store_expire(s, e, expires))
            error = no_memory;
    } else if ((e = entry_new(&k, v))) {
        v = NULL;
        e->expires = expires;
        if (!store_insert(s, e)) {
            entry_free(e);
            error = no_memory;
        }
    } else {
        error = no_memory;
    }
    store_unlock(s);
    value_release(v);
    return error;
}

static const char *replay_set(const resp_arg *args, uint32_t argc)
{
    int64_t expires = 0;
    if (argc == 5 && (args[3].len != 4 || strncasecmp(args[3].data, "PXAT", 4) != 0 ||
                      !read_number(args[4].data, args[4].len, &expires) || expires <= 0))
        return no_time;
    return argc == 3 || argc == 5 ? set(&args[1], &args[2], expires) : wrong_count;
}

static const char *replay_mset(const resp_arg *args, uint32_t argc)
{
    if (argc < 3 || argc % 2 == 0)
        return wrong_count;
    const char *error = NULL;
    for (uint32_t i = 1; i < argc && !error; i += 2)
        error = set(&args[i], &args[i + 1], 0);
    return error;
}

static const char *replay_append(const resp_arg *args, uint32_t argc)
{
    if (argc != 3)
        return wrong_count;
    key k = store_key(args[1].data, args[1].len);
    const char *error = NULL;
    shard *s = store_lock(&k);
    entry *e = store_find(s, &k);
    if (e) {
        uint64_t len = (uint64_t)e->value->len + args[2].len;
        uint32_t room = e->value->room;
        value *v = len > INT32_MAX ? NULL : value_resize(e->value, len);
        if (v) {
            memcpy(v->data + v->len, args[2].data, args[2].len);
            v->len = (uint32_t)len;
            e->value = v;
            store_resized(s, (int64_t)v->room - room);
        } else {
            error = no_memory;
        }
    }
    store_unlock(s);
    return e ? error : set(&args[1], &args[2], 0);
}

static const char *replay_del(const resp_arg *args, uint32_t argc)
{
    if (argc < 2)
        return wrong_count;
    for (uint32_t i = 1; i < argc; i++) {
        key k = store_key(args[i].data, args[i].len);
        shard *s = store_lock(&k);
        entry *e = store_find(s, &k);
        if (e)
            store_remove(s, e);
        store_unlock(s);
    }
    return NULL;
}

static const char *expire(const resp_arg *key_arg, int64_t when)
{
    key k = store_key(key_arg->data, key_arg->len);
    shard *s = store_lock(&k);
    entry *e = store_find(s, &k);
    bool done = !e || store_expire(s, e, when);
    store_unlock(s);
    return done ? NULL : no_memory;
}

static const char *replay_pexpireat(const resp_arg *args, uint32_t argc)
{
    int64_t when;
    if (argc != 3)
        return wrong_count;
    if (!read_number(args[2].data, args[2].len, &when) || when <= 0)
        return no_time;
    return expire(&args[1], when);
}

static const char *replay_persist(const resp_arg *args, uint32_t argc)
{
    return argc == 2 ? expire(&args[1], 0) : wrong_count;
}

static const char *replay_flushall(const resp_arg *args, uint32_t argc)
{
    (void)args;
    uint64_t lsn;
    if (argc != 1)
        return wrong_count;
    return store_flush(&lsn) < 0 ? no_memory : NULL;
}

/* In a file that a Redis server has written. */
static const char *replay_select(const resp_arg *args, uint32_t argc)
{
    return argc == 2 && args[1].len == 1 && args[1].data[0] == '0' ? NULL : "there is only database 0";
}

static const char *apply(const resp_arg *args, uint32_t argc)
{
    static const struct {
        const char *name;
        const char *(*apply)(const resp_arg *args, uint32_t argc);
    } known[] = {
        {"SET", replay_set},           {"MSET", replay_mset},
        {"DEL", replay_del},           {"PEXPIREAT", replay_pexpireat},
        {"APPEND", replay_append},     {"PERSIST", replay_persist},
        {"FLUSHALL", replay_flushall}, {"SELECT", replay_select},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (args[0].len == strlen(known[i].name) && strncasecmp(args[0].data, known[i].name, args[0].len) == 0)
            return known[i].apply(args, argc);
    return no_command;
}

void replay_begin(replay *r)
{
    static const resp_limits limits = {
        .value_bytes = INT32_MAX, .request_bytes = SIZE_MAX / 2, .total_bytes = SIZE_MAX / 2};
    resp_init(&r->parser, &limits);
    r->commands = 0;
    r->error = NULL;
    store_set_loading(true);
}

char *replay_room(replay *r, size_t *room)
{
    resp_expect_more(&r->parser);
    char *at = resp_room(&r->parser, room);
    if (!at)
        r->error = r->parser.error;
    return at;
}

bool replay_received(replay *r, size_t len)
{
    resp_received(&r->parser, len);
    for (;;) {
        switch (resp_next(&r->parser)) {
        case RESP_COMMAND:
            r->error = apply(r->parser.args, r->parser.argc);
            if (r->error)
                return false;
            r->commands++;
            break;
        case RESP_INVALID:
            r->error = r->parser.error;
            return false;
        case RESP_MORE:
            return true;
        }
    }
}

uint64_t replay_offset(const replay *r)
{
    return r->parser.taken;
}

void replay_end(replay *r)
{
    resp_destroy(&r->parser);
    store_set_loading(false);
}
