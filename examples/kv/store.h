/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys and their values, in shards.
 *
 * A key's hash picks its shard. Each shard is one of ck's hash sets under one spinlock, so there is nothing to reclaim
 * late: who holds the lock is alone. Callers look up, change, and write the change to the journal under that lock, and
 * that is why the journal has the changes of a key in the order in which they happened. They hold it for a lookup, a
 * copy of some KiB at most, and a record; what is larger is shared by reference, and what is freed is freed after the
 * unlock. Tables that grow do so under the lock. A command on several keys locks the shards of all of them, in
 * ascending order, and is atomic by that.
 *
 * Two arrays beside the table hold the shard's entries, all of them and those that expire, in no order; each entry
 * knows its places. The last entry takes the place of one that goes, so an entry only ever moves towards the front. A
 * walk from the back to the front that stops anywhere, for any time, therefore meets every entry that is there all the
 * time: it is in front of the walk's place until the walk comes to it. That is SCAN's guarantee, and the rewriting of
 * the append-only file builds upon it. The second array is what the active expiry takes its samples from.
 *
 * Expiry. An entry whose time has come is gone for everybody: store_find removes it, and says so to the journal.
 */
#ifndef KV_STORE_H
#define KV_STORE_H

#include "bytes.h"
#include "spin.h"
#include "value.h"

#include <ck_hs.h>

#ifndef KV_SHARD_BITS
#define KV_SHARD_BITS 10 /* at least 6 */
#endif

enum { SHARD_BITS = KV_SHARD_BITS, SHARDS = 1 << SHARD_BITS };

typedef struct key {
    uint64_t hash;
    const char *data;
    uint32_t len;
} key;

typedef struct entry {
    uint64_t hash;
    int64_t expires; /* milliseconds since 1970; 0: never */
    value *value;
    uint32_t index;          /* in shard.all */
    uint32_t volatile_index; /* in shard.volatiles, if it expires */
    uint32_t key_len;
    char key[];
} entry;

typedef struct entries {
    entry **at;
    uint32_t count, room;
} entries;

typedef struct shard {
    _Alignas(64) ck_spinlock_t lock;
    ck_hs_t set;
    uint64_t lsn; /* of the last change of any of its keys: see journal.h */
    entries all, volatiles;
    entry *dead;      /* to be freed after the unlock, linked by `expires` */
    uint32_t removed; /* since the table was made anew: each left a tombstone in it */
    int64_t bytes;
    int64_t unreported; /* of these, not yet in the sum that store_bytes tells */
    uint64_t hits, misses, expired;
} shard;

/* 0 or -ENOMEM. */
int store_init(void);
void store_destroy(void);
/* While the append-only file is read nothing expires: a later record may say that it lives longer. No locks needed:
 * called while nobody else uses the store. */
void store_set_loading(bool loading);

key store_key(const char *data, uint32_t len);

/* --- one shard, locked -------------------------------------------------------------------------------------------- */

shard *store_lock(const key *k);
void store_unlock(shard *s);

/* The entry, or NULL. One that has expired is removed, with a record in the journal. */
entry *store_find(shard *s, const key *k);

/* A new entry without a place; takes the value over. NULL: no memory, and the value stays the caller's. */
entry *entry_new(const key *k, value *v);
void entry_free(entry *e); /* NULL is allowed */

/* Puts an entry in; there is none with its key. False: no memory, and nothing has changed. */
bool store_insert(shard *s, entry *e);
/* Takes it out; it is freed at the unlock. */
void store_remove(shard *s, entry *e);
/* Gives it another value and returns the former one, for the caller to release after the unlock. */
value *store_replace(shard *s, entry *e, value *v);
/* When it expires; 0: never. False: no memory, and nothing has changed. */
bool store_expire(shard *s, entry *e, int64_t when);
/* The entry's value has another `room` now. */
void store_resized(shard *s, int64_t change);

/* --- several shards ----------------------------------------------------------------------------------------------- */

typedef struct shard_set {
    uint64_t bits[SHARDS / 64];
} shard_set;

void shard_set_add(shard_set *set, const key *k);
shard *store_shard(const key *k);
void store_lock_set(const shard_set *set);
/* All of them have been changed by what ends there in the journal. */
void store_changed_set(const shard_set *set, uint64_t lsn);
void store_unlock_set(const shard_set *set);

/* Removes everything, at one moment, with a record in the journal; frees it in the calling thread. 0 or -ENOMEM. */
int store_flush(uint64_t *lsn);

/* --- walks -------------------------------------------------------------------------------------------------------- */

/* Where a walk over all keys stands; 0 is its beginning, and its end when store_walk returns it. */
typedef uint64_t walk;

/*
 * Calls visit for up to `count` entries of one shard, with its lock held; visit returns false to have the same entry
 * again in the next call. Returns where to go on. Whatever else happens between the calls, entries that are there from
 * the first to the last are visited at least once.
 */
walk store_walk(walk at, unsigned count, bool (*visit)(shard *s, entry *e, void *arg), void *arg);

/* Looks at some entries that expire, in `count` shards from `first` on, and removes those whose time has come; again,
 * and again, in shards where that were many. Returns how many it has removed. */
unsigned store_sample(unsigned first, unsigned count, uint32_t seed);

/* --- numbers ------------------------------------------------------------------------------------------------------ */

typedef struct store_stats {
    uint64_t keys, volatiles, hits, misses, expired;
    int64_t bytes;
} store_stats;

store_stats store_count(void);
/* Memory of entries and tables, good to a MiB: cheap. */
int64_t store_bytes(void);
int64_t entry_bytes(const entry *e);
bool store_has_volatiles(void);

int64_t clock_ms(void); /* since 1970 */

static inline bool is_expired(const entry *e)
{
    return e->expires != 0 && e->expires <= clock_ms();
}

#endif
