/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands on several keys at one moment: the shards of all keys are locked together. What needs memory is made before
 * that, and what takes time (answers, freeing) comes after it.
 */
#include "command.h"

#include "journal.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>

/* Locks the shards of args[1], args[1 + step]... */
static void lock_keys(const client *c, uint32_t step, shard_set *set)
{
    *set = (shard_set){0};
    for (uint32_t i = 1; i < c->in.argc; i += step) {
        key k = key_of(&c->in.args[i]);
        shard_set_add(set, &k);
    }
    store_lock_set(set);
}

/* With its shard locked. */
static entry *find_locked(const resp_arg *arg, shard **s)
{
    key k = key_of(arg);
    *s = store_shard(&k);
    return store_find(*s, &k);
}

/* --- MGET, EXISTS ------------------------------------------------------------------------------------------------- */

void cmd_mget(client *c)
{
    const resp_arg *args = c->in.args;
    uint32_t count = c->in.argc - 1;
    shard_set set;
    value **values = malloc(count * sizeof *values);
    if (!values) {
        answer_no_memory(c);
        return;
    }
    lock_keys(c, 1, &set);
    for (uint32_t i = 0; i < count; i++) {
        shard *s;
        entry *e = find_locked(&args[1 + i], &s);
        values[i] = e ? value_share(e->value) : NULL;
        *(e ? &s->hits : &s->misses) += 1;
        client_saw(c, s->lsn);
    }
    store_unlock_set(&set);
    answer_array(c, count);
    for (uint32_t i = 0; i < count; i++) {
        if (values[i])
            answer_value(c, values[i]);
        else
            answer_nil(c);
        value_release(values[i]);
    }
    free(values);
}

static int64_t count_one(client *c)
{
    key k = key_of(&c->in.args[1]);
    shard *s = store_lock(&k);
    bool is_there = store_find(s, &k) != NULL;
    client_saw(c, s->lsn);
    store_unlock(s);
    return is_there;
}

static __attribute__((noinline)) int64_t count_many(client *c)
{
    int64_t count = 0;
    shard_set set;
    lock_keys(c, 1, &set);
    for (uint32_t i = 1; i < c->in.argc; i++) {
        shard *s;
        count += find_locked(&c->in.args[i], &s) != NULL;
        client_saw(c, s->lsn);
    }
    store_unlock_set(&set);
    return count;
}

void cmd_exists(client *c)
{
    answer_number(c, c->in.argc == 2 ? count_one(c) : count_many(c));
}

/* --- DEL ---------------------------------------------------------------------------------------------------------- */

static int64_t delete_one(client *c)
{
    key k = key_of(&c->in.args[1]);
    shard *s = store_lock(&k);
    entry *e = store_find(s, &k);
    if (e) {
        s->lsn = journal_del(e);
        store_remove(s, e);
    }
    client_saw(c, s->lsn);
    store_unlock(s);
    return e != NULL;
}

/* -1: no memory. */
static __attribute__((noinline)) int64_t delete_many(client *c)
{
    shard_set set;
    uint32_t count = 0;
    entry **removed = malloc(c->in.argc * sizeof *removed);
    if (!removed)
        return -1;
    lock_keys(c, 1, &set);
    for (uint32_t i = 1; i < c->in.argc; i++) {
        shard *s;
        entry *e = find_locked(&c->in.args[i], &s);
        client_saw(c, s->lsn);
        if (e) {
            store_remove(s, e);
            removed[count++] = e; /* it is there until the unlock */
        }
    }
    if (count > 0) {
        journal_begin("DEL", 1 + (size_t)count);
        for (uint32_t i = 0; i < count; i++)
            journal_key(removed[i]);
        uint64_t lsn = journal_end();
        store_changed_set(&set, lsn);
        client_saw(c, lsn);
    }
    store_unlock_set(&set);
    free(removed);
    return count;
}

void cmd_del(client *c)
{
    int64_t count = c->in.argc == 2 ? delete_one(c) : delete_many(c);
    if (count < 0)
        answer_no_memory(c);
    else
        answer_number(c, count);
}

