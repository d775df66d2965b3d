/* SPDX-License-Identifier: Apache-2.0 */
#include "journal.h"

#include "bytes.h"
#include "store.h"

#include <sinew/errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    SHARE_BYTES = 16 << 10, /* values from this size on are not copied */
    SPARE_MAX = 32,         /* chunks kept for the next records */
};

ck_spinlock_t journal_lock = CK_SPINLOCK_INITIALIZER;

static bool enabled;
static atomic_int broken; /* an errno */
static atomic_ullong safe;

/* Under the lock. */
static chain pending, copies; /* to the file, and to the one that will replace it */
static bool copying;
static bool to_pending = true, to_copies; /* where the record being made goes */
static uint64_t end;                      /* of all records so far */
static chunk *spare;
static unsigned spares;

void journal_enable(void)
{
    enabled = true;
}

/* --- chains ------------------------------------------------------------------------------------------------------- */

static chunk *new_chunk(value *v)
{
    chunk *c = spare;
    if (!v && c) {
        spare = c->next;
        spares--;
    } else {
        c = malloc(sizeof *c + (v ? 0 : CHUNK_BYTES));
    }
    if (!c)
        return NULL;
    *c = (chunk){.value = v};
    if (v) {
        value_share(v);
        c->used = v->len;
    }
    return c;
}

static bool append_chunk(chain *to, value *v)
{
    chunk *c = new_chunk(v);
    if (!c) {
        to->lost = true;
        if (to == &pending)
            journal_set_error(ENOMEM);
        return false;
    }
    *(to->last ? &to->last->next : &to->first) = c;
    to->last = c;
    to->bytes += c->used;
    return true;
}

static void append(chain *to, const char *data, size_t len)
{
    while (len > 0 && !to->lost) {
        if (!to->last || to->last->value || to->last->used == CHUNK_BYTES)
            if (!append_chunk(to, NULL))
                return;
        size_t room = CHUNK_BYTES - to->last->used, part = len < room ? len : room;
        memcpy(to->last->data + to->last->used, data, part);
        to->last->used += part;
        to->bytes += part;
        data += part;
        len -= part;
    }
}

void chain_pop(chain *c)
{
    chunk *first = c->first;
    c->first = first->next;
    if (!c->first)
        c->last = NULL;
    c->bytes -= first->used;
    if (first->value) {
        value_release(first->value);
    } else {
        spin_lock(&journal_lock);
        if (spares < SPARE_MAX) {
            first->next = spare;
            spare = first;
            spares++;
            first = NULL;
        }
        spin_unlock(&journal_lock);
    }
    free(first);
}

void chain_free(chain *c)
{
    while (c->first)
        chain_pop(c);
}

/* --- records ------------------------------------------------------------------------------------------------------ */

static void put(const char *data, size_t len)
{
    if (to_pending) {
        append(&pending, data, len);
        end += len;
    }
    if (to_copies)
        append(&copies, data, len);
}

static void put_length(char type, size_t n)
{
    char text[NUMBER_TEXT_MAX + 3] = {type}, *at = put_number(text + 1, (int64_t)n);
    *at++ = '\r';
    *at++ = '\n';
    put(text, (size_t)(at - text));
}

static void put_bulk(const char *data, size_t len)
{
    put_length('$', len);
    put(data, len);
    put("\r\n", 2);
}

static void put_time(int64_t ms)
{
    char text[NUMBER_TEXT_MAX];
    put_bulk(text, (size_t)(put_number(text, ms) - text));
}

static void begin(const char *command, size_t args, bool only_copy)
{
    spin_lock(&journal_lock);
    to_pending = !only_copy;
    to_copies = only_copy || copying;
    put_length('*', args);
    put_bulk(command, strlen(command));
}

void journal_begin(const char *command, size_t args)
{
    if (enabled)
        begin(command, args, false);
}

void journal_key(const entry *e)
{
    if (enabled)
        put_bulk(e->key, e->key_len);
}

