/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal: changes as records, on their way to the append-only file. This part makes the records and keeps them in
 * memory; log.c writes them.
 *
 * A record is a command in the Redis protocol (redis-check-aof reads the file, and a Redis server loads it):
 *
 *     SET key value [PXAT ms]    MSET key value ...    APPEND key value    DEL key ...
 *     PEXPIREAT key ms           PERSIST key           FLUSHALL
 *
 * Order. The file has the changes of each key in the order in which they took effect: the effect and the record are
 * made under the lock of the key's shard, records are put behind each other under the journal's own lock, and one task
 * writes them as they stand there. The records of two keys may stand in either order if nobody could tell, that is, if
 * neither command had ended before the other began. A command on several keys is one record, made with all their
 * shards locked, so it is in the file as a whole or not at all.
 *
 * Positions. Every record ends at a position, its lsn: bytes since the server began. `safe` is the position up to which
 * the file has everything, in the sense of --fsync. A reply is sent when what it shows is safe: for a change, its own
 * record; for a read, the last change in the shard. So nobody is told of a change that a kill could still undo.
 *
 * Rewriting. While the file is rewritten, all records go to the new file as well, in a chain of their own, with the
 * copies of the entries among them: see rewrite.c.
 */
#ifndef KV_JOURNAL_H
#define KV_JOURNAL_H

#include "spin.h"
#include "value.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct entry;

enum { CHUNK_BYTES = 64 << 10 };

/* Some bytes of the journal: in the chunk itself, or a whole value, which is not copied. */
typedef struct chunk {
    struct chunk *next;
    value *value;
    size_t used, written;
    char data[];
} chunk;

typedef struct chain {
    chunk *first, *last;
    uint64_t bytes;
    bool lost; /* there was no memory for a record: nothing has been added since */
} chain;

/* Before anything else uses it, and for good. Without this the calls below do nothing and return 0. */
void journal_enable(void);

/* --- records, made with the shard locked; each returns the position of its end -------------------------------------
 */

uint64_t journal_set(const struct entry *e); /* the whole of it, with its time */
uint64_t journal_append(const struct entry *e, const char *data, size_t len);
uint64_t journal_expire(const struct entry *e); /* its time, or that it has none */
uint64_t journal_del(const struct entry *e);
uint64_t journal_flush(void);

/* For commands on several keys: begin with the number of arguments, add each, end. The journal is locked meanwhile. */
void journal_begin(const char *command, size_t args);
void journal_key(const struct entry *e);
void journal_value(value *v);
uint64_t journal_end(void);

/* --- state -------------------------------------------------------------------------------------------------------- */

/* The errno for which writes are refused, or 0; ENOMEM also by itself, when a record is lost. */
int journal_error(void);
void journal_set_error(int error);
/* Is it off, or on and well? */
static inline bool journal_takes(void)
{
    return journal_error() == 0;
}

/* Everything up to here is safe. */
uint64_t journal_safe(void);
void journal_set_safe(uint64_t lsn);
uint64_t journal_lsn(void);

/* --- for the tasks that write ------------------------------------------------------------------------------------- */

extern ck_spinlock_t journal_lock;

/* Or is something lost? With the lock held. */
bool journal_has_records(void);
/* Takes all records; returns the position of their end. */
uint64_t journal_take(chain *out);

/* Rewriting begins: records go to the second chain, too. */
void journal_begin_copy(void);
/* Puts the entry's whole state into the second chain only; the shard is locked. */
void journal_copy_entry(const struct entry *e);
uint64_t journal_copy_bytes(void);
/* Takes what is in the second chain. */
void journal_take_copy(chain *out);
/* Takes both chains at one position, which is returned, and ends the rewriting. */
uint64_t journal_end_copy(chain *records, chain *copy);
void journal_abandon_copy(void);
/* The file has everything again, also what was lost. */
void journal_forget_loss(void);

void chain_pop(chain *c);
void chain_free(chain *c);
static inline const char *chunk_data(const chunk *c)
{
    return c->value ? c->value->data : c->data;
}

#endif