/* --- MSET --------------------------------------------------------------------------------------------------------- */

/* What is set, made before anything is locked: it becomes the store's, or is exchanged for the value that is there. */
typedef struct setting {
    entry *entry;
    bool is_in;
} setting;

static void free_settings(setting *made, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (!made[i].is_in)
            entry_free(made[i].entry);
    free(made);
}

static setting *make_settings(const resp_arg *args, uint32_t count)
{
    setting *made = malloc(count * sizeof *made);
    for (uint32_t i = 0; made && i < count; i++) {
        key k = key_of(&args[2 * i]);
        value *v = resp_value(&args[2 * i + 1]);
        made[i] = (setting){.entry = v ? entry_new(&k, v) : NULL};
        if (!made[i].entry) {
            value_release(v);
            free_settings(made, i);
            made = NULL;
        }
    }
    return made;
}

static entry *find_setting(const setting *one, shard **s)
{
    key k = {.hash = one->entry->hash, .data = one->entry->key, .len = one->entry->key_len};
    *s = store_shard(&k);
    return store_find(*s, &k);
}

/* Puts in what is not there. False: no memory, and nothing has changed. */
static bool insert_new(setting *made, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        shard *s;
        if (find_setting(&made[i], &s))
            continue;
        made[i].is_in = store_insert(s, made[i].entry);
        if (made[i].is_in)
            continue;
        while (i-- > 0)
            if (made[i].is_in) {
                (void)find_setting(&made[i], &s);
                store_remove(s, made[i].entry);
            }
        return false;
    }
    return true;
}

/* A key may be named several times: the last one counts. */
static uint64_t record_and_replace(setting *made, uint32_t count)
{
    journal_begin("MSET", 1 + 2 * (size_t)count);
    for (uint32_t i = 0; i < count; i++) {
        journal_key(made[i].entry);
        journal_value(made[i].entry->value);
    }
    uint64_t lsn = journal_end();
    for (uint32_t i = 0; i < count; i++) {
        shard *s;
        entry *e = find_setting(&made[i], &s);
        if (e != made[i].entry) {
            made[i].entry->value = store_replace(s, e, made[i].entry->value);
            (void)store_expire(s, e, 0); /* to take it away needs no memory */
        }
    }
    return lsn;
}

void cmd_mset(client *c)
{
    if (c->in.argc % 2 == 0) {
        answer_error(c, "ERR wrong number of arguments for 'mset' command");
        return;
    }
    uint32_t count = (c->in.argc - 1) / 2;
    shard_set set;
    setting *made = make_settings(c->in.args + 1, count);
    if (!made) {
        answer_no_memory(c);
        return;
    }
    lock_keys(c, 2, &set);
    bool done = insert_new(made, count);
    if (done) {
        uint64_t lsn = record_and_replace(made, count);
        store_changed_set(&set, lsn);
        client_saw(c, lsn);
    }
    store_unlock_set(&set);
    free_settings(made, count);
    if (done)
        answer_ok(c);
    else
        answer_no_memory(c);
}

/* --- FLUSHALL ----------------------------------------------------------------------------------------------------- */

static intptr_t flush_store(void *lsn)
{
    int error = store_flush(lsn);
    malloc_trim(0); /* the C library would keep it */
    return error;
}

void cmd_flushall(client *c)
{
    const resp_arg *args = c->in.args;
    if (c->in.argc > 2 || (c->in.argc == 2 && !arg_is(&args[1], "ASYNC") && !arg_is(&args[1], "SYNC"))) {
        answer_syntax_error(c);
        return;
    }
    /* Elsewhere, because to free millions of entries takes a while. */
    uint64_t lsn;
    intptr_t error;
    do {
        error = sinew_blocking_wait(flush_store, &lsn);
    } while (error == -ECANCELED && client_goes_on(c));
    if (error == 0) {
        client_saw(c, lsn);
        answer_ok(c);
    } else {
        answer_no_memory(c);
    }
}