void journal_value(value *v)
{
    if (!enabled)
        return;
    if (v->len < SHARE_BYTES) {
        put_bulk(v->data, v->len);
        return;
    }
    put_length('$', v->len);
    if (to_pending) {
        if (!pending.lost)
            append_chunk(&pending, v);
        end += v->len;
    }
    if (to_copies && !copies.lost)
        append_chunk(&copies, v);
    put("\r\n", 2);
}

uint64_t journal_end(void)
{
    if (!enabled)
        return 0;
    uint64_t lsn = end;
    spin_unlock(&journal_lock);
    return lsn;
}

static void put_entry(const entry *e, bool only_copy)
{
    begin("SET", e->expires != 0 ? 5 : 3, only_copy);
    journal_key(e);
    journal_value(e->value);
    if (e->expires != 0) {
        put_bulk("PXAT", 4);
        put_time(e->expires);
    }
}

uint64_t journal_set(const entry *e)
{
    if (!enabled)
        return 0;
    put_entry(e, false);
    return journal_end();
}

uint64_t journal_append(const entry *e, const char *data, size_t len)
{
    if (!enabled)
        return 0;
    journal_begin("APPEND", 3);
    journal_key(e);
    put_bulk(data, len);
    return journal_end();
}

uint64_t journal_expire(const entry *e)
{
    if (!enabled)
        return 0;
    if (e->expires != 0) {
        journal_begin("PEXPIREAT", 3);
        journal_key(e);
        put_time(e->expires);
    } else {
        journal_begin("PERSIST", 2);
        journal_key(e);
    }
    return journal_end();
}

uint64_t journal_del(const entry *e)
{
    journal_begin("DEL", 2);
    journal_key(e);
    return journal_end();
}

uint64_t journal_flush(void)
{
    journal_begin("FLUSHALL", 1);
    return journal_end();
}

/* --- state -------------------------------------------------------------------------------------------------------- */

int journal_error(void)
{
    return atomic_load_explicit(&broken, memory_order_relaxed);
}

void journal_set_error(int error)
{
    atomic_store_explicit(&broken, error, memory_order_relaxed);
}

/* Acquire and release: who is told that a record is safe may tell others. */
uint64_t journal_safe(void)
{
    return atomic_load_explicit(&safe, memory_order_acquire);
}

void journal_set_safe(uint64_t lsn)
{
    atomic_store_explicit(&safe, lsn, memory_order_release);
}

uint64_t journal_lsn(void)
{
    spin_lock(&journal_lock);
    uint64_t lsn = end;
    spin_unlock(&journal_lock);
    return lsn;
}

/* --- for the tasks that write ------------------------------------------------------------------------------------- */

static void take(chain *from, chain *out)
{
    *out = *from;
    *from = (chain){.lost = from->lost};
}

bool journal_has_records(void)
{
    return pending.first || pending.lost;
}

uint64_t journal_take(chain *out)
{
    spin_lock(&journal_lock);
    uint64_t lsn = end;
    take(&pending, out);
    spin_unlock(&journal_lock);
    return lsn;
}

void journal_begin_copy(void)
{
    spin_lock(&journal_lock);
    copying = true;
    copies.lost = false;
    spin_unlock(&journal_lock);
}

void journal_copy_entry(const entry *e)
{
    put_entry(e, true);
    journal_end();
}

uint64_t journal_copy_bytes(void)
{
    spin_lock(&journal_lock);
    uint64_t bytes = copies.bytes;
    spin_unlock(&journal_lock);
    return bytes;
}

void journal_take_copy(chain *out)
{
    spin_lock(&journal_lock);
    take(&copies, out);
    spin_unlock(&journal_lock);
}

uint64_t journal_end_copy(chain *records, chain *copy)
{
    spin_lock(&journal_lock);
    uint64_t lsn = end;
    take(&pending, records);
    take(&copies, copy);
    copying = false;
    spin_unlock(&journal_lock);
    return lsn;
}

void journal_abandon_copy(void)
{
    chain none;
    spin_lock(&journal_lock);
    take(&copies, &none);
    copying = false;
    spin_unlock(&journal_lock);
    chain_free(&none);
}

void journal_forget_loss(void)
{
    spin_lock(&journal_lock);
    pending.lost = false;
    spin_unlock(&journal_lock);
}
